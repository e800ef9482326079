//! How many connections `mynah serve` holds, and the memory of each part.
//!
//! Descriptors bound the connections first. Then the memory of `--max-memory` is divided: the
//! traces and the pages of `--metrics` take theirs, and `server::plan` divides the rest. All of it
//! is known before anything is opened, so too little is one line and no failure later. Neighbours:
//! `serve` calls this, `models` has what differs between the models. See getrlimit(2).

use super::super::trace;
use super::super::{Exit, Failure, io_failure};
use super::models;
use crate::cli::options::Serve;
use crate::kernel::batch::Submit;
use crate::kernel::{Address, Linux, Traced, host, outlet_descriptors};
use crate::limits;
use crate::protocol::connection::Protocol;
use crate::protocol::service::Service;
use crate::server::admission::announced::ProxyRule;
use crate::server::admission::per_address::PerIp;
use crate::server::blocking::Model;
use crate::server::plan::{Demand, Plan};
use crate::server::{Server, datagram};

/// Divides the memory. `connections_max` fit under the descriptor limit, and each takes `slot_more`
/// bytes beside its slot. Returns how many connections there are memory for.
pub(super) fn divide<S: Service>(
    options: &Serve,
    protocol: &Protocol<S>,
    (connections_max, slot_more): (u32, usize),
    addresses: &[Address],
) -> Result<(Plan, u32), Failure> {
    let trace_memory = trace_memory(options, connections_max)?;
    let scrape_memory = scrape_memory(options, trace_memory)?;
    let datagram_sockets = addresses.iter().filter(|at| at.is_datagrams()).count();
    let demand = Demand {
        memory_max: options.memory_max - trace_memory - scrape_memory,
        connections_max: connections_max as usize,
        threads: options.workers(),
        // The supervisor is one more.
        processes: 1 + options.processes.unwrap_or(0) as usize,
        frame_size_max: options.frame_size_max,
        slot_size: slot_more
            + options.proxy.map_or(0, |_| ProxyRule::SLOT_SIZE)
            + slot_size(options, &protocol.service),
        datagrams_size: datagram::memory(&protocol.service, datagram_sockets),
        ring_size: match options.submit {
            Submit::Calls => 0,
            Submit::Ring => limits::RING_SIZE,
        },
    };
    let (mut plan, connections_max) = models::plan(options, &demand, protocol)?;
    plan.ceiling += trace_memory + scrape_memory;
    Ok((plan, connections_max))
}

/// Memory of all traces. What the ceiling does not leave to connections.
fn trace_memory(options: &Serve, connections_max: u32) -> Result<usize, Failure> {
    let Some(keep) = trace::keep(&options.trace, connections_max as usize) else {
        return Ok(0);
    };
    let traces = options.processes.unwrap_or(1) as usize;
    let memory = keep.memory().saturating_mul(traces);
    if memory >= options.memory_max {
        let line = format!(
            "--max-memory {}: too little: a trace of {} records takes {memory} bytes, see \
             --trace-last",
            options.memory_max, keep.records
        );
        return Err(Failure::new(Exit::Usage, line));
    }
    Ok(memory)
}

/// The memory of the pages of `--metrics`, which must leave some of the maximum.
fn scrape_memory(options: &Serve, trace_memory: usize) -> Result<usize, Failure> {
    let memory = options.metrics.as_ref().map_or(0, |_| limits::SCRAPES_SIZE);
    if memory + trace_memory > options.memory_max {
        let line = format!(
            "--max-memory {}: too little: the pages of --metrics take {memory} bytes",
            options.memory_max
        );
        return Err(Failure::new(Exit::Usage, line));
    }
    Ok(memory)
}

/// Memory of one connection in bytes, without a workspace and, where it has one, its thread.
fn slot_size<S: Service>(options: &Serve, service: &S) -> usize {
    let per_ip = options.connections_per_ip_max.is_some();
    match options.model {
        Model::Epoll => Server::<Traced<Linux>, S>::slot_size(service, per_ip),
        _ if per_ip => limits::BLOCKING_SLOT_SIZE + PerIp::SLOT_SIZE,
        _ => limits::BLOCKING_SLOT_SIZE,
    }
}

/// The number of connections asked for, or as many as the descriptor limit allows. The default is
/// reduced without a warning, because the user has not asked for that number and the ready line
/// prints the actual one.
pub(super) fn connections_that_fit(options: &Serve) -> Result<u32, Failure> {
    let limit = host::raise_descriptor_limit().map_err(io_failure("the descriptor limit"))?;
    let (threads, addresses) = (options.threads as u64, options.listen.len() as u64);
    let (commands, more) = models::command_descriptors(options);
    let ring = match options.submit {
        Submit::Calls => 0,
        Submit::Ring => limits::RING_DESCRIPTORS,
    };
    let each = limits::DESCRIPTORS_PER_WORKER + ring + addresses + commands;
    // Descriptors inherited from the parent process stay open.
    let inherited = (host::open_descriptors()).map_or(0, |open| {
        open.saturating_sub(limits::STANDARD_STREAMS + outlet_descriptors())
    });
    let scrapes = (options.metrics.as_ref()).map_or(0, |_| limits::SCRAPE_DESCRIPTORS);
    // The doorway, the connection with another process, and copies of the listeners.
    let takeover = (options.takeover.as_ref()).map_or(0, |_| 3 + threads * (1 + addresses));
    let others = limits::DESCRIPTORS_FIXED + threads * each + inherited + scrapes + takeover;
    let taken = match inherited {
        0 => String::new(),
        _ => format!(", of which {inherited} were open before"),
    };
    // The limit is one of each process, and each has the same number of workers.
    let fit = limit.saturating_sub(others) / (1 + more);
    if fit < threads {
        let line = format!("the descriptor limit {limit}{taken} leaves no room for connections");
        return Err(Failure::new(Exit::Socket, line));
    }
    let fit = fit.saturating_mul(options.processes.unwrap_or(1).into());
    let fit = u32::try_from(fit).unwrap_or(u32::MAX);
    match options.connections_max {
        Some(asked) if fit < asked => log::warn!(
            "--max-connections {asked}: only {fit} fit under the hard descriptor limit of \
             {limit}{taken}"
        ),
        _ => {}
    }
    let wanted = (options.connections_max).unwrap_or(limits::CONNECTIONS_DEFAULT);
    Ok(wanted.min(fit).min(models::capacity(options)))
}
