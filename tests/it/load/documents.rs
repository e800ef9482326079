//! The output files of `mynah bench`: when they are opened and what they contain.
//!
//! A file that cannot be written is an error before the load, not after it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::thread;

use super::command::{bench, file, told};
use super::peer;
use super::wellformed::{is_json, is_xml};
use crate::program;

#[test]
fn a_file_that_cannot_be_written_is_found_before_the_run() {
    let server = peer::tcp(peer::echo).to_string();
    let there = file("there");
    fs::write(&there, "kept").expect("a folder for files that go");
    let there = there.to_str().expect("a plain name");
    for option in ["--json", "--svg", "--hgrm"] {
        let other = if option == "--json" {
            "--svg"
        } else {
            "--json"
        };
        let words = [
            &server,
            "--duration",
            "2s",
            other,
            there,
            option,
            "/nonexistent/file",
        ];
        let (code, out, err) = told(&bench(&words));
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(7), "", 1));
        assert!(err.contains("/nonexistent/file: No such file"), "{err}");
        assert_eq!(fs::read_to_string(there).expect("it is there"), "kept");
    }
    fs::remove_file(there).expect("it is ours");
}

#[test]
fn two_documents_in_one_file_are_refused_however_it_is_spelt() {
    let server = peer::no_listener().to_string();
    let path = file("twice");
    let plain = path.to_str().expect("a plain name");
    let (folder, name) = plain.rsplit_once('/').expect("it lies in a folder");
    let dotted = format!("{folder}/./{name}");
    let link = file("twice-link");
    symlink(&path, &link).expect("a folder for files that go");
    let link = link.to_str().expect("a plain name");
    let traced = format!("{plain}.txt");
    for (words, told_line) in [
        (
            ["--json", &traced, "--trace", &traced],
            format!("--json and --trace both go to {traced}: name another file"),
        ),
        (
            ["--json", plain, "--svg", plain],
            format!("--json and --svg both go to {plain}: name another file"),
        ),
        (
            ["--json", plain, "--hgrm", &dotted],
            format!("--json and --hgrm both go to {dotted}: name another file"),
        ),
        (
            ["--json", plain, "--svg", link],
            format!("--json and --svg both go to {link}: name another file"),
        ),
        (
            ["--hgrm", "-", "--svg", "-"],
            "--svg and --hgrm both go to stdout: name another file".to_owned(),
        ),
    ] {
        let (code, out, err) = told(&bench(&[&[server.as_str()], &words[..]].concat()));
        let expected = format!("mynah: {told_line}\n");
        assert_eq!((code, out.as_str(), err), (Some(1), "", expected));
        assert!(!path.exists(), "{words:?}");
    }
    fs::remove_file(link).expect("it is ours");
}

#[test]
fn a_run_that_never_was_leaves_no_file() {
    let closed = peer::no_listener().to_string();
    let path = file("never");
    let words = [&closed, "--json", path.to_str().expect("a plain name")];
    assert_eq!(told(&bench(&words)).0, Some(5));
    assert!(!path.exists());
}

#[test]
fn a_longer_file_is_replaced_as_a_whole() {
    let server = peer::tcp(peer::echo).to_string();
    let path = file("longer");
    fs::write(&path, "x".repeat(1 << 20)).expect("a folder for files that go");
    let words = [
        &server,
        "--requests",
        "10",
        "--json",
        path.to_str().expect("plain"),
    ];
    assert_eq!(told(&bench(&words)).0, Some(0));
    let text = fs::read_to_string(&path).expect("it is there");
    fs::remove_file(&path).expect("it is ours");
    assert!(is_json(&text));
}

#[test]
fn control_characters_of_a_command_reach_neither_picture_nor_terminal() {
    // The program takes the last argument for a path that does not exist; only its bytes matter
    // here.
    let program = program::path();
    let server = format!("{program} --listen {{port}} --prefix '\u{1b}[31m<&\u{1}\u{7f}'");
    let path = file("control");
    let words = [
        &server,
        "--requests",
        "10",
        "--svg",
        path.to_str().expect("plain"),
    ];
    let (_, out, err) = told(&bench(&words));
    let svg = fs::read_to_string(&path).expect("it was written");
    fs::remove_file(&path).expect("it is ours");
    assert!(is_xml(&svg), "{svg}");
    for text in [&out, &err, &svg] {
        let odd = text
            .chars()
            .find(|letter| letter.is_control() && *letter != '\n');
        assert_eq!(odd, None, "{text:?}");
    }
    assert!(
        svg.contains("&lt;&amp;") && out.contains("\\u{1b}[31m<&"),
        "{out}"
    );
}

#[test]
fn each_server_of_a_comparison_has_its_percentiles() {
    let servers = [peer::tcp(peer::echo), peer::tcp(peer::echo)].map(|at| at.to_string());
    let path = file("blocks");
    let words = "--pairs 2 --connections 1 --requests 100 --hgrm".split(' ');
    let both = [servers[0].as_str(), "--vs", servers[1].as_str()];
    let words: Vec<&str> = both.into_iter().chain(words).collect();
    let all = [&words[..], &[path.to_str().expect("plain")]].concat();
    assert_eq!(told(&bench(&all)).0, Some(0));
    let text = fs::read_to_string(&path).expect("it was written");
    fs::remove_file(&path).expect("it is ours");
    for (letter, server) in ["A", "B"].iter().zip(&servers) {
        let named = format!("# {letter}  tcp://{server}\n       Value     Percentile");
        assert!(text.contains(&named), "{text}");
    }
    assert_eq!(
        text.matches("Total count    =          200]").count(),
        2,
        "{text}"
    );
}

#[test]
fn a_server_that_dies_between_its_rounds_leaves_what_was_measured() {
    let echo = peer::tcp(peer::echo).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dying = listener.local_addr().expect("it is bound").to_string();
    // One connection serves the warm-up and one serves a round; then the listener is closed.
    let server = thread::spawn(move || {
        for stream in listener.incoming().flatten().take(2) {
            thread::spawn(move || peer::echo(stream));
        }
    });
    let words = "--pairs 3 --connections 1 --requests 50 --warmup 0".split(' ');
    let path = file("cut-short");
    let json = path.to_str().expect("a plain name");
    let both = [echo.as_str(), "--vs", dying.as_str(), "--json", json];
    let words: Vec<&str> = both.into_iter().chain(words).collect();
    let (code, out, err) = told(&bench(&words));
    server.join().expect("it has served two");
    assert_eq!(code, Some(5), "{out}{err}");
    assert!(err.contains(&dying) && err.lines().count() == 1, "{err}");
    let parts = ["a run could not begin", "50 due in", "service time"];
    assert!(parts.iter().all(|part| out.contains(part)), "{out}");
    let json = fs::read_to_string(&path).expect("it was written");
    let told = format!("\"cut_short\": \"tcp://{dying}: cannot connect");
    assert!(is_json(&json) && json.contains(&told), "{json}");
    fs::remove_file(path).expect("it is ours");
}
