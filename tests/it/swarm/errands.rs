//! Tasks and timers on the loop of some worlds, beside its peers.
//!
//! They have a random generator of their own, so the peers of a world do the same with and without
//! them. Every task and timer notes that it ran: tasks run in their order, timers in the order of
//! their deadlines and never early, and what was accepted runs exactly once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mynah::kernel::Time;
use mynah::protocol::service::Service;
use mynah::server::{Handle, Loop, Server};

use crate::sim::{Dice, Sim, Worker};

/// One world in so many has tasks and timers.
const RARITY: u64 = 4;

/// What has run.
#[derive(Debug, Default)]
struct Notes {
    tasks: Vec<u64>,
    /// Of each timer that was called: its deadline, and when it was called.
    timers: Vec<(Time, Time)>,
    /// Timers that were set.
    set: usize,
}

/// The thread that gives the tasks.
pub(super) struct Errands {
    handle: Handle,
    woken: Arc<AtomicU64>,
    notes: Arc<Mutex<Notes>>,
    dice: Dice,
    given: u64,
}

impl Errands {
    pub(super) fn new<S: Service>(seed: u64, server: &mut Server<Worker, S>) -> Option<Errands> {
        if seed % RARITY != 1 {
            return None;
        }
        let woken = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&woken);
        let wake = move || _ = count.fetch_add(1, Ordering::SeqCst);
        Some(Errands {
            handle: server.task_handle(wake),
            woken,
            notes: Arc::default(),
            dice: Dice::new(seed.rotate_left(17)),
            given: 0,
        })
    }

    /// Gives a few tasks now and then. Some of them set a timer.
    pub(super) fn act(&mut self, sim: &mut Sim) {
        if !self.dice.chance(0.2) {
            return;
        }
        // A wait that a signal interrupted did not hear the last wake-up. If the clock leapt then,
        // this step comes before the next wait.
        let is_awake = (self.tasks_done() as u64) < self.given;
        for _ in 0..=self.dice.below(3) {
            let (notes, number) = (Arc::clone(&self.notes), self.given);
            let span = Duration::from_millis(self.dice.below(2000) as u64);
            let sets = self.dice.chance(0.5);
            let task = move |view: &mut Loop<'_>| {
                notes.lock().expect("no panic").tasks.push(number);
                if sets {
                    set_timer(view, span, &notes);
                }
            };
            self.handle.run(task).expect("there is room");
            self.given += 1;
        }
        let woken = self.woken.swap(0, Ordering::SeqCst);
        assert_eq!(woken, u64::from(!is_awake), "one wake-up until it is heard");
        sim.wake();
    }

    fn tasks_done(&self) -> usize {
        self.notes.lock().expect("no panic").tasks.len()
    }

    /// How much has run.
    pub(super) fn done(&self) -> u64 {
        let notes = self.notes.lock().expect("no panic");
        (notes.tasks.len() + notes.timers.len()) as u64
    }

    /// The loop has run what it had to.
    pub(super) fn check(&self, now: Time) {
        let notes = self.notes.lock().expect("no panic");
        let in_order = notes.tasks.iter().enumerate();
        assert!(
            in_order.clone().all(|(place, task)| place as u64 == *task),
            "tasks out of order: {notes:?}"
        );
        for (deadline, called) in &notes.timers {
            assert!(deadline <= called && *called <= now, "early: {notes:?}");
        }
        let turns = notes.timers.chunk_by(|one, next| one.1 == next.1);
        for together in turns {
            assert!(together.is_sorted(), "timers out of order: {notes:?}");
        }
    }

    /// The loop ends: nothing that it accepted is lost.
    pub(super) fn finish<S: Service>(self, server: &mut Server<Worker, S>) {
        server.finish_tasks();
        assert!(self.handle.run(|_| ()).is_err(), "it has ended");
        let notes = self.notes.lock().expect("no panic");
        assert_eq!(notes.tasks.len() as u64, self.given);
        assert_eq!(notes.timers.len(), notes.set, "{notes:?}");
    }
}

fn set_timer(view: &mut Loop<'_>, span: Duration, notes: &Arc<Mutex<Notes>>) {
    let deadline = view.now().after(span);
    let call = Arc::clone(notes);
    let timer = move |view: &mut Loop<'_>| {
        let mut notes = call.lock().expect("no panic");
        notes.timers.push((deadline, view.now()));
    };
    if view.once(span, timer).is_ok() {
        notes.lock().expect("no panic").set += 1;
    }
}
