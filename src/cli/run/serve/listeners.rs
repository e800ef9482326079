//! Where `mynah serve` listens: from the endpoints of the command line to open listeners.
//!
//! Names are resolved before the signals are blocked. Sockets that were passed are taken as they
//! are, and the others are opened. If a listener cannot be opened, those before it are closed.
//! Neighbours: `serve` hands the listeners to the workers, `server::admission::listeners` opens
//! them. See bind(2), listen(2).

use std::net::{Ipv6Addr, UdpSocket};

use super::super::{Exit, Failure, io_failure, open_failure};
use super::passed::PassedSockets;
use super::takeover::Taken;
use crate::cli::options::Serve;
use crate::kernel::{Address, Endpoint, ListenOptions, Opener, Socket};
use crate::limits;
use crate::server::admission::AcceptPolicy;
use crate::server::admission::listeners::{Listeners, NotOpened, Sharers, listen_options};

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

/// How many inherited listeners a worker of a process has, of as many as the first one has. Without
/// a listener of its own it gets connections from the first one.
pub(super) fn inherited_by(options: &Serve, worker: usize, all: usize) -> usize {
    match options.accept {
        AcceptPolicy::Handoff if worker > 0 => 0,
        _ => all,
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
        let listen = ListenOptions {
            nodelay: options.nodelay,
            defer_accept: options.defer_accept.then_some(limits::DEFER_ACCEPT),
            unix_mode: options.unix_mode,
            ..listen_options(options.backlog, options.stall_timeout)
        };
        let sharers = Sharers {
            threads: options.threads,
            accept: options.accept,
        };
        for place in 0..addresses.len() {
            let (before, rest) = addresses.split_at_mut(place);
            let address = &mut rest[0];
            let endpoint = &options.listen[place];
            let predecessor = passed.predecessor.as_mut();
            let taken = predecessor.and_then(|it| it.take(options, place, worker));
            if matches!(endpoint, Endpoint::Passed(_)) {
                // What was taken over is the same listener.
                listeners.inherited.extend(passed.listener(endpoint));
                continue;
            }
            if let Some((taken, is_own)) = taken {
                take_in(taken, is_own, &mut listeners);
                continue;
            }
            if options.listen_halves.contains(&place) {
                take_port(address, before.last());
            }
            let opened = sharers.open(kernel, address, &listen, worker, &mut listeners);
            if let Err(refused) = opened {
                listeners.close(kernel);
                return Err(match refused {
                    NotOpened::Refused(error) => open_failure(address, error),
                    NotOpened::Unnamed(error) => io_failure("getsockname")(error),
                });
            }
        }
        Ok(listeners)
    }
}

/// Adds listeners of another process to those of a worker.
fn take_in(taken: Vec<Taken>, is_own: bool, listeners: &mut Listeners<Socket>) {
    for it in taken {
        match (it.is_inherited, is_own) {
            (true, _) => listeners.inherited.push(it.socket),
            (false, true) => listeners.own.push(it.socket),
            (false, false) => listeners.shared.push(it.socket),
        }
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
