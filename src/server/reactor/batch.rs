//! The two phases of a batch: first the loop reads all ready connections and answers in place, then
//! it sends all the answers.
//!
//! In the kernel, receiving and sending are different code and different data, each larger than the
//! level-1 cache. To do one of them for many connections in a row costs 2 to 3 % less than to do
//! both for each connection. This is the fast path in two halves. The connections at rest share one
//! workspace, in which their answers lie one behind the other.
//!
//! Invariants: no connection is released between the phases. No answer is left between two calls.
//! For every answer there is a free workspace beside the shared one, so that bytes which the kernel
//! does not take can be kept.

use std::ops::Range;

use crate::kernel::{Opener, Readiness, Spawner, Token};
use crate::limits::{ANSWERS_PER_PHASE, ANSWERS_SIZE_PER_PHASE};
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::pool::Lease;
use crate::server::pump::FastOutcome;
use crate::server::waiting::Waiting;

/// An answer, and where in the workspace it lies.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Answer {
    token: Token,
    start: u32,
    end: u32,
}

/// A connection that left the fast path, and where in the workspace its bytes begin.
struct Exception {
    token: Token,
    outcome: FastOutcome,
    start: usize,
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Handles the leading events in `places` that take the fast path, in two phases. Returns the
    /// place behind them.
    #[inline(never)]
    pub(in crate::server) fn run_batch(&mut self, places: Range<usize>) -> usize {
        let count_max = ANSWERS_PER_PHASE.min(self.workspaces.free().saturating_sub(1));
        if !self.fast_path_open || count_max == 0 {
            return places.start;
        }
        let Some(lease) = self.workspaces.acquire() else {
            return places.start;
        };
        let mut place = places.start;
        let parted = self.receive_batch(&mut place, places.end, count_max, &lease);
        self.send_batch(&lease);
        match parted {
            None => self.workspaces.release_workspace(lease),
            Some(Exception {
                token,
                outcome,
                start,
            }) => match outcome {
                FastOutcome::Remaining(at, possible) => {
                    let read = start..start + at.filled();
                    self.workspaces.space(&lease).copy_within(read, 0);
                    self.continue_with(token, lease, at, possible);
                }
                outcome => {
                    self.workspaces.release_workspace(lease);
                    self.leave_fast_path(token, outcome);
                }
            },
        }
        place
    }

    /// The first phase: reads and answers from `place` on, until there is enough to send, the next
    /// event does not fit the fast path, or a connection leaves the fast path.
    #[inline(always)]
    fn receive_batch(
        &mut self,
        place: &mut usize,
        place_end: usize,
        count_max: usize,
        lease: &Lease,
    ) -> Option<Exception> {
        let space = self.workspaces.space(lease);
        // Every read has at least half of the space.
        let end_max = ANSWERS_SIZE_PER_PHASE.min(space.len() / 2);
        let mut end = 0;
        for event in &self.events[*place..place_end] {
            let token = event.token();
            let peer = self.links.get_mut(token)?;
            let fast_path_open = event.readiness() == Readiness::IN
                && peer.is_idle()
                && peer.connection.is_in_place(&self.pump.protocol);
            if !fast_path_open || self.answers.len() >= count_max || end >= end_max {
                return None;
            }
            *place += 1;
            match self.pump.receive_in_place(peer, &mut space[end..]) {
                Ok(count) => {
                    peer.waiting = Waiting::Staged;
                    self.answers.push(Answer {
                        token,
                        start: end as u32,
                        end: (end + count) as u32,
                    });
                    end += count;
                }
                Err(outcome) => {
                    return Some(Exception {
                        token,
                        outcome,
                        start: end,
                    });
                }
            }
        }
        None
    }

    /// The second phase: sends all answers. Bytes that the kernel does not take are copied to a
    /// workspace of their own, because other answers still lie in the shared one.
    #[inline(always)]
    fn send_batch(&mut self, lease: &Lease) {
        let mut sent = 0;
        while let Some(Exception {
            token,
            outcome,
            start,
        }) = self.send_until_exception(&mut sent, lease)
        {
            match outcome {
                FastOutcome::Remaining(at, possible) => {
                    let read = start..start + at.filled();
                    let Some(copy) = self.workspaces.acquire_copy(lease, read) else {
                        unreachable!("every answer has a free workspace beside the shared one");
                    };
                    self.continue_with(token, copy, at, possible);
                }
                outcome => self.leave_fast_path(token, outcome),
            }
        }
        self.answers.clear();
    }

    /// Sends all but the first `sent` answers, until the kernel does not take one.
    #[inline(always)]
    fn send_until_exception(&mut self, sent: &mut usize, lease: &Lease) -> Option<Exception> {
        let space = self.workspaces.space(lease);
        for &Answer { token, start, end } in &self.answers[*sent..] {
            *sent += 1;
            let (start, end) = (start as usize, end as usize);
            let Some(peer) = self.links.get_mut(token) else {
                unreachable!("no connection is released between the phases");
            };
            peer.waiting = Waiting::for_request(self.pump.now);
            match self.pump.send_in_place(peer, &space[start..end]) {
                FastOutcome::Done => {}
                outcome => {
                    return Some(Exception {
                        token,
                        outcome,
                        start,
                    });
                }
            }
        }
        None
    }
}
