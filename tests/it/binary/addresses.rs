//! Listeners of the real binary: the address forms that `--listen` accepts, and the exit code and
//! the one line on stderr for each address that fails.
//!
//! Covers IPv4, IPv6, local paths, abstract names, several addresses and several workers, and the
//! removal of socket files. Man pages: unix(7), ip(7), systemd.socket(5) for passed sockets.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;

use socket2::{Domain, Socket, Type};

use super::injected::may_trace;
use super::server::{Ended, PATIENCE, Server};
use super::{FEW, ask, skip, stuff};

/// The socket address of an abstract name, given with its leading `@`.
pub(super) fn abstract_name(name: &str) -> SocketAddr {
    let name = name.strip_prefix('@').expect("an abstract name");
    SocketAddr::from_abstract_name(name).expect("a short name")
}

#[test]
fn it_listens_on_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("no IPv6 on this machine");
    }
    let server = Server::start(&["--listen", "[::1]:0"]);
    assert!(server.address().is_ipv6());
    assert_eq!(ask(&mut server.connect(), b"six"), b"six");
    server.end();
}

#[test]
fn it_listens_on_a_path_and_on_an_abstract_name_at_once() {
    let folder = std::env::temp_dir().join(format!("mynah-{}-local", std::process::id()));
    fs::create_dir(&folder).expect("a folder of our own");
    let path = folder.join("socket");
    let name = format!("@mynah-{}-local", std::process::id());
    let (at_path, at_name) = (format!("unix:{}", path.display()), format!("unix:{name}"));
    let server = Server::start(&["--listen", &at_path, "--listen", &at_name]);
    assert_eq!(server.addresses(), [&at_path, &at_name]);
    let one = UnixStream::connect(&path).expect("the server listens");
    let other = UnixStream::connect_addr(&abstract_name(&name)).expect("the server listens");
    for mut peer in [one, other] {
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        assert_eq!(ask(&mut peer, b"near"), b"near");
    }
    // The running server owns the path.
    let second = Ended::run(&[&FEW[..], &["--listen", &at_path]].concat());
    assert_eq!(
        (second.code, second.stderr.len()),
        (Some(3), 1),
        "{:?}",
        second.stderr
    );
    // A killed server leaves the path behind; the next start replaces it.
    server.signal("KILL");
    assert_eq!(server.ended().code, None);
    let server = Server::start(&["--listen", &at_path]);
    let mut peer = UnixStream::connect(&path).expect("the server listens");
    assert_eq!(ask(&mut peer, b"again"), b"again");
    server.end();
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn a_port_in_use_is_one_line_and_code_3() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("an address").to_string();
    let refused = Ended::run(&[&FEW[..], &["--listen", &address]].concat());
    let line = format!("mynah: bind tcp://{address}: Address already in use (os error 98)");
    assert_eq!((refused.code, refused.stderr), (Some(3), vec![line]));
    assert_eq!(refused.stdout, [""; 0]);
}

#[test]
fn a_port_in_use_is_refused_to_several_workers_too() {
    let server = Server::start(&["--threads", "2"]);
    let address = server.addresses()[0].to_string();
    let line = format!("mynah: bind {address}: Address already in use (os error 98)");
    for threads in ["1", "2"] {
        let refused = Ended::run(&["--listen", &address, "--threads", threads]);
        assert_eq!(
            (refused.code, refused.stderr),
            (Some(3), vec![line.clone()])
        );
    }
    server.end();
}

#[test]
fn several_addresses_are_served_by_one_loop() {
    let server = Server::start(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"]);
    for address in server.addresses() {
        let address = address.strip_prefix("tcp://").expect("TCP");
        let mut peer = std::net::TcpStream::connect(address).expect("the server listens");
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        assert_eq!(ask(&mut peer, b"two doors"), b"two doors");
    }
    assert_eq!(server.stats().get("connections_total"), 2);
    server.end();
}

#[test]
fn the_hint_names_a_tool_that_speaks_what_is_served() {
    for (args, tool) in [
        (&[][..], "nc 127.0.0.1 "),
        (&["--listen", "0.0.0.0:0"], "nc 127.0.0.1 "),
        (&["--frame", "u32be"], "mynah connect tcp://127.0.0.1:"),
        (&["http"], "curl http://127.0.0.1:"),
        (&["http", "--listen", "0.0.0.0:0"], "curl http://127.0.0.1:"),
    ] {
        let said = Server::start(args).end().stderr;
        let hint = said.iter().find(|line| line.contains("talk to it with"));
        assert!(hint.is_some_and(|hint| hint.contains(tool)), "{said:?}");
    }
}

/// A directory that is removed on drop.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let name = format!("mynah-{}-{name}", std::process::id());
        let directory = Directory(std::env::temp_dir().join(name));
        fs::create_dir(&directory.0).expect("a directory of our own");
        directory
    }

    /// The path of a socket in the directory, and the `--listen` value for it.
    fn socket(&self, name: &str) -> (PathBuf, String) {
        let path = self.0.join(name);
        let listen = format!("unix:{}", path.display());
        (path, listen)
    }

    fn is_empty(&self) -> bool {
        let mut entries = fs::read_dir(&self.0).expect("it is ours");
        entries.next().is_none()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_unix_mode_is_that_of_every_socket_file() {
    let directory = Directory::new("mode");
    let (one, listen_one) = directory.socket("one");
    let (other, listen_other) = directory.socket("other");
    let both = ["--listen", &listen_one, "--listen", &listen_other];
    // A usual umask takes bits of the second mode away.
    for (text, mode) in [("0600", 0o600), ("666", 0o666)] {
        let args = [&both[..], &["--unix-mode", text, "--threads", "2"]].concat();
        let server = Server::start(&args);
        for path in [&one, &other] {
            let found = fs::symlink_metadata(path).expect("it is bound");
            assert_eq!(found.permissions().mode() & 0o7777, mode, "{text}");
            let mut peer = UnixStream::connect(path).expect("the server listens");
            peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            assert_eq!(ask(&mut peer, b"near"), b"near");
        }
        server.end();
        assert!(directory.is_empty(), "{text}");
    }
}

#[test]
fn a_local_path_is_removed_at_the_end_of_a_drain_and_at_a_second_signal() {
    let directory = Directory::new("ends");
    let (path, listen) = directory.socket("socket");
    let (_, other) = directory.socket("other");
    for args in [
        &["--listen", &listen][..],
        &[
            "--listen",
            &listen,
            "--listen",
            "127.0.0.1:0",
            "--listen",
            &other,
        ],
        &["--listen", &listen, "--max-connections", "1"],
    ] {
        let server = Server::start(args);
        assert!(path.exists());
        server.end();
        assert!(directory.is_empty(), "{args:?}");
    }
    // A peer that reads nothing holds the only slot, so the drain keeps the listener open.
    let endless = [
        "--max-connections",
        "1",
        "--drain-timeout",
        "1h",
        "--stall-timeout",
        "off",
    ];
    let server = Server::start(&[&endless[..], &["--listen", &listen]].concat());
    let mut peer = UnixStream::connect(&path).expect("the server listens");
    peer.set_nonblocking(true).expect("an option");
    assert!(stuff(&server, &mut peer) > 0);
    server.signal("TERM");
    server.hears("draining");
    assert!(path.exists());
    server.signal("INT");
    assert_eq!(server.ended().code, Some(130));
    assert!(directory.is_empty());
}

#[test]
fn a_start_that_fails_removes_the_local_paths_that_it_has_bound() {
    let directory = Directory::new("fails");
    let (_, listen) = directory.socket("socket");
    let (_, other) = directory.socket("other");
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("an address").to_string();
    for (args, code) in [
        (
            &["--listen", &listen, "--listen", &other, "--listen", &taken][..],
            3,
        ),
        (&["--listen", &listen, "--listen", &listen], 3),
    ] {
        let refused = Ended::run(args);
        assert_eq!(
            (refused.code, refused.stderr.len()),
            (Some(code), 1),
            "{:?}",
            refused.stderr
        );
        assert!(directory.is_empty(), "{args:?}");
    }
}

#[test]
fn a_start_that_fails_after_all_listeners_are_open_removes_their_paths() {
    if !may_trace() {
        return;
    }
    let directory = Directory::new("late");
    let (_, listen) = directory.socket("socket");
    for call in ["getsockname", "listen", "epoll_ctl"] {
        let fault = format!("inject={call}:error=ENOMEM");
        let strace = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", &fault];
        let ended = match Server::try_start(&strace, &[], &["--listen", &listen]) {
            Ok(_) => panic!("it started although {call} failed"),
            Err(ended) => ended,
        };
        assert_eq!(ended.stderr.len(), 1, "{:?}", ended.stderr);
        assert!(directory.is_empty(), "{call}");
    }
}

#[test]
fn a_local_path_that_another_server_has_taken_over_stays() {
    let directory = Directory::new("taken-over");
    let (path, listen) = directory.socket("socket");
    let first = Server::start(&["--listen", &listen]);
    fs::remove_file(&path).expect("it is ours");
    let second = Server::start(&["--listen", &listen]);
    first.end();
    let mut peer = UnixStream::connect(&path).expect("the second one listens");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    assert_eq!(ask(&mut peer, b"still here"), b"still here");
    drop(peer);
    second.end();
    assert!(directory.is_empty());
    // A path that is no longer a socket is not removed either.
    let server = Server::start(&["--listen", &listen]);
    fs::remove_file(&path).expect("it is ours");
    fs::write(&path, "precious").expect("it is ours");
    server.end();
    assert_eq!(fs::read(&path).expect("it is there"), b"precious");
}

#[test]
fn of_several_starts_on_one_local_path_exactly_one_serves() {
    const STARTS: usize = 6;
    let directory = Directory::new("race");
    for round in 0..25 {
        let (path, listen) = directory.socket(&round.to_string());
        if round % 2 == 1 {
            // The path that a dead server left behind.
            drop(UnixListener::bind(&path).expect("it is ours"));
        }
        let start = || Server::try_start(&[], &[], &["--listen", &listen]);
        let servers: Vec<_> = thread::scope(|scope| {
            let starts: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
            let joined = starts.into_iter().map(|start| start.join());
            joined.map(|ended| ended.expect("no panic")).collect()
        });
        let mut serving = Vec::new();
        for server in servers {
            match server {
                Ok(server) => serving.push(server),
                Err(refused) => assert_eq!(refused.code, Some(3), "{:?}", refused.stderr),
            }
        }
        assert_eq!(serving.len(), 1, "round {round}");
        let mut peer = UnixStream::connect(&path).expect("it listens");
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        assert_eq!(ask(&mut peer, b"only you"), b"only you");
    }
}

#[test]
fn of_two_starts_with_several_workers_on_one_port_exactly_one_serves() {
    if !may_trace() {
        return;
    }
    // This socket is bound but does not listen, so the port can still be shared.
    let holder = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    holder.set_reuse_address(true).expect("an option");
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    holder.bind(&any_port.into()).expect("a free port");
    let address = holder.local_addr().expect("it is bound");
    let listen = address.as_socket().expect("TCP").to_string();
    // Each server pauses between bind and listen; the other server binds in that pause.
    let slowly = "inject=listen:delay_enter=500000:when=1";
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", slowly];
    let start = || Server::try_start(&strace, &[], &["--threads", "2", "--listen", &listen]);
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(start);
        let other = start();
        (one.join().expect("no panic"), other)
    });
    let (serving, refused): (Vec<_>, Vec<_>) = [one, other].into_iter().partition(Result::is_ok);
    assert_eq!((serving.len(), refused.len()), (1, 1));
    for ended in refused.into_iter().filter_map(Result::err) {
        assert!(matches!(ended.code, Some(3 | 4)), "{:?}", ended.stderr);
        assert!(
            ended.stderr[0].ends_with(&format!("{listen}: Address already in use (os error 98)"))
        );
    }
}

#[test]
fn sockets_passed_by_a_service_manager_and_left_out_by_listen_are_reported_once() {
    // exec: the server takes over the process number of the shell.
    let activated = ["sh", "-c", r#"LISTEN_PID=$$ exec "$0" "$@""#];
    let told = |wrapper: &[&str], variables: &[(&str, &str)]| {
        let server = Server::start_under(wrapper, variables, &[]);
        assert_eq!(ask(&mut server.connect(), b"as before"), b"as before");
        let said = server.end().stderr;
        let told = said.iter().filter(|line| line.contains("LISTEN_"));
        told.map(String::from).collect::<Vec<_>>()
    };
    let lines = told(&activated, &[("LISTEN_FDS", "2")]);
    let line = "WARN  LISTEN_FDS=2: --listen leaves 2 sockets out, which get no answer; \
                --listen fd://3 takes the first one";
    assert_eq!(lines, [line]);
    // The variables are meant for another process, or no socket was passed.
    let others = [("LISTEN_FDS", "1"), ("LISTEN_PID", "1")];
    let lines = told(&[], &others);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("INFO  LISTEN_PID=1: this is process "),
        "{lines:?}"
    );
    assert_eq!(told(&activated, &[("LISTEN_FDS", "0")]), [""; 0]);
    assert_eq!(told(&activated, &[]), [""; 0]);
}

#[test]
fn every_address_of_both_families_is_served_on_one_port() {
    let has_ipv6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
    if !has_ipv6 {
        skip("no IPv6 on this machine");
    }
    for (address, more) in [
        ("*:0", &[][..]),
        (":0", &["--threads", "2"]),
        ("tcp://*:0", &["--threads", "2", "--accept", "exclusive"]),
    ] {
        let server = Server::start(&[&["--listen", address], more].concat());
        let addresses = server.addresses();
        let port = addresses[0].rsplit(':').next().expect("a port").to_owned();
        let mut expected = vec![format!("tcp://0.0.0.0:{port}")];
        if has_ipv6 {
            expected.push(format!("tcp://[::]:{port}"));
        }
        assert_eq!(addresses, expected, "{address}");
        for host in ["127.0.0.1", "[::1]"].iter().take(expected.len()) {
            let mut peer = TcpStream::connect(format!("{host}:{port}")).expect("it listens");
            assert_eq!(ask(&mut peer, b"hello"), b"hello", "{address} at {host}");
        }
        server.end();
    }
}
