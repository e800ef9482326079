//! The blocking drivers: each connection has a thread or a process that sleeps in poll(2) for it.
//!
//! ```text
//!   iterative   one connection at a time, on the thread of the listeners
//!   thread      a thread for each connection
//!   pool        a fixed number of threads, and a queue of accepted connections
//!   fork        a process for each connection
//! ```
//!
//! The server accepts as under epoll: the same acceptor, limits, signals and drain. It keeps no
//! connection, but hands each one to a `Driver`. There a `Conversation` serves it, with the
//! same code as a connection of the epoll loop, and with the same time-outs and counters. The two
//! share a [`Ledger`]: the server writes orders there, and the conversations write their counters.
//! Neighbours: `turn` calls the driver, `reactor` holds it. See fork(2), pthreads(7).

mod conversation;
pub(in crate::server) mod crew;
mod fork;
mod iterative;
mod ledger;
mod pool;
mod thread;

use std::io;
use std::sync::{Arc, Mutex};

use crate::kernel::blocking::{Blocking, WakeUps};
use crate::kernel::journal::{self, Track};
use crate::kernel::{Socket, Time, Traced, Waker};
use crate::protocol::connection::Protocol;
use crate::protocol::service::Service;

use super::observe::counters::Counters;
use super::settings::Settings;
#[cfg(feature = "tls")]
use crate::transport::tls::{Side, Tls};
use conversation::Conversation;
#[cfg(feature = "tls")]
use std::time::Duration;

pub use ledger::Ledger;

/// Which thread or process serves a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// The epoll loop.
    #[default]
    Epoll,
    /// One connection at a time, on the main thread.
    Iterative,
    /// A thread for each connection.
    Thread,
    /// A fixed number of threads with a queue.
    Pool,
    /// A process for each connection.
    Fork,
}

/// What the server has told its conversations. Each order replaces the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) enum Order {
    /// Serve.
    #[default]
    Serve,
    /// A drain: read what has arrived, answer it, and end.
    Drain,
    /// The same; the reading time is over.
    Finish,
    /// End at once, and count what is owed.
    Cut,
}

/// Loads the service again.
pub type Load<S> = Arc<Mutex<Box<dyn FnMut() -> Result<S, String> + Send>>>;

/// Serves the connections of a server outside its loop.
pub(in crate::server) trait Driver<Socket, S>: Send {
    /// Serves a connection. Returns its slot, which is free again once [`Driver::collect`] names
    /// it. If it cannot be served, it is closed.
    fn serve(&mut self, socket: Socket) -> io::Result<u32>;

    /// Connections that are held.
    fn len(&self) -> usize;

    /// Connections that can be held.
    fn capacity(&self) -> usize;

    /// Serves on the calling thread, until its loop has something to do or `until`. Returns whether
    /// anything was served.
    fn work(&mut self, _until: Time) -> io::Result<bool> {
        Ok(false)
    }

    /// Frees the slots of connections that have ended, and calls `freed` with each.
    fn collect(&mut self, freed: &mut dyn FnMut(u32));

    /// Gives an order to all conversations, also to those that begin later. [`Order::Cut`] waits
    /// until all have ended.
    fn order(&mut self, order: Order);

    /// Connections that were cut while they were owed something.
    fn cut(&self) -> u64;

    /// Gives all conversations a new service.
    fn replace(&mut self, service: &S);

    /// Adds the counters of all conversations, past and present.
    fn add_counters(&self, sum: &mut Counters);

    /// Whether process `id` was started by a conversation on the calling thread.
    fn has_process(&self, _id: u32) -> bool {
        false
    }

    /// Whether the server must have no other thread.
    fn forks(&self) -> bool {
        false
    }
}

/// All that a driver is made of.
pub struct Drive<S: Service> {
    /// Which driver.
    pub model: Model,
    /// Connections at once.
    pub capacity: usize,
    /// Threads of a pool.
    pub threads: usize,
    /// Settings of each conversation: of one connection with one workspace.
    pub settings: Settings,
    /// The service and its framing.
    pub protocol: Protocol<S>,
    /// How conversations are woken.
    pub wake_ups: WakeUps,
    /// Wakes the server when a conversation has ended.
    pub waker: Waker,
    /// Reported by the server's poller; serving on its thread must end while it is readable.
    pub control: Option<Socket>,
    /// Loads the service in a process of its own.
    pub load: Load<S>,
    /// What the process of a connection does at its end.
    pub at_end: Box<dyn Fn() + Send>,
    /// Where the files of sessions are, for `mynah ftp` alone.
    #[cfg(feature = "auth")]
    pub ftp: Option<super::ftp::Place>,
    /// How connections are secured.
    #[cfg(feature = "tls")]
    pub side: Side,
    /// Longest time of a handshake.
    #[cfg(feature = "tls")]
    pub handshake_timeout: Option<Duration>,
}

/// The kernel of one conversation.
#[cfg(not(feature = "tls"))]
type Kernel = Traced<Blocking>;
/// The kernel of one conversation, around which nothing is where connections are plain.
#[cfg(feature = "tls")]
type Kernel = Tls<Traced<Blocking>>;

impl<S: Service<State: Send> + Clone + Send + 'static> Drive<S> {
    /// Starts the driver.
    ///
    /// # Errors
    ///
    /// Memory, a thread or a program that the kernel refuses.
    pub(in crate::server) fn start(self) -> io::Result<Box<dyn Driver<Socket, S>>> {
        Ok(match self.model {
            Model::Epoll | Model::Iterative => Box::new(iterative::Iterative::new(self)?),
            Model::Thread => Box::new(thread::Threads::new(self)?),
            Model::Pool => Box::new(pool::Pool::new(self)?),
            Model::Fork => Box::new(fork::Forks::new(self)?),
        })
    }

    fn conversation(&self) -> io::Result<Conversation<Kernel, S>> {
        let mut settings = self.settings.clone();
        // The thread is a loop of its own.
        settings.trace = settings.trace.as_ref().map(Track::another);
        let recorder = journal::recorder(settings.trace.as_ref());
        let kernel = Traced::new(Blocking::new(self.wake_ups), recorder);
        #[cfg(feature = "tls")]
        let kernel = Tls::new(kernel, self.side.clone(), 1, self.handshake_timeout)
            .behind_header(self.settings.proxy.is_some());
        Conversation::new(kernel, self.protocol.clone(), settings)
    }
}
