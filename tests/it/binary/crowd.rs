//! Ten thousand connections at once: each is served, a connection above the limit waits in the
//! backlog, and idle connections cost little memory and no wake-ups.
//!
//! The tests need a high descriptor limit and are skipped without it. Wake-ups are counted as
//! voluntary context switches in `/proc/PID/status`, see proc(5).

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::server::{Server, until};
use super::{ask, has_descriptors, is_installed, say};
use crate::uninterrupted::uninterrupted;

const CROWD: usize = 10_000;

/// Sends a request on every connection before the first reply is read.
fn ask_all(peers: &mut [TcpStream]) {
    for peer in peers.iter_mut() {
        peer.write_all(b"hello").expect("the server reads");
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        let mut reply = [0; 5];
        let heard = peer.read_exact(&mut reply);
        assert!(
            heard.is_ok() && &reply == b"hello",
            "{number}: {heard:?} {reply:?}"
        );
    }
}

#[test]
fn ten_thousand_connections_are_served_cost_no_wake_ups_when_idle_and_one_more_waits() {
    if !has_descriptors(CROWD as u64 + 500) {
        return;
    }
    let server = Server::start(&["--max-connections", &CROWD.to_string()]);
    assert_eq!(ask(&mut server.connect(), b"first"), b"first");
    until("the first one is gone", || {
        server.stats().get("connections_now") == 0
    });
    let (descriptors, before) = (server.descriptors(), server.memory("RssAnon"));

    let mut peers = Vec::new();
    while peers.len() < CROWD {
        // A batch of 100 fits the backlog even where net.core.somaxconn is 128.
        let mut some: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
        ask_all(&mut some);
        peers.append(&mut some);
    }
    let grown = server.memory("RssAnon").saturating_sub(before);
    let accepts = server.stats().get("accept4");
    say(format_args!(
        "{CROWD} idle connections that have each spoken once: RssAnon {before} before, {} after, \
         {} bytes each; accept4 was called {accepts} times",
        before + grown,
        grown / CROWD as u64
    ));
    assert!(grown <= 150 * CROWD as u64);

    // The absence of wake-ups only shows after some time. A stop of the whole machine wakes it.
    until("it sleeps for a second", || {
        let switches = server.status("voluntary_ctxt_switches");
        thread::sleep(Duration::from_millis(1_100));
        server.status("voluntary_ctxt_switches") == switches
    });

    let mut late = server.connect();
    late.write_all(b"me too").expect("the backlog takes it");
    // Every other peer has had another reply since the late peer sent its request, so the server
    // had its chance to accept it.
    ask_all(&mut peers);
    late.set_nonblocking(true).expect("an option");
    let silence = uninterrupted(|| late.read(&mut [0; 6])).map_err(|error| error.kind());
    assert_eq!(silence, Err(ErrorKind::WouldBlock));
    let stats = server.stats();
    assert_eq!(stats.get("connections_now"), CROWD as u64);
    assert!(stats.get("refused_slots") > 0);

    late.set_nonblocking(false).expect("an option");
    peers.pop();
    let mut reply = [0; 6];
    late.read_exact(&mut reply).expect("it is let in");
    assert_eq!(&reply, b"me too");

    drop((peers, late));
    until("all are gone", || {
        server.stats().get("connections_now") == 0
    });
    assert_eq!(server.descriptors(), descriptors);
    server.end();
}

#[test]
fn the_idle_cost_no_wake_up() {
    let server = Server::start(&[]);
    let mut peers: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    ask_all(&mut peers);
    let before = server.stats().get("epoll_wait");
    server.stats();
    let after = server.stats().get("epoll_wait");
    // Each statistics request costs one or two waits. No other wake-ups are allowed.
    assert!(after - before <= 4, "{} waits", after - before);
    server.end();
}

#[test]
fn workers_share_the_peers_and_their_counts_are_added_up() {
    let server = Server::start(&["--threads", "2"]);
    let mut peers: Vec<TcpStream> = (0..64).map(|_| server.connect()).collect();
    ask_all(&mut peers);
    let before = switches(&server);
    for _ in 0..9 {
        ask_all(&mut peers);
    }
    let after = switches(&server);
    assert_eq!((before.len(), after.len()), (2, 2));
    for (before, after) in before.iter().zip(&after) {
        assert!(
            after > before,
            "a worker has slept through: {before} {after}"
        );
    }
    let stats = server.stats();
    assert_eq!(
        (stats.get("connections_now"), stats.get("frames")),
        (64, 640)
    );
    assert_eq!(
        (stats.get("bytes_in"), stats.get("bytes_out")),
        (3200, 3200)
    );
    drop(peers);
    server.end();
}

/// The voluntary context switches of each thread; every wait for events causes at most one.
fn switches(server: &Server) -> Vec<u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("proc(5)");
    let mut counts: Vec<(String, u64)> = tasks
        .map(|task| {
            let path = task.expect("proc(5)").path();
            let status = fs::read_to_string(path.join("status")).expect("proc(5)");
            let line = status
                .lines()
                .find(|line| line.starts_with("voluntary"))
                .expect("a count");
            let count = line.split_whitespace().nth(1).expect("a number");
            (path.display().to_string(), count.parse().expect("a number"))
        })
        .collect();
    counts.sort();
    counts.into_iter().map(|(_, count)| count).collect()
}

#[test]
fn an_address_has_so_many_connections_and_another_one_its_own() {
    let server = Server::start(&["--max-connections-per-ip", "2"]);
    let mut two = [server.connect(), server.connect()];
    ask_all(&mut two);
    let mut over = server.connect();
    let mut nothing = [0];
    // A reset can arrive before the end of the stream is read.
    assert!(
        !matches!(uninterrupted(|| over.read(&mut nothing)), Ok(1..)),
        "it is refused"
    );
    assert_eq!(server.stats().get("refused_per_ip"), 1);

    if is_installed("python3") {
        let port = server.address().port().to_string();
        let elsewhere = Command::new("python3")
            .args(["-c", FROM_ANOTHER_ADDRESS, &port])
            .output()
            .expect("it is installed");
        assert_eq!(elsewhere.stdout, b"hello\n", "{elsewhere:?}");
    }

    let [one, two] = two;
    drop(one);
    until("one is gone", || server.stats().get("connections_now") == 1);
    ask_all(&mut [two, server.connect()]);
    server.end();
}

/// Sends one request from 127.0.0.2 and prints the reply.
const FROM_ANOTHER_ADDRESS: &str = "
import socket, sys
peer = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10, ('127.0.0.2', 0))
peer.sendall(b'hello')
print(peer.recv(5).decode())
";
