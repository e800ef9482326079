//! When to try to connect again, and whether to.
//!
//! Pauses double from one second on, and no pause follows the last try: eight tries take 127
//! seconds of pauses. Clients that lose the same server at the same moment would all return
//! together, so with jitter each pause is drawn between zero and its full length (*full jitter*).
//!
//! The schedule is pure: no clock, and randomness comes from a seed. Sources: connect(2), unix(7);
//! "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::io;
use std::time::Duration;

use crate::kernel::errno;
use crate::limits::CONNECT_PAUSE_MIN;

/// The number of tries left, and the pauses between them.
#[derive(Clone, Debug)]
pub struct Backoff {
    tries_made: u32,
    tries_max: u32,
    chance: Option<u64>,
}

impl Backoff {
    /// At most `tries_max` tries, at least one. With `jitter`, a seed, the pauses are random.
    pub fn new(tries_max: u32, jitter: Option<u64>) -> Backoff {
        Backoff {
            tries_made: 0,
            tries_max,
            chance: jitter,
        }
    }

    /// The number of tries made, and the most allowed.
    pub fn tries(&self) -> (u32, u32) {
        (self.tries_made, self.tries_max)
    }

    /// Records a failed try. Returns the pause before the next try, or `None` after the last.
    pub fn pause(&mut self) -> Option<Duration> {
        self.tries_made += 1;
        if self.tries_made >= self.tries_max {
            return None;
        }
        let full = CONNECT_PAUSE_MIN * (1 << (self.tries_made - 1).min(16));
        Some(match &mut self.chance {
            None => full,
            Some(state) => full.mul_f64(draw(state)),
        })
    }
}

/// A random number from 0 to 1, by splitmix64, which needs only a counter.
fn draw(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as f64 / u64::MAX as f64
}

/// Whether a connect that failed with `error` may succeed later with the same command.
pub(super) fn passes(error: &io::Error) -> bool {
    use errno::*;
    // Errors of our own have no number: the connect time-out passed, or the queue of a local server
    // was full until then.
    let is_late = matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    );
    is_late
        || matches!(
            error.raw_os_error(),
            // The server is not running, or no longer. The socket file of a local server that has
            // not started yet does not exist (ENOENT).
            Some(ECONNREFUSED | ECONNRESET | ECONNABORTED | ENOENT)
            // The network path is broken.
            | Some(ETIMEDOUT | EHOSTUNREACH | EHOSTDOWN | ENETUNREACH | ENETDOWN)
            // The queue of a local server is full, or all local ports are in use.
            | Some(EAGAIN | EADDRNOTAVAIL)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(mut backoff: Backoff) -> Vec<Duration> {
        std::iter::from_fn(|| backoff.pause()).collect()
    }

    #[test]
    fn c1_eight_tries_pause_seven_times_and_never_after_the_last() {
        let pauses = pauses(Backoff::new(8, None));
        let seconds: Vec<u64> = pauses.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(pauses.iter().sum::<Duration>(), Duration::from_secs(127));
    }

    #[test]
    fn c1_a_single_try_has_no_pause() {
        assert_eq!(pauses(Backoff::new(1, None)), []);
    }

    #[test]
    fn c1_full_jitter_draws_each_pause_from_nothing_to_its_whole_length() {
        let mut first = Vec::new();
        for seed in 0..1000 {
            let drawn = pauses(Backoff::new(8, Some(seed)));
            for (pause, full) in drawn.iter().zip(pauses(Backoff::new(8, None))) {
                assert!(*pause <= full, "{pause:?} of {full:?}");
            }
            first.push(drawn[0].as_secs_f64());
        }
        let mean = first.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!(first.iter().any(|pause| *pause < 0.05));
        assert!(first.iter().any(|pause| *pause > 0.95));
    }

    #[test]
    fn c1_only_errors_that_pass_are_worth_another_try() {
        use errno::*;
        let error = io::Error::from_raw_os_error;
        for number in [
            ECONNREFUSED,
            ETIMEDOUT,
            EHOSTUNREACH,
            ENETUNREACH,
            EAGAIN,
            ENOENT,
        ] {
            assert!(passes(&error(number)), "{:?}", name(number));
        }
        for number in [
            EACCES,
            EPERM,
            EAFNOSUPPORT,
            ENOTDIR,
            EPROTOTYPE,
            EINVAL,
            EMFILE,
        ] {
            assert!(!passes(&error(number)), "{:?}", name(number));
        }
    }
}
