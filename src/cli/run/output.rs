//! Output of the program itself, apart from what it serves: log, last line, panic, result.
//!
//! | output | waits for its reader |
//! |---|---|
//! | log, statistics, progress, a panic | never: a line without room is dropped and counted |
//! | the ready line; the line of an error | for a limited time, see `limits` |
//! | the same under `--inetd`, to the system's log | never |
//! | a result on stdout: help, a report, decoded frames | until it is taken |
//!
//! How to write to a descriptor without waiting is in `kernel`. `main` calls this module first and
//! last. See write(2), signal(7).

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Failure, io_failure};
use crate::base::text::escape::escape;
use crate::base::text::plural::plural;
use crate::base::text::utc::utc;
use crate::kernel::{
    ERROR_LINES, StandardOutput, finish_lines, ignore_write_signals, log_to_the_system,
    tell_unless_peer,
};
use crate::limits::LAST_LINE_TIMEOUT;

/// Prepares the process: a write neither ends nor stops it, and a panic is told without waiting.
pub fn prepare() {
    // Only a number that is no signal can be refused.
    let _ = ignore_write_signals();
    panic::set_hook(Box::new(tell_panic));
}

/// Reports a panic in the format of the standard library, whose own hook would wait for a reader.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let mut text = format!("thread '{name}' {panic}\n");
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        text += &format!("{trace}\n");
    }
    ERROR_LINES.offer_unless_busy(text.as_bytes());
}

/// The time of day in UTC, and a space: `2026-11-30T20:33:01.007Z `.
pub fn now() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = since_1970.map_or(0, |span| span.as_nanos());
    utc(u64::try_from(nanoseconds).unwrap_or(u64::MAX)) + " "
}

/// Under `--inetd` the standard streams may be the peer, also when the rest of the command line is
/// wrong: lines go to the system's log.
pub fn keep_off_the_peer(arguments: impl Iterator<Item = OsString>) {
    let switches = ["--inetd", "--inetd=on"];
    let asks = |word: &OsString| switches.iter().any(|switch| word == switch);
    if arguments
        .take_while(|word| word != "--")
        .any(|word| asks(&word))
    {
        IS_INETD.store(true, Ordering::Relaxed);
        log_to_the_system();
    }
}

/// Lines go to the system's log.
static IS_INETD: AtomicBool = AtomicBool::new(false);

/// Writes the line of a failure. If stderr accepts nothing, the exit code is the only report.
///
/// The line may quote input of any layer, so it is escaped here, where all lines pass.
pub fn complain(line: &str) {
    let line = format!("mynah: {}\n", escape(line));
    if IS_INETD.load(Ordering::Relaxed) {
        ERROR_LINES.write(line.as_bytes(), notice);
        tell_unless_peer(line.as_bytes());
        return;
    }
    let _ = ERROR_LINES.write_within(line.as_bytes(), LAST_LINE_TIMEOUT);
}

/// Writes the rest of lines that were taken in part. This is the last action of the program.
pub fn finish() {
    ERROR_LINES.tell_dropped(notice);
    finish_lines(LAST_LINE_TIMEOUT);
}

/// Writes `text` to stdout. A reader that has closed the pipe is not an error.
///
/// # Errors
///
/// Any other error of the write.
pub fn print(text: &str) -> Result<(), Failure> {
    let written = StandardOutput::open().and_then(|mut out| out.write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(io_failure("stdout")(error)),
        _ => Ok(()),
    }
}

/// The line that reports dropped lines.
fn notice(dropped: u64) -> String {
    let lines = plural(dropped, "log line was", "log lines were");
    format!("WARN  {lines} dropped: stderr had no room\n")
}

/// Standard error for the logger, which passes one whole line at a time.
#[derive(Debug)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        ERROR_LINES.write(line, notice);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
