//! Runs transcripts on the connection state machine alone, with buffers instead of a kernel and a
//! loop.

use mynah::cli::options::Serve;
use mynah::cli::run::{ServiceUser, with_service};
use mynah::kernel;
use mynah::limits;
use mynah::protocol::connection::{Budget, Connection, Cursors, Protocol, Want, Workspace};
use mynah::protocol::service::{Effect, EffectEvent, Service};

use super::script::{Script, Step};
use super::{Line, options_of};
use crate::sim::{Program, program};

/// Runs the transcript as written, and again byte by byte.
pub(super) fn play(script: &Script) {
    for single in [false, true] {
        println!(
            "  {}",
            if single {
                "in single bytes"
            } else {
                "as it stands"
            }
        );
        let options = options_of(script);
        with_service(&options, Playing(script, &options, single));
    }
}

struct Playing<'a>(&'a Script, &'a Serve, bool);

impl ServiceUser for Playing<'_> {
    type Outcome = ();

    fn with<S>(self, mut load: impl FnMut() -> Result<S, String>)
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        let Playing(script, options, single) = self;
        let framing = options.framing.limited(FRAME_MAX).expect("a limit");
        let mut service = load().expect("a service");
        if let Some(clock) = service.clock() {
            clock.tick(0);
        }
        let protocol = Protocol {
            framing,
            on_too_long: options.on_too_long,
            service,
        };
        let outbound = protocol.reply_max(FRAME_MAX).max(limits::STREAM_REPLY_SIZE);
        let inbound = (2 * FRAME_MAX).max(limits::HTTP_HEAD_MAX + 2);
        let mut talk = Talk {
            connection: Connection::new(&protocol.service),
            protocol,
            memory: (vec![0; inbound], vec![0; outbound]),
            cursors: Default::default(),
            heard: Vec::new(),
            over: false,
            single,
        };
        talk.work();
        super::play(script, &mut talk);
        if !script.steps.iter().any(|step| matches!(step, Step::Over)) {
            assert!(!talk.over, "it is over, and the transcript does not say so");
        }
    }
}

const FRAME_MAX: usize = 4096;

struct Talk<S: Service> {
    connection: Connection<S>,
    protocol: Protocol<S>,
    memory: (Vec<u8>, Vec<u8>),
    cursors: Cursors,
    heard: Vec<u8>,
    over: bool,
    single: bool,
}

impl<S: Service> Talk<S> {
    fn with<R>(
        &mut self,
        act: impl FnOnce(&mut Connection<S>, &mut Workspace<'_>, &mut Protocol<S>) -> R,
    ) -> R {
        let (inbound, outbound) = &mut self.memory;
        let mut workspace = Workspace::new(inbound, outbound, self.cursors);
        let answer = act(&mut self.connection, &mut workspace, &mut self.protocol);
        self.cursors = workspace.cursors();
        answer
    }

    /// Performs every want except reading.
    fn work(&mut self) {
        if self.connection.is_greeting() {
            self.with(|connection, workspace, protocol| connection.begin(workspace, protocol));
        }
        loop {
            let owed = self.with(|_, workspace, _| workspace.owed().to_vec());
            match self.connection.wants(!owed.is_empty()) {
                Want::Write => {
                    self.heard.extend_from_slice(&owed);
                    let _ = self.with(|connection, workspace, protocol| {
                        connection.sent(owed.len(), workspace, protocol, &mut Budget::new(u64::MAX))
                    });
                }
                Want::Await => self.perform(),
                Want::Resume => {
                    let _ = self.with(|connection, workspace, protocol| {
                        connection.resume(workspace, protocol, &mut Budget::new(u64::MAX))
                    });
                }
                Want::Shutdown => self.connection.finished(),
                Want::Read | Want::Header => return,
                Want::Discard | Want::Close => {
                    self.over = true;
                    return;
                }
            }
        }
    }
}

impl<S: Service> Talk<S> {
    /// Plays the awaited command; its output arrives byte by byte if the transcript does.
    fn perform(&mut self) {
        let effect = self.connection.effect(&self.protocol);
        let Some(Effect::Command(number)) = effect else {
            panic!("what is awaited?");
        };
        let effects = self.protocol.service.effects().expect("an effect");
        let line = &effects.commands()[number];
        let words: Vec<String> = kernel::words(line).map(str::to_owned).collect();
        let mut drafted = 0;
        let single = self.single;
        let mut hear = |event: EffectEvent<'_>| {
            let _ = self.with(|connection, workspace, protocol| {
                let (peer, budget) = ("127.0.0.1:50000", &mut Budget::new(u64::MAX));
                connection.take_event(event, peer, &mut drafted, workspace, protocol, budget)
            });
        };
        match program(&words) {
            Ok(Program::Says(bytes) | Program::Stays(bytes)) => {
                let piece = if single { 1 } else { bytes.len().max(1) };
                let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
                pieces
                    .into_iter()
                    .for_each(|piece| hear(EffectEvent::Output(piece)));
                hear(EffectEvent::Ended);
            }
            Err(_) => hear(EffectEvent::NotStarted),
        }
    }
}

impl<S: Service> Line for Talk<S> {
    fn say(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.over {
                return; // The connection discards further input.
            }
            let spare = self.with(|_, workspace, _| workspace.inbound.spare().len());
            assert!(spare > 0, "it wants to read and has no room");
            let most = if self.single {
                1
            } else {
                spare.min(rest.len())
            };
            let (piece, others) = rest.split_at(most);
            rest = others;
            let _ = self.with(|connection, workspace, protocol| {
                workspace.inbound.spare()[..piece.len()].copy_from_slice(piece);
                connection.received(piece.len(), workspace, protocol, &mut Budget::new(u64::MAX))
            });
            self.work();
        }
    }

    fn hear(&mut self, _expected: usize) -> Vec<u8> {
        std::mem::take(&mut self.heard)
    }

    fn finish(&mut self) {
        self.with(|connection, workspace, protocol| connection.ended(workspace, protocol));
        self.work();
    }

    fn is_over(&mut self) -> bool {
        self.over && self.heard.is_empty()
    }
}
