//! Formats figures for the text report: three significant digits and a unit.

/// A span given in nanoseconds: `812 ns`, `70.1 us`, `1.25 ms`, `3.00 s`.
pub fn span(nanoseconds: f64) -> String {
    scaled(nanoseconds, 1000.0, &[" ns", " us", " ms", " s"])
}

/// A count or a rate: `950`, `12.3k`, `1.20M`.
pub fn count(value: f64) -> String {
    scaled(value, 1000.0, &["", "k", "M", "G"])
}

/// A size in bytes: `512 B`, `1.50 KiB`, `20.0 MiB`.
pub fn bytes(value: f64) -> String {
    scaled(value, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

/// A ratio as a change: `+1.3 %`.
pub fn change(ratio: f64) -> String {
    format!("{:+.2} %", (ratio - 1.0) * 100.0)
}

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
        assert_eq!(change(1.013), "+1.30 %");
    }
}
