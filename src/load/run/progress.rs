//! The progress line on a terminal during a run. Without a terminal, nothing is written.
//!
//! The line is redrawn in place a few times a second, and erased at the end, so that the final
//! output does not contain it. Meanwhile the terminal does not echo what is typed, which would land
//! in the line. A line that is too long would wrap and stay visible. So the line has
//! at most 79 columns, or the width of a narrower terminal; the least important fields are omitted
//! first. The figures may be a fifth of a second old and are independent of the report.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::base::histogram::Histogram;
use crate::base::time::Time;
use crate::kernel::ERROR_LINES;
use crate::kernel::host::{SilentTerminal, terminal_columns};

use super::intervals::Intervals;
use crate::load::plan::Until;
use crate::load::report::units;

const INTERVAL: Duration = Duration::from_millis(250);
const COLUMNS_MAX: usize = 79;
/// The bar takes the columns that are left, within these limits. With fewer columns there is no
/// bar.
const BAR_MIN: usize = 5;
const BAR_MAX: usize = 20;

/// What a run does now, and since when.
#[derive(Clone, Copy, Debug)]
pub enum Phase {
    /// Opens its connections.
    Connecting,
    /// Loads the server and measures nothing yet.
    WarmUp {
        /// The start of the load.
        since: Time,
    },
    /// Measures.
    Measured {
        /// The start of the window.
        since: Time,
    },
}

/// The content of the line.
#[derive(Debug)]
pub struct Glance<'a> {
    /// The name of the server.
    pub name: &'a str,
    /// The condition that ends the run.
    pub until: Until,
    /// How long the warm-up of a run is.
    pub warmup: Duration,
    /// What the run does now.
    pub phase: Phase,
    /// When the workers last published their counts.
    pub at: Time,
    /// Established connections.
    pub open: u64,
    /// Requests answered.
    pub answered: u64,
    /// Failures.
    pub errors: u64,
    /// Processor time of the workers so far, if known.
    pub cpu_ns: Option<u64>,
    /// The latency that counts.
    pub latency: &'a Histogram,
}

/// The progress line.
#[derive(Debug)]
pub struct Progress {
    wanted: bool,
    /// The lines of `--interval`.
    pub intervals: Intervals,
    drawn: Time,
    /// The state at the previous line, to compute the current rates.
    at: Time,
    answered: u64,
    cpu_ns: Option<u64>,
    /// Text before the line, such as the round of a comparison. Ends with a colon and a blank, or
    /// is empty.
    title: String,
    /// How many runs of the session have not begun yet.
    pub runs_left: usize,
    /// Restores the echo of the terminal when it is dropped.
    _silent: Option<SilentTerminal>,
}

impl Progress {
    /// A line on stderr, if stderr is a terminal.
    pub fn on_terminal() -> Progress {
        let wanted = io::stderr().is_terminal();
        // Where the echo cannot be changed, a typed letter is in the line until the next drawing.
        let silent = wanted.then(|| SilentTerminal::new(io::stderr().as_fd()).ok());
        Progress {
            wanted,
            _silent: silent.flatten().flatten(),
            ..Progress::none()
        }
    }

    /// No progress line.
    pub fn none() -> Progress {
        Progress {
            wanted: false,
            intervals: Intervals::new(None),
            drawn: Time::default(),
            at: Time::NEVER,
            answered: 0,
            cpu_ns: Some(0),
            title: String::new(),
            runs_left: 0,
            _silent: None,
        }
    }

    /// The next run begins; `title` says which.
    pub fn begin(&mut self, title: String) {
        self.intervals.run = title.trim_end_matches(": ").to_owned();
        self.title = title;
        self.runs_left = self.runs_left.saturating_sub(1);
    }

    /// Whether the next line is due.
    pub fn is_due(&self, now: Time) -> bool {
        self.wanted && now.since(self.drawn) >= INTERVAL
    }

    /// Draws the line in place of the previous one.
    pub fn draw(&mut self, now: Time, glance: &Glance<'_>) {
        let columns = terminal_columns(io::stderr().as_fd()).unwrap_or(COLUMNS_MAX);
        let text = self.line(now, glance, columns.min(COLUMNS_MAX));
        // A terminal that is gone or blocked does not stop the measurement.
        ERROR_LINES.offer(format!("\r\x1b[K{text}").as_bytes());
        (self.drawn, self.cpu_ns) = (now, glance.cpu_ns);
        if matches!(glance.phase, Phase::Measured { .. }) {
            (self.at, self.answered) = (glance.at, glance.answered);
        }
    }

    /// Erases the line.
    pub fn clear(&mut self) {
        if self.wanted {
            ERROR_LINES.offer(b"\r\x1b[K");
        }
        (self.at, self.answered, self.cpu_ns) = (Time::NEVER, 0, Some(0));
    }

    /// The rest of a session of several runs, with a comma in front; empty for the last run. Only
    /// the planned times are counted, not the connecting.
    fn left(&self, now: Time, glance: &Glance<'_>) -> String {
        let Until::Time(measured) = glance.until else {
            return match self.runs_left {
                0 => String::new(),
                1 => ", 1 run left".to_owned(),
                runs => format!(", {runs} runs left"),
            };
        };
        let whole = glance.warmup + measured;
        let done = match glance.phase {
            Phase::Connecting => Duration::ZERO,
            Phase::WarmUp { since } => now.since(since).min(glance.warmup),
            Phase::Measured { since } => glance.warmup + now.since(since).min(measured),
        };
        let runs = u32::try_from(self.runs_left).unwrap_or(u32::MAX);
        match runs {
            0 => String::new(),
            _ => {
                let seconds = (whole.saturating_mul(runs) + (whole - done))
                    .as_secs_f64()
                    .ceil();
                format!(", {seconds} s left")
            }
        }
    }

    /// The text of the line, at most `columns` wide.
    fn line(&self, now: Time, glance: &Glance<'_>, columns: usize) -> String {
        let Glance {
            name,
            until,
            warmup,
            phase,
            open,
            answered,
            errors,
            latency,
            ..
        } = *glance;
        let since = now.since(self.drawn).as_secs_f64();
        // A command may be long, and the fields after it are more important.
        let title = match self.title.strip_suffix(": ") {
            Some(title) => format!("{}: ", cut(title, (columns / 3).saturating_sub(2))),
            None => String::new(),
        };
        let left = self.left(now, glance);
        let elapsed = match phase {
            Phase::Measured { since } => now.since(since),
            Phase::Connecting | Phase::WarmUp { .. } => {
                let doing = match phase {
                    Phase::WarmUp { since } => {
                        format!("warming up {}", of_total(now.since(since), Some(warmup)))
                    }
                    _ => "connecting".to_owned(),
                };
                let end = format!(": {open} connections, {doing}{left}");
                let room = columns.saturating_sub(title.chars().count() + end.len());
                return cut(&format!("{title}{}{end}", cut(name, room)), columns);
            }
        };
        let (part, total) = match until {
            Until::Time(all) => (elapsed.as_secs_f64() / all.as_secs_f64(), Some(all)),
            Until::Requests(all) => (answered as f64 / all as f64, None),
        };
        // The workers publish their counts at different times.
        let told = match self.at {
            Time::NEVER => elapsed.as_secs_f64(),
            at => glance.at.since(at).as_secs_f64().max(since / 2.0),
        };
        let rate = answered.saturating_sub(self.answered) as f64 / told;
        let spent = glance.cpu_ns.zip(self.cpu_ns);
        let cpu = spent.map_or("-".to_owned(), |(now, before)| {
            format!("{:.0} %", now.saturating_sub(before) as f64 / 1e7 / since)
        });
        let percentile = |percent| match latency.count() {
            0 => "-".to_owned(),
            _ => units::span(latency.percentile(percent) as f64),
        };
        // Each field with its rank: the field with the highest rank is omitted first.
        let mut fields = vec![
            (0, format!("{}{left}", of_total(elapsed, total))),
            (5, format!("{open} conn")),
            (1, format!("{}/s", units::count(rate))),
            (4, format!("p50 {}", percentile(50.0))),
            (2, format!("p99 {}", percentile(99.0))),
            (3, format!("{errors} errors")),
            (6, format!("client {cpu}")),
        ];
        loop {
            let texts: Vec<&str> = fields.iter().map(|(_, text)| text.as_str()).collect();
            let text = format!("{title}{}", texts.join(", "));
            let length = text.chars().count();
            if length <= columns {
                return format!("{}{text}", bar(part, columns - length));
            }
            let soonest = fields.iter().map(|(rank, _)| *rank).max();
            fields.retain(|(rank, _)| Some(*rank) != soonest);
            if fields.is_empty() {
                return cut(&title, columns);
            }
        }
    }
}

/// The time that has passed, of how much in all.
fn of_total(elapsed: Duration, total: Option<Duration>) -> String {
    let elapsed = elapsed.as_secs_f64();
    match total.map(|total| total.as_secs_f64()) {
        Some(total) => format!("{:.1} of {total} s", elapsed.min(total)),
        None => format!("{elapsed:.1} s"),
    }
}

/// A bar filled to `part`, followed by a blank, in at most `room` columns.
fn bar(part: f64, room: usize) -> String {
    let width = room.saturating_sub(3).min(BAR_MAX);
    if width < BAR_MIN {
        return String::new();
    }
    let filled = (part.min(1.0) * width as f64) as usize;
    format!("[{:-<width$}] ", "#".repeat(filled))
}

/// Truncates `text` to at most `columns`; dots replace the end.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let front: String = text.chars().take(columns.saturating_sub(3)).collect();
    let dots = &"..."[..columns.min(3)];
    format!("{front}{dots}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_nanos(15_000_000_000);

    /// The line of a half-completed run, in `columns` columns.
    fn line(title: &str, connections: u64, columns: usize) -> String {
        let mut latency = Histogram::new();
        latency.record(100_000);
        let glance = Glance {
            name: "tcp://127.0.0.1:1",
            until: Until::Time(Duration::from_secs(10)),
            warmup: Duration::from_secs(1),
            phase: Phase::Measured {
                since: Time::from_nanos(10_000_000_000),
            },
            at: NOW,
            open: connections,
            answered: 50_000,
            errors: 0,
            cpu_ns: Some(500_000_000),
            latency: &latency,
        };
        let mut progress = Progress::none();
        progress.title = title.to_owned();
        progress.drawn = Time::from_nanos(14_000_000_000);
        progress.line(NOW, &glance, columns)
    }

    #[test]
    fn the_line_tells_where_the_run_is() {
        let expected = "5.0 of 10 s, 100 conn, 10.0k/s, p50 100 us, p99 100 us, 0 errors, \
                        client 50 %";
        assert_eq!(line("", 100, 79), expected);
    }

    #[test]
    fn before_the_first_answer_there_is_no_percentile() {
        let mut progress = Progress::none();
        progress.title = "round 1/2, A: ".to_owned();
        let glance = Glance {
            name: "A",
            until: Until::Time(Duration::from_secs(10)),
            warmup: Duration::from_secs(1),
            phase: Phase::Measured {
                since: Time::from_nanos(10_000_000_000),
            },
            at: NOW,
            open: 4,
            answered: 0,
            errors: 0,
            cpu_ns: None,
            latency: &Histogram::new(),
        };
        let line = progress.line(NOW, &glance, 79);
        let told = "round 1/2, A: 5.0 of 10 s, 4 conn, 0/s, p50 -, p99 -, 0 errors, client -";
        assert!(line.ends_with(told), "{line}");
    }

    #[test]
    fn what_is_least_missed_is_left_out_first_and_nothing_wraps() {
        let all = "5.0 of 10 s, 100 conn, 10.0k/s, p50 100 us, p99 100 us, 0 errors, client 50 %";
        for (columns, expected) in [
            (78, all),
            (50, "[##---] 5.0 of 10 s, 10.0k/s, p99 100 us, 0 errors"),
            (30, "[###----] 5.0 of 10 s, 10.0k/s"),
            (25, "5.0 of 10 s, 10.0k/s"),
            (20, "5.0 of 10 s, 10.0k/s"),
            (3, ""),
        ] {
            assert_eq!(line("", 100, columns), expected, "{columns} columns");
        }
        let title = "round 3/10, 'a command that is longer than a terminal has columns': ";
        for columns in 0..=79 {
            for title in ["", title] {
                let text = line(title, 10_000, columns);
                assert!(text.chars().count() <= columns, "{columns} columns: {text}");
            }
        }
        let told = line(title, 1, 79);
        assert!(
            told.contains("round 3/10, 'a comman...: 5.0 of 10 s, "),
            "{told}"
        );
    }

    #[test]
    fn the_line_tells_the_warm_up_and_what_a_comparison_still_takes() {
        let latency = Histogram::new();
        let glance = |phase| Glance {
            name: "tcp://127.0.0.1:1",
            until: Until::Time(Duration::from_secs(2)),
            warmup: Duration::from_secs(1),
            phase,
            at: NOW,
            open: 7,
            answered: 0,
            errors: 0,
            cpu_ns: None,
            latency: &latency,
        };
        let mut progress = Progress::none();
        progress.runs_left = 3;
        progress.begin("round 1/2, A: ".to_owned());
        let since = Time::from_nanos(14_500_000_000);
        for (phase, expected) in [
            (Phase::Connecting, "7 connections, connecting, 9 s left"),
            (
                Phase::WarmUp { since },
                "7 connections, warming up 0.5 of 1 s, 9 s left",
            ),
            (
                Phase::Measured { since },
                "0.5 of 2 s, 8 s left, 7 conn, 0/s",
            ),
        ] {
            let line = progress.line(NOW, &glance(phase), 79);
            assert!(line.contains(expected), "{line}");
        }
        progress.begin(String::new());
        progress.begin(String::new());
        let line = progress.line(NOW, &glance(Phase::WarmUp { since }), 79);
        assert!(line.ends_with("warming up 0.5 of 1 s"), "{line}");
    }

    #[test]
    fn without_a_terminal_it_is_never_time_to_draw() {
        assert!(!Progress::none().is_due(Time::NEVER));
    }
}
