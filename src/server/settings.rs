//! What one loop is given to work with: numbers and spans, decided before the first turn and never
//! changed by it.
//!
//! Where they come from, and what they are when nobody says, is `options` and `limits`; how memory
//! follows from them is `plan`.

use std::time::Duration;

use crate::kernel::Trigger;

use super::pool::WorkspaceSize;

/// What one loop is given to work with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at once.
    pub connections_max: usize,
    /// Workspaces to lend.
    pub workspaces: usize,
    /// The size of each.
    pub workspace: WorkspaceSize,
    /// Level or edge.
    pub trigger: Trigger,
    /// Connections come with their first data: read it before they are registered.
    pub defer_accept: bool,
    /// Frames answered for one connection at one event, step by step; not 0. The straight course
    /// has a constant for it.
    pub frames_per_event: u64,
    /// How long to look for events before sleeping.
    pub spin: Option<Duration>,
    /// How long a peer may say nothing.
    pub idle_timeout: Option<Duration>,
    /// How long a peer may take next to nothing of what it is owed.
    pub stall_timeout: Option<Duration>,
    /// What it must take in that time, unless it takes all.
    pub stall_size_min: usize,
    /// How long a frame may take, from its first byte to its last.
    pub frame_timeout: Option<Duration>,
    /// Connections at once from one address.
    pub connections_per_ip_max: Option<u32>,
    /// Connections that may wait at each listener to be accepted.
    pub backlog: u32,
    /// How long a shutdown may take.
    pub drain_timeout: Duration,
}
