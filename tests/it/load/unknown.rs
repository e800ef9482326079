//! Figures that cannot be read are reported as unknown, never as 0 and never as good.
//!
//! The tests hide `/proc` (a tmpfs is mounted over it in a mount namespace), or mount a `/proc`
//! that hides the processes of other users. Both need privileges; without them the tests are
//! skipped. Man pages: proc(5) for hidepid, mount_namespaces(7).

use std::io;
use std::process::{Command, Output};

use super::command::told;
use super::peer;
use super::wellformed::is_json;
use crate::binary::{is_installed, say};
use crate::program;

/// Runs `mynah bench` after the shell command `mount`, prefixed by `user`, the words that change
/// the user; `None` if that is not permitted.
fn bench_with(mount: &str, user: &str, words: &[&str]) -> Option<Output> {
    if !is_installed("unshare") {
        return None;
    }
    let run = |line: &str, words: &[&str]| -> io::Result<Output> {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", line, program::path(), "bench"]);
        command.args(words).output()
    };
    // The other user must be able to execute the binary too.
    let start = format!("{mount} && exec {user} timeout 60 \"$0\"");
    let tried = run(&format!("{start} --version"), &[]);
    if !tried.is_ok_and(|output| output.status.success()) {
        say(format_args!("skipping: '{mount}' is not allowed"));
        return None;
    }
    let ran = run(&format!("{start} \"$@\""), words);
    Some(ran.expect("it was run before"))
}

const NO_PROC: &str = "mount -t tmpfs none /proc";

#[test]
fn without_proc_no_figure_is_0_and_no_check_is_fine() {
    let server = format!("{} --listen {{port}}", program::path());
    let words = "--connections 2 --warmup 0 --duration 200ms --churn --json";
    let words: Vec<&str> = [server.as_str()]
        .into_iter()
        .chain(words.split(' '))
        .collect();
    let Some(output) = bench_with(NO_PROC, "", &words) else {
        return;
    };
    let (code, json, report) = told(&output);
    assert_eq!(code, Some(0), "{report}");
    for part in [
        "  server        not known: /proc/",
        "/proc must be mounted and show the process",
        "  generator     CPU a request not known\n",
        "!!    how long the generator's threads ran is not known",
        "!!    how long the generator's threads waited for a processor is not known",
        "!!    what the server cost is not known: /proc/",
        "!!    what the hypervisor took of the machine's time is not known",
        "!!    how many local ports ",
    ] {
        assert!(report.contains(part), "{part} is missing: {report}");
    }
    let fine = report.lines().filter(|line| line.starts_with("  ok"));
    assert_eq!(fine.count(), 0, "{report}");
    assert!(!report.contains(" 0 ns CPU"), "{report}");
    assert!(is_json(&json), "{json}");
    for name in [
        "client_busiest_thread_share",
        "client_longest_wait_share",
        "client_cpu_ns_per_request",
        "host_steal_share",
        "server",
    ] {
        let part = format!("\"{name}\": null");
        assert!(json.contains(&part), "{part} is missing: {json}");
    }
}

#[test]
fn an_assertion_about_what_is_not_known_does_not_hold() {
    let server = format!("{} --listen {{port}}", program::path());
    for (condition, why) in [
        ("cpu<1h", "it is not known: /proc/"),
        ("rss>=0", "it is not known: /proc/"),
        ("cpu_ratio<1000", "it is not known: /proc/"),
        ("client_cpu<1h", "it is not known\n"),
    ] {
        let words = [&server, "--requests", "10", "--assert", condition];
        let Some(output) = bench_with(NO_PROC, "", &words) else {
            return;
        };
        let (code, out, err) = told(&output);
        assert_eq!(code, Some(8), "{out}{err}");
        let start = format!("mynah: assertion '{condition}' does not hold: {why}");
        assert!(err.starts_with(&start), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}

#[test]
fn a_process_that_proc_does_not_show_is_measured_without_its_cost() {
    let server = peer::tcp(peer::echo).to_string();
    let own = std::process::id().to_string();
    let words = [&server, "--requests", "100", "--server-pid", &own];
    // With hidepid=2 only root sees the processes of other users, see proc(5).
    let hidden = "mount -t proc -o hidepid=2 proc /proc";
    let unprivileged = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    for (mount, user) in [(NO_PROC, ""), (hidden, unprivileged)] {
        let Some(output) = bench_with(mount, user, &words) else {
            continue;
        };
        let (code, out, err) = told(&output);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        let line = format!("  server        not known: /proc/{own}: ");
        assert!(out.contains(&line) && !out.contains(" resident, "), "{out}");
    }
}

#[test]
fn one_core_for_all_needs_the_threads_of_the_server() {
    let server = format!("{} --listen {{port}}", program::path());
    let words = [&server, "--same-core", "--requests", "10"];
    let Some(output) = bench_with(NO_PROC, "", &words) else {
        return;
    };
    let (code, out, err) = told(&output);
    assert_eq!((code, out.as_str()), (Some(7), ""), "{err}");
    assert!(err.starts_with("mynah: --same-core: process "), "{err}");
    let end = "/proc must be mounted and show the process\n";
    assert!(err.ends_with(end), "{err}");
}

#[test]
fn a_process_that_does_not_exist_is_refused_before_the_load() {
    let server = peer::tcp(peer::echo).to_string();
    let output = Command::new(program::path())
        .args(["bench", &server, "--server-pid", "2147483647"])
        .output();
    let (code, out, err) = told(&output.expect("the binary was built for this test"));
    assert_eq!((code, out.as_str()), (Some(7), ""), "{err}");
    let line = "mynah: process 2147483647 does not exist; --server-pid names a running one\n";
    assert_eq!(err, line);
}
