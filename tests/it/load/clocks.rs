//! The start of each time that the load generator measures.
//!
//! Service time starts at the send, response time when the request was due, lateness when the
//! request could have been sent. The server has known delays and runs in simulated time, so the
//! expected figures are exact. `stopped` makes similar checks on a real clock.

use std::time::Duration;

use mynah::base::histogram::Histogram;
use mynah::kernel::Time;
use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Protocol, Until};

use super::runs::plan;
use super::simulated::{Asked, Deed, MILLISECOND, Played, Stage, Then};

/// Echoes each request after this many milliseconds.
fn after(milliseconds: u32) -> impl FnMut(&Asked<'_>) -> Deed + Send + 'static {
    move |asked| Deed::after(milliseconds * MILLISECOND, asked.bytes)
}

/// An open loop with this rate, span and number of connections.
fn open_loop(rate: f64, span: Duration, connections: usize) -> Plan {
    let arrivals = Arrivals::Fixed;
    Plan {
        pace: Pace::Open { rate, arrivals },
        until: Until::Time(span),
        connections,
        ..plan(1)
    }
}

/// Minimum, mean and maximum of `spans`, in microseconds.
fn figures(spans: &Histogram) -> [u64; 3] {
    let mean = spans.mean().round() as u64;
    [spans.min(), mean, spans.max()].map(|nanoseconds| nanoseconds / 1000)
}

/// Times in milliseconds after `begun`.
fn moments(times: &[Time], begun: Time) -> Vec<u128> {
    let since = |time: &Time| time.since(begun).as_millis();
    times.iter().map(since).collect()
}

#[track_caller]
fn check_clean(played: &Played, answered: u64) {
    let tally = &played.tally;
    let failures: Vec<String> = tally.failures.iter().map(ToString::to_string).collect();
    assert_eq!((tally.errors.total(), tally.unsent), (0, 0), "{failures:?}");
    assert_eq!(tally.answered, answered);
}

#[test]
fn service_time_of_a_closed_loop_runs_from_the_send() {
    for milliseconds in [1_u32, 30, 700] {
        let played = Stage::new(plan(50)).play(after(milliseconds));
        check_clean(&played, 50);
        let exact = u64::from(milliseconds) * 1000;
        assert_eq!(figures(&played.tally.service), [exact; 3]);
        assert_eq!(played.tally.response.count(), 0);
    }
}

#[test]
fn requests_in_a_pipeline_are_timed_each_from_its_own_send() {
    let plan = Plan {
        connections: 1,
        pipeline: 4,
        ..plan(4)
    };
    // All four are sent at once and answered one after the other.
    let played = Stage::new(plan.clone()).play(after(10));
    check_clean(&played, 4);
    assert_eq!(figures(&played.tally.service), [10_000, 25_000, 40_000]);
    // From then on, the reply to request n - 4 releases request n.
    let played = Stage::new(Plan {
        until: Until::Requests(40),
        ..plan
    });
    let played = played.play(after(10));
    check_clean(&played, 40);
    assert_eq!(figures(&played.tally.service), [10_000, 38_500, 40_000]);
}

#[test]
fn below_its_capacity_a_server_has_the_same_service_and_response_time() {
    let played = Stage::new(open_loop(100.0, Duration::from_secs(1), 4)).play(after(25));
    check_clean(&played, 100);
    let tally = &played.tally;
    assert_eq!(figures(&tally.service), [25_000; 3]);
    assert_eq!(figures(&tally.response), [25_000; 3]);
    assert_eq!(figures(&tally.lateness), [0; 3]);
    assert_eq!(tally.lateness.count(), 100);
}

#[test]
fn above_its_capacity_a_server_is_charged_by_response_time_alone() {
    // One request is due every 10 ms, and one is answered every 20 ms.
    let span = Duration::from_millis(200);
    let played = Stage::new(open_loop(100.0, span, 1)).play(after(20));
    check_clean(&played, 20);
    let tally = &played.tally;
    assert_eq!(figures(&tally.service), [20_000; 3]);
    assert_eq!(figures(&tally.response), [20_000, 115_000, 210_000]);
    // No connection was free, so this is not lateness of the generator.
    assert_eq!(figures(&tally.lateness), [0; 3]);
}

#[test]
fn a_request_that_waits_for_a_single_slow_reply_is_charged_from_its_schedule() {
    let slow = |asked: &Asked<'_>| {
        let span = if asked.request == 10 { 500 } else { 1 };
        Deed::after(span * MILLISECOND, asked.bytes)
    };
    let played = Stage::new(open_loop(100.0, Duration::from_secs(1), 1)).play(slow);
    check_clean(&played, 100);
    let tally = &played.tally;
    // One reply was slow; the 49 requests that became due meanwhile had to wait.
    assert_eq!(tally.service.percentile(98.0) / 1_000_000, 1);
    assert_eq!(tally.service.max(), 500_000_000);
    assert!(tally.response.percentile(60.0) > 40_000_000);
    assert_eq!(tally.response.max(), 500_000_000);
}

#[test]
fn a_generator_that_is_not_let_run_shows_in_response_time_and_not_in_service_time() {
    let mut stage = Stage::new(open_loop(100.0, Duration::from_secs(2), 10));
    // The stop falls between two requests, when nothing is in flight.
    let stop = |at: u64| {
        (
            stage.go + Duration::from_millis(at),
            Duration::from_millis(300),
        )
    };
    stage.stops = [205, 1205].map(stop).to_vec();
    let played = stage.play(after(1));
    check_clean(&played, 200);
    let tally = &played.tally;
    assert_eq!(figures(&tally.service), [1000; 3]);
    // The request is due 5 ms after the begin of the stop and sent at its end, in both stops.
    assert_eq!(tally.lateness.max(), 295_000_000);
    assert_eq!(tally.response.max(), 296_000_000);
    // 30 requests were due in each stop, and 25 of them waited longer than 50 ms.
    let below = |spans: &Histogram, percent| spans.percentile(percent) < 50_000_000;
    assert!(below(&tally.response, 74.0) && !below(&tally.response, 76.0));
    // Ten connections were free all the time, so ten requests of each stop are lateness of the
    // generator.
    assert!(below(&tally.lateness, 89.0) && !below(&tally.lateness, 91.0));
}

#[test]
fn a_reply_that_a_stopped_generator_finds_late_is_late_for_both() {
    let mut stage = Stage::new(open_loop(100.0, Duration::from_secs(1), 1));
    // The stop begins half a millisecond after a send.
    let at = stage.go + Duration::from_micros(200_500);
    stage.stops = vec![(at, Duration::from_millis(100))];
    let played = stage.play(after(1));
    check_clean(&played, 100);
    assert_eq!(played.tally.service.max(), 100_500_000);
    assert_eq!(played.tally.response.max(), 100_500_000);
}

#[test]
fn only_requests_of_the_window_are_measured_and_those_of_before_are_told_apart() {
    let warmup = Duration::from_millis(100);
    let slow_first = |asked: &Asked<'_>| {
        let span = if asked.request < 5 { 30 } else { 10 };
        Deed::after(span * MILLISECOND, asked.bytes)
    };
    let plan = Plan {
        connections: 1,
        warmup,
        until: Until::Time(Duration::from_millis(200)),
        ..plan(1)
    };
    // The window begins at 100 ms. Requests are sent at 0, 30, 60 and 90 ms; the last of them is
    // answered at 120 ms.
    let played = Stage::new(plan).play(slow_first);
    let tally = &played.tally;
    assert_eq!(tally.errors.total(), 0);
    assert_eq!(figures(&tally.service), [10_000, 11_250, 30_000]);
    assert_eq!(tally.longest_carried_ns, 30_000_000);
    // Replies arrive at 120 ms, 150 ms, and every 10 ms until 290 ms. The reply to the request of
    // 290 ms arrives after the end of the window.
    assert_eq!((tally.completed, tally.answered), (16, 16));
}

#[test]
fn replies_behind_the_window_are_waited_for_and_timed_in_full() {
    for (milliseconds, answered, unfinished) in [(1900, 1, 0), (2300, 0, 1)] {
        let plan = Plan {
            connections: 1,
            until: Until::Time(Duration::from_millis(100)),
            ..plan(1)
        };
        let tally = Stage::new(plan).play(after(milliseconds)).tally;
        let counts = (tally.answered, tally.unfinished);
        assert_eq!(counts, (answered, unfinished), "{milliseconds}");
        assert_eq!(tally.errors.total(), 0);
        assert_eq!(tally.completed, 0, "the window was over");
        if answered > 0 {
            assert_eq!(tally.service.max(), 1_900_000_000);
        }
    }
}

#[test]
fn the_ramp_spreads_the_connections_evenly_before_the_load() {
    for (ramp, step) in [(400, 80), (2000, 400)] {
        let plan = Plan {
            ramp: Duration::from_millis(ramp),
            ..plan(20)
        };
        let played = Stage::new(plan).play(after(1));
        check_clean(&played, 20);
        let opened = moments(&played.seen.connections, played.begun);
        let evenly: Vec<u128> = (0..5).map(|number| number * step).collect();
        assert_eq!(opened, evenly);
        let asked = moments(&played.seen.requests, played.begun);
        assert_eq!(asked[0], u128::from(ramp) + 10, "the load comes behind it");
    }
}

#[test]
fn workers_share_a_schedule_without_a_gap() {
    let plan = Plan {
        threads: 2,
        ..open_loop(100.0, Duration::from_millis(200), 4)
    };
    let asked = [0, 1].map(|index| {
        let stage = Stage {
            index,
            ..Stage::new(plan.clone())
        };
        let played = stage.play(after(1));
        check_clean(&played, 10);
        moments(&played.seen.requests, played.begun)
    });
    let mut all = asked.concat();
    all.sort_unstable();
    let due: Vec<u128> = (0..20).map(|number| 10 + 10 * number).collect();
    assert_eq!(all, due);
}

#[test]
fn under_churn_the_time_of_a_request_begins_before_its_connection() {
    for pace in [Pace::Closed, open_loop(100.0, MILLISECOND, 1).pace] {
        let plan = Plan {
            churn: true,
            connections: 2,
            pace,
            ..plan(20)
        };
        let played = Stage::new(plan).play(after(5));
        check_clean(&played, 20);
        assert_eq!(figures(&played.tally.service), [5000; 3]);
        assert_eq!(played.seen.connections.len(), 20);
        // Each connects without delay, long after the first request of its slot.
        let connect = &played.tally.connect;
        assert_eq!((connect.count(), connect.max()), (20, 0));
    }
}

/// An HTTP page, with `Connection: close` or without.
fn page(is_last: bool) -> Vec<u8> {
    let close = if is_last { "Connection: close\r\n" } else { "" };
    format!("HTTP/1.1 200 OK\r\n{close}Content-Length: 5\r\n\r\nhello").into_bytes()
}

#[test]
fn requests_that_are_said_again_go_on_with_their_first_times() {
    // Requests are due at 0, 40, 80 and 120 ms. Each connection answers one request, 200 ms after
    // it was sent.
    let plan = Plan {
        protocol: Protocol::Http,
        connections: 1,
        pipeline: 4,
        ..open_loop(25.0, Duration::from_millis(160), 1)
    };
    let one = |_: &Asked<'_>| Deed::after(200 * MILLISECOND, page(true)).then(Then::Ends);
    let played = Stage::new(plan).play(one);
    check_clean(&played, 4);
    assert_eq!(played.seen.connections.len(), 4);
    assert_eq!(played.tally.connect.max(), 0);
    // The replies arrive at 200, 400, 600 and 800 ms.
    let response = &played.tally.response;
    assert_eq!(figures(response), [200_000, 440_000, 680_000]);
    assert_eq!(figures(&played.tally.service), figures(response));
}
