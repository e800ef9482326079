//! The rates of one datagram socket in one direction.
//!
//! A datagram moves whole or not at all, and its size is known only behind the receive. So it moves
//! as soon as the bucket has a byte, and is then charged in full: the bucket may be short by one
//! datagram, which is waited for before the next one. Over time the rate holds exactly. Neighbours:
//! `base::token_bucket`, `pace` for connections.

use crate::kernel::Time;
use crate::server::pace::Limits;

/// What one socket may move in one direction.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    /// The level of its own bucket.
    level: u64,
    /// Bytes of the total that were taken and are not settled.
    held: u64,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Meter {
        Meter {
            limits,
            level: 0,
            held: 0,
        }
    }

    /// No rate holds any more.
    pub(super) fn lift(&mut self) {
        self.settle(0, Time::default());
        self.limits = Limits::default();
    }

    /// How many bytes may move now: at least one, and any number without a limit. The caller
    /// settles what has moved.
    ///
    /// # Errors
    ///
    /// When to ask again.
    #[inline]
    pub(super) fn admit(&mut self, now: Time) -> Result<u64, Time> {
        match self.limits.is_off() {
            true => Ok(u64::MAX),
            false => self.admit_limited(now),
        }
    }

    #[cold]
    fn admit_limited(&mut self, now: Time) -> Result<u64, Time> {
        let mut admitted = u64::MAX;
        if let Some(each) = self.limits.each {
            admitted = each.available(self.level, now);
            if admitted == 0 {
                return Err(each.when(self.level, each.grant(), now));
            }
        }
        if let Some(total) = &self.limits.total {
            admitted = total.take(total.rate().grant().min(admitted), now)?;
            self.held = admitted;
        }
        Ok(admitted)
    }

    /// So many bytes have moved since the last [`Meter::admit`].
    #[inline]
    pub(super) fn settle(&mut self, count: u64, now: Time) {
        if !self.limits.is_off() {
            self.settle_limited(count, now);
        }
    }

    #[cold]
    fn settle_limited(&mut self, count: u64, now: Time) {
        if let Some(each) = self.limits.each {
            self.level = each.taken(self.level, count, now);
        }
        let held = std::mem::take(&mut self.held);
        if let Some(total) = &self.limits.total {
            match held.checked_sub(count) {
                Some(unused) => total.give_back(unused),
                None => _ = total.reserve(count - held, now),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::base::token_bucket::{Bucket, Rate};

    const RATE: Rate = Rate {
        rate: 100_000,
        burst: 1000,
    };

    fn second(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    /// Bytes that a socket with datagrams of `size` bytes moves in ten seconds.
    fn moved(meter: &mut Meter, size: u64) -> u64 {
        let (mut now, mut sum) = (second(50), 0);
        while now < second(60) {
            match meter.admit(now) {
                Ok(_) => {
                    meter.settle(size, now);
                    sum += size;
                }
                Err(until) => {
                    assert!(until > now);
                    now = until;
                }
            }
        }
        sum
    }

    #[test]
    fn a_rate_holds_over_time_for_datagrams_of_any_size() {
        for size in [1, 999, 1000, 1001, 65_507] {
            let each = Limits {
                each: Some(RATE),
                total: None,
            };
            let total = Limits {
                each: None,
                total: Some(Arc::new(Bucket::new(RATE))),
            };
            for limits in [each, total] {
                let sum = moved(&mut Meter::new(limits), size);
                let most = 10 * RATE.rate + RATE.burst + size;
                assert!((990_000..=most).contains(&sum), "{size}: {sum}");
            }
        }
    }

    #[test]
    fn without_a_limit_everything_moves_and_a_drain_lifts_the_limit() {
        let mut free = Meter::new(Limits::default());
        assert_eq!(free.admit(second(1)), Ok(u64::MAX));
        let limits = Limits {
            each: Some(RATE),
            total: None,
        };
        let mut meter = Meter::new(limits);
        let now = second(1);
        assert_eq!(meter.admit(now), Ok(1000));
        meter.settle(2000, now);
        let until = now.after(Duration::from_millis(10));
        assert!(meter.admit(now).is_err_and(|at| at > until));
        meter.lift();
        assert_eq!(meter.admit(now), Ok(u64::MAX));
    }

    #[test]
    fn bytes_of_the_total_that_are_not_used_go_back() {
        let bucket = Arc::new(Bucket::new(RATE));
        let limits = Limits {
            each: None,
            total: Some(Arc::clone(&bucket)),
        };
        let mut meter = Meter::new(limits);
        let now = second(9);
        assert_eq!(meter.admit(now), Ok(RATE.grant()));
        meter.settle(0, now);
        assert_eq!(bucket.take(u64::MAX, now), Ok(1000));
    }
}
