//! Kernels without the newer system calls: what works without them works, and what does not says so
//! by the name of the call.
//!
//! A filter of seccomp(2) refuses the calls to one thread and to all that it starts. The scripts of
//! `tests/elsewhere` boot real kernels and use the same filter there.

#[path = "../../elsewhere/without.rs"]
mod without;

use std::process::Command;
use std::thread;

use super::ask as exchange;
use super::run::ask;
use super::server::{Ended, Server};
use crate::program;
use crate::skip::skip;
use without::{CALLS, Refusal};

/// Runs `body` without these system calls, also in the programs that it starts; a skip if this
/// machine has no filters. The panic of a failed assertion is passed on.
fn without(calls: &[&str], refusal: Refusal, body: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let filtered = scope.spawn(|| match without::refuse(calls, refusal) {
            Ok(()) => {
                body();
                Ok(())
            }
            Err(error) => Err(error),
        });
        match filtered.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => skip(format_args!("no filter of system calls: {error}")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
}

/// The names of all calls that a kernel may lack. The C library of the test itself goes on without
/// clone3 only if the kernel does not have it.
fn all(refusal: Refusal) -> Vec<&'static str> {
    let names = CALLS.iter().map(|(call, ..)| *call);
    let is_refused = |call: &&str| refusal == Refusal::Missing || *call != "clone3";
    names.filter(is_refused).collect()
}

fn has_line(ended: &Ended, words: &str) -> bool {
    ended.stderr.iter().any(|line| line.contains(words))
}

#[test]
fn a_server_serves_and_drains_without_any_newer_call() {
    for refusal in [Refusal::Missing, Refusal::Forbidden] {
        without(&all(refusal), refusal, || {
            for words in [
                "echo",
                "echo --threads 2",
                "echo --processes 2",
                "echo --model fork",
            ] {
                let words: Vec<&str> = words.split(' ').collect();
                let server = Server::start(&words);
                assert_eq!(
                    exchange(&mut server.connect(), b"x"),
                    b"x",
                    "{refusal:?} {words:?}"
                );
                assert_eq!(server.end().code, Some(0), "{refusal:?} {words:?}");
            }
        });
    }
}

#[test]
fn a_server_without_fine_timers_names_the_call_at_its_start() {
    const LINE: &str = "this kernel has no epoll_pwait2(2), which came with Linux 5.11: deadlines";
    without(&["epoll_pwait2"], Refusal::Missing, || {
        assert!(has_line(&Server::start(&["echo"]).end(), LINE));
    });
    let told = has_line(&Server::start(&["echo"]).end(), LINE);
    assert_eq!(told, !mynah::kernel::host::waits_count_nanoseconds());
}

#[test]
fn a_load_at_a_rate_without_fine_timers_names_the_call_at_its_start() {
    const LINE: &str = "kernel    no epoll_pwait2(2), which came with Linux 5.11: a request may";
    without(&["epoll_pwait2"], Refusal::Missing, || {
        let server = Server::start(&["echo"]);
        let address = server.address().to_string();
        for (options, is_told) in [(&["--rate", "100"][..], true), (&["-c", "1"], false)] {
            let mut bench = Command::new(program::path());
            bench.args(["bench", &address, "-d", "100ms", "--warmup", "0s"]);
            let output = bench.args(options).output().expect("the program");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{told}");
            assert_eq!(told.contains(LINE), is_told, "{told}");
        }
        server.end();
    });
}

#[test]
fn a_command_gets_no_descriptor_although_close_range_is_refused() {
    let leaks = "exec 7</dev/null; exec \"$@\"";
    let refusals = [Refusal::Missing, Refusal::Forbidden];
    for refusal in refusals {
        without(&["close_range"], refusal, || {
            for model in ["epoll", "pool"] {
                let args = ["run", "--allow", "ls /proc/self/fd", "--model", model];
                let server = Server::start_under(&["sh", "-c", leaks, "sh"], &[], &args);
                // 3 is the directory that ls has opened.
                let listed = ask(&server, "ls /proc/self/fd");
                assert_eq!(listed, "0\n1\n2\n3\n\n", "{refusal:?} {model}");
                server.end();
            }
        });
    }
}

#[test]
fn the_program_without_newer_calls_plays_the_lab() {
    without(&all(Refusal::Missing), Refusal::Missing, || {
        let output = Command::new(program::path())
            .args(["lab", "flags", "--quiet"])
            .output();
        let output = output.expect("the program");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    });
}
