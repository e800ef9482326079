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
#[cfg(feature = "tls")]
use super::observe::log_limiter::HintSuffix;
use super::pump::Pump;
#[cfg(feature = "tls")]
use crate::protocol::framing::Hint;
#[cfg(feature = "tls")]
use crate::transport::tls::Failure;

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
        } else if self.ended_by_transport(error, peer) {
            return Want::Close;
        } else if is_peer_error(error) {
            peer.connection.close(CloseReason::Reset);
        } else {
            log::debug!("{again:?}: {error}");
            peer.connection.close(CloseReason::Failed);
        }
        Want::Close
    }

    /// Ends a connection whose TLS session has failed. Returns whether it has.
    #[cfg(feature = "tls")]
    fn ended_by_transport(&mut self, error: &io::Error, peer: &mut Link<K, S>) -> bool {
        let Some(failure) = Failure::of(error) else {
            return false;
        };
        let reason = match failure {
            _ if failure.is_in_handshake() => CloseReason::Handshake,
            _ if failure.is_truncation() => CloseReason::Truncated,
            _ if failure.is_alert() => CloseReason::Reset,
            _ => CloseReason::Corrupted,
        };
        let seems = HintSuffix(failure.opening().and_then(Hint::beside_tls));
        match self.close_log.of(reason).admit_burst(self.now, LINES_BURST) {
            Some(more) if reason != CloseReason::Reset => {
                let name = reason.name();
                log::warn!("{name}: {failure}{seems}: the connection is closed{more}");
            }
            _ => {}
        }
        peer.connection.close(reason);
        true
    }

    #[cfg(not(feature = "tls"))]
    #[inline(always)]
    fn ended_by_transport(&mut self, _: &io::Error, _: &mut Link<K, S>) -> bool {
        false
    }
}

/// Failed handshakes have many reasons, and each should be seen.
#[cfg(feature = "tls")]
const LINES_BURST: u32 = 4;

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
