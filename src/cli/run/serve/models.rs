//! `--model`: what differs at the start when each connection gets a thread or a process.
//!
//! The listeners, the signals and the acceptor are those of one epoll worker; only its connections
//! are handed out. Neighbours: `serve`, which calls this; `server::blocking`, the drivers.

use std::any::Any;
use std::io;
use std::sync::Arc;

use super::super::{Exit, Failure, io_failure};
use super::transport::{Carrier, Secure};
use super::worker::{Opened, start_worker};
use crate::cli::options::{Serve, ServiceName};
use crate::kernel::blocking::WakeUps;
use crate::kernel::{Linux, Traced, Trigger};
use crate::limits;
use crate::protocol::connection::Protocol;
use crate::protocol::service::{AnyService, Service};
use crate::server::admission::announced::SharedCounts;
use crate::server::blocking::{Drive, Load, Model};
#[cfg(feature = "auth")]
use crate::server::ftp;
use crate::server::plan::{Apart, Demand, Plan};
use crate::server::{Server, Settings};

/// Hands the connections of a server out.
pub(super) type HandOut<K, S> = fn(&mut Server<K, S>, Drive<S>) -> io::Result<()>;

/// How the connections of `options` are handed out: those of FTP to its sessions.
pub(super) fn hand_out_of<K: Carrier, S: Service + 'static>(
    options: &Serve,
) -> Option<HandOut<K, S>> {
    #[cfg(feature = "auth")]
    if options.ftp.is_some() {
        let of_any: HandOut<Traced<Linux>, AnyService> = ftp::hand_out;
        return (&of_any as &dyn Any)
            .downcast_ref::<HandOut<K, S>>()
            .copied();
    }
    match options.model {
        Model::Epoll => None,
        _ => hand_out::<K, S>(),
    }
}

/// The function for servers of `S`. Only [`AnyService`] is served so, and the drivers are compiled
/// for it alone. The listeners are never secured: the threads secure what they get.
fn hand_out<K: Carrier, S: Service + 'static>() -> Option<HandOut<K, S>> {
    let of_any: HandOut<Traced<Linux>, AnyService> = Server::hand_out;
    (&of_any as &dyn Any)
        .downcast_ref::<HandOut<K, S>>()
        .copied()
}

/// How many connections the server holds at most, apart from other limits.
pub(super) fn capacity(options: &Serve) -> u32 {
    match options.model {
        Model::Epoll | Model::Thread | Model::Fork => u32::MAX,
        Model::Iterative => 1,
        Model::Pool => (options.pool_threads as u32).saturating_add(options.pool_queue),
    }
}

/// Descriptors that commands take: of the whole process, and in addition for each connection.
pub(super) fn command_descriptors(options: &Serve) -> (u64, u64) {
    // Two for each running command, and one for the pipe of the command that is starting.
    const EACH: u64 = 3;
    match (options.service, options.model) {
        (ServiceName::Run, Model::Epoll) => (2 * limits::COMMANDS_MAX as u64 + 1, 0),
        (ServiceName::Run, Model::Iterative) => (EACH, 0),
        (ServiceName::Run, Model::Pool) => (EACH * options.pool_threads as u64, 0),
        (ServiceName::Run, Model::Thread) => (0, EACH),
        #[cfg(feature = "auth")]
        (ServiceName::Ftp, _) => (0, limits::FTP_SESSION_DESCRIPTORS),
        _ => (0, 0),
    }
}

/// Memory of a thread, where it does not serve as the others do.
fn session_size(options: &Serve) -> Option<usize> {
    #[cfg(feature = "auth")]
    if options.ftp.is_some() {
        return Some(limits::FTP_SESSION_SIZE);
    }
    let _ = options;
    None
}

/// Divides the memory. Returns the number of connections too.
pub(super) fn plan<S: Service>(
    options: &Serve,
    demand: &Demand,
    protocol: &Protocol<S>,
) -> Result<(Plan, u32), Failure> {
    let holders = match options.model {
        Model::Epoll => None,
        Model::Iterative => Some(1),
        Model::Pool => Some(options.pool_threads),
        Model::Thread | Model::Fork => None,
    };
    let planned = match options.model {
        Model::Epoll => {
            let mut demand = *demand;
            if options.tls_cert.is_some() && options.connections_max.is_none() {
                demand.shrink(protocol);
            }
            (demand.plan(protocol)).map(|plan| (plan, demand.connections_max))
        }
        model => demand.plan_apart(
            protocol,
            Apart {
                model,
                holders,
                holder_size: session_size(options),
                may_shrink: options.connections_max.is_none(),
            },
        ),
    };
    match planned {
        Ok((plan, connections)) => Ok((plan, connections as u32)),
        Err(reason) => {
            let line = format!("--max-memory {}: {reason}", options.memory_max);
            Err(Failure::new(Exit::Usage, line))
        }
    }
}

/// Starts the server and its driver.
pub(super) fn start<K: Carrier, S: Service + Clone>(
    options: &Serve,
    opened: Opened,
    protocol: &Protocol<S>,
    settings: Settings,
    (load, at_end, secure): (&Load<S>, Box<dyn Fn() + Send>, &Secure),
    hand_out: HandOut<K, S>,
) -> Result<Server<K, S>, Failure> {
    let failure = io_failure("starting a worker");
    let wake_ups = WakeUps::prepare().map_err(&failure)?;
    let (capacity, limit) = (settings.connections_max, settings.connections_per_ip_max);
    let mut proxy = settings.proxy.clone();
    if let (Some(rule), Some(limit)) = (&mut proxy, limit) {
        let counts = SharedCounts::new(capacity, limit).map_err(&failure)?;
        rule.counts = Some(Arc::new(counts));
    }
    let drive = Drive {
        model: options.model,
        capacity: settings.connections_max,
        threads: options.pool_threads,
        settings: Settings {
            connections_max: 1,
            workspaces: 1,
            defer_accept: false,
            trigger: Trigger::Level,
            connections_per_ip_max: None,
            proxy,
            ..settings.clone()
        },
        protocol: protocol.clone(),
        wake_ups,
        waker: opened.waker,
        control: opened.control,
        load: load.clone(),
        at_end,
        #[cfg(feature = "auth")]
        ftp: super::super::ftp::place(options)?,
        #[cfg(feature = "tls")]
        side: secure.side.clone(),
        #[cfg(feature = "tls")]
        handshake_timeout: secure.handshake_timeout,
    };
    // The server itself holds no connection.
    let settings = Settings {
        connections_max: 1,
        workspaces: 0,
        ..settings
    };
    let kernel = K::around(opened.kernel, secure, 0);
    let mut server = start_worker(kernel, opened.listeners, protocol.clone(), settings)?;
    match hand_out(&mut server, drive) {
        Ok(()) => Ok(server),
        Err(error) => {
            server.close_listeners();
            Err(failure(error))
        }
    }
}
