//! What a server and its conversations tell each other, in memory that threads and forked processes
//! share: the last order, the number of the newest service, what processes have dropped of the log,
//! and a page of counters per slot.
//!
//! A conversation writes its page before it sleeps, and no other does. The server may read a page
//! while it is written; a sum is then a few counts old in one place and not in another. Nothing
//! waits here. Neighbours: `conversation` writes, the drivers read.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::SharedWords;
use crate::server::observe::counters::Counters;

use super::Order;

/// Words before the first page.
const HEAD: usize = 4;
const ORDER: usize = 0;
const SERVICES: usize = 1;
const LINES_DROPPED: usize = 2;
const LINES_UNTOLD: usize = 3;

/// The shared memory of a driver.
#[derive(Debug)]
pub struct Ledger {
    words: SharedWords,
}

impl Ledger {
    /// Words of a page: the counters, and the number of connections cut.
    const PAGE: usize = Counters::WORDS + 1;

    /// Bytes of a page.
    pub const PAGE_SIZE: usize = Ledger::PAGE * size_of::<AtomicU64>();

    /// A ledger of `pages` pages.
    pub(super) fn new(pages: usize) -> io::Result<Ledger> {
        let words = SharedWords::new(HEAD + pages * Ledger::PAGE)?;
        Ok(Ledger { words })
    }

    /// The last order.
    #[inline]
    pub(super) fn order(&self) -> Order {
        match self.words[ORDER].load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            2 => Order::Finish,
            _ => Order::Cut,
        }
    }

    pub(super) fn give(&self, order: Order) {
        self.words[ORDER].store(order as u64, Ordering::Release);
    }

    /// How many services have replaced the first one.
    #[inline]
    pub(super) fn services(&self) -> u64 {
        self.words[SERVICES].load(Ordering::Acquire)
    }

    pub(super) fn add_service(&self) {
        self.words[SERVICES].fetch_add(1, Ordering::AcqRel);
    }

    /// A process has dropped so many more log lines, and leaves the notice of so many to the
    /// server.
    pub(super) fn add_lines_dropped(&self, dropped: u64, untold: u64) {
        self.words[LINES_DROPPED].fetch_add(dropped, Ordering::Relaxed);
        self.words[LINES_UNTOLD].fetch_add(untold, Ordering::Relaxed);
    }

    /// What was added since the last call.
    pub(super) fn take_lines_dropped(&self) -> (u64, u64) {
        let take = |word: usize| self.words[word].swap(0, Ordering::Relaxed);
        (take(LINES_DROPPED), take(LINES_UNTOLD))
    }

    fn page(&self, slot: u32) -> &[AtomicU64] {
        let start = HEAD + slot as usize * Ledger::PAGE;
        &self.words[start..start + Ledger::PAGE]
    }

    /// Writes the counters of a conversation.
    pub(super) fn write(&self, slot: u32, counters: &Counters, cut: u64) {
        let (cut_word, words) = self
            .page(slot)
            .split_last()
            .unwrap_or_else(|| unreachable!());
        counters.store(words);
        cut_word.store(cut, Ordering::Relaxed);
    }

    /// The counters of a conversation, and how many connections it has cut.
    pub(super) fn read(&self, slot: u32) -> (Counters, u64) {
        let (cut, words) = self
            .page(slot)
            .split_last()
            .unwrap_or_else(|| unreachable!());
        (Counters::load(words), cut.load(Ordering::Relaxed))
    }

    /// Clears a page for the next conversation.
    pub(super) fn clear(&self, slot: u32) {
        for word in self.page(slot) {
            word.store(0, Ordering::Relaxed);
        }
    }
}

/// What a driver keeps of conversations that have ended.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) counters: Counters,
    pub(super) cut: u64,
}

impl Past {
    /// Takes over the page of a conversation that has ended, and clears it.
    pub(super) fn take(&mut self, ledger: &Ledger, slot: u32) {
        let (mut counters, cut) = ledger.read(slot);
        // A process that was killed has not counted its end. What it owed is not known, so in a
        // drain it counts as cut; so does one that was killed before its first count.
        let is_lost = counters.connections_now > 0 || counters.connections_total == 0;
        self.cut += u64::from(is_lost && ledger.order() != Order::Serve);
        let lost = std::mem::take(&mut counters.connections_now);
        counters.close += lost;
        counters.closed[crate::protocol::connection::CloseReason::Failed as usize] += lost;
        counters.commands_now = 0;
        self.counters.add(&counters);
        self.cut += cut;
        ledger.clear(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_the_counters_and_no_other_page() -> io::Result<()> {
        let ledger = Ledger::new(3)?;
        let mut counters = Counters {
            connections_total: 3,
            connections_now: 1,
            ..Counters::default()
        };
        counters.closed[2] = 9;
        ledger.write(1, &counters, 4);
        assert_eq!(ledger.read(1), (counters, 4));
        for other in [0, 2] {
            assert_eq!(ledger.read(other), (Counters::default(), 0));
        }
        Ok(())
    }

    #[test]
    fn a_conversation_that_did_not_count_its_end_is_counted_as_failed() -> io::Result<()> {
        let ledger = Ledger::new(1)?;
        let counters = Counters {
            connections_total: 1,
            connections_now: 1,
            ..Counters::default()
        };
        ledger.write(0, &counters, 0);
        let mut past = Past::default();
        past.take(&ledger, 0);
        assert_eq!(past.counters.connections_now, 0);
        assert_eq!(past.counters.close, 1);
        assert_eq!(past.counters.closed.iter().sum::<u64>(), 1);
        assert_eq!(ledger.read(0), (Counters::default(), 0));
        assert_eq!(past.cut, 0);
        Ok(())
    }

    #[test]
    fn a_conversation_that_did_not_count_its_end_in_a_drain_is_cut() -> io::Result<()> {
        let ledger = Ledger::new(1)?;
        let ended = Counters {
            connections_total: 1,
            ..Counters::default()
        };
        let open = Counters {
            connections_now: 1,
            ..ended.clone()
        };
        for (counters, cut, expected) in [
            (ended.clone(), 0, 0),
            (ended, 1, 1),
            (open, 0, 1),
            (Counters::default(), 0, 1),
        ] {
            let mut past = Past::default();
            ledger.write(0, &counters, cut);
            ledger.give(Order::Drain);
            past.take(&ledger, 0);
            assert_eq!(past.cut, expected, "{counters:?}");
        }
        Ok(())
    }

    #[test]
    fn dropped_lines_are_taken_once() -> io::Result<()> {
        let ledger = Ledger::new(1)?;
        ledger.add_lines_dropped(3, 0);
        ledger.add_lines_dropped(2, 1);
        assert_eq!(ledger.take_lines_dropped(), (5, 1));
        assert_eq!(ledger.take_lines_dropped(), (0, 0));
        Ok(())
    }

    #[test]
    fn the_last_order_holds() -> io::Result<()> {
        let ledger = Ledger::new(1)?;
        for order in [Order::Serve, Order::Drain, Order::Finish, Order::Cut] {
            ledger.give(order);
            assert_eq!(ledger.order(), order);
        }
        Ok(())
    }
}
