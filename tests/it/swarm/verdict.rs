//! Runs seeds, and makes a failure small enough to be looked at.
//!
//! A world that fails is played again without one fault after the other, and without one peer after
//! the other, and whatever is not needed for it to fail stays out. What is left, and the command
//! that plays it with all its calls, is the report.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::play::{Tally, play};
use super::world::World;

/// Which faults and peers of a seed take part; all, when not named.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub faults: Option<Vec<String>>,
    pub peers: Option<Vec<usize>>,
}

impl Choice {
    /// What `MYNAH_FAULTS` and `MYNAH_PEERS` say, names and numbers with commas between them.
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

/// Plays `seed`; when it fails, tells why and how to see it.
pub fn examine(seed: u64) -> Result<Tally, String> {
    attempt(&World::draw(seed)).map_err(|first| {
        let choice = shrink(seed);
        let reason = attempt(&choice.world(seed)).err().unwrap_or(first);
        report(seed, &choice, &reason)
    })
}

/// Plays one seed with all its calls printed.
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
    /// What the last panic of this thread said, while it is being watched.
    static LAST_WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Plays `world`, and keeps a panic to itself.
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

/// Leaves out what is not needed for the failure.
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
