//! `mynah decode`: where a framing cuts a stream, printed.
//!
//! ```text
//!   00 00 00 05 68 65 6c 6c 6f   --frame u32be   ->   68656c6c6f
//! ```
//!
//! Bytes come in as arrivals: reads of a file or pipe, or lines of hex, so that cuts can be played
//! by hand. Each whole frame is a line of output, as soon as it is there. Memory is one buffer for
//! the longest frame, whatever the stream. It knows bytes, a reader and a writer: no socket, no
//! clock, no file. Neighbours: `framing` decides, `run` opens and has the memory.

mod explain;
mod hex;

use std::io::{self, Write};

use crate::base::bytes::{Inbound, InboundCursors};
use crate::limits::READ_SIZE;
use crate::protocol::framing::{Bounds, Decoded, FrameError, Framing, Hint, OnTooLong};
pub use hex::HexLines;

/// What to do with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where a message ends; limited.
    pub framing: Framing,
    /// The limit it was given.
    pub frame_size_max: usize,
    /// What becomes of a frame over the limit.
    pub on_too_long: OnTooLong,
    /// Draw each frame instead of printing its payload.
    pub explain: bool,
}

impl Settings {
    /// Bytes of memory that [`decode`] works in: the longest frame, and the usual read.
    pub fn memory_size(&self) -> usize {
        let largest = self.framing.frame_size_max(self.frame_size_max);
        largest.max(READ_SIZE)
    }
}

/// Where bytes come from, one arrival after the other.
pub trait Arrivals {
    /// Puts the next arrival, or as much of it as fits, into `space`, which is not empty; `None` at
    /// the end. An arrival may be empty.
    fn next(&mut self, space: &mut [u8]) -> Result<Option<usize>, Failure>;
}

/// Bytes as they are: each read is an arrival.
#[derive(Debug)]
pub struct Plain<R>(pub R);

impl<R: io::Read> Arrivals for Plain<R> {
    fn next(&mut self, space: &mut [u8]) -> Result<Option<usize>, Failure> {
        loop {
            match self.0.read(space) {
                Ok(0) => return Ok(None),
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Input(error)),
            }
        }
    }
}

/// Why decoding ended before the stream did.
#[derive(Debug)]
pub enum Failure {
    /// The input could not be read.
    Input(io::Error),
    /// The output could not be written.
    Output(io::Error),
    /// A line of hex is none: its number, and why.
    Hex(u64, &'static str),
    /// The stream is wrong; the line that says so is printed.
    Wrong,
}

/// Decodes everything that arrives, and prints it. `memory` has [`Settings::memory_size`] bytes.
///
/// # Errors
///
/// See [`Failure`].
pub fn decode(
    settings: Settings,
    memory: &mut [u8],
    arrivals: &mut impl Arrivals,
    output: &mut impl Write,
) -> Result<(), Failure> {
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
        decoder.output.flush().map_err(Failure::Output)?;
    }
}

struct Decoder<'a, W: Write> {
    settings: Settings,
    output: &'a mut W,
    /// Where the next undecoded byte stands in the stream.
    at: u64,
    /// A frame that is thrown away: where it began, and how many of its bytes are to come.
    skipping: Option<(u64, u64)>,
}

impl<W: Write> Decoder<'_, W> {
    /// Prints every whole frame.
    fn take_frames(&mut self, inbound: &mut Inbound<'_>) -> Result<(), Failure> {
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
                    self.print(&bytes[..bounds.frame], &bounds)
                        .map_err(Failure::Output)?;
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

    fn print(&mut self, frame: &[u8], bounds: &Bounds) -> io::Result<()> {
        if self.settings.explain {
            return explain::draw(self.output, &self.settings.framing, self.at, frame, bounds);
        }
        let shown = &frame[self.settings.framing.strip(bounds)..bounds.payload_end];
        hex::write(self.output, shown)?;
        self.output.write_all(b"\n")
    }

    /// The stream has ended amid a frame, of which `bytes` are left.
    fn end(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let (start, guess) = match self.skipping {
            Some((start, _)) => (start, None),
            None if bytes.is_empty() => return Ok(()),
            None => (self.at, self.settings.framing.hint_of_partial(bytes)),
        };
        let held = (self.at - start) as usize + bytes.len();
        self.tell(start, &FrameError::Truncated { held }, guess)
    }

    /// Says what is wrong with the frame that begins at `start` with `bytes`.
    fn refuse(&mut self, start: u64, error: &FrameError, bytes: &[u8]) -> Result<(), Failure> {
        self.tell(start, error, self.settings.framing.hint(bytes))
    }

    fn tell(&mut self, start: u64, error: &FrameError, guess: Option<Hint>) -> Result<(), Failure> {
        let mut line = format!("error: {} at byte {start}: {error}", error.kind());
        if let Some(guess) = guess {
            line += &format!("; {guess}");
        }
        line.push('\n');
        let written = self.output.write_all(line.as_bytes());
        let flushed = written.and_then(|()| self.output.flush());
        flushed.map_err(Failure::Output)?;
        Err(Failure::Wrong)
    }
}

#[cfg(test)]
mod tests;
