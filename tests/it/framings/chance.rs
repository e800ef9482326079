//! Random streams: any cuts, and any content.

use mynah::base::bytes::{Inbound, InboundCursors};
use mynah::protocol::framing::{Decoded, FrameError, Framing};

use crate::sim::Dice;

const SPECS: &[&str] = &[
    "line",
    "delim:00",
    "delim:0d0a",
    "delim:61616162",
    "delim:61616161616161616162",
    "delim:6162616162616261616261610d0a",
    "fixed:5",
    "ascii:1",
    "ascii:3",
    "netstring",
    "u8",
    "u16le",
    "u32be",
    "i32le",
    "len:offset=1,size=2,adjust=0,strip=3",
];
const LIMIT: usize = 40;

fn framing(dice: &mut Dice) -> Framing {
    let spec = SPECS[dice.below(SPECS.len())];
    let framing = Framing::parse(spec).and_then(|framing| framing.limited(LIMIT));
    framing.expect("a framing")
}

/// A random payload that this framing can carry.
fn payload(framing: &Framing, dice: &mut Dice) -> Vec<u8> {
    let most = if framing.to_string() == "ascii:1" {
        10
    } else {
        LIMIT - 5
    };
    let size = match framing {
        Framing::Fixed(_) => 5,
        _ => dice.below(most),
    };
    // None of these bytes is part of a delimiter.
    (0..size).map(|_| b'b' + dice.below(20) as u8).collect()
}

fn seal(framing: &Framing, payload: &[u8]) -> Vec<u8> {
    let overhead = framing.overhead();
    let room = [
        vec![0; overhead.front],
        payload.to_vec(),
        vec![0; overhead.back],
    ];
    let mut space = room.concat();
    let sealed = framing.encode(b"", &mut space, payload.len());
    space.truncate(sealed.unwrap_or_else(|error| panic!("{framing}: {error}")));
    space
}

/// All frames and the error, if `bytes` arrive in pieces that end at `cuts`.
fn decoded(framing: &Framing, bytes: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let (mut memory, mut frames) = (vec![0; 4096], Vec::new());
    let mut inbound = Inbound::new(&mut memory, InboundCursors::default());
    let mut from = 0;
    for &cut in cuts {
        let piece = &bytes[from..cut];
        from = cut;
        inbound.spare()[..piece.len()].copy_from_slice(piece);
        inbound.advance(piece.len());
        while !inbound.undecoded().is_empty() {
            let scanned = inbound.scanned();
            match framing.decode(inbound.undecoded(), scanned) {
                Decoded::Frame(bounds) => {
                    assert!(bounds.payload <= bounds.payload_end);
                    assert!(bounds.payload_end <= bounds.frame);
                    // Panics if the bounds exceed the bytes that are present.
                    let payload = &inbound.undecoded()[bounds.payload..bounds.payload_end];
                    frames.push(payload.to_vec());
                    inbound.consume(bounds.frame);
                }
                Decoded::Incomplete { scanned } => {
                    inbound.set_scanned(scanned);
                    break;
                }
                Decoded::Wrong(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn cuts(dice: &mut Dice, size: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..dice.below(8)).map(|_| dice.below(size + 1)).collect();
    cuts.push(size);
    cuts.sort_unstable();
    cuts
}

#[test]
fn an_encoded_stream_decodes_whatever_the_cuts() {
    for seed in 0..4000 {
        let mut dice = Dice::new(seed);
        let framing = framing(&mut dice);
        let payloads: Vec<Vec<u8>> = (0..dice.below(6))
            .map(|_| payload(&framing, &mut dice))
            .collect();
        let stream: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| seal(&framing, payload))
            .collect();
        let cuts = cuts(&mut dice, stream.len());
        let (frames, error) = decoded(&framing, &stream, &cuts);
        assert_eq!(error, None, "seed {seed}: {framing} {cuts:?}");
        let shown: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        assert!(
            shown
                .iter()
                .zip(&payloads)
                .all(|(frame, payload)| frame.ends_with(payload)),
            "seed {seed}: {framing} {cuts:?}"
        );
        assert_eq!(
            shown.len(),
            payloads.len(),
            "seed {seed}: {framing} {cuts:?}"
        );
    }
}

#[test]
fn bytes_by_chance_are_decoded_alike_whatever_the_cuts() {
    const LIKELY: &[u8] = b"\0\0\0\x01\x02\x0f0123456789:,\n\r\nabaaaab,";
    for seed in 0..6000 {
        let mut dice = Dice::new(seed);
        let framing = framing(&mut dice);
        let stream: Vec<u8> = (0..dice.below(120))
            .map(|_| match dice.chance(0.9) {
                true => LIKELY[dice.below(LIKELY.len())],
                false => dice.next() as u8,
            })
            .collect();
        let whole = decoded(&framing, &stream, &[stream.len()]);
        let cuts = cuts(&mut dice, stream.len());
        let cut = decoded(&framing, &stream, &cuts);
        assert_eq!(whole, cut, "seed {seed}: {framing} {cuts:?} {stream:02x?}");
        let every: Vec<usize> = (1..=stream.len()).collect();
        assert_eq!(
            whole,
            decoded(&framing, &stream, &every),
            "seed {seed}: {framing}"
        );
    }
}

#[test]
fn discarding_never_skips_more_bytes_than_arrived() {
    for seed in 0..4000 {
        let mut dice = Dice::new(seed);
        let framing = framing(&mut dice);
        let bytes: Vec<u8> = (0..dice.below(30)).map(|_| dice.next() as u8).collect();
        let left = 1 + dice.next() % [40, u64::MAX][dice.below(2)];
        if let Ok((count, still)) = framing.skip(left, &bytes) {
            assert!(count <= bytes.len(), "seed {seed}: {framing}");
            assert!(still <= left, "seed {seed}: {framing}");
        }
    }
}
