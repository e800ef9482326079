//! Peers that are not ours: netcat, socat, curl, Netty and Python get every byte back.
//!
//! A test is skipped, with a line, if its program is not installed.

mod curl;
mod netty;
mod prefixes;

use std::io::Write;
use std::process::{Command, Stdio};

use super::server::Server;
use super::{is_installed, pattern};

/// Runs a peer with `input` on stdin and compares its output with `input`.
fn echoes(program: &str, args: &[&str], input: Vec<u8>) {
    // timeout(1) of coreutils limits each peer.
    let mut peer = Command::new("timeout")
        .args(["20", program])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is installed");
    let mut stdin = peer.stdin.take().expect("a pipe");
    let sent = input.clone();
    let writing = std::thread::spawn(move || stdin.write_all(&sent));
    let output = peer.wait_with_output().expect("it ends");
    let written = writing.join().expect("no panic");
    assert!(
        written.is_ok() && output.status.success(),
        "{program}: {:?}",
        output.status
    );
    assert!(
        output.stdout == input,
        "{program}: {} bytes back",
        output.stdout.len()
    );
}

#[test]
fn netcat_gets_every_byte_back() {
    if !is_installed("nc") || !is_installed("timeout") {
        return;
    }
    let server = Server::start(&[]);
    let port = server.address().port().to_string();
    echoes("nc", &["-N", "127.0.0.1", &port], pattern(1 << 20));
    server.end();
}

#[test]
fn socat_gets_every_byte_back() {
    if !is_installed("socat") || !is_installed("timeout") {
        return;
    }
    let server = Server::start(&[]);
    let address = format!("TCP:{}", server.address());
    echoes("socat", &["-t", "10", "-", &address], pattern(1 << 20));
    server.end();
}

#[test]
fn what_follows_an_urgent_byte_is_not_left_behind() {
    if !is_installed("python3") || !is_installed("timeout") {
        return;
    }
    // All bytes are queued before the server reads: a read stops before the urgent byte, see
    // tcp(7).
    let script = r#"
import os, signal, socket, sys
port, server = map(int, sys.argv[1:])
with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
    os.kill(server, signal.SIGSTOP)
    while open(f"/proc/{server}/stat").read().rpartition(") ")[2][0] != "T":
        pass
    peer.sendall(b"before ")
    peer.send(b"!", socket.MSG_OOB)
    peer.sendall(b" after")
    os.kill(server, signal.SIGCONT)
    sys.stdout.buffer.write(peer.makefile("rb").read(14))
"#;
    for trigger in ["level", "edge"] {
        let server = Server::start(&["--trigger", trigger]);
        let port = server.address().port().to_string();
        let pid = server.pid().to_string();
        let args = ["-c", script, &port, &pid];
        echoes("python3", &args, b"before ! after".to_vec());
        server.end();
    }
}
