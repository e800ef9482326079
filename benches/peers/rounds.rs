//! The rounds: each workload runs against all servers in turn, on one processor, repeatedly.
//!
//! Servers start once, are warmed up, and stay for all workloads, so that a just-in-time compiler
//! has finished its work. The generator is that of `mynah bench --same-core`, called as a library
//! with the arguments of its command line.
//!
//! The quotient of both is fair between servers that answer a batch of requests with the same number
//! of sends, because then the generator does the same work for each. Otherwise their sum tells more.

use std::ffi::OsString;
use std::time::Instant;

use mynah::cli::options::{self, Command, Parsed};
use mynah::kernel::Linux;
use mynah::load::run::RunError;
use mynah::load::run::observe;
use mynah::load::run::progress::Progress;
use mynah::load::run::servers::spawn::Spawned;
use mynah::load::run::session::{self, Session, SessionError};

use super::about;
use super::figures::quantile;
use super::servers::{self, Server};
use super::workloads::{self, Measure, Workload};
use super::{Halt, Scope};

/// The results of one server with one workload.
pub(crate) struct Cell {
    /// The figure of the workload divided by that of the base in the same round: median and
    /// quartiles over the rounds. NaN if no request was answered in any round.
    pub(crate) ratio: f64,
    pub(crate) quartiles: (f64, f64),
    /// CPU time of a request in nanoseconds, a value for each round.
    pub(crate) server_ns: Vec<f64>,
    pub(crate) generator_ns: Vec<f64>,
    /// Number of broken connections.
    pub(crate) errors: u64,
}

/// A workload and the results of the servers that took part, by server index.
pub(crate) struct Row {
    pub(crate) workload: &'static Workload,
    /// When it ended, in UTC.
    pub(crate) ended: String,
    pub(crate) cells: Vec<(usize, Cell)>,
}

/// Runs all selected workloads.
pub(crate) fn run(scope: &Scope, servers: &[Server]) -> Result<Vec<Row>, Halt> {
    let core = observe::processors().pop().unwrap_or(0);
    let wanted = workloads::ALL
        .iter()
        .filter(|workload| scope.wants(workload.name));
    let wanted: Vec<&Workload> = wanted.collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let started: Result<Vec<Spawned>, Halt> = servers
        .iter()
        .map(|server| servers::start(&server.command, Some(core)))
        .collect();
    let started = started?;
    for (server, spawned) in servers.iter().zip(&started) {
        if server.starts_slowly && wanted.iter().any(|workload| server.takes(workload)) {
            warm(scope, server, spawned)?;
        }
    }
    let mut rows = Vec::new();
    for workload in wanted {
        let start = Instant::now();
        let takers: Vec<usize> = (0..servers.len())
            .filter(|&index| servers[index].takes(workload))
            .collect();
        let words = words(scope, workload, takers.iter().map(|&index| &started[index]));
        let session = match load(&words) {
            Err(Halt::Failed(why)) => {
                eprintln!("skipped: {}: {why}", workload.name);
                continue;
            }
            session => session?,
        };
        let cells = takers.iter().zip(cells(&session, workload.measure));
        rows.push(Row {
            workload,
            ended: about::now(),
            cells: cells.map(|(&index, cell)| (index, cell)).collect(),
        });
        eprintln!(
            "{:<28} {:.0} s",
            workload.name,
            start.elapsed().as_secs_f64()
        );
    }
    Ok(rows)
}

/// Loads a server until its just-in-time compiler has little left to do.
fn warm(scope: &Scope, server: &Server, spawned: &Spawned) -> Result<(), Halt> {
    let (address, frame) = (spawned.address(), server.speech());
    for load_of in ["--connections 100", "--connections 100 --pipeline 16"] {
        let time = match (scope.quick, &scope.duration) {
            (true, _) => "1s",
            (false, Some(_)) => "4s",
            (false, None) => "10s",
        };
        load(&format!("{address} {frame} {load_of} --duration {time}"))?;
    }
    Ok(())
}

fn words<'a>(
    scope: &Scope,
    workload: &Workload,
    servers: impl Iterator<Item = &'a Spawned>,
) -> String {
    let times = scope.times();
    let mut words = format!("{} {times} --same-core", workload.words);
    for (index, server) in servers.enumerate() {
        let vs = match index {
            0 => String::new(),
            1 => format!("--pairs {} --vs ", scope.rounds),
            _ => "--vs ".to_owned(),
        };
        words += &format!(" {vs}{} --server-pid {}", server.address(), server.pid());
    }
    words
}

/// Runs `mynah bench WORDS`, without its report.
pub(crate) fn load(words: &str) -> Result<Session, Halt> {
    let all = format!("bench {words}");
    let bench = match options::parse(all.split_whitespace().map(OsString::from))? {
        Parsed::Run(Command::Bench(bench, _)) => *bench,
        _ => return Err(Halt::Failed(format!("'{words}' is no load"))),
    };
    session::check(&bench)?;
    let mut kernel = Linux::new(true).map_err(|error| error.to_string())?;
    let open = || Linux::new(false);
    match session::run(bench, &mut kernel, &open, &mut Progress::on_terminal()) {
        Ok(session) if session.interrupted.is_none() => Ok(session),
        Ok(_) | Err(SessionError::Run(RunError::Interrupted(_))) => Err(Halt::Interrupted),
        Err(error) => Err(Halt::Failed(format!("{words}: {error:?}"))),
    }
}

/// The results of all servers for one workload.
fn cells(session: &Session, measure: Measure) -> Vec<Cell> {
    let figure = |server: usize, name: &str| -> Vec<f64> {
        let runs = session.servers[server].runs.iter();
        runs.map(|run| run.named(name).unwrap_or(f64::NAN))
            .collect()
    };
    let compared = match measure {
        Measure::Ratio => "cpu_ratio",
        Measure::Cost => "cpu",
    };
    let base = figure(0, compared);
    let cell = |index: usize| {
        let mut ratios: Vec<f64> = figure(index, compared)
            .iter()
            .zip(&base)
            .map(|(ratio, base)| ratio / base)
            .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
            .collect();
        Cell {
            ratio: quantile(&mut ratios, 0.5),
            quartiles: (quantile(&mut ratios, 0.25), quantile(&mut ratios, 0.75)),
            server_ns: figure(index, "cpu"),
            generator_ns: figure(index, "client_cpu"),
            errors: session.servers[index].failures(),
        }
    };
    (0..session.servers.len()).map(cell).collect()
}
