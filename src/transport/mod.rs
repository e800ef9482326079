//! What lies between a socket and the bytes of a connection.
//!
//! ```text
//!   plain   nothing: the kernel's calls are the connection's, and no type stands for it
//!   tls     a kernel around a kernel: records below, plaintext above (feature `tls`)
//! ```
//!
//! The server, the client and the load generator are compiled for a kernel. A transport is one more
//! kernel around it, so a plain connection pays nothing for it. Neighbours: `kernel` below,
//! `server`, `client` and `load` above.

use std::path::PathBuf;

#[cfg(feature = "tls")]
pub mod tls;

/// How a client secures its connections, as its options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Speak TLS.
    pub on: bool,
    /// The file of the issuers to trust instead of those of the system.
    pub ca: Option<PathBuf>,
    /// The name that the server has to prove, if it is not that of its address.
    pub name: Option<String>,
    /// Accept any certificate.
    pub insecure: bool,
}
