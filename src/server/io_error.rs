//! What the errors of reading and writing mean; they are sorted here and nowhere else.
//!
//! Would-block is an answer, not an error. That the kernel has no memory just now is weather: the
//! bytes are kept and it is tried again, a bounded number of times. What the peer or the network
//! did ends this connection quietly; what neither did ends it too, and says so louder. See recv(2),
//! send(2), tcp(7).

use std::io::{self, ErrorKind};

use crate::kernel::{Sockets, errno};
use crate::limits::MEMORY_RETRIES_MAX;
use crate::protocol::connection::{CloseReason, Want};
use crate::protocol::service::Service;

use super::link::Link;
use super::pump::Pump;

impl<K: Sockets, S: Service> Pump<K, S> {
    #[cold]
    pub(super) fn read_failed(&mut self, error: &io::Error, peer: &mut Link<K, S>) -> Want {
        if error.kind() == ErrorKind::WouldBlock {
            self.counters.spurious_events += 1;
            // An end that was announced would have been read; an urgent byte has been.
            peer.read_to_end = false;
            if !peer.paused {
                // There was memory to find nothing: a refusal before was not the first of several.
                peer.refusals = 0;
            }
            return Want::Read;
        }
        self.close_for(error, peer, Want::Read)
    }

    #[cold]
    pub(super) fn write_failed(&mut self, error: &io::Error, peer: &mut Link<K, S>) -> Want {
        if error.kind() == ErrorKind::WouldBlock {
            self.counters.short_writes += 1;
            return Want::Write;
        }
        self.close_for(error, peer, Want::Write)
    }

    /// Ends a connection for an error that is not would-block, unless that may be over soon; then
    /// it is to try `again`.
    fn close_for(&mut self, error: &io::Error, peer: &mut Link<K, S>, again: Want) -> Want {
        if matches!(error.raw_os_error(), Some(errno::ENOBUFS | errno::ENOMEM)) {
            // Nothing was taken and nothing is lost: the bytes stay where they are (send(2)).
            self.counters.refused_memory += 1;
            peer.refusals += 1;
            peer.paused = peer.refusals <= MEMORY_RETRIES_MAX;
            if peer.paused {
                return again;
            }
            peer.connection.close(CloseReason::Exhausted);
        } else if is_peer_error(error) {
            peer.connection.close(CloseReason::Reset);
        } else {
            log::debug!("{again:?}: {error}");
            peer.connection.close(CloseReason::Failed);
        }
        Want::Close
    }
}

/// Errors that say something about the peer or the way to it, and nothing about us.
fn is_peer_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}
