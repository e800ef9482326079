//! The load generator against servers that are true, that lie, and that are not there.
//!
//! The servers are a few lines of threads from the standard library, so that generator and server
//! share nothing but the wire. Every run ends by a count of requests or within a fraction of a
//! second.

mod accounting;
mod bodies;
mod breaking;
mod clocks;
mod command;
mod datagrams;
mod dialling;
mod documents;
mod interrupts;
mod keepalive;
mod merged;
mod opening;
mod overload;
mod pacing;
mod pages;
pub(crate) mod peer;
mod pythons;
mod reconnecting;
mod runs;
mod simulated;
mod starting;
mod stopped;
mod unknown;
mod unspoilt;
mod wellformed;
