//! `mynah bench`, from its options to its exit code.
//!
//! The load generator in `load` measures; this file decides what is printed where, and the exit
//! code. Stdout and the files are opened before the measurement, so that a missing folder does not
//! cost the results. All results are printed before any error, and one full file does not keep the
//! other files from being written.

use std::env;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::kernel::{ERROR_LINES, Linux, StandardOutput, block_signals, host, release_signals};
use crate::limits::LAST_LINE_TIMEOUT;
use crate::limits::{LOAD_DESCRIPTORS_FIXED, LOAD_DESCRIPTORS_PER_THREAD};
use crate::load::report::origin::Origin;
use crate::load::report::text::{self, Paint};
use crate::load::report::{Report, document, hgrm, picture};
use crate::load::run::RunError;
use crate::load::run::bench::Bench;
use crate::load::run::progress::Progress;
use crate::load::run::session::{self, Session, SessionError};

use super::output::print;
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

/// Prints the text report: on stdout, or on stderr if a document on stdout must be the only output
/// there.
pub(super) fn print_report(report: &Report<'_>, has_document: bool) -> Result<(), Failure> {
    if has_document {
        let text = text::text(report, paint(io::stderr().is_terminal()));
        // The document is printed even if stderr accepts nothing.
        let _ = ERROR_LINES.write_within(text.as_bytes(), LAST_LINE_TIMEOUT);
        return Ok(());
    }
    print(&text::text(report, paint(io::stdout().is_terminal())))
}

/// Marks of doubt are red at a terminal, unless the user or the terminal has no colours
/// (no-color.org; `dumb` is the terminal type without escape sequences, terminfo(5)).
fn paint(is_terminal: bool) -> Paint {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    match is_terminal && !is_set("NO_COLOR") && !is_dumb {
        true => Paint::Red,
        false => Paint::Plain,
    }
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

/// Destination of a document.
enum OutputFile {
    Nowhere,
    Stdout,
    File {
        file: File,
        path: PathBuf,
        /// The file did not exist before, and is removed again if it stays empty.
        is_new: bool,
    },
}

impl OutputFile {
    fn open(path: &Option<PathBuf>) -> Result<OutputFile, Failure> {
        let path = match path {
            None => return Ok(OutputFile::Nowhere),
            Some(path) if path == Path::new("-") => return Ok(OutputFile::Stdout),
            Some(path) => path.clone(),
        };
        let new = OpenOptions::new().write(true).create_new(true).open(&path);
        let (opened, is_new) = match new {
            // An existing file keeps its contents until there are new ones.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(&path), false)
            }
            new => (new, true),
        };
        match opened {
            Ok(file) => Ok(OutputFile::File { file, path, is_new }),
            Err(error) => Err(io_failure(&path.display().to_string())(error)),
        }
    }

    /// Device and inode number, which identify the file.
    fn inode(&self) -> Result<Option<(u64, u64)>, Failure> {
        let metadata = match self {
            OutputFile::Nowhere => return Ok(None),
            OutputFile::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                stdout.and_then(|stdout| File::from(stdout).metadata())
            }
            OutputFile::File { file, .. } => file.metadata(),
        };
        let metadata = metadata.map_err(io_failure(&self.to_string()))?;
        Ok(Some((metadata.dev(), metadata.ino())))
    }

    fn is_stdout(&self) -> bool {
        matches!(self, OutputFile::Stdout)
    }

    fn write(mut self, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match &mut self {
            OutputFile::Nowhere => Ok(()),
            OutputFile::Stdout => print(&text()),
            OutputFile::File { file, path, is_new } => {
                *is_new = false;
                // This fails for a pipe, which has no length.
                let _ = file.set_len(0);
                let written = file.write_all(text().as_bytes());
                written.map_err(io_failure(&path.display().to_string()))
            }
        }
    }
}

impl fmt::Display for OutputFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputFile::Nowhere => f.write_str("nowhere"),
            OutputFile::Stdout => f.write_str("stdout"),
            OutputFile::File { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let OutputFile::File {
            path, is_new: true, ..
        } = self
        {
            // There is no measurement to write.
            let _ = fs::remove_file(path);
        }
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
