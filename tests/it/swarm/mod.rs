//! A swarm of small worlds. Each seed draws a server, a kernel with its faults, and peers of every
//! kind, runs them against each other and checks the invariants of the loop after every turn.
//!
//! world.rs draws, shape.rs frames, script.rs and http.rs know what is sent and what must be
//! answered, actor.rs plays a peer, errands.rs gives tasks, crossing.rs lets one process take over
//! from another, play.rs turns the loop, check.rs checks it, report.rs runs seeds and reduces
//! failures. None of them shares code with the server; the expected behaviour is written here a
//! second time. Invariant: a world contains everything that determines a run, so a seed replays it
//! call by call.

// Shared by tests and benches, each of which uses only a part.
#![allow(dead_code, unused_imports, unreachable_pub)]

mod actor;
mod announcing;
mod challenging;
mod check;
mod crossing;
mod datagrams;
mod errands;
mod http;
mod play;
mod report;
mod script;
mod shape;
mod world;

pub use play::{Tally, play};
pub use report::{Choice, examine, replay};
pub use script::Talk;
pub use shape::{SHAPES, Shape};
pub use world::{Answering, Kind, Manner, Part, Takeover, World};
