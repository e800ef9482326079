//! A connection without a kernel: the state machine, the two buffers, and a test that plays both
//! the pump and the peer.
//!
//! It reads into the spare space and writes what is owed, as src/server/pump.rs does, but with as
//! many bytes at a time as the test chooses. It has no socket and no clock. Invariant: it does only
//! what [`Connection::wants`] asks for, so a missing want stops the play.

use std::collections::VecDeque;

use mynah::protocol::connection::{
    Budget, Connection, Cursors, Discarded, Progress, Protocol, Want, Workspace,
};
use mynah::protocol::framing::{Framing, OnTooLong};
use mynah::protocol::service::{EffectEvent, Service};

/// A framing with a limit on whole frames.
pub(crate) fn framing(spec: &str, frame_max: usize) -> Framing {
    Framing::parse(spec)
        .and_then(|framing| framing.limited(frame_max))
        .unwrap_or_else(|reason| panic!("{spec}: {reason}"))
}

/// Decodes hexadecimal `text`; spaces are ignored.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    assert!(digits.len() % 2 == 0, "half a byte at the end of {text}");
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

/// For every pair of cuts, the three pieces of `bytes`.
pub(crate) fn pairs_of_cuts(bytes: &[u8]) -> impl Iterator<Item = [&[u8]; 3]> {
    (0..=bytes.len()).flat_map(move |first| {
        (first..=bytes.len())
            .map(move |second| [&bytes[..first], &bytes[first..second], &bytes[second..]])
    })
}

/// One connection and its output.
pub(crate) struct Talk<S: Service> {
    pub(crate) connection: Connection<S>,
    pub(crate) protocol: Protocol<S>,
    /// Everything that was written.
    pub(crate) answer: Vec<u8>,
    /// Frames answered.
    pub(crate) frames: u64,
    /// Discarded frames, and why.
    pub(crate) discarded: Vec<Discarded>,
    memory: (Vec<u8>, Vec<u8>),
    cursors: Cursors,
}

impl<S: Service> Talk<S> {
    /// A connection whose buffers have these sizes.
    pub(crate) fn new(framing: Framing, service: S, inbound: usize, outbound: usize) -> Talk<S> {
        Talk {
            connection: Connection::new(&service),
            protocol: Protocol {
                framing,
                on_too_long: OnTooLong::Close,
                service,
            },
            answer: Vec::new(),
            frames: 0,
            discarded: Vec::new(),
            memory: (vec![0; inbound], vec![0; outbound]),
            cursors: Cursors::default(),
        }
    }

    /// Calls `act` with all parts of the connection, as the pump does.
    pub(crate) fn with<R>(
        &mut self,
        act: impl FnOnce(&mut Connection<S>, &mut Workspace<'_>, &mut Protocol<S>) -> R,
    ) -> R {
        let mut workspace = Workspace::new(&mut self.memory.0, &mut self.memory.1, self.cursors);
        let answer = act(&mut self.connection, &mut workspace, &mut self.protocol);
        self.cursors = workspace.cursors();
        answer
    }

    /// What the connection wants next.
    pub(crate) fn wants(&mut self) -> Want {
        self.with(|connection, workspace, _| connection.wants(!workspace.owed().is_empty()))
    }

    /// The front of the bytes that the connection owes.
    pub(crate) fn owed(&mut self) -> Vec<u8> {
        self.with(|_, workspace, _| workspace.owed().to_vec())
    }

    /// Whether both buffers are empty, so that the workspace would be released.
    pub(crate) fn holds_nothing(&mut self) -> bool {
        self.with(|_, workspace, _| workspace.is_empty())
    }

    /// One read of the part of `bytes` that fits. Returns its size.
    pub(crate) fn reads(&mut self, bytes: &[u8]) -> usize {
        assert_eq!(self.wants(), Want::Read);
        let (count, progress) = self.with(|connection, workspace, protocol| {
            let spare = workspace.inbound.spare();
            let count = spare.len().min(bytes.len());
            assert!(count > 0, "a read into no space is the end of the stream");
            spare[..count].copy_from_slice(&bytes[..count]);
            (
                count,
                connection.received(count, workspace, protocol, &mut Budget::new(u64::MAX)),
            )
        });
        self.note(progress);
        count
    }

    /// One write that takes at most `most` bytes.
    pub(crate) fn writes(&mut self, most: usize) {
        assert_eq!(self.wants(), Want::Write);
        let owed = self.owed();
        let count = owed.len().min(most);
        self.answer.extend_from_slice(&owed[..count]);
        let progress = self.with(|connection, workspace, protocol| {
            connection.sent(count, workspace, protocol, &mut Budget::new(u64::MAX))
        });
        self.note(progress);
    }

    /// An event of the effect of the connection arrives.
    pub(crate) fn hears(&mut self, event: EffectEvent<'_>, drafted: &mut usize) {
        assert_eq!(self.wants(), Want::Await);
        let progress = self.with(|connection, workspace, protocol| {
            let budget = &mut Budget::new(u64::MAX);
            connection.take_event(event, "[::1]:7", drafted, workspace, protocol, budget)
        });
        self.note(progress);
    }

    /// The other connections have had their turn.
    pub(crate) fn resumes(&mut self) {
        assert_eq!(self.wants(), Want::Resume);
        let progress = self.with(|connection, workspace, protocol| {
            connection.resume(workspace, protocol, &mut Budget::new(u64::MAX))
        });
        self.note(progress);
    }

    fn note(&mut self, progress: Progress) {
        self.frames += progress.frames;
        self.discarded.extend(progress.discarded);
    }

    /// A read finds the end of the stream.
    pub(crate) fn ends(&mut self) {
        assert!(matches!(self.wants(), Want::Read | Want::Discard));
        self.with(|connection, workspace, protocol| connection.ended(workspace, protocol));
    }

    /// Reads `pieces` one by one, with writes of at most `most` bytes, then the end of the stream.
    /// Continues until the connection wants to close, or to discard its input.
    pub(crate) fn play(&mut self, pieces: &[&[u8]], most: usize) -> Want {
        let mut pieces: VecDeque<&[u8]> =
            pieces.iter().copied().filter(|p| !p.is_empty()).collect();
        loop {
            match self.wants() {
                Want::Read => match pieces.pop_front() {
                    Some(piece) => {
                        let count = self.reads(piece);
                        if count < piece.len() {
                            pieces.push_front(&piece[count..]);
                        }
                    }
                    None => self.ends(),
                },
                Want::Write => self.writes(most),
                Want::Resume => self.resumes(),
                Want::Await | Want::Header => panic!("the play has to pass them in"),
                Want::Shutdown => self.connection.finished(),
                over @ (Want::Discard | Want::Close) => return over,
            }
        }
    }
}
