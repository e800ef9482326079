//! Turns typed or piped input into frames.
//!
//! A pipe without a framing passes through byte by byte. All other input is lines: each line,
//! without its line feed, is a payload and becomes a frame. In a framing without boundaries only
//! the line feed separates messages, so it stays.
//!
//! At a terminal an empty line is no message and `quit` ends the input; in a pipe both are
//! payloads. A line that grows beyond the longest frame is refused before its end has arrived, so
//! memory is bounded. This file knows neither where the bytes come from nor when they are sent.

use std::collections::VecDeque;

use super::{ClientError, Settings, Source};
use crate::protocol::codec::Codec;
use crate::protocol::framing::{Decoded, FrameError, Framing};

pub(super) struct Input {
    framing: Framing,
    codec: Option<Codec>,
    source: Source,
    line_max: usize,
    /// The line that has not ended yet.
    held: Vec<u8>,
    lines: u64,
}

/// Whether more input may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Something,
    Quit,
}

impl Input {
    pub(super) fn new(settings: &Settings) -> Input {
        Input {
            framing: settings.framing,
            codec: settings.codec,
            source: settings.source.clone(),
            line_max: settings.frame_size_max,
            held: Vec::new(),
            lines: 0,
        }
    }

    /// Turns `bytes` into frames in `unsent`. An unfinished line is held.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        unsent: &mut VecDeque<u8>,
    ) -> Result<Said, ClientError> {
        if self.source == Source::Pipe && !self.framing.has_boundaries() {
            unsent.extend(bytes);
            return Ok(Said::Something);
        }
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.held.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.held);
            if self.line(&line, unsent)? == Said::Quit {
                return Ok(Said::Quit);
            }
        }
        self.held.extend_from_slice(rest);
        if self.held.len() > self.line_max {
            let limit = self.line_max;
            let line = format!("line {}: is longer than {limit} bytes", self.lines + 1);
            return Err(ClientError::Message(line));
        }
        Ok(Said::Something)
    }

    /// The end of the input: a last line without a line feed counts as a line.
    pub(super) fn end(&mut self, unsent: &mut VecDeque<u8>) -> Result<Said, ClientError> {
        match std::mem::take(&mut self.held) {
            line if line.is_empty() => Ok(Said::Something),
            line => self.line(&line, unsent),
        }
    }

    fn line(&mut self, line: &[u8], unsent: &mut VecDeque<u8>) -> Result<Said, ClientError> {
        self.lines += 1;
        let typed = self.source == Source::Terminal;
        match line {
            b"" if typed => return Ok(Said::Something),
            b"quit" if typed => return Ok(Said::Quit),
            _ => {}
        }
        match encode(&self.framing, self.codec, line, unsent) {
            Ok(()) if !self.framing.has_boundaries() => unsent.push_back(b'\n'),
            Ok(()) => {}
            // A person can read the reason and type another line.
            Err(reason) if typed => log::warn!("not sent: {reason}"),
            Err(reason) => {
                return Err(ClientError::Message(format!(
                    "line {}: {reason}",
                    self.lines
                )));
            }
        }
        Ok(Said::Something)
    }
}

/// Appends the frame of `payload` to `unsent`.
///
/// # Errors
///
/// The reason why the framing has no frame for `payload`. This includes a payload that contains the
/// end of a frame, because the receiver would not decode one frame.
pub(super) fn encode(
    framing: &Framing,
    codec: Option<Codec>,
    payload: &[u8],
    unsent: &mut VecDeque<u8>,
) -> Result<(), String> {
    let refused = |error| format!("{} bytes make no frame: {error}", payload.len());
    let overhead = framing.overhead();
    let size = codec.map_or(payload.len(), |codec| codec.encoded_size(payload.len()));
    let mut space = vec![0; overhead.front + size + overhead.back];
    space[overhead.front..][..payload.len()].copy_from_slice(payload);
    if let Some(codec) = codec {
        codec.encode(&mut space[overhead.front..], payload.len());
    }
    let length = framing.encode(&[], &mut space, size).map_err(refused)?;
    let frame = &space[..length];
    if framing.has_boundaries() {
        match framing.decode(frame, 0) {
            Decoded::Frame(bounds) if bounds.frame == length => {}
            Decoded::Wrong(error) => return Err(refused(error)),
            Decoded::Frame(_) | Decoded::Incomplete { .. } => {
                return Err(refused(FrameError::Corrupted("a frame ends inside them")));
            }
        }
    }
    unsent.extend(frame);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Backoff;

    fn input(source: Source, frame: &str) -> Input {
        Input::new(&Settings {
            proxy: None,
            addresses: vec!["7007".parse().expect("an address")],
            framing: frame
                .parse::<Framing>()
                .and_then(|framing| framing.limited(100))
                .expect("a framing"),
            codec: None,
            auth: None,
            frame_size_max: 100,
            source,
            terminal: false,
            backoff: Backoff::new(1, None),
            greeted: false,
            connect_timeout: None,
            timeout: None,
        })
    }

    /// What is sent for pieces of input, and `Quit` or the error that ended it.
    fn sent(mut input: Input, pieces: &[&[u8]]) -> (Vec<u8>, String) {
        let (mut unsent, mut said) = (VecDeque::new(), Said::Something);
        for piece in pieces {
            match input.take(piece, &mut unsent) {
                Ok(now) => said = now,
                Err(failure) => return (unsent.into(), failure.to_string()),
            }
        }
        if said == Said::Something {
            said = input.end(&mut unsent).expect("the last line fits");
        }
        (unsent.into(), format!("{said:?}"))
    }

    #[test]
    fn c3_a_pipe_without_a_framing_passes_every_byte() {
        let pieces: [&[u8]; 3] = [b"quit\n\n", b"\0\xff", b"end"];
        let passed = sent(input(Source::Pipe, "raw"), &pieces);
        assert_eq!(passed.0, b"quit\n\n\0\xffend");
    }

    #[test]
    fn c3_a_persons_empty_lines_are_skipped_and_quit_ends() {
        let typed = sent(input(Source::Terminal, "raw"), &[b"a\n\n\nb\nquit\nc\n"]);
        assert_eq!(typed, (b"a\nb\n".to_vec(), "Quit".to_owned()));
        let framed = sent(input(Source::Terminal, "u8"), &[b"\nquite\nqu", b"it\n"]);
        assert_eq!(framed, (b"\x05quite".to_vec(), "Quit".to_owned()));
    }

    #[test]
    fn c4_each_line_of_a_pipe_is_one_payload_whatever_the_cuts() {
        let whole = b"one\n\nquit\nlast";
        let expected = b"\x00\x03one\x00\x00\x00\x04quit\x00\x04last".to_vec();
        for cut in 0..whole.len() {
            let (front, back) = whole.split_at(cut);
            let framed = sent(input(Source::Pipe, "u16be"), &[front, back]);
            assert_eq!(framed.0, expected, "cut at {cut}");
        }
    }

    #[test]
    fn c4_a_line_that_fits_no_frame_is_refused_by_its_number() {
        let long = [b"ok\n".as_slice(), &[b'x'; 101]].concat();
        let (sent_before, reason) = sent(input(Source::Pipe, "u16be"), &[&long]);
        assert_eq!(sent_before, b"\x00\x02ok");
        assert_eq!(reason, "line 2: is longer than 100 bytes");
        let (_, reason) = sent(input(Source::Pipe, "u16be"), &[&[b'x'; 99], b"\n"]);
        assert!(
            reason.starts_with("line 1: 99 bytes make no frame: "),
            "{reason}"
        );
        let typed = sent(input(Source::Terminal, "u16be"), &[&[b'x'; 99], b"\nok\n"]);
        assert_eq!(typed.0, b"\x00\x02ok");
    }

    #[test]
    fn c4_a_line_that_would_come_out_as_two_frames_is_refused_by_its_number() {
        let two = "3 bytes make no frame: a frame ends inside them";
        for (frame, lines, before) in [
            ("delim:2c", b"ok\na,b\n".as_slice(), b"ok,".as_slice()),
            ("delim:2d2d", b"a-b\n-x-\n", b"a-b--"),
        ] {
            let (sent_before, reason) = sent(input(Source::Pipe, frame), &[lines]);
            assert_eq!(sent_before, before, "{frame}");
            assert_eq!(reason, format!("line 2: {two}"), "{frame}");
        }
        let typed = sent(input(Source::Terminal, "delim:2c"), &[b"a,b\nok\n"]);
        assert_eq!(typed.0, b"ok,");
        let line: Framing = "line".parse().expect("a framing");
        let mut unsent = VecDeque::new();
        assert_eq!(
            encode(&line, None, b"a\nb", &mut unsent),
            Err(two.to_owned())
        );
        assert!(unsent.is_empty());
    }

    #[test]
    fn c4_a_line_over_the_limit_of_payloads_is_refused() {
        for frame in ["line", "delim:2c", "ascii:4", "netstring"] {
            let longest = [&[b'x'; 100], b"\n".as_slice()].concat();
            let (bytes, said) = sent(input(Source::Pipe, frame), &[&longest]);
            assert_eq!((bytes.len() > 100, said), (true, "Something".to_owned()));
            let (none, reason) = sent(input(Source::Pipe, frame), &[b"x", &longest]);
            let expected = "line 1: 101 bytes make no frame: 101 bytes, the limit is 100";
            assert_eq!((none, reason), (Vec::new(), expected.to_owned()), "{frame}");
        }
    }
}
