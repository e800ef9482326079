//! What runs on a loop beside its connections: tasks that other threads give it, and timers.
//!
//! ```text
//!   other threads -- Handle::run --> queue -- one wake-up --> tasks, in order  \
//!                                                                               Loop: timers,
//!   deadlines of the loop ----------------------------------> timers, by time  /  counters, drain
//! ```
//!
//! Both run on the loop's thread, between two turns' worth of events, and see the server through a
//! [`Loop`]. They must not block: every connection of the loop waits meanwhile. The connections do
//! not pay for them: the next timer is one more deadline in the heap that holds theirs. Invariant:
//! a callback runs with no borrow of the queue or of the timers, so it may add and cancel.
//! Neighbours: `turn` calls this module, `workers` puts everything periodic on its timers. See
//! eventfd(2).

mod handle;
mod timers;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::kernel::Time;

use super::observe::counters::Counters;
use handle::Inbox;
use timers::{Act, LoopTimers};

pub use handle::{Handle, Refused};
pub use timers::TimerId;

/// A task: called once, on the loop's thread.
type Task = Box<dyn FnOnce(&mut Loop<'_>) + Send>;

/// What a task or a timer may use of the loop that runs it.
pub struct Loop<'a> {
    now: Time,
    counters: &'a Counters,
    timers: &'a mut LoopTimers,
    /// The timer that is called.
    timer: Option<TimerId>,
    drains: &'a mut bool,
}

impl Loop<'_> {
    /// The time of this turn. The clock is read once a turn.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The totals of this loop since its start.
    pub fn counters(&self) -> &Counters {
        self.counters
    }

    /// Begins to shut down, as SIGTERM does: no new connections, and what is owed is delivered. All
    /// loops of the server drain.
    pub fn drain(&mut self) {
        *self.drains = true;
    }

    /// Calls `act` once, `span` from now or a little later, never earlier.
    ///
    /// # Errors
    ///
    /// Gives `act` back if [`TIMERS_MAX`](crate::limits::TIMERS_MAX) timers are set.
    pub fn once<F>(&mut self, span: Duration, act: F) -> Result<TimerId, Refused<F>>
    where
        F: FnOnce(&mut Loop<'_>) + Send + 'static,
    {
        self.timers.once(self.now.after(span), act)
    }

    /// Calls `act` every `interval`, the first time one interval from now. An interval below
    /// [`TIMER_INTERVAL_MIN`](crate::limits::TIMER_INTERVAL_MIN) is raised to it.
    ///
    /// A loop that was busy or stopped may be late. Then `act` is called once and not once for each
    /// interval that has passed, and the next call is at the next multiple of the interval, counted
    /// from the first one: the calls do not drift.
    ///
    /// # Errors
    ///
    /// Gives `act` back if [`TIMERS_MAX`](crate::limits::TIMERS_MAX) timers are set.
    pub fn every<F>(&mut self, interval: Duration, act: F) -> Result<TimerId, Refused<F>>
    where
        F: FnMut(&mut Loop<'_>) + Send + 'static,
    {
        self.timers.every(self.now, interval, act)
    }

    /// The timer that is called now; `None` in a task.
    pub fn timer(&self) -> Option<TimerId> {
        self.timer
    }

    /// Cancels a timer; also from its own callback, which then is the last call. Returns `false` if
    /// there is no such timer any more.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.timers.cancel(timer)
    }

    /// Whether a timer will be called (again).
    pub fn is_set(&mut self, timer: TimerId) -> bool {
        self.timers.is_set(timer)
    }
}

impl fmt::Debug for Loop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop").field("now", &self.now).finish()
    }
}

/// The tasks and the timers of one loop.
pub(in crate::server) struct Tasks {
    /// None until the first handle is made.
    inbox: Option<Arc<Inbox>>,
    timers: LoopTimers,
}

impl Tasks {
    pub(in crate::server) fn new() -> Tasks {
        Tasks {
            inbox: None,
            timers: LoopTimers::new(),
        }
    }

    /// A handle for other threads. `wake` ends the wait of the loop; only the first one is used.
    pub(in crate::server) fn handle(&mut self, wake: impl Fn() + Send + Sync + 'static) -> Handle {
        let inbox = self
            .inbox
            .get_or_insert_with(|| Arc::new(Inbox::new(Box::new(wake))));
        Handle::to(inbox)
    }

    /// The next deadline of a timer.
    pub(in crate::server) fn next_deadline(&self) -> Time {
        self.timers.next()
    }

    /// Calls `act` with the loop. Also returns whether a drain was asked for.
    pub(in crate::server) fn with<T>(
        &mut self,
        now: Time,
        counters: &Counters,
        act: impl FnOnce(&mut Loop<'_>) -> T,
    ) -> (T, bool) {
        self.with_timer(None, now, counters, act)
    }

    fn with_timer<T>(
        &mut self,
        timer: Option<TimerId>,
        now: Time,
        counters: &Counters,
        act: impl FnOnce(&mut Loop<'_>) -> T,
    ) -> (T, bool) {
        let mut drains = false;
        let outcome = act(&mut Loop {
            now,
            counters,
            timers: &mut self.timers,
            timer,
            drains: &mut drains,
        });
        (outcome, drains)
    }

    /// Runs the tasks that are in the queue now, at most
    /// [`TASKS_MAX`](crate::limits::TASKS_MAX): a task that is added meanwhile has a wake-up of its
    /// own. Returns whether a drain was asked for.
    pub(in crate::server) fn run(&mut self, now: Time, counters: &Counters) -> bool {
        let taken = self.inbox.as_ref().map(|inbox| inbox.take());
        let (tasks, drains) = taken.unwrap_or_default();
        self.run_all(tasks.into_iter(), now, counters) | drains
    }

    /// The loop ends: runs the tasks that were accepted, and refuses all others from now on.
    pub(in crate::server) fn finish(&mut self, now: Time, counters: &Counters) {
        let tasks = self.inbox.as_ref().map(|inbox| inbox.close());
        self.run_all(tasks.into_iter().flatten(), now, counters);
    }

    fn run_all(
        &mut self,
        tasks: impl Iterator<Item = Task>,
        now: Time,
        counters: &Counters,
    ) -> bool {
        let mut drains = false;
        for task in tasks {
            drains |= self.with(now, counters, task).1;
        }
        drains
    }

    /// Calls the timers whose deadlines have passed, in the order of their deadlines. Returns
    /// whether a drain was asked for.
    pub(in crate::server) fn fire(&mut self, now: Time, counters: &Counters) -> bool {
        let mut drains = false;
        self.timers.collect_due(now);
        while let Some((timer, mut act)) = self.timers.next_due(now) {
            let call = |view: &mut Loop<'_>| match &mut act {
                Act::Once(once) => {
                    if let Some(once) = once.take() {
                        once(view);
                    }
                }
                Act::Every(_, every) => every(view),
            };
            drains |= self.with_timer(Some(timer), now, counters, call).1;
            self.timers.put_back(timer, act);
        }
        drains
    }
}

impl Drop for Tasks {
    /// A loop that ends with an error or a panic refuses what comes later, too.
    fn drop(&mut self) {
        if let Some(inbox) = &self.inbox {
            drop(inbox.close());
        }
    }
}
