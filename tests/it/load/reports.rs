//! The text report: its first and last sentence, its columns, its marks of doubt.
//!
//! Reports of sessions that no test can produce in a moment are made from figures. See also the
//! manual page `report`, which explains each line.

use mynah::limits::REPORT_COLUMNS;

use super::command::{bench, joined, told};
use super::peer;

/// The lines of `report` that are too long.
pub(crate) fn too_long(report: &str) -> Vec<&str> {
    let is_long = |line: &&str| line.chars().count() > REPORT_COLUMNS;
    report.lines().filter(is_long).collect()
}

fn report_of(words: &[&str]) -> String {
    let (code, out, err) = told(&bench(words));
    assert!(code.is_some(), "{out}{err}");
    assert_eq!(too_long(&out), [""; 0], "{out}");
    out
}

#[test]
fn a_report_begins_with_its_sentence() {
    let server = peer::tcp(peer::echo).to_string();
    let out = report_of(&[&server, "--requests", "100", "--connections", "2"]);
    let first = out.lines().next().expect("a line");
    let parts = [" requests/s, p50 ", ", p99 ", ", 0 errors"];
    assert!(parts.iter().all(|part| first.contains(part)), "{first}");
}

#[test]
fn a_report_without_a_reply_has_no_latency_in_its_sentence() {
    let mute = peer::tcp(peer::mute).to_string();
    let words = [&mute, "--warmup", "0", "--duration", "50ms", "--grace", "0"];
    let out = report_of(&words);
    assert!(
        out.starts_with("0 requests/s, no latency, 0 errors; "),
        "{out}"
    );
}

#[test]
fn a_comparison_begins_with_a_sentence_for_each_server_and_ends_with_the_ratio() {
    let servers = [peer::tcp(peer::echo), peer::tcp(peer::echo)].map(|at| at.to_string());
    let words = "--pairs 3 --connections 2 --requests 200".split(' ');
    let both = [servers[0].as_str(), "--vs", servers[1].as_str()];
    let words: Vec<&str> = both.into_iter().chain(words).collect();
    let out = report_of(&words);
    let lines: Vec<&str> = out.lines().collect();
    for (line, letter) in lines.iter().zip(["A: ", "B: "]) {
        assert!(
            line.starts_with(letter) && line.contains(" requests/s, p50 "),
            "{out}"
        );
    }
    let last = lines.last().expect("a line");
    assert!(
        last.starts_with("B answers ") && last.contains(" times the requests of A"),
        "{out}"
    );
}

#[test]
fn failures_and_long_commands_are_wrapped() {
    let liar = peer::tcp(peer::liar).to_string();
    let out = report_of(&[&liar, "--requests", "10000"]);
    assert!(joined(&out).contains("wrong reply: byte 40 of request 16"));
    let long = format!(
        "{} --listen {{port}} --prefix '{}'",
        crate::program::path(),
        "long ".repeat(50) + &"x".repeat(200)
    );
    report_of(&[&long, "--requests", "10"]);
}

#[test]
fn the_load_line_of_a_sweep_has_all_its_steps() {
    let server = peer::tcp(peer::echo).to_string();
    let rates = ["--rate", "100..500", "--warmup", "0", "--duration", "50ms"];
    let output = bench(&[&[server.as_str()], &rates[..]].concat());
    let err = String::from_utf8_lossy(&output.stderr);
    let line = err.lines().next().expect("the load comes first");
    assert!(line.starts_with("load      "), "{err}");
    assert!(line.ends_with(", in 5 steps up to 500"), "{err}");
    let (_, out, _) = told(&output);
    assert!(joined(&out).contains(&joined(line)), "{out}");
}
