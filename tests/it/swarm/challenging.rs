//! The challenge of a server with a key, and the digests that its peers answer with.
//!
//! The digest is worked out from RFC 2104, without code of the server. It stands in front of the
//! first frame of a talk and is known when the challenge has come; its meaning for the talk is in
//! `script`. Without the feature `auth` no world has a challenge.

use mynah::server::auth::Auth;

/// Bytes of a challenge.
pub const CHALLENGE_SIZE: usize = 32;

const KEY: &[u8] = b"a key of the swarm";

/// What a server asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lock {
    pub is_md5: bool,
}

/// How a peer answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    pub lock: Lock,
    /// The byte of the digest that is wrong.
    pub wrong: Option<usize>,
}

impl Lock {
    /// Bytes of a digest.
    pub fn size(self) -> usize {
        if self.is_md5 { 16 } else { 32 }
    }

    #[cfg(feature = "auth")]
    pub fn auth(self) -> Auth {
        Auth::new(mynah::base::digest::Keyed::new(self.is_md5, KEY))
    }

    #[cfg(not(feature = "auth"))]
    pub fn auth(self) -> Auth {
        unreachable!("a world without the feature auth has no key")
    }

    #[cfg(feature = "auth")]
    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        use sha2::Digest;
        match self.is_md5 {
            true => md5::Md5::digest(bytes).to_vec(),
            false => sha2::Sha256::digest(bytes).to_vec(),
        }
    }

    #[cfg(not(feature = "auth"))]
    fn hash(self, _: &[u8]) -> Vec<u8> {
        unreachable!("a world without the feature auth has no key")
    }

    /// The HMAC of `challenge`: a key below the block of 64 bytes is used as it is.
    fn digest(self, challenge: &[u8]) -> Vec<u8> {
        let pad = |with: u8| {
            let key = KEY.iter().copied().chain(std::iter::repeat(0));
            key.take(64).map(|byte| byte ^ with).collect::<Vec<u8>>()
        };
        let inner = self.hash(&[&pad(0x36), challenge].concat());
        self.hash(&[pad(0x5c), inner].concat())
    }
}

impl Answer {
    /// What answers `challenge`.
    pub fn digest(self, challenge: &[u8]) -> Vec<u8> {
        let mut digest = self.lock.digest(challenge);
        if let Some(place) = self.wrong {
            digest[place] ^= 1 << (place % 8);
        }
        digest
    }
}

#[cfg(feature = "auth")]
#[test]
fn the_digest_is_that_of_other_programs() {
    // printf challenge | openssl dgst -sha256 -hmac 'a key of the swarm'
    let digest = |is_md5| {
        let bytes = Lock { is_md5 }.digest(b"challenge");
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert_eq!(digest(true), "daa40025d9167086a47b9174034b9d29");
    assert_eq!(
        digest(false),
        "98f94a56e48148f4fb23ce5caaf99a87642f022721ea7ea1c92b655d0c8361ee"
    );
}
