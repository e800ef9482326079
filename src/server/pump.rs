//! Between the kernel and the machine: does for one connection what it wants, until it wants what
//! the kernel is not ready for, or until its budget for this turn is spent.
//!
//! Writes are tried at once and without asking; only what was refused becomes an interest. Errors
//! are sorted next door, in `refusal`, and none leaves: one peer's trouble is never another's. See
//! recv(2), send(2), shutdown(2).

use crate::base::bytes::InboundCursors;
use crate::kernel::{Interest, Sockets, Time, Trigger};
use crate::limits::{BYTES_PER_EVENT, DISCARD_SIZE, DRAIN_READS_MIN, OPERATIONS_PER_EVENT};
use crate::protocol::connection::{CloseReason, Cursors, Progress, Protocol, Want, Workspace};
use crate::protocol::service::Service;

use super::link::Link;
use super::observe::counters::Counters;
use super::observe::log_limiter::CloseLog;

/// The kernel below, the protocol above, and what holds for everybody in this turn.
pub(super) struct Pump<K: Sockets, S: Service> {
    pub(super) kernel: K,
    pub(super) protocol: Protocol<S>,
    pub(super) counters: Counters,
    /// When to read a second time; this is the whole difference between the two triggers.
    pub(super) reading: ReadPolicy,
    /// Log lines of connections that end and of frames that are thrown away.
    pub(super) close_log: CloseLog,
    /// The time of this turn.
    pub(super) now: Time,
}

/// When to read a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadPolicy {
    /// Not before the next event: what is left fires again.
    Once,
    /// While reads fill their space: what is left may never fire.
    WhileFull,
    /// Until nothing is there, and then the connection is ended: the server is shutting down.
    UntilEmpty,
    /// The same, but no more than a few times in all: the server has waited long enough for the
    /// last word of whoever it could hear.
    LastRequest,
}

/// What the kernel is thought to be ready for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Possible {
    pub(super) read: bool,
    pub(super) write: bool,
}

/// Where the straight course led.
pub(super) enum FastOutcome {
    /// To its end: the connection is at rest again.
    Done,
    /// To bytes that are to be kept: this is where they stand and what can still be done.
    Remaining(InboundCursors, Possible),
    /// To no bytes, and this is wanted.
    Ended(Want),
}

/// Where pumping stopped.
pub(super) struct Next {
    /// What is wanted next.
    pub(super) want: Want,
    /// It could be done at once, but for the budget.
    pub(super) has_more: bool,
}

impl Next {
    /// What to ask the kernel for; nothing when something else comes first, or nothing at all.
    #[inline]
    pub(super) fn interest(&self, trigger: Trigger) -> Option<Interest> {
        let interest = match self.want {
            Want::Read | Want::Discard => Interest::READ,
            Want::Write => Interest::WRITE,
            // Next here only for want of budget.
            Want::Shutdown => Interest::NONE,
            // Here too; most often reading follows.
            Want::Resume => Interest::READ,
            // What else it says can wait, and whether it is still there is told unasked.
            Want::Await => Interest::NONE,
            Want::Close => return None,
        };
        Some(interest.under(trigger))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transfer {
    /// As many bytes as were asked for, or something that moves none.
    Full,
    /// Fewer bytes than were asked for: the kernel has no more to give or to take.
    Short,
    /// None: it would block, or the connection is broken.
    Blocked,
}

impl<K: Sockets, S: Service> Pump<K, S> {
    /// The straight course of a connection at rest: one read, all of it answered where it lies, one
    /// write that takes it all. Nearly every event goes this way, so it is kept free of everything
    /// that another course may need; what is not straight is handed over where it left the way.
    #[inline(always)]
    pub(super) fn fast_path(&mut self, peer: &mut Link<K, S>, space: &mut [u8]) -> FastOutcome {
        match self.receive_in_place(peer, space) {
            Ok(count) => self.send_in_place(peer, &space[..count]),
            Err(outcome) => outcome,
        }
    }

    /// Its first half: reads, and answers all that came. Says how many bytes are owed now.
    #[inline(always)]
    pub(super) fn receive_in_place(
        &mut self,
        peer: &mut Link<K, S>,
        space: &mut [u8],
    ) -> Result<usize, FastOutcome> {
        self.counters.recv += 1;
        let count = match self.kernel.read(&peer.socket, space) {
            Ok(0) => return Err(self.end_of_stream(peer)),
            Ok(count) => count,
            Err(error) => return Err(FastOutcome::Ended(self.read_failed(&error, peer))),
        };
        peer.active_at = self.now;
        self.counters.bytes_in += count as u64;
        let filled = count == space.len();
        let bytes = &mut space[..count];
        let (frames, answered) = peer.connection.answer_at_once(bytes, &mut self.protocol);
        self.counters.frames += frames;
        if answered < count || filled {
            let left = InboundCursors::after(0, answered, count);
            let possible = Possible {
                read: filled,
                write: true,
            };
            return Err(FastOutcome::Remaining(left, possible));
        }
        Ok(count)
    }

    /// Its second half: sends what is owed.
    #[inline(always)]
    pub(super) fn send_in_place(&mut self, peer: &mut Link<K, S>, bytes: &[u8]) -> FastOutcome {
        self.counters.send += 1;
        let sent = match self.kernel.write(&peer.socket, bytes) {
            Ok(sent) => sent,
            Err(error) => match self.write_failed(&error, peer) {
                Want::Write => 0,
                want => return FastOutcome::Ended(want),
            },
        };
        self.counters.bytes_out += sent as u64;
        if sent == bytes.len() {
            return FastOutcome::Done;
        }
        self.counters.short_writes += u64::from(sent > 0);
        let possible = Possible {
            read: false,
            write: false,
        };
        FastOutcome::Remaining(
            InboundCursors::after(sent, bytes.len(), bytes.len()),
            possible,
        )
    }

    #[cold]
    fn end_of_stream(&mut self, peer: &mut Link<K, S>) -> FastOutcome {
        let mut empty = Workspace::new(&mut [], &mut [], Cursors::default());
        peer.connection.ended(&mut empty, &mut self.protocol);
        FastOutcome::Ended(peer.connection.wants(false))
    }

    /// Counts what a call has brought about, and logs a frame that is thrown away.
    pub(super) fn note(&mut self, progress: Progress) {
        self.counters.frames += progress.frames;
        if let Some(frame) = progress.discarded {
            self.counters.frames_discarded += 1;
            let outcome = "frame is thrown away";
            self.close_log
                .log_frame_error(&frame.error, frame.hint, outcome, self.now);
        }
    }

    /// Works on `peer` as far as `possible` and its budget go.
    pub(super) fn run(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
        mut possible: Possible,
    ) -> Next {
        // A peer that was not read from while it was owed something may have sent more since.
        possible.read |= self.reads_until_empty(peer);
        let enough = self.counters.bytes_in + BYTES_PER_EVENT;
        for _ in 0..OPERATIONS_PER_EVENT {
            let want = peer.connection.wants(workspace.owes());
            match want {
                Want::Read if possible.read && self.may_read(peer, workspace) => {
                    let pumped = self.receive(peer, workspace);
                    possible.read = self.reads_again(peer, pumped);
                }
                Want::Read if self.is_shutting_down() && !peer.paused => {
                    if self.may_finish(peer, workspace) {
                        return Next {
                            want,
                            has_more: false,
                        };
                    }
                    self.finish_drain(peer, workspace);
                }
                Want::Write if possible.write => {
                    possible.write = self.send(peer, workspace) == Transfer::Full;
                }
                Want::Resume if workspace.frames_left > 0 => {
                    let progress = peer.connection.resume(workspace, &mut self.protocol);
                    self.note(progress);
                    // It was not silent, it was kept waiting.
                    peer.active_at = self.now;
                }
                Want::Resume => break,
                Want::Discard if possible.read => {
                    let pumped = self.discard(peer);
                    possible.read = self.reads_again(peer, pumped);
                }
                Want::Shutdown => self.shutdown(peer),
                Want::Read | Want::Await | Want::Write | Want::Discard | Want::Close => {
                    return Next {
                        want,
                        has_more: false,
                    };
                }
            }
            if possible.read && self.counters.bytes_in >= enough {
                break;
            }
        }
        let want = peer.connection.wants(workspace.owes());
        Next {
            want,
            has_more: !matches!(want, Want::Close | Want::Await),
        }
    }

    #[inline]
    fn reads_again(&self, peer: &Link<K, S>, pumped: Transfer) -> bool {
        match (pumped, self.reading) {
            (Transfer::Blocked, _) => false,
            // What is read when no more is to be read is thrown away, but to the end all the same.
            (Transfer::Full, ReadPolicy::WhileFull | ReadPolicy::LastRequest) => true,
            _ => peer.read_to_end || self.reads_until_empty(peer),
        }
    }

    /// Whether a shutdown leaves it time for its last words. When the time for all is over, there
    /// may be some who could not be heard yet, for want of a workspace or in a crowd.
    #[inline]
    fn reads_until_empty(&self, peer: &Link<K, S>) -> bool {
        match self.reading {
            ReadPolicy::Once | ReadPolicy::WhileFull => false,
            ReadPolicy::UntilEmpty => true,
            ReadPolicy::LastRequest => {
                peer.drain_reads < DRAIN_READS_MIN && !peer.connection.is_lingering()
            }
        }
    }

    #[inline]
    fn may_read(&self, peer: &Link<K, S>, workspace: &mut Workspace<'_>) -> bool {
        self.reading != ReadPolicy::LastRequest
            || self.reads_until_empty(peer)
            || self.may_finish(peer, workspace)
    }

    /// Whether a shutdown lets the peer send the rest of a request. After the time for reading the
    /// one that is under way may be finished, and none behind it: a peer that always has the next
    /// one under way would put off the end.
    fn may_finish(&self, peer: &Link<K, S>, workspace: &mut Workspace<'_>) -> bool {
        !peer.has_finished && peer.connection.is_mid_request(workspace)
    }

    #[inline]
    fn is_shutting_down(&self) -> bool {
        matches!(
            self.reading,
            ReadPolicy::UntilEmpty | ReadPolicy::LastRequest
        )
    }

    /// Reads once into the spare space, and answers what arrived.
    fn receive(&mut self, peer: &mut Link<K, S>, workspace: &mut Workspace<'_>) -> Transfer {
        let space = workspace.inbound.spare();
        let asked = space.len();
        debug_assert!(
            asked > 0,
            "a read into no space looks like the end of the stream"
        );
        self.counters.recv += 1;
        if self.is_shutting_down() {
            peer.drain_reads = peer.drain_reads.saturating_add(1);
        }
        match self.kernel.read(&peer.socket, space) {
            Ok(0) => {
                peer.connection.ended(workspace, &mut self.protocol);
                Transfer::Short
            }
            Ok(count) => {
                self.counters.bytes_in += count as u64;
                let progress = peer
                    .connection
                    .received(count, workspace, &mut self.protocol);
                self.note(progress);
                let is_last = self.reading == ReadPolicy::LastRequest;
                peer.has_finished |= is_last && progress.frames > 0;
                peer.active_at = self.now;
                (peer.refusals, peer.paused) = (0, false);
                if count == asked {
                    Transfer::Full
                } else {
                    Transfer::Short
                }
            }
            Err(error) => {
                self.read_failed(&error, peer);
                Transfer::Blocked
            }
        }
    }

    /// Writes once of what is owed; what thereby gets room is answered.
    fn send(&mut self, peer: &mut Link<K, S>, workspace: &mut Workspace<'_>) -> Transfer {
        let owed = workspace.owed();
        let asked = owed.len();
        debug_assert!(asked > 0, "a write of nothing would be repeated for ever");
        self.counters.send += 1;
        match self.kernel.write(&peer.socket, owed) {
            Ok(count) => {
                self.counters.bytes_out += count as u64;
                let progress = peer.connection.sent(count, workspace, &mut self.protocol);
                self.note(progress);
                peer.active_at = self.now;
                (peer.refusals, peer.paused) = (0, false);
                if count == asked {
                    return Transfer::Full;
                }
                self.counters.short_writes += 1;
                Transfer::Short
            }
            Err(error) => {
                self.write_failed(&error, peer);
                Transfer::Blocked
            }
        }
    }

    /// Reads once and throws it away: a lingering peer is listened to only for its end.
    /// It needs no workspace for that, and so never waits for one.
    fn discard(&mut self, peer: &mut Link<K, S>) -> Transfer {
        let mut space = [0; DISCARD_SIZE];
        self.counters.recv += 1;
        match self.kernel.read(&peer.socket, &mut space) {
            Ok(0) => {
                peer.connection.close(CloseReason::EndOfStream);
                Transfer::Short
            }
            Ok(count) => {
                self.counters.bytes_in += count as u64;
                (peer.refusals, peer.paused) = (0, false);
                if count == space.len() {
                    Transfer::Full
                } else {
                    Transfer::Short
                }
            }
            Err(error) => {
                self.read_failed(&error, peer);
                Transfer::Blocked
            }
        }
    }

    /// Ends our direction; from now on only the peer's end, or time, is awaited.
    fn shutdown(&mut self, peer: &mut Link<K, S>) {
        self.counters.shutdown += 1;
        match self.kernel.shutdown(&peer.socket) {
            Ok(()) => {
                peer.connection.finished();
                peer.unacknowledged = peer.unacknowledged_replies(&mut self.kernel);
            }
            Err(_) => peer.connection.close(CloseReason::Reset),
        }
        peer.active_at = self.now;
    }

    /// The server is shutting down and this peer has had all its answers. One that has even
    /// acknowledged them is closed at once; for another a close might destroy what is under way, so
    /// it is shut down and lingers.
    fn finish_drain(&mut self, peer: &mut Link<K, S>, workspace: &mut Workspace<'_>) {
        peer.connection.flush_held(workspace, &mut self.protocol);
        if workspace.owes() {
            // The bytes are written first, and then the drain comes back here.
            return;
        }
        let acknowledged = matches!(self.kernel.unacknowledged(&peer.socket), Ok(0));
        if acknowledged && self.reads_until_empty(peer) {
            workspace.inbound.drop_undecoded();
            peer.connection.close(CloseReason::Shutdown);
        } else {
            peer.connection.drain(CloseReason::Shutdown, workspace);
        }
    }
}
