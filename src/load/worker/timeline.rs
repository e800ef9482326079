//! The number of answered requests in each interval of the run.
//!
//! The number of intervals is fixed. When the run outlasts them, pairs of neighbouring intervals
//! are merged, and every interval is twice as long. So a minute and a week take the same memory,
//! and counting never allocates.

const STRETCHES: usize = 512;
const FIRST_WIDTH_NS: u64 = 50_000_000;

/// Counts over time.
#[derive(Clone, Debug)]
pub struct Timeline {
    width_ns: u64,
    counts: Box<[u64]>,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline::new()
    }
}

impl Timeline {
    /// Creates an empty timeline with intervals of 50 ms.
    pub fn new() -> Timeline {
        Timeline {
            width_ns: FIRST_WIDTH_NS,
            counts: vec![0; STRETCHES].into_boxed_slice(),
        }
    }

    /// The timeline with intervals of `width_ns` and these counts. `None` if no timeline has such
    /// intervals, or so many.
    pub fn restored(width_ns: u64, counts: impl IntoIterator<Item = u64>) -> Option<Timeline> {
        let mut timeline = Timeline::new();
        let times = width_ns / FIRST_WIDTH_NS;
        if width_ns != times * FIRST_WIDTH_NS || !times.is_power_of_two() {
            return None;
        }
        timeline.width_ns = width_ns;
        for (index, count) in counts.into_iter().enumerate() {
            *timeline.counts.get_mut(index)? = count;
        }
        Some(timeline)
    }

    /// Counts `count` at `elapsed_ns` after the start.
    #[inline]
    pub fn record(&mut self, elapsed_ns: u64, count: u64) {
        while elapsed_ns / self.width_ns >= STRETCHES as u64 {
            self.widen();
        }
        self.counts[(elapsed_ns / self.width_ns) as usize] += count;
    }

    fn widen(&mut self) {
        for index in 0..STRETCHES / 2 {
            self.counts[index] = self.counts[2 * index] + self.counts[2 * index + 1];
        }
        self.counts[STRETCHES / 2..].fill(0);
        self.width_ns *= 2;
    }

    /// Adds the counts of `other`; the result has the wider intervals of the two.
    pub fn merge(&mut self, other: &Timeline) {
        while self.width_ns < other.width_ns {
            self.widen();
        }
        for (index, &count) in other
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            self.record(index as u64 * other.width_ns, count);
        }
    }

    /// The length of an interval in seconds.
    pub fn width_seconds(&self) -> f64 {
        self.width_ns as f64 / 1e9
    }

    /// Requests per second in each interval that lies wholly within the first `elapsed_ns`.
    pub fn rates(&self, elapsed_ns: u64) -> impl Iterator<Item = f64> + '_ {
        let whole = ((elapsed_ns / self.width_ns) as usize).min(STRETCHES);
        self.counts[..whole]
            .iter()
            .map(|&count| count as f64 / self.width_seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_outlasts_the_stretches_keeps_every_count() {
        let mut timeline = Timeline::new();
        let second = 1_000_000_000;
        (0..100).for_each(|at| timeline.record(at * second, 10));
        assert_eq!(timeline.counts.iter().sum::<u64>(), 1000);
        assert_eq!(timeline.width_seconds(), 0.2);
        assert_eq!(timeline.rates(100 * second).count(), 500);
    }

    #[test]
    fn a_timeline_is_restored_from_its_width_and_counts() {
        let mut timeline = Timeline::new();
        (0..100).for_each(|at| timeline.record(at * 1_000_000_000, at));
        let restored = Timeline::restored(timeline.width_ns, timeline.counts.to_vec());
        let restored = restored.expect("it has such intervals");
        assert_eq!(
            (restored.width_ns, restored.counts),
            (timeline.width_ns, timeline.counts)
        );
        for width_ns in [0, 1, FIRST_WIDTH_NS - 1, 3 * FIRST_WIDTH_NS, u64::MAX] {
            assert!(Timeline::restored(width_ns, [1]).is_none(), "{width_ns}");
        }
        assert!(Timeline::restored(FIRST_WIDTH_NS, [1; STRETCHES]).is_some());
        assert!(Timeline::restored(FIRST_WIDTH_NS, [1; STRETCHES + 1]).is_none());
    }

    #[test]
    fn merging_takes_the_wider_width() {
        let (mut short, mut long) = (Timeline::new(), Timeline::new());
        short.record(60_000_000, 3);
        long.record(40_000_000_000, 4);
        let width = long.width_seconds();
        long.merge(&short);
        short.merge(&long);
        assert_eq!(
            (short.width_seconds(), long.width_seconds()),
            (width, width)
        );
        assert_eq!(long.counts.iter().sum::<u64>(), 7);
        assert_eq!(short.counts.iter().sum::<u64>(), 10);
    }
}
