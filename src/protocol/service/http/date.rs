//! The time as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`, of fixed length (RFC 9110, 5.6.7).

use std::io::Write;

/// Bytes of a date.
pub(super) const SIZE: usize = 29;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [(&str, u64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];
/// The last second of the year 9999; later dates do not fit.
const LAST: u64 = 253_402_300_799;

/// The date `unix_seconds` after the beginning of 1970. The loops count years and months one by
/// one: the function runs once per second, and simple code is easier to check.
pub(super) fn imf_fixdate(unix_seconds: u64) -> [u8; SIZE] {
    let unix_seconds = unix_seconds.min(LAST);
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (mut year, mut day) = (1970, days);
    while day >= 365 + leap_day(year) {
        day -= 365 + leap_day(year);
        year += 1;
    }
    let mut name = "";
    for (month, length) in MONTHS {
        let length = length + if month == "Feb" { leap_day(year) } else { 0 };
        name = month;
        if day < length {
            break;
        }
        day -= length;
    }
    let mut date = [0; SIZE];
    // Never fails: the space has the length of every date.
    let _ = write!(
        &mut date[..],
        "{}, {:02} {name} {year} {:02}:{:02}:{:02} GMT",
        WEEKDAYS[(days % 7) as usize],
        day + 1,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    date
}

fn leap_day(year: u64) -> u64 {
    u64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_what_date_says() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(String::from_utf8_lossy(&imf_fixdate(seconds)), date);
        }
    }
}
