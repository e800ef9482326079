//! Turns what the server sends into what is printed.
//!
//! Without a framing, bytes are printed as they arrive. On a terminal, which would interpret them,
//! control characters and bytes that are not UTF-8 are escaped. With a framing, each payload is
//! printed on lines of its own: text unchanged, everything else in hex, so the server cannot move
//! the cursor. The prompt is always last on the screen, and is erased when a reply arrives. A
//! message of our own starts on a new line.
//!
//! Bytes in, bytes out: this file does not know whether they can be printed yet. Man page:
//! console_codes(4).

use std::collections::VecDeque;
use std::io::Write;

use super::{Settings, Source};
use crate::protocol::codec::Codec;
use crate::protocol::framing::{Decoded, FrameError, Framing};

const PROMPT: &[u8] = b"> ";
/// Returns to the start of the line, overwrites the prompt with blanks and returns again; works on
/// any terminal.
const WIPE: &[u8] = b"\r  \r";

pub(super) struct Screen {
    framing: Framing,
    codec: Option<Codec>,
    terminal: bool,
    prompt: Prompt,
    /// The cursor is after text of the server (not counting the prompt), and not at the start of a
    /// line.
    amid_line: bool,
    /// The next frame is the greeting, not a reply.
    greeted: bool,
    /// How many frames are still to be printed.
    frames_left: usize,
    /// Received bytes that do not yet form a whole frame or character.
    held: Vec<u8>,
    scanned: usize,
    owed: VecDeque<u8>,
}

#[derive(PartialEq, Eq)]
enum Prompt {
    Never,
    Hidden,
    Shown,
}

impl Screen {
    pub(super) fn new(settings: &Settings) -> Screen {
        let typed = settings.source == Source::Terminal && settings.terminal;
        let mut screen = Screen {
            framing: settings.framing,
            codec: settings.codec,
            terminal: settings.terminal,
            prompt: if typed { Prompt::Hidden } else { Prompt::Never },
            amid_line: false,
            greeted: settings.greeted,
            frames_left: match settings.source {
                Source::Message(_) => 1,
                _ => usize::MAX,
            },
            held: Vec::new(),
            scanned: 0,
            owed: VecDeque::new(),
        };
        screen.show_prompt();
        screen
    }

    /// The bytes to print.
    pub(super) fn owed(&mut self) -> &mut VecDeque<u8> {
        &mut self.owed
    }

    /// Whether all expected frames have arrived.
    pub(super) fn is_answered(&self) -> bool {
        self.frames_left == 0
    }

    /// A line was typed: the cursor is at the start of the next line.
    pub(super) fn typed(&mut self) {
        self.amid_line = false;
        if self.prompt != Prompt::Never {
            self.prompt = Prompt::Hidden;
            self.show_prompt();
        }
    }

    fn show_prompt(&mut self) {
        if self.prompt == Prompt::Hidden {
            self.owed.extend(PROMPT);
            self.prompt = Prompt::Shown;
        }
    }

    fn wipe_prompt(&mut self) {
        if self.prompt == Prompt::Shown {
            self.owed.extend(WIPE);
            self.prompt = Prompt::Hidden;
        }
    }

    /// Takes `bytes` from the server.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if !self.framing.has_boundaries() && !self.terminal {
            self.owed.extend(bytes);
            return Ok(());
        }
        self.wipe_prompt();
        self.held.extend_from_slice(bytes);
        let before = self.owed.len();
        let answer = if self.framing.has_boundaries() {
            self.frames()
        } else {
            let shown = escape(&self.held, false, &mut self.owed);
            self.held.drain(..shown);
            Ok(())
        };
        self.look_at_cursor(before);
        // After an unfinished line the prompt would look like a part of it.
        if !self.amid_line {
            self.show_prompt();
        }
        answer
    }

    /// Records whether the output now ends amid a line. The first `before` bytes of `owed` are
    /// older.
    fn look_at_cursor(&mut self, before: usize) {
        if let Some(last) = self.owed.iter().skip(before).next_back() {
            self.amid_line = *last != b'\n';
        }
    }

    /// Prints all whole frames.
    fn frames(&mut self) -> Result<(), FrameError> {
        let mut at = 0;
        let answer = loop {
            if at == self.held.len() || self.is_answered() {
                break Ok(());
            }
            let bytes = &mut self.held[at..];
            match self.framing.decode(bytes, self.scanned) {
                Decoded::Frame(bounds) => {
                    let said = &mut bytes[bounds.payload..bounds.payload_end];
                    let said = match self.codec.map(|codec| codec.decode(said)) {
                        None => &bytes[bounds.payload..bounds.payload_end],
                        Some(Ok(said)) => said,
                        Some(Err(error)) => break Err(error),
                    };
                    if !std::mem::take(&mut self.greeted) {
                        payload(said, &mut self.owed);
                        self.frames_left -= 1;
                    }
                    at += bounds.frame;
                    self.scanned = 0;
                }
                Decoded::Incomplete { scanned } => {
                    self.scanned = scanned;
                    break Ok(());
                }
                Decoded::Wrong(error) => break Err(error),
            }
        };
        self.held.drain(..at);
        answer
    }

    /// The server's stream has ended.
    pub(super) fn end(&mut self) -> Result<(), FrameError> {
        if self.framing.has_boundaries() {
            return match self.held.len() {
                held if held > 0 && !self.is_answered() => Err(FrameError::Truncated { held }),
                _ => Ok(()),
            };
        }
        if !self.held.is_empty() {
            self.wipe_prompt();
        }
        let before = self.owed.len();
        escape(&self.held, true, &mut self.owed);
        self.held.clear();
        self.look_at_cursor(before);
        Ok(())
    }

    /// A message comes next; on a terminal it starts on a new line.
    pub(super) fn end_line(&mut self) {
        if self.terminal && self.amid_line {
            self.owed.push_back(b'\n');
            self.amid_line = false;
        }
    }

    /// The input has ended. Unless a line was typed last, the cursor is still after the prompt and
    /// needs a line feed.
    pub(super) fn close(&mut self, after_line: bool) {
        if self.prompt == Prompt::Shown && !after_line {
            self.owed.push_back(b'\n');
        }
        self.prompt = Prompt::Never;
    }
}

/// Prints one payload, on lines of its own.
fn payload(payload: &[u8], out: &mut VecDeque<u8>) {
    if !is_text(payload) {
        out.extend(b"0x");
        for byte in payload {
            let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
            out.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        out.push_back(b'\n');
        return;
    }
    out.extend(payload);
    if payload.last() != Some(&b'\n') {
        out.push_back(b'\n');
    }
}

/// Whether `bytes` are UTF-8 without control characters other than tabs and line ends.
fn is_text(bytes: &[u8]) -> bool {
    let plain = |line: &str| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.chars()
            .all(|letter| letter == '\t' || !letter.is_control())
    };
    std::str::from_utf8(bytes).is_ok_and(|text| text.split('\n').all(plain))
}

/// Prints `bytes` for a terminal, escaping what is not text. Returns how many bytes were printed.
/// Unless the bytes are the `last`, an incomplete character waits, and so does a carriage return,
/// which a line feed may follow.
fn escape(bytes: &[u8], last: bool, out: &mut VecDeque<u8>) -> usize {
    let mut done = 0;
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let next = bytes.get(done + letter.len_utf8());
            match letter {
                '\r' if next.is_none() && !last => return done,
                '\r' if next == Some(&b'\n') => {}
                '\n' | '\t' => out.push_back(letter as u8),
                letter if letter.is_control() => write_all(out, letter.escape_default()),
                letter => write_all(out, letter),
            }
            done += letter.len_utf8();
        }
        let broken = chunk.invalid();
        let goes_on = std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none());
        if goes_on && !last && done + broken.len() == bytes.len() {
            return done;
        }
        broken
            .iter()
            .for_each(|byte| write_all(out, format_args!("\\x{byte:02x}")));
        done += broken.len();
    }
    done
}

fn write_all(out: &mut VecDeque<u8>, text: impl std::fmt::Display) {
    // Writing to memory does not fail.
    let _ = write!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8], last: bool) -> (String, usize) {
        let mut out = VecDeque::new();
        let done = escape(bytes, last, &mut out);
        (String::from_utf8(out.into()).expect("text"), done)
    }

    fn printed(bytes: &[u8]) -> String {
        let mut out = VecDeque::new();
        payload(bytes, &mut out);
        String::from_utf8(out.into()).expect("text")
    }

    #[test]
    fn c4_a_payload_that_is_no_text_is_hex() {
        for (bytes, line) in [
            ("你好\tö".as_bytes(), "你好\tö\n"),
            (b"two\r\nlines\n", "two\r\nlines\n"),
            (b"", "\n"),
            (b"\x1b[2J", "0x1b5b324a\n"),
            (b"over\rwrite", "0x6f7665720d7772697465\n"),
            (b"\xc2\x9b2J", "0xc29b324a\n"),
            (b"\0\xff", "0x00ff\n"),
        ] {
            assert_eq!(printed(bytes), line);
        }
    }

    #[test]
    fn c3_a_terminal_is_shown_control_characters_and_does_not_obey_them() {
        let (text, _) = escaped(b"a\x1b[31m\x07\xc2\x9b\xff\rb\r\n\tc\x7f", true);
        assert_eq!(text, "a\\u{1b}[31m\\u{7}\\u{9b}\\xff\\rb\n\tc\\u{7f}");
    }

    #[test]
    fn c3_a_letter_that_arrives_in_pieces_is_shown_whole() {
        let whole = "ü你\u{1f600}\r\n\u{1b}.".as_bytes();
        for cut in 0..whole.len() {
            let (front, back) = whole.split_at(cut);
            let (mut text, done) = escaped(front, false);
            text += &escaped(&[&front[done..], back].concat(), true).0;
            assert_eq!(text, "ü你\u{1f600}\n\\u{1b}.", "cut at {cut}");
        }
        assert_eq!(escaped(b"\xe4\xbd", true).0, "\\xe4\\xbd");
        assert_eq!(escaped(b"\xe4\xbdA", false).0, "\\xe4\\xbdA");
    }
}
