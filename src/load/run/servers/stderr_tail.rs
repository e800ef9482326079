//! The last lines of a server's stderr, for the message of a failed start.
//!
//! A thread reads all output while the server lives, so a server that writes much never blocks.
//! Only the end is kept, in a fixed buffer: nothing is allocated while requests are measured.
//! Neighbour: `spawn`.

use std::io::{self, Read};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::text::escape::escape;

/// The size of the kept end: a few lines.
const KEPT_MAX: usize = 1 << 10;
/// The number of reported lines. Of a backtrace, the last line matters; of an error that is
/// followed by advice, the lines before the advice.
const LINES_TOLD: usize = 3;
const PIECE: usize = 4 << 10;
/// How long to wait for output that was written before the server ended.
const PATIENCE: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(1);

/// The end of the output.
#[derive(Debug)]
pub(super) struct LastWords {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl LastWords {
    /// Starts the reader thread.
    pub(super) fn of(mut stderr: ChildStderr) -> io::Result<LastWords> {
        let kept = Arc::new(Mutex::new(Vec::with_capacity(KEPT_MAX + PIECE)));
        let keep = Arc::clone(&kept);
        let read = move || {
            let mut piece = [0; PIECE];
            while let Ok(count @ 1..) = stderr.read(&mut piece) {
                if let Ok(mut kept) = keep.lock() {
                    kept.extend_from_slice(&piece[..count]);
                    let over = kept.len().saturating_sub(KEPT_MAX);
                    kept.drain(..over);
                }
            }
        };
        let reader = thread::Builder::new().spawn(read)?;
        Ok(LastWords { kept, reader })
    }

    /// The last lines joined into one, after a colon; empty without output.
    pub(super) fn told(&self) -> String {
        let start = Instant::now();
        while !self.reader.is_finished() && start.elapsed() < PATIENCE {
            thread::sleep(PAUSE);
        }
        let kept = self.kept.lock().map_or(Vec::new(), |kept| kept.clone());
        let text = String::from_utf8_lossy(&kept);
        let said = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<&str> = said.collect();
        let last = lines[lines.len().saturating_sub(LINES_TOLD)..].join(" / ");
        match last.is_empty() {
            true => last,
            false => format!(": {}", escape(&last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn told(script: &str) -> String {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stderr(Stdio::piped())
            .spawn()
            .expect("every system has it");
        let stderr = child.stderr.take().expect("it was piped");
        let words = LastWords::of(stderr).expect("a thread");
        child.wait().expect("it ends");
        words.told()
    }

    #[test]
    fn the_last_lines_are_told_as_one() {
        assert_eq!(told("true"), "");
        assert_eq!(told("echo; echo no port >&2; echo >&2"), ": no port");
        let four = "for n in 1 2 3 4; do echo $n >&2; done";
        assert_eq!(told(four), ": 2 / 3 / 4");
        assert_eq!(told("printf '\\033[1mx' >&2"), ": \\u{1b}[1mx");
    }

    #[test]
    fn a_server_that_writes_much_never_blocks_and_the_end_of_a_long_line_is_kept() {
        let long = told("head -c 200000 /dev/zero | tr '\\0' x >&2; printf end >&2");
        assert_eq!(long, format!(": {}end", "x".repeat(KEPT_MAX - 3)));
    }
}
