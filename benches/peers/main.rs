//! Compares mynah with other servers: `cargo bench --bench peers`.
//!
//! The generator of `mynah bench` loads every server in turn; all run on one processor. The result
//! is the ratio of server CPU to generator CPU, divided by the same ratio of the *bare loop* in the
//! same round; the median of all rounds is reported. On a shared machine whole runs differ by half,
//! but this figure differs by a percent or less. A Markdown table goes to stdout, progress to
//! stderr.
//!
//! ```text
//!   workloads   the requests, as arguments of `mynah bench`
//!   servers     the servers; `echo` and `netty` hold those that are built here
//!   rounds      ratios to the bare loop
//!   counts      memory per connection, system calls and instructions per request
//!   table       Markdown; `picture`: SVG
//! ```

mod counts;
mod echo;
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

use servers::Server;
use workloads::Speech;

const USAGE: &str = "\
Usage: cargo bench --bench peers -- [OPTIONS]

  --quick               short runs and few of them: an impression within 3 minutes
  --rounds N            runs of each server for each workload [9; 3 with --quick]
  --only WORD           workloads, memory, calls, and servers whose names contain WORD; may be
                        repeated; the bare loop always takes part
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
    list: bool,
}

impl Scope {
    fn of(arguments: &[String]) -> Result<Scope, String> {
        let mut scope = Scope {
            quick: false,
            rounds: 0,
            only: Vec::new(),
            peers: Vec::new(),
            svg: None,
            list: false,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--bench" => {}
                "--quick" => scope.quick = true,
                "--list" => scope.list = true,
                "--rounds" => {
                    let rounds = value()?.parse().ok().filter(|&rounds| rounds >= 2);
                    scope.rounds = rounds.ok_or("--rounds must be at least 2")?;
                }
                "--only" => scope.only.push(value()?.clone()),
                "--svg" => scope.svg = Some(value()?.clone()),
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
        let has = |name: &str| self.only.iter().any(|word| name.contains(word));
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
    let results = rounds::run(scope, &servers)?;
    let memory = counts::memory(scope, &servers)?;
    let costs = counts::costs(scope, &servers[0].command)?;
    table::print(scope, &servers, &results, &memory, &costs, &missing);
    match &scope.svg {
        Some(file) => fs::write(file, picture::svg(&servers, &results))
            .map_err(|error| Halt::Failed(format!("{file}: {error}"))),
        None => Ok(()),
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
