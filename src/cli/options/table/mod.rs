//! The table: every command and every flag, one row each. What belongs to one command alone may
//! stand in a file of its own below this one.
//!
//! A row is parser, help and check at once, so the three cannot disagree. A default is not typed
//! here either: the help asks [`Options::default`], which takes it from `limits`. A new flag is one
//! row and one field; a new command is one row in [`COMMANDS`], its variant of [`Command`] and its
//! own options. Rows of a group stand together, in the order in which the help shows them.

mod connect;
mod decode;
mod lookup;
mod serve;

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::{FRAME_MAX_MAX, TIMEOUT_MAX, TIMEOUT_MIN};

use super::bench;
use super::services::SERVICES;
use super::{Command, Options};
use crate::kernel::Trigger;
use crate::protocol::framing::OnTooLong;
#[cfg(test)]
pub(super) use lookup::flags;
pub(super) use lookup::{command, unknown_word};

/// A command: what the first word may be.
pub(super) struct CommandRow {
    pub(super) name: &'static str,
    /// What it does, in one line.
    pub(super) about: &'static str,
    /// The command line, in one line.
    pub(super) usage: &'static str,
    /// Takes the word that is neither a flag nor a flag's value, by its position.
    pub(super) word: fn(&mut Options, usize, &str) -> Result<(), String>,
    /// What those words may be, for the help: a title and the choices.
    pub(super) words: (&'static str, &'static [(&'static str, &'static str)]),
    /// Holds the options against each other once all are known.
    pub(super) finish: fn(Options) -> Result<Command, String>,
    pub(super) examples: &'static [(&'static str, &'static str)],
}

/// A flag of some commands.
pub(super) struct Flag {
    pub(super) long: &'static str,
    pub(super) short: Option<&'static str>,
    pub(super) group: &'static str,
    /// The names of the commands that know it; none means all.
    pub(super) commands: &'static [&'static str],
    pub(super) help: &'static str,
    /// The default as one would type it; empty when there is none to tell.
    pub(super) default: fn(&Options) -> String,
    pub(super) effect: Effect,
}

/// What a flag does.
pub(super) enum Effect {
    /// Ends everything: print the help.
    Help,
    /// Ends everything: print the version.
    Version,
    /// Takes `on` or `off`, and means `on` alone.
    Switch(Apply),
    /// Takes a value, shown in the help by this name.
    Value(&'static str, Apply),
    /// Takes the name of a file to write, and means stdout alone.
    Output(Apply),
}

/// Reads a value, checks it and stores it; or tells what would be right.
pub(super) type Apply = fn(&mut Options, &str) -> Result<(), String>;

pub(super) const SERVE: &str = "serve";

/// The commands. The first one is meant when none is named.
pub(super) const COMMANDS: &[CommandRow] = &[serve::ROW, bench::COMMAND, connect::ROW, decode::ROW];

/// The triggers by name.
pub(super) const TRIGGERS: &[(&str, Trigger)] =
    &[("level", Trigger::Level), ("edge", Trigger::Edge)];

/// What becomes of a frame over the limit, by name.
const ON_TOO_LONG: &[(&str, OnTooLong)] =
    &[("close", OnTooLong::Close), ("discard", OnTooLong::Discard)];

const TIMEOUTS: RangeInclusive<Duration> = TIMEOUT_MIN..=TIMEOUT_MAX;

const FLAGS: &[Flag] = &[
    Flag {
        long: "--help",
        short: Some("-h"),
        group: "Other",
        commands: &[],
        help: "print this",
        default: |_| String::new(),
        effect: Effect::Help,
    },
    Flag {
        long: "--version",
        short: Some("-V"),
        group: "Other",
        commands: &[],
        help: "print the version",
        default: |_| String::new(),
        effect: Effect::Version,
    },
];
