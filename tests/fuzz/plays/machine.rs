//! The connection state machine with every service and framing, small buffers, and any sequence of
//! reads, writes, ends and time-outs.
//!
//! Checked: each want is allowed in its state. The bytes written are a prefix of the reply to the
//! same input in one large read, and all of that reply if nothing forced an end.

use mynah::base::bytes::{InboundCursors, OutboundCursors};
use mynah::protocol::codec::Codec;
use mynah::protocol::connection::{
    Budget, CloseReason, Connection, Cursors, Discarded, Progress, Protocol, Run, Want, Workspace,
};
use mynah::protocol::framing::{Decoded, Framing, OnTooLong};
use mynah::protocol::service::{
    AnyService, Coded, Dict, Discard, Echo, Http, PrefixedEcho, Robot, Service, Upper, UpperUnicode,
};

use super::draw::Draw;

/// A connection, its buffers, and both directions of its stream.
struct Trial<'a, S: Service> {
    connection: Connection<S>,
    protocol: Protocol<S>,
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    at: Cursors,
    stream: &'a [u8],
    received: usize,
    written: Vec<u8>,
    /// A read has returned the end of the stream.
    ended: bool,
    /// A drain or a close ended the connection early.
    forced: bool,
    before: Want,
    /// The budget of frames for each call.
    frames_max: u64,
}

/// Only frames that are too long may be discarded.
fn check(progress: Progress) {
    let is_right = |frame: &Discarded| frame.error.is_too_long();
    assert!(progress.discarded.as_ref().is_none_or(is_right));
}

impl<'a, S: Service + Clone> Trial<'a, S> {
    fn new(protocol: &Protocol<S>, stream: &'a [u8], inbound: usize, outbound: usize) -> Self {
        let mut trial = Trial {
            connection: Connection::new(&protocol.service),
            protocol: protocol.clone(),
            inbound: vec![0; inbound],
            outbound: vec![0; outbound],
            at: Cursors::default(),
            stream,
            received: 0,
            written: Vec::new(),
            ended: false,
            forced: false,
            before: Want::Read,
            frames_max: [u64::MAX, 1, 2, 3][stream.len() % 4],
        };
        if trial.connection.is_greeting() {
            trial.with(|connection, workspace, protocol| connection.begin(workspace, protocol));
        }
        trial
    }

    fn with<R>(
        &mut self,
        act: impl FnOnce(&mut Connection<S>, &mut Workspace<'_>, &mut Protocol<S>) -> R,
    ) -> R {
        let mut workspace = Workspace::new(&mut self.inbound, &mut self.outbound, self.at);
        let answer = act(&mut self.connection, &mut workspace, &mut self.protocol);
        self.at = workspace.cursors();
        answer
    }

    /// The next want, which must be allowed in this state.
    fn wants(&mut self) -> Want {
        let (want, owed, spare, empty) = self.with(|connection, workspace, _| {
            let (owed, spare) = (workspace.owed().len(), workspace.inbound.spare().len());
            (
                connection.wants(workspace.owes()),
                owed,
                spare,
                workspace.is_empty(),
            )
        });
        let lingers = self.connection.is_lingering();
        match want {
            Want::Read => assert!(!self.ended && spare > 0, "a read into no space"),
            Want::Write => assert!(owed > 0 && !lingers, "a write of nothing"),
            Want::Shutdown => assert!(empty && !self.connection.is_open() && !lingers),
            Want::Discard => assert!(empty && lingers),
            Want::Resume => assert!(!empty && !lingers),
            Want::Await | Want::Header => panic!("none of these services awaits anything"),
            Want::Close => {}
        }
        let turned = match self.before {
            Want::Discard => !matches!(want, Want::Discard | Want::Close),
            Want::Shutdown => matches!(want, Want::Read | Want::Write),
            Want::Close => want != Want::Close,
            _ => false,
        };
        assert!(!turned, "{want:?} after {:?}", self.before);
        self.before = want;
        want
    }

    fn receive(&mut self, most: usize) {
        let rest = &self.stream[self.received..];
        let mut budget = Budget::new(self.frames_max);
        let (count, progress) = self.with(|connection, workspace, protocol| {
            let spare = workspace.inbound.spare();
            let count = most.min(spare.len()).min(rest.len());
            spare[..count].copy_from_slice(&rest[..count]);
            let progress = connection.received(count, workspace, protocol, &mut budget);
            (count, progress)
        });
        self.received += count;
        check(progress);
    }

    /// The fast path of an idle connection, as in `server::pump`.
    fn go_straight(&mut self, most: usize, taken: usize) {
        let rest = &self.stream[self.received..];
        let count = most.min(self.inbound.len()).min(rest.len());
        self.inbound[..count].copy_from_slice(&rest[..count]);
        self.received += count;
        let bytes = &mut self.inbound[..count];
        let run =
            self.connection
                .answer_at_once(bytes, &mut self.protocol, |frames, bytes, stop| Run {
                    frames,
                    bytes,
                    stop: *stop,
                });
        let answered = run.bytes;
        if answered < count || count == self.inbound.len() {
            self.at = (
                InboundCursors::after(0, answered, count),
                OutboundCursors::default(),
            );
            let mut budget = Budget::new(self.frames_max);
            check(self.with(|connection, workspace, protocol| {
                connection.keep(run.stop, workspace, protocol, &mut budget)
            }));
            return;
        }
        let taken = taken.min(count);
        self.written.extend_from_slice(&self.inbound[..taken]);
        if taken < count {
            self.at = (
                InboundCursors::after(taken, count, count),
                OutboundCursors::default(),
            );
        }
    }

    fn end(&mut self) {
        self.ended |= self.before == Want::Read;
        self.with(|connection, workspace, protocol| connection.ended(workspace, protocol));
    }

    fn send(&mut self, most: usize) {
        let mut budget = Budget::new(self.frames_max);
        let (sent, progress) = self.with(|connection, workspace, protocol| {
            let owed = workspace.owed();
            let sent = owed[..owed.len().min(most)].to_vec();
            let progress = connection.sent(sent.len(), workspace, protocol, &mut budget);
            (sent, progress)
        });
        self.written.extend(sent);
        check(progress);
    }

    fn resume(&mut self) {
        let mut budget = Budget::new(self.frames_max);
        check(self.with(|connection, workspace, protocol| {
            connection.resume(workspace, protocol, &mut budget)
        }));
    }

    /// Performs the want, with up to `most` bytes; returns whether the connection has ended.
    fn step(&mut self, most: usize) -> bool {
        match self.wants() {
            Want::Read if self.received == self.stream.len() => self.end(),
            Want::Read => self.receive(most),
            Want::Write => self.send(most),
            Want::Resume => self.resume(),
            Want::Shutdown => self.connection.finished(),
            Want::Discard => self.end(),
            // `Close` ends the connection; `wants` panics on the others.
            Want::Close | Want::Await | Want::Header => return true,
        }
        false
    }

    /// Performs the action that the byte `order` encodes.
    fn obey(&mut self, order: u8) -> bool {
        let want = self.wants();
        let most = usize::from(order & 0x1f) + 1;
        let at_rest = want == Want::Read
            && self.connection.is_open()
            && self.connection.is_in_place(&self.protocol)
            && self.with(|_, workspace, _| workspace.is_empty());
        match order {
            0xff if want == Want::Read => {
                self.forced = true;
                self.with(|connection, workspace, _| {
                    connection.drain(CloseReason::Shutdown, workspace);
                });
            }
            0xfe => {
                self.forced = true;
                self.connection.close(CloseReason::Idle);
            }
            0xfd if want == Want::Read => self.end(),
            0x80..0xc0 if at_rest && self.received < self.stream.len() => {
                self.go_straight(most, usize::from(order & 3) * 16);
            }
            0xc0..0xf0 => return self.step(usize::MAX),
            _ => return self.step(most),
        }
        false
    }
}

/// The reply to `bytes` in one large read.
fn answer<S: Service + Clone>(protocol: &Protocol<S>, bytes: &[u8], ended: bool) -> Vec<u8> {
    let longest = protocol
        .framing
        .frame_size_max(bytes.len())
        .max(bytes.len());
    let room = protocol.reply_max(2 * longest + 64);
    let mut trial = Trial::new(protocol, bytes, longest + 64, room);
    loop {
        let over = trial.wants() == Want::Read && trial.received == bytes.len() && !ended;
        if over || trial.step(usize::MAX) {
            return trial.written;
        }
    }
}

/// The same for services that answer in place, computed without the state machine.
fn plain_answer(framing: &Framing, bytes: &[u8], change: fn(&mut [u8])) -> Vec<u8> {
    let (mut answer, mut at) = (bytes.to_vec(), 0);
    while at < answer.len() {
        match framing.decode(&answer[at..], 0) {
            Decoded::Frame(bounds) => {
                change(&mut answer[at + bounds.payload..at + bounds.payload_end]);
                at += bounds.frame;
            }
            _ => break,
        }
    }
    answer.truncate(at);
    answer
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Without `100 Continue`, which depends on when the bytes arrive.
fn timeless(mut bytes: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    while let Some((first, after)) = bytes.split_first() {
        match bytes.strip_prefix(CONTINUE) {
            Some(after) => bytes = after,
            None => (rest, bytes) = ([&rest[..], &[*first]].concat(), after),
        }
    }
    rest
}

struct Play<'a> {
    draw: Draw<'a>,
    framing: Framing,
    limit: usize,
    /// The space beyond the minimum, inbound and outbound.
    more: (usize, usize),
}

impl Play<'_> {
    fn play<S: Service + Clone>(
        mut self,
        service: S,
        by_cuts: bool,
        change: Option<fn(&mut [u8])>,
    ) {
        let on_too_long = [OnTooLong::Close, OnTooLong::Discard][self.draw.below(2)];
        let count = self.draw.below(24);
        let orders = self.draw.bytes(count);
        let (framing, stream) = (self.framing, self.draw.0);
        let protocol = Protocol {
            framing,
            on_too_long,
            service,
        };
        let (inbound, outbound) = self.sizes(&protocol, stream);
        let mut trial = Trial::new(&protocol, stream, inbound, outbound);
        for order in orders.iter().cycle().take(4 * stream.len() + 64) {
            if trial.obey(*order) {
                break;
            }
        }
        for _ in 0..8 * stream.len() + 8 * trial.outbound.len() + 64 {
            if trial.step(7) {
                break;
            }
        }
        assert_eq!(trial.wants(), Want::Close, "it never ends");
        if by_cuts && !framing.has_boundaries() {
            return;
        }
        let bytes = &stream[..trial.received];
        let expected = answer(&protocol, bytes, trial.ended);
        let is_http = protocol.service.clone().clock().is_some();
        let lasting = if is_http { timeless } else { <[u8]>::to_vec };
        let (written, expected) = (lasting(&trial.written), lasting(&expected));
        if trial.forced {
            assert!(
                expected.starts_with(&written),
                "{written:02x?} of {expected:02x?}"
            );
        } else {
            assert_eq!(written, expected);
        }
        if let (Some(change), OnTooLong::Close) = (change, on_too_long) {
            assert_eq!(expected, plain_answer(&framing, bytes, change));
        }
    }

    /// The minimum sizes of the buffers, plus `more`.
    fn sizes<S: Service + Clone>(&self, protocol: &Protocol<S>, stream: &[u8]) -> (usize, usize) {
        let framing = protocol.framing;
        let is_http = protocol.service.clone().clock().is_some();
        let (inbound, outbound) = if framing.has_boundaries() {
            let longest = framing.frame_size_max(self.limit);
            (longest, protocol.reply_max(longest))
        } else if is_http {
            // HTTP has no framing: each line must fit the inbound buffer.
            let lines = stream
                .split(|byte| *byte == b'\n')
                .map(|line| line.len() + 2);
            let longest = lines.max().unwrap_or(2);
            (longest, protocol.reply_max(2 * longest + 2 * self.more.0))
        } else {
            (1, protocol.reply_max(1))
        };
        (inbound.max(1) + self.more.0, outbound + self.more.1)
    }
}

/// Runs one input.
pub fn play(data: &[u8]) {
    let mut draw = Draw(data);
    let kind = draw.below(8);
    let (framing, limit) = match kind {
        7 => (Framing::parse("raw").expect("it takes nothing"), 64),
        _ => draw.framing(),
    };
    if limit > 1 << 16 {
        return;
    }
    let more = (draw.below(20), draw.below(40));
    let play = Play {
        draw,
        framing,
        limit,
        more,
    };
    // Apart from the draws, so that older seeds mean what they did.
    if data.len() % 5 == 4 && Codec::Base64.check(&framing).is_ok() {
        let coded: AnyService = match kind {
            0 => Echo.into(),
            1 => Upper.into(),
            2 => UpperUnicode.into(),
            3 => Discard.into(),
            4 => PrefixedEcho::new("echo# ").into(),
            _ => Robot.into(),
        };
        return play.play(AnyService::from(Coded::new(coded)), true, None);
    }
    match kind {
        0 => play.play(Echo, false, Some(|_| {})),
        1 => play.play(Upper, false, Some(|bytes| bytes.make_ascii_uppercase())),
        2 => play.play(UpperUnicode, false, None),
        3 => play.play(Discard, false, None),
        4 => play.play(PrefixedEcho::new("echo# "), true, None),
        5 => {
            let words = "a: b\napple: 苹果\npear: 梨\n: x".replace("\n: x", "\n");
            play.play(Dict::parse(words.into_bytes()).expect("words"), true, None);
        }
        6 => play.play(Robot, true, None),
        _ => play.play(Http::default(), false, None),
    }
}
