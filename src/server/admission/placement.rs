//! Which worker serves an accepted connection: this one, or another to which it is handed.
//!
//! Without `--accept handoff` every connection stays here. With it, the first worker accepts for
//! all and deals connections out in turn; the others take them from their inboxes. A connection for
//! which no worker has room waits here. The type knows no slot and no listener: `acceptor` asks it,
//! and `handoff` has the inboxes.

use std::collections::VecDeque;

use super::handoff::{Dealt, Member};

/// Where accepted connections go.
pub(super) struct Placement<Socket> {
    /// Its part in handing connections over, if one worker accepts for all.
    member: Option<Member<Socket>>,
    /// An accepted connection that no worker has had room for yet.
    unplaced: Option<Socket>,
}

impl<Socket> Placement<Socket> {
    /// All connections stay here.
    pub(super) fn here() -> Placement<Socket> {
        Placement {
            member: None,
            unplaced: None,
        }
    }

    /// Takes part in handing connections over.
    pub(super) fn join(&mut self, member: Member<Socket>) {
        self.member = Some(member);
    }

    /// This worker's part, if it accepts for the others.
    fn first(&self) -> Option<&Member<Socket>> {
        self.member.as_ref().filter(|member| member.is_first())
    }

    /// Whether another worker accepts for this one.
    pub(super) fn is_served(&self) -> bool {
        self.member.is_some() && self.first().is_none()
    }

    /// Whether this worker accepts for the others.
    pub(super) fn is_first(&self) -> bool {
        self.first().is_some()
    }

    /// Gives a connection to the worker whose turn it is. Returns the connection if that is this
    /// one, which `has_room` or not.
    pub(super) fn deal(&mut self, socket: Socket, has_room: bool) -> Option<Socket> {
        let dealt = match &mut self.member {
            Some(member) => member.deal(socket, has_room),
            None => Dealt::Here(socket),
        };
        match dealt {
            Dealt::Here(socket) => Some(socket),
            Dealt::Away => None,
            // A worker has closed its inbox since there was room.
            Dealt::Nowhere(socket) => {
                self.unplaced = Some(socket);
                None
            }
        }
    }

    /// Whether a connection can be accepted; `is_full` tells whether this worker has no free slot.
    pub(super) fn has_room(&self, is_full: bool) -> bool {
        self.unplaced.is_none()
            && (!is_full || self.member.as_ref().is_some_and(Member::others_have_room))
    }

    /// The connection that waits for room.
    pub(super) fn take_unplaced(&mut self) -> Option<Socket> {
        self.unplaced.take()
    }

    /// Keeps a connection until there is room.
    pub(super) fn keep_unplaced(&mut self, socket: Option<Socket>) {
        self.unplaced = socket;
    }

    /// Whether a connection waits for room.
    pub(super) fn has_unplaced(&self) -> bool {
        self.unplaced.is_some()
    }

    /// The next connection that was handed to this worker.
    pub(super) fn take(&mut self) -> Option<Socket> {
        self.member.as_mut().and_then(Member::take)
    }

    /// Connections that are left in the inbox are taken in the next turn.
    pub(super) fn take_later_if_any(&self) {
        if let Some(member) = &self.member {
            member.take_later_if_any();
        }
    }

    /// Tells the worker that accepts how many connections this one has.
    pub(super) fn give_back(&mut self, connections: usize) {
        if let Some(member) = &mut self.member {
            member.give_back(connections);
        }
    }

    /// From now on, or no longer, a worker that this one accepts for wakes it when it has room.
    pub(super) fn await_room(&self, on: bool) {
        if let Some(member) = self.first() {
            member.await_room(on);
        }
    }

    /// Closes the inbox of a worker that another accepts for.
    pub(super) fn close(&self) {
        if let Some(member) = self.member.as_ref().filter(|member| !member.is_first()) {
            member.close();
        }
    }

    /// The worker has failed. Returns the connections that were handed to it and not taken in.
    #[cold]
    pub(super) fn abandon(&mut self) -> VecDeque<Socket> {
        let handed = self.member.as_ref().map(Member::abandon);
        let mut left = handed.unwrap_or_default();
        left.extend(self.unplaced.take());
        left
    }

    /// Whether no connection can come from another worker any more.
    pub(super) fn is_finished(&self) -> bool {
        self.member.as_ref().is_none_or(Member::is_finished)
    }

    /// The workers that this one accepts for learn that nothing more comes.
    pub(super) fn finish(&self) {
        if let Some(member) = self.first() {
            member.finish();
        }
    }
}
