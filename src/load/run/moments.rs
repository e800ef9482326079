//! The latency over time of a run, for its picture.
//!
//! The workers publish their histograms a few times a second. The conductor takes the difference of
//! two of them, so the workers do nothing more. A moment is as old as the last histogram that was
//! published before it. When the list is full, every second moment is dropped and later ones are
//! twice as far apart: a minute and a week take the same memory. Neighbour: `worker::timeline`,
//! which has the rate.

use std::time::Duration;

use crate::base::histogram::Histogram;
use crate::base::time::Time;

/// Distance of the first moments: a little more than the workers take to publish.
const FIRST_WIDTH: Duration = Duration::from_millis(250);
/// Moments that are kept: more than a picture has room for.
const MOMENTS_MAX: usize = 256;

/// The latency around one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Its end, in seconds after the start of the window.
    pub elapsed_s: f64,
    /// The median of the replies since the moment before, in nanoseconds.
    pub p50: u64,
    /// Their 99th percentile.
    pub p99: u64,
}

/// The moments of a run.
#[derive(Debug)]
pub struct Moments {
    start: Time,
    last: Time,
    width: Duration,
    before: Histogram,
    list: Vec<Moment>,
}

impl Moments {
    /// No moment yet; the window starts at `start`.
    pub fn new(start: Time) -> Moments {
        Moments {
            start,
            last: start,
            width: FIRST_WIDTH,
            before: Histogram::new(),
            list: Vec::with_capacity(MOMENTS_MAX),
        }
    }

    /// Whether the next moment is due.
    pub fn is_due(&self, now: Time) -> bool {
        now.since(self.last) >= self.width
    }

    /// Notes the latency up to `now`; `latency` has all replies of the window.
    pub fn note(&mut self, now: Time, latency: Histogram) {
        let new = latency.since(&self.before);
        (self.last, self.before) = (now, latency);
        if new.count() == 0 {
            return;
        }
        if self.list.len() == MOMENTS_MAX {
            let mut keep = false;
            self.list.retain(|_| {
                keep = !keep;
                keep
            });
            self.width *= 2;
        }
        self.list.push(Moment {
            elapsed_s: now.since(self.start).as_secs_f64(),
            p50: new.percentile(50.0),
            p99: new.percentile(99.0),
        });
    }

    /// The moments, in order.
    pub fn finish(self) -> Vec<Moment> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_moment_has_the_replies_since_the_one_before() {
        let mut moments = Moments::new(at(1000));
        assert!(!moments.is_due(at(1249)) && moments.is_due(at(1250)));
        let mut latency = Histogram::new();
        latency.record_many(100, 10);
        moments.note(at(1250), latency.clone());
        moments.note(at(1500), latency.clone());
        latency.record_many(200, 5);
        moments.note(at(1750), latency);
        let list = moments.finish();
        let told: Vec<_> = list
            .iter()
            .map(|it| (it.elapsed_s, it.p50, it.p99))
            .collect();
        assert_eq!(told, [(0.25, 100, 100), (0.75, 200, 200)]);
    }

    #[test]
    fn a_long_run_has_moments_that_are_further_apart() {
        let mut moments = Moments::new(at(0));
        let mut latency = Histogram::new();
        let (mut now, mut noted) = (0, 0);
        while noted < 5 * MOMENTS_MAX {
            now += 50;
            if moments.is_due(at(now)) {
                latency.record(100);
                moments.note(at(now), latency.clone());
                noted += 1;
            }
        }
        let list = moments.finish();
        assert!((MOMENTS_MAX / 2..=MOMENTS_MAX).contains(&list.len()));
        assert!(
            list.windows(2)
                .all(|pair| pair[0].elapsed_s < pair[1].elapsed_s)
        );
    }
}
