//! The SVG report: what was measured, where and when, and how much to believe it.
//!
//! ```text
//!   head          the sentence, the origin, the load, the doubts
//!   table         a row for each server: its colour, its name, its figures
//!   percentiles   latency over percentile, on a logarithmic axis
//!   time          latency over time, requests a second over time
//!   ratios        for a comparison: every pair, the mean and its interval
//! ```
//!
//! The file is self-contained: no script, no font, no external reference. Colours follow the
//! reader's light or dark scheme. Every server has a letter beside its colour, and long names are
//! cut. Neighbours: `base::svg` draws, `panels` and `ratios` have the lower parts.

mod panels;
mod ratios;

use super::{Report, letter, sentence, units};
use crate::base::svg::{Anchor, Svg, fitted, wrapped};
use crate::load::run::session::Loaded;

const WIDTH: f64 = 800.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 776.0;
const MARGIN: f64 = 24.0;
/// Font sizes.
const TITLE: f64 = 16.0;
const TEXT: f64 = 12.0;
/// Distance of two lines of text.
const LINE: f64 = 17.0;
/// Colours of servers; a further server begins again.
const COLOURS: usize = 6;
/// Doubts that are shown; further ones are counted.
const DOUBTS_SHOWN: usize = 4;
/// Right ends of the columns of figures: rate, p50, p99, errors, CPU.
const COLUMNS: [(f64, &str); 5] = [
    (466.0, "requests/s"),
    (538.0, "p50"),
    (610.0, "p99"),
    (672.0, "errors"),
    (776.0, "CPU a request"),
];

/// `l0`, `l1`, ... are lines and `f0`, ... areas in the colour of a server.
const STYLE: &str = "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
 .t{font-weight:600}.h{font-size:16px;font-weight:600}.s{fill:#59636e}.n{text-anchor:end}\
 .w{fill:#c0262d}.g{stroke:#8884;fill:none}.m{stroke:#8888;stroke-dasharray:3 3;fill:none}\
 .a{stroke:#59636e;fill:none}.back{fill:#fff}\
 .l0,.l1,.l2,.l3,.l4,.l5{fill:none;stroke-width:1.8}.wide{stroke-width:7;stroke-opacity:.35}\
 .thin{stroke-width:1.2;stroke-dasharray:5 3}\
 .l0{stroke:#1f6fb2}.f0{fill:#1f6fb2}.l1{stroke:#c8394f}.f1{fill:#c8394f}\
 .l2{stroke:#2c874c}.f2{fill:#2c874c}.l3{stroke:#9a6b00}.f3{fill:#9a6b00}\
 .l4{stroke:#6f4fa8}.f4{fill:#6f4fa8}.l5{stroke:#47606e}.f5{fill:#47606e}\
 @media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9da7b1}.w{fill:#ff7b72}\
 .back{fill:#14171a}.a{stroke:#9da7b1}\
 .l0{stroke:#58a6ff}.f0{fill:#58a6ff}.l1{stroke:#ff7b8a}.f1{fill:#ff7b8a}\
 .l2{stroke:#56d37e}.f2{fill:#56d37e}.l3{stroke:#e0b040}.f3{fill:#e0b040}\
 .l4{stroke:#bc9cff}.f4{fill:#bc9cff}.l5{stroke:#9fb6c3}.f5{fill:#9fb6c3}}";

/// The SVG document of a report.
pub fn svg(report: &Report<'_>) -> String {
    let mut svg = Svg::default();
    let mut y = head(&mut svg, report);
    y = table(&mut svg, report, y);
    y = panels::draw(&mut svg, report, y);
    y = ratios::draw(&mut svg, report, y);
    svg.finish(WIDTH, y + 8.0, &title(report), STYLE)
}

/// The class of a server's lines (`l`) or areas (`f`).
#[inline(never)]
fn class(kind: char, index: usize) -> String {
    format!("{kind}{}", index % COLOURS)
}

/// The first sentence of a run, or the last sentences of a comparison.
fn title(report: &Report<'_>) -> String {
    let last: Vec<String> = (0..report.compared.len())
        .filter_map(|index| sentence::last(report, index))
        .collect();
    match (last.is_empty(), report.servers.len()) {
        (false, _) => last.join("; "),
        (true, 1) if !report.steps.is_empty() => sentence::knee(report),
        (true, 1) => format!(
            "{}, {}",
            sentence::figures(&report.servers[0]),
            sentence::errors(&report.servers[0])
        ),
        _ => "mynah bench".to_owned(),
    }
}

/// Draws the head; returns where the next part begins.
fn head(svg: &mut Svg, report: &Report<'_>) -> f64 {
    let width = RIGHT - MARGIN;
    let mut y = 30.0;
    for line in wrapped(&title(report), width, TITLE) {
        svg.text((MARGIN, y), Anchor::Start, "h", &line);
        y += 21.0;
    }
    let mut lines: Vec<(String, &str)> = Vec::new();
    let mut tell = |text: &str, class, most: usize| {
        let all = wrapped(text, width, TEXT);
        let is_cut = all.len() > most;
        for (index, line) in all.into_iter().take(most).enumerate() {
            let end = if is_cut && index + 1 == most {
                " ..."
            } else {
                ""
            };
            lines.push((line + end, class));
        }
    };
    tell(&report.origin.line(), "s", 2);
    tell(&report.load, "s", 3);
    report.notes.iter().for_each(|note| tell(note, "s", 1));
    let doubts: Vec<String> = report
        .checks
        .iter()
        .filter(|(_, check)| check.doubtful)
        .map(|(index, check)| match report.servers.len() {
            1 => format!("!! {}", check.text),
            _ => format!("!! {}: {}", letter(*index), check.text),
        })
        .collect();
    doubts
        .iter()
        .take(DOUBTS_SHOWN)
        .for_each(|doubt| tell(doubt, "w", 2));
    if doubts.len() > DOUBTS_SHOWN {
        tell(
            &format!("!! and {} more", doubts.len() - DOUBTS_SHOWN),
            "w",
            1,
        );
    }
    report
        .broken_assertions
        .iter()
        .for_each(|line| tell(&format!("!! {line}"), "w", 2));
    for (line, class) in lines {
        svg.text((MARGIN, y), Anchor::Start, class, &line);
        y += LINE;
    }
    y + 8.0
}

/// Draws a row for each server.
fn table(svg: &mut Svg, report: &Report<'_>, y: f64) -> f64 {
    let mut y = y + LINE;
    for (x, name) in COLUMNS {
        svg.text((x, y), Anchor::End, "s", name);
    }
    for (index, server) in report.servers.iter().enumerate() {
        y += LINE;
        let middle = y - 4.0;
        svg.line(
            (MARGIN, middle),
            (MARGIN + 22.0, middle),
            &class('l', index),
        );
        svg.dot((MARGIN + 11.0, middle), 3.5, &class('f', index));
        let left = MARGIN + 32.0;
        let name = match report.servers.len() {
            1 => short(&server.target.name),
            _ => format!("{}  {}", letter(index), short(&server.target.name)),
        };
        for ((x, _), cell) in COLUMNS.iter().zip(cells(server)) {
            svg.text((*x, y), Anchor::End, "", &cell);
        }
        let width = COLUMNS[0].0 - 66.0 - left;
        let lines = wrapped(&name, width, TEXT);
        let rest = lines.iter().skip(1).cloned().collect::<Vec<_>>().join(" ");
        svg.text((left, y), Anchor::Start, "t", &lines[0]);
        if !rest.is_empty() {
            y += LINE;
            svg.text(
                (left, y),
                Anchor::Start,
                "t",
                &fitted(&rest, RIGHT - left, TEXT),
            );
        }
    }
    y + 20.0
}

/// A name without the folder of its program: `mynah --listen` for `/usr/bin/mynah --listen`.
fn short(name: &str) -> String {
    let (quote, rest) = match name.strip_prefix('\'') {
        Some(rest) => ("'", rest),
        None => ("", name),
    };
    let program = rest.split(' ').next().unwrap_or_default();
    match (rest.starts_with('/'), program.rfind('/')) {
        (true, Some(slash)) => format!("{quote}{}", &rest[slash + 1..]),
        _ => name.to_owned(),
    }
}

/// The figures of a server over all its runs; a dash for one that is not known.
fn cells(server: &Loaded) -> [String; 5] {
    let runs = server.runs.len().max(1) as f64;
    let rate = server.runs.iter().map(|run| run.rate).sum::<f64>() / runs;
    let at = |percent| match server.latency.count() {
        0 => "-".to_owned(),
        _ => units::span(server.latency.percentile(percent) as f64),
    };
    let costs = server.runs.iter().map(|run| run.server?.cpu_ns_per_request);
    let cost: Option<f64> = costs.sum();
    let cost = cost.filter(|_| !server.runs.is_empty());
    [
        units::count(rate),
        at(50.0),
        at(99.0),
        units::count(server.errors() as f64),
        cost.map_or("-".to_owned(), |sum| units::span(sum / runs)),
    ]
}

#[cfg(test)]
mod tests;
