//! The rows of `mynah sum`. The digests come with the feature `auth`; without it the command is
//! known and says so.

use std::path::PathBuf;

use super::super::values::{put, switch};
use super::super::{Command, Options};
use super::{CommandRow, Effect, Flag};
use crate::limits::SALT_SIZE_MAX;

const SUM: &str = "sum";

pub(super) const ROW: CommandRow = CommandRow {
    name: SUM,
    about: "print or check digests of files (feature auth)",
    usage: "mynah sum [FILE...] [OPTIONS]",
    word: |options, _, text| {
        options.sum.files.push(PathBuf::from(text));
        Ok(())
    },
    words: (
        "Files",
        &[("FILE ...", "files to read; - or nothing is standard input")],
    ),
    finish,
    examples: &[
        ("mynah sum *.tar", "HEX  NAME, as sha256sum prints it"),
        ("mynah sum --md5 --check list", "verify such a list"),
        ("mynah sum --same a b", "exit code 8 if they differ"),
    ],
};

#[cfg(not(feature = "auth"))]
fn finish(_: Options) -> Result<Command, String> {
    super::needs_auth().map_err(|why| format!("sum: {why}"))
}

/// Refuses what does not combine.
#[cfg(feature = "auth")]
fn finish(options: Options) -> Result<Command, String> {
    let sum = options.sum;
    let is_plain = sum.salt.is_none() && sum.hmac_key_file.is_none();
    match sum.files.len() {
        _ if sum.same && (sum.check.is_some() || sum.algorithm.is_some() || !is_plain) => {
            Err("--same: compares two files and takes no other option".to_owned())
        }
        count if sum.same && count != 2 => Err(format!("--same: needs two files, and has {count}")),
        1.. if sum.check.is_some() => {
            Err("--check: its list names the files, no others follow".to_owned())
        }
        _ => Ok(Command::Sum(sum)),
    }
}

fn choose(options: &mut Options, flag: &'static str, text: &str) -> Result<(), String> {
    match options.sum.algorithm {
        _ if !switch(text)? => Ok(()),
        Some(other) if other != flag => Err(format!("not together with {other}")),
        _ => put(&mut options.sum.algorithm, Ok(Some(flag))),
    }
}

const fn algorithm(long: &'static str, help: &'static str, apply: super::Apply) -> Flag {
    Flag {
        long,
        short: None,
        group: "Digest",
        commands: &[SUM],
        help,
        default: |_| String::new(),
        effect: Effect::Switch(apply),
    }
}

pub(super) const FLAGS: &[Flag] = &[
    algorithm("--md5", "MD5, for old lists alone", |options, text| {
        choose(options, "--md5", text)
    }),
    algorithm("--sha1", "SHA-1, for old lists alone", |options, text| {
        choose(options, "--sha1", text)
    }),
    algorithm("--sha256", "SHA-256, the default", |options, text| {
        choose(options, "--sha256", text)
    }),
    algorithm("--sha512", "SHA-512", |options, text| {
        choose(options, "--sha512", text)
    }),
    Flag {
        long: "--salt",
        short: None,
        group: "Digest",
        commands: &[SUM],
        help: "put this text in front of each file",
        default: |_| String::new(),
        effect: Effect::Value("TEXT", |options, text| match text.len() {
            ..=SALT_SIZE_MAX => put(&mut options.sum.salt, Ok(Some(text.to_owned()))),
            length => Err(format!(
                "has {length} bytes, must have at most {SALT_SIZE_MAX}"
            )),
        }),
    },
    Flag {
        long: "--hmac-key-file",
        short: None,
        group: "Digest",
        commands: &[SUM],
        help: "HMAC with the key in this file, without one newline at its end",
        default: |_| String::new(),
        effect: Effect::Value("FILE", |options, text| {
            put(&mut options.sum.hmac_key_file, Ok(Some(text.into())))
        }),
    },
    Flag {
        long: "--check",
        short: None,
        group: "Comparing",
        commands: &[SUM],
        help: "verify the list in this file; exit code 8 if a file differs",
        default: |_| String::new(),
        effect: Effect::Value("FILE", |options, text| {
            put(&mut options.sum.check, Ok(Some(text.into())))
        }),
    },
    Flag {
        long: "--same",
        short: None,
        group: "Comparing",
        commands: &[SUM],
        help: "compare two files; exit code 8 if they differ",
        default: |_| String::new(),
        effect: Effect::Switch(|options, text| put(&mut options.sum.same, switch(text))),
    },
];
