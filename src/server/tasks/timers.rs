//! The timers of a loop: called once or at an interval, in the order of their deadlines.
//!
//! A [`TimerId`] outlives its timer safely: a slot and its generation. While a callback runs, its
//! timer stays in its slot without the callback, so that the callback may cancel its own timer.
//! All timers that are due are collected before the first one is called: a callback that sets a
//! timer without delay does not keep the loop from its connections. A late repeating timer is
//! called once, and its next deadline is a multiple of its interval. Equal deadlines are called in
//! the order in which they were set. Neighbours: `store::timers` holds the deadlines.

use std::time::Duration;

use super::{Loop, Refused, Task};
use crate::kernel::Time;
use crate::limits::{TIMER_INTERVAL_MIN, TIMERS_MAX};
use crate::store::slots::{Key, Slots};
use crate::store::timers::Timers;

/// Names a timer, also after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

impl Key for TimerId {
    fn new(index: u32, generation: u32) -> TimerId {
        TimerId { index, generation }
    }

    fn index(self) -> u32 {
        self.index
    }

    fn generation(self) -> u32 {
        self.generation
    }
}

/// What a timer calls.
pub(super) enum Act {
    /// Taken when it is called.
    Once(Option<Task>),
    Every(Duration, Box<dyn FnMut(&mut Loop<'_>) + Send>),
}

struct Timer {
    deadline: Time,
    /// Counts the settings of deadlines, and orders equal ones.
    number: u64,
    /// `None` while it is called.
    act: Option<Act>,
}

/// At most [`TIMERS_MAX`] timers.
pub(super) struct LoopTimers {
    timers: Slots<TimerId, Timer>,
    deadlines: Timers,
    /// Timers that are due and not called yet, the last one first.
    due: Vec<TimerId>,
    number: u64,
}

impl LoopTimers {
    pub(super) fn new() -> LoopTimers {
        LoopTimers {
            timers: Slots::new(TIMERS_MAX),
            deadlines: Timers::new(TIMERS_MAX),
            due: Vec::with_capacity(TIMERS_MAX),
            number: 0,
        }
    }

    pub(super) fn once<F>(&mut self, deadline: Time, act: F) -> Result<TimerId, Refused<F>>
    where
        F: FnOnce(&mut Loop<'_>) + Send + 'static,
    {
        if self.timers.is_full() {
            return Err(Refused::Full(act));
        }
        Ok(self.set(deadline, Act::Once(Some(Box::new(act)))))
    }

    pub(super) fn every<F>(
        &mut self,
        now: Time,
        interval: Duration,
        act: F,
    ) -> Result<TimerId, Refused<F>>
    where
        F: FnMut(&mut Loop<'_>) + Send + 'static,
    {
        if self.timers.is_full() {
            return Err(Refused::Full(act));
        }
        let interval = interval.max(TIMER_INTERVAL_MIN);
        Ok(self.set(now.after(interval), Act::Every(interval, Box::new(act))))
    }

    /// There is a free slot.
    fn set(&mut self, deadline: Time, act: Act) -> TimerId {
        let number = self.next_number();
        let timer = Timer {
            deadline,
            number,
            act: Some(act),
        };
        let Ok(id) = self.timers.insert(timer) else {
            unreachable!("the caller has checked that there is room");
        };
        self.deadlines.arm(id.index, deadline);
        id
    }

    pub(super) fn cancel(&mut self, id: TimerId) -> bool {
        let found = self.timers.remove(id).is_some();
        if found {
            self.deadlines.disarm(id.index);
        }
        found
    }

    pub(super) fn is_set(&mut self, id: TimerId) -> bool {
        self.timers.get_mut(id).is_some()
    }

    /// The nearest deadline, or [`Time::NEVER`].
    pub(super) fn next(&self) -> Time {
        self.deadlines.next()
    }

    /// Collects the timers whose deadlines have passed, for [`LoopTimers::next_due`].
    pub(super) fn collect_due(&mut self, now: Time) {
        self.due.clear();
        while let Some(index) = self.deadlines.pop_due(now) {
            self.due.extend(self.timers.key(index));
        }
        let timers = &mut self.timers;
        // The heap does not order equal deadlines.
        self.due.sort_by_cached_key(|id| {
            let timer = timers.get_mut(*id);
            timer.map(|timer| std::cmp::Reverse((timer.deadline, timer.number)))
        });
    }

    /// The next collected timer that was not cancelled, and what it calls. A timer that is called
    /// once is gone; a repeating one has its next deadline and waits for
    /// [`LoopTimers::put_back`].
    pub(super) fn next_due(&mut self, now: Time) -> Option<(TimerId, Act)> {
        while let Some(id) = self.due.pop() {
            let number = self.next_number();
            let Some(timer) = self.timers.get_mut(id) else {
                continue;
            };
            let Some(act) = timer.act.take() else {
                continue;
            };
            match &act {
                Act::Once(_) => _ = self.timers.remove(id),
                Act::Every(interval, _) => {
                    timer.deadline = next_multiple(timer.deadline, *interval, now);
                    timer.number = number;
                    self.deadlines.arm(id.index, timer.deadline);
                }
            }
            return Some((id, act));
        }
        None
    }

    /// A repeating timer was called. Its callback is dropped if it was cancelled meanwhile.
    pub(super) fn put_back(&mut self, id: TimerId, act: Act) {
        if let Some(timer) = self.timers.get_mut(id) {
            timer.act = Some(act);
        }
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

/// The first deadline after `now` of a timer that was due at `deadline`.
fn next_multiple(deadline: Time, interval: Duration, now: Time) -> Time {
    let interval = interval.as_nanos();
    let late = now.since(deadline).as_nanos();
    let span = (late / interval + 1).saturating_mul(interval);
    deadline.after(Duration::from_nanos(
        u64::try_from(span).unwrap_or(u64::MAX),
    ))
}
