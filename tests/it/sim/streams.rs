//! The standard streams: `Streams` of the kernel interface, with the test as terminal, pipe or
//! file.
//!
//! Typed input is available at once, printed output is kept for the test, and standard output takes
//! only as many bytes as the test allows. Epoll is not known here beyond the answers to `collect`.
//! Invariant: as on Linux, a regular file is never watched (EPERM), and a stream that is not
//! watched is never reported. epoll_ctl(2), pipe(7).

use std::collections::VecDeque;
use std::io;

use libc::{EAGAIN, EPIPE};
use mynah::kernel::{Event, Readiness, Stream, Streams};

use super::Sim;

/// Both streams, seen from the other side.
#[derive(Default)]
pub(super) struct Ends {
    input: VecDeque<u8>,
    input_ended: bool,
    is_file: bool,
    output: Vec<u8>,
    /// How many more bytes standard output takes; `None` means no limit.
    room: Option<usize>,
    output_closed: bool,
    watched: [bool; 2],
}

impl Ends {
    fn ready(&self, stream: Stream) -> bool {
        match stream {
            Stream::Input => !self.input.is_empty() || self.input_ended,
            Stream::Output => self.output_closed || self.room != Some(0),
        }
    }

    /// The events to report.
    pub(super) fn events(&self) -> impl Iterator<Item = Event> + '_ {
        let both = [
            (Stream::Input, Readiness::IN),
            (Stream::Output, Readiness::OUT),
        ];
        let reported = |(stream, _): &(Stream, Readiness)| {
            self.watched[*stream as usize] && self.ready(*stream)
        };
        both.into_iter()
            .filter(reported)
            .map(|(stream, readiness)| Event::new(stream.token(), readiness))
    }
}

impl Sim {
    /// Puts bytes at standard input.
    pub fn type_in(&mut self, bytes: &[u8]) {
        self.streams.input.extend(bytes);
    }

    /// Standard input ends.
    pub fn end_input(&mut self) {
        self.streams.input_ended = true;
    }

    /// Standard input is a regular file.
    pub fn input_is_a_file(&mut self) {
        self.streams.is_file = true;
    }

    /// How many bytes of standard input were not read.
    pub fn untaken(&self) -> usize {
        self.streams.input.len()
    }

    /// The output since the last call.
    pub fn printed(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.streams.output)
    }

    /// Lets standard output take `room` more bytes, or any number.
    pub fn let_print(&mut self, room: Option<usize>) {
        self.streams.room = room;
    }

    /// The reader of standard output goes away.
    pub fn close_output(&mut self) {
        self.streams.output_closed = true;
    }
}

impl Streams for Sim {
    fn watch(&mut self, stream: Stream, on: bool) -> io::Result<bool> {
        if stream == Stream::Input && self.streams.is_file {
            return Ok(false);
        }
        let watched = &mut self.streams.watched[stream as usize];
        assert!(*watched != on, "EEXIST or ENOENT: {stream:?} is so already");
        *watched = on;
        Ok(true)
    }

    fn input(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if !self.streams.ready(Stream::Input) && !self.streams.is_file {
            return Err(io::Error::from_raw_os_error(EAGAIN));
        }
        let count = space.len().min(self.streams.input.len());
        let taken = self.streams.input.drain(..count);
        space
            .iter_mut()
            .zip(taken)
            .for_each(|(to, from)| *to = from);
        Ok(count)
    }

    fn output(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.streams.room.unwrap_or(bytes.len()).min(bytes.len());
        if self.streams.output_closed || count == 0 {
            let errno = if self.streams.output_closed {
                EPIPE
            } else {
                EAGAIN
            };
            return Err(io::Error::from_raw_os_error(errno));
        }
        if let Some(room) = &mut self.streams.room {
            *room -= count;
        }
        self.streams.output.extend(&bytes[..count]);
        Ok(count)
    }
}
