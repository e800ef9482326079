//! The queue through which other threads give a loop its tasks.
//!
//! The queue is bounded: a thread that gives tasks faster than the loop runs them gets them back,
//! instead of filling the memory. The loop is woken once for all tasks that wait: the first task
//! in an empty queue writes to the eventfd, the others find a wake-up pending. Invariant: `woken`
//! is true from the push of a first task until the loop takes the queue, so no task waits without
//! a wake-up. The lock is held for a push or a swap, and no task runs under it. See eventfd(2).

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Loop, Task};
use crate::limits::TASKS_MAX;

/// Gives tasks to a loop, from any thread. It may outlive the loop, which then refuses every task.
#[derive(Clone)]
pub struct Handle(Arc<Inbox>);

/// A task or a timer that was not accepted, and is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refused<T> {
    /// So many tasks or timers wait already as may:
    /// [`TASKS_MAX`](crate::limits::TASKS_MAX) or [`TIMERS_MAX`](crate::limits::TIMERS_MAX).
    Full(T),
    /// The loop has ended.
    Ended(T),
}

/// The queue of one loop.
pub(super) struct Inbox {
    state: Mutex<State>,
    wake: Box<dyn Fn() + Send + Sync>,
}

struct State {
    tasks: VecDeque<Task>,
    /// The server is to drain.
    drains: bool,
    /// A wake-up is on its way.
    woken: bool,
    /// The loop has not ended.
    open: bool,
}

impl Handle {
    pub(super) fn to(inbox: &Arc<Inbox>) -> Handle {
        Handle(Arc::clone(inbox))
    }

    /// Has `task` run on the loop's thread, after the tasks that were given before. Returns at
    /// once. An accepted task runs even if the loop ends before its turn, unless the loop ends with
    /// an error.
    ///
    /// ```no_run
    /// # fn show(handle: mynah::Handle) {
    /// let asked = handle.run(|on_loop| println!("{}", on_loop.counters().connections_now));
    /// if let Err(refused) = asked {
    ///     eprintln!("{refused}");
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Gives `task` back: [`Refused::Full`] if [`TASKS_MAX`](crate::limits::TASKS_MAX) tasks wait,
    /// [`Refused::Ended`] if the loop has ended.
    pub fn run<F>(&self, task: F) -> Result<(), Refused<F>>
    where
        F: FnOnce(&mut Loop<'_>) + Send + 'static,
    {
        let mut state = self.0.lock();
        if !state.open {
            return Err(Refused::Ended(task));
        }
        if state.tasks.len() >= TASKS_MAX {
            return Err(Refused::Full(task));
        }
        state.tasks.push_back(Box::new(task));
        let was_woken = std::mem::replace(&mut state.woken, true);
        drop(state);
        if !was_woken {
            (self.0.wake)();
        }
        Ok(())
    }

    /// Begins to shut down, as SIGTERM does: no new connections, what is owed is delivered, and all
    /// loops of the server end, within the drain time-out. Returns at once. Works with a full queue
    /// too; the tasks in the queue run first. Does nothing if the loop has ended.
    pub fn drain(&self) {
        let mut state = self.0.lock();
        state.drains = true;
        let was_woken = std::mem::replace(&mut state.woken, true);
        drop(state);
        if !was_woken {
            (self.0.wake)();
        }
    }

    /// Whether the loop has ended.
    pub fn has_ended(&self) -> bool {
        !self.0.lock().open
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Handle")
            .field("tasks", &state.tasks.len())
            .field("open", &state.open)
            .finish()
    }
}

impl Inbox {
    pub(super) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Inbox {
        Inbox {
            state: Mutex::new(State {
                tasks: VecDeque::new(),
                drains: false,
                woken: false,
                open: true,
            }),
            wake,
        }
    }

    /// Takes all tasks, and whether a drain was asked for. The next task wakes the loop again.
    pub(super) fn take(&self) -> (VecDeque<Task>, bool) {
        let mut state = self.lock();
        state.woken = false;
        let drains = std::mem::take(&mut state.drains);
        (std::mem::take(&mut state.tasks), drains)
    }

    /// Takes all tasks, and refuses others from now on.
    pub(super) fn close(&self) -> VecDeque<Task> {
        let mut state = self.lock();
        state.open = false;
        std::mem::take(&mut state.tasks)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Refused<T> {
    /// What was refused.
    pub fn into_inner(self) -> T {
        match self {
            Refused::Full(it) | Refused::Ended(it) => it,
        }
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "Full",
            Refused::Ended(_) => "Ended",
        })
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "the loop has as many tasks or timers as it may; try again later",
            Refused::Ended(_) => "the loop has ended",
        })
    }
}

impl<T> std::error::Error for Refused<T> {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// A queue, a handle to it, and how often its loop was woken.
    fn inbox() -> (Arc<Inbox>, Handle, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let wake = move || _ = count.fetch_add(1, Ordering::SeqCst);
        let inbox = Arc::new(Inbox::new(Box::new(wake)));
        (Arc::clone(&inbox), Handle::to(&inbox), woken)
    }

    #[test]
    fn many_tasks_are_one_wake_up_until_they_are_taken() {
        let (inbox, handle, woken) = inbox();
        for round in 1..=3 {
            for _ in 0..100 {
                handle.run(|_| ()).expect("there is room");
            }
            assert_eq!(woken.load(Ordering::SeqCst), round);
            assert_eq!(inbox.take().0.len(), 100);
        }
    }

    #[test]
    fn the_queue_takes_tasks_up_to_its_bound_and_gives_the_next_one_back() {
        let (inbox, handle, _) = inbox();
        for _ in 0..TASKS_MAX - 1 {
            handle.run(|_| ()).expect("below the bound");
        }
        handle.run(|_| ()).expect("at the bound");
        let name = String::from("over the bound");
        let task = move |_: &mut Loop<'_>| drop(name);
        assert!(matches!(handle.run(task), Err(Refused::Full(_))));
        assert_eq!(inbox.take().0.len(), TASKS_MAX);
        handle.run(|_| ()).expect("there is room again");
    }

    #[test]
    fn a_drain_is_asked_for_once_and_needs_no_room() {
        let (inbox, handle, woken) = inbox();
        for _ in 0..TASKS_MAX {
            handle.run(|_| ()).expect("there is room");
        }
        handle.drain();
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        let (tasks, drains) = inbox.take();
        assert_eq!((tasks.len(), drains), (TASKS_MAX, true));
        handle.drain();
        assert_eq!(woken.load(Ordering::SeqCst), 2);
        assert!(inbox.take().1 && !inbox.take().1);
    }

    #[test]
    fn a_closed_queue_gives_every_task_back_and_keeps_what_it_accepted() {
        let (inbox, handle, woken) = inbox();
        handle.run(|_| ()).expect("it is open");
        assert!(!handle.has_ended());
        assert_eq!(inbox.close().len(), 1);
        let refused = handle.run(|_| ()).expect_err("it is closed");
        assert_eq!(refused.to_string(), "the loop has ended");
        assert!(handle.clone().has_ended());
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn no_task_of_many_threads_is_lost_or_left_without_a_wake_up() {
        const EACH: usize = 2_000;
        let (inbox, handle, woken) = inbox();
        let mut taken = 0;
        thread::scope(|scope| {
            for _ in 0..4 {
                let handle = handle.clone();
                scope.spawn(move || {
                    for _ in 0..EACH {
                        while matches!(handle.run(|_| ()), Err(Refused::Full(_))) {
                            thread::yield_now();
                        }
                    }
                });
            }
            let mut heard = 0;
            while taken < 4 * EACH {
                // The loop sleeps until it is woken.
                while woken.load(Ordering::SeqCst) == heard {
                    thread::yield_now();
                }
                heard = woken.load(Ordering::SeqCst);
                taken += inbox.take().0.len();
            }
        });
        assert_eq!(taken, 4 * EACH);
    }
}
