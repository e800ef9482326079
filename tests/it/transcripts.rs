//! Transcripts: conversations in small text files, each run on the connection state machine
//! (`bytes`), on the simulated kernel (`sim`) and on the real binary (`binary`).
//!
//! ```text
//!   # E1: every message comes back behind the prefix.       a comment with the ids of its rows
//!   mynah echo --prefix 'echo# ' --frame u32be              the command line of the server
//!   > \x00\x00\x00\x01a                                     the peer sends
//!   < \x00\x00\x00\x07echo# a                               the peer receives exactly this
//!   fin                                                     the peer half-closes
//!   over                                                    the server has ended its stream
//! ```
//!
//! Consecutive lines of one kind form one text. `\x` and two digits, `\r`, `\n` and `\\` stand for
//! one byte each. `\s` is a blank at the end of a line, `a\*{300}` repeats the byte before it 300
//! times, and `\{29}` stands for any 29 bytes.
//!
//! A command to run must be known to the simulated kernel and exist on every machine. `{here}` in
//! an argument is the folder of the transcripts. `bytes` runs each transcript a second time byte by
//! byte, which must give the same result.

mod binary;
mod bytes;
mod script;
mod sim;

use std::fs;
use std::path::{Path, PathBuf};

use mynah::cli::options::{self, Command, Parsed, Serve};
use script::{Script, Step, matches};

/// The peer of the server in a conversation.
trait Line {
    /// Sends `bytes` and lets the server run.
    fn say(&mut self, bytes: &[u8]);

    /// Returns what has arrived since the last call. Waits for `expected` bytes; more is an error.
    fn hear(&mut self, expected: usize) -> Vec<u8>;

    /// Half-closes.
    fn finish(&mut self);

    /// Whether the server has ended its stream.
    fn is_over(&mut self) -> bool;
}

/// Runs `script` to its end.
fn play(script: &Script, line: &mut impl Line) {
    for step in &script.steps {
        match step {
            Step::Say(bytes) => line.say(bytes),
            Step::Hear(pattern) => {
                let heard = line.hear(pattern.len());
                assert!(
                    matches(pattern, &heard),
                    "heard:    {}\nexpected: {}",
                    heard.escape_ascii(),
                    script::shown(pattern),
                );
            }
            Step::Finish => line.finish(),
            Step::Over => assert!(line.is_over(), "the server has not ended its stream"),
        }
    }
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/transcripts"))
}

/// The transcripts in `folder`, unsorted.
fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .expect("transcripts")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
}

fn scripts() -> Vec<Script> {
    let mut paths: Vec<_> = files(folder()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let text = fs::read_to_string(path).expect("UTF-8");
        Script::parse(name.expect("UTF-8"), &text, folder())
    };
    paths.iter().map(read).collect()
}

/// The options of the command line of a script.
fn options_of(script: &Script) -> Serve {
    match options::parse(script.args.iter().map(Into::into)) {
        Ok(Parsed::Run(Command::Serve(serve))) => *serve,
        other => panic!("{}: {other:?}", script.name),
    }
}

#[test]
fn every_transcript_plays_on_bytes() {
    for script in scripts() {
        println!("{}", script.name);
        bytes::play(&script);
    }
}

#[test]
fn every_transcript_plays_on_the_simulated_kernel() {
    for script in scripts() {
        println!("{}", script.name);
        sim::play(&script);
    }
}

#[test]
fn every_transcript_plays_on_the_binary() {
    for script in scripts() {
        println!("{}", script.name);
        binary::play(&script);
    }
}

#[test]
fn every_service_has_a_transcript() {
    let Ok(Parsed::Help(help)) = options::parse(["serve".into(), "--help".into()]) else {
        panic!("no help");
    };
    let services = help
        .split("\n\n")
        .find_map(|part| part.strip_prefix("Services:\n"));
    let played: Vec<String> = scripts()
        .iter()
        .map(|script| options_of(script).service.to_string())
        .collect();
    for row in services.expect("a section").lines() {
        let service = row.split_whitespace().next().expect("a name");
        assert!(
            played.iter().any(|one| one == service),
            "{service} has none"
        );
    }
}

/// Whether `text` contains `id` as a word.
fn names(text: &str, id: &str) -> bool {
    let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.any(|word| word == id)
}

#[test]
fn every_row_of_the_services_that_were_asked_for_is_played() {
    let text: Vec<String> = scripts().into_iter().map(|script| script.comment).collect();
    for id in [
        "E0", "E1", "E2", "E3", "E4", "E5", "E6", "P1", "P2", "P5", "P6", "P7", "P8", "P9", "P10",
        "P11", "D0",
    ] {
        let played = text.iter().any(|comment| names(comment, id));
        assert!(played, "no transcript of {id}");
    }
}

#[test]
fn every_status_of_http_is_played() {
    let text: Vec<String> = scripts().into_iter().map(|script| script.comment).collect();
    for status in ["400", "405", "413", "414", "431", "501", "505"] {
        let plays = |comment: &String| names(comment, "P5") && names(comment, status);
        assert!(text.iter().any(plays), "no transcript of {status}");
    }
}

#[test]
fn every_row_of_the_framings_that_were_asked_for_is_played() {
    let read = |path: PathBuf| fs::read_to_string(path).expect("UTF-8");
    let plays: Vec<String> = files(&folder().join("framings")).map(read).collect();
    for id in ["K1", "K2", "K3", "K4", "K6", "K7"] {
        let played = plays.iter().any(|play| names(play, id));
        assert!(played, "no transcript of {id}");
    }
    // The rows of K7: offset, size, adjust, strip; then the short names.
    for row in [
        "0,2,0,0", "0,2,0,2", "0,2,-2,0", "2,3,0,0", "0,3,2,0", "1,2,1,3", "1,2,-3,3",
    ] {
        let begin = format!("# K7: {row}.");
        let played = plays.iter().any(|play| play.starts_with(&begin));
        assert!(played, "no transcript of K7 {row}");
    }
    for name in [
        "u8", "u16be", "u16le", "u24be", "u24le", "u32be", "u32le", "u64be", "u64le", "i32be",
        "i32le",
    ] {
        let line = format!("frame {name}");
        let played = plays.iter().any(|play| play.lines().any(|one| one == line));
        assert!(played, "no transcript of K7 {name}");
    }
}

#[test]
fn every_row_of_the_client_that_was_asked_for_has_tests_by_its_name() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/client");
    let text: String = fs::read_dir(tests)
        .expect("tests")
        .map(|entry| fs::read_to_string(entry.expect("a file").path()).expect("UTF-8"))
        .collect();
    for id in ["c1", "c2", "c3", "c4"] {
        let begin = format!("#[test]\nfn {id}_");
        assert!(text.contains(&begin), "no test of {id}");
    }
}
