//! The datagram sockets beside the connections of a loop: everything passes through to
//! `server::datagram`, if there are any.
//!
//! A command for a datagram has an owner as one for a connection has. The token tells which it is:
//! that of a datagram has generation 0, and names its place. Connections and datagrams start their
//! commands in turn, so that neither keeps the other waiting.

use std::io;

use super::Reactor;
use crate::kernel::{Datagrams, Opener, Poller, Source, Time, Token};
use crate::protocol::service::{Effect, EffectEvent, Service};
use crate::server::datagram::{DatagramServer, DatagramSocket};
use crate::server::effects::children::{PeerName, PendingAnswer};
use crate::server::pump::{Pump, ReadPolicy};

impl<K: Poller, S: Service> Reactor<K, S> {
    /// Serves `sockets` too. To be called once.
    pub(in crate::server) fn add_datagrams(
        &mut self,
        sockets: Vec<DatagramSocket<K::Socket>>,
    ) -> io::Result<()>
    where
        K: Datagrams + Opener,
    {
        let pacing = self.settings().pacing.clone();
        let server = DatagramServer::new(self.pump_mut(), sockets, &pacing)?;
        self.datagrams = Some(Box::new(server));
        Ok(())
    }

    fn with_datagrams<T>(
        &mut self,
        act: impl FnOnce(&mut DatagramServer<K, S>, &mut Pump<K, S>) -> T,
    ) -> Option<T> {
        let server = self.datagrams.as_mut()?;
        Some(act(server, self.slow.pump_mut()))
    }

    /// How many datagram sockets are open.
    pub(in crate::server) fn datagram_sockets(&self) -> usize {
        self.datagrams.as_ref().map_or(0, |server| server.open())
    }

    /// Whether a datagram socket is open.
    pub(in crate::server) fn has_datagrams(&self) -> bool {
        self.datagram_sockets() > 0
    }

    /// Whether there is neither a connection nor a datagram socket.
    pub(in crate::server) fn serves_nothing(&self) -> bool {
        self.len() == 0 && !self.has_datagrams()
    }

    /// When a datagram socket has to be served without an event.
    pub(in crate::server) fn datagram_deadline(&self) -> Time {
        let now = self.pump().now;
        (self.datagrams.as_ref()).map_or(Time::NEVER, |server| server.deadline(now))
    }

    /// Datagram socket `number` was reported.
    #[inline(never)]
    pub(in crate::server) fn serve_datagrams(&mut self, number: u32) {
        self.with_datagrams(|server, pump| server.event(pump, number));
    }

    /// Serves the datagram sockets that are due.
    pub(in crate::server) fn expire_datagrams(&mut self) {
        self.with_datagrams(|server, pump| server.expire(pump));
    }

    /// Serves all datagram sockets, whatever was reported.
    pub(in crate::server) fn look_at_datagrams(&mut self) {
        self.with_datagrams(|server, pump| server.look(pump));
    }

    /// A drain begins, or goes on to its next stage.
    pub(super) fn drain_datagrams(&mut self, reading: ReadPolicy) {
        self.with_datagrams(|server, pump| server.begin_drain(pump, reading));
    }

    /// Other processes go on with the datagram sockets.
    pub(in crate::server) fn leave_datagrams(&mut self) {
        self.with_datagrams(|server, pump| server.leave(pump));
    }

    /// Closes the datagram sockets at the drain time-out. Returns how many answers were owed.
    pub(in crate::server) fn cut_datagrams(&mut self) -> u64 {
        let cut = self.with_datagrams(|server, pump| server.cut(pump));
        cut.unwrap_or(0)
    }

    /// Whether a datagram waits for its command to start.
    pub(in crate::server) fn has_awaiting_datagram(&self) -> bool {
        (self.datagrams.as_ref()).is_some_and(|server| server.next_awaiting().is_some())
    }

    /// Whose command is to be started next.
    pub(in crate::server) fn next_awaiting(&mut self) -> Option<Token> {
        let datagram = self.datagrams.as_ref().and_then(|it| it.next_awaiting());
        self.datagrams_first = datagram.is_some() && !self.datagrams_first;
        if self.datagrams_first {
            return datagram;
        }
        match self.lists_mut().next_awaiting() {
            Some(slot) => self.key(slot),
            None => datagram,
        }
    }

    /// The command of `token` is started now: its effect, and the sender.
    pub(in crate::server) fn start_effect(&mut self, token: Token) -> Option<(Effect, PeerName)> {
        if let Source::Datagram(place) = token.source() {
            let started = self.with_datagrams(|server, pump| server.start_effect(pump, place));
            return started.flatten();
        }
        let mut asked = None;
        self.look_at(token, |pump, link| {
            let effect = link.connection.effect(&pump.protocol);
            let address = pump.address_of(token.index(), &link.socket);
            asked = effect.map(|effect| (effect, PeerName::of(address.as_ref())));
        });
        asked
    }

    /// Delivers an effect event to the connection or the datagram that waits for it.
    pub(in crate::server) fn deliver(
        &mut self,
        token: Token,
        answer: PendingAnswer,
        event: EffectEvent<'_>,
    ) -> PendingAnswer {
        if let Source::Datagram(place) = token.source() {
            self.with_datagrams(|server, pump| server.deliver(pump, place, &answer, event));
            return answer;
        }
        self.deliver_to_connection(token, answer, event)
    }
}
