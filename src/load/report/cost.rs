//! What a server cost in a run, from two samples of its process.
//!
//! Costs for a request come from the processors' time over the sampled window and the rate of the
//! same run. What could not be read, or has nothing to be divided by, is `None`. Neighbours:
//! `observe` reads the samples, `figures` holds the result.

use crate::load::run::Outcome;
use crate::load::run::observe::Usage;

/// What the server cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerCost {
    /// Processor time for a request, in nanoseconds.
    pub cpu_ns_per_request: Option<f64>,
    /// The part of it in user mode, between 0 and 1, where a tick was counted.
    pub user_share: Option<f64>,
    /// Ticks of the clock that its time was counted in, 10 ms each.
    pub ticks: Option<u64>,
    /// Processors in use on average.
    pub cpus: Option<f64>,
    /// Memory that was resident at the end.
    pub resident_bytes: Option<u64>,
    /// Memory that came after the server was first seen, for each connection; known to the session.
    pub bytes_per_connection: Option<f64>,
    /// Context switches for a request.
    pub switches_per_request: Option<f64>,
    /// Threads at the end.
    pub threads: Option<u64>,
    /// Its processor time over the generator's.
    pub cpu_ratio_to_client: Option<f64>,
}

impl ServerCost {
    /// A cost of which everything is known, to ask for the names of figures.
    pub fn known() -> ServerCost {
        ServerCost {
            cpu_ns_per_request: Some(0.0),
            user_share: Some(0.0),
            ticks: Some(0),
            cpus: Some(0.0),
            resident_bytes: Some(0),
            bytes_per_connection: Some(0.0),
            switches_per_request: Some(0.0),
            threads: Some(0),
            cpu_ratio_to_client: Some(0.0),
        }
    }

    /// From the samples of a run that took `sampled_ns`, brought `replies` meanwhile and took
    /// `client_ns` of the generator. `None` without a process to look at; the error says why its
    /// cost is not known.
    pub fn of(
        outcome: &Outcome,
        sampled_ns: f64,
        replies: f64,
        client_ns: Option<f64>,
    ) -> Option<Result<ServerCost, String>> {
        let samples = match (&outcome.begin.server, &outcome.end.server) {
            (Some(Err(why)), _) | (_, Some(Err(why))) => return Some(Err(why.clone())),
            (Some(Ok(begin)), Some(Ok(end))) => (begin, end),
            _ => return None,
        };
        Some(Ok(ServerCost::between(
            samples, sampled_ns, replies, client_ns,
        )))
    }

    fn between(
        (begin, end): (&Usage, &Usage),
        sampled_ns: f64,
        replies: f64,
        client_ns: Option<f64>,
    ) -> ServerCost {
        let cpu_ns = end.cpu_ns_since(begin) as f64;
        let switches = end.switches.zip(begin.switches);
        let switches = switches.map(|(end, begin)| end.saturating_sub(begin) as f64);
        ServerCost {
            cpu_ns_per_request: ratio(cpu_ns, replies),
            user_share: end.user_share_since(begin),
            ticks: end.ticks_since(begin),
            cpus: ratio(cpu_ns, sampled_ns),
            resident_bytes: end.resident_bytes,
            bytes_per_connection: None,
            switches_per_request: switches.and_then(|switches| ratio(switches, replies)),
            threads: end.threads,
            cpu_ratio_to_client: client_ns.and_then(|client_ns| ratio(cpu_ns, client_ns)),
        }
    }
}

/// A part of a whole; not known when there is no whole.
pub(in crate::load) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::run::Sample;

    fn outcome(begin: Result<Usage, String>, end: Result<Usage, String>) -> Outcome {
        let sample = |server| Sample {
            server: Some(server),
            ..Sample::default()
        };
        Outcome {
            begin: sample(begin),
            end: sample(end),
            ..Outcome::default()
        }
    }

    fn usage(running_ns: u64) -> Usage {
        Usage {
            running_ns,
            switches: Some(5),
            ..Usage::default()
        }
    }

    #[test]
    fn a_part_that_is_not_known_leaves_the_others() {
        let outcome = outcome(Ok(usage(0)), Ok(usage(1000)));
        let cost = ServerCost::of(&outcome, 2000.0, 10.0, None);
        let cost = cost.expect("a process").expect("it can be read");
        let expected = ServerCost {
            cpu_ns_per_request: Some(100.0),
            cpus: Some(0.5),
            switches_per_request: Some(0.0),
            ..ServerCost::default()
        };
        assert_eq!(cost, expected);
    }

    #[test]
    fn without_replies_no_request_has_a_cost() {
        let outcome = outcome(Ok(usage(0)), Ok(usage(1000)));
        let cost = ServerCost::of(&outcome, 2000.0, 0.0, Some(500.0));
        let cost = cost.expect("a process").expect("it can be read");
        assert_eq!(
            (cost.cpu_ns_per_request, cost.switches_per_request),
            (None, None)
        );
        assert_eq!(cost.cpu_ratio_to_client, Some(2.0));
    }

    #[test]
    fn the_reason_why_a_cost_is_not_known_is_kept() {
        for (begin, end) in [
            (Err("hidden".to_owned()), Ok(usage(1))),
            (Ok(usage(1)), Err("hidden".to_owned())),
        ] {
            let cost = ServerCost::of(&outcome(begin, end), 1.0, 1.0, None);
            assert_eq!(cost, Some(Err("hidden".to_owned())));
        }
        assert_eq!(
            ServerCost::of(&Outcome::default(), 1.0, 1.0, None),
            None,
            "no process was named"
        );
    }
}
