//! How the worker that takes the signals treats several signals at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use mynah::kernel::{Linux, Signal};
use mynah::server::observe::counters::StatsFormat;
use mynah::workers::{Ending, Statistics, run};

use super::*;

/// The longest that any step may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves one peer that has sent a request, while these signals are pending, until the server ends.
/// Returns the ending and how often a rebuild of the service was started; no rebuild completes.
fn served_with(signals: &[Signal]) -> (Ending, u32) {
    let play = Play::new(Config::default(), settings(), Framing::Raw(Raw), Echo);
    let mut server = play.server;
    let peer = server.kernel_mut().connect(0);
    assert_eq!(server.kernel_mut().send(peer, b"hello"), 5);
    signals
        .iter()
        .for_each(|signal| server.kernel_mut().raise(*signal));
    let waker = Linux::new(false).expect("a poller").waker();
    let (keep, never) = mpsc::channel::<()>();
    let begun = Arc::new(AtomicU32::new(0));
    let begins = Arc::clone(&begun);
    let load = move || {
        begins.fetch_add(1, Ordering::Relaxed);
        let _ = never.recv();
        Err("the test is over".to_owned())
    };
    let (tell, told) = mpsc::channel();
    let hooks = mynah::workers::Hooks::default();
    let statistics = Statistics {
        interval: None,
        format: StatsFormat::Whole,
        by_worker: false,
    };
    thread::spawn(move || {
        tell.send(run(
            vec![server],
            vec![waker],
            statistics,
            load,
            hooks,
            || {},
        ))
    });
    let ending = told.recv_timeout(PATIENCE).expect("it ends");
    drop(keep);
    let begun = begun.load(Ordering::Relaxed);
    (ending.expect("it serves"), begun)
}

fn is_drained(ending: &Ending) -> bool {
    match ending {
        Ending::Drained { cut, counters } => {
            assert_eq!((counters.bytes_out, counters.connections_now), (5, 0));
            *cut == 0
        }
        Ending::Stopped(_) => false,
    }
}

#[test]
fn an_ending_signal_is_obeyed_although_others_came_before_it() {
    let term = Signal::Terminate(15);
    let flood = [[Signal::Reload, Signal::Statistics]; 1000].concat();
    for signals in [
        vec![term],
        vec![Signal::Reload, term],
        vec![Signal::Statistics, Signal::Reload, term],
        [&flood[..], &[term]].concat(),
    ] {
        let (ending, begun) = served_with(&signals);
        assert!(is_drained(&ending), "{signals:?}: {ending:?}");
        assert!(begun <= 1, "one is under way at a time");
    }
}

#[test]
fn two_ending_signals_taken_together_count_as_two() {
    let (int, term) = (Signal::Terminate(2), Signal::Terminate(15));
    let (ending, _) = served_with(&[Signal::Reload, int, term]);
    assert_eq!(ending, Ending::Stopped(15));
    // The same signal again is its duplicate.
    let (ending, _) = served_with(&[Signal::Reload, term, term]);
    assert!(is_drained(&ending), "{ending:?}");
}
