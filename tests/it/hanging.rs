//! A test that hangs is named and ends the run, and everything that it has started is killed.
//!
//! The test runs this binary again, with a limit of one second and with one test that hangs. The
//! limit itself is in `time_limit`.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::binary::until;

/// Set only for the run in which that test hangs: the file to which the test writes the number of
/// its child process.
const HANGS: &str = "MYNAH_TEST_HANGS";

#[test]
fn the_one_that_hangs() {
    let Ok(file) = env::var(HANGS) else {
        return;
    };
    let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep(1)");
    fs::write(file, child.id().to_string()).expect("a temporary file");
    let _ = child.wait();
}

#[test]
fn a_test_that_hangs_is_named_and_what_it_started_is_killed() {
    let name = format!("mynah-{}-hangs", std::process::id());
    let file = env::temp_dir().join(name);
    let output = Command::new(env::current_exe().expect("proc(5)"))
        .args(["hanging::the_one_that_hangs", "--exact"])
        .env(HANGS, &file)
        .env("MYNAH_TEST_SECONDS_MAX", "1")
        .output()
        .expect("this binary starts");
    assert!(!output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    let line = "test hanging::the_one_that_hangs hangs: it has run for more than 1s\n";
    assert!(told.contains(line), "{told}");
    let child = fs::read_to_string(&file).expect("it has started a process");
    fs::remove_file(&file).expect("it is ours");
    let process = format!("/proc/{child}");
    until("the process is gone", || !Path::new(&process).exists());
}
