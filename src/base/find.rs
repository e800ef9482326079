//! Search for a byte or a short pattern in a slice, at the speed of memory and without a crate.
//!
//! [`find_byte`] compares eight bytes at a time (H. S. Warren, "Hacker's Delight", 6-1). [`find`]
//! looks for the first byte of a pattern and then compares the rest. Neither reads beyond the
//! slice. Each byte is read a bounded number of times, because the patterns of this program have at
//! most eight bytes.

const WORD: usize = size_of::<u64>();

/// The first position of `byte` in `bytes`.
#[inline]
pub fn find_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x01; WORD]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; WORD]);
    let wanted = LOW_BITS * u64::from(byte);
    for (at, word) in (0..).step_by(WORD).zip(bytes.chunks_exact(WORD)) {
        // A byte that is 0 borrows from the next higher byte when 1 is subtracted, so bytes above
        // it may be marked wrongly. The lowest mark is right.
        let apart = u64::from_le_bytes(word.try_into().unwrap_or_default()) ^ wanted;
        let zeros = apart.wrapping_sub(LOW_BITS) & !apart & HIGH_BITS;
        if zeros != 0 {
            return Some(at + zeros.trailing_zeros() as usize / WORD);
        }
    }
    let rest = bytes.len() - bytes.len() % WORD;
    let at = bytes[rest..].iter().position(|b| *b == byte)?;
    Some(rest + at)
}

/// The first position of `pattern` in `bytes`; `None` for an empty pattern.
#[inline]
pub fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    let (first, rest) = pattern.split_first()?;
    let mut from = 0;
    loop {
        from += find_byte(&bytes[from..], *first)?;
        if bytes[from + 1..].starts_with(rest) {
            return Some(from);
        }
        from += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_at_every_place_of_every_length() {
        for length in 0..3 * WORD {
            assert_eq!(find_byte(&vec![b'x'; length], b'.'), None);
            for at in 0..length {
                let mut bytes = vec![b'x'; length];
                bytes[at..].fill(b'.');
                assert_eq!(find_byte(&bytes, b'.'), Some(at), "{at} of {length}");
                // A borrow would mark a next byte that differs by one.
                bytes[at..].fill(b'.' + 1);
                assert_eq!(find_byte(&bytes, b'.'), None, "{at} of {length}");
                bytes[at] = b'.';
                assert_eq!(find_byte(&bytes, b'.'), Some(at), "{at} of {length}");
            }
        }
    }

    #[test]
    fn a_pattern_is_found_where_the_standard_library_finds_it() {
        for text in ["aab", "aaab", "abaabab", "ab", "a", "", "bbbbaab", "aaaaaa"] {
            for pattern in ["aab", "ab", "b", "abaab", "aaaaaab"] {
                let found = find(text.as_bytes(), pattern.as_bytes());
                assert_eq!(found, text.find(pattern), "{pattern} in {text}");
            }
        }
        assert_eq!(find(b"abc", b""), None);
    }
}
