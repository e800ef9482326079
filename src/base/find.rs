//! Where something stands in bytes, at the speed of memory and without a crate for it.
//!
//! [`find_byte`] compares eight bytes at a time (H. S. Warren, "Hacker's Delight", 6-1); [`find`]
//! looks for the first byte of a pattern and then at the rest of it.
//! Both look at no byte beyond the slice, and at each a bounded number of times: the patterns of
//! this house have eight bytes at most.

const WORD: usize = size_of::<u64>();

/// Where `byte` first stands in `bytes`.
#[inline]
pub fn find_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x01; WORD]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; WORD]);
    let wanted = LOW_BITS * u64::from(byte);
    for (at, word) in (0..).step_by(WORD).zip(bytes.chunks_exact(WORD)) {
        // Taking one from a byte borrows from its high bit where the byte is 0, and perhaps from
        // those above a byte that is 0: the lowest one is right.
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

/// Where `pattern` first stands in `bytes`; an empty one stands nowhere.
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
                // A neighbour that differs by one is where a borrow would be mistaken for a hit.
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
