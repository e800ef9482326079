//! An open loop that asks for more than the server does.
//!
//! What is due and waits is sent late, and measured from when it was due; what can never be sent is
//! an error; and the throughput is what came back in the window, whatever was asked for.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::figures::Figures;
use mynah::load::plan::{Pace, Plan, Until};
use mynah::load::run::Outcome;
use mynah::load::schedule::Arrivals;

use super::peer;
use super::runs::{load, plan};

fn measure(plan: &Plan, server: SocketAddr) -> Outcome {
    load(plan, Address::Tcp(server)).expect("the server is there")
}

#[test]
fn what_can_never_be_sent_is_an_error_too() {
    let (rate, arrivals) = (1000.0, Arrivals::Fixed);
    let plan = Plan {
        pace: Pace::Open { rate, arrivals },
        until: Until::Time(Duration::from_millis(100)),
        connections: 1,
        ..plan(1)
    };
    let outcome = measure(&plan, peer::tcp(peer::mute));
    let tally = &outcome.tally;
    assert_eq!((tally.errors.unanswered, tally.unsent), (1, 99));
    assert_eq!(Figures::of(&outcome).errors, 100);
}

#[test]
fn throughput_counts_the_replies_of_the_window_whenever_their_requests_were_due() {
    let server = peer::tcp(|mut stream| {
        let mut space = [0; 64];
        while stream.read_exact(&mut space).is_ok() && stream.write_all(&space).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let (rate, arrivals) = (10_000.0, Arrivals::Fixed);
    let plan = Plan {
        pace: Pace::Open { rate, arrivals },
        warmup: Duration::from_millis(400),
        until: Until::Time(Duration::from_millis(200)),
        connections: 1,
        ..plan(1)
    };
    let figures = Figures::of(&measure(&plan, server));
    // The window is spent on what the warm-up left behind, at 200 a second at most.
    assert!(figures.rate > 0.0 && figures.rate < 300.0, "{figures:?}");
}
