//! `mynah bench` as a whole: starts the servers, loads them once or in turn, and collects the
//! results.
//!
//! A session is one run of one server, or several rounds of runs of several servers. Both end in a
//! [`Session`], from which all reports are made. Servers that were started here are always stopped
//! here. With `--same-core`, the server and the only worker are pinned to one processor. They share
//! its frequency, its cache and its disturbances, so the ratio of their processor times is stable.

use std::io;

use crate::base::histogram::Histogram;
use crate::base::text::plural::plural;
use crate::kernel::{Address, Opener, Poller, UnixName};

use crate::load::judge::checks::{self, Check};
use crate::load::judge::compare::{self, Versus};
use crate::load::judge::host_checks;
use crate::load::judge::statistics::Estimate;
use crate::load::plan::script::Script;
use crate::load::plan::{Pace, Plan};
use crate::load::report;
use crate::load::report::figures::{Figures, Histograms};
use crate::load::report::units;
use crate::load::run::bench::Bench;
use crate::load::run::moments::Moment;
use crate::load::run::observe::{self, Unknown};
use crate::load::run::progress::Progress;
use crate::load::run::servers::Servers;
use crate::load::run::{self, Outcome, RunError, Target};
use crate::load::worker::timeline::Timeline;

/// One server's runs.
#[derive(Debug)]
pub struct Loaded {
    /// The server's address, name and process.
    pub target: Target,
    /// The figures of each run.
    pub runs: Vec<Figures>,
    /// The latency that counts (see `figures`), of all runs.
    pub latency: Histogram,
    /// The histograms of all runs.
    pub histograms: Histograms,
    /// Resident memory before the first connection, if known.
    pub resident_before: Option<u64>,
    /// The answers over time of the last run, and its length in nanoseconds.
    pub timeline: (Timeline, u64),
    /// The latency over time of the last run.
    pub moments: Vec<Moment>,
    /// The first failure of each kind and run, in order of time: a label and the line.
    pub failures: Vec<(&'static str, String)>,
}

/// A comparison of one server with the first one.
#[derive(Debug)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// Rounds in which all servers completed their runs.
    pub pairs: usize,
    /// One entry for each figure.
    pub versus: Vec<Versus>,
}

/// All measurements.
#[derive(Debug)]
pub struct Session {
    /// The inputs.
    pub bench: Bench,
    /// The servers in order.
    pub servers: Vec<Loaded>,
    /// Checks of each server's last run, or of the knee of a sweep, with the server's index.
    pub checks: Vec<(usize, Check)>,
    /// Comparisons with the first server; empty when only one server was loaded.
    pub compared: Vec<Compared>,
    /// Each server compared with itself (the A/A check), by figure.
    pub self_checks: Vec<(&'static str, Estimate)>,
    /// The signal that ended the session early.
    pub interrupted: Option<i32>,
    /// Why a later run could not begin. This also ended the session early.
    pub cut_short: Option<RunError>,
}

/// Why there is no session.
#[derive(Debug)]
pub enum SessionError {
    /// The options contradict each other.
    Usage(String),
    /// A server could not be started.
    Start(String),
    /// A run could not begin.
    Run(RunError),
}

impl From<RunError> for SessionError {
    fn from(error: RunError) -> SessionError {
        SessionError::Run(error)
    }
}

/// Checks what can be known before a server is started: options that contradict each other,
/// requests that can never be encoded, and what this machine lacks.
///
/// # Errors
///
/// The line that names the option.
pub fn check(bench: &Bench) -> Result<(), String> {
    bench.check()?;
    bench.plan.script(&Address::Unix(UnixName::Unnamed))?;
    host_checks::check(&bench.plan)
}

/// Runs the session, which has passed [`check`]. `kernel` belongs to the conductor; `open` creates
/// one kernel for each worker.
pub fn run<K: Poller + Opener>(
    mut bench: Bench,
    kernel: &mut K,
    open: &(impl Fn() -> io::Result<K> + Sync),
    progress: &mut Progress,
) -> Result<Session, SessionError> {
    let core = bench.same_core.then(|| shared_core(&bench.plan));
    bench
        .plan
        .pins
        .extend(core.filter(|_| bench.plan.pins.is_empty()));
    let mut started = Servers::start(&bench, core, kernel)?;
    let targets = started.targets.clone();
    let mut candidates = std::mem::take(&mut started.candidates);
    let scripts = candidates.iter().map(|of| bench.plan.script(&of.endpoint));
    let scripts: Result<Vec<Script>, String> = scripts.collect();
    let scripts = scripts.map_err(SessionError::Usage)?;
    let steps = bench.steps();
    let rounds = match targets.len() {
        1 => steps.len().max(1),
        _ => bench.pairs,
    };
    progress.runs_left = match targets.len() {
        1 => rounds,
        // A run of each server without a measurement comes first.
        count => (rounds + 1) * count,
    };
    let mut load = |plan: &Plan, index: usize, target: &mut Target, title: String| {
        progress.begin(title);
        loop {
            match run::run(plan, &scripts[index], target, kernel, open, progress) {
                Err(RunError::Target(refusal)) => candidates[index].next(target, refusal)?,
                outcome => {
                    candidates[index].settle();
                    return outcome;
                }
            }
        }
    };
    let loaded: Result<Vec<Loaded>, RunError> = targets.into_iter().map(Loaded::new).collect();
    let mut servers = loaded?;
    if servers.len() > 1 {
        // One unmeasured run per server first: caches, heaps and just-in-time compilers start cold.
        for (index, server) in servers.iter_mut().enumerate() {
            started.settle(index);
            let title = "warming up: ".to_owned();
            let outcome = load(&bench.plan, index, &mut server.target, title)?;
            if let Some(signal) = outcome.interrupted {
                return Err(RunError::InterruptedInWarmup(signal).into());
            }
        }
    }
    let connections = bench.plan.connections + bench.plan.idle;
    let (mut interrupted, mut cut_short) = (None, None);
    'rounds: for round in 0..rounds {
        for index in compare::order(round, servers.len()) {
            started.settle(index);
            let is_any_measured = servers.iter().any(|server| !server.runs.is_empty());
            let server = &mut servers[index];
            let mut plan = bench.plan.clone();
            if let (Some(&step), Pace::Open { rate, .. }) = (steps.get(round), &mut plan.pace) {
                *rate = step;
            }
            let title = match rounds {
                1 => String::new(),
                _ if !steps.is_empty() => {
                    format!(
                        "step {}/{rounds}, {}/s: ",
                        round + 1,
                        units::count(steps[round])
                    )
                }
                _ => format!("round {}/{rounds}, {}: ", round + 1, server.target.name),
            };
            let outcome = match load(&plan, index, &mut server.target, title) {
                // Completed measurements are still reported.
                Err(error) if is_any_measured => {
                    match error {
                        RunError::Interrupted(signal) | RunError::InterruptedInWarmup(signal) => {
                            interrupted = Some(signal)
                        }
                        error => cut_short = Some(error),
                    }
                    break 'rounds;
                }
                outcome => outcome?,
            };
            interrupted = outcome.interrupted;
            server.add(outcome, connections);
            if interrupted.is_some() {
                break 'rounds;
            }
        }
    }
    let mut session = Session::of(bench, servers, interrupted);
    session.cut_short = cut_short;
    Ok(session)
}

/// The processor for `--same-core`: the first one of `pins`, or the last one allowed.
fn shared_core(plan: &Plan) -> usize {
    plan.pins
        .first()
        .copied()
        .or_else(|| observe::processors().pop())
        .unwrap_or(0)
}

impl Loaded {
    fn new(target: Target) -> Result<Loaded, RunError> {
        let resident_before = match (run::usage_of(&target), target.pid) {
            (Some(Err(Unknown::Gone)), Some(pid)) => {
                let line =
                    format!("process {pid} does not exist; --server-pid names a running one");
                return Err(RunError::Own(io::Error::new(io::ErrorKind::NotFound, line)));
            }
            (Some(Ok(usage)), _) => usage.resident_bytes,
            // The report says why the cost is not known.
            _ => None,
        };
        Ok(Loaded {
            target,
            runs: Vec::new(),
            latency: Histogram::new(),
            histograms: Histograms::default(),
            resident_before,
            timeline: (Timeline::new(), 0),
            moments: Vec::new(),
            failures: Vec::new(),
        })
    }

    fn add(&mut self, outcome: Outcome, connections: usize) {
        let mut figures = Figures::of(&outcome);
        if let Some(cost) = &mut figures.server {
            let resident = cost.resident_bytes.zip(self.resident_before);
            let grown = resident.map(|(now, before)| now.saturating_sub(before) as f64);
            cost.bytes_per_connection = grown.map(|grown| grown / connections as f64);
        }
        self.runs.push(figures);
        let tally = outcome.tally;
        self.histograms.add(&tally);
        self.latency.merge(if tally.response.count() > 0 {
            &tally.response
        } else {
            &tally.service
        });
        let told = tally.failures.iter();
        self.failures
            .extend(told.map(|failure| (failure.label(), failure.to_string())));
        self.timeline = (tally.timeline, outcome.elapsed_ns);
        self.moments = outcome.moments;
    }

    /// Runs that no signal ended early, and that can be compared with others.
    fn whole_runs(&self) -> usize {
        self.runs.iter().filter(|run| !run.interrupted).count()
    }

    fn ports_left(&self, plan: &Plan) -> Option<Check> {
        let tcp = matches!(self.target.address, Address::Tcp(_));
        let connects = self.runs.iter().map(|run| run.connections);
        let sources = plan.sources.len().max(1) as u64;
        let ports = observe::local_ports().map(|ports| ports * sources);
        // A larger count means that connections were opened again after the server had ended them.
        let asked = (plan.connections + plan.idle) as u64;
        let renewed = plan.churn || connects.clone().any(|count| count > asked);
        (renewed && tcp).then(|| checks::ports_left(connects.sum(), ports))
    }

    /// Errors of all runs.
    pub fn errors(&self) -> u64 {
        sum(self.runs.iter().map(|run| run.errors))
    }

    /// Failures of all runs; see [`Figures::failures`].
    pub fn failures(&self) -> u64 {
        sum(self.runs.iter().map(Figures::failures))
    }

    /// Failed requests of all runs, without the connections that broke without one.
    fn failed(&self) -> u64 {
        sum(self.runs.iter().map(|run| run.failed))
    }

    /// The failures by kind; see [`Figures::errors_by_kind`].
    pub fn errors_by_kind(&self) -> [(&'static str, [&'static str; 3], u64); 5] {
        let mut sums = Figures::default().errors_by_kind();
        for run in &self.runs {
            for (sum, (_, _, count)) in sums.iter_mut().zip(run.errors_by_kind()) {
                sum.2 = sum.2.saturating_add(count);
            }
        }
        sums
    }
}

/// The sum of counts, at most the largest count.
fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// The knee of a sweep: the last step before the first one that the server did not keep up with.
/// A step is kept up with if its rate was reached, nothing failed, and its p99 is at most
/// `KNEE_LATENCY` times that of the first step. `None` without such a step.
pub fn knee(steps: &[f64], runs: &[Figures]) -> Option<usize> {
    let p99 = |run: &Figures| run.latency().map(|spans| spans.percentiles[P99] as f64);
    let first = p99(runs.first()?)?;
    let keeps_up = |(rate, run): &(&f64, &Figures)| {
        let is_reached = run.rate >= **rate * KNEE_RATE && run.failures() == 0 && run.unsent == 0;
        is_reached && p99(run).is_some_and(|p99| p99 <= first * KNEE_LATENCY)
    };
    let kept = steps.iter().zip(runs).take_while(keeps_up).count();
    kept.checked_sub(1)
}

/// The place of p99 among the reported percentiles.
const P99: usize = 2;
/// The part of a rate that must be reached for a step to count as kept up with.
const KNEE_RATE: f64 = 0.98;
/// How much larger the p99 of such a step may be than that of the first step.
const KNEE_LATENCY: f64 = 5.0;

impl Session {
    fn of(bench: Bench, servers: Vec<Loaded>, interrupted: Option<i32>) -> Session {
        let whole = servers.iter().map(Loaded::whole_runs).min().unwrap_or(0);
        let rounds: Vec<Vec<Figures>> = (0..whole)
            .map(|round| {
                servers
                    .iter()
                    .map(|server| server.runs[round].clone())
                    .collect()
            })
            .collect();
        let others = servers.iter().enumerate().skip(1);
        let compared = others.map(|(index, server)| Compared {
            name: server.target.name.clone(),
            pairs: whole,
            versus: compare::versus(&rounds, index),
        });
        let compared: Vec<Compared> = compared.collect();
        let self_checks = match compared.len() {
            0 => Vec::new(),
            _ => {
                let same = |(metric, _, _): &(&'static str, bool, &str)| {
                    Some((*metric, compare::same_against_same(&rounds, metric)?))
                };
                compare::METRICS.iter().filter_map(same).collect()
            }
        };
        let checks = servers.iter().enumerate().flat_map(|(index, server)| {
            let steps = bench.steps();
            let judged = knee(&steps, &server.runs).unwrap_or(server.runs.len().saturating_sub(1));
            let figures = server.runs.get(judged);
            let mut plan = bench.plan.clone();
            if let (Some(&step), Pace::Open { rate, .. }) = (steps.get(judged), &mut plan.pace) {
                *rate = step;
            }
            let mut found = figures.map_or_else(Vec::new, |figures| {
                checks::checks(&plan, figures, bench.same_core)
            });
            found.extend(server.ports_left(&bench.plan));
            let has_cost = figures.is_some_and(|figures| figures.server.is_some());
            let is_partial = has_cost && !observe::lists_children();
            found.extend(is_partial.then(checks::children_unknown));
            found.into_iter().map(move |check| (index, check))
        });
        let checks = checks.collect();
        Session {
            bench,
            servers,
            checks,
            compared,
            self_checks,
            interrupted,
            cut_short: None,
        }
    }

    /// The steps of a sweep that were measured: the rate that was asked for, and its figures.
    pub fn steps(&self) -> Vec<(f64, &Figures)> {
        let runs = self.servers.first().map_or(&[][..], |server| &server.runs);
        self.bench.steps().into_iter().zip(runs).collect()
    }

    /// The index of the knee among the steps; see [`knee`].
    pub fn knee(&self) -> Option<usize> {
        let runs = self.servers.first().map_or(&[][..], |server| &server.runs);
        knee(&self.bench.steps(), runs)
    }

    /// The assertions that fail in any run of the first server, each with its reason.
    pub fn broken_assertions(&self) -> Vec<String> {
        let runs = self.servers.first().map_or(&[][..], |server| &server.runs);
        let conditions = self.bench.assertions.iter();
        conditions
            .filter_map(|condition| runs.iter().find_map(|run| condition.check(run).err()))
            .collect()
    }

    /// Failures that no assertion covers, a line for each server: failed requests, and runs without
    /// any answer. Assertions cover only the first server and define which errors it may have. A
    /// run without any answer is reported regardless of assertions.
    pub fn unexpected(&self) -> Vec<String> {
        let is_asserted = !self.bench.assertions.is_empty();
        let servers = self.servers.iter().enumerate();
        let found = servers.filter_map(|(index, server)| {
            let failures = match index {
                0 if is_asserted => 0,
                _ => server.failures(),
            };
            let what = match failures {
                0 if server.runs.iter().all(|run| run.requests > 0) => return None,
                0 => "no request was answered".to_owned(),
                failures if failures == server.failed() => {
                    plural(failures, "request failed", "requests failed")
                }
                failures if server.failed() == 0 => format!(
                    "{} bytes that no request had asked for",
                    plural(failures, "connection received", "connections received")
                ),
                failures => plural(failures, "failure", "failures"),
            };
            Some(match self.servers.len() {
                1 => what,
                _ => format!("{}: {what}", report::letter(index)),
            })
        });
        found.collect()
    }
}
