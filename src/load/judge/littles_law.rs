//! Little's law, applied to a run of a closed loop: requests in flight = rate x time in flight.
//!
//! Each connection keeps a fixed number of requests in flight. The rate and the mean service time
//! are measured independently, and their product is the mean number in flight. If the product is
//! lower than the plan, the missing part was between a reply and the next request. That time lowers
//! the rate and belongs to no service time. A higher product is impossible, so one of the figures
//! is wrong.
//!
//! The *tolerance* is the sum of three parts. First, a tenth. Second, the longest service time at
//! either end of the window, because that much of the sum may belong to requests that began before
//! the window or ended after it. Third, half of the generator's own part, which by the same law is
//! rate x generator processor time per request: its reads lie between a reply and the next request,
//! its writes and waits do not. With one connection, no other work lies in between. The tolerance
//! is printed beside the figure.

use super::checks::Check;
use crate::load::plan::Plan;
use crate::load::report::figures::Figures;

/// The relative deviation that is always accepted.
const TOLERANCE: f64 = 0.1;
/// The part of the generator's work that lies between a reply and the next request.
const READING: f64 = 0.5;

/// Applies the law to `figures`. The result is reported but not judged with `shared_core`, where
/// both sides wait for each other by design, and after failures, because a broken connection has
/// nothing in flight.
pub fn check(plan: &Plan, figures: &Figures, shared_core: bool) -> Option<Check> {
    let service = figures.service?;
    let asked = (plan.connections * plan.pipeline) as f64;
    let found = figures.rate * service.mean / 1e9;
    let edges_ns = service.max + figures.longest_carried_ns;
    let edges = edges_ns as f64 / 1e9 / figures.elapsed_s;
    let client_ns = figures.client_cpu_ns_per_request;
    let in_hand = figures.rate * client_ns.unwrap_or(0.0) / 1e9 * READING;
    let tolerance = TOLERANCE + edges + in_hand / asked;
    // The time of a request without a reply is in no service time.
    let without_reply = figures.errors + figures.unfinished + figures.lost_in_warmup;
    let is_whole = !shared_core && without_reply == 0 && !figures.interrupted;
    let is_judged = is_whole && client_ns.is_some();
    let verdict = match found / asked - 1.0 {
        _ if is_whole && figures.rate == 0.0 => ": no reply came in the measured time",
        _ if is_whole && !is_judged => ": the generator's CPU time is not known",
        off if !is_judged || off.abs() <= tolerance || !tolerance.is_finite() => "",
        off if off < 0.0 => ": the rest lay between a reply and the next request",
        _ => ": there were not so many, so rate or service time is wrong",
    };
    let decimals = if asked < 10.0 { 2 } else { 1 };
    let percent = tolerance * 100.0;
    let tolerance = match is_judged {
        true => format!(", tolerance {percent:.1} %"),
        false => ", not judged".to_owned(),
    };
    Some(Check {
        doubtful: !verdict.is_empty(),
        text: format!(
            "rate x mean service time is {found:.decimals$} of {asked} requests in flight\
             {tolerance}{verdict}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::load::report::figures::Spans;

    const WARMUP: f64 = 1e8;

    /// The duration of a request in nanoseconds.
    type Span = fn(&mut Random) -> f64;

    const SPANS: [(&str, Span); 3] = [
        ("fixed", |_| 1e6),
        ("exponential", |random| random.exponential(1e6)),
        ("one in a hundred stalls", |random| {
            match random.below(100) {
                0 => 5e7,
                _ => random.exponential(5e5),
            }
        }),
    ];

    /// The figures of a simulated closed loop: requests take `span`, each followed by `pause`.
    fn simulated(seed: u64, plan: &Plan, window: f64, span: Span, pause: f64) -> Figures {
        let mut random = Random::new(seed);
        let (mut replies, mut begun, mut sum) = (0, 0, 0.0);
        let (mut max, mut carried) = (0.0_f64, 0.0_f64);
        for _ in 0..plan.connections {
            // The connections start at different moments.
            let mut now = random.exponential(1e6);
            while now < WARMUP + window {
                let took = span(&mut random);
                if now >= WARMUP {
                    (begun, sum, max) = (begun + 1, sum + took, max.max(took));
                }
                let sent = now;
                now += took;
                if sent < WARMUP && now >= WARMUP {
                    carried = carried.max(took);
                }
                replies += u64::from(now >= WARMUP && now < WARMUP + window);
                now += pause;
            }
        }
        let service = Spans {
            mean: sum / f64::from(begun),
            max: max as u64,
            ..Spans::default()
        };
        Figures {
            elapsed_s: window / 1e9,
            rate: replies as f64 / window * 1e9,
            service: Some(service),
            longest_carried_ns: carried as u64,
            client_cpu_ns_per_request: Some(0.0),
            ..Figures::default()
        }
    }

    fn plan(connections: usize) -> Plan {
        Plan {
            connections,
            ..Plan::default()
        }
    }

    fn judge(plan: &Plan, figures: &Figures) -> Check {
        check(plan, figures, false).expect("there is a service time")
    }

    #[test]
    fn a_loop_that_asks_again_at_once_is_never_doubted() {
        for (name, span) in SPANS {
            for (connections, window) in [(1, 1e8), (1, 1e9), (10, 1e8), (100, 3e7), (100, 1e9)] {
                for seed in 0..20 {
                    let plan = plan(connections);
                    let figures = simulated(seed, &plan, window, span, 0.0);
                    let told = judge(&plan, &figures);
                    assert!(!told.doubtful, "{name}, seed {seed}: {}", told.text);
                }
            }
        }
    }

    #[test]
    fn the_work_of_a_client_with_one_connection_is_no_reason_for_doubt() {
        for (name, span) in SPANS {
            for seed in 0..20 {
                let plan = plan(1);
                let mut figures = simulated(seed, &plan, 2e9, span, 2e5);
                figures.client_cpu_ns_per_request = Some(4e5);
                let told = judge(&plan, &figures);
                assert!(!told.doubtful, "{name}, seed {seed}: {}", told.text);
            }
        }
    }

    #[test]
    fn a_missing_fifth_is_a_doubt_that_blames_neither_side() {
        for (name, span) in SPANS {
            for seed in 0..20 {
                let plan = plan(100);
                let figures = simulated(seed, &plan, 2e9, span, 2.5e5);
                let told = judge(&plan, &figures);
                assert!(told.doubtful, "{name}, seed {seed}: {}", told.text);
                let between = "lay between a reply and the next request";
                assert!(told.text.contains(between) && told.text.contains("tolerance 1"));
            }
        }
    }

    #[test]
    fn more_in_flight_than_were_asked_for_is_a_wrong_figure() {
        let mut figures = simulated(1, &plan(10), 1e9, SPANS[0].1, 0.0);
        figures.rate *= 1.2;
        let told = judge(&plan(10), &figures);
        assert!(
            told.doubtful && told.text.contains("is wrong"),
            "{}",
            told.text
        );
    }

    #[test]
    fn what_is_not_judged_has_no_tolerance() {
        let mut figures = simulated(1, &plan(10), 1e9, SPANS[0].1, 1e6);
        figures.errors = 1;
        let told = judge(&plan(10), &figures);
        let text = "rate x mean service time is 5.0 of 10 requests in flight, not judged";
        assert_eq!((told.doubtful, told.text.as_str()), (false, text));
    }

    #[test]
    fn a_run_whose_generator_is_not_known_is_doubted_and_not_judged() {
        let mut figures = simulated(1, &plan(10), 1e9, SPANS[0].1, 0.0);
        figures.client_cpu_ns_per_request = None;
        let told = judge(&plan(10), &figures);
        let text = "of 10 requests in flight, not judged: the generator's CPU time is not known";
        assert!(told.doubtful && told.text.ends_with(text), "{}", told.text);
    }
}
