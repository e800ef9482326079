//! `mynah serve`, from its options to its exit code.
//!
//! Opens the sockets and reserves the memory of one worker after the other. The ready line is
//! printed when everything is open and every worker has its thread. The way in which serving ended
//! becomes the exit code. Neighbours: `workers` runs the servers, `server::plan` divides the
//! memory. See sd_listen_fds(3).

use std::env;
use std::io::{self, ErrorKind, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::id as process_id;

use super::{Exit, Failure, io_failure, limited, memory, open_failure};
use super::{ServiceUser, with_service};
use crate::base::text::plural::plural;
use crate::cli::options::{Serve, ServiceName};
use crate::kernel::journal::TextLog;
use crate::kernel::{
    Address, Endpoint, Linux, ListenOptions, OUTPUT_LINES, Opener, Sharing, Spawner,
    StandardOutput, Traced, UnixName, Waker, block_signals, find_program, host, ip_text,
    outlet_descriptors,
};
use crate::limits;
use crate::protocol::connection::Protocol;
use crate::protocol::framing::Opening;
use crate::protocol::service::Service;
use crate::server::observe::counters::StatsFormat;
use crate::server::plan::{Demand, Plan, share};
use crate::server::{Server, Settings};
use crate::workers::{self, Ending, Statistics};

/// Serves until a signal ends it.
pub(super) fn serve(options: Serve) -> Result<(), Failure> {
    with_service(&options.clone(), Serving(options))
}

struct Serving(Serve);

impl ServiceUser for Serving {
    type Outcome = Result<(), Failure>;

    fn with<S>(
        self,
        load: impl FnMut() -> Result<S, String> + Send + 'static,
    ) -> Result<(), Failure>
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        serve_with(self.0, Box::new(load))
    }
}

/// `load` is boxed, so that all that loads the same type of service is compiled once.
fn serve_with<S>(
    options: Serve,
    mut load: Box<dyn FnMut() -> Result<S, String> + Send>,
) -> Result<(), Failure>
where
    S: Service<State: Send> + Clone + Send + 'static,
{
    // Look names up before the signals are blocked: a resolver handles no signals.
    let mut addresses = (options.listen.iter().map(address_of)).collect::<Result<Vec<_>, _>>()?;
    for address in &addresses {
        let checked = options.service.check_address(address);
        checked.map_err(|reason| Failure::new(Exit::Usage, reason))?;
    }
    // A reload takes as much memory as the service has and frees it again; the ceiling counts it
    // twice.
    host::give_large_blocks_back();
    let service = load().map_err(|reason| Failure::new(Exit::Usage, reason))?;
    let connections_max = connections_that_fit(&options)?;
    let protocol = protocol(&options, service)?;
    let demand = Demand {
        memory_max: options.memory_max,
        connections_max: connections_max as usize,
        threads: options.threads,
        frame_size_max: options.frame_size_max,
        slot_size: Server::<Traced<Linux>, S>::slot_size(
            &protocol.service,
            options.connections_per_ip_max.is_some(),
        ),
    };
    let plan = demand.plan(&protocol).map_err(|reason| {
        Failure::new(
            Exit::Usage,
            format!("--max-memory {}: {reason}", options.memory_max),
        )
    })?;

    // Reserve all later memory once, so that a low address space limit (ulimit -v) gives an error
    // line and not an abort.
    drop(memory("--max-memory", plan.ceiling)?);
    block_signals().map_err(io_failure("signals"))?;
    if protocol.service.effects().is_none() {
        host::child::leave_all_to_the_kernel().map_err(io_failure("signals"))?;
    }
    let mut servers = Vec::new();
    let mut wakers = Vec::<Waker>::new();
    for worker in 0..options.threads {
        let linux = Linux::new(worker == 0).map_err(io_failure("epoll"))?;
        wakers.push(linux.waker());
        let mut kernel = Traced::new(linux, TextLog::if_shown());
        if protocol.service.effects().is_some() {
            kernel.supervise().map_err(cannot_watch)?;
        }
        let listeners = open_listeners(&mut kernel, &mut addresses, &options, worker)?;
        let settings = settings(&options, connections_max, &plan, worker);
        let server = Server::new(kernel, listeners, protocol.clone(), settings)
            .map_err(io_failure("starting a worker"))?;
        servers.push(server);
    }
    // The workers hold their own copies, and a reload must free a service that no worker uses.
    drop(protocol);
    let announce = || {
        print_ready_line(&options, connections_max, &addresses, &plan);
        warn_of_passed_sockets();
        warn_about_allowed(&options);
    };
    let ended = workers::run(servers, wakers, statistics(&options), load, announce);
    match ended.map_err(io_failure("serving"))? {
        Ending::Stopped(signal) => Err(Failure::signal(signal)),
        Ending::Drained { cut: 0, counters } => {
            log::info!(
                "drained; connections served: {}",
                counters.connections_total
            );
            Ok(())
        }
        Ending::Drained { cut, .. } => {
            let connections = plural(cut, "connection", "connections");
            let line = format!(
                "the drain time-out cut {connections}: owed replies, inside a request, or never \
                 accepted"
            );
            Err(Failure::new(Exit::DrainCut, line))
        }
    }
}

/// A started command must be watched to its end. If that is impossible, none is started.
fn cannot_watch(refused: io::Error) -> Failure {
    let needed = match refused.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::InvalidInput => {
            "; it takes Linux 5.4 or newer and a sandbox that permits the call"
        }
        _ => "",
    };
    let line =
        format!("run: commands cannot be watched here, so none is started: {refused}{needed}");
    Failure::new(Exit::Fork, line)
}

/// The service behind its framing, which must be able to carry every possible reply.
fn protocol<S: Service>(options: &Serve, service: S) -> Result<Protocol<S>, Failure> {
    let (frame_max, output_max) = (options.frame_size_max, limits::COMMAND_OUTPUT_MAX);
    let protocol = Protocol {
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
    let effects = protocol.service.effects();
    if let Some(effects) = effects.filter(|_| protocol.output_max(output_max) == 0) {
        let least = effects.awaited_max() - output_max + 1;
        let line = format!(
            "--frame {} --frame-max {frame_max}: {} may answer with 1 to {least} bytes and more",
            options.framing, options.service
        );
        return Err(Failure::new(Exit::Usage, line));
    }
    Ok(protocol)
}

/// The number of connections asked for, or as many as the descriptor limit allows. The default is
/// reduced without a warning, because the user has not asked for that number and the ready line
/// prints the actual one.
fn connections_that_fit(options: &Serve) -> Result<u32, Failure> {
    let limit = host::raise_descriptor_limit().map_err(io_failure("the descriptor limit"))?;
    let (threads, addresses) = (options.threads as u64, options.listen.len() as u64);
    let commands = match options.service {
        // Two descriptors for each running command, and one for the pipe of the command that is
        // starting.
        ServiceName::Run => 2 * limits::COMMANDS_MAX as u64 + 1,
        _ => 0,
    };
    let each = limits::DESCRIPTORS_PER_WORKER + addresses + commands;
    // Descriptors inherited from the parent process stay open.
    let inherited = (host::open_descriptors()).map_or(0, |open| {
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
    let fit = u32::try_from(fit).unwrap_or(u32::MAX);
    match options.connections_max {
        Some(asked) if fit < asked => log::warn!(
            "--max-connections {asked}: only {fit} fit under the hard descriptor limit of \
             {limit}{taken}"
        ),
        _ => {}
    }
    let wanted = (options.connections_max).unwrap_or(limits::CONNECTIONS_DEFAULT);
    Ok(wanted.min(fit))
}

/// The address to listen on. For a name it is the first IPv4 address, so that `localhost` means the
/// same address as a port alone; otherwise the first address. Only one address is used, because two
/// listeners need two options. If that address is in use no other is tried, because the port then
/// belongs to another server.
fn address_of(endpoint: &Endpoint) -> Result<Address, Failure> {
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

/// When and how statistics are printed. A person at a terminal gets no counters that are 0; a
/// program gets every counter unless it asks for less.
fn statistics(options: &Serve) -> Statistics {
    let by_reader = || match io::stdout().is_terminal() {
        true => StatsFormat::Text,
        false => StatsFormat::Whole,
    };
    Statistics {
        interval: options.stats_interval,
        format: options.stats_format.unwrap_or_else(by_reader),
    }
}

fn settings(options: &Serve, connections_max: u32, plan: &Plan, worker: usize) -> Settings {
    let share = |all: u32| share(all, options.threads, worker);
    Settings {
        connections_max: share(connections_max) as usize,
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
        backlog: options.backlog,
        drain_timeout: options.drain_timeout,
    }
}

/// Prints the ready line on stdout, for scripts, and logs a hint for people. The first
/// worker does not serve yet, so the line may wait for its reader for a limited time.
fn print_ready_line(options: &Serve, connections_max: u32, addresses: &[Address], plan: &Plan) {
    let listed: Vec<String> = addresses.iter().map(Address::to_string).collect();
    let ready = format!(
        "ready: service {}, frame {}, on {}, {}, at most {}, \
         at most {} bytes of memory\n",
        options.service,
        options.framing,
        listed.join(" "),
        plural(options.threads, "worker", "workers"),
        plural(connections_max, "connection", "connections"),
        plan.ceiling,
    );
    // A closed stdout takes every line and loses it, because the standard library has opened
    // /dev/null in its place.
    let written = StandardOutput::open()
        .and_then(|_| OUTPUT_LINES.write_within(ready.as_bytes(), limits::READY_LINE_TIMEOUT));
    match written {
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

/// Warns users of socket activation, sd_listen_fds(3), that the passed sockets are not served: the
/// kernel still queues connections there, and they get no reply.
fn warn_of_passed_sockets() {
    let variable = |name| env::var(name).unwrap_or_default();
    let (pid, count) = (variable("LISTEN_PID"), variable("LISTEN_FDS"));
    if pid == process_id().to_string() && !["", "0"].contains(&count.as_str()) {
        log::warn!(
            "LISTEN_FDS={count}: socket activation is not supported, and the sockets that were \
             passed get no answer; only --listen says where to listen"
        );
    }
}

/// Warns about settings of `run` that may surprise the user.
fn warn_about_allowed(options: &Serve) {
    if options.service != ServiceName::Run {
        return;
    }
    if options.allow.is_empty() {
        log::warn!(
            "nothing is allowed, so every request is refused; mynah run --allow 'ls -l' allows one"
        );
    }
    let missing = |line: &&String| find_program(line).is_none();
    for line in options.allow.iter().filter(missing) {
        log::warn!("--allow {line:?}: there is no such program now, so it cannot be started");
    }
    let opens_a_request = |line: &&String| Opening::default().scan(line.as_bytes()).is_some();
    for line in options.allow.iter().filter(opens_a_request) {
        log::warn!("--allow {line:?}: a connection that begins so is taken for HTTP and closed");
    }
}

/// A command that talks to the server at `address`.
fn hint(address: &Address, options: &Serve) -> String {
    let is_http = options.service == ServiceName::Http;
    match address {
        Address::Tcp(tcp) if is_http => {
            let tcp = reachable(*tcp);
            match tcp {
                SocketAddr::V4(_) => format!("curl http://{tcp}/"),
                // In a URL the % before an interface name is written %25 (RFC 6874).
                SocketAddr::V6(_) => {
                    let ip = ip_text(&tcp).replace('%', "%25");
                    format!("curl 'http://[{ip}]:{}/'", tcp.port())
                }
            }
        }
        Address::Unix(UnixName::Path(path)) if is_http => {
            format!("curl --unix-socket {} http://localhost/", path.display())
        }
        Address::Tcp(tcp) if !options.framing.has_boundaries() => {
            let tcp = reachable(*tcp);
            format!("nc {} {}", ip_text(&tcp), tcp.port())
        }
        address => format!("mynah connect {address} --frame {}", options.framing),
    }
}

/// The address under which a server that listens on `address` can be reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
