//! The bare loop: epoll_wait, recv into one shared buffer, send. Nothing else.
//!
//! A connection has no state, buffer or deadline, so no server of this design can cost less. All
//! figures of the table are ratios to this loop.

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
