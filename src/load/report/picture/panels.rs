//! The panels with curves: latency over percentile, latency and rate over time.
//!
//! A panel has its title above, labels of values at the left, and those of the other axis below.

use super::{LEFT, RIGHT, class};
use crate::base::svg::scale::Scale;
use crate::base::svg::{Anchor, Svg};
use crate::load::report::figures::Spans;
use crate::load::report::{Report, units};
use crate::load::run::moments::Moment;

/// The height of a panel with its title and labels.
const HEIGHT: f64 = 236.0;
/// From the top of a panel to its area, and from the area to its lower end.
const ABOVE: f64 = 26.0;
const BELOW: f64 = 30.0;

/// The area of a panel.
struct Panel {
    y: Scale,
    bottom: f64,
}

impl Panel {
    /// Draws the title, the grid and its labels. `scale` makes the axis between two positions.
    #[inline(never)]
    fn open(
        svg: &mut Svg,
        top: f64,
        title: &str,
        scale: &dyn Fn(f64, f64) -> Scale,
        label: fn(f64) -> String,
    ) -> Panel {
        let (head, bottom) = (top + ABOVE, top + HEIGHT - BELOW);
        let y = scale(bottom, head);
        svg.text((LEFT, top + 13.0), Anchor::Start, "t", title);
        for &tick in &y.ticks {
            let at = y.at(tick);
            svg.line((LEFT, at), (RIGHT, at), "g");
            svg.text(
                (LEFT - 8.0, at + 4.0),
                Anchor::End,
                "s",
                &units::trimmed(&label(tick)),
            );
        }
        Panel { y, bottom }
    }

    /// Draws a label below the area.
    #[inline(never)]
    fn below(&self, svg: &mut Svg, x: f64, anchor: Anchor, label: &str) {
        svg.text((x, self.bottom + 17.0), anchor, "s", label);
    }
}

/// Draws all panels from `y` on; returns where the next part begins.
pub(super) fn draw(svg: &mut Svg, report: &Report<'_>, mut y: f64) -> f64 {
    let answered = report
        .steps
        .iter()
        .filter(|(_, figures)| figures.latency().is_some());
    if answered.count() > 1 {
        steps(svg, report, y);
        y += HEIGHT;
    }
    if report
        .servers
        .iter()
        .any(|server| server.latency.count() > 0)
    {
        percentiles(svg, report, y);
        y += HEIGHT;
    }
    if report.servers.iter().any(|server| server.moments.len() > 1) {
        latencies(svg, report, y);
        y += HEIGHT;
    }
    if seconds(report) > 0.0 {
        rates(svg, report, y);
        y += HEIGHT;
    }
    y
}

/// The position of a percentage: each further nine has the same width, up to four.
#[inline(never)]
fn nines(percent: f64) -> f64 {
    let nines = -(1.0 - percent / 100.0).max(1e-9).log10();
    LEFT + nines / 4.0 * (RIGHT - LEFT)
}

fn percentiles(svg: &mut Svg, report: &Report<'_>, top: f64) {
    let curves: Vec<Vec<(f64, u64)>> = report
        .servers
        .iter()
        .map(|server| {
            let lines = server.latency.percentiles().into_iter();
            let mut points: Vec<_> = lines
                .filter(|line| line.percent <= 99.99)
                .map(|line| (line.percent, line.value))
                .collect();
            // With few requests, the list ends early; the curve still reaches the end of the panel.
            if let Some(&(percent, _)) = points.last().filter(|(percent, _)| *percent < 99.99) {
                points.push((percent.max(99.99), server.latency.percentile(99.99)));
            }
            points
        })
        .collect();
    let values = || curves.iter().flatten().map(|(_, value)| *value);
    let range = (
        values().min().unwrap_or(1).max(1) as f64,
        values().max().unwrap_or(1).max(1) as f64,
    );
    let is_response = report
        .servers
        .iter()
        .any(|server| server.histograms.response.count() > 0);
    let kind = match is_response {
        true => "response time, from when a request was due",
        false => "service time, from the send",
    };
    let steps = if report.steps.is_empty() {
        ""
    } else {
        ", all steps"
    };
    let title = format!("Latency by percentile ({kind}{steps})");
    let panel = Panel::open(
        svg,
        top,
        &title,
        &|from, to| Scale::log(range, from, to),
        units::span,
    );
    for percent in [50.0, 99.0] {
        let x = nines(percent);
        svg.line((x, top + ABOVE), (x, panel.bottom), "m");
    }
    for (percent, label) in [
        (0.0, "0 %"),
        (50.0, "p50"),
        (90.0, "90 %"),
        (99.0, "p99"),
        (99.9, "99.9 %"),
    ] {
        panel.below(svg, nines(percent), Anchor::Middle, label);
    }
    panel.below(svg, RIGHT, Anchor::End, "99.99 %");
    for (index, points) in curves.iter().enumerate() {
        let points = points
            .iter()
            .map(|(percent, value)| (nines(*percent), panel.y.at(*value as f64)));
        svg.curve(points, &class('l', index));
        for percent in [50.0, 99.0] {
            let latency = &report.servers[index].latency;
            if latency.count() > 0 {
                let at = panel.y.at(latency.percentile(percent) as f64);
                svg.dot((nines(percent), at), 3.5, &class('f', index));
            }
        }
    }
}

/// Latency over rate, and the knee, of a sweep.
fn steps(svg: &mut Svg, report: &Report<'_>, top: f64) {
    let measured = report.steps.iter().enumerate();
    let points: Vec<(usize, f64, &Spans)> = measured
        .filter_map(|(index, (rate, figures))| Some((index, *rate, figures.latency()?)))
        .collect();
    let (p50, p99) = (
        |spans: &Spans| spans.percentiles[0],
        |spans: &Spans| spans.percentiles[2],
    );
    let least = points.iter().map(|(_, _, spans)| p50(spans)).min();
    let most = points.iter().map(|(_, _, spans)| p99(spans)).max();
    let range = (
        least.unwrap_or(1).max(1) as f64,
        most.unwrap_or(1).max(1) as f64,
    );
    let title = "Latency over the rate asked for: p50 (line), p99 (dashes)";
    let scale = |from, to| Scale::log(range, from, to);
    let panel = Panel::open(svg, top, title, &scale, units::span);
    let last = report
        .steps
        .iter()
        .map(|(rate, _)| *rate)
        .fold(0.0, f64::max);
    let axis = Scale::linear((0.0, last), LEFT, RIGHT);
    for &tick in &axis.ticks {
        let anchor = match axis.at(tick) > RIGHT - 20.0 {
            true => Anchor::End,
            false => Anchor::Middle,
        };
        let label = format!("{}/s", units::trimmed(&units::count(tick)));
        panel.below(svg, axis.at(tick), anchor, &label);
    }
    if let Some((rate, _)) = report.knee.and_then(|knee| report.steps.get(knee)) {
        let x = axis.at(*rate);
        svg.line((x, top + ABOVE), (x, panel.bottom), "m");
        let anchor = if x > RIGHT - 40.0 {
            Anchor::End
        } else {
            Anchor::Start
        };
        let aside = if x > RIGHT - 40.0 { -6.0 } else { 6.0 };
        svg.text((x + aside, panel.bottom - 6.0), anchor, "t", "knee");
    }
    for (value, line) in [
        (p50 as fn(&Spans) -> u64, class('l', 0)),
        (p99, format!("{} thin", class('l', 0))),
    ] {
        let place = |(_, rate, spans): &(usize, f64, &Spans)| {
            (axis.at(*rate), panel.y.at(value(spans) as f64))
        };
        svg.curve(points.iter().map(place), &line);
        points
            .iter()
            .for_each(|point| svg.dot(place(point), 3.5, &class('f', 0)));
    }
}

/// The longest of the last runs.
#[inline(never)]
fn seconds(report: &Report<'_>) -> f64 {
    let ends = report
        .servers
        .iter()
        .map(|server| server.timeline.1 as f64 / 1e9);
    ends.fold(0.0, f64::max)
}

/// Draws the axis of time.
#[inline(never)]
fn time_axis(svg: &mut Svg, panel: &Panel, seconds: f64) -> impl Fn(f64) -> f64 + use<> {
    let x = move |at: f64| LEFT + (at / seconds).clamp(0.0, 1.0) * (RIGHT - LEFT);
    let ticks = Scale::linear((0.0, seconds), LEFT, RIGHT).ticks;
    for tick in ticks.into_iter().filter(|tick| *tick <= seconds * 1.0001) {
        let label = match tick {
            0.0 => "0 s".to_owned(),
            tick => units::trimmed(&units::span(tick * 1e9)),
        };
        let anchor = if x(tick) > RIGHT - 20.0 {
            Anchor::End
        } else {
            Anchor::Middle
        };
        panel.below(svg, x(tick), anchor, &label);
    }
    x
}

/// p50 and p99 of each server over time.
fn latencies(svg: &mut Svg, report: &Report<'_>, top: f64) {
    let moments = || report.servers.iter().flat_map(|server| &server.moments);
    let least = moments().map(|moment| moment.p50).min();
    let most = moments().map(|moment| moment.p99).max();
    let range = (
        least.unwrap_or(1).max(1) as f64,
        most.unwrap_or(1).max(1) as f64,
    );
    let title = title(report, "Latency over time: p50 (line), p99 (dashes)");
    let scale = |from, to| Scale::log(range, from, to);
    let panel = Panel::open(svg, top, &title, &scale, units::span);
    let x = time_axis(svg, &panel, seconds(report));
    for (index, server) in report.servers.iter().enumerate() {
        let curve = |value: fn(&Moment) -> u64| {
            let points = server.moments.iter();
            points.map(move |moment| (moment.elapsed_s, value(moment) as f64))
        };
        let place = |(at, value): (f64, f64)| (x(at), panel.y.at(value));
        let line = class('l', index);
        svg.curve(curve(|moment| moment.p50).map(place), &line);
        svg.curve(
            curve(|moment| moment.p99).map(place),
            &format!("{line} thin"),
        );
    }
}

fn rates(svg: &mut Svg, report: &Report<'_>, top: f64) {
    let seconds = seconds(report);
    let all: Vec<Vec<f64>> = report
        .servers
        .iter()
        .map(|server| {
            let (timeline, elapsed_ns) = &server.timeline;
            timeline.rates(*elapsed_ns).collect()
        })
        .collect();
    let most = all.iter().flatten().copied().fold(0.0, f64::max);
    let title = title(report, "Requests a second over time");
    let scale = |from, to| Scale::linear((0.0, most), from, to);
    let panel = Panel::open(svg, top, &title, &scale, units::count);
    let x = time_axis(svg, &panel, seconds);
    for (index, rates) in all.iter().enumerate() {
        let width = report.servers[index].timeline.0.width_seconds();
        let points = rates.iter().enumerate();
        let points = points.map(|(at, &rate)| (x((at as f64 + 0.5) * width), panel.y.at(rate)));
        svg.curve(points, &class('l', index));
    }
}

#[inline(never)]
fn title(report: &Report<'_>, title: &str) -> String {
    match (report.compared.is_empty(), report.steps.is_empty()) {
        (true, true) => title.to_owned(),
        (true, false) => format!("{title} (last step)"),
        (false, _) => format!("{title} (last round)"),
    }
}
