//! One line on a terminal while a run is going on; nothing where there is none.
//!
//! The line is drawn over itself a few times a second and wiped at the end, so that it leaves no
//! trace in what is kept. What it shows is a glance: figures lag behind by a fifth of a second and
//! are not the report's.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::base::clock::Time;
use crate::base::histogram::Histogram;

use super::plan::Until;
use super::units;

const INTERVAL: Duration = Duration::from_millis(250);
const BAR: usize = 20;

/// What is to be shown.
#[derive(Debug)]
pub struct Glance<'a> {
    /// Who is loaded.
    pub name: &'a str,
    /// When it will end.
    pub until: Until,
    /// Since the window's start; `None` before it.
    pub elapsed: Option<Duration>,
    /// When the workers last told their counts.
    pub at: Time,
    /// Connections that stand.
    pub open: u64,
    /// Requests answered.
    pub answered: u64,
    /// Failures.
    pub errors: u64,
    /// Processor time of the workers since they began.
    pub cpu_ns: u64,
    /// The latency that counts.
    pub latency: &'a Histogram,
}

/// The progress line.
#[derive(Debug)]
pub struct Progress {
    wanted: bool,
    drawn: Time,
    /// What was shown last, for the rates since then.
    at: Time,
    answered: u64,
    cpu_ns: u64,
    /// What stands before the line, such as which round of a comparison this is.
    pub title: String,
}

impl Progress {
    /// A line on stderr, when that is a terminal.
    pub fn on_terminal() -> Progress {
        Progress {
            wanted: io::stderr().is_terminal(),
            ..Progress::none()
        }
    }

    /// No line.
    pub fn none() -> Progress {
        Progress {
            wanted: false,
            drawn: Time::default(),
            at: Time::NEVER,
            answered: 0,
            cpu_ns: 0,
            title: String::new(),
        }
    }

    /// Whether it is time to draw.
    pub fn is_due(&self, now: Time) -> bool {
        self.wanted && now.since(self.drawn) >= INTERVAL
    }

    /// Draws the line over the one before.
    pub fn draw(&mut self, now: Time, glance: &Glance<'_>) {
        let text = self.line(now, glance);
        // A terminal that went away is no reason to stop measuring.
        let _ = write!(io::stderr(), "\r\x1b[K{text}");
        (self.drawn, self.cpu_ns) = (now, glance.cpu_ns);
        if glance.elapsed.is_some() {
            (self.at, self.answered) = (glance.at, glance.answered);
        }
    }

    /// Wipes it.
    pub fn clear(&mut self) {
        if self.wanted {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        (self.at, self.answered, self.cpu_ns) = (Time::NEVER, 0, 0);
    }

    fn line(&self, now: Time, glance: &Glance<'_>) -> String {
        let Glance {
            name,
            until,
            elapsed,
            open,
            answered,
            errors,
            latency,
            ..
        } = *glance;
        let since = now.since(self.drawn).as_secs_f64();
        let Some(elapsed) = elapsed else {
            return format!("{}{name}: {open} connections, warming up", self.title);
        };
        let part = match until {
            Until::Time(all) => elapsed.as_secs_f64() / all.as_secs_f64(),
            Until::Requests(all) => answered as f64 / all as f64,
        };
        let filled = (part.min(1.0) * BAR as f64) as usize;
        // The workers tell their counts at moments of their own.
        let told = match self.at {
            Time::NEVER => elapsed.as_secs_f64(),
            at => glance.at.since(at).as_secs_f64().max(since / 2.0),
        };
        let rate = answered.saturating_sub(self.answered) as f64 / told;
        let cpu = glance.cpu_ns.saturating_sub(self.cpu_ns) as f64 / 1e7 / since;
        format!(
            "{}[{:-<BAR$}] {:.1} s, {open} conn, {}/s, p50 {}, p99 {}, {errors} errors, \
             client {cpu:.0} %",
            self.title,
            "#".repeat(filled),
            elapsed.as_secs_f64(),
            units::count(rate),
            units::span(latency.percentile(50.0) as f64),
            units::span(latency.percentile(99.0) as f64),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_where_the_run_is() {
        let mut latency = Histogram::new();
        latency.record(100_000);
        let glance = Glance {
            name: "tcp://127.0.0.1:1",
            until: Until::Time(Duration::from_secs(10)),
            elapsed: Some(Duration::from_secs(5)),
            at: Time::from_nanos(1_000_000_000),
            open: 100,
            answered: 50_000,
            errors: 0,
            cpu_ns: 500_000_000,
            latency: &latency,
        };
        let line = Progress::none().line(Time::from_nanos(1_000_000_000), &glance);
        let expected = "[##########----------] 5.0 s, 100 conn, 10.0k/s, p50 100 us, p99 100 us, \
                        0 errors, client 50 %";
        assert_eq!(line, expected);
    }

    #[test]
    fn without_a_terminal_it_is_never_time_to_draw() {
        assert!(!Progress::none().is_due(Time::NEVER));
    }
}
