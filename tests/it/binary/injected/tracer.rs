//! Runs strace(1): learns which calls a server makes, and makes one of them fail.
//!
//! strace runs as a detached grandchild (`-D`), so the server stays the child of the test and can
//! be signalled and reaped.
//!
//! `when` counts the calls of one name from the start of the process, the loader's calls included.
//! So a play first runs without a fault, to learn the positions of the server's own calls.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::server::until;
use super::super::{is_installed, skip};
use super::pages::{Phase, Row};

/// A report file of strace, which may be completed a little after the server's exit.
pub(crate) struct Report(PathBuf);

impl Report {
    pub(crate) fn new() -> Report {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mynah-{}-{number}.calls", std::process::id());
        Report(std::env::temp_dir().join(name))
    }

    /// The words in front of the program: traces `calls` and injects the faults in `failing`.
    pub(crate) fn wrapper(&self, calls: &str, failing: &[String]) -> Vec<String> {
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

    /// The whole report, after the server has ended.
    pub(crate) fn read(&self) -> String {
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
        // There is no file if strace did not start.
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether strace is installed and may trace. Reports a skip if not.
pub(crate) fn may_trace() -> bool {
    if !is_installed("strace") {
        return false;
    }
    let tried = std::process::Command::new("strace")
        .args(["-qq", "-e", "trace=none", "true"])
        .output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        skip("strace may not trace here");
    }
    may
}

/// The calls of a server in order: the position among the calls of that name, the name, the rest of
/// the line.
pub(super) struct Calls(Vec<(u32, String, String)>);

/// Calls of glibc on x86-64 for which musl, or any C library on another machine, makes a different
/// one: where the kernel has the second, it need not have the first.
const OTHER_NAMES: [(&str, &str); 2] = [("epoll_wait", "epoll_pwait"), ("openat", "open")];

impl Calls {
    pub(super) fn learn(report: &str) -> Calls {
        let mut counts = HashMap::<String, u32>::new();
        let mut calls = Vec::new();
        for line in report.lines() {
            // The fields: process number, name, and everything between the parentheses.
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

    /// How many calls have this name.
    pub(super) fn count(&self, call: &str) -> usize {
        self.0.iter().filter(|(_, name, _)| name == call).count()
    }

    /// The call that the C library of this program makes for the call of the row.
    pub(super) fn name(&self, row: &Row) -> &'static str {
        let made = |call: &str| {
            let mut calls = self.0.iter();
            calls.any(|(_, name, rest)| name == call && rest.contains(row.with))
        };
        let other = OTHER_NAMES.iter().find(|(call, _)| *call == row.call);
        match other {
            Some((call, other)) if !made(call) => other,
            _ => row.call,
        }
    }

    /// The positions of the calls that match the row.
    pub(super) fn positions(&self, row: &Row) -> Vec<u32> {
        let find = |call: &str, with: &str| {
            let is_it =
                |(_, name, rest): &&(u32, String, String)| name == call && rest.contains(with);
            let found = self.0.iter().position(|call| is_it(&call));
            found.unwrap_or_else(|| panic!("no {call} with {with}"))
        };
        let begin = find("prlimit64", "RLIMIT_NOFILE");
        let ready = find("write", "ready: ");
        // Behind the ready line the program also asks for what it only tells: whether the kernel
        // has a call, and the limits of its control group. The loop begins with its first wait.
        let is_wait = |(_, name, rest): &(u32, String, String)| {
            name.starts_with("epoll_") && name.contains("wait") && !rest.starts_with("-1,")
        };
        let serving = self.0[ready..].iter().position(is_wait);
        let serving = ready + serving.expect("a loop");
        let range = match row.phase {
            Phase::Start(_) => begin..ready - 1,
            Phase::Serving | Phase::Fatal => serving..self.0.len(),
        };
        let call = self.name(row);
        let of_row = self.0[range].iter().filter(|(_, name, rest)| {
            name == call && rest.contains(row.with) && !rest.contains("= ?")
        });
        of_row.map(|(count, _, _)| *count).collect()
    }
}
