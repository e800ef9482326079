//! What one worker has measured: counts, spans, and the first failures in full.
//!
//! Everything is allocated before the first request and only added to afterwards; the workers'
//! tallies are merged once, at the end. A request belongs to the run when it *began* inside the
//! measured window (was sent, or in an open loop was due), and it is waited for after the window's
//! end, so that slow ones are not lost.

use std::fmt;
use std::io;

use crate::base::histogram::Histogram;
use crate::base::text::plural::plural;

use super::timeline::Timeline;
use crate::load::conversation::mismatch::Wrong;

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
    /// A reply that ends with its connection was waited for until the end of the run.
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
    /// How many of those were due in the window and failed with it.
    pub failed: u64,
    /// How it broke.
    pub cause: Cause,
}

impl Failure {
    /// The word for it in a report: requests that were only waited for have not failed.
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
            ..
        } = self;
        let replies = plural(*answered, "reply", "replies");
        write!(
            f,
            "connection {connection}: {cause} (after {replies}, {in_flight} in flight)"
        )
    }
}

/// Failures: of requests, and by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Requests that were due in the window and failed, in whatever way.
    pub failed: u64,
    /// Connections that broke and carried no request that was due in the window.
    pub bare: u64,
    /// Connections that could not be opened.
    pub connect: u64,
    /// Connections that the server ended before it had answered.
    pub closed: u64,
    /// Connections that broke.
    pub broken: u64,
    /// Connections on which something wrong came back.
    pub wrong: u64,
    /// Requests that were given up after the time that a reply may take. Their connection stood.
    pub unanswered: u64,
}

impl Errors {
    /// All of them: each failed request once, and each connection that broke without one.
    pub fn total(&self) -> u64 {
        self.failed + self.bare
    }

    /// A request of the window was given up.
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

/// The measurements of a worker, or of all of them together.
///
/// Each request that was due in the window has one outcome, so that
/// `begun + unsent = answered + errors.failed + unfinished + unsent`.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests that were due in the window and were begun.
    pub begun: u64,
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
    /// Requests that were due in the window and in flight when the run ended.
    pub unfinished: u64,
    /// Requests that were due in the window and never begun, because no connection was free; of a
    /// run by a count, all that are missing.
    pub unsent: u64,
    /// Requests that were in flight when a signal ended the run, those of the warm-up included.
    pub cut_off: u64,
    /// Connections that the server had ended as it may, and that were opened again. Idle ones and
    /// those of the warm-up are included.
    pub reconnects: u64,
    /// Datagrams that came after their request was given up, or for the second time.
    pub late: u64,
    /// Requests of the warm-up that were never answered. No other figure includes them.
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

    /// Requests that were due in the window.
    pub fn due(&self) -> u64 {
        self.begun + self.unsent
    }

    /// Counts a failure.
    #[cold]
    pub fn fail(&mut self, failure: Failure) {
        self.errors.failed += failure.failed;
        self.errors.bare += u64::from(failure.failed == 0);
        match failure.cause {
            Cause::Connect(_) => self.errors.connect += 1,
            Cause::Closed => self.errors.closed += 1,
            Cause::Broken(_) | Cause::Early(..) | Cause::Own(_) => self.errors.broken += 1,
            Cause::Wrong(_) => self.errors.wrong += 1,
            Cause::Silent | Cause::Endless => self.errors.unanswered += failure.failed,
        }
        self.tell(failure);
    }

    /// Keeps what is told of a connection, as far as there is room.
    #[cold]
    pub fn tell(&mut self, failure: Failure) {
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(failure);
        }
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
        let room = FAILURES_KEPT.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
        self.longest_carried_ns = self.longest_carried_ns.max(other.longest_carried_ns);
        self.unfinished += other.unfinished;
        self.unsent += other.unsent;
        self.cut_off += other.cut_off;
        self.reconnects += other.reconnects;
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
