//! Moves bytes between the kernel and one connection: does what the connection wants, until the
//! kernel is not ready for it or the budget of this turn is spent.
//!
//! A write is tried at once; only a write that the kernel refused becomes an interest. `io_error`
//! classifies errors. No error leaves the pump, so one peer's error never affects another. See
//! recv(2), send(2), shutdown(2).

mod header;

use std::io;
use std::time::Duration;

use crate::base::bytes::InboundCursors;
use crate::kernel::{Poller, Sockets, Time, Token};
use crate::limits::{DISCARD_SIZE, DRAIN_READS_MIN};
use crate::protocol::connection::{
    Budget, CloseReason, Cursors, Progress, Protocol, Stop, Want, Workspace,
};
#[cfg(feature = "auth")]
use crate::protocol::front::auth::CHALLENGE_SIZE;
use crate::protocol::service::Service;

use super::admission::announced::Announced;
use super::auth::Auth;
use super::link::Link;
use super::observe::counters::Counters;
use super::observe::log_limiter::CloseLog;
use super::observe::tap::Tap;
use super::pace::{Pace, Side};
use super::settings::Settings;

/// What moves bytes between a socket and the protocol, and what all connections of a turn share.
pub(in crate::server) struct Pump<K: Sockets, S: Service> {
    pub(in crate::server) kernel: K,
    pub(in crate::server) protocol: Protocol<S>,
    pub(in crate::server) counters: Counters,
    /// When to read a second time. Nothing else differs between the two triggers.
    pub(in crate::server) reading: ReadPolicy,
    /// Log lines of connections that end and of discarded frames.
    pub(in crate::server) close_log: CloseLog,
    /// What watches the connections, if anything does. The fast path has no calls of it.
    pub(in crate::server) tap: Option<Tap>,
    /// Rates and idle clocks. The fast path asks for none, so it is closed with them.
    pub(in crate::server) pace: Option<Box<Pace>>,
    /// The key that each peer has to know.
    pub(in crate::server) auth: Option<Auth>,
    /// The clients that load balancers announce. A connection before its header is not at rest, so
    /// the fast path knows nothing of this.
    pub(in crate::server) announced: Option<Box<Announced>>,
    /// The time of this turn.
    pub(in crate::server) now: Time,
}

/// When to read a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum ReadPolicy {
    /// Not before the next event: epoll reports bytes that are left again (level-triggered).
    Once,
    /// While reads fill their space: epoll may not report the rest again (edge-triggered).
    WhileFull,
    /// Until a read finds nothing; then the connection is ended. The server is in a drain.
    UntilEmpty,
    /// The same, but only a few times in all: the reading time of the drain is over.
    LastRequest,
}

/// What the kernel is probably ready for.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Possible {
    pub(in crate::server) read: bool,
    pub(in crate::server) write: bool,
}

/// How the fast path ended.
pub(in crate::server) enum FastOutcome {
    /// Everything was answered and sent. The connection is at rest again.
    Done,
    /// Bytes have arrived that were not answered, or the space was full: their cursors, whether the
    /// kernel may have more, and why they were not answered.
    Left(InboundCursors, bool, Stop),
    /// The kernel did not take all of the answer.
    Unsent(InboundCursors),
    /// No bytes are left, and the connection may want something else than to read.
    Ended,
}

impl FastOutcome {
    /// Of `count` bytes that have arrived, only the first `size` were answered, for this reason.
    #[cold]
    #[inline(never)]
    fn leave(&mut self, size: usize, count: usize, stop: &Stop) {
        let left = InboundCursors::after(0, size, count);
        *self = FastOutcome::Left(left, false, *stop);
    }

    /// The same for a silent service: the bytes that were answered are not sent.
    fn silent(self) -> FastOutcome {
        match self {
            FastOutcome::Left(at, may_read, stop) => {
                FastOutcome::Left(at.owing_nothing(), may_read, stop)
            }
            other => other,
        }
    }

    /// Bytes from the front of its space that are still needed.
    #[cold]
    pub(in crate::server) fn size(&self) -> usize {
        match self {
            FastOutcome::Left(at, ..) | FastOutcome::Unsent(at) => at.filled(),
            FastOutcome::Done | FastOutcome::Ended => 0,
        }
    }
}

/// Where pumping stopped.
pub(in crate::server) struct Next {
    /// What is wanted next.
    pub(in crate::server) want: Want,
    /// The kernel may be ready for it at once: only the budget is spent.
    pub(in crate::server) has_more: bool,
    /// When a rate lets it go on; [`Time::NEVER`] if no rate holds it back.
    pub(in crate::server) until: Time,
}

impl Next {
    /// Nothing but the kernel is waited for.
    pub(in crate::server) fn for_kernel(want: Want) -> Next {
        Next {
            want,
            has_more: false,
            until: Time::NEVER,
        }
    }
}

impl<K: Poller, S: Service> Pump<K, S> {
    /// The pump of a loop with these settings.
    pub(in crate::server) fn new(
        mut kernel: K,
        protocol: Protocol<S>,
        reading: ReadPolicy,
        settings: &Settings,
    ) -> Pump<K, S> {
        Pump {
            close_log: CloseLog::default(),
            tap: Tap::new(settings.wiretap.clone(), settings.trace.clone()),
            auth: settings.auth.clone(),
            pace: Pace::new(settings.pacing.clone(), settings.connections_max),
            announced: Announced::new(
                settings.proxy.as_ref(),
                settings.connections_per_ip_max,
                settings.connections_max,
            ),
            now: kernel.now(),
            kernel,
            protocol,
            counters: Counters::default(),
            reading,
        }
    }

    /// Passes the time of day to the service. Returns when the next second begins.
    #[cold]
    pub(in crate::server) fn tick(&mut self) -> Time {
        let since_1970 = self.kernel.time_of_day();
        if let Some(clock) = self.protocol.service.clock() {
            clock.tick(since_1970.as_secs());
        }
        let gone = Duration::from_nanos(u64::from(since_1970.subsec_nanos()));
        self.now.after(Duration::from_secs(1) - gone)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transfer {
    /// As many bytes as were asked for.
    Full,
    /// Fewer bytes than were asked for: the kernel has no more to give or to take.
    Short,
    /// None: the call would block, or the connection is broken.
    Blocked,
}

impl<K: Sockets, S: Service> Pump<K, S> {
    /// The first half of the fast path of a connection at rest: reads, and answers all bytes in
    /// place. Returns how many bytes are owed, or `None` and `outcome` if none are or that is not
    /// all: an outcome that is returned would be spilled from the registers of every request.
    /// Nearly every event takes this path, so nothing is done here that only the slow path needs.
    #[inline(always)]
    pub(in crate::server) fn receive_in_place(
        &mut self,
        peer: &mut Link<K, S>,
        space: &mut [u8],
        outcome: &mut FastOutcome,
    ) -> Option<usize> {
        let read =
            |kernel: &mut K, socket: &K::Socket, space: &mut [u8]| kernel.read(socket, space);
        self.receive_in_place_by(peer, space, outcome, read)
    }

    /// The same where the read into `space` has been made, with this result.
    #[inline(always)]
    pub(in crate::server) fn received_in_place(
        &mut self,
        peer: &mut Link<K, S>,
        space: &mut [u8],
        received: io::Result<usize>,
        outcome: &mut FastOutcome,
    ) -> Option<usize> {
        self.receive_in_place_by(peer, space, outcome, |_, _, _| received)
    }

    #[inline(always)]
    fn receive_in_place_by(
        &mut self,
        peer: &mut Link<K, S>,
        space: &mut [u8],
        outcome: &mut FastOutcome,
        read: impl FnOnce(&mut K, &K::Socket, &mut [u8]) -> io::Result<usize>,
    ) -> Option<usize> {
        let Some(active_at) = peer.waiting.active_at_rest() else {
            unreachable!("only a connection at rest takes the fast path");
        };
        self.counters.recv += 1;
        let count = match read(&mut self.kernel, &peer.socket, space) {
            Ok(0) => {
                *outcome = self.end_of_stream(peer);
                return None;
            }
            Ok(count) => count,
            Err(error) => {
                self.read_failed(&error, peer);
                *outcome = FastOutcome::Ended;
                return None;
            }
        };
        *active_at = self.now;
        self.counters.bytes_in += count as u64;
        if count >= space.len() {
            *outcome = self.answer_full(peer, space);
            return None;
        }
        let bytes = &mut space[..count];
        let frames = &mut self.counters.frames;
        let connection = &mut peer.connection;
        let owed = connection.answer_at_once(bytes, &mut self.protocol, |answered, size, stop| {
            *frames += answered;
            if size < count {
                outcome.leave(size, count, stop);
                return None;
            }
            Some(count)
        });
        if self.protocol.service.is_silent() {
            if owed.is_none() {
                *outcome = std::mem::replace(outcome, FastOutcome::Done).silent();
            }
            return None;
        }
        owed
    }

    /// Answers a read that has filled its space, behind which the kernel may have more bytes.
    #[cold]
    fn answer_full(&mut self, peer: &mut Link<K, S>, bytes: &mut [u8]) -> FastOutcome {
        let count = bytes.len();
        let frames = &mut self.counters.frames;
        let connection = &mut peer.connection;
        let left = connection.answer_at_once(bytes, &mut self.protocol, |answered, size, stop| {
            *frames += answered;
            FastOutcome::Left(InboundCursors::after(0, size, count), true, *stop)
        });
        match self.protocol.service.is_silent() {
            true => left.silent(),
            false => left,
        }
    }

    /// The second half of the fast path: sends the owed bytes.
    #[inline(always)]
    pub(in crate::server) fn send_in_place(
        &mut self,
        peer: &mut Link<K, S>,
        bytes: &[u8],
    ) -> FastOutcome {
        let write = |kernel: &mut K, socket: &K::Socket, bytes: &[u8]| kernel.write(socket, bytes);
        self.send_in_place_by(peer, bytes, write)
    }

    /// The same where the write of `bytes` has been made, with this result.
    #[inline(always)]
    pub(in crate::server) fn sent_in_place(
        &mut self,
        peer: &mut Link<K, S>,
        bytes: &[u8],
        sent: io::Result<usize>,
    ) -> FastOutcome {
        self.send_in_place_by(peer, bytes, |_, _, _| sent)
    }

    #[inline(always)]
    fn send_in_place_by(
        &mut self,
        peer: &mut Link<K, S>,
        bytes: &[u8],
        write: impl FnOnce(&mut K, &K::Socket, &[u8]) -> io::Result<usize>,
    ) -> FastOutcome {
        self.counters.send += 1;
        let sent = match write(&mut self.kernel, &peer.socket, bytes) {
            Ok(sent) => sent,
            Err(error) => match self.write_failed(&error, peer) {
                Want::Write => 0,
                _ => return FastOutcome::Ended,
            },
        };
        self.counters.bytes_out += sent as u64;
        if sent == bytes.len() {
            return FastOutcome::Done;
        }
        self.counters.short_writes += u64::from(sent > 0);
        FastOutcome::Unsent(InboundCursors::after(sent, bytes.len(), bytes.len()))
    }

    #[cold]
    fn end_of_stream(&mut self, peer: &mut Link<K, S>) -> FastOutcome {
        let mut empty = Workspace::new(&mut [], &mut [], Cursors::default());
        peer.connection.ended(&mut empty, &mut self.protocol);
        FastOutcome::Ended
    }

    /// Tells the observers of a new connection.
    #[cold]
    pub(in crate::server) fn tell_new(&mut self, token: Token, peer: &mut Link<K, S>) {
        let Some(tap) = &mut self.tap else { return };
        peer.number = tap.registered();
        if tap.sees_bytes() && !peer.connection.expects_header() {
            match self.kernel.peer(&peer.socket) {
                Ok(address) => tap.active(peer.number, &address),
                // A peer that has left already has no address.
                Err(_) => tap.active(peer.number, &"unknown"),
            }
        }
        self.tell(token, peer);
    }

    /// Tells the observers of a change of a connection, if there is one.
    #[inline]
    pub(in crate::server) fn tell(&mut self, token: Token, peer: &mut Link<K, S>) {
        if let Some(tap) = &mut self.tap {
            tap.begin(token);
            let waits = Some(peer.waiting.number());
            tap.state(&mut peer.told, peer.connection.stage(), waits, self.now);
        }
    }

    /// Speaks first: challenges a new connection, or greets it.
    #[cold]
    pub(in crate::server) fn begin(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
    ) {
        match &self.auth {
            None => peer.connection.begin(workspace, &mut self.protocol),
            #[cfg(not(feature = "auth"))]
            Some(auth) => match *auth {},
            #[cfg(feature = "auth")]
            Some(auth) => {
                let mut challenge = [0; CHALLENGE_SIZE];
                match self.kernel.random(&mut challenge) {
                    Ok(()) => {
                        let expected = auth.expected(&challenge);
                        peer.connection.challenge(&challenge, expected, workspace);
                    }
                    Err(error) => {
                        log::debug!("getrandom: {error}");
                        peer.connection.close(CloseReason::Failed);
                    }
                }
            }
        }
    }

    /// The header of a load balancer was taken: challenges the client, if it can still answer.
    #[cold]
    pub(in crate::server) fn challenge_behind_header(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
    ) {
        match peer.connection.is_open() {
            true => self.begin(peer, workspace),
            false => peer.connection.close(CloseReason::Unauthorised),
        }
    }

    /// Counts the answered frames of one step, and logs a discarded frame.
    pub(in crate::server) fn note(&mut self, progress: Progress) {
        self.counters.frames += progress.frames;
        if let Some(frame) = progress.discarded {
            self.counters.frames_discarded += 1;
            let outcome = "frame is thrown away";
            self.close_log
                .log_frame_error(&frame.error, frame.hint, outcome, self.now);
        }
    }

    /// Does what `peer` wants, as far as the kernel is ready and the budget lasts.
    pub(in crate::server) fn run(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
        possible: Possible,
        budget: &mut Budget,
    ) -> Next {
        let next = self.run_event(peer, workspace, possible, budget);
        if let Some(tap) = &mut self.tap {
            tap.end_event();
        }
        next
    }

    fn run_event(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
        mut possible: Possible,
        budget: &mut Budget,
    ) -> Next {
        // A peer that was not read while it was owed bytes may have sent more since.
        possible.read |= self.reads_until_empty(peer);
        while budget.take_call() {
            if let Some(tap) = &mut self.tap {
                tap.state(&mut peer.told, peer.connection.stage(), None, self.now);
            }
            let want = peer.connection.wants(workspace.owes());
            match want {
                Want::Read if possible.read && self.may_read(peer, workspace) => {
                    let room = workspace.inbound.spare().len();
                    let size = match self.admit(Side::Read, room) {
                        Ok(size) => size,
                        Err(until) => return self.held_back(want, until),
                    };
                    let pumped = self.receive(peer, workspace, size, budget);
                    possible.read = self.reads_again(peer, pumped);
                    if size < room && pumped == Transfer::Full {
                        budget.spend_all_bytes();
                    }
                }
                Want::Read if self.is_shutting_down() && !peer.waiting.is_memory() => {
                    if self.may_finish(peer, workspace) {
                        return Next::for_kernel(want);
                    }
                    possible.write &= self.finish_drain(peer, workspace, possible.write, budget);
                }
                Want::Write if possible.write => {
                    let owed = workspace.owed().len();
                    let size = match self.admit(Side::Write, owed) {
                        Ok(size) => size,
                        Err(until) => return self.held_back(want, until),
                    };
                    possible.write = self.send(peer, workspace, size, budget) == Transfer::Full;
                    if size < owed && possible.write {
                        // The others have their turn before the next part.
                        break;
                    }
                }
                Want::Resume if budget.frames() > 0 => {
                    let connection = &mut peer.connection;
                    let progress = connection.resume(workspace, &mut self.protocol, budget);
                    self.note(progress);
                    // The connection waited for its turn, so its peer was not idle.
                    peer.waiting.touch(self.now);
                }
                Want::Resume => break,
                Want::Discard if possible.read => {
                    let size = match self.admit(Side::Read, DISCARD_SIZE) {
                        Ok(size) => size,
                        Err(until) => return self.held_back(want, until),
                    };
                    let pumped = self.discard(peer, size, budget);
                    possible.read = self.reads_again(peer, pumped);
                }
                Want::Shutdown => self.shutdown(peer),
                Want::Header => return self.receive_header(peer, workspace, possible, budget),
                Want::Read | Want::Await | Want::Write | Want::Discard | Want::Close => {
                    return Next::for_kernel(want);
                }
            }
            if possible.read && !budget.has_bytes() {
                break;
            }
        }
        let want = peer.connection.wants(workspace.owes());
        Next {
            want,
            has_more: !matches!(want, Want::Close | Want::Await),
            until: Time::NEVER,
        }
    }

    #[inline]
    fn reads_again(&self, peer: &Link<K, S>, pumped: Transfer) -> bool {
        match (pumped, self.reading) {
            (Transfer::Blocked, _) => false,
            // Bytes that are read now may be discarded, but they have to be read to the end.
            (Transfer::Full, ReadPolicy::WhileFull | ReadPolicy::LastRequest) => true,
            _ => peer.read_to_end || self.reads_until_empty(peer),
        }
    }

    /// Whether the drain still reads this connection. After the reading time, a connection that had
    /// to wait for a workspace or for its turn may still be unread.
    #[inline]
    fn reads_until_empty(&self, peer: &Link<K, S>) -> bool {
        self.is_shutting_down() && self.drain_reads(peer)
    }

    #[cold]
    fn drain_reads(&self, peer: &Link<K, S>) -> bool {
        self.reading == ReadPolicy::UntilEmpty
            || peer.drain_reads < DRAIN_READS_MIN && !peer.connection.is_lingering()
    }

    #[inline]
    fn may_read(&self, peer: &Link<K, S>, workspace: &mut Workspace<'_>) -> bool {
        !self.is_shutting_down() || self.drain_reads(peer) || self.may_finish(peer, workspace)
    }

    /// Whether a drain lets the peer send the rest of a request. After the reading time the peer
    /// may finish one request and none behind it: a peer that always has an unfinished request
    /// would postpone the end.
    #[cold]
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

    /// How many of `size` bytes the rates let move now, or when they let some.
    #[inline]
    fn admit(&mut self, side: Side, size: usize) -> Result<usize, Time> {
        match &mut self.pace {
            None => Ok(size),
            Some(pace) => pace.admit(side, size, self.now),
        }
    }

    /// A call for admitted bytes has moved so many.
    #[inline]
    fn moved(&mut self, side: Side, count: usize) {
        if let Some(pace) = &mut self.pace {
            pace.moved(side, count, self.now);
        }
    }

    /// A rate lets the connection go on at `until`.
    #[cold]
    fn held_back(&mut self, want: Want, until: Time) -> Next {
        self.counters.rate_waits += 1;
        Next {
            want,
            has_more: false,
            until,
        }
    }

    /// Reads once, at most `size` bytes, into the spare space, and answers what arrived.
    fn receive(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
        size: usize,
        budget: &mut Budget,
    ) -> Transfer {
        self.read_into(
            peer,
            workspace,
            size,
            budget,
            |pump, peer, workspace, count, budget| {
                let connection = &mut peer.connection;
                let progress = connection.received(count, workspace, &mut pump.protocol, budget);
                pump.note(progress);
                let is_last = pump.reading == ReadPolicy::LastRequest;
                peer.has_finished |= is_last && progress.frames > 0;
            },
        )
    }

    /// Reads once, at most `size` bytes, into the spare space. `take` gets the number of bytes that
    /// have arrived.
    #[inline(always)]
    fn read_into(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
        size: usize,
        budget: &mut Budget,
        take: impl FnOnce(&mut Self, &mut Link<K, S>, &mut Workspace<'_>, usize, &mut Budget),
    ) -> Transfer {
        let space = &mut workspace.inbound.spare()[..size];
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
                self.moved(Side::Read, 0);
                peer.connection.ended(workspace, &mut self.protocol);
                Transfer::Short
            }
            Ok(count) => {
                self.counters.bytes_in += count as u64;
                self.moved(Side::Read, count);
                if let Some(tap) = &mut self.tap {
                    tap.read(peer.number, &space[..count]);
                }
                budget.spend_bytes(count);
                take(self, peer, workspace, count, budget);
                peer.waiting.received(count, self.now);
                if count == asked {
                    Transfer::Full
                } else {
                    Transfer::Short
                }
            }
            Err(error) => {
                self.moved(Side::Read, 0);
                self.read_failed(&error, peer);
                Transfer::Blocked
            }
        }
    }

    /// Writes at most `size` owed bytes, once. Frames whose answers have room now are answered.
    fn send(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
        size: usize,
        budget: &mut Budget,
    ) -> Transfer {
        let owed = &workspace.owed()[..size];
        let asked = owed.len();
        debug_assert!(asked > 0, "a write of nothing would be repeated for ever");
        self.counters.send += 1;
        match self.kernel.write(&peer.socket, owed) {
            Ok(count) => {
                self.counters.bytes_out += count as u64;
                if let Some(pace) = &mut self.pace {
                    pace.moved(Side::Write, count, self.now);
                }
                if let Some(tap) = &mut self.tap {
                    tap.write(peer.number, &owed[..count]);
                }
                let connection = &mut peer.connection;
                let progress = connection.sent(count, workspace, &mut self.protocol, budget);
                self.note(progress);
                peer.waiting.sent(count, self.now);
                if count == asked {
                    return Transfer::Full;
                }
                self.counters.short_writes += 1;
                Transfer::Short
            }
            Err(error) => {
                self.moved(Side::Write, 0);
                self.write_failed(&error, peer);
                Transfer::Blocked
            }
        }
    }

    /// Reads once and discards the bytes: a lingering peer is read only to find the end of its
    /// stream. This needs no workspace, so a lingering connection never waits for one. Its space is
    /// larger than a page of the stack, which a caller would touch in every event.
    #[inline(never)]
    fn discard(&mut self, peer: &mut Link<K, S>, size: usize, budget: &mut Budget) -> Transfer {
        let mut space = [0; DISCARD_SIZE];
        let space = &mut space[..size];
        self.counters.recv += 1;
        match self.kernel.read(&peer.socket, space) {
            Ok(0) => {
                self.moved(Side::Read, 0);
                peer.connection.close(CloseReason::EndOfStream);
                Transfer::Short
            }
            Ok(count) => {
                self.counters.bytes_in += count as u64;
                self.moved(Side::Read, count);
                if let Some(tap) = &mut self.tap {
                    tap.read(peer.number, &space[..count]);
                }
                budget.spend_bytes(count);
                peer.waiting.has_memory();
                if count == space.len() {
                    Transfer::Full
                } else {
                    Transfer::Short
                }
            }
            Err(error) => {
                self.moved(Side::Read, 0);
                self.read_failed(&error, peer);
                Transfer::Blocked
            }
        }
    }

    /// Sends our FIN. The connection then waits only for the peer's FIN or for its time-out.
    pub(in crate::server) fn shutdown(&mut self, peer: &mut Link<K, S>) {
        self.counters.shutdown += 1;
        match self.kernel.shutdown(&peer.socket) {
            Ok(()) => {
                peer.connection.finished();
                let unacknowledged = peer.unacknowledged_replies(&mut self.kernel);
                peer.waiting.linger(unacknowledged, self.now);
            }
            Err(_) => peer.connection.close(CloseReason::Reset),
        }
    }

    /// Ends a connection in a drain, when all its answers are written. If the peer's kernel has
    /// acknowledged them, the connection is closed. Otherwise a close might destroy them, so the
    /// connection sends a FIN and lingers. Returns whether another write may succeed.
    #[cold]
    fn finish_drain(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
        may_write: bool,
        budget: &mut Budget,
    ) -> bool {
        peer.connection.flush_held(workspace, &mut self.protocol);
        // A drain has lifted the rates.
        let size = workspace.owed().len();
        if size > 0 && !(may_write && self.send(peer, workspace, size, budget) == Transfer::Full) {
            // The service has ended its message: bytes that arrive before the next write would be
            // answered as if they began another. So nothing more is answered.
            peer.connection.drain(CloseReason::Shutdown, workspace);
            return false;
        }
        let acknowledged = matches!(self.kernel.unacknowledged(&peer.socket), Ok(0));
        if acknowledged && self.reads_until_empty(peer) {
            workspace.inbound.drop_undecoded();
            peer.connection.close(CloseReason::Shutdown);
        } else {
            peer.connection.drain(CloseReason::Shutdown, workspace);
        }
        may_write
    }
}
