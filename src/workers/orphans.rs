//! What workers that have failed leave to the others: their listeners, and the connections that
//! were handed to them.
//!
//! With SO_REUSEPORT the kernel resets what is in the queue of a listener that is closed, unless
//! another listener of the port takes it over (net.ipv4.tcp_migrate_req of ip-sysctl, off by
//! default). So another worker accepts it. Neighbours: the worker that fails leaves them, and every
//! worker that drains takes what it has room for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What failed workers have left. All workers of a process have the same.
pub(super) struct Orphans<Socket>(Arc<Mutex<Left<Socket>>>);

struct Left<Socket> {
    /// Listeners, each with whether it is inherited.
    listeners: Vec<(Socket, bool)>,
    /// Connections that were handed to a worker, which has not taken them in.
    handed: VecDeque<Socket>,
}

impl<Socket> Default for Orphans<Socket> {
    fn default() -> Orphans<Socket> {
        Orphans(Arc::new(Mutex::new(Left {
            listeners: Vec::new(),
            handed: VecDeque::new(),
        })))
    }
}

impl<Socket> Clone for Orphans<Socket> {
    fn clone(&self) -> Orphans<Socket> {
        Orphans(Arc::clone(&self.0))
    }
}

impl<Socket> Orphans<Socket> {
    fn left(&self) -> MutexGuard<'_, Left<Socket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves these to the others.
    pub(super) fn leave(&self, listeners: Vec<(Socket, bool)>, handed: VecDeque<Socket>) {
        let mut left = self.left();
        left.listeners.extend(listeners);
        left.handed.extend(handed);
    }

    /// Takes all listeners.
    pub(super) fn take_listeners(&self) -> Vec<(Socket, bool)> {
        std::mem::take(&mut self.left().listeners)
    }

    /// Takes all connections that were handed over.
    pub(super) fn take_handed(&self) -> VecDeque<Socket> {
        std::mem::take(&mut self.left().handed)
    }
}
