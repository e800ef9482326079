//! Parses the command line `mynah [COMMAND] [WORDS] [OPTIONS]` into checked values.
//!
//! [`parse`] returns a command to run, a text to print, or one line that names the input, the
//! reason, and what would be right. It prints nothing, opens nothing and never panics, whatever the
//! arguments are. Its values need no further check. The commands and flags are in `table`, the
//! values in `values`, the help and other texts in `texts`; this file walks through the arguments.
//! Neighbour: `cli::run` runs the result.

mod bench;
mod services;
mod table;
mod texts;
mod values;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::text::escape::escape;
use crate::base::token_bucket::Rate;
use crate::kernel::batch::Submit;
use crate::kernel::journal::files::Format;
use crate::kernel::{Address, Endpoint, Trigger};
use crate::limits;
use crate::load::run::bench::Bench;
use crate::protocol::codec::Codec;
use crate::protocol::framing::{Framing, OnTooLong, Raw};
pub use crate::protocol::front::auth::AuthName;
use crate::protocol::front::proxy::Version;
use crate::server::admission::AcceptPolicy;
use crate::server::admission::announced::Range;
use crate::server::blocking::Model;
use crate::server::observe::counters::StatsFormat;
use crate::server::observe::wiretap::Detail;
use crate::transport::Wanted;
use table::{COMMANDS, CommandRow, Effect, Flag, MODELS};
use values::shown;

pub use services::ServiceName;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
// There is only one, and it is taken apart at once.
#[allow(clippy::large_enum_variant)]
pub enum Parsed {
    /// Run this command.
    Run(Command),
    /// Print this text, which ends with a line feed.
    Help(String),
    /// Print the version.
    Version,
}

/// A command with its options, checked.
#[derive(Clone, Debug, PartialEq)]
// There is only one, and it is taken apart at once.
#[allow(clippy::large_enum_variant)]
pub enum Command {
    /// Serve connections until a signal ends it.
    Serve(Box<Serve>),
    /// Load servers and measure them.
    Bench(Box<Bench>, TraceFile),
    /// Talk to the server there.
    Connect(Endpoint, Connect),
    /// Add up documents of several generators.
    Merge(Merge),
    /// `mynah lab`.
    Lab(Lab),
    /// Print the frames of standard input.
    Decode(Decode),
    /// Print or check digests of files.
    #[cfg(feature = "auth")]
    Sum(Sum),
    /// Print the hash of a password.
    #[cfg(feature = "auth")]
    HashPassword,
}

impl Command {
    /// The same command with a trace.
    fn traced(mut self, wanted: TraceFile) -> Command {
        match &mut self {
            Command::Serve(serve) => serve.trace = wanted,
            Command::Bench(_, trace) => *trace = wanted,
            Command::Connect(_, connect) => connect.trace = wanted,
            Command::Lab(lab) => lab.trace = wanted,
            Command::Merge(_) | Command::Decode(_) => {}
            #[cfg(feature = "auth")]
            Command::Sum(_) | Command::HashPassword => {}
        }
        self
    }

    /// Whether each log line begins with the time.
    pub fn log_time(&self) -> bool {
        matches!(self, Command::Serve(serve) if serve.log_time)
    }
}

/// The options of all commands while they are collected, before they are known to be complete.
#[derive(Default)]
struct Options {
    serve: Serve,
    /// The value of `--frame`, if given. The default depends on the service.
    framing: Option<Framing>,
    bench: bench::Draft,
    connect_to: Option<Endpoint>,
    connect: Connect,
    decode: Decode,
    merge: Merge,
    lab: Lab,
    sum: Sum,
    ftp: Ftp,
    /// How `connect` and `bench` secure their connections.
    tls: Wanted,
    trace: TraceFile,
    /// The flags that were given.
    given: Vec<&'static str>,
}

/// The options of `mynah serve`.
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    /// Addresses to listen on; never empty.
    pub listen: Vec<Endpoint>,
    /// The places in `listen` of the IPv6 halves of `*:PORT`, each behind its IPv4 half. Such a
    /// half has the port of the other, and is left out on a machine without IPv6.
    pub listen_halves: Vec<usize>,
    /// No address was given, and `listen` has the default.
    pub is_listen_default: bool,
    /// An option that was given and is about connections alone. It is refused if no listener takes
    /// connections, which for passed sockets is known only after the options.
    pub connection_only: Option<&'static str>,
    /// Serve standard input, which is a connection or a listener.
    pub inetd: bool,
    /// The service.
    pub service: ServiceName,
    /// Convert all letters to upper case, not only ASCII; only for [`ServiceName::Upper`].
    pub unicode: bool,
    /// Text before every reply; only for [`ServiceName::Echo`], and not empty.
    pub prefix: Option<String>,
    /// The dictionary file; required for [`ServiceName::Dict`], and only for it.
    pub dictionary: Option<PathBuf>,
    /// The command lines that may be run; only for [`ServiceName::Run`].
    pub allow: Vec<String>,
    /// What `mynah ftp` serves; only for `ServiceName::Ftp`.
    pub ftp: Option<Ftp>,
    /// The framing.
    pub framing: Framing,
    /// How payloads are written; `None` leaves them as they are.
    pub codec: Option<Codec>,
    /// How peers have to prove that they know the key.
    pub auth: Option<AuthName>,
    /// The file with that key; both or none.
    pub auth_key_file: Option<PathBuf>,
    /// The largest frame in bytes, header included.
    pub frame_size_max: usize,
    /// What to do with a larger frame.
    pub on_too_long: OnTooLong,
    /// Which thread or process serves a connection.
    pub model: Model,
    /// Threads of [`Model::Pool`].
    pub pool_threads: usize,
    /// Accepted connections that may wait for one of them.
    pub pool_queue: u32,
    /// Number of workers in each process.
    pub threads: usize,
    /// Number of worker processes; `None` serves in this one.
    pub processes: Option<u32>,
    /// Time between two reports of a worker process; `None` is never.
    pub alive: Option<Duration>,
    /// Maximum number of simultaneous connections, over all workers. `None` is the default, or
    /// fewer if the descriptor limit does not allow it.
    pub connections_max: Option<u32>,
    /// Maximum number of connections from one address, over all workers; `None` is no limit.
    pub connections_per_ip_max: Option<u32>,
    /// Memory ceiling in bytes, over all workers.
    pub memory_max: usize,
    /// Backlog of each listener, see listen(2).
    pub backlog: u32,
    /// Longest time in which no byte moves in either direction; `None` is no limit.
    pub idle_timeout: Option<Duration>,
    /// Longest time in which nothing is read; `None` is no limit.
    pub idle_read: Option<Duration>,
    /// Longest time in which nothing is sent; `None` is no limit.
    pub idle_write: Option<Duration>,
    /// Bytes that are read from each connection; `None` is no limit.
    pub rate: Option<Rate>,
    /// Bytes that are read from all connections together; `None` is no limit.
    pub rate_total: Option<Rate>,
    /// Bytes that are sent to each connection; `None` is no limit.
    pub rate_out: Option<Rate>,
    /// Bytes that are sent to all connections together; `None` is no limit.
    pub rate_out_total: Option<Rate>,
    /// Longest time in which the peer may take less than `stall_size_min`; `None` is no limit.
    pub stall_timeout: Option<Duration>,
    /// Bytes that the peer must take in `stall_timeout`, unless it takes all.
    pub stall_size_min: usize,
    /// Longest time from the first byte of a frame to its last; `None` is no limit.
    pub frame_timeout: Option<Duration>,
    /// Longest time for a drain; zero does not wait.
    pub drain_timeout: Duration,
    /// `TCP_NODELAY`.
    pub nodelay: bool,
    /// How workers share connections.
    pub accept: AcceptPolicy,
    /// Keep each worker on a processor of its own.
    pub pin: bool,
    /// How epoll reports readiness.
    pub trigger: Trigger,
    /// How the receives and sends of a batch reach the kernel.
    pub submit: Submit,
    /// How long to poll for events before sleeping; `None` sleeps at once.
    pub spin: Option<Duration>,
    /// Accept a connection only after its first data has arrived (TCP_DEFER_ACCEPT).
    pub defer_accept: bool,
    /// The permissions of socket files; `None` leaves them to the umask.
    pub unix_mode: Option<u32>,
    /// Time between two lines of statistics; `None` prints none.
    pub stats_interval: Option<Duration>,
    /// How a line of statistics is written; `None` depends on its reader.
    pub stats_format: Option<StatsFormat>,
    /// Put the time in front of each log line.
    pub log_time: bool,
    /// The user to become after all addresses are bound, NAME or NAME:GROUP.
    pub user: Option<String>,
    /// The certificates of TLS in PEM; with `tls_key`, or without it plain.
    pub tls_cert: Option<PathBuf>,
    /// The key of the first certificate.
    pub tls_key: Option<PathBuf>,
    /// Longest time of a TLS handshake; `None` is no limit.
    pub handshake_timeout: Option<Duration>,
    /// Log each event of each connection, with so much of its data.
    pub wiretap: Option<Detail>,
    /// The trace.
    pub trace: TraceFile,
    /// Whether connections begin with the header of a load balancer: they may, or they must.
    pub proxy: Option<ProxyMode>,
    /// The peers that may send one; empty for all.
    pub proxy_from: Vec<Range>,
    /// Where the pages of the server about itself are served.
    pub metrics: Option<Endpoint>,
    /// Where the next process asks for the sockets of this one, and this one asks a running one.
    pub takeover: Option<PathBuf>,
}

/// Where a trace goes.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceFile {
    /// The file; its extension is that of a format. `None` traces nothing.
    pub file: Option<PathBuf>,
    /// Records that are kept.
    pub last: usize,
}

impl TraceFile {
    /// Whether it is drawn as packets.
    fn is_packets(&self) -> bool {
        let format = self.file.as_deref().map(Format::of);
        format.is_some_and(|format| format == Ok(Format::Packets))
    }
}

impl Default for TraceFile {
    fn default() -> TraceFile {
        TraceFile {
            file: None,
            last: limits::TRACE_RECORDS_DEFAULT,
        }
    }
}

/// How `--proxy-protocol` treats a connection without a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// It is served like any other.
    Accept,
    /// It is closed.
    Require,
}

impl Serve {
    /// Number of workers over all processes.
    pub fn workers(&self) -> usize {
        self.threads * self.processes.unwrap_or(1) as usize
    }

    /// Checks whether datagrams can be served at those of `addresses` that have some.
    ///
    /// # Errors
    ///
    /// One line that names the address.
    pub fn check_datagrams(&self, addresses: &[Address]) -> Result<(), String> {
        let Some(address) = addresses.iter().find(|at| at.is_datagrams()) else {
            return Ok(());
        };
        self.check_datagram_listener(address)?;
        match addresses.iter().all(Address::is_datagrams) {
            true => self.check_connection_only(address),
            false => Ok(()),
        }
    }

    /// Checks whether an option is about connections alone, which the listener `at` does not have.
    fn check_connection_only(&self, at: &dyn fmt::Display) -> Result<(), String> {
        match self.connection_only {
            Some(flag) => Err(format!(
                "{flag}: is about connections, and --listen {at} has none"
            )),
            None => Ok(()),
        }
    }

    fn check_datagram_listener(&self, at: &dyn fmt::Display) -> Result<(), String> {
        if matches!(self.service, ServiceName::Robot | ServiceName::Http) {
            let service = self.service;
            return Err(format!(
                "--listen {at}: {service} needs a connection, such as tcp://HOST:PORT"
            ));
        }
        let of_streams = [
            ("--tls-cert", self.tls_cert.is_some()),
            ("--auth", self.auth.is_some()),
            ("--proxy-protocol", self.proxy.is_some()),
            ("--submit ring", self.submit == Submit::Ring),
            ("--takeover", self.takeover.is_some()),
        ];
        if let Some((flag, _)) = of_streams.iter().find(|(_, is_given)| *is_given) {
            return Err(format!(
                "{flag}: does not combine with datagrams, and {at} takes them"
            ));
        }
        if self.model != Model::Epoll {
            let model = name_of(&self.model, MODELS);
            return Err(format!(
                "--model {model}: does not combine with --listen {at}, which needs epoll"
            ));
        }
        Ok(())
    }
}

impl Default for Serve {
    /// The settings of `mynah` without arguments. `listen` is empty, because `--listen` replaces
    /// the default address instead of adding to it.
    #[inline(never)]
    fn default() -> Serve {
        Serve {
            listen: Vec::new(),
            listen_halves: Vec::new(),
            is_listen_default: false,
            connection_only: None,
            inetd: false,
            service: ServiceName::Echo,
            unicode: false,
            prefix: None,
            dictionary: None,
            allow: Vec::new(),
            ftp: None,
            framing: Framing::Raw(Raw),
            codec: None,
            auth: None,
            auth_key_file: None,
            frame_size_max: limits::FRAME_MAX_DEFAULT,
            on_too_long: OnTooLong::Close,
            model: Model::Epoll,
            pool_threads: limits::POOL_THREADS_DEFAULT,
            pool_queue: limits::POOL_QUEUE_DEFAULT,
            threads: limits::THREADS_DEFAULT,
            processes: None,
            alive: Some(limits::ALIVE_DEFAULT),
            connections_max: None,
            connections_per_ip_max: None,
            memory_max: limits::MEMORY_DEFAULT,
            backlog: limits::BACKLOG_DEFAULT,
            idle_timeout: Some(limits::IDLE_TIMEOUT_DEFAULT),
            idle_read: None,
            idle_write: None,
            rate: None,
            rate_total: None,
            rate_out: None,
            rate_out_total: None,
            stall_timeout: Some(limits::STALL_TIMEOUT_DEFAULT),
            stall_size_min: limits::STALL_SIZE_MIN_DEFAULT,
            frame_timeout: Some(limits::FRAME_TIMEOUT_DEFAULT),
            drain_timeout: limits::DRAIN_TIMEOUT_DEFAULT,
            nodelay: true,
            accept: AcceptPolicy::Reuseport,
            pin: false,
            trigger: Trigger::Edge,
            submit: Submit::Calls,
            spin: None,
            defer_accept: false,
            unix_mode: None,
            stats_interval: None,
            stats_format: None,
            log_time: false,
            user: None,
            tls_cert: None,
            tls_key: None,
            handshake_timeout: Some(limits::HANDSHAKE_TIMEOUT_DEFAULT),
            wiretap: None,
            trace: TraceFile::default(),
            proxy: None,
            proxy_from: Vec::new(),
            metrics: None,
            takeover: None,
        }
    }
}

/// The options of `mynah connect`.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// The header of a load balancer that is sent in front of everything.
    pub proxy: Option<Version>,
    /// The framing.
    pub framing: Framing,
    /// How payloads are written; `None` leaves them as they are.
    pub codec: Option<Codec>,
    /// How to prove that the key is known.
    pub auth: Option<AuthName>,
    /// The file with that key; both or none.
    pub auth_key_file: Option<PathBuf>,
    /// The largest frame in bytes, header included.
    pub frame_size_max: usize,
    /// The only message, instead of the messages of standard input.
    pub once: Option<String>,
    /// The server sends a greeting first, which is not the reply; only with `once`.
    pub greeting: bool,
    /// Try to connect more than once.
    pub retry: bool,
    /// Do not randomize the pauses between tries; only with `retry`.
    pub no_jitter: bool,
    /// Longest time for a connect to one address; `None` waits as long as the kernel tries.
    pub connect_timeout: Option<Duration>,
    /// Longest wait for the server of any kind; `None` is no limit.
    pub timeout: Option<Duration>,
    /// How the connection is secured.
    pub tls: Wanted,
    /// The trace.
    pub trace: TraceFile,
}

/// The options of `mynah merge`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merge {
    /// The documents to read; never empty.
    pub files: Vec<PathBuf>,
    /// Output file for the document of the sum.
    pub json: Option<PathBuf>,
}

/// The options of `mynah lab`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lab {
    /// What to play; `None` lists the experiments.
    pub choice: Option<LabChoice>,
    /// One line for each experiment.
    pub quiet: bool,
    /// Output file for the results as JSON.
    pub json: Option<PathBuf>,
    /// The trace.
    pub trace: TraceFile,
}

/// The options of `mynah sum`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sum {
    /// The flag of the algorithm; `None` is the default.
    pub algorithm: Option<&'static str>,
    /// Text in front of each file.
    pub salt: Option<String>,
    /// The file with the key of an HMAC.
    pub hmac_key_file: Option<PathBuf>,
    /// The list to verify.
    pub check: Option<PathBuf>,
    /// Compare two files.
    pub same: bool,
    /// The files to read; none is standard input.
    pub files: Vec<PathBuf>,
}

/// The options that `mynah ftp` alone has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ftp {
    /// The folder below which the homes are; empty if it was not given.
    pub root: PathBuf,
    /// The file of users.
    pub users: Option<PathBuf>,
    /// Let `anonymous` in without a password.
    pub anonymous: bool,
    /// The ports of passive data connections; `None` is any.
    pub data_ports: Option<RangeInclusive<u16>>,
    /// Print the hash of a password instead.
    pub hash_password: bool,
}

/// What `mynah lab` plays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LabChoice {
    /// All experiments, in teaching order.
    All,
    /// The experiment at this place of the table.
    One(usize),
}

/// The options of `mynah decode`.
#[derive(Clone, Debug, PartialEq)]
pub struct Decode {
    /// The framing.
    pub framing: Framing,
    /// How payloads are written; `None` leaves them as they are.
    pub codec: Option<Codec>,
    /// The largest frame in bytes.
    pub frame_size_max: usize,
    /// What to do with a larger frame.
    pub on_too_long: OnTooLong,
    /// The input is hex; each line is one arrival.
    pub hex: bool,
    /// Draw each frame.
    pub explain: bool,
}

impl Default for Decode {
    fn default() -> Decode {
        Decode {
            framing: Framing::Raw(Raw),
            codec: None,
            frame_size_max: limits::FRAME_MAX_DEFAULT,
            on_too_long: OnTooLong::Close,
            hex: false,
            explain: false,
        }
    }
}

impl Default for Connect {
    fn default() -> Connect {
        Connect {
            proxy: None,
            framing: Framing::Raw(Raw),
            codec: None,
            auth: None,
            auth_key_file: None,
            frame_size_max: limits::FRAME_MAX_DEFAULT,
            once: None,
            greeting: false,
            retry: false,
            no_jitter: false,
            connect_timeout: Some(limits::CONNECT_TIMEOUT_DEFAULT),
            timeout: None,
            tls: Wanted::default(),
            trace: TraceFile::default(),
        }
    }
}

fn name_of<T: PartialEq>(value: &T, names: &[(&'static str, T)]) -> &'static str {
    names
        .iter()
        .find(|(_, named)| named == value)
        .map_or("", |(name, _)| name)
}

/// Parses the arguments, without the program's own name.
///
/// # Errors
///
/// One line without the program's name: the input, the reason, and what would be right.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    // A reason from any layer may quote its input, so escape the whole line.
    read(args).map_err(|line| escape(&line))
}

fn read(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    let mut args = args.into_iter().peekable();
    let first = |name: &OsString| name.to_str().map(str::to_owned);
    let first = args.peek().and_then(first).unwrap_or_default();
    if let Some(row) = texts::row(&first) {
        let words: Vec<OsString> = args.skip(1).collect();
        let words: Result<Vec<&str>, _> = words.iter().map(|word| utf8(word)).collect();
        return row.parse(&words?);
    }
    let named = table::command(&first);
    if named.is_some() {
        args.next();
    }
    let command = named.unwrap_or(&COMMANDS[0]);
    // Without a word, the help is about the whole program.
    let help = |words: usize| match named.is_some() || words > 0 {
        true => Ok(Parsed::Help(texts::of_command(command))),
        false => Ok(Parsed::Help(texts::overview())),
    };
    let mut options = Options::default();
    let mut position = 0;
    let mut flags_ended = false;
    // The word before this one, if it was a switch without a value.
    let mut switch = None;
    // The flags that took the next word as the name of their file.
    let mut files = Vec::new();
    while let Some(arg) = args.next() {
        let arg = utf8(&arg)?;
        if flags_ended || !arg.starts_with('-') || arg == "-" {
            if arg == "help" && !flags_ended {
                return help(position + 1);
            }
            let taken = take_word(command, named.is_some(), &mut options, position, arg);
            taken.map_err(|reason| switch_or(switch.take(), arg, reason))?;
            position += 1;
            continue;
        }
        if arg == "--" {
            flags_ended = true;
            continue;
        }
        let (flag, attached) = command.flag(arg)?;
        options.given.push(flag.long);
        let name = written_name(flag, arg);
        let apply = |options: &mut Options, apply: table::Apply, value: &str| {
            apply(options, value).map_err(|why| format!("{name} {}: {why}", shown(value)))
        };
        switch = None;
        match (&flag.effect, attached) {
            (Effect::Help, None) => return help(position),
            (Effect::Version, None) => return Ok(Parsed::Version),
            (Effect::Help | Effect::Version, Some(_)) => {
                return Err(format!("{}: {name} takes no value", shown(arg)));
            }
            (Effect::Switch(set), Some(value)) => apply(&mut options, *set, value)?,
            (Effect::Switch(set), None) => {
                match args.next_if(|next| next == "on" || next == "off") {
                    Some(value) => apply(&mut options, *set, utf8(&value)?)?,
                    // A value that was not written is not quoted.
                    None => set(&mut options, "on").map_err(|why| format!("{name}: {why}"))?,
                }
                switch = Some(flag.long);
            }
            (Effect::Value(_, set) | Effect::Output(set), Some(value)) => {
                apply(&mut options, *set, value)?;
            }
            (Effect::Attached(set), value) => {
                apply(&mut options, *set, value.unwrap_or("-"))?;
            }
            (Effect::Output(set), None) => {
                let is_file =
                    |next: &OsString| next == "-" || !next.as_encoded_bytes().starts_with(b"-");
                let file = args.next_if(is_file).unwrap_or_else(|| "-".into());
                let file = utf8(&file)?;
                apply(&mut options, *set, file)?;
                if file != "-" {
                    files.push((flag.long, file.to_owned()));
                }
            }
            (Effect::Value(value, set), None) => {
                // The next argument is a flag, so this flag has no value.
                let is_value = |next: &OsString| !next.as_encoded_bytes().starts_with(b"--");
                let Some(next) = args.next_if(is_value) else {
                    return Err(format!("{name}: needs a value, {name} {value}"));
                };
                apply(&mut options, *set, utf8(&next)?)?;
            }
        }
    }
    let trace = options.trace.clone();
    // The command of the lab is checked with it.
    options.lab.trace = trace.clone();
    if trace.file.is_none() && trace != TraceFile::default() {
        return Err("--trace-last: goes with --trace FILE".to_owned());
    }
    let finished = (command.finish)(options).map(|command| Parsed::Run(command.traced(trace)));
    finished.map_err(|reason| match files.first() {
        // In `bench --json 7007` the address has become the name of the file.
        Some((flag, file)) if position == 0 => {
            let file = shown(file);
            format!("{reason}; {flag} took {file} as the name of its file, write {flag}={file}")
        }
        _ => reason,
    })
}

/// The name of the flag as it was written, without an attached value.
fn written_name<'a>(flag: &Flag, written: &'a str) -> &'a str {
    match flag.short {
        Some(short) if written.starts_with(short) => &written[..short.len()],
        _ => written.split_once('=').map_or(written, |(name, _)| name),
    }
}

/// The reason against a word, or that it is no value of the switch before it. A word near a known
/// one, or one with a reason of its own, was not meant as a value.
fn switch_or(switch: Option<&str>, word: &str, reason: String) -> String {
    match switch {
        Some(switch) if reason.contains(": unknown, must be ") => {
            format!("{switch} {}: must be on or off", shown(word))
        }
        _ => reason,
    }
}

/// Passes `word` to the command, or returns why the command does not accept it.
fn take_word(
    command: &CommandRow,
    named: bool,
    options: &mut Options,
    position: usize,
    word: &str,
) -> Result<(), String> {
    (command.word)(options, position, word).map_err(|reason| match table::command(word) {
        Some(late) if !named => format!("{word}: must come first, {}", late.usage),
        _ if !named && position == 0 => format!("{}: {}", shown(word), table::unknown_word(word)),
        _ => format!("{}: {reason}", shown(word)),
    })
}

/// The argument as text. Bytes that are not UTF-8 are shown escaped, so that none is lost.
fn utf8(arg: &OsStr) -> Result<&str, String> {
    arg.to_str()
        .ok_or_else(|| format!("{arg:?}: is not UTF-8, must be text"))
}

#[cfg(test)]
mod tests;
