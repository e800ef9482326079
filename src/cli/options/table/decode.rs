//! The rows of `mynah decode`.
//!
//! Flags with the same name as flags of `mynah serve` mean the same here, but the stream is printed
//! instead of answered.

use super::super::Command;
use super::super::name_of;
use super::super::values::{choice, put, size, size_text, switch, switch_text};
use super::{CODECS, CommandRow, DECODE, Effect, FRAME_MAX_MAX, Flag, ON_TOO_LONG, check_codec};

pub(super) const ROW: CommandRow = CommandRow {
    name: DECODE,
    about: "print the frames of standard input, one a line in hex",
    usage: "mynah decode --frame SPEC [OPTIONS] < FILE",
    word: |_, _, _| Err("decode reads standard input and takes no word".to_owned()),
    words: (
        "Output",
        &[
            (
                "a line a frame",
                "its payload in hex, as a service would get it",
            ),
            (
                "error: KIND at byte N: ...",
                "too_long, corrupted or truncated; exit code 9",
            ),
        ],
    ),
    finish: |options| {
        check_codec(options.decode.codec, &options.decode.framing)?;
        Ok(Command::Decode(options.decode))
    },
    examples: &[
        (
            "printf '\\0\\5hello' | mynah decode --frame u16be",
            "68656c6c6f",
        ),
        (
            "mynah decode --frame line --hex --explain",
            "type arrivals, and see what becomes of them",
        ),
    ],
};

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        long: "--frame",
        short: None,
        group: "Frames",
        commands: &[DECODE],
        help: "where a message ends, see Framings",
        default: |options| options.decode.framing.to_string(),
        effect: Effect::Value("SPEC", |options, text| {
            put(&mut options.decode.framing, text.parse())
        }),
    },
    Flag {
        long: "--codec",
        short: None,
        group: "Frames",
        commands: &[DECODE],
        help: "how messages are written in their frames: none or base64",
        default: |options| name_of(&options.decode.codec, CODECS).to_owned(),
        effect: Effect::Value("CODEC", |options, text| {
            put(&mut options.decode.codec, choice(text, CODECS))
        }),
    },
    Flag {
        long: "--frame-max",
        short: None,
        group: "Frames",
        commands: &[DECODE],
        help: "longest frame, or payload where the framing is text",
        default: |options| size_text(options.decode.frame_size_max),
        effect: Effect::Value("SIZE", |options, text| {
            put(
                &mut options.decode.frame_size_max,
                size(text, 1..=FRAME_MAX_MAX),
            )
        }),
    },
    Flag {
        long: "--on-too-long",
        short: None,
        group: "Frames",
        commands: &[DECODE],
        help: "a longer one: close the stream, or discard it and go on",
        default: |options| name_of(&options.decode.on_too_long, ON_TOO_LONG).to_owned(),
        effect: Effect::Value("MODE", |options, text| {
            put(&mut options.decode.on_too_long, choice(text, ON_TOO_LONG))
        }),
    },
    Flag {
        long: "--hex",
        short: None,
        group: "Input and output",
        commands: &[DECODE],
        help: "read hex, spaces allowed; each line is one arrival",
        default: |options| switch_text(options.decode.hex),
        effect: Effect::Switch(|options, text| put(&mut options.decode.hex, switch(text))),
    },
    Flag {
        long: "--explain",
        short: None,
        group: "Input and output",
        commands: &[DECODE],
        help: "draw each frame: header, length, payload",
        default: |options| switch_text(options.decode.explain),
        effect: Effect::Switch(|options, text| put(&mut options.decode.explain, switch(text))),
    },
];
