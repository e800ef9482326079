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

use crate::kernel::{ChildEnd, Interest, Opener, Spawner, Token, Trigger};
use crate::limits::{COMMAND_OUTPUT_MAX, COMMAND_PIECE_SIZE, COMMAND_REAP_PAUSE, COMMAND_TIMEOUT};
use crate::protocol::connection::{Budget, Protocol};
use crate::protocol::service::{Effect, EffectEvent, Service};

use super::children::{Children, PeerName, PendingAnswer, Running};
use crate::server::Server;
use crate::server::pump::Possible;

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Allocates all that commands will need, for connections in slots below `slots`.
    ///
    /// # Errors
    ///
    /// The error of preparing a command.
    pub(in crate::server) fn children_for(
        kernel: &mut K,
        protocol: &Protocol<S>,
        slots: usize,
    ) -> io::Result<Children<K>> {
        let Some(effects) = protocol.service.effects() else {
            return Ok(Children::new(Vec::new(), 0, 0));
        };
        let lines = effects.commands().iter();
        let commands = lines.map(|line| kernel.prepare(line));
        let commands = commands.collect::<io::Result<Vec<_>>>()?;
        let output_max = protocol.output_max(COMMAND_OUTPUT_MAX);
        Ok(Children::new(commands, output_max, slots))
    }

    /// A connection wants its effect: it joins the queue, unless it waits or runs already.
    #[cold]
    pub(in crate::server) fn await_effect(&mut self, token: Token) {
        if self.children.of(token).is_none() && self.children.waiting.push(token.index()) {
            self.pump.counters.command_waits += u64::from(self.children.is_short());
        }
    }

    /// Starts one command for the first connection in the queue, if a place is free. One per turn,
    /// because the thread blocks during the start and other connections need their turn.
    pub(in crate::server) fn start_command(&mut self) {
        let (true, Some(place)) = (self.children.can_start(), self.children.vacant()) else {
            return;
        };
        let waiting = self.children.waiting.pop();
        let Some(token) = waiting.and_then(|slot| self.links.key(slot)) else {
            return;
        };
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        let Some(Effect::Command(number)) = peer.connection.effect(&self.pump.protocol) else {
            return;
        };
        let address = self.pump.kernel.peer(&peer.socket).ok();
        let answer = PendingAnswer {
            peer: PeerName::of(address.as_ref()),
            drafted: 0,
        };
        match self.spawn(place, number, token, answer) {
            Ok(()) => self.pump.counters.commands += 1,
            Err(error) => {
                self.pump.counters.commands_not_started += 1;
                let effects = self.pump.protocol.service.effects();
                let lines = effects.map_or(&[][..], |effects| effects.commands());
                let line = lines.get(number).map_or("", String::as_str);
                if let Some(more) = self.children.log_limiters[0].admit(self.pump.now) {
                    log::warn!("{line:?} cannot be started: {error}{more}");
                }
                self.deliver(token, answer, EffectEvent::NotStarted);
            }
        }
    }

    fn spawn(
        &mut self,
        place: u32,
        number: usize,
        owner: Token,
        answer: PendingAnswer,
    ) -> io::Result<()> {
        let Some(command) = self.children.commands.get(number) else {
            return Err(ErrorKind::NotFound.into());
        };
        // From here on the process runs.
        let child = self.pump.kernel.spawn(command)?;
        let generation = self.children.next_generation();
        let name = |end| Token::child(place, generation, end);
        let watched = self.watch(&child.output, name(ChildEnd::Output), Interest::READ);
        let watched = watched.and_then(|()| {
            // Edge-triggered, because the exit stays readable until the process is reaped, and
            // reaping may have to wait for the end of the pipe.
            let once = Interest::READ.under(Trigger::Edge);
            self.watch(&child.exit, name(ChildEnd::Exit), once)
        });
        if let Err(error) = &watched {
            self.pump.counters.refused_registration += 1;
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
            deadline: self.pump.now.after(COMMAND_TIMEOUT),
            said: 0,
            answer,
        };
        self.children.settle(place, running, self.pump.now);
        self.pump.counters.commands_now += 1;
        Ok(())
    }

    fn watch(&mut self, socket: &K::Socket, token: Token, interest: Interest) -> io::Result<()> {
        self.pump.counters.epoll_ctl += 1;
        self.pump.kernel.register(socket, token, interest)
    }

    /// An event of the process in `place`, or of one that had this place before.
    #[cold]
    pub(in crate::server) fn child_event(&mut self, place: u32, generation: u32, end: ChildEnd) {
        let running = self.children.get_mut(place);
        match (end, running.filter(|it| it.generation == generation)) {
            (_, None) => self.pump.counters.stale_events += 1,
            (ChildEnd::Exit, Some(running)) if running.owner.is_none() => self.reap(place),
            (ChildEnd::Exit, Some(running)) => {
                running.has_ended = true;
                self.end_if_over(place);
            }
            (ChildEnd::Output, Some(_)) => {
                self.take_output(place);
                self.end_if_over(place);
            }
        }
    }

    /// Reads the output of a command once and delivers it. Returns whether there was any.
    fn take_output(&mut self, place: u32) -> bool {
        let mut space = [0; COMMAND_PIECE_SIZE];
        let output_max = self.children.output_max;
        let Some(running) = self.children.get_mut(place) else {
            return false;
        };
        let (Some(output), Some(owner)) = (&running.output, running.owner) else {
            return false;
        };
        let left = output_max - running.said;
        // One byte more than allowed shows that the limit is exceeded.
        let asked = space.len().min(left + 1);
        let count = match self.pump.kernel.take_output(output, &mut space[..asked]) {
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
                self.pump.kernel.close(output);
            }
            return false;
        }
        let answer = running.answer;
        if kept > 0 {
            let answer = self.deliver(owner, answer, EffectEvent::Output(&space[..kept]));
            if let Some(running) = self.children.get_mut(place) {
                running.answer = answer;
            }
        }
        if count > kept {
            self.pump.counters.commands_cut += 1;
            self.end(place, EffectEvent::OutputLimit);
        }
        true
    }

    /// Polls a command that epoll does not report, and schedules the next poll if it is not over.
    #[cold]
    fn look_after(&mut self, place: u32) {
        while self.take_output(place) {}
        let Some(running) = self.children.get_mut(place) else {
            return;
        };
        match self.pump.kernel.has_ended(&running.exit) {
            Ok(has_ended) => running.has_ended |= has_ended,
            Err(error) => log::debug!("waitid: {error}"),
        }
        self.end_if_over(place);
        match self.children.get(place) {
            Some(running) if running.owner.is_some() => {
                let next = running.next_look(self.pump.now);
                self.children.timers.arm(place, next);
            }
            _ => {}
        }
    }

    fn end_if_over(&mut self, place: u32) {
        let is_over = |it: &Running<_>| it.has_ended && it.output.is_none() && it.owner.is_some();
        if self.children.get(place).is_some_and(is_over) {
            self.end(place, EffectEvent::Ended);
        }
    }

    /// The command is over for its connection, which learns the reason.
    fn end(&mut self, place: u32, news: EffectEvent<'_>) {
        let Some(running) = self.children.get(place) else {
            return;
        };
        let (owner, answer) = (running.owner, running.answer);
        let complaint = match news {
            EffectEvent::OutputLimit => Some((1, "says too much")),
            EffectEvent::TimedOut => Some((2, "takes too long")),
            _ => None,
        };
        if let Some((kind, what)) = complaint {
            if let Some(more) = self.children.log_limiters[kind].admit(self.pump.now) {
                log::warn!("a command {what}: it is killed with its process group{more}");
            }
        }
        self.end_group(place);
        if let Some(owner) = owner {
            self.deliver(owner, answer, news);
        }
    }

    /// No connection waits for the process in `place` any more: kill its group, and reap the
    /// process as soon as it has ended.
    fn end_group(&mut self, place: u32) {
        let Some(running) = self.children.get_mut(place) else {
            return;
        };
        if running.owner.take().is_some() {
            self.pump.counters.commands_now -= 1;
        }
        if let Some(output) = running.output.take() {
            self.pump.kernel.close(output);
        }
        if let Err(error) = self.pump.kernel.kill(running.id) {
            log::debug!("kill: {error}");
        }
        self.reap(place);
    }

    /// Reaps the process, or schedules another try if it has not ended.
    fn reap(&mut self, place: u32) {
        let Some(running) = self.children.get(place) else {
            return;
        };
        match self.pump.kernel.reap(&running.exit) {
            Ok(false) => {
                let later = self.pump.now.after(COMMAND_REAP_PAUSE);
                return self.children.timers.arm(place, later);
            }
            Ok(true) => {}
            // There is no process to wait for.
            Err(error) => log::debug!("waitid: {error}"),
        }
        if let Some(running) = self.children.remove(place) {
            self.pump.kernel.close(running.exit);
        }
        // It may have hidden orphans from waitid(2).
        self.children.looks_for_orphans = true;
    }

    /// Ends commands that exceed the time-out, and polls those that epoll does not report.
    pub(in crate::server) fn expire_commands(&mut self) {
        while let Some(place) = self.children.timers.pop_due(self.pump.now) {
            match self.children.get(place) {
                None => {}
                Some(running) if running.owner.is_none() => self.reap(place),
                Some(running) if running.deadline > self.pump.now => self.look_after(place),
                Some(_) => {
                    self.pump.counters.commands_too_late += 1;
                    self.end(place, EffectEvent::TimedOut);
                }
            }
        }
    }

    /// The connection has closed, so its command is not needed any more.
    pub(in crate::server) fn abandon_effect(&mut self, token: Token) {
        self.children.waiting.remove(token.index());
        if let Some(place) = self.children.of(token) {
            self.pump.counters.commands_abandoned += 1;
            self.end_group(place);
        }
    }

    /// Kills all commands at the end of the server.
    pub(in crate::server) fn end_commands(&mut self) {
        for place in 0..self.children.places() {
            self.end_group(place);
        }
    }

    /// Delivers an effect event to a connection, which then continues as far as it can.
    fn deliver(
        &mut self,
        token: Token,
        mut answer: PendingAnswer,
        news: EffectEvent<'_>,
    ) -> PendingAnswer {
        let Some(peer) = self.links.get_mut(token) else {
            return answer;
        };
        // A connection that awaits holds its request, and so a workspace.
        let Some(lease) = peer.lease.as_ref().filter(|_| peer.connection.awaits()) else {
            return answer;
        };
        let mut workspace = self.workspaces.open(lease);
        let mut budget = Budget::new(self.settings.frames_per_event);
        let name = answer.peer;
        let (name, drafted) = (name.as_str(), &mut answer.drafted);
        let (connection, protocol) = (&mut peer.connection, &mut self.pump.protocol);
        let progress = connection.heard(news, name, drafted, &mut workspace, protocol, &mut budget);
        self.pump.note(progress);
        let at = workspace.cursors();
        self.workspaces.leave(lease, at);
        let possible = Possible {
            read: false,
            write: !peer.waiting.is_writable(),
        };
        let mut budget = Budget::new(self.settings.frames_per_event);
        self.run_link(token, possible, &mut budget);
        answer
    }
}

impl<K: Spawner + Opener, S: Service> Drop for Server<K, S> {
    /// No command outlives the server, however it ends.
    fn drop(&mut self) {
        if self.has_effects() {
            self.end_commands();
        }
    }
}
