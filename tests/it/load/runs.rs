//! Single runs through the library.

use std::net::SocketAddr;
use std::time::Duration;

use mynah::kernel::{Address, Linux};
use mynah::load::plan::{Pace, Plan, Protocol, Until};
use mynah::load::progress::Progress;
use mynah::load::run::{self, Outcome, RunError, Target};
use mynah::load::schedule::Arrivals;

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

fn measure(plan: &Plan, server: SocketAddr) -> Outcome {
    load(plan, Address::Tcp(server)).expect("the server is there")
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
    // So long that a machine busy with other tests lets both sides run in between.
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
fn replies_in_crumbs_are_put_together() {
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
    // All but the first found the connection busy and were sent late: their service time hides it.
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
