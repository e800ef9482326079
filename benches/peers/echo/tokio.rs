//! tokio: one task with its own buffer per connection, on the runtime of one thread or on that of
//! many, which is the default of its documentation and has one thread for each processor.

use std::io;
use std::net::TcpListener;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

const READ_SIZE: usize = 16 << 10;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    accept(listener, |stream| async {
        // The load generator reports broken connections.
        let _ = echo(stream).await;
    })
}

/// The same with the runtime that moves tasks between threads.
pub(super) fn serve_on_many(listener: TcpListener) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_io()
        .build()?;
    accept_on(runtime, listener, |stream| async {
        let _ = echo(stream).await;
    })
}

/// Runs one task per connection, on this thread.
pub(super) fn accept<F>(listener: TcpListener, task: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    accept_on(runtime, listener, task)
}

fn accept_on<F>(
    runtime: Runtime,
    listener: TcpListener,
    task: impl Fn(TcpStream) -> F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    listener.set_nonblocking(true)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(task(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}
