//! `mynah decode`: prints where a framing cuts a stream.
//!
//! ```text
//!   00 00 00 05 68 65 6c 6c 6f   --frame u32be   ->   68656c6c6f
//! ```
//!
//! Input comes as arrivals: reads of a file or pipe, or lines of hex that let a user choose the
//! cuts. Each frame becomes a line of output as soon as it is whole. Memory is one buffer for the
//! longest frame, however long the stream is.
//!
//! The module knows bytes, a reader and a writer: no socket, no clock, no file. Neighbours:
//! `protocol::framing` decodes; `cli::run` opens the input and the output and allocates the memory.

mod explain;
mod hex;

use std::io::{self, Write};

use crate::base::bytes::{Inbound, InboundCursors};
use crate::limits::READ_SIZE;
use crate::protocol::codec::Codec;
use crate::protocol::framing::{Bounds, Decoded, FrameError, Framing, Hint, OnTooLong};
pub use hex::HexLines;

/// How to decode a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where a message ends; the limit is set.
    pub framing: Framing,
    /// How payloads are written.
    pub codec: Option<Codec>,
    /// The limit of the framing, in bytes.
    pub frame_size_max: usize,
    /// What happens to a frame over the limit.
    pub on_too_long: OnTooLong,
    /// Whether to draw each frame instead of printing its payload.
    pub explain: bool,
}

impl Settings {
    /// Bytes of memory that [`decode`] works in: the longest frame, and at least one usual read.
    pub fn memory_size(&self) -> usize {
        let largest = self.framing.frame_size_max(self.frame_size_max);
        largest.max(READ_SIZE)
    }
}

/// A source of bytes, one arrival after the other.
pub trait Arrivals {
    /// Puts the next arrival, or as much of it as fits, into `space`, which is not empty. Returns
    /// its bytes, or `None` at the end. An arrival may be empty.
    ///
    /// # Errors
    ///
    /// See [`DecodeError`].
    fn next(&mut self, space: &mut [u8]) -> Result<Option<usize>, DecodeError>;
}

/// Plain bytes: each read is an arrival.
#[derive(Debug)]
pub struct Plain<R>(pub R);

impl<R: io::Read> Arrivals for Plain<R> {
    fn next(&mut self, space: &mut [u8]) -> Result<Option<usize>, DecodeError> {
        loop {
            match self.0.read(space) {
                Ok(0) => return Ok(None),
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DecodeError::Input(error)),
            }
        }
    }
}

/// Why decoding ended before the stream.
#[derive(Debug)]
pub enum DecodeError {
    /// The input could not be read.
    Input(io::Error),
    /// The output could not be written.
    Output(io::Error),
    /// A line that is not hex: its number, and the reason.
    Hex(u64, &'static str),
    /// The stream is wrong; a line that says so has been printed.
    Wrong,
}

/// Decodes all arrivals and prints the frames. `memory` has at least [`Settings::memory_size`]
/// bytes.
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode(
    settings: Settings,
    memory: &mut [u8],
    arrivals: &mut impl Arrivals,
    output: &mut impl Write,
) -> Result<(), DecodeError> {
    debug_assert!(memory.len() >= settings.memory_size());
    let mut cursors = InboundCursors::default();
    let mut decoder = Decoder {
        settings,
        output,
        at: 0,
        skipping: None,
    };
    loop {
        let mut inbound = Inbound::new(memory, cursors);
        match arrivals.next(inbound.spare())? {
            Some(count) => inbound.advance(count),
            None => return decoder.end(inbound.undecoded()),
        }
        decoder.take_frames(&mut inbound)?;
        inbound.compact();
        cursors = inbound.cursors();
        decoder.output.flush().map_err(DecodeError::Output)?;
    }
}

struct Decoder<'a, W: Write> {
    settings: Settings,
    output: &'a mut W,
    /// Offset of the next undecoded byte in the stream.
    at: u64,
    /// A frame that is being discarded: its offset, and how many of its bytes are to come.
    skipping: Option<(u64, u64)>,
}

impl<W: Write> Decoder<'_, W> {
    /// Prints all whole frames.
    fn take_frames(&mut self, inbound: &mut Inbound<'_>) -> Result<(), DecodeError> {
        loop {
            let scanned = inbound.scanned();
            let bytes = inbound.undecoded();
            if bytes.is_empty() {
                return Ok(());
            }
            if let Some((start, left)) = self.skipping {
                let (count, left) = match self.settings.framing.skip(left, bytes) {
                    Ok(skipped) => skipped,
                    Err(error) => return self.refuse(start, &error, bytes),
                };
                self.skipping = (left > 0).then_some((start, left));
                self.at += count as u64;
                inbound.consume(count);
                if left > 0 {
                    return Ok(());
                }
                continue;
            }
            match self.settings.framing.decode(bytes, scanned) {
                Decoded::Frame(bounds) => {
                    let frame = &bytes[..bounds.frame];
                    let said = match self.settings.codec {
                        None => None,
                        Some(codec) => {
                            let mut said = frame[bounds.payload..bounds.payload_end].to_vec();
                            match codec.decode(&mut said) {
                                Ok(decoded) => Some(decoded.to_vec()),
                                Err(error) => return self.refuse(self.at, &error, bytes),
                            }
                        }
                    };
                    let printed = self.print(frame, &bounds, said.as_deref());
                    printed.map_err(DecodeError::Output)?;
                    self.at += bounds.frame as u64;
                    inbound.consume(bounds.frame);
                }
                Decoded::Incomplete { scanned } => {
                    inbound.set_scanned(scanned);
                    return Ok(());
                }
                Decoded::Wrong(error)
                    if error.is_too_long() && self.settings.on_too_long == OnTooLong::Discard =>
                {
                    log::warn!("too_long at byte {}: {error}: thrown away", self.at);
                    let span = self.settings.framing.span(bytes);
                    self.skipping = Some((self.at, span));
                }
                Decoded::Wrong(error) => return self.refuse(self.at, &error, bytes),
            }
        }
    }

    /// Prints a frame. `said` is what its codec made of the payload.
    fn print(&mut self, frame: &[u8], bounds: &Bounds, said: Option<&[u8]>) -> io::Result<()> {
        let framing = &self.settings.framing;
        if self.settings.explain {
            return explain::draw(self.output, framing, self.at, frame, bounds, said);
        }
        let shown = said.unwrap_or(&frame[framing.strip(bounds)..bounds.payload_end]);
        hex::write(self.output, shown)?;
        self.output.write_all(b"\n")
    }

    /// The stream has ended. `bytes` are left, the beginning of an incomplete frame.
    fn end(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let (start, hint) = match self.skipping {
            Some((start, _)) => (start, None),
            None if bytes.is_empty() => return Ok(()),
            None => (self.at, self.settings.framing.hint_of_partial(bytes)),
        };
        let held = (self.at - start) as usize + bytes.len();
        self.print_error(start, &FrameError::Truncated { held }, hint)
    }

    /// Prints the error of the frame at offset `start`, which begins with `bytes`.
    fn refuse(&mut self, start: u64, error: &FrameError, bytes: &[u8]) -> Result<(), DecodeError> {
        self.print_error(start, error, self.settings.framing.hint(bytes))
    }

    fn print_error(
        &mut self,
        start: u64,
        error: &FrameError,
        hint: Option<Hint>,
    ) -> Result<(), DecodeError> {
        let mut line = format!("error: {} at byte {start}: {error}", error.kind());
        if let Some(hint) = hint {
            line += &format!("; {hint}");
        }
        line.push('\n');
        let written = self.output.write_all(line.as_bytes());
        let flushed = written.and_then(|()| self.output.flush());
        flushed.map_err(DecodeError::Output)?;
        Err(DecodeError::Wrong)
    }
}

#[cfg(test)]
mod tests;
