//! Small servers for the load generator: each is a listener on a free port with one thread per
//! connection.
//!
//! They use only the standard library. Each function is the behaviour of one kind of server,
//! correct or faulty.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use crate::uninterrupted::uninterrupted;

/// The behaviour of a server on one connection.
pub(crate) type Serve<S> = fn(S);

/// Starts a server that runs until the test binary ends.
pub(crate) fn tcp(serve: Serve<TcpStream>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Like `tcp`, on a path.
pub(crate) fn unix(path: &Path) {
    let listener = UnixListener::bind(path).expect("a fresh path");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
}

/// A port without a listener: the kernel assigned it a moment ago, and it was closed.
pub(crate) fn no_listener() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// Echoes each read with one write.
pub(crate) fn echo<S: Read + Write>(mut stream: S) {
    let mut space = vec![0; 64 << 10];
    // A test may have set a time-out for receiving.
    while let Ok(count @ 1..) = uninterrupted(|| stream.read(&mut space)) {
        if stream.write_all(&space[..count]).is_err() {
            return;
        }
    }
}

/// Echoes in pieces of 1 to 7 bytes.
pub(crate) fn crumbs(mut stream: TcpStream) {
    stream.set_nodelay(true).expect("a TCP socket has it");
    let mut space = vec![0; 4 << 10];
    let mut size = 0;
    while let Ok(count @ 1..) = stream.read(&mut space) {
        let mut rest = &space[..count];
        while !rest.is_empty() {
            size = size % 7 + 1;
            let (piece, after) = rest.split_at(rest.len().min(size));
            if stream.write_all(piece).is_err() {
                return;
            }
            rest = after;
        }
    }
}

/// Echoes, with one bit of byte 1,000 changed.
pub(crate) fn liar(mut stream: TcpStream) {
    let mut space = [0; 512];
    let mut seen = 0;
    while let Ok(count @ 1..) = stream.read(&mut space) {
        if (seen..seen + count).contains(&1000) {
            space[1000 - seen] ^= 4;
        }
        seen += count;
        if stream.write_all(&space[..count]).is_err() {
            return;
        }
    }
}

/// Sends more bytes than it received.
pub(crate) fn chatterer(mut stream: TcpStream) {
    let mut space = [0; 512];
    if let Ok(count @ 1..) = stream.read(&mut space) {
        let _ = stream
            .write_all(&space[..count])
            .and_then(|()| stream.write_all(b"!"));
        echo(stream);
    }
}

/// Answers 10 times, reads the next request and closes.
pub(crate) fn leaver(mut stream: TcpStream) {
    let mut space = [0; 64];
    for _ in 0..10 {
        if stream
            .read_exact(&mut space)
            .and_then(|()| stream.write_all(&space))
            .is_err()
        {
            return;
        }
    }
    if stream.read_exact(&mut space).is_ok() {
        leave(&mut stream);
    }
}

/// Answers once and closes.
pub(crate) fn once(mut stream: TcpStream) {
    let mut space = [0; 64];
    if stream.read_exact(&mut space).is_ok() {
        let _ = stream.write_all(&space);
    }
}

/// Answers each read with eight pages at once.
pub(crate) fn babbler(mut stream: TcpStream) {
    let mut space = [0; 2048];
    if let Ok(1..) = stream.read(&mut space) {
        let pages = b"HTTP/1.1 204 No Content\r\n\r\n".repeat(8);
        let _ = stream.write_all(&pages);
        mute(stream);
    }
}

/// Half-closes, and reads until the peer's end, so that no RST destroys the end of the stream.
pub(crate) fn leave(stream: &mut TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let mut space = [0; 512];
    while let Ok(1..) = stream.read(&mut space) {}
}

/// Reads and never sends.
pub(crate) fn mute(mut stream: TcpStream) {
    let mut space = [0; 512];
    while let Ok(1..) = stream.read(&mut space) {}
}

/// Answers each empty line, the end of a request, with a short page.
pub(crate) fn http(stream: TcpStream) {
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello, World";
    pages(stream, |stream| stream.write_all(reply).is_ok());
}

/// Calls `answer` for each empty line, until it returns false.
pub(crate) fn pages(mut stream: TcpStream, mut answer: impl FnMut(&mut TcpStream) -> bool) {
    let mut held = Vec::new();
    let mut space = [0; 2048];
    while let Ok(count @ 1..) = uninterrupted(|| stream.read(&mut space)) {
        held.extend_from_slice(&space[..count]);
        while let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            held.drain(..end + 4);
            if !answer(&mut stream) {
                return;
            }
        }
    }
}
