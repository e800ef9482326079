//! The bare loop: epoll_wait, recv into one shared buffer, send. Nothing else.
//!
//! No connection has a state, a buffer or a deadline, so no server of this design can cost less;
//! everything in the table is told as a ratio to it.

use std::io;
use std::net::TcpListener;

use super::poll;

const READ_SIZE: usize = 64 << 10;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    poll::run(listener, |socket| {
        let count = poll::receive(socket, &mut buffer);
        count > 0 && poll::send(socket, &buffer[..count])
    })
}
