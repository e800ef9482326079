//! `mynah bench`, from its options to its exit code.
//!
//! The load generator in `load` measures; this file decides what is printed where, and the exit
//! code. Stdout and the files are opened before the measurement, so that a missing folder does not
//! cost the results. All results are printed before any error, and one full file does not keep the
//! other files from being written.

use std::env;

use crate::kernel::{Linux, StandardOutput, block_signals, host, release_signals};
use crate::limits::{LOAD_DESCRIPTORS_FIXED, LOAD_DESCRIPTORS_PER_THREAD};
use crate::load::report::origin::Origin;
use crate::load::report::{Report, document, hgrm, picture};
use crate::load::run::RunError;
use crate::load::run::bench::Bench;
use crate::load::run::progress::Progress;
use crate::load::run::session::{self, Session, SessionError};

use super::paper::{OutputFile, print_report};
use super::{Exit, Failure, io_failure};

const NOTHING: &str = "interrupted before anything was measured, there is nothing to report";

pub(super) fn bench(bench: Bench) -> Result<(), Failure> {
    let origin = Origin::here(options());
    check_descriptors(&bench)?;
    let [json, svg, percentiles] = [&bench.json, &bench.svg, &bench.hgrm].map(OutputFile::open);
    let (json, svg, percentiles) = (json?, svg?, percentiles?);
    check_output_files(&[("--json", &json), ("--svg", &svg), ("--hgrm", &percentiles)])?;
    StandardOutput::open().map_err(io_failure("stdout"))?;
    block_signals().map_err(io_failure("signals"))?;
    let mut kernel = Linux::new(true).map_err(io_failure("epoll"))?;
    let open = || Linux::new(false);
    let session = session::run(bench, &mut kernel, &open, &mut Progress::on_terminal());
    let session = session.map_err(failure)?;
    // The results wait for their reader; meanwhile a signal must end the program at once.
    release_signals().map_err(io_failure("signals"))?;
    let report = Report::of(&session, &origin);
    let papers = [&json, &svg, &percentiles];
    let printed = print_report(&report, papers.into_iter().any(OutputFile::is_stdout));
    // Each document is written even if the one before failed. The first error is reported.
    printed
        .and(json.write(|| document::json(&report)))
        .and(svg.write(|| picture::svg(&report)))
        .and(percentiles.write(|| hgrm::hgrm(&report)))?;
    exit_status(session)
}

/// The words after the name of the command.
fn options() -> impl Iterator<Item = String> {
    let words = env::args_os().skip(2);
    words.map(|word| word.to_string_lossy().into_owned())
}

fn check_descriptors(bench: &Bench) -> Result<(), Failure> {
    let limit = host::raise_descriptor_limit().map_err(io_failure("the descriptor limit"))?;
    let connections = (bench.plan.connections + bench.plan.idle) as u64;
    let others = LOAD_DESCRIPTORS_FIXED + LOAD_DESCRIPTORS_PER_THREAD * bench.plan.threads as u64;
    if connections + others > limit {
        let room = limit.saturating_sub(others);
        let line =
            format!("{connections} connections: only {room} fit under the hard limit {limit}");
        return Err(Failure::new(Exit::Socket, line));
    }
    Ok(())
}

/// Refuses two documents in the same file, under whatever names.
fn check_output_files(papers: &[(&str, &OutputFile)]) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for (name, output_file) in papers {
        let Some(inode) = output_file.inode()? else {
            continue;
        };
        if let Some((other, _)) = seen.iter().find(|(_, taken)| *taken == inode) {
            let line = format!("{other} and {name} both go to {output_file}: name another file");
            return Err(Failure::new(Exit::Usage, line));
        }
        seen.push((name, inode));
    }
    Ok(())
}

fn failure(error: SessionError) -> Failure {
    match error {
        SessionError::Usage(line) => Failure::new(Exit::Usage, line),
        SessionError::Start(line) => Failure::new(Exit::Fork, line),
        SessionError::Run(RunError::Target(line)) => Failure::new(Exit::Connect, line),
        SessionError::Run(RunError::Own(error)) => Failure::new(Exit::Io, error.to_string()),
        SessionError::Run(RunError::Interrupted(signal)) => Failure {
            line: NOTHING.to_owned(),
            ..Failure::signal(signal)
        },
    }
}

fn exit_status(session: Session) -> Result<(), Failure> {
    if let Some(signal) = session.interrupted {
        return Err(Failure::signal(signal));
    }
    if let Some(error) = session.cut_short {
        return Err(failure(SessionError::Run(error)));
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
