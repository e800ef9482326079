//! `mynah serve` from its options to its exit code.
//!
//! What the loop is given is opened here, sockets and memory, a worker at a time; the ready line is
//! printed when all of it is there. How serving ended becomes the program's own end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Exit, Failure, io_failure, limited, open_failure, tells_calls};
use super::{ServiceUser, with_service};
use crate::base::counted::counted;
use crate::connection::Protocol;
use crate::drive::plan::{Demand, Plan, share};
use crate::drive::workers::{self, Ending};
use crate::drive::{Server, Settings};
use crate::kernel::{
    Address, Linux, ListenOptions, OUTPUT_LINES, Opener, Sharing, Spawner, Traced, UnixName, Waker,
    block_signals, find_program, outlet_descriptors, process,
};
use crate::limits;
use crate::options::{Serve, ServiceName};
use crate::service::Service;

/// Serves until a signal ends it.
pub(super) fn serve(options: Serve) -> Result<(), Failure> {
    with_service(&options.clone(), Serving(options))
}

/// Serves on the kernel as it is; or, for who wants to read along, on one that tells every call.
struct Serving(Serve);

impl ServiceUser for Serving {
    type Outcome = Result<(), Failure>;

    fn with<S>(self, load: impl FnMut() -> Result<S, String>) -> Result<(), Failure>
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        if tells_calls() {
            serve_on(self.0, load, Traced)
        } else {
            serve_on(self.0, load, |linux| linux)
        }
    }
}

fn serve_on<K, S>(
    mut options: Serve,
    mut load: impl FnMut() -> Result<S, String>,
    wrap: impl Fn(Linux) -> K,
) -> Result<(), Failure>
where
    K: Spawner<Socket: Send> + Opener + Send + 'static,
    S: Service<State: Send> + Clone + Send + 'static,
{
    let service = load().map_err(|reason| Failure::new(Exit::Usage, reason))?;
    options.connections_max = connections_that_fit(&options)?;
    let protocol = protocol(&options, service)?;
    let demand = Demand {
        memory_max: options.memory_max,
        connections_max: options.connections_max as usize,
        threads: options.threads,
        frame_size_max: options.frame_size_max,
        slot_size: Server::<K, S>::slot_size(options.connections_per_ip_max.is_some()),
    };
    let plan = demand.plan(&protocol).map_err(|reason| {
        Failure::new(
            Exit::Usage,
            format!("--max-memory {}: {reason}", options.memory_max),
        )
    })?;

    block_signals().map_err(io_failure("signals"))?;
    let mut servers = Vec::new();
    let mut wakers = Vec::<Waker>::new();
    let mut addresses = options.listen.clone();
    for worker in 0..options.threads {
        let linux = Linux::new(worker == 0).map_err(io_failure("epoll"))?;
        wakers.push(linux.waker());
        let mut kernel = wrap(linux);
        let listeners = open_listeners(&mut kernel, &mut addresses, &options, worker)?;
        let settings = settings(&options, &plan, worker);
        let server = Server::new(kernel, listeners, protocol.clone(), settings)
            .map_err(io_failure("starting a worker"))?;
        servers.push(server);
    }
    announce(&options, &addresses, &plan);
    tell_what_is_allowed(&options);
    match workers::run(servers, wakers, options.stats_interval, load)
        .map_err(io_failure("serving"))?
    {
        Ending::Stopped(signal) => Err(Failure::signal(signal)),
        Ending::Drained { cut: 0, counters } => {
            log::info!(
                "drained; connections served: {}",
                counters.connections_total
            );
            Ok(())
        }
        Ending::Drained { cut, .. } => {
            let line = format!(
                "the drain time-out cut {cut} connections that were owed replies or never let in"
            );
            Err(Failure::new(Exit::DrainCut, line))
        }
    }
}

/// The service behind its framing, which must be able to carry all that may be answered.
fn protocol<S: Service>(options: &Serve, service: S) -> Result<Protocol<S>, Failure> {
    let (frame_max, output_max) = (options.frame_size_max, limits::COMMAND_OUTPUT_MAX);
    let mut protocol = Protocol {
        framing: limited(options.framing, frame_max)?,
        on_too_long: options.on_too_long,
        service,
    };
    if let Err(error) = protocol.greets() {
        let line = format!(
            "--frame {} --frame-max {frame_max}: {} cannot greet: {error}",
            options.framing, options.service
        );
        return Err(Failure::new(Exit::Usage, line));
    }
    if S::AWAITS && protocol.output_max(output_max) == 0 {
        let least = protocol.service.awaited_max() - output_max + 1;
        let line = format!(
            "--frame {} --frame-max {frame_max}: {} may answer with 1 to {least} bytes and more",
            options.framing, options.service
        );
        return Err(Failure::new(Exit::Usage, line));
    }
    Ok(protocol)
}

/// As many connections as were asked for, or as there can be descriptors for.
fn connections_that_fit(options: &Serve) -> Result<u32, Failure> {
    let limit = process::raise_descriptor_limit().map_err(io_failure("the descriptor limit"))?;
    let (threads, addresses) = (options.threads as u64, options.listen.len() as u64);
    let commands = match options.service {
        // Two for each that runs, and one more for the pipe of the one that is being started.
        ServiceName::Run => 2 * limits::COMMANDS_MAX as u64 + 1,
        _ => 0,
    };
    let each = limits::DESCRIPTORS_PER_WORKER + addresses + commands;
    // Whoever started us may have left more open than the standard streams, and they stay so.
    let inherited = (process::open_descriptors()).map_or(0, |open| {
        open.saturating_sub(limits::STANDARD_STREAMS + outlet_descriptors())
    });
    let others = limits::DESCRIPTORS_FIXED + threads * each + inherited;
    let taken = match inherited {
        0 => String::new(),
        _ => format!(", of which {inherited} were open before"),
    };
    let fit = limit.saturating_sub(others);
    if fit < threads {
        let line = format!("the descriptor limit {limit}{taken} leaves no room for connections");
        return Err(Failure::new(Exit::Socket, line));
    }
    match u32::try_from(fit) {
        Ok(fit) if fit < options.connections_max => {
            log::warn!(
                "--max-connections {}: only {fit} fit under the hard descriptor limit of \
                 {limit}{taken}",
                options.connections_max
            );
            Ok(fit)
        }
        _ => Ok(options.connections_max),
    }
}

/// One listener for each address. The first worker learns which ports the kernel chose, and the
/// others listen there too.
fn open_listeners<K: Opener>(
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
        // It ends a zero window too, so it must not be shorter than what a reader may take.
        user_timeout: (options.stall_timeout).map(|stall| stall.max(limits::USER_TIMEOUT)),
        receive_buffer: None,
        send_buffer: None,
        defer_accept: options.defer_accept.then_some(limits::DEFER_ACCEPT),
    };
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = kernel
            .listen(address, &listen)
            .map_err(|error| open_failure(address, error))?;
        *address = kernel.local(&listener).map_err(io_failure("getsockname"))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn settings(options: &Serve, plan: &Plan, worker: usize) -> Settings {
    let share = |all: u32| share(all, options.threads, worker);
    Settings {
        connections_max: share(options.connections_max) as usize,
        workspaces: plan.workspaces,
        workspace: plan.workspace,
        trigger: options.trigger,
        defer_accept: options.defer_accept,
        frames_per_event: limits::FRAMES_PER_EVENT,
        spin: options.spin,
        idle_timeout: options.idle_timeout,
        stall_timeout: options.stall_timeout,
        stall_size_min: options.stall_size_min,
        frame_timeout: options.frame_timeout,
        connections_per_ip_max: options.connections_per_ip_max.map(share),
        drain_timeout: options.drain_timeout,
    }
}

/// The ready line, on stdout for a script, and a hint for a person. Nothing is served yet, so the
/// line may wait for its reader, for a while.
fn announce(options: &Serve, addresses: &[Address], plan: &Plan) {
    let listed: Vec<String> = addresses.iter().map(Address::to_string).collect();
    let ready = format!(
        "ready: service {}, frame {}, on {}, {}, at most {}, \
         at most {} bytes of memory\n",
        options.service,
        options.framing,
        listed.join(" "),
        counted(options.threads, "worker", "workers"),
        counted(options.connections_max, "connection", "connections"),
        plan.ceiling,
    );
    match OUTPUT_LINES.write_within(ready.as_bytes(), limits::READY_LINE_TIMEOUT) {
        // A reader that went away has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            log::warn!("the ready line is lost: stdout: {error}");
        }
        _ => {}
    }
    if let Some(address) = addresses.first() {
        let hint = hint(address, options);
        log::info!("talk to it with: {hint}    (Ctrl-C here ends it)");
    }
}

/// What of `run` may surprise whoever has started it.
fn tell_what_is_allowed(options: &Serve) {
    if options.service != ServiceName::Run {
        return;
    }
    if options.allow.is_empty() {
        log::warn!("nothing is allowed, so every request is refused; --allow 'ls -l' allows one");
    }
    let missing = |line: &&String| find_program(line).is_none();
    for line in options.allow.iter().filter(missing) {
        log::warn!("--allow {line:?}: there is no such program now, so it cannot be started");
    }
}

/// A command that talks to the server at `address`.
fn hint(address: &Address, options: &Serve) -> String {
    let is_http = options.service == ServiceName::Http;
    match address {
        Address::Tcp(tcp) if is_http => format!("curl http://{}/", reachable(*tcp)),
        Address::Unix(UnixName::Path(path)) if is_http => {
            format!("curl --unix-socket {} http://localhost/", path.display())
        }
        Address::Tcp(tcp) if !options.framing.has_boundaries() => {
            let tcp = reachable(*tcp);
            format!("nc {} {}", tcp.ip(), tcp.port())
        }
        address => format!("mynah connect {address} --frame {}", options.framing),
    }
}

/// Where a server that listens at `address` can be talked to from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(all) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
