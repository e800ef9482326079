//! Several workers report one sum: statistics, connections cut by a drain, commands. The sum is
//! right the first time and every later time.
//!
//! Each test has so many connections that every worker gets some of them.

use std::fs;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::server::{Server, until};
use super::workers::gone;
use super::{ask, rest, stuff};

#[test]
fn counts_are_summed_over_all_workers_each_time_that_they_are_asked_for() {
    let server = Server::start(&["--threads", "3", "--frame", "u8", "--frame-max", "100"]);
    for round in 1..=3 {
        let mut peers: Vec<TcpStream> = (0..60).map(|_| server.connect()).collect();
        for peer in &mut peers {
            assert_eq!(ask(peer, b"\x05hello"), b"\x05hello");
        }
        let stats = server.stats();
        let counts = [
            "connections_now",
            "connections_total",
            "frames",
            "bytes_in",
            "bytes_out",
        ];
        let counts = counts.map(|name| stats.get(name));
        // Earlier rounds also contain the refused frames.
        let bytes_in = 360 * round + 60 * (round - 1);
        assert_eq!(counts, [60, 60 * round, 60 * round, bytes_in, 360 * round]);
        for peer in &mut peers[..20] {
            peer.write_all(&[200]).expect("the server reads");
            assert_eq!(rest(peer), b"");
        }
        for peer in &mut peers[20..40] {
            peer.write_all(b"\x05h").expect("the server reads");
            peer.shutdown(Shutdown::Write).expect("still connected");
            assert_eq!(rest(peer), b"");
        }
        drop(peers);
        gone(&server);
        let stats = server.stats();
        let counts = [
            "refused_too_long",
            "refused_truncated",
            "close",
            "closed_too_long",
        ];
        let counts = counts.map(|name| stats.get(name));
        assert_eq!(counts, [20 * round, 20 * round, 60 * round, 20 * round]);
    }
    let ended = server.end();
    let told = ended.stderr.concat();
    assert!(told.contains("connections served: 180"), "{told}");
}

#[test]
fn counts_that_are_printed_by_the_clock_are_sums_too() {
    let server = Server::start(&["--threads", "3", "--stats", "100ms"]);
    let mut peers: Vec<TcpStream> = (0..60).map(|_| server.connect()).collect();
    for peer in &mut peers {
        assert_eq!(ask(peer, b"x"), b"x");
    }
    let counted = || {
        let stats = server.next_stats();
        (stats.get("connections_now"), stats.get("frames"))
    };
    until("all are counted", || counted() == (60, 60));
    for _ in 0..2 {
        assert_eq!(counted(), (60, 60));
    }
    drop(peers);
    server.signal("TERM");
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn workers_without_a_connection_hold_up_neither_counts_nor_the_end() {
    let server = Server::start(&["--threads", "8"]);
    for _ in 0..2 {
        assert_eq!(server.stats().get("connections_total"), 0);
    }
    let mut peer = server.connect();
    assert_eq!(ask(&mut peer, b"x"), b"x");
    for _ in 0..2 {
        assert_eq!(server.stats().get("connections_now"), 1);
    }
    server.signal("TERM");
    assert_eq!(rest(&mut peer), b"");
    assert_eq!(server.ended().code, Some(0));
}

pub(super) const STUBBORN: [&str; 4] = ["--stall-timeout", "off", "--drain-timeout", "300ms"];

/// Peers that are owed more than they read.
pub(super) fn indebted(server: &Server, count: usize) -> Vec<TcpStream> {
    let peers = (0..count).map(|_| {
        let mut peer = server.connect();
        peer.set_nonblocking(true).expect("an option");
        stuff(server, &mut peer);
        peer
    });
    peers.collect()
}

#[test]
fn connections_that_a_drain_cuts_are_summed_over_all_workers() {
    // In one run of forty, one of the three workers has none of the twelve connections. The sum is
    // twelve anyway.
    let server = Server::start(&[&["--threads", "3"], &STUBBORN[..]].concat());
    let _peers = indebted(&server, 12);
    let mut idle: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
    for peer in &mut idle {
        assert_eq!(ask(peer, b"x"), b"x");
    }
    server.signal("TERM");
    let ended = server.ended();
    assert_eq!(ended.code, Some(10), "{:?}", ended.stderr);
    let told = ended.stderr.concat();
    assert!(told.contains("cut 12 connections"), "{told}");
}

#[test]
fn one_worker_that_cuts_is_enough_for_the_exit_code() {
    for _ in 0..3 {
        let server = Server::start(&[&["--threads", "4"], &STUBBORN[..]].concat());
        let _peers = indebted(&server, 1);
        server.signal("TERM");
        let ended = server.ended();
        assert_eq!(ended.code, Some(10), "{:?}", ended.stderr);
        assert!(
            ended.stderr.concat().contains("cut 1 "),
            "{:?}",
            ended.stderr
        );
    }
}

#[test]
fn counts_of_workers_that_have_drained_stay_in_the_sum() {
    let words = [
        "--threads",
        "4",
        "--stall-timeout",
        "off",
        "--drain-timeout",
        "1h",
    ];
    let server = Server::start(&words);
    let owed = indebted(&server, 1);
    let mut idle: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    for peer in &mut idle {
        assert_eq!(ask(peer, b"x"), b"x");
    }
    server.signal("TERM");
    for peer in &mut idle {
        assert_eq!(rest(peer), b"");
    }
    until("only the one that is owed is left", || {
        server.stats().get("connections_now") == 1
    });
    for _ in 0..2 {
        assert_eq!(server.stats().get("connections_total"), 41);
    }
    drop(owed);
    let ended = server.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    assert!(ended.stderr.concat().contains("connections served: 41"));
}

#[test]
fn commands_are_counted_over_all_workers() {
    let allow = [
        "--allow",
        "true",
        "--allow",
        "yes",
        "--allow",
        "mynah-nowhere",
    ];
    let server = Server::start(&[&["run", "--threads", "3"], &allow[..]].concat());
    let say = |line: &str, count: usize| {
        let mut peers: Vec<TcpStream> = (0..count).map(|_| server.connect()).collect();
        for peer in &mut peers {
            writeln!(peer, "{line}").expect("the server reads");
            peer.shutdown(Shutdown::Write).expect("still connected");
        }
        peers.iter_mut().for_each(|peer| drop(rest(peer)));
    };
    for round in 1..=2 {
        say("true", 20);
        say("yes", 6);
        say("mynah-nowhere", 12);
        let stats = server.stats();
        let counts = [
            "commands",
            "commands_cut",
            "commands_not_started",
            "commands_now",
        ];
        let counts = counts.map(|name| stats.get(name));
        assert_eq!(counts, [26 * round, 6 * round, 12 * round, 0]);
    }
    server.end();
}

#[test]
fn a_command_with_endless_output_ends_in_time_in_every_worker_and_delays_no_peer() {
    let script = std::env::temp_dir().join(format!("mynah-{}-speaks.sh", std::process::id()));
    fs::write(&script, "while :; do echo on; sleep 0.2; done\n").expect("a temporary file");
    let line = format!("sh {}", script.display());
    let server = Server::start(&["run", "--threads", "2", "--allow", &line]);
    let mut peers: Vec<TcpStream> = (0..12).map(|_| server.connect()).collect();
    let begin = Instant::now();
    for peer in &mut peers {
        writeln!(peer, "{line}").expect("the server reads");
        peer.shutdown(Shutdown::Write).expect("still connected");
    }
    // Other peers are served meanwhile.
    until("the time of a command is nearly over", || {
        let mut other = server.connect();
        other.write_all(b"no\n").expect("the server reads");
        other.shutdown(Shutdown::Write).expect("still connected");
        assert_eq!(rest(&mut other), "坏人!\n".as_bytes());
        begin.elapsed() > Duration::from_secs(4)
    });
    for peer in &mut peers {
        let heard = String::from_utf8(rest(peer)).expect("text");
        assert!(heard.contains("on\non\n"), "{heard}");
        assert!(
            heard.ends_with("mynah: cut, it took longer than 5 seconds\n\n"),
            "{heard}"
        );
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(5), "{took:?}");
    assert_eq!(server.stats().get("commands_too_late"), 12);
    server.end();
    fs::remove_file(&script).expect("it is ours");
}
