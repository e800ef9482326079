//! `mynah serve`, from its options to its exit code.
//!
//! Opens the sockets and reserves the memory of one worker after the other. The ready line is
//! printed when everything is open and every worker has its thread. The way in which serving ended
//! becomes the exit code. Neighbours: `listeners` opens the sockets, `capacity` divides descriptors
//! and memory, `worker` opens one worker, `ready` says that all is open, `processes` supervises
//! worker processes, `workers` runs the servers.

#[cfg(feature = "auth")]
mod auth;
mod capacity;
mod listeners;
mod models;
mod passed;
mod processes;
mod ready;
mod scrapes;
mod takeover;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod user;
mod worker;

#[cfg(feature = "tls")]
use std::any::Any;
use std::io::{self, IsTerminal};
use std::process::id as process_id;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::trace::{self, Trace};
use super::{Exit, Failure, io_failure, limited, memory};
use super::{ServiceUser, with_service};
use crate::base::text::plural::plural;
use crate::cli::options::Serve;
use crate::kernel::{
    Address, Endpoint, Linux, Socket, Traced, block_signals, block_trace_signal, host,
};
use crate::limits;
use crate::protocol::connection::Protocol;
#[cfg(feature = "tls")]
use crate::protocol::service::AnyService;
use crate::protocol::service::Service;
use crate::server::Server;
use crate::server::admission::AcceptPolicy;
use crate::server::blocking::{Load, Model};
use crate::server::observe::counters::StatsFormat;
use crate::server::observe::wiretap::Wiretap;
use crate::server::plan::{Plan, share};
use crate::server::scrapes::Scrapes;
#[cfg(feature = "tls")]
use crate::transport::tls::{Side, Tls};
use crate::workers::notices::Notices;
use crate::workers::takeover::Takeover;
use crate::workers::{self, Around, Ending, Hooks, Statistics, Watcher};
use capacity::{connections_that_fit, divide};
use listeners::{Open, address_of, leave_out_ipv6_halves};
use passed::{PassedSockets, variable};
use ready::{
    print_ready_line, tell_what_the_kernel_lacks, warn_about_allowed, warn_about_the_group,
};
use takeover::{Predecessor, Refusal};
use transport::{Carrier, Secure};
use user::NewUser;
use worker::{Start, has_children, pacing, pinning};

/// Serves until a signal ends it.
pub(super) fn serve(options: Serve) -> Result<(), Failure> {
    let mut options = options;
    // Before anything else is opened.
    let mut passed = PassedSockets::take(&mut options)?;
    passed.predecessor = takeover::ask(&options)?;
    if let Some(predecessor) = passed.predecessor.as_ref().filter(|_| passed.is_empty()) {
        // Without --listen there is no wish beside what is there.
        if options.is_listen_default {
            options.listen = predecessor.endpoints();
        }
    }
    with_service(&options.clone(), Serving(options, passed))
}

struct Serving(Serve, PassedSockets);

impl ServiceUser for Serving {
    type Outcome = Result<(), Failure>;

    fn with<S>(
        self,
        load: impl FnMut() -> Result<S, String> + Send + 'static,
    ) -> Result<(), Failure>
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        serve_plain_or_not((self.0, self.1), Box::new(load))
    }
}

/// Loads a service. Boxed, so that all that loads the same type of service is compiled once.
type BoxedLoad<S> = Box<dyn FnMut() -> Result<S, String> + Send>;

#[cfg(not(feature = "tls"))]
fn serve_plain_or_not<S>(options: (Serve, PassedSockets), load: BoxedLoad<S>) -> Result<(), Failure>
where
    S: Service<State: Send> + Clone + Send + 'static,
{
    serve_with::<Traced<Linux>, S>(options, load, Secure)
}

#[cfg(feature = "tls")]
fn serve_plain_or_not<S>(options: (Serve, PassedSockets), load: BoxedLoad<S>) -> Result<(), Failure>
where
    S: Service<State: Send> + Clone + Send + 'static,
{
    let identity = tls::identity(&options.0).map_err(|why| Failure::new(Exit::Usage, why))?;
    let Some(identity) = identity else {
        return serve_with::<Traced<Linux>, S>(options, load, Secure::default());
    };
    let load = tls::reloading(&options.0, &identity, load);
    let secure = Secure {
        side: Side::Server(identity),
        handshake_timeout: options.0.handshake_timeout,
        has_header: options.0.proxy.is_some(),
    };
    match in_the_loop::<S>().filter(|_| options.0.model == Model::Epoll) {
        Some(serve) => serve(options, load, secure),
        None => serve_with::<Traced<Linux>, S>(options, load, secure),
    }
}

#[cfg(feature = "tls")]
type Serves<S> = fn((Serve, PassedSockets), BoxedLoad<S>, Secure) -> Result<(), Failure>;

/// Serves with TLS in the epoll loop. Compiled for [`AnyService`] alone.
#[cfg(feature = "tls")]
fn in_the_loop<S: 'static>() -> Option<Serves<S>> {
    let of_any: Serves<AnyService> = serve_with::<Tls<Traced<Linux>>, AnyService>;
    (&of_any as &dyn Any).downcast_ref::<Serves<S>>().copied()
}

/// Serves over the kernel `K`. What can fail comes first, and the ready line last.
fn serve_with<K, S>(
    (mut options, mut passed): (Serve, PassedSockets),
    load: BoxedLoad<S>,
    secure: Secure,
) -> Result<(), Failure>
where
    K: Carrier,
    S: Service<State: Send> + Clone + Send + 'static,
{
    // Names are looked up before the signals are blocked: a resolver handles no signals.
    let mut addresses = resolve(&mut options, &mut passed)?;
    let user = user::look_up(options.user.as_deref())?;
    // A reload takes as much memory as the service has and frees it again; the ceiling counts it
    // twice.
    host::give_large_blocks_back();
    #[cfg(feature = "auth")]
    let (auth, load) = auth::open(&options, load)?;
    #[cfg(not(feature = "auth"))]
    let auth = None;
    let load: Load<S> = Arc::new(Mutex::new(load));
    let service = load_now(&load).map_err(|reason| Failure::new(Exit::Usage, reason))?;
    let connections_max = connections_that_fit(&options)?;
    let mut protocol = protocol(&options, service)?;
    let pacing = pacing(&options);
    let slot_size = pacing.slot_size() + secure.slot_size();
    let (plan, connections_max) = divide(
        &options,
        &protocol,
        (connections_max, slot_size),
        &addresses,
    )?;

    // Reserve all later memory once, so that a low address space limit (ulimit -v) gives an error
    // line and not an abort.
    drop(memory("--max-memory", plan.ceiling)?);
    let (mut scrapes, mut metrics) = open_scrapes(&mut options, &mut passed)?;
    block_signals().map_err(io_failure("signals"))?;
    if options.trace.file.is_some() {
        block_trace_signal().map_err(io_failure("signals"))?;
    }
    let mut place = None;
    let refusal = Refusal::default();
    if options.processes.is_some() {
        trace::check_processes(&options.trace)?;
        let mut announce = |addresses: &[Address]| {
            announce(&options, connections_max, addresses, &plan);
        };
        // Workers that are started later have what was read last.
        let mut reload = || {
            protocol.service = load_now(&load)?;
            Ok(())
        };
        let open = Open {
            options: &options,
            addresses: &mut addresses,
            passed: &mut passed,
        };
        let (user, watch) = (user.as_ref(), (notices(), scrapes.take()));
        let metrics = metrics.take();
        let takeover = |predecessor| {
            let prior = (predecessor, metrics);
            takeover::prepare(&options, connections_max, prior, &refusal)
        };
        let role = processes::supervise(open, user, watch, takeover, &mut reload, &mut announce);
        if let Some(failure) = takeover::taken(&refusal) {
            return Err(failure);
        }
        match role? {
            processes::Role::Worker(it) => place = Some(it),
            processes::Role::Supervisor => return Ok(()),
        }
    }
    if !has_children(options.model, &protocol) {
        host::child::leave_all_to_the_kernel().map_err(io_failure("signals"))?;
    }
    let is_one_of_many = place.is_some() || options.model == Model::Fork;
    let trace = Trace::open(&options.trace, connections_max as usize, is_one_of_many)?;
    let trace = trace.map(Arc::new);
    // The number of the first worker of this process, over all processes.
    let first = (place.as_ref()).map_or(0, |place| place.number * options.threads);
    let start = Start {
        options: &options,
        connections_max,
        plan: &plan,
        protocol: &protocol,
        load: &load,
        pacing,
        auth,
        secure: &secure,
        trace: trace.as_ref(),
        wiretap: wiretap(&options, place.is_some()),
        first,
    };
    let (mut servers, wakers) = start.workers::<K>(&mut addresses, &mut passed, place.as_mut())?;
    let ready = Ready {
        options: &options,
        connections_max,
        addresses: &addresses,
        user: user.filter(|_| place.is_none()),
        is_worker: place.is_some(),
        scrapes,
    };
    let takeover = match ready.prepare(&mut servers, &mut passed, metrics, &refusal) {
        Ok(takeover) => takeover,
        Err(failure) => {
            servers.iter_mut().for_each(Server::close_listeners);
            return Err(failure);
        }
    };
    if options.accept == AcceptPolicy::Handoff && options.threads > 1 {
        let share = |worker| share(connections_max, options.workers(), first + worker);
        workers::hand_over(&mut servers, &wakers, &share);
    }
    // The workers hold their own copies, and a reload must free a service that no worker uses.
    drop(protocol);
    let is_alone = place.is_none();
    let watcher = match place {
        Some(place) => Watcher::Supervisor(place.reporter),
        None => Watcher::ServiceManager(notices()),
    };
    let announce = || {
        if is_alone {
            announce(&options, connections_max, &addresses, &plan);
        }
    };
    let statistics = statistics(&options);
    let hooks = Hooks {
        begin: pinning(&options, first)?,
        trace: write_on_signal(trace.clone(), options.model != Model::Fork),
    };
    let load = move || load_now(&load);
    let around = Around { watcher, takeover };
    let ended = workers::run_for(around, servers, wakers, statistics, load, hooks, announce);
    if let Some(failure) = takeover::taken(&refusal) {
        return Err(failure);
    }
    let written = trace.map_or(Ok(()), |trace| trace.write());
    end(ended.map_err(io_failure("serving"))?, is_alone).and(written)
}

/// The addresses to listen on, each checked with what the options ask of it.
fn resolve(options: &mut Serve, passed: &mut PassedSockets) -> Result<Vec<Address>, Failure> {
    leave_out_ipv6_halves(options);
    let address = |endpoint| (passed.address(endpoint)).map_or_else(|| address_of(endpoint), Ok);
    let mut addresses = (options.listen.iter().map(address)).collect::<Result<Vec<_>, _>>()?;
    if let Some(predecessor) = &mut passed.predecessor {
        predecessor.assign(options, &mut addresses)?;
    }
    for address in &addresses {
        let checked = options.check_address(address);
        checked.map_err(|reason| Failure::new(Exit::Usage, reason))?;
    }
    // What a passed socket carries is known only now.
    let checked = options.check_datagrams(&addresses);
    checked.map_err(|reason| Failure::new(Exit::Usage, reason))?;
    Ok(addresses)
}

/// The pages of `--metrics`, and a copy of their listener for a process that takes over.
type Metrics = (Option<Scrapes<Traced<Linux>>>, Option<Socket>);

/// Opens the pages of `--metrics`, and a copy of their listener for a process that takes over.
fn open_scrapes(options: &mut Serve, passed: &mut PassedSockets) -> Result<Metrics, Failure> {
    let Some(endpoint) = &options.metrics else {
        return Ok((None, None));
    };
    let predecessor = passed.predecessor.as_mut();
    let opened = scrapes::open(endpoint, predecessor.and_then(Predecessor::take_metrics))?;
    options.metrics = Some(Endpoint::At(opened.address));
    let copy = Some(opened.copy).filter(|_| options.takeover.is_some());
    Ok((Some(opened.scrapes), copy))
}

/// The wiretap. A number of the wiretap counts within its process.
fn wiretap(options: &Serve, is_one_of_many: bool) -> Option<Wiretap> {
    options.wiretap.map(|detail| match is_one_of_many {
        false => Wiretap::new(detail),
        true => Wiretap::new(detail).of_process(process_id()),
    })
}

/// What is left to do when the workers are open and do not serve yet.
struct Ready<'a> {
    options: &'a Serve,
    connections_max: u32,
    addresses: &'a [Address],
    /// The user that this process becomes.
    user: Option<NewUser>,
    /// Whether a supervisor has the takeover of all.
    is_worker: bool,
    scrapes: Option<Scrapes<Traced<Linux>>>,
}

impl Ready<'_> {
    /// Does it. The first worker may have bound paths, so the caller closes the listeners after an
    /// error.
    fn prepare<K: Carrier, S: Service>(
        self,
        servers: &mut [Server<K, S>],
        passed: &mut PassedSockets,
        metrics: Option<Socket>,
        refusal: &Refusal,
    ) -> Result<Option<Takeover<Socket>>, Failure> {
        let options = self.options;
        // The path of the doorway may need the privileges that --user drops.
        let prior = (passed.predecessor.take(), metrics);
        let takeover = match self.is_worker {
            true => takeover::of_worker(options),
            false => takeover::prepare(options, self.connections_max, prior, refusal)?,
        };
        if let Some(user) = self.user {
            if let Err(failure) = user.take_over(options, self.addresses) {
                let doorway = takeover.and_then(|it| it.doorway);
                doorway.into_iter().for_each(|(_, doorway)| doorway.close());
                return Err(failure);
            }
        }
        let Some(server) = servers.first_mut() else {
            return Ok(takeover);
        };
        if options.inetd {
            serve_standard_input(server, passed.connection.take(), options.idle_timeout);
        }
        if let Some(scrapes) = self.scrapes {
            let served = server.serve_scrapes(Box::new(scrapes));
            served.map_err(io_failure("--metrics"))?;
        }
        Ok(takeover)
    }
}

/// What the way in which serving ended is for the exit code.
fn end(ending: Ending, is_alone: bool) -> Result<(), Failure> {
    match ending {
        Ending::Stopped(signal) => Err(Failure::signal(signal)),
        // The supervisor tells it for all.
        Ending::Drained { cut, .. } if !is_alone => match cut {
            0 => Ok(()),
            _ => Err(Failure::new(Exit::DrainCut, "")),
        },
        Ending::Drained { cut, counters } => drained(cut, 0, counters.connections_total),
    }
}

/// Writes the trace on a thread of its own, so that the loop does not wait for the file. Where the
/// process must have no other thread, the loop writes it.
fn write_on_signal(
    trace: Option<Arc<Trace>>,
    may_have_thread: bool,
) -> Box<dyn Fn() + Send + Sync> {
    let Some(trace) = trace else {
        return Box::new(|| ());
    };
    Box::new(move || {
        let its = Arc::clone(&trace);
        let write = move || its.write_or_warn();
        match may_have_thread {
            true => {
                let thread = thread::Builder::new().name("trace".to_owned());
                if let Err(error) = thread.spawn(write) {
                    log::warn!("--trace: {error}; the trace is not written");
                }
            }
            false => write(),
        }
    })
}

/// What the service manager is told, if the environment names one.
fn notices() -> Notices {
    Notices::read(variable, process_id())
}

fn load_now<S>(load: &Load<S>) -> Result<S, String> {
    load.lock().unwrap_or_else(PoisonError::into_inner)()
}

/// What is said when all serve.
fn announce(options: &Serve, connections_max: u32, addresses: &[Address], plan: &Plan) {
    if !options.inetd {
        print_ready_line(options, connections_max, addresses, plan);
    }
    warn_about_allowed(options);
    warn_about_the_group(plan);
    tell_what_the_kernel_lacks();
}

/// The end after a drain: `cut` connections, and `lost` worker processes with all of theirs.
fn drained(cut: u64, lost: u64, served: u64) -> Result<(), Failure> {
    if (cut, lost) == (0, 0) {
        log::info!("drained; connections served: {served}");
        return Ok(());
    }
    let mut line = String::new();
    if cut > 0 {
        let connections = plural(cut, "connection", "connections");
        line = format!(
            "the drain time-out cut {connections}: owed replies, inside a request, or never \
             accepted"
        );
    }
    if lost > 0 {
        let separator = if line.is_empty() { "" } else { "; " };
        let lost = plural(lost, "worker process", "worker processes");
        line += &format!("{separator}{lost} ended before the drain was over");
    }
    Err(Failure::new(Exit::DrainCut, line))
}

/// Serves what `--inetd` has as descriptor 0: the connection, to its end, or the listener or
/// datagram socket, until it has been idle for so long.
fn serve_standard_input<K: Carrier, S: Service>(
    server: &mut Server<K, S>,
    connection: Option<Socket>,
    idle_timeout: Option<Duration>,
) {
    match (connection, idle_timeout) {
        (Some(connection), _) => {
            server.adopt(connection);
            server.end_after_idle(Duration::ZERO);
        }
        (None, Some(span)) => server.end_after_idle(span),
        (None, None) => {}
    }
}

/// The service behind its framing, which must be able to carry every possible reply.
fn protocol<S: Service>(options: &Serve, service: S) -> Result<Protocol<S>, Failure> {
    let (frame_max, output_max) = (options.frame_size_max, limits::COMMAND_OUTPUT_MAX);
    let protocol = Protocol {
        framing: limited(options.framing, frame_max)?,
        on_too_long: options.on_too_long,
        service,
    };
    if let Err(error) = protocol.check_greeting() {
        let line = format!(
            "--frame {} --frame-max {frame_max}: {} cannot greet: {error}",
            options.framing, options.service
        );
        return Err(Failure::new(Exit::Usage, line));
    }
    let effects = protocol.service.effects();
    if let Some(effects) = effects.filter(|_| protocol.output_size_max(output_max) == 0) {
        let holds_output = |size: &usize| effects.output_size_max(output_max, *size) > 0;
        let least = (1..=effects.awaited_max()).find(holds_output);
        let least = least.unwrap_or(output_max);
        let line = format!(
            "--frame {} --frame-max {frame_max}: {} may answer with 1 to {least} bytes and more",
            options.framing, options.service
        );
        return Err(Failure::new(Exit::Usage, line));
    }
    Ok(protocol)
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
        by_worker: options.workers() > 1 || options.accept != AcceptPolicy::Reuseport,
    }
}
