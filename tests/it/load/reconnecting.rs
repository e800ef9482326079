//! Servers that close a persistent connection: which closes are allowed, and which are errors.
//!
//! RFC 9112, sections 9.3.1 and 9.5: either side may close at any time. An idle connection is
//! reopened. With HTTP this includes a connection whose close crossed a request, and the request is
//! sent again. A server that closes without ever answering is an error, and the run ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Protocol, Until};
use mynah::load::run::{Outcome, RunError};
use socket2::Socket;

use super::command::{bench, told};
use super::peer;
use super::runs::{assert_whole, brief, in_few_runs, load, measure, plan};
use crate::uninterrupted::uninterrupted;

const PAGE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

fn http(requests: u64) -> Plan {
    Plan {
        protocol: Protocol::Http,
        connections: 3,
        ..plan(requests)
    }
}

/// Closes with RST instead of FIN.
fn reset(stream: TcpStream) {
    let socket = Socket::from(OwnedFd::from(stream));
    let linger = Some(Duration::ZERO);
    socket.set_linger(linger).expect("a TCP socket has it");
}

/// Calls `serve` with the connection, which ends when nothing arrives for `idle_ms`.
fn until_idle(stream: TcpStream, idle_ms: u64, serve: fn(TcpStream)) {
    let idle = Some(Duration::from_millis(idle_ms));
    stream.set_read_timeout(idle).expect("longer than nothing");
    serve(stream);
}

/// The same from the first request on: however late that comes, the connection waits for it.
fn until_idle_again(stream: TcpStream, idle_ms: u64, serve: fn(TcpStream)) {
    if let Ok(1..) = uninterrupted(|| stream.peek(&mut [0])) {
        until_idle(stream, idle_ms, serve);
    }
}

/// An echo that ends a connection on which nothing arrives for `idle_ms`, and no other.
fn echo_unless_silent(stream: TcpStream, idle_ms: u64) {
    let idle = Some(Duration::from_millis(idle_ms));
    stream.set_read_timeout(idle).expect("longer than nothing");
    if let Ok(1..) = uninterrupted(|| stream.peek(&mut [0])) {
        stream.set_read_timeout(None).expect("an option");
        peer::echo(stream);
    }
}

#[test]
fn a_connection_that_the_server_closes_while_idle_is_opened_again() {
    // Each connection has two requests per second, and the server closes it long before the next.
    let (rate, arrivals) = (4.0, Arrivals::Fixed);
    for (protocol, server, warmup_ms) in [
        (
            Protocol::Http,
            peer::tcp(|stream| until_idle_again(stream, 50, peer::http)),
            0,
        ),
        (
            Protocol::Echo,
            peer::tcp(|stream| until_idle_again(stream, 50, peer::echo)),
            250,
        ),
    ] {
        let plan = Plan {
            protocol,
            connections: 2,
            pace: Pace::Open { rate, arrivals },
            warmup: Duration::from_millis(warmup_ms),
            until: Until::Time(Duration::from_millis(1250)),
            ..plan(1)
        };
        let outcome = measure(&plan, server);
        assert_whole(&outcome, 5);
        let tally = &outcome.tally;
        assert_eq!((tally.due(), tally.unsent), (5, 0));
        assert!(tally.reconnects >= 2, "{}", brief(tally));
    }
}

/// Answers seven requests and closes without `Connection: close`.
fn seven(mut stream: TcpStream, answered: &AtomicU64, end: fn(TcpStream)) {
    // A reset destroys data that the kernel has not sent yet.
    stream.set_nodelay(true).expect("a TCP socket has it");
    let copy = stream.try_clone().expect("a descriptor");
    let mut left = 7;
    let mut held = Vec::new();
    let mut space = [0; 2048];
    while let Ok(count @ 1..) = stream.read(&mut space) {
        held.extend_from_slice(&space[..count]);
        while let Some(at) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            held.drain(..at + 4);
            if stream.write_all(PAGE).is_err() {
                return;
            }
            answered.fetch_add(1, Ordering::Relaxed);
            left -= 1;
            if left == 0 {
                drop(stream);
                return end(copy);
            }
        }
    }
}

#[test]
fn a_server_that_closes_after_some_replies_without_a_word_answers_every_request_once() {
    static ANSWERED: AtomicU64 = AtomicU64::new(0);
    let servers = [
        // A close with unread requests sends RST (RFC 9293, section 3.10.7.1).
        (false, peer::tcp(|stream| seven(stream, &ANSWERED, drop))),
        (false, peer::tcp(|stream| seven(stream, &ANSWERED, reset))),
        (
            true,
            peer::tcp(|stream| seven(stream, &ANSWERED, |mut stream| peer::leave(&mut stream))),
        ),
    ];
    for (is_legal, server) in servers {
        for (pipeline, connections, rate) in [
            (1, 3, None),
            (1, 1, None),
            (4, 2, None),
            (16, 1, None),
            (1, 2, Some(2000.0)),
            (4, 2, Some(2000.0)),
        ] {
            let arrivals = Arrivals::Fixed;
            let pace = rate.map_or(Pace::Closed, |rate| Pace::Open { rate, arrivals });
            let plan = Plan {
                pipeline,
                connections,
                pace,
                ..http(300)
            };
            ANSWERED.store(0, Ordering::Relaxed);
            let outcome = measure(&plan, server);
            let tally = &outcome.tally;
            assert!(tally.reconnects >= 10, "{}", brief(tally));
            // A reset without an end of stream fails the requests in flight.
            let failed = tally.errors.failed;
            assert_eq!(tally.answered + failed, 300, "{}", brief(tally));
            if is_legal {
                assert_whole(&outcome, 300);
                assert_eq!(ANSWERED.load(Ordering::Relaxed), 300, "{plan:?}");
            }
        }
    }
}

#[test]
fn a_server_that_closes_right_after_the_only_reply_has_answered_it() {
    let page = |mut stream: TcpStream| {
        let mut space = [0; 2048];
        if let Ok(1..) = stream.read(&mut space) {
            let _ = stream.write_all(PAGE);
        }
    };
    for (protocol, server) in [
        (Protocol::Echo, peer::tcp(peer::once)),
        (Protocol::Http, peer::tcp(page)),
    ] {
        for _ in 0..20 {
            let plan = Plan {
                protocol,
                connections: 1,
                ..plan(1)
            };
            assert_whole(&measure(&plan, server), 1);
        }
    }
    let server = peer::tcp(peer::once).to_string();
    let (code, out, err) = told(&bench(&[&server, "--requests", "1", "--connections", "1"]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains("1 due in") && out.contains("1 answered"),
        "{out}"
    );
}

/// The outcome of a run against a server that never answers, or the line that ended the run.
#[track_caller]
fn fruitless(plan: &Plan, server: Address) -> Result<Outcome, String> {
    match load(plan, server) {
        Ok(outcome) => Ok(outcome),
        Err(RunError::Target(line)) => Err(line),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_server_that_closes_every_connection_at_once_is_an_error_and_no_loop() {
    for protocol in [Protocol::Echo, Protocol::Http] {
        for (server, told) in [
            (peer::tcp(drop), "closed by the server"),
            (peer::tcp(reset), "reset"),
            (
                peer::tcp(|mut stream| {
                    let _ = stream.read(&mut [0; 2048]);
                }),
                "closed by the server",
            ),
        ] {
            // The pauses grow. One of the runs is long enough to be given up after ten seconds.
            let is_long = protocol == Protocol::Echo && told == "reset";
            let plan = Plan {
                protocol,
                ..plan(if is_long { 1000 } else { 20 })
            };
            let line = match fruitless(&plan, Address::Tcp(server)) {
                Err(line) => line,
                Ok(outcome) => {
                    let tally = &outcome.tally;
                    assert_eq!(tally.answered, 0);
                    assert!(tally.errors.total() >= 5, "{}", brief(tally));
                    let lines = tally.failures.iter().map(ToString::to_string);
                    lines.collect::<Vec<_>>().join("\n")
                }
            };
            let is_told = line.contains(told) || line.contains("reset");
            assert!(is_told, "{protocol:?}: {line}");
        }
    }
}

#[test]
fn a_request_that_is_said_again_in_vain_fails() {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    // The first connection gets a reply; all others are closed after a request.
    let server = peer::tcp(|mut stream| {
        let mut space = [0; 2048];
        let is_first = CONNECTIONS.fetch_add(1, Ordering::Relaxed) == 0;
        if let Ok(1..) = stream.read(&mut space) {
            if is_first {
                let _ = stream.write_all(PAGE);
                let _ = stream.read(&mut space);
            }
        }
    });
    let plan = Plan {
        connections: 1,
        ..http(10)
    };
    let tally = &measure(&plan, server).tally;
    let counts = (tally.answered, tally.errors.failed, tally.errors.total());
    assert_eq!(counts, (1, 9, 9), "{}", brief(tally));
    assert_eq!((tally.due(), tally.unsent), (10, 0));
    let told = tally.failures[0].to_string();
    assert!(told.contains("after 0 replies, 1 in flight"), "{told}");
}

#[test]
fn a_reply_that_ends_early_is_a_failure_and_not_asked_for_again() {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let server = peer::tcp(|stream| {
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let parts = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
            "HTTP/1.1 200 O",
            "HTTP/1.1 103 Early Hints\r\n\r\n",
        ];
        let part = parts[number as usize % parts.len()];
        let mut is_first = true;
        peer::pages(stream, |stream| {
            let bytes = if is_first { PAGE } else { part.as_bytes() };
            let written = stream.write_all(bytes);
            written.is_ok() && std::mem::take(&mut is_first)
        });
    });
    let tally = &measure(&http(100), server).tally;
    let counts = (tally.errors.closed, tally.errors.failed);
    // Each connection answers once, and breaks the second reply.
    assert_eq!(counts.0, counts.1, "{}", brief(tally));
    assert!((48..=50).contains(&counts.0), "{}", brief(tally));
    assert_eq!(tally.answered + tally.errors.failed, 100);
    assert_eq!(tally.unsent, 0);
}

#[test]
fn an_echo_that_is_closed_with_a_request_in_flight_is_a_failure() {
    let plan = Plan {
        connections: 1,
        ..plan(44)
    };
    let tally = measure(&plan, peer::tcp(peer::leaver)).tally;
    assert_eq!((tally.errors.closed, tally.errors.failed), (4, 4));
    assert_eq!((tally.answered, tally.reconnects), (40, 3));
}

#[test]
fn idle_connections_beside_the_load_are_opened_again() {
    let server = peer::tcp(|stream| echo_unless_silent(stream, 50));
    let plan = Plan {
        connections: 1,
        idle: 3,
        until: Until::Time(Duration::from_millis(600)),
        ..plan(1)
    };
    let tally = &measure(&plan, server).tally;
    assert_eq!((tally.errors.total(), tally.unfinished), (0, 0));
    assert!(tally.reconnects >= 3, "{}", brief(tally));
}

#[test]
fn connections_of_a_ramp_that_are_closed_before_the_load_are_opened_again() {
    let server = peer::tcp(|stream| until_idle(stream, 150, peer::http));
    let plan = Plan {
        connections: 4,
        ramp: Duration::from_millis(800),
        ..http(200)
    };
    let outcome = measure(&plan, server);
    assert_whole(&outcome, 200);
    // They are counted as connections, and not as reconnects of the window.
    let connections = outcome.tally.connections;
    assert!(connections > 4, "{connections}: {}", brief(&outcome.tally));
}

#[test]
fn a_connection_that_ends_after_the_window_is_opened_again_for_what_it_owes() {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let server = peer::tcp(|stream| {
        let is_first = CONNECTIONS.fetch_add(1, Ordering::Relaxed) == 0;
        let mut has_answered = false;
        peer::pages(stream, |stream| {
            if is_first && std::mem::replace(&mut has_answered, true) {
                std::thread::sleep(Duration::from_millis(300));
                return false;
            }
            stream.write_all(PAGE).is_ok()
        });
    });
    let plan = Plan {
        connections: 1,
        until: Until::Time(Duration::from_millis(100)),
        ..http(1)
    };
    in_few_runs(|| {
        CONNECTIONS.store(0, Ordering::Relaxed);
        let outcome = measure(&plan, server);
        match outcome.tally.begun {
            2 => {}
            // The window was over before the second request.
            ..2 => return Err(brief(&outcome.tally)),
            _ => panic!("{}", brief(&outcome.tally)),
        }
        assert_whole(&outcome, 2);
        assert_eq!(outcome.tally.reconnects, 1);
        Ok(())
    });
}

#[test]
fn a_408_on_an_idle_connection_is_its_end_and_no_reply() {
    let server = peer::tcp(|stream| {
        until_idle(stream.try_clone().expect("a descriptor"), 150, peer::http);
        let mut stream = stream;
        let late = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(late);
    });
    let (rate, arrivals) = (4.0, Arrivals::Fixed);
    let plan = Plan {
        connections: 2,
        pace: Pace::Open { rate, arrivals },
        until: Until::Time(Duration::from_secs(1)),
        ..http(1)
    };
    let outcome = measure(&plan, server);
    assert_whole(&outcome, 4);
    assert!(outcome.tally.reconnects >= 2, "{}", brief(&outcome.tally));
}
