//! Peers that mean harm, in numbers, and weather that is worse than any of them: descriptors taken
//! away from a running server, a process stopped and continued, time that jumps.
//!
//! What is promised of peers that behave holds beside all of them: every byte, once, in order; and
//! when they are gone, descriptors and memory are what they were. Spans are only slept where their
//! passing is what is tested. How many there are is chosen for a run of all tests on two busy
//! cores.

mod behaviour;
mod crowds;
mod weather;

/// The numbers of a run: the same each time.
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

/// A frame as `u32be` has it.
fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[..], payload].concat()
}
