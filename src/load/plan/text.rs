//! Texts on the command line that stand for bytes: messages with escapes, and moments.
//!
//! ```text
//!   PING\r\n          \r \n \t \0 \\ and \xNN stand for the byte that they name
//!   hex:50494e470d0a  two digits for each byte, blanks allowed
//! ```
//!
//! A moment is a time of day in UTC or a full date and time (RFC 3339). Nothing here reads a file
//! or a clock: the caller passes the present.

/// The bytes of a message. The error says what is accepted.
pub fn message(text: &str) -> Result<Vec<u8>, String> {
    match text.strip_prefix("hex:") {
        Some(digits) => hex(digits),
        None => unescaped(text),
    }
}

fn hex(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || "hex: has two hexadecimal digits for each byte, such as hex:0d0a".to_owned();
    let digits: Vec<u32> = digits
        .chars()
        .filter(|letter| *letter != ' ')
        .map(|letter| letter.to_digit(16).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    let (pairs, rest) = (digits.chunks_exact(2), digits.len() % 2);
    match rest {
        0 => Ok(pairs.map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()),
        _ => Err(wrong()),
    }
}

fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let wrong = |what: &str| {
        Err(format!(
            "has \\{what}, which is no escape; known are \\r \\n \\t \\0 \\\\ and \\xNN"
        ))
    };
    let mut bytes = Vec::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match letters.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = letters.by_ref().take(2).collect();
                let is_hex = digits.len() == 2 && digits.bytes().all(|it| it.is_ascii_hexdigit());
                match u8::from_str_radix(&digits, 16) {
                    Ok(byte) if is_hex => byte,
                    _ => return wrong(&format!("x{digits}")),
                }
            }
            Some(other) => return wrong(&other.to_string()),
            None => return wrong(""),
        });
    }
    Ok(bytes)
}

/// A moment in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Seconds since 1970.
    At(u64),
    /// Seconds since midnight: the next time that a clock shows this.
    NextDay(u64),
}

const DAY: u64 = 24 * 3600;

impl Moment {
    /// Parses `2026-11-30T21:00:00Z` or `21:00[:00]`. The error says what is accepted.
    pub fn parse(text: &str) -> Result<Moment, String> {
        let wrong = || "must be UTC, as 21:30, 21:30:15 or 2026-11-30T21:30:15Z".to_owned();
        let (date, time) = match text.split_once(['T', 't', ' ']) {
            Some((date, time)) => (Some(date), time),
            None => (None, text),
        };
        let is_marked = time.ends_with(['Z', 'z']);
        if date.is_some() && !is_marked {
            return Err(wrong());
        }
        let seconds = time_of_day(time.trim_end_matches(['Z', 'z'])).ok_or_else(wrong)?;
        match date {
            Some(date) => {
                let days = days_since_1970(date).ok_or_else(wrong)?;
                Ok(Moment::At(days * DAY + seconds))
            }
            None => Ok(Moment::NextDay(seconds)),
        }
    }

    /// Seconds since 1970, if now it is `now`.
    pub fn seconds(self, now: u64) -> u64 {
        match self {
            Moment::At(seconds) => seconds,
            Moment::NextDay(seconds) => {
                let today = now / DAY * DAY + seconds;
                if today > now { today } else { today + DAY }
            }
        }
    }
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let is_plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn time_of_day(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |text| number(text, 2))?;
    let is_fine = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_fine.then_some(hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a date in the Gregorian calendar.
fn days_since_1970(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4).filter(|year| *year >= 1970)?;
    let (month, day) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(month.checked_sub(1)? as usize)?;
    let is_fine = (1..=length).contains(&day) && parts.next().is_none();
    let years: u64 = (1970..year)
        .map(|year| 365 + u64::from(is_leap(year)))
        .sum();
    let months: u64 = lengths[..month as usize - 1].iter().sum();
    is_fine.then_some(years + months + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_text_with_escapes_or_hex() {
        for (text, bytes) in [
            ("PING\\r\\n", &b"PING\r\n"[..]),
            ("\\t\\0\\\\\\x7fz", b"\t\0\\\x7fz"),
            ("\u{e4}", "\u{e4}".as_bytes()),
            ("hex:0d0A ff", b"\r\n\xff"),
            ("hex:", b""),
        ] {
            assert_eq!(message(text).as_deref(), Ok(bytes), "{text}");
        }
        for text in [
            "\\", "\\q", "\\x", "\\x1", "\\x+1", "\\xzz", "hex:1", "hex:zz",
        ] {
            assert!(message(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_date_and_time_or_the_next_time_of_day() {
        let now = 1_700_000_000; // 2023-11-14T22:13:20Z
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20Z", now),
            ("2024-02-29t12:00:00z", 1_709_208_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("22:13:21", now + 1),
            ("22:13:20", now + DAY),
            ("22:14", now + 40),
            ("00:00Z", now - 80_000 + DAY),
        ] {
            let moment = Moment::parse(text).expect(text);
            assert_eq!(moment.seconds(now), seconds, "{text}");
        }
        for text in [
            "",
            "21",
            "24:00",
            "21:60",
            "21:00:60",
            "1:00",
            "21:00:00:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-30T21:00:00",
            "2026-11-30",
            "now",
        ] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
    }
}
