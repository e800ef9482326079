//! Where `mynah serve` listens: from the endpoints of the command line to open listeners.
//!
//! Names are resolved before the signals are blocked. The first worker opens each address first and
//! stores the port that the kernel chose; the other workers open the same addresses. If a listener
//! cannot be opened, those before it are closed. Neighbours: `serve` hands the listeners to the
//! workers, `kernel::Opener` opens them. See bind(2), listen(2).

use super::super::{Exit, Failure, io_failure, open_failure};
use crate::cli::options::Serve;
use crate::kernel::{Address, Endpoint, ListenOptions, Opener, Sharing};
use crate::limits;

/// The address to listen on. For a name it is the first IPv4 address, so that `localhost` means the
/// same address as a port alone; otherwise the first address. Only one address is used, because two
/// listeners need two options. If that address is in use no other is tried, because the port then
/// belongs to another server.
pub(super) fn address_of(endpoint: &Endpoint) -> Result<Address, Failure> {
    let found = endpoint.resolve().and_then(|addresses| {
        let is_ipv4 = |address: &&Address| matches!(address, Address::Tcp(at) if at.is_ipv4());
        let preferred = addresses.iter().find(is_ipv4).or(addresses.first());
        preferred
            .cloned()
            .ok_or_else(|| "it has no address".to_owned())
    });
    found.map_err(|reason| Failure::new(Exit::Bind, format!("bind {endpoint}: {reason}")))
}

/// Opens one listener per address. The first worker stores the ports that the kernel chose, and the
/// other workers listen on the same ports.
pub(super) fn open_listeners<K: Opener>(
    kernel: &mut K,
    addresses: &mut [Address],
    options: &Serve,
    worker: usize,
) -> Result<Vec<K::Socket>, Failure> {
    let listen = ListenOptions {
        backlog: options.backlog,
        sharing: match (options.threads, worker) {
            (1, _) => Sharing::Alone,
            (_, 0) => Sharing::First,
            _ => Sharing::Next,
        },
        nodelay: options.nodelay,
        keepalive: Some(limits::KEEPALIVE),
        // This timeout also ends a zero window, so it must not be shorter than the stall time-out
        // (tcp(7), TCP_USER_TIMEOUT).
        user_timeout: (options.stall_timeout).map(|stall| stall.max(limits::USER_TIMEOUT)),
        receive_buffer: None,
        send_buffer: None,
        defer_accept: options.defer_accept.then_some(limits::DEFER_ACCEPT),
    };
    let mut listeners = Vec::new();
    for address in addresses {
        match open_listener(kernel, address, &listen) {
            Ok(listener) => listeners.push(listener),
            Err(failure) => {
                for listener in listeners {
                    kernel.close_listener(listener);
                }
                return Err(failure);
            }
        }
    }
    Ok(listeners)
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
            *address = local;
            Ok(listener)
        }
        Err(error) => {
            kernel.close_listener(listener);
            Err(io_failure("getsockname")(error))
        }
    }
}
