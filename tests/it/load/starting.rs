//! Servers that `mynah bench` starts, or moves to a processor, for the measurement.
//!
//! A started server ends with the run, whatever ends the run; a moved one gets its affinity back.
//! Man page: sched_setaffinity(2).

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::command::{file, interrupt, signal, told};
use super::peer;
use crate::program;
use crate::skip::{has_descriptors, is_installed, skip};

/// Polls until `look` finds something; panics when the time is up.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: not seen");
}

/// The processors that a process may run on, as listed in `/proc/PID/status`.
fn places(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    Some(line?.trim().to_owned())
}

#[test]
fn a_signal_while_a_server_starts_ends_both() {
    for (name, code) in [("INT", 130), ("HUP", 129)] {
        ends_both(name, code);
    }
}

fn ends_both(name: &str, expected: i32) {
    let child = Command::new(program::path())
        .args(["bench", "sleep 60 {port}"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let server = wait_for("the server", || {
        let listed = fs::read_to_string(&children).ok()?;
        listed.split_whitespace().next()?.parse::<u32>().ok()
    });
    let start = Instant::now();
    signal(&child, name);
    let (code, out, err) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!((code, out.as_str()), (Some(expected), ""));
    assert!(err.contains("nothing to report"), "{err}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!Path::new(&format!("/proc/{server}")).exists());
}

/// A server started by a shell, and the shell; both are killed on drop.
struct Below {
    shell: Child,
    server: u32,
    path: String,
}

impl Below {
    fn start() -> Below {
        let path = file("below").display().to_string();
        let script = "\"$0\" --listen \"unix:$1\" >/dev/null 2>&1 & echo $!; wait";
        let mut shell = Command::new("sh")
            .args(["-c", script, program::path(), &path])
            .stdout(Stdio::piped())
            .spawn()
            .expect("every system has it");
        let mut line = String::new();
        let mut told = BufReader::new(shell.stdout.take().expect("it was piped"));
        told.read_line(&mut line).expect("it tells a number");
        let server = line.trim().parse().expect("it tells a number");
        wait_for("a listener", || UnixStream::connect(&path).ok());
        Below {
            shell,
            server,
            path,
        }
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        program::signal(self.server, "TERM");
        let _ = self.shell.wait();
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn on_the_same_core_children_are_moved_too_and_all_have_their_place_back() {
    let below = Below::start();
    let pids = [below.shell.id(), below.server];
    let before = pids.map(|pid| places(pid).expect("it lives"));
    if !before[0].contains([',', '-']) {
        return skip("there is only one processor");
    }
    let words = "--same-core --connections 1 --duration 1m --server-pid";
    let bench = Command::new(program::path())
        .args(["bench", &format!("unix:{}", below.path)])
        .args(words.split(' '))
        .arg(below.shell.id().to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary was built for this test");
    wait_for("a child on one processor", || {
        let now = pids.map(|pid| places(pid).unwrap_or_default());
        let alone = |list: &String| !list.is_empty() && !list.contains([',', '-']);
        (now[0] == now[1] && now.iter().all(alone)).then_some(())
    });
    interrupt(&bench);
    let (code, out, _) = told(&bench.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(130), "{out}");
    assert_eq!(pids.map(|pid| places(pid).expect("it lives")), before);
}

#[test]
fn memory_that_cannot_be_had_is_one_line() {
    if !is_installed("timeout") || !has_descriptors(1_000) {
        return;
    }
    let server = peer::tcp(peer::echo).to_string();
    for (words, exit, why) in [
        ("--threads 64 --connections 64", 7, "--threads 64: no room"),
        ("--connections 256 --pipeline 65536", 7, "no memory for "),
        ("--size 64m", 1, "--size: no memory for "),
    ] {
        let limited = "ulimit -v 150000 && exec timeout 20 \"$0\" bench \"$@\"";
        let run = || {
            let output = Command::new("sh")
                .args(["-c", limited, program::path(), &server])
                .args("--warmup 0 --duration 100ms".split(' '))
                .args(words.split(' '))
                .output();
            told(&output.expect("every system has it"))
        };
        // Usually the thread cannot be started. If it starts and gets no memory for its signal
        // stack, the standard library ends the whole program.
        let mut runs = std::iter::repeat_with(run).take(10);
        let (code, out, err) = runs.find(|(code, ..)| code.is_some()).expect("a run");
        assert_eq!((code, out.as_str()), (Some(exit), ""), "{words}: {err}");
        assert_eq!(err.lines().count(), 1, "{words}: {err}");
        assert!(err.contains(why), "{words}: {err}");
    }
}
