//! Base64 with padding, strictly (RFC 4648, section 4): each text has one encoding and no other.
//!
//! ```text
//!   bytes   68       65       6c         6c       6f
//!           011010000110010101101100     0110110001101111(00)
//!   digits  a     G     V     s          b     G     8     =
//! ```
//!
//! Both directions work in the space where the bytes lie: decoding moves towards the front, and
//! encoding goes from the back to the front. Because the encoding is unique, what was decoded can
//! be encoded again to the same bytes. Line feeds and blanks are refused, and so are bits behind
//! the last byte that are not zero (RFC 4648, 3.3 and 3.5).

/// Digits that encode [`BYTES_PER_GROUP`] bytes.
pub const GROUP_SIZE: usize = 4;
/// Bytes that one group of digits encodes.
pub const BYTES_PER_GROUP: usize = 3;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PADDING: u8 = b'=';
/// The value of a byte that is no digit: above every value.
const NO_DIGIT: u8 = 64;

/// The value of each digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut at = 0;
    while at < DIGITS.len() {
        values[DIGITS[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Bytes of the encoding of `size` bytes.
#[inline]
pub const fn encoded_size(size: usize) -> usize {
    size.div_ceil(BYTES_PER_GROUP).saturating_mul(GROUP_SIZE)
}

/// The most bytes that at most `size` digits can stand for.
#[inline]
pub const fn decoded_size_max(size: usize) -> usize {
    size / GROUP_SIZE * BYTES_PER_GROUP
}

/// Whether an encoding could have all of `bytes` in a row.
pub fn has_only_digits(bytes: &[u8]) -> bool {
    let is_digit = |byte: &u8| *byte == PADDING || VALUES[usize::from(*byte)] != NO_DIGIT;
    bytes.iter().all(is_digit)
}

/// Decodes `bytes` into their front. Returns the number of decoded bytes.
///
/// # Errors
///
/// Why they are no encoding. The bytes are then what they were.
pub fn decode(bytes: &mut [u8]) -> Result<usize, &'static str> {
    if bytes.len() % GROUP_SIZE != 0 {
        return Err("the length of base64 is not a multiple of 4");
    }
    let groups = bytes.len() / GROUP_SIZE;
    let mut decoded = 0;
    for group in 0..groups {
        let at = group * GROUP_SIZE;
        let digits = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match decode_group(digits, group + 1 == groups) {
            Ok((three, count)) => {
                bytes[decoded..decoded + count].copy_from_slice(&three[..count]);
                decoded += count;
            }
            Err(why) => {
                encode(bytes, decoded);
                return Err(why);
            }
        }
    }
    Ok(decoded)
}

/// The bytes of one group, and how many they are.
#[inline]
fn decode_group(digits: [u8; 4], is_last: bool) -> Result<([u8; 3], usize), &'static str> {
    let count = match digits {
        [_, _, PADDING, PADDING] if is_last => 1,
        [_, _, _, PADDING] if is_last => 2,
        _ => 3,
    };
    let mut bits = 0;
    for (place, digit) in digits.into_iter().enumerate() {
        let value = VALUES[usize::from(digit)];
        if place <= count && value == NO_DIGIT {
            return Err(match digit {
                PADDING => "base64 has padding before its end",
                _ => "a byte is no digit of base64",
            });
        }
        bits = bits << 6 | u32::from(value % NO_DIGIT);
    }
    let [_, three @ ..] = u32::to_be_bytes(bits);
    match three[count..].iter().any(|byte| *byte != 0) {
        true => Err("base64 has bits behind its last byte"),
        false => Ok((three, count)),
    }
}

/// Encodes the first `count` bytes of `space`, into its front. Returns the size of the encoding,
/// [`encoded_size`], for which there is room.
pub fn encode(space: &mut [u8], count: usize) -> usize {
    let size = encoded_size(count);
    for group in (0..size / GROUP_SIZE).rev() {
        let from = group * BYTES_PER_GROUP;
        let here = (count - from).min(BYTES_PER_GROUP);
        let mut three = [0; BYTES_PER_GROUP];
        three[..here].copy_from_slice(&space[from..from + here]);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        let digits = &mut space[group * GROUP_SIZE..][..GROUP_SIZE];
        for (place, digit) in digits.iter_mut().enumerate() {
            let value = bits >> (18 - 6 * place) & 63;
            *digit = match place <= here {
                true => DIGITS[value as usize],
                false => PADDING,
            };
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut space = bytes.to_vec();
        space.resize(encoded_size(bytes.len()), 0xaa);
        let size = encode(&mut space, bytes.len());
        assert_eq!(size, space.len());
        space
    }

    fn decoded(text: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut space = text.to_vec();
        let count = decode(&mut space).inspect_err(|_| ())?;
        space.truncate(count);
        Ok(space)
    }

    /// RFC 4648, section 10.
    #[test]
    fn the_vectors_of_the_rfc_hold_in_both_directions() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(bytes.as_bytes()), text.as_bytes());
            assert_eq!(decoded(text.as_bytes()), Ok(bytes.as_bytes().to_vec()));
        }
    }

    #[test]
    fn every_byte_at_every_place_comes_back() {
        for byte in 0..=u8::MAX {
            for size in 1..=7 {
                for place in 0..size {
                    let mut bytes = vec![0x55; size];
                    bytes[place] = byte;
                    assert_eq!(decoded(&encoded(&bytes)), Ok(bytes));
                }
            }
        }
    }

    #[test]
    fn each_text_has_one_encoding() {
        // Every last group of digits and padding: what decodes is what its bytes encode to.
        let letters = b"AQgw/8BEIMUYckoszBCDi=";
        let mut accepted = 0;
        for number in 0..letters.len().pow(4) {
            let at = |place: u32| letters[number / letters.len().pow(place) % letters.len()];
            let text = [b'Z', b'm', b'9', b'v', at(0), at(1), at(2), at(3)];
            if let Ok(bytes) = decoded(&text) {
                assert_eq!(encoded(&bytes), text);
                accepted += 1;
            }
        }
        assert!(accepted > 9_000, "{accepted}");
    }

    #[test]
    fn a_wrong_encoding_is_refused_with_its_reason_and_stays_as_it_was() {
        let length = "the length of base64 is not a multiple of 4";
        let digit = "a byte is no digit of base64";
        let padding = "base64 has padding before its end";
        let bits = "base64 has bits behind its last byte";
        for (text, reason) in [
            ("Z", length),
            ("Zg", length),
            ("Zg=", length),
            ("Zg===", length),
            ("Zm9v\r\n", length),
            ("Zm9vZm9\n", digit),
            ("Zm9v Zg=", digit),
            ("Zm-_", digit),
            ("Zm9vZm9\0", digit),
            ("====", padding),
            ("Z===", padding),
            ("=Zm9", padding),
            ("Zm=9", padding),
            ("Zg==Zg==", padding),
            ("Zm9vZm8=Zm9v", padding),
            ("Zh==", bits),
            ("Zm9vZm9=", bits),
            ("Zm9vZo==", bits),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            assert_eq!(decode(&mut bytes), Err(reason), "{text:?}");
            assert_eq!(bytes, text.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn sizes_bound_what_is_encoded_and_decoded() {
        for size in 0..100 {
            let digits = encoded_size(size);
            assert_eq!(digits, encoded(&vec![1; size]).len());
            assert!(decoded_size_max(digits) >= size);
            assert!(decoded_size_max(digits) < size + BYTES_PER_GROUP);
        }
        assert_eq!(encoded_size(usize::MAX), usize::MAX);
    }
}
