//! The swarm in the test run: a few thousand seeds, the same every time.
//!
//! `MYNAH_SEED=123 cargo test --test it swarm -- --nocapture` plays one of them and prints all its
//! calls. `MYNAH_FAULTS` and `MYNAH_PEERS` restrict its faults and peers. benches/swarm.rs runs
//! millions.

use crate::swarm::{Choice, Tally, examine, replay};

const SEEDS: u64 = 2_000;

#[test]
fn two_thousand_swarm_seeds_keep_every_invariant() {
    if let Ok(seed) = std::env::var("MYNAH_SEED") {
        return replay(seed.parse().expect("a seed"), &Choice::from_environment());
    }
    let mut sum = Tally::default();
    for seed in 0..SEEDS {
        match examine(seed) {
            Ok(tally) => sum.add(&tally),
            Err(report) => panic!("{report}"),
        }
    }
    assert!(sum.complete > SEEDS, "hardly any peer was served: {sum:?}");
}
