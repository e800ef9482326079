//! The worker's way with a connection that the server ends although nothing is wrong.
//!
//! In HTTP either side may close a connection at any time: after a reply that was announced as the
//! last one, after a number of replies, or because the connection was idle for too long (RFC 9112,
//! 9.3.1, 9.5 and 9.6). The end may cross with the next request. Then the connection is opened
//! again, requests that no part of a reply has come to are said again, because a GET is idempotent,
//! and their times go on from when they were said first. A reconnect is counted and is no error.
//!
//! An echo connection is opened again too when nothing was in flight on it, or when the end crossed
//! with requests of which no byte has reached the server: its kernel has acknowledged none when the
//! FIN came. Any other request in flight is a failure: an echo server has to return every byte that
//! it was sent, so a request without its reply is what the load looks for.
//!
//! Each reconnect needs a reply on the connection before it, or a connection that stood for
//! [`LOAD_KEPT_MIN`]. So a request that was said again and met another end fails (9.3.1: no
//! automatic retry of a failed automatic retry), and a server that closes every connection at once
//! ends in failures instead of a loop. Neighbours: `lifetime`, whose `lose` asks here first.

use crate::limits::LOAD_KEPT_MIN;

use super::super::conversation::http::HttpError;
use super::super::conversation::mismatch::Wrong;
use super::*;

/// The server's word for a request that did not come in time, which may be said on an idle
/// connection before it is closed (RFC 9110, 15.5.9).
const REQUEST_TIMEOUT: u16 = 408;

impl<K: Poller + Opener> Worker<'_, K> {
    /// Whether the server has ended the connection as it may, so that the load goes on over another
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
        let has_ended = match cause {
            Cause::Closed => !connection.is_mid_message(),
            Cause::Broken(error) => is_end(error) && !connection.is_mid_message(),
            Cause::Wrong(Wrong::Http(HttpError::Status(status))) => *status == REQUEST_TIMEOUT,
            _ => false,
        };
        let stood_until = |time: Time| time.since(*opened_at) >= LOAD_KEPT_MIN;
        let is_kept = match connection.in_flight() {
            0 => connection.answered() > 0 || stood_until(self.now),
            // Of a request that was said again, the time lies before the connection was opened.
            _ => {
                let first = self.stamp(index, connection.answered());
                connection.answered() > 0 || stood_until(first.sent)
            }
        };
        let may_be_repeated = self.speech == Speech::Http;
        has_ended && is_kept && (may_be_repeated || self.has_nothing_arrived(index, cause))
    }

    /// Whether no byte of the requests in flight has reached the server.
    ///
    /// A FIN acknowledges what the server's kernel has received. Where a request arrives behind it,
    /// a reset follows, which acknowledges nothing. A reset without a FIN does not tell.
    fn has_nothing_arrived(&mut self, index: usize, cause: &Cause) -> bool {
        let slot = &self.slots[index];
        let under_way = slot.connection.under_way();
        let has_fin = match cause {
            Cause::Closed => true,
            // What a reset behind a FIN is reported as.
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

    /// A write fails as soon as the peer has reset the connection, although replies may lie in the
    /// receive buffer. Takes them, and tells how the connection ended.
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
            let first = slot.connection.answered();
            let (bytes, verify) = (&self.space[..count], self.job.plan.verify);
            let heard = slot.connection.received(self.job.script, bytes, verify);
            self.answered(index, first, heard.answers, count);
            if let Some(wrong) = heard.wrong {
                return Cause::Wrong(wrong);
            }
        }
    }

    /// Ends a connection that the server answers nothing more on, and puts the next one in its
    /// place, if there is anything to say on it. Requests in flight are said again.
    #[cold]
    pub(super) fn reopen(&mut self, index: usize) -> Result<(), Cause> {
        if !self.is_wanted(index) {
            self.release(index);
            return Ok(());
        }
        self.hang_up(index);
        self.slots[index].is_again = true;
        // A server that ends many connections at once is not asked for all of them at once.
        if self.connecting < CONNECTING_MAX {
            return self.open(index, None);
        }
        self.open_after(Duration::ZERO, index);
        Ok(())
    }

    /// Whether a connection in this place still has a part in the run.
    fn is_wanted(&self, index: usize) -> bool {
        let is_idle_one = index >= self.active;
        match self.phase {
            Phase::Opening => true,
            Phase::Loading { .. } if is_idle_one => true,
            Phase::Loading { .. } | Phase::Draining { .. } if !is_idle_one => {
                let next = self.schedule.as_ref().map_or(self.now, Schedule::due);
                self.slots[index].connection.in_flight() > 0 || self.may_begin(next)
            }
            _ => false,
        }
    }
}

/// Whether an error says that the other side has ended the connection. Where it has not read all
/// that we sent, its end is a reset.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

#[cfg(test)]
mod tests;
