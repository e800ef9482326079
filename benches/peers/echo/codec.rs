//! tokio-util's `LengthDelimitedCodec`, in two variants. One follows its documentation and sends
//! each frame with a call of its own. The other is the fastest use: it feeds every available frame
//! and then flushes once.

use std::io;
use std::net::TcpListener;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Sends each frame separately.
pub(super) fn serve_by_one(listener: TcpListener) -> io::Result<()> {
    super::tokio::accept(listener, |stream| async {
        // The load generator reports broken connections.
        let _ = echo_by_one(stream).await;
    })
}

/// Sends all available frames together.
pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    super::tokio::accept(listener, |stream| async {
        let _ = echo(stream).await;
    })
}

async fn echo_by_one(stream: TcpStream) -> io::Result<()> {
    let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
    while let Some(frame) = framed.next().await {
        framed.send(frame?.freeze()).await?;
    }
    Ok(())
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
