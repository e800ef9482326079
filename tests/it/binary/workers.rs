//! Several workers: shared limits add up to the configured value, and a reload reaches every
//! worker, the first time and every later time. `sums` tests the statistics of all workers.
//!
//! The kernel distributes connections by a hash of their addresses and ports (SO_REUSEPORT,
//! socket(7)), so each test has so many connections that every worker gets some.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use super::ask;
use super::memory::{connect, local};
use super::server::{Ended, Server, until};

/// With this many connections, the chance that one of three workers gets none is negligible.
const MANY: usize = 80;

fn connect_many(server: &Server) -> Vec<TcpStream> {
    (0..MANY).map(|_| server.connect()).collect()
}

/// Waits until the server has accepted or refused all of `count` connections.
fn decided(server: &Server, count: usize) {
    until("all were let in or refused", || {
        let stats = server.stats();
        stats.get("connections_total") + stats.get("refused_per_ip") == count as u64
    });
}

pub(super) fn gone(server: &Server) {
    until("all are gone", || {
        server.stats().get("connections_now") == 0
    });
}

#[test]
fn the_limit_of_an_address_is_shared_out_and_not_rounded_up() {
    // The remainder of the division is one, two and zero.
    for limit in [4_u64, 5, 6] {
        let words = limit.to_string();
        let server = Server::start(&["--threads", "3", "--max-connections-per-ip", &words]);
        for round in 1..=2 {
            let peers = connect_many(&server);
            decided(&server, round * MANY);
            let stats = server.stats();
            let (now, refused) = (stats.get("connections_now"), stats.get("refused_per_ip"));
            assert_eq!(now, limit, "round {round}");
            assert_eq!(refused, round as u64 * (MANY as u64 - limit));
            drop(peers);
            gone(&server);
        }
        server.end();
    }
}

#[test]
fn slots_are_shared_out_and_the_rest_of_the_peers_wait() {
    for limit in [7_u64, 9] {
        let words = limit.to_string();
        let server = Server::start(&["--threads", "3", "--max-connections", &words]);
        assert_eq!(server.announced(" connections"), limit);
        for round in 1..=2 {
            let mut peers = connect_many(&server);
            until("every slot is taken", || {
                server.stats().get("connections_now") == limit
            });
            for peer in &mut peers {
                peer.write_all(b"x").expect("the backlog takes it");
            }
            // Only the peers that have a slot are answered.
            until("those inside are answered", || {
                server.stats().get("frames") >= limit
            });
            assert_eq!(server.stats().get("connections_now"), limit);
            drop(peers);
            until("all have been inside", || {
                let stats = server.stats();
                let total = stats.get("connections_total");
                total == (round * MANY) as u64 && stats.get("connections_now") == 0
            });
        }
        server.end();
    }
}

#[test]
fn peers_of_a_local_listener_are_limited_by_slots_alone() {
    let limits = ["--max-connections-per-ip", "1", "--max-connections", "2"];
    let (server, name) = local("slots", &limits);
    for round in 1..=3 {
        let mut peers = [connect(&name), connect(&name)];
        for peer in &mut peers {
            assert_eq!(ask(peer, b"x"), b"x");
        }
        let mut waiting = connect(&name);
        waiting.write_all(b"x").expect("the backlog takes it");
        assert_eq!(server.stats().get("connections_now"), 2);
        drop(peers);
        let mut reply = [0];
        waiting.read_exact(&mut reply).expect("it is let in");
        drop(waiting);
        gone(&server);
        assert_eq!(server.stats().get("connections_total"), 3 * round);
    }
    assert_eq!(server.stats().get("refused_per_ip"), 0);
    server.end();
}

/// The number before `unit` in the line that names the required memory.
fn number_before(line: &str, unit: &str) -> u64 {
    let front = line.split(unit).next().expect("a line");
    let number = front.rsplit(' ').next().expect("a word");
    number
        .parse()
        .unwrap_or_else(|_| panic!("no {unit:?} in {line:?}"))
}

#[test]
fn memory_is_shared_out_in_whole_workspaces() {
    // The kernel spreads the peers by chance: each worker has room for all of them.
    let room = (2 * MANY).to_string();
    let usual = [
        "--frame",
        "u32be",
        "--threads",
        "2",
        "--max-connections",
        &room,
    ];
    let refused = Ended::run(&[&usual[..], &["--listen", "0", "--max-memory", "64k"]].concat());
    let line = refused.stderr.concat();
    let each = number_before(&line, " bytes for each");
    let sum = line.rsplit("take ").next().expect("a sum");
    let least = number_before(sum, " bytes");
    for (more, workspaces) in [(0, 2), (2 * each - 1, 2), (2 * each, 4)] {
        let memory = (least + more).to_string();
        let server = Server::start(&[&usual[..], &["--max-memory", &memory]].concat());
        let ceiling = least + (workspaces / 2 - 1) * 2 * each;
        assert_eq!(server.announced(" bytes of memory"), ceiling);
        // An incomplete frame holds a workspace.
        let mut peers = connect_many(&server);
        for peer in &mut peers {
            peer.write_all(&[0, 0, 0, 9, b'x'])
                .expect("the server reads");
        }
        let waiting = MANY as u64 - workspaces;
        until("all hold a workspace or wait for one", || {
            let stats = server.stats();
            stats.get("workspace_waits") >= waiting
        });
        assert_eq!(server.stats().get("workspace_waits"), waiting, "{more}");
        drop(peers);
        gone(&server);
        server.end();
    }
}

/// A file with a dictionary of one word.
pub(super) struct Words(pub(super) PathBuf);

impl Words {
    pub(super) fn new(name: &str, answer: &str) -> Words {
        let file = format!("mynah-{}-{name}.dict", std::process::id());
        let words = Words(std::env::temp_dir().join(file));
        words.write(answer);
        words
    }

    /// Replaces the file atomically, because a server may read it at the same time.
    pub(super) fn write(&self, answer: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, format!("word: {answer}\n")).expect("a temporary file");
        fs::rename(&next, &self.0).expect("it is ours");
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(super) fn translation(peer: &mut TcpStream) -> String {
    peer.write_all(b"word\n").expect("the server reads");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\n") {
        peer.read_exact(&mut byte).expect("the server answers");
        answer.push(byte[0]);
    }
    String::from_utf8(answer)
        .expect("text")
        .trim_end()
        .to_owned()
}

#[test]
fn every_reload_reaches_every_worker() {
    let words = Words::new("every-reload", "zero");
    let path = words.0.to_str().expect("UTF-8");
    for threads in ["1", "3"] {
        words.write("zero");
        let server = Server::start(&["dict", "--dictionary", path, "--threads", threads]);
        let mut peers: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
        for peer in &mut peers {
            assert_eq!(translation(peer), "zero");
        }
        for answer in ["one", "two", "three"] {
            words.write(answer);
            server.signal("HUP");
            // A worker uses the new dictionary from its next turn on; a request can arrive before.
            for (number, peer) in peers.iter_mut().enumerate() {
                until(&format!("{answer} for peer {number}"), || {
                    translation(peer) == answer
                });
            }
        }
        drop(peers);
        server.end();
    }
}

#[test]
fn a_worker_that_is_woken_for_something_else_keeps_what_was_reloaded() {
    let words = Words::new("kept", "zero");
    let path = words.0.to_str().expect("UTF-8");
    let server = Server::start(&["dict", "--dictionary", path, "--threads", "3"]);
    let mut peers: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    for answer in ["one", "two"] {
        words.write(answer);
        server.signal("HUP");
        for peer in &mut peers {
            until(answer, || translation(peer) == answer);
        }
        // Each statistics request wakes all workers.
        server.stats();
        server.stats();
        for peer in &mut peers {
            assert_eq!(translation(peer), answer);
        }
    }
    drop(peers);
    server.end();
}
