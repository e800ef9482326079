//! A fixed number of threads, and a bounded queue of accepted connections that wait for one.
//!
//! The server holds at most as many connections as there are threads and places in the queue; then
//! it stops accepting, and the backlog keeps the rest. A connection in the queue has no workspace
//! and no time-out: the peer cannot help that no thread is free. Invariant: every slot is in the
//! queue, with a thread, in the list of ended slots, or free. Neighbours: `crew`, `thread`.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use crate::kernel::Socket;
use crate::kernel::blocking::WakeUps;
use crate::limits::BLOCKING_STACK_SIZE;
use crate::protocol::connection::CloseReason;
use crate::protocol::service::Service;
use crate::server::observe::counters::Counters;
use crate::server::thread_refused;

use super::crew::{Crew, Free, Member, lock};
use super::{Drive, Driver, Order};

/// The threads and the queue.
pub(super) struct Pool<S: Service> {
    crew: Arc<Crew<S>>,
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    free: Free,
    capacity: usize,
    /// Connections that were cut in the queue.
    past: Counters,
}

/// The connections that wait for a thread.
struct Queue {
    waiting: Mutex<Waiting>,
    /// A connection has come, or an order.
    has_news: Condvar,
}

struct Waiting {
    sockets: VecDeque<(u32, Socket)>,
    /// The threads are to end.
    is_over: bool,
}

impl<S: Service<State: Send> + Clone + Send + 'static> Pool<S> {
    pub(super) fn new(drive: Drive<S>) -> io::Result<Pool<S>> {
        let waiting = Waiting {
            sockets: VecDeque::with_capacity(drive.capacity),
            is_over: false,
        };
        let mut pool = Pool {
            crew: Arc::new(Crew::new(&drive, drive.threads)?),
            queue: Arc::new(Queue {
                waiting: Mutex::new(waiting),
                has_news: Condvar::new(),
            }),
            threads: Vec::with_capacity(drive.threads),
            free: Free::new(drive.capacity),
            capacity: drive.capacity,
            past: Counters::default(),
        };
        for page in 0..drive.threads as u32 {
            let mut member = pool.crew.member(page, drive.conversation()?);
            let (crew, queue) = (Arc::clone(&pool.crew), Arc::clone(&pool.queue));
            let thread = thread::Builder::new()
                .name(format!("pool-{page}"))
                .stack_size(BLOCKING_STACK_SIZE);
            let thread = thread.spawn(move || {
                while let Some((slot, socket)) = queue.next(&crew, &mut member) {
                    member.serve(&crew, socket);
                    crew.report_end(slot);
                }
            });
            let thread = thread
                .map_err(|error| thread_refused(&format!("thread {page} of the pool"), &error));
            pool.threads.push(thread?);
        }
        Ok(pool)
    }

    fn wake_all(&self) {
        // The lock orders this against a thread that is about to wait.
        drop(lock(&self.queue.waiting));
        self.queue.has_news.notify_all();
        self.threads.iter().for_each(WakeUps::wake_thread);
    }

    fn pages(&self) -> std::ops::Range<u32> {
        0..self.threads.len() as u32
    }
}

impl Queue {
    /// The connection that has waited longest, for a free thread; `None` at the end of the server.
    fn next<S: Service + Clone>(
        &self,
        crew: &Crew<S>,
        member: &mut Member<S>,
    ) -> Option<(u32, Socket)> {
        let mut waiting = lock(&self.waiting);
        loop {
            if let Some(next) = waiting.sockets.pop_front() {
                return Some(next);
            }
            if waiting.is_over {
                return None;
            }
            if member.is_behind(crew) {
                drop(waiting);
                member.follow(crew);
                waiting = lock(&self.waiting);
                continue;
            }
            waiting = match self.has_news.wait(waiting) {
                Ok(waiting) => waiting,
                Err(poisoned) => poisoned.into_inner(),
            };
        }
    }
}

impl<S: Service<State: Send> + Clone + Send + 'static> Driver<Socket, S> for Pool<S> {
    fn serve(&mut self, socket: Socket) -> io::Result<u32> {
        let slot = self.free.take()?;
        lock(&self.queue.waiting).sockets.push_back((slot, socket));
        self.queue.has_news.notify_one();
        Ok(slot)
    }

    fn len(&self) -> usize {
        self.capacity - self.free.len()
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn collect(&mut self, freed: &mut dyn FnMut(u32)) {
        while let Some(slot) = self.crew.next_ended() {
            self.free.put(slot);
            freed(slot);
        }
    }

    fn order(&mut self, order: Order) {
        self.crew.ledger.give(order);
        self.wake_all();
        if order == Order::Cut {
            let cut = std::mem::take(&mut lock(&self.queue.waiting).sockets);
            let count = cut.len() as u64;
            self.past.connections_total += count;
            self.past.close += count;
            self.past.closed[CloseReason::Cut as usize] += count;
            for (slot, _) in cut {
                self.free.put(slot);
            }
            while self.len() > 0 {
                let slot = self.crew.wait_for_end();
                self.free.put(slot);
            }
        }
    }

    fn cut(&self) -> u64 {
        let by_threads = self.pages().map(|page| self.crew.ledger.read(page).1);
        self.past.close + by_threads.sum::<u64>()
    }

    fn replace(&mut self, service: &S) {
        self.crew.replace(service.clone());
        self.wake_all();
    }

    fn add_counters(&self, sum: &mut Counters) {
        for page in self.pages() {
            sum.add(&self.crew.ledger.read(page).0);
        }
        sum.add(&self.past);
        // They are open, and a thread counts each once it has taken it.
        let waiting = lock(&self.queue.waiting).sockets.len() as u64;
        sum.pool_queue += waiting;
        sum.connections_now += waiting;
        sum.connections_total += waiting;
    }
}

impl<S: Service> Drop for Pool<S> {
    /// No command outlives the server.
    fn drop(&mut self) {
        self.crew.ledger.give(Order::Cut);
        let mut waiting = lock(&self.queue.waiting);
        waiting.is_over = true;
        waiting.sockets.clear();
        drop(waiting);
        self.queue.has_news.notify_all();
        for thread in self.threads.drain(..) {
            WakeUps::wake_thread(&thread);
            let _ = thread.join();
        }
    }
}
