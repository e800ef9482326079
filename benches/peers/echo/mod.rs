//! The servers that mynah is compared with, one per file, each written as the documentation of its
//! library suggests.
//!
//! The benchmark starts itself again with `--serve-as NAME PORT` and becomes one of them. All use
//! the same listener options and one thread, except where the name says otherwise. A
//! server runs until it is killed. An unexpected error ends it, and the load generator reports
//! that.

#![allow(unsafe_code)]

mod bare;
mod bare_framed;
mod bare_http;
mod codec;
mod front;
mod mio;
mod poll;
mod threads;
mod tokio;
mod uring;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;

pub(crate) use uring::available as uring_available;

/// The default of mynah's `--backlog`.
const BACKLOG: i32 = 4096;

/// Becomes the server `name` on `port`.
///
/// # Errors
///
/// The error that ended the server, or an unknown `name`.
pub(crate) fn serve(name: &str, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listen_long(&listener)?;
    match name {
        "bare" => bare::serve(listener),
        "bare-framed" => bare_framed::serve(listener),
        "bare-http" => bare_http::serve(listener),
        "mio" => mio::serve(listener, false),
        "mio-short" => mio::serve(listener, true),
        "nginx-stream" => front::nginx(listener),
        "haproxy-tcp" => front::haproxy(listener),
        "tokio" => tokio::serve(listener),
        "tokio-many" => tokio::serve_on_many(listener),
        "codec" => codec::serve(listener),
        "codec-by-one" => codec::serve_by_one(listener),
        "uring" => uring::serve(listener, false),
        "uring-files" => uring::serve(listener, true),
        "threads" => threads::serve(listener),
        _ => Err(io::Error::other(format!("there is no server {name}"))),
    }
}

/// The standard library uses a backlog so short that of a thousand simultaneous connects some would
/// have to retransmit their SYN.
fn listen_long(listener: &TcpListener) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `listener` lives.
    match unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
