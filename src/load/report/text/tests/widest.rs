//! The widest reports: each count and each span is the largest one, and no line is too long.
//!
//! No run can produce such figures, so the sessions are made by hand. The checks and the
//! comparisons are computed from them.

use std::time::Duration;

use super::*;
use crate::kernel::Address;
use crate::limits::{CONNECTIONS_MAX, LOAD_SIZE_MAX, PIPELINE_MAX, THREADS_MAX};
use crate::load::judge::checks;
use crate::load::judge::compare::versus;
use crate::load::plan::schedule::Arrivals;
use crate::load::plan::{Pace, Plan, Protocol};
use crate::load::report::figures::Histograms;
use crate::load::report::origin::Origin;
use crate::load::run::Target;
use crate::load::run::bench::{Bench, Server};
use crate::load::run::session::Session;
use crate::load::worker::tally::Errors;
use crate::load::worker::timeline::Timeline;

const MOST: u64 = u64::MAX;
const LONGEST: f64 = MOST as f64;

fn spans() -> Spans {
    Spans {
        count: MOST,
        mean: LONGEST,
        deviation: LONGEST,
        min: MOST,
        max: MOST,
        percentiles: [MOST; PERCENTS.len()],
    }
}

/// Figures of which each is the largest one.
fn figures() -> Figures {
    Figures {
        started_unix_ns: MOST,
        elapsed_s: LONGEST,
        due: MOST,
        requests: MOST,
        failed: MOST,
        unfinished: MOST,
        unsent: MOST,
        replies: MOST,
        rate: LONGEST,
        bytes_rate: LONGEST,
        errors: MOST,
        kinds: Errors {
            failed: MOST,
            bare: MOST,
            connect: MOST,
            closed: MOST,
            broken: MOST,
            wrong: MOST,
            unanswered: MOST,
        },
        reconnects: MOST,
        longest_pause_ns: MOST,
        missing: MOST,
        statuses: None,
        cut_off: MOST,
        late: MOST,
        lost_in_warmup: MOST,
        interrupted: true,
        service: Some(spans()),
        longest_carried_ns: MOST,
        held_mean_ns: LONGEST,
        response: None,
        connect: Some(spans()),
        connections: MOST,
        lateness: None,
        client_cpu_share: Some(LONGEST),
        client_wait_share: Some(LONGEST),
        client_cpu_ns_per_request: Some(LONGEST),
        steal_share: Some(LONGEST),
        server: Some(ServerCost {
            cpu_ns_per_request: Some(LONGEST),
            user_share: Some(0.5),
            ticks: Some(MOST),
            cpus: Some(LONGEST),
            resident_bytes: Some(MOST),
            bytes_per_connection: Some(LONGEST),
            switches_per_request: Some(LONGEST),
            threads: Some(MOST),
            cpu_ratio_to_client: Some(LONGEST),
        }),
        server_unknown: None,
    }
}

fn histogram() -> Histogram {
    let mut histogram = Histogram::new();
    histogram.record(MOST);
    histogram
}

fn loaded(address: &str, runs: Vec<Figures>) -> Loaded {
    let address: Address = address.parse().expect("an address");
    Loaded {
        target: Target {
            name: address.to_string(),
            address,
            pid: Some(u32::MAX),
        },
        runs,
        latency: histogram(),
        histograms: Histograms::default(),
        resident_before: None,
        timeline: (Timeline::new(), MOST),
        moments: Vec::new(),
        failures: vec![("failed", "word ".repeat(40) + &"x".repeat(200)); 6],
    }
}

fn session(plan: Plan, servers: Vec<Loaded>) -> Session {
    let judged = servers[0].runs.last().expect("it has run");
    let mut found = checks::checks(&plan, judged, false);
    found.push(checks::ports_left(MOST, Some(MOST)));
    found.push(checks::ports_left(MOST, Some(1)));
    Session {
        bench: Bench {
            plan,
            servers: vec![Server::Command("x".repeat(300)); servers.len()],
            pairs: 10_000,
            ..Bench::default()
        },
        checks: found.into_iter().map(|check| (0, check)).collect(),
        servers,
        compared: Vec::new(),
        self_checks: Vec::new(),
        interrupted: Some(2),
        cut_short: None,
    }
}

/// The report of `session`, whose lines fit.
fn report(session: &Session) -> String {
    let origin = Origin::here(std::iter::empty());
    let report = text(&Report::of(session, &origin), Paint::Plain);
    let is_long = |line: &&str| line.chars().count() > REPORT_COLUMNS;
    let long: Vec<&str> = report.lines().filter(is_long).collect();
    assert_eq!(long, [""; 0], "{report}");
    report
}

/// The plan with the most words.
fn plan() -> Plan {
    Plan {
        connections: CONNECTIONS_MAX as usize,
        idle: CONNECTIONS_MAX as usize,
        pipeline: PIPELINE_MAX,
        threads: THREADS_MAX,
        size: (1, LOAD_SIZE_MAX),
        spin: Some(Duration::MAX),
        slow_start: Duration::MAX,
        grace: Duration::MAX,
        warmup: Duration::MAX,
        verify: false,
        ..Plan::default()
    }
}

fn open_loop(rate: f64) -> Pace {
    let arrivals = Arrivals::Poisson;
    Pace::Open { rate, arrivals }
}

#[test]
fn the_widest_report_of_http_fits() {
    let plan = Plan {
        protocol: Protocol::Http,
        churn: true,
        ..plan()
    };
    let all = (100..1000).map(|status| (status, MOST)).collect();
    let statuses = Some(all);
    let run = Figures {
        statuses,
        ..figures()
    };
    let out = report(&session(plan, vec![loaded("tcp://[::1]:65535", vec![run])]));
    assert!(out.contains("999: 18446744073709551615"), "{out}");
    assert!(out.contains("5.12M h"), "{out}");
}

#[test]
fn the_widest_report_of_datagrams_fits() {
    let server = loaded("udp://[::1]:65535", vec![figures()]);
    let out = report(&session(plan(), vec![server]));
    assert!(out.contains("18446744073709551615 replies, after"), "{out}");
}

#[test]
fn the_widest_report_of_a_rate_fits() {
    let plan = Plan {
        pace: open_loop(LONGEST),
        ..plan()
    };
    let run = Figures {
        response: Some(spans()),
        lateness: Some(spans()),
        ..figures()
    };
    let out = report(&session(plan, vec![loaded("tcp://[::1]:65535", vec![run])]));
    assert!(out.contains("response time"), "{out}");
}

#[test]
fn the_widest_report_of_a_sweep_fits() {
    let run = Figures {
        response: Some(spans()),
        lateness: Some(spans()),
        ..figures()
    };
    // The first step is the knee.
    let kept = Figures {
        failed: 0,
        unsent: 0,
        kinds: Errors::default(),
        ..run.clone()
    };
    let plan = Plan {
        pace: open_loop(1.0),
        ..plan()
    };
    let runs = vec![kept, run.clone(), run.clone(), run.clone(), run];
    let mut session = session(plan, vec![loaded("tcp://[::1]:65535", runs)]);
    session.bench.sweep = Some((999_500.0, 1e9));
    let out = report(&session);
    assert!(out.contains("<- knee"), "{out}");
    assert!(out.contains(", in 5 steps"), "{out}");
}

#[test]
fn the_widest_report_of_a_comparison_fits() {
    let run = |rate: f64| Figures { rate, ..figures() };
    // Two pairs that differ so much have an interval without bound.
    for ratios in [[1.0, 1e12], [1e-12, 1.0], [1e12, 1e12]] {
        let rounds: Vec<Vec<Figures>> = ratios.map(|other| vec![run(1.0), run(other)]).into();
        let servers = ["tcp://[::1]:65534", "tcp://[::1]:65535"];
        let servers = servers.map(|address| loaded(address, vec![figures()]));
        let mut session = session(plan(), servers.into());
        let mut versus = versus(&rounds, 1);
        for versus in &mut versus {
            versus.estimate.pairs = 10_000;
            versus.won = 10_000;
        }
        let labels = versus.iter().map(|versus| (versus.metric, versus.estimate));
        session.self_checks = labels.collect();
        session.compared = vec![Compared {
            name: "x".repeat(300),
            pairs: 10_000,
            versus,
        }];
        let out = report(&session);
        assert!(out.contains("10000 of 10000"), "{out}");
    }
}
