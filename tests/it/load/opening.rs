//! How connections are opened: which of them are timed, and what a full queue means.

use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::plan::{Plan, Until};

use super::peer;
use super::runs::{load, plan};

#[test]
fn only_connections_of_the_load_are_timed() {
    let server = Address::Tcp(peer::tcp(peer::echo));
    let outcome = load(
        &Plan {
            idle: 7,
            ..plan(100)
        },
        server,
    )
    .expect("the server is there");
    let tally = &outcome.tally;
    assert_eq!((tally.connect.count(), tally.connections), (5, 12));
}

#[test]
fn under_churn_connections_of_the_warm_up_are_not_timed() {
    let server = Address::Tcp(peer::tcp(peer::echo));
    let plan = Plan {
        churn: true,
        warmup: Duration::from_millis(100),
        until: Until::Time(Duration::from_millis(100)),
        ..plan(1)
    };
    let tally = load(&plan, server).expect("the server is there").tally;
    assert!(tally.connect.count() > 0 && tally.connections > tally.connect.count());
    assert!(tally.connect.count() <= tally.answered + 5, "{tally:?}");
}
