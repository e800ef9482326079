//! A server inside another program: its settings, its start, its end.
//!
//! ```text
//!   Server::builder() -- listen, framing, limits --> Builder -- bind --> Server -- run --> Ending
//!                                                                |
//!                                              addresses, Handle (other threads)
//! ```
//!
//! The defaults are those of `mynah serve`. Nothing here ends the process, changes its limits or
//! prints, and signals are left alone unless [`Builder::signals`] asks for them. This module does
//! not know how a connection is served. Neighbours: `workers` runs the loops, `server::plan`
//! divides the memory, `cli::run` does the same for the command line.

mod bound;
mod builder;
mod error;

pub use bound::Server;
pub use builder::Builder;
pub use error::Error;
