//! Formats figures for the text report: three significant digits and a unit.

/// Longer spans are given in hours.
const SECONDS_MAX: f64 = 9999.5;
/// Larger counts have no unit.
const COUNT_SHOWN_MAX: f64 = 999.5e18;

/// A span given in nanoseconds: `812 ns`, `70.1 us`, `1.25 ms`, `3.00 s`. It has at most eight
/// characters.
#[inline(never)]
pub fn span(nanoseconds: f64) -> String {
    let seconds = nanoseconds / 1e9;
    match seconds < SECONDS_MAX {
        true => scaled(nanoseconds, 1000.0, &[" ns", " us", " ms", " s"]),
        false => format!("{} h", count(seconds / 3600.0)),
    }
}

/// A count or a rate: `950`, `12.3k`, `1.20M`.
#[inline(never)]
pub fn count(value: f64) -> String {
    // An interval from two pairs that differ widely has an end without bound.
    if value >= COUNT_SHOWN_MAX {
        return "> 999E".to_owned();
    }
    scaled(value, 1000.0, &["", "k", "M", "G", "T", "P", "E"])
}

/// A size in bytes: `512 B`, `1.50 KiB`, `20.0 MiB`.
#[inline(never)]
pub fn bytes(value: f64) -> String {
    scaled(
        value,
        1024.0,
        &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"],
    )
}

/// A ratio in at most six characters: `0.9323`, `12.345`, `1234.6`, `1.20M`.
#[inline(never)]
pub fn ratio(ratio: f64) -> String {
    let decimals = match ratio {
        ratio if ratio < 9.99995 => 4,
        ratio if ratio < 99.9995 => 3,
        ratio if ratio < 999.995 => 2,
        ratio if ratio < 9999.95 => 1,
        ratio => return count(ratio),
    };
    format!("{ratio:.decimals$}")
}

/// A ratio as a change: `+1.30 %`, or `x 12.3` from ten times on.
#[inline(never)]
pub fn change(ratio: f64) -> String {
    match ratio {
        ratio if ratio < 10.0 => format!("{:+.2} %", (ratio - 1.0) * 100.0),
        ratio => format!("x {}", count(ratio)),
    }
}

/// A formatted figure without zeros after its point: `10.0 ms` becomes `10 ms`.
#[inline(never)]
pub fn trimmed(figure: &str) -> String {
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let end = figure
        .find(|letter| !is_number(letter))
        .unwrap_or(figure.len());
    let (number, unit) = figure.split_at(end);
    match number.contains('.') {
        true => format!(
            "{}{unit}",
            number.trim_end_matches('0').trim_end_matches('.')
        ),
        false => figure.to_owned(),
    }
}

#[inline(never)]
fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut index = 0;
    while value >= step * 0.9995 && index + 1 < units.len() {
        value /= step;
        index += 1;
    }
    let decimals = match value {
        _ if index == 0 && value.fract() == 0.0 => 0,
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}{}", units[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        let spans = [
            (0.0, "0 ns"),
            (812.0, "812 ns"),
            (70_123.0, "70.1 us"),
            (1.25e6, "1.25 ms"),
            (3e9, "3.00 s"),
        ];
        spans
            .iter()
            .for_each(|(value, text)| assert_eq!(span(*value), *text));
        assert_eq!(
            (count(999.9), count(12_345.0)),
            ("1.00k".to_owned(), "12.3k".to_owned())
        );
        assert_eq!(
            (bytes(512.0), bytes(1536.0)),
            ("512 B".to_owned(), "1.50 KiB".to_owned())
        );
        let changes = [1.013, 0.5, 9.5, 10.0, 12_345.0].map(change);
        assert_eq!(
            changes,
            ["+1.30 %", "-50.00 %", "+850.00 %", "x 10", "x 12.3k"]
        );
    }

    #[test]
    fn zeros_after_the_point_are_left_out() {
        for (figure, text) in [
            ("10.0 ms", "10 ms"),
            ("1.50 s", "1.5 s"),
            ("100 us", "100 us"),
            ("20.0k", "20k"),
            ("0.9500", "0.95"),
            ("0", "0"),
            ("", ""),
        ] {
            assert_eq!(trimmed(figure), text);
        }
    }

    #[test]
    fn no_figure_is_wider_than_its_column() {
        let mut value = 0.0001;
        while value < 1e40 {
            for near in [value * 0.9994, value * 0.99994, value, value * 1.00001] {
                assert!(span(near).len() <= 8, "{}", span(near));
                assert!(ratio(near).len() <= 6, "{}", ratio(near));
            }
            value *= 1.5;
        }
        assert_eq!(span(u64::MAX as f64), "5.12M h");
        assert_eq!([1e21, f64::INFINITY].map(ratio), ["> 999E"; 2]);
        assert_eq!(bytes(u64::MAX as f64), "16.0 EiB");
        let spans = [9999.4e9, 9999.6e9].map(span);
        assert_eq!(spans, ["9999 s", "2.78 h"]);
        let ratios = [0.93234, 9.99996, 12.3456, 1234.56, 9999.97].map(ratio);
        assert_eq!(ratios, ["0.9323", "10.000", "12.346", "1234.6", "10.0k"]);
    }
}
