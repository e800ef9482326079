//! What moves over a data connection: files and lists out, bytes in.
//!
//! Each step waits for the data connection first, with the stall time-out as its deadline, so a
//! peer that takes or sends next to nothing is found, and `ABOR` is seen between two steps. Files
//! go out by sendfile(2) as they are, or through a buffer in TYPE A. Neighbours: `channel`,
//! `upload`, `lists`.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::channel::{Progress, Waited, Want};
use super::control::{Control, Served};
use crate::kernel::channels::{Ask, wait};
use crate::kernel::{errno, send_file};
use crate::limits::{FTP_BUFFER_SIZE, FTP_SEND_SIZE, LINGER_TIMEOUT};
use crate::protocol::connection::CloseReason;
use crate::protocol::service::ftp::Refusal;

/// How a transfer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    All,
    /// By `ABOR`.
    Aborted,
    /// The data connection took or sent nothing for too long.
    Late,
    /// The data connection has failed.
    Lost,
    /// For another reason.
    Refused(Refusal),
}

/// A file that is read has failed or changed.
pub(super) const UNREADABLE: Refusal = Refusal::new(451, "The file cannot be read to its end.");

/// Whether a data connection can go on after `error`.
fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Whether an error of sendfile(2) is about the file. All others are about the connection, whose
/// end has many names (tcp(7)).
fn is_of_files(error: &io::Error) -> bool {
    let number = error.raw_os_error().unwrap_or(errno::EIO);
    [errno::EIO, errno::EINVAL, errno::ENOMEM].contains(&number)
}

impl Control<'_> {
    /// Waits for `data`, with which so many bytes were moved. Within each stall time-out a minimum
    /// of them must be moved, so that single bytes keep no session.
    fn wait_to(&mut self, want: Want, data: &TcpStream, moved: u64) -> Served<Result<(), Moved>> {
        let now = Instant::now();
        let (mut since, before) = *self.window.get_or_insert((now, moved));
        if moved.saturating_sub(before) >= self.site.spans.stall_size_min {
            self.window = Some((now, moved));
            since = now;
        }
        let span =
            (self.site.spans.stall).map(|span| (since + span).saturating_duration_since(now));
        let waited = self.wait_for(data.as_fd(), want, span, Progress { moved })?;
        Ok(match waited {
            Waited::Ready => Ok(()),
            Waited::Late => Err(Moved::Late),
            Waited::Aborted => Err(Moved::Aborted),
        })
    }

    /// Sends the bytes of `file` from `start` to `end`. A file that has become shorter is an error;
    /// one that has grown is sent as long as it was.
    pub(super) fn send_image(
        &mut self,
        data: &TcpStream,
        file: &File,
        start: u64,
        end: u64,
    ) -> Served<Moved> {
        let mut at = start;
        while at < end {
            if let Err(moved) = self.wait_to(Want::Write, data, at - start)? {
                return Ok(moved);
            }
            let count = usize::try_from(end - at).map_or(FTP_SEND_SIZE, |it| it.min(FTP_SEND_SIZE));
            match send_file(data, file, at, count) {
                Ok(0) => return Ok(Moved::Refused(UNREADABLE)),
                Ok(count) => {
                    at += count as u64;
                    self.site
                        .count(|counters| counters.bytes_out += count as u64);
                }
                Err(error) if passes(&error) => {}
                Err(error) if is_of_files(&error) => return Ok(Moved::Refused(UNREADABLE)),
                Err(_) => return Ok(Moved::Lost),
            }
        }
        Ok(Moved::All)
    }

    /// Sends a file as lines that end with CR LF, without the first `skip` bytes of them.
    pub(super) fn send_ascii(
        &mut self,
        data: &TcpStream,
        file: &File,
        mut skip: u64,
        end: u64,
    ) -> Served<Moved> {
        let mut space = vec![0; FTP_BUFFER_SIZE / 2];
        let (mut at, mut text) = (0, Vec::with_capacity(FTP_BUFFER_SIZE));
        while at < end {
            let count = match file.read_at(&mut space, at) {
                Ok(0) => return Ok(Moved::Refused(UNREADABLE)),
                Ok(count) => count.min(usize::try_from(end - at).unwrap_or(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Ok(Moved::Refused(UNREADABLE)),
            };
            at += count as u64;
            text.clear();
            to_ascii(&space[..count], &mut text);
            let left_out = text.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= left_out as u64;
            match self.send_bytes(data, &text[left_out..], at)? {
                Moved::All => {}
                moved => return Ok(moved),
            }
        }
        Ok(Moved::All)
    }

    /// Sends `bytes`, of which so many others were sent before.
    pub(super) fn send_bytes(
        &mut self,
        mut data: &TcpStream,
        mut bytes: &[u8],
        before: u64,
    ) -> Served<Moved> {
        let end = before + bytes.len() as u64;
        while !bytes.is_empty() {
            let moved = end - bytes.len() as u64;
            if let Err(moved) = self.wait_to(Want::Write, data, moved)? {
                return Ok(moved);
            }
            match data.write(bytes) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.site
                        .count(|counters| counters.bytes_out += count as u64);
                }
                Err(error) if passes(&error) => {}
                Err(_) => return Ok(Moved::Lost),
            }
        }
        Ok(Moved::All)
    }

    /// Receives into `space`. 0 bytes are the end.
    pub(super) fn receive(
        &mut self,
        mut data: &TcpStream,
        space: &mut [u8],
        before: u64,
    ) -> Served<Result<usize, Moved>> {
        loop {
            if let Err(moved) = self.wait_to(Want::Read, data, before)? {
                return Ok(Err(moved));
            }
            match data.read(space) {
                Ok(count) => {
                    self.site
                        .count(|counters| counters.bytes_in += count as u64);
                    return Ok(Ok(count));
                }
                Err(error) if passes(&error) => {}
                Err(_) => return Ok(Err(Moved::Lost)),
            }
        }
    }

    /// Reads what still comes from `data` and throws it away: to its end, to the next command, or
    /// for the time of a lingering connection.
    pub(super) fn read_on(&mut self, mut data: &TcpStream) -> Served<Waited> {
        let until = Instant::now() + LINGER_TIMEOUT;
        let mut space = vec![0; FTP_BUFFER_SIZE];
        loop {
            if self.lines.begins_with(b"ABOR") {
                self.take_line();
                return Ok(Waited::Aborted);
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.lines.has_line() || self.has_ended || left.is_zero() {
                return Ok(Waited::Late);
            }
            let asked = &mut [
                Ask::read(&data),
                Ask::read(&self.stream),
                Ask::read(&self.site.cut),
            ];
            wait(self.site.wake_ups, asked, Some(left)).map_err(|_| CloseReason::Failed)?;
            let [is_ready, has_commands, is_cut] = asked.each_ref().map(|ask| ask.is_ready);
            if is_cut {
                return Err(CloseReason::Cut);
            }
            if has_commands {
                self.fill()?;
            } else if is_ready {
                match data.read(&mut space) {
                    Ok(0) => return Ok(Waited::Ready),
                    Ok(count) => self
                        .site
                        .count(|counters| counters.bytes_in += count as u64),
                    Err(error) if passes(&error) => {}
                    Err(_) => return Ok(Waited::Ready),
                }
            }
        }
    }
}

/// Adds `bytes` with CR LF for every LF: the round trip of TYPE A changes no file.
fn to_ascii(bytes: &[u8], text: &mut Vec<u8>) {
    for byte in bytes {
        if *byte == b'\n' {
            text.push(b'\r');
        }
        text.push(*byte);
    }
}

/// Turns CR LF back into LF, however the bytes are cut.
#[derive(Debug, Default)]
pub(super) struct FromAscii {
    /// A CR was last, and is not written yet.
    holds_cr: bool,
}

impl FromAscii {
    /// Adds what `bytes` stand for.
    pub(super) fn take(&mut self, bytes: &[u8], file: &mut Vec<u8>) {
        for byte in bytes {
            if std::mem::take(&mut self.holds_cr) && *byte != b'\n' {
                file.push(b'\r');
            }
            match byte {
                b'\r' => self.holds_cr = true,
                byte => file.push(*byte),
            }
        }
    }

    /// The end: a CR alone is a byte like any other.
    pub(super) fn finish(&mut self, file: &mut Vec<u8>) {
        if std::mem::take(&mut self.holds_cr) {
            file.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_however_they_are_cut() {
        for file in [&b"a\nb\r\nc\r\r\n\n"[..], b"", b"\r", b"\n", b"a\rb\r"] {
            let mut text = Vec::new();
            to_ascii(file, &mut text);
            for size in 1..=text.len().max(1) {
                let (mut from, mut back) = (FromAscii::default(), Vec::new());
                text.chunks(size)
                    .for_each(|piece| from.take(piece, &mut back));
                from.finish(&mut back);
                assert_eq!(back, file, "{text:?} by {size}");
            }
        }
    }
}
