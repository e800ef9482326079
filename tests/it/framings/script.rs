//! A transcript: a framing, what arrives, what a service receives, and how the stream ends.
//!
//! ```text
//!   # K2: a comment
//!   frame ascii:1            as --frame gives it
//!   max 9                    --frame-max; without it, the default
//!   discard                  --on-too-long discard
//!   in "6hel" 6c 6f "," 30   an arrival: text and hex
//!   out "hello,"             what a service receives, one line per frame
//!   error truncated at byte 7
//! ```

use std::fs;
use std::path::Path;

use mynah::decode::Settings;
use mynah::limits::FRAME_MAX_DEFAULT;
use mynah::protocol::framing::{Framing, OnTooLong};

pub(super) struct Script {
    pub(super) name: String,
    pub(super) frame: String,
    pub(super) max: usize,
    pub(super) arrivals: Vec<Vec<u8>>,
    pub(super) error: Option<String>,
    outputs: Vec<Vec<u8>>,
    discard: bool,
}

/// All transcripts.
pub(super) fn scripts() -> Vec<Script> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/transcripts/framings");
    let entries = fs::read_dir(folder).expect("transcripts");
    let paths = entries.map(|entry| entry.expect("a transcript").path());
    let mut scripts: Vec<Script> = paths
        .map(|path| {
            let text = fs::read_to_string(&path).expect("text");
            let name = path.file_name().expect("a name").to_string_lossy();
            Script::read(&name, &text)
        })
        .collect();
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(scripts.len() > 10, "where are the transcripts?");
    scripts
}

impl Script {
    fn read(name: &str, text: &str) -> Script {
        let mut script = Script {
            name: name.to_owned(),
            frame: String::new(),
            max: FRAME_MAX_DEFAULT,
            arrivals: Vec::new(),
            error: None,
            outputs: Vec::new(),
            discard: false,
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("frame", spec) => script.frame = spec.to_owned(),
                ("max", bytes) => script.max = bytes.parse().expect("a size"),
                ("discard", "") => script.discard = true,
                ("in", what) => script.arrivals.push(bytes(what)),
                ("out", what) => script.outputs.push(bytes(what)),
                ("error", error) => script.error = Some(error.to_owned()),
                _ => panic!("{name}: {line}"),
            }
        }
        script
    }

    pub(super) fn framing(&self) -> Framing {
        Framing::parse(&self.frame)
            .and_then(|framing| framing.limited(self.max))
            .unwrap_or_else(|why| panic!("{}: {why}", self.name))
    }

    pub(super) fn discards(&self) -> bool {
        self.discard
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            framing: self.framing(),
            codec: None,
            frame_size_max: self.max,
            on_too_long: match self.discard {
                true => OnTooLong::Discard,
                false => OnTooLong::Close,
            },
            explain: false,
        }
    }

    /// Asserts that decode printed the expected text, and ended with or without an error as
    /// expected.
    pub(super) fn holds(&self, (text, ended_well): (String, bool)) {
        let mut lines: Vec<&str> = text.lines().collect();
        let error = (!ended_well).then(|| lines.pop().unwrap_or_default());
        let expected: Vec<String> = self.outputs.iter().map(|bytes| hex(bytes)).collect();
        assert_eq!(lines, expected, "{}", self.name);
        let error = error.map(|line| line.split(": ").nth(1).unwrap_or_default());
        assert_eq!(error, self.error.as_deref(), "{}", self.name);
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text in quotes, with \n, \r and \0, and pairs of hex digits.
fn bytes(mut what: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !what.trim_start().is_empty() {
        what = what.trim_start();
        if let Some(text) = what.strip_prefix('"') {
            let (text, rest) = text.split_once('"').expect("a closing quote");
            let text = text.replace("\\n", "\n").replace("\\r", "\r");
            bytes.extend(text.replace("\\0", "\0").as_bytes());
            what = rest;
        } else {
            let (digits, rest) = what.split_at(2);
            bytes.push(u8::from_str_radix(digits, 16).expect("two hex digits"));
            what = rest;
        }
    }
    bytes
}
