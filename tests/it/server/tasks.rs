//! Tasks and timers on the loop, beside its connections.
//!
//! The test is the other thread: the handle of a [`Stage`] counts the wake-ups, and the test passes
//! them on to the simulated kernel. Every callback notes what it is, so that a test reads the
//! order. A task that waits must not change what peers see.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mynah::limits::{TASKS_MAX, TIMER_INTERVAL_MIN, TIMERS_MAX};
use mynah::server::{Handle, Loop, Refused, TimerId, Wakeups};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What has run, in order.
type Notes = Arc<Mutex<Vec<String>>>;

/// A play with a handle for its tasks.
struct Stage {
    play: Play<Echo>,
    handle: Handle,
    woken: Arc<AtomicU64>,
    notes: Notes,
}

impl Stage {
    fn new() -> Stage {
        let mut play = Play::new(Config::default(), settings(), Framing::Raw(Raw), Echo);
        let woken = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&woken);
        let wake = move || _ = count.fetch_add(1, Ordering::SeqCst);
        let handle = play.server.task_handle(wake);
        Stage {
            play,
            handle,
            woken,
            notes: Notes::default(),
        }
    }

    /// A callback that notes `what`.
    fn note(&self, what: impl ToString) -> impl FnMut(&mut Loop<'_>) + Send + 'static {
        let (notes, what) = (Arc::clone(&self.notes), what.to_string());
        move |_| notes.lock().expect("no panic").push(what.clone())
    }

    /// What was noted since the last call.
    fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().expect("no panic"))
    }

    fn run(&self, task: impl FnOnce(&mut Loop<'_>) + Send + 'static) {
        self.handle.run(task).expect("it is accepted");
    }

    fn woken(&self) -> u64 {
        self.woken.load(Ordering::SeqCst)
    }

    /// Passes the wake-ups on and lets the server run until nothing is left to do.
    fn quiet(&mut self) {
        loop {
            if self.woken.swap(0, Ordering::SeqCst) == 0 {
                self.play.quiet();
                return;
            }
            self.play.sim().wake();
            let now = self.play.sim().time();
            let wakeups = self.play.server.turn(now).expect("a turn");
            assert!(wakeups.wake_up);
            self.play.server.take_wake_up().expect("it was woken");
        }
    }

    fn once(&mut self, span: Duration, what: &str) -> TimerId {
        let note = self.note(what);
        let set = self.play.server.with_loop(|view| view.once(span, note));
        set.expect("there is room")
    }

    fn every(&mut self, interval: Duration, what: &str) -> TimerId {
        let note = self.note(what);
        let set = self
            .play
            .server
            .with_loop(|view| view.every(interval, note));
        set.expect("there is room")
    }

    fn cancel(&mut self, timer: TimerId) -> bool {
        self.play.server.with_loop(|view| view.cancel(timer))
    }
}

#[test]
fn tasks_run_in_the_order_in_which_they_were_given_after_one_wake_up() {
    let mut stage = Stage::new();
    for number in 0..100 {
        stage.run(stage.note(number));
    }
    assert_eq!(stage.woken(), 1);
    assert!(stage.notes().is_empty(), "they wait for the loop");
    stage.quiet();
    let numbers: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(stage.notes(), numbers);
    stage.run(stage.note("later"));
    assert_eq!(stage.woken(), 1, "the next one wakes the loop again");
    stage.quiet();
    assert_eq!(stage.notes(), ["later"]);
    stage.play.end();
}

#[test]
fn a_full_queue_gives_the_task_back_and_takes_others_when_it_was_run() {
    let mut stage = Stage::new();
    for number in 0..TASKS_MAX {
        stage.run(stage.note(number));
    }
    let refused = stage.handle.run(stage.note("too many"));
    let Err(Refused::Full(task)) = refused else {
        panic!("{refused:?}");
    };
    stage.quiet();
    assert_eq!(stage.notes().len(), TASKS_MAX);
    stage.run(task);
    stage.quiet();
    assert_eq!(stage.notes(), ["too many"]);
}

#[test]
fn a_task_that_gives_a_task_lets_the_loop_turn_in_between() {
    let mut stage = Stage::new();
    let (handle, inner) = (stage.handle.clone(), stage.note("inner"));
    stage.run(move |_| handle.run(inner).expect("there is room"));
    stage.play.sim().wake();
    stage.woken.store(0, Ordering::SeqCst);
    stage.play.turn();
    stage.play.server.take_wake_up().expect("it was woken");
    assert!(stage.notes().is_empty());
    assert_eq!(stage.woken(), 1);
    stage.quiet();
    assert_eq!(stage.notes(), ["inner"]);
}

#[test]
fn a_task_sees_the_counters_and_the_time_of_the_loop() {
    let mut stage = Stage::new();
    let peer = stage.play.connect();
    stage.play.ask(peer, b"hello");
    let now = stage.play.server.now();
    let notes = Arc::clone(&stage.notes);
    stage.run(move |view| {
        let (frames, is_now) = (view.counters().connections_now, view.now() == now);
        let line = format!("{frames} {is_now} {:?}", view.timer());
        notes.lock().expect("no panic").push(line);
    });
    stage.quiet();
    assert_eq!(stage.notes(), ["1 true None"]);
}

#[test]
fn a_task_that_drains_ends_the_server_and_a_later_one_is_refused() {
    let mut stage = Stage::new();
    let peer = stage.play.connect();
    stage.play.send(peer, b"owed");
    stage.run(|view| view.drain());
    stage.run(stage.note("behind it"));
    stage.quiet();
    assert_eq!(stage.notes(), ["behind it"]);
    assert_eq!(stage.play.receive(peer), b"owed");
    assert!(!stage.play.server.is_open());
    // The loop still turns, so it still takes tasks.
    stage.run(stage.note("during the drain"));
    stage.quiet();
    stage.run(stage.note("accepted"));
    stage.play.server.finish_tasks();
    assert_eq!(stage.notes(), ["during the drain", "accepted"]);
    let refused = stage.handle.run(stage.note("too late"));
    assert!(matches!(refused, Err(Refused::Ended(_))));
    assert!(stage.handle.has_ended());
}

#[test]
fn a_handle_outlives_its_loop() {
    let stage = Stage::new();
    let (handle, note) = (stage.handle.clone(), stage.note("never"));
    handle.run(note).expect("it is accepted");
    drop(stage.play);
    assert!(matches!(handle.run(|_| ()), Err(Refused::Ended(_))));
    let notes = stage.notes.lock().expect("no panic");
    assert!(notes.is_empty(), "a loop that breaks off runs no task");
}

#[test]
fn a_timer_is_called_at_its_deadline_and_not_before() {
    let mut stage = Stage::new();
    let timer = stage.once(SECOND, "once");
    stage.play.pass(SECOND - NANOSECOND);
    assert!(stage.notes().is_empty());
    stage.play.pass(NANOSECOND);
    assert_eq!(stage.notes(), ["once"]);
    stage.play.pass(10 * SECOND);
    assert!(stage.notes().is_empty());
    assert!(!stage.cancel(timer), "it is over");
    stage.play.end();
}

#[test]
fn timers_are_called_in_the_order_of_their_deadlines_and_equal_ones_as_they_were_set() {
    let mut stage = Stage::new();
    for (seconds, what) in [
        (3, "c"),
        (1, "a1"),
        (2, "b1"),
        (1, "a2"),
        (2, "b2"),
        (1, "a3"),
    ] {
        stage.once(seconds * SECOND, what);
    }
    // All of them are due in one turn.
    stage.play.sim().advance(5 * SECOND);
    stage.quiet();
    assert_eq!(stage.notes(), ["a1", "a2", "a3", "b1", "b2", "c"]);
}

#[test]
fn a_repeating_timer_is_called_at_each_interval() {
    let mut stage = Stage::new();
    let timer = stage.every(SECOND, "tick");
    stage.once(2500 * Duration::from_millis(1), "between");
    for _ in 0..4 {
        stage.play.pass(SECOND);
    }
    assert_eq!(stage.notes(), ["tick", "tick", "between", "tick", "tick"]);
    assert!(stage.cancel(timer));
    assert!(!stage.cancel(timer));
    stage.play.pass(10 * SECOND);
    assert!(stage.notes().is_empty());
    stage.play.end();
}

#[test]
fn a_late_repeating_timer_is_called_once_and_keeps_its_multiples() {
    for (late, next) in [(0, 1000), (999, 1), (1000, 1000), (1001, 999), (7300, 700)] {
        let mut stage = Stage::new();
        stage.every(SECOND, "tick");
        stage
            .play
            .sim()
            .advance(SECOND + Duration::from_millis(late));
        stage.quiet();
        assert_eq!(stage.notes(), ["tick"], "{late} ms late");
        stage.play.pass(Duration::from_millis(next) - NANOSECOND);
        assert!(stage.notes().is_empty(), "{late} ms late");
        stage.play.pass(NANOSECOND);
        assert_eq!(stage.notes(), ["tick"], "{late} ms late");
    }
}

#[test]
fn an_interval_below_the_bound_is_raised_to_it() {
    for (interval, waits) in [
        (Duration::ZERO, TIMER_INTERVAL_MIN),
        (TIMER_INTERVAL_MIN - NANOSECOND, TIMER_INTERVAL_MIN),
        (TIMER_INTERVAL_MIN, TIMER_INTERVAL_MIN),
        (
            TIMER_INTERVAL_MIN + NANOSECOND,
            TIMER_INTERVAL_MIN + NANOSECOND,
        ),
    ] {
        let mut stage = Stage::new();
        stage.every(interval, "tick");
        stage.play.pass(waits - NANOSECOND);
        assert!(stage.notes().is_empty(), "{interval:?}");
        stage.play.pass(NANOSECOND);
        assert_eq!(stage.notes(), ["tick"], "{interval:?}");
    }
}

#[test]
fn timers_are_set_up_to_their_bound_and_the_next_one_is_given_back() {
    let mut stage = Stage::new();
    let first = stage.once(SECOND, "first");
    for _ in 2..TIMERS_MAX {
        stage.once(SECOND, "another");
    }
    stage.every(2 * SECOND, "at the bound");
    let note = stage.note("over the bound");
    let refused = stage.play.server.with_loop(|view| view.once(SECOND, note));
    let Err(Refused::Full(note)) = refused else {
        panic!("{refused:?}");
    };
    let refused = stage.play.server.with_loop(|view| view.every(SECOND, note));
    assert!(matches!(refused, Err(Refused::Full(_))));
    assert!(stage.cancel(first));
    stage.once(SECOND, "in its place");
    stage.play.pass(SECOND);
    let notes = stage.notes();
    assert_eq!(notes.len(), TIMERS_MAX - 1);
    assert_eq!(notes.last().map(String::as_str), Some("in its place"));
}

#[test]
fn a_repeating_timer_that_cancels_itself_is_not_called_again() {
    let mut stage = Stage::new();
    let mut note = stage.note("tick");
    let mut calls = 0;
    let twice = move |view: &mut Loop<'_>| {
        note(view);
        calls += 1;
        let this = view.timer().expect("a timer is called");
        assert!(view.is_set(this));
        if calls == 2 {
            assert!(view.cancel(this) && !view.cancel(this) && !view.is_set(this));
        }
    };
    stage
        .play
        .server
        .with_loop(|view| view.every(SECOND, twice))
        .expect("there is room");
    stage.play.pass(10 * SECOND);
    assert_eq!(stage.notes(), ["tick", "tick"]);
    stage.play.end();
}

#[test]
fn a_timer_that_is_called_once_is_over_in_its_own_callback() {
    let mut stage = Stage::new();
    let mut note = stage.note("once");
    let once = move |view: &mut Loop<'_>| {
        let this = view.timer().expect("a timer is called");
        assert!(!view.is_set(this) && !view.cancel(this));
        note(view);
    };
    let set = stage.play.server.with_loop(|view| view.once(SECOND, once));
    set.expect("there is room");
    stage.play.pass(SECOND);
    assert_eq!(stage.notes(), ["once"]);
}

#[test]
fn a_timer_that_is_cancelled_by_another_in_the_same_turn_is_not_called() {
    let mut stage = Stage::new();
    let later = stage.once(2 * SECOND, "cancelled");
    let (mut note, in_its_slot) = (stage.note("canceller"), stage.note("in its slot"));
    let cancel = move |view: &mut Loop<'_>| {
        assert!(view.cancel(later));
        // It takes the slot of the cancelled one, and is not called in its stead.
        let new = view.once(Duration::ZERO, in_its_slot);
        assert_ne!(new.expect("there is room"), later);
        note(view);
    };
    let set = stage
        .play
        .server
        .with_loop(|view| view.once(SECOND, cancel));
    set.expect("there is room");
    stage.play.sim().advance(3 * SECOND);
    let now = stage.play.sim().time();
    assert_eq!(
        stage.play.server.turn(now).expect("a turn"),
        Wakeups::default()
    );
    assert_eq!(
        stage.notes(),
        ["canceller"],
        "the new one has a turn of its own"
    );
    stage.quiet();
    assert_eq!(stage.notes(), ["in its slot"]);
}

#[test]
fn a_task_that_sets_a_timer_wakes_the_loop_at_its_deadline() {
    let mut stage = Stage::new();
    let note = stage.note("timer");
    stage.run(move |view| _ = view.once(SECOND, note).expect("there is room"));
    stage.quiet();
    assert_eq!(
        stage.play.quiet(),
        stage.play.sim().time().after(SECOND),
        "the loop sleeps until then"
    );
    stage.play.pass(SECOND);
    assert_eq!(stage.notes(), ["timer"]);
}

#[test]
fn a_timer_that_drains_ends_the_server() {
    let mut stage = Stage::new();
    let peer = stage.play.connect();
    let set = stage
        .play
        .server
        .with_loop(|view| view.once(SECOND, |view| view.drain()));
    set.expect("there is room");
    stage.play.pass(SECOND);
    assert!(stage.play.server.is_done());
    assert_eq!(stage.play.closed(CloseReason::Shutdown), 1);
    assert!(stage.play.receive(peer).is_empty());
}

#[test]
fn timers_and_the_deadlines_of_connections_come_due_together() {
    let mut stage = Stage::new();
    stage.once(IDLE - NANOSECOND, "just before");
    stage.once(IDLE, "at the same time");
    stage.play.connect();
    stage.play.pass(IDLE - NANOSECOND);
    assert_eq!(stage.notes(), ["just before"]);
    assert_eq!(stage.play.closed(CloseReason::Idle), 0);
    stage.play.pass(NANOSECOND);
    assert_eq!(stage.notes(), ["at the same time"]);
    assert_eq!(stage.play.closed(CloseReason::Idle), 1);
    assert_eq!(stage.play.server.entries().armed, 0, "of connections");
    stage.play.end();
}
