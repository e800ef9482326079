//! Where `mynah serve` listens: from the endpoints of the command line to open listeners.
//!
//! Names are resolved before the signals are blocked. The first worker opens each address first and
//! stores the port that the kernel chose. Of a listener that workers share, the others get another
//! descriptor; otherwise they open the same addresses. If a listener cannot be opened, those before
//! it are closed. Neighbours: `serve` hands the listeners to the workers, `kernel::Opener` opens
//! them. See bind(2), listen(2).

use std::io;
use std::net::{Ipv6Addr, UdpSocket};

use super::super::{Exit, Failure, io_failure, open_failure};
use super::passed::PassedSockets;
use crate::cli::options::Serve;
use crate::kernel::{Address, Datagrams, Endpoint, ListenOptions, Opener, Sharing, Socket};
use crate::limits;
use crate::server::admission::AcceptPolicy;
use crate::server::datagram::DatagramSocket;

/// The address to listen on, see [`Endpoint::listen_address`].
pub(super) fn address_of(endpoint: &Endpoint) -> Result<Address, Failure> {
    let found = endpoint.listen_address();
    found.map_err(|reason| Failure::new(Exit::Bind, format!("bind {endpoint}: {reason}")))
}

/// Leaves out the IPv6 halves of `*:PORT` on a machine without IPv6.
pub(super) fn leave_out_ipv6_halves(options: &mut Serve) {
    if options.listen_halves.is_empty() || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok() {
        return;
    }
    for place in options.listen_halves.drain(..).rev() {
        options.listen.remove(place);
    }
    log::info!("this machine has no IPv6, so only IPv4 addresses are listened on");
}

/// The listeners of one worker.
pub(super) struct Listeners<Socket> {
    /// Listeners that no other worker has.
    pub(super) own: Vec<Socket>,
    /// Listeners that every worker has.
    pub(super) shared: Vec<Socket>,
    /// Listeners that this program was started with. Every worker has them, unless one accepts for
    /// all.
    pub(super) inherited: Vec<Socket>,
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

impl<Socket> Listeners<Socket> {
    /// Other descriptors of the shared listeners, for each further worker of a process. If one is
    /// refused, the listeners of this worker are closed.
    pub(super) fn copies<K: Opener<Socket = Socket>>(
        self,
        kernel: &mut K,
        options: &Serve,
    ) -> Result<(Listeners<Socket>, Vec<Listeners<Socket>>), Failure> {
        let copied = (1..options.threads).map(|worker| {
            let mut copy = |those: &[Socket]| {
                let copies = those.iter().map(|listener| kernel.share(listener));
                copies.collect::<io::Result<Vec<_>>>()
            };
            Ok(Listeners {
                own: Vec::new(),
                shared: copy(&self.shared)?,
                inherited: copy(&self.inherited[..inherited_by(options, worker)])?,
            })
        });
        let copied = copied.collect::<io::Result<Vec<_>>>();
        match copied {
            Ok(copies) => Ok((self, copies)),
            Err(error) => {
                self.close(kernel);
                Err(io_failure("fcntl")(error))
            }
        }
    }

    /// Takes the datagram sockets out, whoever has opened them: the socket itself tells what it is.
    pub(super) fn take_datagrams<K>(
        &mut self,
        kernel: &mut K,
    ) -> io::Result<Vec<DatagramSocket<Socket>>>
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

    fn close<K: Opener<Socket = Socket>>(self, kernel: &mut K) {
        for listener in self
            .own
            .into_iter()
            .chain(self.shared)
            .chain(self.inherited)
        {
            kernel.close_listener(listener);
        }
    }

    /// All of them, the inherited ones last.
    pub(super) fn into_all(self) -> Vec<Socket> {
        let all = self.own.into_iter().chain(self.shared);
        all.chain(self.inherited).collect()
    }
}

/// How many inherited listeners a worker of a process has. Without a listener of its own it gets
/// connections from the first one.
pub(super) fn inherited_by(options: &Serve, worker: usize) -> usize {
    let listeners = options.listen.iter();
    let inherited = listeners.filter(|endpoint| matches!(endpoint, Endpoint::Passed(_)));
    match options.accept {
        AcceptPolicy::Handoff if worker > 0 => 0,
        _ => inherited.count(),
    }
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

/// SO_REUSEPORT does not work for local sockets: a second worker would get EADDRINUSE. So the
/// workers share one.
fn holders(address: &Address, options: &Serve) -> Holders {
    match (options.accept, address) {
        _ if options.threads == 1 => Holders::Each,
        // Only connections are handed over.
        (_, Address::Unixgram(_)) => Holders::All,
        (_, Address::Udp(_)) => Holders::Each,
        (AcceptPolicy::Handoff, _) => Holders::First,
        (AcceptPolicy::Exclusive, _) | (_, Address::Unix(_)) => Holders::All,
        (AcceptPolicy::Reuseport, _) => Holders::Each,
    }
}

/// What the workers of a server open one after the other.
pub(super) struct Open<'a> {
    pub(super) options: &'a Serve,
    /// The addresses of the endpoints, with the ports that the kernel has chosen so far.
    pub(super) addresses: &'a mut [Address],
    pub(super) passed: &'a mut PassedSockets,
}

impl Open<'_> {
    /// Opens one listener per address, and adds it to those that the worker has already. The first
    /// worker stores the ports that the kernel chose, and the other workers listen on the same
    /// ports, unless they share the listener.
    pub(super) fn listeners<K: Opener<Socket = Socket>>(
        &mut self,
        kernel: &mut K,
        worker: usize,
        mut listeners: Listeners<Socket>,
    ) -> Result<Listeners<Socket>, Failure> {
        let Open {
            options,
            addresses,
            passed,
        } = self;
        let mut listen = ListenOptions {
            backlog: options.backlog,
            sharing: Sharing::Alone,
            nodelay: options.nodelay,
            keepalive: Some(limits::KEEPALIVE),
            // This timeout also ends a zero window, so it must not be shorter than the stall
            // time-out (tcp(7), TCP_USER_TIMEOUT).
            user_timeout: (options.stall_timeout).map(|stall| stall.max(limits::USER_TIMEOUT)),
            receive_buffer: None,
            send_buffer: None,
            defer_accept: options.defer_accept.then_some(limits::DEFER_ACCEPT),
            unix_mode: options.unix_mode,
        };
        for place in 0..addresses.len() {
            let (before, rest) = addresses.split_at_mut(place);
            let address = &mut rest[0];
            let endpoint = &options.listen[place];
            if matches!(endpoint, Endpoint::Passed(_)) {
                listeners.inherited.extend(passed.listener(endpoint));
                continue;
            }
            if options.listen_halves.contains(&place) {
                take_port(address, before.last());
            }
            let holders = holders(address, options);
            if worker > 0 && holders != Holders::Each {
                continue;
            }
            listen.sharing = match (holders, options.threads, worker) {
                (Holders::All | Holders::First, ..) => Sharing::Alone,
                (Holders::Each, 1, _) => Sharing::Alone,
                (Holders::Each, _, 0) => Sharing::First,
                (Holders::Each, ..) => Sharing::Next,
            };
            let is_shared = holders == Holders::All;
            match open_listener(kernel, address, &listen) {
                Ok(listener) if is_shared => listeners.shared.push(listener),
                Ok(listener) => listeners.own.push(listener),
                Err(failure) => {
                    listeners.close(kernel);
                    return Err(failure);
                }
            }
        }
        Ok(listeners)
    }
}

/// Gives the IPv6 half of `*:0` the port that the kernel chose for the IPv4 half.
fn take_port(address: &mut Address, half: Option<&Address>) {
    match (address, half) {
        (Address::Tcp(address), Some(Address::Tcp(half)))
        | (Address::Udp(address), Some(Address::Udp(half))) => address.set_port(half.port()),
        _ => {}
    }
}

/// Listens on `address` and stores in it the port that the kernel chose.
fn open_listener<K: Opener>(
    kernel: &mut K,
    address: &mut Address,
    options: &ListenOptions,
) -> Result<K::Socket, Failure> {
    let opened = kernel.listen(address, options);
    let listener = opened.map_err(|error| open_failure(address, error))?;
    match kernel.local(&listener) {
        Ok(local) => {
            *address = match address.is_datagrams() {
                true => local.of_datagrams(),
                false => local,
            };
            Ok(listener)
        }
        Err(error) => {
            kernel.close_listener(listener);
            Err(io_failure("getsockname")(error))
        }
    }
}
