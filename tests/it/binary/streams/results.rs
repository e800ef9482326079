//! Programs that print a result, with streams that are closed, read-only, full or limited in size.
//!
//! A result that cannot be written is exit code 7 and one line on stderr. Man pages: setrlimit(2)
//! for RLIMIT_FSIZE, full(4).

use std::fs::{self, File};
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::super::server::{PATIENCE, Server, lines_of};
use super::{Reaped, Served, Stuck, all_of, by_shell, code, told};
use crate::load::peer;
use crate::program;

/// Command lines that end with a result on stdout. `address` is an echo server.
fn results(address: &str) -> Vec<(Vec<&str>, &'static str)> {
    let bench = |more: &[&'static str]| {
        let all = ["--connections", "1", "--requests", "5", "--warmup", "0s"];
        [&["bench", address], &all[..], more].concat()
    };
    vec![
        (vec!["--help"], ""),
        (vec!["bench", "--help"], ""),
        (vec!["--version"], ""),
        (vec!["decode", "--frame", "line"], "a line\n"),
        (vec!["decode", "--frame", "line", "--hex"], "61 0a\n"),
        (vec!["connect", address], "hello"),
        (vec!["connect", address, "--once", "hello"], ""),
        (bench(&[]), ""),
        (bench(&["--json", "-"]), ""),
        (bench(&["--hgrm", "-"]), ""),
        (bench(&["--svg", "-"]), ""),
    ]
}

#[test]
fn a_result_that_stdout_does_not_take_is_exit_code_7_and_a_line() {
    let address = peer::tcp(peer::echo).to_string();
    for (redirect, reason) in [
        (">&-", "mynah: stdout: it is closed; /dev/null would do"),
        ("1</dev/null", "mynah: stdout: it is open for reading only"),
        (
            ">/dev/full",
            "mynah: stdout: No space left on device (os error 28)",
        ),
    ] {
        for (args, input) in results(&address) {
            let script = format!(r#"printf '{input}' | "$@" {redirect}"#);
            let (out, err, code) = told(&by_shell(&script, &args));
            assert_eq!(
                (out.as_str(), code),
                ("", Some(7)),
                "{args:?} {redirect}: {err}"
            );
            // The report goes to stderr if the document goes to stdout.
            assert_eq!(err.lines().last(), Some(reason), "{args:?} {redirect}");
            let own = err.lines().filter(|line| line.starts_with("mynah: "));
            assert_eq!(own.count(), 1, "{args:?} {redirect}: {err}");
        }
    }
}

#[test]
fn a_stdout_that_is_there_and_not_read_is_no_failure() {
    let address = peer::tcp(peer::echo).to_string();
    for redirect in [">/dev/null", "1<>/dev/null", "| true"] {
        for (args, input) in results(&address) {
            let script = format!(r#"printf '{input}' | "$@" {redirect}"#);
            let (_, err, code) = told(&by_shell(&script, &args));
            // A report that its reader does not take is lost.
            if args[0] == "bench" && redirect == "| true" {
                continue;
            }
            assert_eq!(code, Some(0), "{args:?} {redirect}: {err}");
            assert!(!err.contains("mynah: "), "{args:?} {redirect}: {err}");
        }
    }
}

#[test]
fn an_input_that_cannot_be_read_is_no_empty_one() {
    let address = peer::tcp(peer::echo).to_string();
    for (redirect, reason) in [
        ("<&-", "mynah: stdin: it is closed; /dev/null would do"),
        ("</", "mynah: stdin: it is a folder"),
        ("0>/dev/null", "mynah: stdin: it is open for writing only"),
    ] {
        for args in [
            &["decode", "--frame", "line"][..],
            &["decode", "--frame", "line", "--hex"],
            &["connect", &address],
        ] {
            let answer = told(&by_shell(&format!(r#""$@" {redirect}"#), args));
            let expected = (String::new(), format!("{reason}\n"), Some(7));
            assert_eq!(answer, expected, "{args:?} {redirect}");
        }
        // A command that reads no input accepts any stdin.
        let once = ["connect", &address, "--once", "hello"];
        let answer = told(&by_shell(&format!(r#""$@" {redirect}"#), &once));
        assert_eq!(
            answer,
            ("hello".into(), String::new(), Some(0)),
            "{redirect}"
        );
    }
    for redirect in ["</dev/null", "<>/dev/null"] {
        let answer = told(&by_shell(
            &format!(r#""$@" {redirect}"#),
            &["decode", "--frame", "line"],
        ));
        assert_eq!(
            answer,
            (String::new(), String::new(), Some(0)),
            "{redirect}"
        );
    }
}

#[test]
fn a_stream_that_another_process_made_non_blocking_is_waited_for() {
    let (near, far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("an option");
    let child = Command::new(program::path())
        .args(["decode", "--frame", "line"])
        .stdin(OwnedFd::from(near.try_clone().expect("a descriptor")))
        .stdout(OwnedFd::from(near))
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Reaped(child.expect("the program starts"));
    // More than the buffers of both directions hold, so the program waits on each of them.
    let line = [&[b'x'; 99][..], b"\n"].concat();
    let mut writer = far.try_clone().expect("a descriptor");
    let written = std::thread::spawn(move || {
        for _ in 0..20_000 {
            writer.write_all(&line).expect("it is read");
        }
        writer.shutdown(Shutdown::Write).expect("it is open");
    });
    let text = all_of(far);
    written.join().expect("all is taken");
    let err = all_of(child.0.stderr.take().expect("a pipe"));
    assert_eq!(code(&mut child.0, "decode"), Some(0), "{err}");
    assert_eq!((text.lines().count(), err.as_str()), (20_000, ""));
}

#[test]
fn a_server_whose_stdout_takes_no_ready_line_says_so_once_and_serves() {
    for (redirect, reason) in [
        (">&-", "it is closed; /dev/null would do"),
        ("1</dev/null", "it is open for reading only"),
    ] {
        let script = format!(r#"exec "$@" {redirect}"#);
        let wrapper = ["sh", "-c", &script, "sh"];
        let mut served = Served::start_under(&wrapper, &[], &[], Stdio::null(), Stdio::piped());
        let log = lines_of(served.child.0.stderr.take().expect("a pipe"));
        let line = log.recv_timeout(PATIENCE).expect("a line");
        assert_eq!(
            line,
            format!("WARN  the ready line is lost: stdout: {reason}")
        );
        served.ask(5, redirect);
        served.end(redirect);
        assert!(log.iter().all(|line| !line.contains("WARN")));
    }
}

/// A file that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("mynah-{}-streams-{name}", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }

    fn append(&self) -> File {
        let file = File::options().append(true).create(true).open(&self.0);
        file.expect("room for a file")
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.0).map_or(0, |metadata| metadata.len())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The file may not exist.
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_server_goes_on_when_its_log_may_not_grow() {
    for threads in ["1", "2"] {
        let log = Scratch::new("log");
        let limited = ["sh", "-c", r#"ulimit -f 1; exec "$@""#, "sh"];
        let file = || Stdio::from(log.append());
        let (args, trace) = (["--threads", threads], [("RUST_LOG", "trace")]);
        let served = Served::start_under(&limited, &args, &trace, file(), file());
        served.ask(50, "a file that may not grow");
        let size = log.size();
        assert!((512..=1024).contains(&size), "{size} bytes");
        served.end("a file that may not grow");
        assert_eq!(log.size(), size);
    }
}

#[test]
fn a_result_that_may_not_grow_is_exit_code_7_and_a_line() {
    let (file, input) = (Scratch::new("result"), Scratch::new("input"));
    fs::write(&input.0, "x".repeat(5000) + "\n").expect("room for a file");
    let address = peer::tcp(peer::echo).to_string();
    let bench = ["bench", &address, "--connections", "1", "--requests", "5"];
    let with = |more: &[&'static str]| [&bench[..], more].concat();
    let decode = vec!["decode", "--frame", "line"];
    for args in [
        vec!["--help"],
        decode,
        vec!["connect", address.as_str()],
        with(&["--json", "-"]),
        with(&["--svg", "-"]),
    ] {
        let script = format!(
            r#"ulimit -f 1; exec "$@" <{} >{}"#,
            input.path(),
            file.path()
        );
        let (_, err, code) = told(&by_shell(&script, &args));
        assert_eq!(code, Some(7), "{args:?}: {err}");
        let line = "mynah: stdout: File too large (os error 27)";
        assert_eq!(err.lines().last(), Some(line), "{args:?}");
        assert!(file.size() >= 512, "{args:?}");
    }
    for option in ["--json", "--svg"] {
        let script = r#"ulimit -f 1; exec "$@""#;
        let args = [&bench[..], &[option, file.path()]].concat();
        let (out, err, code) = told(&by_shell(script, &args));
        assert_eq!(code, Some(7), "{option}: {err}");
        let line = format!("mynah: {}: File too large (os error 27)\n", file.path());
        assert_eq!(err, line);
        assert!(out.contains("throughput"), "the report is printed: {out}");
    }
}

#[test]
fn a_full_file_does_not_keep_the_other_documents_from_being_written() {
    let address = peer::tcp(peer::echo).to_string();
    let (json, hgrm) = (Scratch::new("json"), Scratch::new("hgrm"));
    let run = |args: &[&str], redirect: &str| {
        let bench = ["bench", &address, "--connections", "1", "--requests", "5"];
        let script = format!(r#""$@" {redirect}"#);
        told(&by_shell(&script, &[&bench[..], args].concat()))
    };
    let (_, err, code) = run(
        &["--json", json.path(), "--hgrm", hgrm.path()],
        ">/dev/full",
    );
    assert_eq!(code, Some(7), "{err}");
    assert!(json.size() > 500 && hgrm.size() > 100);
    fs::remove_file(&hgrm.0).expect("a file");
    let (_, err, code) = run(&["--json", "/dev/full", "--hgrm", hgrm.path()], "");
    assert_eq!(code, Some(7), "{err}");
    assert!(err.starts_with("mynah: /dev/full: No space left"), "{err}");
    assert!(hgrm.size() > 100);
}

#[test]
fn a_command_that_is_run_ignores_no_signal() {
    let line = "grep SigIgn /proc/self/status";
    let server = Server::start(&["run", "--allow", line]);
    let mut peer = server.connect();
    writeln!(peer, "{line}").expect("the server reads");
    peer.shutdown(Shutdown::Write).expect("still connected");
    let answer = String::from_utf8(super::super::rest(&mut peer)).expect("text");
    assert!(answer.contains("SigIgn:\t0000000000000000"), "{answer}");
    server.end();
}

#[test]
fn a_wrong_log_filter_is_one_line_whatever_stderr_takes() {
    let address = peer::tcp(peer::echo).to_string();
    let commands = [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["connect", &address, "--once", "hello"],
        &["bench", &address, "--requests", "5"],
        &["decode", "--frame", "line"],
    ];
    for args in commands {
        for (filter, reason) in [
            ("a=b=c", "a=b=c has more than one '='"),
            (
                "info,mynah=wran",
                "mynah=wran: wran is no level, did you mean warn?",
            ),
            ("a/b/c", "a/b/c has more than one '/'"),
        ] {
            let script = format!(r#"RUST_LOG='{filter}' exec "$@" </dev/null"#);
            let line = format!(
                "mynah: RUST_LOG: {reason}; right is a level, or such as mynah::calls=trace\n"
            );
            let expected = (String::new(), line, Some(1));
            assert_eq!(told(&by_shell(&script, args)), expected, "{args:?}");
        }
        let script = r#"RUST_LOG=$(printf '\377') exec "$@" </dev/null"#;
        let (_, err, exit) = told(&by_shell(script, args));
        assert_eq!(exit, Some(1), "{err}");
        assert!(err.starts_with("mynah: RUST_LOG: it is not UTF-8"), "{err}");
        for redirect in ["2>/dev/full", "2>&-"] {
            let script = format!(r#"RUST_LOG='a=b=c' exec "$@" </dev/null {redirect}"#);
            let (_, _, exit) = told(&by_shell(&script, args));
            assert_eq!(exit, Some(1), "{args:?} {redirect}");
        }
    }
    // Each waits for room in vain, all at the same time.
    let mut waiting = Vec::new();
    for args in commands {
        for (what, stuck) in Stuck::all_full() {
            let child = Command::new(program::path())
                .args(args)
                .env("RUST_LOG", "a=b=c")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(stuck.end())
                .spawn();
            waiting.push((
                Reaped(child.expect("the program starts")),
                args,
                what,
                stuck,
            ));
        }
    }
    for (child, args, what, _stuck) in &mut waiting {
        assert_eq!(code(&mut child.0, what), Some(1), "{args:?} {what}");
    }
}
