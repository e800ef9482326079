//! Who runs the machines: slots, buffers, deadlines, and the loop around epoll.
//!
//! This floor joins a [`crate::kernel`] with the [`crate::connection`]s: it reads and writes for
//! them, asks each what it wants, and tells the kernel when that differs from what it was told
//! before. It knows no framing and no service.

mod accept;
mod advance;
mod children;
mod commands;
mod common;
pub mod counters;
mod drain;
mod epoll;
mod expire;
mod lending;
mod orphans;
mod peer;
pub mod per_ip;
mod phases;
pub mod plan;
mod pump;
pub mod queue;
mod refusal;
mod reload;
mod resources;
mod settings;
mod signals;
pub mod slots;
pub mod standing;
mod throttle;
pub mod timers;
pub mod workers;
pub mod workspaces;

pub use epoll::{Attention, Server};
pub use settings::Settings;
