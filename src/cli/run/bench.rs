//! `mynah bench`, from its options to its exit code.
//!
//! The load generator in `load` measures; this file decides what is printed where, and the exit
//! code. Stdout and the files are opened before the measurement, so that a missing folder does not
//! cost the results. All results are printed before any error, and one full file does not keep the
//! other files from being written.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::text::escape::escape;
use crate::kernel::{ERROR_LINES, Linux, StandardOutput, block_signals, process, release_signals};
use crate::limits::{LAST_LINE_TIMEOUT, LOAD_INPUT_MAX};
use crate::load::conversation::http::request;
use crate::load::report;
use crate::load::report::{document, hgrm, picture};
use crate::load::run::RunError;
use crate::load::run::bench::Bench;
use crate::load::run::intervals::{Intervals, Outlet};
use crate::load::run::progress::Progress;
use crate::load::run::session::{self, Session, SessionError};

use super::{Exit, Failure, io_failure};

/// Descriptors that are not connections: standard streams, pollers, files in `/proc`.
const DESCRIPTORS_FIXED: u64 = 32;
const DESCRIPTORS_PER_THREAD: u64 = 2;
/// Lines of `--json-stream` that wait for their reader.
const STREAM_LINES_MAX: usize = 1024;
const NOTHING: &str = "interrupted before anything was measured, there is nothing to report";
const WARMING: &str = "interrupted during the warm-up, nothing was measured";

pub(super) fn bench(mut bench: Bench) -> Result<(), Failure> {
    read_inputs(&mut bench).map_err(|line| Failure::new(Exit::Usage, line))?;
    check_descriptors(&bench)?;
    let [json, svg, percentiles] = [&bench.json, &bench.svg, &bench.hgrm].map(OutputFile::open);
    let (json, svg, percentiles) = (json?, svg?, percentiles?);
    check_output_files(&[("--json", &json), ("--svg", &svg), ("--hgrm", &percentiles)])?;
    StandardOutput::open().map_err(io_failure("stdout"))?;
    block_signals().map_err(io_failure("signals"))?;
    let mut kernel = Linux::new(true).map_err(io_failure("epoll"))?;
    let open = || Linux::new(false);
    // Without a terminal, this line is the only sign of life until the report.
    ERROR_LINES.offer(format!("load      {}\n", report::inputs(&bench.plan)).as_bytes());
    let mut progress = Progress::on_terminal();
    let (outlet, stream) = outlet(&bench)?;
    progress.intervals = Intervals::new(outlet);
    let is_stream = stream.is_some();
    let session = session::run(bench, &mut kernel, &open, &mut progress);
    drop(progress);
    let session = session.map_err(failure)?;
    // The results wait for their reader; meanwhile a signal must end the program at once.
    release_signals().map_err(io_failure("signals"))?;
    // A document on stdout must be the only output there.
    let papers = [&json, &svg, &percentiles];
    let streamed = finish(stream);
    let text = report::text(&session);
    let printed = if is_stream || papers.into_iter().any(OutputFile::is_stdout) {
        // The document is printed even if stderr accepts nothing.
        let text = colored(&text, io::stderr().is_terminal());
        let _ = ERROR_LINES.write_within(text.as_bytes(), LAST_LINE_TIMEOUT);
        Ok(())
    } else {
        print(&colored(&text, io::stdout().is_terminal()))
    };
    // Each document is written even if the one before failed. The first error is reported.
    printed
        .and(streamed)
        .and(json.write(|| document::json(&session)))
        .and(svg.write(|| picture::svg(&session)))
        .and(percentiles.write(|| hgrm::hgrm(&session)))?;
    exit_status(session)
}

/// Reads the files that the options name, and fixes the moment of the start. The error is the line
/// to print.
fn read_inputs(bench: &mut Bench) -> Result<(), String> {
    let named = |option: &str, path: &Path, why: String| {
        format!("{option} {}: {why}", escape(&path.display().to_string()))
    };
    if let Some(path) = &bench.body_file {
        let read = read_file(path);
        bench.plan.request.body = read.map_err(|why| named("--body", path, why))?;
    }
    if let Some(path) = &bench.message_file {
        let read = read_file(path);
        bench.plan.message.bytes = read.map_err(|why| named("--message", path, why))?;
    }
    if let Some(path) = &bench.urls_file {
        let read = read_file(path).and_then(|bytes| {
            let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
            // Without a URL as ADDR, the lines may name the server as it was typed.
            let typed = match bench.servers.first() {
                Some(first) => first.place(),
                None => None,
            };
            let places = [bench.origin.clone(), typed];
            let is_same = |place: &str| places.iter().flatten().any(|known| known == place);
            request::urls(&text, is_same)
        });
        bench.plan.request.paths = read.map_err(|why| named("--urls", path, why))?;
    }
    if let Some(moment) = bench.start_at {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let start = moment.seconds(now);
        if start < now {
            let late = now - start;
            return Err(format!("--start-at: that was {late} s ago"));
        }
        bench.plan.start_at = Some(start);
    }
    Ok(())
}

/// The whole file, which has a bound.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let opened = File::open(path);
    let read = opened.and_then(|file| {
        let bound = LOAD_INPUT_MAX as u64 + 1;
        file.take(bound).read_to_end(&mut bytes)
    });
    match read {
        Err(error) => Err(error.to_string()),
        Ok(size) if size > LOAD_INPUT_MAX => Err(format!("is larger than {LOAD_INPUT_MAX} bytes")),
        Ok(_) => Ok(bytes),
    }
}

/// The thread that writes the lines of `--json-stream`, and ends with the result of its writes.
type Stream = JoinHandle<Result<(), Failure>>;

/// Where the lines of `--interval` go. No line holds up the measurement: one that finds no room is
/// dropped. The lines on stdout have a thread that waits for their reader.
fn outlet(bench: &Bench) -> Result<(Option<Outlet>, Option<Stream>), Failure> {
    if bench.plan.interval.is_none() {
        return Ok((None, None));
    }
    if !bench.json_stream {
        // The line takes the place of the progress line, which is drawn again below it.
        let clear = match io::stderr().is_terminal() {
            true => "\r\x1b[K",
            false => "",
        };
        let outlet: Outlet = Box::new(move |interval| {
            ERROR_LINES.offer(format!("{clear}{}\n", interval.text()).as_bytes());
        });
        return Ok((Some(outlet), None));
    }
    let (sender, lines) = mpsc::sync_channel::<String>(STREAM_LINES_MAX);
    let writer = move || lines.iter().try_for_each(|line| print(&line));
    let stream = thread::Builder::new().spawn(writer);
    let stream = stream.map_err(io_failure("the thread of --json-stream"))?;
    let outlet: Outlet = Box::new(move |interval| {
        // A reader that is gone is told by the exit code.
        let _ = sender.try_send(format!("{}\n", interval.json()));
    });
    Ok((Some(outlet), Some(stream)))
}

/// Waits until the reader has taken all lines.
fn finish(stream: Option<Stream>) -> Result<(), Failure> {
    match stream.map(JoinHandle::join) {
        None => Ok(()),
        Some(Ok(written)) => written,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
    }
}

/// Writes a result to stdout. A result that its reader does not take is lost, so that is an error
/// here.
fn print(text: &str) -> Result<(), Failure> {
    let written = StandardOutput::open().and_then(|mut out| out.write_all(text.as_bytes()));
    written.map_err(io_failure("stdout"))
}

/// The text with its doubts in red, if it goes to a terminal that shows colours.
fn colored(text: &str, is_terminal: bool) -> String {
    let no_color = env::var_os("NO_COLOR");
    match is_terminal && shows_colors(no_color.as_deref(), env::var_os("TERM").as_deref()) {
        true => reddened(text),
        false => text.to_owned(),
    }
}

/// Whether a terminal shows colours and its user wants them. See <https://no-color.org>.
fn shows_colors(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    let is_unwanted = no_color.is_some_and(|value| !value.is_empty());
    !is_unwanted && term.is_some_and(|term| term != "dumb")
}

/// The text with the marks of its doubts in red.
fn reddened(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    let red = |line: &str| match line.starts_with("  !!") {
        true => line.replacen("!!", "\x1b[31m!!\x1b[0m", 1),
        false => line.to_owned(),
    };
    lines.map(red).collect()
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
        SessionError::Run(RunError::InterruptedInWarmup(signal)) => Failure {
            line: WARMING.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_are_red_where_a_terminal_shows_colours() {
        let red = reddened("checks\n  ok    fine!!\n  !!    doubtful!!\n");
        let mark = "\x1b[31m!!\x1b[0m";
        assert_eq!(
            red,
            format!("checks\n  ok    fine!!\n  {mark}    doubtful!!\n")
        );
        for (no_color, term, is_shown) in [
            (None, Some("xterm"), true),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (None, Some("dumb"), false),
            (None, None, false),
        ] {
            let shown = shows_colors(no_color.map(OsStr::new), term.map(OsStr::new));
            assert_eq!(shown, is_shown, "{no_color:?} {term:?}");
        }
    }
}
