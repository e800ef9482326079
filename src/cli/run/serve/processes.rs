//! `mynah serve --processes`: the supervisor's start, and what its end means for the exit code.
//!
//! The supervisor opens the listeners, one set for each thread of a worker process, and forks. In
//! a worker process [`supervise`] returns with a [`Place`], and the worker goes on like a server
//! that has opened its listeners itself. In the supervisor it returns when all has ended. What
//! takes memory of a worker is taken after the fork. Neighbours: `serve` calls this between the
//! plan and the servers, `workers::processes` supervises. See fork(2).

use super::super::{Exit, Failure, io_failure};
use super::listeners::{Open, inherited_by};
use super::takeover::Predecessor;
use super::user::NewUser;
use super::worker::{Opened, open_kernel};
use super::{drained, statistics};
use crate::cli::options::Serve;
use crate::kernel::journal::Track;
use crate::kernel::{self, Address, Linux, Socket, Traced};
use crate::protocol::connection::Protocol;
use crate::protocol::service::Service;
use crate::server::admission::listeners::Listeners;
use crate::server::scrapes::{Pages, Scrapes};
use crate::workers::notices::Notices;
use crate::workers::processes::{self, Ended, Reporter, Supervision};
use crate::workers::takeover::Takeover;

/// The place of a worker process.
pub(super) struct Place {
    /// Its number, counted from 0.
    pub(super) number: usize,
    /// Its link to the supervisor.
    pub(super) reporter: Reporter,
    /// The listeners of each thread, shared with the other processes.
    listeners: Vec<Listeners<Socket>>,
}

/// What this process is, or was.
pub(super) enum Role {
    Worker(Place),
    /// The supervisor, and all has ended well.
    Supervisor,
}

impl Place {
    /// Opens the poller of one thread, and takes its listeners. They are taken once.
    pub(super) fn open_worker<S: Service>(
        &mut self,
        options: &Serve,
        (protocol, track): (&Protocol<S>, Option<&Track>),
        thread: usize,
    ) -> Result<Opened, Failure> {
        let link = Some(self.reporter.link());
        let (kernel, waker, control) = open_kernel(options, (protocol, track), thread, link)?;
        let listeners = self.listeners.get_mut(thread);
        let mut listeners = listeners.map(std::mem::take).unwrap_or_default();
        // Other processes have them too.
        let own = std::mem::take(&mut listeners.own);
        listeners.shared.splice(0..0, own);
        Ok(Opened {
            kernel,
            waker,
            control,
            listeners,
        })
    }
}

/// Opens the listeners, starts the worker processes and supervises them. `announce` is called with
/// the addresses when all of them serve.
pub(super) fn supervise(
    mut open: Open<'_>,
    user: Option<&NewUser>,
    (notices, scrapes): (Notices, Option<Scrapes<Traced<Linux>>>),
    takeover: impl FnOnce(Option<Predecessor>) -> Result<Option<Takeover<Socket>>, Failure>,
    reload: &mut dyn FnMut() -> Result<(), String>,
    announce: &mut dyn FnMut(&[Address]),
) -> Result<Role, Failure> {
    let mut linux = Linux::new(true).map_err(io_failure("epoll"))?;
    let listeners = listeners_of_threads(&mut linux, &mut open)?;
    let Open {
        options,
        addresses,
        passed,
    } = open;
    // The path of the doorway may need the privileges that --user drops.
    let takeover = takeover(passed.predecessor.take());
    let takeover = takeover.and_then(|takeover| {
        match user.map_or(Ok(()), |user| user.take_over(options, addresses)) {
            Ok(()) => Ok(takeover),
            Err(failure) => {
                let doorway = takeover.and_then(|it| it.doorway);
                doorway.into_iter().for_each(|(_, doorway)| doorway.close());
                Err(failure)
            }
        }
    });
    let takeover = match takeover {
        Ok(takeover) => takeover,
        Err(failure) => {
            let close = |listeners: Listeners<Socket>| listeners.close(&mut linux);
            listeners.into_iter().for_each(close);
            return Err(failure);
        }
    };
    let supervision = Supervision {
        processes: options.processes.unwrap_or(1) as usize,
        alive: options.alive,
        statistics: statistics(options),
        drain_timeout: options.drain_timeout,
        notices,
        scrapes: scrapes.map(|scrapes| Box::new(scrapes) as Box<dyn Pages<Socket>>),
        takeover,
    };
    let mut announce = || announce(addresses);
    let role = processes::supervise(linux, listeners, supervision, reload, &mut announce);
    match role.map_err(cannot_supervise)? {
        processes::Role::Worker {
            place,
            link,
            listeners,
            waits,
        } => {
            let reporter = Reporter::new(link, options.alive);
            Ok(Role::Worker(Place {
                number: place,
                reporter: match waits {
                    true => reporter.wait_first(),
                    false => reporter,
                },
                listeners,
            }))
        }
        processes::Role::Supervisor(ended) => exit_of(ended).map(|()| Role::Supervisor),
    }
}

/// Opens the listeners of each thread of a worker process. The threads of one process share a
/// listener as they do without other processes; thread by thread, all processes share them.
fn listeners_of_threads(
    linux: &mut Linux,
    open: &mut Open<'_>,
) -> Result<Vec<Listeners<Socket>>, Failure> {
    let mut all: Vec<Listeners<Socket>> = Vec::new();
    let mut copies = Vec::new();
    for thread in 0..open.options.threads {
        let shared = copies.pop().unwrap_or_default();
        let opened = open.listeners(linux, thread, shared);
        let opened = opened.and_then(|opened| match thread {
            0 => {
                let inherited = 1..open.options.threads;
                let all = opened.inherited.len();
                let inherited = inherited.map(|thread| inherited_by(open.options, thread, all));
                let copied = opened.copies(linux, inherited);
                let (first, others) = copied.map_err(io_failure("fcntl"))?;
                copies = others;
                Ok(first)
            }
            _ => Ok(opened),
        });
        match opened {
            Ok(opened) => all.push(opened),
            Err(failure) => {
                let close = |listeners: Listeners<Socket>| listeners.close(linux);
                all.into_iter().for_each(close);
                return Err(failure);
            }
        }
    }
    Ok(all)
}

fn cannot_supervise(refused: std::io::Error) -> Failure {
    Failure::new(Exit::Fork, format!("worker processes: {refused}"))
}

fn exit_of(ended: Ended) -> Result<(), Failure> {
    match ended {
        Ended::Drained {
            cut,
            lost,
            counters,
        } => drained(cut, lost, counters.connections_total),
        Ended::Stopped(signal) => Err(Failure::signal(signal)),
        // The worker has told why, and its code says what kind of failure it was.
        Ended::NotStarted {
            exit: kernel::Exit::Code(code @ 1..=255),
            ..
        } => Err(Failure {
            code: code as u8,
            line: String::new(),
        }),
        Ended::NotStarted { line, .. } => {
            let line = format!("{line} before all of them served");
            Err(Failure::new(Exit::Fork, line))
        }
    }
}
