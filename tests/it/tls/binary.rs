//! TLS on the real binary, in every model.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;

use rustls::{ClientConnection, StreamOwned};

use super::file;
use super::peer::{TlsPeer, VERSIONS};
use crate::binary::{Ended, Server, until};
use crate::uninterrupted::uninterrupted;

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Starts the server with the certificate of the tests.
fn start(args: &[&str]) -> Server {
    start_with(&file("cert.pem"), &file("key.pem"), args)
}

fn start_with(certificate: &str, key: &str, args: &[&str]) -> Server {
    let own = ["--tls-cert", certificate, "--tls-key", key];
    Server::start(&[args, &own].concat())
}

fn connect(server: &Server, version: usize) -> Stream {
    let tls = TlsPeer::new(VERSIONS[version]).tls;
    StreamOwned::new(tls, server.connect())
}

fn ask(peer: &mut Stream, bytes: &[u8]) -> Vec<u8> {
    peer.write_all(bytes).expect("it reads");
    let mut answer = vec![0; bytes.len()];
    peer.read_exact(&mut answer).expect("it echoes");
    answer
}

/// Says goodbye, and reads to the goodbye of the server.
fn rest(peer: &mut Stream) -> io::Result<Vec<u8>> {
    peer.conn.send_close_notify();
    peer.flush()?;
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest)?;
    Ok(rest)
}

const MODELS: &[&[&str]] = &[
    &[],
    &["--trigger", "level"],
    &["--model", "thread"],
    &["--model", "pool"],
    &["--model", "iterative"],
    &["--model", "fork"],
    &["--threads", "2", "--accept", "handoff"],
    &["--processes", "2"],
];

#[test]
fn every_model_echoes_and_says_goodbye() {
    for model in MODELS {
        let server = start(&[model, &["echo", "--frame", "u32be"][..]].concat());
        for version in [0, 1] {
            let mut peer = connect(&server, version);
            for size in [5_u32, 300_000] {
                let mut frame = size.to_be_bytes().to_vec();
                frame.extend((0..size).map(|place| place as u8));
                assert!(ask(&mut peer, &frame) == frame, "{model:?}");
            }
            assert_eq!(rest(&mut peer).expect("a goodbye"), b"", "{model:?}");
            let mut peer = connect(&server, version);
            ask(&mut peer, &[0, 0, 0, 1, b'x']);
            peer.sock.shutdown(Shutdown::Write).expect("it is open");
            let mut end = Vec::new();
            let _ = peer.sock.read_to_end(&mut end);
        }
        until("both are counted", || {
            let stats = server.stats();
            stats.get("closed_end_of_stream") == 2 && stats.get("closed_truncated") == 2
        });
        let ended = server.end();
        let told = ended.stderr.iter().any(|line| line.contains("truncated: "));
        assert!(told, "{:?}", ended.stderr);
    }
}

#[test]
fn a_local_socket_speaks_tls_too() {
    let path = scratch("local.sock");
    let address = format!("unix:{}", path.display());
    let server = start(&["--listen", &address]);
    let tls = TlsPeer::new(VERSIONS[1]).tls;
    let socket = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    let mut peer = StreamOwned::new(tls, socket);
    peer.write_all(b"hello").expect("it reads");
    let mut answer = [0; 5];
    peer.read_exact(&mut answer).expect("it echoes");
    assert_eq!(&answer, b"hello");
    server.end();
}

/// A path for a file of this test.
pub(super) fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mynah-tls-{}-{name}", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

#[test]
fn files_that_are_wrong_are_one_line_and_exit_1() {
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    let other = file("other.key.pem");
    let text = file("mod.rs");
    for (args, told) in [
        (vec!["--tls-cert", &cert], "--tls-cert: needs --tls-key PEM"),
        (vec!["--tls-key", &key], "--tls-key: needs --tls-cert PEM"),
        (
            vec!["--tls-cert", "/nowhere", "--tls-key", &key],
            "--tls-cert /nowhere: No such file or directory (os error 2)",
        ),
        (
            vec!["--tls-cert", "/", "--tls-key", &key],
            "--tls-cert /: is not a regular file",
        ),
        (
            vec!["--tls-cert", &key, "--tls-key", &key],
            "key.pem: has no certificate",
        ),
        (
            vec!["--tls-cert", &cert, "--tls-key", &text],
            "mod.rs: has no private key in PEM, which begins with -----BEGIN",
        ),
        (
            vec!["--tls-cert", &cert, "--tls-key", &other],
            "other.key.pem: does not fit the certificate",
        ),
        (
            vec!["--handshake-timeout", "1s"],
            "--handshake-timeout: needs --tls-cert and --tls-key",
        ),
    ] {
        let ended = Ended::run(&args);
        assert_eq!(ended.code, Some(1), "{args:?}");
        let [line] = &ended.stderr[..] else {
            panic!("{:?}", ended.stderr);
        };
        assert!(line.ends_with(told), "{line}");
    }
}

#[test]
fn a_reload_replaces_the_certificate_and_a_wrong_file_changes_nothing() {
    for model in [&[][..], &["--model", "fork"], &["--processes", "2"]] {
        let (cert, key) = (scratch("cert.pem"), scratch("key.pem"));
        let copy = |from: &str, to: &PathBuf| _ = fs::copy(file(from), to).expect("a copy");
        copy("cert.pem", &cert);
        copy("key.pem", &key);
        let names = [&cert, &key].map(|path| path.display().to_string());
        let server = start_with(&names[0], &names[1], model);
        let mut old = connect(&server, 1);
        ask(&mut old, b"old");
        // Half of a new pair does not fit.
        copy("other.key.pem", &key);
        server.signal("HUP");
        server.hears("does not fit the certificate; nothing has changed");
        ask(&mut connect(&server, 1), b"still the old one");
        copy("other.pem", &cert);
        server.signal("HUP");
        server.hears("SIGHUP: read again");
        // The client does not trust the new one.
        until("a new connection has the new one", || {
            let mut peer = connect(&server, 1);
            peer.write_all(b"x").is_err()
        });
        ask(&mut old, b"the old connection goes on");
        drop(old);
        server.end();
    }
}

#[test]
fn a_handshake_that_is_late_or_no_handshake_is_named_in_the_log() {
    let server = start(&["--handshake-timeout", "200ms"]);
    let mut silent = server.connect();
    assert_eq!(
        uninterrupted(|| silent.read(&mut [0; 10])).expect("it is closed"),
        0
    );
    let mut plain = server.connect();
    plain
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("it reads");
    let mut alert = Vec::new();
    let _ = plain.read_to_end(&mut alert);
    assert_eq!(alert.first(), Some(&0x15));
    server.hears("handshake: it was not over in time");
    server.hears(r#"the peer does not speak TLS; 47 45 54 20 is "GET ": the peer seems to speak"#);
    assert_eq!(server.stats().get("closed_handshake"), 2);
    server.end();
}

#[test]
fn the_memory_of_sessions_is_inside_the_ceiling() {
    let server = start(&["--max-memory", "64m"]);
    let (connections, bytes) = (server.announced("connections"), server.announced("bytes"));
    assert!(bytes <= 64 << 20, "{bytes}");
    assert!(connections * (96 << 10) < bytes, "{connections} in {bytes}");
    let peers: Vec<Stream> = (0..100)
        .map(|number| {
            let mut peer = connect(&server, number % 2);
            ask(&mut peer, b"hello");
            peer
        })
        .collect();
    assert!(server.memory("VmRSS") < bytes);
    drop(peers);
    server.end();
}

#[test]
fn a_client_that_ends_in_a_drain_gets_its_answers_and_a_goodbye() {
    for model in [&[][..], &["--model", "thread"]] {
        let server = start(model);
        let mut peer = connect(&server, 1);
        ask(&mut peer, b"hello");
        let bytes = vec![b'x'; 500_000];
        let sent = bytes.clone();
        peer.sock.set_nonblocking(false).expect("a socket");
        peer.write_all(&sent[..1000]).expect("it reads");
        server.signal("TERM");
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).expect("a goodbye");
        assert!(rest.len() <= 1000 && rest.iter().all(|byte| *byte == b'x'));
        assert_eq!(server.ended().code, Some(0));
    }
}

#[test]
fn the_header_of_a_load_balancer_comes_before_the_handshake() {
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n";
    for model in [&[][..], &["--model", "thread"]] {
        let server = start(&[model, &["--proxy-protocol", "accept"]].concat());
        for (with_header, is_apart) in [(true, true), (true, false), (false, true)] {
            let mut tls = TlsPeer::new(VERSIONS[1]);
            let mut socket = server.connect();
            let mut first = if with_header {
                header.to_vec()
            } else {
                Vec::new()
            };
            if is_apart {
                socket.write_all(&first).expect("it reads");
                first.clear();
            }
            first.extend(tls.take());
            socket.write_all(&first).expect("it reads");
            let mut peer = StreamOwned::new(tls.tls, socket);
            assert_eq!(ask(&mut peer, b"hello"), b"hello", "{model:?}");
            assert_eq!(rest(&mut peer).expect("a goodbye"), b"");
        }
        assert_eq!(server.stats().get("closed_end_of_stream"), 3, "{model:?}");
        server.end();
    }
}

#[test]
fn a_connection_stays_with_the_server_that_has_its_keys() {
    let path = scratch("takeover");
    let path = path.to_str().expect("UTF-8");
    let args = ["--takeover", path];
    let old = start(&args);
    let mut peers: Vec<Stream> = (0..VERSIONS.len())
        .map(|version| connect(&old, version))
        .collect();
    for peer in &mut peers {
        assert_eq!(ask(peer, b"before"), b"before");
    }
    // This one has not begun its handshake.
    let late = old.connect();
    until("all are accepted", || {
        old.stats().get("connections_now") == 3
    });
    let new = start(&args);
    assert_eq!(new.address(), old.address());
    for peer in &mut peers {
        assert_eq!(ask(peer, b"after"), b"after");
    }
    let mut late = StreamOwned::new(TlsPeer::new(VERSIONS[1]).tls, late);
    assert_eq!(ask(&mut late, b"late"), b"late");
    assert_eq!(ask(&mut connect(&new, 1), b"new"), b"new");
    assert_eq!(old.stats().get("connections_now"), 3);
    assert_eq!(new.stats().get("connections_taken_over"), 0);
    for mut peer in peers.into_iter().chain([late]) {
        assert_eq!(rest(&mut peer).expect("it says goodbye"), b"");
    }
    assert_eq!(old.ended().code, Some(0));
    new.end();
}
