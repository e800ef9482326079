//! Waiting: `Poller` of the kernel interface, with its faults.
//!
//! A wait takes what is ready, or advances the clock until something is. Level and edge differ in
//! one line, as in fs/eventpoll.c: a reported entry goes back on the ready list or does not. An
//! edge therefore reports everything that is true and asked for at that moment, including what was
//! reported before. The meaning of the events is not known here. Invariant: faults add events and
//! change their order; they never remove one. epoll_wait(2), epoll_ctl(2).

use std::io;
use std::time::Duration;

use libc::{EINTR, ENOMEM, ENOSPC};
use mynah::kernel::journal::{Argument, Name};
use mynah::kernel::{Event, Interest, Poller, Readiness, Signal, Time, Token};

use super::faults::LEAP_MAX;
use super::table::{File, Socket, asked};
use super::{Answer, Sim};

/// The time that one check for events without waiting takes.
const LOOK: Duration = Duration::from_micros(10);

impl Sim {
    /// The readiness of a descriptor. A poll that finds no room causes a later report of room, as
    /// in tcp_poll.
    pub(super) fn poll(&mut self, number: u32) -> Readiness {
        let found = self.peek(number);
        if let Some((pair, side)) = self.table.stream(number) {
            self.pairs[pair].ends[side].no_space |= !found.intersects(Readiness::OUT);
        }
        found
    }

    pub(super) fn peek(&mut self, number: u32) -> Readiness {
        match self.table.file(number) {
            File::Blank => Readiness::OUT | Readiness::HUP,
            File::Listener(listener) if listener.queue.is_empty() => Readiness::NONE,
            File::Listener(_) => Readiness::IN,
            File::Alias(home) => {
                let home = *home;
                self.peek(home)
            }
            File::Stream { pair, side } => self.pairs[*pair].poll(*side),
            File::Datagrams(mailbox) => mailbox.poll(),
            File::Output(id) => self.children.poll_output(*id),
            File::Exit(id) => self.children.poll_exit(*id),
        }
    }

    /// The readiness of a descriptor, limited to what is asked for.
    fn poll_asked(&mut self, number: u32, interest: Interest) -> Readiness {
        Readiness::from_bits(self.poll(number).bits() & asked(interest).bits())
    }

    /// Follows an answer that was worse than necessary with a new edge if one of `bits` is true, as
    /// if the missing part had arrived a moment later. A writer without an edge now is told of room
    /// later, as after EAGAIN.
    pub(super) fn make_up(&mut self, number: u32, bits: Readiness) {
        let writes = bits == Readiness::OUT;
        let found = if writes {
            self.poll(number)
        } else {
            self.peek(number)
        };
        if found.intersects(bits) {
            self.table.wake(number, bits);
        }
    }

    /// After ADD and MOD: readiness that already exists is reported as well.
    fn look(&mut self, number: u32, interest: Interest) {
        if self.poll_asked(number, interest) != Readiness::NONE {
            self.table.wake(number, Readiness::NONE);
        }
    }

    fn add(&mut self, number: u32, token: Token, interest: Interest) -> Answer<()> {
        self.enter(Name::Register)?;
        if self.dice.chance(self.faults.unregistered) {
            return Err([ENOMEM, ENOSPC][self.dice.below(2)]);
        }
        self.table.register(number, token, interest)?;
        self.look(number, interest);
        Ok(())
    }

    fn modify(&mut self, number: u32, token: Token, interest: Interest) -> Answer<()> {
        self.enter(Name::Reregister)?;
        if self.dice.chance(self.faults.no_memory) {
            return Err(ENOMEM);
        }
        self.table.reregister(number, token, interest)?;
        self.look(number, interest);
        Ok(())
    }

    /// Fills `events` with what is ready now.
    fn collect(&mut self, events: &mut [Event]) -> usize {
        let (mut count, worker) = (0, self.table.current);
        for (pending, token) in [
            (worker == 0 && !self.signals.is_empty(), Token::SIGNALS),
            (self.woken[worker], Token::WAKE_UP),
            (worker == 0 && self.children.reports(), Token::CHILD_ENDED),
        ] {
            if pending && count < events.len() {
                events[count] = Event::new(token, Readiness::IN);
                count += 1;
            }
        }
        for (place, event) in events[count..].iter_mut().zip(self.streams.events()) {
            *place = event;
            count += 1;
        }
        for _ in 0..self.table.ready_len() {
            if count == events.len() {
                break;
            }
            let Some(number) = self.table.next_ready() else {
                continue;
            };
            let Some(registration) = self.table.registration(number) else {
                continue;
            };
            let (token, interest) = (registration.token, registration.interest);
            let found = self.poll_asked(number, interest);
            if found == Readiness::NONE {
                continue;
            }
            events[count] = Event::new(token, found);
            count += 1;
            if !interest.contains(Interest::EDGE) {
                self.table.wake(number, Readiness::NONE);
            }
        }
        count
    }

    /// Adds spurious events and shuffles the batch.
    fn disturb(&mut self, events: &mut [Event], mut count: usize) -> usize {
        let mut add = |event, count: &mut usize| {
            if let Some(place) = events.get_mut(*count) {
                *place = event;
                *count += 1;
            }
        };
        if self.dice.chance(self.faults.spurious) {
            let chosen = self.table.any(&mut self.dice);
            let chosen = chosen.filter(|number| self.table.is_ours(*number));
            let chosen = chosen.and_then(|number| self.table.registration(number));
            let chosen = chosen.map(|registration| (registration.token, registration.interest));
            // ERR and HUP are never reported without cause.
            let claimed = (Readiness::IN | Readiness::OUT).bits();
            if let Some((token, interest)) = chosen {
                let bits = asked(interest).bits() & claimed;
                if bits != 0 {
                    add(Event::new(token, Readiness::from_bits(bits)), &mut count);
                }
            }
        }
        let worker = self.table.current;
        if !self.buried[worker].is_empty() && self.dice.chance(self.faults.stale) {
            if let Some(event) = self.buried[worker].pop_front() {
                add(event, &mut count);
            }
        }
        if count > 0 && count < events.len() && self.dice.chance(self.faults.duplicated) {
            events[count] = events[self.dice.below(count)];
            count += 1;
        }
        if count > 1 && self.dice.chance(self.faults.shuffled) {
            for last in (1..count).rev() {
                events.swap(last, self.dice.below(last + 1));
            }
        }
        count
    }

    fn sleep(&mut self, events: &mut [Event], deadline: Time) -> Answer<usize> {
        self.enter(Name::Wait)?;
        let worker = self.table.current;
        self.asleep[worker] = None;
        self.table.sleeps[worker] = false;
        if self.dice.chance(self.faults.interrupted) {
            return Err(EINTR);
        }
        if self.faults.reset + self.faults.half_close > 0.0 {
            if let Some(number) = self.table.any(&mut self.dice) {
                self.peer_faults(number);
            }
        }
        loop {
            let host_due = self.let_the_host_play();
            let count = self.collect(events);
            let count = self.disturb(events, count);
            if count > 0 {
                return Ok(count);
            }
            let due = self.knocking.iter().map(|knock| knock.due).min();
            let due = due.unwrap_or(Time::NEVER).min(host_due);
            let next = due.min(deadline).min(self.stop_at);
            let stays = self.now >= deadline.min(self.stop_at) || next == Time::NEVER;
            if deadline == Time::default() {
                // A wait with a time-out of 0 takes time too, so a spinning loop advances the
                // clock.
                self.now = self.now.after(LOOK);
                return Ok(0);
            }
            if stays || self.apart {
                self.asleep[worker] = Some(deadline);
                self.table.sleeps[worker] = true;
                return Ok(0);
            }
            self.now = next;
            self.knock_again();
        }
    }
}

impl Poller for Sim {
    fn register(&mut self, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
        self.table.check(socket);
        let answer = self.add(socket.number, token, interest);
        self.leave(
            Name::Register,
            Some(socket.number),
            Argument::Interest(Some(token), interest),
            answer,
            |()| 0,
        )
    }

    fn reregister(&mut self, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
        self.table.check(socket);
        let answer = self.modify(socket.number, token, interest);
        self.leave(
            Name::Reregister,
            Some(socket.number),
            Argument::Interest(Some(token), interest),
            answer,
            |()| 0,
        )
    }

    fn deregister(&mut self, socket: &Socket) -> io::Result<()> {
        self.table.check(socket);
        let answer = self
            .enter(Name::Deregister)
            .and_then(|()| self.table.deregister(socket.number));
        self.leave(
            Name::Deregister,
            Some(socket.number),
            Argument::None,
            answer,
            |()| 0,
        )
    }

    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        assert!(
            !events.is_empty(),
            "epoll_wait with no room for events is EINVAL"
        );
        let answer = self.sleep(events, until);
        if self.dice.chance(self.faults.leap) {
            let share = self.dice.below(1000) as f64 / 1000.0;
            self.advance(LEAP_MAX.mul_f64(share));
        }
        let answer = self.leave(Name::Wait, None, Argument::None, answer, |&count| count);
        match answer {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            other => other,
        }
    }

    fn now(&mut self) -> Time {
        self.now
    }

    /// The wall clock showed 1994-11-06 08:49:37 UTC when the simulated clock started at 0.
    fn time_of_day(&mut self) -> Duration {
        Duration::from_secs(784_111_777) + self.now.since(Time::default())
    }

    fn take_signal(&mut self) -> io::Result<Option<Signal>> {
        let answer = self.enter(Name::TakeSignal).map(|()| {
            let ends = |signal: &Signal| matches!(signal, Signal::Terminate(_));
            let place = self.signals.iter().position(ends).unwrap_or(0);
            self.signals.remove(place)
        });
        self.leave(Name::TakeSignal, None, Argument::None, answer, |signal| {
            usize::from(signal.is_some())
        })
    }

    fn take_wake_up(&mut self) -> io::Result<()> {
        let answer = self
            .enter(Name::TakeWakeUp)
            .map(|()| self.woken[self.table.current] = false);
        self.leave(Name::TakeWakeUp, None, Argument::None, answer, |()| 0)
    }
}
