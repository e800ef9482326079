//! What a connection waits for: one stored value, from which its deadline and its interest follow.
//!
//! ```text
//!   for the peer        Peer: a request, the rest of a frame, replies to be taken, the last ACK
//!   for the server      Turn, Workspace, Effect, Tokens
//!   for the kernel      Memory
//! ```
//!
//! What the peer has to do next is a [`Due`], with its clocks. A connection that waits for the
//! server or the kernel keeps what is due, and its clocks are moved by the time of that wait where
//! the peer could do nothing about it. Invariants: [`deadline`] and [`interest`] depend on nothing
//! else; the lists of the reactor hold exactly the connections that are in the state of that list.
//! Neighbours: `link` stores the value, `pump` tells it what has moved, `reactor` settles it.

use std::time::Duration;

use crate::kernel::{Interest, Time, Trigger};
use crate::limits::{LINGER_TIMEOUT, MEMORY_RETRIES_MAX, MEMORY_RETRY_MIN};
use crate::protocol::connection::{CloseReason, Want};

use super::pump::Next;
use super::settings::Settings;

#[cfg(test)]
mod tests;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// For the peer.
    Peer(Due),
    /// For its next turn: its budget was spent, it was just lent a workspace, or a drain visits it.
    Turn {
        due: Due,
        /// Whole frames have arrived and are not answered: the peer is not late with a frame.
        has_frames: bool,
        /// Calls before this turn, in a row, for which the kernel had no memory.
        attempt: u8,
    },
    /// Bytes have arrived and there is no workspace for them. It waits in a queue.
    Workspace {
        since: Time,
        /// When the message began of which no byte is kept; [`Time::NEVER`] without one.
        message_since: Time,
        attempt: u8,
    },
    /// The kernel had no memory for a call, which is tried again at `until`.
    Memory { until: Time, attempt: u8, due: Due },
    /// For an effect, which has a time-out of its own.
    Effect,
    /// For its rate, which lets it go on at `until`. The clocks of what is due are moved to there.
    Tokens { until: Time, due: Due },
}

/// What the peer has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send the next request. No byte of one has arrived; no workspace is held, except in a turn.
    Request {
        /// When bytes last moved.
        active_at: Time,
    },
    /// Send the rest of a frame, whose first bytes lie in the workspace.
    Frame {
        /// Arrival of the frame's first byte. This is the arrival of an earlier frame if frames
        /// have followed each other without a gap, more slowly than the minimum rate, while other
        /// connections waited for a workspace.
        since: Time,
        /// Bytes received since then, after the event in which the workspace was lent.
        heard: u64,
        active_at: Time,
    },
    /// Send the rest of a message of which no byte is kept: it is discarded, or the service
    /// remembers what it needs.
    Message { since: Time, active_at: Time },
    /// Take the replies it is owed.
    Writable {
        /// Start of the span in which the peer has not taken the required minimum.
        since: Time,
        /// Bytes taken since then.
        taken: u64,
        /// When bytes last moved.
        active_at: Time,
    },
    /// Acknowledge the last replies and end its stream: our FIN is sent.
    LastAck {
        /// When our FIN was sent, or when the peer last took enough.
        since: Time,
        /// Bytes of replies that its kernel had not acknowledged at `since`.
        unacknowledged: u32,
        /// When this is looked at again.
        check_at: Time,
    },
}

/// The time-outs of all connections; `None` never passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    idle: Option<Duration>,
    frame: Option<Duration>,
    stall: Option<Duration>,
    /// Bytes that a peer must take or send for its time-out to begin anew.
    size_min: u64,
}

/// What an event has shown about a connection, apart from what it wants next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Bytes lie in the workspace.
    pub(super) holds: bool,
    /// A message is unfinished of which no byte is kept.
    pub(super) is_mid_message: bool,
    /// A frame has ended, so bytes that are held now belong to a later one.
    pub(super) is_next: bool,
    /// Other connections wait for a workspace.
    pub(super) is_contended: bool,
}

/// When a connection is closed, or looked at again, if nothing moves until then, and why.
pub(super) fn deadline(waiting: &Waiting, timeouts: &Timeouts) -> (Time, CloseReason) {
    match *waiting {
        Waiting::Peer(due) => due.deadline(timeouts),
        // The peer is not late with a frame, but it may be late with what it has to take.
        Waiting::Turn {
            due: due @ (Due::Request { .. } | Due::Frame { .. } | Due::Message { .. }),
            has_frames: true,
            ..
        } => timeouts.idle_from(due.active_at(Time::NEVER)),
        Waiting::Turn { due, .. } => due.deadline(timeouts),
        Waiting::Workspace { since, .. } => (after(since, timeouts.idle), CloseReason::Starved),
        Waiting::Memory { until, .. } => (until, CloseReason::Exhausted),
        Waiting::Effect => (Time::NEVER, CloseReason::Idle),
        // A lingering connection is looked at meanwhile. No other is late while it waits for us.
        Waiting::Tokens { until, due } => match due {
            Due::LastAck { check_at, .. } => (until.min(check_at), CloseReason::EndOfStream),
            _ => (until, CloseReason::Idle),
        },
    }
}

/// What epoll has to report.
#[inline]
pub(super) fn interest(waiting: &Waiting, trigger: Trigger) -> Interest {
    match waiting {
        Waiting::Peer(Due::Writable { .. })
        | Waiting::Turn {
            due: Due::Writable { .. },
            ..
        } => Interest::WRITE.under(trigger),
        // A turn comes at once. Most often the connection wants to read after it.
        Waiting::Peer(_) | Waiting::Turn { .. } => Interest::READ.under(trigger),
        // A readiness would be reported again and again that no read uses up.
        Waiting::Workspace { .. } => Interest::NONE.under(trigger),
        // Further bytes can wait, and epoll reports a reset without any interest.
        Waiting::Effect => Interest::NONE.under(trigger),
        // epoll reports a hang-up without interest. Level-triggered it would do so in every turn.
        Waiting::Memory { .. } => Interest::NONE.under(Trigger::Edge),
        // Edge-triggered nothing is reported again, so nothing has to be changed twice.
        Waiting::Tokens { due, .. } => match trigger {
            Trigger::Level => Interest::NONE.under(Trigger::Edge),
            Trigger::Edge => interest(&Waiting::Peer(*due), trigger),
        },
    }
}

/// Whether a connection that waits for this holds a workspace; `None` in a turn, where both may be.
pub(super) fn holds_workspace(waiting: &Waiting) -> Option<bool> {
    let by_due = |due| matches!(due, Due::Frame { .. } | Due::Writable { .. });
    match *waiting {
        Waiting::Peer(due) | Waiting::Memory { due, .. } | Waiting::Tokens { due, .. } => {
            Some(by_due(due))
        }
        Waiting::Turn { due, .. } => by_due(due).then_some(true),
        Waiting::Workspace { .. } => Some(false),
        Waiting::Effect => Some(true),
    }
}

impl Waiting {
    /// Since when a connection that waits for the next request has rested.
    #[cold]
    pub(super) fn rests_since(&self) -> Option<Time> {
        match *self {
            Waiting::Peer(Due::Request { active_at }) => Some(active_at),
            _ => None,
        }
    }
}

impl Timeouts {
    pub(super) fn of(settings: &Settings) -> Timeouts {
        Timeouts {
            idle: settings.idle_timeout,
            frame: settings.frame_timeout,
            stall: settings.stall_timeout,
            size_min: settings.stall_size_min as u64,
        }
    }

    fn idle_from(&self, active_at: Time) -> (Time, CloseReason) {
        (after(active_at, self.idle), CloseReason::Idle)
    }
}

fn after(start: Time, span: Option<Duration>) -> Time {
    span.map_or(Time::NEVER, |span| start.after(span))
}

impl Due {
    fn deadline(self, timeouts: &Timeouts) -> (Time, CloseReason) {
        match self {
            Due::Request { active_at } => timeouts.idle_from(active_at),
            Due::Frame {
                since, active_at, ..
            }
            | Due::Message { since, active_at } => {
                let idle = timeouts.idle_from(active_at);
                match after(since, timeouts.frame) {
                    frame if frame < idle.0 => (frame, CloseReason::SlowFrame),
                    _ => idle,
                }
            }
            Due::Writable {
                since, active_at, ..
            } => {
                let stall = (after(since, timeouts.stall), CloseReason::Stalled);
                let idle = timeouts.idle_from(active_at);
                if idle.0 < stall.0 { idle } else { stall }
            }
            Due::LastAck { check_at, .. } => (check_at, CloseReason::EndOfStream),
        }
    }

    /// When bytes last moved; `now` if that is not stored.
    fn active_at(self, now: Time) -> Time {
        match self {
            Due::Request { active_at }
            | Due::Frame { active_at, .. }
            | Due::Message { active_at, .. }
            | Due::Writable { active_at, .. } => active_at,
            Due::LastAck { .. } => now,
        }
    }

    /// What is due after an event. `self` was due before it, with the bytes of the event counted.
    fn after(self, want: Want, facts: Facts, timeouts: &Timeouts, now: Time) -> Due {
        let active_at = self.active_at(now);
        // When the first byte of the unfinished frame arrived.
        let frame_start = match self {
            Due::Frame { since, .. } | Due::Message { since, .. } if !facts.is_next => since,
            _ => now,
        };
        match (want, self) {
            (_, Due::LastAck { .. }) => self,
            // A connection that waits for its next turn is under the same frame time-out.
            (Want::Read | Want::Resume, Due::Frame { since, heard, .. }) if facts.holds => {
                // A peer that ends a frame with every few bytes must not keep the workspace for
                // ever while other connections wait.
                let is_fair = !facts.is_contended || heard >= timeouts.size_min;
                let (since, heard) = match facts.is_next && is_fair {
                    true => (now, 0),
                    false => (since, heard),
                };
                Due::Frame {
                    since,
                    heard,
                    active_at,
                }
            }
            (Want::Read, _) if facts.holds => Due::Frame {
                since: frame_start,
                heard: 0,
                active_at,
            },
            // More answers follow in the next turn, and the peer is under the same stall time-out
            // for them: otherwise it could keep the workspace with a few bytes each time.
            (Want::Write | Want::Resume, Due::Writable { taken, .. })
                if facts.holds && taken < timeouts.size_min =>
            {
                self
            }
            (Want::Write, _) => Due::Writable {
                since: now,
                taken: 0,
                active_at,
            },
            _ if facts.is_mid_message => Due::Message {
                since: frame_start,
                active_at,
            },
            _ => Due::Request { active_at },
        }
    }

    /// Moves the clocks by a time in which the peer could do nothing. A lingering connection has no
    /// clock of this kind, and is looked at again after the usual span.
    fn put_off(self, span: Duration, now: Time) -> Due {
        match self {
            Due::Request { active_at } => Due::Request {
                active_at: active_at.after(span),
            },
            Due::Frame {
                since,
                heard,
                active_at,
            } => Due::Frame {
                since: since.after(span),
                heard,
                active_at: active_at.after(span),
            },
            Due::Message { since, active_at } => Due::Message {
                since: since.after(span),
                active_at: active_at.after(span),
            },
            Due::Writable {
                since,
                taken,
                active_at,
            } => Due::Writable {
                since: since.after(span),
                taken,
                active_at: active_at.after(span),
            },
            Due::LastAck {
                since,
                unacknowledged,
                ..
            } => Due::last_ack(since, unacknowledged, now),
        }
    }

    /// Replies are still unacknowledged after our FIN: the next look is at the next multiple of the
    /// linger time-out. Without such replies the connection ends at the first one.
    fn last_ack(since: Time, unacknowledged: u32, now: Time) -> Due {
        let looks = match unacknowledged {
            0 => 0,
            _ => now.since(since).as_nanos() / LINGER_TIMEOUT.as_nanos(),
        };
        Due::LastAck {
            since,
            unacknowledged,
            check_at: since.after(LINGER_TIMEOUT.saturating_mul(looks as u32 + 1)),
        }
    }
}

impl Waiting {
    /// For the first or next request, with no byte of it here.
    #[inline]
    pub(super) fn for_request(now: Time) -> Waiting {
        Waiting::Peer(Due::Request { active_at: now })
    }

    /// For the header of a load balancer. With `is_timed` the frame time-out runs from here on, and
    /// otherwise from the first byte.
    #[cold]
    pub(super) fn for_header(is_timed: bool, now: Time) -> Waiting {
        Waiting::Peer(Due::Message {
            since: if is_timed { now } else { Time::NEVER },
            active_at: now,
        })
    }

    /// The first bytes of a header have arrived.
    #[cold]
    pub(super) fn header_begins(&mut self, now: Time) {
        if let Some(Due::Message { since, .. }) = self.due_mut() {
            *since = now.min(*since);
        }
    }

    /// Whether the connection is at rest: no bytes are held, and only a read is wanted.
    #[inline]
    pub(super) fn is_request(&self) -> bool {
        matches!(self, Waiting::Peer(Due::Request { .. }))
    }

    /// When bytes last moved, if the connection is at rest. The fast path sets only this: to store
    /// the whole value again would cost 3 instructions more.
    #[inline]
    pub(super) fn active_at_rest(&mut self) -> Option<&mut Time> {
        match self {
            Waiting::Peer(Due::Request { active_at }) => Some(active_at),
            _ => None,
        }
    }

    /// Whether the connection is in the list of those that continue without an event.
    #[inline]
    pub(super) fn is_turn(&self) -> bool {
        matches!(self, Waiting::Turn { .. })
    }

    pub(super) fn is_workspace(&self) -> bool {
        matches!(self, Waiting::Workspace { .. })
    }

    #[inline]
    pub(super) fn is_memory(&self) -> bool {
        matches!(self, Waiting::Memory { .. })
    }

    #[inline]
    pub(super) fn is_tokens(&self) -> bool {
        matches!(self, Waiting::Tokens { .. })
    }

    /// When the wait for a workspace began.
    pub(super) fn starved_since(&self, now: Time) -> Time {
        match *self {
            Waiting::Workspace { since, .. } => since,
            _ => now,
        }
    }

    /// What is waited for, as a number of the list that a trace shows.
    #[cold]
    pub(super) fn number(&self) -> u8 {
        match self {
            Waiting::Peer(Due::Request { .. }) => 0,
            Waiting::Peer(Due::Frame { .. }) => 1,
            Waiting::Peer(Due::Message { .. }) => 2,
            Waiting::Peer(Due::Writable { .. }) => 3,
            Waiting::Peer(Due::LastAck { .. }) => 4,
            Waiting::Turn { .. } => 5,
            Waiting::Workspace { .. } => 6,
            Waiting::Memory { .. } => 7,
            Waiting::Effect => 8,
            Waiting::Tokens { .. } => 9,
        }
    }

    pub(super) fn is_effect(&self) -> bool {
        matches!(self, Waiting::Effect)
    }

    /// Whether a write was refused, so that only an event tells when the next one may succeed.
    #[inline]
    pub(super) fn is_writable(&self) -> bool {
        match self {
            Waiting::Peer(due) | Waiting::Turn { due, .. } => matches!(due, Due::Writable { .. }),
            _ => false,
        }
    }

    /// Whether nothing is registered: only an error or a hang-up is reported.
    pub(super) fn is_for_no_event(&self) -> bool {
        matches!(
            self,
            Waiting::Workspace { .. } | Waiting::Memory { .. } | Waiting::Effect
        )
    }

    /// Whether the rest of a frame or message is missing, which has a deadline of its own.
    #[inline]
    pub(super) fn is_amid(&self) -> bool {
        match self {
            Waiting::Peer(due) | Waiting::Turn { due, .. } => {
                matches!(due, Due::Frame { .. } | Due::Message { .. })
            }
            _ => false,
        }
    }

    /// When the first byte of the unfinished frame or message arrived.
    pub(super) fn amid_since(&self) -> Option<Time> {
        match *self {
            Waiting::Peer(due) | Waiting::Turn { due, .. } => match due {
                Due::Frame { since, .. } | Due::Message { since, .. } => Some(since),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether only the peer is waited for, and not for its last ACK.
    #[inline]
    pub(super) fn is_for_peer(&self) -> bool {
        match self {
            Waiting::Peer(due) => !matches!(due, Due::LastAck { .. }),
            _ => false,
        }
    }

    /// Whether the time-outs of one direction hold.
    pub(super) fn has_idle_clocks(&self) -> bool {
        match self {
            Waiting::Peer(due) | Waiting::Turn { due, .. } => !matches!(due, Due::LastAck { .. }),
            _ => false,
        }
    }

    /// Whether our FIN is sent, and the connection is only looked at from time to time.
    pub(super) fn is_last_ack(&self) -> bool {
        match self {
            Waiting::Peer(due) | Waiting::Turn { due, .. } => matches!(due, Due::LastAck { .. }),
            _ => false,
        }
    }

    /// What is due from the peer behind this; a request if that is not stored.
    fn due(&self, now: Time) -> Due {
        match *self {
            Waiting::Peer(due)
            | Waiting::Turn { due, .. }
            | Waiting::Memory { due, .. }
            | Waiting::Tokens { due, .. } => due,
            Waiting::Workspace { .. } | Waiting::Effect => Due::Request { active_at: now },
        }
    }

    fn attempt(&self) -> u8 {
        match *self {
            Waiting::Turn { attempt, .. }
            | Waiting::Workspace { attempt, .. }
            | Waiting::Memory { attempt, .. } => attempt,
            Waiting::Peer(_) | Waiting::Effect | Waiting::Tokens { .. } => 0,
        }
    }

    fn due_mut(&mut self) -> Option<&mut Due> {
        match self {
            Waiting::Peer(due)
            | Waiting::Turn { due, .. }
            | Waiting::Memory { due, .. }
            | Waiting::Tokens { due, .. } => Some(due),
            Waiting::Workspace { .. } | Waiting::Effect => None,
        }
    }

    /// `count` bytes have arrived.
    #[inline]
    pub(super) fn received(&mut self, count: usize, now: Time) {
        if self.is_request() {
            // By far the most frequent state.
            *self = Waiting::for_request(now);
            return;
        }
        self.touch(now);
        if let Some(Due::Frame { heard, .. }) = self.due_mut() {
            *heard += count as u64;
        }
        self.has_memory();
    }

    /// The kernel took `count` bytes of replies.
    #[inline]
    pub(super) fn sent(&mut self, count: usize, now: Time) {
        if self.is_request() {
            *self = Waiting::for_request(now);
            return;
        }
        self.touch(now);
        if let Some(Due::Writable { taken, .. }) = self.due_mut() {
            *taken += count as u64;
        }
        self.has_memory();
    }

    /// The connection was not idle up to now.
    #[inline]
    pub(super) fn touch(&mut self, now: Time) {
        if let Some(
            Due::Request { active_at }
            | Due::Frame { active_at, .. }
            | Due::Message { active_at, .. }
            | Due::Writable { active_at, .. },
        ) = self.due_mut()
        {
            *active_at = now;
        }
    }

    /// The kernel had memory for a call, so failures before it do not count.
    #[inline]
    pub(super) fn has_memory(&mut self) {
        match self {
            Waiting::Turn { attempt, .. } => *attempt = 0,
            Waiting::Memory { due, .. } => *self = Waiting::Peer(*due),
            _ => {}
        }
    }

    /// The kernel had no memory for a call. Returns `false` if that was the last try. Each pause is
    /// twice as long as the one before it.
    #[cold]
    pub(super) fn lacks_memory(&mut self, now: Time) -> bool {
        let attempt = self.attempt() + 1;
        *self = Waiting::Memory {
            until: now.after(pause_after(attempt)),
            attempt,
            due: self.due(now),
        };
        attempt <= MEMORY_RETRIES_MAX
    }

    /// An event interrupts the pause of a connection without memory: the call is tried at once.
    #[inline]
    pub(super) fn try_again(&mut self) {
        if let Waiting::Memory { attempt, due, .. } = *self {
            *self = Waiting::Turn {
                due,
                has_frames: false,
                attempt,
            };
        }
    }

    /// The pause of a connection without memory is over. Returns its length.
    #[cold]
    pub(super) fn end_pause(&mut self, now: Time) -> Duration {
        let Waiting::Memory { attempt, due, .. } = *self else {
            return Duration::ZERO;
        };
        let pause = pause_after(attempt);
        *self = Waiting::Turn {
            due: due.put_off(pause, now),
            has_frames: false,
            attempt,
        };
        pause
    }

    /// The rate of a connection lets it go on, unless a lingering one is to be looked at first.
    /// That one waits on, because the kernel may not report again what was not read.
    #[cold]
    pub(super) fn end_tokens(&mut self, now: Time) {
        let Waiting::Tokens { due, .. } = *self else {
            return;
        };
        if !matches!(due, Due::LastAck { check_at, .. } if check_at <= now) {
            *self = Waiting::Turn {
                due,
                has_frames: false,
                attempt: 0,
            };
        }
    }

    /// A turn is due although no event is reported. Returns `false` for a connection that can do
    /// nothing in a turn, because what it waits for is not the kernel's to report.
    #[cold]
    pub(super) fn visit(&mut self, now: Time) -> bool {
        match *self {
            Waiting::Workspace { .. } | Waiting::Effect => return false,
            Waiting::Turn { .. } => {}
            Waiting::Peer(_) | Waiting::Memory { .. } | Waiting::Tokens { .. } => {
                *self = Waiting::Turn {
                    due: self.due(now),
                    has_frames: false,
                    attempt: self.attempt(),
                };
            }
        }
        true
    }

    /// Bytes have arrived and there is no workspace. The wait counts from now.
    #[cold]
    pub(super) fn lacks_workspace(&mut self, now: Time) {
        let message_since = match self.due(now) {
            Due::Message { since, .. } => since,
            _ => Time::NEVER,
        };
        *self = Waiting::Workspace {
            since: now,
            message_since,
            attempt: self.attempt(),
        };
    }

    /// The connection was lent a workspace. Its clocks move by exactly the time waited: a fresh
    /// start would let a peer renew its frame time-out for ever by waiting now and then.
    #[cold]
    pub(super) fn lent(&mut self, now: Time) {
        let Waiting::Workspace {
            since,
            message_since,
            attempt,
        } = *self
        else {
            return;
        };
        let due = match message_since {
            Time::NEVER => Due::Request { active_at: now },
            _ => Due::Message {
                since: message_since.after(now.since(since)),
                active_at: now,
            },
        };
        *self = Waiting::Turn {
            due,
            has_frames: false,
            attempt,
        };
    }

    /// Our FIN is sent, and the peer's kernel has not acknowledged so many bytes of replies.
    #[cold]
    pub(super) fn linger(&mut self, unacknowledged: u32, now: Time) {
        let due = Due::last_ack(now, unacknowledged, now);
        match self.due_mut() {
            Some(before) => *before = due,
            None => *self = Waiting::Peer(due),
        }
    }

    /// Bytes of replies that the peer's kernel had not acknowledged when this was last looked at.
    pub(super) fn unacknowledged(&self) -> u32 {
        match *self {
            Waiting::Peer(Due::LastAck { unacknowledged, .. })
            | Waiting::Turn {
                due: Due::LastAck { unacknowledged, .. },
                ..
            }
            | Waiting::Tokens {
                due: Due::LastAck { unacknowledged, .. },
                ..
            } => unacknowledged,
            _ => 0,
        }
    }

    /// A look at a lingering connection shows so many bytes. The peer must take the minimum within
    /// each stall time-out. Returns `false` once the connection is to be closed.
    #[cold]
    pub(super) fn keep_lingering(
        &mut self,
        unacknowledged: u32,
        timeouts: &Timeouts,
        now: Time,
    ) -> bool {
        let Some(Due::LastAck {
            since,
            unacknowledged: before,
            ..
        }) = self.due_mut()
        else {
            return false;
        };
        let taken = u64::from(before.saturating_sub(unacknowledged));
        let stall = timeouts.stall.map(|span| span.max(LINGER_TIMEOUT));
        let next = if unacknowledged > 0 && taken >= timeouts.size_min.max(1) {
            Due::last_ack(now, unacknowledged, now)
        } else if unacknowledged > 0 && now < after(*since, stall) {
            Due::last_ack(*since, *before, now)
        } else {
            return false;
        };
        if let Some(due) = self.due_mut() {
            *due = next;
        }
        true
    }

    /// The state after an event, which has not found the kernel out of memory or has just found so.
    pub(super) fn after(
        self,
        next: &Next,
        facts: Facts,
        timeouts: &Timeouts,
        now: Time,
    ) -> Waiting {
        let Next {
            want,
            has_more,
            until,
        } = *next;
        let due = self.due(now).after(want, facts, timeouts, now);
        match self {
            Waiting::Memory { until, attempt, .. } => Waiting::Memory {
                until,
                attempt,
                due,
            },
            _ if want == Want::Await => Waiting::Effect,
            _ if until != Time::NEVER => Waiting::Tokens {
                until,
                due: match due {
                    // It is looked at meanwhile, so its clock runs on.
                    Due::LastAck { .. } => due,
                    _ => due.put_off(until.since(now), now),
                },
            },
            _ if has_more => Waiting::Turn {
                due,
                has_frames: want == Want::Resume,
                attempt: self.attempt(),
            },
            _ => Waiting::Peer(due),
        }
    }
}

/// How long a connection pauses after `attempt` failures for want of kernel memory in a row.
fn pause_after(attempt: u8) -> Duration {
    MEMORY_RETRY_MIN * (1 << attempt.saturating_sub(1))
}
