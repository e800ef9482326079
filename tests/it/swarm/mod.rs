//! A swarm of small worlds: each seed draws a server, a kernel with its faults, and peers of every
//! temper, plays them against each other and holds the loop to its promises after every turn.
//!
//! world.rs draws, shape.rs frames, script.rs and http.rs know what is said and what must be
//! answered, actor.rs plays a peer, play.rs turns the loop, check.rs looks at it, verdict.rs runs
//! seeds and makes a failure small. None of them knows how the server does it; what must hold is
//! written down here anew. Invariant: a world is all there is to a run, so a seed replays it call
//! by call.

// Shared by tests and benches, each of which uses a part.
#![allow(dead_code, unused_imports, unreachable_pub)]

mod actor;
mod check;
mod http;
mod play;
mod script;
mod shape;
mod verdict;
mod world;

pub use play::{Tally, play};
pub use script::Talk;
pub use shape::Shape;
pub use verdict::{Choice, examine, replay};
pub use world::{Answering, Kind, Manner, Part, World};
