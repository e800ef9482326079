//! Any framing with any bytes.
//!
//! Checked: however the stream is cut, the frames are the same; the decoder never reads past the
//! end and never scans a byte twice; an encoded payload decodes to itself; `mynah decode` prints
//! the same lines for the same bytes, however they arrive.

use std::io::Read;

use mynah::decode::{self, DecodeError, HexLines, Plain, Settings};
use mynah::protocol::framing::{Bounds, Decoded, FrameError, Framing, OnTooLong};

use super::draw::{Draw, pieces};

/// The result of a stream: its frames, what was discarded, and the error that ended it.
#[derive(Debug, PartialEq)]
struct Cut {
    frames: Vec<(usize, Bounds)>,
    thrown_away: Vec<(usize, FrameError)>,
    wrong: Option<(usize, FrameError)>,
}

/// The result of `framing` for a stream that arrives in `pieces`.
fn cut(framing: &Framing, bytes: &[u8], pieces: &[&[u8]], discards: bool) -> Cut {
    let mut cut = Cut {
        frames: Vec::new(),
        thrown_away: Vec::new(),
        wrong: None,
    };
    let (mut at, mut arrived, mut known, mut skipping) = (0, 0, 0, None);
    for piece in pieces {
        arrived += piece.len();
        while at < arrived {
            // A copy of exactly the received bytes, so that a read past their end is detected.
            let here = bytes[at..arrived].to_vec();
            if let Some((start, left)) = skipping {
                match framing.skip(left, &here) {
                    Ok((count, left)) => {
                        assert!(count <= here.len(), "{framing} steps over more than came");
                        at += count;
                        skipping = (left > 0).then_some((start, left));
                        if left > 0 {
                            break;
                        }
                        continue;
                    }
                    Err(error) => {
                        cut.wrong = Some((start, error));
                        return cut;
                    }
                }
            }
            match framing.decode(&here, known) {
                Decoded::Frame(bounds) => {
                    assert!(
                        bounds.frame > 0 && bounds.frame <= here.len(),
                        "{framing}: {bounds:?}"
                    );
                    assert!(
                        bounds.payload <= bounds.payload_end,
                        "{framing}: {bounds:?}"
                    );
                    assert!(bounds.payload_end <= bounds.frame, "{framing}: {bounds:?}");
                    assert!(
                        framing.strip(&bounds) <= bounds.payload_end,
                        "{framing}: {bounds:?}"
                    );
                    // Without boundaries, the pieces are the frames.
                    if framing.has_boundaries() {
                        cut.frames.push((at, bounds));
                    }
                    at += bounds.frame;
                    known = 0;
                }
                Decoded::Incomplete { scanned } => {
                    assert!(scanned <= here.len(), "{framing} has scanned past the end");
                    known = scanned;
                    break;
                }
                Decoded::Wrong(error) => {
                    known = 0;
                    let _ = framing.hint(&here).map(|guess| guess.to_string());
                    if !(discards && error.is_too_long()) {
                        cut.wrong = Some((at, error));
                        return cut;
                    }
                    cut.thrown_away.push((at, error));
                    let span = framing.span(&here);
                    assert!(span > 0, "{framing} throws nothing away");
                    skipping = Some((at, span));
                }
            }
        }
    }
    cut
}

/// The output of `mynah decode` for `input`, and whether the input was valid.
fn printed(settings: Settings, input: impl Read) -> (String, bool) {
    let mut output = Vec::new();
    let mut memory = vec![0; settings.memory_size()];
    let ended = decode::decode(settings, &mut memory, &mut Plain(input), &mut output);
    told(output, ended)
}

fn told(output: Vec<u8>, ended: Result<(), DecodeError>) -> (String, bool) {
    let right = match ended {
        Ok(()) => true,
        Err(DecodeError::Wrong) => false,
        Err(other) => panic!("neither input nor output can fail: {other:?}"),
    };
    let text = String::from_utf8(output).expect("text");
    // The hint about the peer's protocol depends on the bytes that have arrived, so it is cut off.
    let lines = text.lines().map(|line| line.split("; ").next());
    (lines.flatten().collect::<Vec<_>>().join("\n"), right)
}

/// A reader that returns one piece per read.
struct Pieces<'a>(Vec<&'a [u8]>);

impl Read for Pieces<'_> {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        let Some(piece) = self.0.first_mut() else {
            return Ok(0);
        };
        let count = piece.len().min(space.len());
        space[..count].copy_from_slice(&piece[..count]);
        *piece = &piece[count..];
        if piece.is_empty() {
            self.0.remove(0);
        }
        Ok(count)
    }
}

/// Encodes a payload and decodes it again.
fn there_and_back(framing: &Framing, payload: &[u8], request: &[u8]) {
    let overhead = framing.overhead();
    let front = vec![0; overhead.front];
    let back = vec![0; overhead.back];
    let mut space = [&front, payload, &back].concat();
    let Ok(length) = framing.encode(request, &mut space, payload.len()) else {
        return;
    };
    assert!(length <= space.len(), "{framing}");
    if length == 0 {
        assert!(payload.is_empty() && !framing.has_boundaries(), "{framing}");
        return;
    }
    let decoded = framing.decode(&space[..length], 0);
    let marked = matches!(
        framing,
        Framing::Line(_) | Framing::Delimiter(_) | Framing::LongDelimiter(_)
    );
    let Decoded::Frame(bounds) = decoded else {
        panic!("{framing}: {decoded:?} of what it has sealed");
    };
    if bounds.frame == length {
        let whole = &space[..length];
        let shown = &whole[bounds.payload..bounds.payload_end];
        // `line` treats a carriage return at the end as a part of the line end.
        let end = matches!(framing, Framing::Line(_)) && payload.ends_with(b"\r");
        assert!(
            end || whole.ends_with(payload) || shown == payload,
            "{framing}"
        );
    } else {
        // The payload contains its own delimiter and decodes to several frames.
        assert!(marked, "{framing}");
    }
}

/// Runs one input.
pub fn play(data: &[u8]) {
    let mut draw = Draw(data);
    let (framing, limit) = draw.framing();
    let mode = draw.byte();
    let count = draw.below(8);
    let cuts = draw.bytes(count);
    let stream = draw.0;
    // A field of one byte has no byte order, so the printed name may be another framing, which
    // parses to the same one.
    let printed_alike = Framing::parse(&framing.to_string()).map(|again| again.to_string());
    assert_eq!(printed_alike, Ok(framing.to_string()));

    let discards = mode & 1 == 1;
    let whole = cut(&framing, stream, &[stream], discards);
    assert_eq!(
        whole,
        cut(&framing, stream, &pieces(stream, cuts), discards),
        "{framing}"
    );
    assert_eq!(
        whole,
        cut(&framing, stream, &pieces(stream, &[0]), discards),
        "{framing}"
    );

    let request = whole
        .frames
        .first()
        .map_or(&[][..], |(at, bounds)| &stream[*at..at + bounds.frame]);
    there_and_back(&framing, stream, &[]);
    if !request.is_empty() {
        let payload = &stream[..stream.len().min(limit)];
        there_and_back(&framing, payload, request);
    }

    // Allocates half a mebibyte, so only some inputs do this.
    if mode & 0b110 == 0b110 {
        let settings = Settings {
            framing,
            codec: None,
            frame_size_max: limit,
            on_too_long: if discards {
                OnTooLong::Discard
            } else {
                OnTooLong::Close
            },
            explain: mode & 8 == 8,
        };
        let (text, right) = printed(settings, stream);
        if framing.has_boundaries() {
            let cut = printed(settings, Pieces(pieces(stream, cuts)));
            assert_eq!((&text, right), (&cut.0, cut.1), "{framing}");
        }
        let (mut memory, mut output) = (vec![0; settings.memory_size()], Vec::new());
        let mut lines = HexLines::new(stream);
        match decode::decode(settings, &mut memory, &mut lines, &mut output) {
            Err(DecodeError::Hex(..)) => {}
            ended => drop(told(output, ended)),
        }
        let hex: String = stream.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut output = Vec::new();
        let mut lines = HexLines::new(hex.as_bytes());
        let ended = decode::decode(settings, &mut memory, &mut lines, &mut output);
        assert_eq!(told(output, ended), (text, right), "{framing}");
    }
}
