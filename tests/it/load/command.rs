//! `mynah bench` from a shell: the real load generator against the real server, its files and its
//! exit codes.
//!
//! The numbers themselves are tested elsewhere (`clocks`, `accounting`).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::{env, fs, process};

use super::peer;
use super::runs::in_few_runs;
use super::wellformed::{is_json, is_xml};
use crate::{program, terminal};

fn server() -> String {
    format!("{} --listen 127.0.0.1:{{port}}", program::path())
}

pub(crate) fn bench(words: &[&str]) -> Output {
    let mut command = Command::new(program::path());
    command.arg("bench").args(words);
    command
        .output()
        .expect("the binary was built for this test")
}

/// Like [`told`] of [`bench`], for short runs: repeated if a run has ended without any answer.
#[track_caller]
pub(crate) fn answered(words: &[&str]) -> (Option<i32>, String, String) {
    in_few_runs(|| {
        let all = told(&bench(words));
        let is_empty = all.2.contains("no request was answered");
        if is_empty { Err(all.1) } else { Ok(all) }
    })
}

/// The exit code, stdout, and stderr without its first line if that tells the load.
pub(crate) fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let err = without_load(&text(&output.stderr)).to_owned();
    (output.status.code(), text(&output.stdout), err)
}

/// A report with single blanks instead of its line breaks, so that wrapped text can be found.
pub(crate) fn joined(report: &str) -> String {
    report.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What `mynah bench` writes to stderr after the line that tells its load.
pub(crate) fn without_load(err: &str) -> &str {
    match err.split_once('\n') {
        Some((line, rest)) if line.starts_with("load      ") => rest,
        _ => err,
    }
}

/// Sends SIGINT, as Ctrl-C does.
pub(crate) fn interrupt(child: &Child) {
    signal(child, "INT");
}

pub(crate) fn signal(child: &Child, name: &str) {
    assert!(program::signal(child.id(), name));
}

pub(crate) fn file(name: &str) -> PathBuf {
    env::temp_dir().join(format!("mynah-bench-{}-{name}", process::id()))
}

#[test]
fn a_server_is_started_measured_and_ended() {
    let words = [
        "--requests",
        "2000",
        "--connections",
        "4",
        "--frame",
        "u32be",
        "--size",
        "1..500",
    ];
    let (code, out, err) = told(&bench(&[&[server().as_str()], &words[..]].concat()));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for part in [
        "2000 due in",
        "0 errors",
        "2000 answered, 0 failed, 0 unfinished, 0 unsent",
        "service time",
        "CPU a request",
        "resident",
        "checks",
    ] {
        assert!(out.contains(part), "{part} is missing: {out}");
    }
    assert!(
        !out.contains("response time"),
        "a closed loop has none: {out}"
    );
}

#[test]
fn a_comparison_is_written_to_well_formed_files() {
    let files = ["json", "svg", "hgrm"].map(file);
    let [json, svg, hgrm] = files
        .each_ref()
        .map(|file| file.to_str().expect("plain names"));
    let words = [
        "--vs",
        &server(),
        "--pairs",
        "3",
        "--requests",
        "300",
        "--connections",
        "2",
        "--same-core",
        "--json",
        json,
        "--svg",
        svg,
        "--hgrm",
        hgrm,
    ];
    let (code, out, err) = told(&bench(&[&[server().as_str()], &words[..]].concat()));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for part in [
        "against",
        "95 % interval",
        "of 3",
        "same server against itself",
        "processor",
    ] {
        assert!(out.contains(part), "{part} is missing: {out}");
    }
    let [json, svg, hgrm] = files.map(|file| {
        let text = fs::read_to_string(&file).expect("it was written");
        fs::remove_file(&file).expect("it is ours");
        text
    });
    assert!(is_json(&json), "{json}");
    assert!(json.contains("\"cpu_ratio_to_client\"") && json.contains("\"comparisons\""));
    assert!(is_xml(&svg) && svg.contains("95 % interval"), "{svg}");
    assert!(hgrm.contains("#[Mean"), "{hgrm}");
}

#[test]
fn an_assertion_that_does_not_hold_is_exit_8() {
    let words = |condition| {
        [
            server(),
            "--requests".into(),
            "10".into(),
            "--assert".into(),
            condition,
        ]
    };
    let run = |condition: &str| {
        let words = words(condition.to_owned());
        told(&bench(&words.each_ref().map(String::as_str)))
    };
    assert_eq!(run("p99<10s,errors==0,rate>1").0, Some(0));
    let (code, _, err) = run("requests>10");
    assert_eq!(code, Some(8));
    assert_eq!(
        err,
        "mynah: assertion 'requests>10' does not hold: it is 10\n"
    );
}

#[test]
fn a_refused_connection_is_one_line_and_exit_5() {
    let closed = peer::no_listener().to_string();
    let (code, out, err) = told(&bench(&[&closed]));
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(5), "", 1));
    assert!(err.contains(&closed) && err.contains("refused"), "{err}");
}

#[test]
fn errors_are_told_and_are_exit_7_unless_they_are_asserted() {
    let liar = peer::tcp(peer::liar).to_string();
    // One request in sixteen has a wrong reply, and its connection is opened again.
    let load = ["--connections", "1", "--requests", "32"];
    let (code, out, err) = told(&bench(&[&[liar.as_str()], &load[..]].concat()));
    assert_eq!(code, Some(7), "{out}");
    assert_eq!(
        err.lines().last(),
        Some("mynah: 2 requests failed, see the report")
    );
    let cause = "wrong reply: byte 40 of request 16";
    assert!(joined(&out).contains(cause), "{out}");
    let expected = bench(&[&[liar.as_str()], &load[..], &["--assert", "errors==2"]].concat());
    assert_eq!(told(&expected).0, Some(0));
}

#[test]
fn a_server_that_never_answers_is_exit_7() {
    let mute = peer::tcp(peer::mute).to_string();
    let short = ["--warmup", "50ms", "--duration", "50ms"];
    let (code, out, err) = told(&bench(&[&[mute.as_str()], &short[..]].concat()));
    assert_eq!(
        (code, err.as_str()),
        (Some(7), "mynah: no request was answered, see the report\n")
    );
    assert!(out.contains("!!    no request was answered"), "{out}");
}

#[test]
fn connections_that_a_server_leaves_waiting_are_doubts() {
    let server = format!("{} --max-connections 1", server());
    let words = "--connections 2 --warmup 50ms --duration 50ms".split(' ');
    let words: Vec<&str> = [server.as_str()].into_iter().chain(words).collect();
    in_few_runs(|| {
        let (code, out, err) = answered(&words);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        assert!(out.contains("0 errors"), "{out}");
        let doubt = "!!    1 request of the warm-up never answered";
        if out.contains(doubt) {
            Ok(())
        } else {
            Err(out)
        }
    });
}

#[test]
fn assertions_say_what_may_fail_and_never_excuse_that_nothing_was_answered() {
    let mute = peer::tcp(peer::mute).to_string();
    let short = "--warmup 0 --duration 50ms --grace 0 --assert".split(' ');
    let words: Vec<&str> = [mute.as_str()].into_iter().chain(short).collect();
    let (code, _, err) = told(&bench(&[&words[..], &["errors==0"]].concat()));
    let line = "mynah: no request was answered, see the report\n";
    assert_eq!((code, err.as_str()), (Some(7), line));
    let (code, _, err) = told(&bench(&[&words[..], &["unfinished==0"]].concat()));
    let line = "mynah: assertion 'unfinished==0' does not hold: it is 50\n";
    assert_eq!((code, err.as_str()), (Some(8), line));
    let leaver = peer::tcp(peer::leaver).to_string();
    let words = [&leaver, "--requests", "1000", "--assert", "p50<10s"];
    let (code, out, err) = told(&bench(&words));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("connections closed by the server"), "{out}");
}

#[test]
fn an_assertion_about_errors_does_not_excuse_the_other_servers() {
    let [echo, liar] = [peer::tcp(peer::echo), peer::tcp(peer::liar)].map(|at| at.to_string());
    let words = "--pairs 2 --connections 1 --requests 100 --assert errors==0".split(' ');
    let both = [echo.as_str(), "--vs", liar.as_str()];
    let words: Vec<&str> = both.into_iter().chain(words).collect();
    let (code, out, err) = told(&bench(&words));
    assert_eq!(
        (code, err.as_str()),
        (Some(7), "mynah: B: 12 requests failed, see the report\n"),
        "{out}"
    );
}

#[test]
fn a_server_that_dies_loses_its_cost_figures_but_not_the_report() {
    let mut dying = Command::new("sleep")
        .arg("60")
        .spawn()
        .expect("every system has it");
    let pid = dying.id().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = listener.local_addr().expect("it is bound").to_string();
    let words = "--connections 1 --warmup 0 --requests 2 --server-pid".split(' ');
    let child = Command::new(program::path())
        .args(["bench", &server])
        .args(words)
        .arg(&pid)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    let (mut stream, _) = listener.accept().expect("it connects");
    let mut request = [0; 64];
    stream.read_exact(&mut request).expect("it asks");
    dying.kill().expect("it is ours");
    dying.wait().expect("it was killed");
    stream.write_all(&request).expect("it listens");
    stream.read_exact(&mut request).expect("it asks again");
    stream.write_all(&request).expect("it listens");
    let (code, out, _) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("2 due in") && out.contains("process is gone"),
        "{out}"
    );
}

#[test]
fn what_cannot_be_started_and_what_makes_no_sense_have_their_own_codes() {
    assert_eq!(told(&bench(&["/nonexistent/server {port}"])).0, Some(6));
    let (code, _, err) = told(&bench(&["7007", "--connections", "0"]));
    assert_eq!((code, err.lines().count()), (Some(1), 1));
    let (code, _, err) = told(&bench(&["7007", "--frame", "u8", "--size", "300"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("does not fit the framing 'u8'"), "{err}");
}

#[test]
fn a_load_that_cannot_be_is_refused_before_it_is_told() {
    for (words, reason) in [
        (["--size", "0"], "mynah: --size 0: does not fit"),
        (["--message", ""], "mynah: --message must not be empty"),
        (["--message", "hex:"], "mynah: --message must not be empty"),
        (["--pin", "1023"], "mynah: --pin 1023: "),
    ] {
        let refused = bench(&["7007", words[0], words[1]]);
        let err = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(
            (refused.status.code(), err.lines().count()),
            (Some(1), 1),
            "{err}"
        );
        assert!(err.starts_with(reason), "{err}");
    }
}

#[test]
fn typing_does_not_land_in_the_progress_line_and_the_terminal_echoes_again() {
    let server = server();
    let words = [
        "bench",
        &server,
        "--duration",
        "600ms",
        "--warmup",
        "300ms",
        "--pairs",
        "2",
    ];
    let line = [&[program::path()][..], &words[..], &["--vs", &server][..]].concat();
    let Some(shown) = terminal::in_the_foreground(&line) else {
        return;
    };
    assert!(!shown.contains("typed"), "{shown}");
    assert!(shown.ends_with("echo"), "{shown}");
    for told in [
        "warming up 0.",
        " of 0.3 s",
        " of 0.6 s",
        " s left",
        "round 2/2, ",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
}
