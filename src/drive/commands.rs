//! Commands that requests wait for: started, read, ended and reaped by the loop that does all
//! else, which none of them holds up.
//!
//! ```text
//!   connection wants Await --> waiting --> a place is free: spawn --> output, piece by piece
//!                                                                         |
//!      answered  <-- reaped, group killed <-- all read and ended | too much | too late | peer gone
//! ```
//!
//! Output goes into the buffer that the connection holds anyway. A command is over when it has
//! ended and no process holds its pipe any more, so the output of background processes counts too.
//! Then, or if it is too much or too late, its whole group is killed before the command is reaped:
//! until then no other process can get the group's number.
//!
//! A command that has been started is never given up for a failure of ours: its connection gets its
//! answer. If epoll refuses to watch it, it is looked at from time to time instead. Nothing of this
//! is compiled for services that never await. See clone(2), waitid(2), pipe(7).

use std::io::{self, ErrorKind};

use crate::connection::Protocol;
use crate::kernel::{ChildEnd, Interest, Opener, Spawner, Token, Trigger};
use crate::limits::{COMMAND_OUTPUT_MAX, COMMAND_PIECE_SIZE, COMMAND_REAP_PAUSE, COMMAND_TIMEOUT};
use crate::service::{Effect, News, Service};

use super::Server;
use super::children::{Answering, Children, PeerName, Running};
use super::pump::Can;

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// All that commands will ever need, for connections in slots below `slots`.
    pub(super) fn places_for_commands(
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

    /// A connection wants its effect performed: it queues, unless it has done so.
    #[cold]
    pub(super) fn await_effect(&mut self, token: Token) {
        if self.children.of(token).is_none() && self.children.waiting.push(token.index()) {
            self.common.counters.command_waits += u64::from(self.children.is_short());
        }
    }

    /// Starts one command for whoever has waited longest, if there is a place. One a turn, because
    /// the thread stands still meanwhile and others want their turn too.
    pub(super) fn start_a_command(&mut self) {
        let (true, Some(place)) = (self.children.can_start(), self.children.vacant()) else {
            return;
        };
        let waiting = self.children.waiting.pop();
        let Some(token) = waiting.and_then(|slot| self.peers.token(slot)) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        let Some(Effect::Command(number)) = peer.connection.effect(&self.common.protocol) else {
            return;
        };
        let address = self.common.kernel.peer(&peer.socket).ok();
        let answer = Answering {
            peer: PeerName::of(address.as_ref()),
            drafted: 0,
        };
        match self.spawn(place, number, token, answer) {
            Ok(()) => self.common.counters.commands += 1,
            Err(error) => {
                self.common.counters.commands_not_started += 1;
                let effects = self.common.protocol.service.effects();
                let lines = effects.map_or(&[][..], |effects| effects.commands());
                let line = lines.get(number).map_or("", String::as_str);
                if let Some(more) = self.children.complaints[0].may_speak(self.common.now) {
                    log::warn!("{line:?} cannot be started: {error}{more}");
                }
                self.tell(token, answer, News::NotStarted);
            }
        }
    }

    fn spawn(
        &mut self,
        place: u32,
        number: usize,
        owner: Token,
        answer: Answering,
    ) -> io::Result<()> {
        let Some(command) = self.children.commands.get(number) else {
            return Err(ErrorKind::NotFound.into());
        };
        // From here on it runs.
        let child = self.common.kernel.spawn(command)?;
        let generation = self.children.next_generation();
        let name = |end| Token::child(place, generation, end);
        let watched = self.watch(&child.output, name(ChildEnd::Output), Interest::READ);
        let watched = watched.and_then(|()| {
            // Once is enough: it stays so until it is reaped, which may have to wait for its pipe.
            let once = Interest::READ.under(Trigger::Edge);
            self.watch(&child.exit, name(ChildEnd::Exit), once)
        });
        if let Err(error) = &watched {
            self.common.counters.refused_registration += 1;
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
            deadline: self.common.now.after(COMMAND_TIMEOUT),
            said: 0,
            answer,
        };
        self.children.settle(place, running, self.common.now);
        self.common.counters.commands_now += 1;
        Ok(())
    }

    fn watch(&mut self, socket: &K::Socket, token: Token, interest: Interest) -> io::Result<()> {
        self.common.counters.epoll_ctl += 1;
        self.common.kernel.register(socket, token, interest)
    }

    /// Something is reported of the program in `place`, or of one that had it before.
    #[cold]
    pub(super) fn hear_of(&mut self, place: u32, generation: u32, end: ChildEnd) {
        let running = self.children.get_mut(place);
        match (end, running.filter(|it| it.generation == generation)) {
            (_, None) => self.common.counters.stale_events += 1,
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

    /// Reads once of the output of a command, and hands it on; tells whether there was some.
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
        // One byte more than it may say shows that it says more.
        let asked = space.len().min(left + 1);
        let count = match self.common.kernel.take_output(output, &mut space[..asked]) {
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
                self.common.kernel.close(output);
            }
            return false;
        }
        let answer = running.answer;
        if kept > 0 {
            let answer = self.tell(owner, answer, News::Output(&space[..kept]));
            if let Some(running) = self.children.get_mut(place) {
                running.answer = answer;
            }
        }
        if count > kept {
            self.common.counters.commands_cut += 1;
            self.end(place, News::TooMuch);
        }
        true
    }

    /// Looks at a command that epoll does not report, and again after a while if it is not over.
    #[cold]
    fn look_after(&mut self, place: u32) {
        while self.take_output(place) {}
        let Some(running) = self.children.get_mut(place) else {
            return;
        };
        match self.common.kernel.has_ended(&running.exit) {
            Ok(has_ended) => running.has_ended |= has_ended,
            Err(error) => log::debug!("waitid: {error}"),
        }
        self.end_if_over(place);
        match self.children.get(place) {
            Some(running) if running.owner.is_some() => {
                let next = running.next_look(self.common.now);
                self.children.timers.arm(place, next);
            }
            _ => {}
        }
    }

    fn end_if_over(&mut self, place: u32) {
        let is_over = |it: &Running<_>| it.has_ended && it.output.is_none() && it.owner.is_some();
        if self.children.get(place).is_some_and(is_over) {
            self.end(place, News::Ended);
        }
    }

    /// A command is over for its connection, which hears why.
    fn end(&mut self, place: u32, news: News<'_>) {
        let Some(running) = self.children.get(place) else {
            return;
        };
        let (owner, answer) = (running.owner, running.answer);
        let complaint = match news {
            News::TooMuch => Some((1, "says too much")),
            News::TooLate => Some((2, "takes too long")),
            _ => None,
        };
        if let Some((kind, what)) = complaint {
            if let Some(more) = self.children.complaints[kind].may_speak(self.common.now) {
                log::warn!("a command {what}: it is killed with its process group{more}");
            }
        }
        self.disown(place);
        if let Some(owner) = owner {
            self.tell(owner, answer, news);
        }
    }

    /// No connection waits for the program in `place` any more: its group is killed, and it is
    /// reaped as soon as it has ended.
    fn disown(&mut self, place: u32) {
        let Some(running) = self.children.get_mut(place) else {
            return;
        };
        if running.owner.take().is_some() {
            self.common.counters.commands_now -= 1;
        }
        if let Some(output) = running.output.take() {
            self.common.kernel.close(output);
        }
        if let Err(error) = self.common.kernel.kill(running.id) {
            log::debug!("kill: {error}");
        }
        self.reap(place);
    }

    /// Takes note of a program's end; or looks again later, should nothing be reported.
    fn reap(&mut self, place: u32) {
        let Some(running) = self.children.get(place) else {
            return;
        };
        match self.common.kernel.reap(&running.exit) {
            Ok(false) => {
                let later = self.common.now.after(COMMAND_REAP_PAUSE);
                return self.children.timers.arm(place, later);
            }
            Ok(true) => {}
            // There is nothing left to wait for, then.
            Err(error) => log::debug!("waitid: {error}"),
        }
        if let Some(running) = self.children.remove(place) {
            self.common.kernel.close(running.exit);
        }
        // It may have hidden others.
        self.children.looks_for_orphans = true;
    }

    /// Ends commands that took too long, and looks at those whose end epoll does not report.
    pub(super) fn expire_commands(&mut self) {
        while let Some(place) = self.children.timers.pop_due(self.common.now) {
            match self.children.get(place) {
                None => {}
                Some(running) if running.owner.is_none() => self.reap(place),
                Some(running) if running.deadline > self.common.now => self.look_after(place),
                Some(_) => {
                    self.common.counters.commands_too_late += 1;
                    self.end(place, News::TooLate);
                }
            }
        }
    }

    /// A connection is gone, and with it the reason for its command.
    pub(super) fn abandon(&mut self, token: Token) {
        self.children.waiting.remove(token.index());
        if let Some(place) = self.children.of(token) {
            self.common.counters.commands_abandoned += 1;
            self.disown(place);
        }
    }

    /// All programs are killed: this is the end.
    pub(super) fn end_commands(&mut self) {
        for place in 0..self.children.places() {
            self.disown(place);
        }
    }

    /// A connection hears of its effect, and goes on as far as it can.
    fn tell(&mut self, token: Token, mut answer: Answering, news: News<'_>) -> Answering {
        let Some(peer) = self.peers.get_mut(token) else {
            return answer;
        };
        // It holds its request, and so a workspace.
        let Some(lease) = peer.lease.as_ref().filter(|_| peer.connection.awaits()) else {
            return answer;
        };
        let mut workspace = self.workspaces.open(lease);
        workspace.frames_left = self.settings.frames_per_event;
        let name = answer.peer;
        let (name, drafted) = (name.as_str(), &mut answer.drafted);
        let (connection, protocol) = (&mut peer.connection, &mut self.common.protocol);
        self.common.counters.frames +=
            connection.heard(news, name, drafted, &mut workspace, protocol);
        let at = workspace.cursors();
        self.workspaces.leave(lease, at);
        peer.active_at = self.common.now;
        let can = Can {
            read: false,
            write: !peer.registered.contains(Interest::WRITE),
        };
        self.work(token, can, self.settings.frames_per_event);
        answer
    }
}

impl<K: Spawner + Opener, S: Service> Drop for Server<K, S> {
    /// However it ends, no command goes on without it.
    fn drop(&mut self) {
        if self.has_effects() {
            self.end_commands();
        }
    }
}
