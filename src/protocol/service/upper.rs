//! Upper case: of ASCII, in place; or of all Unicode, which can change the length and so needs a
//! reply.
//!
//! ```text
//!   Upper          63 61 66 c3 a9  "café"      ->  43 41 46 c3 a9  "CAFé"      the same length
//!   UpperUnicode   73 74 c3 9f     "stß"       ->  53 54 53 53     "STSS"
//! ```
//!
//! Unicode uses the full mapping of SpecialCasing (`char::to_uppercase`). Bytes that are not UTF-8
//! pass unchanged. Without message boundaries the network may cut a character: its first bytes are
//! held back until the rest arrives or the stream ends.

use super::{Answer, Reply, Request, Service};

/// ASCII letters to upper case; all other bytes pass unchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upper;

impl Service for Upper {
    type State = ();

    fn open(&self) {}

    #[inline]
    fn in_place(&self, _state: &()) -> bool {
        true
    }

    #[inline]
    fn serve(&mut self, _state: &mut (), request: Request<'_>, _reply: &mut Reply<'_>) -> Answer {
        request.payload.make_ascii_uppercase();
        Answer::InPlace
    }
}

/// UTF-8 text to full upper case.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpperUnicode;

/// The largest growth in bytes: U+0390, two bytes, becomes three characters of two bytes each. A
/// test tries every character.
const GROWTH_MAX: usize = 3;
/// The most bytes of an incomplete character.
const PARTIAL_MAX: usize = 3;

/// The beginning of a character whose rest has not arrived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Partial {
    bytes: [u8; PARTIAL_MAX],
    held: u8,
}

impl Service for UpperUnicode {
    type State = Partial;

    fn open(&self) -> Partial {
        Partial::default()
    }

    fn reply_max(&self, payload: usize) -> usize {
        // This payload may complete a held character, or show that the held bytes are not UTF-8.
        (payload + PARTIAL_MAX).saturating_mul(GROWTH_MAX)
    }

    fn memory(held: &Partial) -> Option<u8> {
        (held.held == 0).then_some(0)
    }

    fn serve(&mut self, held: &mut Partial, request: Request<'_>, reply: &mut Reply<'_>) -> Answer {
        let Request { payload, whole } = request;
        let mut rest: &[u8] = payload;
        while held.held > 0 && !rest.is_empty() {
            rest = held.complete(rest, reply);
        }
        while let Some((text, broken, after)) = next_run(rest) {
            push_upper(text, reply);
            if after.is_empty() && !whole && is_partial(broken) {
                held.bytes[..broken.len()].copy_from_slice(broken);
                held.held = broken.len() as u8;
            } else {
                reply.push(broken);
            }
            rest = after;
        }
        Answer::Written
    }

    fn end(&mut self, held: &mut Partial, reply: &mut Reply<'_>) {
        reply.push(&held.bytes[..usize::from(held.held)]);
        held.held = 0;
    }
}

impl Partial {
    /// Adds the first byte of `rest` to the held bytes. Returns the rest that is left.
    fn complete<'a>(&mut self, rest: &'a [u8], reply: &mut Reply<'_>) -> &'a [u8] {
        let mut bytes = [0; PARTIAL_MAX + 1];
        let held = usize::from(self.held);
        bytes[..held].copy_from_slice(&self.bytes[..held]);
        bytes[held] = rest[0];
        match std::str::from_utf8(&bytes[..=held]) {
            Ok(text) => {
                push_upper(text, reply);
                self.held = 0;
                &rest[1..]
            }
            // Not a character yet, but more bytes may complete it.
            Err(error) if error.error_len().is_none() => {
                self.bytes[held] = rest[0];
                self.held += 1;
                &rest[1..]
            }
            // These bytes never become a character: the held bytes pass unchanged, and the new byte
            // is examined again.
            Err(_) => {
                reply.push(&self.bytes[..held]);
                self.held = 0;
                rest
            }
        }
    }
}

/// Splits the front of `bytes` into valid text, bytes that are not UTF-8, and the rest. `None` at
/// the end.
fn next_run(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let chunk = bytes.utf8_chunks().next()?;
    let taken = chunk.valid().len() + chunk.invalid().len();
    Some((chunk.valid(), chunk.invalid(), &bytes[taken..]))
}

/// Whether `bytes`, the last to arrive, may be the beginning of a character.
fn is_partial(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

fn push_upper(text: &str, reply: &mut Reply<'_>) {
    let mut utf8 = [0; 4];
    for upper in text.chars().flat_map(char::to_uppercase) {
        reply.push(upper.encode_utf8(&mut utf8).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unicode(pieces: &[&[u8]], whole: bool) -> Vec<u8> {
        let (mut service, mut state, mut all) = (UpperUnicode, Partial::default(), Vec::new());
        for piece in pieces {
            let mut payload = piece.to_vec();
            let mut space = vec![0; service.reply_max(payload.len())];
            let mut reply = Reply::new(&mut space);
            let request = Request {
                payload: &mut payload,
                whole,
            };
            assert_eq!(
                service.serve(&mut state, request, &mut reply),
                Answer::Written
            );
            let filled = reply.filled();
            all.extend_from_slice(&space[..filled]);
        }
        let mut space = vec![0; service.reply_max(0)];
        let mut reply = Reply::new(&mut space);
        service.end(&mut state, &mut reply);
        let filled = reply.filled();
        all.extend_from_slice(&space[..filled]);
        all
    }

    #[test]
    fn ascii_letters_change_and_other_bytes_do_not() {
        let mut payload = *b"caf\xc3\xa9 {az}\x00\xff";
        let request = Request {
            payload: &mut payload,
            whole: false,
        };
        assert_eq!(
            Upper.serve(&mut (), request, &mut Reply::new(&mut [])),
            Answer::InPlace
        );
        assert_eq!(&payload, b"CAF\xc3\xa9 {AZ}\x00\xff");
    }

    #[test]
    fn full_mapping_may_change_the_length() {
        assert_eq!(unicode(&["straße".as_bytes()], true), "STRASSE".as_bytes());
        let (small, large) = ("\u{149} \u{390}", "\u{2bc}N \u{399}\u{308}\u{301}");
        assert_eq!(unicode(&[small.as_bytes()], true), large.as_bytes());
    }

    #[test]
    fn no_character_grows_beyond_the_stated_factor() {
        for character in char::MIN..=char::MAX {
            let upper: usize = character.to_uppercase().map(char::len_utf8).sum();
            assert!(upper <= GROWTH_MAX * character.len_utf8(), "{character:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_pass_unchanged() {
        assert_eq!(
            unicode(&[b"a\xffb\xc3(c\xf0\x9f"], true),
            b"A\xffB\xc3(C\xf0\x9f"
        );
        assert_eq!(
            unicode(&[b"a\xffb\xc3(c\xf0\x9f"], false),
            b"A\xffB\xc3(C\xf0\x9f"
        );
    }

    #[test]
    fn any_pair_of_cuts_gives_the_same_text() {
        let text = "aß€😀\u{390}z".as_bytes();
        let broken = [b"\xf0\x9fa\xe2\x82b".as_slice(), text, b"\xe2\x82"].concat();
        for bytes in [text, &broken] {
            let whole = unicode(&[bytes], false);
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    assert_eq!(
                        unicode(&pieces, false),
                        whole,
                        "cut at {first} and {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_whole_message_holds_nothing_back_for_the_next() {
        assert_eq!(unicode(&[b"\xc3", b"\x9f"], true), b"\xc3\x9f");
    }
}
