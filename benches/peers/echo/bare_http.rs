//! The bare loop for HTTP. An empty line ends a request. Each request gets the same reply, and all
//! replies to one read are sent together.
//!
//! It checks nothing, has no date, and remembers of a partial request only how much of the end has
//! matched: the least work a server of this protocol can do.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;

use super::poll;

const READ_SIZE: usize = 64 << 10;
const END: &[u8] = b"\r\n\r\n";
/// As long as the reply of `mynah http`, so that the generator reads the same amount.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 12\r\n\r\nHello, World";

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    let replies = REPLY.repeat(READ_SIZE / END.len());
    // How much of END the last read of a connection ended with, if it was a part.
    let mut rests: HashMap<i32, usize> = HashMap::new();
    poll::run(listener, |socket| {
        let count = poll::receive(socket, &mut buffer);
        let mut matched = match rests.is_empty() {
            true => 0,
            false => rests.remove(&socket).unwrap_or(0),
        };
        let mut requests = 0;
        for &byte in &buffer[..count] {
            matched = match byte == END[matched] {
                true => matched + 1,
                false => usize::from(byte == END[0]),
            };
            if matched == END.len() {
                (requests, matched) = (requests + 1, 0);
            }
        }
        if matched > 0 {
            rests.insert(socket, matched);
        }
        count > 0 && poll::send(socket, &replies[..requests * REPLY.len()])
    })
}
