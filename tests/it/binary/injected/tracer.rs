//! strace(1) at work: it learns which calls a server makes, and makes one of them fail.
//!
//! It runs beside the server (`-D`), so that the server is the child that is signalled and waited
//! for. `when` counts the calls of one name from the start of the process, those of the loader
//! included; so a play is watched once to learn at which counts the server's own stand.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::server::until;
use super::super::{is_installed, say};
use super::pages::{Phase, Row};

/// A report that strace writes, and takes its time to finish.
pub(in crate::binary) struct Report(PathBuf);

impl Report {
    pub(in crate::binary) fn new() -> Report {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mynah-{}-{number}.calls", std::process::id());
        Report(std::env::temp_dir().join(name))
    }

    /// The words in front of the program's: to watch these calls, and make those fail.
    pub(in crate::binary) fn wrapper(&self, calls: &str, failing: &[String]) -> Vec<String> {
        let path = self.0.to_str().expect("a path in UTF-8");
        let mut words = ["strace", "-D", "-f", "-q", "-o", path]
            .map(String::from)
            .to_vec();
        words.extend(["-e".to_owned(), format!("trace={calls}")]);
        for fault in failing {
            words.extend(["-e".to_owned(), format!("inject={fault}")]);
        }
        words
    }

    /// All of it, once the server has ended.
    pub(in crate::binary) fn read(&self) -> String {
        let mut text = String::new();
        until("strace has reported", || {
            text = fs::read_to_string(&self.0).unwrap_or_default();
            text.contains("+++ exited with") || text.contains("+++ killed by")
        });
        text
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // Where strace did not start there is none.
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether strace is there and may trace; says so when the play has to be skipped.
pub(in crate::binary) fn may_trace() -> bool {
    if !is_installed("strace") {
        return false;
    }
    let tried = std::process::Command::new("strace")
        .args(["-qq", "-e", "trace=none", "true"])
        .output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        say("skipped: strace may not trace here");
    }
    may
}

/// The calls of a server's life, in order: the count among those of its name, the name, the rest.
pub(super) struct Calls(Vec<(u32, String, String)>);

impl Calls {
    pub(super) fn learn(report: &str) -> Calls {
        let mut counts = HashMap::<String, u32>::new();
        let mut calls = Vec::new();
        for line in report.lines() {
            // The number of the process, the name, and all between parentheses.
            let Some((front, rest)) = line.split_once('(') else {
                continue;
            };
            let Some(name) = front.split_whitespace().nth(1) else {
                continue;
            };
            if name.starts_with('<') {
                continue;
            }
            let count = counts.entry(name.to_owned()).or_default();
            *count += 1;
            calls.push((*count, name.to_owned(), rest.to_owned()));
        }
        Calls(calls)
    }

    /// Where the calls of this row stand.
    pub(super) fn positions(&self, row: &Row) -> Vec<u32> {
        let find = |call: &str, with: &str| {
            let is_it =
                |(_, name, rest): &&(u32, String, String)| name == call && rest.contains(with);
            let found = self.0.iter().position(|call| is_it(&call));
            found.unwrap_or_else(|| panic!("no {call} with {with}"))
        };
        let begin = find("prlimit64", "RLIMIT_NOFILE");
        let ready = find("write", "ready: ");
        let range = match row.phase {
            Phase::Start(_) => begin..ready - 1,
            Phase::Serving | Phase::Fatal => ready + 1..self.0.len(),
        };
        let of_row = self.0[range].iter().filter(|(_, name, rest)| {
            name == row.call && rest.contains(row.with) && !rest.contains("= ?")
        });
        of_row.map(|(count, _, _)| *count).collect()
    }
}
