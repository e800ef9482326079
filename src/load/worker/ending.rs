//! The final accounting of requests when a run ends.
//!
//! Each request that was due in the window is answered, failed, unfinished or unsent, as defined by
//! [`Tally`]. Answers and failures were counted when they happened; requests that are still open at
//! the end of the run are counted here, once.

use super::*;

impl<K: Poller + Opener> Worker<'_, K> {
    /// Ends the run.
    pub(super) fn finish(&mut self) {
        self.tally.begun = self.course.begun();
        self.tally.unsent = self.unsent();
        if self.job.control.is_stopped() {
            self.tally.cut_off += self.in_flight;
        }
        for index in 0..self.active {
            if self.slots[index].connection.in_flight() > 0 {
                self.settle(index);
                self.release(index);
            }
        }
        self.publish();
        self.course.enter(Phase::Done);
    }

    /// Requests that were due in the window and were never begun.
    fn unsent(&mut self) -> u64 {
        let Phase::Draining { start, end, .. } = self.course.phase() else {
            return 0;
        };
        // A run by a count that was not stopped should have sent all its requests.
        if self.course.is_counted() && !self.job.control.is_stopped() {
            return self.course.left();
        }
        let Some(schedule) = &mut self.schedule else {
            return 0;
        };
        schedule.pass(start);
        schedule.pass(end).min(self.course.left())
    }

    /// Counts the requests in flight on a connection when the run ends.
    ///
    /// A run by time has waited for the grace period: its requests are unfinished. A run by a count
    /// has waited for the stall timeout: its requests have failed. A stopped run has not waited:
    /// its requests are unfinished.
    fn settle(&mut self, index: usize) {
        let due = self.due_in_flight(index);
        let connection = &self.slots[index].connection;
        let early = connection.in_flight() - due;
        let cause = match connection.awaits_end() {
            true => Cause::Endless,
            false => Cause::Silent,
        };
        if self.job.control.is_stopped() {
            self.tally.unfinished += due;
            return;
        }
        if self.course.is_counted() && due > 0 {
            self.blame(index, cause);
        } else {
            self.tally.lost_in_warmup += early;
            self.tally.unfinished += due;
            let told = self.failure(index, 0, cause);
            self.tally.tell(told);
        }
    }

    /// Requests in flight on a connection that were due in the window.
    pub(super) fn due_in_flight(&self, index: usize) -> u64 {
        let connection = &self.slots[index].connection;
        let in_flight = connection.answered()..connection.begun();
        let due =
            in_flight.filter(|&request| self.course.is_measured(self.stamp(index, request).due));
        due.count() as u64
    }
}
