//! The challenge in front of a service, and the digest that must answer it.
//!
//! ```text
//!   server   32 random bytes
//!   peer                       HMAC(key, these bytes), 32 bytes or 16
//!   server                                        its greeting; frames from here on
//! ```
//!
//! Both are raw bytes, before any framing. The digest is worked out when the challenge is sent, so
//! a connection keeps what it expects and no key. The types have no value without the feature
//! `auth`: the compiler then removes every state and branch that needs one. Neighbours:
//! `connection::challenge`, `base::digest`.

#[cfg(feature = "auth")]
use crate::base::digest::{self, Keyed};

/// Bytes of a challenge.
pub const CHALLENGE_SIZE: usize = 32;

/// How a peer proves that it knows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthName {
    /// HMAC-SHA-256 of the challenge.
    HmacSha256,
    /// HMAC-MD5, for old peers.
    HmacMd5,
}

/// The key that answers the challenge of a server; it is not shown.
#[cfg(feature = "auth")]
#[derive(Clone)]
pub struct Key(pub Keyed);

/// The key that answers the challenge of a server: none, without the feature `auth`.
#[cfg(not(feature = "auth"))]
#[derive(Clone)]
pub enum Key {}

impl Key {
    /// The digest that answers `challenge`, and its size; the bytes behind it are 0.
    pub fn answer(&self, challenge: &[u8]) -> ([u8; CHALLENGE_SIZE], usize) {
        #[cfg(feature = "auth")]
        return (self.0.digest(challenge), self.0.size());
        #[cfg(not(feature = "auth"))]
        {
            _ = challenge;
            match *self {}
        }
    }
}

/// Two keys are equal if they answer alike.
impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.answer(&[]) == other.answer(&[])
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// The digest that a peer has to send.
#[cfg(feature = "auth")]
#[derive(Clone, Copy)]
pub struct Expected {
    digest: [u8; CHALLENGE_SIZE],
    size: u8,
}

/// The digest that a peer has to send: none, without the feature `auth`.
#[cfg(not(feature = "auth"))]
#[derive(Clone, Copy)]
pub enum Expected {}

#[cfg(feature = "auth")]
impl Expected {
    /// What answers `challenge` under `key`.
    pub fn new(key: &Keyed, challenge: &[u8; CHALLENGE_SIZE]) -> Expected {
        Expected {
            digest: key.digest(challenge),
            size: key.size() as u8,
        }
    }

    /// Bytes of the digest.
    pub fn size(&self) -> usize {
        usize::from(self.size)
    }

    /// Whether `digest` is the right one, in a time that does not depend on where it is wrong.
    pub fn is_met_by(&self, digest: &[u8]) -> bool {
        digest::is_equal(&self.digest[..self.size()], digest)
    }
}

#[cfg(not(feature = "auth"))]
impl Expected {
    /// Bytes of the digest.
    pub fn size(&self) -> usize {
        match *self {}
    }

    /// Whether `digest` is the right one.
    pub fn is_met_by(&self, _digest: &[u8]) -> bool {
        match *self {}
    }
}

impl PartialEq for Expected {
    fn eq(&self, other: &Expected) -> bool {
        #[cfg(feature = "auth")]
        return other.is_met_by(&self.digest[..self.size()]);
        #[cfg(not(feature = "auth"))]
        match (*self, *other) {}
    }
}

impl Eq for Expected {}

/// The digest is not shown.
impl std::fmt::Debug for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expected")
    }
}
