//! The rule that releases the next request: a schedule (open loop), or one connection per request
//! (churn).

use std::time::Duration;

use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Until};

use super::peer;
use super::runs::{assert_whole, measure, plan};

#[test]
fn an_open_loop_keeps_its_rate_and_counts_from_when_requests_were_due() {
    let server = peer::tcp(peer::echo);
    for (arrivals, threads) in [(Arrivals::Fixed, 2), (Arrivals::Poisson, 1)] {
        let pace = Pace::Open {
            rate: 2000.0,
            arrivals,
        };
        let until = Until::Time(Duration::from_millis(300));
        let outcome = measure(
            &Plan {
                pace,
                until,
                threads,
                ..plan(1)
            },
            server,
        );
        let tally = &outcome.tally;
        assert_eq!(tally.response.count(), tally.answered);
        let all = tally.answered + tally.unsent;
        assert!((500..700).contains(&all), "{all} of 600 requests");
        assert!(tally.response.mean() >= tally.service.mean());
    }
}

#[test]
fn a_server_that_cannot_keep_up_is_charged_for_what_had_to_wait() {
    let server = peer::tcp(|stream| {
        std::thread::sleep(Duration::from_millis(400));
        peer::echo(stream);
    });
    let pace = Pace::Open {
        rate: 1000.0,
        arrivals: Arrivals::Fixed,
    };
    let until = Until::Time(Duration::from_millis(200));
    let outcome = measure(
        &Plan {
            pace,
            until,
            connections: 1,
            ..plan(1)
        },
        server,
    );
    let tally = &outcome.tally;
    assert_eq!(
        (tally.errors.total(), tally.answered, tally.unsent),
        (0, 200, 0)
    );
    // All but the first found their connection busy and were sent late; service time does not show
    // this.
    assert!(tally.response.percentile(50.0) > tally.service.percentile(50.0));
    assert!(tally.lateness.percentile(50.0) < tally.response.percentile(50.0));
}

#[test]
fn churn_opens_a_connection_for_each_request() {
    let server = peer::tcp(peer::echo);
    let outcome = measure(
        &Plan {
            churn: true,
            idle: 2,
            ..plan(200)
        },
        server,
    );
    assert_whole(&outcome, 200);
    let tally = &outcome.tally;
    assert_eq!((tally.connect.count(), tally.connections), (200, 202));
    let pace = Pace::Open {
        rate: 1000.0,
        arrivals: Arrivals::Fixed,
    };
    assert_whole(
        &measure(
            &Plan {
                churn: true,
                pace,
                ..plan(100)
            },
            server,
        ),
        100,
    );
}

#[test]
fn under_churn_a_server_may_close_after_its_reply() {
    let plan = Plan {
        churn: true,
        ..plan(200)
    };
    assert_whole(&measure(&plan, peer::tcp(peer::once)), 200);
}
