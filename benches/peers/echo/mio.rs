//! mio, which is edge-triggered: as its documentation demands, a connection is read until EAGAIN.
//!
//! Bytes that could not be written stay in the connection, which is not read meanwhile. The second
//! variant stops at a short read unless the peer has ended its stream: epoll(7) allows that where
//! RDHUP is registered, as mio does, and it saves a call for each event.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const READ_SIZE: usize = 64 << 10;
const DOOR: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
}

pub(super) fn serve(listener: std::net::TcpListener, stops_short: bool) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut vacant = Vec::new();
    let mut buffer = vec![0; READ_SIZE];
    poll.registry()
        .register(&mut listener, DOOR, Interest::READABLE)?;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == DOOR {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let place = vacant.pop().unwrap_or(connections.len());
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(place), both)?;
                    connections.resize_with(connections.len().max(place + 1), || None);
                    connections[place] = Some(Connection {
                        stream,
                        unsent: Vec::new(),
                    });
                }
                continue;
            }
            let Token(place) = event.token();
            let Some(connection) = &mut connections[place] else {
                continue;
            };
            let stops_short = stops_short && !event.is_read_closed();
            if !goes_on(connection, &mut buffer, stops_short) {
                connections[place] = None;
                vacant.push(place);
            }
        }
    }
}

/// Echoes until there is nothing to read or the peer takes no more. Returns false if the connection
/// has ended.
fn goes_on(connection: &mut Connection, buffer: &mut [u8], stops_short: bool) -> bool {
    let Connection { stream, unsent } = connection;
    while !unsent.is_empty() {
        match stream.write(unsent) {
            Ok(count) => drop(unsent.drain(..count)),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
    loop {
        let count = match stream.read(buffer) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let mut sent = 0;
        while sent < count {
            match stream.write(&buffer[sent..count]) {
                Ok(more) => sent += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    unsent.extend_from_slice(&buffer[sent..count]);
                    return true;
                }
                Err(_) => return false,
            }
        }
        if stops_short && count < buffer.len() {
            return true;
        }
    }
}
