//! Opens the listeners of the workers of one process, for the program and for the library.
//!
//! The first worker opens each address first and stores the port that the kernel chose. Of a
//! listener that workers share, the others get another descriptor; otherwise they open the same
//! address. Invariant: a listener that is not returned is closed. Neighbours: `acceptor` accepts
//! from them, `kernel::Opener` makes the calls. See bind(2), listen(2).

use std::io;
use std::time::Duration;

use super::AcceptPolicy;
use crate::kernel::{Address, Datagrams, ListenOptions, OpenError, Opener, Sharing};
use crate::limits;
use crate::server::datagram::DatagramSocket;

/// The listeners of one worker.
#[derive(Debug)]
pub struct Listeners<Socket> {
    /// Listeners that no other worker has.
    pub own: Vec<Socket>,
    /// Listeners that every worker has.
    pub shared: Vec<Socket>,
    /// Listeners that this program was started with. Every worker has them, unless one accepts for
    /// all.
    pub inherited: Vec<Socket>,
}

impl<Socket> Default for Listeners<Socket> {
    fn default() -> Listeners<Socket> {
        Listeners {
            own: Vec::new(),
            shared: Vec::new(),
            inherited: Vec::new(),
        }
    }
}

/// Why an address is not listened on.
#[derive(Debug)]
pub enum NotOpened {
    /// It was refused.
    Refused(OpenError),
    /// The address of the listener is not known: getsockname(2).
    Unnamed(io::Error),
}

/// How the workers of a process share connections.
#[derive(Clone, Copy, Debug)]
pub struct Sharers {
    /// The number of workers.
    pub threads: usize,
    /// The policy.
    pub accept: AcceptPolicy,
}

/// Which workers have the listener at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holders {
    /// Each worker has a listener of its own.
    Each,
    /// All workers have the same one.
    All,
    /// Only the first worker has it.
    First,
}

impl Sharers {
    /// SO_REUSEPORT does not work for local sockets: a second worker would get EADDRINUSE. So the
    /// workers share one.
    fn holders(self, address: &Address) -> Holders {
        match (self.accept, address) {
            _ if self.threads == 1 => Holders::Each,
            // Only connections are handed over.
            (_, Address::Unixgram(_)) => Holders::All,
            (_, Address::Udp(_)) => Holders::Each,
            (AcceptPolicy::Handoff, _) => Holders::First,
            (AcceptPolicy::Exclusive, _) | (_, Address::Unix(_)) => Holders::All,
            (AcceptPolicy::Reuseport, _) => Holders::Each,
        }
    }

    /// Opens what `worker` listens on at `address`, which gets the port that the kernel chose, and
    /// adds it to `listeners`.
    pub fn open<K: Opener>(
        self,
        kernel: &mut K,
        address: &mut Address,
        options: &ListenOptions,
        worker: usize,
        listeners: &mut Listeners<K::Socket>,
    ) -> Result<(), NotOpened> {
        let holders = self.holders(address);
        if worker > 0 && holders != Holders::Each {
            return Ok(());
        }
        let options = ListenOptions {
            sharing: match (holders, self.threads, worker) {
                (Holders::All | Holders::First, ..) => Sharing::Alone,
                (Holders::Each, 1, _) => Sharing::Alone,
                (Holders::Each, _, 0) => Sharing::First,
                (Holders::Each, ..) => Sharing::Next,
            },
            ..options.clone()
        };
        let opened = kernel.listen(address, &options);
        let listener = opened.map_err(NotOpened::Refused)?;
        match kernel.local(&listener) {
            Ok(local) if address.is_datagrams() => *address = local.of_datagrams(),
            Ok(local) => *address = local,
            Err(error) => {
                kernel.close_listener(listener);
                return Err(NotOpened::Unnamed(error));
            }
        }
        match holders {
            Holders::All => listeners.shared.push(listener),
            Holders::Each | Holders::First => listeners.own.push(listener),
        }
        Ok(())
    }
}

impl<Socket> Listeners<Socket> {
    /// Other descriptors of the shared listeners, for each further worker, which gets so many of
    /// the inherited ones. If one is refused, the listeners of this worker are closed.
    pub fn copies<K: Opener<Socket = Socket>>(
        self,
        kernel: &mut K,
        inherited: impl Iterator<Item = usize>,
    ) -> io::Result<(Listeners<Socket>, Vec<Listeners<Socket>>)> {
        let copied = inherited.map(|inherited| {
            let mut copy = |those: &[Socket]| {
                let copies = those.iter().map(|listener| kernel.share(listener));
                copies.collect::<io::Result<Vec<_>>>()
            };
            Ok(Listeners {
                own: Vec::new(),
                shared: copy(&self.shared)?,
                inherited: copy(&self.inherited[..inherited])?,
            })
        });
        match copied.collect::<io::Result<Vec<_>>>() {
            Ok(copies) => Ok((self, copies)),
            Err(error) => {
                self.close(kernel);
                Err(error)
            }
        }
    }

    /// Takes the datagram sockets out, opened here or passed: the socket itself tells its type.
    pub fn take_datagrams<K>(&mut self, kernel: &mut K) -> io::Result<Vec<DatagramSocket<Socket>>>
    where
        K: Opener + Datagrams<Socket = Socket>,
    {
        let mut found = Vec::new();
        for (all, is_shared, is_passed) in [
            (&mut self.own, false, false),
            (&mut self.shared, true, false),
            (&mut self.inherited, true, true),
        ] {
            let mut place = 0;
            while place < all.len() {
                if !kernel.carries_datagrams(&all[place])? {
                    place += 1;
                    continue;
                }
                let address = kernel.local(&all[place])?.of_datagrams();
                found.push(DatagramSocket {
                    socket: all.remove(place),
                    address,
                    is_shared,
                    is_passed,
                });
            }
        }
        Ok(found)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Socket> {
        let others = self.shared.iter().chain(&self.inherited);
        self.own.iter().chain(others)
    }

    /// Closes all of them.
    pub fn close<K: Opener<Socket = Socket>>(self, kernel: &mut K) {
        for listener in self.into_all() {
            kernel.close_listener(listener);
        }
    }

    /// All of them, the inherited ones last.
    pub fn into_all(self) -> Vec<Socket> {
        let mut all = self.own;
        all.extend(self.shared);
        all.extend(self.inherited);
        all
    }
}

/// What a listener is opened with, unless options say more: replies are sent at once, and a peer
/// that is gone is found out.
pub fn listen_options(backlog: u32, stall_timeout: Option<Duration>) -> ListenOptions {
    ListenOptions {
        backlog,
        sharing: Sharing::Alone,
        nodelay: true,
        keepalive: Some(limits::KEEPALIVE),
        // This timeout also ends a zero window, so it must not be shorter than the stall time-out
        // (tcp(7), TCP_USER_TIMEOUT).
        user_timeout: stall_timeout.map(|stall| stall.max(limits::USER_TIMEOUT)),
        receive_buffer: None,
        send_buffer: None,
        defer_accept: None,
        unix_mode: None,
    }
}
