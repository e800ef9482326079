//! Documents are written, read and added up: what is written is read, and nothing is lost.

use super::*;
use crate::base::random::Random;
use crate::load::report::cost::ServerCost;
use crate::load::report::document;
use crate::load::report::figures::Histograms;
use crate::load::run::bench::Bench;
use crate::load::run::session::Session;
use crate::load::worker::tally::{Errors, Tally};

const SECOND_NS: u64 = 1_000_000_000;

/// Figures of which each is different.
fn figures(scale: u64) -> Figures {
    Figures {
        started_unix_ns: 1_800_000_000 * SECOND_NS,
        elapsed_s: 10.0,
        due: 101 * scale,
        requests: 90 * scale,
        failed: 3 * scale,
        unfinished: 5 * scale,
        unsent: 3 * scale,
        replies: 95 * scale,
        rate: 9.5 * scale as f64,
        bytes_rate: 640.5 * scale as f64,
        errors: 13 * scale,
        kinds: Errors {
            failed: 3 * scale,
            bare: scale,
            connect: 11 * scale,
            closed: 12 * scale,
            broken: 13 * scale,
            wrong: 14 * scale,
            unanswered: 15 * scale,
        },
        statuses: Some(vec![(200, 80 * scale), (503, 10 * scale)]),
        longest_pause_ns: 64_000_000,
        missing: 21 * scale,
        held_mean_ns: 2500.5,
        reconnects: 16 * scale,
        cut_off: 17 * scale,
        late: 18 * scale,
        lost_in_warmup: 19 * scale,
        interrupted: true,
        connections: 20 * scale,
        client_cpu_share: Some(0.25),
        client_wait_share: Some(0.125),
        client_cpu_ns_per_request: Some(1000.5),
        steal_share: Some(0.0625),
        server: Some(ServerCost {
            cpu_ns_per_request: Some(2000.0),
            user_share: Some(0.25),
            ticks: Some(200),
            cpus: Some(0.5),
            resident_bytes: Some(4096 * scale),
            bytes_per_connection: Some(104.5),
            switches_per_request: Some(0.5),
            threads: Some(3),
            cpu_ratio_to_client: Some(2.0),
        }),
        ..Figures::default()
    }
}

fn histograms(seed: u64) -> Histograms {
    let mut random = Random::new(seed);
    let mut tally = Tally::new();
    for _ in 0..1000 {
        tally.service.record(random.below(1 << 30));
        tally.response.record(random.below(1 << 40));
        tally.connect.record(random.below(1 << 20));
    }
    let mut all = Histograms::default();
    all.add(&tally);
    all
}

fn loaded(figures: Figures, histograms: Histograms) -> Loaded {
    let mut timeline = Timeline::new();
    (0..100).for_each(|at| timeline.record(at * 100_000_000, at));
    Loaded {
        target: Target {
            name: "tcp://127.0.0.1:7007".to_owned(),
            address: "127.0.0.1:7007".parse().expect("an address"),
            pid: None,
        },
        runs: vec![figures],
        latency: histograms.latency().clone(),
        histograms,
        resident_before: None,
        timeline: (timeline, 10 * SECOND_NS),
        moments: Vec::new(),
        failures: vec![("failed", "connection 3: closed by the server".to_owned())],
    }
}

fn session(servers: Vec<Loaded>) -> Session {
    Session {
        bench: Bench::default(),
        servers,
        checks: vec![
            (0, Check::doubt("too slow")),
            (0, Check::new(false, "steady")),
        ],
        compared: Vec::new(),
        self_checks: Vec::new(),
        interrupted: None,
        cut_short: None,
    }
}

fn origin(host: &str) -> Origin {
    Origin {
        host: Some(host.to_owned()),
        kernel: Some("6.1".to_owned()),
        cpus: Some(2),
        started_unix_ns: 1_799_999_999 * SECOND_NS,
        version: "9.9".to_owned(),
        options: vec!["7007".to_owned()],
    }
}

fn document(host: &str, figures: Figures, histograms: Histograms) -> String {
    let session = session(vec![loaded(figures, histograms)]);
    let origin = origin(host);
    document::json(&Report::of(&session, &origin))
}

#[test]
fn every_figure_that_is_written_is_read_again() {
    let (written, all) = (figures(1), histograms(1));
    let text = document("one", written.clone(), all.clone());
    let read = Document::read(&text).expect("it is ours");
    assert_eq!(read.server.runs, [written]);
    assert_eq!(read.server.histograms, all);
    let session = session(vec![loaded(figures(1), all)]);
    let (timeline, elapsed_ns) = &session.servers[0].timeline;
    let found: Vec<f64> = read.server.timeline.0.rates(*elapsed_ns).collect();
    assert!(timeline.rates(*elapsed_ns).eq(found.iter().copied()));
    assert_eq!(read.server.failures, session.servers[0].failures);
    assert_eq!(read.server.target.name, "tcp://127.0.0.1:7007");
    let unknown = Figures {
        started_unix_ns: SECOND_NS,
        server_unknown: Some("hidden".to_owned()),
        ..Figures::default()
    };
    let text = document("one", unknown.clone(), Histograms::default());
    let read = Document::read(&text).expect("it is ours");
    assert_eq!(read.server.runs, [unknown]);
}

fn sum(texts: &[String]) -> Result<Sum, String> {
    let mut sum = Sum::new("0.json", &texts[0])?;
    for (index, text) in texts.iter().enumerate().skip(1) {
        sum.add(&format!("{index}.json"), text)?;
    }
    sum.finish();
    Ok(sum)
}

#[test]
fn counts_rates_and_histograms_are_added_exactly() {
    let texts: Vec<String> = [1, 10, 100]
        .map(|scale| document(&format!("host{scale}"), figures(scale), histograms(scale)))
        .into();
    let sum = sum(&texts).expect("they fit");
    let run = &sum.all.server.runs[0];
    let one = figures(111);
    assert_eq!(
        (
            run.due,
            run.requests,
            run.failed,
            run.unfinished,
            run.unsent
        ),
        (
            one.due,
            one.requests,
            one.failed,
            one.unfinished,
            one.unsent
        )
    );
    assert_eq!(
        (
            run.replies,
            run.errors,
            run.kinds,
            run.reconnects,
            run.cut_off,
            run.late
        ),
        (
            one.replies,
            one.errors,
            one.kinds,
            one.reconnects,
            one.cut_off,
            one.late
        )
    );
    assert_eq!(
        (
            run.lost_in_warmup,
            run.missing,
            run.connections,
            run.rate,
            run.elapsed_s
        ),
        (
            one.lost_in_warmup,
            one.missing,
            one.connections,
            one.rate,
            10.0
        )
    );
    assert_eq!(
        (&run.statuses, run.held_mean_ns),
        (&one.statuses, one.held_mean_ns)
    );
    assert_eq!(run.longest_pause_ns, one.longest_pause_ns);
    let mut all = histograms(1);
    all.merge(&histograms(10));
    all.merge(&histograms(100));
    assert_eq!(sum.all.server.histograms, all);
    assert_eq!(run.response, Spans::of(&all.response));
    assert_eq!(run.lateness, None);
    // One process served all requests, and the first document has its cost.
    let cost = run.server.expect("it is known");
    let expected = 2000.0 * 9.5 / one.rate;
    assert!((cost.cpu_ns_per_request.expect("known") - expected).abs() < 1e-6);
    assert_eq!((cost.cpus, cost.bytes_per_connection), (Some(0.5), None));
    assert_eq!(run.client_cpu_ns_per_request, Some(1000.5));
}

#[test]
fn a_figure_that_one_generator_does_not_know_is_not_known_of_the_sum() {
    let silent = Figures {
        client_cpu_share: None,
        client_cpu_ns_per_request: None,
        steal_share: None,
        server: None,
        ..figures(1)
    };
    let texts = [
        document("a", figures(1), histograms(1)),
        document("b", silent, histograms(2)),
    ];
    let sum = sum(&texts).expect("they fit");
    let run = &sum.all.server.runs[0];
    assert_eq!(
        (
            run.client_cpu_share,
            run.client_cpu_ns_per_request,
            run.steal_share
        ),
        (None, None, None)
    );
    assert_eq!(run.client_wait_share, Some(0.125));
    assert_eq!(run.server.and_then(|cost| cost.cpu_ratio_to_client), None);
}

#[test]
fn a_sum_can_be_added_up_again() {
    let texts = [1, 2, 3].map(|n| document(&format!("host{n}"), figures(n), histograms(n)));
    let write = |sum: &Sum| document::json(&sum.report(&origin("where")));
    let all = sum(&texts).expect("they fit");
    let half = sum(&texts[..2]).expect("they fit");
    let rest = [write(&half), texts[2].clone()];
    let again = sum(&rest).expect("they fit");
    assert_eq!(all.all.server.runs[0].due, again.all.server.runs[0].due);
    assert_eq!(all.all.server.histograms, again.all.server.histograms);
    assert_eq!((all.all.parts.len(), again.all.parts.len()), (3, 3));
    let load = again.report(&origin("where")).load;
    assert!(
        load.starts_with("3 generators, each: 50 connections, "),
        "{load}"
    );
    let told = sum(&[write(&half), texts[1].clone()]).expect_err("host2 is in it");
    assert_eq!(
        told,
        "1.json: is a run that 0.json already has; it would count twice"
    );
}

#[test]
fn windows_that_do_not_overlap_are_a_doubt() {
    for (apart_ms, doubtful, part) in [
        (0, false, "overlap in 10.00 of 10.00 s"),
        (1000, false, "overlap in 9.00 of 10.00 s"),
        (1100, true, "overlap in 8.90 of 10.00 s"),
        (9990, true, "overlap in 0.01 of 10.00 s"),
        (10_000, true, "the windows were apart"),
        (60_000, true, "the windows were apart"),
    ] {
        let later = Figures {
            started_unix_ns: figures(1).started_unix_ns + apart_ms * 1_000_000,
            ..figures(1)
        };
        let texts = [
            document("a", figures(1), histograms(1)),
            document("b", later, histograms(2)),
        ];
        let sum = sum(&texts).expect("they fit");
        let (_, check) = &sum.checks[0];
        assert_eq!(check.doubtful, doubtful, "{}", check.text);
        assert!(check.text.contains(part), "{}", check.text);
        let doubts: Vec<&str> = sum.checks[1..]
            .iter()
            .map(|(_, check)| check.text.as_str())
            .collect();
        assert_eq!(doubts, ["0.json: too slow", "1.json: too slow"]);
    }
}

#[test]
fn a_document_that_does_not_fit_is_refused_with_its_name_and_the_difference() {
    let good = document("a", figures(1), histograms(1));
    let other = document("b", figures(1), histograms(1));
    let two = {
        let servers = vec![
            loaded(figures(1), histograms(1)),
            loaded(figures(1), histograms(1)),
        ];
        document::json(&Report::of(&session(servers), &origin("b")))
    };
    for (text, why) in [
        (
            String::new(),
            "is empty, must be a document of mynah bench --json",
        ),
        (" \n".to_owned(), "is empty"),
        (
            "{".to_owned(),
            "is not JSON, must be a document of mynah bench --json: line 1: ",
        ),
        ("[]".to_owned(), "has no schema of ours, must be a document"),
        ("{\"schema\": 1}".to_owned(), "has no schema of ours"),
        (
            other.replace(SCHEMA, "mynah-report-2"),
            "has the schema \"mynah-report-2\", must have \"mynah-report-1\"",
        ),
        (
            other.replace("\"connections\": 50", "\"connections\": 51"),
            "does not fit 0.json: its connections is 51, not 50",
        ),
        (
            other.replace("\"churn\": false,", ""),
            "does not fit 0.json: its churn is missing, not false",
        ),
        (two, "has 2 servers: only runs of one can be added up"),
        (good.clone(), "is a run that 0.json already has"),
        (
            other.replace("\"due\": 101", "\"due\": -1"),
            "servers[0].runs[0].due: must be a whole",
        ),
        (
            other.replace("\"due\": 101", &format!("\"due\": {}", MERGE_COUNT_MAX + 1)),
            "servers[0].runs[0].due: must be a whole number up to 9007199254740991",
        ),
        (
            other.replace("\"due\": 101,", ""),
            "servers[0].runs[0].due: is missing",
        ),
        (
            other.replace("\"min_ns\": ", "\"min_ns\": 1"),
            "servers[0].histograms.service_time: its parts contradict each other",
        ),
        (
            other.replace("\"timeline_width_s\": 0.05", "\"timeline_width_s\": 0.06"),
            "servers[0].timeline_rate_per_s: is no timeline",
        ),
        (
            other.replace("2027-01-15T08:00:00.000Z", "today"),
            "servers[0].runs[0].started: must",
        ),
    ] {
        assert_ne!(text, other, "{why}");
        let told = sum(&[good.clone(), text]).expect_err("it does not fit");
        assert!(told.starts_with("1.json: ") && told.contains(why), "{told}");
    }
    let most = other.replace("\"due\": 101", &format!("\"due\": {MERGE_COUNT_MAX}"));
    assert!(sum(&[good, most]).is_ok());
}

#[test]
fn options_of_a_machine_may_differ() {
    let one = document("a", figures(1), histograms(1));
    let other = document("b", figures(1), histograms(1)).replace("\"pins\": []", "\"pins\": [1]");
    assert!(other.contains("\"pins\": [1]") && sum(&[one, other]).is_ok());
}

#[test]
fn the_number_of_runs_is_bounded() {
    let texts: Vec<String> = (0..=MERGE_FILES_MAX)
        .map(|n| {
            document(
                &format!("host{n}"),
                Figures {
                    started_unix_ns: SECOND_NS,
                    ..Figures::default()
                },
                Histograms::default(),
            )
        })
        .collect();
    assert!(sum(&texts[..MERGE_FILES_MAX]).is_ok());
    let told = sum(&texts).expect_err("one too many");
    assert_eq!(
        told,
        "1024.json: is one too many, at most 1024 runs can be added up"
    );
}
