//! Lines for standard output and standard error: written whole or dropped, without waiting.
//!
//! A line that finds no room is dropped and counted. A terminal or a socket may accept part of a
//! line. The rest is kept and written before the next line begins, so lines are never mixed. The
//! first worker also writes a rest when no next line comes, see [`retry_lines`]. A line of
//! [`Lines::offer`] is dropped while a rest is kept; only a line of [`Lines::write_within`] is kept
//! behind one. Lines that are written before the loop starts or after it has ended may wait, for a
//! span that the caller gives. `outlet` knows how to write to a descriptor; the layers above know
//! what a line says. Man page: write(2).

use std::io::{self, ErrorKind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::Waker;
use super::outlet::{self, Outlet};
use crate::limits::LINE_WAIT_MAX;
use crate::sys::process::signal;

/// Lines of the log and of statistics that have been dropped since the start.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The thread that tries again to write rests is told that a rest is kept.
static RETRIED: AtomicBool = AtomicBool::new(false);
/// Wakes that thread.
static RETRIER: OnceLock<Waker> = OnceLock::new();

/// A standard stream that is written in lines.
#[derive(Debug)]
pub struct Lines {
    outlet: Place,
    /// The rest of a line that was written in part.
    rest: Mutex<Vec<u8>>,
    /// Dropped lines that have not been reported by a notice; changed under the lock of `rest`.
    untold: AtomicU64,
}

#[derive(Debug)]
enum Place {
    /// A standard stream, opened at the first line.
    Standard(fn() -> &'static Outlet),
    #[cfg(test)]
    Given(Outlet),
}

/// The lines of standard output: the ready line and statistics.
pub static OUTPUT_LINES: Lines = Lines::new(Place::Standard(outlet::output));
/// The lines of standard error: the log.
pub static ERROR_LINES: Lines = Lines::new(Place::Standard(outlet::errors));

/// The number of lines dropped since the start, on both streams.
pub fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Writes the rest of every line that was written in part, waiting at most `span` for each. The
/// program ends after this call.
pub fn finish_lines(span: Duration) {
    for lines in [&OUTPUT_LINES, &ERROR_LINES] {
        let is_whole = lines.rest.lock().is_ok_and(|rest| rest.is_empty());
        if !is_whole {
            // The exit code does not depend on whether the rest was written.
            let _ = lines.write_within(b"", span);
        }
    }
    outlet::finish(span);
}

/// Names the thread that calls [`retry_lines`] from now on; `waker` wakes it when a rest is kept.
pub(crate) fn retry_lines_by(waker: Waker) {
    // A process has one server; a second one would leave the rests to the first.
    let _ = RETRIER.set(waker);
}

/// Writes as much of the rests as there is room for; returns whether that is to be tried again.
pub(crate) fn retry_lines() -> bool {
    // A rest that is kept from here on sets the flag again.
    RETRIED.store(false, Ordering::Release);
    let mut again = false;
    for lines in [&OUTPUT_LINES, &ERROR_LINES] {
        again |= lines.retry();
    }
    if again {
        RETRIED.store(true, Ordering::Release);
    }
    again
}

/// Counts `dropped` lines that a forked process has dropped, and has `untold` of them told here.
pub(crate) fn add_lines_dropped(dropped: u64, untold: u64) {
    DROPPED.fetch_add(dropped, Ordering::Relaxed);
    ERROR_LINES.untold.fetch_add(untold, Ordering::Relaxed);
}

/// The number of dropped log lines that no notice has told yet. A forked process leaves them to its
/// parent.
pub(crate) fn take_lines_untold() -> u64 {
    ERROR_LINES.untold.swap(0, Ordering::Relaxed)
}

/// Forgets the rests and the counts of dropped lines, in a process that was forked: its parent
/// still has them.
pub(crate) fn forget_rests() {
    for lines in [&OUTPUT_LINES, &ERROR_LINES] {
        lines
            .rest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        lines.untold.store(0, Ordering::Relaxed);
    }
    DROPPED.store(0, Ordering::Relaxed);
    RETRIED.store(false, Ordering::Release);
}

/// Has the rest that is now kept written later.
fn ask_for_retry() {
    if !RETRIED.swap(true, Ordering::AcqRel) {
        if let Some(waker) = RETRIER.get() {
            waker.wake();
        }
    }
}

fn lacks_room(answer: &io::Result<()>) -> bool {
    (answer.as_ref()).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

impl Lines {
    const fn new(outlet: Place) -> Lines {
        Lines {
            outlet,
            rest: Mutex::new(Vec::new()),
            untold: AtomicU64::new(0),
        }
    }

    /// Writes a line, which includes its line feed, or drops and counts it. If lines were dropped
    /// before, `notice` turns their number into a line that is written first.
    pub fn write(&self, line: &[u8], notice: impl FnOnce(u64) -> String) {
        let mut rest = self.lock();
        // If the notice finds no room, writing the line would break the order.
        if !self.write_notice(&mut rest, notice) || !offer(self.outlet(), &mut rest, line) {
            self.untold.fetch_add(1, Ordering::Relaxed);
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the notice alone, at the end of the program, when no further line follows.
    pub fn tell_dropped(&self, notice: impl FnOnce(u64) -> String) {
        if self.untold.load(Ordering::Relaxed) > 0 {
            self.write_notice(&mut self.lock(), notice);
        }
    }

    /// Writes `text` if there is room, and drops it otherwise: for text that is soon redrawn.
    pub fn offer(&self, text: &[u8]) {
        offer(self.outlet(), &mut self.lock(), text);
    }

    /// Like [`Lines::offer`], for a panic: it may have interrupted a write to the same stream on
    /// this thread.
    pub fn offer_unless_busy(&self, text: &[u8]) {
        if let Ok(mut rest) = self.rest().try_lock() {
            offer(self.outlet(), &mut rest, text);
        }
    }

    /// Writes a line, which includes its line feed, and waits for room, at most for `span` in all.
    /// The part that is not written by then is kept and written later. A signal that ends the
    /// program ends the wait. Other threads may write lines meanwhile, which follow this line.
    ///
    /// # Errors
    ///
    /// The error of the write, if it is not a lack of room. The line is then dropped.
    pub fn write_within(&self, line: &[u8], span: Duration) -> io::Result<()> {
        let outlet = self.outlet();
        let deadline = Instant::now() + span;
        self.lock().extend_from_slice(line);
        loop {
            let mut rest = self.lock();
            let answer = push(outlet, &mut rest);
            if !lacks_room(&answer) {
                if answer.is_err() {
                    rest.clear();
                }
                return answer;
            }
            drop(rest);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || signal::is_pending(&[signal::TERM, signal::INT])? {
                ask_for_retry();
                return Ok(());
            }
            outlet.wait(left.min(LINE_WAIT_MAX))?;
        }
    }

    /// Writes as much of the rest as there is room for; returns whether some waits for more room.
    fn retry(&self) -> bool {
        // Not through the outlet, which a stream without a line has not prepared yet.
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        !rest.is_empty() && lacks_room(&push(self.outlet(), &mut rest))
    }

    /// Tells how many lines were dropped, if there are any; `false` when that finds no room.
    fn write_notice(&self, rest: &mut Vec<u8>, notice: impl FnOnce(u64) -> String) -> bool {
        let untold = self.untold.load(Ordering::Relaxed);
        if untold == 0 {
            return true;
        }
        let told = offer(self.outlet(), rest, notice(untold).as_bytes());
        if told {
            self.untold.store(0, Ordering::Relaxed);
        }
        told
    }

    fn outlet(&self) -> &Outlet {
        match &self.outlet {
            Place::Standard(outlet) => outlet(),
            #[cfg(test)]
            Place::Given(outlet) => outlet,
        }
    }

    /// The rest of the last line. Two streams with the same outlet share one rest.
    fn rest(&self) -> &Mutex<Vec<u8>> {
        match ptr::eq(self.outlet(), outlet::output()) {
            true => &OUTPUT_LINES.rest,
            false => &self.rest,
        }
    }

    /// No holder of the lock waits.
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.rest().lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes `line` if the rest of the previous line is written and at least a part of `line` too;
/// returns whether it is.
fn offer(outlet: &Outlet, rest: &mut Vec<u8>, line: &[u8]) -> bool {
    if push(outlet, rest).is_err() {
        return false;
    }
    match write_all(outlet, line) {
        (0, Err(_)) => false,
        (taken, _) => {
            rest.extend_from_slice(&line[taken..]);
            if !rest.is_empty() {
                ask_for_retry();
            }
            true
        }
    }
}

/// Writes the rest of the previous line.
fn push(outlet: &Outlet, rest: &mut Vec<u8>) -> io::Result<()> {
    let (taken, answer) = write_all(outlet, rest);
    rest.drain(..taken);
    answer
}

/// Writes until all of `bytes` is written or an error occurs; returns how much was written.
fn write_all(outlet: &Outlet, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut taken = 0;
    while taken < bytes.len() {
        match outlet.write(&bytes[taken..]) {
            Ok(0) => return (taken, Err(ErrorKind::WriteZero.into())),
            Ok(count) => taken += count,
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn notice(dropped: u64) -> String {
        format!("{dropped} dropped\n")
    }

    /// Lines that are written to one end of a socket pair, and the other end.
    fn lines() -> (Lines, UnixStream) {
        let (near, far) = UnixStream::pair().expect("a pair");
        far.set_nonblocking(true).expect("an option");
        let near: &'static UnixStream = Box::leak(Box::new(near));
        (Lines::new(Place::Given(Outlet::new(near.as_fd()))), far)
    }

    /// All bytes that have arrived.
    fn arrived(far: &mut UnixStream) -> String {
        let mut text = Vec::new();
        let end = far.read_to_end(&mut text);
        let kind = end.expect_err("the other end is open").kind();
        assert_eq!(kind, ErrorKind::WouldBlock);
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_line_without_room_is_dropped_whole_and_a_later_one_tells_how_many() {
        let (lines, mut far) = lines();
        let line = "x".repeat(6_999) + "\n";
        for _ in 0..1_000 {
            lines.write(line.as_bytes(), notice);
        }
        let before = arrived(&mut far);
        lines.write(b"later\n", notice);
        let text = before + &arrived(&mut far);
        let whole = text.lines().filter(|it| it.len() == 6_999).count();
        let dropped = 1_000 - whole as u64;
        assert!((1..1_000).contains(&whole));
        let mut rest = text.lines().skip(whole);
        assert_eq!(rest.next(), Some(notice(dropped).trim_end()));
        assert_eq!((rest.next(), rest.next()), (Some("later"), None));
        assert!(lines_dropped() >= dropped);
        // The notice is written once.
        lines.write(b"last\n", notice);
        assert_eq!(arrived(&mut far), "last\n");
    }

    #[test]
    fn a_line_that_waited_in_vain_is_finished_before_the_next() {
        let (lines, mut far) = lines();
        let long = "x".repeat(2 << 20) + "\n";
        let span = Duration::from_millis(30);
        let start = Instant::now();
        lines.write_within(long.as_bytes(), span).expect("no error");
        assert!(start.elapsed() >= span);
        lines.write(b"dropped\n", notice);
        let mut text = String::new();
        while !text.ends_with("next\n") {
            text += &arrived(&mut far);
            lines.write(b"next\n", notice);
        }
        assert!(text.starts_with(&long));
        assert!(
            text[long.len()..].ends_with("dropped\nnext\n"),
            "told first"
        );
        assert!(!text.contains("\ndropped\n"));
    }

    #[test]
    fn the_rest_of_a_line_is_written_without_a_next_line() {
        let (lines, mut far) = lines();
        assert!(!lines.retry(), "nothing is kept");
        let long = "x".repeat(2 << 20) + "\n";
        lines
            .write_within(long.as_bytes(), Duration::ZERO)
            .expect("no error");
        assert!(lines.retry(), "there is no room");
        let mut text = arrived(&mut far);
        while lines.retry() {
            text += &arrived(&mut far);
        }
        text += &arrived(&mut far);
        assert!(text == long, "{} bytes", text.len());
        lines.write(b"next\n", notice);
        assert_eq!(arrived(&mut far), "next\n");
    }

    #[test]
    fn a_rest_that_is_refused_is_not_tried_again() {
        let (lines, far) = lines();
        let long = vec![b'x'; 2 << 20];
        lines.write_within(&long, Duration::ZERO).expect("no error");
        drop(far);
        assert!(!lines.retry());
    }

    #[test]
    fn a_reader_that_takes_its_time_gets_a_long_line_whole() {
        let (lines, mut far) = lines();
        far.set_nonblocking(false).expect("an option");
        let long = "x".repeat(2 << 20) + "\n";
        let mut got = vec![0; long.len()];
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| far.read_exact(&mut got));
            let span = Duration::from_secs(60);
            lines.write_within(long.as_bytes(), span).expect("no error");
            reading.join().expect("no panic").expect("all of it");
        });
        assert!(got == long.as_bytes());
    }

    #[test]
    fn a_signal_that_ends_the_program_ends_a_wait() {
        let (lines, _far) = lines();
        signal::block(&[signal::TERM]).expect("a signal");
        signal::raise(signal::TERM).expect("a signal");
        let start = Instant::now();
        let span = Duration::from_secs(60);
        let long = vec![b'x'; 2 << 20];
        lines.write_within(&long, span).expect("no error");
        assert!(start.elapsed() < span);
    }

    #[test]
    fn an_error_is_told_to_a_line_that_waits_and_counts_for_one_that_does_not() {
        let (lines, far) = lines();
        drop(far);
        let before = lines_dropped();
        lines.write(b"lost\n", notice);
        assert!(lines_dropped() > before);
        let answer = lines.write_within(b"lost\n", Duration::from_secs(60));
        let kind = answer.expect_err("the reader stands still").kind();
        assert_eq!(kind, ErrorKind::BrokenPipe);
    }
}
