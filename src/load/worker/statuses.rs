//! How many replies had each HTTP status.
//!
//! Only replies to requests of the window are counted, so the sum is the number of answered
//! requests. All memory is allocated before the first request.

/// One place for each status of three digits.
const PLACES: usize = 1000;

/// Counts by status.
#[derive(Clone, Debug)]
pub struct Statuses {
    counts: Box<[u64]>,
}

impl Default for Statuses {
    fn default() -> Statuses {
        Statuses {
            counts: vec![0; PLACES].into_boxed_slice(),
        }
    }
}

impl Statuses {
    /// Counts `count` replies with `status`. Status 0 means a protocol without statuses.
    #[inline]
    pub fn add(&mut self, status: u16, count: u64) {
        if let Some(sum) = self
            .counts
            .get_mut(usize::from(status))
            .filter(|_| status > 0)
        {
            *sum += count;
        }
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: &Statuses) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// The statuses that occurred, in order, each with its count.
    pub fn seen(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let all = self.counts.iter().enumerate();
        let seen = all.filter(|(_, count)| **count > 0);
        seen.map(|(status, count)| (status as u16, *count))
    }

    /// Replies with a status of 4xx or 5xx.
    pub fn errors(&self) -> u64 {
        self.counts[400..600].iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_counted_each_for_itself_and_errors_together() {
        let mut statuses = Statuses::default();
        for (status, count) in [(0, 9), (200, 3), (399, 1), (400, 2), (599, 4), (600, 1)] {
            statuses.add(status, count);
        }
        statuses.add(999, 1);
        statuses.add(1000, 7);
        let mut both = Statuses::default();
        both.merge(&statuses);
        both.merge(&statuses);
        let seen: Vec<(u16, u64)> = both.seen().collect();
        let expected = [(200, 6), (399, 2), (400, 4), (599, 8), (600, 2), (999, 2)];
        assert_eq!(seen, expected);
        assert_eq!(both.errors(), 12);
    }
}
