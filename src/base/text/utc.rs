//! Points in time as text: RFC 3339 in UTC, `2026-11-30T20:33:01.250Z`.
//!
//! The module knows no clock: times are nanoseconds since the beginning of 1970, without leap
//! seconds, as clock_gettime(2) counts them. Reading accepts only what is written here and whole
//! seconds. Source: RFC 3339, 5.6; the days are counted as in "Calendrical Calculations": a year
//! begins in March, so that the leap day is its last day.

const DAY: u64 = 86_400;
const SECOND_NS: u64 = 1_000_000_000;
/// Days from March 1 of year 0 to the beginning of 1970.
const DAYS_TO_1970: u64 = 719_468;

/// The time `unix_ns` with milliseconds.
#[inline(never)]
pub fn utc(unix_ns: u64) -> String {
    let (seconds, millis) = (unix_ns / SECOND_NS, unix_ns % SECOND_NS / 1_000_000);
    let (year, month, day) = date(seconds / DAY);
    let time = clock(seconds);
    format!("{year:04}-{month:02}-{day:02}T{time}.{millis:03}Z")
}

/// The day and the time of day `seconds` after the beginning of 1970: `2026-11-30 20:33:01 UTC`.
#[inline(never)]
pub fn utc_seconds(seconds: u64) -> String {
    let (year, month, day) = date(seconds / DAY);
    format!("{year:04}-{month:02}-{day:02} {} UTC", clock(seconds))
}

/// The same as RFC 3164 has it, without a year: `Nov 30 20:33:01`.
#[inline(never)]
pub fn syslog_time(seconds: u64) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, month, day) = date(seconds / DAY);
    let start = (month as usize - 1) * 3;
    format!("{} {day:2} {}", &MONTHS[start..start + 3], clock(seconds))
}

/// The same without marks between the numbers: `20261130203301` (RFC 3659, 2.3).
#[cfg(feature = "auth")]
pub fn utc_digits(seconds: u64) -> String {
    let (year, month, day) = date(seconds / DAY);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    let rest = seconds % 60;
    format!("{year:04}{month:02}{day:02}{hours:02}{minutes:02}{rest:02}")
}

/// The same as ls(1) writes it: `Nov 30 20:33`, or `Nov 30  2026` for what is not within half a
/// year before `now`.
#[cfg(feature = "auth")]
pub fn ls_time(seconds: u64, now: u64) -> String {
    const HALF_A_YEAR: u64 = 183 * DAY;
    let text = syslog_time(seconds);
    let (year, _, _) = date(seconds / DAY);
    match now.checked_sub(seconds) {
        Some(age) if age < HALF_A_YEAR => text[..12].to_owned(),
        _ => format!("{} {year:5}", &text[..6]),
    }
}

fn clock(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

/// The nanoseconds since 1970 of `text`, with or without a fraction; `None` for any other form.
#[inline(never)]
pub fn unix_ns(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hours, minutes, seconds] = numbers(time, ':', [2, 2, 2])?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=9).contains(&fraction.len()) || !is_digits(fraction) {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
    let is_time = hours < 24 && minutes < 60 && seconds < 60;
    if !is_time || !(1..=12).contains(&month) || year < 1970 {
        return None;
    }
    let days = days(year, month, day)?;
    let seconds = days * DAY + hours * 3600 + minutes * 60 + seconds;
    seconds.checked_mul(SECOND_NS)?.checked_add(fraction)
}

/// Three numbers of fixed length.
fn numbers(text: &str, between: char, lengths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut found = [0; 3];
    for (number, length) in found.iter_mut().zip(lengths) {
        let part = parts.next()?;
        let is_plain = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = is_plain.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

/// Year, month and day of the day `days` after the beginning of 1970.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let is_after_december = u64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + is_after_december, month, day)
}

/// The inverse of [`date`]; `None` for a day that the month does not have.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let years = if month > 2 { year } else { year - 1 };
    let months = (month + 9) % 12;
    let of_year = (153 * months + 2) / 5 + day.checked_sub(1)?;
    let (era, of_era) = (years / 400, years % 400);
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = (era * 146_097 + of_era).checked_sub(DAYS_TO_1970)?;
    (date(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_and_read() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (784_111_777, "1994-11-06T08:49:37.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_799, "2000-02-29T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(seconds * SECOND_NS), text);
            assert_eq!(unix_ns(text), Some(seconds * SECOND_NS));
        }
        assert_eq!(utc(1_999_999_999), "1970-01-01T00:00:01.999Z");
        assert_eq!(unix_ns("1970-01-01T00:00:01Z"), Some(SECOND_NS));
        assert_eq!(unix_ns("1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(utc_seconds(784_111_777), "1994-11-06 08:49:37 UTC");
        assert_eq!(syslog_time(784_111_777), "Nov  6 08:49:37");
        assert_eq!(syslog_time(951_868_799), "Feb 29 23:59:59");
        assert_eq!(utc(u64::MAX), "2554-07-21T23:34:33.709Z");
    }

    #[test]
    fn every_day_is_found_again() {
        for days in (0..200_000).step_by(13) {
            let seconds = days * DAY * SECOND_NS;
            assert_eq!(unix_ns(&utc(seconds)), Some(seconds));
        }
    }

    #[test]
    fn any_other_form_is_refused() {
        for text in [
            "",
            "2026-11-30",
            "2026-11-30T20:33:01",
            "2026-11-30T20:33:01+01:00",
            "2026-11-30 20:33:01Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-1-1T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.0000000000Z",
            "1969-12-31T23:59:59Z",
            "9999-01-01T00:00:00Z",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(unix_ns(text), None, "{text}");
        }
    }
}
