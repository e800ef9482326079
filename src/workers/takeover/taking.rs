//! One worker of the new process: takes the connections that the running process sends.
//!
//! All workers watch the same passage, and each message goes to one of them. A worker without room
//! for a whole message leaves it to the others, and looks again when it may have room. Neighbours:
//! `giving` is the other side, `server::handover` goes on with a connection.

use std::io;

use super::message::Message;
use crate::kernel::{Interest, Opener, Passage, Spawner, Time, Token};
use crate::limits::{
    CONNECTIONS_PER_MESSAGE, TAKEOVER_MESSAGE_MAX, TAKEOVER_MESSAGES_PER_TURN, TAKEOVER_PAUSE,
};
use crate::protocol::service::Service;
use crate::server::Server;

/// A worker that takes over.
pub(super) struct Taking<Socket> {
    passage: Box<dyn Passage<Socket>>,
    /// The poller reports the passage.
    is_watched: bool,
    again_at: Time,
    /// A worker of the other process has left its listeners.
    is_left: bool,
}

impl<Socket> Taking<Socket> {
    /// Begins to watch the passage, if that is possible.
    pub(super) fn begin<K, S>(
        server: &mut Server<K, S>,
        passage: Box<dyn Passage<Socket>>,
    ) -> Option<Taking<Socket>>
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let mut taking = Taking {
            passage,
            is_watched: false,
            again_at: Time::NEVER,
            is_left: false,
        };
        // The worker that accepts for others has promised their free slots to its listeners.
        let may_take = !server.is_served();
        (may_take && taking.watch(server)).then_some(taking)
    }

    pub(super) fn deadline(&self) -> Time {
        self.again_at
    }

    /// Whether a worker of the other process has left its listeners since this was last asked: the
    /// kernel may have told only that worker of a connection.
    pub(super) fn take_left(&mut self) -> bool {
        std::mem::take(&mut self.is_left)
    }

    fn watch<K, S>(&mut self, server: &mut Server<K, S>) -> bool
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let kernel = server.kernel_mut();
        let interest = Interest::READ | Interest::EXCLUSIVE;
        let watched = kernel.register(self.passage.descriptor(), Token::PASSAGE, interest);
        if let Err(error) = &watched {
            log::error!("takeover: epoll_ctl: {error}: this worker takes no connections over");
        }
        self.is_watched = watched.is_ok();
        self.is_watched
    }

    fn unwatch<K, S>(&mut self, server: &mut Server<K, S>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        if std::mem::take(&mut self.is_watched) {
            // Other workers have it too.
            let _ = server.kernel_mut().deregister(self.passage.descriptor());
        }
    }

    /// The other process keeps what it has not sent yet.
    pub(super) fn refuse_more(&self) {
        self.passage.refuse_more();
    }

    /// Takes what has come. Returns whether more may come.
    pub(super) fn advance<K, S>(&mut self, server: &mut Server<K, S>) -> bool
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        self.again_at = Time::NEVER;
        for _ in 0..TAKEOVER_MESSAGES_PER_TURN {
            if server.room() < batch_of(server) {
                // Another worker may have room. If none has, the connections wait, as in the queue
                // of a listener.
                self.unwatch(server);
                self.again_at = server.now().after(TAKEOVER_PAUSE);
                return true;
            }
            match self.take(server) {
                Ok(true) => {}
                Ok(false) => {
                    self.unwatch(server);
                    return false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.is_watched || self.watch(server);
                }
                Err(error) => log::error!("takeover: connections are lost: recvmsg: {error}"),
            }
        }
        // The next turn takes more.
        self.again_at = server.now();
        true
    }

    /// Takes one message. Returns `false` at the end.
    fn take<K, S>(&mut self, server: &mut Server<K, S>) -> io::Result<bool>
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let (mut space, mut sockets) = ([0; TAKEOVER_MESSAGE_MAX], Vec::new());
        let size = self.passage.receive(&mut space, &mut sockets);
        let handed = match size {
            Ok(0) => return Ok(false),
            Ok(size) => Message::from_bytes(&space[..size]),
            // The kernel makes as many descriptors as there may be, and drops the other sockets.
            Err(ref error) if error.kind() == io::ErrorKind::InvalidData => {
                Message::from_bytes(&space)
            }
            // The other process has ended.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        match handed {
            Some(Message::Connections(handed)) if handed.len() >= sockets.len() => {
                if handed.is_empty() {
                    // A worker of the other process has left its listeners.
                    self.is_left = true;
                }
                let lost = handed.len() - sockets.len();
                for (socket, handed) in sockets.into_iter().zip(&handed) {
                    server.take_over(socket, handed);
                }
                if lost > 0 {
                    log::error!("takeover: {lost} connections are lost, for want of descriptors");
                }
            }
            _ => {
                let kernel = server.kernel_mut();
                sockets.into_iter().for_each(|socket| kernel.close(socket));
                return Err(io::Error::other("a message that is not expected here"));
            }
        }
        Ok(true)
    }
}

/// How many connections a worker takes in one message.
pub(super) fn batch_of<K, S>(server: &Server<K, S>) -> usize
where
    K: Spawner + Opener,
    S: Service,
{
    server.capacity().min(CONNECTIONS_PER_MESSAGE)
}
