//! Everywhere it can listen, and what it says where it cannot.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use super::server::{Ended, PATIENCE, Server};
use super::{FEW, ask, say};

/// The address of a name that begins with `@`.
pub(super) fn abstract_name(name: &str) -> SocketAddr {
    let name = name.strip_prefix('@').expect("an abstract name");
    SocketAddr::from_abstract_name(name).expect("a short name")
}

#[test]
fn it_listens_on_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        return say("skipping: no IPv6 on this machine");
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
    let one = UnixStream::connect(&path).expect("somebody listens");
    let other = UnixStream::connect_addr(&abstract_name(&name)).expect("somebody listens");
    for mut peer in [one, other] {
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        assert_eq!(ask(&mut peer, b"near"), b"near");
    }
    // The path belongs to whoever answers on it.
    let second = Ended::run(&[&FEW[..], &["--listen", &at_path]].concat());
    assert_eq!(
        (second.code, second.stderr.len()),
        (Some(3), 1),
        "{:?}",
        second.stderr
    );
    // And outlives a server that is killed, but not the start of the next.
    server.signal("KILL");
    assert_eq!(server.ended().code, None);
    let server = Server::start(&["--listen", &at_path]);
    let mut peer = UnixStream::connect(&path).expect("somebody listens");
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
        let mut peer = std::net::TcpStream::connect(address).expect("somebody listens");
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
