//! Do two sends arrive as two messages? A stream has no messages.

use std::io;

use crate::kernel::host::calls::{MSG_MORE, TCP, TCP_CORK, TCP_NODELAY};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "sticky",
    question: "do two sends arrive as two messages?",
    scene: "A client sends HELLO, then WORLD. The server reads after both. The socket \
            options that are said to separate or to join messages are tried in turn.",
    why: "TCP is a stream of bytes. The receiver's kernel keeps one queue of bytes, and \
            recv(2) takes what is there: one call, however many sends or segments there \
            were. TCP_NODELAY only decides when a segment leaves. A message ends where a \
            framing says so.",
    read: "tcp(7), recv(2); mynah help framing",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    for (what, option, flags, segments) in [
        ("default", None, 0, 2),
        ("TCP_NODELAY", Some(TCP_NODELAY), 0, 2),
        ("TCP_CORK", Some(TCP_CORK), 0, 1),
        ("MSG_MORE on the first send", None, MSG_MORE, 1),
    ] {
        bench.part(format!("both sends first, then the read: {what}"));
        let (client, server) = bench.pair()?;
        if let Some(option) = option {
            bench.set(client, TCP, option, 1)?;
        }
        bench.send_with(client, b"HELLO", flags);
        bench.send(client, b"WORLD");
        if option == Some(TCP_CORK) {
            bench.set(client, TCP, TCP_CORK, 0)?;
        }
        let sent = bench.tcp_info(client)?.data_segments_sent;
        let read = bench.recv(server, 64);
        bench.equal(format!("{what}: bytes of the first recv"), read, 10);
        bench.equal(format!("{what}: segments"), sent, segments);
        bench.close_all();
    }
    bench.part("a read between the sends");
    let (client, server) = bench.pair()?;
    bench.send(client, b"HELLO");
    let first = bench.recv(server, 64);
    bench.send(client, b"WORLD");
    let second = bench.recv(server, 64);
    bench.equal("bytes of the first recv", first, 5);
    bench.equal("bytes of the second recv", second, 5);
    Ok(())
}
