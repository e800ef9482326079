//! The pages of the server about itself, served beside its connections and on the same loop.
//!
//! Scrapes have a small server of their own, with a poller, slots and workspaces of its own, so
//! that they take nothing from the connections and are not among the figures. Its poller is one
//! descriptor in the poller of the loop, which reports it like a listener; a poller can be polled
//! (epoll(7)). It is reported once for each new event: the counts are collected first, and then
//! [`Scrapes::answer`] serves what has come. Neighbours: `turn` reports, `workers` collects.

use std::io;

use crate::kernel::{Datagrams, Interest, Opener, Poller, Spawner, Time, Token, Trigger};
use crate::limits::SCRAPE_TURNS_MAX;
use crate::protocol::service::{AnyService, Scrape};

use super::turn::Server;

/// The server of the pages, and the descriptor of its poller.
pub struct Scrapes<K: Spawner + Opener> {
    server: Server<K, AnyService>,
    descriptor: K::Socket,
}

impl<K: Spawner + Opener> Scrapes<K> {
    /// The pages that `server` serves, whose poller has this descriptor.
    pub fn new(server: Server<K, AnyService>, descriptor: K::Socket) -> Scrapes<K> {
        Scrapes { server, descriptor }
    }
}

/// The pages, for a loop over any kernel with these sockets.
pub trait Pages<Socket>: Send {
    /// The descriptor of their poller.
    fn descriptor(&self) -> &Socket;

    /// Serves what has come, with these pages, and ends the peers that are late.
    fn answer(&mut self, pages: Scrape);

    /// Whether a peer may become late, or the listener pauses: then `answer` has to be called again
    /// without an event.
    fn needs_a_look(&self) -> bool;
}

/// Has `poller` report `pages`.
///
/// # Errors
///
/// The error of epoll_ctl(2).
pub(crate) fn watch<P: Poller>(poller: &mut P, pages: &dyn Pages<P::Socket>) -> io::Result<()> {
    let once = Interest::READ.under(Trigger::Edge);
    poller.register(pages.descriptor(), Token::SCRAPES, once)
}

impl<K: Spawner + Opener + Datagrams> Pages<K::Socket> for Scrapes<K>
where
    Server<K, AnyService>: Send,
    K::Socket: Send,
{
    fn descriptor(&self) -> &K::Socket {
        &self.descriptor
    }

    fn answer(&mut self, pages: Scrape) {
        self.server.replace_service(AnyService::Scrape(pages));
        for _ in 0..SCRAPE_TURNS_MAX {
            let before = self.server.counters().events;
            if let Err(error) = self.server.turn(Time::default()) {
                return log::warn!("--metrics: {error}");
            }
            if self.server.counters().events == before && !self.server.has_more() {
                return;
            }
        }
    }

    fn needs_a_look(&self) -> bool {
        self.server.counters().connections_now > 0 || !self.server.is_open()
    }
}
