//! Values of fields: lists, and numbers of decimal digits.
//!
//! RFC 9110, 5.6.1 and 8.6.

use super::NumberError;

/// The elements of a list, without surrounding blanks. An element may be empty.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// The number that `digits` are; leading zeros are allowed, and a sign is not.
pub(crate) fn decimal(digits: &[u8]) -> Result<u64, NumberError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::NoDigit);
    }
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    let number = digits.iter().try_fold(0, add);
    number.ok_or(NumberError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_alone_and_fits_into_64_bits() {
        for (digits, expected) in [
            ("0", Ok(0)),
            ("007", Ok(7)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err(NumberError::TooLarge)),
            ("", Err(NumberError::NoDigit)),
            ("+7", Err(NumberError::NoDigit)),
            ("-0", Err(NumberError::NoDigit)),
            ("7 ", Err(NumberError::NoDigit)),
            ("99999999999999999999x", Err(NumberError::NoDigit)),
        ] {
            assert_eq!(decimal(digits.as_bytes()), expected, "{digits}");
        }
    }

    #[test]
    fn the_elements_of_a_list_lose_the_blanks_around_them() {
        let found: Vec<&[u8]> = elements(b"a , b\t,,c d").collect();
        assert_eq!(found, [&b"a"[..], b"b", b"", b"c d"]);
    }
}
