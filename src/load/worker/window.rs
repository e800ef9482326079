//! The phase of a worker's run, and the questions that follow from it: may a request begin, and
//! does it count?
//!
//! A request that is due at or after the start of the window is *measured*. A run by a count begins
//! at most a fixed number of measured requests. The module knows the times of the window and no
//! connection; the worker decides when the phase changes.

use super::Time;
use crate::load::plan::{Pace, Plan, Until};

/// The phase of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connections are being opened; nothing is sent.
    Opening,
    /// Requests are sent; those that are due from `start` to `end` are measured.
    Loading {
        /// The start of the window.
        start: Time,
        /// Its end.
        end: Time,
    },
    /// Open loop: overdue requests are still sent. Replies are accepted until the deadline.
    Draining {
        /// The start of the window.
        start: Time,
        /// Its end.
        end: Time,
        /// When the worker stops waiting.
        deadline: Time,
    },
    Done,
}

/// The phase, and how many measured requests may still begin.
pub(super) struct Window {
    phase: Phase,
    /// Measured requests that may still begin.
    quota: u64,
    /// The quota at the start.
    all: u64,
    is_counted: bool,
    is_open_loop: bool,
}

impl Window {
    /// The window of worker `index` before its load.
    pub(super) fn new(plan: &Plan, index: usize) -> Window {
        let all = match plan.until {
            Until::Requests(requests) => plan.share(requests, index),
            Until::Time(_) => u64::MAX,
        };
        Window {
            phase: Phase::Opening,
            quota: all,
            all,
            is_counted: matches!(plan.until, Until::Requests(_)),
            is_open_loop: matches!(plan.pace, Pace::Open { .. }),
        }
    }

    #[inline]
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// Whether the run ends by a count.
    #[inline]
    pub(super) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Measured requests that may still begin.
    pub(super) fn left(&self) -> u64 {
        self.quota
    }

    /// Measured requests that have begun.
    pub(super) fn begun(&self) -> u64 {
        self.all - self.quota
    }

    /// Whether a run by a count has begun all its requests. The last replies get the same timeout
    /// as those before.
    pub(super) fn is_all_begun(&self) -> bool {
        self.quota == 0
    }

    /// The start of the window, once the load has begun.
    pub(super) fn start(&self) -> Option<Time> {
        match self.phase {
            Phase::Loading { start, .. } | Phase::Draining { start, .. } => Some(start),
            Phase::Opening | Phase::Done => None,
        }
    }

    /// Whether a request that is due at `due` may begin.
    #[inline]
    pub(super) fn may_begin(&self, due: Time) -> bool {
        let wanted = match self.phase {
            Phase::Loading { end, .. } => due < end,
            Phase::Draining { end, .. } => due < end && self.is_open_loop,
            Phase::Opening | Phase::Done => false,
        };
        wanted && self.quota > 0
    }

    /// Whether a request that was due at `due` belongs to the window.
    #[inline]
    pub(super) fn is_measured(&self, due: Time) -> bool {
        self.start().is_some_and(|start| due >= start)
    }

    /// Counts a request that begins and was due at `due`. Returns whether it is measured.
    #[inline]
    pub(super) fn begin(&mut self, due: Time) -> bool {
        let is_measured = self.is_measured(due);
        self.quota -= u64::from(is_measured);
        is_measured
    }

    /// The interval in which replies count for the throughput. A run by a count has no end.
    #[inline]
    pub(super) fn counting(&self) -> Option<(Time, Time)> {
        match self.phase {
            Phase::Loading { start, end } => Some((start, end)),
            Phase::Draining { start, .. } if self.is_counted => Some((start, Time::NEVER)),
            Phase::Draining { start, end, .. } => Some((start, end)),
            Phase::Opening | Phase::Done => None,
        }
    }

    /// Lets `count` more measured requests begin.
    #[cfg(test)]
    pub(super) fn grant(&mut self, count: u64) {
        self.quota = count;
    }
}
