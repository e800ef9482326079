//! The signals that have arrived, grouped by what they ask for, and the echo of the first one.
//!
//! All pending signals are taken before any is acted on, so that a termination is not handled after
//! a reload. The number taken per turn is bounded, so that a flood of signals cannot starve the
//! connections; the kernel reports the rest in the next turn. See signalfd(2), signal(7).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// Write the trace (SIGUSR2).
    pub(super) trace: bool,
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
                Some(Signal::Trace) => signals.trace = true,
                None => break,
            }
        }
        Ok(signals)
    }
}

/// The signal that started the drain, as long as the same signal counts as its echo.
///
/// The signal was sent before the wait that reports it, and the turn before that wait may have been
/// long. The time of reading therefore says little: until the drain is logged, the same signal is
/// an echo.
#[derive(Default)]
pub(super) struct Echo {
    first: Option<(i32, Arc<AtomicBool>)>,
    /// Another process logs the drain.
    is_silent: bool,
}

impl Echo {
    /// An echo that logs nothing.
    pub(super) fn silent() -> Echo {
        Echo {
            is_silent: true,
            ..Echo::default()
        }
    }

    /// The drain begins. The caller sets what is returned when the time of the echo is over.
    pub(super) fn begin(&mut self, number: i32) -> Arc<AtomicBool> {
        let over = Arc::new(AtomicBool::new(false));
        self.first = Some((number, Arc::clone(&over)));
        over
    }

    /// Whether a signal is the echo of the first one.
    pub(super) fn is_of(&self, number: i32) -> bool {
        (self.first.as_ref()).is_some_and(|(first, _)| *first == number)
    }

    /// The signals of this turn are handled. Logs the drain only once a second signal really ends
    /// the server.
    pub(super) fn settle(&mut self) {
        let is_over = |(_, over): &(i32, Arc<AtomicBool>)| over.load(Ordering::Acquire);
        if self.first.as_ref().is_some_and(is_over) {
            self.first = None;
            self.log("draining; a second signal ends at once");
        }
    }

    /// The drain is over before the time of the echo.
    pub(super) fn end(&self) {
        if self.first.is_some() {
            self.log("draining");
        }
    }

    fn log(&self, line: &str) {
        if !self.is_silent {
            log::info!("{line}");
        }
    }
}
