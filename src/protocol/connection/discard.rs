//! How a connection handles a frame that cannot be served, and an opening in another protocol.
//!
//! ```text
//!   Open --- wrong, too long, another protocol ----> Draining
//!    |  ^
//!    |  +--- all of it has come and is gone ----+
//!    +------ too long, to be discarded ------> Discarding ---> the stream ends: truncated
//! ```
//!
//! A discarded frame costs no memory, however long its length field says it is: only the number of
//! its bytes is kept, and the bytes that may begin its delimiter. The call that finds such a frame
//! returns it as [`Discarded`], so that the driver of the connection can count and log it.

use super::{Budget, Cause, CloseReason, Connection, Discarded, Protocol, State, Workspace};
use crate::protocol::framing::{FrameError, Hint, OnTooLong};
use crate::protocol::service::Service;

impl<S: Service> Connection<S> {
    /// Refuses the frame at the front: ends the connection, or discards the frame.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        error: FrameError,
        workspace: &mut Workspace<'_>,
        protocol: &Protocol<S>,
        budget: &mut Budget,
    ) -> Option<Discarded> {
        let bytes = workspace.inbound.undecoded();
        let hint = protocol.framing.hint(bytes);
        let discards = protocol.on_too_long == OnTooLong::Discard && error.is_too_long();
        if !discards || !matches!(self.state, State::Open) {
            self.state.fail(&error, hint, workspace);
            return None;
        }
        let left = protocol.framing.span(bytes);
        self.state = State::Discarding { came: 0, left };
        self.skip(workspace, protocol);
        budget.spend_all_frames();
        let is_behind = matches!(self.state, State::Open);
        if is_behind && !workspace.inbound.undecoded().is_empty() {
            self.state = State::Yielding;
        }
        Some(Discarded { error, hint })
    }

    /// Discards the bytes of a too long frame that have arrived.
    #[cold]
    pub(super) fn skip(&mut self, workspace: &mut Workspace<'_>, protocol: &Protocol<S>) {
        let State::Discarding { came, left } = self.state else {
            return;
        };
        match protocol.framing.skip(left, workspace.inbound.undecoded()) {
            Ok((count, 0)) => {
                workspace.inbound.consume(count);
                self.state = State::Open;
                self.ended = true;
            }
            Ok((count, left)) => {
                workspace.inbound.consume(count);
                let came = came + count as u64;
                self.state = State::Discarding { came, left };
            }
            Err(error) => self.state.fail(&error, None, workspace),
        }
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
        let cause = Cause::from(CloseReason::OtherProtocol);
        self.state.leave(cause.hinted(Some(hint)), workspace);
    }

    /// What a peer seems to speak that misses the frame time-out, by the bytes of its frame.
    #[cold]
    pub fn hint_of_late(
        &self,
        workspace: &mut Workspace<'_>,
        protocol: &Protocol<S>,
    ) -> Option<Hint> {
        let bytes = workspace.inbound.undecoded();
        match self.is_pending() {
            true => None,
            false => protocol.framing.hint_of_partial(bytes),
        }
    }

    /// The peer's stream has ended inside a frame.
    #[cold]
    pub(super) fn end_inside_a_frame(
        &mut self,
        workspace: &mut Workspace<'_>,
        protocol: &Protocol<S>,
    ) {
        let bytes = workspace.inbound.undecoded();
        let (held, hint) = match self.state {
            // The beginning of the frame was discarded.
            State::Discarding { came, .. } => (bytes.len() + came as usize, None),
            // The bytes that the service has taken are not counted.
            _ if S::is_mid_message(&self.service) => (0, None),
            _ => (bytes.len(), protocol.framing.hint_of_partial(bytes)),
        };
        self.state = State::HalfClosed(CloseReason::EndOfStream.into());
        self.state
            .fail(&FrameError::Truncated { held }, hint, workspace);
    }
}

impl State {
    /// Answers from before the error are still owed. Bytes after the error are not decoded.
    #[cold]
    pub(super) fn fail(
        &mut self,
        error: &FrameError,
        hint: Option<Hint>,
        workspace: &mut Workspace<'_>,
    ) {
        self.leave(Cause::from(error).hinted(hint), workspace);
    }

    /// The connection ends after the owed bytes are written. Nothing more is decoded.
    #[cold]
    pub(super) fn leave(&mut self, cause: Cause, workspace: &mut Workspace<'_>) {
        match *self {
            // A peer that has ended its stream sends nothing more: there is nothing to linger for.
            State::HalfClosed(first) if first.reason == CloseReason::EndOfStream => {
                *self = State::HalfClosed(cause);
            }
            State::Open | State::Discarding { .. } => *self = State::Draining(cause),
            _ => {}
        }
        workspace.inbound.drop_undecoded();
    }
}
