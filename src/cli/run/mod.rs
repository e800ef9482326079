//! Runs the parsed commands: turns options into concrete types, and outcomes into exit codes.
//!
//! This is the layer that chooses concrete types. It is not on the data path. The short commands
//! are in this file; `serve`, `bench`, `service`, `log_filter` and `output` have files of their
//! own. Neighbours: `cli::options` provides the commands, `main` calls [`run`].

mod bench;
#[cfg(feature = "auth")]
mod ftp;
#[cfg(feature = "auth")]
mod key;
mod lab;
mod log_filter;
mod merge;
pub mod output;
mod output_file;
mod serve;
mod service;
#[cfg(feature = "auth")]
mod sum;
#[cfg(feature = "tls")]
mod tls;
mod trace;

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;
use std::io::{self, BufReader, BufWriter, IsTerminal};
use std::thread;

use crate::cli::options::{Command, Connect, Decode};
use crate::client::{self, Backoff, Client, Source};
use crate::decode;
use crate::kernel::journal::recorder;
use crate::kernel::{
    self, Address, Endpoint, Linux, Mapping, OpenError, OpenStep, Opener, StandardInput,
    StandardOutput, Streams, Traced,
};
use crate::limits;
use crate::protocol::framing::Framing;
#[cfg(feature = "tls")]
use crate::transport::tls::{Side, Tls};

pub use log_filter::log_filter;
pub use service::{ServiceUser, with_service};
use trace::{Trace, finish};

/// Exit code of a failure, so that scripts can tell the cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command line is wrong.
    Usage = 1,
    /// A socket cannot be created or configured.
    Socket = 2,
    /// An address cannot be bound.
    Bind = 3,
    /// A socket cannot listen.
    Listen = 4,
    /// No server can be reached.
    Connect = 5,
    /// A process cannot be started.
    Fork = 6,
    /// Reading, writing or waiting failed or timed out.
    Io = 7,
    /// An assertion of the user failed.
    Assertion = 8,
    /// The peer broke the protocol.
    Protocol = 9,
    /// The drain timed out before all replies were taken.
    DrainCut = 10,
}

/// Why the program ends: the line that it prints and its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code: one of [`Exit`], or 128 plus a signal number.
    pub code: u8,
    /// The line, without the program's name; empty if there is nothing to report.
    pub line: String,
}

impl Failure {
    /// A failure with the code of `exit`.
    pub fn new(exit: Exit, line: impl Into<String>) -> Failure {
        Failure {
            code: exit as u8,
            line: line.into(),
        }
    }

    /// A termination by signal number `signal`.
    pub fn signal(signal: i32) -> Failure {
        Failure {
            code: 128_u8.wrapping_add(signal as u8),
            line: String::new(),
        }
    }
}

/// Blocks SIGHUP and SIGUSR1, which would end a server that has just started and cannot handle them
/// yet. Call this first: name lookups and files may take long.
///
/// # Errors
///
/// The error of the kernel.
pub fn hold_signals_back() -> Result<(), Failure> {
    kernel::hold_signals_back().map_err(io_failure("signals"))
}

/// Takes back what [`hold_signals_back`] does, for a program that only prints.
///
/// # Errors
///
/// What the kernel says against it.
pub fn let_signals_act() -> Result<(), Failure> {
    kernel::let_signals_act().map_err(io_failure("signals"))
}

/// Runs a command to its end, after [`hold_signals_back`].
///
/// # Errors
///
/// The failure that ended it.
pub fn run(command: Command) -> Result<(), Failure> {
    // The blocked signals are meant for a server. `decode` handles no signal at all, and `bench`
    // and `connect` have no file to reload.
    match command {
        Command::Serve(_) => Ok(()),
        Command::Bench(..) | Command::Connect(..) => kernel::let_hang_ups_act(),
        Command::Decode(_) | Command::Merge(_) | Command::Lab(_) => kernel::let_signals_act(),
        #[cfg(feature = "auth")]
        Command::Sum(_) | Command::HashPassword => kernel::let_signals_act(),
    }
    .map_err(io_failure("signals"))?;
    match command {
        Command::Bench(options, trace) => bench::bench(*options, &trace),
        Command::Serve(options) => serve::serve(*options),
        Command::Connect(endpoint, options) => connect(&endpoint, options),
        Command::Merge(options) => merge::merge(&options),
        Command::Lab(options) => lab::lab(&options),
        Command::Decode(options) => decode(&options),
        #[cfg(feature = "auth")]
        Command::Sum(options) => sum::sum(&options),
        #[cfg(feature = "auth")]
        Command::HashPassword => ftp::hash_password(),
    }
}

/// Talks to the server at `endpoint` until either side closes the connection.
fn connect(endpoint: &Endpoint, options: Connect) -> Result<(), Failure> {
    #[cfg(not(feature = "auth"))]
    let key = None;
    #[cfg(feature = "auth")]
    let key = key::of(options.auth, options.auth_key_file.as_deref())?;
    let source = match options.once {
        Some(message) => Source::Message(message.into()),
        None if io::stdin().is_terminal() => Source::Terminal,
        None => Source::Pipe,
    };
    if !matches!(source, Source::Message(_)) {
        StandardInput::open().map_err(io_failure("stdin"))?;
    }
    StandardOutput::open().map_err(io_failure("stdout"))?;
    // The hash maps of the standard library are seeded by the system, so this yields a random seed.
    let seed = (!options.no_jitter).then(|| RandomState::new().hash_one(0));
    let tries = if options.retry {
        limits::CONNECT_TRIES
    } else {
        1
    };
    let mut backoff = Backoff::new(tries, seed);
    let addresses = look_up(endpoint, &mut backoff)?;
    let settings = client::Settings {
        proxy: options.proxy,
        framing: limited(options.framing, options.frame_size_max)?,
        codec: options.codec,
        auth: key,
        frame_size_max: options.frame_size_max,
        source,
        terminal: io::stdout().is_terminal(),
        backoff,
        greeted: options.greeting,
        // `--timeout` bounds every wait for the server, the connect included.
        connect_timeout: match (options.connect_timeout, options.timeout) {
            (Some(connect), Some(any)) => Some(connect.min(any)),
            (connect, any) => connect.or(any),
        },
        timeout: options.timeout,
        addresses,
    };
    #[cfg(feature = "tls")]
    let side = match options.tls.on {
        true => tls::side(&options.tls, &endpoint.host(), None)?,
        false => Side::Plain,
    };
    let trace = Trace::open(&options.trace, 0, false)?;
    let track = trace.as_ref().map(|trace| trace.ring().client_track());
    let linux = Linux::new(true).map_err(io_failure("epoll"))?;
    let kernel = Traced::new(linux, recorder(track.as_ref()));
    #[cfg(feature = "tls")]
    let kernel = Tls::new(kernel, side, 1, None);
    finish(trace.as_ref(), talk(kernel, settings, endpoint))
}

/// Resolves all addresses of `endpoint`. A name that does not resolve yet, such as that of a
/// starting container, costs a try, like a server that does not listen yet.
///
/// The terminating signals are not blocked yet, so they end the lookup and the pauses.
fn look_up(endpoint: &Endpoint, backoff: &mut Backoff) -> Result<Vec<Address>, Failure> {
    loop {
        let reason = match endpoint.resolve() {
            Ok(addresses) => return Ok(addresses),
            Err(reason) => reason,
        };
        let Some(pause) = backoff.pause() else {
            let line = format!("connect {endpoint}: {reason}");
            return Err(Failure::new(Exit::Connect, line));
        };
        let (made, all) = backoff.tries();
        log::info!("try {made} of {all}: {reason}; the next in {pause:.1?}");
        thread::sleep(pause);
    }
}

fn talk<K: Streams + Opener>(
    kernel: K,
    settings: client::Settings,
    endpoint: &Endpoint,
) -> Result<(), Failure> {
    let failure = match Client::new(kernel, settings).and_then(Client::run) {
        Ok(client::Ending::Done) => return Ok(()),
        Ok(client::Ending::Signal(number)) => return Err(Failure::signal(number)),
        Err(client::ClientError::Open(attempts)) => return Err(unreached(endpoint, attempts)),
        Err(failure) => failure,
    };
    let exit = match failure {
        client::ClientError::Protocol(_) | client::ClientError::Refused(_) => Exit::Protocol,
        client::ClientError::Message(_) => Exit::Usage,
        client::ClientError::Insecure(_) => Exit::Connect,
        _ => Exit::Io,
    };
    Err(Failure::new(exit, failure.to_string()))
}

/// Prints the frames of standard input.
fn decode(options: &Decode) -> Result<(), Failure> {
    let settings = decode::Settings {
        framing: limited(options.framing, options.frame_size_max)?,
        codec: options.codec,
        frame_size_max: options.frame_size_max,
        on_too_long: options.on_too_long,
        explain: options.explain,
    };
    let mut memory = memory("--frame-max", settings.memory_size())?;
    let input = StandardInput::open().map_err(io_failure("stdin"))?;
    let output = StandardOutput::open().map_err(io_failure("stdout"))?;
    let mut output = BufWriter::new(output);
    let ended = if options.hex {
        let mut lines = decode::HexLines::new(BufReader::new(input));
        decode::decode(settings, &mut memory, &mut lines, &mut output)
    } else {
        decode::decode(
            settings,
            &mut memory,
            &mut decode::Plain(input),
            &mut output,
        )
    };
    ended.or_else(|failure| match failure {
        // A reader that has closed the pipe is not an error.
        decode::DecodeError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        decode::DecodeError::Output(error) => Err(io_failure("stdout")(error)),
        decode::DecodeError::Input(error) => Err(io_failure("stdin")(error)),
        decode::DecodeError::Hex(line, why) => {
            Err(Failure::new(Exit::Usage, format!("line {line}: {why}")))
        }
        decode::DecodeError::Wrong => Err(Failure::new(Exit::Protocol, "")),
    })
}

/// The framing with its limit, which must allow at least one frame.
fn limited(framing: Framing, frame_size_max: usize) -> Result<Framing, Failure> {
    let refused = |reason| format!("--frame-max {frame_size_max}: {reason}");
    let limited = framing.limited(frame_size_max).map_err(refused);
    limited.map_err(|line| Failure::new(Exit::Usage, line))
}

/// Zeroed memory that is not resident until it is touched. `option` names the option that requests
/// it.
fn memory(option: &str, size: usize) -> Result<Mapping, Failure> {
    Mapping::new(size).map_err(|error| {
        let line = format!("{option}: no room for {size} bytes of memory: {error}; ask for less");
        Failure::new(Exit::Io, line)
    })
}

/// The words of the command line after the name of the command.
fn words() -> Vec<String> {
    let words = env::args_os().skip(2);
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

fn io_failure(what: &str) -> impl Fn(io::Error) -> Failure {
    move |error| failed(what, &error)
}

#[cold]
fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Io, format!("{what}: {error}"))
}

/// The reason for an address; for a name, the reasons for all its addresses.
fn unreached(endpoint: &Endpoint, mut attempts: Vec<client::Attempt>) -> Failure {
    if !endpoint.is_named() {
        if let Some(client::Attempt { address, refused }) = attempts.pop() {
            return open_failure(&address, refused);
        }
    }
    let each = attempts.into_iter().map(|attempt| {
        let Failure { line, .. } = open_failure(&attempt.address, attempt.refused);
        line
    });
    let line = each.collect::<Vec<_>>().join("; ");
    Failure::new(Exit::Connect, format!("{endpoint}: {line}"))
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
