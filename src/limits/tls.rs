//! Bounds of TLS.

use std::time::Duration;

use super::{KIB, MIB};

/// Default time from the accept to the end of the handshake: several round trips around the world
/// and a slow computation.
pub const HANDSHAKE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Bytes that one session takes at most: a received record and what was received behind it, two
/// records of plaintext, one record to be sent, and the state. In a handshake, where the other
/// parts are empty, rustls takes messages of up to 64 KiB.
pub const TLS_SESSION_SIZE: usize = 96 * KIB;
/// Largest read while a connection expects the header of a load balancer. What comes behind the
/// header in the same read may be kept by a session.
pub const HEADER_READ_SIZE: usize = 16 * KIB;
/// Largest file of certificates or of a key: the issuers that a whole system trusts take a quarter.
pub const PEM_SIZE_MAX: usize = MIB;
/// Tickets that a server sends behind each handshake of TLS 1.3, as browsers expect (RFC 8446,
/// C.4).
pub const TLS_TICKETS: usize = 2;
