//! The challenge of a server that wants a key, and the digest that answers it (`--auth`).
//!
//! A connection stays in the stage `Connecting` until its digest was sent, so the connect timeout
//! covers the wait for the challenge, and the connect time includes it. The server says nothing to
//! a right digest and ends its stream behind a wrong one: a stream that ends before the first reply
//! is a refused key. Before any reply it ends the run; later it is a failure like others, because
//! the server may have another key by then. Neighbours: `lifetime`, `protocol::front::auth`.

use super::*;
use crate::protocol::front::auth::CHALLENGE_SIZE;

/// Bytes that a slot keeps for the challenge.
const ROOM: usize = if cfg!(feature = "auth") {
    CHALLENGE_SIZE
} else {
    0
};

/// A challenge, as far as it has arrived.
#[derive(Clone, Copy, Default)]
pub(super) struct Challenge {
    bytes: [u8; ROOM],
    count: u8,
}

impl<K: Poller + Opener> Worker<'_, K> {
    /// Answers the challenge, if there is a key. Returns whether the conversation may begin.
    pub(super) fn prove(&mut self, index: usize) -> Result<bool, Cause> {
        let Some(key) = &self.job.plan.key else {
            return Ok(true);
        };
        let slot = &mut self.slots[index];
        let (Some(socket), challenge) = (&slot.socket, &mut slot.challenge) else {
            return Ok(false);
        };
        while usize::from(challenge.count) != ROOM {
            let room = &mut challenge.bytes[usize::from(challenge.count)..];
            match self.kernel.read(socket, room) {
                Ok(0) => return Err(Cause::Closed),
                Ok(count) => challenge.count += count as u8,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(self.broken(error)),
            }
        }
        let (digest, size) = key.answer(&challenge.bytes);
        match self.kernel.write(socket, &digest[..size]) {
            Ok(count) if count == size => Ok(true),
            Ok(_) => {
                let text = "the send buffer has no room for a digest";
                Err(Cause::Broken(io::Error::other(text)))
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// What a connection in the stage `Connecting` waits for.
    #[cold]
    pub(super) fn awaited(&mut self, index: usize) -> &'static str {
        let socket = self.slots[index].socket.as_ref();
        let is_established = socket.is_some_and(|socket| self.kernel.peer(socket).is_ok());
        match is_established && self.job.plan.key.is_some() {
            true => "challenge of --auth",
            false => "answer",
        }
    }

    /// `cause`, or a refused key: the server has ended the stream between the digest and the first
    /// reply.
    pub(super) fn verdict(&self, index: usize, cause: Cause) -> Cause {
        let slot = &self.slots[index];
        let is_end = match &cause {
            Cause::Closed => true,
            Cause::Broken(error) => is_end(error),
            _ => false,
        };
        let is_proved = self.job.plan.key.is_some()
            && matches!(slot.stage, Stage::Open | Stage::Idle)
            && slot.connection.answered() == 0
            && !slot.connection.is_mid_message();
        match is_end && is_proved {
            true => Cause::Unproven,
            false => cause,
        }
    }

    /// Whether any connection of this worker has had a reply.
    pub(super) fn has_answers(&self) -> bool {
        let mut slots = self.slots.iter();
        self.was_answered || slots.any(|slot| slot.connection.answered() > 0)
    }
}
