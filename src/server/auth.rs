//! The key in front of a service, shared by all workers of a process.
//!
//! A reload replaces the key for connections that begin later; a challenge that was sent keeps the
//! digest that it asked for. Without the feature `auth` the type has no value, so that what needs
//! one is not compiled. Neighbours: `pump` challenges, `cli::run::serve` reads the key.

#[cfg(feature = "auth")]
use std::sync::{Arc, PoisonError, RwLock};

#[cfg(feature = "auth")]
use crate::base::digest::Keyed;
#[cfg(feature = "auth")]
use crate::protocol::front::auth::{CHALLENGE_SIZE, Expected};

/// A key, and the algorithm that it is for.
#[cfg(feature = "auth")]
#[derive(Clone)]
pub struct Auth(Arc<RwLock<Keyed>>);

/// A key: none, without the feature `auth`.
#[cfg(not(feature = "auth"))]
#[derive(Clone, Debug)]
pub enum Auth {}

#[cfg(feature = "auth")]
impl Auth {
    /// Shares `key`.
    pub fn new(key: Keyed) -> Auth {
        Auth(Arc::new(RwLock::new(key)))
    }

    /// Uses `key` from now on.
    pub fn replace(&self, key: Keyed) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// The digest that answers `challenge`.
    pub(in crate::server) fn expected(&self, challenge: &[u8; CHALLENGE_SIZE]) -> Expected {
        Expected::new(
            &self.0.read().unwrap_or_else(PoisonError::into_inner),
            challenge,
        )
    }
}

/// The key is not shown.
#[cfg(feature = "auth")]
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth")
    }
}
