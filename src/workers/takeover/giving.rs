//! One worker of the running process, after the new one has said that it serves: sends its
//! connections as they come to rest.
//!
//! What the other process has no room for, and what cannot be passed, is served here to its end.
//! When nothing is left the worker drains, which is over at once (`mod`). Neighbours:
//! `server::handover` chooses the connections, `taking` is the other side.

use std::io;
use std::sync::atomic::Ordering;

use super::Desk;
use super::message::Message;
use crate::kernel::{Opener, Passage, Spawner, Time, Token};
use crate::limits::{CONNECTIONS_PER_MESSAGE, TAKEOVER_MESSAGES_PER_TURN, TAKEOVER_PAUSE};
use crate::protocol::service::Service;
use crate::server::Server;

/// A worker that leaves.
pub(super) struct Giving<Socket> {
    /// The other process; `None` once nothing more is sent.
    passage: Option<Box<dyn Passage<Socket>>>,
    /// The other process was told that this worker has left its listeners.
    has_told: bool,
    /// Connections that may still be passed.
    left: Vec<Token>,
    /// Connections that there have been when `left` was filled.
    known: Option<u64>,
    /// When to try again without an event.
    again_at: Time,
}

impl<Socket> Giving<Socket> {
    pub(super) fn new(passage: Option<Box<dyn Passage<Socket>>>) -> Giving<Socket> {
        Giving {
            passage,
            has_told: false,
            left: Vec::new(),
            known: None,
            again_at: Time::NEVER,
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.again_at
    }

    /// Sends what is at rest.
    pub(super) fn advance<K, S>(&mut self, server: &mut Server<K, S>, desk: &Desk<Socket>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        self.again_at = Time::NEVER;
        if let Some(passage) = self.passage.take() {
            let total = server.counters().connections_total;
            if self.known != Some(total) {
                // Some have come from another worker.
                self.left = server.tokens();
                self.known = Some(total);
            }
            if self.send(&*passage, server, desk) {
                self.passage = Some(passage);
            }
        }
    }

    /// Says, with a message without connections, that this worker accepts nothing more. The kernel
    /// may have told only this one of a connection in a queue.
    fn tell(&self, passage: &dyn Passage<Socket>) -> io::Result<usize> {
        let message = Message::Connections(Vec::new());
        passage.send(&message.to_bytes(), &[]).map(|()| 0)
    }

    /// Sends some. Returns whether more may follow.
    fn send<K, S>(
        &mut self,
        passage: &dyn Passage<Socket>,
        server: &mut Server<K, S>,
        desk: &Desk<Socket>,
    ) -> bool
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let batch = desk.batch.load(Ordering::Acquire);
        let batch = batch.min(CONNECTIONS_PER_MESSAGE as u64);
        for _ in 0..TAKEOVER_MESSAGES_PER_TURN {
            let room = match self.has_told {
                true => desk.take_room(batch),
                false => 0,
            };
            let sent = match room {
                _ if !self.has_told => self.tell(passage),
                0 => Ok(0),
                _ => server.hand_over(&mut self.left, room as usize, &mut |handed, sockets| {
                    let message = Message::Connections(handed.to_vec());
                    passage.send(&message.to_bytes(), sockets)
                }),
            };
            let count = *sent.as_ref().unwrap_or(&0) as u64;
            desk.give_room_back(room - count);
            desk.passed.fetch_add(count, Ordering::AcqRel);
            match sent {
                Ok(0) if !std::mem::replace(&mut self.has_told, true) => {}
                Ok(0) => return room > 0,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.again_at = server.now().after(TAKEOVER_PAUSE);
                    return true;
                }
                Err(error) => {
                    if !desk.is_lost.swap(true, Ordering::AcqRel) {
                        log::error!(
                            "takeover: the new process takes no more connections: {error}: those \
                             that are left stay here until they end"
                        );
                    }
                    return false;
                }
            }
        }
        self.again_at = server.now();
        true
    }
}
