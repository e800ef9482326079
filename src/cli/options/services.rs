//! The services and their flags, as the command line names them.
//!
//! A new service needs a variant, a line of help and a row in [`SERVICES`]. Flags that belong to
//! one service are checked against the chosen service here. The type behind a name is known only to
//! `cli::run::service`.

use std::fmt;

use super::table::{Effect, Flag, SERVE};
use super::values::{put, switch, switch_text};
use super::{Options, Serve, name_of};
use crate::kernel::{Address, Endpoint, words};
use crate::limits::{ALLOWED_MAX, COMMAND_SIZE_MAX, COMMAND_WORDS_MAX, PREFIX_SIZE_MAX};
use crate::protocol::framing::{Framing, Raw};

/// A service as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceName {
    /// Sends the same bytes back, or the same message behind a prefix.
    Echo,
    /// Sends the message back in upper case.
    Upper,
    /// Sends nothing back.
    Discard,
    /// Sends the translation of a word.
    Dict,
    /// Answers like the robot of a help line.
    Robot,
    /// Sends the output of allowed commands.
    Run,
    /// Sends `Hello, World` over HTTP.
    Http,
    /// Serves files, as the command of that name.
    #[cfg(feature = "auth")]
    Ftp,
}

impl ServiceName {
    /// The description for the help.
    const fn about(self) -> &'static str {
        match self {
            ServiceName::Echo => "send back every byte as it came; the default",
            ServiceName::Upper => "send it back with a to z in upper case, all else untouched",
            ServiceName::Discard => "take everything and send nothing",
            ServiceName::Dict => "send the translation of each word in --dictionary",
            ServiceName::Robot => "greet, and answer from a menu",
            ServiceName::Run => "run the commands of --allow and send what they say",
            ServiceName::Http => "send Hello, World to every request of HTTP/1.1 or HTTP/1.0",
            #[cfg(feature = "auth")]
            ServiceName::Ftp => "serve files to clients of FTP",
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "auth")]
        if *self == ServiceName::Ftp {
            return f.write_str("ftp");
        }
        f.write_str(name_of(self, SERVICES))
    }
}

/// Whether `word` is the name of a service.
pub(super) fn is_service(word: &str) -> bool {
    SERVICES.iter().any(|(name, _)| *name == word)
}

/// The services by name.
pub(super) const SERVICES: &[(&str, ServiceName)] = &[
    ("echo", ServiceName::Echo),
    ("upper", ServiceName::Upper),
    ("discard", ServiceName::Discard),
    ("dict", ServiceName::Dict),
    ("robot", ServiceName::Robot),
    ("run", ServiceName::Run),
    ("http", ServiceName::Http),
];

/// The services and their descriptions, for the help.
pub(super) const WORDS: [(&str, &str); SERVICES.len()] = {
    let mut words = [("", ""); SERVICES.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = (SERVICES[at].0, SERVICES[at].1.about());
        at += 1;
    }
    words
};

/// Checks the flags that belong to one service against the chosen service.
pub(super) fn check(serve: &Serve) -> Result<(), String> {
    for (flag, given, owner) in [
        ("--unicode", serve.unicode, ServiceName::Upper),
        ("--prefix", serve.prefix.is_some(), ServiceName::Echo),
        (
            "--dictionary",
            serve.dictionary.is_some(),
            ServiceName::Dict,
        ),
        ("--allow", !serve.allow.is_empty(), ServiceName::Run),
    ] {
        if given && serve.service != owner {
            let service = serve.service;
            return Err(format!("{flag}: {service} does not know it, only {owner}"));
        }
    }
    if serve.service == ServiceName::Dict && serve.dictionary.is_none() {
        return Err("dict: needs --dictionary FILE".to_owned());
    }
    for endpoint in &serve.listen {
        if let Endpoint::At(address) = endpoint {
            serve.check_address(address)?;
        }
    }
    Ok(())
}

impl ServiceName {
    /// Whether it sends something before the peer does.
    pub(super) fn speaks_first(self) -> bool {
        self == ServiceName::Robot
    }
}

impl Serve {
    /// Checks whether the service may listen on `address`. The address of a name is known only
    /// after the lookup. `run` starts programs, so a peer from elsewhere has to know a key.
    ///
    /// # Errors
    ///
    /// One line that names the address.
    pub fn check_address(&self, address: &Address) -> Result<(), String> {
        #[cfg(feature = "auth")]
        if self.service == ServiceName::Ftp && !matches!(address, Address::Tcp(_)) {
            // Data connections go to the address of the control connection.
            return Err(format!(
                "--listen {address}: ftp needs an address of TCP, such as 127.0.0.1:2121"
            ));
        }
        let is_open = self.service == ServiceName::Run && self.auth.is_none();
        match is_open && !address.is_of_this_machine() {
            true => Err(format!(
                "--listen {address}: run without --auth serves this machine alone, such as \
                 127.0.0.1 or unix:/PATH"
            )),
            false => Ok(()),
        }
    }
}

/// Checks a line of `--allow` against the limits of a command.
fn allowed(options: &Options, line: &str) -> Result<String, String> {
    let count = words(line).count();
    if line.len() > COMMAND_SIZE_MAX || !(1..=COMMAND_WORDS_MAX).contains(&count) {
        return Err(format!(
            "must be 1 to {COMMAND_WORDS_MAX} words of {COMMAND_SIZE_MAX} bytes together"
        ));
    }
    if line.contains(char::is_control) {
        return Err("has a control character, must be a line of text".to_owned());
    }
    let program = words(line).next().unwrap_or_default();
    if program.contains('/') && !program.starts_with('/') {
        return Err("must name its program alone, or with its whole path".to_owned());
    }
    if options.serve.allow.len() == ALLOWED_MAX {
        return Err(format!("must not be the one after {ALLOWED_MAX} others"));
    }
    Ok(line.to_owned())
}

/// The framing if `named` was given. Services with text messages default to `line`.
pub(super) fn framing(serve: &Serve, named: Option<Framing>) -> Result<Framing, String> {
    let raw = Framing::Raw(Raw);
    let texts = match serve.service {
        ServiceName::Dict | ServiceName::Robot | ServiceName::Run => true,
        _ => serve.prefix.is_some(),
    };
    match (serve.service, named) {
        (ServiceName::Http, Some(named)) if named != raw => Err(format!(
            "--frame {named}: http finds its messages itself, it takes only raw"
        )),
        (_, Some(named @ Framing::Fixed(_))) if texts => Err(format!(
            "--frame {named}: the answers are texts of any length, which need another framing, \
             such as line"
        )),
        (_, Some(named)) => Ok(named),
        (_, None) if texts => "line".parse(),
        (_, None) => Ok(raw),
    }
}

/// Only for `upper`.
pub(super) const UNICODE: Flag = Flag {
    long: "--unicode",
    short: None,
    group: "Service",
    commands: &[SERVE],
    help: "upper: all letters of UTF-8, so that the length may change",
    default: |options| switch_text(options.serve.unicode),
    effect: Effect::Switch(|options, text| put(&mut options.serve.unicode, switch(text))),
};

/// Only for `echo`.
pub(super) const PREFIX: Flag = Flag {
    long: "--prefix",
    short: None,
    group: "Service",
    commands: &[SERVE],
    help: "echo: put this in front of every message",
    default: |_| String::new(),
    effect: Effect::Value("TEXT", |options, text| match text.len() {
        1..=PREFIX_SIZE_MAX => put(&mut options.serve.prefix, Ok(Some(text.to_owned()))),
        length => Err(format!(
            "has {length} bytes, must have 1 to {PREFIX_SIZE_MAX}"
        )),
    }),
};

/// Only for `dict`, which requires it.
pub(super) const DICTIONARY: Flag = Flag {
    long: "--dictionary",
    short: None,
    group: "Service",
    commands: &[SERVE],
    help: "dict: the file, WORD: TRANSLATION a line; SIGHUP reads it again",
    default: |_| String::new(),
    effect: Effect::Value("FILE", |options, text| {
        put(&mut options.serve.dictionary, Ok(Some(text.into())))
    }),
};

/// Only for `run`, which refuses every request without it.
pub(super) const ALLOW: Flag = Flag {
    long: "--allow",
    short: None,
    group: "Service",
    commands: &[SERVE],
    help: "run: a line that may be asked for; may be repeated, nothing else runs",
    default: |_| String::new(),
    effect: Effect::Value("COMMAND", |options, text| {
        let line = allowed(options, text)?;
        options.serve.allow.push(line);
        Ok(())
    }),
};
