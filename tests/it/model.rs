//! An exhaustive test of the connection state machine: every sequence of inputs up to a length.
//!
//! Buffers hold a few bytes, so that a few steps reach every bound. After each input the machine
//! must want something that its state allows, and the bytes written so far must be a prefix of the
//! answers to the bytes received so far. No sockets are involved. The state drawing in
//! src/protocol/connection is the specification.

use std::collections::BTreeSet;

use mynah::protocol::connection::{
    Budget, CloseReason, Connection, Cursors, Protocol, Want, Workspace,
};
use mynah::protocol::framing::{Framing, OnTooLong};
use mynah::protocol::service::{Echo, Service, UpperUnicode};

use crate::swarm::Answering;

const LENGTH: usize = 14;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Input {
    /// A read of this many bytes, or of as many as fit.
    Received(usize),
    /// A read of 0: the end of the stream.
    Ended,
    /// A write that took this many bytes, or all.
    Sent(usize),
    /// Our FIN was sent.
    Finished,
    /// The other connections have had their turn.
    Resumed,
    /// The server drains.
    Drain,
    /// A time-out, or an error.
    Close,
}

const INPUTS: [Input; 9] = [
    Input::Received(1),
    Input::Received(usize::MAX),
    Input::Ended,
    Input::Sent(1),
    Input::Sent(usize::MAX),
    Input::Finished,
    Input::Resumed,
    Input::Drain,
    Input::Close,
];

/// A machine, its buffers, and both directions of its stream.
struct Trial<'a, S: Service> {
    connection: Connection<S>,
    protocol: Protocol<S>,
    inbound: [u8; 6],
    outbound: Vec<u8>,
    at: Cursors,
    stream: &'a [u8],
    received: usize,
    written: Vec<u8>,
    ended: bool,
    /// A frame was discarded.
    discarded: bool,
    /// How many frames may be answered in one turn, and how many remain in this one.
    frames_most: u64,
    budget: Budget,
}

impl<S: Service> Trial<'_, S> {
    fn wants(&mut self) -> Want {
        let workspace = Workspace::new(&mut self.inbound, &mut self.outbound, self.at);
        self.connection.wants(workspace.owes())
    }

    /// Whether this input is possible now.
    fn allows(&mut self, input: Input) -> bool {
        match (input, self.wants()) {
            (_, Want::Close) => false,
            (Input::Received(_), want) => want == Want::Read && self.received < self.stream.len(),
            (Input::Ended, want) => matches!(want, Want::Read | Want::Discard),
            (Input::Sent(_), want) => want == Want::Write,
            (Input::Finished, want) => want == Want::Shutdown,
            (Input::Resumed, want) => want == Want::Resume,
            (Input::Drain, want) => want == Want::Read,
            (Input::Close, _) => true,
        }
    }

    fn feed(&mut self, input: Input) {
        let mut workspace = Workspace::new(&mut self.inbound, &mut self.outbound, self.at);
        // A write does not start a new turn.
        if !matches!(input, Input::Sent(_)) {
            self.budget = Budget::new(self.frames_most);
        }
        let budget = &mut self.budget;
        match input {
            Input::Received(most) => {
                let spare = workspace.inbound.spare();
                assert!(!spare.is_empty(), "it wants to read and has no room");
                let count = most.min(spare.len()).min(self.stream.len() - self.received);
                spare[..count].copy_from_slice(&self.stream[self.received..][..count]);
                self.received += count;
                let progress =
                    self.connection
                        .received(count, &mut workspace, &mut self.protocol, budget);
                self.discarded |= progress.discarded.is_some();
            }
            Input::Ended => {
                self.ended = true;
                self.connection.ended(&mut workspace, &mut self.protocol);
            }
            Input::Sent(most) => {
                let count = most.min(workspace.owed().len());
                self.written.extend_from_slice(&workspace.owed()[..count]);
                let progress =
                    self.connection
                        .sent(count, &mut workspace, &mut self.protocol, budget);
                self.discarded |= progress.discarded.is_some();
            }
            Input::Finished => self.connection.finished(),
            Input::Resumed => {
                let (connection, protocol) = (&mut self.connection, &mut self.protocol);
                let progress = connection.resume(&mut workspace, protocol, budget);
                assert!(progress.frames <= self.frames_most);
                self.discarded |= progress.discarded.is_some();
            }
            Input::Drain => self.connection.drain(CloseReason::Shutdown, &mut workspace),
            Input::Close => self.connection.close(CloseReason::Idle),
        }
        self.at = workspace.cursors();
    }
}

/// What all sequences together have reached.
#[derive(Default)]
struct Seen {
    wants: BTreeSet<String>,
    discarded: bool,
    reasons: BTreeSet<&'static str>,
    sequences: u64,
}

type Answer<'a> = &'a dyn Fn(&[u8], bool) -> Vec<u8>;

struct Model<'a, S: Service + Clone> {
    protocol: Protocol<S>,
    outbound: usize,
    stream: &'a [u8],
    /// The answers to bytes received, with or without the end of the stream.
    answer: Answer<'a>,
    frames_most: u64,
}

impl<S: Service + Clone> Model<'_, S> {
    fn begin(&self) -> Trial<'_, S> {
        Trial {
            connection: Connection::new(&self.protocol.service),
            protocol: self.protocol.clone(),
            inbound: [0; 6],
            outbound: vec![0; self.outbound],
            at: Cursors::default(),
            stream: self.stream,
            received: 0,
            written: Vec::new(),
            ended: false,
            discarded: false,
            frames_most: self.frames_most,
            budget: Budget::new(self.frames_most),
        }
    }

    /// Tries every continuation of `path`.
    fn explore(&self, path: &mut Vec<Input>, seen: &mut Seen) {
        let mut trial = self.begin();
        let mut before = Want::Read;
        for input in path.iter() {
            before = trial.wants();
            trial.feed(*input);
        }
        let want = trial.wants();
        self.check(&trial, before, want, path);
        seen.sequences += 1;
        seen.wants.insert(format!("{want:?}"));
        seen.discarded |= trial.discarded;
        if want == Want::Close {
            seen.reasons.insert(trial.connection.reason().name());
            return;
        }
        if path.len() == LENGTH {
            return;
        }
        for input in INPUTS {
            if trial.allows(input) {
                path.push(input);
                self.explore(path, seen);
                path.pop();
            }
        }
    }

    fn check(&self, trial: &Trial<'_, S>, before: Want, want: Want, path: &[Input]) {
        let answer = (self.answer)(&trial.stream[..trial.received], trial.ended);
        let written = &trial.written;
        assert!(
            answer.starts_with(written),
            "{path:?} wrote {written:?}, not {answer:?}"
        );
        let open = trial.connection.is_open();
        let right = match want {
            Want::Read => !trial.ended,
            // None of these services waits for an effect, and no header is expected.
            Want::Await | Want::Header => false,
            Want::Write | Want::Resume => !trial.connection.is_lingering(),
            Want::Shutdown => !open && !trial.connection.is_lingering(),
            Want::Discard => trial.connection.is_lingering(),
            Want::Close => true,
        };
        assert!(right, "{path:?} leads to {want:?}");
        // A closing connection never returns to an earlier state.
        let turned = before == Want::Discard && !matches!(want, Want::Discard | Want::Close)
            || before == Want::Shutdown && matches!(want, Want::Read | Want::Write);
        assert!(!turned, "{path:?} leads from {before:?} to {want:?}");
        let forced = path
            .iter()
            .any(|input| matches!(input, Input::Close | Input::Drain));
        if want == Want::Close && trial.ended && !forced && !path.contains(&Input::Finished) {
            assert_eq!(*written, answer, "{path:?} ends without its last bytes");
        }
    }
}

/// Explores all sequences and returns what was reached.
fn explore<S: Service + Clone>(
    spec: &str,
    service: S,
    on_too_long: OnTooLong,
    outbound: usize,
    stream: &[u8],
    answer: Answer<'_>,
) -> Seen {
    let framing = Framing::parse(spec).and_then(|framing| framing.limited(4));
    let framing = framing.expect("a framing");
    let protocol = Protocol {
        framing,
        service,
        on_too_long,
    };
    let mut seen = Seen::default();
    for frames_most in [u64::MAX, 1] {
        let model = Model {
            protocol: protocol.clone(),
            outbound,
            stream,
            answer,
            frames_most,
        };
        model.explore(&mut Vec::new(), &mut seen);
    }
    println!(
        "{spec}: {} sequences, ends {:?}",
        seen.sequences, seen.reasons
    );
    seen
}

/// The answers to complete frames of at most 3 bytes with a one-byte length, up to the first
/// invalid frame.
fn framed(bytes: &[u8], _ended: bool) -> Vec<u8> {
    answers(bytes, false)
}

/// The same. If it `goes_on`, frames over the limit are discarded and decoding continues.
fn answers(bytes: &[u8], goes_on: bool) -> Vec<u8> {
    let (mut rest, mut answers) = (bytes, Vec::new());
    while let Some((&length, after)) = rest.split_first() {
        let length = usize::from(length);
        if after.len() < length || (length > 3 && !goes_on) {
            break;
        }
        if length <= 3 {
            answers.extend_from_slice(&rest[..1 + length]);
        }
        rest = &after[length..];
    }
    answers
}

#[test]
fn every_sequence_of_inputs_keeps_a_framed_connection_in_order() {
    let seen = explore(
        "u8",
        Echo,
        OnTooLong::Close,
        0,
        b"\x01a\x00\x03bcd\x02ef\x01g\x09hi",
        &framed,
    );
    let all = ["Close", "Discard", "Read", "Resume", "Shutdown", "Write"];
    assert!(seen.wants.iter().eq(all.iter()), "{:?}", seen.wants);
    for reason in ["end_of_stream", "truncated", "too_long", "shutdown", "idle"] {
        assert!(
            seen.reasons.contains(reason),
            "{reason} of {:?}",
            seen.reasons
        );
    }
}

#[test]
fn every_sequence_of_inputs_discards_frames_over_the_limit_and_nothing_else() {
    let stream = b"\x01a\x07bcdefgh\x01i\x04jklm\x00";
    let answer = |bytes: &[u8], _ended: bool| answers(bytes, true);
    let seen = explore("u8", Echo, OnTooLong::Discard, 0, stream, &answer);
    assert!(seen.discarded, "no frame was thrown away");
    assert!(!seen.reasons.contains("too_long"), "{:?}", seen.reasons);
}

#[test]
fn every_sequence_of_inputs_keeps_a_raw_connection_in_order() {
    let seen = explore(
        "raw",
        Echo,
        OnTooLong::Close,
        0,
        b"abcdefghijklmnop",
        &|bytes, _| bytes.to_vec(),
    );
    assert!(seen.reasons.contains("end_of_stream"));
}

#[test]
fn every_sequence_of_inputs_keeps_answers_of_another_length_in_order() {
    let stream = "aßΐ\u{20ac}bßΐ".as_bytes();
    let seen = explore(
        "raw",
        UpperUnicode,
        OnTooLong::Close,
        14,
        stream,
        &|bytes, ended| {
            // The held-back bytes of an incomplete character are answered with the rest of the
            // character, or at the end of the stream.
            let known = if ended { bytes } else { stream };
            Answering::UpperUnicode.answer(known)
        },
    );
    assert!(seen.reasons.contains("end_of_stream"));
}
