//! `mynah merge` from a shell: documents of real runs are added up, and what does not fit is
//! refused with one line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mynah::base::text::json::{self, Value};

use super::command::{bench, file, joined, told};
use super::peer;
use super::reports::too_long;
use super::schema::Schema;
use crate::program;

fn merge(words: &[&str]) -> Output {
    let mut command = Command::new(program::path());
    command.arg("merge").args(words);
    command
        .output()
        .expect("the binary was built for this test")
}

/// Loads `server` and returns the document's file.
fn measured(server: &str, name: &str, words: &str) -> PathBuf {
    let path = file(name);
    let all = [server, "--connections", "2", "--json", text(&path)];
    let all: Vec<&str> = all.into_iter().chain(words.split(' ')).collect();
    let (code, out, err) = told(&bench(&all));
    assert_eq!(code, Some(0), "{out}{err}");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

fn document(text: &str) -> Value {
    json::read(text).expect("it is JSON")
}

/// A count of the only run.
fn figure(document: &Value, name: &str) -> u64 {
    let server = &document
        .get("servers")
        .and_then(Value::as_list)
        .expect("servers")[0];
    let run = &server.get("runs").and_then(Value::as_list).expect("runs")[0];
    run.get(name).and_then(Value::as_count).expect("a count")
}

#[test]
fn two_documents_become_one_report_and_one_document() {
    let server = peer::tcp(peer::echo).to_string();
    let one = measured(&server, "merge-one", "--requests 300");
    let two = measured(&server, "merge-two", "--requests 300");
    let (code, out, err) = told(&merge(&[text(&one), text(&two)]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for part in [
        " requests/s, p50 ",
        "2 generators, each: 2 connections, closed loop, 64 bytes raw, 300 requests without",
        " requests 600 due in ",
        "600 answered, 0 failed, 0 unfinished, 0 unsent",
        "the windows ",
    ] {
        assert!(joined(&out).contains(part), "{part} is missing: {out}");
    }
    assert_eq!(too_long(&out), [""; 0]);
    let (code, json, report) = told(&merge(&["--json", text(&one), text(&two)]));
    assert_eq!((code, report), (Some(0), out));
    assert_eq!(Schema::new().findings(&json), [""; 0]);
    let sum = document(&json);
    assert_eq!(figure(&sum, "answered"), 600);
    let alone = fs::read_to_string(&one).expect("it is there");
    assert_eq!(sum.get("inputs"), document(&alone).get("inputs"));
    // The sum of one is that one.
    let path = file("merge-sum");
    let output = format!("--json={}", text(&path));
    let (code, out, err) = told(&merge(&[text(&one), &output]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let copy = document(&fs::read_to_string(&path).expect("it was written"));
    assert_eq!(figure(&copy, "answered"), 300);
    // A sum can be added up again.
    let (code, out, err) = told(&merge(&[text(&path), text(&two)]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("600 answered"), "{out}");
    for path in [one, two, path] {
        fs::remove_file(path).expect("it is ours");
    }
}

#[test]
fn what_does_not_fit_is_one_line_and_exit_1() {
    let server = peer::tcp(peer::echo).to_string();
    let one = measured(&server, "merge-fit", "--requests 100");
    let other = measured(&server, "merge-other", "--requests 101");
    let good = fs::read(&one).expect("it is there");
    let odd = file("merge-odd");
    let linked = file("merge-link");
    std::os::unix::fs::symlink(&one, &linked).expect("a folder for files that go");
    for (content, why) in [
        (&b""[..], "is empty"),
        (&good[..good.len() / 2], "is not JSON"),
        (b"\xff", "is not text in UTF-8"),
        (b"{}", "has no schema of ours"),
        (&good, "is a run that"),
    ] {
        fs::write(&odd, content).expect("it is ours");
        let (code, out, err) = told(&merge(&[text(&one), text(&odd)]));
        let named = format!("mynah: {}: ", text(&odd));
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1));
        assert!(err.starts_with(&named) && err.contains(why), "{err}");
    }
    let output = format!("--json={}", text(&one));
    for (words, why) in [
        (
            &[text(&one), text(&other)][..],
            "its requests is 101, not 100",
        ),
        (&[text(&one), text(&linked)], "is the same file as"),
        (&[text(&one), text(&one)], "is the same file as"),
        (&[text(&one), &output], "is read too; name another file"),
        (&[], "merge needs FILE ..."),
        (&[""], "must be a file"),
        (&["--pairs", text(&one)], "belongs to mynah bench"),
    ] {
        let (code, out, err) = told(&merge(words));
        assert_eq!(
            (code, out.as_str(), err.lines().count()),
            (Some(1), "", 1),
            "{err}"
        );
        assert!(err.contains(why), "{err}");
    }
    assert_eq!(fs::read(&one).expect("it is there"), good);
    let (code, _, err) = told(&merge(&[text(&one), "/nonexistent/file"]));
    assert_eq!(code, Some(7));
    assert!(
        err.starts_with("mynah: /nonexistent/file: No such file"),
        "{err}"
    );
    for path in [one, other, odd, linked] {
        fs::remove_file(path).expect("it is ours");
    }
}

#[test]
fn a_document_beyond_the_limit_is_not_read() {
    let path = file("merge-large");
    let sparse = fs::File::create(&path).expect("a folder for files that go");
    let most = mynah::limits::MERGE_SIZE_MAX as u64;
    for (size, why) in [(most, "is not JSON"), (most + 1, "is too large")] {
        sparse.set_len(size).expect("it is ours");
        let (code, _, err) = told(&merge(&[text(&path)]));
        assert_eq!(code, Some(1));
        assert!(err.contains(why), "{err}");
    }
    fs::remove_file(path).expect("it is ours");
}
