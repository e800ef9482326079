//! Connections that the server ends although nothing is wrong.
//!
//! In HTTP, either side may close a connection at any time: after a reply that was announced as the
//! last one, after a number of replies, or after an idle timeout (RFC 9112, 9.3.1, 9.5 and 9.6).
//! The close may cross with the next request. Then the connection is opened again. Requests without
//! any byte of a reply are sent again, if their method is idempotent (RFC 9110, 9.2.2); their
//! clocks keep the time of the first send. A reconnect is counted, and is not an error. A reset
//! without a FIN is no such close: requests in flight have failed.
//!
//! An echo connection is also opened again in two cases: nothing was in flight, or the close
//! crossed with requests of which no byte has reached the server. In the second case, the server's
//! kernel has acknowledged none of their bytes when the FIN arrives. Any other request in flight is
//! a failure: an echo server has to return every byte that it received.
//!
//! Each reconnect needs a reply on the previous connection, or a previous connection that lasted
//! [`LOAD_KEPT_MIN`]. So a request that was sent again and met another close fails (9.3.1: no
//! automatic retry of a failed automatic retry). A server that closes every connection at once
//! causes failures, not a loop. Neighbour: `lifetime`, whose `lose` asks `may_go_on` first.

use crate::limits::LOAD_KEPT_MIN;

use super::super::conversation::http::{HttpError, REQUEST_TIMEOUT};
use super::super::conversation::mismatch::Wrong;
use super::*;

impl<K: Poller + Opener> Worker<'_, K> {
    /// Whether the server was allowed to end the connection, so that the load continues on a new
    /// one.
    pub(super) fn may_go_on(&mut self, index: usize, cause: &Cause) -> bool {
        let is_one_off = self.job.plan.churn && index < self.active;
        if self.speech == Speech::Datagrams || is_one_off {
            return false;
        }
        let Slot {
            connection,
            opened_at,
            ..
        } = &self.slots[index];
        let is_idle = connection.in_flight() == 0;
        let has_ended = match cause {
            Cause::Closed => !connection.is_mid_message(),
            // A reset after a FIN is reported as EPIPE.
            Cause::Broken(error) if error.kind() == io::ErrorKind::ConnectionReset => is_idle,
            Cause::Broken(error) => is_end(error) && !connection.is_mid_message(),
            Cause::Wrong(Wrong::Http(HttpError::Status(status))) => *status == REQUEST_TIMEOUT,
            _ => false,
        };
        let stood_until = |time: Time| time.since(*opened_at) >= LOAD_KEPT_MIN;
        let is_kept = match connection.in_flight() {
            0 => connection.answered() > 0 || stood_until(self.now),
            // A repeated request was first sent before this connection was opened.
            _ => {
                let first = self.stamp(index, connection.answered());
                connection.answered() > 0 || stood_until(first.sent)
            }
        };
        let may_be_repeated = self.job.plan.is_repeatable();
        has_ended && is_kept && (may_be_repeated || self.has_nothing_arrived(index, cause))
    }

    /// Whether no byte of the requests in flight has reached the server.
    ///
    /// A FIN also acknowledges what the server's kernel has received. A request that arrives after
    /// the server has closed its socket causes a reset, which acknowledges nothing. A reset without
    /// a FIN proves nothing.
    fn has_nothing_arrived(&mut self, index: usize, cause: &Cause) -> bool {
        let slot = &self.slots[index];
        let under_way = slot.connection.under_way();
        let has_fin = match cause {
            Cause::Closed => true,
            // A reset after a FIN is reported as EPIPE.
            Cause::Broken(error) => error.kind() == io::ErrorKind::BrokenPipe,
            _ => false,
        };
        match &slot.socket {
            _ if under_way == 0 => true,
            Some(socket) if has_fin => {
                let unacknowledged = self.kernel.unacknowledged(socket);
                unacknowledged.is_ok_and(|count| count >= under_way)
            }
            _ => false,
        }
    }

    /// Reads the replies that are left in the receive buffer, and returns the cause of the end. A
    /// write fails as soon as the peer has reset the connection, although replies may still be
    /// unread.
    #[cold]
    pub(super) fn hear_the_rest(&mut self, index: usize, cause: Cause) -> Cause {
        let is_end = matches!(&cause, Cause::Broken(error) if is_end(error));
        if !is_end || self.speech == Speech::Datagrams {
            return cause;
        }
        loop {
            let slot = &mut self.slots[index];
            let Some(socket) = slot.socket.as_ref() else {
                return cause;
            };
            if slot.connection.in_flight() == 0 {
                return cause;
            }
            let Ok(count @ 1..) = self.kernel.read(socket, &mut self.space) else {
                return cause;
            };
            if let Err(wrong) = self.take(index, count) {
                return wrong;
            }
        }
    }

    /// Closes a connection on which the server sends no more replies, and opens its replacement, if
    /// requests are left for it. Requests in flight are sent again.
    #[cold]
    pub(super) fn reopen(&mut self, index: usize) -> Result<(), Cause> {
        if !self.is_wanted(index) {
            self.release(index);
            return Ok(());
        }
        self.hang_up(index);
        self.slots[index].is_again = true;
        // If a server ends many connections at once, the reconnects are limited too.
        if self.connecting < CONNECTING_MAX {
            return self.open(index, None);
        }
        self.open_after(Duration::ZERO, index);
        Ok(())
    }

    /// Whether a connection in this slot is still needed.
    pub(super) fn is_wanted(&self, index: usize) -> bool {
        let is_idle_one = index >= self.active;
        match self.course.phase() {
            Phase::Opening => true,
            Phase::Loading { .. } if is_idle_one => true,
            Phase::Loading { .. } | Phase::Draining { .. } if !is_idle_one => {
                let next = self.schedule.as_ref().map_or(self.now, Schedule::due);
                self.slots[index].connection.in_flight() > 0 || self.course.may_begin(next)
            }
            _ => false,
        }
    }
}

/// Whether an error means that the peer has ended the connection. A peer that closes with unread
/// data sends a reset.
pub(super) fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

#[cfg(test)]
mod tests;
