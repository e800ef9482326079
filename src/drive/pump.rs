//! Between the kernel and the machine: does for one connection what it wants, until it wants what
//! the kernel is not ready for, or until its budget for this turn is spent.
//!
//! The errors of reading and writing are sorted here and nowhere else. Would-block is an answer,
//! not an error. What the peer or the network did ends this connection quietly; what neither did
//! ends it too, and says so louder. No error leaves this file: one peer's trouble is never
//! another's. Writes are tried at once and without asking; only what was refused becomes an
//! interest. See recv(2), send(2), shutdown(2).

use std::io::{self, ErrorKind};

use crate::connection::{CloseReason, Connection, Protocol, Want, Workspace};
use crate::kernel::{Interest, Readiness, Sockets, Time, Trigger};
use crate::limits::{BYTES_PER_EVENT, OPERATIONS_PER_EVENT};
use crate::service::Service;

use super::counters::Counters;
use super::workspaces::Lease;

/// A connection and what the loop knows about it.
pub(super) struct Peer<K: Sockets, S: Service> {
    pub(super) socket: K::Socket,
    pub(super) connection: Connection<S>,
    /// Its buffers, while there is something in them.
    pub(super) lease: Option<Lease>,
    /// What the kernel was last told.
    pub(super) registered: Interest,
    /// Its end was announced: a short read is not the last one.
    pub(super) read_to_end: bool,
    /// When bytes last moved, or when it began to linger.
    pub(super) active_at: Time,
}

/// When to read a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Not before the next event: what is left fires again.
    Once,
    /// While reads fill their space: what is left may never fire.
    WhileFull,
    /// Until nothing is there, and then the connection is ended: the server is shutting down.
    ToTheLast,
    /// Never: the server has waited long enough for the last word.
    NoMore,
}

/// Where pumping stopped.
pub(super) struct Stopped {
    /// What is wanted next.
    pub(super) want: Want,
    /// It could be done at once, but for the budget.
    pub(super) has_more: bool,
}

impl Stopped {
    /// What to ask the kernel for; nothing when the connection is over.
    #[inline]
    pub(super) fn interest(&self, trigger: Trigger) -> Option<Interest> {
        let interest = match self.want {
            Want::Read | Want::Discard => Interest::READ,
            Want::Write => Interest::WRITE,
            // Stopped here only for want of budget.
            Want::Shutdown => Interest::NONE,
            Want::Close => return None,
        };
        Some(interest.under(trigger))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pumped {
    /// As many bytes as were asked for, or something that moves none.
    All,
    /// Fewer bytes than were asked for: the kernel has no more to give or to take.
    Part,
    /// Would block.
    Nothing,
}

/// What pumping needs beside the connection.
pub(super) struct Pump<'a, K: Sockets, S: Service> {
    pub(super) kernel: &'a mut K,
    pub(super) protocol: &'a mut Protocol<S>,
    pub(super) counters: &'a mut Counters,
    pub(super) reading: Reading,
    pub(super) now: Time,
}

impl<K: Sockets, S: Service> Pump<'_, K, S> {
    /// Works on `peer` as far as `readiness` and its budget go.
    #[inline]
    pub(super) fn run(
        mut self,
        peer: &mut Peer<K, S>,
        workspace: &mut Workspace<'_>,
        readiness: Readiness,
    ) -> Stopped {
        const OVER: Readiness = Readiness::RDHUP.and(Readiness::HUP).and(Readiness::ERR);
        const READABLE: Readiness = OVER.and(Readiness::IN);
        const WRITABLE: Readiness = OVER.and(Readiness::OUT);
        peer.read_to_end |= readiness.has(OVER);
        let mut readable = readiness.has(READABLE);
        let mut writable = readiness.has(WRITABLE) || !peer.registered.contains(Interest::WRITE);
        let enough = self.counters.bytes_in + BYTES_PER_EVENT;
        for _ in 0..OPERATIONS_PER_EVENT {
            let want = peer.connection.wants(workspace.owes());
            match want {
                Want::Read if self.has_read_the_last(readable) => self.leave(peer, workspace),
                Want::Read | Want::Discard if readable => {
                    let pumped = if want == Want::Read {
                        self.pump_in(peer, workspace)
                    } else {
                        self.discard(peer, workspace)
                    };
                    readable = pumped != Pumped::Nothing && self.reads_again(peer, pumped);
                    if readable && self.counters.bytes_in >= enough {
                        break;
                    }
                }
                Want::Write if writable => writable = self.pump_out(peer, workspace) == Pumped::All,
                Want::Shutdown => self.shutdown(peer),
                Want::Read | Want::Write | Want::Discard | Want::Close => {
                    return Stopped {
                        want,
                        has_more: false,
                    };
                }
            }
        }
        let want = peer.connection.wants(workspace.owes());
        Stopped {
            want,
            has_more: true,
        }
    }

    #[inline]
    fn reads_again(&self, peer: &Peer<K, S>, pumped: Pumped) -> bool {
        peer.read_to_end
            || match self.reading {
                Reading::Once | Reading::NoMore => false,
                Reading::WhileFull => pumped == Pumped::All,
                Reading::ToTheLast => true,
            }
    }

    #[inline]
    fn has_read_the_last(&self, readable: bool) -> bool {
        match self.reading {
            Reading::Once | Reading::WhileFull => false,
            Reading::ToTheLast => !readable,
            Reading::NoMore => true,
        }
    }

    /// Reads once into the spare space, and answers what arrived.
    #[inline]
    fn pump_in(&mut self, peer: &mut Peer<K, S>, workspace: &mut Workspace<'_>) -> Pumped {
        let space = workspace.inbound.spare();
        let asked = space.len();
        debug_assert!(
            asked > 0,
            "a read into no space looks like the end of the stream"
        );
        self.counters.recv += 1;
        match self.kernel.read(&peer.socket, space) {
            Ok(0) => {
                self.counters.frames += peer.connection.ended(workspace, self.protocol);
                Pumped::Part
            }
            Ok(count) => {
                self.counters.bytes_in += count as u64;
                self.counters.frames += peer.connection.received(count, workspace, self.protocol);
                peer.active_at = self.now;
                if count == asked {
                    Pumped::All
                } else {
                    Pumped::Part
                }
            }
            Err(error) => {
                let pumped = sort(&error, &mut peer.connection, "recv");
                self.counters.spurious_events += u64::from(pumped == Pumped::Nothing);
                pumped
            }
        }
    }

    /// Writes once of what is owed; what thereby gets room is answered.
    #[inline]
    fn pump_out(&mut self, peer: &mut Peer<K, S>, workspace: &mut Workspace<'_>) -> Pumped {
        let owed = workspace.owed();
        let asked = owed.len();
        self.counters.send += 1;
        match self.kernel.write(&peer.socket, owed) {
            Ok(count) => {
                self.counters.bytes_out += count as u64;
                self.counters.frames += peer.connection.sent(count, workspace, self.protocol);
                peer.active_at = self.now;
                if count == asked {
                    return Pumped::All;
                }
                self.counters.short_writes += 1;
                Pumped::Part
            }
            Err(error) => {
                let pumped = sort(&error, &mut peer.connection, "send");
                self.counters.short_writes += u64::from(pumped == Pumped::Nothing);
                pumped
            }
        }
    }

    /// Reads once and throws it away: a lingering peer is listened to only for its end.
    #[cold]
    fn discard(&mut self, peer: &mut Peer<K, S>, workspace: &mut Workspace<'_>) -> Pumped {
        let space = workspace.inbound.spare();
        self.counters.recv += 1;
        match self.kernel.read(&peer.socket, space) {
            Ok(0) => {
                peer.connection.close(CloseReason::EndOfStream);
                Pumped::Part
            }
            Ok(count) => {
                self.counters.bytes_in += count as u64;
                if count == space.len() {
                    Pumped::All
                } else {
                    Pumped::Part
                }
            }
            Err(error) => sort(&error, &mut peer.connection, "recv"),
        }
    }

    /// Ends our direction; from now on only the peer's end, or time, is awaited.
    #[cold]
    fn shutdown(&mut self, peer: &mut Peer<K, S>) {
        self.counters.shutdown += 1;
        match self.kernel.shutdown(&peer.socket) {
            Ok(()) => peer.connection.finished(),
            Err(_) => peer.connection.close(CloseReason::Reset),
        }
        peer.active_at = self.now;
    }

    /// The server is shutting down and this peer has had all its answers. One that has even
    /// acknowledged them is closed at once; for another a close might destroy what is under way, so
    /// it is shut down and lingers.
    #[cold]
    fn leave(&mut self, peer: &mut Peer<K, S>, workspace: &mut Workspace<'_>) {
        if matches!(self.kernel.unsent(&peer.socket), Ok(0)) && self.reading != Reading::NoMore {
            workspace.inbound.drop_undecoded();
            peer.connection.close(CloseReason::Shutdown);
        } else {
            peer.connection.drain(CloseReason::Shutdown, workspace);
        }
    }
}

#[cold]
fn sort<S: Service>(error: &io::Error, connection: &mut Connection<S>, call: &str) -> Pumped {
    if error.kind() == ErrorKind::WouldBlock {
        return Pumped::Nothing;
    }
    if is_the_peers_doing(error) {
        connection.close(CloseReason::Reset);
    } else {
        log::warn!("{call}: {error}: the connection is closed");
        connection.close(CloseReason::Failed);
    }
    Pumped::Part
}

/// Errors that say something about the peer or the way to it, and nothing about us.
fn is_the_peers_doing(error: &io::Error) -> bool {
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
