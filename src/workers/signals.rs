//! The signals that have arrived, sorted by what they ask for.
//!
//! All that wait are taken before any is followed, so that the end of the server does not come
//! behind a reload. A bounded number is taken, so that a flood of them does not keep the loop from
//! its connections; the kernel reports the rest in the next turn. See signalfd(2), signal(7).

use std::io;

use crate::kernel::{Poller, Signal};
use crate::limits::SIGNALS_PER_TURN;

/// What the signals of one turn ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Signals {
    /// The numbers of those that end the server, in the order in which they were taken.
    pub(super) terminations: Vec<i32>,
    /// The files are to be read again.
    pub(super) reload: bool,
    /// The counts are to be printed.
    pub(super) statistics: bool,
}

impl Signals {
    /// Takes what has arrived.
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
