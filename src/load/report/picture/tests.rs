//! Pictures at their bounds: they are drawn, their parts do not leave the page, and long texts are
//! cut.

use super::*;
use crate::base::histogram::Histogram;
use crate::load::judge::checks::Check;
use crate::load::judge::compare::{METRICS, Versus};
use crate::load::judge::statistics::Estimate;
use crate::load::report::Inputs;
use crate::load::report::figures::{Figures, Histograms};
use crate::load::report::origin::Origin;
use crate::load::run::Target;
use crate::load::run::bench::Bench;
use crate::load::run::moments::Moment;
use crate::load::run::session::Compared;
use crate::load::worker::timeline::Timeline;

/// A server with these latencies, all in one second.
fn server(name: &str, latencies: &[u64]) -> Loaded {
    let mut latency = Histogram::new();
    latencies.iter().for_each(|&value| latency.record(value));
    let mut timeline = Timeline::new();
    timeline.record(0, latencies.len() as u64);
    Loaded {
        target: Target {
            name: name.to_owned(),
            address: "127.0.0.1:7".parse().expect("an address"),
            pid: None,
        },
        runs: vec![Figures::default()],
        latency,
        histograms: Histograms::default(),
        resident_before: None,
        timeline: (timeline, 1_000_000_000),
        moments: latencies
            .iter()
            .enumerate()
            .map(|(at, &value)| Moment {
                elapsed_s: at as f64 / 8.0,
                p50: value,
                p99: value,
            })
            .collect(),
        failures: Vec::new(),
    }
}

fn drawn(servers: &[Loaded], checks: &[(usize, Check)], compared: &[Compared]) -> String {
    let (bench, origin) = (Bench::default(), Origin::default());
    let svg = svg(&Report {
        origin: &origin,
        parts: &[],
        inputs: Inputs::Given(&bench),
        load: "load ".repeat(100),
        notes: vec!["note ".repeat(100)],
        is_counted: false,
        is_open_loop: false,
        same_core: false,
        pairs: 2,
        servers,
        checks,
        steps: Vec::new(),
        knee: None,
        compared,
        self_checks: &[],
        is_interrupted: false,
        cut_short: None,
        broken_assertions: vec!["assertion ".repeat(100)],
    });
    for wrong in ["NaN", "inf", "http://", "https://", "href", "url("] {
        let found = svg
            .replace("http://www.w3.org/2000/svg", "")
            .contains(wrong);
        assert!(!found, "{wrong}: {svg}");
    }
    for (name, most) in [(" x=\"", WIDTH), (" cx=\"", WIDTH)] {
        for part in svg.split(name).skip(1) {
            let number = part
                .split('"')
                .next()
                .and_then(|text| text.parse::<f64>().ok());
            let x = number.expect("a position is a number");
            assert!((0.0..=most).contains(&x), "{x}: {svg}");
        }
    }
    svg
}

#[test]
fn a_run_without_a_reply_and_one_of_a_single_reply_are_drawn() {
    let none = drawn(&[server("a", &[])], &[], &[]);
    assert!(none.contains("no latency") && !none.contains("Latency by percentile"));
    let mut unmeasured = server("a", &[]);
    (unmeasured.runs, unmeasured.timeline.1) = (Vec::new(), 0);
    drawn(&[unmeasured], &[], &[]);
    for value in [0, 1, 1000, u64::MAX] {
        let one = drawn(&[server("a", &[value])], &[], &[]);
        assert!(one.contains("Latency by percentile"), "{one}");
    }
    drawn(&[server("a", &[0, u64::MAX]), server("b", &[5])], &[], &[]);
}

#[test]
fn doubts_stand_under_the_title_and_many_are_counted() {
    let doubts: Vec<_> = (0..9)
        .map(|n| (0, Check::doubt(format!("doubt {n}"))))
        .collect();
    let checks = [doubts, vec![(0, Check::new(false, "all is well"))]].concat();
    let svg = drawn(&[server("a", &[5])], &checks, &[]);
    for (text, is_there) in [
        ("!! doubt 0<", true),
        ("!! doubt 3<", true),
        ("!! doubt 4<", false),
        ("!! and 5 more<", true),
        ("all is well", false),
    ] {
        assert_eq!(svg.contains(text), is_there, "{text}: {svg}");
    }
}

#[test]
fn ratios_of_any_size_are_drawn_beside_their_text() {
    let versus = |(metric, _, label), ratio: f64| Versus {
        metric,
        label,
        ratios: vec![ratio, ratio * 1.1, 1.0],
        estimate: Estimate {
            ratio,
            low: ratio * 0.9,
            high: ratio * 1.1,
            pairs: 3,
        },
        won: 1,
    };
    for ratio in [1.0, 1.0001, 1.3, 0.2, 50.0, 1e-9, 1e9] {
        let compared = Compared {
            name: "b".to_owned(),
            pairs: 3,
            versus: METRICS.map(|metric| versus(metric, ratio)).into(),
        };
        let servers = [server("a", &[5]), server("b", &[6])];
        let svg = drawn(&servers, &[], &[compared]);
        for text in ["Ratio to A", "B against A", "more is better", "less than A"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }
}

#[test]
fn long_names_are_cut_and_lose_the_folder_of_their_program() {
    let long = format!("'/usr/local/bin/mynah {}'", "--option ".repeat(100));
    let svg = drawn(&[server(&long, &[5])], &[], &[]);
    assert!(svg.contains(">'mynah --option") && !svg.contains("/usr/local"));
    let shown = svg.lines().filter(|line| line.starts_with("<text"));
    let longest = shown
        .flat_map(|line| line.split('>'))
        .map(|text| text.find("</").unwrap_or(0))
        .max();
    assert!(longest.is_some_and(|longest| longest <= 130), "{svg}");
    for (name, told) in [
        ("/a/b/c --d /e", "c --d /e"),
        ("'/a/b c'", "'b c'"),
        ("tcp://[::1]:7", "tcp://[::1]:7"),
        ("mynah /a/b", "mynah /a/b"),
        ("unix:/a/b", "unix:/a/b"),
    ] {
        assert_eq!(short(name), told);
    }
}
