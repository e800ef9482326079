//! The table of framings: how each is written, what it means, how it is parsed.
//!
//! `--help`, the parser and the error for an unknown framing all use this table, so they always
//! agree. The text that [`Framing`] prints can be parsed again. A new framing needs a file, a
//! variant and a row.

use super::{Ascii, Fixed, Framing, LengthField, Line, Netstring, Raw, delimited};
use crate::base::text::suggest::suggest;

/// One row: names that share a description and a parser.
#[derive(Debug)]
pub struct Row {
    /// The names, with capitals for the parts to fill in.
    pub words: &'static str,
    /// What the names mean, in one line.
    pub about: &'static str,
    /// Parses a name, given the parts before and after its colon.
    read: fn(&str, &str) -> Result<Framing, String>,
}

fn length_field(name: &str, keys: &str) -> Result<Framing, String> {
    LengthField::parse(name, keys).map(Framing::LengthField)
}

/// All framings.
pub const FRAMINGS: &[Row] = &[
    Row {
        words: "raw",
        about: "no boundary: what has arrived is the message; the default",
        read: |_, _| Ok(Framing::Raw(Raw)),
    },
    Row {
        words: "line",
        about: "up to LF or CR LF; a reply ends as its request did",
        read: |_, _| Ok(Framing::Line(Line::limited(usize::MAX))),
    },
    Row {
        words: "delim:HEX",
        about: "up to these 1 to 64 bytes, such as delim:0d0a",
        read: |_, digits| delimited::parse(digits),
    },
    Row {
        words: "fixed:N",
        about: "every N bytes",
        read: |_, digits| Fixed::parse(digits).map(Framing::Fixed),
    },
    Row {
        words: "ascii:N",
        about: "a length in N decimal digits, such as 00000120, before the payload",
        read: |_, count| Ascii::parse(count).map(Framing::Ascii),
    },
    Row {
        words: "netstring",
        about: "such as 12:hello world!,",
        read: |_, _| Ok(Framing::Netstring(Netstring::limited(usize::MAX))),
    },
    Row {
        words: "u8 u16be u24be u32be u64be",
        about: "a length of so many bits before the payload, high byte first",
        read: length_field,
    },
    Row {
        words: "u16le u24le u32le u64le",
        about: "the same, low byte first",
        read: length_field,
    },
    Row {
        words: "i32be i32le",
        about: "the same, signed; a negative length is an error",
        read: length_field,
    },
    Row {
        words: "len:KEY=VALUE,...",
        about: "by Netty's rules: offset=0,size=4,order=be|le,adjust=0,strip=0",
        read: length_field,
    },
];

/// All names of the table.
fn words() -> impl Iterator<Item = &'static str> + Clone {
    FRAMINGS.iter().flat_map(|row| row.words.split(' '))
}

/// The part before the colon.
fn name(word: &str) -> &str {
    word.split(':').next().unwrap_or(word)
}

/// See [`Framing::parse`].
pub(super) fn parse(spec: &str) -> Result<Framing, String> {
    let Some(word) = words().find(|word| name(word) == name(spec)) else {
        let near = suggest(name(spec), words().map(name));
        return Err(match words().find(|word| Some(name(word)) == near) {
            Some(word) => format!("unknown, did you mean {word}?"),
            None => format!(
                "unknown, must be one of {}",
                words().collect::<Vec<_>>().join(" ")
            ),
        });
    };
    match (spec.split_once(':'), word.contains(':')) {
        (Some(_), false) => Err(format!("must be {word} alone")),
        (None, true) => Err(format!("needs more, {word}")),
        (parts, _) => {
            let (name, more) = parts.unwrap_or((spec, ""));
            let row = FRAMINGS
                .iter()
                .find(|row| row.words.split(' ').any(|one| one == word));
            row.map_or(Err(String::new()), |row| (row.read)(name, more))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_framing_parses_to_itself() {
        for word in words() {
            let filled = match word {
                "delim:HEX" => "delim:0d0a",
                "fixed:N" => "fixed:7",
                "ascii:N" => "ascii:8",
                "len:KEY=VALUE,..." => "len:offset=1,size=2,order=le,adjust=-3,strip=3",
                plain => plain,
            };
            let framing = parse(filled).unwrap();
            assert_eq!(framing.to_string(), filled);
        }
    }

    #[test]
    fn an_unknown_framing_gets_a_suggestion_or_the_full_list() {
        for (word, reason) in [
            ("u23be", "unknown, did you mean u24be?"),
            ("lines", "unknown, did you mean line?"),
            ("asci:8", "unknown, did you mean ascii:N?"),
            ("dilim:0a", "unknown, did you mean delim:HEX?"),
            ("netstrings", "unknown, did you mean netstring?"),
            ("ascii", "needs more, ascii:N"),
            ("len", "needs more, len:KEY=VALUE,..."),
            ("line:0a", "must be line alone"),
            ("u32be:4", "must be u32be alone"),
            ("fixed:0", "the size must be 1 to 1073741824 bytes"),
        ] {
            assert_eq!(parse(word), Err(reason.to_owned()), "{word}");
        }
        let all = parse("protobuf").unwrap_err();
        assert!(words().all(|word| all.contains(word)), "{all}");
    }
}
