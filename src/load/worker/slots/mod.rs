//! What a worker keeps for all its slots together: which are free, which wait to be opened, when
//! their requests were sent, and how often each has failed.
//!
//! Each file is one fixed-size container that knows slots only by their number. All memory is
//! allocated before the load, so nothing here allocates between the first request and the last.
//! Neighbours: the worker asks and fills them; `conversation` has the bytes of one slot.

pub(super) mod failures;
pub(super) mod free;
pub(super) mod openings;
pub(super) mod stamps;
