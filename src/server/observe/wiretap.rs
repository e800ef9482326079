//! The wiretap: what happens on each connection, one log line an event, in order. A datagram is a
//! connection of its own here.
//!
//! ```text
//!   #1 REGISTERED           it has a slot, and its interest is about to be registered
//!   #1 ACTIVE peer=ADDR     behind a load balancer, after the READ of its header
//!   #1 READ 6 bytes         behind it, if asked for, rows of hex
//!   #1 READ_COMPLETE        nothing more is read before the next write or the next event
//!   #1 WRITE 6 bytes        what the kernel took
//!   #1 USER_EVENT idle      a time-out without traffic
//!   #1 EXCEPTION reason     it ends by an error or a limit, not in order
//!   #1 INACTIVE
//!   #1 UNREGISTERED
//! ```
//!
//! The events are those of event-loop frameworks. A driver holds at most one tap; without it the
//! data path has none of these calls, see `reactor`. Numbers count from 1 and are shared by all
//! clones of a tap. A line goes to the log at level info, or to the writer of a test. Nothing is
//! allocated here: a dump is formatted into the line, and a line holds a bounded part of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::text::hex_dump::{HexDump, ROW};
use crate::limits::WIRETAP_ROWS_PER_LINE;
use crate::protocol::connection::CloseReason;

/// The target of the lines, for `RUST_LOG`.
pub const TARGET: &str = "mynah::wiretap";

/// How much of the data is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Only the number of bytes.
    Size,
    /// Every byte too.
    Hex,
}

/// Writes one line, or one line with rows of hex behind it.
pub type TapLine = Arc<dyn Fn(fmt::Arguments<'_>) + Send + Sync>;

/// Tells the events of the connections of one driver.
#[derive(Clone)]
pub struct Wiretap {
    detail: Detail,
    /// The process, where there are several.
    process: Option<u32>,
    /// Connections so far, over all clones.
    count: Arc<AtomicU32>,
    line: TapLine,
    /// The connection that was read from and has neither written nor ended its event since.
    reading: Option<u32>,
}

/// The connection of a line, behind its process if there are several.
#[derive(Clone, Copy)]
struct Whose {
    process: Option<u32>,
    number: u32,
}

impl Wiretap {
    /// A tap that writes to the log.
    pub fn new(detail: Detail) -> Wiretap {
        Wiretap::to(
            Arc::new(|line| log::info!(target: TARGET, "{line}")),
            detail,
        )
    }

    /// A tap that writes to `line`.
    pub fn to(line: TapLine, detail: Detail) -> Wiretap {
        Wiretap {
            detail,
            process: None,
            count: Arc::new(AtomicU32::new(0)),
            line,
            reading: None,
        }
    }

    /// The same, with the number of the process in front of each line: there are several.
    #[must_use]
    pub fn of_process(self, process: u32) -> Wiretap {
        Wiretap {
            process: Some(process),
            ..self
        }
    }

    /// A connection is there. Returns its number.
    #[cold]
    pub fn registered(&mut self) -> u32 {
        let number = self.count.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.tell(number, format_args!("REGISTERED"));
        number
    }

    /// Its peer is known: at once, or by the header of a load balancer.
    #[cold]
    pub fn active(&mut self, number: u32, peer: &dyn fmt::Display) {
        self.tell(number, format_args!("ACTIVE peer={peer}"));
    }

    /// A read has returned `bytes`.
    #[cold]
    pub fn read(&mut self, number: u32, bytes: &[u8]) {
        self.reading = Some(number);
        self.transfer(number, "READ", bytes);
    }

    /// The kernel took `bytes`.
    #[cold]
    pub fn write(&mut self, number: u32, bytes: &[u8]) {
        self.end_event();
        self.transfer(number, "WRITE", bytes);
    }

    /// The event of a connection is over, or its reads are.
    #[cold]
    pub fn end_event(&mut self) {
        if let Some(number) = self.reading.take() {
            self.tell(number, format_args!("READ_COMPLETE"));
        }
    }

    /// Something has happened that is no traffic.
    #[cold]
    pub fn user_event(&mut self, number: u32, name: &str) {
        self.tell(number, format_args!("USER_EVENT {name}"));
    }

    /// The connection is gone.
    #[cold]
    pub fn unregistered(&mut self, number: u32, reason: CloseReason) {
        self.ended(number, Some(reason.name()).filter(|_| !is_in_order(reason)));
    }

    /// The connection is gone, or nothing more happens with the datagram; out of order if there is
    /// a reason.
    #[cold]
    pub fn ended(&mut self, number: u32, why: Option<&str>) {
        self.end_event();
        if let Some(why) = why {
            self.tell(number, format_args!("EXCEPTION {why}"));
        }
        self.tell(number, format_args!("INACTIVE"));
        self.tell(number, format_args!("UNREGISTERED"));
    }

    fn transfer(&self, number: u32, what: &str, bytes: &[u8]) {
        let count = bytes.len();
        if self.detail == Detail::Size || bytes.is_empty() {
            return self.tell(number, format_args!("{what} {count} bytes"));
        }
        let size_max = WIRETAP_ROWS_PER_LINE * ROW;
        for (place, bytes) in bytes.chunks(size_max).enumerate() {
            let offset = place * size_max;
            let dump = HexDump { offset, bytes };
            match place {
                0 => self.tell(number, format_args!("{what} {count} bytes\n{dump}")),
                _ => self.tell(number, format_args!("{what} goes on\n{dump}")),
            }
        }
    }

    fn tell(&self, number: u32, event: fmt::Arguments<'_>) {
        let process = self.process;
        (self.line)(format_args!("{} {event}", Whose { process, number }));
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "{process} #{}", self.number),
            None => write!(f, "#{}", self.number),
        }
    }
}

impl fmt::Debug for Wiretap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wiretap")
            .field("detail", &self.detail)
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

/// Whether a connection has ended as its protocol, its peer or a drain would have it, or by an idle
/// time-out, which has an event of its own.
fn is_in_order(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::EndOfStream | CloseReason::Goodbye | CloseReason::Idle | CloseReason::Shutdown
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A tap and the lines that it has written.
    fn tap(detail: Detail) -> (Wiretap, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let line: TapLine = Arc::new(move |line| {
            kept.lock().expect("one thread").push(line.to_string());
        });
        (Wiretap::to(line, detail), lines)
    }

    fn taken(lines: &Mutex<Vec<String>>) -> Vec<String> {
        std::mem::take(&mut *lines.lock().expect("one thread"))
    }

    #[test]
    fn the_events_of_a_conversation_are_lines_with_the_number_of_the_connection() {
        let (mut tap, lines) = tap(Detail::Size);
        let number = tap.registered();
        tap.active(number, &"tcp://127.0.0.1:9");
        tap.read(number, b"hello");
        tap.read(number, b"!");
        tap.write(number, b"hello!");
        tap.end_event();
        tap.read(number, b"rest");
        tap.end_event();
        tap.user_event(number, "idle_read");
        tap.unregistered(number, CloseReason::Idle);
        let expected = [
            "#1 REGISTERED",
            "#1 ACTIVE peer=tcp://127.0.0.1:9",
            "#1 READ 5 bytes",
            "#1 READ 1 bytes",
            "#1 READ_COMPLETE",
            "#1 WRITE 6 bytes",
            "#1 READ 4 bytes",
            "#1 READ_COMPLETE",
            "#1 USER_EVENT idle_read",
            "#1 INACTIVE",
            "#1 UNREGISTERED",
        ];
        assert_eq!(taken(&lines), expected);
    }

    #[test]
    fn a_disorderly_end_is_an_exception_and_the_clones_of_a_process_share_the_numbers() {
        let (tap, lines) = tap(Detail::Size);
        let mut first = tap.of_process(77);
        let mut second = first.clone();
        let (one, two) = (first.registered(), second.registered());
        assert_eq!((one, two), (1, 2));
        taken(&lines);
        second.read(two, b"x");
        second.unregistered(two, CloseReason::Reset);
        let expected = [
            "77 #2 READ 1 bytes",
            "77 #2 READ_COMPLETE",
            "77 #2 EXCEPTION reset",
            "77 #2 INACTIVE",
            "77 #2 UNREGISTERED",
        ];
        assert_eq!(taken(&lines), expected);
    }

    #[test]
    fn a_line_holds_a_bounded_part_of_a_dump_and_all_bytes_are_shown() {
        let bound = WIRETAP_ROWS_PER_LINE * ROW;
        for (size, count) in [(1, 1), (bound - 1, 1), (bound, 1), (bound + 1, 2)] {
            let (mut tap, lines) = tap(Detail::Hex);
            tap.write(1, &vec![b'.'; size]);
            let lines = taken(&lines);
            assert_eq!(lines.len(), count, "{size}");
            let front = format!("#1 WRITE {size} bytes\n00000000  2e");
            assert!(lines[0].starts_with(&front), "{}", lines[0]);
            let rest = lines.get(1).map(|line| line.split_once('\n'));
            if let Some(Some((head, row))) = rest {
                assert_eq!(head, "#1 WRITE goes on");
                assert!(row.starts_with(&format!("{bound:08x}  2e  ")), "{row}");
            }
            let rows = lines.iter().flat_map(|line| line.lines().skip(1));
            let shown: usize = rows.map(|row| row[10..58].matches("2e").count()).sum();
            assert_eq!(shown, size);
        }
    }
}
