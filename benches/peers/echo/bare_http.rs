//! The bare loop for HTTP: an empty line is the end of a request, and each is answered by the same
//! bytes, all of a read's with one send.
//!
//! It believes whatever it is told, keeps of a cut request only how far its end has come, and has
//! no date: the least that a server of this protocol can do.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;

use super::poll;

const READ_SIZE: usize = 64 << 10;
const END: &[u8] = b"\r\n\r\n";
/// As long as the reply of `mynah http`, so that the generator has the same to read.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 12\r\n\r\nHello, World";

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    let replies = REPLY.repeat(READ_SIZE / END.len());
    // How much of an end stood at the end of the last read, where it was not none or all.
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
