//! Pseudo-random numbers that are reproducible: the same seed gives the same run.
//!
//! SplitMix64: 64 bits of state, one addition and two multiplications per number; every seed is
//! equally good. Suitable for payloads, jitter and arrival times, not for secrets. The generator
//! never asks the system for entropy: for a different run the caller passes a different seed.
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).

/// A generator of pseudo-random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`, which must not be 0; the bias is at most `bound` in 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0);
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// The gap to the next event of a Poisson process with one event per `mean` on average.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_reference_program() {
        let mut random = Random::new(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!([random.bits(), random.bits(), random.bits()], expected);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::new(1);
        let mut seen = [0u32; 5];
        (0..5000).for_each(|_| seen[random.below(5) as usize] += 1);
        assert!(seen.iter().all(|&count| count > 900), "{seen:?}");
        assert!(
            (0..5000)
                .map(|_| random.unit())
                .all(|unit| unit > 0.0 && unit <= 1.0)
        );
    }

    #[test]
    fn exponential_gaps_have_the_mean_they_were_asked_for() {
        let mut random = Random::new(9);
        let mean = (0..100_000).map(|_| random.exponential(250.0)).sum::<f64>() / 100_000.0;
        assert!((mean - 250.0).abs() < 5.0, "{mean}");
    }
}
