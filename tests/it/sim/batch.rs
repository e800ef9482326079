//! Batches of calls: one call after the other, or all at once as a submission ring makes them.
//!
//! At once, every receive of a round gets an equal part of the space, and all results exist before
//! the first one is handled. Invariant: without `Config::batches_at_once` the calls are those of
//! the defaults in `mynah::kernel`, one by one. io_uring(7).

use std::io;

use mynah::kernel::{ReceiveBatch, SendBatch, Sockets};

use super::Sim;
use super::table::Socket;

/// Calls made at once: the entries of the ring.
const AT_ONCE_MAX: usize = 32;

impl Sim {
    #[inline(always)]
    pub(super) fn receive_all_of(
        &mut self,
        space: &mut [u8],
        enough: usize,
        batch: &mut impl ReceiveBatch<Socket>,
    ) {
        if self.config.batches_at_once {
            return self.receive_at_once(space, enough, batch);
        }
        let mut start = 0;
        while start < enough {
            let read = |socket: &Socket, room: &mut [u8]| self.read(socket, room);
            match batch.receive(start, &mut space[start..], read) {
                Some(kept) => start += kept,
                None => break,
            }
        }
    }

    fn receive_at_once(
        &mut self,
        space: &mut [u8],
        enough: usize,
        batch: &mut impl ReceiveBatch<Socket>,
    ) {
        let mut start = 0;
        while start < enough {
            let pending = |&ahead: &usize| batch.pending(ahead).is_some();
            let count = (0..AT_ONCE_MAX).take_while(pending).count();
            if count == 0 {
                return;
            }
            let size = ((space.len() - start) / count).max(1);
            let mut results = Vec::new();
            for (ahead, room) in space[start..].chunks_mut(size).take(count).enumerate() {
                let socket = batch.pending(ahead).expect("it was pending");
                results.push(self.read(socket, room));
            }
            for result in results {
                let mut result = Some(result);
                let made = |_: &Socket, _: &mut [u8]| result.take().expect("one call each");
                let end = (start + size).min(space.len());
                let handled = batch.receive(start, &mut space[start..end], made);
                assert!(handled.is_some(), "a receive that was pending is handled");
                assert!(result.is_none(), "a receive is handled with its result");
                start = end;
            }
        }
    }

    #[inline(always)]
    pub(super) fn send_all_of(&mut self, batch: &mut impl SendBatch<Socket>) {
        if self.config.batches_at_once {
            return self.send_at_once(batch);
        }
        while batch.send(|socket, bytes| self.write(socket, bytes)) {}
    }

    fn send_at_once(&mut self, batch: &mut impl SendBatch<Socket>) {
        loop {
            let mut results: Vec<io::Result<usize>> = Vec::new();
            while let Some((socket, bytes)) = batch.pending(results.len()) {
                results.push(self.write(socket, bytes));
                if results.len() == AT_ONCE_MAX {
                    break;
                }
            }
            if results.is_empty() {
                return;
            }
            for result in results {
                let mut result = Some(result);
                let handled = batch.send(|_, _| result.take().expect("one call each"));
                assert!(handled, "a send that was pending is handled");
                assert!(result.is_none(), "a send is handled with its result");
            }
        }
    }
}
