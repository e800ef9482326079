//! The text report: a sentence, the inputs, the results, the costs, and the checks.
//!
//! No line is longer than [`REPORT_COLUMNS`]; longer ones are wrapped. Marks of doubt are red if
//! the reader is a terminal that shows colours, which the caller finds out. The manual page
//! `report` explains each line, so a new line needs a paragraph there.

use std::fmt::Write;

use crate::base::histogram::Histogram;
use crate::base::text::columns::wrap;
use crate::base::text::plural::plural;
use crate::limits::REPORT_COLUMNS;

use super::cost::ServerCost;
use super::figures::{Figures, PERCENTS, Spans};
use super::units::{bytes, count, ratio, span};
use super::{Report, letter, sentence};
use crate::load::run::session::{Compared, Loaded};

/// Columns before the text of an item: an indent of two, and its label.
const ITEM: usize = 16;
/// Columns before the text of a check: an indent of two, its mark, and the letter of its server.
const CHECK: usize = 8;
/// Failures of a server that are shown in full.
const FAILURES_SHOWN: usize = 5;

/// How marks of doubt are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// As text alone.
    Plain,
    /// In red, by the escape sequences of a terminal (ECMA-48, 8.3.117).
    Red,
}

/// The whole report. It ends with a line feed.
pub fn text(report: &Report<'_>, paint: Paint) -> String {
    let mut page = Page {
        out: String::new(),
        paint,
    };
    for index in 0..report.servers.len() {
        let title = match report.servers.len() {
            1 => String::new(),
            _ if report.servers[index].runs.is_empty() => continue,
            _ => format!("{}: ", letter(index)),
        };
        page.hanging("", 0, &format!("{title}{}", sentence::first(report, index)));
    }
    page.hanging("\nload", 10, &report.load);
    for note in &report.notes {
        page.hanging("", 10, note);
    }
    for (index, server) in report.servers.iter().enumerate() {
        if let Some(figures) = server.runs.last() {
            page.title(report, index, server);
            page.figures(report, server, figures);
        }
    }
    page.checks(report);
    for (index, compared) in report.compared.iter().enumerate() {
        page.comparison(report, index, compared);
    }
    page.self_checks(report);
    page.steps(report);
    page.last_sentences(report);
    page.out
}

/// A page that is being written.
struct Page {
    out: String,
    paint: Paint,
}

impl Page {
    /// Writes a line as it is. Writing to a string cannot fail.
    #[inline(never)]
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.out, "{text}");
    }

    /// Writes `label` and, from column `indent` on, `text`, wrapped. A label may begin with a line
    /// feed, which leaves a line empty.
    #[inline(never)]
    fn hanging(&mut self, label: &str, indent: usize, text: &str) {
        if let Some(label) = label.strip_prefix('\n') {
            self.out.push('\n');
            return self.hanging(label, indent, text);
        }
        let mut label = label;
        for line in wrap(text, REPORT_COLUMNS - indent) {
            self.line(format_args!("{label:<indent$}{line}"));
            label = "";
        }
    }

    /// Writes an item of a server's table.
    #[inline(never)]
    fn item(&mut self, label: &str, text: &str) {
        self.hanging(&format!("  {label}"), ITEM, text);
    }

    /// The mark of a doubt.
    fn doubt(&self) -> &'static str {
        match self.paint {
            Paint::Plain => "!!",
            Paint::Red => "\x1b[1;31m!!\x1b[0m",
        }
    }

    fn title(&mut self, report: &Report<'_>, index: usize, server: &Loaded) {
        let letter = match report.servers.len() {
            1 => String::new(),
            _ => format!("{}  ", letter(index)),
        };
        let last = match server.runs.len() {
            1 => "",
            _ if report.steps.is_empty() => " (last round)",
            _ => " (last step)",
        };
        let indent = letter.len();
        self.hanging(
            &format!("\n{letter}"),
            indent,
            &format!("{}{last}", server.target.name),
        );
    }

    fn figures(&mut self, report: &Report<'_>, server: &Loaded, figures: &Figures) {
        self.requests(figures);
        self.errors(server);
        self.asides(figures);
        self.throughput(report.is_counted, figures);
        let error = format!("within {:.1} %", Histogram::ERROR * 100.0);
        let names = PERCENTS.iter().map(|(_, name)| *name);
        self.row(&error, ["mean"].into_iter().chain(names).chain(["max"]));
        self.spans("response time", figures.response.as_ref());
        self.spans("service time", figures.service.as_ref());
        self.spans("connect", figures.connect.as_ref());
        match (&figures.server, &figures.server_unknown) {
            (Some(cost), _) => self.cost(cost),
            (None, Some(why)) => self.item("server", &format!("not known: {why}")),
            (None, None) => {}
        }
        let client = or_unknown(figures.client_cpu_ns_per_request, "CPU a request", |ns| {
            format!("{} CPU a request", span(ns))
        });
        self.item("generator", &client);
        for (label, failure) in server.failures.iter().take(FAILURES_SHOWN) {
            self.item(label, failure);
        }
    }

    /// The outcome of the requests that were due.
    fn requests(&mut self, figures: &Figures) {
        let Figures {
            due,
            requests,
            failed,
            unfinished,
            unsent,
            elapsed_s,
            errors,
            reconnects,
            ..
        } = *figures;
        let errors = plural(errors, "error", "errors");
        let pause = match figures.longest_pause_ns {
            0 => String::new(),
            longest => format!(", longest pause {}", span(longest as f64)),
        };
        let reconnects = match reconnects {
            0 => pause,
            some => format!(", {}{pause}", plural(some, "reconnect", "reconnects")),
        };
        self.item(
            "requests",
            &format!("{due} due in {elapsed_s:.2} s, {errors}{reconnects}"),
        );
        let outcomes = format!(
            "{requests} answered, {failed} failed, {unfinished} unfinished, {unsent} unsent"
        );
        self.item("", &outcomes);
        if let Some(statuses @ [_, ..]) = figures.statuses.as_deref() {
            let each = statuses.iter();
            let each: Vec<String> = each
                .map(|(status, count)| format!("{status}: {count}"))
                .collect();
            self.hanging("", 2, &format!("status {}", each.join(", ")));
        }
    }

    /// The failures of all runs: one line for each kind that occurred.
    fn errors(&mut self, server: &Loaded) {
        let rounds = match server.runs.len() {
            1 => "",
            _ => ", in all rounds",
        };
        let kinds = server.errors_by_kind();
        let told = kinds.into_iter().filter(|(_, _, count)| *count > 0);
        for (index, (_, [one, many, how], count)) in told.enumerate() {
            let label = if index == 0 { "errors" } else { "" };
            self.item(
                label,
                &format!("{} {how}{rounds}", plural(count, one, many)),
            );
        }
    }

    /// Facts that are not errors but matter to the reader.
    fn asides(&mut self, figures: &Figures) {
        if figures.lost_in_warmup > 0 {
            let lost = plural(figures.lost_in_warmup, "request", "requests");
            self.item(
                "warm-up",
                &format!("{lost} not answered, counted nowhere else"),
            );
        }
        if figures.late > 0 {
            let late = plural(figures.late, "reply", "replies");
            self.item(
                "late",
                &format!("{late}, after a second or for the second time"),
            );
        }
        if figures.interrupted {
            let flying = plural(figures.cut_off, "request", "requests");
            let waiting = figures.unsent;
            let line = format!("with {flying} in flight, {waiting} due and not sent");
            self.item("interrupted", &line);
        }
    }

    /// The rate and the replies that it counts: all replies in the window, whenever their requests
    /// were due.
    fn throughput(&mut self, is_counted: bool, figures: &Figures) {
        let (rate, back) = (count(figures.rate), bytes(figures.bytes_rate));
        let replies = plural(figures.replies, "reply", "replies");
        // An overloaded server may still be answering requests of the warm-up.
        let counts = match (is_counted, figures.requests, figures.replies) {
            (_, 0, 1..) => format!("{replies} in that time, all to earlier requests"),
            (false, ..) => format!("{replies} in that time"),
            (true, ..) => replies,
        };
        self.item("throughput", &format!("{rate}/s, {back}/s back: {counts}"));
    }

    /// A row of the table of latencies: seven columns of nine.
    fn row<'a>(&mut self, label: &str, cells: impl Iterator<Item = &'a str>) {
        let cells: String = cells.map(|cell| format!(" {cell:>8}")).collect();
        self.line(format_args!("  {label:<13}{cells}"));
    }

    fn spans(&mut self, name: &str, spans: Option<&Spans>) {
        let Some(spans) = spans else { return };
        let percentiles = spans.percentiles.iter().map(|&value| span(value as f64));
        let all = [span(spans.mean)].into_iter().chain(percentiles);
        let all: Vec<String> = all.chain([span(spans.max as f64)]).collect();
        self.row(name, all.iter().map(String::as_str));
    }

    fn cost(&mut self, cost: &ServerCost) {
        let cpu = or_unknown(cost.cpu_ns_per_request, "CPU a request", |cpu| {
            let split = match cost.user_share {
                Some(share) => {
                    let (user, system) = (part(cost, share), part(cost, 1.0 - share));
                    format!("{user} user, {system} system")
                }
                None => "user and system not told apart".to_owned(),
            };
            format!("{} CPU a request ({split})", span(cpu))
        });
        let cpus = or_unknown(cost.cpus, "processors", |cpus| {
            format!("{cpus:.2} processors")
        });
        let to_client = or_unknown(
            cost.cpu_ratio_to_client,
            "ratio to the generator",
            |to_client| format!("{} of the generator's", ratio(to_client)),
        );
        self.item("server", &format!("{cpu}, {cpus}, {to_client}"));
        let resident = or_unknown(cost.resident_bytes, "resident memory", |size| {
            format!("{} resident", bytes(size as f64))
        });
        let each = or_unknown(cost.bytes_per_connection, "memory a connection", |size| {
            format!("{} a connection", bytes(size))
        });
        let threads = or_unknown(cost.threads, "threads", |count| {
            plural(count, "thread", "threads")
        });
        let switches = or_unknown(cost.switches_per_request, "context switches", |count| {
            format!("{count:.3} context switches a request")
        });
        self.item("", &format!("{resident}, {each}, {threads}, {switches}"));
    }

    fn checks(&mut self, report: &Report<'_>) {
        if report.checks.is_empty() {
            return;
        }
        self.line(format_args!("\nchecks"));
        for (index, check) in report.checks {
            let mark = match (check.doubtful, check.note) {
                (true, _) => "!!",
                (false, true) => "--",
                (false, false) => "ok",
            };
            let server = match report.servers.len() {
                1 => ' ',
                _ => letter(*index),
            };
            let start = self.out.len();
            self.hanging(&format!("  {mark}  {server} "), CHECK, &check.text);
            if check.doubtful {
                self.out.replace_range(start + 2..start + 4, self.doubt());
            }
        }
    }

    fn comparison(&mut self, report: &Report<'_>, index: usize, compared: &Compared) {
        self.line(format_args!("\n{} against A", letter(index + 1)));
        if compared.versus.is_empty() {
            let done = compared.pairs;
            let line = match done {
                0 | 1 => format!(
                    "no ratio: {done} of {} pairs are finished, and a ratio needs 2",
                    report.pairs
                ),
                _ => "no ratio: a server answered no request in one of the rounds".to_owned(),
            };
            self.hanging("  ", 2, &line);
            return;
        }
        // The widest row fills the line: 10,000 of 10,000 pairs, and an interval without bound.
        let (ratio_title, interval, won) = ("ratio", "95 % interval", "better in");
        self.line(format_args!(
            "  {:<23} {ratio_title:>6}  {interval:<16} {won:<14} difference",
            ""
        ));
        for versus in &compared.versus {
            let estimate = versus.estimate;
            let interval = format!("{} to {}", ratio(estimate.low), ratio(estimate.high));
            let won = format!("{} of {}", versus.won, estimate.pairs);
            self.line(format_args!(
                "  {:<23} {:>6}  {interval:<16} {won:<14} {}",
                versus.label,
                ratio(estimate.ratio),
                versus.verdict(),
            ));
        }
    }

    fn self_checks(&mut self, report: &Report<'_>) {
        if report.self_checks.is_empty() {
            return;
        }
        self.line(format_args!(
            "\nthe same server against itself, run by run (should be 1)"
        ));
        for (metric, estimate) in report.self_checks {
            let doubt = match estimate.shows_difference() {
                true => format!("  {} runs are not alike", self.doubt()),
                false => String::new(),
            };
            let (middle, low, high) = (estimate.ratio, estimate.low, estimate.high);
            let interval = format!("{} to {}", ratio(low), ratio(high));
            self.line(format_args!(
                "  {metric:<23} {:>6}  {interval}{doubt}",
                ratio(middle)
            ));
        }
    }

    /// The steps of a sweep: latency over rate, and the knee.
    fn steps(&mut self, report: &Report<'_>) {
        if report.steps.is_empty() {
            return;
        }
        self.line(format_args!("\nlatency over rate"));
        self.line(format_args!(
            "  {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "asked", "reached", "p50", "p99", "max", "errors"
        ));
        for (index, (rate, figures)) in report.steps.iter().enumerate() {
            let of = |value: fn(&Spans) -> u64| match figures.latency() {
                Some(spans) => span(value(spans) as f64),
                None => "-".to_owned(),
            };
            let knee = match report.knee == Some(index) {
                true => "  <- knee",
                false => "",
            };
            self.line(format_args!(
                "  {:>7}/s {:>7}/s {:>9} {:>9} {:>9} {:>9}{knee}",
                count(*rate),
                count(figures.rate),
                of(|spans| spans.percentiles[0]),
                of(|spans| spans.percentiles[2]),
                of(|spans| spans.max),
                count(figures.errors as f64),
            ));
        }
        self.hanging("", 2, &sentence::knee(report));
    }

    fn last_sentences(&mut self, report: &Report<'_>) {
        let last = (0..report.compared.len()).filter_map(|index| sentence::last(report, index));
        for (index, line) in last.enumerate() {
            if index == 0 {
                self.out.push('\n');
            }
            self.hanging("", 0, &line);
        }
    }
}

/// A part of a server's processor time per request. Without a tick, the only known bound is less
/// than one tick.
fn part(cost: &ServerCost, share: f64) -> String {
    let cpu = cost.cpu_ns_per_request.unwrap_or(0.0);
    match cost.ticks {
        Some(ticks @ 1..) if share <= 0.0 => format!("under {}", span(cpu / ticks as f64)),
        _ => span(cpu * share),
    }
}

/// The figure formatted by `text`, or a note that `name` is not known.
fn or_unknown<T>(figure: Option<T>, name: &str, text: impl Fn(T) -> String) -> String {
    figure.map_or_else(|| format!("{name} not known"), text)
}

#[cfg(test)]
mod tests;
