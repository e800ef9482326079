//! The challenge that a peer has to answer before its first frame.
//!
//! ```text
//!   Greeting --- the challenge is owed ---> Pending --- the right digest ---> Open (and greet)
//!                                              |
//!                                              +--- wrong ---> Draining
//!                                              +--- short, late ---> Closed
//! ```
//!
//! The challenge is an answer in place: it needs no room in outbound. The bytes of an unfinished
//! digest lie in the workspace, like those of a frame, and have the time of one. An open connection
//! is as fast as any: nothing here is asked about it. Neighbour: `front::auth`.

use super::{Budget, Cause, CloseReason, Connection, Progress, Protocol, State, Workspace};
use crate::protocol::front::auth::{CHALLENGE_SIZE, Expected};
use crate::protocol::service::Service;

impl<S: Service> Connection<S> {
    /// A new connection is to be challenged before anything else.
    #[cold]
    pub fn expect_challenge(&mut self) {
        debug_assert!(matches!(self.state, State::Greeting | State::Open));
        self.state = State::Greeting;
    }

    /// Sends `challenge`, which `expected` answers. What has come before it is no answer.
    #[cold]
    pub fn challenge(
        &mut self,
        challenge: &[u8; CHALLENGE_SIZE],
        expected: Expected,
        workspace: &mut Workspace<'_>,
    ) {
        debug_assert!(!workspace.owes());
        // A header in front of the challenge has had its time.
        self.ended = true;
        if !workspace.inbound.undecoded().is_empty() {
            return self.refuse_digest(workspace);
        }
        workspace.inbound.spare()[..CHALLENGE_SIZE].copy_from_slice(challenge);
        workspace.inbound.advance(CHALLENGE_SIZE);
        workspace.inbound.answer(CHALLENGE_SIZE);
        self.state = State::Pending(expected);
    }

    /// Whether the digest has still to come.
    #[inline]
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending(_))
    }

    /// Takes the digest once all of it has arrived.
    #[cold]
    pub(super) fn take_digest(
        &mut self,
        expected: Expected,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        let bytes = workspace.inbound.undecoded();
        let Some(digest) = bytes.get(..expected.size()) else {
            return Progress::default();
        };
        if !expected.is_met_by(digest) {
            self.refuse_digest(workspace);
            return Progress::default();
        }
        workspace.inbound.consume(expected.size());
        // What follows is not a part of the digest, which has had its time.
        self.ended = true;
        self.state = State::Open;
        let behind = workspace.inbound.undecoded().len();
        self.screen(behind, workspace, protocol);
        if self.is_open() && protocol.service.greeting().is_some() {
            self.begin(workspace, protocol);
            return Progress::default();
        }
        self.resume(workspace, protocol, budget)
    }

    #[cold]
    fn refuse_digest(&mut self, workspace: &mut Workspace<'_>) {
        self.state = State::Draining(CloseReason::Unauthorised.into());
        workspace.inbound.drop_undecoded();
    }

    /// The cause of an end that begins now: a peer that is late with its digest is not authorised.
    pub(super) fn in_place_of(&self, cause: Cause) -> Cause {
        let is_late = matches!(
            cause.reason,
            CloseReason::SlowFrame | CloseReason::Idle | CloseReason::EndOfStream
        );
        match is_late && self.is_pending() {
            true => CloseReason::Unauthorised.into(),
            false => cause,
        }
    }
}
