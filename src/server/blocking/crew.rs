//! What the threads of a driver share with the server, and what each of them does.
//!
//! A service that was loaded again is handed over in a lock; its number in the ledger tells whether
//! there is one, so a thread takes the lock only then. Neighbours: `thread` and `pool`, which start
//! the threads; `ledger`.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::kernel::{Socket, Time, Waker};
use crate::protocol::service::Service;

use super::conversation::Conversation;
use super::ledger::Ledger;
use super::{Drive, Kernel, Order};

/// What all threads of a driver share.
pub(super) struct Crew<S> {
    pub(super) ledger: Ledger,
    newest: Mutex<S>,
    /// Slots of connections that have ended.
    ended: Mutex<VecDeque<u32>>,
    /// One was added.
    has_ended: Condvar,
    waker: Waker,
}

/// A lock without a poison: no invariant spans what is behind it.
pub(in crate::server) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Service + Clone> Crew<S> {
    /// `pages` is the number of conversations.
    pub(super) fn new(drive: &Drive<S>, pages: usize) -> io::Result<Crew<S>> {
        Ok(Crew {
            ledger: Ledger::new(pages)?,
            newest: Mutex::new(drive.protocol.service.clone()),
            ended: Mutex::new(VecDeque::with_capacity(drive.capacity)),
            has_ended: Condvar::new(),
            waker: drive.waker.clone(),
        })
    }

    /// Offers a new service to all threads, which are to be woken.
    pub(super) fn replace(&self, service: S) {
        *lock(&self.newest) = service;
        self.ledger.add_service();
    }

    /// The connection in `slot` has ended.
    pub(super) fn report_end(&self, slot: u32) {
        lock(&self.ended).push_back(slot);
        self.has_ended.notify_one();
        self.waker.wake();
    }

    /// The next slot whose connection has ended.
    pub(super) fn next_ended(&self) -> Option<u32> {
        lock(&self.ended).pop_front()
    }

    /// The same, after a wait for it.
    pub(super) fn wait_for_end(&self) -> u32 {
        let mut ended = lock(&self.ended);
        loop {
            if let Some(slot) = ended.pop_front() {
                return slot;
            }
            ended = match self.has_ended.wait(ended) {
                Ok(ended) => ended,
                Err(poisoned) => poisoned.into_inner(),
            };
        }
    }

    /// A thread that writes its counters to `page`.
    pub(super) fn member(&self, page: u32, mut conversation: Conversation<Kernel, S>) -> Member<S> {
        conversation.take_page(page);
        Member {
            conversation,
            page,
            services: 0,
        }
    }
}

/// One thread, and the conversation that it has.
pub(super) struct Member<S: Service> {
    conversation: Conversation<Kernel, S>,
    page: u32,
    /// How many services have replaced the one that it began with.
    services: u64,
}

impl<S: Service + Clone> Member<S> {
    /// Serves a connection to its end.
    pub(super) fn serve(&mut self, crew: &Crew<S>, socket: Socket) {
        self.follow(crew);
        self.conversation.begin(socket);
        while !self.conversation.is_over() {
            self.publish(crew);
            let waited = self.conversation.wait(Time::NEVER);
            self.follow(crew);
            match waited {
                Ok(count) => _ = self.conversation.act(count),
                Err(error) => {
                    log::error!("poll: {error}: the connection is closed");
                    self.conversation.follow(Order::Cut);
                }
            }
        }
        self.publish(crew);
    }

    /// Whether there is an order, or a service, that it does not follow yet.
    pub(super) fn is_behind(&self, crew: &Crew<S>) -> bool {
        let is_new = crew.ledger.services() != self.services;
        is_new || crew.ledger.order() != self.conversation.last_order()
    }

    /// Follows the orders that the server has given since the last call.
    pub(super) fn follow(&mut self, crew: &Crew<S>) {
        let services = crew.ledger.services();
        if services != self.services {
            self.services = services;
            let newest = lock(&crew.newest).clone();
            self.conversation.replace(newest);
        }
        self.conversation.follow(crew.ledger.order());
    }

    fn publish(&self, crew: &Crew<S>) {
        let (counters, cut) = self.conversation.counters();
        crew.ledger.write(self.page, &counters, cut);
    }
}

/// Slots that are not in use.
pub(in crate::server) struct Free(Vec<u32>);

impl Free {
    pub(in crate::server) fn new(slots: usize) -> Free {
        Free((0..slots as u32).rev().collect())
    }

    pub(in crate::server) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::server) fn take(&mut self) -> io::Result<u32> {
        self.0.pop().ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    pub(in crate::server) fn put(&mut self, slot: u32) {
        self.0.push(slot);
    }
}

/// The threads of a driver that has one for each connection, by slot.
pub(in crate::server) struct Seats {
    threads: Vec<Option<JoinHandle<()>>>,
    free: Free,
}

impl Seats {
    pub(in crate::server) fn new(slots: usize) -> Seats {
        Seats {
            threads: (0..slots).map(|_| None).collect(),
            free: Free::new(slots),
        }
    }

    pub(in crate::server) fn len(&self) -> usize {
        self.threads.len() - self.free.len()
    }

    pub(in crate::server) fn capacity(&self) -> usize {
        self.threads.len()
    }

    /// A free slot, for [`Seats::fill`].
    pub(in crate::server) fn take(&mut self) -> io::Result<u32> {
        self.free.take()
    }

    /// Keeps the thread of a slot. If it could not be started, the slot is free again.
    pub(in crate::server) fn fill(
        &mut self,
        slot: u32,
        started: io::Result<JoinHandle<()>>,
    ) -> io::Result<u32> {
        match started {
            Ok(thread) => self.threads[slot as usize] = Some(thread),
            Err(error) => {
                self.free.put(slot);
                return Err(error);
            }
        }
        Ok(slot)
    }

    /// The slots that have a thread.
    pub(in crate::server) fn taken(&self) -> Vec<u32> {
        let slots = 0..self.threads.len() as u32;
        slots
            .filter(|slot| self.threads[*slot as usize].is_some())
            .collect()
    }

    /// The threads.
    pub(super) fn threads(&self) -> impl Iterator<Item = &JoinHandle<()>> {
        self.threads.iter().flatten()
    }

    /// Waits for the end of the thread of `slot`, which is free then.
    pub(in crate::server) fn join(&mut self, slot: u32) {
        if let Some(thread) = self.threads[slot as usize].take() {
            // A panic ends the process.
            let _ = thread.join();
        }
        self.free.put(slot);
    }
}
