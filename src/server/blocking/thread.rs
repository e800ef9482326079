//! A thread for each connection, gone when the connection has ended.
//!
//! The server allocates what a conversation needs before it starts the thread, so a refusal is seen
//! here and closes only this connection. A thread that ends enters its slot in a list and wakes the
//! server, which joins it. Invariant: a handle in `seats` is not joined, so the thread can be
//! woken. Neighbours: `conversation`, `crew`. See pthread_create(3).

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::kernel::Socket;
use crate::kernel::blocking::WakeUps;
use crate::limits::BLOCKING_STACK_SIZE;
use crate::protocol::service::Service;
use crate::server::observe::counters::Counters;

use super::crew::{Crew, Seats};
use super::{Drive, Driver, Order};

/// The threads of all connections.
pub(super) struct Threads<S: Service> {
    drive: Drive<S>,
    crew: Arc<Crew<S>>,
    seats: Seats,
    past: super::ledger::Past,
}

impl<S: Service<State: Send> + Clone + Send + 'static> Threads<S> {
    pub(super) fn new(drive: Drive<S>) -> io::Result<Threads<S>> {
        Ok(Threads {
            crew: Arc::new(Crew::new(&drive, drive.capacity)?),
            seats: Seats::new(drive.capacity),
            past: Default::default(),
            drive,
        })
    }

    fn start(&self, slot: u32, socket: Socket) -> io::Result<JoinHandle<()>> {
        let conversation = self.drive.conversation()?;
        let crew = Arc::clone(&self.crew);
        let thread = thread::Builder::new()
            .name(format!("connection-{slot}"))
            .stack_size(BLOCKING_STACK_SIZE);
        thread.spawn(move || {
            let mut member = crew.member(slot, conversation);
            member.serve(&crew, socket);
            drop(member);
            crew.report_end(slot);
        })
    }

    fn wake_all(&self) {
        self.seats.threads().for_each(WakeUps::wake_thread);
    }

    fn join(&mut self, slot: u32) {
        self.seats.join(slot);
        self.past.take(&self.crew.ledger, slot);
    }
}

impl<S: Service<State: Send> + Clone + Send + 'static> Driver<Socket, S> for Threads<S> {
    fn serve(&mut self, socket: Socket) -> io::Result<u32> {
        let slot = self.seats.take()?;
        let started = self.start(slot, socket);
        self.seats.fill(slot, started)
    }

    fn len(&self) -> usize {
        self.seats.len()
    }

    fn capacity(&self) -> usize {
        self.seats.capacity()
    }

    fn collect(&mut self, freed: &mut dyn FnMut(u32)) {
        while let Some(slot) = self.crew.next_ended() {
            self.join(slot);
            freed(slot);
        }
    }

    fn order(&mut self, order: Order) {
        self.crew.ledger.give(order);
        self.wake_all();
        if order == Order::Cut {
            for slot in self.seats.taken() {
                self.join(slot);
            }
            while self.crew.next_ended().is_some() {}
        }
    }

    fn cut(&self) -> u64 {
        self.past.cut
    }

    fn replace(&mut self, service: &S) {
        self.drive.protocol.service = service.clone();
        self.crew.replace(service.clone());
        self.wake_all();
    }

    fn add_counters(&self, sum: &mut Counters) {
        sum.add(&self.past.counters);
        for slot in self.seats.taken() {
            sum.add(&self.crew.ledger.read(slot).0);
        }
    }
}

impl<S: Service> Drop for Threads<S> {
    /// No command outlives the server.
    fn drop(&mut self) {
        self.crew.ledger.give(Order::Cut);
        for slot in self.seats.taken() {
            self.seats.threads().for_each(WakeUps::wake_thread);
            self.seats.join(slot);
        }
    }
}
