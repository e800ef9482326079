//! The servers that mynah is measured beside, each as its library's own documentation would write
//! it, in one file.
//!
//! The bench starts itself again with `--serve-as NAME PORT` and becomes one of them. All listen
//! alike and are one thread, but for the one that is a thread for each connection. They serve
//! until they are killed; whatever goes wrong ends them, and the load generator tells.

#![allow(unsafe_code)]

mod bare;
mod bare_framed;
mod bare_http;
mod codec;
mod mio;
mod poll;
mod threads;
mod tokio;
mod uring;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;

pub(crate) use uring::available as uring_available;

/// As mynah's own `--backlog`.
const BACKLOG: i32 = 4096;

/// Becomes the server `name` on `port`.
pub(crate) fn serve(name: &str, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    // SAFETY: the descriptor is open as long as `listener` lives. The standard library asks for
    // so short a queue that a thousand connects at once would wait for a second SYN.
    if unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) } != 0 {
        return Err(io::Error::last_os_error());
    }
    match name {
        "bare" => bare::serve(listener),
        "bare-framed" => bare_framed::serve(listener),
        "bare-http" => bare_http::serve(listener),
        "mio" => mio::serve(listener),
        "tokio" => tokio::serve(listener),
        "codec" => codec::serve(listener),
        "codec-by-one" => codec::serve_by_one(listener),
        "uring" => uring::serve(listener),
        "threads" => threads::serve(listener),
        _ => Err(io::Error::other(format!("there is no server {name}"))),
    }
}
