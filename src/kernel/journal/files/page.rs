//! A trace as a page for a browser: one file, which loads nothing.
//!
//! The page is `page.html`. It draws the lanes, folds the sleeps, searches and counts, all in the
//! browser. From here come its lanes, one element for each loop and each connection, and its data,
//! a line for each record:
//!
//! ```text
//!   a call     LANE  BEGIN  SPAN  recv(8, 524288) = 6  "hello\n"
//!   a state    LANE  BEGIN        open                 request    REASON
//! ```
//!
//! The parts of a line are separated by tabs. A begin is counted from the one before it; times are
//! in nanoseconds. What moved is escaped, so no part has a tab.

use std::io::{self, Write};

use super::super::{Body, Snapshot};
use super::{About, Places, first_bytes, start, tracks};

/// Bytes that a record shows: fewer than in a line of text, because a page has to be loaded.
const SHOWN: usize = 16;

const PAGE: &str = include_str!("page.html");

pub(super) fn write(snapshot: &Snapshot, about: &About, out: &mut dyn Write) -> io::Result<()> {
    let [command, from] = about.lines(snapshot);
    let mut lanes = Places::default();
    for part in PAGE.split("@@") {
        match part {
            "TITLE" => out.write_all(plain(&command).as_bytes())?,
            "FROM" => out.write_all(plain(&from).as_bytes())?,
            "LANES" => lanes = write_lanes(snapshot, out)?,
            "DATA" => write_data(snapshot, &lanes, out)?,
            other => out.write_all(other.as_bytes())?,
        }
    }
    Ok(())
}

/// Writes an element for each loop and each connection. Returns their places.
fn write_lanes(snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<Places> {
    let (mut lanes, mut count) = (Places::default(), 0);
    let tracks = tracks(snapshot);
    for track in &tracks {
        lanes.set(*track, 0, count);
        count += 1;
        write!(out, "<div class=\"loop\"><b>loop {track}</b></div>")?;
    }
    for record in snapshot.records() {
        let (track, number) = (record.track, record.token.bits());
        if record.token.generation() > 0 && lanes.get(track, number).is_none() {
            lanes.set(track, number, count);
            count += 1;
            let of_loop = match tracks.len() {
                1 => String::new(),
                _ => format!(" of loop {}", record.track),
            };
            let token = record.token;
            write!(out, "<div class=\"lane\"><b>{token:?}{of_loop}</b></div>")?;
        }
    }
    Ok(lanes)
}

fn write_data(snapshot: &Snapshot, lanes: &Places, out: &mut dyn Write) -> io::Result<()> {
    let start = start(snapshot);
    let mut before = 0_i128;
    for record in snapshot.records() {
        let token = match record.token.generation() {
            0 => 0,
            _ => record.token.bits(),
        };
        let lane = lanes.get(record.track, token).unwrap_or(0);
        let began = record.began.since(start).as_nanos() as i128;
        let (delta, span) = (began - before, record.at.since(record.began).as_nanos());
        before = began;
        match record.body {
            Body::Call { .. } => {
                let line = snapshot.with_call(record, |call| call.to_string());
                let (line, data) = (
                    line.unwrap_or_default(),
                    first_bytes(snapshot, record, SHOWN),
                );
                let (line, data) = (plain(&line), plain(&data));
                writeln!(out, "{lane}\t{delta}\t{span}\t{line}\t{data}")?;
            }
            // Only a trace of packets has them.
            Body::Datagram { .. } => {}
            Body::Line => {
                let line = snapshot.joined(record);
                let line = plain(&String::from_utf8_lossy(&line));
                writeln!(out, "{lane}\t{delta}\t{span}\t{line}\t")?;
            }
            Body::State {
                state,
                waits,
                reason,
            } => writeln!(out, "{lane}\t{delta}\t\t{state}\t{waits}\t{reason}")?,
        }
    }
    Ok(())
}

/// Text without marks of HTML.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
