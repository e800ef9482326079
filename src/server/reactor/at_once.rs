//! The two phases of the fast path where the kernel makes many calls at once (`--submit ring`).
//!
//! ```text
//!   events -> tokens -> one batch of receives -> answers in place -> one batch of sends
//!   space:  | room 0 | room 1 | room 2 | ...      each receive has a room of its own
//! ```
//!
//! What a receive finds is known only after all were made, so each has an equal part of the space
//! and the answers do not lie one behind the other. A connection whose bytes fill its room goes on
//! with a workspace of its own, on the slow path. When that happens to many, the rooms are too
//! small for what the peers send, and the next batches are made one call at a time, which has the
//! whole space for each receive. A batch too small to gain anything is made so too.
//!
//! Invariants: those of `reactor`; in addition no connection is in a batch twice, because it is
//! marked as staged when it is listed. Neighbours: `reactor`, whose types these are; `kernel`,
//! which has the batches.

use crate::kernel::{Outcome, Poller, Sockets, Token};
use crate::protocol::service::Service;

use super::{Exception, FastOutcome, Reactor, is_fast};

/// How many batches are made one call at a time after one in which many rooms were too small: a
/// batch that was made at once in vain costs less than one of them.
const BATCHES_APART: u32 = 256;

/// A cache line. Rooms whose size is an odd number of them begin in different sets of the
/// first-level cache: at multiples of a page, all small messages would share a few.
const LINE: usize = 64;

/// The batch that is under way. Its lists have their final size.
pub(super) struct AtOnce {
    /// Calls that the kernel makes at once; 0 if it makes each alone.
    calls_max: usize,
    /// Fewer calls than that are made one at a time.
    calls_min: usize,
    /// Batches that are still to be made one call at a time.
    apart: u32,
    /// The connections of a batch of receives.
    tokens: Vec<Token>,
    /// Answers that are sent next.
    staged: Vec<Answer>,
    results: Vec<Outcome>,
}

/// An answer, and where it lies in the workspace.
#[derive(Clone, Copy)]
struct Answer {
    token: Token,
    start: usize,
    size: usize,
}

impl AtOnce {
    /// For the batches that `kernel` makes at once.
    pub(super) fn new(kernel: &impl Sockets) -> AtOnce {
        let calls_max = kernel.batch_max();
        AtOnce {
            calls_max,
            calls_min: kernel.batch_min().max(2),
            apart: 0,
            tokens: Vec::with_capacity(calls_max),
            staged: Vec::with_capacity(calls_max),
            results: Vec::with_capacity(calls_max),
        }
    }

    /// Whether batches are made at once.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.calls_max > 0
    }

    /// Whether answers are to be sent.
    #[inline]
    pub(super) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// A batch took `enters` calls of io_uring_enter. Without one there is no ring any longer.
    #[inline]
    fn settle(&mut self, enters: usize) {
        if enters == 0 {
            self.calls_max = 0;
        }
    }

    /// Whether the next batch is one of those that are made one call at a time.
    fn takes_next_apart(&mut self) -> bool {
        let is_apart = self.apart > 0;
        self.apart -= u32::from(is_apart);
        is_apart
    }
}

/// The size of each of `count` equal rooms in `space` bytes.
fn room_size(space: usize, count: usize) -> usize {
    let lines = space / count / LINE;
    match lines {
        0 => space / count,
        // An odd number of lines.
        _ => ((lines - 1) | 1) * LINE,
    }
}

impl<K: Poller, S: Service> Reactor<K, S> {
    /// Reads and answers the connections of the events from `start` to `end`, as many as the kernel
    /// makes calls at once. Returns the place of the next event; `None` if this batch is to be made
    /// one call at a time.
    #[inline(never)]
    pub(super) fn receive_at_once(&mut self, start: usize, end: usize) -> Option<usize> {
        if end - start < self.at_once.calls_min {
            return None;
        }
        // As many workspaces must be free as connections may need one, beside the shared one.
        let free = self.slow.workspaces().free();
        let (_, space) = self.slow.fast()?;
        let rooms = free.saturating_sub(1).min(space.len());
        let calls_max = self.at_once.calls_max.min(rooms);
        if calls_max < self.at_once.calls_min || self.at_once.takes_next_apart() {
            return None;
        }
        let mut next = end;
        self.at_once.tokens.clear();
        for place in start..end {
            let event = self.events[place];
            let token = event.token();
            match self.links.get_mut(token) {
                Some(link) if is_fast(event, link, self.slow.pump()) => {
                    if self.at_once.tokens.len() == calls_max {
                        next = place;
                        break;
                    }
                    link.is_staged = true;
                    self.at_once.tokens.push(token);
                }
                _ => self.left.push(event),
            }
        }
        match self.at_once.tokens[..] {
            [] => {}
            [token] => self.answer_only(token),
            _ => self.receive_listed(),
        }
        Some(next)
    }

    /// The batch has one connection, which was listed.
    fn answer_only(&mut self, token: Token) {
        let (Some(link), Some((pump, space))) = (self.links.get_mut(token), self.slow.fast())
        else {
            return;
        };
        link.is_staged = false;
        let mut outcome = FastOutcome::Done;
        if let Some(count) = pump.receive_in_place(link, space, &mut outcome) {
            outcome = pump.send_in_place(link, &space[..count]);
        }
        if !matches!(outcome, FastOutcome::Done) {
            self.finish_alone(token, outcome);
        }
    }

    /// Receives from the listed connections and answers what they have sent.
    fn receive_listed(&mut self) {
        let AtOnce {
            tokens,
            staged,
            results,
            ..
        } = &mut self.at_once;
        let Some((pump, space)) = self.slow.fast() else {
            unreachable!("workspaces are free");
        };
        let size = room_size(space.len(), tokens.len());
        let links = &self.links;
        let sockets = tokens.iter().filter_map(|&token| links.get(token));
        let sockets = sockets.map(|link| &link.socket);
        let enters = pump.kernel.receive_batch(sockets, space, size, results);
        pump.counters.io_uring_enter += enters as u64;
        let mut full = 0;
        let mut outcome = FastOutcome::Done;
        let rooms = space.chunks_exact_mut(size);
        let mut start = 0;
        for ((&token, received), room) in tokens.iter().zip(&*results).zip(rooms) {
            let Some(link) = self.links.get_mut(token) else {
                unreachable!("no connection is released in a phase");
            };
            let result = received.result();
            full += usize::from(matches!(result, Ok(count) if count == size));
            match pump.received_in_place(link, room, result, &mut outcome) {
                Some(size) => staged.push(Answer { token, start, size }),
                None if matches!(outcome, FastOutcome::Done) => link.is_staged = false,
                None => {
                    let outcome = std::mem::replace(&mut outcome, FastOutcome::Done);
                    self.exceptions.push(Exception {
                        token,
                        outcome,
                        start,
                    });
                }
            }
            start += size;
        }
        if full > tokens.len() / 4 {
            self.at_once.apart = BATCHES_APART;
        }
        self.at_once.settle(enters);
    }

    /// Sends the staged answers. What the kernel does not take becomes an exception.
    #[inline(never)]
    pub(super) fn send_at_once(&mut self) {
        let AtOnce {
            staged,
            results,
            calls_min,
            ..
        } = &mut self.at_once;
        let Some((pump, space)) = self.slow.fast() else {
            unreachable!("the workspace of staged answers is free");
        };
        let space = &*space;
        let links = &self.links;
        let sends = staged.iter().filter_map(|answer| {
            let link = links.get(answer.token)?;
            Some((&link.socket, &space[answer.start..][..answer.size]))
        });
        if staged.len() < *calls_min {
            results.clear();
            let sent = sends.map(|(socket, bytes)| pump.kernel.write(socket, bytes));
            results.extend(sent.map(Outcome::from));
        } else {
            let enters = pump.kernel.send_batch(sends, results);
            pump.counters.io_uring_enter += enters as u64;
        }
        for (&Answer { token, start, size }, sent) in staged.iter().zip(&*results) {
            let Some(link) = self.links.get_mut(token) else {
                unreachable!("no connection is released while answers are staged");
            };
            link.is_staged = false;
            match pump.sent_in_place(link, &space[start..][..size], sent.result()) {
                FastOutcome::Done => {}
                outcome => self.exceptions.push(Exception {
                    token,
                    outcome,
                    start,
                }),
            }
        }
        staged.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_an_odd_number_of_lines_and_lie_inside_the_space() {
        for space in [2, 63, 64, 127, 128, 192, 4096, 65536, 524_288, 1_048_577] {
            for count in 2..=64 {
                if count > space {
                    continue;
                }
                let size = room_size(space, count);
                assert!(size > 0 && size * count <= space, "{space} {count} {size}");
                assert!(size < LINE || size / LINE % 2 == 1 && size % LINE == 0);
            }
        }
    }
}
