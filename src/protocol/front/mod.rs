//! What comes in front of the first frame of a connection, as bytes.
//!
//! ```text
//!   proxy     the header with which a load balancer announces its client
//! ```
//!
//! Nothing here knows a connection, a service or a socket. Neighbours: `connection` reads it before
//! its first frame; `client` and `load` send it.

pub mod proxy;
