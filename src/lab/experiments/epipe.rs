//! When does a send to a peer that left fail?

use std::io;

use crate::kernel::host::calls::{self, ChildEnd, SHUT_WR};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "epipe",
    question: "which send to a peer that left fails first?",
    scene: "The peer closes, and the client sends three times. Then the same with unread \
            bytes, after our own shutdown, on a pipe, on a local socket, and with SIGPIPE as \
            it is by default.",
    why: "A FIN says that the peer sends no more; it may still read. So the first send \
            succeeds, the peer's kernel answers with RST, and the second send fails with \
            EPIPE. A pipe and a local socket know at once. SIGPIPE ends a process by \
            default: MSG_NOSIGNAL, or ignore it.",
    read: "send(2) EPIPE and MSG_NOSIGNAL, signal(7) SIGPIPE",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    bench.part("the peer has closed");
    let (client, server) = bench.pair()?;
    bench.close(server);
    let sends = [(); 3]
        .map(|()| bench.send(client, b"a").to_string())
        .join("/");
    bench.equal("three sends", sends, "1/EPIPE/EPIPE");
    let error = bench.take_error(client)?;
    bench.equal("SO_ERROR afterwards", error, 0);
    bench.close_all();

    bench.part("the peer has closed with unread bytes: its RST is here");
    let (client, server) = bench.pair()?;
    bench.send(client, b"q");
    bench.close(server);
    let sends = [(); 2]
        .map(|()| bench.send(client, b"a").to_string())
        .join("/");
    bench.equal("two sends", sends, "ECONNRESET/EPIPE");
    bench.close_all();

    bench.part("our own shutdown");
    let (client, _server) = bench.pair()?;
    bench.shutdown(client, SHUT_WR);
    let sent = bench.send(client, b"a");
    bench.equal("the first send", sent, "EPIPE");
    bench.close_all();

    bench.part("a pipe without a reader, and a local socket without a peer");
    let (reader, writer) = bench.pipe()?;
    bench.close(reader);
    let written = bench.write(writer, b"a");
    bench.equal("pipe: the first write", written, "EPIPE");
    let (near, far) = bench.local_pair()?;
    bench.close(near);
    let sent = bench.send(far, b"a");
    bench.equal("local socket: the first send", sent, "EPIPE");
    bench.close_all();

    bench.part("SIGPIPE as it is by default, in a child");
    let end = bench.in_child(|bench| {
        calls::let_sigpipe_act();
        let Ok((client, server)) = bench.pair() else {
            return 1;
        };
        bench.close(server);
        for _ in 0..2 {
            let _ = calls::send(client.number, b"a", 0);
        }
        2
    })?;
    bench.equal(
        "the end of the child",
        format!("{end:?}"),
        format!("{:?}", ChildEnd::Signal(13)),
    );
    Ok(())
}
