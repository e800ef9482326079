//! The control connection of one session: lines in, replies out, each with its deadline.
//!
//! Nothing here knows what a command means. Every wait ends at the order to cut, so that a server
//! never waits for a session. Neighbours: `session`, `channel`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::Site;
use crate::kernel::channels::{Ask, wait};
use crate::limits::{FTP_LINE_SIZE_MAX, FTP_LINGER_TIME, FTP_LOGIN_TIMEOUT};
use crate::protocol::connection::CloseReason;
use crate::protocol::service::ftp::{Lines, Next, line};

/// What a step of a session yields, or why the session ends.
pub(super) type Served<T = ()> = Result<T, CloseReason>;

/// The connection, and what has arrived on it.
pub(super) struct Control<'a> {
    pub(super) site: &'a Site,
    pub(super) stream: TcpStream,
    pub(super) lines: Lines,
    /// The peer sends no more.
    pub(super) has_ended: bool,
    opened: Instant,
    /// When the last command came.
    last: Instant,
    /// When the current window of the stall time-out began, and what had moved then.
    pub(super) window: Option<(Instant, u64)>,
    /// When the first byte of a line came that has not ended.
    line_since: Option<Instant>,
}

impl<'a> Control<'a> {
    pub(super) fn new(site: &'a Site, stream: TcpStream) -> Control<'a> {
        let now = Instant::now();
        Control {
            site,
            stream,
            lines: Lines::default(),
            has_ended: false,
            opened: now,
            last: now,
            window: None,
            line_since: None,
        }
    }

    /// Sends a reply.
    pub(super) fn say(&mut self, mut reply: &[u8]) -> Served {
        let until = (self.site.stall_timeout).map(|span| Instant::now() + span);
        while !reply.is_empty() {
            match self.stream.write(reply) {
                Ok(count) => {
                    self.site.count(|counters| {
                        counters.send += 1;
                        counters.bytes_out += count as u64;
                    });
                    reply = &reply[count..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let asked = &mut [Ask::write(&self.stream), Ask::read(&self.site.cut)];
                    let span = until.map(|until| until.saturating_duration_since(Instant::now()));
                    wait(self.site.wake_ups, asked, span).map_err(|_| CloseReason::Failed)?;
                    match (asked[0].is_ready, asked[1].is_ready, span) {
                        (_, true, _) => return Err(CloseReason::Cut),
                        (false, _, Some(Duration::ZERO)) => return Err(CloseReason::Stalled),
                        _ => {}
                    }
                }
                Err(_) => return Err(CloseReason::Reset),
            }
        }
        Ok(())
    }

    /// Reads what has arrived, as far as there is room for it.
    pub(super) fn fill(&mut self) -> Served {
        let mut space = [0; FTP_LINE_SIZE_MAX];
        let room = self.lines.room().min(space.len());
        if self.has_ended || room == 0 {
            return Ok(());
        }
        match self.stream.read(&mut space[..room]) {
            Ok(0) => self.has_ended = true,
            Ok(count) => {
                self.site.count(|counters| {
                    counters.recv += 1;
                    counters.bytes_in += count as u64;
                });
                self.lines.push(&space[..count]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(CloseReason::Reset),
        }
        Ok(())
    }

    /// The next line that has arrived whole, without a wait.
    pub(super) fn take_line(&mut self) -> Next {
        let next = self.lines.next_line();
        if next != Next::Incomplete {
            self.last = Instant::now();
            self.line_since = None;
            self.site.count(|counters| counters.frames += 1);
        }
        next
    }

    /// Waits for the next line. The time of a transfer counts as no silence. In a drain only what
    /// has arrived, or has begun to, is taken.
    pub(super) fn next_line(&mut self, is_known: bool) -> Served<Next> {
        self.last = Instant::now();
        loop {
            match self.take_line() {
                Next::Incomplete => {}
                next => return Ok(next),
            }
            let is_mid_line = self.lines.is_mid_line();
            if self.has_ended {
                return Err(match is_mid_line {
                    true => CloseReason::Truncated,
                    false => CloseReason::EndOfStream,
                });
            }
            let now = Instant::now();
            if !is_mid_line {
                self.line_since = None;
            } else if self.line_since.is_none() {
                self.line_since = Some(now);
            }
            let is_draining = self.site.is_draining();
            let (until, reason) = match is_draining && !is_mid_line {
                true => (Some(now), CloseReason::Shutdown),
                false => self.deadline(is_known),
            };
            let span = until.map(|until| until.saturating_duration_since(now));
            let order = match is_draining {
                true => &self.site.cut,
                false => &self.site.drain,
            };
            let asked = &mut [Ask::read(&self.stream), Ask::read(order)];
            wait(self.site.wake_ups, asked, span).map_err(|_| CloseReason::Failed)?;
            let [stream, _] = asked;
            match stream.is_ready {
                _ if self.site.is_cut() => return Err(CloseReason::Cut),
                true => self.fill()?,
                false if span == Some(Duration::ZERO) => {
                    self.say(&line(421, farewell(reason)))?;
                    return Err(reason);
                }
                false => {}
            }
        }
    }

    /// When the wait for a line ends, and why.
    fn deadline(&self, is_known: bool) -> (Option<Instant>, CloseReason) {
        let idle = (self.site.idle_timeout).map(|span| (self.last + span, CloseReason::Idle));
        let slow = (self.line_since.zip(self.site.line_timeout))
            .map(|(since, span)| (since + span, CloseReason::SlowFrame));
        let login = (!is_known).then(|| (self.opened + FTP_LOGIN_TIMEOUT, CloseReason::Idle));
        let first = [idle, slow, login]
            .into_iter()
            .flatten()
            .min_by_key(|it| it.0);
        match first {
            Some((until, reason)) => (Some(until), reason),
            None => (None, CloseReason::Idle),
        }
    }

    /// Ends the connection so that the last reply arrives: unread bytes would reset it (tcp(7)).
    pub(super) fn finish(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let until = Instant::now() + FTP_LINGER_TIME;
        let mut space = [0; 1024];
        while !self.has_ended && !self.site.is_cut() {
            let span = until.saturating_duration_since(Instant::now());
            let asked = &mut [Ask::read(&self.stream), Ask::read(&self.site.cut)];
            if span.is_zero() || wait(self.site.wake_ups, asked, Some(span)).is_err() {
                return;
            }
            if asked[0].is_ready {
                match self.stream.read(&mut space) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        }
    }
}

fn farewell(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Shutdown => "The server shuts down.",
        CloseReason::SlowFrame => "A command took too long to arrive.",
        _ => "No command came for too long.",
    }
}
