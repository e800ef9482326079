//! What comes in front of the first frame of a connection, as bytes.
//!
//! ```text
//!   auth      the challenge of the server, and the digest that answers it
//!   proxy     the header with which a load balancer announces its client
//! ```
//!
//! Nothing here knows a connection, a service or a socket. Neighbours: `connection` reads it before
//! its first frame; `client` and `load` send it.

pub mod auth;
pub mod proxy;
