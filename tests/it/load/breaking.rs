//! Servers that lie, leave, babble or say nothing: what is counted, and how it is told.

use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::plan::{Plan, Protocol, Until};
use mynah::load::run::RunError;

use super::peer;
use super::runs::{assert_whole, load, measure, plan};

#[test]
fn a_wrong_byte_names_the_connection_and_the_place() {
    let outcome = measure(&plan(10_000), peer::tcp(peer::liar));
    assert_eq!(outcome.tally.errors.wrong, 5);
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
    let outcome = measure(
        &Plan {
            verify: false,
            ..plan(1000)
        },
        peer::tcp(peer::chatterer),
    );
    assert_eq!(outcome.tally.errors.wrong, 5);
}

#[test]
fn a_server_that_leaves_is_told_apart_from_one_that_is_silent() {
    let left = measure(&plan(10_000), peer::tcp(peer::leaver));
    assert_eq!((left.tally.errors.closed, left.tally.answered), (5, 50));
    assert!(
        left.tally.failures[0]
            .to_string()
            .contains("closed by the server")
    );
    let silent = measure(
        &Plan {
            pipeline: 2,
            until: Until::Time(Duration::from_millis(50)),
            ..plan(10)
        },
        peer::tcp(peer::mute),
    );
    assert_eq!(
        (silent.tally.errors.unanswered, silent.tally.answered),
        (10, 0)
    );
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
    let tally = measure(&plan, peer::tcp(peer::mute)).tally;
    assert_eq!((tally.errors.unanswered, tally.answered), (5, 0));
}

#[test]
fn replies_that_nobody_asked_for_end_the_connection_and_do_not_upset_the_count() {
    let plan = Plan {
        protocol: Protocol::Http,
        pipeline: 4,
        connections: 1,
        ..plan(1000)
    };
    let tally = measure(&plan, peer::tcp(peer::babbler)).tally;
    assert_eq!((tally.errors.wrong, tally.errors.total()), (1, 1));
    let told = tally.failures[0].to_string();
    assert!(told.contains("after 0 replies, 4 in flight"), "{told}");
}

#[test]
fn a_refused_connection_is_the_answer_to_the_whole_run() {
    for churn in [false, true] {
        let nobody = peer::nobody();
        match load(
            &Plan {
                churn,
                threads: 2,
                ..plan(10)
            },
            Address::Tcp(nobody),
        ) {
            Err(RunError::Target(line)) => {
                assert!(
                    line.contains(&nobody.to_string()) && line.contains("refused"),
                    "{line}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}
