//! A token bucket: so many bytes a second, and a burst of so many at once.
//!
//! ```text
//!   bytes   level |          .---------.   taken: 0 to level
//!                 |      .---' granted |
//!   refilled+burst|  .---'             |   a grant is due when its end is below this line
//!   refilled      |--'                 |   unused tokens below this line are lost
//! ```
//!
//! The state is one number: the level, in bytes on the scale of what the rate has refilled since
//! time 0. A new bucket has level 0, so it is full. To take bytes raises the level; they are
//! granted when the refilled bytes and the burst reach it. So waiters are served in the order in
//! which they asked, without a queue, and across threads too, because a number can be atomic.
//! What is taken up to any time is at most rate * time + burst, whatever is given back meanwhile.
//! This file knows no clock: `now` is a parameter. The algorithm is GCRA (ITU-T I.371) in bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::time::Time;
use crate::limits::{GRANT_SIZE_MAX, GRANT_SIZE_MIN, GRANTS_PER_SECOND, RATE_BURST_DEFAULT_MAX};

const SECOND: u128 = 1_000_000_000;

/// A rate and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes per second; not 0.
    pub rate: u64,
    /// Bytes that may be taken at once after a pause; not 0.
    pub burst: u64,
}

impl Rate {
    /// The burst of a rate for which none is given: what it refills in one second, up to a bound.
    pub fn burst_of(rate: u64) -> u64 {
        rate.min(RATE_BURST_DEFAULT_MAX)
    }

    /// Bytes that are granted at once: few enough that many waiters have their turn each second,
    /// and enough that a read or a write is worth its cost.
    pub fn grant(self) -> u64 {
        let share = self.rate / GRANTS_PER_SECOND;
        share.clamp(GRANT_SIZE_MIN, GRANT_SIZE_MAX).min(self.burst)
    }

    /// The bytes that may be taken now.
    pub fn available(self, level: u64, now: Time) -> u64 {
        let debt = level.saturating_sub(self.refilled(now));
        self.burst.saturating_sub(debt)
    }

    /// When `count` bytes are available, at most the burst; `now` if they are.
    pub fn when(self, level: u64, count: u64, now: Time) -> Time {
        self.granted(self.taken(level, count, now), now)
    }

    /// The level after `count` bytes are taken.
    pub fn taken(self, level: u64, count: u64, now: Time) -> u64 {
        level.max(self.refilled(now)).saturating_add(count)
    }

    /// When the bytes up to `level` are granted, `now` at the earliest.
    fn granted(self, level: u64, now: Time) -> Time {
        let missing = u128::from(level.saturating_sub(self.burst));
        let nanos = (missing * SECOND).div_ceil(u128::from(self.rate));
        Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(now)
    }

    /// The bytes that were refilled up to now.
    fn refilled(self, now: Time) -> u64 {
        let bytes = u128::from(now.as_nanos()) * u128::from(self.rate) / SECOND;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// A bucket that several threads share.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    level: AtomicU64,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Bucket {
        Bucket {
            rate,
            level: AtomicU64::new(0),
        }
    }

    /// Its rate and burst.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes `count` bytes, and returns from when on they may be used.
    pub fn reserve(&self, count: u64, now: Time) -> Time {
        let mut level = self.level.load(Ordering::Relaxed);
        loop {
            let next = self.rate.taken(level, count, now);
            match self.swap(level, next) {
                Ok(_) => return self.rate.granted(next, now),
                Err(other) => level = other,
            }
        }
    }

    /// Takes up to `count` bytes that may be used now; the time from which on there are any, if
    /// there are none.
    ///
    /// # Errors
    ///
    /// When to ask again.
    pub fn take(&self, count: u64, now: Time) -> Result<u64, Time> {
        let mut level = self.level.load(Ordering::Relaxed);
        loop {
            let taken = self.rate.available(level, now).min(count);
            if taken == 0 && count > 0 {
                return Err(self.rate.when(level, 1, now));
            }
            match self.swap(level, self.rate.taken(level, taken, now)) {
                Ok(_) => return Ok(taken),
                Err(other) => level = other,
            }
        }
    }

    /// Gives back `count` bytes that were taken and not used.
    pub fn give_back(&self, count: u64) {
        // A level below the refilled bytes counts as theirs, so nothing is given twice.
        let lower = |level: u64| Some(level.saturating_sub(count));
        let _ = (self.level).fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower);
    }

    /// The number is all that the threads share, so it needs no order with other memory.
    fn swap(&self, level: u64, next: u64) -> Result<u64, u64> {
        (self.level).compare_exchange_weak(level, next, Ordering::Relaxed, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::limits::{MIB, RATE_MAX};

    const RATE: Rate = Rate {
        rate: 1000,
        burst: 100,
    };

    fn at(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_bucket_starts_full_and_is_refilled_at_its_rate_up_to_the_burst() {
        assert_eq!(RATE.available(0, at(5000)), 100);
        let level = RATE.taken(0, 100, at(5000));
        for (millis, available) in [
            (5000, 0),
            (5001, 1),
            (5010, 10),
            (5099, 99),
            (5100, 100),
            (9000, 100),
        ] {
            assert_eq!(RATE.available(level, at(millis)), available, "{millis}");
        }
    }

    #[test]
    fn bytes_are_there_when_it_says_and_not_a_nanosecond_before() {
        let odd = Rate { rate: 7, burst: 5 };
        let now = Time::from_nanos(12_345);
        let level = odd.taken(0, 5, now);
        for count in 1..=5 {
            let when = odd.when(level, count, now);
            assert_eq!(odd.available(level, when), count);
            let before = Time::from_nanos(when.as_nanos() - 1);
            assert_eq!(odd.available(level, before), count - 1);
        }
        assert_eq!(odd.when(0, 5, now), now);
    }

    #[test]
    fn a_long_run_loses_no_byte_to_rounding() {
        let rate = Rate {
            rate: 1_048_573,
            burst: 10,
        };
        let (mut level, mut now, mut sum) = (0, Time::default(), 0);
        let end = at(10_000);
        while now < end {
            let step = rate.available(level, now);
            level = rate.taken(level, step, now);
            sum += step;
            now = rate.when(level, 3, now);
        }
        let most = rate.rate * 10 + rate.burst;
        assert!((most - 12..=most).contains(&sum), "{sum} of {most}");
    }

    #[test]
    fn waiters_are_served_in_the_order_in_which_they_asked() {
        let bucket = Bucket::new(RATE);
        let times = [100, 10, 10, 30].map(|count| bucket.reserve(count, at(0)));
        assert_eq!(times, [at(0), at(10), at(20), at(50)]);
        // More than the burst is granted too, later.
        assert_eq!(bucket.reserve(250, at(0)), at(300));
    }

    #[test]
    fn what_is_given_back_is_granted_to_the_next_and_never_twice() {
        let bucket = Bucket::new(RATE);
        bucket.reserve(100, at(0));
        assert_eq!(bucket.reserve(50, at(0)), at(50));
        bucket.give_back(50);
        assert_eq!(bucket.reserve(10, at(0)), at(10));
        // After a long pause the bucket is full, and giving back makes it no fuller.
        bucket.give_back(10);
        assert_eq!(bucket.take(1000, at(9000)), Ok(100));
        assert_eq!(bucket.take(1, at(9000)), Err(at(9001)));
    }

    #[test]
    fn what_is_granted_never_exceeds_the_rate_and_the_burst() {
        // Every third grant is given back in part, and the clock stands still now and then.
        let bucket = Bucket::new(RATE);
        let (mut now, mut used, mut held) = (at(0), 0, Vec::new());
        for step in 0..5000_u64 {
            let count = step * 7 % 40 + 1;
            held.push((bucket.reserve(count, now), count));
            now = now.after(Duration::from_micros(step * 13 % 90_000));
            held.retain(|&(when, count)| {
                if when > now {
                    return true;
                }
                let back = if step % 3 == 0 { count / 2 } else { 0 };
                bucket.give_back(back);
                used += count - back;
                false
            });
            let most = RATE.rate as u128 * u128::from(now.as_nanos()) / SECOND;
            assert!(u128::from(used) <= most + 100, "{used} at step {step}");
        }
    }

    #[test]
    fn threads_that_share_a_bucket_take_no_more_than_it_has() {
        let bucket = Arc::new(Bucket::new(Rate {
            rate: 1,
            burst: 100_000,
        }));
        let threads = [(); 4].map(|()| {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || (0..100_000).map_while(|_| bucket.take(3, at(0)).ok()).sum())
        });
        let taken: u64 = threads.map(|it| it.join().expect("no panic")).iter().sum();
        assert_eq!(taken, 100_000);
    }

    #[test]
    fn a_grant_is_a_share_of_a_second_within_its_bounds_and_at_most_the_burst() {
        let grant = |rate, burst| Rate { rate, burst }.grant();
        assert_eq!(grant(MIB as u64, MIB as u64), 4096);
        assert_eq!(grant(MIB as u64, 100), 100);
        assert_eq!(grant(1, 1), 1);
        assert_eq!(grant(10_000, 10_000), GRANT_SIZE_MIN);
        assert_eq!(grant(RATE_MAX, RATE_MAX), GRANT_SIZE_MAX);
        assert_eq!((Rate::burst_of(7), Rate::burst_of(7 << 20)), (7, 1 << 20));
    }

    #[test]
    fn the_largest_rate_lasts_for_years() {
        let year = Time::from_nanos(365 * 24 * 3600 * 1_000_000_000);
        let rate = Rate {
            rate: RATE_MAX,
            burst: RATE_MAX,
        };
        let level = rate.taken(0, RATE_MAX, year);
        assert_eq!(rate.available(level, year), 0);
        let later = year.after(Duration::from_secs(1));
        assert_eq!(rate.available(level, later), RATE_MAX);
        assert_eq!(rate.when(level, RATE_MAX, year), later);
        assert_eq!(rate.available(u64::MAX, Time::NEVER), RATE_MAX);
    }
}
