//! `mynah bench` as a whole: servers are started, loaded once or in turn, and what came of it is
//! told.
//!
//! One server and one run, or several servers and rounds of runs: both end in a [`Session`], from
//! which all reports are made. Servers that were started here are ended here, whatever happens. On
//! the same core, the server and the one worker are kept on one processor, so that they share its
//! frequency, its cache and its noise, and the ratio of their processor times is what holds still.

use std::io;

use crate::base::histogram::Histogram;
use crate::base::text::plural::plural;
use crate::kernel::{Address, Opener, Poller, UnixName};

use crate::load::judge::checks::{self, Check};
use crate::load::judge::compare::{self, Versus};
use crate::load::judge::host_checks;
use crate::load::judge::statistics::Estimate;
use crate::load::plan::Plan;
use crate::load::plan::script::Script;
use crate::load::report;
use crate::load::report::figures::Figures;
use crate::load::run::bench::Bench;
use crate::load::run::observe::{self, Unknown};
use crate::load::run::progress::Progress;
use crate::load::run::servers::Servers;
use crate::load::run::{self, Outcome, RunError, Target};
use crate::load::worker::timeline::Timeline;

/// One server's runs.
#[derive(Debug)]
pub struct Loaded {
    /// Who it is.
    pub target: Target,
    /// The figures of each run.
    pub runs: Vec<Figures>,
    /// The latency that counts, of all runs.
    pub latency: Histogram,
    /// Its memory before the first connection, where it is known.
    pub resident_before: Option<u64>,
    /// The last run's answers over time, and its length.
    pub timeline: (Timeline, u64),
    /// What broke, in full, first come first: a word for it, and the line.
    pub failures: Vec<(&'static str, String)>,
}

/// What a comparison says about one server against the first.
#[derive(Debug)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// Rounds in which all servers were loaded to the end.
    pub pairs: usize,
    /// Figure by figure.
    pub versus: Vec<Versus>,
}

/// All that was measured.
#[derive(Debug)]
pub struct Session {
    /// What was asked for.
    pub bench: Bench,
    /// The servers in order.
    pub servers: Vec<Loaded>,
    /// Checks of each server's last run, with the server's index.
    pub checks: Vec<(usize, Check)>,
    /// The comparisons with the first server; empty when it is alone.
    pub compared: Vec<Compared>,
    /// The same server against itself, by figure.
    pub self_checks: Vec<(&'static str, Estimate)>,
    /// The signal that ended it early.
    pub interrupted: Option<i32>,
    /// Why a later run could not begin, which ended it early too.
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

/// Runs it all. `kernel` is the conductor's, `open` makes one for each worker.
pub fn run<K: Poller + Opener>(
    mut bench: Bench,
    kernel: &mut K,
    open: &(impl Fn() -> io::Result<K> + Sync),
    progress: &mut Progress,
) -> Result<Session, SessionError> {
    bench.check().map_err(SessionError::Usage)?;
    // What cannot be said to anybody is told before a server is started for it.
    let nobody = Address::Unix(UnixName::Unnamed);
    bench.plan.script(&nobody).map_err(SessionError::Usage)?;
    host_checks::check(&bench.plan).map_err(SessionError::Usage)?;
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
    let mut load = |plan: &Plan, index: usize, target: &mut Target, title: String| {
        progress.title = title;
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
    let rounds = if targets.len() > 1 { bench.pairs } else { 1 };
    let loaded: Result<Vec<Loaded>, RunError> = targets.into_iter().map(Loaded::new).collect();
    let mut servers = loaded?;
    if rounds > 1 {
        // Nobody is measured while caches, heaps and just-in-time compilers are still cold.
        for (index, server) in servers.iter_mut().enumerate() {
            started.settle(index);
            let title = "warming up: ".to_owned();
            let outcome = load(&bench.plan, index, &mut server.target, title)?;
            if let Some(signal) = outcome.interrupted {
                return Err(RunError::Interrupted(signal).into());
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
            let title = match rounds {
                1 => String::new(),
                _ => format!("round {}/{rounds}, {}: ", round + 1, server.target.name),
            };
            let outcome = match load(&bench.plan, index, &mut server.target, title) {
                // What was measured before is worth telling.
                Err(error) if is_any_measured => {
                    match error {
                        RunError::Interrupted(signal) => interrupted = Some(signal),
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

/// The processor that all share: the first one pinned to, or the last one allowed.
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
            // The report says why its cost is not known.
            _ => None,
        };
        Ok(Loaded {
            target,
            runs: Vec::new(),
            latency: Histogram::new(),
            resident_before,
            timeline: (Timeline::new(), 0),
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
        self.latency.merge(if tally.response.count() > 0 {
            &tally.response
        } else {
            &tally.service
        });
        let told = tally.failures.iter();
        self.failures
            .extend(told.map(|failure| (failure.label(), failure.to_string())));
        self.timeline = (tally.timeline, outcome.elapsed_ns);
    }

    /// Runs that no signal cut short, and that may be held against others.
    fn whole_runs(&self) -> usize {
        self.runs.iter().filter(|run| !run.interrupted).count()
    }

    fn ports_left(&self, plan: &Plan) -> Option<Check> {
        let tcp = matches!(self.target.address, Address::Tcp(_));
        let connects = self.runs.iter().map(|run| run.connections);
        let sources = plan.sources.len().max(1) as u64;
        let ports = observe::local_ports().map(|ports| ports * sources);
        // Those that the server has ended were opened again.
        let asked = (plan.connections + plan.idle) as u64;
        let renewed = plan.churn || connects.clone().any(|count| count > asked);
        (renewed && tcp).then(|| checks::ports_left(connects.sum(), ports))
    }

    /// Failures of all runs.
    pub fn errors(&self) -> u64 {
        self.runs.iter().map(|figures| figures.errors).sum()
    }

    /// The same by kind, see [`Figures::errors_by_kind`].
    pub fn errors_by_kind(&self) -> [(&'static str, [&'static str; 3], u64); 5] {
        let mut sums = Figures::default().errors_by_kind();
        for run in &self.runs {
            for (sum, (_, _, count)) in sums.iter_mut().zip(run.errors_by_kind()) {
                sum.2 += count;
            }
        }
        sums
    }
}

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
            let figures = server.runs.last();
            let mut found = figures.map_or_else(Vec::new, |figures| {
                checks::checks(&bench.plan, figures, bench.same_core)
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

    /// The assertions that do not hold, for any run of the first server; each with its reason.
    pub fn broken_assertions(&self) -> Vec<String> {
        let runs = self.servers.first().map_or(&[][..], |server| &server.runs);
        let conditions = self.bench.assertions.iter();
        conditions
            .filter_map(|condition| runs.iter().find_map(|run| condition.check(run).err()))
            .collect()
    }

    /// What went wrong and no assertion speaks of, a line for each server: failures, and runs in
    /// which nothing was answered. Assertions are about the first server and say what may fail
    /// there; that nothing was measured at all is told whatever they say.
    pub fn unexpected(&self) -> Vec<String> {
        let is_asserted = !self.bench.assertions.is_empty();
        let servers = self.servers.iter().enumerate();
        let found = servers.filter_map(|(index, server)| {
            let errors = match index {
                0 if is_asserted => 0,
                _ => server.errors(),
            };
            let what = match errors {
                0 if server.runs.iter().all(|run| run.requests > 0) => return None,
                0 => "no request was answered".to_owned(),
                errors => plural(errors, "error", "errors"),
            };
            Some(match self.servers.len() {
                1 => what,
                _ => format!("{}: {what}", report::letter(index)),
            })
        });
        found.collect()
    }
}
