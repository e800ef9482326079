//! The standard streams: `Streams` of the seam, with the test as terminal, pipe or file.
//!
//! What is typed is there at once, what is printed is kept for the test, and standard output takes
//! only as much as the test lets it. It refuses to know epoll beside what `collect` asks it.
//! Invariant: as on Linux, a file is never watched, and a stream that is not watched is never
//! reported. epoll_ctl(2), pipe(7).

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
    /// How much more standard output takes; nothing is without end.
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

    /// What is to be reported.
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

    /// Nothing more comes at standard input.
    pub fn end_input(&mut self) {
        self.streams.input_ended = true;
    }

    /// Standard input is a regular file.
    pub fn input_is_a_file(&mut self) {
        self.streams.is_file = true;
    }

    /// How much of standard input was not read.
    pub fn untaken(&self) -> usize {
        self.streams.input.len()
    }

    /// What was printed since the last call.
    pub fn printed(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.streams.output)
    }

    /// Lets standard output take `room` bytes more, or all.
    pub fn let_print(&mut self, room: Option<usize>) {
        self.streams.room = room;
    }

    /// Whoever reads standard output goes away.
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
