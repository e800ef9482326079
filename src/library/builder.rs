//! The settings of a server, and the steps from them to open listeners.
//!
//! All settings are checked in [`Builder::bind`], together, so a chain of calls has one error.
//! Each worker has its own loop and listeners (SO_REUSEPORT); a local address has one listener,
//! and every worker a descriptor of it. Invariant: if a step fails, everything before it is closed
//! and bound paths are removed. Neighbours: `bound` serves, `limits` has the defaults and their
//! reasons. See socket(7), unix(7), signal(7).

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::bound::{Loops, Server};
use super::error::Error;
use crate::base::token_bucket::{Bucket, Rate};
use crate::kernel::journal::TextLog;
use crate::kernel::{
    Address, Endpoint, Linux, OpenError, OpenStep, Opener, Socket, Spawner, Traced, Trigger,
    block_signals,
};
use crate::limits::{self, TIMEOUT_MAX, TIMEOUT_MIN};
use crate::protocol::connection::Protocol;
use crate::protocol::framing::{Framing, OnTooLong};
use crate::protocol::service::Service;
use crate::server::admission::AcceptPolicy;
use crate::server::admission::listeners::{Listeners, NotOpened, Sharers, listen_options};
use crate::server::observe::counters::StatsFormat;
use crate::server::observe::wiretap::{Detail, Wiretap};
use crate::server::pace::{Limits, Pacing};
use crate::server::plan::{Demand, Plan, share};
use crate::server::{self, Settings};
use crate::workers::{Ending, Statistics, hand_over};

/// The settings of a server. Sizes are in bytes; limits hold for all threads together.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before bind or serve"]
pub struct Builder {
    listen: Vec<String>,
    framing: String,
    frame_size_max: usize,
    on_too_long: OnTooLong,
    threads: usize,
    connections_max: u32,
    connections_per_ip_max: Option<u32>,
    memory_max: usize,
    backlog: u32,
    idle_timeout: Option<Duration>,
    frame_timeout: Option<Duration>,
    stall_timeout: Option<Duration>,
    stall_size_min: usize,
    drain_timeout: Duration,
    trigger: Trigger,
    signals: bool,
    stats_interval: Option<Duration>,
    accept: AcceptPolicy,
    wiretap: Option<Detail>,
    /// Of reading and of sending: each connection, all together.
    rates: [[Option<Rate>; 2]; 2],
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            listen: Vec::new(),
            framing: "raw".to_owned(),
            frame_size_max: limits::FRAME_MAX_DEFAULT,
            on_too_long: OnTooLong::Close,
            threads: limits::THREADS_DEFAULT,
            connections_max: limits::CONNECTIONS_DEFAULT,
            connections_per_ip_max: None,
            memory_max: limits::MEMORY_DEFAULT,
            backlog: limits::BACKLOG_DEFAULT,
            idle_timeout: Some(limits::IDLE_TIMEOUT_DEFAULT),
            frame_timeout: Some(limits::FRAME_TIMEOUT_DEFAULT),
            stall_timeout: Some(limits::STALL_TIMEOUT_DEFAULT),
            stall_size_min: limits::STALL_SIZE_MIN_DEFAULT,
            drain_timeout: limits::DRAIN_TIMEOUT_DEFAULT,
            trigger: Trigger::Edge,
            signals: false,
            stats_interval: None,
            accept: AcceptPolicy::Reuseport,
            wiretap: None,
            rates: [[None; 2]; 2],
        }
    }
}

impl Builder {
    /// Adds an address to listen on, in the syntax of `--listen`: `7007`, `127.0.0.1:7007`,
    /// `[::1]:0`, `unix:/path`, `unix:@name`. Port 0 is one that the kernel chooses. Without this
    /// it is [`LISTEN_DEFAULT`](crate::limits::LISTEN_DEFAULT).
    pub fn listen(mut self, address: impl Display) -> Builder {
        self.listen.push(address.to_string());
        self
    }

    /// Where a message ends, in the syntax of `--frame`: `raw` (the default), `line`, `u32be`,
    /// `delim:0d0a`, ... With `raw` a request is whatever a read has brought.
    pub fn framing(mut self, framing: impl Into<String>) -> Builder {
        self.framing = framing.into();
        self
    }

    /// The largest frame, header included.
    pub fn frame_size_max(mut self, bytes: usize) -> Builder {
        self.frame_size_max = bytes;
        self
    }

    /// What happens to a larger frame.
    pub fn on_too_long(mut self, action: OnTooLong) -> Builder {
        self.on_too_long = action;
        self
    }

    /// The number of loops, each on a thread of its own and with its own copy of the service.
    pub fn threads(mut self, threads: usize) -> Builder {
        self.threads = threads;
        self
    }

    /// The largest number of connections at a time. Further ones wait in the queues of the
    /// listeners. The limit on descriptors of the process is not changed (`RLIMIT_NOFILE` of
    /// getrlimit(2)): when it is reached, connections wait, too.
    pub fn connections_max(mut self, connections: u32) -> Builder {
        self.connections_max = connections;
        self
    }

    /// The largest number of connections at a time from one address; `None` is no limit.
    pub fn connections_per_ip_max(mut self, connections: impl Into<Option<u32>>) -> Builder {
        self.connections_per_ip_max = connections.into();
        self
    }

    /// The ceiling of the memory for connections and their buffers, which is never exceeded. What a
    /// service allocates itself is not counted.
    pub fn memory_max(mut self, bytes: usize) -> Builder {
        self.memory_max = bytes;
        self
    }

    /// The backlog of each listener, see listen(2).
    pub fn backlog(mut self, connections: u32) -> Builder {
        self.backlog = connections;
        self
    }

    /// The longest time without a byte from the peer; `None` is no limit.
    pub fn idle_timeout(mut self, span: impl Into<Option<Duration>>) -> Builder {
        self.idle_timeout = span.into();
        self
    }

    /// The longest time from the first byte of a frame to its last; `None` is no limit.
    pub fn frame_timeout(mut self, span: impl Into<Option<Duration>>) -> Builder {
        self.frame_timeout = span.into();
        self
    }

    /// The longest time in which a peer may take less of its replies than
    /// [`Builder::stall_size_min`]; `None` is no limit.
    pub fn stall_timeout(mut self, span: impl Into<Option<Duration>>) -> Builder {
        self.stall_timeout = span.into();
        self
    }

    /// The bytes that a peer must take in each [`Builder::stall_timeout`], unless it takes all.
    pub fn stall_size_min(mut self, bytes: usize) -> Builder {
        self.stall_size_min = bytes;
        self
    }

    /// The longest time for a drain. Connections that are owed replies after it are cut and
    /// counted in [`Ending::Drained`].
    pub fn drain_timeout(mut self, span: Duration) -> Builder {
        self.drain_timeout = span;
        self
    }

    /// How epoll reports readiness: [`Trigger::Edge`] is the default.
    pub fn trigger(mut self, trigger: Trigger) -> Builder {
        self.trigger = trigger;
        self
    }

    /// Whether the server takes the signals of the process as `mynah serve` does: SIGTERM and
    /// SIGINT drain, a second one ends [`Server::run`] with [`Ending::Stopped`], SIGUSR1 prints the
    /// statistics on standard output. [`Builder::bind`] blocks these signals in its thread, so it
    /// has to be called before other threads are started (pthread_sigmask(3)). Off by default:
    /// signals are left alone.
    pub fn signals(mut self, taken: bool) -> Builder {
        self.signals = taken;
        self
    }

    /// The time between two lines of statistics on standard output; `None` (the default) prints
    /// none.
    pub fn statistics(mut self, interval: impl Into<Option<Duration>>) -> Builder {
        self.stats_interval = interval.into();
        self
    }

    /// How several threads share connections: [`AcceptPolicy::Reuseport`] is the default.
    pub fn accept(mut self, policy: AcceptPolicy) -> Builder {
        self.accept = policy;
        self
    }

    /// Logs each event of each connection at level info, with target `mynah::wiretap`; `None` (the
    /// default) logs none.
    pub fn wiretap(mut self, detail: impl Into<Option<Detail>>) -> Builder {
        self.wiretap = detail.into();
        self
    }

    /// What is read from each connection at most; `None` (the default) is no limit.
    pub fn rate(mut self, rate: impl Into<Option<Rate>>) -> Builder {
        self.rates[0][0] = rate.into();
        self
    }

    /// What is read from all connections together, on all threads.
    pub fn rate_total(mut self, rate: impl Into<Option<Rate>>) -> Builder {
        self.rates[0][1] = rate.into();
        self
    }

    /// What is sent to each connection at most.
    pub fn rate_out(mut self, rate: impl Into<Option<Rate>>) -> Builder {
        self.rates[1][0] = rate.into();
        self
    }

    /// What is sent to all connections together.
    pub fn rate_out_total(mut self, rate: impl Into<Option<Rate>>) -> Builder {
        self.rates[1][1] = rate.into();
        self
    }

    /// Takes all memory and opens all listeners. The kernel queues connections from here on. Each
    /// thread gets a clone of `service`: what clones share, such as an `Arc<Mutex<_>>`, is up to
    /// the service.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a wrong setting, [`Error::Listen`] for an address that cannot be
    /// listened on, [`Error::Io`] if the kernel refuses something else.
    pub fn bind<S>(self, service: S) -> Result<Server, Error>
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        self.check()?;
        let addresses = self.addresses()?;
        let protocol = self.protocol(service)?;
        let plan = self.plan(&protocol)?;
        if self.signals {
            block_signals().map_err(Error::io("signals"))?;
        }
        self.open(addresses, &protocol, &plan)
    }

    /// [`Builder::bind`], then [`Server::run`].
    ///
    /// # Errors
    ///
    /// Those of both.
    pub fn serve<S>(self, service: S) -> Result<Ending, Error>
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        self.bind(service)?.run()
    }

    /// Checks each setting against its bounds.
    fn check(&self) -> Result<(), Error> {
        let threads = self.threads as u64;
        within("threads", threads, 1..=limits::THREADS_MAX as u64)?;
        // Each loop needs a connection.
        let connections = threads..=u64::from(limits::CONNECTIONS_MAX);
        within("connections_max", self.connections_max, connections.clone())?;
        if let Some(most) = self.connections_per_ip_max {
            within("connections_per_ip_max", most, connections)?;
        }
        let frames = 1..=limits::FRAME_MAX_MAX as u64;
        within("frame_size_max", self.frame_size_max as u64, frames)?;
        let memory = limits::MEMORY_MIN as u64..=limits::MEMORY_MAX as u64;
        within("memory_max", self.memory_max as u64, memory)?;
        within("backlog", self.backlog, 1..=u64::from(limits::BACKLOG_MAX))?;
        let least = self.stall_size_min as u64;
        within("stall_size_min", least, 1..=limits::FRAME_MAX_MAX as u64)?;
        for (name, span) in [
            ("idle_timeout", self.idle_timeout),
            ("frame_timeout", self.frame_timeout),
            ("stall_timeout", self.stall_timeout),
        ] {
            span_within(name, span, TIMEOUT_MIN)?;
        }
        for ([each, total], names) in self
            .rates
            .iter()
            .zip([["rate", "rate_total"], ["rate_out", "rate_out_total"]])
        {
            for (rate, name) in [each, total].into_iter().zip(names) {
                if let Some(Rate { rate, burst }) = *rate {
                    within(name, rate, 1..=limits::RATE_MAX)?;
                    within(name, burst, 1..=limits::RATE_MAX)?;
                }
            }
        }
        span_within("drain_timeout", Some(self.drain_timeout), Duration::ZERO)?;
        span_within(
            "statistics",
            self.stats_interval,
            limits::STATS_INTERVAL_MIN,
        )
    }

    fn addresses(&self) -> Result<Vec<Address>, Error> {
        let default = [limits::LISTEN_DEFAULT.to_owned()];
        let listen = match self.listen.is_empty() {
            true => &default[..],
            false => &self.listen,
        };
        let address = |text: &String| {
            let endpoint = text.parse::<Endpoint>();
            let address = endpoint.and_then(|endpoint| endpoint.listen_address());
            match address {
                Ok(address) if address.is_datagrams() => {
                    Err("a server of this kind listens on streams".to_owned())
                }
                other => other,
            }
            .map_err(|reason| Error::Setting(format!("listen {text}: {reason}")))
        };
        listen.iter().map(address).collect()
    }

    /// The service behind its framing, which must be able to carry every possible reply.
    fn protocol<S: Service>(&self, service: S) -> Result<Protocol<S>, Error> {
        let wrong = |reason| Error::Setting(format!("framing {}: {reason}", self.framing));
        let framing = Framing::parse(&self.framing).map_err(wrong)?;
        let limit = self.frame_size_max;
        let framing = framing.limited(limit).map_err(wrong)?;
        let protocol = Protocol {
            framing,
            on_too_long: self.on_too_long,
            service,
        };
        if let Err(error) = protocol.check_greeting() {
            return Err(wrong(format!("it cannot carry the greeting: {error}")));
        }
        if protocol.service.effects().is_some()
            && protocol.output_size_max(limits::COMMAND_OUTPUT_MAX) == 0
        {
            return Err(wrong("its frames are too short for an answer".to_owned()));
        }
        Ok(protocol)
    }

    fn plan<S: Service>(&self, protocol: &Protocol<S>) -> Result<Plan, Error> {
        let demand = Demand {
            memory_max: self.memory_max,
            connections_max: self.connections_max as usize,
            processes: 1,
            threads: self.threads,
            frame_size_max: self.frame_size_max,
            slot_size: self.pacing().slot_size()
                + server::Server::<Traced<Linux>, S>::slot_size(
                    &protocol.service,
                    self.connections_per_ip_max.is_some(),
                ),
            datagrams_size: 0,
            ring_size: 0,
        };
        let memory_max = self.memory_max;
        let wrong = |reason| Error::Setting(format!("memory_max {memory_max}: {reason}"));
        demand.plan(protocol).map_err(wrong)
    }

    /// Opens the loops one after the other. The first one stores the ports that the kernel chose.
    fn open<S>(
        &self,
        mut addresses: Vec<Address>,
        protocol: &Protocol<S>,
        plan: &Plan,
    ) -> Result<Server, Error>
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        let mut loops = Loops {
            servers: Vec::new(),
            wakers: Vec::new(),
            statistics: Statistics {
                interval: self.stats_interval,
                format: StatsFormat::Whole,
                by_worker: self.threads > 1,
            },
        };
        // One bucket of each total, and one count of connections, for all loops.
        let (pacing, wiretap) = (self.pacing(), self.wiretap.map(Wiretap::new));
        // Descriptors of the shared listeners, for the further workers.
        let mut copies = Vec::<Listeners<Socket>>::new();
        for worker in 0..self.threads {
            let linux = Linux::new(self.signals && worker == 0).map_err(Error::io("epoll"))?;
            loops.wakers.push(linux.waker());
            let mut kernel = Traced::new(linux, TextLog::if_shown());
            if protocol.service.effects().is_some() {
                kernel.supervise().map_err(Error::io("watching commands"))?;
            }
            let mut opened = self.listeners(&mut kernel, &mut addresses, worker)?;
            if worker == 0 {
                let none_inherited = (1..self.threads).map(|_| 0);
                let copied = opened.copies(&mut kernel, none_inherited);
                (opened, copies) = copied.map_err(Error::io("fcntl"))?;
            } else {
                opened.shared = copies.pop().unwrap_or_default().shared;
            }
            let failed = Error::io("starting a loop");
            let settings = Settings {
                pacing: pacing.clone(),
                wiretap: wiretap.clone(),
                ..self.settings(plan, worker)
            };
            let server = server::Server::new(kernel, opened.own, protocol.clone(), settings);
            let mut server = server.map_err(&failed)?;
            let mut shared = opened.shared.into_iter();
            let added = shared.try_for_each(|listener| server.share_listener(listener));
            shared.for_each(|listener| server.kernel_mut().close_listener(listener));
            loops.servers.push(server);
            added.map_err(failed)?;
        }
        if self.accept == AcceptPolicy::Handoff && self.threads > 1 {
            let share = |worker| share(self.connections_max, self.threads, worker);
            hand_over(&mut loops.servers, &loops.wakers, &share);
        }
        Ok(Server::new(addresses, loops))
    }

    fn pacing(&self) -> Pacing {
        let [read, write] = self.rates.map(|[each, total]| Limits {
            each,
            total: total.map(|rate| Arc::new(Bucket::new(rate))),
        });
        Pacing {
            read,
            write,
            ..Pacing::default()
        }
    }

    /// Opens the listeners of a worker. The local ones of the first worker are for all.
    fn listeners(
        &self,
        kernel: &mut Traced<Linux>,
        addresses: &mut [Address],
        worker: usize,
    ) -> Result<Listeners<Socket>, Error> {
        let options = listen_options(self.backlog, self.stall_timeout);
        let sharers = Sharers {
            threads: self.threads,
            accept: self.accept,
        };
        let mut listeners = Listeners::default();
        for address in addresses {
            let opened = sharers.open(kernel, address, &options, worker, &mut listeners);
            if let Err(refused) = opened {
                listeners.close(kernel);
                return Err(match refused {
                    NotOpened::Refused(refused) => cannot_listen(address, refused),
                    NotOpened::Unnamed(error) => Error::io("getsockname")(error),
                });
            }
        }
        Ok(listeners)
    }

    fn settings(&self, plan: &Plan, worker: usize) -> Settings {
        let share = |all: u32| share(all, self.threads, worker);
        Settings {
            connections_max: share(self.connections_max) as usize,
            workspaces: plan.workspaces,
            workspace: plan.workspace,
            trigger: self.trigger,
            defer_accept: false,
            frames_per_event: limits::FRAMES_PER_EVENT,
            spin: None,
            idle_timeout: self.idle_timeout,
            stall_timeout: self.stall_timeout,
            stall_size_min: self.stall_size_min,
            frame_timeout: self.frame_timeout,
            connections_per_ip_max: self.connections_per_ip_max.map(share),
            backlog: self.backlog,
            drain_timeout: self.drain_timeout,
            wiretap: None,
            auth: None,
            trace: None,
            pacing: Pacing::default(),
            proxy: None,
        }
    }
}

fn cannot_listen(address: &Address, refused: OpenError) -> Error {
    Error::Listen {
        address: address.to_string(),
        call: match refused.step {
            OpenStep::Socket => "socket",
            OpenStep::Bind => "bind",
            OpenStep::Listen => "listen",
            OpenStep::Connect => "connect",
        },
        error: refused.error,
    }
}

fn within(name: &str, number: impl Into<u64>, allowed: RangeInclusive<u64>) -> Result<(), Error> {
    let number = number.into();
    match allowed.contains(&number) {
        true => Ok(()),
        false => {
            let (least, most) = allowed.into_inner();
            let line = format!("{name} {number}: must be {least} to {most}");
            Err(Error::Setting(line))
        }
    }
}

fn span_within(name: &str, span: Option<Duration>, least: Duration) -> Result<(), Error> {
    match span {
        Some(span) if !(least..=TIMEOUT_MAX).contains(&span) => {
            let line = format!("{name} {span:?}: must be {least:?} to {TIMEOUT_MAX:?}");
            Err(Error::Setting(line))
        }
        _ => Ok(()),
    }
}
