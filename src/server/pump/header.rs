//! The header of a load balancer: reads it, and decides about the client that it announces.
//!
//! A connection that expects a header wants nothing but [`Want::Header`], and is never at rest, so
//! it takes the slow path. There `run` reads once and returns, and [`Pump::pass_header`] takes the
//! header from what has come. Behind it the connection is one like any other. Its bytes count as
//! read, under the rates and the budget of the turn. Neighbours: `admission::announced` keeps the
//! addresses, `connection::header` has the states, `waiting` the clock.

use super::super::admission::announced::{address_of, log_header};
use super::super::link::Link;
use super::super::observe::tap::Tap;
use super::super::pace::Side;
use super::super::waiting::Waiting;
use super::{Next, Possible, Pump, Transfer};
use crate::kernel::{Address, Sockets, Time};
use crate::limits::HEADER_READ_SIZE;
use crate::protocol::connection::{Budget, CloseReason, Expects, Heading, Want, Workspace};
use crate::protocol::front::proxy::Source;
use crate::protocol::service::Service;

impl<K: Sockets, S: Service> Pump<K, S> {
    /// A new connection in `slot` expects a header, if its peer is one that sends one.
    #[cold]
    pub(in crate::server) fn expect_header(&mut self, slot: u32, peer: &mut Link<K, S>) {
        let Some(announced) = &mut self.announced else {
            return;
        };
        let has_ranges = announced.has_ranges();
        let address = has_ranges.then(|| self.kernel.peer(&peer.socket).ok());
        let address = address.flatten();
        match announced.expects(address.as_ref()) {
            Some(expects) => {
                peer.connection.expect_header(expects);
                peer.waiting = Waiting::for_header(expects != Expects::Maybe, self.now);
            }
            // No header announces it, so it is counted under its own address. If that has too
            // many, the connection is released before it is registered.
            None => _ = self.meet(slot, Source::Peer, peer),
        }
    }

    /// The header of the connection in `slot` has announced `source`, or has not come. Returns
    /// `false`, and closes the connection, if its address has too many.
    #[cold]
    fn meet(&mut self, slot: u32, source: Source, peer: &mut Link<K, S>) -> bool {
        let Some(announced) = &mut self.announced else {
            return true;
        };
        let mut address = address_of(&source);
        let is_asked = announced.is_counted() || self.tap.as_ref().is_some_and(Tap::sees_bytes);
        if address.is_none() && is_asked {
            address = self.kernel.peer(&peer.socket).ok();
        }
        if let (Some(tap), 1..) = (&mut self.tap, peer.number) {
            match &address {
                Some(address) => tap.active(peer.number, address),
                None => tap.active(peer.number, &"unknown"),
            }
        }
        let has_room = announced.enter(slot, source, address.as_ref());
        if !has_room {
            self.counters.refused_per_ip += 1;
            announced.log_refused(address.as_ref(), self.now);
            peer.connection.close(CloseReason::PerIp);
        }
        has_room
    }

    /// The address of the peer of the connection in `slot`: the announced one, if there is one.
    #[cold]
    pub(in crate::server) fn address_of(
        &mut self,
        slot: u32,
        socket: &K::Socket,
    ) -> Option<Address> {
        let announced = self.announced.as_ref().and_then(|it| it.of(slot));
        announced.or_else(|| self.kernel.peer(socket).ok())
    }

    /// Reads bytes of a header once, or ends the connection in a drain.
    #[cold]
    pub(super) fn receive_header(
        &mut self,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
        mut possible: Possible,
        budget: &mut Budget,
    ) -> Next {
        let want = Want::Header;
        if possible.read && self.may_read(peer, workspace) {
            let room = workspace.inbound.spare().len().min(HEADER_READ_SIZE);
            let size = match self.admit(Side::Read, room) {
                Ok(size) => size,
                Err(until) => return self.held_back(want, until),
            };
            let pumped = self.read_into(
                peer,
                workspace,
                size,
                budget,
                |_, peer, workspace, count, _| {
                    peer.connection.header_received(count, workspace);
                },
            );
            possible.read = self.reads_again(peer, pumped);
            if pumped != Transfer::Blocked || !peer.connection.expects_header() {
                return Next {
                    want,
                    has_more: possible.read,
                    until: Time::NEVER,
                };
            }
        }
        // In a drain the header alone is not waited for.
        if self.is_shutting_down() && !peer.waiting.is_memory() && !self.may_finish(peer, workspace)
        {
            self.finish_drain(peer, workspace, possible.write, budget);
        }
        Next {
            want,
            has_more: possible.read,
            until: Time::NEVER,
        }
    }

    /// Takes the header of the connection in `slot` from the bytes that `next` has read, and then
    /// does what the connection wants.
    #[cold]
    pub(in crate::server) fn pass_header(
        &mut self,
        slot: u32,
        peer: &mut Link<K, S>,
        workspace: &mut Workspace<'_>,
        next: Next,
        mut possible: Possible,
        budget: &mut Budget,
    ) -> Next {
        if peer.connection.expects_header() {
            match peer.connection.take_header(workspace) {
                Heading::Incomplete => {
                    if !workspace.inbound.is_empty() {
                        peer.waiting.header_begins(self.now);
                    }
                    return Next {
                        want: Want::Read,
                        ..next
                    };
                }
                Heading::Refused(reason) => log_header(&mut self.close_log, reason, self.now),
                Heading::Taken(source) => {
                    let received = workspace.inbound.undecoded();
                    if self.kernel.secure(&peer.socket, received) {
                        workspace.inbound.drop_undecoded();
                    }
                    if self.meet(slot, source, peer) {
                        if self.auth.is_some() {
                            self.challenge_behind_header(peer, workspace);
                            possible.read = next.has_more;
                            return self.run(peer, workspace, possible, budget);
                        }
                        let protocol = &mut self.protocol;
                        let progress = peer.connection.open(workspace, protocol, budget);
                        self.note(progress);
                    }
                }
            }
        }
        possible.read = next.has_more;
        self.run(peer, workspace, possible, budget)
    }
}
