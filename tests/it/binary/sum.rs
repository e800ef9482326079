//! `mynah sum`: the vectors, the coreutils as the other opinion, lists, and every way to fail.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::is_installed;
use crate::program;
use crate::terminal::Terminal;

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("mynah-sum-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), bytes).expect("it is written");
    }

    /// Runs `program` here.
    fn run(&self, program: impl AsRef<Path>, args: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(program.as_ref())
            .args(args)
            .env_remove("RUST_LOG")
            .env("LC_ALL", "C")
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A program that reads no input may have closed it.
        let _ = stdin.write_all(input);
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    fn sum(&self, args: &[&str], input: &[u8]) -> (String, String, Option<i32>) {
        let ended = self.run(program::path(), &[&["sum"], args].concat(), input);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            text(&ended.stdout),
            text(&ended.stderr),
            ended.status.code(),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It fails only if the test has removed the folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ok(line: &str) -> (String, String, Option<i32>) {
    (line.to_owned(), String::new(), Some(0))
}

#[test]
fn the_vectors_of_the_originals_hold() {
    let folder = Folder::new("vectors");
    folder.write("word", "abc@123");
    folder.write("key", "xboyww\n");
    let line = |digest: &str, name: &str| ok(&format!("{digest}  {name}\n"));
    let plain = "b24331b1a138cde62aa1f679164fc62f";
    assert_eq!(folder.sum(&["--md5", "word"], b""), line(plain, "word"));
    assert_eq!(folder.sum(&["--md5"], b"abc@123"), line(plain, "-"));
    assert_eq!(folder.sum(&["-", "--md5"], b"abc@123"), line(plain, "-"));
    let salted = "6036d50f3aac0502f96391543ccf06a6";
    let args = ["--md5", "--salt", "Xboy_", "word"];
    assert_eq!(folder.sum(&args, b""), line(salted, "word"));
    let keyed = "ead7141d73206994b399111ac7baa4dc";
    let args = ["--md5", "--hmac-key-file", "key", "word"];
    assert_eq!(folder.sum(&args, b""), line(keyed, "word"));
    let sha256 = "7a56a1b3e58ecb8ad2d0b6ff2a2c4f2a";
    let (default, _, _) = folder.sum(&["word"], b"");
    let (named, _, _) = folder.sum(&["--sha256", "word"], b"");
    assert_eq!(default, named);
    assert_eq!(default.len(), 2 * sha256.len() + "  word\n".len());
}

#[test]
fn lines_are_those_of_the_coreutils_and_each_checks_the_list_of_the_other() {
    let folder = Folder::new("coreutils");
    let names = [
        "plain",
        "two  blanks",
        " *lead",
        "a\\b",
        "a\nb",
        "r\rn\\n",
        "ü",
    ];
    for name in names {
        folder.write(name, name.repeat(30_000));
    }
    folder.write("nothing", "");
    let mut all = names.to_vec();
    all.push("nothing");
    for (flag, other) in [
        ("--md5", "md5sum"),
        ("--sha1", "sha1sum"),
        ("--sha256", "sha256sum"),
        ("--sha512", "sha512sum"),
    ] {
        if !is_installed(other) {
            continue;
        }
        let theirs = folder.run(other, &all, b"").stdout;
        let ours = folder.run(program::path(), &[&["sum", flag], &all[..]].concat(), b"");
        assert_eq!(ours.stdout, theirs, "{other}");
        let by_us = folder.run(program::path(), &["sum", flag, "--check", "-"], &theirs);
        let by_them = folder.run(other, &["--check", "-"], &ours.stdout);
        assert_eq!(by_us.stdout, by_them.stdout, "{other}");
        assert_eq!(
            (by_us.status.code(), by_them.status.code()),
            (Some(0), Some(0))
        );
    }
}

#[test]
fn a_name_that_is_no_text_is_checked_by_its_bytes() {
    let folder = Folder::new("bytes");
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    fs::write(folder.0.join(name), "abc@123").expect("it is written");
    let list = b"b24331b1a138cde62aa1f679164fc62f  \xff\xfe\n";
    let checked = folder.run(program::path(), &["sum", "--md5", "--check", "-"], list);
    assert_eq!(checked.stdout, b"\xff\xfe: OK\n");
}

#[test]
fn a_list_tells_what_differs_and_what_is_missing() {
    let folder = Folder::new("check");
    folder.write("one", "1");
    folder.write("two", "2");
    let (list, _, _) = folder.sum(&["one", "two"], b"");
    folder.write("list", &list);
    let all_well = ok("one: OK\ntwo: OK\n");
    assert_eq!(folder.sum(&["--check", "list"], b""), all_well);
    folder.write("two", "3");
    let (said, why, code) = folder.sum(&["--check", "list"], b"");
    assert_eq!(said, "one: OK\ntwo: FAILED\n");
    assert_eq!(
        (why.as_str(), code),
        ("mynah: 1 of 2 files differ\n", Some(8))
    );
    fs::remove_file(folder.0.join("one")).expect("it was there");
    let (said, why, code) = folder.sum(&["--check", "list"], b"");
    assert_eq!(said, "one: FAILED open or read\ntwo: FAILED\n");
    assert_eq!((why.lines().count(), code), (2, Some(8)), "{why}");
    for wrong in ["", "no list\n", "\n\n", &list.replace("  ", " ")] {
        folder.write("wrong", wrong);
        let (said, why, code) = folder.sum(&["--check", "wrong"], b"");
        assert_eq!(
            (said.as_str(), why.lines().count(), code),
            ("", 1, Some(1)),
            "{why}"
        );
        assert!(why.starts_with("mynah: --check wrong: "), "{why}");
    }
    let (_, why, code) = folder.sum(&["--check", "list", "--md5"], b"");
    assert_eq!(code, Some(1));
    assert!(
        why.contains("line 1: has the digest of another algorithm"),
        "{why}"
    );
    assert_eq!(folder.sum(&["--check", "nowhere"], b"").2, Some(7));
}

#[test]
fn two_files_are_the_same_or_not() {
    let folder = Folder::new("same");
    folder.write("a", "x".repeat(300_000));
    folder.write("b", "x".repeat(300_000));
    folder.write("c", "x".repeat(299_999) + "y");
    assert_eq!(
        folder.sum(&["--same", "a", "b"], b""),
        ok("a and b are the same\n")
    );
    let differ = ("a and c differ\n".to_owned(), String::new(), Some(8));
    assert_eq!(folder.sum(&["--same", "a", "c"], b""), differ);
    assert_eq!(
        folder
            .sum(&["--same", "a", "-"], "x".repeat(300_000).as_bytes())
            .2,
        Some(0)
    );
    assert_eq!(folder.sum(&["a", "nowhere", "--same"], b"").2, Some(7));
    for args in [
        &["--same"][..],
        &["--same", "a"],
        &["--same", "a", "b", "c"],
    ] {
        let (_, why, code) = folder.sum(args, b"");
        assert!(why.starts_with("mynah: --same: needs two files"), "{why}");
        assert_eq!(code, Some(1));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_the_others_follow() {
    let folder = Folder::new("missing");
    folder.write("there", "abc@123");
    fs::create_dir(folder.0.join("folder")).expect("a folder");
    let args = ["--md5", "nowhere", "there", "folder"];
    let (said, why, code) = folder.sum(&args, b"");
    assert_eq!(said, "b24331b1a138cde62aa1f679164fc62f  there\n");
    let mut lines = why.lines();
    assert!(
        lines
            .next()
            .is_some_and(|line| line.starts_with("mynah: nowhere: "))
    );
    assert!(
        lines
            .next()
            .is_some_and(|line| line.starts_with("mynah: folder: "))
    );
    assert_eq!((lines.next(), code), (None, Some(7)));
}

#[test]
fn options_that_contradict_each_other_and_wrong_keys_are_one_line() {
    let folder = Folder::new("usage");
    folder.write("empty", "\n");
    folder.write("a", "a");
    for args in [
        &["--md5", "--sha1", "a"][..],
        &["--check", "a", "a"],
        &["--same", "--md5", "a", "a"],
        &["--same", "--salt", "s", "a", "a"],
        &["--hmac-key-file", "empty", "a"],
        &["--hmac-key-file", "nowhere", "a"],
        &["--hmac-key-file"],
        &["--sha3", "a"],
    ] {
        let (said, why, code) = folder.sum(args, b"");
        assert_eq!(
            (said.as_str(), why.lines().count(), code),
            ("", 1, Some(1)),
            "{why}"
        );
    }
}

#[test]
fn a_long_read_shows_its_progress_at_a_terminal_and_nowhere_else() {
    let Some(mut terminal) = Terminal::open() else {
        return;
    };
    let mut child = Command::new(program::path())
        .args(["sum", "--md5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(terminal.end())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let start = std::time::Instant::now();
    // Whatever is written after the first pause draws a line.
    while start.elapsed() < std::time::Duration::from_millis(400) {
        stdin.write_all(&[0; 4096]).expect("it is read");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.stdout.ends_with(b"  -\n"));
    let mut shown = String::new();
    std::io::Read::read_to_string(&mut terminal.read(), &mut shown).expect("text");
    assert!(shown.contains("-: ") && shown.contains("/s"), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[K"), "{shown:?}");
}
