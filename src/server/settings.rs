//! Settings of one server loop: numbers and spans, fixed before the first turn.
//!
//! `cli::options` reads them from the command line, `limits` holds the defaults, and `plan` derives
//! the memory from them.

use std::time::Duration;

use crate::kernel::Trigger;
use crate::kernel::journal::Track;

use super::admission::announced::ProxyRule;
use super::auth::Auth;
use super::observe::wiretap::Wiretap;
use super::pace::Pacing;
use super::pool::WorkspaceSize;

/// Settings of one server loop.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Maximum number of simultaneous connections.
    pub connections_max: usize,
    /// Number of workspaces.
    pub workspaces: usize,
    /// Size of each workspace.
    pub workspace: WorkspaceSize,
    /// Level-triggered or edge-triggered events.
    pub trigger: Trigger,
    /// Connections are accepted with their first data (TCP_DEFER_ACCEPT), so read before the first
    /// registration.
    pub defer_accept: bool,
    /// Frames answered for one connection per event on the slow path; not 0. The fast path has a
    /// constant for this.
    pub frames_per_event: u64,
    /// How long to poll for events before sleeping.
    pub spin: Option<Duration>,
    /// Longest time in which no byte moves in either direction.
    pub idle_timeout: Option<Duration>,
    /// Longest time in which the peer may take less than `stall_size_min` of the replies.
    pub stall_timeout: Option<Duration>,
    /// Bytes that the peer must take in `stall_timeout`, unless it takes all.
    pub stall_size_min: usize,
    /// Longest time from the first byte of a frame to its last.
    pub frame_timeout: Option<Duration>,
    /// Maximum number of simultaneous connections from one address.
    pub connections_per_ip_max: Option<u32>,
    /// Backlog of each listener, see listen(2).
    pub backlog: u32,
    /// Longest time for a drain.
    pub drain_timeout: Duration,
    /// Tells what happens on each connection. With it, no connection takes the fast path.
    pub wiretap: Option<Wiretap>,
    /// Keeps the changes of each connection.
    pub trace: Option<Track>,
    /// Rates, and idle time-outs of one direction. With any of them, no connection takes the fast
    /// path.
    pub pacing: Pacing,
    /// The key that each peer has to know.
    pub auth: Option<Auth>,
    /// Which connections begin with the header of a load balancer; `None` for none.
    pub proxy: Option<ProxyRule>,
}
