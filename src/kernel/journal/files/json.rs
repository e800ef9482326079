//! A trace in the Trace Event Format, for Perfetto and chrome://tracing.
//!
//! ```text
//!   a loop         | epoll_wait            |accept4|  epoll_wait  ...
//!   a connection   | open                                      |
//!                  | request      | writable                   |
//!                  |   |recv|send|    |send|                   |
//! ```
//!
//! Each loop and each connection is a track, a thread of the process. A call is a complete event
//! (`ph` X) under the name of its function, on the track of its connection if it has one. A state
//! is a slice around the slices of what the connection waited for in it, and these are around the
//! calls. Times are microseconds since the first record. Source: "Trace Event Format" (Google).

use std::io::{self, Write};

use super::super::{Body, Record, Snapshot};
use super::{About, Places, SHOWN, first_bytes, quoted, start, tracks};
use crate::kernel::{Time, errno};

/// Tracks of connections begin behind those of loops.
const CONNECTIONS: usize = 1_000_000;

struct Writer<'a> {
    out: &'a mut dyn Write,
    process: u32,
    start: Time,
    has_events: bool,
}

/// A slice that is open until the next change of its connection.
#[derive(Clone, Copy)]
struct Open {
    name: &'static str,
    since: Time,
}

/// What is open on the track of a connection.
#[derive(Clone, Copy)]
struct Lane {
    number: usize,
    state: Open,
    waits: Open,
}

pub(super) fn write(snapshot: &Snapshot, about: &About, out: &mut dyn Write) -> io::Result<()> {
    let [command, from] = about.lines(snapshot);
    let (command, from) = (quoted(&command), quoted(&from));
    writeln!(
        out,
        "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"command\":{command},\"from\":{from}}},\
         \"traceEvents\":["
    )?;
    let mut writer = Writer {
        out: &mut *out,
        process: about.process,
        start: start(snapshot),
        has_events: false,
    };
    let tracks = tracks(snapshot);
    for track in &tracks {
        writer.name(*track as usize + 1, &format!("loop {track}"))?;
    }
    let (mut places, mut lanes) = (Places::default(), Vec::<Lane>::new());
    let mut end = writer.start;
    for record in snapshot.records() {
        end = end.max(record.at);
        let key = record.token.bits();
        let mut place = match record.token.generation() {
            0 => None,
            _ => places.get(record.track, key),
        };
        if record.token.generation() > 0 && place.is_none() {
            place = Some(lanes.len());
            places.set(record.track, key, lanes.len());
            let number = CONNECTIONS + lanes.len();
            let of_loop = match tracks.len() {
                1 => String::new(),
                _ => format!(" of loop {}", record.track),
            };
            writer.name(number, &format!("connection {:?}{of_loop}", record.token))?;
            let none = Open {
                name: "",
                since: record.began,
            };
            let lane = Lane {
                number,
                state: none,
                waits: none,
            };
            lanes.push(lane);
        }
        let lane = place.and_then(|place| lanes.get_mut(place));
        match (record.body, lane) {
            (
                Body::State {
                    state,
                    waits,
                    reason,
                },
                Some(lane),
            ) => {
                let state = if reason.is_empty() { state } else { "" };
                if state != lane.state.name {
                    // What is nested ends with what it is nested in.
                    writer.turn(lane.number, &mut lane.waits, "", record.at)?;
                    writer.turn(lane.number, &mut lane.state, state, record.at)?;
                }
                writer.turn(lane.number, &mut lane.waits, waits, record.at)?;
                if !reason.is_empty() {
                    let at = writer.micros(record.at);
                    let (lane, reason) = (lane.number, quoted(reason));
                    writer.event(&format!(
                        "\"name\":\"closed\",\"cat\":\"state\",\"ph\":\"i\",\"s\":\"t\",\
                         \"ts\":{at},\"tid\":{lane},\"args\":{{\"reason\":{reason}}}"
                    ))?;
                }
            }
            (_, lane) => {
                let track = lane.map_or(record.track as usize + 1, |lane| lane.number);
                writer.call(snapshot, record, track)?;
            }
        }
    }
    for lane in &mut lanes {
        writer.turn(lane.number, &mut lane.waits, "", end)?;
        writer.turn(lane.number, &mut lane.state, "", end)?;
    }
    out.write_all(b"\n]}\n")
}

impl Writer<'_> {
    fn micros(&self, at: Time) -> String {
        let nanoseconds = at.since(self.start).as_nanos();
        format!("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000)
    }

    fn event(&mut self, members: &str) -> io::Result<()> {
        let comma = if self.has_events { ",\n" } else { "" };
        self.has_events = true;
        let process = self.process;
        write!(self.out, "{comma}{{{members},\"pid\":{process}}}")
    }

    fn name(&mut self, track: usize, name: &str) -> io::Result<()> {
        self.event(&format!(
            "\"name\":\"thread_name\",\"ph\":\"M\",\"tid\":{track},\"args\":{{\"name\":\"{name}\"}}"
        ))
    }

    /// Ends the open slice and begins the next one, if it differs; none if that has no name.
    fn turn(
        &mut self,
        track: usize,
        open: &mut Open,
        name: &'static str,
        at: Time,
    ) -> io::Result<()> {
        let Open { name: was, since } = *open;
        if was == name {
            return Ok(());
        }
        *open = Open { name, since: at };
        if was.is_empty() {
            return Ok(());
        }
        self.slice(was, "state", (since, at), track, "")
    }

    fn slice(
        &mut self,
        name: &str,
        kind: &str,
        (began, at): (Time, Time),
        track: usize,
        args: &str,
    ) -> io::Result<()> {
        let (from, to) = (began.since(self.start), at.since(self.start));
        let span = to.saturating_sub(from).as_nanos();
        let from = self.micros(began);
        self.event(&format!(
            "\"name\":\"{name}\",\"cat\":\"{kind}\",\"ph\":\"X\",\"ts\":{from},\
             \"dur\":{}.{:03},\"tid\":{track},\"args\":{{{args}}}",
            span / 1000,
            span % 1000
        ))
    }

    fn call(&mut self, snapshot: &Snapshot, record: &Record, track: usize) -> io::Result<()> {
        let line;
        let (name, descriptor, result, moves) = match record.body {
            Body::Call {
                name,
                descriptor,
                result,
                ..
            } => {
                let call = snapshot.with_call(record, |call| call.to_string());
                line = call.unwrap_or_default();
                (
                    name.function(),
                    descriptor,
                    Some(result),
                    name.moves_bytes(),
                )
            }
            Body::Line => {
                line = String::from_utf8_lossy(&snapshot.joined(record)).into_owned();
                let name = line.split_once('(').map_or("call", |(name, _)| name);
                let result = line.rsplit_once(") = ").map(|(_, result)| result);
                let number = result.and_then(|it| it.split(' ').next()?.parse().ok());
                (name, None, number.map(Ok), false)
            }
            // Only a trace of packets has datagrams.
            Body::State { .. } | Body::Datagram { .. } => return Ok(()),
        };
        let mut args = Vec::new();
        args.extend(descriptor.map(|descriptor| format!("\"fd\":{descriptor}")));
        if record.token.generation() > 0 {
            let (slot, generation) = (record.token.index(), record.token.generation());
            args.push(format!("\"slot\":{slot},\"generation\":{generation}"));
        }
        args.extend(result.map(|result| match result {
            Ok(count) if moves => format!("\"bytes\":{count}"),
            Ok(number) => format!("\"result\":{number}"),
            Err(code) => match errno::name(code) {
                Some(name) => format!("\"errno\":\"{name}\""),
                None => format!("\"errno\":\"{code}\""),
            },
        }));
        args.push(format!("\"call\":{}", quoted(&line)));
        let shown = first_bytes(snapshot, record, SHOWN);
        if !shown.is_empty() {
            args.push(format!("\"data\":{}", quoted(&shown)));
        }
        let span = (record.began, record.at);
        self.slice(name, "call", span, track, &args.join(","))
    }
}
