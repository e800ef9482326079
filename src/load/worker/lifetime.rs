//! The lifetime of a worker's connections: connect, establish, lose, reopen.
//!
//! An error of one connection ends in `lose` and affects no other connection, except before the
//! load has begun: a server of which no connection stands then ends the whole run. During the load,
//! a connection that failed is opened again after a pause (`failures`). Under churn, the first
//! write follows connect(2) at once; the worker waits for the event only if the write would block.
//! `reopening` decides whether a connection that the server has ended is opened again. Requests and
//! replies are in `traffic`. See connect(2), "EINPROGRESS".

use super::*;
use crate::base::text::quantity::Quantity;
use crate::load::conversation::mismatch::Wrong;
use crate::protocol::front::proxy::{self, Version};

/// Whether TLS has failed, which is found after the connect.
fn is_insecure(cause: &Cause) -> bool {
    matches!(cause, Cause::Connect(error) if error.kind() == io::ErrorKind::InvalidData)
}

impl<K: Poller + Opener> Worker<'_, K> {
    /// Opens the slots whose time has come. Before the load, only one slot per turn: an established
    /// connection must be noticed before the next connect, or its connect time would be too long.
    pub(super) fn open_due(&mut self) -> Result<(), Cause> {
        let churn = self.job.plan.churn;
        while self.connecting < CONNECTING_MAX || churn {
            let Some(index) = self.opening.take(self.now) else {
                break;
            };
            self.open(index, None)?;
            if !churn {
                break;
            }
        }
        Ok(())
    }

    /// Starts to connect. Under churn, also begins the request, which was due at `due` (default:
    /// now).
    pub(super) fn open(&mut self, index: usize, due: Option<Time>) -> Result<(), Cause> {
        let voice = self.number(index);
        let now = self.kernel.now();
        let slot = &mut self.slots[index];
        slot.generation = slot.generation.wrapping_add(1).max(1);
        let token = Token::new(index as u32, slot.generation);
        // A retry keeps the time and the request of the first attempt.
        if slot.tries == 0 {
            let other = voice as u64 + u64::from(slot.generation) * 7919;
            slot.opened_at = now;
            let connection = &mut slot.connection;
            let (answered, unanswered) = (connection.answered(), connection.in_flight());
            self.was_answered |= answered > 0;
            connection.reset(self.job.script, other);
            (0..unanswered).for_each(|_| connection.begin(self.job.script));
            if unanswered > 0 {
                // Request numbers restart at 0; the requests keep their stamps.
                self.stamps.renumber(index, answered);
            }
            if self.job.plan.churn && index < self.active {
                let due = due.unwrap_or(now);
                if !self.course.may_begin(due) {
                    return Ok(());
                }
                self.begin(index, Stamp { sent: now, due });
            }
        }
        match self.connect(token, voice) {
            Ok(socket) => {
                let slot = &mut self.slots[index];
                (slot.socket, slot.stage, slot.tries) = (Some(socket), Stage::Connecting, 0);
                slot.challenge = Challenge::default();
                slot.is_announced = false;
                self.connecting += 1;
                // The request follows the challenge, if there is one.
                match self.job.plan.churn && self.job.plan.key.is_none() {
                    true => self.speak_at_once(index),
                    false => Ok(()),
                }
            }
            // For a unix socket, a full listen queue makes connect(2) fail with EAGAIN; the call
            // does not wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.try_again(index, error),
            Err(error) => self.lose(index, Cause::Connect(error)),
        }
    }

    /// Retries a connect after the listen queue was full, until the connect timeout. Before the
    /// load, each established connection restarts the timeout, because the queue makes progress.
    fn try_again(&mut self, index: usize, error: io::Error) -> Result<(), Cause> {
        let opened_at = self.slots[index].opened_at;
        let since = match self.course.phase() {
            Phase::Opening => self.moved.max(opened_at),
            _ => opened_at,
        };
        let timeout = self.job.plan.connect_timeout;
        if let Some(timeout) = timeout.filter(|timeout| self.now.since(since) >= *timeout) {
            let (kind, span) = (error.kind(), Quantity::Time.text(timeout.as_nanos()));
            let text = format!("its queue is full after {span} ({error})");
            return self.lose(index, Cause::Connect(io::Error::new(kind, text)));
        }
        let slot = &mut self.slots[index];
        slot.tries = slot.tries.saturating_add(1);
        let doublings = u32::from(slot.tries - 1).min(RETRY_DOUBLINGS_MAX);
        self.open_after(RETRY_PAUSE * 2_u32.pow(doublings), index);
        Ok(())
    }

    /// Schedules a slot to be opened after `pause`, in time order.
    pub(super) fn open_after(&mut self, pause: Duration, index: usize) {
        self.opening.add(self.now.after(pause), index);
    }

    fn connect(&mut self, token: Token, voice: usize) -> io::Result<K::Socket> {
        let options = &self.options[voice % self.options.len()];
        let opened = self.kernel.connect(self.job.target, options);
        let socket = opened.map_err(|OpenError { error, .. }| error)?;
        let checked = self.check_local(&socket);
        match checked.and_then(|()| self.kernel.register(&socket, token, INTEREST)) {
            Ok(()) => Ok(socket),
            Err(error) => {
                self.kernel.close(socket);
                Err(error)
            }
        }
    }

    /// Refuses a socket that is connected to itself (simultaneous open): the generator would
    /// measure its own echo. The local address is known as soon as connect(2) returns, even before
    /// the peer has answered.
    fn check_local(&mut self, socket: &K::Socket) -> io::Result<()> {
        if let Address::Unix(_) | Address::Unixgram(_) = self.job.target {
            return Ok(());
        }
        match is_itself(&self.kernel.local(socket)?, self.job.target) {
            true => Err(io::Error::from_raw_os_error(errno::ECONNREFUSED)),
            false => Ok(()),
        }
    }

    /// Gives up connections that were not established within the connect timeout. The kernel itself
    /// retransmits a SYN for more than two minutes (tcp(7), `tcp_syn_retries`).
    pub(super) fn give_up_connecting(&mut self) -> Result<(), Cause> {
        let timeout = match self.job.plan.connect_timeout {
            Some(timeout) if self.connecting > 0 => timeout,
            _ => return Ok(()),
        };
        let interval = (timeout / LOOKS_PER_CONNECT_TIMEOUT).min(PUBLISH_INTERVAL);
        if self.now.since(self.scanned) < interval {
            return Ok(());
        }
        self.scanned = self.now;
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            if slot.stage == Stage::Connecting && self.now.since(slot.opened_at) >= timeout {
                let what = self.awaited(index);
                let span = Quantity::Time.text(timeout.as_nanos());
                let text = format!("no {what} within {span}");
                let error = io::Error::new(io::ErrorKind::TimedOut, text);
                self.lose(index, Cause::Connect(error))?;
            }
        }
        Ok(())
    }

    /// Under churn: writes the request without waiting for the event, like a client with a blocking
    /// connect(2). A connection to a near peer is already established.
    fn speak_at_once(&mut self, index: usize) -> Result<(), Cause> {
        let slot = &mut self.slots[index];
        let (Some(socket), bytes) = (&slot.socket, slot.connection.outgoing(self.job.script))
        else {
            return Ok(());
        };
        if bytes.is_empty() {
            return Ok(());
        }
        // A successful write proves that the connection is established.
        self.now = self.kernel.now();
        match announce(
            &mut self.kernel,
            self.job.plan.proxy,
            socket,
            &mut slot.is_announced,
        ) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return self.lose(index, Cause::of_connecting(error)),
        }
        match self.kernel.write(socket, bytes) {
            Ok(count) => {
                slot.connection.sent(self.job.script, count);
                self.stand(index);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            // No event reports this error again: the failed call consumes the socket's error.
            Err(error) => self.lose(index, Cause::of_connecting(error)),
        }
    }

    pub(super) fn connected(&mut self, index: usize) -> Result<(), Cause> {
        let slot = &mut self.slots[index];
        let Some(socket) = &slot.socket else {
            return Ok(());
        };
        let announced = &mut slot.is_announced;
        let opened = (self.kernel.take_error(socket))
            .and_then(|()| announce(&mut self.kernel, self.job.plan.proxy, socket, announced));
        if let Err(error) = opened {
            return self.lose(index, Cause::of_connecting(error));
        }
        match self.prove(index) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(cause) => return self.lose(index, cause),
        }
        self.stand(index);
        let again = self.slots[index].stage == Stage::Open
            && self.course.phase() != Phase::Opening
            && !self.job.plan.churn;
        // Bytes are already owed only under churn or on a reopened connection.
        let spoken = match again {
            true => self.resume(index),
            false => self.flush(index),
        };
        spoken.or_else(|cause| self.lose(index, cause))
    }

    /// Continues the load on a reopened connection.
    fn resume(&mut self, index: usize) -> Result<(), Cause> {
        let in_flight = self.slots[index].connection.in_flight() as usize;
        let room = self.job.plan.pipeline.saturating_sub(in_flight);
        if self.schedule.is_none() {
            return self.converse(index, room);
        }
        if room > 0 {
            self.free.add(index, self.now);
        }
        self.flush(index)
    }

    /// Marks the connection as established now.
    fn stand(&mut self, index: usize) {
        // Connect times are recorded for load connections only, and under churn for those of the
        // window.
        let told = index < self.active
            && (!self.job.plan.churn || self.course.is_measured(self.stamp(index, 0).due));
        let slot = &mut self.slots[index];
        self.moved = self.now;
        let is_again = std::mem::take(&mut slot.is_again);
        let in_window = self.course.start().is_some_and(|start| self.now >= start);
        self.tally.reconnects += u64::from(is_again && in_window);
        self.job.control.stands();
        if self.speech != Speech::Datagrams {
            self.tally.connections += 1;
            if told {
                let connected_ns = self.now.since(slot.opened_at).as_nanos() as u64;
                self.tally.connect.record(connected_ns);
            }
        }
        self.connecting -= 1;
        if index < self.active {
            slot.stage = Stage::Open;
            self.open += 1;
        } else {
            slot.stage = Stage::Idle;
            self.idle += 1;
        }
    }

    /// Handles the end of a connection. If the server was allowed to end it, the load goes on with
    /// a new one (`may_go_on`). Otherwise the requests in flight have failed, and the connection is
    /// opened again after a pause.
    #[cold]
    pub(super) fn lose(&mut self, index: usize, cause: Cause) -> Result<(), Cause> {
        let cause = self.hear_the_rest(index, cause);
        if self.may_go_on(index, &cause) {
            return self.reopen(index);
        }
        let cause = self.verdict(index, cause);
        if self.course.phase() == Phase::Opening {
            return self.lose_before_load(index, cause);
        }
        // Datagrams have no handshake: only a reply proves that a server exists.
        let nobody_yet = match self.speech {
            Speech::Datagrams => self.tally.service.count() == 0,
            Speech::Stream | Speech::Http | Speech::Exchange => {
                self.tally.connections == 0 && self.job.control.standing() == 0
                    || is_insecure(&cause) && self.tally.answered == 0
            }
        };
        let is_fatal = match cause {
            Cause::Connect(_) => nobody_yet,
            Cause::Unproven => !self.has_answers(),
            _ => false,
        };
        if is_fatal {
            return Err(cause);
        }
        self.blame(index, cause);
        self.release(index);
        self.try_again_later(index)
    }

    /// Handles the end of a connection before the load. The load can begin without some of the
    /// connections, but not without any.
    fn lose_before_load(&mut self, index: usize, cause: Cause) -> Result<(), Cause> {
        let may_pass = match &cause {
            Cause::Connect(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            Cause::Unproven => false,
            _ => true,
        };
        let is_alone = self.job.control.standing() == 0 && self.tally.connections == 0;
        self.release(index);
        let slot = &mut self.slots[index];
        let pause = slot.failures.add();
        slot.is_again = true;
        let is_tried = slot.failures.are_too_many_before_load();
        if !is_tried {
            self.open_after(pause, index);
        }
        let is_hopeless =
            self.opening.is_empty() && self.connecting == 0 && self.job.control.standing() == 0;
        if !may_pass || is_alone || is_hopeless {
            return Err(match cause {
                Cause::Connect(_) | Cause::Unproven => cause,
                cause => Cause::Early(self.number(index), Box::new(cause)),
            });
        }
        // It belongs to no figure of the window, but the report says what happened.
        let failure = self.failure(index, 0, cause);
        self.tally.tell(failure);
        Ok(())
    }

    /// Counts a broken connection with its failed requests. A connection that cannot be opened
    /// again fails the request that it would have carried.
    pub(super) fn blame(&mut self, index: usize, cause: Cause) {
        let mut failed = self.due_in_flight(index);
        let early = self.slots[index].connection.in_flight() - failed;
        self.tally.lost_in_warmup += early;
        let is_refused =
            matches!(cause, Cause::Connect(_) | Cause::Unproven) && index < self.active;
        if is_refused && failed + early == 0 {
            failed = self.refuse_one();
        }
        if matches!(cause, Cause::Wrong(_)) && failed + early == 0 {
            failed = self.spoil_last(index);
        }
        self.fruitless_since.get_or_insert(self.now);
        let failure = self.failure(index, failed, cause);
        // A failure of the warm-up belongs to no figure of the window.
        match self.course.start().is_some_and(|start| self.now >= start) {
            true => self.tally.fail(failure),
            false => self.tally.tell(failure),
        }
    }

    /// Turns the last answer of an echo connection into a failure: more bytes came behind it, so
    /// the reply was wrong. Its time stays in the histograms. Returns how many of the window it
    /// were.
    fn spoil_last(&mut self, index: usize) -> u64 {
        let answered = self.slots[index].connection.answered();
        if self.speech != Speech::Stream || answered == 0 {
            return 0;
        }
        // With nothing in flight, the stamp of the last request is still there.
        let due = self.stamp(index, answered - 1).due;
        let spoilt = u64::from(self.course.is_measured(due)).min(self.tally.answered);
        self.tally.answered -= spoilt;
        spoilt
    }

    /// Fails the request that a refused connection would have carried: in a closed loop one that is
    /// due now, in an open loop the first one that is overdue. Returns how many of the window it
    /// were.
    fn refuse_one(&mut self) -> u64 {
        let due = self.schedule.as_ref().map_or(self.now, Schedule::due);
        if due > self.now || !self.course.may_begin(due) {
            return 0;
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.advance();
        }
        self.course.begin(due);
        u64::from(self.course.is_measured(due))
    }

    /// Counts a request whose reply was complete and wrong. Its connection stays.
    #[cold]
    pub(super) fn blame_one(&mut self, index: usize, wrong: Wrong) {
        let connection = &mut self.slots[index].connection;
        let due = self.stamps.at(index, connection.answered()).due;
        let failed = u64::from(self.course.is_measured(due));
        let failure = self.failure(index, failed, Cause::Wrong(wrong));
        match failed {
            0 => {
                self.tally.lost_in_warmup += 1;
                self.tally.tell(failure);
            }
            _ => self.tally.fail(failure),
        }
        self.slots[index].connection.fail_one();
        self.in_flight -= 1;
    }

    /// Opens a slot again after a pause that grows with its failures, if the load still needs it.
    fn try_again_later(&mut self, index: usize) -> Result<(), Cause> {
        let is_churned = self.job.plan.churn && index < self.active;
        if !is_churned && !self.is_wanted(index) {
            return Ok(());
        }
        let pause = self.slots[index].failures.add();
        // In an open loop under churn, the schedule decides when the next connection is opened.
        if is_churned && self.schedule.is_some() {
            return self.renew(index, Duration::ZERO);
        }
        if self.course.start().is_some_and(|start| self.now >= start) {
            let pause_ns = pause.as_nanos() as u64;
            self.tally.longest_pause_ns = self.tally.longest_pause_ns.max(pause_ns);
        }
        self.slots[index].is_again = !is_churned;
        self.open_after(pause, index);
        Ok(())
    }

    /// The report of a connection with `failed` failed requests of the window.
    pub(super) fn failure(&self, index: usize, failed: u64, cause: Cause) -> Failure {
        let connection = &self.slots[index].connection;
        Failure {
            connection: self.number(index),
            answered: connection.answered(),
            in_flight: connection.in_flight(),
            failed,
            cause,
            count: 1,
        }
    }

    /// The number of the connection over all workers.
    fn number(&self, index: usize) -> usize {
        index * self.job.plan.threads + self.job.index
    }

    /// Closes a connection and forgets its requests in flight.
    pub(super) fn release(&mut self, index: usize) {
        self.hang_up(index);
        let connection = &mut self.slots[index].connection;
        self.in_flight -= connection.in_flight();
        connection.abandon();
    }

    pub(super) fn hang_up(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        match slot.stage {
            Stage::Connecting => self.connecting -= 1,
            Stage::Open => self.open -= 1,
            Stage::Idle => self.idle -= 1,
            Stage::Closed => {}
        }
        if matches!(slot.stage, Stage::Open | Stage::Idle) {
            self.job.control.falls();
        }
        (slot.stage, slot.tries) = (Stage::Closed, 0);
        if let Some(socket) = slot.socket.take() {
            self.kernel.close(socket);
        }
    }

    /// Churn: opens the next connection of this slot, now or after a pause.
    pub(super) fn renew(&mut self, index: usize, pause: Duration) -> Result<(), Cause> {
        if self.schedule.is_some() {
            self.free.add(index, self.now);
        } else if pause == Duration::ZERO {
            return self.open(index, None);
        } else {
            self.open_after(pause, index);
        }
        Ok(())
    }
}

/// Sends the header of a load balancer, which is not among the bytes of the load. A new socket has
/// room for it.
fn announce<K: Opener>(
    kernel: &mut K,
    version: Option<Version>,
    socket: &K::Socket,
    is_announced: &mut bool,
) -> io::Result<()> {
    let Some(version) = version.filter(|_| !*is_announced) else {
        return Ok(());
    };
    let peer = match kernel.peer(socket) {
        Ok(peer) => peer,
        // The connect is in progress.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Err(error) => return Err(error),
    };
    let header = proxy::header(version, &kernel.local(socket)?.octets(), &peer.octets());
    if kernel.write(socket, &header)? < header.len() {
        let text = "the send buffer has no room for the PROXY header";
        return Err(io::Error::other(text));
    }
    *is_announced = true;
    Ok(())
}
