//! What decode prints, and where decoding stops.

use super::*;

fn settings(spec: &str, frame_size_max: usize, on_too_long: OnTooLong) -> Settings {
    let framing = spec.parse::<Framing>().unwrap();
    Settings {
        framing: framing.limited(frame_size_max).unwrap(),
        codec: None,
        frame_size_max,
        on_too_long,
        explain: false,
    }
}

/// The output for lines of hex, and whether decoding succeeded.
fn printed(settings: Settings, lines: &str) -> (String, bool) {
    let mut output = Vec::new();
    let mut memory = vec![0; settings.memory_size()];
    let mut lines = HexLines::new(lines.as_bytes());
    let ended = decode(settings, &mut memory, &mut lines, &mut output);
    (String::from_utf8(output).unwrap(), ended.is_ok())
}

#[test]
fn each_line_of_hex_is_an_arrival_and_each_frame_a_line() {
    let raw = settings("raw", 100, OnTooLong::Close);
    assert_eq!(printed(raw, "68 65\n6c6C\n"), ("6865\n6c6c\n".into(), true));
    let u16be = settings("u16be", 100, OnTooLong::Close);
    let cut = printed(u16be, "00\n\n02 68\n65 00 00 00\n01 21");
    assert_eq!(cut, ("6865\n\n21\n".into(), true));
}

#[test]
fn header_bytes_that_are_not_stripped_are_shown() {
    let whole = settings("len:size=2", 100, OnTooLong::Close);
    assert_eq!(printed(whole, "0001 61"), ("000161\n".into(), true));
}

#[test]
fn an_error_names_its_kind_and_the_byte_where_its_frame_begins() {
    for (spec, lines, expected) in [
        (
            "u16be",
            "0001 61 00ff",
            "61\nerror: too_long at byte 3: 257 bytes, the limit is 100\n",
        ),
        (
            "i32le",
            "01000000 61 ffffffff",
            "61\nerror: corrupted at byte 5: the length field is negative\n",
        ),
        (
            "u16be",
            "0001 61\n0005\n62",
            "61\nerror: truncated at byte 3: the stream ended 3 bytes into a frame\n",
        ),
        (
            "u8",
            "47 45 54 20 2f",
            "error: truncated at byte 0: the stream ended 5 bytes into a frame; 47 45 54 20 is \
             \"GET \": the peer seems to speak HTTP\n",
        ),
        (
            "line",
            "61 0a 62",
            "61\nerror: truncated at byte 2: the stream ended 1 bytes into a frame\n",
        ),
        (
            "u32be",
            "47 45 54 20 2f",
            "error: too_long at byte 0: 1195725860 bytes, the limit is 100; 47 45 54 20 is \
             \"GET \": the peer seems to speak HTTP\n",
        ),
    ] {
        let close = settings(spec, 100, OnTooLong::Close);
        let (text, ended_well) = printed(close, lines);
        assert_eq!(text, expected, "{spec}");
        assert!(!ended_well, "{spec}");
    }
}

#[test]
fn a_frame_that_is_thrown_away_leaves_the_stream_in_step() {
    let discard = settings("u16be", 4, OnTooLong::Discard);
    let well = printed(discard, "0001 61 0003 62\n6364\n0002 6566");
    assert_eq!(well, ("61\n6566\n".into(), true));
    let cut = printed(discard, "0001 61 0003 62");
    let error = "error: truncated at byte 3: the stream ended 3 bytes into a frame\n";
    assert_eq!(cut, (format!("61\n{error}"), false));
}

#[test]
fn a_line_that_is_not_hex_is_told_by_its_number() {
    for (lines, line) in [("00 0g", 1), ("00\n0", 2), ("00\n\n6 1\n", 3), ("zz", 1)] {
        let raw = settings("raw", 100, OnTooLong::Close);
        let (mut memory, mut output) = (vec![0; raw.memory_size()], Vec::new());
        let mut input = HexLines::new(lines.as_bytes());
        let ended = decode(raw, &mut memory, &mut input, &mut output);
        assert!(
            matches!(ended, Err(DecodeError::Hex(number, _)) if number == line),
            "{lines:?}: {ended:?}"
        );
    }
}

#[test]
fn a_box_shows_header_length_and_payload() {
    let mut explain = settings(
        "len:offset=1,size=2,adjust=1,strip=3",
        100,
        OnTooLong::Close,
    );
    explain.explain = true;
    let (text, _) = printed(explain, "ca 0005 fe 68656c6c6f");
    let expected = "\
frame at byte 0: 9 bytes, 6 of them handed on
+--------+--------+-------------------+
| header | length | payload           |
| ca     | 00 05  | fe 68 65 6c 6c 6f |
| \"\\xca\" | 5      | \"\\xfehello\"       |
+--------+--------+-------------------+
";
    assert_eq!(text, expected);
}

#[test]
fn a_codec_is_decoded_and_what_it_does_not_write_is_corrupted() {
    let coded = Settings {
        codec: Some(Codec::Base64),
        ..settings("u8", 100, OnTooLong::Close)
    };
    // "aGVsbG8=", nothing, and then "aa==", whose last bits are not zero.
    let lines = "08 6147 5673\n6247383d 00 04 61613d3d";
    let error = "error: corrupted at byte 10: base64 has bits behind its last byte\n";
    let expected = format!("68656c6c6f\n\n{error}");
    assert_eq!(printed(coded, lines), (expected, false));
    let explained = Settings {
        explain: true,
        ..coded
    };
    let (drawing, _) = printed(explained, "08 61475673 6247383d");
    assert!(
        drawing.contains("9 bytes, 5 of them handed on"),
        "{drawing}"
    );
    assert!(drawing.contains("| decoded        |"), "{drawing}");
    assert!(drawing.contains("| \"hello\""), "{drawing}");
}
