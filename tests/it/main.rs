//! The integration tests: one binary, one module per subject.
//!
//! One binary links only once. `time_limit` is shared with the other test binaries.

mod binary;
mod bounds;
mod client;
mod connection;
mod dictionary;
mod every_position;
mod faults;
mod frames;
mod framings;
#[cfg(feature = "auth")]
mod ftp;
mod fuzz;
mod hanging;
mod house_rules;
mod lab;
mod library;
mod load;
mod manual;
mod model;
mod names;
mod namespace;
mod peers;
mod program;
mod proxy_header;
mod server;
mod services;
mod sim;
mod sim_kernel;
mod skip;
mod swarm;
mod swarm_seeds;
mod talk;
mod terminal;
#[path = "../time_limit/mod.rs"]
mod time_limit;
#[cfg(feature = "tls")]
mod tls;
mod transcripts;
mod uninterrupted;
