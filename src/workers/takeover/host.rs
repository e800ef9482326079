//! The first worker of the running process: opens to a new process, and does what `holder` decides.
//!
//! The listeners of the first worker are sent as they are. Those that only other workers have are
//! kept here as copies, because they live on other threads. Neighbours: `holder`, which knows no
//! socket; `mod`, which tells the other workers.

use std::io;

use super::Desk;
use super::holder::{Holder, Step};
use super::message::{Message, Role};
use crate::kernel::{Doorway, Interest, Opener, Passage, Spawner, Time, Token};
use crate::limits::{LISTENER_PAUSE_MAX, PASSED_PER_MESSAGE, TAKEOVER_MESSAGE_MAX};
use crate::protocol::service::Service;
use crate::server::Server;

/// A copy of a listener that the first worker does not have.
pub(in crate::workers) struct Copy<Socket> {
    /// The copy.
    pub(in crate::workers) socket: Socket,
    /// What it is.
    pub(in crate::workers) role: Role,
}

/// What speaks with a new process.
pub(super) struct Host<Socket> {
    holder: Holder,
    doorway: Box<dyn Doorway<Socket>>,
    visitor: Option<Box<dyn Passage<Socket>>>,
    copies: Vec<Copy<Socket>>,
    /// The doorway is not watched until then.
    closed_until: Option<Time>,
    now: Time,
}

impl<Socket> Host<Socket> {
    /// Watches the doorway.
    pub(super) fn open<K, S>(
        server: &mut Server<K, S>,
        identity: String,
        doorway: Box<dyn Doorway<Socket>>,
        copies: Vec<Copy<Socket>>,
    ) -> io::Result<Host<Socket>>
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let kernel = server.kernel_mut();
        kernel.register(doorway.descriptor(), Token::DOORWAY, Interest::READ)?;
        Ok(Host {
            holder: Holder::new(identity),
            doorway,
            visitor: None,
            copies,
            closed_until: None,
            now: Time::default(),
        })
    }

    /// The path of the doorway belongs to this process from now on.
    pub(super) fn own(&mut self) {
        self.doorway.own();
    }

    pub(super) fn deadline(&self) -> Time {
        let opens = self.closed_until.unwrap_or(Time::NEVER);
        self.holder.deadline().min(opens)
    }

    /// Watches the doorway, or does not for a while: a process that cannot be taken in would be
    /// reported in every turn.
    fn watch<K, S>(&mut self, server: &mut Server<K, S>, until: Option<Time>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let interest = match until {
            None => Interest::READ,
            Some(_) => Interest::NONE,
        };
        let kernel = server.kernel_mut();
        match kernel.reregister(self.doorway.descriptor(), Token::DOORWAY, interest) {
            Ok(()) => self.closed_until = until,
            Err(error) => log::warn!("takeover: epoll_ctl: {error}"),
        }
    }

    /// Accepts, listens and answers. Returns whether this process leaves from now on.
    pub(super) fn advance<K, S>(
        &mut self,
        server: &mut Server<K, S>,
        desk: &Desk<Socket>,
        is_asked: bool,
    ) -> bool
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        self.now = server.now();
        let step = self.holder.expire(self.now);
        self.act(server, desk, step);
        if self.closed_until.is_some_and(|until| until <= self.now) {
            self.watch(server, None);
        }
        if !is_asked {
            return false;
        }
        if self.listen(server, desk) {
            return true;
        }
        self.accept(server);
        // A process that is quick has spoken already.
        self.listen(server, desk)
    }

    /// Accepts a new process at the doorway.
    fn accept<K, S>(&mut self, server: &mut Server<K, S>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        loop {
            let visitor = match self.doorway.accept() {
                Ok(visitor) => visitor,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::warn!("takeover: a process is turned away: {error}");
                    match error.kind() {
                        io::ErrorKind::PermissionDenied => continue,
                        // Descriptors, probably.
                        _ => {
                            let until = self.now.after(LISTENER_PAUSE_MAX);
                            return self.watch(server, Some(until));
                        }
                    }
                }
            };
            if let Err(reason) = self.holder.come(self.now) {
                let _ = visitor.send(&Message::Refused(reason).to_bytes(), &[]);
                continue;
            }
            let kernel = server.kernel_mut();
            match kernel.register(visitor.descriptor(), Token::PASSAGE, Interest::READ) {
                Ok(()) => self.visitor = Some(visitor),
                Err(error) => {
                    log::warn!("takeover: epoll_ctl: {error}");
                    let _ = self.holder.ended();
                }
            }
        }
    }

    /// Hears what the other process says. Returns whether this one leaves from now on.
    fn listen<K, S>(&mut self, server: &mut Server<K, S>, desk: &Desk<Socket>) -> bool
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let (mut space, mut sockets) = ([0; TAKEOVER_MESSAGE_MAX], Vec::new());
        while let Some(visitor) = &self.visitor {
            let step = match visitor.receive(&mut space, &mut sockets) {
                Ok(0) => self.holder.ended(),
                Ok(size) => self.holder.hear(&space[..size], self.now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.holder.ended(),
            };
            // No message of the new process has sockets.
            let kernel = server.kernel_mut();
            sockets.drain(..).for_each(|socket| kernel.close(socket));
            if self.act(server, desk, step) {
                return true;
            }
        }
        false
    }

    /// Does what the holder wants. Returns whether this process leaves from now on.
    fn act<K, S>(&mut self, server: &mut Server<K, S>, desk: &Desk<Socket>, step: Step) -> bool
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        match step {
            Step::Nothing => {}
            Step::Offer(version) => {
                if let Err(error) = self.offer(server, version) {
                    log::warn!("takeover: the listeners cannot be sent: {error}");
                    let step = self.holder.ended();
                    self.act(server, desk, step);
                } else {
                    log::info!("takeover: a new process has the listeners, and starts");
                }
            }
            Step::Leave { room, batch } => {
                let told = (self.visitor.as_ref())
                    .map_or(Err(io::ErrorKind::BrokenPipe.into()), |visitor| {
                        visitor.send(&Message::Yours.to_bytes(), &[])
                    });
                if told.is_ok() {
                    self.holder.left();
                    if let Some(visitor) = self.dismiss(server) {
                        desk.leave(visitor, room, batch);
                    }
                    return true;
                }
                let step = self.holder.ended();
                self.act(server, desk, step);
            }
            Step::TurnAway(reason) => {
                match &reason {
                    Some(reason) => log::warn!("takeover: refused: {reason}"),
                    None => log::warn!(
                        "takeover: the new process has ended before it served; this one goes on"
                    ),
                }
                if let (Some(visitor), Some(reason)) = (self.dismiss(server), reason) {
                    let _ = visitor.send(&Message::Refused(reason).to_bytes(), &[]);
                }
            }
        }
        false
    }

    /// Sends copies of the listeners and of the doorway.
    fn offer<K, S>(&self, server: &mut Server<K, S>, version: u16) -> io::Result<()>
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let own = server.offered();
        let own = own.iter().map(|it| (Role::of(it.is_inherited), it.socket));
        let others = self.copies.iter().map(|it| (it.role, &it.socket));
        let doorway = (Role::Doorway, self.doorway.descriptor());
        let all: Vec<_> = own.chain(others).chain([doorway]).collect();
        let total = u16::try_from(all.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let visitor = self.visitor.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        for part in all.chunks(PASSED_PER_MESSAGE) {
            let roles = part.iter().map(|(role, _)| *role).collect();
            let message = Message::Listeners {
                version,
                total,
                roles,
            };
            let sockets: Vec<&Socket> = part.iter().map(|(_, socket)| *socket).collect();
            visitor.send(&message.to_bytes(), &sockets)?;
        }
        Ok(())
    }

    /// Ends the watch of the other process.
    fn dismiss<K, S>(&mut self, server: &mut Server<K, S>) -> Option<Box<dyn Passage<Socket>>>
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let visitor = self.visitor.take()?;
        let _ = server.kernel_mut().deregister(visitor.descriptor());
        Some(visitor)
    }

    /// The other process has the doorway from now on.
    pub(super) fn leave<K, S>(mut self, server: &mut Server<K, S>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        self.end(server);
        self.doorway.leave();
    }

    /// No other process may take over.
    pub(super) fn close<K, S>(mut self, server: &mut Server<K, S>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        if let Some(visitor) = &self.visitor {
            // The listeners are made to take no more connections, and it has the same ones.
            let reason = "the running server was told to end".to_owned();
            let _ = visitor.send(&Message::Refused(reason).to_bytes(), &[]);
        }
        self.end(server);
        self.doorway.close();
    }

    fn end<K, S>(&mut self, server: &mut Server<K, S>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        // Its registration would live as long as the copy of the other process.
        let _ = server.kernel_mut().deregister(self.doorway.descriptor());
        self.dismiss(server);
        let kernel = server.kernel_mut();
        let copies = self.copies.drain(..);
        copies.for_each(|copy| kernel.close(copy.socket));
    }
}
