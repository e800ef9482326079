//! The figures of a run: every value that is printed, asserted or compared, computed in one place.
//!
//! Each figure has one name and one unit; the reports only format them. *Service time* starts at
//! the send, *response time* when the request was due. Each request that was due is answered,
//! failed, unfinished or unsent. A figure that is not known is `None`. Neighbours: `tally` and
//! `observe` measure, `cost` holds the server's part.

use crate::base::histogram::Histogram;

use super::cost::{ServerCost, ratio};
use crate::load::run::Outcome;
use crate::load::worker::tally::{Errors, Tally};

/// Statistics of one kind of time span, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spans {
    /// The number of spans.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
    /// The values at [`PERCENTS`].
    pub percentiles: [u64; PERCENTS.len()],
}

/// The reported percentiles and their names.
pub const PERCENTS: [(f64, &str); 5] = [
    (50.0, "p50"),
    (90.0, "p90"),
    (99.0, "p99"),
    (99.9, "p99.9"),
    (99.99, "p99.99"),
];

impl Spans {
    /// The statistics of `histogram`; `None` if nothing was recorded.
    #[inline(never)]
    pub fn of(histogram: &Histogram) -> Option<Spans> {
        (histogram.count() > 0).then(|| Spans {
            count: histogram.count(),
            mean: histogram.mean(),
            deviation: histogram.deviation(),
            min: histogram.min(),
            max: histogram.max(),
            percentiles: PERCENTS.map(|(percent, _)| histogram.percentile(percent)),
        })
    }

    fn named(&self, name: &str) -> Option<f64> {
        match name {
            "mean" => Some(self.mean),
            "min" => Some(self.min as f64),
            "max" => Some(self.max as f64),
            _ => {
                let index = PERCENTS.iter().position(|(_, percent)| *percent == name)?;
                Some(self.percentiles[index] as f64)
            }
        }
    }
}

/// The histograms of one server, over all its runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histograms {
    /// Time from the send to the reply.
    pub service: Histogram,
    /// Time from when the request was due to the reply.
    pub response: Histogram,
    /// Time from connect(2) to the established connection.
    pub connect: Histogram,
    /// How late requests were sent.
    pub lateness: Histogram,
}

impl Histograms {
    /// Adds those of one run.
    pub fn add(&mut self, tally: &Tally) {
        self.service.merge(&tally.service);
        self.response.merge(&tally.response);
        self.connect.merge(&tally.connect);
        self.lateness.merge(&tally.lateness);
    }

    /// Adds those of another server or generator.
    pub fn merge(&mut self, other: &Histograms) {
        self.service.merge(&other.service);
        self.response.merge(&other.response);
        self.connect.merge(&other.connect);
        self.lateness.merge(&other.lateness);
    }

    /// The latency that counts; see [`Figures::latency`].
    pub fn latency(&self) -> &Histogram {
        match self.response.count() {
            0 => &self.service,
            _ => &self.response,
        }
    }
}

/// What a run needs so that a figure can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Every run measures it.
    Nothing,
    /// An open loop with a schedule of due times.
    Schedule,
    /// Connections with a handshake.
    Handshake,
    /// Replies with a status.
    Statuses,
    /// A server with a known process.
    Process,
}

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// The start of the measured window by the wall clock, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// The length of the measured window in seconds.
    pub elapsed_s: f64,
    /// Requests that were due in the window.
    pub due: u64,
    /// How many of those were answered.
    pub requests: u64,
    /// How many of those failed.
    pub failed: u64,
    /// How many of those were in flight when the run ended.
    pub unfinished: u64,
    /// How many of those were never sent, or were not sent before a signal ended the run.
    pub unsent: u64,
    /// Replies in the window, whenever their requests were due.
    pub replies: u64,
    /// Replies per second.
    pub rate: f64,
    /// Bytes received per second.
    pub bytes_rate: f64,
    /// Failed requests, and answered ones whose HTTP status is 4xx or 5xx.
    pub errors: u64,
    /// Errors by kind.
    pub kinds: Errors,
    /// Connections that were opened again since the start of the window. They are no errors.
    pub reconnects: u64,
    /// The longest pause before one of them, in nanoseconds.
    pub longest_pause_ns: u64,
    /// Connections that were asked for and did not stand at the end of the window.
    pub missing: u64,
    /// Answered requests by HTTP status, in order; `None` for other protocols.
    pub statuses: Option<Vec<(u16, u64)>>,
    /// Requests in flight when a signal ended the run, including those of the warm-up.
    pub cut_off: u64,
    /// Datagrams that arrived after their request was given up, or arrived twice.
    pub late: u64,
    /// Requests of the warm-up without a reply. They are not errors of the window.
    pub lost_in_warmup: u64,
    /// Whether a signal ended the run. Open requests are then not counted as failures.
    pub interrupted: bool,
    /// Time from the send to the reply.
    pub service: Option<Spans>,
    /// The longest service time, in nanoseconds, of requests from before the window.
    pub longest_carried_ns: u64,
    /// Closed loop: the mean time from a reply to the next send, in nanoseconds. It belongs to no
    /// service time.
    pub held_mean_ns: f64,
    /// Time from when the request was due to the reply (open loop).
    pub response: Option<Spans>,
    /// Time from connect(2) to the established connection, for load connections.
    pub connect: Option<Spans>,
    /// Established connections, including idle ones and those of the warm-up.
    pub connections: u64,
    /// How late requests were sent (open loop).
    pub lateness: Option<Spans>,
    /// The CPU share of the busiest generator thread, from 0 to 1.
    pub client_cpu_share: Option<f64>,
    /// The largest share of time in which a generator thread was runnable but not running.
    pub client_wait_share: Option<f64>,
    /// The generator's processor time per request, in nanoseconds.
    pub client_cpu_ns_per_request: Option<f64>,
    /// The share of the machine's time that the hypervisor gave to other guests (steal).
    pub steal_share: Option<f64>,
    /// The cost of the server, if its process is known.
    pub server: Option<ServerCost>,
    /// Why the cost is not known, although a process was named.
    pub server_unknown: Option<String>,
}

impl Figures {
    /// Computes the figures from the measurements of a run.
    pub fn of(outcome: &Outcome) -> Figures {
        let tally = &outcome.tally;
        let elapsed_s = outcome.elapsed_ns as f64 / 1e9;
        let per_second = |count: u64| {
            if elapsed_s > 0.0 {
                count as f64 / elapsed_s
            } else {
                0.0
            }
        };
        let rate = per_second(tally.completed);
        let sampled_ns = outcome.end.at.since(outcome.begin.at).as_nanos() as f64;
        // The samples are taken slightly off the ends of the window, so the cost per request is a
        // quotient of two rates. In a run by a count, the samples enclose all replies.
        let sampled_requests = match outcome.counted {
            true => tally.completed as f64,
            false => rate * sampled_ns / 1e9,
        };
        let spent = since(&outcome.begin.workers_ns, &outcome.end.workers_ns);
        let waited = since(&outcome.begin.waited_ns, &outcome.end.waited_ns);
        let most = |spans: &[u64]| spans.iter().max().map_or(0.0, |&ns| ns as f64);
        let share = |spans: Option<&Vec<u64>>| ratio(most(spans?), sampled_ns);
        let client_ns = spent.as_ref().map(|spent| spent.iter().sum::<u64>() as f64);
        let cost = ServerCost::of(outcome, sampled_ns, sampled_requests, client_ns);
        let (server, server_unknown) = match cost {
            Some(Ok(cost)) => (Some(cost), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        Figures {
            started_unix_ns: outcome.begin.unix_ns,
            elapsed_s,
            due: tally.due(),
            requests: tally.answered,
            failed: tally.errors.failed,
            unfinished: tally.unfinished,
            unsent: tally.unsent,
            replies: tally.completed,
            rate,
            bytes_rate: per_second(tally.received_bytes),
            errors: tally.errors(),
            kinds: tally.errors,
            reconnects: tally.reconnects,
            longest_pause_ns: tally.longest_pause_ns,
            missing: tally.missing,
            statuses: tally.has_statuses.then(|| tally.statuses.seen().collect()),
            cut_off: tally.cut_off,
            late: tally.late,
            lost_in_warmup: tally.lost_in_warmup,
            interrupted: outcome.interrupted.is_some(),
            service: Spans::of(&tally.service),
            longest_carried_ns: tally.longest_carried_ns,
            held_mean_ns: tally.held_ns as f64 / tally.begun.max(1) as f64,
            response: Spans::of(&tally.response),
            connect: Spans::of(&tally.connect),
            connections: tally.connections,
            lateness: Spans::of(&tally.lateness),
            client_cpu_share: share(spent.as_ref()),
            client_wait_share: share(waited.as_ref()),
            client_cpu_ns_per_request: client_ns.and_then(|ns| ratio(ns, sampled_requests)),
            steal_share: outcome.end.host.steal_since(&outcome.begin.host),
            server,
            server_unknown,
        }
    }

    /// The errors by kind: the name for programs, the words for the report (singular, plural, and
    /// what happened), and the count. A broken connection counts once, regardless of the number of
    /// requests in flight.
    pub fn errors_by_kind(&self) -> [(&'static str, [&'static str; 3], u64); 5] {
        let kinds = &self.kinds;
        let connections = |how| ["connection", "connections", how];
        let requests = |how| ["request", "requests", how];
        [
            (
                "connections_not_opened",
                connections("not opened"),
                kinds.connect,
            ),
            (
                "connections_closed",
                connections("closed by the server"),
                kinds.closed,
            ),
            ("connections_broken", connections("broken"), kinds.broken),
            (
                "connections_wrong",
                connections("with a wrong reply"),
                kinds.wrong,
            ),
            (
                "requests_unanswered",
                requests("never answered"),
                kinds.unanswered,
            ),
        ]
    }

    /// Answered requests whose status is of `class`, 1 to 9: 5 for 5xx. `None` without statuses.
    pub fn status_class(&self, class: u16) -> Option<u64> {
        let statuses = self.statuses.as_ref()?.iter();
        let of_class = statuses.filter(|(status, _)| status / 100 == class);
        Some(of_class.fold(0, |sum, (_, count)| sum.saturating_add(*count)))
    }

    /// Failed requests, and connections with bytes that no request had asked for: what makes a run
    /// fail.
    pub fn failures(&self) -> u64 {
        self.failed.saturating_add(self.kinds.bare)
    }

    /// Requests that were sent and have no reply.
    pub fn unanswered(&self) -> u64 {
        self.kinds.unanswered.saturating_add(self.unfinished)
    }

    /// The latency that counts: response time in an open loop, service time in a closed loop.
    pub fn latency(&self) -> Option<&Spans> {
        self.response.as_ref().or(self.service.as_ref())
    }

    /// The figure `name`, times in nanoseconds; `None` when it was not measured. Unknown names are
    /// refused before a run by [`Figures::needs`].
    pub fn named(&self, name: &str) -> Option<f64> {
        match name {
            "rate" => Some(self.rate),
            "due" => Some(self.due as f64),
            "requests" | "answered" => Some(self.requests as f64),
            "failed" => Some(self.failed as f64),
            "unfinished" => Some(self.unfinished as f64),
            "unsent" => Some(self.unsent as f64),
            "errors" => Some(self.errors as f64),
            "unanswered" => Some(self.unanswered() as f64),
            "reconnects" => Some(self.reconnects as f64),
            "status_1xx" | "status_2xx" | "status_3xx" | "status_4xx" | "status_5xx" => {
                let class = u16::from(name.as_bytes()["status_".len()] - b'0');
                self.status_class(class).map(|count| count as f64)
            }
            "bytes_rate" => Some(self.bytes_rate),
            "client_cpu" => self.client_cpu_ns_per_request,
            "cpu" => self.server?.cpu_ns_per_request,
            "cpu_ratio" => self.server?.cpu_ratio_to_client,
            "rss" => Some(self.server?.resident_bytes? as f64),
            _ => match name.split_once(':') {
                Some(("service", name)) => self.service.as_ref()?.named(name),
                Some(("response", name)) => self.response.as_ref()?.named(name),
                Some(("connect", name)) => self.connect.as_ref()?.named(name),
                Some(_) => None,
                None => self.latency()?.named(name),
            },
        }
    }

    /// What a run needs to measure `name`; `None` for an unknown name.
    pub fn needs(name: &str) -> Option<Needs> {
        let all = Figures {
            service: Some(Spans::default()),
            response: Some(Spans::default()),
            connect: Some(Spans::default()),
            client_cpu_ns_per_request: Some(0.0),
            server: Some(ServerCost::known()),
            statuses: Some(Vec::new()),
            ..Figures::default()
        };
        all.named(name)?;
        let (mut closed, mut silent, mut unknown) = (all.clone(), all.clone(), all.clone());
        (closed.response, silent.connect, unknown.server) = (None, None, None);
        let mut plain = all;
        plain.statuses = None;
        Some(match name {
            _ if closed.named(name).is_none() => Needs::Schedule,
            _ if silent.named(name).is_none() => Needs::Handshake,
            _ if unknown.named(name).is_none() => Needs::Process,
            _ if plain.named(name).is_none() => Needs::Statuses,
            _ => Needs::Nothing,
        })
    }
}

/// The increase of each value between two samples; `None` when a value is not known.
fn since(begin: &[Option<u64>], end: &[Option<u64>]) -> Option<Vec<u64>> {
    let grown =
        |(begin, end): (&Option<u64>, &Option<u64>)| Some((*end)?.saturating_sub((*begin)?));
    begin.iter().zip(end).map(grown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_without_a_kind_is_the_latency_that_counts() {
        let spans = |value| {
            Some(Spans {
                percentiles: [value; PERCENTS.len()],
                ..Spans::default()
            })
        };
        let mut figures = Figures {
            service: spans(5),
            ..Figures::default()
        };
        assert_eq!(figures.named("p99"), Some(5.0));
        figures.response = spans(9);
        assert_eq!(
            (figures.named("p99"), figures.named("service:p99")),
            (Some(9.0), Some(5.0))
        );
        assert_eq!(figures.named("connect:p99"), None);
    }

    #[test]
    fn a_short_run_by_a_count_is_charged_for_its_own_requests_alone() {
        let mut outcome = Outcome {
            counted: true,
            elapsed_ns: 1_000_000,
            ..Outcome::default()
        };
        (outcome.tally.completed, outcome.tally.answered) = (100, 100);
        (outcome.begin.workers_ns, outcome.end.workers_ns) = (vec![Some(0)], vec![Some(1_000_000)]);
        outcome.end.at = crate::base::time::Time::from_nanos(11_000_000);
        let figures = Figures::of(&outcome);
        assert_eq!(figures.client_cpu_ns_per_request, Some(10_000.0));
        outcome.end.workers_ns = vec![None];
        assert_eq!(Figures::of(&outcome).client_cpu_ns_per_request, None);
    }

    #[test]
    fn names_are_known_before_anything_was_measured() {
        for (name, needs) in [
            ("rate", Needs::Nothing),
            ("errors", Needs::Nothing),
            ("due", Needs::Nothing),
            ("answered", Needs::Nothing),
            ("failed", Needs::Nothing),
            ("unfinished", Needs::Nothing),
            ("reconnects", Needs::Nothing),
            ("p50", Needs::Nothing),
            ("p99.9", Needs::Nothing),
            ("service:p99", Needs::Nothing),
            ("client_cpu", Needs::Nothing),
            ("response:max", Needs::Schedule),
            ("connect:mean", Needs::Handshake),
            ("status_2xx", Needs::Statuses),
            ("status_5xx", Needs::Statuses),
            ("cpu", Needs::Process),
            ("cpu_ratio", Needs::Process),
            ("rss", Needs::Process),
        ] {
            assert_eq!(Figures::needs(name), Some(needs), "{name}");
        }
        for name in [
            "status_6xx",
            "status_500",
            "p98",
            "service:",
            "service:rate",
            "",
        ] {
            assert_eq!(Figures::needs(name), None, "{name}");
        }
    }
}
