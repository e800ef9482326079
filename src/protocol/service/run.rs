//! Runs commands from a list of allowed lines.
//!
//! ```text
//!   ls -l      127.0.0.1:40000 execute done, result is :
//!              total 4 ...                      framings with a length get this output alone
//!   true       the first line alone, or 执行成功 in framings with a length
//!   rm -r /    坏人!                            not allowed, so not examined further
//!   nowhere    你要执行的命令不存在!            allowed, but the command cannot be started
//! ```
//!
//! A request is one of the allowed lines, byte for byte, or it is refused; a request is never split
//! into words. The service does not know what a line does: the answer waits for an [`Effect`] and
//! is built from each [`EffectEvent`]. Truncated output ends with a line that says so, so that a
//! part is not mistaken for the whole. The texts are those of the original program, except that its
//! `resault` is spelled correctly.
//!
//! A browser on this machine can reach a server that listens only on this machine, and a web page
//! chooses what the browser sends. So a connection that opens like a browser's is not served.

use std::sync::Arc;

use super::coded::Held;
use super::{Answer, Effect, EffectEvent, Effects, Reply, Request, Screen, Service};
use crate::limits::{ALLOWED_MAX, COMMAND_OUTPUT_MAX, COMMAND_TIMEOUT, PEER_NAME_MAX, THREADS_MAX};
use crate::protocol::framing::{Hint, Opening};

const NOT_ALLOWED: &str = "坏人!";
const NOT_STARTED: &str = "你要执行的命令不存在!";
const SAID_NOTHING: &str = "执行成功";
const RESULT: &str = " execute done, result is : \n";

const TOO_MUCH: &str = "mynah: cut, it says too much\n";
const TOO_LATE: &str = "mynah: cut, it took longer than 5 seconds\n";
const _: () = assert!(COMMAND_TIMEOUT.as_secs() == 5);

/// What may follow the output: the end of its last line, and a line about the truncation.
const ENDING_MAX: usize = 1 + if TOO_MUCH.len() > TOO_LATE.len() {
    TOO_MUCH.len()
} else {
    TOO_LATE.len()
};
// Room for an ending is also room for a text that replaces the output.
const _: () = assert!(NOT_STARTED.len() <= ENDING_MAX && SAID_NOTHING.len() <= ENDING_MAX);
const _: () = assert!(NOT_ALLOWED.len() <= ENDING_MAX);

/// The memory of a connection that did not open like a browser's.
const PASSED: u8 = 1;

/// Runs allowed commands and refuses all other requests.
#[derive(Clone, Debug)]
pub struct Run {
    allowed: Arc<[String]>,
    /// Whether the answer begins with the peer's name. If not, the answer is the output alone.
    names_peer: bool,
}

/// How the connection has opened, and the state of the one answer that it may be waiting for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Running {
    opening: Opening,
    command: u16,
    has_begun: bool,
    /// The last byte of the output was not a line feed.
    inside_line: bool,
    /// Output that a codec in front of the service holds back.
    pub(super) held: Held,
}

impl Run {
    /// Allows `allowed`, at most [`ALLOWED_MAX`] lines. `names_peer` puts a line with the peer's
    /// name before the output.
    pub fn new(allowed: Vec<String>, names_peer: bool) -> Run {
        const { assert!(ALLOWED_MAX <= u16::MAX as usize) }
        assert!(allowed.len() <= ALLOWED_MAX);
        Run {
            allowed: allowed.into(),
            names_peer,
        }
    }
}

impl Service for Run {
    type State = Running;

    fn open(&self) -> Running {
        Running::default()
    }

    fn effects(&self) -> Option<&dyn Effects<Running>> {
        Some(self)
    }

    fn screen(&self) -> Option<&dyn Screen<Running>> {
        Some(self)
    }

    fn reply_max(&self, _payload: usize) -> usize {
        NOT_ALLOWED.len()
    }

    fn memory_max(&self) -> usize {
        // Each worker splits the lines into words of its own, and a word has at least one byte.
        let word = size_of::<Box<str>>() + 1;
        let lines = self.allowed.iter().map(|line| word * (line.len() + 4));
        (1 + THREADS_MAX) * lines.sum::<usize>()
    }

    fn memory(state: &Running) -> Option<u8> {
        match (state.opening.has_passed(), state.opening.has_begun()) {
            (true, _) => Some(PASSED),
            (false, false) => Some(0),
            // It may still turn out to be another protocol.
            (false, true) => None,
        }
    }

    fn recall(&self, memory: u8) -> Running {
        Running {
            opening: match memory {
                PASSED => Opening::passed(),
                _ => Opening::default(),
            },
            ..Running::default()
        }
    }

    fn serve(
        &mut self,
        state: &mut Running,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Answer {
        let is_it = |line: &String| line.as_bytes() == request.payload;
        match self.allowed.iter().position(is_it) {
            Some(number) => {
                state.command = number as u16;
                Answer::Awaits
            }
            None => {
                reply.push(NOT_ALLOWED.as_bytes());
                Answer::Written
            }
        }
    }
}

impl Screen<Running> for Run {
    fn screen(&self, state: &mut Running, bytes: &[u8]) -> Option<Hint> {
        state.opening.scan(bytes)
    }
}

impl Effects<Running> for Run {
    fn commands(&self) -> &[String] {
        &self.allowed
    }

    fn effect(&self, state: &Running) -> Effect {
        Effect::Command(usize::from(state.command))
    }

    fn awaited_max(&self) -> usize {
        let begin = match self.names_peer {
            true => PEER_NAME_MAX + RESULT.len(),
            false => 0,
        };
        begin + COMMAND_OUTPUT_MAX + ENDING_MAX
    }

    fn take_event(
        &self,
        state: &mut Running,
        peer: &str,
        event: EffectEvent<'_>,
        reply: &mut Reply<'_>,
    ) {
        let is_first = !std::mem::replace(&mut state.has_begun, true);
        if is_first && self.names_peer && event != EffectEvent::NotStarted {
            reply.push(peer.as_bytes());
            reply.push(RESULT.as_bytes());
        }
        let ending = match event {
            EffectEvent::Output(bytes) => {
                reply.push(bytes);
                state.inside_line = !bytes.ends_with(b"\n");
                return;
            }
            EffectEvent::Ended if is_first && !self.names_peer => SAID_NOTHING,
            EffectEvent::Ended => "",
            EffectEvent::NotStarted => NOT_STARTED,
            EffectEvent::OutputLimit => TOO_MUCH,
            EffectEvent::TimedOut => TOO_LATE,
        };
        if state.inside_line && matches!(event, EffectEvent::OutputLimit | EffectEvent::TimedOut) {
            reply.push(b"\n");
        }
        reply.push(ending.as_bytes());
        *state = Running {
            opening: state.opening,
            ..Running::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to all of `events`.
    fn answer(names_peer: bool, events: &[EffectEvent<'_>]) -> String {
        let run = Run::new(vec!["true".to_owned()], names_peer);
        let (mut state, mut space) = (Running::default(), vec![0; run.awaited_max()]);
        let mut reply = Reply::new(&mut space);
        for event in events {
            run.take_event(&mut state, "[::1]:7", *event, &mut reply);
        }
        assert!(!state.has_begun, "the next one begins anew");
        let filled = reply.filled();
        String::from_utf8(space[..filled].to_vec()).expect("text")
    }

    #[test]
    fn the_texts_are_the_originals() {
        let bytes = [NOT_ALLOWED, NOT_STARTED, SAID_NOTHING].map(str::len);
        assert_eq!(bytes, [7, 31, 12]);
    }

    #[test]
    fn p10_an_answer_with_a_length_is_the_output_alone_and_never_nothing() {
        let (a, b) = (EffectEvent::Output(b"a\n"), EffectEvent::Output(b"b"));
        assert_eq!(answer(false, &[a, b, EffectEvent::Ended]), "a\nb");
        assert_eq!(answer(false, &[EffectEvent::Ended]), "执行成功");
        assert_eq!(
            answer(false, &[EffectEvent::NotStarted]),
            "你要执行的命令不存在!"
        );
    }

    #[test]
    fn e3_another_answer_begins_with_its_peer() {
        let begin = "[::1]:7 execute done, result is : \n";
        assert_eq!(answer(true, &[EffectEvent::Ended]), begin);
        let said = [
            EffectEvent::Output(b"a"),
            EffectEvent::Output(b"b\n"),
            EffectEvent::Ended,
        ];
        assert_eq!(answer(true, &said), format!("{begin}ab\n"));
        assert_eq!(
            answer(true, &[EffectEvent::NotStarted]),
            "你要执行的命令不存在!"
        );
    }

    #[test]
    fn truncated_output_ends_with_a_line_about_it() {
        assert_eq!(answer(false, &[EffectEvent::TimedOut]), TOO_LATE);
        let cut = answer(
            false,
            &[EffectEvent::Output(b"a\nb"), EffectEvent::OutputLimit],
        );
        assert_eq!(cut, format!("a\nb\n{TOO_MUCH}"));
        let cut = answer(false, &[EffectEvent::Output(b"a\n"), EffectEvent::TimedOut]);
        assert_eq!(cut, format!("a\n{TOO_LATE}"));
    }

    #[test]
    fn the_longest_answer_has_its_room() {
        for names_peer in [true, false] {
            let run = Run::new(Vec::new(), names_peer);
            let mut space = vec![0; run.awaited_max()];
            let (mut state, mut reply) = (Running::default(), Reply::new(&mut space));
            let (peer, most) = ("x".repeat(PEER_NAME_MAX), vec![b'x'; COMMAND_OUTPUT_MAX]);
            run.take_event(&mut state, &peer, EffectEvent::Output(&most), &mut reply);
            const { assert!(TOO_LATE.len() >= TOO_MUCH.len()) }
            run.take_event(&mut state, &peer, EffectEvent::TimedOut, &mut reply);
            assert_eq!(reply.filled(), space.len());
        }
    }
}
