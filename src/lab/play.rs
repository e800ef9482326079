//! Plays one experiment and says how it ended.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::journal::Track;
use crate::kernel::{errno, host};

use super::bench::{Bench, Check, Step};
use super::table::Experiment;

/// Since this version a packet over loopback has arrived when the call that sent it returns. From
/// Linux 4.9 on (commit 4cd13c21b207) a busy kernel could leave it to the thread ksoftirqd, until
/// commit d15121be7485 of Linux 6.5 took that back.
const SYNCHRONOUS: (u32, u32) = (6, 5);
/// How often an experiment is played at most on an older kernel.
const PLAYS_MAX: u32 = 5;
/// Time between two of these plays, in which ksoftirqd has its turn on this processor.
const PAUSE: Duration = Duration::from_millis(20);

/// One experiment after it was played.
#[derive(Debug)]
pub(crate) struct Played {
    /// What was played.
    pub(crate) experiment: &'static Experiment,
    /// The calls, headings and checks, in order.
    pub(crate) steps: Vec<Step>,
    /// Calls that were made after the last one that was kept.
    pub(crate) steps_dropped: usize,
    /// Why the experiment could not go on; a call that it relies on was refused.
    pub(crate) failure: Option<String>,
    /// How long the experiment took.
    pub(crate) took: Duration,
}

impl Played {
    /// The checks, in order.
    pub(crate) fn checks(&self) -> impl Iterator<Item = &Check> {
        self.steps.iter().filter_map(|step| match step {
            Step::Check(check) => Some(check),
            _ => None,
        })
    }

    /// Whether the experiment came to its end and every answer was the expected one.
    pub(crate) fn holds(&self) -> bool {
        self.failure.is_none() && self.checks().all(|check| check.holds)
    }

    /// Parts that this machine or this user cannot play, with the reason.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Skipped(why) => Some(why.as_str()),
            _ => None,
        })
    }
}

/// Plays `experiment` on the kernel of this machine. Every descriptor that it opens is closed. Its
/// calls go to `trace`, too.
///
/// Where a packet may be late, an answer that differs is asked for again.
pub(crate) fn play(experiment: &'static Experiment, trace: Option<Track>) -> Played {
    let is_synchronous = host::kernel_version().is_none_or(|version| version >= SYNCHRONOUS);
    let began = Instant::now();
    let plays_max = if is_synchronous { 1 } else { PLAYS_MAX };
    let mut plays = 1;
    let mut played = play_once(experiment, trace.clone(), is_synchronous);
    while !played.holds() && plays < plays_max {
        plays += 1;
        thread::sleep(PAUSE);
        played = play_once(experiment, trace.clone(), is_synchronous);
    }
    if plays > 1 {
        let why = "before Linux 6.5 a busy kernel may deliver over loopback after the call";
        played
            .steps
            .insert(0, Step::Shown(format!("played {plays} times: {why}")));
    }
    played.took = began.elapsed();
    played
}

fn play_once(
    experiment: &'static Experiment,
    trace: Option<Track>,
    is_synchronous: bool,
) -> Played {
    let mut bench = Bench::new(trace, is_synchronous);
    let mut ended = (experiment.play)(&mut bench);
    // Too few descriptors are a limit of this process and no answer of the kernel to the question.
    if ended.as_ref().is_err_and(is_out_of_descriptors) {
        bench.skip("the rest is not played: the descriptor limit is low");
        ended = Ok(());
    }
    let (steps, steps_dropped) = bench.finish();
    Played {
        experiment,
        steps,
        steps_dropped,
        failure: ended.err().map(|error| error.to_string()),
        took: Duration::ZERO,
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    error.raw_os_error() == Some(errno::EMFILE)
}
