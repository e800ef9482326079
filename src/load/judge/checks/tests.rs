//! Which figures of a run cause a doubt, and which do not.

use super::*;
use crate::load::report::figures::Spans;

fn doubts(plan: &Plan, figures: &Figures) -> Vec<String> {
    let all = checks(plan, figures, false).into_iter();
    all.filter(|check| check.doubtful)
        .map(|check| check.text)
        .collect()
}

fn spans(mean_ns: u64) -> Option<Spans> {
    Some(Spans {
        mean: mean_ns as f64,
        percentiles: [mean_ns; 5],
        ..Spans::default()
    })
}

#[test]
fn a_run_that_agrees_with_itself_raises_no_doubt() {
    let figures = Figures {
        elapsed_s: 10.0,
        requests: 500_000,
        rate: 50_000.0,
        service: spans(990_000),
        client_cpu_share: Some(0.6),
        client_wait_share: Some(0.0),
        client_cpu_ns_per_request: Some(0.0),
        steal_share: Some(0.0),
        ..Figures::default()
    };
    assert_eq!(doubts(&Plan::default(), &figures), [""; 0]);
}

#[test]
fn a_busy_generator_and_requests_that_wait_in_it_are_told() {
    let figures = Figures {
        elapsed_s: 10.0,
        requests: 500_000,
        rate: 50_000.0,
        service: spans(300_000),
        client_cpu_share: Some(0.99),
        client_wait_share: Some(0.11),
        client_cpu_ns_per_request: Some(0.0),
        steal_share: Some(0.0),
        ..Figures::default()
    };
    let doubts = doubts(&Plan::default(), &figures);
    assert!(
        doubts.len() == 3
            && doubts[0].contains("bottleneck")
            && doubts[1].contains("waited for a processor 11 %")
            && doubts[2].contains("15.0 requests in flight, and 0.0 were"),
        "{doubts:?}"
    );
}

#[test]
fn a_run_without_a_reply_is_doubted() {
    let found = doubts(&Plan::default(), &Figures::default());
    let is_told = |line: &String| line.contains("no request was answered");
    assert!(found.iter().any(is_told), "{found:?}");
}

#[test]
fn ports_that_run_out_are_told_before_they_have() {
    assert!(!ports_left(10_000, Some(28_232)).doubtful);
    assert!(
        ports_left(20_000, Some(28_232))
            .text
            .contains("--source-ip")
    );
}

#[test]
fn a_server_that_ran_for_a_few_ticks_has_no_cost_worth_telling() {
    for (ticks, doubtful) in [(0, true), (9, true), (10, false)] {
        let server = Some(ServerCost {
            ticks: Some(ticks),
            ..ServerCost::default()
        });
        let figures = Figures {
            requests: 1,
            server,
            ..Figures::default()
        };
        let found = checks(&Plan::default(), &figures, false);
        let text = format!("the server's CPU time is {ticks} ticks of 10 ms");
        let check = found.iter().find(|check| check.text.starts_with(&text));
        assert_eq!(
            check.map(|check| check.doubtful),
            Some(doubtful),
            "{found:?}"
        );
    }
}

#[test]
fn a_shared_processor_must_not_have_been_shared_with_others() {
    let server = Some(ServerCost {
        cpus: Some(0.3),
        ticks: Some(30),
        ..ServerCost::default()
    });
    let figures = Figures {
        requests: 1,
        client_cpu_share: Some(0.31),
        server,
        ..Figures::default()
    };
    let found = checks(&Plan::default(), &figures, true);
    assert!(found[2].doubtful && found[2].text.contains("61 % of their processor"));
}

#[test]
fn what_chance_may_leave_out_of_random_arrivals_is_no_doubt() {
    for (arrivals, rate, doubtful) in [
        (Arrivals::Poisson, 430.0, false),
        (Arrivals::Poisson, 420.0, true),
        (Arrivals::Fixed, 496.0, false),
        (Arrivals::Fixed, 494.0, true),
    ] {
        let figures = Figures {
            elapsed_s: 1.0,
            rate,
            ..Figures::default()
        };
        let told = rate_reached(500.0, arrivals, &figures);
        assert_eq!(told.doubtful, doubtful, "{arrivals:?}: {}", told.text);
    }
}

#[test]
fn an_open_loop_tells_what_it_did_not_reach() {
    let pace = Pace::Open {
        rate: 1000.0,
        arrivals: Arrivals::Fixed,
    };
    let figures = Figures {
        requests: 5000,
        rate: 500.0,
        unsent: 5000,
        lateness: spans(200_000),
        response: spans(1_000_000),
        steal_share: Some(0.2),
        client_cpu_share: Some(0.1),
        client_wait_share: Some(0.0),
        ..Figures::default()
    };
    assert_eq!(
        doubts(
            &Plan {
                pace,
                ..Plan::default()
            },
            &figures
        )
        .len(),
        4
    );
}

#[test]
fn a_figure_that_is_not_known_is_a_doubt_and_never_fine() {
    let figures = Figures {
        elapsed_s: 10.0,
        requests: 500_000,
        rate: 50_000.0,
        service: spans(990_000),
        server: Some(ServerCost::default()),
        ..Figures::default()
    };
    for shared_core in [false, true] {
        let found = checks(&Plan::default(), &figures, shared_core);
        let told: Vec<&Check> = found
            .iter()
            .filter(|check| check.text.contains("not known"))
            .collect();
        assert!(told.iter().all(|check| check.doubtful), "{found:?}");
        let mut parts = vec![
            "the generator's threads ran",
            "the hypervisor",
            "the ticks of the server",
        ];
        parts.push(match shared_core {
            true => "had of their processor",
            false => "waited for a processor",
        });
        for part in parts {
            let count = told.iter().filter(|check| check.text.contains(part));
            assert_eq!(count.count(), 1, "{part}: {found:?}");
        }
    }
    assert!(ports_left(2, None).doubtful);
    let hidden = Figures {
        server_unknown: Some("/proc/7 is hidden".to_owned()),
        ..figures
    };
    let why = "what the server cost is not known: /proc/7 is hidden".to_owned();
    assert!(doubts(&Plan::default(), &hidden).contains(&why));
}

#[test]
fn requests_that_are_not_in_the_latencies_are_doubts() {
    let figures = Figures {
        requests: 9,
        unfinished: 2,
        lost_in_warmup: 1,
        connections: 3,
        ..Figures::default()
    };
    let found = doubts(&Plan::default(), &figures);
    for part in [
        "2 requests were in flight when the run ended",
        "1 request of the warm-up never answered",
    ] {
        assert!(found.iter().any(|line| line.contains(part)), "{found:?}");
    }
    // A run of datagrams: the loss of some is no reason for doubt.
    let datagrams = Figures {
        connections: 0,
        ..figures
    };
    let found = doubts(&Plan::default(), &datagrams);
    assert!(
        found.iter().all(|line| !line.contains("warm-up")),
        "{found:?}"
    );
}
