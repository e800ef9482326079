//! The panel of a comparison: a row for each figure of each server but the first.
//!
//! A row has a dot for each pair, a bar for the interval of 95 %, a stroke for the mean, and the
//! same as text. The line at 1 means "as A".

use super::{LEFT, LINE, MARGIN, RIGHT, class};
use crate::base::svg::scale::Scale;
use crate::base::svg::{Anchor, Svg};
use crate::load::judge::compare::{METRICS, Versus};
use crate::load::report::{Report, letter, sentence, units};

/// The area of the dots: right of the labels, left of the text.
const FROM: f64 = 268.0;
const TO: f64 = 600.0;
const ROW: f64 = 24.0;
/// From this quotient of the ends on, the axis is logarithmic.
const LOG_FROM: f64 = 3.0;
/// Ratios beyond these are drawn at the edge, so that one wild pair does not hide the others.
const RATIO_MIN: f64 = 0.01;
const RATIO_MAX: f64 = 100.0;

/// Draws the panel from `y` on, if there is a comparison; returns where the next part begins.
pub(super) fn draw(svg: &mut Svg, report: &Report<'_>, y: f64) -> f64 {
    let all = || report.compared.iter().flat_map(|compared| &compared.versus);
    if all().next().is_none() {
        return y;
    }
    let title = "Ratio to A: every pair (dots), mean and 95 % interval (bar)";
    svg.text((MARGIN, y + 13.0), Anchor::Start, "t", title);
    let values = all().flat_map(|versus| {
        let ends = [versus.estimate.low, versus.estimate.high, 1.0];
        versus.ratios.iter().copied().chain(ends)
    });
    let (low, high) = values
        .map(|ratio| ratio.clamp(RATIO_MIN, RATIO_MAX))
        .fold((1.0_f64, 1.0_f64), |(low, high), ratio| {
            (low.min(ratio), high.max(ratio))
        });
    // A tenth of a percent on both sides keeps the axis open when all ratios are 1.
    let range = (low * 0.999, high * 1.001);
    let scale = match high / low {
        wide if wide >= LOG_FROM => Scale::log(range, FROM, TO),
        _ => Scale::linear(range, FROM, TO),
    };
    let top = y + 30.0;
    let rows = all().count() + report.compared.len();
    let bottom = top + rows as f64 * ROW;
    for &tick in &scale.ticks {
        let x = scale.at(tick);
        let is_one = (tick - 1.0).abs() < 1e-9;
        svg.line((x, top), (x, bottom), if is_one { "a" } else { "g" });
        svg.text(
            (x, bottom + LINE),
            Anchor::Middle,
            "s",
            &units::trimmed(&units::ratio(tick)),
        );
    }
    let below = bottom + 2.0 * LINE;
    svg.text((FROM, below), Anchor::Start, "s", "\u{2190} less than A");
    svg.text((TO, below), Anchor::End, "s", "more than A \u{2192}");
    let mut middle = top - ROW / 2.0;
    for (index, compared) in report.compared.iter().enumerate() {
        middle += ROW;
        let title = format!("{} against A", letter(index + 1));
        svg.text((MARGIN, middle + 4.0), Anchor::Start, "t", &title);
        for versus in &compared.versus {
            middle += ROW;
            row(svg, versus, middle, index + 1, &scale);
        }
    }
    below + LINE
}

fn row(svg: &mut Svg, versus: &Versus, middle: f64, index: usize, scale: &Scale) {
    let estimate = versus.estimate;
    let (line, area) = (class('l', index), class('f', index));
    let more = METRICS
        .iter()
        .any(|(name, more, _)| *name == versus.metric && *more);
    let better = if more {
        "more is better"
    } else {
        "less is better"
    };
    svg.text((MARGIN, middle + 4.0), Anchor::Start, "", versus.label);
    svg.text((FROM - 12.0, middle + 4.0), Anchor::End, "s", better);
    let (low, high) = (scale.at(estimate.low), scale.at(estimate.high));
    svg.line(
        (low, middle),
        (high.max(low + 0.5), middle),
        &format!("{line} wide"),
    );
    for &ratio in &versus.ratios {
        svg.dot((scale.at(ratio), middle), 2.0, &area);
    }
    let mean = scale.at(estimate.ratio);
    svg.line((mean, middle - 7.0), (mean, middle + 7.0), &line);
    let (ratio, low, high) = sentence::three(estimate);
    let text = format!("{ratio} ({low} to {high})");
    svg.text((RIGHT, middle + 4.0), Anchor::End, "", &text);
}

const _: () = assert!(LEFT < FROM && TO < RIGHT);
