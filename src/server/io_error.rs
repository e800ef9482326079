//! What an error of a read or a write means. All such errors are classified here.
//!
//! Would-block is not an error. When the kernel has no memory, the bytes are kept and the call is
//! tried again, a bounded number of times. An error of the peer or of the network ends the
//! connection, and is only counted. Any other error ends the connection too, and is logged. See
//! recv(2), send(2), tcp(7).

use std::io::{self, ErrorKind};

use crate::kernel::{Sockets, errno};
use crate::protocol::connection::{CloseReason, Want};
use crate::protocol::service::Service;

use super::link::Link;
use super::pump::Pump;

impl<K: Sockets, S: Service> Pump<K, S> {
    #[cold]
    pub(super) fn read_failed(&mut self, error: &io::Error, peer: &mut Link<K, S>) -> Want {
        if error.kind() == ErrorKind::WouldBlock {
            self.counters.spurious_events += 1;
            // The stream has not ended, or this read would have returned 0.
            peer.read_to_end = false;
            peer.waiting.has_memory();
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

    /// Ends a connection after an error that is not would-block. If the error may pass, the
    /// connection is paused instead and wants `again`.
    fn close_for(&mut self, error: &io::Error, peer: &mut Link<K, S>, again: Want) -> Want {
        if matches!(error.raw_os_error(), Some(errno::ENOBUFS | errno::ENOMEM)) {
            // No byte was taken and none is lost: the bytes stay where they are (send(2)).
            self.counters.refused_memory += 1;
            if peer.waiting.lacks_memory(self.now) {
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

/// Whether the peer or the network caused the error.
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
