//! The size of a chunk: hexadecimal digits, one after the other.
//!
//! RFC 9112, 7.1.

use super::NumberError;

/// The size with one more digit.
pub(crate) fn with_digit(size: u64, digit: u8) -> Result<u64, NumberError> {
    let value = char::from(digit).to_digit(16).ok_or(NumberError::NoDigit)?;
    let grown = size.checked_mul(16).map(|size| size | u64::from(value));
    grown.ok_or(NumberError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_grows_by_digits_of_either_case_up_to_64_bits() {
        let size = |digits: &str| digits.bytes().try_fold(0, with_digit);
        for (digits, expected) in [
            ("1a", Ok(0x1a)),
            ("00FF", Ok(0xff)),
            ("ffffffffffffffff", Ok(u64::MAX)),
            ("10000000000000000", Err(NumberError::TooLarge)),
            ("g", Err(NumberError::NoDigit)),
        ] {
            assert_eq!(size(digits), expected, "{digits}");
        }
    }
}
