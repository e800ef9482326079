//! Faulty servers: wrong bytes, early closes, unsolicited or endless replies, and silence.
//!
//! Checks which counter each fault increments and which line the report prints.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::plan::{Plan, Protocol, Until};
use mynah::load::run::RunError;
use mynah::load::worker::tally::Errors;

use super::peer;
use super::runs::{assert_whole, brief, in_few_runs, load, measure, plan};

#[test]
fn a_wrong_byte_names_the_connection_and_the_place() {
    let outcome = measure(&plan(1_000), peer::tcp(peer::liar));
    let errors = outcome.tally.errors;
    // Each connection has 15 good replies before the wrong one.
    assert_eq!(errors.wrong, errors.failed);
    assert!((58..=62).contains(&errors.wrong), "{errors:?}");
    let line = outcome.tally.failures[0].to_string();
    assert!(
        line.contains("wrong reply: byte 40 of request 16"),
        "{line}"
    );
    let blind = measure(
        &Plan {
            verify: false,
            ..plan(1000)
        },
        peer::tcp(peer::liar),
    );
    assert_whole(&blind, 1000);
}

#[test]
fn more_than_was_sent_is_an_error_even_unverified() {
    // Few requests: a run by a count ends early after ten seconds with only failures, and each
    // failure of a connection makes its next pause longer.
    let plan = Plan {
        verify: false,
        ..plan(20)
    };
    let tally = measure(&plan, peer::tcp(peer::chatterer)).tally;
    let Errors { failed, wrong, .. } = tally.errors;
    let told = brief(&tally);
    assert_eq!((wrong, wrong + tally.answered), (failed, 20), "{told}");
    // The byte comes with the first reply of a connection, or with the second one.
    assert!(tally.answered <= wrong + 5, "{told}");
}

#[test]
fn a_close_is_distinguished_from_silence() {
    let left = measure(&plan(1_100), peer::tcp(peer::leaver));
    let errors = left.tally.errors;
    assert_eq!(errors.closed, errors.failed);
    // The eleventh request of a connection finds its end. Which of the five connections sends how
    // many is left to the schedule, and each may end up to ten short of that.
    assert!((96..=100).contains(&errors.closed), "{errors:?}");
    assert!(
        left.tally.failures[0]
            .to_string()
            .contains("closed by the server")
    );
    let plan = Plan {
        pipeline: 2,
        until: Until::Time(Duration::from_millis(50)),
        ..plan(10)
    };
    let mute = peer::tcp(peer::mute);
    let silent = in_few_runs(|| {
        let silent = measure(&plan, mute).tally;
        // Each of the connections has two requests, if they are begun within the window.
        assert!(silent.unfinished <= 10, "{}", brief(&silent));
        match silent.unfinished {
            10 => Ok(silent),
            _ => Err(brief(&silent)),
        }
    });
    assert_eq!((silent.answered, silent.errors.total()), (0, 0));
    assert_eq!(silent.failures[0].label(), "unfinished");
}

#[test]
fn a_request_of_the_warm_up_that_is_never_answered_is_told() {
    let warmup = Duration::from_millis(50);
    let until = Until::Time(Duration::from_millis(50));
    let plan = Plan {
        warmup,
        until,
        ..plan(1)
    };
    let mute = peer::tcp(peer::mute);
    let tally = in_few_runs(|| {
        let tally = measure(&plan, mute).tally;
        // A connection whose first request comes late has it in the window, or has none.
        match tally.lost_in_warmup {
            5 => Ok(tally),
            _ => Err(brief(&tally)),
        }
    });
    assert_eq!(tally.due(), 0);
    let counts: Vec<u64> = tally.failures.iter().map(|it| it.count).collect();
    assert_eq!(counts, [5]);
}

#[test]
fn unsolicited_replies_end_the_connection_and_spoil_the_last_one_that_was_asked_for() {
    let plan = Plan {
        protocol: Protocol::Http,
        pipeline: 4,
        connections: 1,
        ..plan(40)
    };
    let tally = measure(&plan, peer::tcp(peer::babbler)).tally;
    assert_eq!((tally.errors.wrong, tally.errors.total()), (10, 10));
    assert_eq!((tally.answered, tally.errors.failed), (30, 10));
    let told = tally.failures[0].to_string();
    assert!(told.contains("after 3 replies, 1 in flight"), "{told}");
}

#[test]
fn a_refused_connection_is_the_answer_to_the_whole_run() {
    for churn in [false, true] {
        let closed = peer::no_listener();
        match load(
            &Plan {
                churn,
                threads: 2,
                ..plan(10)
            },
            Address::Tcp(closed),
        ) {
            Err(RunError::Target(line)) => {
                assert!(
                    line.contains(&closed.to_string()) && line.contains("refused"),
                    "{line}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Answers with a page, followed in the same write by unsolicited bytes.
fn more_than_a_page<const MORE: usize>(stream: TcpStream) {
    let bytes = [PAGE, MORES[MORE]].concat();
    peer::pages(stream, |stream| stream.write_all(&bytes).is_ok());
}

const PAGE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const MORES: [&[u8]; 4] = [
    PAGE,
    PAGE.split_at(7).0,
    b"<html>",
    b"HTTP/1.1 500 Sorry\r\n\r\n",
];

#[test]
fn a_good_page_counts_whatever_comes_behind_it_in_the_same_read() {
    for (server, told) in [
        (peer::tcp(more_than_a_page::<0>), "more came back"),
        (peer::tcp(more_than_a_page::<1>), "more came back"),
        (peer::tcp(more_than_a_page::<2>), "not HTTP/1"),
        (peer::tcp(more_than_a_page::<3>), "more came back"),
    ] {
        let plan = Plan {
            protocol: Protocol::Http,
            connections: 1,
            ..plan(10)
        };
        let tally = measure(&plan, server).tally;
        assert_eq!((tally.answered, tally.errors.wrong), (0, 10), "{told}");
        assert_eq!(tally.errors.total(), 10, "{told}");
        let failure = &tally.failures[0];
        assert_eq!((failure.answered, failure.in_flight), (0, 1), "{failure}");
        assert!(failure.to_string().contains(told), "{failure}");
    }
}

/// Begins a reply with `START` and repeats `AGAIN` without end.
fn without_end<const PART: usize>(stream: TcpStream) {
    let (start, again) = PARTS[PART];
    peer::pages(stream, |stream| {
        let _ = stream.write_all(start.as_bytes());
        while stream.write_all(again.repeat(100).as_bytes()).is_ok() {}
        false
    });
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const LAST_CHUNK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
const PARTS: [(&str, &str); 4] = [
    ("HTTP/1.1 200 OK\r\n", "X-Again: and again\r\n"),
    ("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
    (CHUNKED, "000000000000000000000000000"),
    (LAST_CHUNK, "X-Again: and again\r\n"),
];

#[test]
fn an_endless_reply_breaks_its_connection() {
    for (server, part) in [
        (peer::tcp(without_end::<0>), "head"),
        (peer::tcp(without_end::<1>), "head"),
        (peer::tcp(without_end::<2>), "line of a chunk size"),
        (peer::tcp(without_end::<3>), "trailer"),
    ] {
        let plan = Plan {
            protocol: Protocol::Http,
            connections: 1,
            until: Until::Time(Duration::from_millis(500)),
            ..plan(1)
        };
        let tally = measure(&plan, server).tally;
        assert_eq!(tally.answered, 0, "{part}");
        let errors = tally.errors;
        assert!(
            errors.wrong >= 1 && errors.total() == errors.wrong,
            "{part}"
        );
        let told = tally.failures[0].to_string();
        assert!(
            told.contains(&format!("the {part} of the reply is longer than")),
            "{told}"
        );
    }
}
