//! A server that listens and does not serve yet.
//!
//! The kernel queues connections from here on, and [`Server::run`] accepts them. Invariant: a
//! server that is dropped without running closes its listeners, and removes the paths that it has
//! bound. The type of the service is erased, so that a user's own types do not carry it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::{Builder, Error};
use crate::kernel::{Address, Linux, Traced, Waker};
use crate::protocol::service::Service;
use crate::server::{self, Handle};
use crate::workers::{self, Ending, Statistics};

/// A server that listens: all of its memory and sockets are taken.
///
/// [`Server::builder`] begins one; the example of the crate shows a whole program.
pub struct Server {
    addresses: Vec<Address>,
    handles: Vec<Handle>,
    loops: Box<dyn Run>,
}

impl Server {
    /// The settings of a server, with the defaults of `mynah serve`.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new<S>(addresses: Vec<Address>, mut loops: Loops<S>) -> Server
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        let pairs = loops.servers.iter_mut().zip(&loops.wakers);
        let handles = pairs.map(|(server, waker)| {
            let waker = waker.clone();
            server.task_handle(move || waker.wake())
        });
        Server {
            addresses,
            handles: handles.collect(),
            loops: Box::new(loops),
        }
    }

    /// The addresses that it listens on, in the order of [`Builder::listen`]. Port 0 is replaced by
    /// the port that the kernel chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The first address, if it is one of TCP.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self.addresses.first() {
            Some(Address::Tcp(address)) => Some(*address),
            _ => None,
        }
    }

    /// A handle of the first loop, for other threads: it drains the server, and runs tasks on the
    /// loop's thread.
    pub fn handle(&self) -> Handle {
        self.handles[0].clone()
    }

    /// A handle of each loop, one for each thread. Connections and counters belong to one loop.
    pub fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// Serves until the drain is over, on this thread and one more for each further loop. A drain
    /// begins with [`Handle::drain`], with [`Loop::drain`](crate::Loop::drain), or with SIGTERM
    /// under [`Builder::signals`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a loop or a thread failed; the other loops have drained.
    pub fn run(self) -> Result<Ending, Error> {
        self.loops.run().map_err(Error::io("serving"))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .field("loops", &self.handles.len())
            .finish()
    }
}

/// The loops of a server of any service.
trait Run: Send {
    fn run(self: Box<Self>) -> io::Result<Ending>;
}

/// The loops of a server, and what wakes each.
pub(super) struct Loops<S: Service> {
    pub(super) servers: Vec<server::Server<Traced<Linux>, S>>,
    pub(super) wakers: Vec<Waker>,
    pub(super) statistics: Statistics,
}

impl<S> Run for Loops<S>
where
    S: Service<State: Send> + Clone + Send + 'static,
{
    fn run(mut self: Box<Self>) -> io::Result<Ending> {
        let reload = || Err("this server has nothing to read again".to_owned());
        workers::run(
            std::mem::take(&mut self.servers),
            std::mem::take(&mut self.wakers),
            self.statistics,
            reload,
            workers::Hooks::default(),
            || (),
        )
    }
}

impl<S: Service> Drop for Loops<S> {
    fn drop(&mut self) {
        // Also while the first ones are opened. Only closing removes a bound path.
        for server in &mut self.servers {
            server.close_listeners();
        }
    }
}
