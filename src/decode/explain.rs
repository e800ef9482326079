//! Draws a frame as a box: the name of each part, its bytes and their meaning.
//!
//! ```text
//!   frame at byte 0: 9 bytes, 5 of them handed on
//!   +-------------+----------------+
//!   | length      | payload        |
//!   | 00 00 00 05 | 68 65 6c 6c 6f |
//!   | 5           | "hello"        |
//!   +-------------+----------------+
//! ```
//!
//! The drawing is for people: of a long part only the first bytes are shown.

use std::io::{self, Write};

use crate::limits::DECODE_SHOWN_MAX;
use crate::protocol::framing::{Bounds, Framing};

/// One part of a frame: the three lines of its cell.
struct Cell([String; 3]);

impl Cell {
    fn new(name: &str, bytes: &[u8], says: String) -> Cell {
        let hex: Vec<String> = bytes
            .iter()
            .take(DECODE_SHOWN_MAX)
            .map(|b| format!("{b:02x}"))
            .collect();
        let mut hex = hex.join(" ");
        if bytes.len() > DECODE_SHOWN_MAX {
            hex += &format!(" ... {} bytes", bytes.len());
        }
        Cell([name.to_owned(), hex, says])
    }

    fn text(name: &str, bytes: &[u8]) -> Cell {
        let shown = bytes[..bytes.len().min(DECODE_SHOWN_MAX)].escape_ascii();
        let more = if bytes.len() > DECODE_SHOWN_MAX {
            "..."
        } else {
            ""
        };
        Cell::new(name, bytes, format!("\"{shown}\"{more}"))
    }

    fn width(&self) -> usize {
        self.0
            .iter()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or(0)
    }
}

/// Draws `frame`, which begins at byte `at` of the stream. `said` is what its codec made of the
/// payload.
pub(super) fn draw(
    output: &mut impl Write,
    framing: &Framing,
    at: u64,
    frame: &[u8],
    bounds: &Bounds,
    said: Option<&[u8]>,
) -> io::Result<()> {
    let handed_on = said.map_or(bounds.payload_end - framing.strip(bounds), <[u8]>::len);
    let size = frame.len();
    writeln!(
        output,
        "frame at byte {at}: {size} bytes, {handed_on} of them handed on"
    )?;
    let mut cells = cells(framing, frame, bounds);
    cells.extend(said.map(|said| Cell::text("decoded", said)));
    let edge: String = cells
        .iter()
        .map(|cell| format!("+-{}-", "-".repeat(cell.width())))
        .collect();
    writeln!(output, "{edge}+")?;
    for row in 0..3 {
        for cell in &cells {
            write!(output, "| {:width$} ", cell.0[row], width = cell.width())?;
        }
        writeln!(output, "|")?;
    }
    writeln!(output, "{edge}+")
}

fn cells(framing: &Framing, frame: &[u8], bounds: &Bounds) -> Vec<Cell> {
    let (header, rest) = frame.split_at(bounds.payload);
    let (payload, trailer) = rest.split_at(bounds.payload_end - bounds.payload);
    let mut cells = Vec::new();
    if let Framing::LengthField(field) = framing {
        let place = field.place();
        let says = field.value(frame).to_string();
        cells.push(Cell::text("header", &header[..place.start]));
        cells.push(Cell::new("length", &header[place.clone()], says));
        cells.push(Cell::text("header", &header[place.end..]));
    } else {
        cells.push(Cell::text("length", header));
    }
    // Empty parts are not drawn, except the payload.
    cells.retain(|cell| !cell.0[1].is_empty());
    cells.push(Cell::text("payload", payload));
    if !trailer.is_empty() {
        cells.push(Cell::text("end", trailer));
    }
    cells
}
