//! The load generator against correct, faulty and missing servers.
//!
//! The servers are small threads that use only the standard library, so generator and server share
//! no code (`peer`). `simulated` runs the generator on the simulated kernel instead. Every run ends
//! after a number of requests or a fraction of a second.

mod accounting;
mod asking;
mod bodies;
mod breaking;
mod clocks;
pub(crate) mod command;
mod datagrams;
mod dialling;
mod documents;
mod inputs;
mod interrupts;
mod keepalive;
mod melting;
mod merged;
mod merging;
mod opening;
mod overload;
mod pacing;
mod pages;
pub(crate) mod peer;
mod pythons;
mod reconnecting;
mod reports;
mod runs;
mod schema;
mod simulated;
mod starting;
mod stopped;
mod unknown;
mod unspoilt;
mod wellformed;
