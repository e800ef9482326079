//! `mynah bench`, from its options to its exit code.
//!
//! The load generator in `load` measures; this file decides what is printed where, and the exit
//! code. Stdout and the files are opened before the measurement, so that a missing folder does not
//! cost the results. All results are printed before any error, and one full file does not keep the
//! other files from being written.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::text::escape::escape;
use crate::base::text::utc::utc_seconds;
use crate::cli::options::TraceFile;
use crate::kernel::journal::{Recordable, recorder};
use crate::kernel::{
    ERROR_LINES, Linux, Opener, Poller, StandardOutput, Traced, block_signals, host,
    release_signals,
};
use crate::limits::{
    LOAD_DESCRIPTORS_FIXED, LOAD_DESCRIPTORS_PER_THREAD, LOAD_INPUT_MAX, LOAD_MEMORY_FIXED,
    LOAD_MEMORY_PER_THREAD,
};
use crate::load::conversation::http::request;
use crate::load::report::origin::Origin;
use crate::load::report::{Report, document, hgrm, load, picture};
use crate::load::run::RunError;
use crate::load::run::bench::Bench;
use crate::load::run::intervals::{Intervals, Outlet};
use crate::load::run::progress::Progress;
use crate::load::run::session::{self, Session, SessionError};

use crate::load::plan::Pace;
#[cfg(feature = "tls")]
use crate::load::plan::Protocol;
#[cfg(feature = "tls")]
use crate::load::run::bench::Server;
#[cfg(feature = "tls")]
use crate::transport::tls::Tls;

use super::output_file::{OutputFile, print, print_report};
use super::trace::{Trace, check_apart, finish as finish_trace};
use super::{Exit, Failure, io_failure, memory, words};

/// Lines of `--json-stream` that wait for their reader.
const STREAM_LINES_MAX: usize = 1024;
const NOTHING: &str = "interrupted before anything was measured, there is nothing to report";
const WARMING: &str = "interrupted during the warm-up, nothing was measured";

pub(super) fn bench(mut bench: Bench, wanted: &TraceFile) -> Result<(), Failure> {
    let origin = Origin::here(words());
    let usage = |line| Failure::new(Exit::Usage, line);
    read_inputs(&mut bench).map_err(usage)?;
    #[cfg(feature = "auth")]
    {
        bench.plan.key = super::key::of(bench.auth, bench.auth_key_file.as_deref())?;
    }
    session::check(&bench).map_err(usage)?;
    check_descriptors(&bench)?;
    check_memory(&bench)?;
    let [json, svg, percentiles] = [&bench.json, &bench.svg, &bench.hgrm].map(OutputFile::open);
    let (json, svg, percentiles) = (json?, svg?, percentiles?);
    let connections = bench.plan.connections + bench.plan.idle;
    let trace = Trace::open(wanted, connections, false)?;
    let documents = [("--json", &json), ("--svg", &svg), ("--hgrm", &percentiles)];
    check_apart(&documents, trace.as_ref())?;
    StandardOutput::open().map_err(io_failure("stdout"))?;
    block_signals().map_err(io_failure("signals"))?;
    let traced = |linux| {
        let track = trace.as_ref().map(|trace| trace.ring().client_track());
        Traced::new(linux, recorder(track.as_ref()))
    };
    let kernel = Linux::new(true).map(traced).map_err(io_failure("epoll"))?;
    let open = || Linux::new(false).map(traced);
    // Without a terminal, this line is the only sign of life until the report.
    ERROR_LINES.offer(format!("load      {}\n", load(&bench)).as_bytes());
    if matches!(bench.plan.pace, Pace::Open { .. }) && !host::waits_count_nanoseconds() {
        let missing = "no epoll_pwait2(2), which came with Linux 5.11";
        let line = format!("kernel    {missing}: a request may be sent up to 1 ms late\n");
        ERROR_LINES.offer(line.as_bytes());
    }
    if let Some(start) = bench.plan.start_at {
        // A time of day that has passed is the next day's: without this line, only the clock tells.
        ERROR_LINES.offer(format!("{}\n", start_line(start, unix_seconds())).as_bytes());
    }
    let mut progress = Progress::on_terminal();
    let (outlet, stream) = outlet(&bench)?;
    progress.intervals = Intervals::new(outlet);
    let is_stream = stream.is_some();
    let session = measure(bench, kernel, &open, &mut progress);
    drop(progress);
    let traced = finish_trace(trace.as_ref(), Ok(()));
    let session = session?;
    // The results wait for their reader; meanwhile a signal must end the program at once.
    release_signals().map_err(io_failure("signals"))?;
    let report = Report::of(&session, &origin);
    let files = [&json, &svg, &percentiles];
    let streamed = finish(stream);
    let has_document = is_stream || files.into_iter().any(OutputFile::is_stdout);
    let printed = print_report(&report, has_document);
    // Each document is written even if the one before failed. The first error is reported.
    printed
        .and(streamed)
        .and(json.write(|| document::json(&report)))
        .and(svg.write(|| picture::svg(&report)))
        .and(percentiles.write(|| hgrm::hgrm(&report)))
        .and(traced)?;
    exit_status(session)
}

/// Runs the session on kernels around which there is TLS, if it is wanted.
fn measure<K: Recordable + Poller + Opener>(
    bench: Bench,
    mut kernel: K,
    open: &(impl Fn() -> io::Result<K> + Sync),
    progress: &mut Progress,
) -> Result<Session, Failure> {
    #[cfg(feature = "tls")]
    if bench.tls.on {
        let host = match bench.servers.first() {
            Some(Server::At(endpoint)) => endpoint.host(),
            _ => "127.0.0.1".to_owned(),
        };
        let protocol: Option<&[u8]> = match bench.plan.protocol {
            Protocol::Http => Some(b"http/1.1"),
            _ => None,
        };
        let side = super::tls::side(&bench.tls, &host, protocol)?;
        let slots = bench.plan.connections + bench.plan.idle;
        let mut kernel = Tls::new(kernel, side.clone(), 0, None);
        let open = || Ok(Tls::new(open()?, side.clone(), slots, None));
        return session::run(bench, &mut kernel, &open, progress).map_err(failure);
    }
    session::run(bench, &mut kernel, open, progress).map_err(failure)
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
        let now = unix_seconds();
        let start = moment.seconds(now);
        if start < now {
            let late = now - start;
            return Err(format!("--start-at: that was {late} s ago"));
        }
        bench.plan.start_at = Some(start);
    }
    Ok(())
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// The line about a planned start at `start`, if now it is `now`, both in seconds since 1970.
fn start_line(start: u64, now: u64) -> String {
    let left = start.saturating_sub(now);
    let (hours, minutes, seconds) = (left / 3600, left / 60 % 60, left % 60);
    let left = match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min"),
    };
    let at = utc_seconds(start);
    format!("start     {at}, in {left}")
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

/// Reserves what the threads take once, so that a low limit of the address space (ulimit -v) gives
/// an error line, and not an abort of a thread that has just started.
fn check_memory(bench: &Bench) -> Result<(), Failure> {
    let size = LOAD_MEMORY_FIXED + LOAD_MEMORY_PER_THREAD * bench.plan.threads;
    let option = format!("--threads {}", bench.plan.threads);
    drop(memory(&option, size)?);
    Ok(())
}

fn failure(error: SessionError) -> Failure {
    match error {
        SessionError::Usage(line) => Failure::new(Exit::Usage, line),
        SessionError::Start(line) => Failure::new(Exit::Fork, line),
        SessionError::Run(RunError::Target(line)) => Failure::new(Exit::Connect, line),
        SessionError::Run(RunError::Key(line)) => Failure::new(Exit::Protocol, line),
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
