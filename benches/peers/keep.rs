//! The run that is kept: `--keep` measures it anew, and puts it where it is read.
//!
//! ```text
//!   results.json   every round of every server
//!   peers.md       what the run was, and all tables
//!   README.md      the short table
//! ```
//!
//! The tables are worked out from the document, as a test of the pages does it, so a page never has
//! a figure of another run. The sentences around the tables are not written here: read them again
//! after a run.

use std::fs;

use super::figures::Results;
use super::servers::Server;
use super::workloads::{self, Workload};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/results.json");
const CHAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/manual/peers.md");
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The workloads of the run, by their exact names. One connection, with or without churn, measures
/// how a processor falls asleep and wakes.
pub(crate) const WORKLOADS: [&str; 11] = [
    "ping-pong 100",
    "ping-pong 1,000",
    "16 deep x 100",
    "churn, 16 at once",
    "1 MiB x 4",
    "u32be 100",
    "u32be 16 deep x 100",
    "u32be 4 B, 1,024 deep x 16",
    "u32be 64 KiB x 16",
    "http 100",
    "http 16 deep x 100",
];
pub(crate) const ROUNDS: usize = 7;
pub(crate) const DURATION: &str = "250ms";
/// The length of each measurement with its warm-up, and what comes in addition, in seconds.
const EACH: f64 = 0.45;
const START: f64 = 60.0;

/// About how long the run takes, in minutes.
pub(crate) fn minutes(servers: &[Server]) -> f64 {
    let of_kept = |workload: &&Workload| WORKLOADS.contains(&workload.name);
    let takers = |workload: &Workload| servers.iter().filter(|it| it.takes(workload)).count();
    let runs: usize = workloads::ALL.iter().filter(of_kept).map(takers).sum();
    (START + (runs * ROUNDS) as f64 * EACH) / 60.0
}

/// Writes the document, and its tables into the pages.
pub(crate) fn renew(results: &Results) -> Result<(), String> {
    write(DOCUMENT, &results.write())?;
    let fence = "\n```\n";
    let chapter = read(CHAPTER)?;
    let chapter = replaced(&chapter, "```text\ndate ", fence, &fenced(&results.about()));
    let tables = fenced(&results.tables());
    let chapter = chapter.and_then(|text| replaced(&text, "```text\nraw bytes: ", fence, &tables));
    write(
        CHAPTER,
        &chapter.ok_or(format!("{CHAPTER} has no such blocks"))?,
    )?;
    let readme = replaced(
        &read(README)?,
        "| server / sum |",
        "|\n\n",
        &format!("{}\n", results.summary()),
    );
    write(README, &readme.ok_or(format!("{README} has no table"))?)
}

fn fenced(block: &str) -> String {
    format!("```text\n{block}```\n")
}

/// `text` with `new` in place of what begins with `begin` and ends with the next `end`.
fn replaced(text: &str, begin: &str, end: &str, new: &str) -> Option<String> {
    let start = text.find(begin)?;
    let length = text[start..].find(end)? + end.len();
    Some([&text[..start], new, &text[start + length..]].concat())
}

fn read(file: &str) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))
}

fn write(file: &str, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{file}: {error}"))
}
