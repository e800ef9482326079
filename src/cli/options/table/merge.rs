//! The rows of `mynah merge`.
//!
//! The value of `--json` must be attached, `--json=FILE`: the next word is a document to read, and
//! taking its name for the output would overwrite a result.

use std::path::PathBuf;

use super::super::Command;
use super::super::values::{output_file, put};
use super::{CommandRow, Effect, Flag};
use crate::limits::MERGE_FILES_MAX;

const MERGE: &str = "merge";

pub(super) const ROW: CommandRow = CommandRow {
    name: MERGE,
    about: "add up the results of several generators",
    usage: "mynah merge FILE ...",
    word: |options, _, text| match text {
        "" => Err("must be a file that mynah bench --json wrote".to_owned()),
        _ if options.merge.files.len() == MERGE_FILES_MAX => {
            Err(format!("is one too many, at most {MERGE_FILES_MAX} files"))
        }
        file => {
            options.merge.files.push(PathBuf::from(file));
            Ok(())
        }
    },
    words: (
        "Documents",
        &[(
            "FILE ...",
            "written by mynah bench --json; one run each, with the same options",
        )],
    ),
    finish: |options| match options.merge.files.is_empty() {
        true => Err("merge needs FILE ..., documents of mynah bench --json".to_owned()),
        false => Ok(Command::Merge(options.merge)),
    },
    examples: &[
        (
            "mynah merge one.json two.json",
            "the report of two generators",
        ),
        (
            "mynah merge --json=sum.json one.json two.json",
            "the same, and its document",
        ),
    ],
};

pub(super) const FLAGS: &[Flag] = &[Flag {
    long: "--json",
    short: None,
    group: "Results",
    commands: &[MERGE],
    help: "write the sum as JSON; without FILE to stdout",
    default: |_| String::new(),
    effect: Effect::Attached(|options, text| {
        put(&mut options.merge.json, output_file(text).map(Some))
    }),
}];
