//! Rates on the real kernel. The machine may be slow, so only what holds by construction is
//! asserted: never more than the rate and the burst. What was reached is printed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::server::{Ended, Server};
use super::{MIB, ask, pattern, rest, say};
use crate::uninterrupted::uninterrupted;

/// Long enough for a figure, and short enough for a test.
const SPAN: Duration = Duration::from_secs(1);
const RATE: usize = MIB;
const BURST: usize = 64 << 10;

/// Sends as much as the server takes and reads all answers for a while. Returns the bytes heard.
fn flood(peer: TcpStream) -> usize {
    flood_for(peer, SPAN)
}

fn flood_for(peer: TcpStream, span: Duration) -> usize {
    let start = Instant::now();
    flood_within(peer, start, start + span)
}

/// The same until `end`; only what is heard after `begin` counts.
fn flood_within(peer: TcpStream, begin: Instant, end: Instant) -> usize {
    let mut writer = peer.try_clone().expect("a descriptor");
    let sender = thread::spawn(move || {
        let bytes = pattern(64 << 10);
        // It ends with an error when the connection is shut.
        while writer.write_all(&bytes).is_ok() {}
    });
    let mut heard = 0;
    let mut space = vec![0; 64 << 10];
    let mut reader = &peer;
    while Instant::now() < end {
        let count = uninterrupted(|| reader.read(&mut space)).expect("it echoes");
        if Instant::now() >= begin {
            heard += count;
        }
    }
    peer.shutdown(Shutdown::Both).expect("it is open");
    sender.join().expect("no panic");
    heard
}

#[test]
fn each_of_the_four_rates_bounds_what_moves() {
    for option in ["--rate", "--rate-total", "--rate-out", "--rate-out-total"] {
        let server = Server::start(&[option, "1m/64k"]);
        let start = Instant::now();
        let heard = flood(server.connect());
        let most = BURST + (start.elapsed().as_secs_f64() * RATE as f64) as usize;
        assert!(heard <= most, "{option}: {heard} of {most}");
        let percent = 100.0 * heard as f64 / most as f64;
        say(format!(
            "{option} 1m/64k: {percent:.1} % of what it may in {SPAN:?}"
        ));
        assert!(server.stats().get("rate_waits") > 0, "{option}");
    }
}

#[test]
fn a_rate_holds_under_every_model_and_a_total_where_connections_share_a_process() {
    for (model, options) in [
        (
            "iterative",
            &["--rate", "--rate-out", "--rate-total", "--rate-out-total"][..],
        ),
        (
            "thread",
            &["--rate", "--rate-out", "--rate-total", "--rate-out-total"],
        ),
        (
            "pool",
            &["--rate", "--rate-out", "--rate-total", "--rate-out-total"],
        ),
        ("fork", &["--rate", "--rate-out"]),
    ] {
        for option in options {
            let server = Server::start(&["--model", model, option, "1m/64k"]);
            // Under a total, all connections together; otherwise each. Two are too many for
            // one thread.
            let count = if model == "iterative" { 1 } else { 2 };
            let buckets = if option.ends_with("total") { 1 } else { count };
            let start = Instant::now();
            let span = Duration::from_millis(300);
            let peers: Vec<_> = (0..count)
                .map(|_| server.connect())
                .map(|peer| thread::spawn(move || flood_for(peer, span)))
                .collect();
            let heard = peers.into_iter().map(|it| it.join().expect("no panic"));
            let heard: usize = heard.sum();
            let most = BURST + (start.elapsed().as_secs_f64() * RATE as f64) as usize;
            assert!(
                heard <= most * buckets,
                "{model} {option}: {heard} of {most}"
            );
            let waits = server.stats().get("rate_waits");
            assert!(waits > 0, "{model} {option}");
            server.end();
        }
    }
}

#[test]
fn a_total_is_refused_where_each_connection_has_a_process() {
    for option in ["--rate-total", "--rate-out-total"] {
        let ended = Ended::run(&["--model", "fork", option, "1m"]);
        assert_eq!(ended.code, Some(1));
        let line = format!("mynah: --model fork: does not combine with {option}");
        assert_eq!(ended.stderr, [line]);
    }
}

#[test]
#[ignore = "measures for twenty seconds"]
fn figures_of_rates_over_ten_seconds() {
    let span = Duration::from_secs(10);
    for option in ["--rate", "--rate-out"] {
        let server = Server::start(&[option, "1m"]);
        // The burst of the first second is not part of the rate.
        let mut peer = server.connect();
        let start = Instant::now();
        ask(&mut peer, &pattern(MIB));
        let first = start.elapsed().as_secs_f64();
        let heard = flood_for(peer, span) as f64 / 10.0 / MIB as f64;
        say(format!(
            "{option} 1m: {heard:.3} MiB/s over 10 s, after a burst of {first:.2} s"
        ));
    }
    let server = Server::start(&["--rate-total", "1m/64k"]);
    // One window for all: where some have ended, the others get more.
    let begin = Instant::now() + Duration::from_secs(2);
    let peers: Vec<_> = (0..100)
        .map(|_| server.connect())
        .map(|peer| thread::spawn(move || flood_within(peer, begin, begin + span)))
        .collect();
    let heard = peers.into_iter().map(|it| it.join().expect("no panic"));
    let mut heard: Vec<usize> = heard.collect();
    heard.sort_unstable();
    let mean = heard.iter().sum::<usize>() as f64 / 100.0;
    let part = |bytes: usize| 100.0 * (bytes as f64 - mean) / mean;
    say(format!(
        "--rate-total 1m, 100 connections: mean {mean:.0} bytes in 10 s, least {:+.1} %, most \
         {:+.1} %",
        part(heard[0]),
        part(heard[99]),
    ));
}

#[test]
fn a_total_of_several_workers_is_one_total() {
    let server = Server::start(&["--rate-total", "1m/64k", "--threads", "2"]);
    let start = Instant::now();
    let peers: Vec<_> = (0..20)
        .map(|_| server.connect())
        .map(|peer| thread::spawn(move || flood(peer)))
        .collect();
    let heard: Vec<usize> = peers
        .into_iter()
        .map(|it| it.join().expect("no panic"))
        .collect();
    let sum: usize = heard.iter().sum();
    let most = BURST + (start.elapsed().as_secs_f64() * RATE as f64) as usize;
    assert!(sum <= most, "{sum} of {most}");
    let (least, best) = (heard.iter().min(), heard.iter().max());
    say(format!(
        "20 connections of 2 workers under one total: {least:?} to {best:?} of {sum}"
    ));
}

#[test]
fn every_byte_is_echoed_under_rates_of_both_directions_and_a_drain() {
    let server = Server::start(&["--rate", "256k/100", "--rate-out", "128k/50"]);
    let mut peer = server.connect();
    let bytes = pattern(32 << 10);
    assert!(ask(&mut peer, &bytes) == bytes, "an answer differs");
    // What is on its way when the server is told to end comes back too.
    peer.write_all(&bytes).expect("it reads");
    while server.stats().get("bytes_in") < (32 << 10) + 1 {
        thread::yield_now();
    }
    server.signal("TERM");
    peer.shutdown(Shutdown::Write).expect("it is open");
    assert!(rest(&mut peer) == bytes, "an answer differs");
}

#[test]
fn an_idle_time_out_of_one_direction_closes_and_the_wiretap_tells_which() {
    for (option, event) in [
        ("--idle-read", "USER_EVENT idle_read"),
        ("--idle-write", "USER_EVENT idle_write"),
        ("--idle-timeout", "USER_EVENT idle"),
    ] {
        let server = Server::start(&[option, "50ms", "--wiretap=size"]);
        assert_eq!(rest(&mut server.connect()), b"");
        assert_eq!(server.stats().get("closed_idle"), 1, "{option}");
        let ended = server.end();
        let told = ended.stderr.iter().any(|line| line.ends_with(event));
        assert!(told, "{option}: {:?}", ended.stderr);
    }
}
