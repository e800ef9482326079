//! What the simulated kernel does to the server unasked: a probability for each fault.
//!
//! Drawn from the seed, so a failing run replays. Nearly all are what Linux shows sooner or later;
//! an event that comes twice or late is worse than Linux, and harmless to whoever believes only
//! what a call answers. It refuses to know the calls that carry them out. Invariant: none of them
//! breaks a promise of epoll(7). A read or write that is cut short, or would block although it
//! need not, is followed by a fresh edge, as if the rest had arrived or drained a moment later;
//! without it an edge-triggered server would wait for a kernel that does not exist.

use std::time::Duration;

use super::dice::Dice;

/// The longest that [`Faults::starved`] lasts.
pub(super) const STARVED_MAX: Duration = Duration::from_secs(1);
/// The longest that [`Faults::leap`] skips.
pub(super) const LEAP_MAX: Duration = Duration::from_secs(10);

/// Probabilities from 0 to 1, each drawn at the call it concerns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// recv gives less than it could.
    pub short_read: f64,
    /// send takes less than it could.
    pub short_write: f64,
    /// accept4, recv or send answer EAGAIN although they need not.
    pub would_block: f64,
    /// send answers ENOBUFS. No edge follows: only time can tell that it is over.
    pub no_buffers: f64,
    /// accept4 answers ECONNABORTED and its connection is gone.
    pub aborted: f64,
    /// No further descriptors for up to a second: EMFILE until one is closed.
    pub starved: f64,
    /// EPOLL_CTL_ADD answers ENOMEM or ENOSPC.
    pub unregistered: f64,
    /// recv or EPOLL_CTL_MOD answer ENOMEM, and no edge follows. Not one of the swarm, for not every
    /// program can live with it.
    pub no_memory: f64,
    /// The peer of the socket that is used, or of any during a wait, sends RST.
    pub reset: f64,
    /// The same peer sends FIN, and goes on reading.
    pub half_close: f64,
    /// epoll_wait gives an empty batch, whatever is ready.
    pub interrupted: f64,
    /// The events of a batch come in any order.
    pub shuffled: f64,
    /// An event comes twice in a batch.
    pub duplicated: f64,
    /// An event reports what was asked although it is not so.
    pub spurious: f64,
    /// An event comes after its socket was closed and its number reused.
    pub stale: f64,
    /// Time jumps ahead by up to ten seconds while waiting.
    pub leap: f64,
}

impl Faults {
    /// A kernel in its best mood.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Every fault by its name.
    pub fn each(&mut self) -> [(&'static str, &mut f64); 16] {
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
            ("leap", &mut self.leap),
        ]
    }

    /// Draws which faults there are and how likely: half of them are on, some rare and some
    /// frequent. Those that end a connection stay rare enough for it to have said something
    /// before.
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
        }
    }
}

/// A failure ordered by the test: the `left`-th call from now.
pub(super) struct Ordered {
    pub(super) name: String,
    pub(super) left: u64,
    pub(super) errno: i32,
}
