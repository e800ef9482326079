//! Parsers for the values of the command line: counts, sizes, times, switches and names.
//!
//! Each function parses one kind of value and checks it against its bounds. Its error says what
//! would be right; the parser puts the input in front. Sizes and times are also formatted, so that
//! the help shows each default as a user would type it. The syntax of numbers is in
//! `base::text::quantity`. This file does not know which flag a value belongs to.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::text::quantity::Quantity;
use crate::base::text::suggest::suggest_or_list;
use crate::base::token_bucket::Rate;
use crate::kernel::{Endpoint, host};
use crate::limits::{RATE_MAX, THREADS_MAX};

/// Reading, writing and executing for everyone. The other bits have no meaning for a socket.
const MODE_MAX: u32 = 0o777;

/// Stores a parsed value in `place`.
pub(super) fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// Refuses a flag that needs a cargo feature which this program was built without.
pub(super) fn needs_feature(feature: &str, is_built: bool) -> Result<(), String> {
    match is_built {
        true => Ok(()),
        false => Err(format!(
            "needs the feature {feature}, which this program was built without; \
             cargo build --features {feature}"
        )),
    }
}

/// The kinds of values, for the help: the name that follows a flag, and its meaning.
pub(super) const KINDS: &[(&str, &str)] = &[
    (
        "N",
        "a count, alone or with k, m or g in powers of 1000: 10k, 1.5m",
    ),
    ("RATE", "the same a second, and not only whole: 0.5, 20k"),
    (
        "SIZE",
        "bytes, alone or with k, m or g in powers of 1024: 64k, 1.5m",
    ),
    (
        "R[/BURST]",
        "bytes a second, and how many at once [one second's, at most 1m]",
    ),
    (
        "TIME",
        "a number and its unit, ns, us, ms, s, m or h: 500us, 1.5s",
    ),
];

/// A whole number within `range`, without a unit suffix: the number of a thing.
#[inline(never)]
pub(super) fn number<T>(text: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: TryFrom<u128> + PartialOrd + Display,
{
    within(Quantity::Name.whole(text), range)
}

/// A whole number within `range`: digits, alone or with `k`, `m` or `g` in powers of 1000.
#[inline(never)]
pub(super) fn count<T>(text: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: TryFrom<u128> + PartialOrd + Display,
{
    within(Quantity::Count.whole(text), range)
}

#[inline(never)]
fn within<T>(read: Option<u128>, range: RangeInclusive<T>) -> Result<T, String>
where
    T: TryFrom<u128> + PartialOrd + Display,
{
    let (least, most) = (range.start(), range.end());
    let Some(value) = read else {
        return Err(format!("must be a whole number, {least} to {most}"));
    };
    match T::try_from(value) {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("must be {least} to {most}")),
    }
}

/// A number of threads; `auto` is one for each processor on which this process may run.
#[inline(never)]
pub(super) fn threads(text: &str) -> Result<usize, String> {
    match text {
        // A kernel with more processors than a mask here has bits refuses the call.
        "auto" => Ok(host::affinity(0)
            .map_or(1, |may| may.list().len())
            .clamp(1, THREADS_MAX)),
        _ => count(text, 1..=THREADS_MAX),
    }
}

/// A whole number within `range`. `off` and 0 give `None`.
#[inline(never)]
pub(super) fn count_or_off(text: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, String> {
    match text {
        "off" | "0" => Ok(None),
        _ => match count(text, range) {
            Ok(count) => Ok(Some(count)),
            Err(reason) => Err(format!("{reason}, or off")),
        },
    }
}

/// Formats a number as [`count_or_off`] parses it.
pub(super) fn count_or_off_text(count: Option<u32>) -> String {
    count.map_or_else(|| "off".to_owned(), |count| count.to_string())
}

/// A size in bytes within `range`: a number, alone or with `k`, `m` or `g` in powers of 1024.
#[inline(never)]
pub(super) fn size(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let read = Quantity::Size.whole(text);
    let bytes = read.ok_or_else(|| Quantity::Size.reason(text))?;
    match usize::try_from(bytes) {
        Ok(size) if range.contains(&size) => Ok(size),
        _ => Err(format!(
            "must be {} to {}",
            size_text(*range.start()),
            size_text(*range.end())
        )),
    }
}

/// Formats a size as [`size`] parses it, in the largest unit that is exact.
#[inline(never)]
pub(super) fn size_text(size: usize) -> String {
    Quantity::Size.text(size as u128)
}

/// Bytes per second, and behind a slash the burst in bytes: `1m`, `64k/4k`. `off` gives `None`.
#[inline(never)]
pub(super) fn byte_rate(text: &str) -> Result<Option<Rate>, String> {
    if text == "off" {
        return Ok(None);
    }
    let (rate, burst) = match text.split_once('/') {
        Some((rate, burst)) => (rate, Some(burst)),
        None => (text, None),
    };
    let sizes = 1..=usize::try_from(RATE_MAX).unwrap_or(usize::MAX);
    let rate = match size(rate, sizes.clone()) {
        Ok(rate) => rate as u64,
        Err(reason) => return Err(format!("the rate {reason}, or off")),
    };
    let burst = match burst {
        None => Rate::burst_of(rate),
        Some(burst) => match size(burst, sizes) {
            Ok(burst) => burst as u64,
            Err(reason) => return Err(format!("the burst behind the / {reason}")),
        },
    };
    Ok(Some(Rate { rate, burst }))
}

/// Formats a rate as [`byte_rate`] parses it.
pub(super) fn byte_rate_text(rate: Option<Rate>) -> String {
    let Some(Rate { rate, burst }) = rate else {
        return "off".to_owned();
    };
    let text = |bytes: u64| Quantity::Size.text(u128::from(bytes));
    match burst == Rate::burst_of(rate) {
        true => text(rate),
        false => format!("{}/{}", text(rate), text(burst)),
    }
}

/// A rate: a decimal number, alone or with `k`, `m` or `g` in powers of 1000.
#[inline(never)]
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let read = Quantity::Count.real(text);
    read.ok_or_else(|| Quantity::Count.reason(text))
}

/// A span within `range`: a number with a unit, in whole nanoseconds. Only 0 needs no unit.
#[inline(never)]
pub(super) fn time(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let read = Quantity::Time.whole(text);
    let nanos = read.ok_or_else(|| Quantity::Time.reason(text))?;
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(span) if range.contains(&span) => Ok(span),
        _ => Err(format!(
            "must be {} to {}",
            time_text(*range.start()),
            time_text(*range.end())
        )),
    }
}

/// Formats a span as [`time`] parses it, in the largest unit that is exact.
#[inline(never)]
pub(super) fn time_text(time: Duration) -> String {
    Quantity::Time.text(time.as_nanos())
}

/// A span within `range`. `off` and 0 in any unit give `None`.
#[inline(never)]
pub(super) fn time_or_off(
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<Option<Duration>, String> {
    let whole = Duration::ZERO..=*range.end();
    match text {
        "off" => Ok(None),
        _ if time(text, whole) == Ok(Duration::ZERO) => Ok(None),
        _ => match time(text, range) {
            Ok(time) => Ok(Some(time)),
            Err(reason) => Err(format!("{reason}, or off")),
        },
    }
}

/// Formats an optional span as [`time_or_off`] parses it.
#[inline(never)]
pub(super) fn time_or_off_text(time: Option<Duration>) -> String {
    time.map_or_else(|| "off".to_owned(), time_text)
}

/// `on` or `off`.
#[inline(never)]
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

/// Formats a switch as [`switch`] parses it.
pub(super) fn switch_text(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

/// The permissions of a file in octal, as chmod(1) takes them.
#[inline(never)]
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let read = is_octal.then(|| u32::from_str_radix(text, 8).ok());
    let mode = read.flatten().filter(|mode| *mode <= MODE_MAX);
    mode.ok_or_else(|| format!("must be octal permissions, 0 to 0{MODE_MAX:o}, such as 0660"))
}

/// The address of a stream server.
#[inline(never)]
pub(super) fn stream_endpoint(text: &str) -> Result<Endpoint, String> {
    let endpoint: Endpoint = text.parse()?;
    if endpoint.is_datagrams() {
        return Err("connect speaks to streams; nc -u or mynah bench send datagrams".to_owned());
    }
    Ok(endpoint)
}

/// One of `choices`, by its name.
#[inline(never)]
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, String> {
    match choices.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => Err(suggest_or_list(text, choices.iter().map(|(name, _)| *name))),
    }
}

/// A word of the input for use in a message: on one line, printable, and cut at a maximum length.
#[inline(never)]
pub(super) fn shown(word: &str) -> String {
    const LONGEST: usize = 60;
    let mut text = word.to_owned();
    if let Some((end, _)) = word.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push_str("...");
    }
    // escape_debug writes unprintable characters as \n or \u{..}; a plain word stays unchanged.
    if text.is_empty() || text.contains(' ') || text.escape_debug().ne(text.chars()) {
        text = format!("{text:?}");
    }
    text
}

/// Destination of a document: a file, or `-`.
#[inline(never)]
pub(super) fn output_file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("must be a file, or - for stdout".to_owned()),
        path => Ok(path.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{GIB, MIB};

    #[test]
    fn a_count_is_digits_within_its_range() {
        assert_eq!(count("64", 1..=64), Ok(64));
        for text in ["0", "65", "99999999999999999999999"] {
            assert_eq!(
                count(text, 1..=64),
                Err("must be 1 to 64".to_owned()),
                "{text}"
            );
        }
        for text in ["", "+5", "-1", "1_000", " 1", "٣", "1kk", "k", "1e3"] {
            let reason = "must be a whole number, 1 to 64".to_owned();
            assert_eq!(count(text, 1..=64), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn a_mode_is_octal_and_has_no_bits_but_permissions() {
        for (text, value) in [("0", 0), ("0660", 0o660), ("600", 0o600), ("776", 0o776)] {
            assert_eq!(mode(text), Ok(value), "{text}");
        }
        for text in ["777", "0777", "00000777"] {
            assert_eq!(mode(text), Ok(0o777), "{text}");
        }
        for text in [
            "1000",
            "8",
            "0o660",
            "+660",
            "-1",
            "",
            " 7",
            "u=rw",
            "77777777777777",
        ] {
            let reason = "must be octal permissions, 0 to 0777, such as 0660".to_owned();
            assert_eq!(mode(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn a_count_takes_a_suffix_and_a_plain_number_does_not() {
        for (text, value) in [("10k", 10_000), ("1M", 1_000_000), ("2g", 2_000_000_000)] {
            assert_eq!(count(text, 1..=u64::MAX), Ok(value), "{text}");
            assert!(number(text, 1..=u64::MAX).is_err(), "{text}");
        }
        assert_eq!(count("18446744073709551615", 1..=u64::MAX), Ok(u64::MAX));
        for text in ["18446744073709551616", "18446744073709552k", "65k"] {
            let reason = "must be 1 to 64999".to_owned();
            assert_eq!(count(text, 1..=64_999), Err(reason), "{text}");
        }
        assert_eq!(number("77", 1..=u32::MAX), Ok(77));
    }

    #[test]
    fn a_decimal_point_is_accepted_if_the_value_stays_exact() {
        assert_eq!(count("1.5k", 1..=5000), Ok(1500));
        assert_eq!(size("1.5m", 1..=GIB), Ok(3 << 19));
        let all = Duration::ZERO..=Duration::MAX;
        for (text, nanos) in [
            ("1.5s", 1_500_000_000),
            ("0.5m", 30_000_000_000),
            ("1.000us", 1000),
            ("0.001us", 1),
            ("0.0s", 0),
        ] {
            let span = Duration::from_nanos(nanos);
            assert_eq!(time(text, all.clone()), Ok(span), "{text}");
        }
        let long = format!("1.{}1s", "0".repeat(50));
        for text in [
            "1.5.s", ".s", ".5s", "1.s", "1..5s", "1.5.5s", "0.0001us", &long,
        ] {
            let reason = time(text, all.clone()).expect_err(text);
            assert!(reason.contains("such as 500us"), "{text}: {reason}");
        }
        assert!(time("1.5", all).is_err_and(|why| why == "needs a unit, such as 1.5s or 1.5ms"));
        for text in ["1.5", "1.", ".5k", "1.0005k"] {
            assert!(count(text, 1..=5000).is_err(), "{text}");
            assert!(size(text, 1..=GIB).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_counts_in_powers_of_1024() {
        let all = 1..=usize::MAX;
        for (text, bytes) in [("512", 512), ("64k", 65_536), ("1M", MIB), ("2g", 2 * GIB)] {
            assert_eq!(size(text, all.clone()), Ok(bytes));
            assert_eq!(size(&size_text(bytes), all.clone()), Ok(bytes));
        }
        for text in ["", "k", "1.5", "1kb", "1kk", "-1", "1 k"] {
            assert!(
                size(text, all.clone()).is_err_and(|why| why.contains("such as")),
                "{text:?}"
            );
        }
        for text in ["0", "0k", "2g", "17179869184g", "99999999999999999999"] {
            assert_eq!(
                size(text, 1..=GIB),
                Err("must be 1 to 1g".to_owned()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_rate_of_bytes_has_a_burst_of_one_second_up_to_a_mebibyte() {
        let rate = |rate, burst| Ok(Some(Rate { rate, burst }));
        for (text, expected) in [
            ("off", Ok(None)),
            ("1", rate(1, 1)),
            ("64k", rate(65_536, 65_536)),
            ("1m", rate(1 << 20, 1 << 20)),
            ("2m", rate(2 << 20, 1 << 20)),
            ("2m/3", rate(2 << 20, 3)),
            ("1k/2m", rate(1024, 2 << 20)),
            ("64g/64g", rate(RATE_MAX, RATE_MAX)),
        ] {
            assert_eq!(byte_rate(text), expected, "{text}");
            if let Ok(rate) = expected {
                assert_eq!(byte_rate(&byte_rate_text(rate)), expected, "{text}");
            }
        }
        for (text, reason) in [
            ("0", "the rate must be 1 to 64g, or off"),
            ("0/5", "the rate must be 1 to 64g, or off"),
            ("65g", "the rate must be 1 to 64g, or off"),
            ("99999999999999999999g", "the rate must be 1 to 64g, or off"),
            ("1m/0", "the burst behind the / must be 1 to 64g"),
            ("1m/65g", "the burst behind the / must be 1 to 64g"),
        ] {
            assert_eq!(byte_rate(text), Err(reason.to_owned()), "{text}");
        }
        for text in [
            "", "1x", "/5", "-1", "1m/", "1m/k", "1m/1m/1m", "1 m", "1mb",
        ] {
            assert!(
                byte_rate(text).is_err_and(|why| why.contains("must be a size, such as")),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_time_needs_its_unit_unless_it_is_zero() {
        let all = Duration::ZERO..=Duration::from_secs(3600);
        for (text, micros) in [
            ("0", 0),
            ("7us", 7),
            ("20ms", 20_000),
            ("10s", 10_000_000),
            ("5m", 300_000_000),
        ] {
            let time_is = Duration::from_micros(micros);
            assert_eq!(time(text, all.clone()), Ok(time_is));
            assert_eq!(time_text(time_is), text);
        }
        assert_eq!(
            time("5", all.clone()),
            Err("needs a unit, such as 5s or 5ms".to_owned())
        );
        assert_eq!(time("2h", all.clone()), Err("must be 0 to 1h".to_owned()));
        assert_eq!(
            time("9999999999h", all.clone()),
            Err("must be 0 to 1h".to_owned())
        );
        assert!(time("fast", all).is_err_and(|why| why.contains("such as")));
    }

    #[test]
    fn off_and_zero_are_the_same_span() {
        let some = Duration::from_millis(1)..=Duration::from_secs(60);
        for text in ["off", "0", "0s", "0ms"] {
            assert_eq!(time_or_off(text, some.clone()), Ok(None), "{text}");
        }
        let short = Err("must be 1ms to 1m, or off".to_owned());
        assert_eq!(time_or_off("5us", some.clone()), short);
        assert_eq!(time_or_off("1s", some), Ok(Some(Duration::from_secs(1))));
    }

    #[test]
    fn a_message_carries_any_word_on_one_line() {
        assert_eq!(shown("tcp://[::1]:7007"), "tcp://[::1]:7007");
        assert_eq!(shown("a\nb\u{1b}[31m"), r#""a\nb\u{1b}[31m""#);
        assert_eq!(shown(""), r#""""#);
        assert!(shown(&"\u{7}".repeat(1 << 20)).len() < 500);
    }
}
