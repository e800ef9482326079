//! What a worker counts: which request belongs to the window, when it began, how it ended.
//!
//! The ledger knows connections only by the number of their slot, and no socket. Every request in
//! flight has a stamp. A request of the window ends up in exactly one count of the [`Tally`]:
//! answered, failed, unfinished or unsent. Answers and failures are counted when they happen;
//! requests that are still open at the end of the run are counted there, once. Neighbours: `window`
//! (the window), `tally` (the counts), `traffic` and `lifetime`, which say what has happened.

use super::slots::stamps::{Stamp, Stamps};
use super::tally::{Cause, Failure, Tally};
use super::window::{Phase, Window};
use super::{Job, STALL_TIMEOUT, span_ns};
use crate::base::time::Time;
use crate::load::conversation::connection::{Connection, Speech};
use crate::load::conversation::mismatch::Heard;

/// The requests of a worker.
pub(super) struct Ledger {
    window: Window,
    stamps: Stamps,
    tally: Tally,
    in_flight: u64,
    /// The last progress: a reply, an established connection, or the first request after a time
    /// without requests in flight.
    moved: Time,
    /// The first failure since the last reply, if any.
    fruitless_since: Option<Time>,
    /// Replies that are in the timeline; the others of the turn follow at its end.
    recorded: u64,
    speech: Speech,
}

impl Ledger {
    /// The ledger of a worker with `slots` connections that carry load.
    pub(super) fn new(
        job: &Job<'_>,
        speech: Speech,
        slots: usize,
        now: Time,
    ) -> Result<Ledger, Cause> {
        Ok(Ledger {
            window: Window::new(job.plan, job.index),
            stamps: Stamps::new(slots, job.plan.pipeline)?,
            tally: Tally {
                has_statuses: speech == Speech::Http,
                ..Tally::new()
            },
            in_flight: 0,
            moved: now,
            fruitless_since: None,
            recorded: 0,
            speech,
        })
    }

    /// The phase, and the questions that follow from it.
    #[inline]
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// Enters the next phase.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.window.enter(phase);
    }

    /// The counts so far.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The counts of the run.
    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    /// Requests in flight on all connections.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The time of the last progress.
    pub(super) fn moved(&self) -> Time {
        self.moved
    }

    /// Something has made progress.
    pub(super) fn progress(&mut self, now: Time) {
        self.moved = now;
    }

    /// Whether the window has begun at `now`. What happens before belongs to no figure of it.
    fn is_in_window(&self, now: Time) -> bool {
        self.window.start().is_some_and(|start| now >= start)
    }

    /// Whether a run by a count has had no progress for the stall timeout.
    pub(super) fn is_stalled(&self, now: Time) -> bool {
        self.window.is_counted() && self.in_flight > 0 && now.since(self.moved) >= STALL_TIMEOUT
    }

    /// Whether a run by a count has had only failures for the stall timeout. Without this end, the
    /// run would go on until each request has failed.
    pub(super) fn is_fruitless(&self, now: Time) -> bool {
        let since = self.fruitless_since;
        self.window.is_counted() && since.is_some_and(|since| now.since(since) >= STALL_TIMEOUT)
    }

    /// The stamp of request number `request` of the connection in slot `index`.
    #[inline]
    pub(super) fn stamp(&self, index: usize, request: u64) -> Stamp {
        self.stamps.at(index, request)
    }

    /// Whether a request belongs to the window.
    pub(super) fn is_measured(&self, index: usize, request: u64) -> bool {
        self.window.is_measured(self.stamp(index, request).due)
    }

    /// A new connection sends the requests from number `first` on again. They are numbered from 0
    /// and keep their stamps.
    pub(super) fn renumber(&mut self, index: usize, first: u64) {
        self.stamps.renumber(index, first);
    }

    /// Counts a request that begins. Returns whether it belongs to the window.
    #[inline]
    pub(super) fn begin(&mut self, index: usize, request: u64, stamp: Stamp) -> bool {
        self.stamps.put(index, request, stamp);
        // The stall timeout counts from the first request after a time without requests in flight.
        if self.in_flight == 0 {
            self.moved = stamp.sent;
        }
        self.in_flight += 1;
        self.window.begin(stamp.due)
    }

    /// Counts a request that was due at `due` and has no connection to begin on. Returns how many
    /// of the window it is.
    pub(super) fn begin_none(&mut self, due: Time) -> u64 {
        self.window.begin(due);
        u64::from(self.window.is_measured(due))
    }

    /// A request of the window was sent this much after its reply had arrived.
    #[inline]
    pub(super) fn held(&mut self, span_ns: u64) {
        self.tally.held_ns += span_ns;
    }

    /// A request that was due at `due` is sent at `sent`, and could have been sent at `possible`.
    pub(super) fn sent(&mut self, due: Time, possible: Time, sent: Time) {
        if self.window.is_measured(due) {
            let lateness = sent.since(possible);
            self.tally.lateness.record(lateness.as_nanos() as u64);
        }
    }

    /// Counts a late datagram, if `is_late`.
    #[inline]
    pub(super) fn count_late(&mut self, is_late: bool) {
        self.tally.late += u64::from(is_late);
    }

    /// Counts the replies in `heard`, of which the first belongs to request `first`, and the
    /// `bytes` that were read.
    #[inline]
    pub(super) fn answered(
        &mut self,
        index: usize,
        first: u64,
        heard: &Heard,
        bytes: usize,
        open_loop: bool,
        now: Time,
    ) {
        let answers = heard.answers;
        self.in_flight -= u64::from(answers);
        if answers > 0 {
            self.fruitless_since = None;
        }
        let Some((start, end)) = self.window.counting() else {
            return;
        };
        let elapsed = span_ns(start, now);
        if now >= start && now < end {
            self.tally.received_bytes += bytes as u64;
            self.tally.completed += u64::from(answers);
        }
        let (mut request, end) = (first, first + u64::from(answers));
        let mut measured = 0;
        while request < end {
            let stamp = self.stamp(index, request);
            // Requests that were sent together have the same stamp and are recorded together.
            let same = (request + 1..end).take_while(|&other| self.stamp(index, other) == stamp);
            let count = 1 + same.count() as u64;
            request += count;
            if stamp.due >= start {
                measured += count;
                let service = span_ns(stamp.sent, now);
                self.tally.service.record_many(service, count);
                if open_loop {
                    let response = span_ns(stamp.due, now);
                    self.tally.response.record_many(response, count);
                }
            } else if now >= start {
                let service = span_ns(stamp.sent, now);
                self.tally.longest_carried_ns = self.tally.longest_carried_ns.max(service);
            }
        }
        self.moved = now;
        if measured > 0 {
            self.tally.answered += measured;
            // Requests of the window are the last ones of a run of replies.
            if heard.last > 0 {
                self.tally.statuses.add(heard.status, measured - 1);
                self.tally.statuses.add(heard.last, 1);
            }
            self.tally.last_answer_ns = elapsed;
        }
    }

    /// Records the replies of a turn in the timeline, all at the turn's time.
    pub(super) fn record_turn(&mut self, now: Time) {
        let completed = self.tally.completed - self.recorded;
        if let Some(start) = self.window.start().filter(|_| completed > 0) {
            let elapsed = span_ns(start, now);
            self.tally.timeline.record(elapsed, completed);
            self.recorded = self.tally.completed;
        }
    }

    /// Counts a connection that was established `took_ns` after its connect, if that time is of
    /// interest.
    pub(super) fn established(&mut self, is_again: bool, took_ns: Option<u64>, now: Time) {
        self.moved = now;
        self.tally.reconnects += u64::from(is_again && self.is_in_window(now));
        if self.speech != Speech::Datagrams {
            self.tally.connections += 1;
            if let Some(took_ns) = took_ns {
                self.tally.connect.record(took_ns);
            }
        }
    }

    /// The requests in flight on a connection are given up; they were counted before.
    pub(super) fn abandon(&mut self, count: u64) {
        self.in_flight -= count;
    }

    /// Requests in flight on a connection that were due in the window.
    pub(super) fn due_in_flight(&self, index: usize, connection: &Connection) -> u64 {
        let in_flight = connection.answered()..connection.begun();
        let due = in_flight.filter(|&request| self.is_measured(index, request));
        due.count() as u64
    }

    /// Counts a broken connection with its failed requests, `early` of which were due before the
    /// window.
    pub(super) fn fail(&mut self, failure: Failure, early: u64, now: Time) {
        self.tally.lost_in_warmup += early;
        self.fruitless_since.get_or_insert(now);
        // A failure of the warm-up belongs to no figure of the window.
        match self.is_in_window(now) {
            true => self.tally.fail(failure),
            false => self.tally.tell(failure),
        }
    }

    /// Counts a request whose reply was complete and wrong. Its connection stays.
    pub(super) fn fail_one(&mut self, failure: Failure) {
        match failure.failed {
            0 => {
                self.tally.lost_in_warmup += 1;
                self.tally.tell(failure);
            }
            _ => self.tally.fail(failure),
        }
        self.in_flight -= 1;
    }

    /// Reports a failure that belongs to no figure of the window.
    pub(super) fn tell(&mut self, failure: Failure) {
        self.tally.tell(failure);
    }

    /// Turns the last answer of an echo connection into a failure: more bytes came behind it, so
    /// the reply was wrong. Its time stays in the histograms. Returns how many of the window it
    /// were.
    pub(super) fn spoil_last(&mut self, index: usize, answered: u64) -> u64 {
        if self.speech != Speech::Stream || answered == 0 {
            return 0;
        }
        // With nothing in flight, the stamp of the last request is still there.
        let is_measured = self.is_measured(index, answered - 1);
        let spoilt = u64::from(is_measured).min(self.tally.answered);
        self.tally.answered -= spoilt;
        spoilt
    }

    /// Counts a datagram that was given up; its request was due at `due`.
    pub(super) fn give_up(&mut self, due: Time, now: Time) {
        self.in_flight -= 1;
        match self.window.is_measured(due) {
            true => self.tally.errors.time_out(),
            false => self.tally.lost_in_warmup += 1,
        }
        self.moved = now;
    }

    /// A slot is opened again after a pause in the window.
    pub(super) fn pauses(&mut self, pause_ns: u64, now: Time) {
        if self.is_in_window(now) {
            self.tally.longest_pause_ns = self.tally.longest_pause_ns.max(pause_ns);
        }
    }

    /// The window has ended with `missing` connections too few.
    pub(super) fn end_window(&mut self, missing: u64) {
        self.tally.missing = missing;
    }

    /// The run has ended with `unsent` requests that were due and did not begin. Its requests in
    /// flight are `is_cut_off` if the run was stopped.
    pub(super) fn close(&mut self, unsent: u64, is_cut_off: bool) {
        self.tally.begun = self.window.begun();
        self.tally.unsent = unsent;
        if is_cut_off {
            self.tally.cut_off += self.in_flight;
        }
    }

    /// Counts requests in flight at the end of the run: `due` ones of the window, and `early` ones.
    pub(super) fn leave_unfinished(&mut self, due: u64, early: u64) {
        self.tally.lost_in_warmup += early;
        self.tally.unfinished += due;
    }

    /// Lets `count` more measured requests begin.
    #[cfg(test)]
    pub(super) fn grant(&mut self, count: u64) {
        self.window.grant(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::script::Script;
    use crate::load::plan::{Plan, Until};
    use crate::load::run::control::{Board, Control};

    #[test]
    fn a_stall_counts_from_the_first_request_that_went_unanswered() {
        let plan = Plan {
            connections: 2,
            until: Until::Requests(9),
            ..Plan::default()
        };
        let script = Script::echo(&plan.framing, 64, 64, 1).expect("raw takes all");
        let (control, board) = (Control::default(), Board::default());
        let job = Job {
            plan: &plan,
            script: &script,
            target: &"7007".parse().expect("an address"),
            control: &control,
            board: &board,
            index: 0,
        };
        let start = Time::from_nanos(1_000);
        let mut ledger = Ledger::new(&job, Speech::Stream, 2, start).expect("the plan is small");
        let end = Time::NEVER;
        ledger.enter(Phase::Loading { start, end });
        let begin = |ledger: &mut Ledger, index: usize, now: Time| {
            let stamp = Stamp {
                sent: now,
                due: now,
            };
            ledger.begin(index, 0, stamp);
            ledger.is_stalled(now)
        };
        // No request is in flight for three stall timeouts.
        let asked = start.after(STALL_TIMEOUT * 3);
        assert!(!begin(&mut ledger, 0, asked));
        // A second request is not progress for the first one.
        assert!(!begin(&mut ledger, 1, asked.after(STALL_TIMEOUT / 2)));
        assert!(ledger.is_stalled(asked.after(STALL_TIMEOUT)));
    }
}
