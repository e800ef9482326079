//! An open loop whose rate exceeds the capacity of the server.
//!
//! A request that has to wait is sent late and timed from when it was due. A request that can never
//! be sent is counted as unsent. Throughput is the number of replies within the window, whatever
//! the rate.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Until};
use mynah::load::report::figures::Figures;

use super::command::{bench, interrupt, joined, told};
use super::peer;
use super::runs::{assert_whole, in_few_runs, measure, plan};
use super::wellformed::is_json;
use crate::program;

/// Answers at most 200 requests per second.
fn slow(mut stream: TcpStream) {
    let mut space = [0; 64];
    while stream.read_exact(&mut space).is_ok() && stream.write_all(&space).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn words_for<'a>(server: &'a str, words: &'a str) -> Vec<&'a str> {
    std::iter::once(server).chain(words.split(' ')).collect()
}

#[test]
fn what_can_never_be_sent_is_unsent() {
    let (rate, arrivals) = (1000.0, Arrivals::Fixed);
    let plan = Plan {
        pace: Pace::Open { rate, arrivals },
        until: Until::Time(Duration::from_millis(100)),
        connections: 1,
        ..plan(1)
    };
    let outcome = measure(&plan, peer::tcp(peer::mute));
    let tally = &outcome.tally;
    assert_eq!((tally.unfinished, tally.unsent), (1, 99));
    let figures = Figures::of(&outcome);
    assert_eq!((figures.due, figures.errors), (100, 0));
}

#[test]
fn throughput_counts_the_replies_of_the_window_whenever_their_requests_were_due() {
    let server = peer::tcp(slow);
    let (rate, arrivals) = (10_000.0, Arrivals::Fixed);
    let plan = Plan {
        pace: Pace::Open { rate, arrivals },
        warmup: Duration::from_millis(400),
        until: Until::Time(Duration::from_millis(200)),
        connections: 1,
        ..plan(1)
    };
    in_few_runs(|| {
        let figures = Figures::of(&measure(&plan, server));
        // The server answers 200 per second, so the window only serves the backlog of the warm-up.
        assert!(figures.rate < 300.0, "{figures:?}");
        (figures.rate > 0.0)
            .then_some(())
            .ok_or(format!("{figures:?}"))
    });
}

#[test]
fn a_rate_beside_no_answered_request_is_explained() {
    let server = peer::tcp(slow).to_string();
    let words = "--connections 1 --rate 10k --warmup 200ms --duration 500ms";
    let (code, out, _) = told(&bench(&words_for(&server, words)));
    assert_eq!(code, Some(7), "{out}");
    for part in [
        " due in 0.50 s",
        "0 answered",
        "all to earlier requests",
        "the rate is that of",
    ] {
        assert!(joined(&out).contains(part), "{part} is missing: {out}");
    }
}

#[test]
fn an_interrupted_open_loop_tells_what_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = listener.local_addr().expect("it is bound").to_string();
    let words = "--connections 1 --rate 10k --warmup 0 --duration 1m --json";
    let child = Command::new(program::path())
        .arg("bench")
        .args(words_for(&server, words))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    let (mut stream, _) = listener.accept().expect("it connects");
    stream.read_exact(&mut [0; 64]).expect("it asks");
    // The second request is due after 100 us and cannot be sent.
    std::thread::sleep(Duration::from_millis(50));
    interrupt(&child);
    let (code, json, report) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(130));
    assert!(report.contains("with 1 request in flight, "), "{report}");
    assert!(!report.contains(" 0 due and not sent"), "{report}");
    assert!(
        json.contains("\"requests_in_flight_at_interrupt\": 1"),
        "{json}"
    );
    assert!(!json.contains("\"unsent_requests\": 0"), "{json}");
    assert!(json.contains("\"errors\": 0"), "{json}");
}

#[test]
fn requests_that_wait_are_told_and_are_no_errors() {
    let server = peer::tcp(peer::mute).to_string();
    let words = "--connections 2 --rate 1k --warmup 0 --duration 100ms --grace 100ms --json";
    let (_, json, report) = told(&bench(&words_for(&server, words)));
    for line in [
        "  requests      100 due in 0.10 s, 0 errors\n",
        "                0 answered, 0 failed, 2 unfinished, 98 unsent\n",
        "  unfinished    2 times, first connection 0: never answered (after 0 replies, 1\n",
        "!!    98 requests were due and never sent\n",
        "!!    2 requests were in flight when the run ended\n",
    ] {
        assert!(report.contains(line), "{line} is missing: {report}");
    }
    assert!(is_json(&json), "{json}");
    for line in [
        "\"errors\": 0",
        "\"unfinished\": 2",
        "\"unsent\": 98",
        "\"unanswered_requests\": 2",
        "\"unsent_requests\": 98",
    ] {
        assert!(json.contains(line), "{line} is missing: {json}");
    }
}

#[test]
fn errors_are_listed_by_kind() {
    let server = peer::tcp(peer::leaver).to_string();
    let words = "--connections 1 --requests 22 --json";
    let (code, json, report) = told(&bench(&words_for(&server, words)));
    assert_eq!(code, Some(7), "{report}");
    for line in [
        ", 2 errors, 1 reconnect, longest pause 1.00 ms ",
        " 20 answered, 2 failed, 0 unfinished, 0 unsent errors 2 connections closed by the server ",
        " failed 2 times, first connection 0: closed by the server (after 10 replies, 1 in flight) ",
    ] {
        assert!(
            joined(&report).contains(line),
            "{line} is missing: {report}"
        );
    }
    assert!(is_json(&json), "{json}");
    for line in [
        "\"errors\": 2",
        "\"connections_closed\": 2",
        "\"requests_unanswered\": 0",
    ] {
        assert!(json.contains(line), "{line} is missing: {json}");
    }
}

#[test]
fn the_last_replies_of_a_run_by_a_count_have_as_much_time_as_the_others() {
    let server = peer::tcp(|stream| {
        std::thread::sleep(Duration::from_millis(2500));
        peer::echo(stream);
    });
    assert_whole(&measure(&plan(5), server), 5);
}
