//! The SVG report: latency percentiles, the rate over time, and the ratios of a comparison.
//!
//! The file is self-contained: no script, no font, no external reference. The colours follow the
//! reader's light or dark scheme. Every curve has a label in the picture, so colour is never the
//! only distinction.

use std::fmt::Write;

use super::units;
use super::{Report, letter};
use crate::load::judge::compare::Versus;

const WIDTH: f64 = 800.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 770.0;
const PANEL: f64 = 240.0;
/// Vertical position of the first server name.
const HEAD: f64 = 62.0;
/// Line spacing of the legend.
const LINE: f64 = 16.0;
const COLOURS: [&str; 6] = [
    "#2b7bba", "#d1495b", "#3a9a5b", "#b8860b", "#7b5ea7", "#5c6b73",
];
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#222}.t{font-weight:600}\
 .g{stroke:#8884}\
 .b{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}.b{fill:#16181b}}";

/// The SVG document of a session.
pub fn svg(session: &Report<'_>) -> String {
    let rows: usize = session
        .compared
        .iter()
        .map(|compared| compared.versus.len() + 1)
        .sum();
    let ratios_height = if rows == 0 {
        0.0
    } else {
        60.0 + rows as f64 * 24.0
    };
    let head = HEAD + session.servers.len() as f64 * LINE + 10.0;
    let height = head + 2.0 * PANEL + ratios_height;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>mynah bench</title>\n<style>{STYLE}</style>\n\
         <rect class=\"b\" width=\"{WIDTH}\" height=\"{height}\"/>\n"
    );
    text(&mut out, LEFT, 24.0, "t", "mynah bench");
    text(&mut out, LEFT, 42.0, "", &session.load);
    for (index, server) in session.servers.iter().enumerate() {
        let (y, colour) = (HEAD + index as f64 * LINE, COLOURS[index % COLOURS.len()]);
        let at = y - 4.0;
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {at:.1}h16\" stroke=\"{colour}\" stroke-width=\"3\"/>"
        );
        let name = format!("{}  {}", letter(index), server.target.name);
        text(&mut out, LEFT + 22.0, y, "", &name);
    }
    percentiles(&mut out, session, head);
    rates(&mut out, session, head + PANEL);
    if rows > 0 {
        ratios(&mut out, session, head + 2.0 * PANEL);
    }
    out.push_str("</svg>\n");
    out
}

/// A panel with a grid, for curves with values from 0 to `top`.
struct Panel {
    y: f64,
    top: f64,
}

impl Panel {
    fn open(
        out: &mut String,
        y: f64,
        title: &str,
        top: f64,
        label: impl Fn(f64) -> String,
    ) -> Panel {
        // A scale that ends at one round digit is easier to read than one that ends at the largest
        // value.
        let digit = 10f64.powf(top.max(1e-9).log10().floor());
        let panel = Panel {
            y,
            top: (top.max(1e-9) / digit).ceil() * digit,
        };
        text(out, LEFT, y + 14.0, "t", title);
        for step in 0..=4 {
            let value = panel.top * f64::from(step) / 4.0;
            let at = panel.at(value);
            let _ = writeln!(out, "<path class=\"g\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>");
            let _ = writeln!(
                out,
                "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                at + 4.0,
                escape(&label(value))
            );
        }
        panel
    }

    fn at(&self, value: f64) -> f64 {
        self.y + PANEL - 40.0 - value / self.top * (PANEL - 70.0)
    }

    /// Draws a curve through points with x from 0 to 1.
    fn curve(&self, out: &mut String, index: usize, points: impl Iterator<Item = (f64, f64)>) {
        let colour = COLOURS[index % COLOURS.len()];
        let mut path = String::new();
        for (x, value) in points {
            let x = LEFT + x * (RIGHT - LEFT);
            let _ = write!(
                path,
                "{}{x:.1} {:.1}",
                if path.is_empty() { 'M' } else { 'L' },
                self.at(value)
            );
        }
        if !path.is_empty() {
            let _ = writeln!(
                out,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>"
            );
        }
    }
}

fn percentiles(out: &mut String, session: &Report<'_>, y: f64) {
    let top = session
        .servers
        .iter()
        .map(|server| server.latency.percentile(99.99))
        .max()
        .unwrap_or(0);
    let kind = match session
        .servers
        .first()
        .and_then(|server| server.runs.last())
    {
        Some(figures) if figures.response.is_some() => {
            "response time (from when a request was due)"
        }
        _ => "service time (from the send)",
    };
    let panel = Panel::open(
        out,
        y,
        &format!("Percentiles of the {kind}"),
        top as f64,
        units::span,
    );
    // Each further nine has the same width: x is the number of nines, up to four.
    let nines = |percent: f64| -(1.0 - percent / 100.0).max(1e-9).log10() / 4.0;
    for (percent, name) in [
        (0.0, "0 %"),
        (90.0, "90 %"),
        (99.0, "99 %"),
        (99.9, "99.9 %"),
        (99.99, "99.99 %"),
    ] {
        let x = LEFT + nines(percent) * (RIGHT - LEFT);
        let _ = writeln!(
            out,
            "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{name}</text>",
            y + PANEL - 22.0
        );
    }
    for (index, server) in session.servers.iter().enumerate() {
        let lines = server
            .latency
            .percentiles()
            .into_iter()
            .filter(|line| line.percent <= 99.99);
        let points = lines.map(|line| (nines(line.percent), line.value as f64));
        panel.curve(out, index, points);
    }
}

fn rates(out: &mut String, session: &Report<'_>, y: f64) {
    let rates = |index: usize| -> Vec<f64> {
        let (timeline, elapsed_ns) = &session.servers[index].timeline;
        timeline.rates(*elapsed_ns).collect()
    };
    let all: Vec<Vec<f64>> = (0..session.servers.len()).map(rates).collect();
    let top = all.iter().flatten().copied().fold(0.0, f64::max);
    let seconds = session
        .servers
        .iter()
        .map(|server| server.timeline.1 as f64 / 1e9)
        .fold(0.0, f64::max);
    let panel = Panel::open(
        out,
        y,
        "Requests a second over time (last run)",
        top,
        units::count,
    );
    for (x, anchor, label) in [
        (LEFT, "start", "0 s".to_owned()),
        (RIGHT, "end", format!("{seconds:.1} s")),
    ] {
        let at = y + PANEL - 22.0;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{at:.0}\" text-anchor=\"{anchor}\">{label}</text>"
        );
    }
    for (index, rates) in all.iter().enumerate() {
        let width = session.servers[index].timeline.0.width_seconds();
        let points = rates.iter().enumerate();
        let points = points.map(|(at, &rate)| ((at as f64 + 0.5) * width / seconds, rate));
        panel.curve(out, index, points);
    }
}

/// One row per figure: a dot for each pair, a bar for the interval, and a stroke for the mean.
fn ratios(out: &mut String, session: &Report<'_>, y: f64) {
    text(
        out,
        LEFT,
        y + 14.0,
        "t",
        "Ratios: pairs, mean and 95 % interval",
    );
    let all = session
        .compared
        .iter()
        .flat_map(|compared| &compared.versus);
    let ends = all.flat_map(|versus| {
        versus
            .ratios
            .iter()
            .copied()
            .chain([versus.estimate.low, versus.estimate.high])
    });
    let reach = ends
        .map(|ratio| ratio.ln().abs())
        .fold(0.01, f64::max)
        .min(3.0)
        * 1.05;
    let (left, right) = (LEFT + 170.0, RIGHT - 20.0);
    let at = |ratio: f64| {
        (left + right) / 2.0 + ratio.ln().clamp(-reach, reach) / reach * (right - left) / 2.0
    };
    let mut row = y + 40.0;
    for (index, compared) in session.compared.iter().enumerate() {
        let colour = COLOURS[(index + 1) % COLOURS.len()];
        let title = format!("{} against A", letter(index + 1));
        text(out, LEFT, row, "t", &title);
        for versus in &compared.versus {
            row += 24.0;
            text(out, LEFT, row, "", versus.label);
            interval(out, versus, row, colour, at);
        }
        row += 24.0;
    }
}

/// Draws one row; `at` maps a ratio to an x position.
fn interval(out: &mut String, versus: &Versus, row: f64, colour: &str, at: impl Fn(f64) -> f64) {
    let estimate = versus.estimate;
    let (low, high, mean) = (at(estimate.low), at(estimate.high), at(estimate.ratio));
    let middle = row - 4.0;
    let _ = writeln!(
        out,
        "<path class=\"g\" d=\"M{:.1} {:.1}v20\"/>",
        at(1.0),
        middle - 10.0
    );
    let _ = writeln!(
        out,
        "<path d=\"M{low:.1} {middle:.1}H{high:.1}\" stroke=\"{colour}\" \
         stroke-width=\"6\" opacity=\".4\"/>\
         <path d=\"M{mean:.1} {:.1}v14\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        middle - 7.0
    );
    for &ratio in &versus.ratios {
        let _ = write!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"2\" fill=\"{colour}\"/>",
            at(ratio)
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{WIDTH}\" dx=\"-6\" y=\"{row:.1}\" text-anchor=\"end\">{:.3}</text>",
        estimate.ratio
    );
}

fn text(out: &mut String, x: f64, y: f64, class: &str, content: &str) {
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x}\" y=\"{y:.1}\">{}</text>",
        escape(content)
    );
}

/// Escapes the text of an element. XML cannot express most control characters, or U+FFFE and
/// U+FFFF. Each of them is replaced by one substitute (XML 1.0, 2.2).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            letter if letter.is_control() => out.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_element_or_says_what_xml_cannot() {
        let text = escape("a<b>&\0\u{1b}\n\u{ffff}\u{85}é\"'");
        let stand_in = "\u{fffd}";
        let expected = format!("a&lt;b&gt;&amp;{}é\"'", stand_in.repeat(5));
        assert_eq!(text, expected);
    }
}
