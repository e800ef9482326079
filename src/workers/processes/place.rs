//! One place for a worker process: empty, starting, serving, or ended for good.
//!
//! ```text
//!   Empty(until) -- its time has come --> Starting -- first report --> Serving
//!        ^                                   |                            |
//!        +------------- it ended, after the pause of `backoff` -----------+
//!                                            |
//!                                    the server drains: Closed
//! ```
//!
//! Pure: it starts and kills nothing, and `now` is a parameter. Invariant: the number of a process
//! is known exactly while the process is not reaped, so no signal reaches another process.
//! Neighbours: `backoff` and `liveness` decide the times, `supervisor` makes the calls.

use crate::kernel::Time;

use super::backoff::Backoff;
use super::liveness::Liveness;

/// A place for one worker process after another.
#[derive(Debug)]
pub(super) struct Place {
    state: State,
    backoff: Backoff,
    liveness: Liveness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A process is to be started at this time.
    Empty(Time),
    Running(Running),
    /// No process is started any more.
    Closed,
}

/// A process that is not reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    id: u32,
    since: Time,
    /// When it is killed unless it reports.
    silent_at: Time,
    serves: bool,
    /// Its last report said that it has drained.
    has_drained: bool,
    /// It was told to drain alone.
    is_leaving: bool,
    is_killed: bool,
}

impl Place {
    /// A place whose first process is to be started at once.
    pub(super) fn new(liveness: Liveness) -> Place {
        Place {
            state: State::Empty(Time::default()),
            backoff: Backoff::default(),
            liveness,
        }
    }

    fn running(&mut self) -> Option<&mut Running> {
        match &mut self.state {
            State::Running(running) => Some(running),
            State::Empty(_) | State::Closed => None,
        }
    }

    /// Whether a process is to be started now.
    pub(super) fn is_due(&self, now: Time) -> bool {
        matches!(self.state, State::Empty(until) if until <= now)
    }

    /// Process `id` was started.
    pub(super) fn started(&mut self, id: u32, now: Time) {
        debug_assert!(matches!(self.state, State::Empty(_)));
        self.state = State::Running(Running {
            id,
            since: now,
            silent_at: self.liveness.of_started(now),
            serves: false,
            has_drained: false,
            is_leaving: false,
            is_killed: false,
        });
    }

    /// The process has reported.
    pub(super) fn heard(&mut self, has_drained: bool, now: Time) {
        let silent_at = self.liveness.of_heard(now);
        if let Some(running) = self.running() {
            running.serves = true;
            running.has_drained |= has_drained;
            running.silent_at = silent_at;
        }
    }

    /// The process is told to drain alone. Returns whether it was told so before.
    pub(super) fn leave(&mut self) -> bool {
        let running = self.running();
        running.is_some_and(|running| std::mem::replace(&mut running.is_leaving, true))
    }

    /// The supervisor has slept too long to blame the process for silence.
    pub(super) fn excuse(&mut self, now: Time) {
        let fresh = self.liveness.of_heard(now);
        if let Some(running) = self.running() {
            running.silent_at = running.silent_at.max(fresh);
        }
    }

    /// The process, if it has been silent for too long. It is returned once.
    pub(super) fn take_silent(&mut self, now: Time) -> Option<u32> {
        let running = self.running()?;
        if running.is_killed || now < running.silent_at {
            return None;
        }
        running.is_killed = true;
        Some(running.id)
    }

    /// The process has ended or could not be started. Returns when the next one is to be started;
    /// `None` when none is.
    pub(super) fn ended(&mut self, now: Time) -> Option<Time> {
        let pause = match self.state {
            State::Closed => return None,
            State::Running(running) if running.has_drained => None,
            State::Running(running) => Some(self.backoff.died(now.since(running.since))),
            State::Empty(_) => Some(self.backoff.died(Default::default())),
        };
        let next = pause.map_or(now, |pause| now.after(pause));
        self.state = State::Empty(next);
        Some(next)
    }

    /// The process was reaped, and no other one is started.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// The number of the process that is not reaped.
    pub(super) fn id(&self) -> Option<u32> {
        match self.state {
            State::Running(running) => Some(running.id),
            State::Empty(_) | State::Closed => None,
        }
    }

    /// Whether a process has reported that it serves.
    pub(super) fn serves(&self) -> bool {
        matches!(self.state, State::Running(running) if running.serves)
    }

    /// Whether the last report said that the process has drained.
    pub(super) fn has_drained(&self) -> bool {
        matches!(self.state, State::Running(running) if running.has_drained)
    }

    /// When to look here again.
    pub(super) fn deadline(&self) -> Time {
        match self.state {
            State::Empty(until) => until,
            State::Running(running) if !running.is_killed => running.silent_at,
            State::Running(_) | State::Closed => Time::NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::{PROCESS_LIFE_MIN, PROCESS_START_MAX};

    const SECOND: Duration = Duration::from_secs(1);
    const START: Time = Time::from_nanos(1_000);

    fn at(seconds: u64) -> Time {
        START.after(SECOND * seconds as u32)
    }

    fn place(period: Option<Duration>) -> Place {
        let mut place = Place::new(Liveness::new(period));
        assert!(place.is_due(START));
        place.started(77, START);
        place
    }

    #[test]
    fn a_process_that_dies_at_once_is_started_after_growing_pauses() {
        let mut place = Place::new(Liveness::new(None));
        let mut now = START;
        for pause in [0, 1, 2, 4, 8, 16, 30, 30] {
            assert!(place.is_due(now));
            place.started(77, now);
            assert_eq!(place.id(), Some(77));
            let next = place.ended(now).expect("another one");
            assert_eq!(next.since(now), SECOND * pause);
            assert_eq!((place.id(), place.deadline()), (None, next));
            assert_eq!(place.is_due(now), pause == 0);
            now = next;
        }
        place.started(78, now);
        now = now.after(PROCESS_LIFE_MIN);
        assert_eq!(place.ended(now), Some(now), "it has lived long enough");
    }

    #[test]
    fn a_process_that_cannot_be_started_counts_as_dead() {
        let mut place = Place::new(Liveness::new(None));
        let pauses = [0, 1, 2].map(|_| place.ended(START).expect("another").since(START));
        assert_eq!(pauses, [Duration::ZERO, SECOND, SECOND * 2]);
    }

    #[test]
    fn a_drained_process_is_replaced_at_once_and_counts_as_no_death() {
        let mut place = place(None);
        for _ in 0..3 {
            place.heard(false, START);
            assert_eq!([place.leave(), place.leave()], [false, true]);
            place.heard(true, START);
            assert!(place.has_drained());
            assert_eq!(place.ended(START), Some(START));
            place.started(78, START);
        }
        assert_eq!(place.ended(START), Some(START), "the first death");
        place.started(79, START);
        assert_eq!(place.ended(START), Some(at(1)));
    }

    #[test]
    fn a_silent_process_is_killed_once_after_five_periods() {
        let mut place = place(Some(SECOND));
        assert!(!place.serves());
        let start_max = START.after(PROCESS_START_MAX);
        assert_eq!(place.deadline(), start_max);
        place.heard(false, at(1));
        assert!(place.serves());
        let before = Time::from_nanos(at(6).as_nanos() - 1);
        assert_eq!((place.deadline(), place.take_silent(before)), (at(6), None));
        assert_eq!(place.take_silent(at(6)), Some(77));
        assert_eq!(place.take_silent(at(7)), None);
        // It is waited for until it is reaped.
        assert_eq!((place.deadline(), place.id()), (Time::NEVER, Some(77)));
    }

    #[test]
    fn a_process_is_excused_for_the_time_in_which_no_process_ran() {
        let mut place = place(Some(SECOND));
        place.heard(false, START);
        place.excuse(at(9));
        assert_eq!(
            (place.take_silent(at(13)), place.deadline()),
            (None, at(14))
        );
        // An excuse never takes time away.
        place.excuse(at(2));
        assert_eq!(place.deadline(), at(14));
    }

    #[test]
    fn a_closed_place_starts_nothing() {
        let mut place = place(Some(SECOND));
        place.close();
        assert_eq!((place.ended(START), place.id()), (None, None));
        assert!(!place.is_due(Time::NEVER) && !place.serves());
        assert_eq!(place.deadline(), Time::NEVER);
    }
}
