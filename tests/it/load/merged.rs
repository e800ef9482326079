//! The results of several threads of the load generator, merged into one: no count, histogram or
//! failure of any thread is lost.

use std::io;

use mynah::load::worker::tally::{Cause, Errors, Failure, Tally};

/// A count of a tally, by name.
type Count = (&'static str, fn(&mut Tally) -> &mut u64);

/// Counts that are summed.
const SUMS: [Count; 18] = [
    ("answered", |tally| &mut tally.answered),
    ("completed", |tally| &mut tally.completed),
    ("received_bytes", |tally| &mut tally.received_bytes),
    ("connections", |tally| &mut tally.connections),
    ("unsent", |tally| &mut tally.unsent),
    ("cut_off", |tally| &mut tally.cut_off),
    ("late", |tally| &mut tally.late),
    ("lost_in_warmup", |tally| &mut tally.lost_in_warmup),
    ("connect errors", |tally| &mut tally.errors.connect),
    ("closed", |tally| &mut tally.errors.closed),
    ("broken", |tally| &mut tally.errors.broken),
    ("wrong", |tally| &mut tally.errors.wrong),
    ("unanswered", |tally| &mut tally.errors.unanswered),
    ("begun", |tally| &mut tally.begun),
    ("unfinished", |tally| &mut tally.unfinished),
    ("reconnects", |tally| &mut tally.reconnects),
    ("failed", |tally| &mut tally.errors.failed),
    ("bare", |tally| &mut tally.errors.bare),
];

/// Counts of which the maximum is reported.
const GREATEST: [Count; 2] = [
    ("longest_carried_ns", |tally| &mut tally.longest_carried_ns),
    ("last_answer_ns", |tally| &mut tally.last_answer_ns),
];

/// The tallies of three threads; every count has a different value.
fn three() -> [Tally; 3] {
    [1, 1000, 100].map(|scale| {
        let mut tally = Tally::new();
        for (number, (_, count)) in SUMS.iter().chain(&GREATEST).enumerate() {
            *count(&mut tally) = (number as u64 + 1) * scale;
        }
        tally.service.record(scale);
        tally.response.record(2 * scale);
        tally.lateness.record(3 * scale);
        tally.connect.record(4 * scale);
        tally.timeline.record(60_000_000, scale);
        tally
    })
}

fn merged() -> Tally {
    let mut all = Tally::new();
    three().into_iter().for_each(|tally| all.merge(tally));
    all
}

#[test]
fn every_count_is_added_up_and_of_moments_the_greatest_is_told() {
    let mut all = merged();
    for (number, (name, count)) in SUMS.iter().enumerate() {
        assert_eq!(*count(&mut all), (number as u64 + 1) * 1101, "{name}");
    }
    for (number, (name, count)) in (SUMS.len() as u64 + 1..).zip(GREATEST) {
        assert_eq!(*count(&mut all), number * 1000, "{name}");
    }
    assert_eq!(all.errors.total(), (17 + 18) * 1101);
}

#[test]
fn every_histogram_has_the_spans_of_all() {
    let all = merged();
    for (factor, spans) in [&all.service, &all.response, &all.lateness, &all.connect]
        .into_iter()
        .enumerate()
    {
        let factor = factor as u64 + 1;
        let found = (spans.count(), spans.min(), spans.max());
        assert_eq!(found, (3, factor, factor * 1000));
        assert_eq!((spans.mean() * 3.0).round() as u64, factor * 1101);
    }
    let answers: f64 = all.timeline.rates(1_000_000_000).sum();
    assert_eq!(answers * all.timeline.width_seconds(), 1101.0);
}

#[test]
fn failures_of_one_kind_are_one_line_with_their_count() {
    let failed = |connections: std::ops::Range<usize>, cause: fn(usize) -> Cause| {
        let mut tally = Tally::new();
        for connection in connections {
            tally.fail(Failure {
                connection,
                answered: 0,
                in_flight: 2,
                failed: 2,
                cause: cause(connection),
                count: 1,
            });
        }
        tally
    };
    let mut all = Tally::new();
    for connections in [0..3, 3..5, 5..100] {
        all.merge(failed(connections, |_| Cause::Closed));
    }
    let told: Vec<String> = all.failures.iter().map(ToString::to_string).collect();
    let line = "100 times, first connection 0: closed by the server (after 0 replies, 2 in flight)";
    assert_eq!(told, [line]);
    let errors = Errors {
        failed: 200,
        closed: 100,
        ..Errors::default()
    };
    assert_eq!(all.errors, errors);
    let by_number = |number| Cause::Broken(io::Error::from_raw_os_error(number as i32));
    all.merge(failed(1..100, by_number));
    assert_eq!(all.failures.len(), 16, "there is room for 16 kinds");
}
