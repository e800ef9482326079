//! Digests of bytes, with or without a key. The algorithms come from RustCrypto.
//!
//! A [`Sum`] takes bytes piece by piece and returns the digest at the end. With a key it is the
//! HMAC of RFC 2104. Digests are compared by [`is_equal`], whose time does not depend on where they
//! differ. MD5 and SHA-1 are broken as signatures; they are here for lists and peers that have
//! nothing else. Neighbours: `protocol::front::auth`, `cli::run::sum`. See RFC 1321, FIPS 180-4.

use hmac::digest::{Digest, FixedOutput, KeyInit, Update};
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// 16 bytes.
    Md5,
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
}

impl Algorithm {
    /// Bytes of a digest.
    pub const fn size(self) -> usize {
        match self {
            Algorithm::Md5 => 16,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

/// A digest that is not finished.
pub struct Sum(Box<dyn Summing>);

trait Summing {
    fn add(&mut self, bytes: &[u8]);

    fn finish(self: Box<Self>) -> Vec<u8>;
}

impl<D: Update + FixedOutput> Summing for D {
    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.finalize_fixed().to_vec()
    }
}

impl Sum {
    /// The digest of no bytes, or with `key` their HMAC.
    pub fn new(algorithm: Algorithm, key: Option<&[u8]>) -> Sum {
        Sum(match (algorithm, key) {
            (Algorithm::Md5, None) => Box::new(Md5::new()),
            (Algorithm::Sha1, None) => Box::new(Sha1::new()),
            (Algorithm::Sha256, None) => Box::new(Sha256::new()),
            (Algorithm::Sha512, None) => Box::new(Sha512::new()),
            (Algorithm::Md5, Some(key)) => Box::new(keyed::<Hmac<Md5>>(key)),
            (Algorithm::Sha1, Some(key)) => Box::new(keyed::<Hmac<Sha1>>(key)),
            (Algorithm::Sha256, Some(key)) => Box::new(keyed::<Hmac<Sha256>>(key)),
            (Algorithm::Sha512, Some(key)) => Box::new(keyed::<Hmac<Sha512>>(key)),
        })
    }

    /// Adds `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.add(bytes);
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish()
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as Mac>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any size"))
}

/// The bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two digests are equal, in a time that depends only on their lengths.
pub fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// The HMAC of short messages under one key. Nothing here takes memory from the heap.
#[derive(Clone)]
pub enum Keyed {
    /// HMAC-SHA-256, 32 bytes.
    Sha256(Hmac<Sha256>),
    /// HMAC-MD5, 16 bytes.
    Md5(Hmac<Md5>),
}

impl Keyed {
    /// Prepares `key`. The algorithm is SHA-256, or MD5 for old peers.
    pub fn new(is_md5: bool, key: &[u8]) -> Keyed {
        match is_md5 {
            false => Keyed::Sha256(keyed(key)),
            true => Keyed::Md5(keyed(key)),
        }
    }

    /// Bytes of a digest.
    pub const fn size(&self) -> usize {
        match self {
            Keyed::Sha256(_) => Algorithm::Sha256.size(),
            Keyed::Md5(_) => Algorithm::Md5.size(),
        }
    }

    /// The digest of `message`, in the first [`Keyed::size`] bytes; the others are 0.
    pub fn digest(&self, message: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        match self {
            Keyed::Sha256(mac) => {
                let sum = mac.clone().chain_update(message).finalize();
                digest.copy_from_slice(&sum.into_bytes());
            }
            Keyed::Md5(mac) => {
                let sum = mac.clone().chain_update(message).finalize();
                digest[..16].copy_from_slice(&sum.into_bytes());
            }
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn sum(algorithm: Algorithm, key: Option<&[u8]>, pieces: &[&[u8]]) -> String {
        let mut sum = Sum::new(algorithm, key);
        pieces.iter().for_each(|piece| sum.add(piece));
        let digest = sum.finish();
        assert_eq!(digest.len(), algorithm.size());
        hex(&digest)
    }

    /// The digests of "abc" in RFC 1321 and in FIPS 180.
    #[test]
    fn the_vectors_of_the_standards_hold() {
        for (algorithm, digest) in [
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                Algorithm::Sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Algorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ] {
            assert_eq!(sum(algorithm, None, &[b"abc"]), digest);
            assert_eq!(sum(algorithm, None, &[b"a", b"", b"bc"]), digest);
        }
    }

    /// RFC 2202 and RFC 4231, test case 2.
    #[test]
    fn the_vectors_of_hmac_hold() {
        let message = b"what do ya want for nothing?".as_slice();
        for (algorithm, digest) in [
            (Algorithm::Md5, "750c783e6ab0b503eaa86e310a5db738"),
            (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                Algorithm::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                Algorithm::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            assert_eq!(sum(algorithm, Some(b"Jefe"), &[message]), digest);
        }
        // RFC 4231, test case 6: a key longer than a block.
        let long = sum(
            Algorithm::Sha256,
            Some(&[0xaa; 131]),
            &[b"Test Using Larger Than Block-Size Key - Hash Key First"],
        );
        assert_eq!(
            long,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    /// Row P13.
    #[test]
    fn p13_the_digest_of_the_challenge_of_zeros_is_the_vector() {
        let key = b"linhaifeng bang bang bang";
        let md5 = Keyed::new(true, key);
        let digest = md5.digest(&[0; 32]);
        assert_eq!(
            hex(&digest[..md5.size()]),
            "c36045b4b9fbeb5429bab9be9d16bf86"
        );
        assert_eq!(digest[md5.size()..], [0; 16]);
        let sha256 = Keyed::new(false, key);
        assert_eq!(
            hex(&sha256.digest(&[0; 32])[..sha256.size()]),
            "61e54352481a1f3d53f6ba4a5f9290f58786507d4ae135c01d756222bb045840"
        );
    }

    #[test]
    fn digests_are_equal_only_in_all_their_bytes() {
        let one = [7; 32];
        assert!(is_equal(&one, &[7; 32]));
        for place in 0..32 {
            let mut other = one;
            other[place] ^= 1 << (place % 8);
            assert!(!is_equal(&one, &other), "{place}");
        }
        assert!(!is_equal(&one, &one[..31]));
    }
}
