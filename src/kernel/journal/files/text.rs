//! A trace as lines of text, in the format of strace(1).
//!
//! ```text
//!      +12 us  0.1   recv(8, 524288) = 6 "hello\n"
//!       +0 us  0.1   state open, waits for request
//! ```
//!
//! The lines of the legend begin with `#`. A line has the time since the line before it, the loop
//! if there are several, and the slot and generation of the connection. What moved is only behind
//! the result. Neighbour: `call`, which formats a call.

use std::io::{self, Write};

use super::super::{Body, Snapshot};
use super::{About, SHOWN, first_bytes, start, tracks};

const LEGEND: &str = "\
# +TIME is the time from the end of one call to the end of the next; a call is
# listed when it has returned, and close when it begins.
# Then SLOT.GENERATION of the connection, - where there is none:
#   name(arguments) = result \"first bytes that moved\", an errno by its name
#   state STATE, waits for WHAT: a connection has changed
";

pub(super) fn write(snapshot: &Snapshot, about: &About, out: &mut dyn Write) -> io::Result<()> {
    for line in about.lines(snapshot) {
        writeln!(out, "# {line}")?;
    }
    out.write_all(LEGEND.as_bytes())?;
    let is_alone = tracks(snapshot).len() < 2;
    if !is_alone {
        writeln!(out, "# LN is the loop")?;
    }
    let (start, mut before) = (start(snapshot), 0);
    for record in snapshot.records() {
        let at = record.at.since(start).as_micros();
        let span = at - before;
        before = at;
        write!(out, "{:>7} us  ", format!("+{span}"))?;
        if !is_alone {
            write!(out, "{:<4}", format!("L{}", record.track))?;
        }
        let token = match record.token.generation() {
            0 => "-".to_owned(),
            _ => format!("{:?}", record.token),
        };
        write!(out, "{token:<6} ")?;
        match record.body {
            Body::Call { .. } => {
                let line = snapshot.with_call(record, |call| call.to_string());
                let shown = first_bytes(snapshot, record, SHOWN);
                let space = if shown.is_empty() { "" } else { " " };
                writeln!(out, "{}{space}{shown}", line.unwrap_or_default())?;
            }
            // Only a trace of packets has them.
            Body::Datagram { .. } => {}
            Body::Line => {
                out.write_all(&snapshot.joined(record))?;
                out.write_all(b"\n")?;
            }
            Body::State {
                state,
                waits,
                reason,
            } => match reason {
                "" => writeln!(out, "state {state}, waits for {waits}")?,
                _ => writeln!(out, "state {state}: {reason}")?,
            },
        }
    }
    Ok(())
}
