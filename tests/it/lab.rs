//! The experiments of `mynah lab` on the kernel of this machine: each answer is the expected one,
//! with low descriptor limits and without privileges too.

use std::process::{Command, Output};

use crate::program;

fn lab(args: &[&str]) -> Output {
    let mut command = Command::new(program::path());
    command.arg("lab").args(args);
    command.output().expect("the program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names of all experiments, from the list.
fn names() -> Vec<String> {
    let list = text(&lab(&[]).stdout);
    let name = |line: &str| line.split_whitespace().next().unwrap_or("").to_owned();
    list.lines().map(name).collect()
}

#[test]
fn every_answer_is_the_expected_one() {
    let output = lab(&["all", "--quiet"]);
    let lines = text(&output.stdout);
    assert!(output.status.success(), "{lines}{}", text(&output.stderr));
    let names = names();
    assert!(names.len() >= 32, "{} experiments", names.len());
    let played: Vec<&str> = lines
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(
        played[..names.len()],
        names,
        "one line each, in the order of the list"
    );
}

/// All experiments under a limit of `most` descriptors.
fn under_a_limit(most: u32) -> String {
    let program = program::path();
    let limit = format!("ulimit -Sn {most} && ulimit -Hn {most}");
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("{limit} && exec '{program}' lab all --quiet"),
        ])
        .output()
        .expect("a shell");
    let lines = text(&output.stdout);
    assert!(output.status.success(), "{lines}{}", text(&output.stderr));
    lines
}

#[test]
fn a_low_descriptor_limit_makes_experiments_smaller() {
    let lines = under_a_limit(256);
    assert_eq!(
        lines.matches("the descriptor limit is low").count(),
        2,
        "{lines}"
    );
}

#[test]
fn an_experiment_that_runs_out_of_descriptors_says_so_and_does_not_fail() {
    let lines = under_a_limit(24);
    assert!(
        lines.contains("not played: the descriptor limit is low"),
        "{lines}"
    );
}

#[test]
fn one_experiment_shows_question_calls_answers_and_reason() {
    let output = lab(&["lt-vs-et"]);
    let story = text(&output.stdout);
    assert!(output.status.success(), "{story}");
    assert!(story.starts_with("lt-vs-et: level or edge"), "{story}");
    for part in [
        "    epoll_ctl(epoll, ADD, server, IN|ET) = 0\n",
        "    recv(server, 1024) = 1024 1024 bytes\n",
        "  = edge, one recv for each event: wakes/reads/EAGAIN/unread: 1/1/0/3072\n",
        "\nWhy: ",
        "\nRead: epoll(7)",
    ] {
        assert!(story.contains(part), "{part:?} in {story}");
    }
    assert!(story.lines().all(|line| line.len() <= 100), "{story}");
}

/// As a shell with job control does, or a machine that is suspended.
#[test]
fn an_experiment_that_is_stopped_and_continued_reports_no_difference() {
    for name in ["nagle-delack", "et-rearm", "reuseport"] {
        let stops = "for stop in $(seq 60); do kill -STOP $! && kill -CONT $!; sleep 0.003; done";
        let script = format!("\"$0\" lab {name} --quiet & {stops} 2>/dev/null; wait $!");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, program::path()]);
        let output = shell.output().expect("a shell");
        let line = text(&output.stdout);
        assert!(line.starts_with(&format!("{name}: ok, ")), "{line}");
    }
}

#[test]
fn one_experiment_is_one_line_when_quiet() {
    let output = lab(&["fd-reuse", "--quiet"]);
    let line = text(&output.stdout);
    assert!(output.status.success(), "{line}");
    assert!(
        line.starts_with("fd-reuse: ok, ") && line.lines().count() == 1,
        "{line}"
    );
}

#[test]
fn results_are_json_with_each_check() {
    let output = lab(&["flags", "--json"]);
    assert!(output.status.success());
    let document = mynah::base::text::json::read(&text(&output.stdout)).expect("JSON");
    let text = format!("{document:?}");
    assert!(
        text.contains("IN|OUT|ERR|HUP|RDHUP") && text.contains("\"flags\""),
        "{text}"
    );
}

#[test]
fn an_unknown_experiment_is_refused_with_the_nearest() {
    let output = lab(&["lt-vs-ed"]);
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(
        line.contains("lt-vs-ed") && line.contains("lt-vs-et"),
        "{line}"
    );
    for args in [&["--quiet"][..], &["--json"], &["sticky", "flags"]] {
        let output = lab(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "{args:?}");
    }
}
