//! One connection at a time, on the thread of the listeners. The others wait in the backlog.
//!
//! While it serves, the thread sleeps in poll(2) for two descriptors: the socket, and the epoll
//! instance of the server, which is readable while a signal or a wake-up waits. The listeners are
//! not registered then, because the only slot is taken. Neighbours: `conversation`; `turn`, which
//! calls [`Driver::work`].

use std::io;

use crate::kernel::{Interest, Poller, Socket, Time, Token};
use crate::protocol::service::Service;
use crate::server::observe::counters::Counters;

use super::conversation::Conversation;
use super::{Drive, Driver, Kernel, Order};

/// The only connection.
pub(super) struct Iterative<S: Service> {
    conversation: Conversation<Kernel, S>,
    /// Registered with the conversation.
    _control: Option<Socket>,
    order: Order,
    is_busy: bool,
}

impl<S: Service<State: Send> + Clone + Send + 'static> Iterative<S> {
    pub(super) fn new(drive: Drive<S>) -> io::Result<Iterative<S>> {
        let mut conversation = drive.conversation()?;
        if let Some(control) = &drive.control {
            let kernel = conversation.kernel_mut();
            kernel.register(control, Token::WAKE_UP, Interest::READ)?;
        }
        Ok(Iterative {
            conversation,
            _control: drive.control,
            order: Order::default(),
            is_busy: false,
        })
    }
}

impl<S: Service<State: Send> + Clone + Send + 'static> Driver<Socket, S> for Iterative<S> {
    fn serve(&mut self, socket: Socket) -> io::Result<u32> {
        self.conversation.begin(socket);
        self.is_busy = true;
        Ok(0)
    }

    fn len(&self) -> usize {
        usize::from(self.is_busy)
    }

    fn capacity(&self) -> usize {
        1
    }

    fn work(&mut self, until: Time) -> io::Result<bool> {
        if !self.is_busy {
            return Ok(false);
        }
        while !self.conversation.is_over() {
            self.conversation.follow(self.order);
            let count = self.conversation.wait(until)?;
            let is_called = self.conversation.act(count);
            if is_called || self.conversation.now() >= until {
                break;
            }
        }
        Ok(true)
    }

    fn collect(&mut self, freed: &mut dyn FnMut(u32)) {
        if self.is_busy && self.conversation.is_over() {
            self.is_busy = false;
            freed(0);
        }
    }

    fn order(&mut self, order: Order) {
        self.order = order;
        if order == Order::Cut {
            self.conversation.follow(order);
            self.conversation.reap();
        }
    }

    fn cut(&self) -> u64 {
        self.conversation.counters().1
    }

    fn replace(&mut self, service: &S) {
        self.conversation.replace(service.clone());
    }

    fn add_counters(&self, sum: &mut Counters) {
        sum.add(&self.conversation.counters().0);
    }

    fn has_process(&self, id: u32) -> bool {
        self.conversation.has_process(id)
    }
}
