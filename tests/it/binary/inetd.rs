//! `--inetd`: standard input is a connection, or a listener.
//!
//! The test gives one socket to all three standard streams, as inetd does, so every byte that is
//! written there arrives at the peer. The log goes to /dev/log, which is played in a namespace of
//! its own. Man pages: inetd(8), syslog(3), systemd.socket(5) for `Accept=yes`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::server::{Ended, PATIENCE, until};
use super::{ask, is_installed, rest};
use crate::uninterrupted::uninterrupted;
use crate::{namespace, program};

/// Starts `mynah --inetd` with `socket` as all three standard streams.
fn start(socket: impl AsFd, args: &[&str]) -> Child {
    let stream = || -> Stdio {
        let copy: OwnedFd = socket.as_fd().try_clone_to_owned().expect("a descriptor");
        copy.into()
    };
    let mut command = Command::new(program::path());
    command.arg("--inetd").args(args).env("RUST_LOG", "trace");
    let command = command.stdin(stream()).stdout(stream()).stderr(stream());
    command.spawn().expect("the program starts")
}

fn ended(mut child: Child) -> ExitStatus {
    let mut status = None;
    until("it ends", || {
        status = child.try_wait().expect("a child");
        status.is_some()
    });
    status.expect("it has ended")
}

/// A connection: the end of the peer, and that of the server.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let near = TcpStream::connect(listener.local_addr().expect("it is bound"));
    let near = near.expect("it listens");
    near.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    (near, listener.accept().expect("a connection").0)
}

/// Each way to serve that combines with `--inetd`.
const WAYS: [&[&str]; 5] = [
    &[],
    &["--trigger", "level"],
    &["--model", "thread"],
    &["--model", "iterative"],
    &["--model", "fork"],
];

#[test]
fn v7_a_connection_is_served_to_its_end_and_gets_nothing_but_replies() {
    for args in WAYS {
        let (mut peer, far) = connection();
        peer.write_all(b"before ").expect("an open socket");
        let server = start(far, args);
        peer.write_all(b"and after").expect("an open socket");
        let mut reply = [0; 16];
        peer.read_exact(&mut reply).expect("a reply");
        assert_eq!(&reply, b"before and after", "{args:?}");
        peer.shutdown(Shutdown::Write).expect("an open socket");
        assert_eq!(rest(&mut peer), b"", "{args:?}");
        assert_eq!(ended(server).code(), Some(0), "{args:?}");
    }
}

#[test]
fn v7_a_socket_pair_is_a_connection_too() {
    let (mut peer, far) = UnixStream::pair().expect("a pair");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let server = start(far, &["upper"]);
    assert_eq!(ask(&mut peer, b"hello\n"), b"HELLO\n");
    drop(peer);
    assert_eq!(ended(server).code(), Some(0));
}

#[test]
fn v7_a_signal_drains_the_connection() {
    let (mut peer, far) = connection();
    let server = start(far, &["--frame", "u8"]);
    // It serves, and takes signals.
    assert_eq!(ask(&mut peer, b"\x01x"), b"\x01x");
    // The request has begun, so it may finish.
    peer.write_all(b"\x02a").expect("an open socket");
    assert!(program::signal(server.id(), "TERM"));
    std::thread::sleep(Duration::from_millis(50));
    peer.write_all(b"b").expect("an open socket");
    assert_eq!(rest(&mut peer), b"\x02ab");
    assert_eq!(ended(server).code(), Some(0));
}

#[test]
fn v7_a_listener_is_served_until_it_has_been_idle_and_stays_open_for_its_owner() {
    for args in WAYS {
        let owned = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = owned.local_addr().expect("it is bound");
        let mut first = TcpStream::connect(at).expect("it listens");
        let server = start(&owned, &[args, &["--idle-timeout", "300ms"]].concat());
        assert_eq!(ask(&mut first, b"first"), b"first", "{args:?}");
        let mut second = TcpStream::connect(at).expect("it listens");
        if !args.contains(&"iterative") {
            assert_eq!(ask(&mut second, b"second"), b"second", "{args:?}");
        }
        drop((first, second));
        assert_eq!(ended(server).code(), Some(0), "{args:?}");
        // The next connection waits for the next server.
        let mut third = TcpStream::connect_timeout(&at, PATIENCE).expect("the owner listens");
        let server = start(&owned, &[args, &["--idle-timeout", "300ms"]].concat());
        assert_eq!(ask(&mut third, b"third"), b"third", "{args:?}");
        drop(third);
        assert_eq!(ended(server).code(), Some(0), "{args:?}");
    }
}

#[test]
fn v7_a_listener_without_a_connection_is_idle_from_the_start() {
    let owned = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = start(&owned, &["--idle-timeout", "50ms"]);
    assert_eq!(ended(server).code(), Some(0));
}

#[test]
fn v7_a_datagram_socket_is_served_until_none_has_come_and_stays_open_for_its_owner() {
    let owned = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let at = owned.local_addr().expect("it is bound");
    peer.connect(at).expect("an address");
    // What has come before the server is answered, and what has come behind it by the next one.
    for round in [b"first", b"later"] {
        peer.send(round).expect("there is a socket");
        let server = start(&owned, &["--idle-timeout", "50ms"]);
        let mut answer = [0; 8];
        let count = uninterrupted(|| peer.recv(&mut answer)).expect("an answer");
        assert_eq!(&answer[..count], round);
        assert_eq!(ended(server).code(), Some(0));
    }
    for args in [&["--idle-read", "1s"][..], &["--model", "thread"]] {
        assert_eq!(ended(start(&owned, args)).code(), Some(1), "{args:?}");
    }
}

#[test]
fn v7_what_does_not_combine_is_refused_and_the_peer_hears_nothing() {
    for args in [
        &["--threads", "2"][..],
        &["--accept", "exclusive"],
        &["--processes", "2"],
        &["--listen", "127.0.0.1:0"],
        &["-l", "127.0.0.1:0"],
        &["-p", "0"],
        &["--pin"],
        &["--rate-total", "1m"],
        &["--rate-out-total", "1m"],
        &["--wiretap", "size"],
        &["--no-such-option"],
    ] {
        let (mut peer, far) = connection();
        let server = start(far, args);
        assert_eq!(rest(&mut peer), b"", "{args:?}");
        assert_eq!(ended(server).code(), Some(1), "{args:?}");
        // Where standard error is no peer, the line is there too.
        let told = Ended::run(&[&["--inetd"], args].concat());
        assert_eq!((told.code, told.stderr.len()), (Some(1), 1), "{args:?}");
        if args[0].starts_with("--no") {
            continue;
        }
        let flag = if args[0] == "-l" { "--listen" } else { args[0] };
        let line = format!("mynah: --inetd: does not combine with {flag}");
        assert_eq!(told.stderr, [line]);
    }
}

#[test]
fn v7_a_standard_input_that_is_no_socket_in_use_is_refused() {
    let told = Ended::run(&["--inetd"]);
    assert_eq!(told.code, Some(1));
    let line = "mynah: --inetd: descriptor 0: it is not a socket, and must be one";
    assert_eq!(told.stderr, [line]);
    let idle = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    assert_eq!(ended(start(idle.expect("a socket"), &[])).code(), Some(1));
}

#[test]
fn v7_socat_and_systemd_socket_activate_start_one_for_each_connection() {
    if is_installed("socat") {
        let words = format!("EXEC:{} --inetd", program::path());
        let mut talk = Command::new("socat")
            .args(["-", &words])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is installed");
        let mut stdin = talk.stdin.take().expect("a pipe");
        stdin.write_all(b"through socat").expect("it reads");
        drop(stdin);
        let told = talk.wait_with_output().expect("a child");
        assert_eq!(told.stdout, b"through socat");
    }
    if is_installed("systemd-socket-activate") {
        let name = format!("mynah-{}-inetd", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let mut launcher = Command::new("systemd-socket-activate")
            .args(["--accept", "--inetd", "-l"])
            .args([path.as_os_str(), program::path().as_ref()])
            .arg("--inetd")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it is installed");
        for _ in 0..3 {
            let mut peer = None;
            until("it listens", || {
                peer = UnixStream::connect(&path).ok();
                peer.is_some()
            });
            let mut peer = peer.expect("it is there");
            peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            assert_eq!(ask(&mut peer, b"each its own"), b"each its own");
        }
        launcher.kill().expect("it runs");
        launcher.wait().expect("a child");
        let _ = std::fs::remove_file(&path);
    }
}

/// Listens on /dev/log, talks to a server whose three standard streams are one socket, and prints
/// what each has got.
const WITH_A_LOG: &str = r#"
import os, socket, subprocess, sys
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
def play(request, *args):
    near, far = socket.socketpair()
    server = subprocess.Popen([sys.argv[1], "--inetd", *args], stdin=far, stdout=far, stderr=far)
    far.close()
    if request:
        near.sendall(request)
        near.shutdown(socket.SHUT_WR)
    got = b""
    while piece := near.recv(100):
        got += piece
    print(server.wait(), got.decode())
    log.settimeout(0.2)
    while True:
        try:
            line = log.recv(1000).decode()
        except TimeoutError:
            break
        print(line[:4], line[20:].replace(str(server.pid), "PID"))
play(b"hello")
play(b"", "--threads", "2")
"#;

#[test]
fn v7_the_log_goes_to_dev_log() {
    if !is_installed("python3") {
        return;
    }
    let device = "set -e; d=$(mktemp -d); mount -t tmpfs none $d; mknod -m 666 $d/null c 1 3; \
                  mount --bind $d /dev; umount -l $d; rmdir $d; set +e";
    let script = format!("{device}; python3 -c '{WITH_A_LOG}' \"$MYNAH\"");
    let Some(output) = namespace::run(&["-m"], device, &script) else {
        return;
    };
    let (code, out, err) = namespace::told(&output);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let expected = "0 hello\n\
                    <30> mynah[PID]: INFO  draining\n\
                    <30> mynah[PID]: INFO  drained; connections served: 1\n\
                    1 \n\
                    <27> mynah[PID]: mynah: --inetd: does not combine with --threads\n";
    let known = |line: &&str| !line.ends_with("INFO  draining");
    let lines: Vec<_> = out.lines().filter(known).collect();
    let expected: Vec<_> = expected.lines().filter(known).collect();
    assert_eq!(lines, expected);
}
