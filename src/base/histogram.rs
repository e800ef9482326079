//! Counts of spans in nanoseconds, in buckets whose width grows with the value.
//!
//! Values below 256 have a bucket each. Above, every doubling is divided into 128 equal buckets, so
//! the error of a value is at most 1/128 of it: the *stated error* is 0.8 %. Memory is fixed (36
//! KiB), recording is one shift, one add and two comparisons, and histograms of several threads
//! merge without loss. The layout is that of HdrHistogram with 2^7 sub-buckets. The histogram knows
//! no clock: the caller measures the spans.
//!
//! ```text
//!  value   0 .. 127 | 128 .. 255 | 256 .. 511 | 512 .. 1023 | ...
//!  width       1    |      1     |      2     |       4     |
//!  index   0 .. 127 | 128 .. 255 | 256 .. 383 | 384 .. 511  | ...
//! ```
//!
//! Invariant: the counts of all buckets add up to `count`.

const SUB_BUCKET_BITS: u32 = 7;
/// Larger values are counted as this one (73 minutes). [`Histogram::max`] stays exact.
const VALUE_MAX: u64 = (1 << 42) - 1;
const BUCKETS: usize = index_of(VALUE_MAX) + 1;

/// A histogram of spans in nanoseconds with a relative error of at most [`Histogram::ERROR`].
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

const fn index_of(value: u64) -> usize {
    let shift = (value | 1 << SUB_BUCKET_BITS).ilog2() - SUB_BUCKET_BITS;
    ((shift as usize) << SUB_BUCKET_BITS) + (value >> shift) as usize
}

/// The largest value that falls into bucket `index`.
const fn last_value_of(index: usize) -> u64 {
    let shift = (index >> SUB_BUCKET_BITS).saturating_sub(1) as u32;
    let first = (index as u64 - ((shift as u64) << SUB_BUCKET_BITS)) << shift;
    first + (1 << shift) - 1
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl Histogram {
    /// The stated relative error of every figure except the mean, the minimum and the maximum,
    /// which are exact.
    pub const ERROR: f64 = 1.0 / (1 << SUB_BUCKET_BITS) as f64;

    /// An empty histogram; the only place that allocates.
    pub fn new() -> Histogram {
        let buckets = vec![0; BUCKETS].into_boxed_slice();
        Histogram {
            buckets,
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }

    /// Counts one span.
    #[inline]
    pub fn record(&mut self, nanoseconds: u64) {
        self.record_many(nanoseconds, 1);
    }

    /// Counts the same span `count` times, for replies that arrive together.
    #[inline]
    pub fn record_many(&mut self, nanoseconds: u64, count: u64) {
        self.buckets[index_of(nanoseconds.min(VALUE_MAX))] += count;
        self.count += count;
        self.sum += u128::from(nanoseconds) * u128::from(count);
        self.min = self.min.min(nanoseconds);
        self.max = self.max.max(nanoseconds);
    }

    /// Adds everything that `other` counted.
    #[inline(never)]
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// What was counted since `earlier`, an earlier state of this histogram. Its minimum and
    /// maximum are those of the buckets.
    #[inline(never)]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let mut new = Histogram::new();
        let both = self.buckets.iter().zip(&earlier.buckets);
        for (index, (now, before)) in both.enumerate() {
            let count = now.saturating_sub(*before);
            if count > 0 {
                new.record_many(last_value_of(index).min(self.max), count);
            }
        }
        new.sum = self.sum.saturating_sub(earlier.sum);
        new
    }

    /// The histogram whose [`Histogram::filled`] is `filled`, with the exact sum, minimum and
    /// maximum that belong to it. `None` if the parts contradict each other.
    #[inline(never)]
    pub fn restored(
        filled: impl IntoIterator<Item = (u64, u64)>,
        sum: u128,
        min: u64,
        max: u64,
    ) -> Option<Histogram> {
        let mut all = Histogram::new();
        let (mut next, mut least, mut most) = (0, 0_u128, 0_u128);
        for (value, count) in filled {
            let index = index_of(value.min(VALUE_MAX));
            let is_first = all.count == 0;
            let is_end = value == max || index < BUCKETS - 1 && value == last_value_of(index);
            if index < next || count == 0 || value > max || !is_end {
                return None;
            }
            if is_first && index != index_of(min.min(VALUE_MAX)) {
                return None;
            }
            let first = match index {
                0 => 0,
                _ => last_value_of(index - 1) + 1,
            };
            least = least.checked_add(u128::from(first) * u128::from(count))?;
            most = most.checked_add(u128::from(value) * u128::from(count))?;
            all.buckets[index] = count;
            all.count = all.count.checked_add(count)?;
            next = index + 1;
        }
        let is_empty = all.count == 0 && (sum, min, max) == (0, 0, 0);
        let ends_there = next == index_of(max.min(VALUE_MAX)) + 1 && min <= max;
        let is_whole = all.count > 0 && ends_there && (least..=most).contains(&sum);
        if is_whole {
            (all.sum, all.min, all.max) = (sum, min, max);
        }
        (is_empty || is_whole).then_some(all)
    }

    /// Becomes a copy of `other` in place, without allocating.
    pub fn copy_from(&mut self, other: &Histogram) {
        self.buckets.copy_from_slice(&other.buckets);
        (self.count, self.sum) = (other.count, other.sum);
        (self.min, self.max) = (other.min, other.max);
    }

    /// Clears all counts, in place.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        (self.count, self.sum, self.min, self.max) = (0, 0, u64::MAX, 0);
    }

    /// How many spans were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all spans, exactly.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// The smallest span, exactly; 0 when nothing was recorded.
    pub fn min(&self) -> u64 {
        if self.count == 0 { 0 } else { self.min }
    }

    /// The largest span, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, exactly; 0 when nothing was recorded.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64
        }
    }

    /// The standard deviation, from the buckets' upper ends.
    #[inline(never)]
    pub fn deviation(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let mean = self.mean();
        let squares = self
            .filled()
            .map(|(value, count)| count as f64 * (value as f64 - mean).powi(2));
        (squares.sum::<f64>() / self.count as f64).sqrt()
    }

    /// The span that `percent` of all recorded spans do not exceed. This is the upper end of its
    /// bucket: never less than the true value, and at most [`Histogram::ERROR`] more.
    #[inline(never)]
    pub fn percentile(&self, percent: f64) -> u64 {
        let rank =
            ((percent / 100.0 * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (value, count) in self.filled() {
            seen += count;
            if seen >= rank {
                return value;
            }
        }
        self.max
    }

    /// The buckets that are not empty, in order: the largest value of each, and its count.
    pub fn filled(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let last = self.max;
        let all = self
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        all.map(move |(index, &count)| match index {
            _ if index == BUCKETS - 1 => (last, count),
            _ => (last_value_of(index).min(last), count),
        })
    }

    /// The percentiles to print: five for each halving of the distance to 100 %, each with its
    /// value and the count up to it. The last is the maximum. HdrHistogram spaces its text output
    /// in the same way.
    #[inline(never)]
    pub fn percentiles(&self) -> Vec<Percentile> {
        let mut lines = Vec::new();
        let (mut level, mut seen) = (0.0_f64, 0);
        for (value, count) in self.filled() {
            seen += count;
            let reached = 100.0 * seen as f64 / self.count as f64;
            let mut first = true;
            while level <= reached && level < 100.0 && (first || seen < self.count) {
                lines.push(Percentile {
                    percent: level,
                    value,
                    seen,
                });
                level += 100.0 / (5.0 * (100.0 / (100.0 - level)).log2().floor().exp2() * 2.0);
                first = false;
            }
        }
        if self.count > 0 {
            lines.push(Percentile {
                percent: 100.0,
                value: self.max,
                seen,
            });
        }
        lines
    }
}

/// One line of [`Histogram::percentiles`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentile {
    /// The percentage of all spans.
    pub percent: f64,
    /// The span in nanoseconds that these spans do not exceed.
    pub value: u64,
    /// How many spans were counted up to this value.
    pub seen: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn every_bucket_ends_where_the_next_begins() {
        for index in 0..BUCKETS - 1 {
            let last = last_value_of(index);
            assert_eq!(index_of(last), index);
            assert_eq!(index_of(last + 1), index + 1);
        }
        assert_eq!(last_value_of(BUCKETS - 1), VALUE_MAX);
    }

    #[test]
    fn any_percentile_is_within_the_stated_error_of_a_sorted_list() {
        let mut random = Random::new(42);
        for round in 0..60 {
            let (bits, length) = (1 + random.below(41), 1 + random.below(3000) as usize);
            let mut list: Vec<u64> = (0..length).map(|_| random.below(1 << bits)).collect();
            let mut histogram = Histogram::new();
            for same in list.chunk_by(|one, other| one == other) {
                histogram.record_many(same[0], same.len() as u64);
            }
            list.sort_unstable();
            for percent in [0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
                let rank = ((percent / 100.0 * length as f64).ceil() as usize).max(1);
                let (truth, got) = (list[rank - 1], histogram.percentile(percent));
                let ceiling = truth as f64 * (1.0 + Histogram::ERROR);
                assert!(
                    got >= truth && got as f64 <= ceiling,
                    "round {round}, {percent} %: {truth} {got}"
                );
            }
            assert_eq!(
                (histogram.min(), histogram.max()),
                (list[0], list[length - 1])
            );
            let mean = list.iter().sum::<u64>() as f64 / length as f64;
            assert!((histogram.mean() - mean).abs() <= mean * 1e-9);
        }
    }

    #[test]
    fn merging_two_is_recording_all_in_one() {
        let mut random = Random::new(7);
        let (mut left, mut right, mut both) =
            (Histogram::new(), Histogram::new(), Histogram::new());
        for _ in 0..5000 {
            let value = random.below(1 << 30);
            if random.below(2) == 0 {
                left.record(value)
            } else {
                right.record(value)
            }
            both.record(value);
        }
        left.merge(&right);
        assert_eq!(left, both);
        right.copy_from(&both);
        assert_eq!(right, both);
        right.clear();
        assert_eq!(right, Histogram::new());
    }

    fn restored(histogram: &Histogram) -> Option<Histogram> {
        let (sum, min, max) = (histogram.sum(), histogram.min(), histogram.max());
        Histogram::restored(histogram.filled(), sum, min, max)
    }

    #[test]
    fn a_histogram_is_restored_from_its_parts() {
        let mut random = Random::new(11);
        let mut all = Histogram::new();
        assert_eq!(restored(&all), Some(Histogram::new()));
        for value in [0, 1, 127, 128, 255, 256, VALUE_MAX, VALUE_MAX + 1, u64::MAX] {
            let mut alone = Histogram::new();
            alone.record(value);
            assert_eq!(restored(&alone).as_ref(), Some(&alone), "{value}");
            all.record_many(value, 3);
            assert_eq!(restored(&all).as_ref(), Some(&all), "{value}");
        }
        for _ in 0..5000 {
            let bits = random.below(60);
            all.record(random.below(1 << bits));
        }
        assert_eq!(restored(&all), Some(all));
    }

    #[test]
    fn parts_that_contradict_each_other_are_no_histogram() {
        let from = |filled: &[(u64, u64)], sum, min, max| {
            Histogram::restored(filled.iter().copied(), sum, min, max)
        };
        assert!(from(&[(5, 2), (9, 1)], 19, 5, 9).is_some());
        for (filled, sum, min, max) in [
            (&[(5, 2), (9, 1)][..], 18, 5, 9),
            (&[(5, 2), (9, 1)], 20, 5, 9),
            (&[(5, 2), (9, 1)], 19, 4, 9),
            (&[(5, 2), (9, 1)], 19, 5, 10),
            (&[(5, 2), (9, 1)], 19, 5, 8),
            (&[(9, 1), (5, 2)], 19, 5, 9),
            (&[(5, 1), (5, 1), (9, 1)], 19, 5, 9),
            (&[(5, 2), (7, 0), (9, 1)], 19, 5, 9),
            (&[(256, 1), (300, 1)], 556, 256, 300),
            (&[(5, u64::MAX), (9, 1)], 5 * u128::from(u64::MAX) + 9, 5, 9),
            (&[], 1, 0, 0),
            (&[], 0, 0, 1),
        ] {
            assert_eq!(
                from(filled, sum, min, max),
                None,
                "{filled:?} {sum} {min} {max}"
            );
        }
    }

    #[test]
    fn a_difference_has_what_was_counted_in_between() {
        let mut now = Histogram::new();
        now.record_many(1000, 5);
        let before = now.clone();
        now.record_many(1000, 2);
        now.record_many(9000, 3);
        let new = now.since(&before);
        assert_eq!((new.count(), new.mean()), (5, 5800.0));
        assert_eq!((new.percentile(40.0), new.percentile(100.0)), (1003, 9000));
    }

    #[test]
    fn a_span_beyond_the_last_bucket_is_counted_and_told_exactly() {
        let mut histogram = Histogram::new();
        histogram.record(u64::MAX);
        assert_eq!((histogram.count(), histogram.max()), (1, u64::MAX));
        assert_eq!(histogram.percentile(50.0), u64::MAX);
    }

    #[test]
    fn counts_beyond_32_and_63_bits_are_added_and_told() {
        for half in [
            (1 << 31) - 1,
            1 << 31,
            (1 << 62) - 1,
            1 << 62,
            (1 << 62) + 1,
        ] {
            let (mut one, mut other) = (Histogram::new(), Histogram::new());
            one.record_many(1000, half);
            other.record_many(9000, half);
            one.merge(&other);
            assert_eq!(one.count(), 2 * half);
            assert_eq!(one.sum(), 10_000 * u128::from(half));
            // At the boundary itself the rank is rounded, beyond 2^53.
            assert_eq!((one.percentile(49.0), one.percentile(99.0)), (1003, 9000));
            assert!((one.mean() - 5000.0).abs() < 1e-9);
            let last = one.percentiles().last().map(|line| (line.value, line.seen));
            assert_eq!(last, Some((9000, 2 * half)));
            let parts = (one.filled(), one.sum(), one.min(), one.max());
            let again = Histogram::restored(parts.0, parts.1, parts.2, parts.3);
            assert_eq!(again.as_ref(), Some(&one));
        }
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        let empty = Histogram::new();
        assert_eq!(
            (empty.min(), empty.max(), empty.percentile(99.0)),
            (0, 0, 0)
        );
        assert_eq!((empty.mean(), empty.deviation()), (0.0, 0.0));
        assert!(empty.percentiles().is_empty());
    }

    #[test]
    fn the_deviation_is_that_of_all_that_was_recorded() {
        let mut histogram = Histogram::new();
        for value in [10, 14, 14, 10] {
            histogram.record(value);
        }
        assert_eq!(histogram.deviation(), 2.0);
    }

    #[test]
    fn printed_percentiles_rise_and_end_with_everything() {
        let mut histogram = Histogram::new();
        (1..=10_000).for_each(|value| histogram.record(value * 1000));
        let lines = histogram.percentiles();
        assert!(lines.windows(2).all(|pair| {
            pair[0].percent < pair[1].percent
                && pair[0].value <= pair[1].value
                && pair[0].seen <= pair[1].seen
        }));
        let first = lines.iter().map(|line| line.percent).take(11);
        let expected = [
            0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0,
        ];
        assert!(first.eq(expected), "five to every halving");
        assert_eq!(
            lines.last().map(|line| (line.percent, line.seen)),
            Some((100.0, 10_000))
        );
    }

    #[test]
    fn a_value_that_covers_several_levels_stands_at_each_but_the_last_at_one() {
        let mut histogram = Histogram::new();
        histogram.record_many(1, 25);
        histogram.record_many(9, 75);
        let lines = histogram.percentiles();
        let levels: Vec<_> = lines
            .iter()
            .map(|line| (line.percent, line.value))
            .collect();
        assert_eq!(
            levels,
            [(0.0, 1), (10.0, 1), (20.0, 1), (30.0, 9), (100.0, 9)]
        );
    }
}
