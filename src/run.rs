//! From options to concrete types; the only file that names them all.
//!
//! A command's options become what it works with, and its ways of ending exit codes; what takes
//! more than a few lines stands in a file of its own below. Nothing here is on the way of a byte.

mod bench;
mod log_filter;
pub mod output;
mod serve;
mod service;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, BufReader, BufWriter, IsTerminal};

use crate::client::{self, Backoff, Client, Source};
use crate::decode;
use crate::framing::Framing;
use crate::kernel::{
    Address, Linux, OpenError, OpenStep, Opener, StandardInput, StandardOutput, Streams, Traced,
};
use crate::limits;
use crate::options::{Command, Connect, Decode};

pub use log_filter::log_filter;
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

/// Runs a command to its end.
///
/// # Errors
///
/// What ended it before its time.
pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Bench(options) => bench::bench(*options),
        Command::Serve(options) => serve::serve(*options),
        Command::Connect(address, options) => connect(address, options),
        Command::Decode(options) => decode(&options),
    }
}

/// Whether the system calls are to be told.
fn tells_calls() -> bool {
    log::log_enabled!(target: "mynah::calls", log::Level::Trace)
}

/// Talks to the server at `address` until one of the two has enough.
fn connect(address: Address, options: Connect) -> Result<(), Failure> {
    let source = match options.once {
        Some(message) => Source::Message(message.into()),
        None if io::stdin().is_terminal() => Source::Terminal,
        None => Source::Pipe,
    };
    if !matches!(source, Source::Message(_)) {
        StandardInput::open().map_err(io_failure("stdin"))?;
    }
    StandardOutput::open().map_err(io_failure("stdout"))?;
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
        greeted: options.greeting,
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
    let input = StandardInput::open().map_err(io_failure("stdin"))?;
    let output = StandardOutput::open().map_err(io_failure("stdout"))?;
    let mut output = BufWriter::new(output);
    let ended = if options.hex {
        let mut lines = decode::HexLines::new(BufReader::new(input));
        decode::decode(settings, &mut lines, &mut output)
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
