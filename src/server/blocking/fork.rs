//! A process for each connection. The parent accepts, forks, closes its copy, and reaps.
//!
//! The child closes every descriptor but its socket, so it keeps no listener open, and it hears no
//! signal but the wake-up of its parent: SIGTERM and the others are blocked, and the parent passes
//! on what they ask for. It is killed when the parent ends. SIGCHLD tells the parent that a child
//! has ended; the kernel may merge several signals into one, so all that have ended are reaped.
//!
//! The parent has no other thread, because a lock that another thread holds in the moment of the
//! fork would stay locked in the child for ever. Neighbours: `conversation`, `ledger`. See fork(2),
//! wait(2).

use std::io;
use std::time::Instant;

use crate::kernel::blocking::{self, Forked, WakeUps};
use crate::kernel::{
    Socket, Time, add_lines_dropped, finish_lines, lines_dropped, take_lines_untold,
};
use crate::limits::{FORK_END_PAUSE, FORK_END_TIMEOUT, LAST_LINE_TIMEOUT};
use crate::protocol::service::Service;
use crate::server::observe::counters::Counters;

use super::conversation::Conversation;
use super::crew::{Free, lock};
use super::ledger::{Ledger, Past};
use super::{Drive, Driver, Kernel, Order};

/// The processes of all connections.
pub(super) struct Forks<S: Service> {
    drive: Drive<S>,
    ledger: Ledger,
    /// The process of each slot; 0 for none.
    processes: Vec<u32>,
    free: Free,
    past: Past,
}

impl<S: Service<State: Send> + Clone + Send + 'static> Forks<S> {
    pub(super) fn new(drive: Drive<S>) -> io::Result<Forks<S>> {
        Ok(Forks {
            ledger: Ledger::new(drive.capacity)?,
            processes: vec![0; drive.capacity],
            free: Free::new(drive.capacity),
            past: Past::default(),
            drive,
        })
    }

    /// The life of a child.
    fn live(&mut self, slot: u32, socket: Socket) -> i32 {
        blocking::close_all_but(&socket);
        let settings = &mut self.drive.settings;
        let process = std::process::id();
        settings.wiretap = settings.wiretap.take().map(|tap| tap.of_process(process));
        if let Some(trace) = &settings.trace {
            // The records so far are those of the parent.
            trace.ring().clear();
        }
        let mut conversation = match self.drive.conversation() {
            Ok(conversation) => conversation,
            Err(error) => {
                log::error!("no memory for a connection: {error}: it is closed");
                return 1;
            }
        };
        conversation.take_page(slot);
        let mut services = self.ledger.services();
        let mut told = 0;
        conversation.follow(self.ledger.order());
        conversation.begin(socket);
        while !conversation.is_over() {
            self.publish(slot, &conversation, &mut told);
            let waited = conversation.wait(Time::NEVER);
            if self.ledger.services() != services {
                services = self.ledger.services();
                let loaded = lock(&self.drive.load)();
                match loaded {
                    Ok(service) => conversation.replace(service),
                    // The parent has read it without an error, so it has changed since.
                    Err(reason) => log::warn!("SIGHUP: {reason}; nothing has changed"),
                }
            }
            conversation.follow(self.ledger.order());
            match waited {
                Ok(count) => _ = conversation.act(count),
                Err(error) => {
                    log::error!("poll: {error}: the connection is closed");
                    conversation.follow(Order::Cut);
                }
            }
        }
        self.publish(slot, &conversation, &mut told);
        (self.drive.at_end)();
        // A line that was written in part would be mixed with the next one of another process.
        finish_lines(LAST_LINE_TIMEOUT);
        self.ledger.add_lines_dropped(0, take_lines_untold());
        0
    }

    /// Passes on the counters of a child, of whose dropped lines so many were `told` before.
    fn publish(&self, slot: u32, conversation: &Conversation<Kernel, S>, told: &mut u64) {
        let (counters, cut) = conversation.counters();
        self.ledger.write(slot, &counters, cut);
        let dropped = lines_dropped();
        let more = dropped - std::mem::replace(told, dropped);
        if more > 0 {
            self.ledger.add_lines_dropped(more, 0);
        }
    }
}

impl<S: Service> Forks<S> {
    /// Counts the log lines that the children have dropped.
    fn count_lines_dropped(&self) {
        let (dropped, untold) = self.ledger.take_lines_dropped();
        add_lines_dropped(dropped, untold);
    }

    fn wake_all(&self) {
        for &id in self.processes.iter().filter(|id| **id != 0) {
            if let Err(error) = WakeUps::wake_process(id) {
                log::debug!("kill: {error}");
            }
        }
    }

    /// Reaps the children that have ended, and orphans among them.
    fn reap(&mut self, freed: &mut dyn FnMut(u32)) {
        loop {
            let id = match blocking::ended_child() {
                Ok(Some(id)) => id,
                Ok(None) => return,
                Err(error) => return log::debug!("waitid: {error}"),
            };
            if let Err(error) = blocking::reap_child(id) {
                return log::debug!("waitid: {error}");
            }
            if let Some(slot) = self.processes.iter().position(|it| *it == id) {
                self.processes[slot] = 0;
                self.past.take(&self.ledger, slot as u32);
                if let Some(rule) = &self.drive.settings.proxy {
                    rule.forget(slot as u32);
                }
                self.count_lines_dropped();
                self.free.put(slot as u32);
                freed(slot as u32);
            }
        }
    }

    /// Waits until all children have ended. Kills those that do not end by themselves in time: a
    /// child that is stopped follows no order.
    fn end_all(&mut self) {
        self.ledger.give(Order::Cut);
        self.wake_all();
        let start = Instant::now();
        let mut is_late = false;
        loop {
            self.reap(&mut |_| {});
            if self.free.len() == self.processes.len() {
                return;
            }
            if start.elapsed() >= FORK_END_TIMEOUT && !is_late {
                is_late = true;
                for &id in self.processes.iter().filter(|id| **id != 0) {
                    let _ = blocking::kill_process(id);
                }
            }
            std::thread::sleep(FORK_END_PAUSE);
        }
    }
}

impl<S: Service<State: Send> + Clone + Send + 'static> Driver<Socket, S> for Forks<S> {
    fn serve(&mut self, socket: Socket) -> io::Result<u32> {
        let slot = self.free.take()?;
        match blocking::fork() {
            Ok(Forked::Parent(id)) => self.processes[slot as usize] = id,
            Ok(Forked::Child) => {
                let code = self.live(slot, socket);
                blocking::exit_at_once(code);
            }
            Err(error) => {
                self.free.put(slot);
                return Err(error);
            }
        }
        Ok(slot)
    }

    fn len(&self) -> usize {
        self.processes.len() - self.free.len()
    }

    fn capacity(&self) -> usize {
        self.processes.len()
    }

    fn collect(&mut self, freed: &mut dyn FnMut(u32)) {
        self.reap(freed);
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Cut => self.end_all(),
            _ => {
                self.ledger.give(order);
                self.wake_all();
            }
        }
    }

    fn cut(&self) -> u64 {
        self.past.cut
    }

    fn replace(&mut self, service: &S) {
        self.drive.protocol.service = service.clone();
        self.ledger.add_service();
        self.wake_all();
    }

    fn add_counters(&self, sum: &mut Counters) {
        self.count_lines_dropped();
        sum.add(&self.past.counters);
        for (slot, _) in self
            .processes
            .iter()
            .enumerate()
            .filter(|(_, id)| **id != 0)
        {
            sum.add(&self.ledger.read(slot as u32).0);
        }
    }

    fn has_process(&self, id: u32) -> bool {
        self.processes.contains(&id)
    }

    fn forks(&self) -> bool {
        true
    }
}

impl<S: Service> Drop for Forks<S> {
    /// No process outlives the server.
    fn drop(&mut self) {
        self.end_all();
    }
}
