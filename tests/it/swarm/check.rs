//! The invariants of a server between two turns, while it waits, and at the end of a world.
//!
//! Registered interest equals wanted interest. Descriptors are slots, listeners and the reserve.
//! Exactly the connections that hold bytes hold workspaces. No deadline is missed. The loop does
//! not wait while there is work to do. The checks change nothing: they read the state and panic.

use std::collections::HashSet;
use std::sync::Arc;

use mynah::kernel::{Interest, Readiness, Time, Trigger};
use mynah::limits::{LISTENER_PAUSE_MAX, MEMORY_RETRIES_MAX, MEMORY_RETRY_MIN};
use mynah::protocol::connection::{CloseReason, Want};
use mynah::protocol::service::Service;
use mynah::server::Server;
use mynah::server::admission::AcceptPolicy;
use mynah::server::observe::counters::Counters;
use mynah::server::observe::snapshot::{Entries, Snapshot};

use crate::sim::Worker;

use super::actor::{Actor, End};
use super::play::Stage;

impl<S: Service + Clone> Stage<'_, S> {
    /// The invariants between any two turns.
    pub(super) fn check(&mut self) {
        let transit = self.handoff.as_ref().map_or(0, |it| it.in_transit());
        let alive = self.alive();
        let held = |place: &usize| self.servers[*place].descriptors();
        let held: usize = alive.iter().map(held).sum();
        let open = self.sim().open_sockets();
        let held = held + transit + self.on_their_way();
        assert_eq!(held, open, "descriptors are what is held");
        for place in alive {
            self.sim().look_as(place);
            self.check_worker(place);
        }
    }

    fn check_worker(&mut self, place: usize) {
        let server = &mut self.servers[place];
        let mut all = Vec::new();
        server.for_each_connection(|standing| all.push(standing));
        assert_eq!(
            server.counters().connections_now,
            all.len() as u64,
            "connections are counted"
        );
        let lent = server.workspaces_acquired();
        let holders = all.iter().filter(|standing| standing.lent).count();
        assert_eq!(lent, holders, "every lent workspace has a holder");
        self.check_entries(place, &all);
        for standing in &all {
            self.check_one(place, standing);
        }
    }

    /// Every entry of a queue, a deadline or a count belongs to an existing connection.
    fn check_entries(&self, place: usize, all: &[Snapshot]) {
        let count = |is: fn(&Snapshot) -> bool| all.iter().filter(|it| is(it)).count();
        let entries = self.servers[place].entries();
        let expected = Entries {
            ready: count(|it| it.has_more),
            waiting: count(|it| it.waits),
            queued: count(|it| it.queues),
            armed: count(|it| it.armed != Time::NEVER),
            charged: count(|it| it.charged) as u32,
            ..entries
        };
        assert_eq!(entries, expected, "an entry was left behind");
        let limit = self.world.connections_per_ip_max.unwrap_or(0);
        assert!(
            entries.charged_most <= limit,
            "an address has {} connections",
            entries.charged_most
        );
    }

    /// This turn refused connections from an address. Given the counters before the turn, that
    /// address must have had as many connections as it may.
    pub(super) fn check_refusals(&self, place: usize, before: &Counters) {
        let after = self.servers[place].counters();
        if after.refused_per_ip == before.refused_per_ip {
            return;
        }
        let let_in = after.connections_total - before.connections_total;
        let limit = self.world.connections_per_ip_max.unwrap_or(u32::MAX);
        assert!(
            before.connections_now + let_in >= u64::from(limit),
            "an address was refused below its limit of {limit}: {after}"
        );
    }

    fn check_one(&self, place: usize, standing: &Snapshot) {
        let Snapshot {
            token,
            registered,
            lent,
            holds,
            has_more,
            waits,
            ..
        } = *standing;
        let server = &self.servers[place];
        let told = self.sim().registered(token);
        assert_eq!(
            told,
            Some(registered),
            "the kernel was told what is noted: {standing:?}"
        );
        let interest = match standing.want {
            _ if waits => Interest::NONE,
            // A hang-up is reported without interest, and must be reported only once.
            _ if standing.paused => Interest::NONE.under(Trigger::Edge),
            // Level-triggered nothing is asked for meanwhile; an edge is not reported again.
            _ if standing.held_back && self.world.trigger == Trigger::Level => {
                Interest::NONE.under(Trigger::Edge)
            }
            Want::Read | Want::Header | Want::Discard => Interest::READ,
            Want::Await => Interest::NONE,
            Want::Write => Interest::WRITE,
            Want::Shutdown | Want::Resume | Want::Close => {
                assert!(has_more, "no queue and no interest serves it: {standing:?}");
                return;
            }
        };
        let same = registered == interest.under(self.world.trigger);
        assert!(
            same || has_more,
            "registered is not what is wanted: {standing:?}"
        );
        assert!(
            !lent || holds || has_more,
            "it holds a workspace and no bytes: {standing:?}"
        );
        assert!(!(waits && lent), "it waits for what it has: {standing:?}");
        let all_lent = server.workspaces_acquired() == server.workspaces();
        assert!(
            !waits || all_lent,
            "it waits for a workspace and one is free: {standing:?}"
        );
        let now = server.now();
        let latest = match standing.paused {
            true => now.after(MEMORY_RETRY_MIN * (1 << MEMORY_RETRIES_MAX)),
            false => standing.deadline,
        };
        assert!(
            standing.armed <= latest || has_more,
            "its deadline is missed: {standing:?}"
        );
    }

    /// The server waits `until` this time, so nothing that it wants is ready.
    pub(super) fn check_sleep(&mut self, place: usize, until: Time) {
        let mut all = Vec::new();
        self.servers[place].for_each_connection(|standing| all.push(standing));
        for standing in all {
            assert!(until <= standing.armed, "it oversleeps: {standing:?}");
            if standing.waits || standing.paused || standing.held_back {
                continue;
            }
            let ready = self.sim().readiness(standing.token);
            let missed = match standing.want {
                Want::Write => ready.intersects(Readiness::OUT),
                // The connection is not read meanwhile. It must be served, or wait for its process.
                Want::Await => !self.sim().has_processes(),
                _ => ready.intersects(Readiness::IN),
            };
            assert!(!missed, "it sleeps and there is {ready:?} for {standing:?}");
        }
        self.check_doors(place, until);
    }

    /// The worker sleeps, so no connection is left in a queue that it alone serves, and a pause of
    /// its listeners ends.
    fn check_doors(&self, place: usize, until: Time) {
        let server = &self.servers[place];
        let others = match self.world.accept {
            // Another worker may be awake and about to accept.
            Some(AcceptPolicy::Exclusive) => return,
            Some(AcceptPolicy::Handoff) if place > 0 => return,
            Some(AcceptPolicy::Handoff) => &self.servers[1..],
            None | Some(AcceptPolicy::Reuseport) => &[],
        };
        let door = self.doors[place];
        if server.is_open() {
            let called = self.sim().is_called_at(door);
            assert!(!called, "the loop sleeps although a connection is queued");
        } else if !server.is_full() && self.sim().listeners().contains(&door) {
            let soon = self.sim().time().after(LISTENER_PAUSE_MAX);
            assert!(until <= soon, "the door stays shut");
        } else if others
            .iter()
            .any(|other| !other.is_full() && !other.is_done())
        {
            let quiet = self.handoff.as_ref().is_none_or(|it| it.in_transit() == 0);
            let awake = (1..self.servers.len()).any(|it| self.sim().sleeps_until(it).is_none());
            let soon = self.sim().time().after(LISTENER_PAUSE_MAX);
            let waits = quiet && !awake && self.sim().listeners().contains(&door);
            assert!(
                !waits || until <= soon,
                "the door stays shut, and another has room"
            );
        }
    }

    /// All workers sleep: no connection is left in a queue that an open one shares, and none is on
    /// its way.
    pub(super) fn check_all_asleep(&self) {
        let transit = self.handoff.as_ref().map_or(0, |it| it.in_transit());
        assert_eq!(
            transit, 0,
            "no worker takes a connection that was handed over"
        );
        if self.world.accept == Some(AcceptPolicy::Exclusive) {
            let serves = |place: &usize| !self.has_left(*place);
            let places: Vec<usize> = self.alive().into_iter().filter(serves).collect();
            let open = places.iter().any(|place| self.servers[*place].is_open());
            let called = self.sim().is_called_on();
            // A worker without a descriptor has used up the wake-up, and tries again soon. The
            // others have the same descriptors.
            let soon = self.sim().time().after(LISTENER_PAUSE_MAX);
            let pauses = |place: usize| {
                let until = self.sim().sleeps_until(place);
                !self.servers[place].is_open() && until.is_some_and(|until| until <= soon)
            };
            let pauses = places.into_iter().any(pauses);
            assert!(
                !open || !called || pauses,
                "all sleep although a connection is queued"
            );
        }
    }

    /// A peer that is clearly too slow with a frame was closed, unless the server itself had
    /// delays. The end of the world checks that no other peer was closed.
    pub(super) fn check_the_slow(&mut self) {
        let Some(timeout) = self.world.frame_timeout else {
            return;
        };
        let counters = self.counters();
        let delays = counters.refused_memory + counters.workspace_waits + counters.rate_waits;
        if delays > 0 || self.servers.iter().any(Server::has_more) {
            return;
        }
        let clearly = timeout + self.world.pace;
        let sim = Arc::clone(&self.sim);
        let mut sim = sim.lock().expect("no check fails with the lock");
        let check = |actor: &mut Actor| actor.check_is_cut(&mut sim, clearly);
        self.actors.iter_mut().for_each(check);
    }

    /// Every peer received the right answer, and each early end had a reason.
    pub(super) fn judge(&mut self, counters: &Counters) {
        self.actors.iter().for_each(|actor| actor.check(false));
        let now = self.sim().time();
        let closed = |reason: CloseReason| counters.closed[reason as usize];
        let refused = counters.refused_registration
            + counters.refused_resources
            + counters.refused_per_ip
            + closed(CloseReason::Starved)
            + counters.refused_memory / (u64::from(MEMORY_RETRIES_MAX) + 1);
        let late = closed(CloseReason::Idle)
            + closed(CloseReason::Stalled)
            + closed(CloseReason::SlowFrame)
            // A header that was not whole in time.
            + closed(CloseReason::Proxy)
            // The same of a digest.
            + closed(CloseReason::Unauthorised)
            // The clock may jump over the end of a lingering close.
            + closed(CloseReason::TooLong)
            + closed(CloseReason::Corrupted)
            + closed(CloseReason::Refused)
            + closed(CloseReason::Goodbye)
            // A connection closed as idle lingers first, and is counted when it is released.
            + counters.shutdown.min(counters.connections_now);
        let slow = |actor: &&Actor| actor.is_slow(self.world.frame_timeout, now);
        let early = |timely: bool| {
            let cut = |actor: &&Actor| {
                let in_time = actor.is_timely(self.world.reply) && !slow(actor);
                actor.end == Some(End::Early) && (!timely || in_time)
            };
            self.actors.iter().filter(cut).count() as u64
        };
        let leaps = self.world.faults.leap > 0.0;
        // The server's own delays do not count against the peers. While other connections wait for
        // a workspace, the frame timer of a frame may still be that of the one before it.
        let delays = counters.refused_memory + counters.workspace_waits + counters.rate_waits;
        let slow_frames = closed(CloseReason::SlowFrame);
        self.judge_keys(closed(CloseReason::Unauthorised), leaps || delays > 0);
        // A peer that sends, or hears, nothing for long may be in time in every other way.
        let one_way = match (self.world.idle_read, self.world.idle_write) {
            (None, None) => 0,
            _ => closed(CloseReason::Idle) + counters.shutdown.min(counters.connections_now),
        };
        let excused = refused
            + one_way
            + match (leaps, delays) {
                (true, _) => late,
                (false, 0) => 0,
                (false, _) => slow_frames + closed(CloseReason::Unauthorised),
            };
        let too_slow = self.actors.iter().filter(slow).count() as u64;
        assert!(
            leaps || delays > 0 || slow_frames <= too_slow,
            "{too_slow} peers were slow with a frame by their own clocks: {counters}"
        );
        assert!(
            early(true) <= excused,
            "{} peers in time were cut short: {counters}",
            early(true)
        );
        assert!(
            early(false) <= refused + late,
            "{} peers were cut short: {counters}",
            early(false)
        );
    }

    /// No challenge is sent twice, and a peer that has answered in time is not turned away.
    fn judge_keys(&self, unauthorised: u64, has_delays: bool) {
        let challenges: Vec<&[u8]> = self.actors.iter().filter_map(Actor::challenge).collect();
        let distinct: HashSet<&[u8]> = challenges.iter().copied().collect();
        assert_eq!(distinct.len(), challenges.len(), "a challenge came twice");
        let world = self.world;
        let limits = [world.frame_timeout, world.idle_timeout, world.idle_read];
        let is_timed = limits.iter().any(Option::is_some) || world.idle_write.is_some();
        let without = self.actors.iter().filter(|it| !it.is_authorised()).count() as u64;
        assert!(
            is_timed || has_delays || unauthorised <= without,
            "{unauthorised} connections were turned away, and {without} peers had no key"
        );
    }
}
