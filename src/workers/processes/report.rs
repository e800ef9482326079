//! The messages between a supervisor and a worker process.
//!
//! ```text
//!   order   | what | number | and perhaps a socket                     supervisor -> worker
//!   report  | 0 or 1: drained | answers | cut | lines dropped |       worker -> supervisor
//!           | threads | connections of each ... | counters ... |
//!   told    | 2 | signal |                                            worker -> supervisor
//! ```
//!
//! Both are 64-bit numbers in the order of this machine: both processes run the same program, one
//! being a copy of the other. A link keeps the boundaries of messages. A message that is none of
//! these is ignored, as `None`. Neighbours: `kernel::Link` carries them, `reporter` and
//! `supervisor` are the two ends.

use crate::limits::THREADS_MAX;
use crate::server::observe::counters::Counters;
use crate::workers::takeover::Terms;

/// Bytes that hold any message.
pub(in crate::workers) const MESSAGE_SIZE_MAX: usize = 4096;

/// What the supervisor asks a worker for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::workers) enum Order {
    /// All workers drain: what waits in the queues of the listeners is served too.
    Drain,
    /// This worker drains alone: what waits is served by the others.
    Leave,
    /// End at once, because of this signal.
    Stop(i32),
    /// Report the counters; the report repeats this number.
    Count(u64),
    /// Look at the listeners: a worker that was told of a connection may have died with it.
    Look,
    /// Serve: what this worker has waited for is done. Connections come over the socket that is
    /// beside the message, if there is one.
    Serve,
    /// Leave the listeners to another server, and pass the connections on over the socket that is
    /// beside the message.
    HandOver(Terms),
}

impl Order {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (what, number) = match self {
            Order::Drain => (1, 0),
            Order::Stop(signal) => (2, signal as u64),
            Order::Count(number) => (3, number),
            Order::Look => (4, 0),
            Order::Leave => (5, 0),
            Order::Serve => (6, 0),
            Order::HandOver(Terms { room, batch }) => {
                (7, u64::from(room) << u8::BITS | u64::from(batch))
            }
        };
        [what, number]
            .iter()
            .flat_map(|it| it.to_ne_bytes())
            .collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Order> {
        let mut numbers = numbers(bytes);
        let (what, number) = (numbers.next()?, numbers.next()?);
        match what {
            1 => Some(Order::Drain),
            2 => Some(Order::Stop(number as i32)),
            3 => Some(Order::Count(number)),
            4 => Some(Order::Look),
            5 => Some(Order::Leave),
            6 => Some(Order::Serve),
            7 => Some(Order::HandOver(Terms {
                room: (number >> u8::BITS) as u32,
                batch: number as u8,
            })),
            _ => None,
        }
    }
}

/// What a worker tells its supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Report(Box<Report>),
    /// This signal has told the worker to end. The supervisor may have got it too, and says
    /// which workers drain.
    Told(i32),
}

/// What follows in place of the state of a report.
const TOLD: u64 = 2;

impl Message {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Message::Report(report) => report.to_bytes(),
            Message::Told(signal) => {
                let numbers = [TOLD, *signal as u64];
                numbers.iter().flat_map(|it| it.to_ne_bytes()).collect()
            }
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Message> {
        let mut numbers = numbers(bytes);
        match numbers.next()? {
            TOLD => Some(Message::Told(numbers.next()? as i32)),
            _ => Report::from_bytes(bytes).map(|report| Message::Report(Box::new(report))),
        }
    }
}

/// The counters of a worker, and a sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// The worker has drained, and ends.
    pub(super) has_drained: bool,
    /// The number of the last [`Order::Count`] that was there when the counting began.
    pub(super) answers: u64,
    /// Connections that its drain has cut.
    pub(super) cut: u64,
    /// Lines that found no room.
    pub(super) lines_dropped: u64,
    /// Connections accepted by each of its threads.
    pub(super) by_worker: Vec<u64>,
    /// The counters of all its threads, added up.
    pub(super) counters: Counters,
}

impl Report {
    fn to_bytes(&self) -> Vec<u8> {
        let front = [
            u64::from(self.has_drained),
            self.answers,
            self.cut,
            self.lines_dropped,
            self.by_worker.len() as u64,
        ];
        let front = front.iter().chain(&self.by_worker);
        let mut bytes: Vec<u8> = front.flat_map(|it| it.to_ne_bytes()).collect();
        (self.counters).numbers(&mut |number| bytes.extend(number.to_ne_bytes()));
        debug_assert!(bytes.len() <= MESSAGE_SIZE_MAX);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Report> {
        let mut numbers = numbers(bytes);
        Some(Report {
            has_drained: numbers.next()? != 0,
            answers: numbers.next()?,
            cut: numbers.next()?,
            lines_dropped: numbers.next()?,
            by_worker: {
                let threads = numbers.next()?;
                let threads = usize::try_from(threads).map_or(0, |count| count.min(THREADS_MAX));
                numbers.by_ref().take(threads).collect()
            },
            counters: Counters::from_numbers(numbers),
        })
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let whole = bytes.chunks_exact(size_of::<u64>());
    whole.map(|part| part.try_into().map_or(0, u64::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        for order in [
            Order::Drain,
            Order::Stop(15),
            Order::Count(u64::MAX),
            Order::Look,
            Order::Leave,
            Order::Serve,
            Order::HandOver(Terms {
                room: u32::MAX,
                batch: u8::MAX,
            }),
        ] {
            assert_eq!(Order::from_bytes(&order.to_bytes()), Some(order));
        }
    }

    #[test]
    fn a_report_arrives_as_it_was_sent_and_fits() {
        let report = Report {
            has_drained: true,
            answers: 7,
            cut: 3,
            lines_dropped: 9,
            by_worker: vec![5; THREADS_MAX],
            counters: Counters {
                connections_now: 5,
                refused_requests: 8,
                ..Counters::default()
            },
        };
        let bytes = report.to_bytes();
        assert!(bytes.len() <= MESSAGE_SIZE_MAX, "{}", bytes.len());
        for message in [Message::Report(Box::new(report)), Message::Told(15)] {
            let bytes = message.to_bytes();
            assert_eq!(Message::from_bytes(&bytes), Some(message));
        }
    }

    #[test]
    fn a_message_that_is_none_is_ignored() {
        for size in [0, 1, 8, 15] {
            assert_eq!(Order::from_bytes(&vec![1; size]), None, "{size}");
        }
        for size in [0, 1, 39] {
            assert_eq!(Message::from_bytes(&vec![0; size]), None, "{size}");
        }
        assert_eq!(Message::from_bytes(&TOLD.to_ne_bytes()), None);
        assert_eq!(Order::from_bytes(&[0; 16]), None);
    }
}
