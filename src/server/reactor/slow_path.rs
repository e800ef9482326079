//! The slow path of one connection: it does what the connection wants, within a budget, and then
//! settles what the connection waits for.
//!
//! A connection keeps its workspace only while bytes lie in it. Two time-outs bound how long. A
//! single byte now and then renews neither, so a slow peer cannot keep a workspace for ever:
//!
//! - A connection in the middle of a frame has the frame time-out, from the first byte of the frame
//!   to its last (the attack "slow loris", CVE-2007-6750). While other connections wait, the
//!   time-out runs on over frames that follow each other, unless the peer sends at least
//!   `stall_size_min` bytes.
//! - A peer that is owed bytes must take at least `stall_size_min` of them within each stall
//!   time-out (the attack "slow read").
//!
//! When all workspaces are lent, connections wait in order. Invariant: nothing here looks up a
//! connection. Each call gets one, and says whether it has closed; `reactor` then releases it.
//! Neighbours: `pump` moves the bytes, `waiting` says what follows, `lists` keeps it.

use std::io;

use crate::base::bytes::{InboundCursors, OutboundCursors};
use crate::kernel::{Poller, Readiness, Time, Token};
use crate::limits::DIGEST_TIMEOUT;
use crate::protocol::connection::{
    Budget, Cause, CloseReason, Cursors, Idle, Stop, Want, Workspace,
};
use crate::protocol::service::{EffectEvent, Service};

use super::lists::Lists;
use crate::server::admission::announced::log_header;
use crate::server::effects::children::PendingAnswer;
use crate::server::link::Link;
use crate::server::pool::{Lease, Workspaces};
use crate::server::pump::{Next, Possible, Pump, ReadPolicy};
use crate::server::settings::Settings;
use crate::server::waiting::{Facts, Timeouts, deadline, interest};

/// The stream may have ended.
const OVER: Readiness = Readiness::RDHUP.union(Readiness::HUP).union(Readiness::ERR);
/// After a short read there may be more to read: the end of the stream, or bytes behind an urgent
/// byte.
const TO_THE_END: Readiness = OVER.union(Readiness::PRI);

/// What all connections of a reactor share.
pub(in crate::server) struct SlowPath<K: Poller, S: Service> {
    pump: Pump<K, S>,
    workspaces: Workspaces,
    lists: Lists,
    settings: Settings,
}

/// Where bytes of the fast path lie: in the workspace that staged answers share, or in the one that
/// would be lent next.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Place<'a> {
    pub(in crate::server) shared: Option<&'a Lease>,
    pub(in crate::server) start: usize,
}

/// Whether a connection is still there after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::server) enum Fate {
    Open,
    /// The connection is to be released.
    Closed,
}

impl<K: Poller, S: Service> SlowPath<K, S> {
    pub(in crate::server) fn new(
        pump: Pump<K, S>,
        workspaces: Workspaces,
        settings: Settings,
    ) -> SlowPath<K, S> {
        let has_effects = pump.protocol.service.effects().is_some();
        let timeouts = Timeouts::of(&settings);
        SlowPath {
            pump,
            workspaces,
            lists: Lists::new(settings.connections_max, has_effects, timeouts),
            settings,
        }
    }

    #[inline]
    pub(in crate::server) fn pump(&self) -> &Pump<K, S> {
        &self.pump
    }

    #[inline]
    pub(in crate::server) fn pump_mut(&mut self) -> &mut Pump<K, S> {
        &mut self.pump
    }

    #[inline]
    pub(in crate::server) fn lists(&self) -> &Lists {
        &self.lists
    }

    #[inline]
    pub(in crate::server) fn lists_mut(&mut self) -> &mut Lists {
        &mut self.lists
    }

    #[inline]
    pub(in crate::server) fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }

    pub(in crate::server) fn workspaces_mut(&mut self) -> &mut Workspaces {
        &mut self.workspaces
    }

    #[inline]
    pub(in crate::server) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The pump and a space for the fast path: that of the workspace that would be lent next.
    /// `None` if all workspaces are lent.
    #[inline(always)]
    pub(in crate::server) fn fast(&mut self) -> Option<(&mut Pump<K, S>, &mut [u8])> {
        let space = self.workspaces.space(None)?;
        Some((&mut self.pump, space))
    }

    /// Handles one event of a connection.
    pub(in crate::server) fn event(
        &mut self,
        token: Token,
        link: &mut Link<K, S>,
        readiness: Readiness,
    ) -> Fate {
        if link.waiting.is_turn() && !link.connection.awaits() {
            // The connection is continued after the events and would otherwise have two turns. Only
            // what the kernel does not report again is kept. (A connection that awaits does not
            // read in its turn, and an edge reports a reset once.)
            link.read_to_end |= readiness.intersects(TO_THE_END);
            return Fate::Open;
        }
        if link.waiting.is_tokens() {
            return SlowPath::<K, S>::hear_while_held_back(link, readiness);
        }
        self.ready(token, link, readiness)
    }

    /// An event of a connection that a rate holds back. Only an error ends it now: after a hang-up
    /// there may be bytes that are still to be read.
    #[cold]
    fn hear_while_held_back(link: &mut Link<K, S>, readiness: Readiness) -> Fate {
        link.read_to_end |= readiness.intersects(TO_THE_END);
        if readiness.intersects(Readiness::ERR) {
            link.connection.close(CloseReason::Reset);
            return Fate::Closed;
        }
        Fate::Open
    }

    /// The turn of a connection that is ready without an event.
    pub(in crate::server) fn turn(&mut self, token: Token, link: &mut Link<K, S>) -> Fate {
        self.ready(token, link, Readiness::IN | Readiness::OUT)
    }

    fn ready(&mut self, token: Token, link: &mut Link<K, S>, readiness: Readiness) -> Fate {
        let (mut was_refused, mut nothing_asked) = (false, false);
        if !link.waiting.is_request() {
            was_refused = link.waiting.is_writable();
            nothing_asked = link.waiting.is_for_no_event();
            link.waiting.try_again();
        }
        let over = readiness.intersects(OVER);
        link.read_to_end |= readiness.intersects(TO_THE_END);
        let broken = readiness.intersects(match link.connection.is_lingering() {
            // After our FIN, a hang-up is only the end of the peer's stream. Bytes before it are
            // still read: a close with unread input destroys replies.
            true => Readiness::ERR,
            false => Readiness::HUP | Readiness::ERR,
        });
        if broken && nothing_asked && (link.lease.is_none() || link.connection.awaits()) {
            // epoll reports these two without interest, and would report them in every turn.
            link.connection.close(CloseReason::Reset);
            return Fate::Closed;
        }
        // An event of a socket that was watched only for writing says nothing about reading. A
        // drain reads until a read finds nothing.
        let to_the_last = self.pump.reading == ReadPolicy::UntilEmpty;
        let possible = Possible {
            read: over || to_the_last || readiness.intersects(Readiness::IN),
            write: over || readiness.intersects(Readiness::OUT) || !was_refused,
        };
        let mut budget = Budget::new(self.settings.frames_per_event);
        self.run(token, link, possible, &mut budget)
    }

    /// Does what a connection wants, in a workspace of its own.
    pub(in crate::server) fn run(
        &mut self,
        token: Token,
        link: &mut Link<K, S>,
        possible: Possible,
        budget: &mut Budget,
    ) -> Fate {
        if link.waiting.is_turn() {
            self.lists.take_turn(token.index());
        }
        if let Some(pace) = &mut self.pump.pace {
            pace.serve(token.index());
        }
        if let Some(tap) = &mut self.pump.tap {
            tap.begin(token);
        }
        let lease = link.lease.take().or_else(|| self.workspaces.acquire());
        if lease.is_none() && !link.connection.is_lingering() {
            return self.wait_for_workspace(token, link);
        }
        // Bytes of a lingering peer are discarded and need no workspace.
        let mut workspace = match &lease {
            Some(lease) => self.workspaces.open(lease),
            None => Workspace::new(&mut [], &mut [], Cursors::default()),
        };
        if link.connection.is_greeting() {
            self.pump.begin(link, &mut workspace);
        }
        let mut next = self.pump.run(link, &mut workspace, possible, budget);
        if next.want == Want::Header {
            let slot = token.index();
            next = (self.pump).pass_header(slot, link, &mut workspace, next, possible, budget);
        }
        let is_held_back = next.has_more | (next.until != Time::NEVER);
        let is_idle = next.want == Want::Read && !is_held_back && workspace.is_empty();
        if is_idle && link.waiting.is_request() && !link.connection.is_mid_message() {
            // Nearly every event ends as it began: with a connection at rest.
            if let Some(lease) = lease {
                self.workspaces.release_workspace(lease);
            }
            self.pump.tell(token, link);
            return Fate::Open;
        }
        let facts = Facts {
            holds: !workspace.is_empty(),
            is_mid_message: link.connection.is_mid_message(),
            is_next: link.connection.take_end_of_frame(),
            is_contended: self.lists.is_contended(),
        };
        let at = workspace.cursors();
        match lease {
            Some(lease) if facts.holds => {
                self.workspaces.leave(&lease, at);
                link.lease = Some(lease);
            }
            Some(lease) => self.workspaces.release_workspace(lease),
            None => {}
        }
        let (timeouts, now) = (self.lists.timeouts(), self.pump.now);
        link.waiting = link.waiting.after(&next, facts, timeouts, now);
        if let (Some(pace), true) = (&mut self.pump.pace, link.waiting.is_tokens()) {
            pace.put_off(token.index(), next.until.since(now));
        }
        if link.waiting.is_amid() {
            self.lists.arm_by(token.index(), &link.waiting);
            if link.connection.is_pending() {
                self.arm(token, link);
            }
        }
        if next.want != Want::Close {
            self.pump.tell(token, link);
        }
        let is_settled = link.waiting.is_for_peer()
            && next.want != Want::Close
            && interest(&link.waiting, self.settings.trigger) == link.registered;
        match is_settled {
            true => Fate::Open,
            false => self.settle(token, link, next.want),
        }
    }

    /// Puts a connection onto its list, arms its deadline, and registers its interest if that has
    /// changed.
    pub(in crate::server) fn settle(
        &mut self,
        token: Token,
        link: &mut Link<K, S>,
        want: Want,
    ) -> Fate {
        self.pump.tell(token, link);
        if want == Want::Close {
            if self.pump.kernel.is_finished(&link.socket) || !link.connection.outlive() {
                return Fate::Closed;
            }
            // The transport still has to end its stream, and the kernel has no room for that now.
            self.pump.shutdown(link);
            if link.connection.wants(false) == Want::Close {
                return Fate::Closed;
            }
        }
        self.lists.enter(token.index(), &link.waiting);
        if link.waiting.is_effect() && !link.has_effect {
            self.lists.await_effect(token.index());
        }
        self.arm(token, link);
        let interest = interest(&link.waiting, self.settings.trigger);
        if interest == link.registered {
            return Fate::Open;
        }
        self.pump.counters.epoll_ctl += 1;
        self.pump.counters.interest_changes += 1;
        let changed = self.pump.kernel.reregister(&link.socket, token, interest);
        match changed {
            Ok(()) => {
                link.registered = interest;
                Fate::Open
            }
            Err(error) => self.fail_registration(link, &error),
        }
    }

    /// Registers a new connection.
    pub(in crate::server) fn register(&mut self, token: Token, link: &mut Link<K, S>) -> Fate {
        self.pump.counters.epoll_ctl += 1;
        let registered = self
            .pump
            .kernel
            .register(&link.socket, token, link.registered);
        match registered {
            Ok(()) => {
                if self.pump.announced.is_some() && !link.connection.expects_header() {
                    // No header comes from this peer, so the transport begins at once.
                    self.pump.kernel.secure(&link.socket, &[]);
                }
                self.arm(token, link);
                Fate::Open
            }
            Err(error) => self.fail_registration(link, &error),
        }
    }

    /// The kernel refused to watch a connection. Only this connection ends.
    #[cold]
    fn fail_registration(&mut self, link: &mut Link<K, S>, error: &io::Error) -> Fate {
        self.pump.counters.refused_registration += 1;
        log::debug!("epoll_ctl: {error}");
        link.connection.close(CloseReason::Failed);
        Fate::Closed
    }

    /// A connection has something to read and no workspace to read it into.
    #[cold]
    fn wait_for_workspace(&mut self, token: Token, link: &mut Link<K, S>) -> Fate {
        if link.waiting.is_workspace() {
            return Fate::Open;
        }
        link.waiting.lacks_workspace(self.pump.now);
        self.pump.counters.workspace_waits += 1;
        self.settle(token, link, Want::Read)
    }

    /// Keeps what the fast path has left in a workspace of its own.
    #[cold]
    fn keep(&mut self, link: &mut Link<K, S>, at: InboundCursors, place: &Place<'_>) {
        let range = place.start..place.start + at.filled();
        let Some(lease) = self.workspaces.acquire_with(range, place.shared) else {
            unreachable!("every staged answer has a free workspace beside the shared one");
        };
        let cursors = (at, OutboundCursors::default());
        self.workspaces.leave(&lease, cursors);
        link.lease = Some(lease);
    }

    /// Keeps bytes that were not answered at once, or behind which there may be more. What is left
    /// of the budget is for the rest of this event.
    #[cold]
    pub(in crate::server) fn keep_left(
        &mut self,
        link: &mut Link<K, S>,
        at: InboundCursors,
        place: &Place<'_>,
        stop: Stop,
    ) -> Budget {
        self.keep(link, at, place);
        link.is_staged = true;
        let mut budget = Budget::new(match stop {
            Stop::BudgetSpent => 0,
            _ => self.settings.frames_per_event,
        });
        if let Some(lease) = &link.lease {
            let mut workspace = self.workspaces.open(lease);
            let protocol = &mut self.pump.protocol;
            let connection = &mut link.connection;
            let progress = connection.keep(stop, &mut workspace, protocol, &mut budget);
            let at = workspace.cursors();
            self.workspaces.leave(lease, at);
            self.pump.note(progress);
        }
        budget
    }

    /// Keeps the rest of an answer that the kernel did not take, until it does.
    #[cold]
    pub(in crate::server) fn keep_unsent(
        &mut self,
        token: Token,
        link: &mut Link<K, S>,
        at: InboundCursors,
        place: &Place<'_>,
    ) -> Fate {
        self.keep(link, at, place);
        let facts = Facts {
            holds: true,
            is_mid_message: false,
            is_next: false,
            is_contended: self.lists.is_contended(),
        };
        let next = Next::for_kernel(Want::Write);
        let (timeouts, now) = (self.lists.timeouts(), self.pump.now);
        link.waiting = link.waiting.after(&next, facts, timeouts, now);
        self.settle(token, link, next.want)
    }

    /// The armed deadline of a connection has passed. Activity moves the true deadline away from
    /// the armed one, so it is computed again.
    pub(in crate::server) fn expire(&mut self, token: Token, link: &mut Link<K, S>) -> Fate {
        let slot = token.index();
        let now = self.pump.now;
        if link.waiting.is_memory() {
            let pause = link.waiting.end_pause(now);
            if let Some(pace) = &mut self.pump.pace {
                pace.put_off(slot, pause);
            }
            self.lists.enter(slot, &link.waiting);
            self.pump.tell(token, link);
            return Fate::Open;
        }
        if link.waiting.is_tokens() {
            link.waiting.end_tokens(now);
            if link.waiting.is_turn() {
                self.lists.enter(slot, &link.waiting);
                self.pump.tell(token, link);
                self.arm(token, link);
                return Fate::Open;
            }
        }
        if link.waiting.unacknowledged() > 0 && self.keep_lingering(link) {
            return self.settle(token, link, Want::Discard);
        }
        let (until, reason, idle) = self.deadline(token, link);
        if until > now {
            self.arm(token, link);
            return Fate::Open;
        }
        if reason == CloseReason::SlowFrame && self.begins_without_header(link) {
            return self.ready(token, link, Readiness::OUT);
        }
        let is_owed = link.waiting.is_writable();
        if is_owed {
            // The kernel reports no event before a third of the send buffer is free, so the peer
            // may have read many bytes without one. A write tells.
            if self.ready(token, link, Readiness::OUT) == Fate::Closed {
                return Fate::Closed;
            }
            let is_in_time = self.deadline(token, link).0 > now;
            if is_in_time || link.waiting.is_memory() {
                self.arm(token, link);
                return Fate::Open;
            }
        }
        if let (Some(tap), CloseReason::Idle) = (&mut self.pump.tap, reason) {
            tap.user_event(link.number, idle.name());
        }
        let cause = match (reason, link.connection.header_is_late()) {
            (CloseReason::SlowFrame, Some(cause)) => {
                log_header(&mut self.pump.close_log, "it was not whole in time", now);
                cause
            }
            (CloseReason::SlowFrame, None) => {
                let lease = link.lease.as_ref();
                let hint = lease.and_then(|lease| {
                    let mut workspace = self.workspaces.open(lease);
                    let protocol = &self.pump.protocol;
                    link.connection.hint_of_late(&mut workspace, protocol)
                });
                Cause::from(reason).hinted(hint)
            }
            _ => Cause::from(reason).idle_in(idle),
        };
        // A FIN behind a part of what is owed would look like the end of it.
        if !is_owed
            && matches!(reason, CloseReason::Idle | CloseReason::SlowFrame)
            && self.drain_behind_replies(link, cause)
        {
            let want = link.connection.wants(false);
            return self.settle(token, link, want);
        }
        link.connection.close(cause);
        Fate::Closed
    }

    /// The frame time-out has passed. Returns whether the connection waits for the rest of a header
    /// that need not come, so that its bytes are data.
    #[cold]
    fn begins_without_header(&mut self, link: &mut Link<K, S>) -> bool {
        let (true, Some(lease)) = (link.connection.expects_header(), &link.lease) else {
            return false;
        };
        let mut workspace = self.workspaces.open(lease);
        link.connection.expect_data(&mut workspace)
    }

    /// When a connection is closed, or looked at again, why, and in which directions it was idle.
    pub(in crate::server) fn deadline(
        &self,
        token: Token,
        link: &Link<K, S>,
    ) -> (Time, CloseReason, Idle) {
        let (until, reason) = deadline(&link.waiting, self.lists.timeouts());
        if let (Some(pace), true) = (&self.pump.pace, link.waiting.has_idle_clocks()) {
            let (at, idle) = pace.idle_until(token.index(), !link.waiting.is_writable());
            if at < until {
                return (at, CloseReason::Idle, idle);
            }
        }
        if link.connection.is_pending() {
            let since = link.waiting.amid_since();
            let late = since.map_or(Time::NEVER, |since| since.after(DIGEST_TIMEOUT));
            if late < until {
                return (late, CloseReason::SlowFrame, Idle::Both);
            }
        }
        (until, reason, Idle::Both)
    }

    /// Sets the timer of a connection anew, because what it waits for has changed.
    fn arm(&mut self, token: Token, link: &Link<K, S>) {
        self.lists.arm(token.index(), &link.waiting);
        if self.pump.pace.is_some() || link.connection.is_pending() {
            let until = self.deadline(token, link).0;
            self.lists.arm_until(token.index(), until);
        }
    }

    /// Ends an idle connection while the kernel still holds bytes of its replies. The peer may be
    /// reading them, and a close would destroy them when the peer sends. So the connection sends a
    /// FIN behind them and lingers. Returns whether the kernel held any.
    fn drain_behind_replies(&mut self, link: &mut Link<K, S>, cause: Cause) -> bool {
        if !matches!(self.pump.kernel.unacknowledged(&link.socket), Ok(1..)) {
            return false;
        }
        let mut nothing = Workspace::new(&mut [], &mut [], Cursors::default());
        match &link.lease {
            Some(lease) => {
                let mut workspace = self.workspaces.open(lease);
                link.connection.drain(cause, &mut workspace);
            }
            None => link.connection.drain(cause, &mut nothing),
        }
        if link.connection.wants(false) != Want::Shutdown {
            return false;
        }
        // An idle connection owes nothing. Bytes of an unfinished frame are dropped.
        if let Some(lease) = link.lease.take() {
            self.workspaces.release_workspace(lease);
        }
        self.pump.shutdown(link);
        true
    }

    /// Lets a connection linger on while its peer takes the replies that the kernel still holds.
    /// After our FIN the peer may have megabytes to read, and a close with unread input would
    /// destroy them (RFC 1122, 4.2.2.13). The peer must take at least `stall_size_min` bytes within
    /// each stall time-out. Returns `false` once the connection is to be closed.
    fn keep_lingering(&mut self, link: &mut Link<K, S>) -> bool {
        let unacknowledged = link.unacknowledged_replies(&mut self.pump.kernel);
        let (timeouts, now) = (self.lists.timeouts(), self.pump.now);
        let lingers = link.waiting.keep_lingering(unacknowledged, timeouts, now);
        if !lingers && unacknowledged > 0 {
            self.pump.counters.lingers_cut += 1;
            self.pump.close_log.log_linger(unacknowledged, now);
        }
        lingers
    }

    /// Takes one event of the effect that a connection waits for, and continues it.
    #[cold]
    pub(in crate::server) fn deliver(
        &mut self,
        token: Token,
        link: &mut Link<K, S>,
        answer: &mut PendingAnswer,
        event: EffectEvent<'_>,
    ) -> Fate {
        // A connection that awaits holds its request, and so a workspace.
        let Some(lease) = link.lease.as_ref().filter(|_| link.connection.awaits()) else {
            return Fate::Open;
        };
        if let Some(pace) = &mut self.pump.pace {
            pace.touch(token.index(), self.pump.now);
        }
        link.has_effect &= !event.is_last();
        let mut budget = Budget::new(self.settings.frames_per_event);
        let mut workspace = self.workspaces.open(lease);
        let progress = link.connection.take_event(
            event,
            answer.peer.as_str(),
            &mut answer.drafted,
            &mut workspace,
            &mut self.pump.protocol,
            &mut budget,
        );
        let at = workspace.cursors();
        self.workspaces.leave(lease, at);
        self.pump.note(progress);
        let possible = Possible {
            read: false,
            write: !link.waiting.is_writable(),
        };
        self.run(token, link, possible, &mut budget)
    }

    /// Makes a connection ready for the next turn, unless a turn would do nothing for it.
    #[cold]
    pub(in crate::server) fn visit(&mut self, token: Token, link: &mut Link<K, S>) {
        if link.waiting.visit(self.pump.now) {
            self.pump.tell(token, link);
            self.lists.enter(token.index(), &link.waiting);
        }
    }

    /// Lends a free workspace to a connection that has waited for one.
    pub(in crate::server) fn lend(&mut self, token: Token, link: &mut Link<K, S>) {
        link.lease = self.workspaces.acquire();
        if let Some(pace) = &mut self.pump.pace {
            let since = link.waiting.starved_since(self.pump.now);
            pace.put_off(token.index(), self.pump.now.since(since));
        }
        link.waiting.lent(self.pump.now);
        self.pump.tell(token, link);
        self.lists.enter(token.index(), &link.waiting);
    }

    /// The connection is gone: its entries, its socket and its workspace go, too.
    pub(in crate::server) fn release(&mut self, token: Token, link: Link<K, S>) {
        self.lists.leave(token, link.has_effect);
        if let Some(pace) = &mut self.pump.pace {
            pace.close(token.index());
        }
        if let Some(announced) = &mut self.pump.announced {
            announced.leave(token.index());
        }
        self.pump.counters.connections_now -= 1;
        self.pump.counters.close += 1;
        let cause = link.connection.cause();
        self.pump.counters.closed[cause.reason as usize] += 1;
        log::debug!("connection {token:?} closed: {}", cause.reason.name());
        if let Some(error) = &cause.error {
            self.pump.counters.refused(error);
        }
        self.pump.close_log.log_close(&cause, self.pump.now);
        if let Some(tap) = &mut self.pump.tap {
            tap.unregistered(token, link.number, cause.reason, self.pump.now);
        }
        self.pump.kernel.close(link.socket);
        if let Some(lease) = link.lease {
            self.workspaces.release_workspace(lease);
        }
    }
}
