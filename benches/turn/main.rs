//! Measures what a request costs mynah itself, without the kernel: `cargo bench --bench turn`, or
//! for services whose names begin with a word, `cargo bench --bench turn -- upper`.
//!
//! The server runs on the simulated kernel of the tests. It is compared with a loop that makes the
//! same calls with the same bytes and does nothing else; the difference is the cost of mynah.
//!
//! Times are minima over all rounds, because other load on the machine can only add time.
//! Instruction counts come from callgrind, if installed, and are the same in every run. The code of
//! the simulated kernel stays in the caches, unlike that of the real one, so on the real kernel the
//! same code of mynah costs a little more.

#[path = "../../tests/it/sim/mod.rs"]
mod sim;
mod talk;
mod worlds;

use std::env;
use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use talk::CASES;
use worlds::Play;

/// Connections that are ready at once and share one wait.
const BATCHES: [usize; 2] = [1, 100];

/// Many short rounds, so that some run without an interruption.
const ROUNDS: usize = 2_000;
const REQUESTS_TIMED: usize = 1_000;
/// Two numbers of requests: the cost of the start cancels out in the difference.
const REQUESTS_COUNTED: (usize, usize) = (1_000, 3_000);

/// One line of the table.
#[derive(Clone, Copy)]
struct Case {
    service: &'static str,
    framing: &'static str,
    batch: usize,
}

impl Case {
    /// Nanoseconds per request.
    fn time(self) -> Result<f64, String> {
        let world = |by_hand| Play::new(self.service, self.framing, self.batch, by_hand);
        let mut worlds = [world(false)?, world(true)?];
        let mut least = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            for (play, least) in worlds.iter_mut().zip(&mut least) {
                let start = Instant::now();
                for _ in 0..REQUESTS_TIMED / self.batch {
                    play.turn();
                }
                *least = least.min(start.elapsed().as_nanos() as f64);
            }
        }
        Ok((least[0] - least[1]) / REQUESTS_TIMED as f64)
    }

    /// Instructions per request.
    fn instructions(self) -> Result<f64, String> {
        let (few, many) = REQUESTS_COUNTED;
        let of_one = |by_hand| -> Result<f64, String> {
            let more = self.count(by_hand, many)? - self.count(by_hand, few)?;
            Ok(more / (many - few) as f64)
        };
        Ok(of_one(false)? - of_one(true)?)
    }

    /// All instructions of a process that plays this case, counted by callgrind, see valgrind(1).
    fn count(self, by_hand: bool, requests: usize) -> Result<f64, String> {
        let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/turn.callgrind");
        let status = Command::new("valgrind")
            .args(["--tool=callgrind", &format!("--callgrind-out-file={file}")])
            .arg(env::current_exe().map_err(|error| error.to_string())?)
            .args(["--play", self.service, self.framing])
            .args([self.batch.to_string(), by_hand.to_string()])
            .arg(requests.to_string())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| format!("valgrind: {error}"))?;
        let counts = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let total = counts.lines().find_map(|line| line.strip_prefix("totals:"));
        total
            .and_then(|count| count.trim().parse().ok())
            .filter(|_| status.success())
            .ok_or_else(|| format!("valgrind: {status}"))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--play", service, framing, batch, by_hand, requests] => {
            play([service, framing, batch, by_hand, requests])
        }
        // Cargo passes --bench to measure, but not for `cargo test`.
        _ if !arguments.iter().any(|word| word == "--bench") => Ok(()),
        _ => {
            let word = arguments.iter().find(|word| !word.starts_with('-'));
            measure(word.map_or("", String::as_str))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("turn: {line}");
            ExitCode::FAILURE
        }
    }
}

/// The run that callgrind counts.
fn play([service, framing, batch, by_hand, requests]: [&str; 5]) -> Result<(), String> {
    let number = |text: &str| text.parse::<usize>().map_err(|error| error.to_string());
    let mut play = Play::new(service, framing, number(batch)?, by_hand == "true")?;
    for _ in 0..number(requests)? / number(batch)? {
        play.turn();
    }
    Ok(())
}

/// Prints a line for each case of the services whose names begin with `word`.
fn measure(word: &str) -> Result<(), String> {
    let counts = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    println!("Of its own, for a request of 64 bytes:\n");
    println!("| service | frame | ready at once | ns | instructions |\n|---|---|--:|--:|--:|");
    let asked = CASES.iter().filter(|(name, _)| name.starts_with(word));
    for (service, framings) in asked {
        for framing in *framings {
            for batch in BATCHES {
                let case = Case {
                    service,
                    framing,
                    batch,
                };
                let instructions = match counts {
                    true => format!("{:.0}", case.instructions()?),
                    false => String::new(),
                };
                let time = case.time()?;
                println!("| {service} | {framing} | {batch} | {time:.1} | {instructions} |");
            }
        }
    }
    if !counts {
        println!("\nInstructions are not counted: valgrind is not installed.");
    }
    Ok(())
}
