//! The measurements of one worker: counts, histograms, and the first failure of each kind in full.
//!
//! All memory is allocated before the first request; later calls only add. The tallies of the
//! workers are merged once, at the end. A request belongs to the run if it *began* inside the
//! measured window: the request was sent then, or was due then in an open loop. Replies are still
//! accepted after the end of the window, so that slow requests are not lost.

use std::fmt;
use std::io;

use crate::base::histogram::Histogram;
use crate::base::text::plural::plural;

use super::statuses::Statuses;
use super::timeline::Timeline;
use crate::load::conversation::mismatch::Wrong;

/// Kinds of failures of which the first is kept in full; further ones are only counted.
const FAILURES_KEPT: usize = 16;

/// Why a connection broke.
#[derive(Debug)]
pub enum Cause {
    /// The connection could not be opened.
    Connect(io::Error),
    /// The peer ended the connection.
    Closed,
    /// The peer ended the connection behind the digest that answered its challenge.
    Unproven,
    /// Reading or writing failed.
    Broken(io::Error),
    /// The connection with this number broke before the load began.
    Early(usize, Box<Cause>),
    /// A local resource failed.
    Own(io::Error),
    /// The received bytes were not the expected ones.
    Wrong(Wrong),
    /// Replies were still missing at the end of the run.
    Silent,
    /// A reply that ends with its connection was incomplete at the end of the run.
    Endless,
}

impl Cause {
    /// Whether both causes are of one kind.
    fn is_like(&self, other: &Cause) -> bool {
        use std::mem::discriminant;
        let same = |one: &io::Error, other: &io::Error| {
            one.kind() == other.kind() && one.raw_os_error() == other.raw_os_error()
        };
        match (self, other) {
            (Cause::Connect(one), Cause::Connect(other))
            | (Cause::Broken(one), Cause::Broken(other))
            | (Cause::Own(one), Cause::Own(other)) => same(one, other),
            (Cause::Early(_, one), Cause::Early(_, other)) => one.is_like(other),
            (Cause::Wrong(one), Cause::Wrong(other)) => one.is_like(other),
            (one, other) => discriminant(one) == discriminant(other),
        }
    }

    /// The cause for an error while connecting. A refused connect fails with ECONNREFUSED. A reset
    /// means that the connection was established for a short time, unnoticed by the loop (tcp(7)).
    pub fn of_connecting(error: io::Error) -> Cause {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Cause::Broken(error),
            _ => Cause::Connect(error),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Connect(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                write!(
                    f,
                    "cannot connect: {error}: no local port is free, give --source-ip more"
                )
            }
            Cause::Connect(error) if error.kind() == io::ErrorKind::InvalidData => {
                write!(f, "TLS: {error}")
            }
            Cause::Connect(error) => write!(f, "cannot connect: {error}"),
            Cause::Closed => f.write_str("closed by the server"),
            Cause::Unproven => {
                f.write_str("the server refused the key: it ended its stream behind the digest")
            }
            Cause::Broken(error) | Cause::Own(error) => error.fmt(f),
            Cause::Early(connection, cause) => write!(f, "connection {connection}: {cause}"),
            Cause::Wrong(wrong) => wrong.fmt(f),
            Cause::Silent => f.write_str("never answered"),
            Cause::Endless => f.write_str(
                "the reply says no length, so it ends with its connection, which did not end",
            ),
        }
    }
}

/// A broken connection.
#[derive(Debug)]
pub struct Failure {
    /// The number of the connection, counted from 0 over all workers.
    pub connection: usize,
    /// Answered requests on this connection.
    pub answered: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// How many of those were due in the window and failed with the connection.
    pub failed: u64,
    /// Why the connection broke.
    pub cause: Cause,
    /// How many failures were like this one, itself included.
    pub count: u64,
}

impl Failure {
    /// Whether both failures would be told by the same line, except for numbers of connections and
    /// positions of bytes.
    fn is_like(&self, other: &Failure) -> bool {
        self.label() == other.label() && self.cause.is_like(&other.cause)
    }

    /// The label in a report. Requests that are only unfinished have not failed.
    pub fn label(&self) -> &'static str {
        match self.cause {
            Cause::Silent | Cause::Endless if self.failed == 0 => "unfinished",
            _ => "failed",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure {
            connection,
            answered,
            in_flight,
            cause,
            count,
            ..
        } = self;
        let replies = plural(*answered, "reply", "replies");
        let times = match count {
            0 | 1 => String::new(),
            count => format!("{count} times, first "),
        };
        write!(
            f,
            "{times}connection {connection}: {cause} (after {replies}, {in_flight} in flight)"
        )
    }
}

/// Failed requests, and failures by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Requests that were due in the window and failed for any reason.
    pub failed: u64,
    /// Connections that received bytes while no request was in flight. No request has failed.
    pub bare: u64,
    /// Connections that could not be opened.
    pub connect: u64,
    /// Connections that the server ended before the reply.
    pub closed: u64,
    /// Connections on which a read or a write failed.
    pub broken: u64,
    /// Connections that received wrong bytes.
    pub wrong: u64,
    /// Requests given up because the reply took too long. Their connection stayed open.
    pub unanswered: u64,
}

impl Errors {
    /// What makes a run fail: each failed request once, and each connection with bytes that no
    /// request had asked for once.
    pub fn total(&self) -> u64 {
        self.failed.saturating_add(self.bare)
    }

    /// Counts a given-up request of the window.
    pub fn time_out(&mut self) {
        self.failed += 1;
        self.unanswered += 1;
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: &Errors) {
        self.failed += other.failed;
        self.bare += other.bare;
        self.connect += other.connect;
        self.closed += other.closed;
        self.broken += other.broken;
        self.wrong += other.wrong;
        self.unanswered += other.unanswered;
    }
}

/// The measurements of one worker, or of all workers.
///
/// Each request that was due in the window has exactly one outcome:
/// `begun + unsent = answered + errors.failed + unfinished + unsent`.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests that were due in the window and begun.
    pub begun: u64,
    /// Requests that began in the window and were answered.
    pub answered: u64,
    /// Replies during the window, whenever their requests began.
    pub completed: u64,
    /// Bytes received during the window.
    pub received_bytes: u64,
    /// Service time: from the send to the last byte of the reply.
    pub service: Histogram,
    /// Response time: from when the request was due. Empty in a closed loop.
    pub response: Histogram,
    /// The longest service time of requests from before the window that were answered in the window
    /// or later. Requests that began in the window are in the histogram.
    pub longest_carried_ns: u64,
    /// Open loop: how late requests were sent although a connection was free. Empty in a closed
    /// loop.
    pub lateness: Histogram,
    /// Time from connect(2) to the established connection, for load connections; under churn only
    /// for those with a measured request.
    pub connect: Histogram,
    /// Established connections, including idle ones and those of the warm-up.
    pub connections: u64,
    /// Answers over time.
    pub timeline: Timeline,
    /// Failures by kind.
    pub errors: Errors,
    /// The first failure of each kind in full, with the number of those like it.
    pub failures: Vec<Failure>,
    /// Requests that were due in the window and still in flight at the end of the run.
    pub unfinished: u64,
    /// Requests that were due in the window and never begun, because no connection was free. In a
    /// run by a count: all missing requests.
    pub unsent: u64,
    /// Requests in flight when a signal ended the run, including those of the warm-up.
    pub cut_off: u64,
    /// Connections that were opened again since the start of the window, whatever had ended them.
    /// Includes idle connections.
    pub reconnects: u64,
    /// The longest pause before a connection was opened again after a failure in the window.
    pub longest_pause_ns: u64,
    /// Connections that were asked for and did not stand at the end of the window, because the
    /// last tries to open them had failed.
    pub missing: u64,
    /// Answered requests by HTTP status.
    pub statuses: Statuses,
    /// Whether the protocol has statuses.
    pub has_statuses: bool,
    /// Closed loop: the sum of the times from a reply to the send of the next request on its
    /// connection, for the requests of the window. It belongs to no service time.
    pub held_ns: u64,
    /// Datagrams that arrived after their request was given up, or arrived twice.
    pub late: u64,
    /// Requests of the warm-up without a correct reply. No other figure includes them.
    pub lost_in_warmup: u64,
    /// When the last reply to a request of the window arrived, in nanoseconds after the start of
    /// the window.
    pub last_answer_ns: u64,
}

impl Tally {
    /// An empty tally with all the memory that it will need.
    pub fn new() -> Tally {
        Tally {
            failures: Vec::with_capacity(FAILURES_KEPT),
            ..Tally::default()
        }
    }

    /// Requests that were due in the window.
    pub fn due(&self) -> u64 {
        self.begun + self.unsent
    }

    /// Counts a failure.
    #[cold]
    pub fn fail(&mut self, failure: Failure) {
        self.errors.failed += failure.failed;
        let is_bare = failure.in_flight + failure.failed == 0;
        let is_bare = is_bare && matches!(failure.cause, Cause::Wrong(_));
        self.errors.bare += u64::from(is_bare);
        match failure.cause {
            Cause::Connect(_) => self.errors.connect += 1,
            Cause::Closed | Cause::Unproven => self.errors.closed += 1,
            Cause::Broken(_) | Cause::Early(..) | Cause::Own(_) => self.errors.broken += 1,
            Cause::Wrong(_) => self.errors.wrong += 1,
            Cause::Silent | Cause::Endless => self.errors.unanswered += failure.failed,
        }
        self.tell(failure);
    }

    /// Keeps the failure if it is the first of its kind and there is room, or counts it with those
    /// like it.
    #[cold]
    pub fn tell(&mut self, failure: Failure) {
        let is_room = self.failures.len() < FAILURES_KEPT;
        let mut known = self.failures.iter_mut();
        match known.find(|known| known.is_like(&failure)) {
            Some(known) => known.count += failure.count,
            None if is_room => self.failures.push(failure),
            None => {}
        }
    }

    /// Failed requests, and answered ones whose status is an error.
    pub fn errors(&self) -> u64 {
        self.errors.failed + self.statuses.errors()
    }

    /// Adds everything of `other`.
    pub fn merge(&mut self, other: Tally) {
        self.begun += other.begun;
        self.answered += other.answered;
        self.completed += other.completed;
        self.received_bytes += other.received_bytes;
        self.service.merge(&other.service);
        self.response.merge(&other.response);
        self.lateness.merge(&other.lateness);
        self.connect.merge(&other.connect);
        self.connections += other.connections;
        self.timeline.merge(&other.timeline);
        self.errors.merge(&other.errors);
        other
            .failures
            .into_iter()
            .for_each(|failure| self.tell(failure));
        self.held_ns += other.held_ns;
        self.has_statuses |= other.has_statuses;
        self.longest_carried_ns = self.longest_carried_ns.max(other.longest_carried_ns);
        self.unfinished += other.unfinished;
        self.unsent += other.unsent;
        self.cut_off += other.cut_off;
        self.reconnects += other.reconnects;
        self.longest_pause_ns = self.longest_pause_ns.max(other.longest_pause_ns);
        self.missing += other.missing;
        self.statuses.merge(&other.statuses);
        self.late += other.late;
        self.lost_in_warmup += other.lost_in_warmup;
        self.last_answer_ns = self.last_answer_ns.max(other.last_answer_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_while_connecting_means_that_the_connection_was_established() {
        for (errno, before) in [
            (libc::ECONNRESET, ""),
            (libc::EPIPE, ""),
            (libc::ECONNREFUSED, "cannot connect: "),
            (libc::ETIMEDOUT, "cannot connect: "),
        ] {
            let cause = Cause::of_connecting(io::Error::from_raw_os_error(errno));
            // Each C library has its own words for an error.
            let words = io::Error::from_raw_os_error(errno).to_string();
            assert!(
                cause.to_string().starts_with(&format!("{before}{words}")),
                "{cause}"
            );
        }
    }
}
