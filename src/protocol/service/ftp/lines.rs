//! The bytes of a control connection, cut into lines and without the commands of telnet.
//!
//! A line ends with LF; a CR before it is no part of it. `IAC IP IAC DM`, which clients send in
//! front of `ABOR`, is taken out (RFC 959, 4.1.3; RFC 854). A line over the limit is skipped to its
//! end and reported once. Invariant: `taken` bytes of `bytes` belong to lines that were returned.

use crate::limits::FTP_LINE_SIZE_MAX;

const IAC: u8 = 255;

/// What the last bytes of telnet were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telnet {
    Data,
    /// Behind IAC.
    Command,
    /// Behind IAC and WILL, WONT, DO or DONT.
    Option,
}

/// Arrived bytes that are not served yet.
#[derive(Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    taken: usize,
    telnet: Telnet,
    /// The current line is over the limit, and the rest of it is left out.
    is_skipping: bool,
}

/// The next line.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Not all of it has arrived.
    Incomplete,
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line over the limit has ended.
    TooLong,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines {
            bytes: Vec::new(),
            taken: 0,
            telnet: Telnet::Data,
            is_skipping: false,
        }
    }
}

impl Lines {
    /// Adds bytes that have arrived. Only as many as [`Lines::room`] says are to be added.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        // Also in a transfer, where no line is taken for long: what is left out takes no memory.
        if self.bytes.len() > FTP_LINE_SIZE_MAX && !self.has_line() {
            self.is_skipping = true;
            self.bytes.clear();
        }
        for byte in bytes {
            self.telnet = match (self.telnet, *byte) {
                (Telnet::Data, IAC) => Telnet::Command,
                (Telnet::Command, 251..=254) => Telnet::Option,
                (Telnet::Command, 240..=250) | (Telnet::Option, _) => Telnet::Data,
                // IAC IAC is one byte of data; before any other byte, the IAC alone is left out.
                (Telnet::Data | Telnet::Command, byte) => {
                    self.bytes.push(byte);
                    Telnet::Data
                }
            };
        }
    }

    /// How many more bytes may be pushed: none while a whole line waits.
    pub fn room(&self) -> usize {
        match self.has_line() {
            true => 0,
            false => FTP_LINE_SIZE_MAX,
        }
    }

    /// Whether a whole line waits.
    pub fn has_line(&self) -> bool {
        self.rest().contains(&b'\n')
    }

    /// Whether a line has begun and not ended.
    pub fn is_mid_line(&self) -> bool {
        self.is_skipping || !self.rest().is_empty()
    }

    /// Whether the command `name`, in upper case, waits first and its whole line has arrived.
    pub fn begins_with(&self, name: &[u8]) -> bool {
        let Some((Some(line), _)) = self.first() else {
            return false;
        };
        let word = line.iter().position(|byte| b" \r".contains(byte));
        line[..word.unwrap_or(line.len())].eq_ignore_ascii_case(name)
    }

    /// Takes the next line.
    pub fn next_line(&mut self) -> Next {
        let Some((line, size)) = self.first() else {
            return Next::Incomplete;
        };
        let next = line.map_or(Next::TooLong, |line| Next::Line(line.to_vec()));
        self.taken += size;
        self.is_skipping = false;
        next
    }

    /// The line that waits first, without its end, and all its bytes. A line over the limit, or its
    /// end, is none.
    fn first(&self) -> Option<(Option<&[u8]>, usize)> {
        let rest = self.rest();
        let size = rest.iter().position(|byte| *byte == b'\n')? + 1;
        let line = &rest[..size - 1];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_too_long = self.is_skipping || line.len() > FTP_LINE_SIZE_MAX;
        // A command of telnet of which the urgent byte has gone out of band: no name of a command
        // begins so.
        let start = line.iter().position(|byte| !(240..=254).contains(byte));
        let line = &line[start.unwrap_or(line.len())..];
        Some(((!is_too_long).then_some(line), size))
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<Next> {
        let mut found = Vec::new();
        loop {
            match lines.next_line() {
                Next::Incomplete => return found,
                next => found.push(next),
            }
        }
    }

    fn line(text: &[u8]) -> Next {
        Next::Line(text.to_vec())
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let bytes = b"USER a\r\n\xff\xf4\xff\xf2ABOR\r\nNOOP\n\xff\xfb\x01\xff\xffx\r\nrest";
        let expected = [
            line(b"USER a"),
            line(b"ABOR"),
            line(b"NOOP"),
            line(b"\xffx"),
        ];
        let mut lines = Lines::default();
        lines.push(bytes);
        assert!(lines.begins_with(b"USER"));
        assert_eq!(all(&mut lines), expected);
        assert!(lines.is_mid_line() && !lines.has_line());
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for byte in bytes {
            lines.push(&[*byte]);
            found.extend(all(&mut lines));
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn the_mark_of_telnet_may_have_gone_out_of_band() {
        for bytes in [
            &b"\xff\xf4\xffABOR\r\n"[..],
            b"\xff\xf4\xf2ABOR\r\n",
            b"\xf4\xffABOR\r\n",
            b"\xf4ABOR\r\n",
        ] {
            let mut lines = Lines::default();
            lines.push(bytes);
            assert!(lines.begins_with(b"ABOR"), "{bytes:?}");
            assert_eq!(all(&mut lines), [line(b"ABOR")], "{bytes:?}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_to_its_end() {
        for (size, is_taken) in [
            (FTP_LINE_SIZE_MAX - 1, true),
            (FTP_LINE_SIZE_MAX, true),
            (FTP_LINE_SIZE_MAX + 1, false),
            (3 * FTP_LINE_SIZE_MAX, false),
        ] {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            let text = [vec![b'x'; size], b"\nNOOP\n".to_vec()].concat();
            for piece in text.chunks(1000) {
                lines.push(piece);
                found.extend(all(&mut lines));
            }
            assert_eq!(found.len(), 2, "{size}");
            assert_eq!(matches!(found[0], Next::Line(_)), is_taken, "{size}");
            assert_eq!(found[1], line(b"NOOP"));
        }
    }

    #[test]
    fn a_line_that_is_not_taken_takes_no_more_memory_than_two_of_the_longest() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.push(&vec![b'x'; lines.room()]);
            assert!(lines.bytes.len() <= 2 * FTP_LINE_SIZE_MAX);
        }
        lines.push(b"ABOR\r\nABOR\r\n");
        assert!(!lines.begins_with(b"ABOR"));
        assert_eq!(lines.next_line(), Next::TooLong);
        assert!(lines.begins_with(b"ABOR"));
    }

    #[test]
    fn a_name_is_a_whole_word() {
        for (text, is_it) in [
            ("ABOR\r\n", true),
            ("abor\n", true),
            ("ABOR x\r\n", true),
            ("ABORT\r\n", false),
            ("ABO\r\n", false),
            ("ABOR", false),
            ("NOOP\r\nABOR\r\n", false),
        ] {
            let mut lines = Lines::default();
            lines.push(text.as_bytes());
            assert_eq!(lines.begins_with(b"ABOR"), is_it, "{text}");
        }
    }
}
