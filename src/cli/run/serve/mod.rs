//! `mynah serve`, from its options to its exit code.
//!
//! Opens the sockets and reserves the memory of one worker after the other. The ready line is
//! printed when everything is open and every worker has its thread. The way in which serving ended
//! becomes the exit code. Neighbours: `listeners` opens the sockets, `ready` says that all is open,
//! `processes` supervises worker processes, `workers` runs the servers, `server::plan` divides the
//! memory.

#[cfg(feature = "auth")]
mod auth;
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

#[cfg(feature = "tls")]
use std::any::Any;
use std::io::{self, ErrorKind, IsTerminal};
use std::process::id as process_id;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::trace::{self, Trace};
use super::{Exit, Failure, io_failure, limited, memory};
use super::{ServiceUser, with_service};
use crate::base::text::plural::plural;
use crate::base::token_bucket::{Bucket, Rate};
use crate::cli::options::{ProxyMode, Serve};
use crate::kernel::batch::Submit;
use crate::kernel::journal::{Track, recorder};
use crate::kernel::{
    Address, Endpoint, Link, Linux, Socket, Spawner, Traced, Waker, block_signals,
    block_trace_signal, host, outlet_descriptors,
};
use crate::limits;
use crate::protocol::connection::Protocol;
#[cfg(feature = "tls")]
use crate::protocol::service::AnyService;
use crate::protocol::service::Service;
use crate::server::admission::AcceptPolicy;
use crate::server::admission::announced::ProxyRule;
use crate::server::admission::listeners::Listeners;
use crate::server::admission::per_address::PerIp;
use crate::server::blocking::{Load, Model};
use crate::server::datagram;
use crate::server::observe::counters::StatsFormat;
use crate::server::observe::wiretap::Wiretap;
use crate::server::pace::{Limits, Pacing};
use crate::server::plan::{Demand, Plan, share};
use crate::server::{Server, Settings};
#[cfg(feature = "tls")]
use crate::transport::tls::{Side, Tls};
use crate::workers::notices::Notices;
use crate::workers::{self, Around, Ending, Hooks, Statistics, Watcher};
use listeners::{Open, address_of, inherited_by, leave_out_ipv6_halves};
use passed::{PassedSockets, variable};
use ready::{
    print_ready_line, tell_what_the_kernel_lacks, warn_about_allowed, warn_about_the_group,
};
use takeover::{Predecessor, Refusal};
use transport::{Carrier, Secure};

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

fn serve_with<K, S>(
    (mut options, mut passed): (Serve, PassedSockets),
    load: BoxedLoad<S>,
    secure: Secure,
) -> Result<(), Failure>
where
    K: Carrier,
    S: Service<State: Send> + Clone + Send + 'static,
{
    leave_out_ipv6_halves(&mut options);
    // Look names up before the signals are blocked: a resolver handles no signals.
    let address = |endpoint| (passed.address(endpoint)).map_or_else(|| address_of(endpoint), Ok);
    let mut addresses = (options.listen.iter().map(address)).collect::<Result<Vec<_>, _>>()?;
    if let Some(predecessor) = &mut passed.predecessor {
        predecessor.assign(&options, &mut addresses)?;
    }
    for address in &addresses {
        let checked = options.check_address(address);
        checked.map_err(|reason| Failure::new(Exit::Usage, reason))?;
    }
    // What a passed socket carries is known only now.
    let checked = options.check_datagrams(&addresses);
    checked.map_err(|reason| Failure::new(Exit::Usage, reason))?;
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
    let trace_memory = trace_memory(&options, connections_max)?;
    let scrape_memory = scrape_memory(&options, trace_memory)?;
    let demand = Demand {
        memory_max: options.memory_max - trace_memory - scrape_memory,
        connections_max: connections_max as usize,
        threads: options.workers(),
        // The supervisor is one more.
        processes: 1 + options.processes.unwrap_or(0) as usize,
        frame_size_max: options.frame_size_max,
        slot_size: pacing.slot_size()
            + secure.slot_size()
            + options.proxy.map_or(0, |_| ProxyRule::SLOT_SIZE)
            + slot_size(&options, &protocol.service),
        datagrams_size: datagram::memory(
            &protocol.service,
            addresses.iter().filter(|at| at.is_datagrams()).count(),
        ),
        ring_size: match options.submit {
            Submit::Calls => 0,
            Submit::Ring => limits::RING_SIZE,
        },
    };
    let (mut plan, connections_max) = models::plan(&options, &demand, &protocol)?;
    plan.ceiling += trace_memory + scrape_memory;

    // Reserve all later memory once, so that a low address space limit (ulimit -v) gives an error
    // line and not an abort.
    drop(memory("--max-memory", plan.ceiling)?);
    let (mut scrapes, mut metrics) = (None, None);
    if let Some(endpoint) = &options.metrics {
        let predecessor = passed.predecessor.as_mut();
        let opened = scrapes::open(endpoint, predecessor.and_then(Predecessor::take_metrics))?;
        options.metrics = Some(Endpoint::At(opened.address));
        metrics = Some(opened.copy).filter(|_| options.takeover.is_some());
        scrapes = Some(opened.scrapes);
    }
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
    // The number of the first worker of this process, over all processes.
    let first = (place.as_ref()).map_or(0, |place| place.number * options.threads);
    // A number of the wiretap counts within its process.
    let wiretap = options.wiretap.map(|detail| match &place {
        None => Wiretap::new(detail),
        Some(_) => Wiretap::new(detail).of_process(process_id()),
    });
    let is_one_of_many = place.is_some() || options.model == Model::Fork;
    let trace = Trace::open(&options.trace, connections_max as usize, is_one_of_many)?;
    let trace = trace.map(Arc::new);
    let mut servers = Vec::new();
    let mut wakers = Vec::<Waker>::new();
    let mut copies = Vec::new();
    for worker in 0..options.threads {
        let track = trace.as_ref().map(|trace| trace.ring().track());
        let opened = match &mut place {
            None => {
                let mut open = Open {
                    options: &options,
                    addresses: &mut addresses,
                    passed: &mut passed,
                };
                open.worker((&protocol, track.as_ref()), worker, &mut copies)
            }
            Some(place) => place.open_worker(&options, (&protocol, track.as_ref()), worker),
        };
        let started = opened.and_then(|opened| {
            wakers.push(opened.waker.clone());
            let (worker, wiretap) = (first + worker, wiretap.as_ref());
            let pacing = pacing.clone();
            let mut settings = settings(&options, connections_max, &plan, wiretap, pacing, worker);
            settings.trace = track;
            settings.auth = auth.clone();
            match models::hand_out_of::<K, S>(&options) {
                None => {
                    // A connection must be watched before it can begin its handshake.
                    settings.defer_accept &= secure.slot_size() == 0;
                    let kernel = K::around(opened.kernel, &secure, settings.connections_max);
                    start_worker(kernel, opened.listeners, protocol.clone(), settings)
                }
                Some(hand_out) => {
                    let parts = (&load, write_at_end(trace.clone()), &secure);
                    models::start(&options, opened, &protocol, settings, parts, hand_out)
                }
            }
        });
        match started {
            Ok(server) => servers.push(server),
            Err(failure) => {
                // The first worker may have bound paths.
                servers.iter_mut().for_each(Server::close_listeners);
                return Err(failure);
            }
        }
    }
    // The path of the doorway may need the privileges that --user drops.
    let prior = (passed.predecessor.take(), metrics);
    let takeover = match &place {
        Some(_) => Ok(takeover::of_worker(&options)),
        None => takeover::prepare(&options, connections_max, prior, &refusal),
    };
    let takeover = match takeover {
        Ok(takeover) => takeover,
        Err(failure) => {
            servers.iter_mut().for_each(Server::close_listeners);
            return Err(failure);
        }
    };
    if let Some(user) = user.filter(|_| place.is_none()) {
        if let Err(failure) = user.take_over(&options, &addresses) {
            servers.iter_mut().for_each(Server::close_listeners);
            let doorway = takeover.and_then(|it| it.doorway);
            doorway.into_iter().for_each(|(_, doorway)| doorway.close());
            return Err(failure);
        }
    }
    if let (true, Some(server)) = (options.inetd, servers.first_mut()) {
        serve_standard_input(server, passed.connection.take(), options.idle_timeout);
    }
    if let (Some(server), Some(scrapes)) = (servers.first_mut(), scrapes) {
        let served = server.serve_scrapes(Box::new(scrapes));
        if served.is_err() {
            servers.iter_mut().for_each(Server::close_listeners);
        }
        served.map_err(io_failure("--metrics"))?;
    }
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
    let ended = match ended.map_err(io_failure("serving"))? {
        Ending::Stopped(signal) => Err(Failure::signal(signal)),
        // The supervisor tells it for all.
        Ending::Drained { cut, .. } if !is_alone => match cut {
            0 => Ok(()),
            _ => Err(Failure::new(Exit::DrainCut, "")),
        },
        Ending::Drained { cut, counters } => drained(cut, 0, counters.connections_total),
    };
    ended.and(written)
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

/// Writes the trace of a process that serves one connection.
fn write_at_end(trace: Option<Arc<Trace>>) -> Box<dyn Fn() + Send> {
    match trace {
        None => Box::new(|| ()),
        Some(trace) => Box::new(move || trace.write_in_child()),
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

/// Whether this process starts others.
fn has_children<S: Service>(model: Model, protocol: &Protocol<S>) -> bool {
    model == Model::Fork || protocol.service.effects().is_some()
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

/// What one worker is made of.
struct Opened {
    kernel: Traced<Linux>,
    waker: Waker,
    /// Another descriptor of the poller, for a thread that waits for more than the poller.
    control: Option<Socket>,
    listeners: Listeners<Socket>,
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

/// Opens the poller and the listeners of one worker. The first worker leaves in `copies` what the
/// others need of its listeners.
impl Open<'_> {
    fn worker<S: Service>(
        &mut self,
        (protocol, track): (&Protocol<S>, Option<&Track>),
        worker: usize,
        copies: &mut Vec<Listeners<Socket>>,
    ) -> Result<Opened, Failure> {
        let (mut kernel, waker, control) =
            open_kernel(self.options, (protocol, track), worker, None)?;
        let shared = copies.pop().unwrap_or_default();
        let mut listeners = self.listeners(&mut kernel, worker, shared)?;
        if worker == 0 {
            let all = listeners.inherited.len();
            let inherited = 1..self.options.threads;
            let inherited = inherited.map(|it| inherited_by(self.options, it, all));
            let copied = listeners.copies(&mut kernel, inherited);
            (listeners, *copies) = copied.map_err(io_failure("fcntl"))?;
        }
        Ok(Opened {
            kernel,
            waker,
            control,
            listeners,
        })
    }
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

/// Opens the poller of one worker. The first worker is also woken by `link`.
fn open_kernel<S: Service>(
    options: &Serve,
    (protocol, track): (&Protocol<S>, Option<&Track>),
    worker: usize,
    link: Option<&Link>,
) -> Result<(Traced<Linux>, Waker, Option<Socket>), Failure> {
    let mut linux = Linux::new(worker == 0).map_err(io_failure("epoll"))?;
    let waker = linux.waker();
    if let Some(link) = link.filter(|_| worker == 0) {
        linux.wake_by(link).map_err(io_failure("epoll"))?;
    }
    if options.submit == Submit::Ring {
        if let Err(refused) = linux.submit_by_ring(limits::RING_CALLS) {
            if worker == 0 {
                log::warn!(
                    "--submit ring: io_uring is refused here: {refused}; each receive and send \
                     is a system call of its own"
                );
            }
        }
    }
    let control = match options.model {
        Model::Iterative => Some(linux.descriptor().map_err(io_failure("epoll"))?),
        _ => None,
    };
    let mut kernel = Traced::new(linux, recorder(track));
    if has_children(options.model, protocol) {
        kernel.supervise().map_err(cannot_watch(options.model))?;
    }
    Ok((kernel, waker, control))
}

/// Takes the memory of a worker, and registers its listeners.
fn start_worker<K: Carrier, S: Service>(
    mut kernel: K,
    mut listeners: Listeners<Socket>,
    protocol: Protocol<S>,
    settings: Settings,
) -> Result<Server<K, S>, Failure> {
    let failure = io_failure("starting a worker");
    let datagrams = listeners.take_datagrams(&mut kernel).map_err(&failure)?;
    let mut server = Server::new(kernel, listeners.own, protocol, settings).map_err(&failure)?;
    let mut shared = listeners.shared.into_iter();
    let added = shared.try_for_each(|listener| server.share_listener(listener));
    let mut inherited = listeners.inherited.into_iter();
    let added = added.and_then(|()| inherited.try_for_each(|it| server.inherit_listener(it)));
    let served = match datagrams.is_empty() {
        true => Ok(()),
        false => server.serve_datagrams(datagrams),
    };
    added.and(served).map_err(|error| {
        // This may be the worker that has bound paths.
        shared.for_each(|listener| server.kernel_mut().close_listener(listener));
        server.close_listeners();
        failure(error)
    })?;
    Ok(server)
}

/// What each worker does on its thread before it serves: with `--pin` it moves to a processor of
/// those that the process may use. If there are fewer processors than workers, some share one.
/// `first` is the number of the first worker of this process.
fn pinning(options: &Serve, first: usize) -> Result<Box<dyn Fn(usize) + Send + Sync>, Failure> {
    if !options.pin {
        return Ok(Box::new(|_| ()));
    }
    let may_use = host::affinity(0).map_err(io_failure("--pin: sched_getaffinity"))?;
    let processors = may_use.list();
    Ok(Box::new(move |worker| {
        let worker = first + worker;
        let processor = processors[worker % processors.len()];
        match host::pin_task(0, processor) {
            Ok(()) => log::info!("worker {worker} runs on processor {processor}"),
            Err(error) => log::warn!(
                "--pin: worker {worker} cannot be kept on processor {processor}: {error}"
            ),
        }
    }))
}

/// A started command must be watched to its end. If that is impossible, none is started.
fn cannot_watch(model: Model) -> impl Fn(io::Error) -> Failure {
    let what = match model {
        Model::Fork => "--model fork: processes",
        _ => "run: commands",
    };
    move |refused| cannot_watch_any(what, &refused)
}

fn cannot_watch_any(what: &str, refused: &io::Error) -> Failure {
    let needed = match refused.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::InvalidInput => {
            "; it takes Linux 5.4 or newer and a sandbox that permits the call"
        }
        _ => "",
    };
    let line = format!("{what} cannot be watched here, so none is started: {refused}{needed}");
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

/// The number of connections asked for, or as many as the descriptor limit allows. The default is
/// reduced without a warning, because the user has not asked for that number and the ready line
/// prints the actual one.
fn connections_that_fit(options: &Serve) -> Result<u32, Failure> {
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

/// The rates and the idle time-outs of one direction. The workers share the buckets of the totals.
fn pacing(options: &Serve) -> Pacing {
    let limits = |each: Option<Rate>, total: Option<Rate>| Limits {
        each,
        total: total.map(|rate| Arc::new(Bucket::new(rate))),
    };
    Pacing {
        read: limits(options.rate, options.rate_total),
        write: limits(options.rate_out, options.rate_out_total),
        idle_read: options.idle_read,
        idle_write: options.idle_write,
    }
}

/// The settings of `worker`, counted over all processes.
fn settings(
    options: &Serve,
    connections_max: u32,
    plan: &Plan,
    wiretap: Option<&Wiretap>,
    pacing: Pacing,
    worker: usize,
) -> Settings {
    let share = |all: u32| share(all, options.workers(), worker);
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
        wiretap: wiretap.cloned(),
        trace: None,
        pacing,
        auth: None,
        proxy: options.proxy.map(|mode| ProxyRule {
            is_required: mode == ProxyMode::Require,
            from: options.proxy_from.as_slice().into(),
            counts: None,
        }),
    }
}
