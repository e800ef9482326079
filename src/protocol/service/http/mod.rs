//! A small HTTP server: the answer to every request is `Hello, World` (RFC 9110, RFC 9112).
//!
//! ```text
//!   RequestLine --> Field --.   no body         Body: Content-Length
//!        ^           ^__'   +-----------.   .------- left --------.
//!        |                  +-----------|---'                     |
//!        |                  +--> ChunkLine --> Chunk --> ChunkEnd |
//!        |                  |        |  ^___________________'     |
//!        |                  |        +--> Trailer                 |
//!        +------- reply ----+----------------'--------------------'
//! ```
//!
//! The service finds its own messages in a stream without boundaries, one line at a time. So a
//! connection keeps no more than an unfinished line, however reads cut the stream. A body is read
//! and discarded. An ambiguous request is refused and ends the connection, because a server in
//! front of this one may understand it differently (RFC 9112, 11.2: request smuggling). If the
//! bounds of a request are certain and only its method is not offered, the reply is 405 and the
//! next request is served.
//!
//! Neighbours: `scrape` serves other pages, `line` finds the ends of lines, `head` parses the
//! lines, `target` and `protocol::http` check the bytes of their parts, `chunk` parses the line
//! before a chunk, `date` writes the time.

mod chunk;
mod date;
mod head;
mod line;
mod scrape;
mod target;

use super::{Answer, Clock, Reply, Request, Service};
use crate::limits::{HTTP_BODY_MAX, HTTP_HEAD_MAX, STREAM_REPLY_SIZE};
use head::{Body, Head};
use line::HeadLines;

pub use scrape::Scrape;

/// Answers every request with the same short text.
#[derive(Clone, Copy, Debug)]
pub struct Http {
    /// [`HELLO`] with the date of the current second.
    hello: [u8; HELLO.len()],
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nServer: mynah\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                     Content-Type: text/plain\r\nContent-Length: 12\r\n\r\nHello, World";
const STATUS_LINE: &str = "HTTP/1.1 200 OK";
const DATE_AT: usize = "HTTP/1.1 200 OK\r\nServer: mynah\r\nDate: ".len();
const FIELDS_END: usize = HELLO.len() - "\r\nHello, World".len();
const BODY_AT: usize = HELLO.len() - "Hello, World".len();
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
/// The parts of a 405 reply before and after the Server and Date fields. There is no body, because
/// the reply must fit into [`REPLY_MAX`].
const NOT_ALLOWED: [&str; 2] = [
    "HTTP/1.1 405 Method Not Allowed",
    "\r\nAllow: GET, HEAD, POST, PUT\r\nContent-Length: 0\r\n",
];

/// Largest reply to an invalid request, in bytes.
const REFUSAL_MAX: usize = 320;
/// Largest other reply in bytes, with its Connection field.
const REPLY_MAX: usize = 160;
const _: () = {
    let connection = "Connection: keep-alive\r\n".len();
    let server = DATE_AT + date::SIZE - STATUS_LINE.len();
    let not_allowed = NOT_ALLOWED[0].len() + server + NOT_ALLOWED[1].len();
    assert!(HELLO.len() + connection <= REPLY_MAX);
    assert!(not_allowed + connection + "\r\n".len() <= REPLY_MAX);
};
/// The shortest request after which a connection continues.
const REQUEST_MIN: usize = "GET / HTTP/1.1\r\nHost:\r\n\r\n".len();

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    /// The status code and its name, and a field that belongs to it.
    status: &'static str,
    /// The error, for the reader of the answer.
    reason: &'static str,
}

impl Refusal {
    const fn bad(reason: &'static str) -> Refusal {
        Refusal {
            status: "400 Bad Request",
            reason,
        }
    }
}

/// The position of one connection in its request.
#[derive(Debug, Default)]
pub struct Conversation {
    stage: Stage,
    lines: HeadLines,
    head: Head,
    /// Bytes of all chunks so far.
    chunked: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    RequestLine,
    Field,
    /// This many bytes of the body are left.
    Body(u64),
    ChunkLine,
    /// This many bytes of the chunk are left.
    Chunk(u64),
    ChunkEnd,
    Trailer,
}

/// The result of parsing the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// More bytes are needed.
    Incomplete,
    /// This many bytes are parsed.
    Taken(usize),
    /// The same, and the peer waits for `100 Continue` before it sends the body.
    Continue(usize),
    /// The same, and the request is complete.
    Whole(usize),
}

impl Default for Http {
    fn default() -> Http {
        let mut hello = [0; HELLO.len()];
        hello.copy_from_slice(HELLO.as_bytes());
        Http { hello }
    }
}

impl Clock for Http {
    fn tick(&mut self, unix_seconds: u64) {
        let date = date::imf_fixdate(unix_seconds);
        self.hello[DATE_AT..DATE_AT + date.len()].copy_from_slice(&date);
    }
}

impl Service for Http {
    type State = Conversation;

    fn open(&self) -> Conversation {
        Conversation::default()
    }

    fn clock(&mut self) -> Option<&mut dyn Clock> {
        Some(self)
    }

    fn reply_max(&self, payload: usize) -> usize {
        reply_max(payload)
    }

    fn is_mid_message(conversation: &Conversation) -> bool {
        conversation.stage != Stage::RequestLine
    }

    fn memory(conversation: &Conversation) -> Option<u8> {
        (conversation.stage == Stage::RequestLine).then_some(0)
    }

    fn serve(
        &mut self,
        conversation: &mut Conversation,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Answer {
        let mut taken = 0;
        loop {
            let rest = &request.payload[taken..];
            match conversation.step(rest) {
                Ok(Step::Incomplete) => return Answer::Part(taken),
                Ok(Step::Taken(count)) => taken += count,
                Ok(Step::Continue(count)) => {
                    taken += count;
                    // A peer that has already sent body bytes does not wait for `100 Continue`.
                    if count == rest.len() {
                        reply.push(CONTINUE.as_bytes());
                    }
                }
                Ok(Step::Whole(count)) => {
                    taken += count;
                    self.greet(&conversation.head, reply);
                    if conversation.head.ends() {
                        return Answer::Goodbye;
                    }
                    *conversation = Conversation::default();
                }
                // The valid bytes are taken first. Then the refused bytes are at the front, where
                // the connection guesses which protocol the peer speaks.
                Err(_) if taken > 0 => return Answer::Part(taken),
                Err(refusal) => {
                    // An error in the request line leaves no parsed head, so the method is read
                    // from the bytes.
                    let unread = conversation.stage == Stage::RequestLine;
                    let is_head = match unread {
                        true => rest.starts_with(b"HEAD "),
                        false => conversation.head.is_head(),
                    };
                    self.refuse(is_head, refusal, reply);
                    return Answer::Refused(refusal.reason);
                }
            }
        }
    }
}

/// A request that began earlier may get two replies, and the last reply may be a refusal.
const fn reply_max(payload: usize) -> usize {
    (payload / REQUEST_MIN + 2).saturating_mul(REPLY_MAX) + REFUSAL_MAX
}

impl Http {
    fn greet(&self, head: &Head, reply: &mut Reply<'_>) {
        // If there is too little room, the connection halves the bytes that it passes in until the
        // replies fit. More than half of the bytes that fit are then passed in, and they must hold
        // the longest line.
        const { assert!(reply_max(2 * HTTP_HEAD_MAX) <= STREAM_REPLY_SIZE) }
        if head.is_not_allowed() {
            return self.tell_what_is_allowed(head, reply);
        }
        let end = if head.is_head() { BODY_AT } else { HELLO.len() };
        match head.connection() {
            "" => reply.push(&self.hello[..end]),
            connection => {
                reply.push(&self.hello[..FIELDS_END]);
                reply.push(connection.as_bytes());
                reply.push(&self.hello[FIELDS_END..end]);
            }
        }
    }

    #[cold]
    fn tell_what_is_allowed(&self, head: &Head, reply: &mut Reply<'_>) {
        let [status_line, fields] = NOT_ALLOWED;
        for part in [
            status_line.as_bytes(),
            self.server_and_date(),
            fields.as_bytes(),
            head.connection().as_bytes(),
            b"\r\n",
        ] {
            reply.push(part);
        }
    }

    /// The Server and Date fields, each with a line end before it.
    fn server_and_date(&self) -> &[u8] {
        &self.hello[STATUS_LINE.len()..DATE_AT + date::SIZE]
    }

    #[cold]
    fn refuse(&self, is_head: bool, refusal: Refusal, reply: &mut Reply<'_>) {
        let Refusal { status, reason } = refusal;
        let length = [
            b'0' + (reason.len() + 1) as u8 / 10,
            b'0' + (reason.len() + 1) as u8 % 10,
        ];
        for part in [
            b"HTTP/1.1 ",
            status.as_bytes(),
            self.server_and_date(),
            b"\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ",
            &length,
            b"\r\n\r\n",
        ] {
            reply.push(part);
        }
        if !is_head {
            reply.push(reason.as_bytes());
            reply.push(b"\n");
        }
    }
}

impl Conversation {
    /// Parses the front of `bytes`.
    fn step(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        if let Stage::Body(left) | Stage::Chunk(left) = self.stage {
            return Ok(self.skip(left, bytes.len()));
        }
        let Some(line) = self.lines.next(bytes, self.stage)? else {
            return Ok(Step::Incomplete);
        };
        let taken = line.len() + "\r\n".len();
        match (self.stage, line) {
            // RFC 9112, 2.2: an extra empty line after the previous request is ignored.
            (Stage::RequestLine, []) => {}
            (Stage::RequestLine, _) => {
                self.head = Head::parse(line)?;
                self.stage = Stage::Field;
            }
            (Stage::Field, []) => return self.begin_body(taken),
            (Stage::Field, _) => self.head.field(line)?,
            (Stage::ChunkLine, _) => self.begin_chunk(line)?,
            (Stage::Trailer, []) => return Ok(Step::Whole(taken)),
            (Stage::Trailer, _) => {
                head::divide(line)?;
            }
            (Stage::ChunkEnd | Stage::Body(_) | Stage::Chunk(_), _) => {
                self.stage = Stage::ChunkLine;
            }
        }
        Ok(Step::Taken(taken))
    }

    /// Discards the arrived part of the `left` bytes that are left.
    fn skip(&mut self, left: u64, arrived: usize) -> Step {
        if arrived == 0 {
            return Step::Incomplete;
        }
        let count = usize::try_from(left).map_or(arrived, |left| left.min(arrived));
        let left = left - count as u64;
        match (&mut self.stage, left) {
            (Stage::Body(_), 0) => return Step::Whole(count),
            (Stage::Body(body), _) => *body = left,
            (stage, 0) => *stage = Stage::ChunkEnd,
            (stage, _) => *stage = Stage::Chunk(left),
        }
        Step::Taken(count)
    }

    /// Continues after the complete head.
    fn begin_body(&mut self, taken: usize) -> Result<Step, Refusal> {
        self.stage = match self.head.body()? {
            Body::None => return Ok(Step::Whole(taken)),
            Body::Length(length) => Stage::Body(length),
            Body::Chunked => Stage::ChunkLine,
        };
        Ok(if self.head.expects_continue() {
            Step::Continue(taken)
        } else {
            Step::Taken(taken)
        })
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let size = chunk::chunk_size(line)?;
        self.chunked = self.chunked.saturating_add(size);
        if self.chunked > HTTP_BODY_MAX {
            return Err(head::BODY_TOO_LONG);
        }
        if size > 0 {
            self.stage = Stage::Chunk(size);
        } else {
            self.stage = Stage::Trailer;
            self.lines.restart();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
