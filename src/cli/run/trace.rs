//! `--trace`: the ring that keeps the records, and the file that is written from it.
//!
//! The file is opened before anything is traced, so that a missing folder does not cost the trace.
//! Where there are several processes, each has a file of its own, `FILE.PID`. Neighbours:
//! `kernel::journal` keeps and draws; `serve`, `bench`, `lab` and `connect` use this.

use std::path::PathBuf;
use std::process::id as process_id;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::output_file::OutputFile;
use super::{Exit, Failure};
use crate::base::text::escape::escape;
use crate::cli::options::TraceFile;
use crate::kernel::host::monotonic;
use crate::kernel::journal::files::{About, Format};
use crate::kernel::journal::{Keep, Ring};

/// A trace under way.
pub(super) struct Trace {
    ring: Ring,
    format: Format,
    file: Mutex<OutputFile>,
    about: About,
    /// The name without the number of a process.
    name: PathBuf,
}

/// How much is kept, if anything is.
pub(super) fn keep(wanted: &TraceFile, descriptors: usize) -> Option<Keep> {
    let format = Format::of(wanted.file.as_ref()?).ok()?;
    Some(Keep {
        records: wanted.last,
        payload: format.draws_payload(),
        descriptors,
    })
}

/// The file of this process, where there are several.
fn of_process(path: &std::path::Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", process_id()));
    name.into()
}

/// Fails if a process could not write its file.
pub(super) fn check_processes(wanted: &TraceFile) -> Result<(), Failure> {
    let path = wanted.file.as_ref().map(|path| of_process(path));
    // The file is removed again, because nothing is written.
    OutputFile::open(&path).map(drop)
}

/// Refuses two documents in the same file, under whatever names.
pub(super) fn check_apart(
    documents: &[(&str, &OutputFile)],
    trace: Option<&Trace>,
) -> Result<(), Failure> {
    let traced = trace.map(|trace| trace.file.lock().unwrap_or_else(PoisonError::into_inner));
    let trace = traced.as_deref().map(|file| ("--trace", file));
    let mut seen = Vec::new();
    for (name, output_file) in documents.iter().copied().chain(trace) {
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

impl Trace {
    /// Opens the file and takes the memory, if a trace is wanted. With `is_one_of_many` the file is
    /// that of this process.
    pub(super) fn open(
        wanted: &TraceFile,
        descriptors: usize,
        is_one_of_many: bool,
    ) -> Result<Option<Trace>, Failure> {
        let (Some(path), Some(keep)) = (&wanted.file, keep(wanted, descriptors)) else {
            return Ok(None);
        };
        let ring = Ring::new(keep).map_err(|error| {
            let line = format!("--trace-last {}: no memory for it: {error}", keep.records);
            Failure::new(Exit::Io, line)
        })?;
        let format = Format::of(path).map_err(|reason| Failure::new(Exit::Usage, reason))?;
        let name = path.clone();
        let path = match is_one_of_many {
            true => of_process(path),
            false => path.clone(),
        };
        Ok(Some(Trace {
            ring,
            format,
            name,
            file: Mutex::new(OutputFile::open(&Some(path))?),
            about: About {
                command: command_line(),
                process: process_id(),
                clock: (
                    monotonic(),
                    SystemTime::now()
                        .duration_since(UNIX_EPOCH)
                        .unwrap_or_default(),
                ),
            },
        }))
    }

    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Writes what is kept now in the place of what was written before.
    pub(super) fn write(&self) -> Result<(), Failure> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.ring.snapshot();
        file.rewrite(|out| self.format.write(&snapshot, &self.about, out))
    }

    /// Writes a file of this process, which was forked from the one that has opened the trace.
    pub(super) fn write_in_child(&self) {
        let about = About {
            process: process_id(),
            ..self.about.clone()
        };
        let written = OutputFile::open(&Some(of_process(&self.name))).and_then(|mut file| {
            let snapshot = self.ring.snapshot();
            file.rewrite(|out| self.format.write(&snapshot, &about, out))
        });
        if let Err(Failure { line, .. }) = written {
            log::warn!("--trace: {line}");
        }
    }

    /// The same from a process that goes on: a failure is a log line.
    pub(super) fn write_or_warn(&self) {
        if let Err(Failure { line, .. }) = self.write() {
            log::warn!("--trace: {line}");
        }
    }
}

/// The command line on one line.
fn command_line() -> String {
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| format!(" {}", word.to_string_lossy()));
    escape(&format!("mynah{}", words.collect::<String>()))
}

/// Writes the trace, if there is one, at the end of a command. The failure of the command comes
/// first.
pub(super) fn finish(trace: Option<&Trace>, ended: Result<(), Failure>) -> Result<(), Failure> {
    let written = trace.map_or(Ok(()), Trace::write);
    ended.and(written)
}
