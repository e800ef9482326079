//! `mynah bench` from its options to its exit code.
//!
//! The load generator measures and tells; what is printed where, and what the shell sees, is
//! decided here. Whatever could be measured is printed before anything is complained about.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::kernel::{Linux, block_signals, process};
use crate::load::bench::Bench;
use crate::load::progress::Progress;
use crate::load::run::RunError;
use crate::load::session::{self, Session, SessionError};
use crate::load::{document, picture, report};

use super::{Exit, Failure, io_failure, print};

/// Descriptors that are no connection: the standard ones, pollers, what `/proc` is read through.
const DESCRIPTORS_FIXED: u64 = 32;
const DESCRIPTORS_PER_THREAD: u64 = 2;

pub(super) fn bench(bench: Bench) -> Result<(), Failure> {
    check_descriptors(&bench)?;
    block_signals().map_err(io_failure("signals"))?;
    let mut kernel = Linux::new(true).map_err(io_failure("epoll"))?;
    let open = || Linux::new(false);
    let session = session::run(bench, &mut kernel, &open, &mut Progress::on_terminal());
    let session = session.map_err(failure)?;
    // Whoever reads a document from stdout does not want a report around it.
    let files = [&session.bench.json, &session.bench.svg, &session.bench.hgrm];
    if files.into_iter().flatten().any(|path| is_stdout(path)) {
        // A closed stderr leaves the document.
        let _ = io::stderr().write_all(report::text(&session).as_bytes());
    } else {
        print(&report::text(&session))?;
    }
    write_files(&session)?;
    verdict(&session)
}

fn check_descriptors(bench: &Bench) -> Result<(), Failure> {
    let limit = process::raise_descriptor_limit().map_err(io_failure("the descriptor limit"))?;
    let connections = (bench.plan.connections + bench.plan.idle) as u64;
    let others = DESCRIPTORS_FIXED + DESCRIPTORS_PER_THREAD * bench.plan.threads as u64;
    if connections + others > limit {
        let room = limit.saturating_sub(others);
        let line =
            format!("{connections} connections: only {room} fit under the hard limit {limit}");
        return Err(Failure::new(Exit::Socket, line));
    }
    Ok(())
}

fn failure(error: SessionError) -> Failure {
    match error {
        SessionError::Usage(line) => Failure::new(Exit::Usage, line),
        SessionError::Start(line) => Failure::new(Exit::Fork, line),
        SessionError::Run(RunError::Target(line)) => Failure::new(Exit::Connect, line),
        SessionError::Run(RunError::Own(error)) => Failure::new(Exit::Io, error.to_string()),
        SessionError::Run(RunError::Interrupted(signal)) => Failure::signal(signal),
    }
}

fn write_files(session: &Session) -> Result<(), Failure> {
    let write = |path: &Option<std::path::PathBuf>, text: &dyn Fn() -> String| match path {
        Some(path) => write_file(path, &text()),
        None => Ok(()),
    };
    write(&session.bench.json, &|| document::json(session))?;
    write(&session.bench.svg, &|| picture::svg(session))?;
    write(&session.bench.hgrm, &|| {
        session
            .servers
            .first()
            .map_or_else(String::new, |first| report::hgrm(&first.latency))
    })
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    if is_stdout(path) {
        return print(text);
    }
    let failed = |error| Failure::new(Exit::Io, format!("{}: {error}", path.display()));
    fs::write(path, text).map_err(failed)
}

fn verdict(session: &Session) -> Result<(), Failure> {
    if let Some(signal) = session.interrupted {
        return Err(Failure::signal(signal));
    }
    let broken = session.broken_assertions();
    if !broken.is_empty() {
        return Err(Failure::new(Exit::Assertion, broken.join("; ")));
    }
    let unexpected = session.unexpected();
    if unexpected.is_empty() {
        return Ok(());
    }
    let line = format!("{}, see the report", unexpected.join("; "));
    Err(Failure::new(Exit::Io, line))
}
