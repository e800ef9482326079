//! `--interval`: a line for each interval of a run, on stderr or as JSON on stdout.
//!
//! The workers publish their counts a few times in each interval. An interval is the difference of
//! two snapshots, so its figures are as old as the last one published before its end. The last
//! interval of a run is taken after the last reply; the sum of all is the report's. A reader that
//! takes nothing does not stop the run: the line is dropped.

use std::time::Duration;

use crate::base::histogram::Histogram;
use crate::base::text::json::{self, Value};
use crate::base::text::plural::plural;
use crate::base::time::Time;
use crate::load::report::units;

/// Counts since the start of the window.
#[derive(Debug, Default)]
pub struct Seen {
    /// When the last of them was published.
    pub at: Time,
    /// Requests of the window that were answered.
    pub answered: u64,
    /// Failures and error statuses.
    pub errors: u64,
    /// Connections that stand.
    pub open: u64,
    /// The latency that counts.
    pub latency: Histogram,
}

/// The figures of one interval.
#[derive(Debug)]
pub struct Interval {
    /// Which run of several it belongs to, such as `round 1/2, A`; empty in a single run.
    pub run: String,
    /// Its end, in seconds after the start of the window.
    pub elapsed_s: f64,
    /// The time in which these replies came, in seconds.
    pub length_s: f64,
    /// Requests answered in it.
    pub answered: u64,
    /// Errors in it.
    pub errors: u64,
    /// Connections that stood at its end.
    pub open: u64,
    /// The latencies of its replies.
    pub latency: Histogram,
}

impl Interval {
    /// Replies per second.
    pub fn rate(&self) -> f64 {
        match self.length_s > 0.0 {
            true => self.answered as f64 / self.length_s,
            false => 0.0,
        }
    }

    /// The line for a person, without a line feed.
    pub fn text(&self) -> String {
        let percentile = |percent| match self.latency.count() {
            0 => "-".to_owned(),
            _ => units::span(self.latency.percentile(percent) as f64),
        };
        let run = match self.run.as_str() {
            "" => String::new(),
            run => format!("{run}: "),
        };
        format!(
            "{run}{:>6.1} s  {:>6}/s  p50 {}, p99 {}, max {}, {}, {}",
            self.elapsed_s,
            units::count(self.rate()),
            percentile(50.0),
            percentile(99.0),
            percentile(100.0),
            plural(self.errors, "error", "errors"),
            plural(self.open, "connection", "connections"),
        )
    }

    /// The same as a JSON object on one line, without a line feed.
    pub fn json(&self) -> String {
        let percentile = |percent| match self.latency.count() {
            0 => "null".to_owned(),
            _ => self.latency.percentile(percent).to_string(),
        };
        let run = match self.run.as_str() {
            "" => String::new(),
            run => format!(", \"run\": {}", json::line(&Value::Text(run.to_owned()))),
        };
        format!(
            "{{\"elapsed_s\": {:.3}, \"answered\": {}, \"rate_per_s\": {:.1}, \"errors\": {}, \
             \"connections\": {}, \"p50_ns\": {}, \"p99_ns\": {}, \"max_ns\": {}{run}}}",
            self.elapsed_s,
            self.answered,
            self.rate(),
            self.errors,
            self.open,
            percentile(50.0),
            percentile(99.0),
            percentile(100.0),
        )
    }
}

/// Where the lines go.
pub type Outlet = Box<dyn FnMut(&Interval) + Send>;

/// The intervals of the current run.
pub struct Intervals {
    /// Which run comes next; see [`Interval::run`].
    pub run: String,
    outlet: Option<Outlet>,
    length: Option<Duration>,
    start: Time,
    last: Time,
    before: Seen,
}

impl std::fmt::Debug for Intervals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intervals")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Intervals {
    /// Lines that go to `outlet`, if there is one.
    pub fn new(outlet: Option<Outlet>) -> Intervals {
        Intervals {
            run: String::new(),
            outlet,
            length: None,
            start: Time::NEVER,
            last: Time::NEVER,
            before: Seen::default(),
        }
    }

    /// Begins a run whose window starts at `start`.
    pub fn begin(&mut self, start: Time, length: Option<Duration>) {
        (self.start, self.last) = (start, start);
        self.length = length.filter(|_| self.outlet.is_some());
        self.before = Seen::default();
    }

    /// Ends the run: no line is due until the next one begins.
    pub fn finish(&mut self) {
        self.length = None;
    }

    /// Whether lines are written.
    pub fn is_wanted(&self) -> bool {
        self.length.is_some()
    }

    /// When the current interval ends.
    pub fn due(&self) -> Time {
        match self.length {
            Some(length) => self.last.after(length),
            None => Time::NEVER,
        }
    }

    /// Writes the line of the interval that has ended, and begins the next one.
    pub fn note(&mut self, now: Time, seen: Seen) {
        let Some(length) = self.length else { return };
        // The end as planned, so that late glances do not shift the following intervals.
        let end = self.last.after(length).min(now);
        let interval = Interval {
            run: self.run.clone(),
            elapsed_s: end.since(self.start).as_secs_f64(),
            // The counts were published a little before the end.
            length_s: seen.at.since(self.before.at.max(self.start)).as_secs_f64(),
            answered: seen.answered.saturating_sub(self.before.answered),
            errors: seen.errors.saturating_sub(self.before.errors),
            open: seen.open,
            latency: seen.latency.since(&self.before.latency),
        };
        (self.last, self.before) = (end, seen);
        if let Some(outlet) = &mut self.outlet {
            outlet(&interval);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn seen(at_ns: u64, answered: u64) -> Seen {
        let mut latency = Histogram::new();
        latency.record_many(1000, answered);
        Seen {
            at: Time::from_nanos(at_ns),
            answered,
            errors: answered / 10,
            open: 3,
            latency,
        }
    }

    #[test]
    fn intervals_are_differences_and_their_sum_is_the_whole() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let outlet: Outlet = Box::new(move |interval| {
            let mut kept = kept.lock().expect("one thread");
            kept.push((interval.elapsed_s, interval.answered, interval.json()));
        });
        let mut intervals = Intervals::new(Some(outlet));
        intervals.run = "round 1/2, \"A\"".to_owned();
        let second = Duration::from_secs(1);
        let start = Time::from_nanos(5_000_000_000);
        intervals.begin(start, Some(second));
        assert_eq!(intervals.due(), start.after(second));
        intervals.note(
            start.after(second + Duration::from_millis(7)),
            seen(6_000_000_000, 100),
        );
        assert_eq!(intervals.due(), start.after(second * 2));
        intervals.note(start.after(second * 2), seen(7_000_000_000, 130));
        let lines = lines.lock().expect("one thread");
        let counts: Vec<(f64, u64)> = lines.iter().map(|it| (it.0, it.1)).collect();
        assert_eq!(counts, [(1.0, 100), (2.0, 30)]);
        assert!(
            lines[0]
                .2
                .starts_with("{\"elapsed_s\": 1.000, \"answered\": 100, ")
        );
        assert!(lines[0].2.ends_with(", \"run\": \"round 1/2, \\\"A\\\"\"}"));
        assert!(lines[0].2.contains("\"rate_per_s\": 100.0, \"errors\": 10"));
    }

    #[test]
    fn a_run_that_has_ended_has_no_further_interval() {
        let outlet: Outlet = Box::new(|_| panic!("nothing is due"));
        let mut intervals = Intervals::new(Some(outlet));
        let start = Time::from_nanos(1);
        intervals.begin(start, Some(Duration::from_secs(1)));
        intervals.finish();
        assert!(intervals.due() == Time::NEVER && !intervals.is_wanted());
        intervals.note(start.after(Duration::from_secs(2)), seen(2, 9));
    }

    #[test]
    fn without_an_outlet_no_interval_is_due() {
        let mut intervals = Intervals::new(None);
        intervals.begin(Time::default(), Some(Duration::from_secs(1)));
        assert!(intervals.due() == Time::NEVER && !intervals.is_wanted());
    }
}
