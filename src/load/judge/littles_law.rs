//! Little's law, applied to a run of a closed loop: requests in flight = rate x time in flight.
//!
//! Each connection keeps a fixed number of requests in flight. A request is either in flight, for
//! its service time, or held by the generator, from the reply before it to its own send. Rate,
//! service time and held time are measured independently, and rate x (service + held) is the plan.
//! A fast server answers many connections within one turn of the generator, which then serves one
//! after the other. So the held time is up to half of the loop on any fast local server; it lowers
//! the rate, belongs to no service time, and is no reason for doubt: it is printed. Any other
//! deviation means that one of the figures is wrong.
//!
//! The *tolerance* is the sum of three parts. First, a tenth. Second, the longest service time at
//! either end of the window, because that much of the sum may belong to requests that began before
//! the window or ended after it. Third, half of the generator's own CPU time, some of which lies
//! before the first send of a short run. The tolerance is printed beside the figure.

use super::checks::Check;
use crate::load::plan::Plan;
use crate::load::report::figures::Figures;

/// The relative deviation that is always accepted.
const TOLERANCE: f64 = 0.1;
/// The part of the generator's work on a request that lies before its send is timed.
const BEGINNING: f64 = 0.5;
/// The shortest window that is judged, in seconds: ten turns of the scheduler. In a shorter one, a
/// single pause of the generator is more than the tolerance.
const WINDOW_MIN_S: f64 = 0.1;

/// Applies the law to `figures`. The result is reported but not judged with `shared_core`, where
/// both sides wait for each other by design, in a window below `WINDOW_MIN_S`, and after failures
/// and reconnects, because a broken connection has nothing in flight.
pub fn check(plan: &Plan, figures: &Figures, shared_core: bool) -> Option<Check> {
    let service = figures.service?;
    let asked = (plan.connections * plan.pipeline) as f64;
    let in_flight = figures.rate * service.mean / 1e9;
    let held = figures.rate * figures.held_mean_ns / 1e9;
    let found = in_flight + held;
    let edges_ns = service.max as f64 + figures.longest_carried_ns as f64;
    let edges = edges_ns / 1e9 / figures.elapsed_s;
    let client_ns = figures.client_cpu_ns_per_request.unwrap_or(0.0);
    let beginning = figures.rate * client_ns / 1e9 * BEGINNING / asked;
    let tolerance = TOLERANCE + edges + beginning;
    // The time of a request without a reply is in no service time.
    let without_reply = [
        figures.failures(),
        figures.unfinished,
        figures.lost_in_warmup,
    ];
    let unkept = [figures.reconnects, figures.missing];
    let is_kept = without_reply.iter().chain(&unkept).all(|&count| count == 0);
    let is_long = figures.elapsed_s >= WINDOW_MIN_S;
    let is_judged = !shared_core && is_kept && is_long && !figures.interrupted;
    let verdict = match found / asked - 1.0 {
        _ if is_judged && figures.rate == 0.0 => ": no reply came in the measured time",
        off if !is_judged || off.abs() <= tolerance || !tolerance.is_finite() => "",
        off if off < 0.0 => ": some were missing, so rate or service time is wrong; measure longer",
        _ => ": there were not so many, so rate or service time is wrong; measure longer",
    };
    let decimals = if asked < 10.0 { 2 } else { 1 };
    let percent = tolerance * 100.0;
    let tolerance = match is_judged {
        true => format!(", tolerance {percent:.1} %"),
        false => ", not judged".to_owned(),
    };
    Some(Check::new(
        !verdict.is_empty(),
        format!(
            "rate x mean service time is {in_flight:.decimals$} requests in flight, and \
             {held:.decimals$} were in the generator, of {asked}{tolerance}{verdict}"
        ),
    ))
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
    fn time_that_the_generator_held_requests_is_told_and_no_reason_for_doubt() {
        for (name, span) in SPANS {
            for seed in 0..20 {
                let plan = plan(100);
                let mut figures = simulated(seed, &plan, 2e9, span, 2.5e5);
                figures.held_mean_ns = 2.5e5;
                let told = judge(&plan, &figures);
                assert!(!told.doubtful, "{name}, seed {seed}: {}", told.text);
                assert!(told.text.contains("were in the generator"), "{}", told.text);
            }
        }
    }

    #[test]
    fn a_missing_fifth_that_nothing_explains_is_a_doubt() {
        for (name, span) in SPANS {
            for seed in 0..20 {
                let plan = plan(100);
                let figures = simulated(seed, &plan, 2e9, span, 2.5e5);
                let told = judge(&plan, &figures);
                assert!(told.doubtful, "{name}, seed {seed}: {}", told.text);
                let missing = "some were missing";
                assert!(told.text.contains(missing) && told.text.contains("tolerance 1"));
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
    fn a_window_is_judged_from_its_shortest_length_on() {
        for (elapsed_s, doubtful) in [(0.0999, false), (0.1, true), (0.1001, true)] {
            let mut figures = simulated(1, &plan(10), 1e9, SPANS[0].1, 1e6);
            figures.elapsed_s = elapsed_s;
            assert_eq!(judge(&plan(10), &figures).doubtful, doubtful, "{elapsed_s}");
        }
    }

    #[test]
    fn what_is_not_judged_has_no_tolerance() {
        let mut figures = simulated(1, &plan(10), 1e9, SPANS[0].1, 1e6);
        figures.failed = 1;
        let told = judge(&plan(10), &figures);
        let text = "rate x mean service time is 5.0 requests in flight, and 0.0 were in the \
                    generator, of 10, not judged";
        assert_eq!((told.doubtful, told.text.as_str()), (false, text));
    }
}
