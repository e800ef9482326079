//! A dictionary: a word in, its translation out.
//!
//! ```text
//!   # comments and blank lines are allowed
//!   apple: 苹果
//!   time flies: le temps passe: vite       the first colon separates; blanks around are trimmed
//! ```
//!
//! The whole text is checked before it serves; an error names its line. The text is stored
//! unchanged, without its byte order mark, next to the sorted starts of its lines. A lookup is a
//! binary search and allocates nothing. Words are compared byte for byte.
//!
//! This file does not know where the text comes from. Clones share the text, so each worker can
//! have one.

use std::sync::Arc;

use super::{Answer, Reply, Request, Service};
use crate::limits::{DICTIONARY_SIZE_MAX, TRANSLATION_SIZE_MAX};

/// U+FEFF. Some editors put it at the start of a text to mark it as UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const NOT_KNOWN: &[u8] = b"not known";

/// Translates words.
#[derive(Clone, Debug)]
pub struct Dict {
    dictionary: Arc<Dictionary>,
}

#[derive(Debug)]
struct Dictionary {
    text: String,
    /// Starts of the lines that hold a word, sorted by word.
    starts: Vec<u32>,
}

impl Dict {
    /// Checks `text` and prepares it for lookups.
    ///
    /// # Errors
    ///
    /// The first wrong line and its error, in one line of text.
    pub fn parse(mut text: Vec<u8>) -> Result<Dict, String> {
        if text.len() > DICTIONARY_SIZE_MAX {
            return Err(format!("has more than {DICTIONARY_SIZE_MAX} bytes"));
        }
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        let text = String::from_utf8(text).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            format!("line {}: is not UTF-8", line_after(valid))
        })?;
        let count = entries(&text).count();
        let mut starts = Vec::with_capacity(count);
        for (start, line) in entries(&text) {
            check(line).map_err(|reason| {
                let line = line_after(&text.as_bytes()[..start]);
                format!("line {line}: {reason}")
            })?;
            starts.push(start as u32);
        }
        if starts.is_empty() {
            return Err("holds no word".to_owned());
        }
        let dictionary = Dictionary { text, starts };
        Ok(Dict {
            dictionary: Arc::new(dictionary.sorted()?),
        })
    }
}

impl Service for Dict {
    type State = ();

    fn open(&self) {}

    fn reply_max(&self, _payload: usize) -> usize {
        const { assert!(NOT_KNOWN.len() <= TRANSLATION_SIZE_MAX) }
        TRANSLATION_SIZE_MAX
    }

    fn memory_max(&self) -> usize {
        // During a reload there are two dictionaries. The shortest line, `a:b` and a line feed, has
        // four bytes, as many as its start.
        2 * (DICTIONARY_SIZE_MAX + DICTIONARY_SIZE_MAX / 4 * size_of::<u32>())
    }

    fn serve(&mut self, _state: &mut (), request: Request<'_>, reply: &mut Reply<'_>) -> Answer {
        let translation = self.dictionary.translate(request.payload);
        reply.push(translation.map_or(NOT_KNOWN, str::as_bytes));
        Answer::Written
    }
}

impl Dictionary {
    /// The same dictionary with its words sorted, or an error about a duplicate word.
    fn sorted(mut self) -> Result<Dictionary, String> {
        let text = &self.text;
        self.starts
            .sort_unstable_by_key(|start| (word_at(text, *start), *start));
        let same = |pair: &&[u32]| word_at(text, pair[0]) == word_at(text, pair[1]);
        let twice = self
            .starts
            .windows(2)
            .filter(same)
            .min_by_key(|pair| pair[1]);
        if let Some(&[first, second]) = twice {
            let line = |start: u32| line_after(&text.as_bytes()[..start as usize]);
            return Err(format!(
                "line {}: {:?} stands on line {} already",
                line(second),
                word_at(text, second),
                line(first)
            ));
        }
        Ok(self)
    }

    fn translate(&self, word: &[u8]) -> Option<&str> {
        let by_word = |start: &u32| word_at(&self.text, *start).as_bytes().cmp(word);
        let found = self.starts.binary_search_by(by_word).ok()?;
        let start = self.starts[found] as usize;
        let (_, translation) = self.text[start..].lines().next()?.split_once(':')?;
        Some(translation.trim())
    }
}

/// The lines that hold a word, with their starts.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut end = 0;
    let lines = text.split_inclusive('\n').map(move |line| {
        let start = end;
        end += line.len();
        (start, line)
    });
    lines.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

fn check(line: &str) -> Result<(), String> {
    let Some((word, translation)) = line.split_once(':') else {
        return Err("has no colon, must be WORD: TRANSLATION".to_owned());
    };
    match translation.trim().len() {
        _ if word.trim().is_empty() => Err("has no word before its colon".to_owned()),
        0 => Err("has no translation after its colon".to_owned()),
        1..=TRANSLATION_SIZE_MAX => Ok(()),
        long => Err(format!(
            "the translation has {long} bytes, at most {TRANSLATION_SIZE_MAX} are allowed"
        )),
    }
}

/// The word of the line that begins at `start`. [`check`] has accepted the line.
fn word_at(text: &str, start: u32) -> &str {
    let line = &text[start as usize..];
    line.split_once(':').map_or(line, |(word, _)| word).trim()
}

/// The number of the line after `before`, counted from 1.
fn line_after(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Dict, String> {
        Dict::parse(text.as_bytes().to_vec())
    }

    fn translate<'a>(dict: &'a Dict, word: &str) -> Option<&'a str> {
        dict.dictionary.translate(word.as_bytes())
    }

    #[test]
    fn every_word_is_found_and_no_other() {
        let text = "# fruit\r\n\r\n pear : 梨\r\napple:苹果\n  # more\ntime flies: a: b\na\0b: nul";
        let dict = parse(text).unwrap();
        assert_eq!(translate(&dict, "pear"), Some("梨"));
        assert_eq!(translate(&dict, "apple"), Some("苹果"));
        assert_eq!(translate(&dict, "time flies"), Some("a: b"));
        assert_eq!(translate(&dict, "a\0b"), Some("nul"));
        for word in [
            "", "appl", "apples", "Apple", "#", "# more", "time", "a", "a\0",
        ] {
            assert_eq!(translate(&dict, word), None, "{word:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let dict = parse("\u{feff}apple: 苹果\npear: 梨\n").unwrap();
        assert_eq!(translate(&dict, "apple"), Some("苹果"));
        assert_eq!(translate(&dict, "pear"), Some("梨"));
        let error = parse("\u{feff}# fruit\napple\n").unwrap_err();
        assert!(error.starts_with("line 2: has no colon"), "{error}");
    }

    #[test]
    fn a_mistake_is_named_by_its_line() {
        let long = format!("a: b\nc: {}\n", "x".repeat(TRANSLATION_SIZE_MAX + 1));
        for (text, reason) in [
            (
                "a: b\n\nc\n",
                "line 3: has no colon, must be WORD: TRANSLATION",
            ),
            ("# x\n : b\n", "line 2: has no word before its colon"),
            (
                "a: b\nc: \r\n",
                "line 2: has no translation after its colon",
            ),
            (
                "a: b\nc: d\na : e\nc:f",
                "line 3: \"a\" stands on line 1 already",
            ),
            (
                &long,
                "line 2: the translation has 4097 bytes, at most 4096 are allowed",
            ),
            ("", "holds no word"),
            ("# only a comment\n", "holds no word"),
        ] {
            assert_eq!(parse(text).unwrap_err(), reason, "{text:?}");
        }
        let error = Dict::parse(b"a: b\nc: \xff\n".to_vec()).unwrap_err();
        assert_eq!(error, "line 2: is not UTF-8");
    }

    #[test]
    fn the_longest_translation_and_the_largest_file_pass() {
        let translation = "x".repeat(TRANSLATION_SIZE_MAX);
        let dict = parse(&format!("a: {translation}")).unwrap();
        assert_eq!(translate(&dict, "a"), Some(translation.as_str()));

        let mut text = b"a: b\n".to_vec();
        text.resize(DICTIONARY_SIZE_MAX, b'\n');
        assert!(Dict::parse(text.clone()).is_ok());
        text.push(b'\n');
        assert!(Dict::parse(text).is_err());
    }

    #[test]
    fn a_clone_shares_the_text() {
        let dict = parse("a: b").unwrap();
        assert!(Arc::ptr_eq(&dict.dictionary, &dict.clone().dictionary));
    }
}
