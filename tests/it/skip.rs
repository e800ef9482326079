//! Skips tests whose requirements this machine does not meet.
//!
//! Each skip is one line on stderr, past the output capture of the test runner:
//!
//! ```text
//! skipped: binary::others::socat_gets_every_byte_back: program socat is not installed
//! skipped: binary::addresses::it_listens_on_ipv6: no IPv6 on this machine
//! ```
//!
//! `.ci/run` lists these lines and fails for a program that it could have installed. So the words
//! `program NAME is not installed`, and the full name of the test before them, must not change.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::thread;

use mynah::kernel::host;

/// Reports that the running test is skipped, completely or partly, and the reason.
pub(crate) fn skip(reason: impl Display) {
    // The test runner names the thread of a test after the test.
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // A closed stderr must not fail the test.
    let _ = writeln!(io::stderr(), "skipped: {test}: {reason}");
}

/// Whether `program` is usable; reports a skip if not.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &probe(program)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_there = found.expect("a shell").success();
    if !is_there {
        skip_without(program);
    }
    is_there
}

/// Reports that the running test is skipped because `program` is missing.
pub(crate) fn skip_without(program: &str) {
    skip(format_args!("program {program} is not installed"));
}

/// Whether this process and its children may have `count` open descriptors; reports a skip if not.
pub(crate) fn has_descriptors(count: u64) -> bool {
    let limit = host::raise_descriptor_limit().expect("getrlimit(2)");
    if limit < count {
        skip(format_args!(
            "{count} descriptors do not fit under the hard limit {limit}"
        ));
    }
    limit >= count
}

/// A shell command that succeeds if `program` has the features that the tests use.
fn probe(program: &str) -> String {
    match program {
        // The tests use -N, which only OpenBSD's netcat has.
        "nc" => "nc -h 2>&1 | grep -q -e -N".to_owned(),
        // A runtime without the compiler cannot run a source file.
        "java" => "java --list-modules | grep -q '^jdk.compiler@'".to_owned(),
        _ => format!("command -v {program}"),
    }
}

#[test]
fn a_program_is_found_or_the_test_is_skipped() {
    assert!(is_installed("sh"));
    assert_eq!(probe("strace"), "command -v strace");
}
