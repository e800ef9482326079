//! The swarm in the test run: a few thousand seeds, the same every time.
//!
//! `MYNAH_SEED=123 cargo test --test it swarm -- --nocapture` plays one of them and prints all its
//! calls. `MYNAH_FAULTS` and `MYNAH_PEERS` restrict its faults and peers. benches/swarm.rs runs
//! millions.

use mynah::protocol::framing::OnTooLong;

use crate::sim::Dice;
use crate::swarm::{Answering, Choice, Manner, SHAPES, Talk, Tally, examine, replay};

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

#[test]
fn the_oracle_accepts_a_character_that_a_drain_has_cut_and_no_byte_behind_it() {
    let manner = Manner {
        shape: SHAPES[0],
        limit: 1,
        answering: Answering::UpperUnicode,
        on_too_long: OnTooLong::Close,
    };
    let mut cut_letters = 0;
    for seed in 0..16 {
        let talk = Talk::draw(&mut Dice::new(seed), &manner, 150, false);
        let said = talk.bytes.len();
        let answer = talk.answer(said);
        for read in 0..said {
            let mut heard = talk.answer(read);
            assert!(talk.is_cut_off(said, &heard), "cut at {read}");
            if talk.begins(&answer, &heard) {
                continue;
            }
            cut_letters += 1;
            // The rest of the character, answered as if it began another.
            heard.push(talk.bytes[read]);
            assert!(!talk.is_cut_off(said, &heard), "continued at {read}");
        }
    }
    assert!(cut_letters > 0, "no character was cut");
}
