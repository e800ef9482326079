//! CRC-32C (Castagnoli), as RFC 9260, Appendix A and iSCSI have it.
//!
//! A header has one checksum and at most a few kilobytes, so a bit at a time is fast enough and
//! takes no table.

/// The checksum of `bytes`, with the four bytes from `place` on taken as zeros.
pub(super) fn without(bytes: &[u8], place: usize) -> u32 {
    let mut sum = u32::MAX;
    for (at, byte) in bytes.iter().enumerate() {
        let is_left_out = (place..place + 4).contains(&at);
        sum ^= if is_left_out { 0 } else { u32::from(*byte) };
        for _ in 0..8 {
            // The polynomial, its bits reversed.
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_are_those_of_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, sum) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(without(bytes, usize::MAX - 4), sum, "{bytes:?}");
        }
    }

    #[test]
    fn bytes_that_are_left_out_count_as_zeros() {
        let (with, zeros) = ([1, 2, 9, 9, 9, 9, 3], [1, 2, 0, 0, 0, 0, 3]);
        assert_eq!(without(&with, 2), without(&zeros, usize::MAX - 4));
    }
}
