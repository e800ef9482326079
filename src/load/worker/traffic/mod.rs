//! The traffic of an established connection: sends the next request, receives the reply.
//!
//! `ready` is the only entry for events and dispatches on the slot's stage. Connecting and closing
//! are in `lifetime`.

use super::*;
use crate::load::conversation::mismatch::Heard;

/// Readiness that reports the end by the peer.
const ENDING: Readiness = Readiness::RDHUP.union(Readiness::HUP).union(Readiness::ERR);

/// The nanoseconds between two times; 0 if `to` is the earlier one. A `Duration` in between would
/// be split into seconds and put together again.
#[inline]
fn span_ns(from: Time, to: Time) -> u64 {
    to.as_nanos().saturating_sub(from.as_nanos())
}

impl<K: Poller + Opener> Worker<'_, K> {
    #[inline]
    pub(super) fn ready(&mut self, token: Token, readiness: Readiness) -> Result<(), Cause> {
        let index = token.index() as usize;
        match self.slots.get(index) {
            Some(slot) if slot.generation == token.generation() => {}
            _ => return Ok(()),
        }
        match self.slots[index].stage {
            Stage::Closed => Ok(()),
            Stage::Connecting => {
                self.connected(index)?;
                self.also_ready(token, readiness)
            }
            Stage::Open | Stage::Idle => match self.hear(index, readiness) {
                Ok(()) => Ok(()),
                Err(cause) => self.lose(index, cause),
            },
        }
    }

    /// Handles the rest of the event that established the connection. The server may already have
    /// sent data or closed, and an edge is reported only once.
    #[cold]
    fn also_ready(&mut self, token: Token, readiness: Readiness) -> Result<(), Cause> {
        let index = token.index() as usize;
        let slot = &self.slots[index];
        let stands = slot.generation == token.generation()
            && matches!(slot.stage, Stage::Open | Stage::Idle);
        if !stands || !readiness.intersects(Readiness::IN | ENDING) {
            return Ok(());
        }
        self.hear(index, readiness)
            .or_else(|cause| self.lose(index, cause))
    }

    /// Reads the available replies and sends the next requests.
    #[inline]
    fn hear(&mut self, index: usize, readiness: Readiness) -> Result<(), Cause> {
        let (mut answers, mut reads) = (0, 0);
        let mut more = readiness.intersects(Readiness::IN | ENDING);
        while more {
            let slot = &mut self.slots[index];
            let Some(socket) = &slot.socket else {
                return Ok(());
            };
            let count = match self.kernel.read(socket, &mut self.space) {
                Ok(0) if self.speech != Speech::Datagrams => return self.ended(index, answers),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.broken(error)),
            };
            let got = self.take(index, count)?;
            answers += got;
            // Another datagram may follow a late one, and no new edge would report it.
            let late = self.speech == Speech::Datagrams && got == 0;
            self.tally.late += u64::from(late);
            more = count == self.space.len() || readiness.intersects(ENDING) || late;
            // A churn connection with its one reply, and a connection with its announced last
            // reply, are not read until their end.
            more = more && !(self.job.plan.churn && answers > 0 || self.is_over(index));
            reads += 1;
            if more && reads == READS_PER_EVENT {
                self.ask_again(index)?;
                break;
            }
            if more {
                self.now = self.kernel.now();
            }
        }
        self.go_on(index, answers)
    }

    /// Takes `count` bytes of `space` that connection `index` has received. Returns how many
    /// requests they settled: answered, or failed by a complete reply.
    #[inline(always)]
    pub(super) fn take(&mut self, index: usize, count: usize) -> Result<u32, Cause> {
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
                    self.blame_one(index, wrong);
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
        let connection = &mut self.slots[index].connection;
        let first = connection.answered();
        let (bytes, verify) = (&self.space[from..count], self.job.plan.verify);
        let heard = connection.received(self.job.script, bytes, verify);
        self.answered(index, first, &heard, size);
        heard
    }

    /// Whether the server sends no more replies on connection `index`.
    #[inline]
    fn is_over(&self, index: usize) -> bool {
        self.slots[index].connection.is_over()
    }

    /// Lets another event report the unread rest, after the events of other connections.
    #[cold]
    fn ask_again(&mut self, index: usize) -> Result<(), Cause> {
        let slot = &self.slots[index];
        let token = Token::new(index as u32, slot.generation);
        let Some(socket) = &slot.socket else {
            return Ok(());
        };
        let asked = self.kernel.reregister(socket, token, INTEREST);
        asked.map_err(|error| self.broken(error))
    }

    /// Handles the end of the connection by the server, after `answers` replies in this event. The
    /// end completes a reply without a length.
    #[cold]
    fn ended(&mut self, index: usize, answers: u32) -> Result<(), Cause> {
        let connection = &mut self.slots[index].connection;
        let first = connection.answered();
        let heard = connection.ended(self.job.plan.verify);
        match (heard.answers, heard.wrong) {
            (_, Some(wrong)) if wrong.leaves_framing() => {
                self.blame_one(index, wrong);
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
    #[inline]
    fn go_on(&mut self, index: usize, answers: u32) -> Result<(), Cause> {
        match answers {
            0 => self.flush(index),
            _ if self.job.plan.churn => {
                self.release(index);
                self.renew(index, Duration::ZERO)
            }
            _ if self.is_over(index) => self.reopen(index),
            _ if self.schedule.is_some() => {
                self.free.add(index, self.now);
                self.flush(index)
            }
            _ => self.converse(index, answers as usize),
        }
    }

    /// Counts the replies in `heard`, of which the first belongs to request `first`, and the
    /// `bytes` that were read.
    #[inline]
    fn answered(&mut self, index: usize, first: u64, heard: &Heard, bytes: usize) {
        let answers = heard.answers;
        self.in_flight -= u64::from(answers);
        if answers > 0 {
            self.slots[index].failures.forget();
            self.fruitless_since = None;
        }
        let Some((start, end)) = self.course.counting() else {
            return;
        };
        let elapsed = span_ns(start, self.now);
        if self.now >= start && self.now < end {
            self.tally.received_bytes += bytes as u64;
            self.tally.completed += u64::from(answers);
        }
        let open_loop = self.schedule.is_some();
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
                let service = span_ns(stamp.sent, self.now);
                self.tally.service.record_many(service, count);
                if open_loop {
                    let response = span_ns(stamp.due, self.now);
                    self.tally.response.record_many(response, count);
                }
            } else if self.now >= start {
                let service = span_ns(stamp.sent, self.now);
                self.tally.longest_carried_ns = self.tally.longest_carried_ns.max(service);
            }
        }
        self.moved = self.now;
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
    pub(super) fn record_turn(&mut self) {
        let completed = self.tally.completed - self.recorded;
        if let Some(start) = self.course.start().filter(|_| completed > 0) {
            let elapsed = span_ns(start, self.now);
            self.tally.timeline.record(elapsed, completed);
            self.recorded = self.tally.completed;
        }
    }

    /// Closed loop: begins up to `count` more requests and sends them together.
    #[inline]
    pub(super) fn converse(&mut self, index: usize, count: usize) -> Result<(), Cause> {
        let sent = self.kernel.now();
        let held_ns = span_ns(self.now, sent);
        for _ in 0..count {
            if !self.course.may_begin(sent) {
                break;
            }
            if self.begin(index, Stamp { sent, due: sent }) {
                self.tally.held_ns += held_ns;
            }
        }
        self.flush(index)
    }

    /// Starts the load on a connection.
    pub(super) fn begin_conversation(&mut self, index: usize) -> Result<(), Cause> {
        match self.schedule {
            Some(_) => {
                self.free.add(index, self.now);
                Ok(())
            }
            None => self
                .converse(index, self.job.plan.pipeline)
                .or_else(|cause| self.lose(index, cause)),
        }
    }

    /// Begins a request. Returns whether it belongs to the window.
    #[inline]
    pub(super) fn begin(&mut self, index: usize, stamp: Stamp) -> bool {
        let connection = &mut self.slots[index].connection;
        let request = connection.begun();
        connection.begin(self.job.script);
        self.stamps.put(index, request, stamp);
        // The stall timeout counts from the first request after a time without requests in flight.
        if self.in_flight == 0 {
            self.moved = stamp.sent;
        }
        self.in_flight += 1;
        self.course.begin(stamp.due)
    }

    /// Open loop: begins the requests that are due, as long as connections are free.
    pub(super) fn release_due(&mut self) -> Result<(), Cause> {
        while let Some(schedule) = &mut self.schedule {
            let due = schedule.due();
            if due > self.now || self.free.is_empty() || !self.course.may_begin(due) {
                break;
            }
            let Some(index) = self.free.take() else {
                break;
            };
            let churn = self.job.plan.churn;
            if self.slots[index].stage != if churn { Stage::Closed } else { Stage::Open } {
                continue;
            }
            if let Some(schedule) = &mut self.schedule {
                schedule.advance();
            }
            let sent = self.kernel.now();
            self.now = self.now.max(sent);
            if self.course.is_measured(due) {
                // The time without a free connection is charged to the server, not to the
                // generator.
                let possible = due.max(self.free.since());
                self.tally
                    .lateness
                    .record(sent.since(possible).as_nanos() as u64);
            }
            if churn {
                self.open(index, Some(due))?;
                continue;
            }
            self.begin(index, Stamp { sent, due });
            if let Err(cause) = self.flush(index) {
                self.lose(index, cause)?;
            } else if self.slots[index].connection.in_flight() < self.job.plan.pipeline as u64 {
                self.free.add(index, self.now);
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn flush(&mut self, index: usize) -> Result<(), Cause> {
        let slot = &mut self.slots[index];
        let Some(socket) = &slot.socket else {
            return Ok(());
        };
        while slot.connection.owes() {
            let bytes = slot.connection.outgoing(self.job.script);
            let (length, written) = (bytes.len(), self.kernel.write(socket, bytes));
            match written {
                Ok(count) => {
                    slot.connection.sent(self.job.script, count);
                    // After a short write, the next write edge continues the request.
                    if count < length {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    /// The cause for a failed call on a connection.
    #[cold]
    pub(super) fn broken(&self, error: io::Error) -> Cause {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        match self.speech {
            // The ICMP error of an earlier datagram: no socket is bound to the port (udp(7)).
            Speech::Datagrams if refused => Cause::Connect(error),
            // What TLS says of a connection: it was never established, or is none any more.
            _ if error.kind() == io::ErrorKind::InvalidData => Cause::Connect(error),
            _ => Cause::Broken(error),
        }
    }

    /// Gives up the datagrams whose reply is overdue, and continues with the next requests.
    pub(super) fn give_up_the_lost(&mut self) -> Result<(), Cause> {
        if self.speech != Speech::Datagrams {
            return Ok(());
        }
        for index in 0..self.active {
            let request = self.slots[index].connection.answered();
            let stamp = self.stamp(index, request);
            let connection = &mut self.slots[index].connection;
            let is_lost = connection.in_flight() > 0 && stamp.sent.after(LOSS_TIMEOUT) <= self.now;
            if !is_lost || !connection.give_up(self.job.script) {
                continue;
            }
            self.in_flight -= 1;
            match self.course.is_measured(stamp.due) {
                true => self.tally.errors.time_out(),
                false => self.tally.lost_in_warmup += 1,
            }
            self.moved = self.now;
            self.go_on(index, 1)
                .or_else(|cause| self.lose(index, cause))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
