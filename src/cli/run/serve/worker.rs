//! One worker of `mynah serve`: its poller, its listeners, its memory and its settings.
//!
//! The workers are opened one after the other. If one fails, those before it close their listeners,
//! because the first may have bound paths. Neighbours: `serve` calls this, `listeners` opens the
//! sockets, `models` hands connections to threads and processes, `workers` runs what is opened.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::super::trace::Trace;
use super::super::{Exit, Failure, io_failure};
use super::listeners::{Open, inherited_by};
use super::models;
use super::passed::PassedSockets;
use super::processes::Place;
use super::transport::{Carrier, Secure};
use crate::base::token_bucket::{Bucket, Rate};
use crate::cli::options::{ProxyMode, Serve};
use crate::kernel::batch::Submit;
use crate::kernel::journal::{Track, recorder};
use crate::kernel::{Address, Link, Linux, Socket, Spawner, Traced, Waker, host};
use crate::limits;
use crate::protocol::connection::Protocol;
use crate::protocol::service::Service;
use crate::server::admission::announced::ProxyRule;
use crate::server::admission::listeners::Listeners;
use crate::server::auth::Auth;
use crate::server::blocking::{Load, Model};
use crate::server::observe::wiretap::Wiretap;
use crate::server::pace::{Limits, Pacing};
use crate::server::plan::{Plan, share};
use crate::server::{Server, Settings};

/// The servers that are open, and what wakes each of them.
type Workers<K, S> = (Vec<Server<K, S>>, Vec<Waker>);

/// What the workers of a process have in common.
pub(super) struct Start<'a, S> {
    pub(super) options: &'a Serve,
    pub(super) connections_max: u32,
    pub(super) plan: &'a Plan,
    pub(super) protocol: &'a Protocol<S>,
    pub(super) load: &'a Load<S>,
    pub(super) pacing: Pacing,
    pub(super) auth: Option<Auth>,
    pub(super) secure: &'a Secure,
    pub(super) trace: Option<&'a Arc<Trace>>,
    pub(super) wiretap: Option<Wiretap>,
    /// The number of the first worker, over all processes.
    pub(super) first: usize,
}

impl<S: Service<State: Send> + Clone + Send + 'static> Start<'_, S> {
    /// Opens all workers, with the listeners of `place` in a worker process.
    pub(super) fn workers<K: Carrier>(
        &self,
        addresses: &mut [Address],
        passed: &mut PassedSockets,
        mut place: Option<&mut Place>,
    ) -> Result<Workers<K, S>, Failure> {
        let (mut servers, mut wakers, mut copies) = (Vec::new(), Vec::new(), Vec::new());
        for worker in 0..self.options.threads {
            let track = self.trace.map(|trace| trace.ring().track());
            let parts = (self.protocol, track.as_ref());
            let opened = match &mut place {
                None => {
                    let mut open = Open {
                        options: self.options,
                        addresses: &mut *addresses,
                        passed: &mut *passed,
                    };
                    open.worker(parts, worker, &mut copies)
                }
                Some(place) => place.open_worker(self.options, parts, worker),
            };
            let started = opened.and_then(|opened| {
                wakers.push(opened.waker.clone());
                self.worker(opened, worker, track)
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
        Ok((servers, wakers))
    }

    /// Takes the memory of one worker.
    fn worker<K: Carrier>(
        &self,
        opened: Opened,
        worker: usize,
        track: Option<Track>,
    ) -> Result<Server<K, S>, Failure> {
        let mut settings = self.settings(self.first + worker);
        settings.trace = track;
        match models::hand_out_of::<K, S>(self.options) {
            None => {
                // A connection must be watched before it can begin its handshake.
                settings.defer_accept &= self.secure.slot_size() == 0;
                let kernel = K::around(opened.kernel, self.secure, settings.connections_max);
                start_worker(kernel, opened.listeners, self.protocol.clone(), settings)
            }
            Some(hand_out) => {
                let parts = (self.load, write_at_end(self.trace.cloned()), self.secure);
                models::start(
                    self.options,
                    opened,
                    self.protocol,
                    settings,
                    parts,
                    hand_out,
                )
            }
        }
    }

    /// The settings of `worker`, counted over all processes.
    fn settings(&self, worker: usize) -> Settings {
        let options = self.options;
        let share = |all: u32| share(all, options.workers(), worker);
        Settings {
            connections_max: share(self.connections_max) as usize,
            workspaces: self.plan.workspaces,
            workspace: self.plan.workspace,
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
            wiretap: self.wiretap.clone(),
            trace: None,
            pacing: self.pacing.clone(),
            auth: self.auth.clone(),
            proxy: options.proxy.map(|mode| ProxyRule {
                is_required: mode == ProxyMode::Require,
                from: options.proxy_from.as_slice().into(),
                counts: None,
            }),
        }
    }
}

/// What one worker is made of.
pub(super) struct Opened {
    pub(super) kernel: Traced<Linux>,
    pub(super) waker: Waker,
    /// Another descriptor of the poller, for a thread that waits for more than the poller.
    pub(super) control: Option<Socket>,
    pub(super) listeners: Listeners<Socket>,
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

/// Whether this process starts others.
pub(super) fn has_children<S: Service>(model: Model, protocol: &Protocol<S>) -> bool {
    model == Model::Fork || protocol.service.effects().is_some()
}

/// Opens the poller of one worker. The first worker is also woken by `link`.
pub(super) fn open_kernel<S: Service>(
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
pub(super) fn start_worker<K: Carrier, S: Service>(
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
pub(super) fn pinning(
    options: &Serve,
    first: usize,
) -> Result<Box<dyn Fn(usize) + Send + Sync>, Failure> {
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

/// The rates and the idle time-outs of one direction. The workers share the buckets of the totals.
pub(super) fn pacing(options: &Serve) -> Pacing {
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

/// Writes the trace of a process that serves one connection.
fn write_at_end(trace: Option<Arc<Trace>>) -> Box<dyn Fn() + Send> {
    match trace {
        None => Box::new(|| ()),
        Some(trace) => Box::new(move || trace.write_in_child()),
    }
}
