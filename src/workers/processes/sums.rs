//! The counters of all worker processes, added up: what lives, and what has ended.
//!
//! A worker reports its counters with every sign of life and when it is asked. The last report of
//! each place is kept. When a worker ends, its counts are added to those of the past; what it has
//! counted since its last report is lost, and its open connections are no longer open. A line of
//! statistics waits until every worker that serves has answered, for a limited time: a worker that
//! is stopped answers nothing, and its last report is used.
//!
//! Pure: `now` is a parameter, and the caller sends the orders. Neighbours: `supervisor`, `report`.

use crate::kernel::Time;
use crate::limits::PROCESS_COUNTS_MAX;
use crate::server::observe::counters::{Counters, StatsFormat};

use super::report::Report;

/// The reports of all places.
#[derive(Debug)]
pub(super) struct Sums {
    places: Vec<Latest>,
    past: Counters,
    /// Connections accepted in the past by each thread of each place.
    past_by_worker: Vec<Vec<u64>>,
    past_lines_dropped: u64,
    /// Number of the last order to count.
    number: u64,
    /// When to print the line that was asked for, at the latest.
    print_by: Option<Time>,
    /// Another line was asked for meanwhile.
    asked_again: bool,
}

#[derive(Clone, Debug, Default)]
struct Latest {
    report: Report,
    /// The order to count that the worker has not answered.
    awaited: Option<u64>,
}

impl Sums {
    pub(super) fn new(places: usize) -> Sums {
        Sums {
            places: vec![Latest::default(); places],
            past: Counters::default(),
            past_by_worker: vec![Vec::new(); places],
            past_lines_dropped: 0,
            number: 0,
            print_by: None,
            asked_again: false,
        }
    }

    /// A line was asked for. Returns the number of an order to count, unless one is under way
    /// already: then another line follows it.
    pub(super) fn ask(&mut self, now: Time) -> Option<u64> {
        if self.print_by.is_some() {
            self.asked_again = true;
            return None;
        }
        self.number += 1;
        self.print_by = Some(now.after(PROCESS_COUNTS_MAX));
        Some(self.number)
    }

    /// The worker of `place` was ordered to count.
    pub(super) fn awaits(&mut self, place: usize) {
        self.places[place].awaited = Some(self.number);
    }

    /// Whether the worker of `place` still owes an answer to an earlier order.
    pub(super) fn is_awaited(&self, place: usize) -> bool {
        self.places[place].awaited.is_some()
    }

    /// A worker has reported.
    pub(super) fn take(&mut self, place: usize, report: Report) {
        let latest = &mut self.places[place];
        let is_answer = |number: &u64| report.answers >= *number || report.has_drained;
        if latest.awaited.as_ref().is_some_and(is_answer) {
            latest.awaited = None;
        }
        latest.report = report;
    }

    /// The worker of `place` has ended.
    pub(super) fn end(&mut self, place: usize) {
        let latest = std::mem::take(&mut self.places[place]);
        add_each(&mut self.past_by_worker[place], &latest.report.by_worker);
        self.past.add(&latest.report.counters.of_the_past());
        self.past_lines_dropped += latest.report.lines_dropped;
    }

    /// When a line has to be printed even if an answer is missing.
    pub(super) fn deadline(&self) -> Time {
        self.print_by.unwrap_or(Time::NEVER)
    }

    /// Whether the line is to be printed now; then it is no longer asked for.
    pub(super) fn is_due(&mut self, now: Time) -> bool {
        let Some(print_by) = self.print_by else {
            return false;
        };
        let is_awaited = self.places.iter().any(|latest| latest.awaited.is_some());
        if is_awaited && now < print_by {
            return false;
        }
        self.print_by = None;
        true
    }

    /// Whether another line was asked for while the last one was under way.
    pub(super) fn take_asked_again(&mut self) -> bool {
        std::mem::take(&mut self.asked_again)
    }

    /// The counters of all workers that live or have lived.
    pub(super) fn counters(&self) -> Counters {
        let mut sum = self.past.clone();
        let counters = self.places.iter().map(|latest| &latest.report.counters);
        counters.for_each(|counters| sum.add(counters));
        sum
    }

    /// Lines that found no room in any worker process.
    pub(super) fn lines_dropped(&self) -> u64 {
        let each = self.places.iter().map(|latest| latest.report.lines_dropped);
        self.past_lines_dropped + each.sum::<u64>()
    }

    /// Connections accepted by each thread of the first place, then of the second, and so on.
    fn by_worker(&self) -> Vec<u64> {
        let mut all = Vec::new();
        for (latest, past) in self.places.iter().zip(&self.past_by_worker) {
            let mut sum = past.clone();
            add_each(&mut sum, &latest.report.by_worker);
            all.append(&mut sum);
        }
        all
    }

    /// The line of statistics, with its line feed; `by_worker` has it list the connections of each.
    pub(super) fn line(
        &self,
        format: StatsFormat,
        by_worker: bool,
        own_lines_dropped: u64,
        alive: usize,
        restarted: u64,
    ) -> String {
        let of_places = self.places.iter().map(|latest| latest.report.lines_dropped);
        let dropped = own_lines_dropped + self.past_lines_dropped + of_places.sum::<u64>();
        let more = [
            ("processes_alive", alive as u64),
            ("processes_restarted", restarted),
        ];
        let by_worker = if by_worker {
            self.by_worker()
        } else {
            Vec::new()
        };
        let line = (self.counters()).line_with(format, &by_worker, &more, dropped);
        line + "\n"
    }
}

/// Adds each of `more` to the count in the same place, with as many places as needed.
fn add_each(counts: &mut Vec<u64>, more: &[u64]) {
    counts.resize(counts.len().max(more.len()), 0);
    (counts.iter_mut().zip(more)).for_each(|(count, more)| *count += more);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(answers: u64, now: u64, total: u64) -> Report {
        Report {
            answers,
            lines_dropped: 1,
            by_worker: vec![total / 2, total - total / 2],
            counters: Counters {
                connections_now: now,
                connections_total: total,
                ..Counters::default()
            },
            ..Report::default()
        }
    }

    #[test]
    fn counts_of_an_ended_worker_stay_and_its_connections_do_not() {
        let mut sums = Sums::new(2);
        sums.take(0, report(0, 5, 10));
        sums.take(1, report(0, 1, 3));
        sums.take(1, report(0, 2, 4));
        sums.end(0);
        let sum = sums.counters();
        assert_eq!((sum.connections_now, sum.connections_total), (2, 14));
        // The next worker in that place begins anew.
        sums.take(0, report(0, 1, 1));
        let sum = sums.counters();
        assert_eq!((sum.connections_now, sum.connections_total), (3, 15));
        let line = sums.line(StatsFormat::Whole, false, 4, 2, 7);
        assert!(line.starts_with("stats connections_now=3 connections_total=15 "));
        let end = " processes_alive=2 processes_restarted=7 log_lines_dropped=7\n";
        assert!(line.ends_with(end), "{line}");
        let json = sums.line(StatsFormat::Json, true, 4, 2, 7);
        let listed = ",\"connections_by_worker\":[5,6,2,2],";
        assert!(json.contains(listed), "{json}");
        assert!(json.contains(",\"processes_alive\":2,\"processes_restarted\":7,"));
    }

    #[test]
    fn a_line_waits_for_the_answer_of_every_worker() {
        let mut sums = Sums::new(2);
        let now = Time::from_nanos(9);
        assert!(!sums.is_due(now), "nothing is asked for");
        assert_eq!(sums.ask(now), Some(1));
        (0..2).for_each(|place| sums.awaits(place));
        sums.take(0, report(1, 0, 0));
        // A sign of life that was counted before the order is no answer.
        sums.take(1, report(0, 0, 0));
        assert!(!sums.is_due(now));
        sums.take(1, report(1, 0, 0));
        assert!(sums.is_due(now));
        assert!(!sums.is_due(now), "it is printed once");
    }

    #[test]
    fn a_worker_that_ends_or_does_not_answer_in_time_holds_no_line_up() {
        let now = Time::from_nanos(9);
        let mut sums = Sums::new(2);
        sums.ask(now);
        sums.awaits(0);
        sums.end(0);
        assert!(sums.is_due(now));
        sums.ask(now);
        sums.awaits(1);
        let deadline = now.after(PROCESS_COUNTS_MAX);
        assert_eq!(sums.deadline(), deadline);
        let before = now.after(PROCESS_COUNTS_MAX - Duration::from_nanos(1));
        assert!(!sums.is_due(before));
        assert!(sums.is_due(deadline));
        // It still owes that answer, so it is not ordered again.
        assert_eq!(sums.deadline(), Time::NEVER);
        assert!(sums.is_awaited(1));
        assert_eq!(sums.ask(now), Some(3));
        sums.take(1, report(2, 0, 0));
        assert!(!sums.is_awaited(1));
    }

    #[test]
    fn requests_during_a_line_are_one_more_line() {
        let mut sums = Sums::new(1);
        let now = Time::default();
        assert_eq!(sums.ask(now), Some(1));
        assert_eq!(sums.ask(now), None);
        assert_eq!(sums.ask(now), None);
        assert!(sums.is_due(now));
        assert!(sums.take_asked_again());
        assert!(!sums.take_asked_again());
        assert_eq!(sums.ask(now), Some(2));
    }
}
