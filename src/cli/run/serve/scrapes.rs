//! `--metrics`: opens the pages of the server about itself.
//!
//! They have a poller, a listener and memory of their own, which are opened before anything else:
//! the ready line names their port, and a port below 1024 needs the privileges that `--user` drops.
//! Neighbours: `server::scrapes` serves them, `workers` collects what they say.

use std::time::Duration;

use super::super::open_failure;
use super::listeners::address_of;
use super::takeover::Taken;
use super::{Exit, Failure, io_failure};
use crate::kernel::journal::TextLog;
use crate::kernel::{
    Address, Endpoint, Linux, ListenOptions, Opener, Sharing, Socket, Traced, Trigger,
};
use crate::limits::{
    FRAMES_PER_EVENT, HTTP_HEAD_MAX, METRICS_PAGE_MAX, SCRAPE_TIMEOUT, SCRAPE_WORKSPACES,
    SCRAPES_MAX, STALL_SIZE_MIN_DEFAULT,
};
use crate::protocol::connection::Protocol;
use crate::protocol::framing::{Framing, OnTooLong, Raw};
use crate::protocol::service::{AnyService, Scrape};
use crate::server::pace::Pacing;
use crate::server::pool::WorkspaceSize;
use crate::server::scrapes::Scrapes;
use crate::server::{Server, Settings};

/// The pages, open.
pub(super) struct Opened {
    pub(super) scrapes: Scrapes<Traced<Linux>>,
    /// Where they are, with the port that the kernel chose.
    pub(super) address: Address,
    /// Another descriptor of the listener, for the process that takes over.
    pub(super) copy: Socket,
}

/// Listens at `endpoint`, with the listener of a process that is taken over if it fits.
pub(super) fn open(endpoint: &Endpoint, taken: Option<Taken>) -> Result<Opened, Failure> {
    let mut address = address_of(endpoint)?;
    if !matches!(address, Address::Tcp(_)) {
        let line =
            format!("--metrics {endpoint}: must be an address of TCP, such as 127.0.0.1:9100");
        return Err(Failure::new(Exit::Usage, line));
    }
    let linux = Linux::new(false).map_err(io_failure("epoll"))?;
    let descriptor = linux.descriptor().map_err(io_failure("epoll"))?;
    let mut kernel = Traced::new(linux, TextLog::if_shown());
    let options = ListenOptions {
        backlog: SCRAPES_MAX as u32,
        sharing: Sharing::Alone,
        nodelay: true,
        keepalive: None,
        user_timeout: Some(SCRAPE_TIMEOUT),
        receive_buffer: None,
        send_buffer: None,
        defer_accept: None,
        unix_mode: None,
    };
    let listener = match taken.filter(|taken| taken.is_for(&address)) {
        Some(taken) => taken.socket,
        None => {
            let opened = kernel.listen(&address, &options);
            opened.map_err(|error| open_failure(&address, error))?
        }
    };
    let copy = kernel.share(&listener).map_err(io_failure("fcntl"))?;
    address = kernel.local(&listener).map_err(io_failure("getsockname"))?;
    let protocol = Protocol {
        framing: Framing::Raw(Raw),
        on_too_long: OnTooLong::Close,
        service: AnyService::from(Scrape::default()),
    };
    let server = Server::new(kernel, vec![listener], protocol, settings());
    let server = server.map_err(io_failure("--metrics"))?;
    Ok(Opened {
        scrapes: Scrapes::new(server, descriptor),
        address,
        copy,
    })
}

fn settings() -> Settings {
    Settings {
        connections_max: SCRAPES_MAX,
        workspaces: SCRAPE_WORKSPACES,
        workspace: WorkspaceSize {
            inbound: 2 * HTTP_HEAD_MAX,
            outbound: 2 * METRICS_PAGE_MAX,
        },
        trigger: Trigger::Level,
        defer_accept: false,
        frames_per_event: FRAMES_PER_EVENT,
        spin: None,
        idle_timeout: Some(SCRAPE_TIMEOUT),
        stall_timeout: Some(SCRAPE_TIMEOUT),
        stall_size_min: STALL_SIZE_MIN_DEFAULT,
        frame_timeout: Some(SCRAPE_TIMEOUT),
        connections_per_ip_max: None,
        backlog: SCRAPES_MAX as u32,
        drain_timeout: Duration::ZERO,
        wiretap: None,
        pacing: Pacing::default(),
        proxy: None,
        auth: None,
        trace: None,
    }
}
