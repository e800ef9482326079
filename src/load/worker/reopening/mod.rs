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

use std::io;

use super::tally::Cause;
use super::traffic::Traffic;
use crate::base::time::Time;
use crate::kernel::{Opener, Poller};
use crate::limits::LOAD_KEPT_MIN;
use crate::load::conversation::connection::Speech;
use crate::load::conversation::http::{HttpError, REQUEST_TIMEOUT};
use crate::load::conversation::mismatch::Wrong;

/// Whether the server was allowed to end the connection in slot `index`, so that the load continues
/// on a new one.
pub(super) fn may_go_on<K: Poller + Opener>(
    traffic: &mut Traffic<'_, K>,
    is_repeatable: bool,
    index: usize,
    cause: &Cause,
) -> bool {
    let slots = traffic.slots();
    if traffic.speech() == Speech::Datagrams || slots.is_churned(index) {
        return false;
    }
    let connection = slots.connection(index);
    let is_idle = connection.in_flight() == 0;
    let has_ended = match cause {
        Cause::Closed => !connection.is_mid_message(),
        // A reset after a FIN is reported as EPIPE.
        Cause::Broken(error) if error.kind() == io::ErrorKind::ConnectionReset => is_idle,
        Cause::Broken(error) => is_end(error) && !connection.is_mid_message(),
        Cause::Wrong(Wrong::Http(HttpError::Status(status))) => *status == REQUEST_TIMEOUT,
        _ => false,
    };
    let opened_at = slots.opened_at(index);
    let stood_until = |time: Time| time.since(opened_at) >= LOAD_KEPT_MIN;
    let is_kept = match connection.in_flight() {
        0 => connection.answered() > 0 || stood_until(traffic.now()),
        // A repeated request was first sent before this connection was opened.
        _ => {
            let first = traffic.ledger().stamp(index, connection.answered());
            connection.answered() > 0 || stood_until(first.sent)
        }
    };
    has_ended && is_kept && (is_repeatable || has_nothing_arrived(traffic, index, cause))
}

/// Whether no byte of the requests in flight has reached the server.
///
/// A FIN also acknowledges what the server's kernel has received. A request that arrives after the
/// server has closed its socket causes a reset, which acknowledges nothing. A reset without a FIN
/// proves nothing.
fn has_nothing_arrived<K: Poller + Opener>(
    traffic: &mut Traffic<'_, K>,
    index: usize,
    cause: &Cause,
) -> bool {
    let under_way = traffic.slots().connection(index).under_way();
    let has_fin = match cause {
        Cause::Closed => true,
        // A reset after a FIN is reported as EPIPE.
        Cause::Broken(error) => error.kind() == io::ErrorKind::BrokenPipe,
        _ => false,
    };
    let mut unacknowledged = || traffic.slots_mut().unacknowledged(index);
    under_way == 0 || has_fin && unacknowledged().is_some_and(|count| count >= under_way)
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
