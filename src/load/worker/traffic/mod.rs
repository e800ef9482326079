//! The traffic of established connections: sends the next requests, receives the replies.
//!
//! It works on one connection at a time and returns what has to happen to it next ([`After`]) or
//! why it broke: it neither opens nor closes a connection. A read takes all replies that are there,
//! and the requests that follow take one write. In an open loop, `schedule` says when a request is
//! due and `free` which connection sends it. Neighbours: `slots` (the sockets), `ledger` (what
//! counts), `lifetime`, which calls this for each event.

use std::io;
use std::time::Duration;

use super::ledger::Ledger;
use super::reopening::is_end;
use super::slots::free::FreeSlots;
use super::slots::stamps::Stamp;
use super::slots::{Slots, Stage};
use super::tally::Cause;
use super::window::Phase;
use super::{Job, room, span_ns};
use crate::base::time::Time;
use crate::kernel::{Opener, Poller, Readiness};
use crate::load::conversation::connection::Speech;
use crate::load::conversation::mismatch::{Heard, Wrong};
use crate::load::plan::schedule::Schedule;

/// Readiness that reports the end by the peer.
pub(super) const ENDING: Readiness = Readiness::RDHUP.union(Readiness::HUP).union(Readiness::ERR);
/// Consecutive reads of one connection before other connections are served. A server may send
/// faster than the worker can check the replies.
const READS_PER_EVENT: usize = 16;
/// A datagram without a reply counts as lost after this time.
const LOSS_TIMEOUT: Duration = Duration::from_secs(1);

/// What happens to a connection after its replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum After {
    /// It stays.
    Stays,
    /// Churn: it had its one reply, and another connection follows.
    Renews,
    /// The server sends no more replies on it, and another connection replaces it.
    Reopens,
}

/// The traffic of a worker.
pub(super) struct Traffic<'a, K: Poller + Opener> {
    job: Job<'a>,
    speech: Speech,
    slots: Slots<'a, K>,
    ledger: Ledger,
    /// The open loop: when requests are due.
    schedule: Option<Schedule>,
    free: FreeSlots,
    /// Read anew where an instant is measured, and once a turn.
    now: Time,
    space: Vec<u8>,
}

impl<'a, K: Poller + Opener> Traffic<'a, K> {
    /// Allocates all memory of the run. The error names what does not fit.
    pub(super) fn new(kernel: K, job: Job<'a>) -> Result<Traffic<'a, K>, Cause> {
        let plan = job.plan;
        let speech = Speech::of(plan.protocol, job.target);
        let answer_max = plan
            .size
            .1
            .saturating_mul(plan.pipeline)
            .next_power_of_two();
        let answer_max = answer_max.clamp(64 << 10, 1 << 20);
        let mut slots = Slots::new(kernel, job, speech)?;
        let now = slots.clock();
        let active = slots.active();
        let mut space = room("bytes of replies", answer_max)?;
        space.resize(answer_max, 0);
        Ok(Traffic {
            job,
            speech,
            ledger: Ledger::new(&job, speech, active, now)?,
            slots,
            schedule: None,
            free: FreeSlots::new(active, now)?,
            now,
            space,
        })
    }

    #[inline]
    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// Reads the clock.
    pub(super) fn read_clock(&mut self) -> Time {
        self.now = self.slots.clock();
        self.now
    }

    #[inline]
    pub(super) fn slots(&self) -> &Slots<'a, K> {
        &self.slots
    }

    #[inline]
    pub(super) fn slots_mut(&mut self) -> &mut Slots<'a, K> {
        &mut self.slots
    }

    #[inline]
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    #[inline]
    pub(super) fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// The counts of the run.
    pub(super) fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// Whether requests are sent when they are due, and not when a reply has come.
    #[inline]
    pub(super) fn is_open_loop(&self) -> bool {
        self.schedule.is_some()
    }

    /// Begins an open loop.
    pub(super) fn follow_schedule(&mut self, schedule: Schedule) {
        self.schedule = Some(schedule);
    }

    /// A connection can take another request of the open loop.
    pub(super) fn add_free(&mut self, index: usize) {
        self.free.add(index, self.now);
    }

    /// Reads the available replies and sends the next requests.
    #[inline]
    pub(super) fn hear(&mut self, index: usize, readiness: Readiness) -> Result<After, Cause> {
        let (mut answers, mut reads) = (0, 0);
        let mut more = readiness.intersects(Readiness::IN | ENDING);
        while more {
            let Some(read) = self.slots.read(index, &mut self.space) else {
                return Ok(After::Stays);
            };
            let count = match read {
                Ok(0) if self.speech != Speech::Datagrams => return self.ended(index, answers),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.slots.broken(error)),
            };
            let got = self.take(index, count)?;
            answers += got;
            // Another datagram may follow a late one, and no new edge would report it.
            let late = self.speech == Speech::Datagrams && got == 0;
            self.ledger.count_late(late);
            more = count == self.space.len() || readiness.intersects(ENDING) || late;
            // A churn connection with its one reply, and a connection with its announced last
            // reply, are not read until their end.
            more = more && !(self.job.plan.churn && answers > 0 || self.is_over(index));
            reads += 1;
            if more && reads == READS_PER_EVENT {
                self.slots.ask_again(index)?;
                break;
            }
            if more {
                self.read_clock();
            }
        }
        self.go_on(index, answers)
    }

    /// Takes `count` bytes of `space` that connection `index` has received. Returns how many
    /// requests they settled: answered, or failed by a complete reply.
    #[inline(always)]
    fn take(&mut self, index: usize, count: usize) -> Result<u32, Cause> {
        let heard = self.take_run(index, 0, count, count);
        // Usually one run of correct replies has all bytes.
        match heard.wrong {
            None if heard.taken == count => Ok(heard.answers),
            _ => self.take_more(index, count, heard),
        }
    }

    /// Settles the first run, which is `heard`, and takes those behind it.
    #[cold]
    fn take_more(&mut self, index: usize, count: usize, mut heard: Heard) -> Result<u32, Cause> {
        let (mut settled, mut from) = (0, 0);
        loop {
            settled += heard.answers;
            match heard.wrong {
                None => {}
                Some(wrong) if wrong.leaves_framing() => {
                    self.fail_one(index, wrong);
                    settled += 1;
                }
                Some(wrong) => return Err(Cause::Wrong(wrong)),
            }
            from += heard.taken;
            if from >= count || self.is_over(index) {
                return Ok(settled);
            }
            heard = self.take_run(index, from, count, 0);
        }
    }

    /// Takes one run of replies from the bytes `from..count` of `space`, and counts its answers and
    /// `size` received bytes.
    #[inline(always)]
    fn take_run(&mut self, index: usize, from: usize, count: usize, size: usize) -> Heard {
        let connection = self.slots.connection_mut(index);
        let first = connection.answered();
        let (bytes, verify) = (&self.space[from..count], self.job.plan.verify);
        let heard = connection.received(self.job.script, bytes, verify);
        self.answered(index, first, &heard, size);
        heard
    }

    /// Counts the replies in `heard`, of which the first belongs to request `first`, and the
    /// `bytes` that were read.
    #[inline]
    fn answered(&mut self, index: usize, first: u64, heard: &Heard, bytes: usize) {
        if heard.answers > 0 {
            self.slots.failures(index).forget();
        }
        let open_loop = self.schedule.is_some();
        let ledger = &mut self.ledger;
        ledger.answered(index, first, heard, bytes, open_loop, self.now);
    }

    /// Counts a request whose reply was complete and wrong. Its connection stays.
    #[cold]
    fn fail_one(&mut self, index: usize, wrong: Wrong) {
        let request = self.slots.connection(index).answered();
        let failed = u64::from(self.ledger.is_measured(index, request));
        let failure = self.slots.failure(index, failed, Cause::Wrong(wrong));
        self.ledger.fail_one(failure);
        self.slots.connection_mut(index).fail_one();
    }

    /// Whether the server sends no more replies on connection `index`.
    #[inline]
    fn is_over(&self, index: usize) -> bool {
        self.slots.connection(index).is_over()
    }

    /// Handles the end of the connection by the server, after `answers` replies in this event. The
    /// end completes a reply without a length.
    #[cold]
    fn ended(&mut self, index: usize, answers: u32) -> Result<After, Cause> {
        let connection = self.slots.connection_mut(index);
        let first = connection.answered();
        let heard = connection.ended(self.job.plan.verify);
        match (heard.answers, heard.wrong) {
            (_, Some(wrong)) if wrong.leaves_framing() => {
                self.fail_one(index, wrong);
                self.go_on(index, answers + 1)
            }
            (_, Some(wrong)) => Err(Cause::Wrong(wrong)),
            (0, None) => Err(Cause::Closed),
            (got, None) => {
                self.answered(index, first, &heard, 0);
                self.go_on(index, answers + got)
            }
        }
    }

    /// Begins the next requests after `answers` replies, as the load type requires.
    #[inline(always)]
    fn go_on(&mut self, index: usize, answers: u32) -> Result<After, Cause> {
        match answers {
            0 => self.slots.flush(index)?,
            _ if self.job.plan.churn => return Ok(After::Renews),
            _ if self.is_over(index) => return Ok(After::Reopens),
            _ if self.schedule.is_some() => {
                self.free.add(index, self.now);
                self.slots.flush(index)?;
            }
            _ => self.converse(index, answers as usize)?,
        }
        Ok(After::Stays)
    }

    /// Closed loop: begins up to `count` more requests and sends them together.
    #[inline]
    pub(super) fn converse(&mut self, index: usize, count: usize) -> Result<(), Cause> {
        let sent = self.slots.clock();
        let held_ns = span_ns(self.now, sent);
        for _ in 0..count {
            if !self.ledger.window().may_begin(sent) {
                break;
            }
            if self.begin(index, Stamp { sent, due: sent }) {
                self.ledger.held(held_ns);
            }
        }
        self.slots.flush(index)
    }

    /// Starts the load on a connection.
    pub(super) fn start(&mut self, index: usize) -> Result<(), Cause> {
        match self.schedule {
            Some(_) => {
                self.free.add(index, self.now);
                Ok(())
            }
            None => self.converse(index, self.job.plan.pipeline),
        }
    }

    /// Continues the load on a reopened connection.
    pub(super) fn resume(&mut self, index: usize) -> Result<(), Cause> {
        let in_flight = self.slots.connection(index).in_flight() as usize;
        let room = self.job.plan.pipeline.saturating_sub(in_flight);
        if self.schedule.is_none() {
            return self.converse(index, room);
        }
        if room > 0 {
            self.free.add(index, self.now);
        }
        self.slots.flush(index)
    }

    /// Begins a request. Returns whether it belongs to the window.
    #[inline]
    pub(super) fn begin(&mut self, index: usize, stamp: Stamp) -> bool {
        let connection = self.slots.connection_mut(index);
        let request = connection.begun();
        connection.begin(self.job.script);
        self.ledger.begin(index, request, stamp)
    }

    /// When the next request of the open loop is sent, if a connection is free for it.
    pub(super) fn next_due(&self) -> Option<Time> {
        let due = self.schedule.as_ref()?.due();
        (!self.free.is_empty() && self.ledger.window().may_begin(due)).then_some(due)
    }

    /// Open loop: takes the next request that is due, and the connection that sends it.
    pub(super) fn take_due(&mut self) -> Option<(usize, Stamp)> {
        loop {
            let due = self.next_due().filter(|due| *due <= self.now)?;
            let index = self.free.take()?;
            let churn = self.job.plan.churn;
            if self.slots.stage(index) != if churn { Stage::Closed } else { Stage::Open } {
                continue;
            }
            self.schedule.as_mut()?.advance();
            let sent = self.slots.clock();
            self.now = self.now.max(sent);
            // The time without a free connection is charged to the server, not to the generator.
            let possible = due.max(self.free.since());
            self.ledger.sent(due, possible, sent);
            return Some((index, Stamp { sent, due }));
        }
    }

    /// Open loop: sends a request that is due.
    pub(super) fn send_due(&mut self, index: usize, stamp: Stamp) -> Result<(), Cause> {
        self.begin(index, stamp);
        self.slots.flush(index)?;
        if self.slots.connection(index).in_flight() < self.job.plan.pipeline as u64 {
            self.free.add(index, self.now);
        }
        Ok(())
    }

    /// Whether requests of the open loop are overdue.
    pub(super) fn is_behind(&self) -> bool {
        let due = self.schedule.as_ref().map(Schedule::due);
        due.is_some_and(|due| self.ledger.window().may_begin(due))
    }

    /// Fails the request that a refused connection would have carried: in a closed loop one that is
    /// due now, in an open loop the first one that is overdue. Returns how many of the window it
    /// were.
    pub(super) fn refuse_one(&mut self) -> u64 {
        let due = self.schedule.as_ref().map_or(self.now, Schedule::due);
        if due > self.now || !self.ledger.window().may_begin(due) {
            return 0;
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.advance();
        }
        self.ledger.begin_none(due)
    }

    /// Requests that were due in the window and were never begun.
    pub(super) fn unsent(&mut self) -> u64 {
        let window = self.ledger.window();
        let Phase::Draining { start, end, .. } = window.phase() else {
            return 0;
        };
        // A run by a count that was not stopped should have sent all its requests.
        if window.is_counted() && !self.job.control.is_stopped() {
            return window.left();
        }
        let Some(schedule) = &mut self.schedule else {
            return 0;
        };
        schedule.pass(start);
        schedule.pass(end).min(window.left())
    }

    /// Whether a connection in this slot is still needed.
    pub(super) fn is_wanted(&self, index: usize) -> bool {
        let is_idle_one = index >= self.slots.active();
        let window = self.ledger.window();
        match window.phase() {
            Phase::Opening => true,
            Phase::Loading { .. } if is_idle_one => true,
            Phase::Loading { .. } | Phase::Draining { .. } if !is_idle_one => {
                let next = self.schedule.as_ref().map_or(self.now, Schedule::due);
                self.slots.connection(index).in_flight() > 0 || window.may_begin(next)
            }
            _ => false,
        }
    }

    /// Reads the replies that are left in the receive buffer, and returns the cause of the end. A
    /// write fails as soon as the peer has reset the connection, although replies may still be
    /// unread.
    #[cold]
    pub(super) fn hear_the_rest(&mut self, index: usize, cause: Cause) -> Cause {
        let is_end = matches!(&cause, Cause::Broken(error) if is_end(error));
        if !is_end || self.speech == Speech::Datagrams {
            return cause;
        }
        loop {
            if !self.slots.has_socket(index) || self.slots.connection(index).in_flight() == 0 {
                return cause;
            }
            let Some(Ok(count @ 1..)) = self.slots.read(index, &mut self.space) else {
                return cause;
            };
            if let Err(wrong) = self.take(index, count) {
                return wrong;
            }
        }
    }

    /// Closes a connection and forgets its requests in flight.
    pub(super) fn release(&mut self, index: usize) {
        self.slots.hang_up(index);
        let connection = self.slots.connection_mut(index);
        self.ledger.abandon(connection.in_flight());
        connection.abandon();
    }

    /// Gives up the datagram of a connection whose reply is overdue, and continues with the next
    /// requests. `None` if there is none.
    pub(super) fn give_up_the_lost(&mut self, index: usize) -> Option<Result<After, Cause>> {
        let request = self.slots.connection(index).answered();
        let stamp = self.ledger.stamp(index, request);
        let connection = self.slots.connection_mut(index);
        let is_lost = connection.in_flight() > 0 && stamp.sent.after(LOSS_TIMEOUT) <= self.now;
        if !is_lost || !connection.give_up(self.job.script) {
            return None;
        }
        self.ledger.give_up(stamp.due, self.now);
        Some(self.go_on(index, 1))
    }

    /// What the connections of this worker carry.
    pub(super) fn speech(&self) -> Speech {
        self.speech
    }
}

#[cfg(test)]
mod tests;
