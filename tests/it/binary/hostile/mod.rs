//! Hostile peers in numbers, and hostile surroundings: no free descriptors, a stopped process,
//! clock jumps.
//!
//! Well-behaved peers still get every byte, once and in order. When the hostile peers have gone,
//! the descriptors and the memory of the server are what they were before.
//!
//! A test sleeps only where elapsed time is what it tests. The numbers of peers suit a run of all
//! tests on two busy cores.

mod behaviour;
mod crowds;
mod exhausted;

/// A pseudo-random generator with a fixed seed: the same numbers in every run.
struct Dice(u64);

impl Dice {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64, by Sebastiano Vigna.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// A `u32be` frame.
fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[..], payload].concat()
}
