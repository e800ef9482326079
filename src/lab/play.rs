//! Plays one experiment and says how it ended.

use std::io;
use std::time::{Duration, Instant};

use crate::kernel::errno;

use super::bench::{Bench, Check, Step};
use super::table::Experiment;
use crate::kernel::journal::Track;

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
pub(crate) fn play(experiment: &'static Experiment, trace: Option<Track>) -> Played {
    let began = Instant::now();
    let mut bench = Bench::new(trace);
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
        took: began.elapsed(),
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    error.raw_os_error() == Some(errno::EMFILE)
}
