//! Accepts connections: from the acceptor into a slot, and onto the list of what epoll watches.
//!
//! Each event of a listener accepts a bounded number of connections, so that new connections cannot
//! starve open ones. Neighbours: `admission::acceptor` decides, `mod` releases.

use std::net::SocketAddr;

use crate::kernel::{Interest, Opener, Readiness, Spawner};
use crate::limits::ACCEPTS_PER_TURN;
use crate::protocol::connection::{Connection, Want};
use crate::protocol::service::Service;

use super::Server;
use crate::server::admission::acceptor::Accepted;
use crate::server::link::Link;
use crate::server::pump::FastOutcome;
use crate::server::waiting::Waiting;

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Accepts connections from one listener, up to its stride.
    pub(super) fn accept(&mut self, number: u32) {
        let mut left = self.acceptor.stride(&mut self.pump, number, self.turns);
        // A lost connection does not count towards the stride: the connections behind it are
        // accepted now, without another event of the listener.
        for _ in 0..ACCEPTS_PER_TURN {
            if left == 0 {
                return;
            }
            match self.acceptor.accept_one(&mut self.pump, number) {
                Accepted::One(socket, address) => {
                    self.admit(socket, address);
                    left -= 1;
                }
                Accepted::Refused => left -= 1,
                Accepted::Lost => {}
                Accepted::Nothing => return,
            }
        }
    }

    /// Accepts all connections in a listener's queue, while slots and descriptors last.
    pub(super) fn accept_all(&mut self, number: u32) {
        self.acceptor.end_pause();
        // Some accepts may fail with a transient error. The bound ends the loop if the error
        // persists.
        for _ in 0..self.settings.connections_max + ACCEPTS_PER_TURN as usize {
            match self.acceptor.accept_one(&mut self.pump, number) {
                Accepted::One(socket, address) => self.admit(socket, address),
                Accepted::Refused | Accepted::Lost => {}
                Accepted::Nothing => return,
            }
        }
    }

    /// Adds a connection, and pauses the listeners if that took the last slot.
    fn admit(&mut self, socket: K::Socket, address: Option<SocketAddr>) {
        self.add(socket, address);
        if self.links.is_full() {
            self.acceptor.pause_while_full(&mut self.pump);
        }
    }

    /// Gives a connection a slot and registers it with epoll, or closes it if that fails. With
    /// `--defer-accept` the first data has arrived already and is answered first, which saves a
    /// wait.
    fn add(&mut self, socket: K::Socket, address: Option<SocketAddr>) {
        let interest = Interest::READ.under(self.settings.trigger);
        let peer = Link {
            socket,
            connection: Connection::new(&self.pump.protocol.service),
            lease: None,
            waiting: Waiting::for_request(self.pump.now),
            registered: interest,
            read_to_end: false,
            drain_reads: 0,
            has_finished: false,
        };
        let token = match self.links.insert(peer) {
            Ok(token) => token,
            Err(peer) => return self.pump.kernel.close(peer.socket),
        };
        if let Some(address) = address {
            self.acceptor.enter(token.index(), address);
        }
        self.pump.counters.connections_total += 1;
        self.pump.counters.connections_now += 1;
        let outcome = if self.settings.defer_accept {
            self.try_fast_path(token)
        } else {
            None
        };
        if let Some(FastOutcome::Ended(Want::Close)) = outcome {
            return self.release(token);
        }
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        self.pump.counters.epoll_ctl += 1;
        if let Err(error) = self.pump.kernel.register(&peer.socket, token, interest) {
            return self.fail_registration(token, &error);
        }
        let silent = peer.connection.is_greeting();
        self.arm(token);
        if let Some(outcome) = outcome {
            self.leave_fast_path(token, outcome);
        } else if silent {
            self.run_slow(token, Readiness::NONE);
        }
        if self.drain.is_some() {
            // The connection is read to its last byte and ended, like those that were there before.
            self.visit(token);
        }
    }
}
