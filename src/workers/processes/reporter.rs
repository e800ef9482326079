//! The worker's end of the link: reports go to the supervisor, orders come from it.
//!
//! A report is sent when all threads of the process have given their counters, so it also says that
//! every loop turns. Nothing here waits. A report that finds no room is left out: the supervisor is
//! stopped, and a later one says the same. The end of the link is the end of the supervisor.
//!
//! While another server is taken over, a worker waits for the order to serve: until then it accepts
//! nothing, because its connections would be lost if the takeover failed.
//!
//! Neighbours: `workers` decides when to report and carries orders out, `report` has the messages,
//! `supervisor` is the other end.

use std::io::ErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::kernel::{Link, Socket, lines_dropped};
use crate::server::observe::counters::Counters;

pub(in crate::workers) use super::report::Order;
use super::report::{MESSAGE_SIZE_MAX, Message, Report};

/// The link of a worker process to its supervisor.
#[derive(Debug)]
pub struct Reporter {
    link: Link,
    alive: Option<Duration>,
    /// The worker waits for the order to serve.
    waits: bool,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    /// What came instead of the order to serve.
    kept: Option<OrderOrEnd>,
    /// Sockets that came with orders.
    sockets: Vec<Socket>,
}

/// What came from the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::workers) enum OrderOrEnd {
    Order(Order),
    /// The supervisor has ended.
    End,
}

impl Reporter {
    /// Reports over `link`, every `alive` even if nothing is asked.
    pub fn new(link: Link, alive: Option<Duration>) -> Reporter {
        Reporter {
            link,
            alive,
            waits: false,
            inbox: Mutex::default(),
        }
    }

    /// The worker waits for the order to serve.
    pub fn wait_first(mut self) -> Reporter {
        self.waits = true;
        self
    }

    /// Waits for the order to serve, if this worker has to. Returns `false` if it is to end
    /// instead: that order is taken next.
    pub(in crate::workers) fn wait_to_serve(&self) -> bool {
        if !self.waits {
            return true;
        }
        let mut asked = 0;
        loop {
            self.report(asked, Vec::new(), Counters::default());
            let told = match self.link.wait(self.alive) {
                Ok(()) => self.take(),
                Err(error) => {
                    log::error!("the link to the supervisor: {error}");
                    Some(OrderOrEnd::End)
                }
            };
            match told {
                None | Some(OrderOrEnd::Order(Order::Look)) => {}
                Some(OrderOrEnd::Order(Order::Count(number))) => asked = number,
                Some(OrderOrEnd::Order(Order::Serve)) => return true,
                Some(other) => {
                    self.inbox().kept = Some(other);
                    return false;
                }
            }
        }
    }

    /// The socket that came with the last order.
    pub(in crate::workers) fn take_socket(&self) -> Option<Socket> {
        self.inbox().sockets.pop()
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket, for the poller that is to be woken by orders.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Time between two reports; `None` for none but those that are asked for.
    pub(in crate::workers) fn alive(&self) -> Option<Duration> {
        self.alive
    }

    /// Reports the counters of all threads; `answers` is the number of the last order to count.
    pub(in crate::workers) fn report(&self, answers: u64, by_worker: Vec<u64>, counters: Counters) {
        self.send(Report {
            answers,
            by_worker,
            counters,
            lines_dropped: lines_dropped(),
            ..Report::default()
        });
    }

    /// Reports that the drain is over.
    pub(in crate::workers) fn report_drained(
        &self,
        cut: u64,
        by_worker: Vec<u64>,
        counters: Counters,
    ) {
        self.send(Report {
            has_drained: true,
            cut,
            by_worker,
            counters,
            lines_dropped: lines_dropped(),
            ..Report::default()
        });
    }

    fn send(&self, report: Report) {
        if let Err(error) = self
            .link
            .send(&Message::Report(Box::new(report)).to_bytes())
        {
            log::debug!("a report to the supervisor is left out: {error}");
        }
    }

    /// A signal has told this process to end; the supervisor says which drain. Returns `false`
    /// if the supervisor reads nothing: it cannot be asked.
    pub(in crate::workers) fn tell(&self, signal: i32) -> bool {
        self.link.send(&Message::Told(signal).to_bytes()).is_ok()
    }

    /// The next order, if there is one.
    pub(in crate::workers) fn take(&self) -> Option<OrderOrEnd> {
        let mut space = [0; MESSAGE_SIZE_MAX];
        let mut inbox = self.inbox();
        if let Some(kept) = inbox.kept.take() {
            return Some(kept);
        }
        loop {
            return match self.link.receive_with(&mut space, &mut inbox.sockets) {
                Ok(0) => Some(OrderOrEnd::End),
                Ok(size) => match Order::from_bytes(&space[..size]) {
                    Some(order) => Some(OrderOrEnd::Order(order)),
                    None => continue,
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                // A socket could not be received, for want of descriptors: the order stands.
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    match Order::from_bytes(&space) {
                        Some(order) => Some(OrderOrEnd::Order(order)),
                        None => continue,
                    }
                }
                Err(_) => Some(OrderOrEnd::End),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_worker_that_waits_serves_with_the_socket_of_the_order_or_takes_another_order_next()
    -> io::Result<()> {
        for last in [Order::Serve, Order::Drain] {
            let (supervisor, link) = Link::pair()?;
            let reporter = Reporter::new(link, Some(Duration::from_millis(1))).wait_first();
            supervisor.send(&Order::Look.to_bytes())?;
            supervisor.send(&Order::Count(7).to_bytes())?;
            let waits = std::thread::spawn(move || (reporter.wait_to_serve(), reporter));
            let mut space = [0; MESSAGE_SIZE_MAX];
            // It reports that it is alive, and answers.
            loop {
                supervisor.wait(None)?;
                let size = supervisor.receive(&mut space)?;
                match Message::from_bytes(&space[..size]) {
                    Some(Message::Report(report)) if report.answers == 7 => break,
                    Some(Message::Report(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            let (near, _far) = std::os::unix::net::UnixStream::pair()?;
            let near = Socket::from(std::os::fd::OwnedFd::from(near));
            supervisor.send_with(&last.to_bytes(), &[&near])?;
            let (serves, reporter) = waits.join().expect("no panic");
            assert_eq!(serves, last == Order::Serve);
            assert_eq!(
                reporter.take(),
                (!serves).then_some(OrderOrEnd::Order(last))
            );
            assert!(reporter.take_socket().is_some() && reporter.take_socket().is_none());
        }
        let (_supervisor, link) = Link::pair()?;
        assert!(Reporter::new(link, None).wait_to_serve());
        Ok(())
    }

    #[test]
    fn orders_are_taken_in_turn_and_then_the_end_of_the_supervisor() -> io::Result<()> {
        let (supervisor, link) = Link::pair()?;
        let reporter = Reporter::new(link, None);
        assert_eq!(reporter.take(), None);
        for order in [Order::Look, Order::Count(3)] {
            supervisor.send(&order.to_bytes())?;
        }
        supervisor.send(b"no order")?;
        drop(supervisor);
        assert_eq!(reporter.take(), Some(OrderOrEnd::Order(Order::Look)));
        assert_eq!(reporter.take(), Some(OrderOrEnd::Order(Order::Count(3))));
        assert_eq!(reporter.take(), Some(OrderOrEnd::End));
        // A report without a reader is no error.
        reporter.report(1, vec![0], Counters::default());
        Ok(())
    }
}
