//! A broken connection leaves no state behind in the connection that replaces it.
//!
//! The server breaks some connections in the middle of a reply, at every part of the parser's
//! state, and answers correctly on the others.

use std::time::Duration;

use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Protocol, Until};

use super::runs::plan;
use super::simulated::{Asked, Deed, MILLISECOND, SIZE, Stage, Then};

/// Breaks a connection after these first bytes of a reply.
struct Break {
    name: &'static str,
    says: &'static [u8],
    then: Then,
}

const BREAKS: [Break; 10] = [
    Break {
        name: "in the status line",
        says: b"HTTP/1.1 20",
        then: Then::Ends,
    },
    Break {
        name: "in a head that says a length",
        says: b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n",
        then: Then::Ends,
    },
    Break {
        name: "in a body",
        says: b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhel",
        then: Then::Ends,
    },
    Break {
        name: "in a chunk",
        says: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhel",
        then: Then::Ends,
    },
    Break {
        name: "in a chunk, by a reset",
        says: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhel",
        then: Then::Resets,
    },
    Break {
        name: "behind an interim reply",
        says: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
        then: Then::Ends,
    },
    Break {
        name: "by a refusal",
        says: b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n",
        then: Then::Stays,
    },
    Break {
        name: "by another protocol",
        says: b"SSH-2.0-OpenSSH_9.6\r\n",
        then: Then::Stays,
    },
    Break {
        name: "by a page of another length",
        says: b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell",
        then: Then::Stays,
    },
    Break {
        name: "at once",
        says: b"",
        then: Then::Resets,
    },
];

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// The connections to break: never the first one, which defines the expected page; two of them in a
/// row.
fn is_broken(connection: usize) -> bool {
    matches!(connection, 3 | 4 | 9)
}

fn paces() -> [Pace; 2] {
    let (rate, arrivals) = (100.0, Arrivals::Fixed);
    [Pace::Closed, Pace::Open { rate, arrivals }]
}

#[test]
fn an_http_connection_keeps_no_state_of_the_broken_one_before_it() {
    for case in &BREAKS {
        for pace in paces() {
            let plan = Plan {
                protocol: Protocol::Http,
                churn: true,
                connections: 1,
                pace,
                ..plan(20)
            };
            let (says, then) = (case.says, case.then);
            let played = Stage::new(plan).play(move |asked| match is_broken(asked.connection) {
                true => Deed::after(MILLISECOND, says).then(then),
                false => Deed::after(MILLISECOND, PAGE),
            });
            let tally = &played.tally;
            let failures: Vec<String> = tally.failures.iter().map(ToString::to_string).collect();
            let counts = (tally.answered, tally.errors());
            // An error page is an answer, and an error nevertheless.
            let answered = if case.name == "by a refusal" { 20 } else { 17 };
            assert_eq!(counts, (answered, 3), "{}: {failures:?}", case.name);
            assert_eq!(tally.service.max(), 1_000_000, "{}", case.name);
        }
    }
}

#[test]
fn an_echo_connection_keeps_no_state_of_the_broken_one_before_it() {
    type Answer = fn(&[u8]) -> Vec<u8>;
    let breaks: [(&str, Answer, Then); 6] = [
        (
            "half a reply",
            |bytes| bytes[..SIZE / 2].to_vec(),
            Then::Ends,
        ),
        (
            "half a reply, by a reset",
            |bytes| bytes[..SIZE / 2].to_vec(),
            Then::Resets,
        ),
        ("no reply", |_| Vec::new(), Then::Ends),
        (
            "a wrong byte",
            |bytes| [&bytes[..9], &[!bytes[9]]].concat(),
            Then::Stays,
        ),
        (
            "a reply that is too long",
            |bytes| [bytes, b"!"].concat(),
            Then::Stays,
        ),
        ("a wrong reply in full", |_| vec![0; SIZE], Then::Ends),
    ];
    for (name, answer, then) in breaks {
        for pace in paces() {
            let plan = Plan {
                churn: true,
                connections: 1,
                pace,
                ..plan(20)
            };
            let played = Stage::new(plan).play(move |asked| match is_broken(asked.connection) {
                true => Deed::after(MILLISECOND, answer(asked.bytes)).then(then),
                false => Deed::after(MILLISECOND, asked.bytes),
            });
            let tally = &played.tally;
            let failures: Vec<String> = tally.failures.iter().map(ToString::to_string).collect();
            assert_eq!(tally.errors.total(), 3, "{name}: {failures:?}");
            assert_eq!(tally.answered, 17, "{name}: {failures:?}");
        }
    }
}

#[test]
fn a_reply_that_is_too_long_is_wrong_behind_a_connection_that_was_not_answered() {
    // Without verification, only the number of bytes shows the error.
    for verify in [true, false] {
        let plan = Plan {
            churn: true,
            connections: 1,
            verify,
            ..plan(10)
        };
        let played = Stage::new(plan).play(|asked: &Asked<'_>| match asked.connection {
            3 => Deed::after(MILLISECOND, "").then(Then::Ends),
            4 => Deed::after(MILLISECOND, [asked.bytes, b"!"].concat()),
            _ => Deed::after(MILLISECOND, asked.bytes),
        });
        let errors = played.tally.errors;
        assert_eq!((errors.closed, errors.wrong), (1, 1), "verify: {verify}");
        assert_eq!(played.tally.answered, 8);
    }
}

#[test]
fn a_broken_connection_fails_only_its_own_requests() {
    let plan = Plan {
        connections: 4,
        pipeline: 3,
        until: Until::Time(Duration::from_millis(200)),
        ..plan(1)
    };
    let played = Stage::new(plan).play(|asked: &Asked<'_>| {
        let deed = Deed::after(10 * MILLISECOND, asked.bytes);
        match (asked.connection, asked.request) {
            (1, 4) => deed.then(Then::Resets),
            (2, 7) => Deed::after(10 * MILLISECOND, vec![0; SIZE]),
            _ => deed,
        }
    });
    let tally = &played.tally;
    assert_eq!((tally.errors.broken, tally.errors.wrong), (1, 1));
    // All five requests that were in flight on these connections failed.
    assert_eq!(tally.errors.total(), 5);
    // The other two connections get a reply every 10 ms: 20 within the window and 2 after it. The
    // two that broke are opened again, and get fewer.
    let each = 20 + 2;
    let answered = 2 * each + 5 + 7..4 * each;
    assert!(answered.contains(&tally.answered), "{:?}", tally.failures);
    assert_eq!(tally.reconnects, 2);
    // The reply before the reset counts as answered, and no new request was sent for it.
    let mut in_flight: Vec<u64> = tally.failures.iter().map(|it| it.in_flight).collect();
    in_flight.sort_unstable();
    assert_eq!(in_flight, [2, 3]);
}
