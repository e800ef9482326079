//! The first and the last sentence of a report.
//!
//! The first one has the rate, the latency, the errors and the doubts: `124k requests/s, p50 256
//! us, p99 664 us, 0 errors; 1 doubt`. A comparison has one for each server, over all its rounds,
//! and ends with one for each server but the first: `B needs 1.30 (1.27 to 1.33) times the CPU of
//! A`. Neighbours: `text` and `picture` print them.

use super::units::{count, span};
use super::{Report, letter};
use crate::base::text::plural::plural;
use crate::load::judge::statistics::Estimate;
use crate::load::run::session::{Compared, Loaded};

/// The first sentence, for the server at `index`. Its title is not part of it.
pub fn first(report: &Report<'_>, index: usize) -> String {
    let server = &report.servers[index];
    // A mean over the steps of a sweep would tell nothing.
    let figures = match report.steps.is_empty() {
        true => figures(server),
        false => knee(report),
    };
    let mut text = format!("{figures}, {}", errors(server));
    let doubts = report
        .checks
        .iter()
        .filter(|(of, check)| *of == index && check.doubtful)
        .count();
    if doubts > 0 {
        text += &format!("; {}", plural(doubts as u64, "doubt", "doubts"));
    }
    if index == 0 && !report.broken_assertions.is_empty() {
        let broken = report.broken_assertions.len() as u64;
        text += &format!("; {} not met", plural(broken, "assertion", "assertions"));
    }
    if server.runs.iter().any(|run| run.interrupted) {
        text += "; interrupted";
    }
    text
}

/// The rate and the latency of all runs.
#[inline(never)]
pub fn figures(server: &Loaded) -> String {
    let rates = server.runs.iter().map(|run| run.rate);
    let rate = rates.sum::<f64>() / server.runs.len().max(1) as f64;
    let latency = match server.latency.count() {
        0 => "no latency".to_owned(),
        _ => {
            let at = |percent| span(server.latency.percentile(percent) as f64);
            format!("p50 {}, p99 {}", at(50.0), at(99.0))
        }
    };
    format!("{} requests/s, {latency}", count(rate))
}

/// The errors of all runs.
#[inline(never)]
pub fn errors(server: &Loaded) -> String {
    plural(server.errors(), "error", "errors")
}

/// A figure in the last sentence: its name, and the words before and after the ratio.
type Words = (&'static str, &'static str, &'static str);

const CPU: Words = ("cpu", "needs", "the CPU of A");
/// On a shared processor, the generator's CPU time is the yardstick of each run.
const CPU_RATIO: Words = ("cpu_ratio", "needs", "the CPU of A");
const RATE: Words = ("rate", "answers", "the requests of A");
const P99: Words = ("p99", "has", "the p99 of A");

/// The last sentence, for the comparison at `index`. The figure is the server's CPU time if it is
/// known. Otherwise it is the rate, or in an open loop, where the rate is given, the p99.
#[inline(never)]
pub fn last(report: &Report<'_>, index: usize) -> Option<String> {
    let compared = &report.compared[index];
    let order = match (report.same_core, report.is_open_loop) {
        (true, _) => [CPU_RATIO, CPU, RATE],
        (_, true) => [CPU, P99, RATE],
        (_, false) => [CPU, RATE, P99],
    };
    let (estimate, (_, verb, of)) = order
        .into_iter()
        .find_map(|words| Some((named(compared, words.0)?, words)))?;
    let name = letter(index + 1);
    let (ratio, low, high) = three(estimate);
    let verdict = match estimate.shows_difference() {
        true => "",
        false => ": no difference shown",
    };
    Some(format!(
        "{name} {verb} {ratio} ({low} to {high}) times {of}{verdict}"
    ))
}

/// Where the knee of a sweep is: the last step with which the server kept up.
#[inline(never)]
pub fn knee(report: &Report<'_>) -> String {
    let rate = |index: usize| format!("{}/s", count(report.steps[index].0));
    match report.knee {
        Some(last) if last + 1 == report.steps.len() => {
            format!(
                "every step was kept up with: the knee is above {}",
                rate(last)
            )
        }
        Some(last) => {
            let (last, next) = (rate(last), rate(last + 1));
            format!("the knee is between {last} and {next}")
        }
        None => format!("no step was kept up with: the knee is below {}", rate(0)),
    }
}

fn named(compared: &Compared, name: &str) -> Option<Estimate> {
    let found = compared.versus.iter().find(|versus| versus.metric == name);
    found.map(|versus| versus.estimate)
}

/// The ratio and its interval with as many digits as tell the ends from the middle.
#[inline(never)]
pub fn three(estimate: Estimate) -> (String, String, String) {
    let Estimate {
        ratio, low, high, ..
    } = estimate;
    let half = ((high - low) / 2.0).max(f64::MIN_POSITIVE);
    let decimals = (-half.log10().floor()).clamp(0.0, 4.0) as usize;
    // Two decimals are usual; further ones only for a narrow interval of a small ratio.
    let decimals = match decimals {
        0..=2 if ratio < 100.0 => 2,
        decimals => decimals,
    };
    let text = |value: f64| match value < 100_000.0 {
        true => format!("{value:.decimals$}"),
        false => count(value),
    };
    (text(ratio), text(low), text(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_has_the_digits_that_its_interval_has() {
        for (ratio, low, high, text) in [
            (1.3, 1.27, 1.33, ["1.30", "1.27", "1.33"]),
            (1.3, 0.5, 3.1, ["1.30", "0.50", "3.10"]),
            (1.003, 1.0012, 1.0048, ["1.003", "1.001", "1.005"]),
            (1.0, 1.0, 1.0, ["1.0000", "1.0000", "1.0000"]),
            (250.0, 240.0, 260.0, ["250", "240", "260"]),
            (3e7, 1e7, 9e7, ["30.0M", "10.0M", "90.0M"]),
        ] {
            let estimate = Estimate {
                ratio,
                low,
                high,
                pairs: 5,
            };
            assert_eq!(three(estimate), text.map(str::to_owned).into());
        }
    }
}
