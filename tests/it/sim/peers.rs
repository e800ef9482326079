//! The test's side: the peers at the other end of the server's connections.
//!
//! The test plays a [`Peer`] by hand between turns. What a peer does has reached the server when
//! the call returns. A peer may be used after its connection has ended, by the test, by the server
//! or by a fault: it then sends and receives nothing, as a program whose calls fail, and
//! [`Sim::peer_state`] tells why. What the server makes of it is not known here.

use std::collections::VecDeque;

use mynah::kernel::{Address, Time};

use super::pair::{Owner, Pair};
use super::{Host, Sim};

/// A connection as the test holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    pair: usize,
    side: usize,
    serial: u64,
}

/// The state of a connection, seen from the test's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The queue of the server is full and the SYN will be retransmitted.
    Connecting,
    /// The server may still send.
    Open,
    /// The server's FIN has arrived; bytes before it may be unread.
    Finished,
    /// RST has arrived; bytes before it may be unread.
    Reset,
    /// There is no listener, or its queue stayed full.
    Refused,
    /// This end was closed or reset, by the test or by a fault.
    Closed,
}

/// What a peer knows of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// The state of the connection.
    pub link: Link,
    /// Bytes that can be received now.
    pub unread: usize,
    /// This end's direction is shut, by the test or by a fault.
    pub shut: bool,
}

impl Sim {
    /// Connects to the open listener at index `listener`, in the order of opening.
    pub fn connect(&mut self, listener: usize) -> Peer {
        let number = self.listening.get(listener).copied();
        let listener = number.and_then(|number| self.table.listener(number));
        let Some(address) = listener.map(|listener| listener.address.clone()) else {
            panic!("there are {} listeners", self.listening.len());
        };
        self.connect_to(&address)
    }

    /// The same from another address in 127.0.0.0/8, chosen by `machine`.
    pub fn connect_from(&mut self, machine: u8, listener: usize) -> Peer {
        let number = self.listening[listener];
        let address = self
            .table
            .listener(number)
            .expect("it listens")
            .address
            .clone();
        let mut source = self.free_address();
        if let Address::Tcp(source) = &mut source {
            source.set_ip([127, 0, 0, machine].into());
        }
        self.knock_from(Some(source), &address)
    }

    /// Connects to an address.
    pub fn connect_to(&mut self, address: &Address) -> Peer {
        self.knock_from(None, address)
    }

    fn knock_from(&mut self, source: Option<Address>, address: &Address) -> Peer {
        let pair = self.open_pair(Owner::Peer, source, address);
        let peer = Peer {
            pair,
            side: 0,
            serial: self.pairs[pair].serial,
        };
        self.knock(pair, 0);
        peer
    }

    /// Lets the test itself accept at `address`.
    pub fn host(&mut self, address: &Address) {
        self.hosts.push((address.clone(), VecDeque::new()));
    }

    /// Lets `host` play the peers during every wait, for a program whose turns the test does not
    /// call.
    pub fn play(&mut self, host: Host) {
        self.host = Some(host);
    }

    /// Lets the host do what is due. Returns the time of its next action.
    pub(super) fn let_the_host_play(&mut self) -> Time {
        let Some(mut host) = self.host.take() else {
            return Time::NEVER;
        };
        let due = host(self);
        self.host = Some(host);
        due
    }

    /// Takes a connection that was made to an address that the test hosts.
    pub fn incoming(&mut self, address: &Address) -> Option<Peer> {
        let (_, queue) = self.hosts.iter_mut().find(|(other, _)| other == address)?;
        let pair = queue.pop_front()?;
        self.pairs[pair].ends[1].owner = Owner::Peer;
        Some(Peer {
            pair,
            side: 1,
            serial: self.pairs[pair].serial,
        })
    }

    /// Sends the bytes that fit. Returns their number.
    pub fn send(&mut self, peer: Peer, bytes: &[u8]) -> usize {
        let sent = self.pair_of(peer).and_then(|pair| {
            let end = &pair.ends[peer.side];
            // Sending after the end leaves a pending error here, which `peer_state` reports.
            if end.shut || end.dead {
                None
            } else {
                pair.write(peer.side, bytes).ok()
            }
        });
        self.settle(peer.pair);
        sent.unwrap_or(0)
    }

    /// Receives up to `max` bytes, or nothing if there are none.
    pub fn receive(&mut self, peer: Peer, max: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.peer_state(peer).unread.min(max)];
        self.receive_into(peer, &mut bytes);
        bytes
    }

    /// Receives into `space`. Returns the number of bytes.
    pub fn receive_into(&mut self, peer: Peer, space: &mut [u8]) -> usize {
        let received = self
            .pair_of(peer)
            .and_then(|pair| match pair.ends[peer.side].readable() {
                0 => None,
                _ => pair.read(peer.side, space).ok(),
            });
        self.settle(peer.pair);
        received.unwrap_or(0)
    }

    /// Receives all available bytes, including those that move up from the send buffer of the
    /// server meanwhile.
    pub fn receive_all(&mut self, peer: Peer) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let more = self.receive(peer, usize::MAX);
            if more.is_empty() {
                return bytes;
            }
            bytes.extend(more);
        }
    }

    /// Sends FIN: shutdown(2) with `SHUT_WR`.
    pub fn finish(&mut self, peer: Peer) {
        if let Some(pair) = self.pair_of(peer) {
            // ENOTCONN: there is nothing left to finish.
            let _ = pair.shutdown(peer.side);
        }
        self.settle(peer.pair);
    }

    /// Sends RST: close(2) with an `SO_LINGER` time of 0.
    pub fn reset(&mut self, peer: Peer) {
        if let Some(pair) = self.pair_of(peer) {
            pair.abort(peer.side);
        }
        self.settle(peer.pair);
    }

    /// Closes as close(2) does: with FIN, or with RST if received bytes were not read.
    pub fn close_peer(&mut self, peer: Peer) {
        if let Some(pair) = self.pair_of(peer) {
            pair.close(peer.side);
        }
        self.settle(peer.pair);
    }

    /// The state of the connection of `peer`.
    pub fn peer_state(&mut self, peer: Peer) -> PeerState {
        let Some(pair) = self.pair_of(peer) else {
            return PeerState {
                link: Link::Closed,
                unread: 0,
                shut: true,
            };
        };
        let end = &pair.ends[peer.side];
        let link = match end.error {
            _ if pair.connecting => Link::Connecting,
            Some(libc::ECONNREFUSED | libc::ETIMEDOUT) => Link::Refused,
            _ if end.dead => Link::Reset,
            _ if end.fin => Link::Finished,
            _ => Link::Open,
        };
        PeerState {
            link,
            unread: end.readable(),
            shut: end.shut || end.dead,
        }
    }

    /// Bytes that `peer` has sent and the server has not read.
    pub fn unheard(&mut self, peer: Peer) -> usize {
        let pair = self.pair_of(peer);
        pair.map_or(0, |pair| pair.ends[1 - peer.side].held())
    }

    /// Whether a fault ended this connection, so that bytes may be missing.
    pub fn killed(&self, peer: Peer) -> bool {
        self.killed.contains(&peer.serial)
    }

    fn pair_of(&mut self, peer: Peer) -> Option<&mut Pair> {
        let pair = self.pairs.get_mut(peer.pair)?;
        let held = pair.serial == peer.serial && pair.ends[peer.side].owner == Owner::Peer;
        held.then_some(pair)
    }
}
