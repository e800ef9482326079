//! The swarm test at length: any number of seeds, with a progress line every few seconds.
//!
//! Usage: `cargo bench --profile soak --bench swarm -- [SEEDS] [FIRST]`; the default is a million
//! seeds. The run stops after a few failures, prints how to replay each, and exits with 1. It uses
//! one thread. Seeds are independent, so several ranges can run side by side. Neighbour:
//! `tests/it/swarm`.

#[path = "../tests/it/sim/mod.rs"]
mod sim;
#[path = "../tests/it/swarm/mod.rs"]
mod swarm;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use swarm::{Tally, examine};

const SEEDS: u64 = 1_000_000;
const FAILURES_MAX: usize = 20;
const PROGRESS: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok());
    let count = numbers.next().unwrap_or(SEEDS);
    let first: u64 = numbers.next().unwrap_or(0);
    let (start, mut told) = (Instant::now(), Instant::now());
    let (mut sum, mut failures) = (Tally::default(), 0);
    for done in 0..count {
        match examine(first + done) {
            Ok(tally) => sum.add(&tally),
            Err(report) => {
                println!("{report}");
                failures += 1;
            }
        }
        let enough = failures == FAILURES_MAX;
        if told.elapsed() > PROGRESS || done + 1 == count || enough {
            told = Instant::now();
            let seconds = start.elapsed().as_secs_f64();
            let rate = (done + 1) as f64 / seconds;
            println!(
                "{} of {count} seeds, {rate:.0} a second, {failures} failed: {sum:?}",
                done + 1
            );
        }
        if enough {
            break;
        }
    }
    match failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
