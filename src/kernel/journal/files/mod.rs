//! The files that `--trace` writes: what a ring holds, drawn in one of four formats.
//!
//! ```text
//!   .txt      text      a line for each call, as strace(1) writes it
//!   .json     json      slices on tracks, for Perfetto and chrome://tracing
//!   .html     page      a picture in a browser, with everything in one file
//!   .pcapng   packets   the conversations as packets, for tshark and Wireshark
//! ```
//!
//! A format sees a [`Snapshot`] and [`About`]; it knows no kernel and no server. All of them are
//! written front to back, so none needs more memory than the snapshot. Neighbours: `ring`, which
//! holds the records; `cli::run`, which opens the file.

mod json;
mod packets;
mod page;
mod text;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::{Body, Record, Snapshot};
use crate::kernel::Time;

pub(super) use packets::{LOCAL_PEER_PORT, LOCAL_PEER_PORTS};

/// How a trace is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines as those of strace(1).
    Text,
    /// Trace Event Format.
    Json,
    /// A page for a browser.
    Page,
    /// Packets.
    Packets,
}

/// The extensions, and what they stand for.
const FORMATS: &[(&str, Format)] = &[
    ("txt", Format::Text),
    ("json", Format::Json),
    ("html", Format::Page),
    ("pcapng", Format::Packets),
];

/// Whose trace it is.
#[derive(Clone, Debug)]
pub struct About {
    /// The command line.
    pub command: String,
    /// The process.
    pub process: u32,
    /// The time of day at a moment of the monotonic clock, since 1970.
    pub clock: (Time, std::time::Duration),
}

impl Format {
    /// The format of a file with this name.
    ///
    /// # Errors
    ///
    /// What is wrong with its extension.
    pub fn of(path: &Path) -> Result<Format, String> {
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or("");
        let found = FORMATS.iter().find(|(name, _)| *name == extension);
        found.map(|(_, format)| *format).ok_or_else(|| {
            let names: Vec<String> = FORMATS.iter().map(|(name, _)| format!(".{name}")).collect();
            let names = names.join(", ");
            match extension {
                "" => format!("has no extension; it tells the format: {names}"),
                _ => format!(".{extension} is no format of a trace; there are {names}"),
            }
        })
    }

    /// Whether all bytes that move are drawn, and not only the first ones.
    pub fn draws_payload(self) -> bool {
        self == Format::Packets
    }

    /// Writes the trace.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(
        self,
        snapshot: &Snapshot,
        about: &About,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        match self {
            Format::Text => text::write(snapshot, about, out),
            Format::Json => json::write(snapshot, about, out),
            Format::Page => page::write(snapshot, about, out),
            Format::Packets => packets::write(snapshot, about, out),
        }
    }
}

impl About {
    /// The command line and where the trace comes from, in two lines.
    fn lines(&self, snapshot: &Snapshot) -> [String; 2] {
        let Snapshot { lost, .. } = snapshot;
        let when = crate::base::text::utc::utc(self.time_of_day(start(snapshot)));
        let count = snapshot.records().len();
        let rest = match lost {
            0 => String::new(),
            _ => format!("; {lost} older ones are lost, see --trace-last"),
        };
        [
            format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
                + ": "
                + &self.command,
            format!(
                "process {}, from {when}, {count} records{rest}",
                self.process
            ),
        ]
    }
}

impl About {
    /// The time of day at `at`, in nanoseconds since 1970.
    fn time_of_day(&self, at: Time) -> u64 {
        let (clock, since_1970) = self.clock;
        let at_clock = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        (at_clock + at.as_nanos()).saturating_sub(clock.as_nanos())
    }
}

/// Text as a string of JSON, which is also one of a script in a page.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\0'..='\x1f' | '<' | '\u{2028}' | '\u{2029}' => {
                quoted += &format!("\\u{:04x}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// When the first record began.
fn start(snapshot: &Snapshot) -> Time {
    let began = snapshot.records().iter().map(|record| record.began);
    began.min().unwrap_or_default()
}

/// The loops that have records.
fn tracks(snapshot: &Snapshot) -> Vec<u32> {
    let mut seen = Vec::new();
    for record in snapshot.records() {
        let track = record.track as usize;
        if track >= seen.len() {
            seen.resize(track + 1, false);
        }
        seen[track] = true;
    }
    let tracks = seen.iter().zip(0..).filter(|(seen, _)| **seen);
    tracks.map(|(_, track)| track).collect()
}

/// The places of connections: by a loop and a token, or by a descriptor.
#[derive(Default)]
struct Places(HashMap<(u32, u64), usize>);

// All formats share one map, because each kind of map would be compiled anew.
impl Places {
    #[inline(never)]
    fn get(&self, track: u32, number: u64) -> Option<usize> {
        self.0.get(&(track, number)).copied()
    }

    #[inline(never)]
    fn set(&mut self, track: u32, number: u64, place: usize) {
        self.0.insert((track, number), place);
    }
}

/// The first bytes of a record as a reader sees them, in quotes: `"hello\n"`, with `...` behind
/// them if there are more. Empty for a record that has moved none.
fn first_bytes(snapshot: &Snapshot, record: &Record, count_max: usize) -> String {
    let Body::Call { result, .. } = record.body else {
        return String::new();
    };
    let shown = |call: &super::Call<'_>| {
        let first = &call.bytes[..call.bytes.len().min(count_max)];
        let more = result.unwrap_or(0) > first.len();
        match first {
            [] => String::new(),
            _ => format!("\"{}\"{}", readable(first), if more { "..." } else { "" }),
        }
    };
    snapshot.with_call(record, shown).unwrap_or_default()
}

/// Bytes that a line shows.
const SHOWN: usize = 32;

/// Bytes as text: what does not print is escaped, and so is what is not ASCII, unless all of it is
/// UTF-8, up to a last letter that is cut.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    let is_text = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\'' => text.push(letter),
                ' '..='~' | '\n' | '\r' | '\t' | '\0' => text.extend(letter.escape_debug()),
                '\u{a0}'.. if is_text => text.extend(letter.escape_debug()),
                _ => escape_bytes(&mut text, letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        escape_bytes(&mut text, chunk.invalid());
    }
    text
}

fn escape_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        *text += &format!("\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_text_and_what_does_not_print_is_escaped() {
        assert_eq!(
            readable(b"a \"b\"\\\n\0\x01\x7f"),
            r#"a \"b\"\\\n\0\x01\x7f"#
        );
        assert_eq!(readable("梨é\u{80}".as_bytes()), "梨é\\xc2\\x80");
        assert_eq!(
            readable("é\u{68a8}".as_bytes().get(..4).expect("a part")),
            "é\\xe6\\xa2"
        );
        assert_eq!(readable("\u{e9}".as_bytes()), "é");
        assert_eq!(readable(b"\xc3\xa9\xff\xc3"), "\\xc3\\xa9\\xff\\xc3");
    }

    #[test]
    fn the_extension_tells_the_format_and_another_one_is_refused() {
        assert_eq!(Format::of(Path::new("/tmp/a.b/t.txt")), Ok(Format::Text));
        for (name, words) in [("t", "has no extension"), ("t.doc", ".doc is no format")] {
            let refused = Format::of(Path::new(name)).unwrap_err();
            assert!(
                refused.starts_with(words) && refused.contains(".txt"),
                "{refused}"
            );
        }
    }
}
