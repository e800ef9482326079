//! One thread per connection, with blocking reads and writes: the oldest server design.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

const READ_SIZE: usize = 16 << 10;
const STACK_SIZE: usize = 64 << 10;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let thread = thread::Builder::new().stack_size(STACK_SIZE);
        thread.spawn(move || echo(stream))?;
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; READ_SIZE];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) if stream.write_all(&buffer[..count]).is_err() => return,
            Ok(_) => {}
        }
    }
}
