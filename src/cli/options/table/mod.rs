//! The table of commands and flags, one row each. Flags of one command are in files below this one.
//!
//! A row is parser, help and check at once, so the three cannot disagree. Defaults are not repeated
//! here: the help takes them from [`Options::default`], which takes them from `limits`. A new flag
//! needs one row and one field. A new command needs one row in [`COMMANDS`], a variant of
//! [`Command`] and its own options. The rows of a group are adjacent, in the order in which the
//! help shows them.

mod connect;
mod decode;
pub(super) mod front;
mod ftp;
mod lab;
mod lookup;
mod merge;
mod other_words;
mod serve;
mod sum;
pub(super) mod tls;
mod trace;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::{FRAME_MAX_MAX, TIMEOUT_MAX, TIMEOUT_MIN};

use super::bench;
use super::services::SERVICES;
use super::{AuthName, Command, Options, name_of};
use crate::kernel::Trigger;
use crate::kernel::batch::Submit;
use crate::protocol::codec::Codec;
use crate::protocol::framing::{Framing, OnTooLong};
use crate::server::admission::AcceptPolicy;
use crate::server::blocking::Model;
#[cfg(test)]
pub(super) use lookup::flags;
pub(super) use lookup::{command, unknown_word};

/// A command: its name is the first word of the command line.
pub(super) struct CommandRow {
    pub(super) name: &'static str,
    /// Description, one line.
    pub(super) about: &'static str,
    /// Synopsis, one line.
    pub(super) usage: &'static str,
    /// Handles a word that is neither a flag nor a flag's value, by its position.
    pub(super) word: fn(&mut Options, usize, &str) -> Result<(), String>,
    /// The possible words, for the help: a title and the choices.
    pub(super) words: (&'static str, &'static [(&'static str, &'static str)]),
    /// Checks the options against each other after all were parsed.
    pub(super) finish: fn(Options) -> Result<Command, String>,
    pub(super) examples: &'static [(&'static str, &'static str)],
}

/// A flag of some commands.
pub(super) struct Flag {
    pub(super) long: &'static str,
    pub(super) short: Option<&'static str>,
    pub(super) group: &'static str,
    /// The names of the commands that have this flag; empty means all.
    pub(super) commands: &'static [&'static str],
    pub(super) help: &'static str,
    /// The default as a user would type it; empty if there is none to show.
    pub(super) default: fn(&Options) -> String,
    pub(super) effect: Effect,
}

impl Flag {
    /// The same flag with a short form, such as `-c`.
    pub(super) const fn short(mut self, short: &'static str) -> Flag {
        self.short = Some(short);
        self
    }
}

/// What a flag does.
pub(super) enum Effect {
    /// Prints the help and ends.
    Help,
    /// Prints the version and ends.
    Version,
    /// Takes `on` or `off`. Without a value it means `on`.
    Switch(Apply),
    /// Takes a value, shown in the help under this name.
    Value(&'static str, Apply),
    /// Takes the name of an output file. Without a value it means stdout.
    Output(Apply),
    /// The same, but only an attached name is one: `--json=FILE`. Files to read may follow.
    Attached(Apply),
}

/// Parses, checks and stores a value, or returns what would be right.
pub(super) type Apply = fn(&mut Options, &str) -> Result<(), String>;

pub(super) const SERVE: &str = "serve";
pub(super) const BENCH: &str = "bench";
const CONNECT: &str = "connect";
const DECODE: &str = "decode";
const FTP: &str = "ftp";

/// The commands. The first one is the default.
pub(super) const COMMANDS: &[CommandRow] = &[
    serve::ROW,
    bench::COMMAND,
    merge::ROW,
    lab::ROW,
    connect::ROW,
    decode::ROW,
    sum::ROW,
    ftp::ROW,
];

/// Refuses what this build has not.
#[cfg(not(feature = "auth"))]
fn needs_auth<T>() -> Result<T, String> {
    Err("needs the feature auth, cargo build --release --features auth".to_owned())
}

/// Refuses `--auth` without the feature, and one of its two flags without the other.
pub(super) fn check_auth(auth: Option<AuthName>, key: &Option<PathBuf>) -> Result<(), String> {
    match (auth, key) {
        (None, None) => Ok(()),
        #[cfg(not(feature = "auth"))]
        _ => needs_auth().map_err(|why| format!("--auth: {why}")),
        #[cfg(feature = "auth")]
        (Some(_), None) => Err("--auth: needs --auth-key-file FILE".to_owned()),
        #[cfg(feature = "auth")]
        (None, Some(_)) => Err("--auth-key-file: needs --auth hmac-sha256".to_owned()),
        #[cfg(feature = "auth")]
        (Some(_), Some(_)) => Ok(()),
    }
}

/// How a peer proves that it knows a key, by name.
pub(super) const AUTHS: &[(&str, Option<AuthName>)] = &[
    ("none", None),
    ("hmac-sha256", Some(AuthName::HmacSha256)),
    ("hmac-md5", Some(AuthName::HmacMd5)),
];

/// How payloads are written, by name.
const CODECS: &[(&str, Option<Codec>)] = &[("none", None), ("base64", Some(Codec::Base64))];

/// Refuses a codec that `framing` cannot carry.
fn check_codec(codec: Option<Codec>, framing: &Framing) -> Result<(), String> {
    let checked = codec.map_or(Ok(()), |codec| codec.check(framing));
    checked.map_err(|why| {
        let codec = name_of(&codec, CODECS);
        format!("--codec {codec} with --frame {framing}: {why}")
    })
}

/// The triggers by name.
pub(super) const TRIGGERS: &[(&str, Trigger)] =
    &[("level", Trigger::Level), ("edge", Trigger::Edge)];

/// How the calls of a batch reach the kernel, by name.
const SUBMITS: &[(&str, Submit)] = &[("calls", Submit::Calls), ("ring", Submit::Ring)];

/// Which thread or process serves a connection, by name.
pub(super) const MODELS: &[(&str, Model)] = &[
    ("epoll", Model::Epoll),
    ("iterative", Model::Iterative),
    ("thread", Model::Thread),
    ("pool", Model::Pool),
    ("fork", Model::Fork),
];

/// How workers share connections, by name.
const ACCEPT_POLICIES: &[(&str, AcceptPolicy)] = &[
    ("reuseport", AcceptPolicy::Reuseport),
    ("exclusive", AcceptPolicy::Exclusive),
    ("handoff", AcceptPolicy::Handoff),
];

/// What to do with a frame over the limit, by name.
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
