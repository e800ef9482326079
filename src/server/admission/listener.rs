//! One listener: how the poller reports it, how many connections are accepted from it, and how it
//! is given to another process or closed.
//!
//! A listener that workers share is registered with EPOLLEXCLUSIVE, so that a connection wakes one
//! sleeping worker and not all. The kernel refuses to change that interest, so a pause ends the
//! registration. A listener that another program keeps is never changed in a way that would stay
//! changed there. The type knows no slot and no pause: `acceptor` decides when it accepts.
//! See accept(2), epoll_ctl(2) "EPOLLEXCLUSIVE".

use std::io;

use crate::kernel::{Interest, Opener, Poller, Token};
use crate::limits::{ACCEPTS_PER_TURN, ACCEPTS_PER_TURN_SHARED};
use crate::protocol::service::Service;
use crate::server::handover::Offered;
use crate::server::pump::Pump;

/// The interest in a listener that other workers have too.
const SHARED_INTEREST: Interest = Interest::READ.union(Interest::EXCLUSIVE);

/// A listener of this worker.
pub(super) struct Listener<Socket> {
    socket: Socket,
    reports: Reports,
    is_called: bool,
    stride: Stride,
    /// How many connections may still be accepted during a drain.
    drain_quota: usize,
    /// No more connections enter its queue.
    is_stopped: bool,
    /// Another program has opened it and keeps it. What is changed here would stay changed there.
    is_inherited: bool,
}

/// How the poller is told to report a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reports {
    /// No other worker has it. A pause changes the interest.
    ToOne,
    /// Other workers have it too. A pause ends the registration, because the kernel refuses to
    /// change the interest.
    ToAny {
        /// Whether it is registered now.
        is_registered: bool,
    },
}

/// How many connections to accept per event of a listener: one, doubled while the listener is ready
/// in consecutive turns. A single connection then costs no second accept4 that returns EAGAIN, and
/// a burst does not wait one turn per connection.
#[derive(Clone, Copy, Default)]
struct Stride {
    count: u32,
    /// The turn in which the listener was last ready.
    last_turn: Option<u64>,
}

impl Stride {
    fn next(&mut self, turn: u64, most: u32) -> u32 {
        self.count = match self.last_turn {
            Some(last) if last + 1 == turn => (self.count * 2).min(most),
            _ => 1,
        };
        self.last_turn = Some(turn);
        self.count
    }
}

impl<Socket> Listener<Socket> {
    /// A listener that no other worker has. It is registered already.
    pub(super) fn own(socket: Socket) -> Listener<Socket> {
        Listener::new(socket, Reports::ToOne, false)
    }

    /// A listener that other workers have too, or other programs if it is inherited. It is not
    /// registered.
    pub(super) fn shared(socket: Socket, is_inherited: bool) -> Listener<Socket> {
        let reports = Reports::ToAny {
            is_registered: false,
        };
        Listener::new(socket, reports, is_inherited)
    }

    fn new(socket: Socket, reports: Reports, is_inherited: bool) -> Listener<Socket> {
        Listener {
            socket,
            reports,
            is_called: false,
            stride: Stride::default(),
            drain_quota: usize::MAX,
            is_stopped: false,
            is_inherited,
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self.reports, Reports::ToAny { .. })
    }

    /// The poller has reported it in this turn.
    pub(super) fn call(&mut self) {
        self.is_called = true;
    }

    /// Whether the poller has reported it, once.
    pub(super) fn take_call(&mut self) -> bool {
        std::mem::take(&mut self.is_called)
    }

    /// How many connections to accept in `turn`, in which it is ready.
    pub(super) fn stride(&mut self, turn: u64) -> u32 {
        let most = match self.reports {
            Reports::ToOne => ACCEPTS_PER_TURN,
            Reports::ToAny { .. } => ACCEPTS_PER_TURN_SHARED,
        };
        self.stride.next(turn, most)
    }

    /// The queue is empty: the next event starts with a stride of one.
    pub(super) fn end_stride(&mut self) {
        self.stride.last_turn = None;
    }

    /// Calls accept4 once; `None` if a drain lets it accept no more.
    pub(super) fn accept<K, S>(&mut self, pump: &mut Pump<K, S>) -> Option<io::Result<Socket>>
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if self.drain_quota == 0 {
            return None;
        }
        let accepted = self.accept_beyond(pump);
        self.drain_quota -= usize::from(accepted.is_ok());
        Some(accepted)
    }

    /// Calls accept4 once, whether or not the connection can be served.
    pub(super) fn accept_beyond<K, S>(&self, pump: &mut Pump<K, S>) -> io::Result<Socket>
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        pump.counters.accept4 += 1;
        pump.kernel.accept(&self.socket)
    }

    /// Reports the listener from now on, or stops to.
    pub(super) fn report<K, S>(
        &mut self,
        pump: &mut Pump<K, S>,
        number: u32,
        on: bool,
    ) -> io::Result<()>
    where
        K: Poller<Socket = Socket>,
        S: Service,
    {
        let token = Token::listener(number);
        match &mut self.reports {
            Reports::ToOne => {
                let interest = if on { Interest::READ } else { Interest::NONE };
                pump.counters.epoll_ctl += 1;
                pump.kernel.reregister(&self.socket, token, interest)
            }
            Reports::ToAny { is_registered } if *is_registered == on => Ok(()),
            Reports::ToAny { is_registered } => {
                pump.counters.epoll_ctl += 1;
                match on {
                    true => pump.kernel.register(&self.socket, token, SHARED_INTEREST)?,
                    false => pump.kernel.deregister(&self.socket)?,
                }
                *is_registered = on;
                Ok(())
            }
        }
    }

    /// Makes the kernel put no more connections into the queue: one that came between the last
    /// accept and the close would be reset. Where the kernel refuses, connections still come, and
    /// into the queue of an inherited listener too: its next user accepts them.
    pub(super) fn stop_queueing<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if self.is_inherited {
            return;
        }
        let stopped = pump.kernel.stop_handshakes(&self.socket).or_else(|_| {
            if pump.kernel.queue_length(&self.socket).is_ok() {
                // A TCP listener would drop its queue.
                return Err(io::ErrorKind::Unsupported.into());
            }
            pump.counters.shutdown += 1;
            pump.kernel.stop_queueing(&self.socket)
        });
        self.is_stopped = stopped.is_ok();
    }

    /// From here on only the connections that are in the queue now are accepted; `backlog` of them
    /// where the kernel does not tell.
    pub(super) fn accept_only_queued<K, S>(&mut self, pump: &mut Pump<K, S>, backlog: usize)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        self.drain_quota = match self.is_stopped {
            true => usize::MAX,
            false => (pump.kernel.queue_length(&self.socket)).unwrap_or(backlog),
        };
    }

    /// How many connections wait in the queue that a drain should have accepted.
    pub(super) fn not_accepted<K, S>(&self, pump: &mut Pump<K, S>) -> u64
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let queued = pump.kernel.queue_length(&self.socket).unwrap_or(0);
        queued.min(self.drain_quota) as u64
    }

    /// Gives the listener away as it is, with whether it is inherited. Its queue stays.
    pub(super) fn release<K, S>(self, pump: &mut Pump<K, S>) -> (Socket, bool)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        // The poller may be what has failed.
        let _ = pump.kernel.deregister(&self.socket);
        (self.socket, self.is_inherited)
    }

    /// The listener, for another process.
    pub(super) fn offered(&self) -> Offered<'_, Socket> {
        Offered {
            socket: &self.socket,
            is_inherited: self.is_inherited,
            is_shared: self.is_shared(),
        }
    }

    /// Another descriptor of it.
    pub(super) fn copy<K, S>(&self, pump: &mut Pump<K, S>) -> io::Result<Socket>
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        pump.kernel.share(&self.socket)
    }

    /// The path of the listener belongs to this process from now on.
    pub(super) fn own_path<K, S>(&self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if !self.is_inherited {
            pump.kernel.own_path(&self.socket);
        }
    }

    /// The path of the listener belongs to another process from now on.
    pub(super) fn leave_path<K, S>(&self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        pump.kernel.leave_path(&self.socket);
    }

    /// Closes the listener, and removes the path of a local one. Another process may have copies of
    /// it, which keep the registration.
    pub(super) fn close<K, S>(mut self, pump: &mut Pump<K, S>, has_copies: bool)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if self.is_shared() {
            // Other workers keep the listener open, and with it the registration.
            let _ = self.report(pump, 0, false);
        } else if has_copies {
            let _ = pump.kernel.deregister(&self.socket);
        }
        pump.kernel.close_listener(self.socket);
    }
}
