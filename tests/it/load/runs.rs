//! Single runs through the library: the number of requests, the duration and the transport of a
//! plan.

use std::net::SocketAddr;
use std::time::Duration;

use mynah::kernel::{Address, Linux};
use mynah::load::plan::{Plan, Protocol, Until};
use mynah::load::run::progress::Progress;
use mynah::load::run::{self, Outcome, RunError, Target};
use mynah::load::worker::tally::Tally;

use super::peer;

pub(crate) fn plan(requests: u64) -> Plan {
    let until = Until::Requests(requests);
    Plan {
        connections: 5,
        until,
        warmup: Duration::ZERO,
        ..Plan::default()
    }
}

pub(crate) fn load(plan: &Plan, address: Address) -> Result<Outcome, RunError> {
    plan.check().expect("the test's own plan");
    let script = plan.script(&address).expect("it fits");
    let target = Target {
        name: address.to_string(),
        address,
        pid: None,
    };
    let open = || Linux::new(false);
    let mut kernel = open().expect("epoll");
    run::run(
        plan,
        &script,
        &target,
        &mut kernel,
        &open,
        &mut Progress::none(),
    )
}

pub(crate) fn measure(plan: &Plan, server: SocketAddr) -> Outcome {
    load(plan, Address::Tcp(server)).expect("the server is there")
}

/// The result of the first of a few runs that is one. A run of a fraction of a second shows nothing
/// on a machine that stands still for most of it; `run` then returns what was seen instead.
#[track_caller]
pub(crate) fn in_few_runs<T>(mut run: impl FnMut() -> Result<T, String>) -> T {
    const RUNS_MAX: usize = 8;
    let mut seen = String::new();
    for _ in 0..RUNS_MAX {
        match run() {
            Ok(result) => return result,
            Err(instead) => seen = instead,
        }
    }
    panic!("in none of {RUNS_MAX} runs, the last: {seen}");
}

/// The counts of a tally in one line.
pub(crate) fn brief(tally: &Tally) -> String {
    let Tally {
        begun,
        answered,
        unfinished,
        unsent,
        reconnects,
        errors,
        failures,
        ..
    } = tally;
    format!(
        "{begun} begun, {answered} answered, {unfinished} unfinished, {unsent} unsent, \
         {reconnects} reconnects, {errors:?}, {failures:?}"
    )
}

#[track_caller]
pub(crate) fn assert_whole(outcome: &Outcome, requests: u64) {
    let failures: Vec<String> = outcome
        .tally
        .failures
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!((outcome.tally.errors.total(), failures), (0, vec![]));
    assert_eq!(
        (outcome.tally.answered, outcome.tally.service.count()),
        (requests, requests)
    );
    assert!(outcome.elapsed_ns > 0);
}

#[test]
fn exactly_as_many_requests_as_asked_are_answered() {
    let server = peer::tcp(peer::echo);
    assert_whole(&measure(&plan(1000), server), 1000);
    assert_whole(
        &measure(
            &Plan {
                threads: 2,
                pipeline: 8,
                ..plan(1001)
            },
            server,
        ),
        1001,
    );
    assert_whole(
        &measure(
            &Plan {
                verify: false,
                ..plan(10)
            },
            server,
        ),
        10,
    );
}

#[test]
fn a_generator_that_spins_loses_nothing_and_sleeps_in_the_end() {
    let server = peer::tcp(peer::echo);
    for spin in [Duration::from_micros(20), Duration::from_millis(100)] {
        let plan = Plan {
            spin: Some(spin),
            ..plan(500)
        };
        assert_whole(&measure(&plan, server), 500);
    }
}

#[test]
fn a_run_by_time_ends_in_time_and_counts_only_its_window() {
    let server = peer::tcp(peer::echo);
    // Long enough that both sides run within the window even on a busy machine.
    let until = Until::Time(Duration::from_secs(1));
    let outcome = measure(
        &Plan {
            until,
            warmup: Duration::from_millis(50),
            ..plan(1)
        },
        server,
    );
    assert_eq!(outcome.elapsed_ns, 1_000_000_000);
    assert_whole(&outcome, outcome.tally.service.count());
    assert!(outcome.tally.answered > 0 && outcome.begin.workers_ns.len() == 1);
}

#[test]
fn replies_in_small_pieces_are_put_together() {
    let server = peer::tcp(peer::crumbs);
    let framing = "u32be".parse().expect("known");
    assert_whole(
        &measure(
            &Plan {
                framing,
                size: (0, 200),
                pipeline: 3,
                ..plan(60)
            },
            server,
        ),
        60,
    );
    let http = peer::tcp(peer::http);
    assert_whole(
        &measure(
            &Plan {
                protocol: Protocol::Http,
                pipeline: 4,
                ..plan(500)
            },
            http,
        ),
        500,
    );
}

#[test]
fn messages_larger_than_every_buffer_come_back_whole() {
    let server = peer::tcp(peer::echo);
    let size = (3 << 20, 3 << 20);
    assert_whole(
        &measure(
            &Plan {
                connections: 2,
                size,
                ..plan(6)
            },
            server,
        ),
        6,
    );
}

#[test]
fn unix_sockets_carry_the_same_load() {
    let path = std::env::temp_dir().join(format!("mynah-load-{}", std::process::id()));
    peer::unix(&path);
    let address = format!("unix:{}", path.display())
        .parse()
        .expect("an address");
    let outcome = load(
        &Plan {
            idle: 3,
            ..plan(500)
        },
        address,
    );
    std::fs::remove_file(&path).expect("it was there");
    assert_whole(&outcome.expect("the server is there"), 500);
}

#[test]
fn source_addresses_are_taken_in_turn() {
    let server = peer::tcp(|mut stream| {
        let peer = stream.peer_addr().expect("it is connected").ip();
        if matches!(peer.to_string().as_str(), "127.0.0.2" | "127.0.0.3") {
            peer::echo(&mut stream);
        }
    });
    let sources = ["127.0.0.2:0", "127.0.0.3:0"]
        .map(|address| address.parse().expect("an address"))
        .to_vec();
    assert_whole(
        &measure(
            &Plan {
                sources,
                ..plan(100)
            },
            server,
        ),
        100,
    );
}
