//! Runs commands for requests: the loop starts, reads, ends and reaps them, without blocking on
//! any.
//!
//! ```text
//!   connection wants Await --> waiting --> a place is free: spawn --> output, piece by piece
//!                                                                         |
//!      answered  <-- group killed, reaped <-- all read and ended | too much | too late | peer gone
//! ```
//!
//! Output goes into the workspace that the connection holds anyway. A command is over when it has
//! ended and no process holds its pipe any more, so the output of background processes counts too.
//! The whole process group is killed when the command is over, or exceeds its output limit or its
//! time-out. The group is killed before the command is reaped, because until then the kernel cannot
//! give the group's number to another process.
//!
//! A started command always leads to an answer, even if a system call of the server fails. If epoll
//! refuses to watch the command, it is polled. The server for `Echo` alone contains none of this
//! code. Neighbours: `children`, `orphans`. See clone(2), waitid(2), pipe(7).

use std::io::{self, ErrorKind};

use crate::kernel::{ChildEnd, Interest, Spawner, Time, Token, Trigger};
use crate::limits::{COMMAND_OUTPUT_MAX, COMMAND_PIECE_SIZE, COMMAND_REAP_PAUSE, COMMAND_TIMEOUT};
use crate::protocol::connection::Protocol;
use crate::protocol::service::{Effect, EffectEvent, Service};

use super::children::{Children, PendingAnswer, Running};
use super::orphans::Orphans;
use crate::server::observe::log_limiter::LogLimiter;
use crate::server::pump::Pump;
use crate::server::reactor::Reactor;

/// The commands that connections wait for.
pub(in crate::server) struct Commands<K: Spawner> {
    prepared: Vec<K::Command>,
    /// Maximum output of each process in bytes.
    output_max: usize,
    children: Children<K>,
    orphans: Orphans,
    log_limiters: [LogLimiter; 3],
}

impl<K: Spawner> Commands<K> {
    /// Prepares the commands of a service, and allocates all that they will need, for `slots`
    /// connections.
    ///
    /// # Errors
    ///
    /// The error of preparing a command.
    pub(in crate::server) fn prepare<S: Service>(
        kernel: &mut K,
        protocol: &Protocol<S>,
        slots: usize,
    ) -> io::Result<Commands<K>> {
        let effects = protocol.service.effects();
        let lines = effects.map_or(&[][..], |effects| effects.commands());
        let prepared = lines.iter().map(|line| kernel.prepare(line));
        Ok(Commands {
            prepared: prepared.collect::<io::Result<Vec<_>>>()?,
            output_max: protocol.output_size_max(COMMAND_OUTPUT_MAX),
            children: Children::new(effects.map_or(0, |_| slots)),
            orphans: Orphans::default(),
            log_limiters: Default::default(),
        })
    }

    /// When there is work even if no event is reported.
    #[inline]
    pub(in crate::server) fn deadline<S: Service>(&self, reactor: &Reactor<K, S>) -> Time {
        let lists = reactor.lists();
        let has_awaiting = lists.has_awaiting() || reactor.has_awaiting_datagram();
        let can_start = has_awaiting && self.children.free() > 0;
        match can_start || lists.has_abandoned() || self.orphans.is_due() {
            true => reactor.pump().now,
            false => self.children.next_deadline(),
        }
    }

    /// Whether process `id` is a command.
    pub(in crate::server) fn has_process(&self, id: u32) -> bool {
        self.children.has_process(id)
    }

    /// Number of descriptors held by all commands.
    pub(in crate::server) fn descriptors(&self) -> usize {
        self.children.descriptors()
    }

    /// A child has ended; SIGCHLD does not say which one.
    #[cold]
    pub(in crate::server) fn hear_of_children<S: Service>(&mut self, reactor: &mut Reactor<K, S>) {
        if let Err(error) = reactor.pump_mut().kernel.take_child_report() {
            log::debug!("SIGCHLD: {error}");
        }
        self.orphans.look();
    }

    /// Ends the commands of connections that have closed, reaps orphans, and starts a command.
    #[inline]
    pub(in crate::server) fn start<S: Service>(&mut self, reactor: &mut Reactor<K, S>) {
        if reactor.pump().protocol.service.effects().is_none() {
            return;
        }
        while let Some(token) = reactor.lists_mut().next_abandoned() {
            self.abandon(reactor, token);
        }
        let children = &self.children;
        self.orphans.reap(reactor, |id| children.has_process(id));
        self.start_one(reactor);
    }

    /// Starts one command for the first connection in the list, if a place is free. One per turn,
    /// because the thread blocks during the start and other connections need their turn.
    fn start_one<S: Service>(&mut self, reactor: &mut Reactor<K, S>) {
        let (awaiting, joined) = reactor.lists_mut().take_joined();
        let without_place = awaiting.saturating_sub(self.children.free());
        reactor.pump_mut().counters.command_waits += joined.min(without_place) as u64;
        let Some(place) = self.children.vacant() else {
            return;
        };
        let Some(token) = reactor.next_awaiting() else {
            return;
        };
        let Some((Effect::Command(number), peer)) = reactor.start_effect(token) else {
            return;
        };
        let answer = PendingAnswer { peer, drafted: 0 };
        match self.spawn(reactor, place, number, token, answer) {
            Ok(()) => {
                reactor.pump_mut().counters.commands += 1;
                reactor.look_at(token, |_, link| link.has_effect = true);
            }
            Err(error) => {
                let pump = reactor.pump_mut();
                pump.counters.commands_not_started += 1;
                let effects = pump.protocol.service.effects();
                let lines = effects.map_or(&[][..], |effects| effects.commands());
                let line = lines.get(number).map_or("", String::as_str);
                if let Some(more) = self.log_limiters[0].admit(pump.now) {
                    log::warn!("{line:?} cannot be started: {error}{more}");
                }
                reactor.deliver(token, answer, EffectEvent::NotStarted);
            }
        }
    }

    fn spawn<S: Service>(
        &mut self,
        reactor: &mut Reactor<K, S>,
        place: u32,
        number: usize,
        owner: Token,
        answer: PendingAnswer,
    ) -> io::Result<()> {
        let Some(command) = self.prepared.get(number) else {
            return Err(ErrorKind::NotFound.into());
        };
        // From here on the process runs.
        let pump = reactor.pump_mut();
        let child = pump.kernel.spawn(command)?;
        let generation = self.children.next_generation();
        let name = |end| Token::child(place, generation, end);
        let watched = Commands::watch(pump, &child.output, name(ChildEnd::Output), Interest::READ);
        let watched = watched.and_then(|()| {
            // Edge-triggered, because the exit stays readable until the process is reaped, and
            // reaping may have to wait for the end of the pipe.
            let once = Interest::READ.under(Trigger::Edge);
            Commands::watch(pump, &child.exit, name(ChildEnd::Exit), once)
        });
        if let Err(error) = &watched {
            reactor.pump_mut().counters.refused_registration += 1;
            log::debug!("epoll_ctl: {error}");
        }
        let running = Running {
            owner: Some(owner),
            output: Some(child.output),
            exit: child.exit,
            id: child.id,
            generation,
            has_ended: false,
            is_watched: watched.is_ok(),
            deadline: reactor.pump().now.after(COMMAND_TIMEOUT),
            said: 0,
            answer,
        };
        self.children.settle(place, running, reactor.pump().now);
        reactor.pump_mut().counters.commands_now += 1;
        Ok(())
    }

    fn watch<S: Service>(
        pump: &mut Pump<K, S>,
        socket: &K::Socket,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        pump.counters.epoll_ctl += 1;
        pump.kernel.register(socket, token, interest)
    }

    /// An event of the process in `place`, or of one that had this place before.
    #[cold]
    pub(in crate::server) fn child_event<S: Service>(
        &mut self,
        reactor: &mut Reactor<K, S>,
        place: u32,
        generation: u32,
        end: ChildEnd,
    ) {
        let running = self.children.get_mut(place);
        match (end, running.filter(|it| it.generation == generation)) {
            (_, None) => reactor.pump_mut().counters.stale_events += 1,
            (ChildEnd::Exit, Some(running)) if running.owner.is_none() => self.reap(reactor, place),
            (ChildEnd::Exit, Some(running)) => {
                running.has_ended = true;
                self.end_if_over(reactor, place);
            }
            (ChildEnd::Output, Some(_)) => {
                self.take_output(reactor, place);
                self.end_if_over(reactor, place);
            }
        }
    }

    /// Reads the output of a command once and delivers it. Returns whether there was any.
    fn take_output<S: Service>(&mut self, reactor: &mut Reactor<K, S>, place: u32) -> bool {
        let mut space = [0; COMMAND_PIECE_SIZE];
        let output_max = self.output_max;
        let Some(running) = self.children.get_mut(place) else {
            return false;
        };
        let (Some(output), Some(owner)) = (&running.output, running.owner) else {
            return false;
        };
        let left = output_max - running.said;
        // One byte more than allowed shows that the limit is exceeded.
        let asked = space.len().min(left + 1);
        let count = match reactor
            .pump_mut()
            .kernel
            .take_output(output, &mut space[..asked])
        {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => {
                log::debug!("the output of a command cannot be read: {error}");
                0
            }
        };
        let kept = count.min(left);
        running.said += kept;
        if count == 0 {
            if let Some(output) = running.output.take() {
                reactor.pump_mut().kernel.close(output);
            }
            return false;
        }
        let answer = running.answer;
        if kept > 0 {
            let answer = reactor.deliver(owner, answer, EffectEvent::Output(&space[..kept]));
            if let Some(running) = self.children.get_mut(place) {
                running.answer = answer;
            }
        }
        if count > kept {
            reactor.pump_mut().counters.commands_cut += 1;
            self.end(reactor, place, EffectEvent::OutputLimit);
        }
        true
    }

    /// Polls a command that epoll does not report, and schedules the next poll if it is not over.
    #[cold]
    fn look_after<S: Service>(&mut self, reactor: &mut Reactor<K, S>, place: u32) {
        while self.take_output(reactor, place) {}
        let Some(running) = self.children.get_mut(place) else {
            return;
        };
        match reactor.pump_mut().kernel.has_ended(&running.exit) {
            Ok(has_ended) => running.has_ended |= has_ended,
            Err(error) => log::debug!("waitid: {error}"),
        }
        self.end_if_over(reactor, place);
        match self.children.get(place) {
            Some(running) if running.owner.is_some() => {
                let next = running.next_look(reactor.pump().now);
                self.children.look_at(place, next);
            }
            _ => {}
        }
    }

    fn end_if_over<S: Service>(&mut self, reactor: &mut Reactor<K, S>, place: u32) {
        let is_over = |it: &Running<_>| it.has_ended && it.output.is_none() && it.owner.is_some();
        if self.children.get(place).is_some_and(is_over) {
            self.end(reactor, place, EffectEvent::Ended);
        }
    }

    /// The command is over for its connection, which learns the reason.
    fn end<S: Service>(&mut self, reactor: &mut Reactor<K, S>, place: u32, event: EffectEvent<'_>) {
        let Some(running) = self.children.get(place) else {
            return;
        };
        let (owner, answer) = (running.owner, running.answer);
        let warning = match event {
            EffectEvent::OutputLimit => Some((1, "says too much")),
            EffectEvent::TimedOut => Some((2, "takes too long")),
            _ => None,
        };
        if let Some((kind, what)) = warning {
            if let Some(more) = self.log_limiters[kind].admit(reactor.pump().now) {
                log::warn!("a command {what}: it is killed with its process group{more}");
            }
        }
        self.end_group(reactor, place);
        if let Some(owner) = owner {
            reactor.deliver(owner, answer, event);
        }
    }

    /// No connection waits for the process in `place` any more: kill its group, and reap the
    /// process as soon as it has ended.
    fn end_group<S: Service>(&mut self, reactor: &mut Reactor<K, S>, place: u32) {
        let Some(running) = self.children.get_mut(place) else {
            return;
        };
        if running.owner.take().is_some() {
            reactor.pump_mut().counters.commands_now -= 1;
        }
        if let Some(output) = running.output.take() {
            reactor.pump_mut().kernel.close(output);
        }
        if let Err(error) = reactor.pump_mut().kernel.kill(running.id) {
            log::debug!("kill: {error}");
        }
        self.reap(reactor, place);
    }

    /// Reaps the process, or schedules another try if it has not ended.
    fn reap<S: Service>(&mut self, reactor: &mut Reactor<K, S>, place: u32) {
        let Some(running) = self.children.get(place) else {
            return;
        };
        match reactor.pump_mut().kernel.reap(&running.exit) {
            Ok(false) => {
                let later = reactor.pump().now.after(COMMAND_REAP_PAUSE);
                return self.children.look_at(place, later);
            }
            Ok(true) => {}
            // There is no process to wait for.
            Err(error) => log::debug!("waitid: {error}"),
        }
        if let Some(running) = self.children.remove(place) {
            reactor.pump_mut().kernel.close(running.exit);
        }
        // It may have hidden orphans from waitid(2).
        self.orphans.look();
    }

    /// Ends commands that exceed the time-out, and polls those that epoll does not report.
    pub(in crate::server) fn expire<S: Service>(&mut self, reactor: &mut Reactor<K, S>) {
        while let Some(place) = self.children.pop_due(reactor.pump().now) {
            match self.children.get(place) {
                None => {}
                Some(running) if running.owner.is_none() => self.reap(reactor, place),
                Some(running) if running.deadline > reactor.pump().now => {
                    self.look_after(reactor, place)
                }
                Some(_) => {
                    reactor.pump_mut().counters.commands_too_late += 1;
                    self.end(reactor, place, EffectEvent::TimedOut);
                }
            }
        }
    }

    /// The connection has closed, so its command is not needed any more.
    #[cold]
    fn abandon<S: Service>(&mut self, reactor: &mut Reactor<K, S>, token: Token) {
        if let Some(place) = self.children.of(token) {
            reactor.pump_mut().counters.commands_abandoned += 1;
            self.end_group(reactor, place);
        }
    }

    /// Kills all commands at the end of the server.
    pub(in crate::server) fn end_all<S: Service>(&mut self, reactor: &mut Reactor<K, S>) {
        for place in 0..self.children.places() {
            self.end_group(reactor, place);
        }
    }
}
