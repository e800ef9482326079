//! Leaving a server to another process, and going on where another process has left.
//!
//! The process that leaves stops to accept without a word to its peers: the other process has the
//! same listeners and accepts from the same queues. Its connections follow one by one while they
//! are at rest, and what is left is served to its end. No drain: no request is hurried, and no
//! stream is ended. Neighbours: `turn` owns all parts; `workers::takeover` decides when.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::kernel::{Address, Opener, Spawner, Token};
use crate::protocol::front::proxy::Source;
use crate::protocol::service::Service;

use super::turn::Server;

/// What another process has to know of a connection beside its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Time since bytes last moved.
    pub idle: Duration,
    /// What its service remembers, see [`Service::memory`].
    pub memory: u8,
    /// The client that a load balancer has announced.
    pub source: Source,
}

/// A listener that another process may get.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a, Socket> {
    /// The listener.
    pub socket: &'a Socket,
    /// It was opened by another program, such as a service manager.
    pub is_inherited: bool,
    /// Other workers have the same one.
    pub is_shared: bool,
}

/// Sends connections with what has to be known of them.
pub type Send<'a, Socket> = &'a mut dyn FnMut(&[Handed], &[&Socket]) -> io::Result<()>;

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Other processes may get copies of the listeners from now on. A listener that is closed is
    /// deregistered first then, because its registration lives as long as a copy.
    pub(crate) fn expect_copies(&mut self) {
        self.acceptor.expect_copies();
    }

    /// The listeners.
    pub(crate) fn offered(&self) -> Vec<Offered<'_, K::Socket>> {
        self.acceptor.offered()
    }

    /// Another descriptor of a listener.
    pub(crate) fn copy_of(&mut self, place: usize) -> Option<io::Result<K::Socket>> {
        (self.acceptor).copy_of(self.reactor.pump_mut(), place)
    }

    /// Leaves the listeners to another process that has them too: their queues and paths stay. The
    /// kernel may have told only this one of a connection in a queue (EPOLLEXCLUSIVE), so the other
    /// one has to look there afterwards.
    pub fn leave_listeners(&mut self) {
        self.acceptor.leave_listeners(self.reactor.pump_mut());
    }

    /// The paths of the listeners belong to this process from now on.
    pub(crate) fn own_paths(&mut self) {
        self.acceptor.own_paths(self.reactor.pump_mut());
    }

    /// The tokens of all connections.
    pub fn tokens(&self) -> Vec<Token> {
        self.reactor.tokens()
    }

    /// Passes connections that are at rest, at most `most` of them, with one call of `send`.
    /// `left` are those to pass, at first all [`Server::tokens`]; what was passed, has ended or can
    /// never be passed is taken out. Returns how many were passed; 0 if none can be now.
    ///
    /// # Errors
    ///
    /// That of `send`: none was passed then, and all of them are served on.
    pub fn hand_over(
        &mut self,
        left: &mut Vec<Token>,
        most: usize,
        send: Send<'_, K::Socket>,
    ) -> io::Result<usize> {
        let passed = self.reactor.hand_over(left, most, send);
        self.acceptor.settle(&mut self.reactor);
        passed
    }

    /// Goes on with a connection that another process has passed. There is room for it.
    pub fn take_over(&mut self, socket: K::Socket, handed: &Handed) {
        let address: Option<SocketAddr> = match self.reactor.per_address().is_on() {
            true => match self.kernel_mut().peer(&socket) {
                Ok(Address::Tcp(peer)) => Some(peer),
                _ => None,
            },
            false => None,
        };
        let slot = self.reactor.take_over(socket, address, handed);
        self.acceptor.has_taken_over(&mut self.reactor, slot);
    }

    /// Whether another worker accepts for this one, and counts on its free slots.
    pub(crate) fn is_served(&self) -> bool {
        self.acceptor.is_served()
    }

    /// How many connections there is room for.
    pub fn capacity(&self) -> usize {
        self.reactor.settings().connections_max
    }

    /// How many more connections there is room for.
    pub fn room(&self) -> usize {
        self.capacity().saturating_sub(self.reactor.len())
    }

    /// Whether this worker has left its listeners and every connection has been passed or has
    /// ended.
    pub(crate) fn has_left(&self) -> bool {
        self.acceptor.listeners() == 0
            && self.reactor.serves_nothing()
            && self.acceptor.is_finished()
            && !self.acceptor.has_unplaced()
    }

    /// Whether another process asked or said something since this was last asked.
    pub(crate) fn take_asked(&mut self) -> bool {
        std::mem::take(&mut self.is_asked)
    }
}
