//! The lifetime of a worker's connections: connect, establish, lose, reopen.
//!
//! An error of one connection ends in `lose` and affects no other connection, except before the
//! load has begun: a server of which no connection stands then ends the whole run. During the load,
//! a connection that failed is opened again after a pause (`failures`). Under churn, the first
//! write follows connect(2) at once; the worker waits for the event only if the write would block.
//! `reopening` decides whether a connection that the server has ended is opened again. Requests and
//! replies are in `traffic`, the calls on sockets in `slots`.

use std::io;
use std::time::Duration;

use super::reopening::may_go_on;
use super::slots::Stage;
use super::slots::openings::Openings;
use super::slots::stamps::Stamp;
use super::tally::Cause;
use super::traffic::{After, ENDING, Traffic};
use super::window::Phase;
use super::{Job, PUBLISH_INTERVAL};
use crate::base::text::quantity::Quantity;
use crate::base::time::Time;
use crate::kernel::{Opener, Poller, Readiness, Token};
use crate::load::conversation::connection::Speech;
use crate::load::plan::schedule::Schedule;
use crate::load::plan::{Pace, Plan};

/// Concurrent connects: fewer than the backlog of usual listeners, because the kernel drops
/// connects above the backlog.
const CONNECTING_MAX: usize = 64;
/// The first pause before a connect to a full listen queue is retried. The next line limits the
/// number of doublings.
const RETRY_PAUSE: Duration = Duration::from_millis(1);
const RETRY_DOUBLINGS_MAX: u32 = 2;
/// Scans for expired connects, per connect timeout. Each scan visits all slots.
const LOOKS_PER_CONNECT_TIMEOUT: u32 = 8;

/// Whether TLS has failed, which is found after the connect.
fn is_insecure(cause: &Cause) -> bool {
    matches!(cause, Cause::Connect(error) if error.kind() == io::ErrorKind::InvalidData)
}

/// The connections of a worker, open or to be opened.
pub(super) struct Lifetime<'a, K: Poller + Opener> {
    job: Job<'a>,
    traffic: Traffic<'a, K>,
    opening: Openings,
    /// The last scan for expired connects.
    scanned: Time,
}

impl<'a, K: Poller + Opener> Lifetime<'a, K> {
    /// The connections of `traffic`, each to be opened in its time.
    pub(super) fn new(job: Job<'a>, traffic: Traffic<'a, K>) -> Result<Lifetime<'a, K>, Cause> {
        let (now, count) = (traffic.now(), traffic.slots().len());
        let ramp = job.plan.ramp.max(job.plan.slow_start);
        let mut opening = Openings::new(count)?;
        // Under churn, the load itself opens its connections.
        for index in (0..count).filter(|&index| !traffic.slots().is_churned(index)) {
            let due = now.after(ramp.mul_f64(index as f64 / count as f64));
            opening.add(due, index);
        }
        Ok(Lifetime {
            job,
            traffic,
            opening,
            scanned: now,
        })
    }

    #[inline]
    pub(super) fn traffic(&self) -> &Traffic<'a, K> {
        &self.traffic
    }

    #[inline]
    pub(super) fn traffic_mut(&mut self) -> &mut Traffic<'a, K> {
        &mut self.traffic
    }

    /// The traffic, at the end of the run.
    pub(super) fn into_traffic(self) -> Traffic<'a, K> {
        self.traffic
    }

    /// Handles an event.
    #[inline]
    pub(super) fn ready(&mut self, token: Token, readiness: Readiness) -> Result<(), Cause> {
        if !self.traffic.slots().has(token) {
            return Ok(());
        }
        let index = token.index() as usize;
        match self.traffic.slots().stage(index) {
            Stage::Closed => Ok(()),
            Stage::Connecting => {
                self.connected(index)?;
                self.also_ready(token, readiness)
            }
            Stage::Open | Stage::Idle => self.hear(index, readiness),
        }
    }

    /// Handles the rest of the event that established the connection. The server may already have
    /// sent data or closed, and an edge is reported only once.
    #[cold]
    fn also_ready(&mut self, token: Token, readiness: Readiness) -> Result<(), Cause> {
        let index = token.index() as usize;
        let slots = self.traffic.slots();
        let stands = slots.has(token) && matches!(slots.stage(index), Stage::Open | Stage::Idle);
        if !stands || !readiness.intersects(Readiness::IN | ENDING) {
            return Ok(());
        }
        self.hear(index, readiness)
    }

    #[inline]
    fn hear(&mut self, index: usize, readiness: Readiness) -> Result<(), Cause> {
        match self.traffic.hear(index, readiness) {
            Ok(After::Stays) => Ok(()),
            heard => self.go_on(index, heard),
        }
    }

    /// Does what follows from the replies of a connection.
    fn go_on(&mut self, index: usize, heard: Result<After, Cause>) -> Result<(), Cause> {
        let went = match heard {
            Ok(After::Stays) => Ok(()),
            Ok(After::Renews) => {
                self.traffic.release(index);
                self.renew(index, Duration::ZERO)
            }
            Ok(After::Reopens) => self.reopen(index),
            Err(cause) => Err(cause),
        };
        went.or_else(|cause| self.lose(index, cause))
    }

    /// Open loop: begins the requests that are due, as long as connections are free.
    #[inline]
    pub(super) fn release_due(&mut self) -> Result<(), Cause> {
        // Every turn asks twice. In a closed loop the call would cost 90 instructions a turn.
        match self.traffic.is_open_loop() {
            true => self.send_all_due(),
            false => Ok(()),
        }
    }

    fn send_all_due(&mut self) -> Result<(), Cause> {
        while let Some((index, stamp)) = self.traffic.take_due() {
            if self.job.plan.churn {
                self.open(index, Some(stamp.due))?;
            } else if let Err(cause) = self.traffic.send_due(index, stamp) {
                self.lose(index, cause)?;
            }
        }
        Ok(())
    }

    /// Gives up the datagrams whose reply is overdue, and continues with the next requests.
    pub(super) fn give_up_the_lost(&mut self) -> Result<(), Cause> {
        if self.traffic.speech() != Speech::Datagrams {
            return Ok(());
        }
        for index in 0..self.traffic.slots().active() {
            if let Some(went) = self.traffic.give_up_the_lost(index) {
                self.go_on(index, went)?;
            }
        }
        Ok(())
    }

    /// When the next connection is opened; [`Time::NEVER`] if none waits or too many connect.
    pub(super) fn next_opening(&self) -> Time {
        match self.opening.next() {
            Some(due) if self.traffic.slots().connecting() < CONNECTING_MAX => due,
            _ => Time::NEVER,
        }
    }

    /// Whether a connection is being opened, or will be.
    pub(super) fn are_coming(&self) -> bool {
        self.traffic.slots().connecting() > 0 || !self.opening.is_empty()
    }

    /// Whether enough connections are open for the load to begin. A slow start opens all but the
    /// first one under load.
    pub(super) fn are_opened(&self) -> bool {
        let slots = self.traffic.slots();
        let is_first = !self.job.plan.slow_start.is_zero() && slots.open() > 0;
        slots.connecting() == 0 && (self.opening.is_empty() || is_first)
    }

    /// Opens the slots whose time has come. Before the load, only one slot per turn: an established
    /// connection must be noticed before the next connect, or its connect time would be too long.
    pub(super) fn open_due(&mut self) -> Result<(), Cause> {
        let churn = self.job.plan.churn;
        while self.traffic.slots().connecting() < CONNECTING_MAX || churn {
            let Some(index) = self.opening.take(self.traffic.now()) else {
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
    fn open(&mut self, index: usize, due: Option<Time>) -> Result<(), Cause> {
        let slots = self.traffic.slots_mut();
        let now = slots.clock();
        let token = slots.next_token(index);
        // A retry keeps the time and the request of the first attempt.
        if slots.is_first_try(index) {
            if let Some(answered) = slots.restart(index, now) {
                self.traffic.ledger_mut().renumber(index, answered);
            }
            if self.traffic.slots().is_churned(index) {
                let due = due.unwrap_or(now);
                if !self.traffic.ledger().window().may_begin(due) {
                    return Ok(());
                }
                self.traffic.begin(index, Stamp { sent: now, due });
            }
        }
        match self.traffic.slots_mut().connect(token) {
            // The request follows the challenge, if there is one.
            Ok(()) if self.job.plan.churn && self.job.plan.key.is_none() => {
                self.speak_at_once(index)
            }
            Ok(()) => Ok(()),
            // For a unix socket, a full listen queue makes connect(2) fail with EAGAIN; the call
            // does not wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.try_again(index, error),
            Err(error) => self.lose(index, Cause::Connect(error)),
        }
    }

    /// Retries a connect after the listen queue was full, until the connect timeout. Before the
    /// load, each established connection restarts the timeout, because the queue makes progress.
    fn try_again(&mut self, index: usize, error: io::Error) -> Result<(), Cause> {
        let opened_at = self.traffic.slots().opened_at(index);
        let ledger = self.traffic.ledger();
        let since = match ledger.window().phase() {
            Phase::Opening => ledger.moved().max(opened_at),
            _ => opened_at,
        };
        let waited = self.traffic.now().since(since);
        let timeout = self.job.plan.connect_timeout;
        if let Some(timeout) = timeout.filter(|timeout| waited >= *timeout) {
            let (kind, span) = (error.kind(), Quantity::Time.text(timeout.as_nanos()));
            let text = format!("its queue is full after {span} ({error})");
            return self.lose(index, Cause::Connect(io::Error::new(kind, text)));
        }
        let doublings = self.traffic.slots_mut().count_try(index);
        let doublings = doublings.min(RETRY_DOUBLINGS_MAX);
        self.open_after(RETRY_PAUSE * 2_u32.pow(doublings), index);
        Ok(())
    }

    /// Schedules a slot to be opened after `pause`, in time order.
    fn open_after(&mut self, pause: Duration, index: usize) {
        self.opening.add(self.traffic.now().after(pause), index);
    }

    /// Gives up connections that were not established within the connect timeout. The kernel itself
    /// retransmits a SYN for more than two minutes (tcp(7), `tcp_syn_retries`).
    pub(super) fn give_up_connecting(&mut self) -> Result<(), Cause> {
        let timeout = match self.job.plan.connect_timeout {
            Some(timeout) if self.traffic.slots().connecting() > 0 => timeout,
            _ => return Ok(()),
        };
        let interval = (timeout / LOOKS_PER_CONNECT_TIMEOUT).min(PUBLISH_INTERVAL);
        if self.traffic.now().since(self.scanned) < interval {
            return Ok(());
        }
        self.scanned = self.traffic.now();
        let mut first = 0;
        loop {
            let now = self.traffic.now();
            let slots = self.traffic.slots_mut();
            let Some(index) = slots.find_late(first, now, timeout) else {
                return Ok(());
            };
            let what = slots.awaited(index);
            let span = Quantity::Time.text(timeout.as_nanos());
            let text = format!("no {what} within {span}");
            let error = io::Error::new(io::ErrorKind::TimedOut, text);
            self.lose(index, Cause::Connect(error))?;
            first = index + 1;
        }
    }

    /// Under churn: writes the request without waiting for the event, like a client with a blocking
    /// connect(2). A connection to a near peer is already established.
    fn speak_at_once(&mut self, index: usize) -> Result<(), Cause> {
        if !self.traffic.slots().connection(index).owes() {
            return Ok(());
        }
        // A successful write proves that the connection is established.
        self.traffic.read_clock();
        let slots = self.traffic.slots_mut();
        match slots.announce(index).and_then(|()| slots.write_once(index)) {
            Ok(true) => {
                self.establish(index);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            // No event reports this error again: the failed call consumes the socket's error.
            Err(error) => self.lose(index, Cause::of_connecting(error)),
        }
    }

    fn connected(&mut self, index: usize) -> Result<(), Cause> {
        let slots = self.traffic.slots_mut();
        if !slots.has_socket(index) {
            return Ok(());
        }
        let opened = slots.take_error(index).and_then(|()| slots.announce(index));
        if let Err(error) = opened {
            return self.lose(index, Cause::of_connecting(error));
        }
        match slots.prove(index) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(cause) => return self.lose(index, cause),
        }
        self.establish(index);
        let again = self.traffic.slots().stage(index) == Stage::Open
            && self.traffic.ledger().window().phase() != Phase::Opening
            && !self.job.plan.churn;
        // Bytes are already owed only under churn or on a reopened connection.
        let spoken = match again {
            true => self.traffic.resume(index),
            false => self.traffic.slots_mut().flush(index),
        };
        spoken.or_else(|cause| self.lose(index, cause))
    }

    /// Marks the connection as established now.
    fn establish(&mut self, index: usize) {
        let now = self.traffic.now();
        let is_again = self.traffic.slots_mut().establish(index);
        let slots = self.traffic.slots();
        // Connect times are recorded for load connections only, and under churn for those of the
        // window.
        let is_told = index < slots.active()
            && (!self.job.plan.churn || self.traffic.ledger().is_measured(index, 0));
        let took = is_told.then(|| now.since(slots.opened_at(index)).as_nanos() as u64);
        self.traffic.ledger_mut().established(is_again, took, now);
    }

    /// Handles the end of a connection. If the server was allowed to end it, the load goes on with
    /// a new one (`may_go_on`). Otherwise the requests in flight have failed, and the connection is
    /// opened again after a pause.
    #[cold]
    pub(super) fn lose(&mut self, index: usize, cause: Cause) -> Result<(), Cause> {
        let cause = self.traffic.hear_the_rest(index, cause);
        let is_repeatable = self.job.plan.is_repeatable();
        if may_go_on(&mut self.traffic, is_repeatable, index, &cause) {
            return self.reopen(index);
        }
        let cause = self.traffic.slots().cause_of_end(index, cause);
        if self.traffic.ledger().window().phase() == Phase::Opening {
            return self.lose_before_load(index, cause);
        }
        let is_fatal = match cause {
            Cause::Connect(_) => self.has_no_server(&cause),
            Cause::Unproven => !self.traffic.slots().has_answers(),
            _ => false,
        };
        if is_fatal {
            return Err(cause);
        }
        self.fail(index, cause);
        self.traffic.release(index);
        self.try_again_later(index)
    }

    /// Whether nothing shows that a server exists, after a connect that failed.
    fn has_no_server(&self, cause: &Cause) -> bool {
        let tally = self.traffic.ledger().tally();
        match self.traffic.speech() {
            // Datagrams have no handshake: only a reply proves that a server exists.
            Speech::Datagrams => tally.service.count() == 0,
            Speech::Stream | Speech::Http | Speech::Exchange => {
                tally.connections == 0 && self.job.control.standing() == 0
                    || is_insecure(cause) && tally.answered == 0
            }
        }
    }

    /// Handles the end of a connection before the load. The load can begin without some of the
    /// connections, but not without any.
    fn lose_before_load(&mut self, index: usize, cause: Cause) -> Result<(), Cause> {
        let may_pass = match &cause {
            Cause::Connect(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            Cause::Unproven => false,
            _ => true,
        };
        let control = self.job.control;
        let is_alone = control.standing() == 0 && self.traffic.ledger().tally().connections == 0;
        self.traffic.release(index);
        let slots = self.traffic.slots_mut();
        let pause = slots.failures(index).add();
        slots.set_again(index, true);
        let is_tried = slots.failures(index).are_too_many_before_load();
        if !is_tried {
            self.open_after(pause, index);
        }
        let is_hopeless = !self.are_coming() && control.standing() == 0;
        let slots = self.traffic.slots();
        if !may_pass || is_alone || is_hopeless {
            return Err(match cause {
                Cause::Connect(_) | Cause::Unproven => cause,
                cause => Cause::Early(slots.number(index), Box::new(cause)),
            });
        }
        // It belongs to no figure of the window, but the report says what happened.
        let failure = slots.failure(index, 0, cause);
        self.traffic.ledger_mut().tell(failure);
        Ok(())
    }

    /// Counts a broken connection with its failed requests. A connection that cannot be opened
    /// again fails the request that it would have carried.
    fn fail(&mut self, index: usize, cause: Cause) {
        let connection = self.traffic.slots().connection(index);
        let answered = connection.answered();
        let in_flight = connection.in_flight();
        let mut failed = self.traffic.ledger().due_in_flight(index, connection);
        let early = in_flight - failed;
        let is_refused = matches!(cause, Cause::Connect(_) | Cause::Unproven)
            && index < self.traffic.slots().active();
        if is_refused && in_flight == 0 {
            failed = self.traffic.refuse_one();
        }
        if matches!(cause, Cause::Wrong(_)) && in_flight == 0 {
            failed = self.traffic.ledger_mut().spoil_last(index, answered);
        }
        let failure = self.traffic.slots().failure(index, failed, cause);
        let now = self.traffic.now();
        self.traffic.ledger_mut().fail(failure, early, now);
    }

    /// Opens a slot again after a pause that grows with its failures, if the load still needs it.
    fn try_again_later(&mut self, index: usize) -> Result<(), Cause> {
        let is_churned = self.traffic.slots().is_churned(index);
        if !is_churned && !self.traffic.is_wanted(index) {
            return Ok(());
        }
        let pause = self.traffic.slots_mut().failures(index).add();
        // In an open loop under churn, the schedule decides when the next connection is opened.
        if is_churned && self.traffic.is_open_loop() {
            return self.renew(index, Duration::ZERO);
        }
        let now = self.traffic.now();
        let ledger = self.traffic.ledger_mut();
        ledger.pauses(pause.as_nanos() as u64, now);
        self.traffic.slots_mut().set_again(index, !is_churned);
        self.open_after(pause, index);
        Ok(())
    }

    /// Closes a connection on which the server sends no more replies, and opens its replacement, if
    /// requests are left for it. Requests in flight are sent again.
    #[cold]
    fn reopen(&mut self, index: usize) -> Result<(), Cause> {
        if !self.traffic.is_wanted(index) {
            self.traffic.release(index);
            return Ok(());
        }
        let slots = self.traffic.slots_mut();
        slots.hang_up(index);
        slots.set_again(index, true);
        // If a server ends many connections at once, the reconnects are limited too.
        if slots.connecting() < CONNECTING_MAX {
            return self.open(index, None);
        }
        self.open_after(Duration::ZERO, index);
        Ok(())
    }

    /// Churn: opens the next connection of this slot, now or after a pause.
    fn renew(&mut self, index: usize, pause: Duration) -> Result<(), Cause> {
        if self.traffic.is_open_loop() {
            self.traffic.add_free(index);
        } else if pause == Duration::ZERO {
            return self.open(index, None);
        } else {
            self.open_after(pause, index);
        }
        Ok(())
    }

    /// Begins the load at `go`: on the connections that stand, and opens those that carry it from
    /// now on.
    pub(super) fn begin_load(&mut self, go: Time) -> Result<(), Cause> {
        let Plan { pace, threads, .. } = *self.job.plan;
        if let Pace::Open { rate, arrivals } = pace {
            let schedule = Schedule::new(rate, arrivals, self.job.index, threads, go);
            self.traffic.follow_schedule(schedule);
        }
        let now = self.traffic.now();
        self.traffic.ledger_mut().progress(now);
        for index in 0..self.traffic.slots().len() {
            let is_churned = self.traffic.slots().is_churned(index);
            match self.traffic.slots().stage(index) {
                Stage::Open => {
                    let started = self.traffic.start(index);
                    started.or_else(|cause| self.lose(index, cause))?;
                }
                Stage::Closed if is_churned && !self.traffic.is_open_loop() => {
                    self.open_after(Duration::ZERO, index);
                }
                Stage::Closed if is_churned => self.traffic.add_free(index),
                // All tries before the load have failed.
                Stage::Closed if !self.opening.has(index) => {
                    let pause = self.traffic.slots_mut().failures(index).add();
                    self.open_after(pause, index);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The window has ended. Under churn, a request that waits for a full listen queue counts as in
    /// flight. Without churn, every slot in the queue is kept.
    pub(super) fn end_window(&mut self) {
        let (slots, churn) = (self.traffic.slots(), self.job.plan.churn);
        let is_held_up = |index: usize| slots.connection(index).in_flight() > 0;
        self.opening.retain(|index| !churn || is_held_up(index));
        let missing = slots.missing();
        self.traffic.ledger_mut().end_window(missing);
    }

    /// Ends the run: counts what is still open on each connection, and closes it.
    pub(super) fn finish(&mut self) {
        let is_stopped = self.job.control.is_stopped();
        let unsent = self.traffic.unsent();
        self.traffic.ledger_mut().close(unsent, is_stopped);
        for index in 0..self.traffic.slots().active() {
            if self.traffic.slots().connection(index).in_flight() > 0 {
                self.settle(index, is_stopped);
                self.traffic.release(index);
            }
        }
    }

    /// Counts the requests in flight on a connection when the run ends.
    ///
    /// A run by time has waited for the grace period: its requests are unfinished. A run by a count
    /// has waited for the stall timeout: its requests have failed. A stopped run has not waited:
    /// its requests are unfinished.
    fn settle(&mut self, index: usize, is_stopped: bool) {
        let connection = self.traffic.slots().connection(index);
        let due = self.traffic.ledger().due_in_flight(index, connection);
        let early = connection.in_flight() - due;
        let cause = match connection.awaits_end() {
            true => Cause::Endless,
            false => Cause::Silent,
        };
        if is_stopped {
            return self.traffic.ledger_mut().leave_unfinished(due, 0);
        }
        if self.traffic.ledger().window().is_counted() && due > 0 {
            return self.fail(index, cause);
        }
        let failure = self.traffic.slots().failure(index, 0, cause);
        let ledger = self.traffic.ledger_mut();
        ledger.leave_unfinished(due, early);
        ledger.tell(failure);
    }
}
