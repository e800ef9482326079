//! From options to concrete types; the only file that names them all.
//!
//! It opens what the loop is given, sockets and memory, prints the ready line, and turns the ways
//! of ending into exit codes. Nothing here is on the way of a byte.

mod bench;
pub mod log_writer;
mod service;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::net::IpAddr;

use crate::client::{self, Backoff, Client, Source};
use crate::connection::Protocol;
use crate::decode;
use crate::drive::plan::{Demand, Plan, share};
use crate::drive::workers::{self, Ending};
use crate::drive::{Server, Settings};
use crate::framing::Framing;
use crate::kernel::{
    Address, Linux, ListenOptions, OpenError, OpenStep, Opener, Poller, Streams, Traced, Waker,
    block_signals, process,
};
use crate::limits;
use crate::options::{Command, Connect, Decode, Serve};
use crate::service::Service;

pub use service::{ServiceUser, with_service};

/// How the program ends when it does not end well; scripts tell the cases apart by the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command line was wrong.
    Usage = 1,
    /// A socket could not be made or set.
    Socket = 2,
    /// An address could not be bound.
    Bind = 3,
    /// A socket could not listen.
    Listen = 4,
    /// Nobody could be reached.
    Connect = 5,
    /// A process could not be started.
    Fork = 6,
    /// Reading, writing or waiting failed, or took too long.
    Io = 7,
    /// What the user asserted does not hold.
    Assertion = 8,
    /// The peer broke the protocol.
    Protocol = 9,
    /// The drain was over before all replies were taken.
    DrainCut = 10,
}

/// Why the program ends, for the one line that it prints and the code that it leaves.
#[derive(Debug)]
pub struct Failure {
    /// The exit code: one of [`Exit`], or 128 and a signal's number.
    pub code: u8,
    /// The line, without the program's name; empty when there is nothing to tell.
    pub line: String,
}

impl Failure {
    /// An end with the code of `exit`.
    pub fn new(exit: Exit, line: impl Into<String>) -> Failure {
        Failure {
            code: exit as u8,
            line: line.into(),
        }
    }

    /// An end that signal number `signal` asked for.
    pub fn signal(signal: i32) -> Failure {
        Failure {
            code: 128_u8.wrapping_add(signal as u8),
            line: String::new(),
        }
    }
}

/// Writes `text` to stdout. A reader that went away has read enough.
///
/// # Errors
///
/// What else refuses it.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Runs a command to its end.
///
/// # Errors
///
/// What ended it before its time.
pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Bench(options) => bench::bench(*options),
        Command::Serve(options) => with_service(&options, Serving((*options).clone())),
        Command::Connect(address, options) => connect(address, options),
        Command::Decode(options) => decode(&options),
    }
}

/// Whether the system calls are to be told.
fn tells_calls() -> bool {
    log::log_enabled!(target: "mynah::calls", log::Level::Trace)
}

/// Serves on the kernel as it is; or, for who wants to read along, on one that tells every call.
struct Serving(Serve);

impl ServiceUser for Serving {
    type Outcome = Result<(), Failure>;

    fn with<S>(self, load: impl FnMut() -> Result<S, String>) -> Result<(), Failure>
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        if tells_calls() {
            serve_on(self.0, load, Traced)
        } else {
            serve_on(self.0, load, |linux| linux)
        }
    }
}

fn serve_on<K, S>(
    mut options: Serve,
    mut load: impl FnMut() -> Result<S, String>,
    wrap: impl Fn(Linux) -> K,
) -> Result<(), Failure>
where
    K: Poller<Socket: Send> + Opener + Send + 'static,
    S: Service<State: Send> + Clone + Send + 'static,
{
    let service = load().map_err(|reason| Failure::new(Exit::Usage, reason))?;
    options.connections_max = connections_that_fit(&options)?;
    let framing = limited(options.framing, options.frame_size_max)?;
    let protocol = Protocol {
        framing,
        on_too_long: options.on_too_long,
        service,
    };
    let demand = Demand {
        memory_max: options.memory_max,
        connections_max: options.connections_max as usize,
        threads: options.threads,
        frame_size_max: options.frame_size_max,
        slot_size: Server::<K, S>::slot_size(options.connections_per_ip_max.is_some()),
    };
    let plan = demand.plan(&protocol).map_err(|reason| {
        Failure::new(
            Exit::Usage,
            format!("--max-memory {}: {reason}", options.memory_max),
        )
    })?;

    block_signals().map_err(io_failure("signals"))?;
    let mut servers = Vec::new();
    let mut wakers = Vec::<Waker>::new();
    let mut addresses = options.listen.clone();
    for worker in 0..options.threads {
        let linux = Linux::new(worker == 0).map_err(io_failure("epoll"))?;
        wakers.push(linux.waker());
        let mut kernel = wrap(linux);
        let listeners = open_listeners(&mut kernel, &mut addresses, &options)?;
        let settings = settings(&options, &plan, worker);
        let server = Server::new(kernel, listeners, protocol.clone(), settings)
            .map_err(io_failure("starting a worker"))?;
        servers.push(server);
    }
    announce(&options, &addresses, &plan);
    match workers::run(servers, wakers, options.stats_interval, load)
        .map_err(io_failure("serving"))?
    {
        Ending::Stopped(signal) => Err(Failure::signal(signal)),
        Ending::Drained { cut: 0, counters } => {
            log::info!(
                "drained; connections served: {}",
                counters.connections_total
            );
            Ok(())
        }
        Ending::Drained { cut, .. } => {
            let line = format!("the drain time-out cut {cut} connections that were owed replies");
            Err(Failure::new(Exit::DrainCut, line))
        }
    }
}

/// Talks to the server at `address` until one of the two has enough.
fn connect(address: Address, options: Connect) -> Result<(), Failure> {
    let source = match options.once {
        Some(message) => Source::Message(message.into()),
        None if io::stdin().is_terminal() => Source::Terminal,
        None => Source::Pipe,
    };
    // The standard library's hash maps are seeded by the system, and so it has a seed to give.
    let seed = (!options.no_jitter).then(|| RandomState::new().hash_one(0));
    let tries = if options.retry {
        limits::CONNECT_TRIES
    } else {
        1
    };
    let settings = client::Settings {
        framing: limited(options.framing, options.frame_size_max)?,
        frame_size_max: options.frame_size_max,
        source,
        terminal: io::stdout().is_terminal(),
        backoff: Backoff::new(tries, seed),
        timeout: options.timeout,
        address,
    };
    let linux = Linux::new(true).map_err(io_failure("epoll"))?;
    if tells_calls() {
        talk(Traced(linux), settings)
    } else {
        talk(linux, settings)
    }
}

fn talk<K: Streams + Opener>(kernel: K, settings: client::Settings) -> Result<(), Failure> {
    let address = settings.address.clone();
    let failure = match Client::new(kernel, settings).and_then(Client::run) {
        Ok(client::Ending::Done) => return Ok(()),
        Ok(client::Ending::Signal(number)) => return Err(Failure::signal(number)),
        Err(client::Failure::Open(refused)) => return Err(open_failure(&address, refused)),
        Err(failure) => failure,
    };
    let exit = match failure {
        client::Failure::Protocol(_) => Exit::Protocol,
        client::Failure::Message(_) => Exit::Usage,
        _ => Exit::Io,
    };
    Err(Failure::new(exit, failure.to_string()))
}

/// Prints the frames of standard input.
fn decode(options: &Decode) -> Result<(), Failure> {
    let settings = decode::Settings {
        framing: limited(options.framing, options.frame_size_max)?,
        frame_size_max: options.frame_size_max,
        on_too_long: options.on_too_long,
        explain: options.explain,
    };
    let input = io::stdin().lock();
    let mut output = BufWriter::new(io::stdout().lock());
    let ended = if options.hex {
        decode::decode(settings, &mut decode::HexLines::new(input), &mut output)
    } else {
        decode::decode(settings, &mut decode::Plain(input), &mut output)
    };
    ended.or_else(|failure| match failure {
        // A reader that went away has read enough.
        decode::Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        decode::Failure::Output(error) => Err(io_failure("stdout")(error)),
        decode::Failure::Input(error) => Err(io_failure("stdin")(error)),
        decode::Failure::Hex(line, why) => {
            Err(Failure::new(Exit::Usage, format!("line {line}: {why}")))
        }
        decode::Failure::Wrong => Err(Failure::new(Exit::Protocol, "")),
    })
}

/// The framing with its limit, which must admit a frame.
fn limited(framing: Framing, frame_size_max: usize) -> Result<Framing, Failure> {
    let refused = |reason| format!("--frame-max {frame_size_max}: {reason}");
    let limited = framing.limited(frame_size_max).map_err(refused);
    limited.map_err(|line| Failure::new(Exit::Usage, line))
}

/// As many connections as were asked for, or as there can be descriptors for.
fn connections_that_fit(options: &Serve) -> Result<u32, Failure> {
    let limit = process::raise_descriptor_limit().map_err(io_failure("the descriptor limit"))?;
    let (threads, addresses) = (options.threads as u64, options.listen.len() as u64);
    let others = limits::DESCRIPTORS_FIXED + threads * (limits::DESCRIPTORS_PER_WORKER + addresses);
    let fit = limit.saturating_sub(others);
    if fit < threads {
        let line = format!("the descriptor limit {limit} leaves no room for connections");
        return Err(Failure::new(Exit::Socket, line));
    }
    match u32::try_from(fit) {
        Ok(fit) if fit < options.connections_max => {
            log::warn!(
                "--max-connections {}: only {fit} fit under the hard descriptor limit of {limit}",
                options.connections_max
            );
            Ok(fit)
        }
        _ => Ok(options.connections_max),
    }
}

/// One listener for each address. The first worker learns which ports the kernel chose, and the
/// others listen there too.
fn open_listeners<K: Opener>(
    kernel: &mut K,
    addresses: &mut [Address],
    options: &Serve,
) -> Result<Vec<K::Socket>, Failure> {
    let listen = ListenOptions {
        backlog: options.backlog,
        reuse_port: options.threads > 1,
        nodelay: options.nodelay,
        keepalive: Some(limits::KEEPALIVE),
        user_timeout: Some(limits::USER_TIMEOUT),
        receive_buffer: None,
        send_buffer: None,
        defer_accept: options.defer_accept.then_some(limits::DEFER_ACCEPT),
    };
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = kernel
            .listen(address, &listen)
            .map_err(|error| open_failure(address, error))?;
        *address = kernel.local(&listener).map_err(io_failure("getsockname"))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn settings(options: &Serve, plan: &Plan, worker: usize) -> Settings {
    let share = |all: u32| share(all, options.threads, worker);
    Settings {
        connections_max: share(options.connections_max) as usize,
        workspaces: plan.workspaces,
        workspace: plan.workspace,
        trigger: options.trigger,
        defer_accept: options.defer_accept,
        spin: options.spin,
        idle_timeout: options.idle_timeout,
        stall_timeout: options.stall_timeout,
        stall_size_min: options.stall_size_min,
        frame_timeout: options.frame_timeout,
        connections_per_ip_max: options.connections_per_ip_max.map(share),
        drain_timeout: options.drain_timeout,
    }
}

/// The ready line, on stdout for whoever started this, and a hint for a person.
fn announce(options: &Serve, addresses: &[Address], plan: &Plan) {
    let listed: Vec<String> = addresses.iter().map(Address::to_string).collect();
    let plural = if options.threads == 1 { "" } else { "s" };
    workers::print_line(&format!(
        "ready: service {}, frame {}, on {}, {} worker{plural}, at most {} connections, \
         at most {} bytes of memory",
        options.service,
        options.framing,
        listed.join(" "),
        options.threads,
        options.connections_max,
        plan.ceiling,
    ));
    if let Some(address) = addresses.first() {
        let hint = hint(address, options);
        log::info!("talk to it with: {hint}    (Ctrl-C here ends it)");
    }
}

/// A command that talks to the server at `address`.
fn hint(address: &Address, options: &Serve) -> String {
    match address {
        Address::Tcp(tcp) if !options.framing.has_boundaries() => {
            let (host, port) = (tcp.ip(), tcp.port());
            match host {
                IpAddr::V4(all) if all.is_unspecified() => format!("nc 127.0.0.1 {port}"),
                IpAddr::V6(all) if all.is_unspecified() => format!("nc ::1 {port}"),
                host => format!("nc {host} {port}"),
            }
        }
        address => format!("mynah connect {address} --frame {}", options.framing),
    }
}

fn io_failure(what: &str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(Exit::Io, format!("{what}: {error}"))
}

fn open_failure(address: &Address, refused: OpenError) -> Failure {
    let (exit, call) = match refused.step {
        OpenStep::Socket => (Exit::Socket, "socket"),
        OpenStep::Bind => (Exit::Bind, "bind"),
        OpenStep::Listen => (Exit::Listen, "listen"),
        OpenStep::Connect => (Exit::Connect, "connect"),
    };
    Failure::new(exit, format!("{call} {address}: {}", refused.error))
}
