//! What one worker has measured: counts, spans, and the first failures in full.
//!
//! Everything is allocated before the first request and only added to afterwards; the workers'
//! tallies are merged once, at the end. A request belongs to the run when it *began* inside the
//! measured window (was sent, or in an open loop was due), and it is waited for after the window's
//! end, so that slow ones are not lost.

use std::fmt;
use std::io;

use crate::base::counted::counted;
use crate::base::histogram::Histogram;

use super::timeline::Timeline;
use super::wrong::Wrong;

/// Failures that are told in full; the others are only counted.
const FAILURES_KEPT: usize = 16;

/// How a connection broke.
#[derive(Debug)]
pub enum Cause {
    /// It could not be opened.
    Connect(io::Error),
    /// The other side ended it.
    Closed,
    /// Reading or writing failed.
    Broken(io::Error),
    /// This connection was lost before the load began.
    Early(usize, Box<Cause>),
    /// Our own side failed.
    Own(io::Error),
    /// What came back was not what had to come back.
    Wrong(Wrong),
    /// Its replies were waited for until the end of the run.
    Silent,
    /// So was a reply that ends with its connection.
    Endless,
}

impl Cause {
    /// What connecting ended with. Whoever is refused is told so by `ECONNREFUSED`; a connection
    /// that is reset stood before, however short a time, and was not looked at in it (tcp(7)).
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
            Cause::Connect(error) => write!(f, "cannot connect: {error}"),
            Cause::Closed => f.write_str("closed by the server"),
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

/// One connection that broke.
#[derive(Debug)]
pub struct Failure {
    /// Which connection, counted from 0 over all workers.
    pub connection: usize,
    /// Requests it had been answered.
    pub answered: u64,
    /// Requests that were in flight.
    pub in_flight: u64,
    /// How it broke.
    pub cause: Cause,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure {
            connection,
            answered,
            in_flight,
            cause,
        } = self;
        let replies = counted(*answered, "reply", "replies");
        write!(
            f,
            "connection {connection}: {cause} (after {replies}, {in_flight} in flight)"
        )
    }
}

/// Failures by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Connections that could not be opened.
    pub connect: u64,
    /// Connections that the server ended.
    pub closed: u64,
    /// Connections that broke.
    pub broken: u64,
    /// Connections on which something wrong came back.
    pub wrong: u64,
    /// Requests that were never answered, although their connection stood.
    pub unanswered: u64,
}

impl Errors {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.connect + self.closed + self.broken + self.wrong + self.unanswered
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: &Errors) {
        self.connect += other.connect;
        self.closed += other.closed;
        self.broken += other.broken;
        self.wrong += other.wrong;
        self.unanswered += other.unanswered;
    }
}

/// The measurements of a worker, or of all of them together.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests that began in the window and were answered.
    pub answered: u64,
    /// Requests that were answered during the window, whenever they began.
    pub completed: u64,
    /// Bytes that came back during the window.
    pub received_bytes: u64,
    /// Service time: from the send to the last byte of the reply.
    pub service: Histogram,
    /// Response time: from when the request was due. Empty in a closed loop.
    pub response: Histogram,
    /// The longest service time of requests from before the window that were answered in it or
    /// later; the histogram has those that began in it.
    pub longest_carried_ns: u64,
    /// How late requests were sent while a connection was free for them. Empty in a closed loop.
    pub lateness: Histogram,
    /// From connect(2) until the connection stood: of those that carry the load, under churn of
    /// those whose request was measured.
    pub connect: Histogram,
    /// Connections that stood, idle ones and those of the warm-up included.
    pub connections: u64,
    /// Answers over time.
    pub timeline: Timeline,
    /// Failures by kind.
    pub errors: Errors,
    /// The first failures in full.
    pub failures: Vec<Failure>,
    /// Requests that were due in the window and never sent, not even while the
    /// last replies were waited for, because no connection was free; of a run that a signal ended,
    /// those that were not sent yet.
    pub unsent: u64,
    /// Requests that were in flight when a signal ended the run.
    pub cut_off: u64,
    /// Datagrams that came after their request was given up, or for the second time.
    pub late: u64,
    /// Datagrams of the warm-up that brought no reply; those of the window are errors.
    pub lost_in_warmup: u64,
    /// When the last reply of the window came, in nanoseconds after its start.
    pub last_answer_ns: u64,
}

impl Tally {
    /// An empty tally with all the memory it will ever need.
    pub fn new() -> Tally {
        Tally {
            failures: Vec::with_capacity(FAILURES_KEPT),
            ..Tally::default()
        }
    }

    /// Notes a failure.
    #[cold]
    pub fn fail(&mut self, failure: Failure) {
        match failure.cause {
            Cause::Connect(_) => self.errors.connect += 1,
            Cause::Closed => self.errors.closed += 1,
            Cause::Broken(_) | Cause::Early(..) | Cause::Own(_) => self.errors.broken += 1,
            Cause::Wrong(_) => self.errors.wrong += 1,
            Cause::Silent | Cause::Endless => self.errors.unanswered += failure.in_flight,
        }
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(failure);
        }
    }

    /// Adds everything of `other`.
    pub fn merge(&mut self, other: Tally) {
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
        let room = FAILURES_KEPT.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
        self.longest_carried_ns = self.longest_carried_ns.max(other.longest_carried_ns);
        self.unsent += other.unsent;
        self.cut_off += other.cut_off;
        self.late += other.late;
        self.lost_in_warmup += other.lost_in_warmup;
        self.last_answer_ns = self.last_answer_ns.max(other.last_answer_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_reset_while_it_connects_was_connected() {
        for (errno, told) in [
            (libc::ECONNRESET, "Connection reset"),
            (libc::EPIPE, "Broken pipe"),
            (libc::ECONNREFUSED, "cannot connect: Connection refused"),
            (libc::ETIMEDOUT, "cannot connect: Connection timed out"),
        ] {
            let cause = Cause::of_connecting(io::Error::from_raw_os_error(errno));
            assert!(cause.to_string().starts_with(told), "{cause}");
        }
    }
}
