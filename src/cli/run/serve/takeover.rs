//! `--takeover`: what this process gets from a running one, before and when it serves.
//!
//! A process that listens at the path is asked for its listeners before anything is opened. Those
//! that are asked for with `--listen` are used as they are; without `--listen` all of them are. The
//! running process goes on until [`Predecessor::commit`], so every error up to there only ends this
//! start. Neighbours: `listeners` uses the listeners, `workers::takeover` has the words and the
//! rest.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::{Exit, Failure};
use crate::base::text::escape::escape;
use crate::cli::options::{AuthName, Serve};
use crate::kernel::{
    Address, Channel, Door, Doorway, Endpoint, Passage, PassedState, Socket, check_passed,
};
use crate::limits::{CONNECTIONS_PER_MESSAGE, TAKEOVER_ANSWER_TIMEOUT, TAKEOVER_MESSAGE_MAX};
use crate::server::admission::AcceptPolicy;
use crate::server::plan::share;
use crate::workers::takeover::message::Role;
use crate::workers::takeover::taker::{Outcome, Taker};
use crate::workers::takeover::{Commit, Takeover};

/// A listener of the running process.
pub(super) struct Taken {
    pub(super) socket: Socket,
    pub(super) address: Address,
    pub(super) is_inherited: bool,
}

impl Taken {
    /// Whether it is at this address, or at any port of it if that is port 0.
    pub(super) fn is_for(&self, wanted: &Address) -> bool {
        *wanted == self.address || is_any_port_of(wanted, &self.address)
    }
}

/// The running process, and what it has passed.
pub(super) struct Predecessor {
    taker: Taker,
    /// `None` once it has ended.
    channel: Option<Channel>,
    doorway: Option<Socket>,
    /// The listener of `--metrics`.
    metrics: Option<Taken>,
    listeners: Vec<Taken>,
    /// The endpoint of `--listen` that each of them is for.
    places: Vec<Option<usize>>,
    /// The endpoints for which there was a listener.
    found: Vec<usize>,
}

/// What is served, in words: the connections of one process can be those of another with the same.
fn identity(options: &Serve) -> String {
    let auth = match options.auth {
        None => "none",
        Some(AuthName::HmacSha256) => "hmac-sha256",
        Some(AuthName::HmacMd5) => "hmac-md5",
    };
    format!(
        "service {}, frame {}, codec {}, auth {auth}, tls {}",
        options.service,
        options.framing,
        if options.codec.is_some() {
            "base64"
        } else {
            "none"
        },
        if options.tls_cert.is_some() {
            "on"
        } else {
            "off"
        },
    )
}

/// Asks the process at the path of `options` for its listeners; `None` if there is none.
pub(super) fn ask(options: &Serve) -> Result<Option<Predecessor>, Failure> {
    let Some(path) = &options.takeover else {
        return Ok(None);
    };
    let channel = match Channel::connect(path) {
        Ok(channel) => channel,
        Err(error) if is_free(&error) => return Ok(None),
        Err(error) => return Err(refused(path, Exit::Connect, &error.to_string())),
    };
    let (taker, hello) = Taker::begin(&identity(options));
    let mut predecessor = Predecessor {
        taker,
        channel: Some(channel),
        doorway: None,
        metrics: None,
        listeners: Vec::new(),
        places: Vec::new(),
        found: Vec::new(),
    };
    let mut sockets = Vec::new();
    let roles = match predecessor
        .say(&hello.to_bytes())
        .and_then(|()| predecessor.hear(&mut sockets))
    {
        Ok(Outcome::Offered(roles)) => roles,
        // It has ended between the connect and its answer.
        Ok(_) => return Ok(None),
        Err(reason) => return Err(reason(path)),
    };
    for (role, socket) in roles.into_iter().zip(sockets) {
        match role {
            Role::Doorway => predecessor.doorway = Some(socket),
            Role::Metrics | Role::Listener | Role::Inherited => {
                let taken = listener(socket, role).map_err(|reason| {
                    let line = format!("a socket of the running server: {reason}");
                    refused(path, Exit::Socket, &line)
                })?;
                match role {
                    Role::Metrics => predecessor.metrics = Some(taken),
                    _ => predecessor.listeners.push(taken),
                }
            }
        }
    }
    Ok(Some(predecessor))
}

/// A listener of the running process, checked: one that does not listen would be reported in every
/// turn of a loop.
fn listener(socket: Socket, role: Role) -> Result<Taken, String> {
    let passed = check_passed(socket)?;
    match passed.state {
        PassedState::Listens => Ok(Taken {
            socket: passed.socket,
            address: passed.address,
            is_inherited: role == Role::Inherited,
        }),
        PassedState::IsConnected | PassedState::Receives => {
            Err("it is not listening, and must be".to_owned())
        }
    }
}

/// No process listens at a path.
fn is_free(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

fn refused(path: &Path, exit: Exit, reason: &str) -> Failure {
    Failure::new(exit, format!("--takeover {}: {reason}", path.display()))
}

/// A reason that gets the path.
type Reason = Box<dyn FnOnce(&Path) -> Failure>;

fn because(exit: Exit, reason: String) -> Reason {
    Box::new(move |path| refused(path, exit, &reason))
}

impl Predecessor {
    /// Says something. A process that has ended hears nothing, which the next answer tells.
    fn say(&mut self, message: &[u8]) -> Result<(), Reason> {
        match self
            .channel
            .as_ref()
            .map(|channel| channel.send(message, &[]))
        {
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Err(because(
                Exit::Io,
                "the running server does not listen".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Waits for the answer, with its sockets.
    fn hear(&mut self, sockets: &mut Vec<Socket>) -> Result<Outcome, Reason> {
        let mut space = [0; TAKEOVER_MESSAGE_MAX];
        loop {
            let Some(channel) = &self.channel else {
                return Ok(self.taker.ended());
            };
            let before = sockets.len();
            let size = channel.receive_within(TAKEOVER_ANSWER_TIMEOUT, &mut space, sockets);
            let outcome = match size {
                Ok(size @ 1..) => self.taker.hear(&space[..size], sockets.len() - before),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let line = format!(
                        "the running server does not answer within {TAKEOVER_ANSWER_TIMEOUT:?}"
                    );
                    return Err(because(Exit::Io, line));
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let line = "a message is cut off, there may be too few descriptors".to_owned();
                    return Err(because(Exit::Socket, line));
                }
                Ok(0) | Err(_) => {
                    self.channel = None;
                    self.taker.ended()
                }
            };
            match outcome {
                Outcome::More => {}
                // The words of another program are escaped.
                Outcome::Refused(why) => return Err(because(Exit::Usage, escape(&why))),
                outcome => return Ok(outcome),
            }
        }
    }

    /// The listener of `--metrics`, if there is one.
    pub(super) fn take_metrics(&mut self) -> Option<Taken> {
        self.metrics.take()
    }

    /// The endpoints of the listeners, each once.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for taken in &self.listeners {
            let endpoint = Endpoint::At(taken.address.clone());
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        endpoints
    }

    /// Decides which listener is for which of `addresses`, which get their ports. Every listener
    /// has to be used: otherwise the connections in its queue would be lost.
    pub(super) fn assign(
        &mut self,
        options: &Serve,
        addresses: &mut [Address],
    ) -> Result<(), Failure> {
        self.places = vec![None; self.listeners.len()];
        for is_exact in [true, false] {
            for number in 0..self.listeners.len() {
                if self.places[number].is_some() {
                    continue;
                }
                let found = &self.listeners[number].address;
                let fits = |wanted: &Address| match is_exact {
                    true => wanted == found,
                    false => is_any_port_of(wanted, found),
                };
                let Some(place) = addresses.iter().position(fits) else {
                    continue;
                };
                addresses[place] = found.clone();
                for other in number..self.listeners.len() {
                    if self.listeners[other].address == addresses[place] {
                        self.places[other] = Some(place);
                    }
                }
            }
        }
        let unused = self.places.iter().position(Option::is_none);
        match (unused, &options.takeover) {
            (Some(number), Some(path)) => {
                let address = &self.listeners[number].address;
                let line = format!(
                    "the running server listens on {address} too, write --listen {address}"
                );
                Err(refused(path, Exit::Usage, &line))
            }
            _ => Ok(()),
        }
    }

    /// The listeners that `worker` gets for the endpoint at `place`; `None` if they have to be
    /// opened. If there are as many as workers that open their own, each gets one. Otherwise the
    /// first worker gets all, and shares them. Returns whether no other worker gets them too.
    pub(super) fn take(
        &mut self,
        options: &Serve,
        place: usize,
        worker: usize,
    ) -> Option<(Vec<Taken>, bool)> {
        if worker > 0 {
            let is_found = self.found.contains(&place);
            return is_found.then(|| (self.take_some(place, 1), true));
        }
        let there = self.places.iter().filter(|it| **it == Some(place)).count();
        if there == 0 {
            return None;
        }
        self.found.push(place);
        Some(match options.accept {
            _ if options.threads == 1 => (self.take_some(place, there), true),
            AcceptPolicy::Handoff => (self.take_some(place, there), true),
            AcceptPolicy::Reuseport if there == options.threads => (self.take_some(place, 1), true),
            _ => (self.take_some(place, there), false),
        })
    }

    fn take_some(&mut self, place: usize, most: usize) -> Vec<Taken> {
        let mut taken = Vec::new();
        while let (true, Some(number)) = (
            taken.len() < most,
            self.places.iter().position(|it| *it == Some(place)),
        ) {
            self.places.remove(number);
            taken.push(self.listeners.remove(number));
        }
        taken
    }

    /// What is done when this process can serve. If the running one goes on after all, `failure`
    /// gets the reason.
    fn commit(
        mut self,
        path: &Path,
        (room, batch): (u32, u8),
        failure: &Refusal,
    ) -> Commit<Socket> {
        let (path, failure) = (path.to_owned(), Arc::clone(failure));
        Box::new(move || {
            let serving = self.taker.can_serve(room, batch).to_bytes();
            let heard = self.say(&serving).and_then(|()| self.hear(&mut Vec::new()));
            match heard {
                Ok(Outcome::Yours) => {
                    if let Some(taken) = self.taker.taken() {
                        // A running process that has ended since needs no answer.
                        let _ = self.say(&taken.to_bytes());
                    }
                    let passage = self.channel.take();
                    Ok(passage.map(|channel| Box::new(channel) as Box<dyn Passage<Socket>>))
                }
                Ok(_) => {
                    log::warn!("--takeover: the running server has ended, its listeners stay here");
                    Ok(None)
                }
                Err(reason) => {
                    let reason = reason(&path);
                    let line = reason.line.clone();
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                    Err(io::Error::other(line))
                }
            }
        })
    }
}

/// Why the running process goes on, once that is known.
pub(super) type Refusal = Arc<Mutex<Option<Failure>>>;

/// The reason, once.
pub(super) fn taken(refusal: &Refusal) -> Option<Failure> {
    refusal
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
}

/// What the workers need to take over from `predecessor`, and to be taken over with a copy of the
/// listener of `--metrics`. Opens the doorway if there is none yet.
pub(super) fn prepare(
    options: &Serve,
    connections_max: u32,
    (predecessor, metrics): (Option<Predecessor>, Option<Socket>),
    refusal: &Refusal,
) -> Result<Option<Takeover<Socket>>, Failure> {
    let Some(path) = &options.takeover else {
        return Ok(None);
    };
    let mut predecessor = predecessor;
    let passed = predecessor.as_mut().and_then(|it| it.doorway.take());
    let doorway: Box<dyn Doorway<Socket>> = match passed {
        Some(socket) => Box::new(Door::passed(socket, path)),
        None => open(path)?,
    };
    let workers = options.workers();
    let least = share(connections_max, workers, workers - 1);
    let batch = least.min(CONNECTIONS_PER_MESSAGE as u32) as u8;
    Ok(Some(Takeover {
        doorway: Some((identity(options), doorway)),
        passage,
        metrics,
        commit: predecessor.map(|it| it.commit(path, (connections_max, batch), refusal)),
    }))
}

/// The part of a worker process: its supervisor takes over, and is taken over.
pub(super) fn of_worker(options: &Serve) -> Option<Takeover<Socket>> {
    options.takeover.as_ref().map(|_| Takeover {
        doorway: None,
        passage,
        metrics: None,
        commit: None,
    })
}

fn passage(socket: Socket) -> Box<dyn Passage<Socket>> {
    Box::new(Channel::from(socket))
}

/// Whether `wanted` is the address of `found` with any port.
fn is_any_port_of(wanted: &Address, found: &Address) -> bool {
    match (wanted, found) {
        (Address::Tcp(wanted), Address::Tcp(found)) => {
            wanted.port() == 0 && wanted.ip() == found.ip()
        }
        _ => false,
    }
}

/// Opens the doorway of a server that takes over from none.
fn open(path: &Path) -> Result<Box<dyn Doorway<Socket>>, Failure> {
    match Door::open(path) {
        Ok(door) => Ok(Box::new(door)),
        Err(error) => Err(refused(path, Exit::Bind, &format!("bind: {error}"))),
    }
}
