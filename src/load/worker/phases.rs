//! The phases of a worker: open, load, drain, done.
//!
//! ```text
//!              go               end, quota, none left              answered, or late
//!   Opening --------> Loading ---------------------------> Draining -----------------> Done
//!      |                 |        stopped by the conductor     |                         ^
//!      +-----------------+-------------------------------------+-------------------------+
//! ```
//!
//! `follow` is called once per turn and is the only place where the phase changes (`finish` in
//! `ending` sets the last one). This module does not know the effect of a phase on one connection,
//! except that it starts the load on all of them. The final counts are in `ending`.

use super::*;

impl<K: Poller + Opener> Worker<'_, K> {
    /// Moves to the phase that follows from the clock and the conductor.
    pub(super) fn follow(&mut self) -> Result<(), Cause> {
        if self.job.control.is_stopped() {
            if let Phase::Loading { start, .. } = self.course.phase() {
                self.end_window(start);
            }
            self.finish();
        }
        match self.course.phase() {
            Phase::Opening => {
                // A slow start opens all but the first one under load.
                let is_first = !self.job.plan.slow_start.is_zero() && self.open > 0;
                let all = self.connecting == 0 && (self.opening.is_empty() || is_first);
                self.job
                    .board
                    .open
                    .store((self.open + self.idle) as u64, Ordering::Relaxed);
                self.job.board.ready.store(all, Ordering::Relaxed);
                if let Some((go, start, end)) = self.job.control.window(self.now) {
                    self.course.enter(Phase::Loading { start, end });
                    return self.begin_load(go);
                }
            }
            Phase::Loading { start, end } => {
                // Requests that were due before the end are sent even if the end has passed
                // meanwhile.
                self.release_due()?;
                let is_over = self.now >= end || self.course.is_all_begun();
                let is_stuck = self.is_stalled() || self.is_fruitless();
                if is_over || is_stuck || !self.is_able() && self.is_given_up() {
                    self.end_window(start);
                }
            }
            Phase::Draining { deadline, .. } => {
                let deadline = match self.course.is_all_begun() {
                    true => deadline.max(self.moved.after(STALL_TIMEOUT)),
                    false => deadline,
                };
                if self.now >= deadline || self.in_flight == 0 && !self.is_behind() {
                    self.finish();
                }
            }
            Phase::Done => {}
        }
        Ok(())
    }

    /// Whether the window ends here for a worker without connections. A run by a count has no other
    /// end. A run by time lasts as long as was asked for, or its rates would be too high.
    fn is_given_up(&self) -> bool {
        self.course.is_counted()
    }

    /// Whether a run by a count has had no progress for the stall timeout.
    fn is_stalled(&self) -> bool {
        self.course.is_counted()
            && self.in_flight > 0
            && self.now.since(self.moved) >= STALL_TIMEOUT
    }

    /// Whether a run by a count has had only failures for the stall timeout. Without this end, the
    /// run would go on until each request has failed.
    fn is_fruitless(&self) -> bool {
        let since = self.fruitless_since;
        self.course.is_counted()
            && since.is_some_and(|since| self.now.since(since) >= STALL_TIMEOUT)
    }

    /// Whether a load connection exists or will exist.
    fn is_able(&self) -> bool {
        let coming = self.connecting > 0 || !self.opening.is_empty();
        self.open > 0 || coming || self.job.plan.churn
    }

    /// Whether requests are overdue for which a connection will become free.
    fn is_behind(&self) -> bool {
        let due = self.schedule.as_ref().map(Schedule::due);
        self.is_able() && due.is_some_and(|due| self.course.may_begin(due))
    }

    fn begin_load(&mut self, go: Time) -> Result<(), Cause> {
        let Plan {
            pace,
            threads,
            churn,
            ..
        } = *self.job.plan;
        if let Pace::Open { rate, arrivals } = pace {
            self.schedule = Some(Schedule::new(rate, arrivals, self.job.index, threads, go));
        }
        self.moved = self.now;
        for index in 0..self.slots.len() {
            let is_churned = churn && index < self.active;
            match self.slots[index].stage {
                Stage::Open => self.begin_conversation(index)?,
                Stage::Closed if is_churned && self.schedule.is_none() => {
                    self.open_after(Duration::ZERO, index);
                }
                Stage::Closed if is_churned => self.free.add(index, self.now),
                // All tries before the load have failed.
                Stage::Closed if !self.opening.has(index) => {
                    let pause = self.slots[index].failures.add();
                    self.open_after(pause, index);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn end_window(&mut self, start: Time) {
        let end = match self.course.phase() {
            Phase::Loading { end, .. } => end.min(self.job.control.end()).min(self.now),
            _ => self.now,
        };
        // Under churn, a request that waits for a full listen queue counts as in flight. Without
        // churn, every slot in the queue is kept.
        let (slots, churn) = (&self.slots, self.job.plan.churn);
        let is_held_up = |index: usize| slots[index].connection.in_flight() > 0;
        self.opening.retain(|index| !churn || is_held_up(index));
        self.job.board.sent_all.store(true, Ordering::Relaxed);
        let missing = |slot: &&Slot<K::Socket>| {
            slot.failures.is_any() && matches!(slot.stage, Stage::Closed | Stage::Connecting)
        };
        let churned = if churn { self.active } else { 0 };
        let missing = self.slots[churned..].iter().filter(missing);
        self.tally.missing = missing.count() as u64;
        let deadline = self.now.after(match self.course.is_all_begun() {
            true => STALL_TIMEOUT,
            false => self.job.plan.grace,
        });
        self.course.enter(Phase::Draining {
            start,
            end,
            deadline,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Linux;
    use crate::load::plan::Until;

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
        let kernel = Linux::new(false).expect("epoll");
        let mut worker = Worker::new(kernel, job).expect("it is small");
        let (start, end) = (worker.now, Time::NEVER);
        worker.course.enter(Phase::Loading { start, end });
        let begin = |worker: &mut Worker<'_, Linux>, index: usize, now: Time| {
            worker.now = now;
            worker.begin(
                index,
                Stamp {
                    sent: now,
                    due: now,
                },
            );
        };
        // No request is in flight for three stall timeouts.
        let asked = start.after(STALL_TIMEOUT * 3);
        begin(&mut worker, 0, asked);
        assert!(!worker.is_stalled());
        // A second request is not progress for the first one.
        begin(&mut worker, 1, asked.after(STALL_TIMEOUT / 2));
        assert!(!worker.is_stalled());
        worker.now = asked.after(STALL_TIMEOUT);
        assert!(worker.is_stalled());
    }
}
