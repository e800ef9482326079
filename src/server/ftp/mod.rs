//! `mynah ftp`: a thread for each session, with its control connection, its one data connection and
//! its one file.
//!
//! ```text
//!   the loop: accept, signals, drain, statistics -- one eventfd for each order --> all sessions
//!       ^                                                                              |
//!       +--------- ended slots and a wake-up ------ counters behind a lock ------------+
//! ```
//!
//! The server accepts as for every service: the same listeners, limits, signals and drain. It hands
//! each connection to `Sessions`, the driver of this module, as it does under `--model thread`.
//! A session is then straight code that waits in poll(2) for its control connection, its data
//! connection and the orders of the server at once. The alternative, data connections as effects of
//! the epoll loop, would need a thread for each file anyway: no file is ever ready for epoll, and a
//! loop must not wait for a disk. So the loop has nothing of FTP, and a slow disk or a slow peer
//! holds one session.
//!
//! Invariants: a session has at most one data connection and one file; what it opens, it reaches
//! from the home of its user through [`Tree`], which no path leaves. Neighbours:
//! `protocol::service::ftp` for all that is bytes; `session` serves; `control`, `channel`,
//! `transfer`, `upload`, `lists` and `login` are its parts; `homes` counts what homes hold.

mod channel;
mod control;
mod homes;
mod lists;
mod login;
mod session;
mod transfer;
mod upload;

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::kernel::blocking::WakeUps;
use crate::kernel::channels::{Ask, Order as Event, wait};
use crate::kernel::{Opener, Socket, Spawner, Tree, Waker};
use crate::limits::{FTP_STACK_SIZE, FTP_SWEEP_INTERVAL};
use crate::protocol::connection::CloseReason;
use crate::protocol::service::AnyService;
use crate::protocol::service::ftp::{Ftp, Users};

use super::Server;
use super::blocking::crew::{Free, lock};
use super::blocking::{Drive, Driver, Order};
use super::observe::counters::Counters;
use super::observe::log_limiter::LogLimiter;
use homes::Homes;
use session::Session;

pub use login::ANONYMOUS_HOME;

/// Where the files are, and how they are reached.
#[derive(Debug)]
pub struct Place {
    /// The root, below which all homes are.
    pub root: Tree,
    /// Whether `anonymous` may log in without a password.
    pub anonymous: bool,
    /// The ports of passive data connections; `None` is any.
    pub data_ports: Option<RangeInclusive<u16>>,
}

/// What all sessions share.
pub(super) struct Site {
    place: Place,
    users: Mutex<Arc<Users>>,
    homes: Homes,
    /// A drain has begun.
    drain: Event,
    /// All sessions are to end at once.
    cut: Event,
    is_draining: AtomicBool,
    is_cut: AtomicBool,
    /// Sessions that were cut inside a transfer or a command.
    cut_count: AtomicU64,
    counters: Mutex<Counters>,
    /// A password is being checked. One at a time: each takes tens of MiB.
    hashing: Mutex<bool>,
    hashing_ends: Condvar,
    refusals: Mutex<LogLimiter>,
    /// From when the times of the log count.
    started: Instant,
    /// Slots of sessions that have ended.
    ended: Mutex<VecDeque<u32>>,
    has_ended: Condvar,
    waker: Waker,
    wake_ups: WakeUps,
    /// Longest time without a command.
    idle_timeout: Option<Duration>,
    /// Longest time in which a peer may take or send less than `stall_size_min` bytes.
    stall_timeout: Option<Duration>,
    stall_size_min: u64,
    /// Longest time from the first byte of a command to its last.
    line_timeout: Option<Duration>,
}

impl Site {
    fn users(&self) -> Arc<Users> {
        Arc::clone(&lock(&self.users))
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// Changes the counters.
    fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut lock(&self.counters));
    }

    /// Waits for `span`; returns whether the sessions are cut meanwhile.
    fn pause(&self, span: Duration) -> bool {
        // An error of poll ends the pause early, which only shortens it.
        let _ = wait(self.wake_ups, &mut [Ask::read(&self.cut)], Some(span));
        self.is_cut()
    }

    /// Removes old unfinished uploads in all homes, again and again until the server ends.
    fn sweep(&self) {
        loop {
            let users = self.users();
            for home in users.homes() {
                self.homes.sweep(&self.place.root, home, || self.is_cut());
            }
            let asked = &mut [Ask::read(&self.drain)];
            let waited = wait(self.wake_ups, asked, Some(FTP_SWEEP_INTERVAL));
            if waited.is_err() || self.is_draining() || self.is_cut() {
                return;
            }
        }
    }
}

/// The driver: the threads of all sessions.
struct Sessions {
    site: Arc<Site>,
    threads: Vec<Option<JoinHandle<()>>>,
    sweeper: Option<JoinHandle<()>>,
    free: Free,
}

/// Has the connections of `server` served as sessions of FTP.
///
/// # Errors
///
/// A descriptor or a thread that the kernel refuses.
pub fn hand_out<K>(server: &mut Server<K, AnyService>, drive: Drive<AnyService>) -> io::Result<()>
where
    K: Spawner<Socket = Socket> + Opener,
{
    server.hand_out_to(Box::new(Sessions::new(drive)?));
    Ok(())
}

impl Sessions {
    fn new(drive: Drive<AnyService>) -> io::Result<Sessions> {
        let (Some(place), AnyService::Ftp(Ftp(users))) = (drive.ftp, drive.protocol.service) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let site = Arc::new(Site {
            place,
            users: Mutex::new(users),
            homes: Homes::default(),
            drain: Event::new()?,
            cut: Event::new()?,
            is_draining: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            cut_count: AtomicU64::new(0),
            counters: Mutex::new(Counters::default()),
            hashing: Mutex::new(false),
            hashing_ends: Condvar::new(),
            refusals: Mutex::new(LogLimiter::default()),
            started: Instant::now(),
            ended: Mutex::new(VecDeque::with_capacity(drive.capacity)),
            has_ended: Condvar::new(),
            waker: drive.waker,
            wake_ups: drive.wake_ups,
            idle_timeout: drive.settings.idle_timeout,
            stall_timeout: drive.settings.stall_timeout,
            stall_size_min: drive.settings.stall_size_min as u64,
            line_timeout: drive.settings.frame_timeout,
        });
        let its = Arc::clone(&site);
        let thread = thread::Builder::new()
            .name("ftp-sweeper".to_owned())
            .stack_size(FTP_STACK_SIZE);
        Ok(Sessions {
            sweeper: Some(thread.spawn(move || its.sweep())?),
            threads: (0..drive.capacity).map(|_| None).collect(),
            free: Free::new(drive.capacity),
            site,
        })
    }

    fn start(&self, slot: u32, socket: Socket) -> io::Result<JoinHandle<()>> {
        let stream = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        drop(socket);
        let (peer, own) = (stream.peer_addr()?, stream.local_addr()?);
        let site = Arc::clone(&self.site);
        let thread = thread::Builder::new()
            .name(format!("session-{slot}"))
            .stack_size(FTP_STACK_SIZE);
        let thread = thread.spawn(move || {
            let reason = Session::new(&site, stream, peer, own).run();
            log::debug!("{peer}: the session has ended: {}", reason.name());
            site.count(|counters| {
                counters.connections_now -= 1;
                counters.close += 1;
                counters.closed[reason as usize] += 1;
            });
            let is_cut = reason == CloseReason::Cut;
            site.cut_count
                .fetch_add(u64::from(is_cut), Ordering::Relaxed);
            lock(&site.ended).push_back(slot);
            site.has_ended.notify_one();
            site.waker.wake();
        })?;
        self.site.count(|counters| {
            counters.connections_now += 1;
            counters.connections_total += 1;
        });
        Ok(thread)
    }

    fn join(&mut self, slot: u32) {
        if let Some(thread) = self.threads[slot as usize].take() {
            // A panic ends the process.
            let _ = thread.join();
        }
        self.free.put(slot);
    }

    fn cut_all(&mut self) {
        self.site.is_cut.store(true, Ordering::Release);
        self.site.cut.give();
        self.site.drain.give();
        self.site.hashing_ends.notify_all();
        for slot in 0..self.threads.len() as u32 {
            if self.threads[slot as usize].is_some() {
                self.join(slot);
            }
        }
        lock(&self.site.ended).clear();
    }
}

impl Driver<Socket, AnyService> for Sessions {
    fn serve(&mut self, socket: Socket) -> io::Result<u32> {
        let slot = self.free.take()?;
        match self.start(slot, socket) {
            Ok(thread) => self.threads[slot as usize] = Some(thread),
            Err(error) => {
                self.free.put(slot);
                return Err(error);
            }
        }
        Ok(slot)
    }

    fn len(&self) -> usize {
        self.threads.len() - self.free.len()
    }

    fn capacity(&self) -> usize {
        self.threads.len()
    }

    fn collect(&mut self, freed: &mut dyn FnMut(u32)) {
        loop {
            let next = lock(&self.site.ended).pop_front();
            let Some(slot) = next else {
                return;
            };
            self.join(slot);
            freed(slot);
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Serve => {}
            Order::Drain | Order::Finish => {
                self.site.is_draining.store(true, Ordering::Release);
                self.site.drain.give();
            }
            Order::Cut => self.cut_all(),
        }
    }

    fn cut(&self) -> u64 {
        self.site.cut_count.load(Ordering::Relaxed)
    }

    fn replace(&mut self, service: &AnyService) {
        if let AnyService::Ftp(Ftp(users)) = service {
            *lock(&self.site.users) = Arc::clone(users);
        }
    }

    fn add_counters(&self, sum: &mut Counters) {
        sum.add(&lock(&self.site.counters));
    }
}

impl Drop for Sessions {
    /// No thread outlives the server.
    fn drop(&mut self) {
        self.cut_all();
        if let Some(sweeper) = self.sweeper.take() {
            let _ = sweeper.join();
        }
    }
}
