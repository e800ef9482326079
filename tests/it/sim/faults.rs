//! The faults that the simulated kernel adds on its own: one probability for each.
//!
//! They are drawn from the seed, so a failing run replays. Linux shows nearly all of them sooner or
//! later. A duplicated or late event is worse than Linux, and harmless to a program that relies
//! only on the answers of its calls. The calls that apply the faults are elsewhere. Invariant: no
//! fault breaks a promise of epoll(7). A read or write that is cut short, or that would block
//! without need, is followed by a new edge, as if the rest had arrived or drained a moment later.
//! Without that edge, an edge-triggered server would wait for ever.

use std::time::Duration;

use super::dice::Dice;

/// The longest duration of [`Faults::starved`].
pub(super) const STARVED_MAX: Duration = Duration::from_secs(1);
/// The longest jump of [`Faults::leap`].
pub(super) const LEAP_MAX: Duration = Duration::from_secs(10);

/// Probabilities from 0 to 1, each drawn at the call it concerns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// recv returns fewer bytes than are available.
    pub short_read: f64,
    /// send takes fewer bytes than fit.
    pub short_write: f64,
    /// accept4, recv or send fail with EAGAIN without need.
    pub would_block: f64,
    /// send fails with ENOBUFS. No edge follows: the server must retry after a time.
    pub no_buffers: f64,
    /// accept4 fails with ECONNABORTED and its connection is lost.
    pub aborted: f64,
    /// No more descriptors for up to a second: EMFILE until one is closed.
    pub starved: f64,
    /// EPOLL_CTL_ADD fails with ENOMEM or ENOSPC.
    pub unregistered: f64,
    /// recv or EPOLL_CTL_MOD fail with ENOMEM, and no edge follows. Not part of the swarm, because
    /// not every program can handle it.
    pub no_memory: f64,
    /// The peer of the used socket, or of any socket during a wait, sends RST.
    pub reset: f64,
    /// The same peer sends FIN and keeps reading.
    pub half_close: f64,
    /// epoll_wait returns an empty batch, whatever is ready.
    pub interrupted: f64,
    /// The events of a batch come in random order.
    pub shuffled: f64,
    /// An event appears twice in a batch.
    pub duplicated: f64,
    /// An event reports readiness that was asked for and does not exist.
    pub spurious: f64,
    /// An event arrives after its socket was closed and its number reused.
    pub stale: f64,
    /// A datagram does not arrive.
    pub lost: f64,
    /// A datagram overtakes the one before it.
    pub reordered: f64,
    /// A datagram is longer than the space for it.
    pub truncated: f64,
    /// recvmmsg or sendmmsg fail with ECONNREFUSED, for one datagram.
    pub refused: f64,
    /// The clock jumps ahead by up to ten seconds during a wait.
    pub leap: f64,
    /// io_uring_enter takes no call: EINTR, EAGAIN or EBUSY.
    pub unentered: f64,
    /// io_uring_enter takes only some of the calls.
    pub untaken: f64,
    /// A call of a ring is not made: EINTR or ECANCELED.
    pub cancelled: f64,
    /// A result finds no room in the completion queue, and is there after the next wait.
    pub overflowed: f64,
    /// Results of a ring come out of order.
    pub disordered: f64,
    /// io_uring_enter fails with EBADF, and the ring is never used again.
    pub ring_lost: f64,
}

impl Faults {
    /// No faults at all.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Every fault with its name.
    pub fn each(&mut self) -> [(&'static str, &mut f64); 26] {
        [
            ("short_read", &mut self.short_read),
            ("short_write", &mut self.short_write),
            ("would_block", &mut self.would_block),
            ("no_buffers", &mut self.no_buffers),
            ("aborted", &mut self.aborted),
            ("starved", &mut self.starved),
            ("unregistered", &mut self.unregistered),
            ("no_memory", &mut self.no_memory),
            ("reset", &mut self.reset),
            ("half_close", &mut self.half_close),
            ("interrupted", &mut self.interrupted),
            ("shuffled", &mut self.shuffled),
            ("duplicated", &mut self.duplicated),
            ("spurious", &mut self.spurious),
            ("stale", &mut self.stale),
            ("lost", &mut self.lost),
            ("reordered", &mut self.reordered),
            ("truncated", &mut self.truncated),
            ("refused", &mut self.refused),
            ("leap", &mut self.leap),
            ("unentered", &mut self.unentered),
            ("untaken", &mut self.untaken),
            ("cancelled", &mut self.cancelled),
            ("overflowed", &mut self.overflowed),
            ("disordered", &mut self.disordered),
            ("ring_lost", &mut self.ring_lost),
        ]
    }

    /// Draws which faults occur and how likely they are: half of them are on, some rare and some
    /// frequent. Faults that end a connection stay rare enough for the connection to exchange some
    /// bytes first.
    pub fn swarm(seed: u64) -> Faults {
        let mut dice = Dice::new(seed);
        let mut draw = || match dice.chance(0.5) {
            true => [0.002, 0.01, 0.05, 0.2, 0.5][dice.below(5)],
            false => 0.0,
        };
        Faults {
            short_read: draw(),
            short_write: draw(),
            would_block: draw(),
            no_buffers: draw() / 5.0,
            aborted: draw() / 5.0,
            starved: draw() / 10.0,
            unregistered: draw() / 10.0,
            no_memory: 0.0,
            reset: draw() / 50.0,
            half_close: draw() / 50.0,
            interrupted: draw(),
            shuffled: draw(),
            duplicated: draw(),
            spurious: draw(),
            stale: draw(),
            leap: draw() / 10.0,
            lost: draw() / 5.0,
            reordered: draw(),
            truncated: draw() / 10.0,
            refused: draw() / 5.0,
            unentered: draw(),
            untaken: draw(),
            cancelled: draw(),
            overflowed: draw(),
            disordered: draw(),
            ring_lost: draw() / 50.0,
        }
    }
}

/// A failure ordered by the test: it hits the `left`-th call from now.
pub(super) struct Ordered {
    pub(super) name: String,
    pub(super) left: u64,
    pub(super) errno: i32,
}
