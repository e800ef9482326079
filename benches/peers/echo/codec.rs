//! tokio-util's `LengthDelimitedCodec` at its best: every frame that is there is fed, then all are
//! flushed together.
//!
//! Its plain `send` would flush each frame with a call of its own.

use std::io;
use std::net::TcpListener;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    super::tokio::accept(listener, |stream| async {
        // The load generator tells of a connection that broke.
        let _ = echo(stream).await;
    })
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
    while let Some(frame) = framed.next().await {
        framed.feed(frame?.freeze()).await?;
        while let Some(Some(frame)) = framed.next().now_or_never() {
            framed.feed(frame?.freeze()).await?;
        }
        SinkExt::<Bytes>::flush(&mut framed).await?;
    }
    Ok(())
}
