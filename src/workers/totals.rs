//! The counters of all workers while they are collected, and where their sum goes.
//!
//! A request awaits each worker that runs. The last one to publish its counters completes the
//! request: the sum is printed as a line, reported to the supervisor, or kept for a page. Requests
//! that are made while one is open are added up to one more request behind it, so that a flood of
//! them ends. Neighbours: `shared` holds this behind a lock, `notices` tells the service manager.

use std::sync::Arc;

use super::Ending;
use super::notices::Notices;
use super::processes::Reporter;
use crate::base::text::plural::plural;
use crate::kernel::{OUTPUT_LINES, lines_dropped};
use crate::server::observe::counters::{Counters, StatsFormat};

/// Counters that are being collected.
pub(super) struct Totals {
    /// The latest counters of each worker.
    counts: Vec<Counters>,
    /// Workers that have not drained yet.
    runs: Vec<bool>,
    /// Workers that have not answered the last request yet.
    awaited: Vec<bool>,
    /// What the last request is for.
    purpose: Purpose,
    /// What counters were requested for again while a request was open.
    asked_again: Option<Purpose>,
    /// What the service manager is told.
    pub(super) notices: Notices,
    /// The counters for a scrape are complete.
    has_scrape: bool,
    cut: u64,
    sink: Sink,
}

/// What counters are requested for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Purpose {
    /// A line of statistics, or a report.
    line: bool,
    /// The status for the service manager.
    status: bool,
    /// The service manager is told that every worker has answered.
    alive: bool,
    /// The pages of the server about itself.
    scrape: bool,
}

impl Purpose {
    const NONE: Purpose = Purpose {
        line: false,
        status: false,
        alive: false,
        scrape: false,
    };
    pub(super) const LINE: Purpose = Purpose {
        line: true,
        ..Purpose::NONE
    };
    pub(super) const STATUS: Purpose = Purpose {
        status: true,
        ..Purpose::NONE
    };
    pub(super) const ALIVE: Purpose = Purpose {
        alive: true,
        ..Purpose::NONE
    };
    pub(super) const SCRAPE: Purpose = Purpose {
        scrape: true,
        ..Purpose::NONE
    };

    fn and(self, other: Purpose) -> Purpose {
        Purpose {
            line: self.line | other.line,
            status: self.status | other.status,
            alive: self.alive | other.alive,
            scrape: self.scrape | other.scrape,
        }
    }
}

/// Where the sums of the counters go.
pub(super) enum Sink {
    /// To stdout, as a line.
    Line {
        format: StatsFormat,
        /// With the connections of each worker.
        by_worker: bool,
    },
    /// To the supervisor of this process.
    Supervisor {
        reporter: Arc<Reporter>,
        /// The last number that it has asked for.
        asked: u64,
        /// The same when the current request began.
        answers: u64,
    },
}

impl Sink {
    /// The supervisor of this process, to which `reporter` leads.
    pub(super) fn supervisor(reporter: &Arc<Reporter>) -> Sink {
        Sink::Supervisor {
            reporter: Arc::clone(reporter),
            asked: 0,
            answers: 0,
        }
    }
}

impl Totals {
    /// The counters of workers that have not counted anything yet.
    pub(super) fn new(workers: usize, notices: Notices, sink: Sink) -> Totals {
        Totals {
            counts: vec![Counters::default(); workers],
            runs: vec![true; workers],
            awaited: vec![false; workers],
            purpose: Purpose::default(),
            asked_again: None,
            notices,
            has_scrape: false,
            cut: 0,
            sink,
        }
    }

    /// For each worker, whether it has not drained yet.
    pub(super) fn runs(&self) -> &[bool] {
        &self.runs
    }

    /// Whether any worker has not drained yet.
    pub(super) fn has_runs(&self) -> bool {
        self.runs.contains(&true)
    }

    /// Whether this is one of several processes with the same listeners.
    pub(super) fn has_supervisor(&self) -> bool {
        matches!(self.sink, Sink::Supervisor { .. })
    }

    /// The supervisor asks for a report, by number.
    pub(super) fn ask(&mut self, number: u64) {
        if let Sink::Supervisor { asked, .. } = &mut self.sink {
            *asked = number;
        }
    }

    /// Whether the counters for a scrape are complete.
    pub(super) fn has_scrape(&self) -> bool {
        self.has_scrape
    }

    /// The same, once.
    pub(super) fn take_scrape(&mut self) -> bool {
        std::mem::take(&mut self.has_scrape)
    }

    /// Begins a request for counters, or adds it to the one that follows the open one. Returns
    /// whether it has begun.
    pub(super) fn request(&mut self, purpose: Purpose) -> bool {
        if self.awaited.contains(&true) {
            let asked_again = self.asked_again.unwrap_or_default();
            self.asked_again = Some(asked_again.and(purpose));
            return false;
        }
        self.awaited.clone_from(&self.runs);
        self.purpose = purpose;
        if let Sink::Supervisor { asked, answers, .. } = &mut self.sink {
            *answers = *asked;
        }
        true
    }

    /// A worker has drained and `cut` so many connections; its last counters stay. Returns for what
    /// the counters must be requested again.
    pub(super) fn retire(
        &mut self,
        number: usize,
        counters: &Counters,
        cut: u64,
    ) -> Option<Purpose> {
        let asked_again = self.publish(number, counters);
        self.runs[number] = false;
        self.cut += cut;
        asked_again
    }

    /// The end of a drain.
    pub(super) fn ending(&self) -> Ending {
        Ending::Drained {
            cut: self.cut,
            counters: Box::new(self.sum()),
        }
    }

    pub(super) fn sum(&self) -> Counters {
        let mut sum = Counters::default();
        self.counts.iter().for_each(|counters| sum.add(counters));
        sum
    }

    /// Connections accepted by each worker.
    pub(super) fn by_worker(&self) -> Vec<u64> {
        let counts = self.counts.iter();
        counts.map(|counters| counters.connections_total).collect()
    }

    /// Stores the current counters of one worker and prints the sum after the last awaited worker.
    /// Returns for what the counters must be requested again.
    pub(super) fn publish(&mut self, number: usize, counters: &Counters) -> Option<Purpose> {
        self.counts[number].clone_from(counters);
        let was_awaited = std::mem::take(&mut self.awaited[number]);
        if !was_awaited || self.awaited.contains(&true) {
            return None;
        }
        let Purpose {
            line,
            status,
            alive,
            scrape,
        } = self.purpose;
        self.has_scrape |= scrape;
        if alive {
            self.notices.tell_alive();
        }
        if status {
            let open = self.sum().connections_now;
            let status = plural(open, "connection", "connections");
            self.notices.tell_status(&status);
        }
        if line {
            self.write_line();
        }
        self.asked_again.take()
    }

    /// Prints or reports the sum.
    fn write_line(&self) {
        let by_worker = self.by_worker();
        match &self.sink {
            Sink::Line {
                format,
                by_worker: is_listed,
            } => {
                let listed = if *is_listed { &by_worker[..] } else { &[] };
                let mut line = self.sum().line(*format, listed, lines_dropped());
                line.push('\n');
                // The next line of counters reports how many were dropped. A separate notice would
                // not be a valid line of counters.
                OUTPUT_LINES.write(line.as_bytes(), |_| String::new());
            }
            Sink::Supervisor {
                reporter, answers, ..
            } => reporter.report(*answers, by_worker, self.sum()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_for_counts_before_the_line_are_one_more_line() {
        let sink = Sink::Line {
            format: StatsFormat::Whole,
            by_worker: false,
        };
        let mut totals = Totals::new(2, Notices::default(), sink);
        assert!(totals.request(Purpose::LINE));
        assert!(!totals.request(Purpose::STATUS));
        let again = [0, 0, 1, 1].map(|number| totals.publish(number, &Counters::default()));
        assert_eq!(again, [None, None, Some(Purpose::STATUS), None]);
    }

    #[test]
    fn purposes_of_requests_are_added_up() {
        let both = Purpose::LINE.and(Purpose::ALIVE);
        assert_eq!((both.line, both.status, both.alive), (true, false, true));
    }
}
