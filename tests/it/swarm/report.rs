//! Runs seeds, and reduces failures.
//!
//! A failing world is played again without one fault after the other, then without one peer after
//! the other. Whatever the failure does not need stays out. The report is the rest, with the
//! command that plays it and prints all calls.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::play::{Tally, play};
use super::world::World;

/// The faults and peers of a seed that take part; all, if none are named.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub faults: Option<Vec<String>>,
    pub peers: Option<Vec<usize>>,
}

impl Choice {
    /// The values of `MYNAH_FAULTS` and `MYNAH_PEERS`: names and numbers, separated by commas.
    pub fn from_environment() -> Choice {
        let words = |name: &str| {
            let text = std::env::var(name).ok()?;
            let words = text.split(',').filter(|word| !word.is_empty());
            Some(words.map(str::to_owned).collect::<Vec<_>>())
        };
        let number = |word: &String| word.parse().expect("a number");
        Choice {
            faults: words("MYNAH_FAULTS"),
            peers: words("MYNAH_PEERS").map(|words| words.iter().map(number).collect()),
        }
    }

    fn world(&self, seed: u64) -> World {
        let mut world = World::draw(seed);
        if let Some(chosen) = &self.faults {
            for (name, probability) in world.faults.each() {
                if !chosen.iter().any(|other| other == name) {
                    *probability = 0.0;
                }
            }
        }
        if let Some(chosen) = &self.peers {
            world.parts.retain(|part| chosen.contains(&part.number));
        }
        world
    }
}

/// Plays `seed`. On failure, returns the reason and the command that shows it.
pub fn examine(seed: u64) -> Result<Tally, String> {
    attempt(&World::draw(seed)).map_err(|first| {
        let choice = shrink(seed);
        let reason = attempt(&choice.world(seed)).err().unwrap_or(first);
        report(seed, &choice, &reason)
    })
}

/// Plays one seed and prints all its calls.
pub fn replay(seed: u64, choice: &Choice) {
    let world = choice.world(seed);
    let mut trace = String::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| play(&world, Some(&mut trace))));
    println!("{world:#?}\n{trace}");
    match outcome {
        Ok(tally) => println!("seed {seed} keeps every promise: {tally:?}"),
        Err(_) => panic!("seed {seed} fails, see above"),
    }
}

thread_local! {
    /// The message of the last panic of this thread, while it is recorded.
    static LAST_WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Plays `world` and catches a panic without printing it.
fn attempt(world: &World) -> Result<Tally, String> {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let watched = LAST_WORDS.with_borrow_mut(|words| {
                words
                    .as_mut()
                    .map(|words| *words = panic.to_string())
                    .is_some()
            });
            if !watched {
                before(panic);
            }
        }));
    });
    LAST_WORDS.set(Some(String::new()));
    let outcome = catch_unwind(AssertUnwindSafe(|| play(world, None)));
    let words = LAST_WORDS.take().unwrap_or_default();
    outcome.map_err(|_| words)
}

/// Leaves out what the failure does not need.
fn shrink(seed: u64) -> Choice {
    let mut world = World::draw(seed);
    let on = world
        .faults
        .each()
        .into_iter()
        .filter(|(_, probability)| **probability > 0.0);
    let mut faults: Vec<String> = on.map(|(name, _)| name.to_owned()).collect();
    let mut peers: Vec<usize> = (0..world.parts.len()).collect();
    let choice = |faults: &[String], peers: &[usize]| Choice {
        faults: Some(faults.to_vec()),
        peers: Some(peers.to_vec()),
    };
    let fails = |choice: &Choice| attempt(&choice.world(seed)).is_err();
    for place in (0..faults.len()).rev() {
        let mut fewer = faults.clone();
        fewer.remove(place);
        if fails(&choice(&fewer, &peers)) {
            faults = fewer;
        }
    }
    for place in (0..peers.len()).rev() {
        let mut fewer = peers.clone();
        fewer.remove(place);
        if !fewer.is_empty() && fails(&choice(&faults, &fewer)) {
            peers = fewer;
        }
    }
    choice(&faults, &peers)
}

fn report(seed: u64, choice: &Choice, reason: &str) -> String {
    let faults = choice.faults.as_deref().unwrap_or_default().join(",");
    let peers: Vec<String> = choice
        .peers
        .iter()
        .flatten()
        .map(usize::to_string)
        .collect();
    let peers = peers.join(",");
    format!(
        "seed {seed}: {reason}\n  with the faults [{faults}] and the peers [{peers}]\n  replay: \
         MYNAH_SEED={seed} MYNAH_FAULTS={faults} MYNAH_PEERS={peers} \
         cargo test --test it swarm -- --nocapture"
    )
}
