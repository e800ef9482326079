//! A number with its unit as people write it: `512`, `1.5k`, `20ms`.
//!
//! Every number that is read from an option or a command uses this one grammar:
//!
//! ```text
//!   1.5k    digits, optionally a point and more digits, then a unit of the kind in either case
//! ```
//!
//! There is no sign, no exponent, no blank, and no point without digits on both sides. An error
//! says what would be right; the caller puts the input in front of it. The caller also checks
//! bounds.

use crate::limits::{GIB, KIB, MIB};

const SECOND: u64 = 1_000_000_000;

/// What the number measures, which determines its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A number that names something: no unit.
    Name,
    /// A count or a rate, with `k`, `m` or `g` in powers of 1000.
    Count,
    /// Bytes, with `k`, `m` or `g` in powers of 1024.
    Size,
    /// Nanoseconds. Every value except 0 needs a unit.
    Time,
}

impl Quantity {
    /// The larger units first.
    fn units(self) -> &'static [(&'static str, u64)] {
        match self {
            Quantity::Name => &[("", 1)],
            Quantity::Count => &[("g", 1_000_000_000), ("m", 1_000_000), ("k", 1000), ("", 1)],
            Quantity::Size => &[
                ("g", GIB as u64),
                ("m", MIB as u64),
                ("k", KIB as u64),
                ("", 1),
            ],
            Quantity::Time => &[
                ("h", 3600 * SECOND),
                ("m", 60 * SECOND),
                ("s", SECOND),
                ("ms", 1_000_000),
                ("us", 1000),
                ("ns", 1),
            ],
        }
    }

    /// The value of `text` if it is a whole number. Values beyond the range of the type saturate.
    pub fn whole(self, text: &str) -> Option<u128> {
        let (whole, part, unit) = self.split(text)?;
        let part = part.trim_end_matches('0');
        let scale = 10_u128.checked_pow(part.len() as u32)?;
        let scaled = part.parse().unwrap_or(0_u128).checked_mul(unit)?;
        let whole = whole.parse().unwrap_or(u128::MAX).saturating_mul(unit);
        (scaled % scale == 0).then(|| whole.saturating_add(scaled / scale))
    }

    /// The value of `text`, whole or not, saturated at the largest value that may be whole.
    pub fn real(self, text: &str) -> Option<f64> {
        let (whole, part, unit) = self.split(text)?;
        // 1.1k is exactly 1100; a product of floats would be slightly larger.
        if let Some(value) = self.whole(text) {
            return Some(value as f64);
        }
        let number: f64 = format!("{whole}.{part}").parse().ok()?;
        Some((number * unit as f64).min(u128::MAX as f64))
    }

    /// Why `text` is refused.
    pub fn reason(self, text: &str) -> String {
        let right = match self {
            Quantity::Time if Quantity::Name.split(text).is_some() => {
                return format!("needs a unit, such as {text}s or {text}ms");
            }
            Quantity::Name => "a number, such as 5",
            Quantity::Count => "a number, such as 0.5, 500, 20k or 1.5m",
            Quantity::Size => "a size, such as 512, 64k, 1m or 2g",
            Quantity::Time => "a time, such as 500us, 20ms, 1.5s, 5m or 1h",
        };
        format!("must be {right}")
    }

    /// `value` in the form that is parsed, in the largest unit that is exact.
    pub fn text(self, value: u128) -> String {
        let is_exact = |(_, unit): &&(&str, u64)| value != 0 && value % u128::from(*unit) == 0;
        match self.units().iter().find(is_exact) {
            Some((suffix, unit)) => format!("{}{suffix}", value / u128::from(*unit)),
            None => value.to_string(),
        }
    }

    /// The digits before and after the point, and the value of one unit.
    fn split(self, text: &str) -> Option<(&str, &str, u128)> {
        if (self, text) == (Quantity::Time, "0") {
            return Some(("0", "0", 1));
        }
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (_, unit) =
            (self.units().iter()).find(|(unit, _)| unit.eq_ignore_ascii_case(suffix))?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_plain = !whole.is_empty() && !part.is_empty() && !part.contains('.');
        is_plain.then_some((whole, part, u128::from(*unit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Quantity; 4] = [
        Quantity::Name,
        Quantity::Count,
        Quantity::Size,
        Quantity::Time,
    ];

    #[test]
    fn any_other_spelling_is_refused_by_every_reader() {
        let numbers = [
            "", ".", "5.", ".5", "1.2.3", "1..2", "+5", "-5", "1e3", "1E3", "1_000", "1,5", "0x5",
            "inf", "nan", " 5", "5 ", "٣", "５",
        ];
        for kind in ALL {
            for number in numbers {
                for (unit, _) in kind.units() {
                    let text = format!("{number}{unit}");
                    assert_eq!(kind.whole(&text), None, "{kind:?} {text:?}");
                    assert_eq!(kind.real(&text), None, "{kind:?} {text:?}");
                }
            }
            for unit in ["kk", "kb", "x", "t", " k", "mss", "µs", "k5"] {
                let text = format!("5{unit}");
                assert_eq!(kind.whole(&text), None, "{kind:?} {text:?}");
                assert_eq!(kind.real(&text), None, "{kind:?} {text:?}");
            }
        }
        for (kind, text) in [
            (Quantity::Name, "5k"),
            (Quantity::Count, "5s"),
            (Quantity::Size, "5us"),
            (Quantity::Time, "5"),
            (Quantity::Time, "0.0"),
            (Quantity::Time, "5k"),
        ] {
            assert_eq!((kind.whole(text), kind.real(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn both_readers_find_the_same_where_the_value_is_whole() {
        for (kind, text, value) in [
            (Quantity::Name, "77", 77),
            (Quantity::Name, "007.0", 7),
            (Quantity::Count, "1.5k", 1500),
            (Quantity::Count, "1.000000001g", 1_000_000_001),
            (Quantity::Count, "2G", 2_000_000_000),
            (Quantity::Size, "1.5m", 3 << 19),
            (Quantity::Size, "64K", 1 << 16),
            (Quantity::Time, "0", 0),
            (Quantity::Time, "0.001us", 1),
            (Quantity::Time, "5NS", 5),
            (Quantity::Time, "1.5s", 1_500_000_000),
            (Quantity::Time, "0.5m", 30_000_000_000),
            (Quantity::Time, "1h", 3_600_000_000_000),
        ] {
            assert_eq!(kind.whole(text), Some(value), "{text}");
            assert_eq!(kind.real(text), Some(value as f64), "{text}");
        }
        for (kind, text, value) in [
            (Quantity::Count, "0.5", 0.5),
            (Quantity::Count, "1.0005k", 1000.5),
            (Quantity::Time, "0.5ns", 0.5),
        ] {
            assert_eq!(kind.whole(text), None, "{text}");
            assert_eq!(kind.real(text), Some(value), "{text}");
        }
    }

    #[test]
    fn a_value_beyond_the_type_saturates() {
        for digits in [40, 400] {
            let text = "9".repeat(digits) + "g";
            assert_eq!(Quantity::Count.whole(&text), Some(u128::MAX));
            assert_eq!(Quantity::Count.real(&text), Some(u128::MAX as f64));
        }
        let long = format!("1.{}1", "0".repeat(50));
        assert_eq!(Quantity::Count.whole(&long), None);
        assert_eq!(Quantity::Count.real(&long), Some(1.0));
    }

    #[test]
    fn an_error_says_what_would_be_right() {
        for kind in ALL {
            assert!(kind.reason("fast").contains("such as"), "{kind:?}");
        }
        let reason = "needs a unit, such as 1.5s or 1.5ms";
        assert_eq!(Quantity::Time.reason("1.5"), reason);
    }

    #[test]
    fn a_value_is_written_as_it_is_read() {
        for (kind, value, text) in [
            (Quantity::Size, 0, "0"),
            (Quantity::Size, 1 << 20, "1m"),
            (Quantity::Size, 1000, "1000"),
            (Quantity::Time, 0, "0"),
            (Quantity::Time, 1500, "1500ns"),
            (Quantity::Time, 90_000_000_000, "90s"),
        ] {
            assert_eq!(kind.text(value), text);
            assert_eq!(kind.whole(text), Some(value));
        }
    }
}
