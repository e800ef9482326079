//! The control connection of one session: lines in, replies out, each with its deadline.
//!
//! Nothing here knows what a command means. Every wait ends at the order to cut, so that a server
//! never waits for a session. Neighbours: `session`, `channel`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::site::Site;
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
    times: Times,
    /// When the current window of the stall time-out began, and what had moved then.
    pub(super) window: Option<(Instant, u64)>,
}

/// From when the time-outs of a control connection count.
#[derive(Clone, Copy)]
struct Times {
    /// The connection was opened, or its user has left.
    unknown_since: Instant,
    /// The last command came.
    last: Instant,
    /// The first byte of a line came that has not ended.
    line_since: Option<Instant>,
}

impl Times {
    /// When the wait for a line ends, and why.
    fn deadline(
        &self,
        idle: Option<Duration>,
        line: Option<Duration>,
        is_known: bool,
    ) -> (Option<Instant>, CloseReason) {
        let idle = idle.map(|span| (self.last + span, CloseReason::Idle));
        let slow =
            (self.line_since.zip(line)).map(|(since, span)| (since + span, CloseReason::SlowFrame));
        let login =
            (!is_known).then(|| (self.unknown_since + FTP_LOGIN_TIMEOUT, CloseReason::Idle));
        let first = [idle, slow, login]
            .into_iter()
            .flatten()
            .min_by_key(|it| it.0);
        match first {
            Some((until, reason)) => (Some(until), reason),
            None => (None, CloseReason::Idle),
        }
    }
}

impl<'a> Control<'a> {
    pub(super) fn new(site: &'a Site, stream: TcpStream) -> Control<'a> {
        let now = Instant::now();
        Control {
            site,
            stream,
            lines: Lines::default(),
            has_ended: false,
            times: Times {
                unknown_since: now,
                last: now,
                line_since: None,
            },
            window: None,
        }
    }

    /// The user has left: another login has as much time as the first.
    pub(super) fn forget_user(&mut self) {
        self.times.unknown_since = Instant::now();
    }

    /// Sends a reply.
    pub(super) fn say(&mut self, mut reply: &[u8]) -> Served {
        let until = (self.site.spans.stall).map(|span| Instant::now() + span);
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
            self.times.last = Instant::now();
            self.times.line_since = None;
            self.site.count(|counters| counters.frames += 1);
        }
        next
    }

    /// Waits for the next line. The time of a transfer counts as no silence. In a drain only what
    /// has arrived, or has begun to, is taken.
    pub(super) fn next_line(&mut self, is_known: bool) -> Served<Next> {
        self.times.last = Instant::now();
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
                self.times.line_since = None;
            } else if self.times.line_since.is_none() {
                self.times.line_since = Some(now);
            }
            let is_draining = self.site.is_draining();
            let (until, reason) = match is_draining && !is_mid_line {
                true => (Some(now), CloseReason::Shutdown),
                false => {
                    let spans = self.site.spans;
                    self.times.deadline(spans.idle, spans.line, is_known)
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_log_in_counts_from_when_the_user_is_unknown() {
        let begin = Instant::now();
        let after = |count| begin + Duration::from_secs(count);
        let mut times = Times {
            unknown_since: begin,
            last: begin,
            line_since: None,
        };
        let until = |times: &Times, is_known| times.deadline(None, None, is_known).0;
        assert_eq!(until(&times, false), Some(begin + FTP_LOGIN_TIMEOUT));
        assert_eq!(until(&times, true), None);
        // After an hour the user makes room for another.
        times.unknown_since = after(3600);
        assert_eq!(until(&times, false), Some(after(3600) + FTP_LOGIN_TIMEOUT));
        times.last = after(3601);
        let (idle, line) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(5)));
        let idle_first = (Some(after(3611)), CloseReason::Idle);
        assert_eq!(times.deadline(idle, line, false), idle_first);
        times.line_since = Some(after(3602));
        let line_first = (Some(after(3607)), CloseReason::SlowFrame);
        assert_eq!(times.deadline(idle, line, true), line_first);
    }
}
