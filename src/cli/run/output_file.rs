//! Where reports go: the text to a standard stream, documents to files or to stdout.
//!
//! Files are opened before the measurement and written after it. A file that did not exist before
//! is removed if nothing is written. Neighbours: `bench` and `merge` produce the reports, `output`
//! writes to the standard streams.

use std::env;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::kernel::{ERROR_LINES, StandardOutput};
use crate::limits::LAST_LINE_TIMEOUT;
use crate::load::report::Report;
use crate::load::report::text::{self, Paint};

use super::{Failure, io_failure};

/// Writes a result to stdout. A result that its reader does not take is lost, so that is an error
/// here.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let written = StandardOutput::open().and_then(|mut out| out.write_all(text.as_bytes()));
    written.map_err(io_failure("stdout"))
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

/// Destination of a document.
pub(super) enum OutputFile {
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
    pub(super) fn open(path: &Option<PathBuf>) -> Result<OutputFile, Failure> {
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
    pub(super) fn inode(&self) -> Result<Option<(u64, u64)>, Failure> {
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

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, OutputFile::Stdout)
    }

    pub(super) fn write(mut self, text: impl FnOnce() -> String) -> Result<(), Failure> {
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

    /// Writes a document in the place of the one before it, front to back.
    pub(super) fn rewrite(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let OutputFile::File { file, path, is_new } = self else {
            return Ok(());
        };
        *is_new = false;
        // Both fail for a pipe, which has no length and no place.
        let _ = file.set_len(0);
        let _ = file.rewind();
        let mut out = BufWriter::new(&*file);
        let written = write(&mut out).and_then(|()| out.flush());
        written.map_err(io_failure(&path.display().to_string()))
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
