//! Which states does a connection pass through?

use std::io;
use std::time::{Duration, Instant};

use crate::kernel::host::calls::{SHUT_WR, TCP, TCP_DEFER_ACCEPT};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "handshake",
    question: "which states does a TCP connection pass through?",
    scene: "A connection is opened, ended by the client, then by the server; TCP_INFO tells \
            the states after each step. Then connections whose FIN cannot leave, because the \
            peer's window is closed.",
    why: "The client is ESTABLISHED before the server accepts: the kernel completes the \
            handshake. After SHUT_WR the state is FIN_WAIT1 until the peer's kernel \
            acknowledges the FIN, which it delays. A FIN behind unsent bytes waits for them: \
            FIN_WAIT1, CLOSING and LAST_ACK can last.",
    read: "tcp(7) TCP_INFO, RFC 9293 3.3.2",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let (listener, port) = bench.listener(8)?;
    let state = bench.state(listener)?;
    bench.equal("a listener", state, "LISTEN");
    let client = bench.socket("client")?;
    let state = bench.state(client)?;
    bench.equal("a fresh socket", state, "CLOSE");
    bench.connect(client, port);
    let state = bench.state(client)?;
    bench.equal("the client before accept", state, "ESTABLISHED");
    let server = bench.accept(listener, "server")?;
    bench.shutdown(client, SHUT_WR);
    let states = format!("{}/{}", bench.state(client)?, bench.state(server)?);
    bench.equal(
        "client/server after the client's SHUT_WR",
        states,
        "FIN_WAIT1/CLOSE_WAIT",
    );
    let since = Instant::now();
    let state = bench.quietly(|bench| {
        loop {
            let state = bench.state(client)?;
            if state != "FIN_WAIT1" || since.elapsed() > Duration::from_secs(1) {
                break Ok::<_, io::Error>(state);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    })?;
    bench.equal("the client after the delayed ACK", state, "FIN_WAIT2");
    bench.shutdown(server, SHUT_WR);
    let states = format!("{}/{}", bench.state(client)?, bench.state(server)?);
    bench.equal("both after the server's SHUT_WR", states, "CLOSE/CLOSE");
    bench.close_all();

    bench.part("a FIN that cannot leave");
    let (client, server) = bench.pair()?;
    bench.fill(client, 1 << 16);
    bench.shutdown(client, SHUT_WR);
    let states = format!("{}/{}", bench.state(client)?, bench.state(server)?);
    bench.equal("the client is blocked", states, "FIN_WAIT1/ESTABLISHED");
    bench.shutdown(server, SHUT_WR);
    let states = format!("{}/{}", bench.state(client)?, bench.state(server)?);
    bench.equal("then the server ends too", states, "CLOSING/FIN_WAIT2");
    bench.close_all();
    let (client, server) = bench.pair()?;
    bench.fill(server, 1 << 16);
    bench.shutdown(client, SHUT_WR);
    bench.shutdown(server, SHUT_WR);
    let states = format!("{}/{}", bench.state(client)?, bench.state(server)?);
    bench.equal(
        "the server is blocked, the client ends first",
        states,
        "FIN_WAIT1/LAST_ACK",
    );
    bench.close_all();

    bench.part("TCP_DEFER_ACCEPT");
    let (listener, port) = bench.listener(8)?;
    bench.set(listener, TCP, TCP_DEFER_ACCEPT, 3)?;
    let client = bench.client("client", port)?;
    let state = bench.state(client)?;
    let queued = bench.tcp_info(listener)?.unacknowledged;
    bench.equal(
        "the client, and the listener's queue",
        format!("{state}, {queued}"),
        "ESTABLISHED, 0",
    );
    Ok(())
}
