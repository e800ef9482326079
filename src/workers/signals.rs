//! The signals that have arrived, grouped by what they ask for.
//!
//! All pending signals are taken before any is acted on, so that a termination is not handled after
//! a reload. The number taken per turn is bounded, so that a flood of signals cannot starve the
//! connections; the kernel reports the rest in the next turn. See signalfd(2), signal(7).

use std::io;

use crate::kernel::{Poller, Signal};
use crate::limits::SIGNALS_PER_TURN;

/// What the signals of one turn ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Signals {
    /// Numbers of the termination signals, in the order in which they were taken.
    pub(super) terminations: Vec<i32>,
    /// Reload the files (SIGHUP).
    pub(super) reload: bool,
    /// Print the counters (SIGUSR1).
    pub(super) statistics: bool,
}

impl Signals {
    /// Takes the pending signals, at most [`SIGNALS_PER_TURN`].
    pub(super) fn take(kernel: &mut impl Poller) -> io::Result<Signals> {
        let mut signals = Signals::default();
        for _ in 0..SIGNALS_PER_TURN {
            match kernel.take_signal()? {
                Some(Signal::Terminate(number)) => signals.terminations.push(number),
                Some(Signal::Reload) => signals.reload = true,
                Some(Signal::Statistics) => signals.statistics = true,
                None => break,
            }
        }
        Ok(signals)
    }
}
