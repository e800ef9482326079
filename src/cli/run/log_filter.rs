//! `RUST_LOG`: read and checked before the logger gets it.
//!
//! The logger itself would print errors of the filter to a stderr that may be full or closed, and
//! continue with the rest. Here a wrong filter is refused like a wrong option, with one line and
//! exit code 1. The grammar is that of the crate env_filter: `TARGET=LEVEL`, `LEVEL` or `TARGET`,
//! separated by commas, and `/TEXT` for lines that contain TEXT.

use std::env::{self, VarError};

use log::LevelFilter;

use super::{Exit, Failure};
use crate::base::text::escape::escape;
use crate::base::text::suggest::suggest;

const VARIABLE: &str = "RUST_LOG";
const DEFAULT: &str = "info";
/// Characters of a wrong part that are shown.
const SHOWN_MAX: usize = 60;
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The user's filter, or the default.
///
/// # Errors
///
/// The value is not a valid filter.
pub fn log_filter() -> Result<String, Failure> {
    let filter = match env::var(VARIABLE) {
        Ok(filter) => filter,
        Err(VarError::NotPresent) => return Ok(DEFAULT.to_owned()),
        Err(VarError::NotUnicode(_)) => return Err(refused("it is not UTF-8")),
    };
    match check(&filter) {
        Ok(()) => Ok(filter),
        Err(reason) => Err(refused(&reason)),
    }
}

fn refused(reason: &str) -> Failure {
    let line = format!("{VARIABLE}: {reason}; right is a level, or such as mynah::calls=trace");
    Failure::new(Exit::Usage, line)
}

fn check(filter: &str) -> Result<(), String> {
    let (directives, text) = filter.split_once('/').unwrap_or((filter, ""));
    if text.contains('/') {
        return Err(format!("{} has more than one '/'", shown(filter)));
    }
    directives.split(',').map(str::trim).try_for_each(directive)
}

/// Checks one part between commas.
fn directive(part: &str) -> Result<(), String> {
    let Some((_, level)) = part.split_once('=') else {
        return lone(part);
    };
    let level = level.trim();
    if level.contains('=') {
        return Err(format!("{} has more than one '='", shown(part)));
    }
    // Without a level, everything is logged.
    if level.is_empty() || level.parse::<LevelFilter>().is_ok() {
        return Ok(());
    }
    let (part, level) = (shown(part), shown(level));
    Err(match suggest(&level, LEVELS.into_iter()) {
        Some(near) => format!("{part}: {level} is no level, did you mean {near}?"),
        None => format!("{part}: {level} is no level ({})", LEVELS.join(", ")),
    })
}

/// Checks a part without `=`: a level, or a target of which everything is logged. A word near a
/// level is a mistyped one: as a target it would silence the whole log.
fn lone(part: &str) -> Result<(), String> {
    if part.is_empty() || part.parse::<LevelFilter>().is_ok() {
        return Ok(());
    }
    let begun = || LEVELS.into_iter().find(|level| part.starts_with(level));
    match suggest(part, LEVELS.into_iter()).or_else(begun) {
        Some(near) => {
            let part = shown(part);
            Err(format!("{part} is no level, did you mean {near}?"))
        }
        None => Ok(()),
    }
}

/// The beginning of a text, escaped, because it may contain any character.
fn shown(text: &str) -> String {
    let mut front: String = text.chars().take(SHOWN_MAX).collect();
    if front.len() < text.len() {
        front += "...";
    }
    escape(&front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_the_logger_takes_is_taken() {
        for filter in [
            "",
            "info",
            "WARN",
            "mynah",
            "mynah=",
            "mynah=debug",
            "mynah::calls=trace, warn",
            "hyper=off,,mynah",
            "info/recv",
            "/recv=5",
        ] {
            assert_eq!(check(filter), Ok(()), "{filter:?}");
        }
    }

    #[test]
    fn a_wrong_filter_is_refused_with_its_part_and_the_reason() {
        for (filter, reason) in [
            ("a=b=c", "a=b=c has more than one '='"),
            ("info,x==", "x== has more than one '='"),
            ("a/b/c", "a/b/c has more than one '/'"),
            ("debugg", "debugg is no level, did you mean debug?"),
            ("warning", "warning is no level, did you mean warn?"),
            ("mynah=info,tarce", "tarce is no level, did you mean trace?"),
            (
                "mynah=inof",
                "mynah=inof: inof is no level, did you mean info?",
            ),
            (
                "mynah=\u{1b}[1m",
                "mynah=\\u{1b}[1m: \\u{1b}[1m is no level (error, warn, info, debug, trace, off)",
            ),
        ] {
            assert_eq!(check(filter), Err(reason.to_owned()), "{filter:?}");
        }
    }

    #[test]
    fn a_long_wrong_part_is_cut() {
        let long = format!("a={}", "x".repeat(1 << 20));
        assert!(check(&long).is_err_and(|reason| reason.len() < 300));
    }
}
