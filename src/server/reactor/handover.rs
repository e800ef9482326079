//! Connections that another process goes on with, and connections of another process.
//!
//! A connection can be passed while it is at rest: it is open, between two messages, holds no
//! bytes, and remembers no more than a byte. What has arrived and is not read lies in the kernel,
//! and goes with the socket. A connection is passed between two turns, so no answer is staged.
//!
//! The registration of a socket lives as long as its open file, which the other process keeps. So
//! a connection is deregistered before it is closed here: epoll(7), question 6. Neighbours:
//! `server::handover`, which drives this; `workers::takeover` passes the sockets.

use std::io;
use std::net::SocketAddr;

use super::{Reactor, slow_path::Fate};
use crate::kernel::{Poller, Time, Token};
use crate::limits::CONNECTIONS_PER_MESSAGE;
use crate::protocol::connection::{CloseReason, Connection};
use crate::protocol::service::Service;
use crate::server::admission::announced::address_of;
use crate::server::handover::{Handed, Send};
use crate::server::link::Link;
use crate::server::pump::Pump;
use crate::server::waiting::Waiting;

impl<K: Poller, S: Service> Reactor<K, S> {
    /// The tokens of all connections.
    pub(in crate::server) fn tokens(&self) -> Vec<Token> {
        let slots = 0..self.links.used();
        slots.filter_map(|slot| self.links.key(slot)).collect()
    }

    /// Passes some of the connections in `left` that can be passed now, and takes them out of
    /// `left`, like those that have ended. Returns how many were passed; 0 if none can be.
    ///
    /// # Errors
    ///
    /// That of `send`: none was passed then.
    pub(in crate::server) fn hand_over(
        &mut self,
        left: &mut Vec<Token>,
        most: usize,
        send: Send<'_, K::Socket>,
    ) -> io::Result<usize> {
        let (links, kernel) = (&self.links, &mut self.slow.pump_mut().kernel);
        let mut can_be_passed = |link: &Link<K, S>| kernel.can_be_passed(&link.socket);
        left.retain(|token| links.get(*token).is_some_and(&mut can_be_passed));
        let (mut chosen, mut handed) = (Vec::new(), Vec::new());
        for &token in &*left {
            if chosen.len() == most.min(CONNECTIONS_PER_MESSAGE) {
                break;
            }
            let mut found = None;
            self.look_at(token, |pump, link| found = Handed::of(pump, link, token));
            if let Some(it) = found {
                chosen.push(token);
                handed.push(it);
            }
        }
        if chosen.is_empty() {
            return Ok(0);
        }
        let links = chosen.iter().filter_map(|token| self.links.get(*token));
        let sockets: Vec<&K::Socket> = links.map(|link| &link.socket).collect();
        send(&handed, &sockets)?;
        for &token in &chosen {
            self.with(token, |slow, _, link| {
                let pump = slow.pump_mut();
                pump.counters.epoll_ctl += 1;
                if let Err(error) = pump.kernel.deregister(&link.socket) {
                    log::error!("epoll_ctl on a connection that was passed: {error}");
                }
                link.connection.close(CloseReason::HandedOver);
                Fate::Closed
            });
        }
        left.retain(|token| !chosen.contains(token));
        Ok(chosen.len())
    }

    /// Goes on with a connection of another process. Returns its slot, if there was one.
    pub(in crate::server) fn take_over(
        &mut self,
        socket: K::Socket,
        address: Option<SocketAddr>,
        handed: &Handed,
    ) -> Option<u32> {
        let pump = self.pump_mut();
        let connection = Connection::recalled(&pump.protocol.service, handed.memory);
        let idle = handed.idle.as_nanos().try_into().unwrap_or(u64::MAX);
        let since = Time::from_nanos(pump.now.as_nanos().saturating_sub(idle));
        let begin = |pump: &mut Pump<K, S>, _: &mut Link<K, S>, slot| {
            if let Some(announced) = &mut pump.announced {
                let client = address_of(&handed.source);
                // Its client is not refused now, even if there are too many by other limits.
                announced.keep(slot, handed.source, client.as_ref());
            }
            pump.counters.connections_taken_over += 1;
        };
        let waiting = Waiting::for_request(since);
        let token = self.enter(socket, address, connection, waiting, begin)?;
        self.with(token, |slow, token, link| slow.register(token, link));
        Some(token.index())
    }
}

impl Handed {
    /// What has to be known of a connection; `None` while it cannot be passed.
    fn of<K: Poller, S: Service>(
        pump: &mut Pump<K, S>,
        link: &Link<K, S>,
        token: Token,
    ) -> Option<Handed> {
        let active_at = link.waiting.rests_since()?;
        if !link.is_idle() || link.lease.is_some() {
            return None;
        }
        let announced = pump.announced.as_ref();
        Some(Handed {
            idle: pump.now.since(active_at),
            memory: link.connection.memory()?,
            source: announced
                .map(|it| it.source(token.index()))
                .unwrap_or_default(),
        })
    }
}
