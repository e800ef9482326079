//! The inputs of `mynah bench`: a load, the servers to load, and the outputs.
//!
//! The command line fills this plain data. Settings that depend on several options are checked and
//! completed here, before anything is opened. `session` runs the bench.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kernel::{Address, Endpoint};
use crate::limits::{
    LOAD_DURATION_DEFAULT, LOAD_RATE_MAX, LOAD_RATE_MIN, LOAD_WARMUP_DEFAULT, PAIRS_MIN,
    ROUND_DURATION_DEFAULT, ROUND_WARMUP_DEFAULT, SWEEP_STEPS,
};

use crate::load::judge::assertion::Assertion;
use crate::load::plan::text::Moment;
use crate::load::plan::{Pace, Plan, Protocol, Until};
use crate::load::report::figures::Needs;
use crate::protocol::front::auth::AuthName;
use crate::transport::Wanted;

/// A server to load.
#[derive(Clone, Debug, PartialEq)]
pub enum Server {
    /// A server that is already running.
    At(Endpoint),
    /// A command that starts the server; `{port}` stands for its port.
    Command(String),
}

impl Server {
    /// Host and port as they were typed; `None` for a command or a local socket.
    pub fn place(&self) -> Option<String> {
        match self {
            Server::At(at) => at.to_string().strip_prefix("tcp://").map(str::to_owned),
            Server::Command(_) => None,
        }
    }
}

/// The process of a server that was not started here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPid {
    /// This one.
    Number(u32),
    /// The one that listens at the server's address.
    Auto,
}

/// All inputs from the command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bench {
    /// The load.
    pub plan: Plan,
    /// The servers. The others are compared with the first one.
    pub servers: Vec<Server>,
    /// The processes of servers that were not started here.
    pub pids: Vec<ServerPid>,
    /// The number of rounds in a comparison.
    pub pairs: usize,
    /// Whether the servers and the generator share one processor.
    pub same_core: bool,
    /// The assertions on the figures.
    pub assertions: Vec<Assertion>,
    /// The first and the last rate of a sweep.
    pub sweep: Option<(f64, f64)>,
    /// When the load begins.
    pub start_at: Option<Moment>,
    /// Whether the lines of `--interval` go to stdout as JSON.
    pub json_stream: bool,
    /// The address of the URL that was given as ADDR.
    pub origin: Option<String>,
    /// How the connections are secured.
    pub tls: Wanted,
    /// How each connection proves that it knows the key.
    pub auth: Option<AuthName>,
    /// The file with that key; both or none.
    pub auth_key_file: Option<PathBuf>,
    /// The file of paths and URLs.
    pub urls_file: Option<PathBuf>,
    /// The file of the HTTP body.
    pub body_file: Option<PathBuf>,
    /// The file of the message.
    pub message_file: Option<PathBuf>,
    /// Output file for the JSON report.
    pub json: Option<PathBuf>,
    /// Output file for the percentiles in HdrHistogram text.
    pub hgrm: Option<PathBuf>,
    /// Output file for the SVG report.
    pub svg: Option<PathBuf>,
}

impl Bench {
    /// Checks the options against each other. The error names the option.
    pub fn check(&self) -> Result<(), String> {
        self.plan.check()?;
        if self.servers.is_empty() {
            return Err("bench needs an ADDR, or --spawn 'CMD {port}'".to_owned());
        }
        if self.servers.len() > 1 && self.pairs < PAIRS_MIN {
            return Err(
                "--pairs must be at least 2: one pair cannot tell how much pairs vary".to_owned(),
            );
        }
        if self.same_core && self.plan.threads > 1 {
            return Err("--same-core has one thread; --threads does not go with it".to_owned());
        }
        if self.same_core && self.plan.pins.len() > 1 {
            return Err("--same-core has one processor; --pin must name that one alone".to_owned());
        }
        if self.same_core && self.plan.spin.is_some() {
            return Err(
                "--same-core has one processor, of which --spin would keep the server".to_owned(),
            );
        }
        let local = |server: &Server| matches!(server, Server::At(at) if at.is_local());
        if !self.plan.sources.is_empty() && self.servers.iter().any(local) {
            return Err("--source-ip has no meaning for a unix socket".to_owned());
        }
        for server in &self.servers {
            self.check_server(server)?;
        }
        let unknown = self
            .servers
            .iter()
            .filter(|server| matches!(server, Server::At(_)))
            .count();
        if self.same_core && self.pids.len() < unknown {
            return Err(
                "--same-core needs each server's process: --server-pid or --spawn".to_owned(),
            );
        }
        if self.pids.len() > unknown {
            return Err(format!(
                "--server-pid is given {} times for {unknown} addresses",
                self.pids.len()
            ));
        }
        if let Some((_, last)) = self.sweep.filter(|(_, last)| *last > LOAD_RATE_MAX) {
            return Err(format!(
                "--rate must be {LOAD_RATE_MIN} to {LOAD_RATE_MAX} a second, not {last}"
            ));
        }
        if self.sweep.is_some() && self.servers.len() > 1 {
            return Err("--rate A..B: not together with --vs; give one rate".to_owned());
        }
        if self.sweep.is_some() && matches!(self.plan.until, Until::Requests(_)) {
            return Err("--rate A..B: not together with --requests; give --duration".to_owned());
        }
        let documents = [
            ("--json", &self.json),
            ("--svg", &self.svg),
            ("--hgrm", &self.hgrm),
        ];
        for (name, path) in documents {
            if self.json_stream && path.as_deref() == Some(Path::new("-")) {
                return Err(format!(
                    "--json-stream: writes to stdout, as {name} does; name a file"
                ));
            }
        }
        self.check_assertions()
    }

    /// The rates of the steps of a sweep; empty without one.
    pub fn steps(&self) -> Vec<f64> {
        let Some((first, last)) = self.sweep else {
            return Vec::new();
        };
        let gap = (last - first) / (SWEEP_STEPS - 1) as f64;
        (0..SWEEP_STEPS)
            .map(|step| first + gap * step as f64)
            .collect()
    }

    /// Refuses assertions on figures that the run does not measure: they could only fail, and only
    /// after the run. Assertions are about the first server.
    fn check_assertions(&self) -> Result<(), String> {
        let is_closed_loop = self.plan.pace == Pace::Closed;
        let is_started = matches!(self.servers.first(), Some(Server::Command(_)));
        let has_process = is_started || !self.pids.is_empty();
        let is_http = self.plan.protocol == Protocol::Http;
        let first = self.servers.first();
        let sends_datagrams = matches!(first, Some(Server::At(at)) if at.is_datagrams());
        for condition in &self.assertions {
            let why = match condition.needs() {
                Needs::Schedule if is_closed_loop => {
                    "there is a response time only with --rate; try service:"
                }
                Needs::Handshake if sends_datagrams => {
                    "datagrams have no connect time: there is no handshake"
                }
                Needs::Statuses if !is_http => "replies have a status only with --protocol http",
                Needs::Process if !has_process => {
                    "needs the server's process: --server-pid or --spawn"
                }
                _ => continue,
            };
            return Err(format!("--assert '{}': {why}", condition.text()));
        }
        Ok(())
    }

    /// Checks a server before its name is resolved. The addresses are checked once they are known.
    fn check_server(&self, server: &Server) -> Result<(), String> {
        match server {
            Server::At(at) if at.is_datagrams() && self.auth.is_some() => {
                return Err(format!(
                    "{at}: --auth goes with connections; datagrams have none"
                ));
            }
            Server::At(at) if at.is_datagrams() => self
                .plan
                .check_datagrams()
                .map_err(|reason| format!("{at}: {reason}"))?,
            _ => {}
        }
        match server {
            Server::At(Endpoint::At(address)) => {
                self.plan.check_family(address, &address.to_string())
            }
            Server::At(other) => other
                .check_remote()
                .map_err(|reason| format!("{other}: {reason}")),
            Server::Command(_) => {
                let here = Address::Tcp((Ipv4Addr::LOCALHOST, 0).into());
                self.plan.check_family(&here, "a server on 127.0.0.1")
            }
        }
    }

    /// Sets defaults for missing options: the runs of a comparison are shorter, and a run by a
    /// count has no warm-up.
    pub fn settle(
        &mut self,
        duration: Option<Duration>,
        requests: Option<u64>,
        warmup: Option<Duration>,
    ) {
        let pick = |alone, many| if self.servers.len() > 1 { many } else { alone };
        self.plan.until = match requests {
            Some(requests) => Until::Requests(requests),
            None => {
                Until::Time(duration.unwrap_or(pick(LOAD_DURATION_DEFAULT, ROUND_DURATION_DEFAULT)))
            }
        };
        self.plan.warmup = match requests {
            Some(_) => warmup.unwrap_or(Duration::ZERO),
            None => warmup.unwrap_or(pick(LOAD_WARMUP_DEFAULT, ROUND_WARMUP_DEFAULT)),
        };
    }
}
