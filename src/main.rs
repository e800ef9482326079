//! The entry point: parses the options, starts the logger, runs the command, and turns an error
//! into an exit code.
//!
//! Every error of the layers below arrives here as one [`Failure`]. Its line goes to stderr with
//! the program's name in front; its code is the exit code. Nothing in this program writes with
//! `println!` or `eprintln!`: they wait for a reader, and they panic when the reader is gone.
//! `mynah --help | head -1` ends quietly with success.

use std::env;
use std::io::Write;
use std::process::ExitCode;

use env_logger::Target;
use mynah::cli::options::{self, Parsed};
use mynah::cli::run::output::{self, LogWriter, print};
use mynah::cli::run::{self, Exit, Failure, log_filter};

fn main() -> ExitCode {
    output::prepare();
    output::keep_off_the_peer(env::args_os().skip(1));
    let code = match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.line.is_empty() {
                output::complain(&failure.line);
            }
            ExitCode::from(failure.code)
        }
    };
    output::finish();
    code
}

fn start() -> Result<(), Failure> {
    run::hold_signals_back()?;
    let arguments = env::args_os().skip(1);
    match options::parse(arguments).map_err(|line| Failure::new(Exit::Usage, line))? {
        Parsed::Help(text) => tell(&text),
        Parsed::Version => tell(concat!("mynah ", env!("CARGO_PKG_VERSION"), "\n")),
        Parsed::Run(command) => {
            start_logger(&log_filter()?, command.log_time());
            run::run(command)
        }
    }
}

/// Prints `text`, which may wait for its reader. A signal ends the wait, except in process 1 of a
/// PID namespace, where the kernel discards signals without a handler.
fn tell(text: &str) -> Result<(), Failure> {
    run::let_signals_act()?;
    print(text)
}

/// Logs to stderr what `filter` lets pass: the level, the module below `info`, the message.
///
/// There is no timestamp unless one is asked for: the service manager adds its own.
fn start_logger(filter: &str, has_time: bool) {
    let time = move || {
        if has_time {
            output::now()
        } else {
            String::new()
        }
    };
    env_logger::Builder::new()
        .parse_filters(filter)
        .format(move |line, record| match record.level() {
            level if level > log::Level::Info => {
                let (time, target) = (time(), record.target());
                writeln!(line, "{time}{level:<5} {target} {}", record.args())
            }
            level => writeln!(line, "{}{level:<5} {}", time(), record.args()),
        })
        .target(Target::Pipe(Box::new(LogWriter)))
        .init();
}
