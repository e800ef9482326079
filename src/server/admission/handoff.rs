//! One worker accepts, and hands connections to the workers in turn.
//!
//! ```text
//!   listener --> first worker --+--> a slot of its own
//!                               +--> inbox of worker 1 --> a slot of worker 1
//!                               +--> inbox of worker 2 --> a slot of worker 2
//! ```
//!
//! The turn goes round over all workers, the first one included. A worker without a free slot is
//! skipped, and so is one whose inbox is full. When no worker has room the first one pauses its
//! listeners, and the next worker with room wakes it.
//!
//! Invariant: the connections of a worker and of its inbox are never more than its slots. Only the
//! first worker adds to that number, before it hands a connection over, and only the other worker
//! takes from it, after it has released one. So room that the first worker has seen stays. A closed
//! inbox takes no more, and what it holds is still served, by another worker if this one has
//! failed: no connection is lost between two workers. Neighbour: `acceptor`, which owns a `Member`.
//! See eventfd(2).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::HANDOFF_QUEUE_MAX;

/// Wakes a worker out of its wait, from any thread.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// What the workers of one server share to hand connections over.
pub struct Handoff<Socket> {
    seats: Vec<Seat<Socket>>,
    /// The first worker has paused until another one has room.
    is_awaited: AtomicBool,
}

/// The place of one worker.
struct Seat<Socket> {
    slots: usize,
    /// Connections of the worker and of its inbox.
    taken: AtomicUsize,
    /// The inbox takes no more. Written only under the lock of the inbox.
    is_closed: AtomicBool,
    inbox: Mutex<VecDeque<Socket>>,
    wake: Wake,
}

impl<Socket> Handoff<Socket> {
    /// For these workers, by the number of their slots. The first one accepts.
    pub fn new(workers: impl IntoIterator<Item = (usize, Wake)>) -> Arc<Handoff<Socket>> {
        let seat = |(slots, wake): (usize, Wake)| Seat {
            slots,
            taken: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            inbox: Mutex::new(VecDeque::with_capacity(slots.min(HANDOFF_QUEUE_MAX))),
            wake,
        };
        Arc::new(Handoff {
            seats: workers.into_iter().map(seat).collect(),
            is_awaited: AtomicBool::new(false),
        })
    }

    /// Connections that are on their way from one worker to another.
    pub fn in_transit(&self) -> usize {
        self.seats.iter().map(|seat| seat.lock().len()).sum()
    }
}

impl<Socket> Seat<Socket> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Socket>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`Seat::offer`] would take a connection.
    fn has_room(&self) -> bool {
        // SeqCst: the other worker gives room back before it looks at `is_awaited`, which the first
        // worker sets before it looks here. One of the two sees what the other has written.
        let taken = self.taken.load(Ordering::SeqCst);
        taken < self.slots
            && !self.is_closed.load(Ordering::SeqCst)
            && self.lock().len() < HANDOFF_QUEUE_MAX
    }

    /// Puts a connection into the inbox, or returns it.
    fn offer(&self, socket: Socket) -> Result<(), Socket> {
        if !self.has_room() {
            return Err(socket);
        }
        let mut inbox = self.lock();
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(socket);
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
        inbox.push_back(socket);
        let is_first = inbox.len() == 1;
        drop(inbox);
        // With more than one in the inbox a wake-up is pending.
        if is_first {
            (self.wake)();
        }
        Ok(())
    }

    fn close(&self) {
        let inbox = self.lock();
        self.is_closed.store(true, Ordering::SeqCst);
        drop(inbox);
    }
}

/// The part of one worker in a [`Handoff`].
pub(in crate::server) struct Member<Socket> {
    handoff: Arc<Handoff<Socket>>,
    place: usize,
    /// Whose turn it is.
    next: usize,
    /// Connections that were taken out of the inbox, and how many of them have been given back as
    /// room.
    taken_out: usize,
    given_back: usize,
}

/// Where a connection went.
pub(in crate::server) enum Dealt<Socket> {
    /// To another worker.
    Away,
    /// To this worker.
    Here(Socket),
    /// Nowhere: no worker has room.
    Nowhere(Socket),
}

impl<Socket> Member<Socket> {
    /// The part of the worker at `place`.
    pub(in crate::server) fn new(handoff: Arc<Handoff<Socket>>, place: usize) -> Member<Socket> {
        Member {
            handoff,
            place,
            next: 0,
            taken_out: 0,
            given_back: 0,
        }
    }

    /// Whether this worker accepts for all.
    pub(in crate::server) fn is_first(&self) -> bool {
        self.place == 0
    }

    /// Gives a connection to the worker whose turn it is.
    pub(in crate::server) fn deal(&mut self, mut socket: Socket, has_room: bool) -> Dealt<Socket> {
        let count = self.handoff.seats.len();
        for place in (0..count).map(|step| (self.next + step) % count) {
            if place == self.place {
                if has_room {
                    self.next = (place + 1) % count;
                    return Dealt::Here(socket);
                }
                continue;
            }
            match self.handoff.seats[place].offer(socket) {
                Ok(()) => {
                    self.next = (place + 1) % count;
                    return Dealt::Away;
                }
                Err(refused) => socket = refused,
            }
        }
        Dealt::Nowhere(socket)
    }

    /// Whether another worker would take a connection.
    pub(in crate::server) fn others_have_room(&self) -> bool {
        let seats = self.handoff.seats.iter().enumerate();
        seats
            .filter(|(place, _)| *place != self.place)
            .any(|(_, seat)| seat.has_room())
    }

    /// From now on the next worker that has room wakes this one.
    pub(in crate::server) fn await_room(&self, on: bool) {
        self.handoff.is_awaited.store(on, Ordering::SeqCst);
    }

    /// The next connection in the inbox.
    pub(in crate::server) fn take(&mut self) -> Option<Socket> {
        let seat = self.handoff.seats.get(self.place)?;
        let mut inbox = seat.lock();
        let was_full = inbox.len() == HANDOFF_QUEUE_MAX;
        let socket = inbox.pop_front()?;
        drop(inbox);
        self.taken_out += 1;
        if was_full {
            self.wake_first();
        }
        Some(socket)
    }

    /// Wakes this worker again if there is more in its inbox.
    pub(in crate::server) fn take_later_if_any(&self) {
        if let Some(seat) = self.handoff.seats.get(self.place) {
            if !seat.lock().is_empty() {
                (seat.wake)();
            }
        }
    }

    /// This worker has `connections` now: the rest of what it took is room again.
    pub(in crate::server) fn give_back(&mut self, connections: usize) {
        if self.is_first() {
            return;
        }
        let released = self.taken_out.saturating_sub(connections);
        let more = released.saturating_sub(self.given_back);
        self.given_back += more;
        if let (1.., Some(seat)) = (more, self.handoff.seats.get(self.place)) {
            seat.taken.fetch_sub(more, Ordering::SeqCst);
            self.wake_first();
        }
    }

    /// Wakes the first worker if it waits for room.
    fn wake_first(&self) {
        if self.handoff.is_awaited.swap(false, Ordering::SeqCst) {
            (self.handoff.seats[0].wake)();
        }
    }

    /// This worker has failed and takes no more. Returns what was handed to it and not taken.
    #[cold]
    pub(in crate::server) fn abandon(&self) -> VecDeque<Socket> {
        self.close();
        match self.handoff.seats.get(self.place) {
            Some(seat) => std::mem::take(&mut *seat.lock()),
            None => VecDeque::new(),
        }
    }

    /// This worker takes no more.
    pub(in crate::server) fn close(&self) {
        if let Some(seat) = self.handoff.seats.get(self.place) {
            seat.close();
        }
    }

    /// The first worker hands nothing over any more.
    pub(in crate::server) fn finish(&self) {
        for seat in &self.handoff.seats[1..] {
            seat.close();
            (seat.wake)();
        }
    }

    /// Whether nothing comes to this worker any more.
    pub(in crate::server) fn is_finished(&self) -> bool {
        let Some(seat) = self.handoff.seats.get(self.place) else {
            return true;
        };
        let inbox = seat.lock();
        self.is_first() || (seat.is_closed.load(Ordering::SeqCst) && inbox.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members by the number of their slots, and how often each was woken.
    fn members(slots: &[usize]) -> (Vec<Member<u32>>, Arc<Vec<AtomicUsize>>) {
        let woken: Arc<Vec<AtomicUsize>> = Arc::new(slots.iter().map(|_| 0.into()).collect());
        let wake = |place: usize| {
            let woken = Arc::clone(&woken);
            Box::new(move || _ = woken[place].fetch_add(1, Ordering::SeqCst)) as Wake
        };
        let workers = slots.iter().enumerate();
        let handoff = Handoff::new(workers.map(|(place, slots)| (*slots, wake(place))));
        let member = |place| Member::new(Arc::clone(&handoff), place);
        let members = (0..slots.len()).map(member).collect();
        (members, woken)
    }

    /// Where each of `sockets` went: here, away, or nowhere.
    fn deal(first: &mut Member<u32>, sockets: std::ops::Range<u32>, has_room: bool) -> String {
        let dealt = sockets.map(|socket| match first.deal(socket, has_room) {
            Dealt::Here(same) => {
                assert_eq!(same, socket);
                'h'
            }
            Dealt::Away => 'a',
            Dealt::Nowhere(_) => 'n',
        });
        dealt.collect()
    }

    fn take_all(member: &mut Member<u32>) -> Vec<u32> {
        std::iter::from_fn(|| member.take()).collect()
    }

    fn count(woken: &[AtomicUsize], place: usize) -> usize {
        woken[place].load(Ordering::SeqCst)
    }

    #[test]
    fn connections_go_to_all_workers_in_turn_and_a_batch_wakes_each_once() {
        let (mut members, woken) = members(&[9, 9, 9]);
        assert_eq!(deal(&mut members[0], 0..7, true), "haahaah");
        assert_eq!(take_all(&mut members[1]), [1, 4]);
        assert_eq!(take_all(&mut members[2]), [2, 5]);
        assert_eq!([0, 1, 2].map(|place| count(&woken, place)), [0, 1, 1]);
    }

    #[test]
    fn a_full_worker_is_skipped_until_it_has_released_a_connection() {
        let (mut members, woken) = members(&[9, 1]);
        assert_eq!(deal(&mut members[0], 0..4, true), "hahh");
        assert!(!members[0].others_have_room());
        assert_eq!(take_all(&mut members[1]), [1]);
        members[1].give_back(1);
        assert_eq!(deal(&mut members[0], 4..6, true), "hh");
        members[1].give_back(0);
        assert_eq!(deal(&mut members[0], 6..8, true), "ah");
        assert_eq!(count(&woken, 1), 2);
    }

    #[test]
    fn room_wakes_the_first_worker_once_and_only_if_it_waits() {
        let (mut members, woken) = members(&[1, 3]);
        assert_eq!(deal(&mut members[0], 0..4, false), "aaan");
        take_all(&mut members[1]);
        members[1].give_back(2);
        assert_eq!(count(&woken, 0), 0);
        members[0].await_room(true);
        members[1].give_back(2);
        assert_eq!(count(&woken, 0), 0, "there is no more room than before");
        members[1].give_back(1);
        members[1].give_back(0);
        assert_eq!(count(&woken, 0), 1);
    }

    #[test]
    fn an_inbox_takes_as_many_as_its_bound_and_no_more() {
        let slots = 2 * HANDOFF_QUEUE_MAX;
        let (mut members, woken) = members(&[0, slots]);
        let bound = HANDOFF_QUEUE_MAX as u32;
        assert!(!deal(&mut members[0], 0..bound, false).contains('n'));
        assert_eq!(deal(&mut members[0], bound..bound + 1, false), "n");
        members[0].await_room(true);
        assert_eq!(members[1].take(), Some(0));
        assert_eq!(count(&woken, 0), 1);
        assert_eq!(deal(&mut members[0], bound..bound + 2, false), "an");
    }

    #[test]
    fn an_abandoned_inbox_gives_back_what_it_has_and_takes_nothing() {
        let (mut members, _) = members(&[0, 9, 9]);
        assert_eq!(deal(&mut members[0], 0..4, false), "aaaa");
        assert_eq!(members[1].abandon(), [0, 2]);
        assert_eq!(deal(&mut members[0], 4..6, false), "aa");
        assert_eq!(take_all(&mut members[2]), [1, 3, 4, 5]);
        assert!(members[1].is_finished());
    }

    #[test]
    fn a_closed_inbox_takes_nothing_and_keeps_what_it_has() {
        let (mut members, _) = members(&[0, 9]);
        assert_eq!(deal(&mut members[0], 0..2, false), "aa");
        members[0].finish();
        assert_eq!(deal(&mut members[0], 2..3, false), "n");
        assert!(!members[1].is_finished());
        assert_eq!(take_all(&mut members[1]), [0, 1]);
        assert!(members[1].is_finished() && members[0].is_finished());
    }
}
