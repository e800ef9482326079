//! The cost of a server in a run, from two samples of its process.
//!
//! The cost per request is the processor time over the sampled window, divided by the replies of
//! the same run. A value that could not be read, or whose divisor is 0, is `None`. Neighbours:
//! `observe` reads the samples, `figures` holds the result.

use crate::load::run::Outcome;
use crate::load::run::observe::Usage;

/// The cost of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerCost {
    /// Processor time per request, in nanoseconds.
    pub cpu_ns_per_request: Option<f64>,
    /// The part of the processor time in user mode, from 0 to 1; `None` without a tick.
    pub user_share: Option<f64>,
    /// Clock ticks of processor time, 10 ms each.
    pub ticks: Option<u64>,
    /// The mean number of processors in use.
    pub cpus: Option<f64>,
    /// Resident memory at the end.
    pub resident_bytes: Option<u64>,
    /// Growth of resident memory since before the first connection, per connection. The session
    /// sets it.
    pub bytes_per_connection: Option<f64>,
    /// Context switches per request.
    pub switches_per_request: Option<f64>,
    /// Number of threads at the end.
    pub threads: Option<u64>,
    /// The server's processor time divided by the generator's.
    pub cpu_ratio_to_client: Option<f64>,
}

impl ServerCost {
    /// A cost with every value known; the names of the figures are looked up in it.
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

    /// Computes the cost from the samples of a run. `sampled_ns` is the time between the samples,
    /// `replies` the replies in that time, and `client_ns` the generator's processor time. `None`
    /// if no process was sampled; the error says why the cost is not known.
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

/// `part / whole`; `None` when `whole` is 0.
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
