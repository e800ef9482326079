//! Framings as text files: what arrives, what the service receives, how the stream ends.
//!
//! Each file of `transcripts/framings` is played three times: on the decoder as a library with
//! every pair of cuts, on a connection that echoes, and on the binary. A framing without a
//! transcript fails a test. Tests that a text file cannot express are beside them: random streams
//! and the cost of decoding.

mod chance;
mod cost;
mod script;
mod served;

use std::io::Write;
use std::process::{Command, Stdio};

use mynah::decode::{DecodeError, HexLines, decode};
use mynah::protocol::connection::CloseReason;
use mynah::protocol::framing::{Decoded, FRAMINGS, Framing, OnTooLong};
use mynah::protocol::service::{Echo, UpperUnicode};

use crate::talk::{Talk, pairs_of_cuts};
use script::{Script, scripts};

/// The output of decode for these arrivals, and whether decoding ended without an error.
fn printed(script: &Script, arrivals: &[&[u8]]) -> (String, bool) {
    let lines: Vec<String> = arrivals.iter().map(|bytes| script::hex(bytes)).collect();
    let mut output = Vec::new();
    let mut input = HexLines::new(lines.join("\n").into_bytes().leak() as &[u8]);
    let settings = script.settings();
    let mut memory = vec![0; settings.memory_size()];
    let ended = match decode(settings, &mut memory, &mut input, &mut output) {
        Ok(()) => true,
        Err(DecodeError::Wrong) => false,
        Err(failure) => panic!("{}: {failure:?}", script.name),
    };
    (String::from_utf8(output).expect("text"), ended)
}

/// The answered frames of `bytes` with their headers, decoded with all bytes present.
fn frames(script: &Script, mut bytes: &[u8]) -> Vec<u8> {
    let (framing, mut frames) = (script.framing(), Vec::new());
    while !bytes.is_empty() {
        let count = match framing.decode(bytes, 0) {
            Decoded::Frame(bounds) => {
                frames.extend_from_slice(&bytes[..bounds.frame]);
                bounds.frame
            }
            Decoded::Wrong(error) if script.discards() && error.is_too_long() => {
                match framing.skip(framing.span(bytes), bytes) {
                    Ok((count, 0)) => count,
                    _ => break,
                }
            }
            _ => break,
        };
        bytes = &bytes[count..];
    }
    frames
}

#[test]
fn every_framing_has_a_transcript() {
    let name = |word: &str| word.split(':').next().unwrap_or(word).to_owned();
    let played: Vec<String> = scripts().iter().map(|script| name(&script.frame)).collect();
    for row in FRAMINGS {
        let mut words = row.words.split(' ').map(name);
        let any = words.any(|word| played.contains(&word));
        assert!(any, "no transcript of {}", row.words);
    }
}

#[test]
fn every_transcript_plays_on_bytes_whatever_the_cuts() {
    for script in scripts() {
        let arrivals: Vec<&[u8]> = script.arrivals.iter().map(Vec::as_slice).collect();
        script.holds(printed(&script, &arrivals));
        let stream = arrivals.concat();
        if !script.framing().has_boundaries() {
            continue;
        }
        script.holds(printed(&script, &[&stream]));
        for pieces in pairs_of_cuts(&stream) {
            script.holds(printed(&script, &pieces));
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        script.holds(printed(&script, &bytes));
    }
}

#[test]
fn every_transcript_plays_on_a_connection_whatever_the_cuts() {
    for script in scripts() {
        let stream = script.arrivals.concat();
        let expected = frames(&script, &stream);
        let reason = match script.error.as_deref().map(|error| error.split(' ').next()) {
            None => CloseReason::EndOfStream,
            Some(Some("too_long")) => CloseReason::TooLong,
            Some(Some("corrupted")) => CloseReason::Corrupted,
            _ => CloseReason::Truncated,
        };
        let least = script.framing().frame_size_max(script.max).min(1024);
        for pieces in pairs_of_cuts(&stream) {
            for (most, inbound) in [(1, least), (usize::MAX, least), (1, 4096), (7, 4096)] {
                let mut talk = Talk::new(script.framing(), Echo, inbound, 0);
                talk.protocol.on_too_long = script.settings().on_too_long;
                talk.play(&pieces, most);
                assert_eq!(talk.answer, expected, "{}", script.name);
                assert_eq!(talk.connection.reason(), reason, "{}", script.name);
            }
        }
    }
}

#[test]
fn every_transcript_plays_on_the_binary() {
    for script in scripts() {
        let mut command = Command::new(crate::program::path());
        command.args(["decode", "--hex", "--frame", &script.frame]);
        command.args(["--frame-max", &script.max.to_string()]);
        if script.discards() {
            command.args(["--on-too-long", "discard"]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let lines: Vec<String> = script
            .arrivals
            .iter()
            .map(|bytes| script::hex(bytes))
            .collect();
        let mut stdin = child.stdin.take().expect("it is piped");
        // The program may have ended at an error before it read everything.
        let _ = stdin.write_all(lines.join("\n").as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let ended_well = match output.status.code() {
            Some(0) => true,
            Some(9) => false,
            code => panic!("{}: exit code {code:?}", script.name),
        };
        let text = String::from_utf8(output.stdout).expect("text");
        script.holds((text, ended_well));
    }
}

#[test]
fn k6_a_reply_ends_as_its_request_did() {
    let framing = Framing::parse("line").expect("a framing");
    let mut talk = Talk::new(framing, UpperUnicode, 256, 256);
    talk.play(&["straße\r\n".as_bytes(), b"ab\n\r\n"], usize::MAX);
    assert_eq!(talk.answer, b"STRASSE\r\nAB\n\r\n");
}

#[test]
fn k3_a_reply_of_another_length_gets_its_own_header() {
    for (spec, request, reply) in [
        ("ascii:3", "003ß".to_owned() + "a", "003SSA"),
        ("netstring", "10:ßßßßß,".to_owned(), "10:SSSSSSSSSS,"),
        (
            "netstring",
            "4:\u{390},1:a,".replace("4:", "2:"),
            "6:\u{399}\u{308}\u{301},1:A,",
        ),
        ("delim:2d", "ß-".to_owned(), "SS-"),
    ] {
        let framing = Framing::parse(spec).expect("a framing");
        let framing = framing.limited(100).expect("a limit");
        let mut talk = Talk::new(framing, UpperUnicode, 256, 1024);
        talk.play(&[request.as_bytes()], usize::MAX);
        assert_eq!(String::from_utf8_lossy(&talk.answer), reply, "{spec}");
    }
}

#[test]
fn a_frame_far_larger_than_memory_is_discarded_in_a_small_buffer() {
    let announced: u64 = 5 << 30;
    for (spec, header) in [
        ("u64be", announced.to_be_bytes().to_vec()),
        ("ascii:10", format!("{announced:010}").into_bytes()),
        ("netstring", format!("{announced}:").into_bytes()),
    ] {
        let framing = Framing::parse(spec).and_then(|framing| framing.limited(16));
        let mut talk = Talk::new(framing.expect("a framing"), Echo, 64, 0);
        talk.protocol.on_too_long = OnTooLong::Discard;
        assert_eq!(talk.reads(&header), header.len());
        assert_eq!(talk.discarded.len(), 1);
        // The whole frame would take longer than a test may last, so only a part of it is sent,
        // then the end of the stream.
        for _ in 0..1000 {
            assert_eq!(talk.reads(&[b'x'; 64]), 64);
            assert!(talk.holds_nothing(), "{spec} keeps what it throws away");
        }
        talk.ends();
        assert_eq!(talk.connection.reason(), CloseReason::Truncated);
        let held = header.len() + 64_000;
        let error = talk.connection.cause().error.expect("it was cut");
        assert_eq!(
            error,
            mynah::protocol::framing::FrameError::Truncated { held }
        );
    }
}

#[test]
fn the_announced_length_is_the_discarded_length() {
    for size in [10_usize, 11, 12, 1000] {
        for (spec, frame) in [
            (
                "u32be",
                [
                    &((size - 4) as u32).to_be_bytes()[..],
                    &vec![b'x'; size - 4],
                ]
                .concat(),
            ),
            (
                "ascii:4",
                [format!("{size:04}").as_bytes(), &vec![b'x'; size]].concat(),
            ),
            (
                "netstring",
                [format!("{size}:").as_bytes(), &vec![b'x'; size], b","].concat(),
            ),
            ("line", [&vec![b'x'; size][..], b"\n"].concat()),
            ("delim:2e2e", [&vec![b'x'; size][..], b".."].concat()),
        ] {
            let framing = Framing::parse(spec).and_then(|framing| framing.limited(11));
            let mut talk = Talk::new(framing.expect("a framing"), Echo, 32, 0);
            talk.protocol.on_too_long = OnTooLong::Discard;
            let again = [&frame[..], &frame].concat();
            talk.play(&again.chunks(7).collect::<Vec<_>>(), 3);
            let (answer, discarded) = match size > 11 {
                true => (Vec::new(), 2),
                false => (again, 0),
            };
            assert_eq!(talk.answer, answer, "{spec} {size}");
            assert_eq!(talk.discarded.len(), discarded, "{spec} {size}");
            assert_eq!(
                talk.connection.reason(),
                CloseReason::EndOfStream,
                "{spec} {size}"
            );
        }
    }
}

#[test]
fn decode_ends_quietly_when_its_output_has_no_reader() {
    let mut child = Command::new(crate::program::path())
        .args(["decode", "--frame", "line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("it is piped");
    // The program ends before it has read all of this; after that, writing fails with EPIPE.
    while stdin.write_all(&b"line\n".repeat(10_000)).is_ok() {}
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
}

#[test]
fn decode_names_the_line_that_is_no_hex() {
    let mut child = Command::new(crate::program::path())
        .args(["decode", "--hex"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"61 62\n\n6x\n").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"6162\n");
    assert_eq!(output.stderr, b"mynah: line 3: a byte is two hex digits\n");
}
