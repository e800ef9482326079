//! What a connection does about a frame that is none, and about another protocol.
//!
//! ```text
//!   Open --- wrong, too long, another protocol ----> Draining
//!    |  ^
//!    |  +--- all of it has come and is gone ----+
//!    +------ too long, to be discarded ------> Discarding ---> the stream ends: truncated
//! ```
//!
//! A frame that is thrown away costs no memory, however long it says it is: of what arrives only
//! its count is kept, and the bytes that may be the beginning of its end. It is reported before it
//! is gone, so that whoever drives the connection can count it and say why.

use super::{CloseReason, Connection, Protocol, State, Workspace};
use crate::protocol::framing::{Decode, FrameError, Hint, OnTooLong};
use crate::protocol::service::Service;

/// What is kept of a frame that is none; a connection without trouble pays no byte for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum FrameFault {
    #[default]
    None,
    /// This is to be told.
    Wrong(FrameError),
    /// A frame is thrown away: so many of its bytes came, and so many are still to come, `u64::MAX`
    /// when only its end will tell.
    Discarding { came: u64, left: u64 },
}

impl<S: Service> Connection<S> {
    /// The frame at the front is refused: it ends the connection, or is thrown away.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        error: FrameError,
        workspace: &mut Workspace<'_>,
        protocol: &Protocol<S>,
    ) {
        let bytes = workspace.inbound.undecoded();
        let hint = protocol.framing.hint(bytes);
        let discards = protocol.on_too_long == OnTooLong::Discard && error.is_too_long();
        if !discards {
            return self.fail(error, hint, workspace);
        }
        self.state = State::Refusing;
        (self.fault, self.hint) = (FrameFault::Wrong(error), hint);
    }

    /// Throws away what has arrived of a frame that is too long.
    #[cold]
    pub(super) fn skip<D: Decode>(&mut self, decoder: &D, workspace: &mut Workspace<'_>) {
        let FrameFault::Discarding { came, left } = &mut self.fault else {
            return;
        };
        match decoder.skip(*left, workspace.inbound.undecoded()) {
            Ok((count, still)) => {
                workspace.inbound.consume(count);
                *came += count as u64;
                *left = still;
                if still == 0 {
                    (self.state, self.fault) = (State::Open, FrameFault::None);
                    self.ended = true;
                }
            }
            Err(error) => self.fail(error, None, workspace),
        }
    }

    /// What was answered before the error is still owed; what came after it is not looked at.
    #[cold]
    pub(super) fn fail(
        &mut self,
        error: FrameError,
        hint: Option<Hint>,
        workspace: &mut Workspace<'_>,
    ) {
        self.set_reason(CloseReason::from(&error));
        (self.fault, self.hint) = (FrameFault::Wrong(error), hint);
        self.leave(workspace);
    }

    /// The last `count` bytes have just arrived. If the connection opens with another protocol,
    /// none of them is decoded.
    pub(super) fn screen(
        &mut self,
        count: usize,
        workspace: &mut Workspace<'_>,
        protocol: &Protocol<S>,
    ) {
        let Some(screen) = protocol.service.screen() else {
            return;
        };
        let bytes = workspace.inbound.undecoded();
        let new = &bytes[bytes.len() - count..];
        let Some(hint) = screen.screen(&mut self.service, new) else {
            return;
        };
        self.hint = Some(hint);
        self.end_conversation(CloseReason::OtherProtocol, workspace);
    }

    /// The service has said its last word.
    #[cold]
    pub(super) fn end_conversation(&mut self, reason: CloseReason, workspace: &mut Workspace<'_>) {
        self.set_reason(reason);
        self.leave(workspace);
    }

    fn leave(&mut self, workspace: &mut Workspace<'_>) {
        // A peer that has ended its stream has nothing more to say: no need to linger for it.
        if matches!(self.state, State::Open | State::Discarding) {
            self.state = State::Draining;
        }
        workspace.inbound.drop_undecoded();
    }

    /// The frame under way was not whole in time: what has come of it may tell why.
    #[cold]
    pub fn set_late_hint(&mut self, workspace: &mut Workspace<'_>, protocol: &Protocol<S>) {
        let bytes = workspace.inbound.undecoded();
        self.hint = protocol.framing.hint_of_partial(bytes);
    }

    /// The peer's stream has ended before its last frame did.
    #[cold]
    pub(super) fn end_inside_a_frame(
        &mut self,
        workspace: &mut Workspace<'_>,
        protocol: &Protocol<S>,
    ) {
        let bytes = workspace.inbound.undecoded();
        let (held, hint) = match self.fault {
            // Its beginning is gone.
            FrameFault::Discarding { came, .. } => (bytes.len() + came as usize, None),
            // What its service has taken of it was not counted.
            _ if S::is_mid_message(&self.service) => (0, None),
            _ => (bytes.len(), protocol.framing.hint_of_partial(bytes)),
        };
        self.state = State::HalfClosed;
        self.fail(FrameError::Truncated { held }, hint, workspace);
    }
}
