//! Containers with fixed memory: slots with generations, a queue of slots, timers.
//!
//! Each container allocates all its memory at the start and never grows. None of them knows a
//! socket or a protocol.

pub mod queue;
pub mod slots;
pub mod timers;
