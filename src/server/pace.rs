//! How fast connections may be, where options ask for it: rates of reading and of writing, and idle
//! time-outs of one direction.
//!
//! ```text
//!   before a read or a write    admit: how many bytes now, or when to try again
//!   after it                    moved: charge the bytes, give back what was not used
//! ```
//!
//! What a connection needs for this lies in a table beside the slots, which is there only with such
//! options; without them there is no `Pace`. A limit of one connection counts in that table. A
//! limit of all is a [`Bucket`] that the threads share: a connection that waits for it holds the
//! bytes of its turn, so those that wait are served in the order in which they asked. Each event is
//! granted one such turn. Neighbours: `pump` asks and reports, `waiting` has the time to go on.

use std::sync::Arc;
use std::time::Duration;

use crate::base::token_bucket::{Bucket, Rate};
use crate::kernel::Time;
use crate::protocol::connection::Idle;

/// The limits of one direction.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Of each connection.
    pub each: Option<Rate>,
    /// Of all connections together, over all threads.
    pub total: Option<Arc<Bucket>>,
}

/// The settings of this file. The default limits nothing.
#[derive(Clone, Debug, Default)]
pub struct Pacing {
    /// Bytes that are read.
    pub read: Limits,
    /// Bytes that are sent.
    pub write: Limits,
    /// Longest time in which nothing is read.
    pub idle_read: Option<Duration>,
    /// Longest time in which nothing is sent.
    pub idle_write: Option<Duration>,
}

/// One of the two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Read,
    Write,
}

/// The rates and the idle clocks of the connections of one driver.
#[derive(Debug)]
pub(super) struct Pace {
    sides: [Lane; 2],
    idle: [Option<Duration>; 2],
    /// By slot: when bytes last moved in each direction. Empty without such a time-out.
    moved_at: Box<[[Time; 2]]>,
    /// The connection that is served now.
    slot: usize,
    /// A drain is under way, in which no rate holds.
    is_lifted: bool,
}

/// The rates of one direction.
#[derive(Debug)]
struct Lane {
    limits: Limits,
    /// By slot. Empty without a limit.
    shares: Box<[Share]>,
}

/// What one connection has of a direction.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// The level of its own bucket.
    level: u64,
    /// Bytes of the total that it has asked for and not settled.
    held: u32,
    /// Bytes that it asks the total for at once.
    ask: u32,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_off(&self) -> bool {
        self.each.is_none() && self.total.is_none()
    }
}

impl Pacing {
    /// Whether nothing is limited.
    pub fn is_off(&self) -> bool {
        self.slot_size() == 0
    }

    /// Bytes of a connection, for the memory ceiling.
    pub fn slot_size(&self) -> usize {
        let lanes = [&self.read, &self.write].map(|limits| usize::from(!limits.is_off()));
        let is_timed = self.idle_read.is_some() || self.idle_write.is_some();
        (lanes[0] + lanes[1]) * size_of::<Share>() + usize::from(is_timed) * size_of::<[Time; 2]>()
    }
}

impl Pace {
    /// The table for connections in slots below `slots`; `None` if nothing is limited.
    pub(super) fn new(pacing: Pacing, slots: usize) -> Option<Box<Pace>> {
        if pacing.is_off() {
            return None;
        }
        let idle = [pacing.idle_read, pacing.idle_write];
        let timed = if idle == [None; 2] { 0 } else { slots };
        Some(Box::new(Pace {
            sides: [pacing.read, pacing.write].map(|limits| Lane {
                shares: vec![Share::default(); if limits.is_off() { 0 } else { slots }].into(),
                limits,
            }),
            moved_at: vec![[Time::default(); 2]; timed].into(),
            idle,
            slot: 0,
            is_lifted: false,
        }))
    }

    /// A drain begins: it reads what has arrived and sends what is owed as fast as it can.
    pub(super) fn lift(&mut self) {
        self.is_lifted = true;
    }

    /// A connection is there, in `slot`.
    pub(super) fn open(&mut self, slot: u32, now: Time) {
        let slot = slot as usize;
        for lane in &mut self.sides {
            if let Some(share) = lane.shares.get_mut(slot) {
                *share = Share::default();
            }
        }
        if let Some(at) = self.moved_at.get_mut(slot) {
            *at = [now; 2];
        }
    }

    /// The connection in `slot` is gone.
    pub(super) fn close(&mut self, slot: u32) {
        for lane in &mut self.sides {
            lane.give_back(slot as usize, 0);
        }
    }

    /// The connection in `slot` is served from here on.
    #[inline]
    pub(super) fn serve(&mut self, slot: u32) {
        self.slot = slot as usize;
    }

    /// How many of `size` bytes may move now.
    ///
    /// # Errors
    ///
    /// When to ask again: there are none yet.
    pub(super) fn admit(&mut self, side: Side, size: usize, now: Time) -> Result<usize, Time> {
        if self.is_lifted {
            return Ok(size);
        }
        self.sides[side as usize].admit(self.slot, side, size, now)
    }

    /// So many of the admitted bytes have moved.
    pub(super) fn moved(&mut self, side: Side, count: usize, now: Time) {
        self.sides[side as usize].settle(self.slot, count as u64, now);
        if let (Some(at), 1..) = (self.moved_at.get_mut(self.slot), count) {
            at[side as usize] = now;
            if side == Side::Write {
                // Nothing was read while the peer was owed bytes.
                at[Side::Read as usize] = now;
            }
        }
    }

    /// When the connection in `slot` was idle for too long in a direction, and which.
    /// With `reads` the server wants to read from it.
    pub(super) fn idle_until(&self, slot: u32, reads: bool) -> (Time, Idle) {
        let Some(&[read_at, write_at]) = self.moved_at.get(slot as usize) else {
            return (Time::NEVER, Idle::Both);
        };
        let after = |at: Time, span: Option<Duration>| span.map_or(Time::NEVER, |it| at.after(it));
        let write = after(write_at, self.idle[1]);
        match after(read_at, self.idle[0]) {
            read if reads && read <= write => (read, Idle::Read),
            _ => (write, Idle::Write),
        }
    }

    /// The server itself has kept the connection in `slot` from moving bytes for `span`.
    pub(super) fn put_off(&mut self, slot: u32, span: Duration) {
        if let Some(at) = self.moved_at.get_mut(slot as usize) {
            *at = at.map(|time| time.after(span));
        }
    }

    /// The same, up to now.
    pub(super) fn touch(&mut self, slot: u32, now: Time) {
        if let Some(at) = self.moved_at.get_mut(slot as usize) {
            *at = [now; 2];
        }
    }
}

impl Lane {
    fn admit(&mut self, slot: usize, side: Side, size: usize, now: Time) -> Result<usize, Time> {
        let Some(share) = self.shares.get_mut(slot) else {
            return Ok(size);
        };
        let mut admitted = size as u64;
        if let Some(each) = self.limits.each {
            let least = each.grant().min(admitted);
            let at = each.when(share.level, least, now);
            if at > now {
                return Err(at);
            }
            admitted = admitted.min(each.available(share.level, now));
        }
        if let Some(total) = &self.limits.total {
            if share.held == 0 {
                share.held = share.turn(side, admitted, total.rate());
                let at = total.reserve(u64::from(share.held), now);
                if at > now {
                    return Err(at);
                }
            }
            admitted = admitted.min(u64::from(share.held));
        }
        Ok(usize::try_from(admitted).unwrap_or(size))
    }

    fn settle(&mut self, slot: usize, count: u64, now: Time) {
        let Some(share) = self.shares.get_mut(slot) else {
            return;
        };
        if let Some(each) = self.limits.each {
            share.level = each.taken(share.level, count, now);
        }
        share.learn(count);
        self.give_back(slot, count);
    }

    /// Settles what the connection holds of the total, of which it has used `count` bytes.
    fn give_back(&mut self, slot: usize, count: u64) {
        let (Some(total), Some(share)) = (&self.limits.total, self.shares.get_mut(slot)) else {
            return;
        };
        let held = u64::from(std::mem::take(&mut share.held));
        match held.checked_sub(count) {
            Some(0) => {}
            Some(unused) => total.give_back(unused),
            None => {}
        }
    }
}

impl Share {
    /// Bytes of its next turn. A write says how many it has. A read finds out only then: it asks
    /// for as many as the last reads have shown, so that a peer that sends little does not keep
    /// the bytes of a whole turn from the others while it waits.
    fn turn(&self, side: Side, size: u64, rate: Rate) -> u32 {
        let grant = rate.grant();
        let ask = match side {
            Side::Read => u64::from(self.ask)
                .clamp(ASK_MIN.min(grant), grant)
                .min(size),
            Side::Write => grant.min(size),
        };
        u32::try_from(ask).unwrap_or(u32::MAX)
    }

    fn learn(&mut self, count: u64) {
        let held = self.held;
        if u64::from(held) == count {
            self.ask = held.saturating_mul(2);
        } else if u64::from(held / 2) > count {
            self.ask = held / 2;
        }
    }
}

/// The first turn of a connection. A small request fits, and four doublings lead to a turn of a
/// rate of 1 MiB a second.
const ASK_MIN: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_nanos(1_000_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn read_limit(each: Option<Rate>, total: Option<Rate>) -> Box<Pace> {
        let read = Limits {
            each,
            total: total.map(|rate| Arc::new(Bucket::new(rate))),
        };
        let pacing = Pacing {
            read,
            ..Pacing::default()
        };
        Pace::new(pacing, 3).expect("a limit")
    }

    #[test]
    fn without_options_there_is_no_table() {
        assert!(Pace::new(Pacing::default(), 9).is_none());
        assert_eq!(Pacing::default().slot_size(), 0);
        let timed = Pacing {
            idle_write: Some(SECOND),
            ..Pacing::default()
        };
        assert_eq!(timed.slot_size(), 16);
    }

    #[test]
    fn a_connection_is_admitted_up_to_its_burst_and_then_waits_for_a_grant() {
        let rate = Rate {
            rate: 25_600,
            burst: 1000,
        };
        let mut pace = read_limit(Some(rate), None);
        pace.open(1, NOW);
        pace.serve(1);
        assert_eq!(pace.admit(Side::Read, 4096, NOW), Ok(1000));
        pace.moved(Side::Read, 1000, NOW);
        // A grant is 100 bytes, which take 3.9 ms.
        let until = NOW.after(Duration::from_nanos(3_906_250));
        assert_eq!(pace.admit(Side::Read, 4096, NOW), Err(until));
        assert_eq!(pace.admit(Side::Read, 4096, until), Ok(100));
        // The other direction and the other connections are free.
        assert_eq!(pace.admit(Side::Write, 4096, NOW), Ok(4096));
        pace.serve(2);
        assert_eq!(pace.admit(Side::Read, 4096, NOW), Ok(1000));
    }

    #[test]
    fn a_total_is_shared_in_turns_and_a_connection_that_leaves_gives_its_turn_back() {
        let rate = Rate {
            rate: 25_600,
            burst: 100,
        };
        let mut pace = read_limit(None, Some(rate));
        let mut ask = |slot| {
            pace.serve(slot);
            pace.admit(Side::Read, 4096, NOW)
        };
        let after = |bytes: u32| Err(NOW.after(bytes * SECOND / 25_600));
        assert_eq!([ask(0), ask(1), ask(2)], [Ok(100), after(100), after(200)]);
        pace.close(1);
        pace.serve(0);
        pace.moved(Side::Read, 100, NOW);
        assert_eq!(pace.admit(Side::Read, 4096, NOW), after(200));
    }

    #[test]
    fn a_peer_that_sends_little_asks_for_little() {
        let rate = Rate {
            rate: 25_600_000,
            burst: 1 << 20,
        };
        let mut pace = read_limit(None, Some(rate));
        pace.serve(0);
        let mut turns = Vec::new();
        for count in [256, 512, 1024, 2048, 10, 10, 10, 10] {
            turns.push(pace.admit(Side::Read, 1 << 20, NOW).expect("it is full"));
            pace.moved(Side::Read, count, NOW);
        }
        assert_eq!(turns, [256, 512, 1024, 2048, 4096, 2048, 1024, 512]);
    }

    #[test]
    fn a_drain_lifts_the_rates() {
        let rate = Rate { rate: 1, burst: 1 };
        let mut pace = read_limit(Some(rate), Some(rate));
        pace.lift();
        assert_eq!(pace.admit(Side::Read, 4096, NOW), Ok(4096));
    }

    #[test]
    fn each_direction_has_its_idle_clock_and_our_own_delays_do_not_count() {
        let pacing = Pacing {
            idle_read: Some(3 * SECOND),
            idle_write: Some(5 * SECOND),
            ..Pacing::default()
        };
        let mut pace = Pace::new(pacing, 1).expect("a time-out");
        pace.open(0, NOW);
        let at = |seconds: u32| NOW.after(seconds * SECOND);
        assert_eq!(pace.idle_until(0, true), (at(3), Idle::Read));
        assert_eq!(pace.idle_until(0, false), (at(5), Idle::Write));
        pace.serve(0);
        pace.moved(Side::Read, 1, at(2));
        pace.moved(Side::Read, 0, at(4));
        assert_eq!(pace.idle_until(0, true), (at(5), Idle::Read));
        pace.put_off(0, SECOND);
        assert_eq!(pace.idle_until(0, false), (at(6), Idle::Write));
        pace.moved(Side::Write, 1, at(6));
        assert_eq!(pace.idle_until(0, true), (at(9), Idle::Read));
        pace.touch(0, at(8));
        assert_eq!(pace.idle_until(0, false), (at(13), Idle::Write));
    }
}
