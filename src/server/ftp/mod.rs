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
//! from the home of its user through a `Tree` (`kernel::tree`), which no path leaves. Neighbours:
//! `protocol::service::ftp` for all that is bytes; `session` serves; `control`, `channel`,
//! `transfer`, `upload`, `lists` and `login` are its parts; `site` is what all sessions share, and
//! `homes` counts what homes hold.

mod channel;
mod control;
mod homes;
mod lists;
mod login;
mod session;
mod site;
mod transfer;
mod upload;

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::kernel::{Opener, Socket, Spawner};
use crate::limits::FTP_STACK_SIZE;
use crate::protocol::connection::CloseReason;
use crate::protocol::service::AnyService;
use crate::protocol::service::ftp::Ftp;

use super::Server;
use super::blocking::crew::Seats;
use super::blocking::{Drive, Driver, Order};
use super::observe::counters::Counters;
use session::Session;
use site::{Site, Spans};

pub use login::ANONYMOUS_HOME;
pub use site::Place;

/// The driver: the threads of all sessions.
struct Sessions {
    site: Arc<Site>,
    seats: Seats,
    sweeper: Option<JoinHandle<()>>,
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
        let spans = Spans::of(&drive.settings);
        let site = Arc::new(Site::new(place, users, spans, drive.waker, drive.wake_ups)?);
        let its = Arc::clone(&site);
        let thread = thread::Builder::new()
            .name("ftp-sweeper".to_owned())
            .stack_size(FTP_STACK_SIZE);
        Ok(Sessions {
            sweeper: Some(thread.spawn(move || its.sweep())?),
            seats: Seats::new(drive.capacity),
            site,
        })
    }

    fn start(&self, slot: u32, socket: Socket) -> io::Result<JoinHandle<()>> {
        let stream = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        drop(socket);
        let site = Arc::clone(&self.site);
        let thread = thread::Builder::new()
            .name(format!("session-{slot}"))
            .stack_size(FTP_STACK_SIZE);
        thread.spawn(move || {
            site.begin();
            site.end(serve(&site, stream));
            site.report_end(slot);
        })
    }

    fn cut_all(&mut self) {
        self.site.order_cut();
        for slot in self.seats.taken() {
            self.seats.join(slot);
        }
        while self.site.next_ended().is_some() {}
    }
}

/// Serves a session to its end, and returns why it has ended.
fn serve(site: &Site, stream: TcpStream) -> CloseReason {
    // A connection that was reset in the queue of the listener has no addresses.
    let addresses = stream
        .peer_addr()
        .and_then(|peer| Ok((peer, stream.local_addr()?)));
    let Ok((peer, own)) = addresses else {
        return CloseReason::Reset;
    };
    let reason = Session::new(site, stream, peer, own).run();
    log::debug!("{peer}: the session has ended: {}", reason.name());
    reason
}

impl Driver<Socket, AnyService> for Sessions {
    fn serve(&mut self, socket: Socket) -> io::Result<u32> {
        let slot = self.seats.take()?;
        let started = self.start(slot, socket);
        self.seats.fill(slot, started)
    }

    fn len(&self) -> usize {
        self.seats.len()
    }

    fn capacity(&self) -> usize {
        self.seats.capacity()
    }

    fn collect(&mut self, freed: &mut dyn FnMut(u32)) {
        while let Some(slot) = self.site.next_ended() {
            self.seats.join(slot);
            freed(slot);
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Serve => {}
            Order::Drain | Order::Finish => self.site.order_drain(),
            Order::Cut => self.cut_all(),
        }
    }

    fn cut(&self) -> u64 {
        self.site.cut_count()
    }

    fn replace(&mut self, service: &AnyService) {
        if let AnyService::Ftp(Ftp(users)) = service {
            self.site.replace(users);
        }
    }

    fn add_counters(&self, sum: &mut Counters) {
        self.site.add_counters(sum);
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
