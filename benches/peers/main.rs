//! Compares mynah with other servers: `cargo bench --bench peers`.
//!
//! The generator of `mynah bench` loads every server in turn; all run on one processor. Each figure
//! is divided by that of the *bare loop* in the same round, and the median of all rounds is
//! reported: the CPU of the server, of the generator, their sum, and their quotient. On a shared
//! machine whole runs differ by half, and these figures by a few percent. The tables go to stdout,
//! progress to stderr. `--json` keeps every round; the tables of the manual are made from such a
//! file.
//!
//! ```text
//!   about       the machine, the build and the versions of a run
//!   figures     a run as a document, and its tables
//!   workloads   the requests, as arguments of `mynah bench`
//!   servers     the servers; `echo`, `go` and `netty` hold those that are built here
//!   rounds      ratios to the bare loop
//!   keep        the run whose tables the manual and the README print
//!   counts      memory per connection, system calls and instructions per request
//!   table       what is counted, as Markdown; `picture`: SVG
//! ```

mod about;
mod counts;
mod echo;
mod figures;
mod go;
mod keep;
mod netty;
mod picture;
mod rounds;
mod servers;
mod table;
mod workloads;

use std::env;
use std::fs;
use std::process::ExitCode;

use mynah::kernel::{block_signals, host};

use figures::{Measured, Results};
use servers::Server;
use workloads::Speech;

const USAGE: &str = "\
Usage: cargo bench --bench peers -- [OPTIONS]

  --quick               short runs and few of them: an impression within 3 minutes
  --duration TIME       how long each run is [1s; 150ms with --quick]
  --json FILE           keep the figures; a file of the same run gets further workloads
  --keep                measure anew the run that is kept, and put it into the manual and the
                        README: 7 rounds of 250 ms, some 10 minutes of a quiet machine
  --note TEXT           what else is to be known about the run
  --show FILE           measure nothing, print the tables of such a file
  --rounds N            runs of each server for each workload [9; 3 with --quick]
  --only WORD           workloads, memory, calls, and servers whose names contain WORD, or are
                        WORD if that is =WORD; may be repeated; the bare loop always takes part
  --peer NAME='CMD'     one more server that echoes bytes; {port} in CMD is where it is to listen;
                        may be repeated
  --peer-http NAME='CMD'  the same that answers HTTP, beside the bare http loop
  --svg FILE            draw the ratios
  --list                print the workloads and servers, and what is missing for some
";

/// Why there is no result.
pub(crate) enum Halt {
    /// Something failed.
    Failed(String),
    /// The user interrupted the benchmark.
    Interrupted,
}

impl From<String> for Halt {
    fn from(why: String) -> Halt {
        Halt::Failed(why)
    }
}

/// A server that the caller adds.
pub(crate) struct Peer {
    name: String,
    speaks: &'static [Speech],
    command: String,
}

/// What is to be measured.
pub(crate) struct Scope {
    quick: bool,
    rounds: usize,
    only: Vec<String>,
    peers: Vec<Peer>,
    svg: Option<String>,
    json: Option<String>,
    keep: bool,
    note: Option<String>,
    show: Option<String>,
    duration: Option<String>,
    list: bool,
}

impl Scope {
    /// The times of a run, as options of `mynah bench`.
    fn times(&self) -> String {
        let (duration, warmup) = match self.quick {
            true => ("150ms", "50ms"),
            false => ("1s", "200ms"),
        };
        let duration = self.duration.as_deref().unwrap_or(duration);
        format!("--duration {duration} --warmup {warmup}")
    }

    fn of(arguments: &[String]) -> Result<Scope, String> {
        let mut scope = Scope {
            quick: false,
            rounds: 0,
            only: Vec::new(),
            peers: Vec::new(),
            svg: None,
            json: None,
            keep: false,
            note: None,
            show: None,
            duration: None,
            list: false,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--bench" => {}
                "--quick" => scope.quick = true,
                "--keep" => {
                    scope.keep = true;
                    scope.rounds = keep::ROUNDS;
                    scope.duration = Some(keep::DURATION.to_owned());
                    scope.only = keep::WORKLOADS.map(|name| format!("={name}")).into();
                }
                "--list" => scope.list = true,
                "--rounds" => {
                    let rounds = value()?.parse().ok().filter(|&rounds| rounds >= 2);
                    scope.rounds = rounds.ok_or("--rounds must be at least 2")?;
                }
                "--only" => scope.only.push(value()?.clone()),
                "--svg" => scope.svg = Some(value()?.clone()),
                "--json" => scope.json = Some(value()?.clone()),
                "--note" => scope.note = Some(value()?.clone()),
                "--show" => scope.show = Some(value()?.clone()),
                "--duration" => scope.duration = Some(value()?.clone()),
                "--peer" | "--peer-http" => {
                    let peer = value()?
                        .split_once('=')
                        .filter(|(_, command)| command.contains("{port}"));
                    let (name, command) =
                        peer.ok_or_else(|| format!("{word} must be NAME='CMD {{port}}'"))?;
                    scope.peers.push(Peer {
                        name: name.to_owned(),
                        speaks: match word.as_str() {
                            "--peer-http" => servers::HTTP,
                            _ => servers::BYTES,
                        },
                        command: command.to_owned(),
                    });
                }
                _ => return Err(format!("{word} is unknown\n\n{USAGE}")),
            }
        }
        if scope.rounds == 0 {
            scope.rounds = if scope.quick { 3 } else { 9 };
        }
        Ok(scope)
    }

    /// Whether a workload, `memory` or `calls` is selected.
    fn wants(&self, name: &str) -> bool {
        let workloads = workloads::ALL.iter().map(|workload| workload.name);
        self.admits(name, workloads.chain(["memory", "calls"]))
    }

    /// Whether `--only` selects `name`: one of its words is part of `name`, or of no name in `all`.
    fn admits<'a>(&self, name: &str, mut all: impl Iterator<Item = &'a str>) -> bool {
        let is_in = |name: &str, word: &String| match word.strip_prefix('=') {
            Some(whole) => name == whole,
            None => name.contains(word),
        };
        let has = |name: &str| self.only.iter().any(|word| is_in(name, word));
        has(name) || !all.any(has)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve-as", name, port] => serve(name, port),
        // Cargo passes --bench to measure, but not for `cargo test`.
        _ if !arguments.iter().any(|word| word == "--bench") => Ok(()),
        _ => Scope::of(&arguments)
            .map_err(Halt::Failed)
            .and_then(|scope| measure(&scope)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Halt::Failed(line)) => {
            eprintln!("peers: {line}");
            ExitCode::FAILURE
        }
        Err(Halt::Interrupted) => ExitCode::from(128 + libc::SIGINT as u8),
    }
}

fn serve(name: &str, port: &str) -> Result<(), Halt> {
    let port = port.parse().map_err(|_| format!("{port} is no port"))?;
    echo::serve(name, port).map_err(|error| Halt::Failed(format!("{name}: {error}")))
}

fn measure(scope: &Scope) -> Result<(), Halt> {
    if let Some(file) = &scope.show {
        let results = results_in(file)?;
        print!("{}\n{}\n", results.about(), results.tables());
        print!("{}", results.summary());
        return Ok(());
    }
    // The servers started here inherit the limit, and hold ten thousand connections at once.
    host::raise_descriptor_limit().map_err(|error| error.to_string())?;
    block_signals().map_err(|error| error.to_string())?;
    let (mut servers, missing) = servers::all(scope);
    for line in &missing {
        eprintln!("skipped: {line}");
    }
    if scope.list {
        list(&servers);
        return Ok(());
    }
    let names: Vec<&str> = servers.iter().map(|server| server.name).collect();
    let keep: Vec<bool> = (servers.iter())
        .map(|server| server.is_base() || scope.admits(server.name, names.iter().copied()))
        .collect();
    let mut keep = keep.into_iter();
    servers.retain(|_| keep.next().unwrap_or(true));
    if scope.keep {
        eprintln!("this takes about {:.0} minutes", keep::minutes(&servers));
    }
    let rows = rounds::run(scope, &servers)?;
    let mut results = results(scope, &servers, &rows);
    if let Some(file) = &scope.json {
        if fs::exists(file).unwrap_or(false) {
            let mut whole = results_in(file)?;
            whole.add(results).map_err(|why| format!("{file}: {why}"))?;
            results = whole;
        }
        fs::write(file, results.write()).map_err(|error| format!("{file}: {error}"))?;
    }
    print!("{}\n{}\n", results.about(), results.tables());
    if scope.keep {
        return Ok(keep::renew(&results)?);
    }
    let memory = counts::memory(scope, &servers)?;
    let costs = counts::costs(scope, &servers[0].command)?;
    table::print(&servers, &memory, &costs, &missing);
    match &scope.svg {
        Some(file) => fs::write(file, picture::svg(&servers, &rows))
            .map_err(|error| Halt::Failed(format!("{file}: {error}"))),
        None => Ok(()),
    }
}

fn results_in(file: &str) -> Result<Results, Halt> {
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    Ok(Results::read(&text).map_err(|why| format!("{file}: {why}"))?)
}

/// The document of what was measured.
fn results(scope: &Scope, servers: &[Server], rows: &[rounds::Row]) -> Results {
    let measured = |row: &rounds::Row| Measured {
        name: row.workload.name.to_owned(),
        words: row.workload.words.to_owned(),
        ended: row.ended.clone(),
        rows: (row.cells.iter())
            .map(|(index, cell)| figures::Row {
                server: servers[*index].name.to_owned(),
                errors: cell.errors,
                server_ns: cell.server_ns.clone(),
                generator_ns: cell.generator_ns.clone(),
            })
            .collect(),
    };
    let took_part = |index: &usize| {
        rows.iter()
            .any(|row| row.cells.iter().any(|it| it.0 == *index))
    };
    Results {
        about: about::run(scope),
        servers: (0..servers.len())
            .filter(took_part)
            .map(|index| (servers[index].name.to_owned(), servers[index].build.clone()))
            .collect(),
        workloads: rows.iter().map(measured).collect(),
    }
}

fn list(servers: &[Server]) {
    for workload in workloads::ALL {
        println!("{:<28} mynah bench {}", workload.name, workload.words);
    }
    for server in servers {
        println!("{:<28} {}", server.name, server.command);
    }
}
