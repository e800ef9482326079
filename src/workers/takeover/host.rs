//! What speaks with a new process: opens to it, and does what `holder` decides.
//!
//! It belongs to the first worker of the running process, or to the supervisor of worker processes.
//! The listeners of either are sent as they are. Those that only other workers have are kept here
//! as copies, because they live on other threads. Neighbours: `holder`, which knows no socket;
//! `mod` and `processes::supervisor`, which tell the workers.

use std::io;

use super::holder::{Holder, Step, Terms};
use super::message::{Message, Role};
use crate::kernel::{Doorway, Interest, Passage, Poller, Sockets, Time, Token};
use crate::limits::{LISTENER_PAUSE_MAX, PASSED_PER_MESSAGE, TAKEOVER_MESSAGE_MAX};

/// A copy of a listener that the keeper does not have.
pub(in crate::workers) struct Copy<Socket> {
    /// The copy.
    pub(in crate::workers) socket: Socket,
    /// What it is.
    pub(in crate::workers) role: Role,
}

/// What has the listeners: a server, or a supervisor.
pub(in crate::workers) trait Keeper<Socket> {
    /// What watches the doorway and the other process.
    type Kernel: Poller<Socket = Socket>;

    fn kernel(&mut self) -> &mut Self::Kernel;

    fn now(&self) -> Time;

    /// The listeners, and what each is.
    fn offered(&self) -> Vec<(Role, &Socket)>;

    /// The other process is about to be told that it serves. Returns `false` if this one ends
    /// instead.
    fn promise(&mut self) -> bool;

    /// The other process has ended, or is turned away, and this one serves on alone.
    fn keep(&mut self);
}

/// This process leaves: the connections go over the passage.
pub(in crate::workers) struct Leaving<Socket> {
    pub(in crate::workers) passage: Box<dyn Passage<Socket>>,
    pub(in crate::workers) terms: Terms,
}

/// What speaks with a new process.
pub(in crate::workers) struct Host<Socket> {
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
    pub(in crate::workers) fn open(
        kernel: &mut impl Poller<Socket = Socket>,
        identity: String,
        doorway: Box<dyn Doorway<Socket>>,
        copies: Vec<Copy<Socket>>,
    ) -> io::Result<Host<Socket>> {
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
    pub(in crate::workers) fn own(&mut self) {
        self.doorway.own();
    }

    pub(in crate::workers) fn deadline(&self) -> Time {
        let opens = self.closed_until.unwrap_or(Time::NEVER);
        self.holder.deadline().min(opens)
    }

    /// Watches the doorway, or does not for a while: a process that cannot be taken in would be
    /// reported in every turn.
    fn watch(&mut self, keeper: &mut impl Keeper<Socket>, until: Option<Time>) {
        let interest = match until {
            None => Interest::READ,
            Some(_) => Interest::NONE,
        };
        let kernel = keeper.kernel();
        match kernel.reregister(self.doorway.descriptor(), Token::DOORWAY, interest) {
            Ok(()) => self.closed_until = until,
            Err(error) => log::warn!("takeover: epoll_ctl: {error}"),
        }
    }

    /// Accepts, listens and answers. Returns how this process leaves, if it does from now on.
    pub(in crate::workers) fn advance(
        &mut self,
        keeper: &mut impl Keeper<Socket>,
        is_asked: bool,
    ) -> Option<Leaving<Socket>> {
        self.now = keeper.now();
        if is_asked {
            // What has come in time is heard before anything is late.
            let leaving = self.listen(keeper);
            if leaving.is_some() {
                return leaving;
            }
        }
        let step = self.holder.expire(self.now);
        self.act(keeper, step);
        if self.closed_until.is_some_and(|until| until <= self.now) {
            self.watch(keeper, None);
        }
        if !is_asked {
            return None;
        }
        self.accept(keeper);
        // A process that is quick has spoken already.
        self.listen(keeper)
    }

    /// Accepts a new process at the doorway.
    fn accept(&mut self, keeper: &mut impl Keeper<Socket>) {
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
                            return self.watch(keeper, Some(until));
                        }
                    }
                }
            };
            if let Err(reason) = self.holder.come(self.now) {
                let _ = visitor.send(&Message::Refused(reason).to_bytes(), &[]);
                continue;
            }
            let kernel = keeper.kernel();
            match kernel.register(visitor.descriptor(), Token::PASSAGE, Interest::READ) {
                Ok(()) => self.visitor = Some(visitor),
                Err(error) => {
                    log::warn!("takeover: epoll_ctl: {error}");
                    let _ = self.holder.ended();
                }
            }
        }
    }

    /// Hears what the other process says. Returns how this one leaves, if it does from now on.
    fn listen(&mut self, keeper: &mut impl Keeper<Socket>) -> Option<Leaving<Socket>> {
        while let Some(heard) = self.receive(keeper) {
            let step = match heard {
                Ok(message) => self.holder.hear(&message, self.now),
                Err(()) => self.holder.ended(),
            };
            if let Some(terms) = self.act(keeper, step) {
                return self.leave(keeper, terms);
            }
        }
        None
    }

    /// The next message of the other process, or its end as an error; `None` if nothing has come.
    fn receive(&self, keeper: &mut impl Keeper<Socket>) -> Option<Result<Vec<u8>, ()>> {
        let (mut space, mut sockets) = ([0; TAKEOVER_MESSAGE_MAX], Vec::new());
        let size = self.visitor.as_ref()?.receive(&mut space, &mut sockets);
        // No message of the new process has sockets.
        let kernel = keeper.kernel();
        sockets.drain(..).for_each(|socket| kernel.close(socket));
        match size {
            Ok(0) => Some(Err(())),
            Ok(size) => Some(Ok(space[..size].to_vec())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(Err(())),
        }
    }

    /// Does what the holder wants. Returns what the other process takes, if this one is to leave.
    fn act(&mut self, keeper: &mut impl Keeper<Socket>, step: Step) -> Option<Terms> {
        match step {
            Step::Nothing => {}
            Step::Offer(version) => {
                if let Err(error) = self.offer(keeper, version) {
                    log::warn!("takeover: the listeners cannot be sent: {error}");
                    let step = self.holder.ended();
                    return self.act(keeper, step);
                }
                log::info!("takeover: a new process has the listeners, and starts");
            }
            Step::Promise(terms) => {
                let step = self.promise(keeper, terms);
                return self.act(keeper, step);
            }
            Step::Leave(terms) => return Some(terms),
            Step::Remind => log::warn!(
                "takeover: the new process does not confirm that it serves; both serve until it \
                 does or ends"
            ),
            Step::TurnAway(reason) => {
                match &reason {
                    Some(reason) => log::warn!("takeover: refused: {reason}"),
                    None => log::warn!(
                        "takeover: the new process has ended before it served; this one goes on"
                    ),
                }
                if let (Some(visitor), Some(reason)) = (self.dismiss(keeper.kernel()), reason) {
                    let _ = visitor.send(&Message::Refused(reason).to_bytes(), &[]);
                }
                keeper.keep();
            }
        }
        None
    }

    /// Tells the other process that it serves.
    fn promise(&mut self, keeper: &mut impl Keeper<Socket>, terms: Terms) -> Step {
        if !keeper.promise() {
            // The one that ends closes the doorway soon, and says so to the other process.
            return Step::Nothing;
        }
        let yours = Message::Yours.to_bytes();
        let told = self.visitor.as_ref().map(|it| it.send(&yours, &[]));
        match told {
            Some(Ok(())) => self.holder.promised(terms, self.now),
            _ => self.holder.ended(),
        }
    }

    /// Sends copies of the listeners and of the doorway.
    fn offer(&self, keeper: &impl Keeper<Socket>, version: u16) -> io::Result<()> {
        let others = self.copies.iter().map(|it| (it.role, &it.socket));
        let doorway = (Role::Doorway, self.doorway.descriptor());
        let mut all = keeper.offered();
        all.extend(others.chain([doorway]));
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

    /// Leaves, unless the other process has ended behind its last word.
    fn leave(&mut self, keeper: &mut impl Keeper<Socket>, terms: Terms) -> Option<Leaving<Socket>> {
        if let Some(Err(())) = self.receive(keeper) {
            let step = self.holder.ended();
            self.act(keeper, step);
            return None;
        }
        let passage = self.dismiss(keeper.kernel())?;
        self.holder.left();
        Some(Leaving { passage, terms })
    }

    /// Ends the watch of the other process.
    fn dismiss(
        &mut self,
        kernel: &mut impl Poller<Socket = Socket>,
    ) -> Option<Box<dyn Passage<Socket>>> {
        let visitor = self.visitor.take()?;
        let _ = kernel.deregister(visitor.descriptor());
        Some(visitor)
    }

    /// Whether the other process was told that it serves, and has not confirmed that.
    pub(in crate::workers) fn has_promised(&self) -> bool {
        self.holder.has_promised()
    }

    /// The other process has the doorway from now on.
    pub(in crate::workers) fn end(mut self, kernel: &mut impl Poller<Socket = Socket>) {
        self.close_copies(kernel);
        self.doorway.leave();
    }

    /// This process ends by itself: no other process may begin to take over. One that was told that
    /// it serves goes on.
    pub(in crate::workers) fn close(mut self, kernel: &mut impl Poller<Socket = Socket>) {
        if self.holder.has_promised() {
            return self.end(kernel);
        }
        if let Some(visitor) = &self.visitor {
            // The listeners are made to take no more connections, and it has the same ones.
            let reason = "the running server was told to end".to_owned();
            let _ = visitor.send(&Message::Refused(reason).to_bytes(), &[]);
        }
        self.close_copies(kernel);
        self.doorway.close();
    }

    fn close_copies(&mut self, kernel: &mut impl Poller<Socket = Socket>) {
        // Its registration would live as long as the copy of the other process.
        let _ = kernel.deregister(self.doorway.descriptor());
        self.dismiss(kernel);
        let copies = self.copies.drain(..);
        copies.for_each(|copy| kernel.close(copy.socket));
    }
}
