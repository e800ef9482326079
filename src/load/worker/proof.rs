//! The challenge of a server that wants a key (`--auth`), as far as it has arrived.
//!
//! A connection stays in the stage `Connecting` until its digest was sent, so the connect timeout
//! covers the wait for the challenge, and the connect time includes it. The server says nothing to
//! a right digest and ends its stream behind a wrong one: a stream that ends before the first reply
//! is a refused key. Before any reply it ends the run; later it is a failure like others, because
//! the server may have another key by then. Neighbours: `slots`, `protocol::front::auth`.

use std::io;

use crate::kernel::Sockets;
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

impl Challenge {
    /// Reads the rest of the challenge. Returns the whole, or `None` if the stream has ended inside
    /// it; the error `WouldBlock` says that more is to come.
    pub(super) fn receive<K: Sockets>(
        &mut self,
        kernel: &mut K,
        socket: &K::Socket,
    ) -> io::Result<Option<&[u8; ROOM]>> {
        while usize::from(self.count) != ROOM {
            let room = &mut self.bytes[usize::from(self.count)..];
            match kernel.read(socket, room)? {
                0 => return Ok(None),
                count => self.count += count as u8,
            }
        }
        Ok(Some(&self.bytes))
    }
}
