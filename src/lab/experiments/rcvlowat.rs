//! Can the kernel wait for a whole frame?

use std::io;

use crate::kernel::host::calls::{Queue, SHUT_WR, SO_RCVLOWAT, SOL_SOCKET};
use crate::lab::bench::interest::{EDGE, IN, RDHUP};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "rcvlowat",
    question: "can the kernel wait until a whole frame has arrived?",
    scene: "SO_RCVLOWAT is 100. The peer sends 99 bytes, then one more. Then the end of the \
            stream comes early, and the mark is lowered while bytes wait.",
    why: "Below the mark the socket is not reported, but the bytes are there: SIOCINQ \
            counts them and recv returns them. After a partial read the socket is silent \
            again. The end of the stream is reported whatever the mark. The mark saves \
            wake-ups; it does not replace a framing.",
    read: "socket(7) SO_RCVLOWAT",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let (client, server) = bench.pair()?;
    bench.nonblocking(server)?;
    bench.set(server, SOL_SOCKET, SO_RCVLOWAT, 100)?;
    let epoll = bench.epoll()?;
    bench.add(epoll, server, IN | RDHUP)?;
    bench.send(client, &[b'x'; 99]);
    let events = bench.look(epoll)?.len();
    let unread = bench.queued(server, Queue::Unread)?;
    bench.equal(
        "99 bytes: events, SIOCINQ",
        format!("{events}, {unread}"),
        "0, 99",
    );
    bench.send(client, b"x");
    let events = bench.look(epoll)?.len();
    bench.equal("100 bytes: events", events, 1);
    bench.recv(server, 40);
    let events = bench.look(epoll)?.len();
    bench.equal("60 bytes left: events", events, 0);
    let read = bench.recv(server, 100);
    bench.equal("recv below the mark", read, 60);
    bench.send(client, &[b'y'; 50]);
    bench.shutdown(client, SHUT_WR);
    let masks = bench.look(epoll)?;
    bench.equal(
        "50 bytes and the end",
        masks.first().map_or_else(String::new, ToString::to_string),
        "IN|RDHUP",
    );
    bench.close_all();

    bench.part("the mark is lowered, edge-triggered");
    let (client, server) = bench.pair()?;
    bench.set(server, SOL_SOCKET, SO_RCVLOWAT, 60)?;
    let epoll = bench.epoll()?;
    bench.add(epoll, server, IN | EDGE)?;
    bench.send(client, &[b'x'; 55]);
    let before = bench.look(epoll)?.len();
    bench.set(server, SOL_SOCKET, SO_RCVLOWAT, 55)?;
    let after = bench.look(epoll)?.len();
    bench.equal("events before/after", format!("{before}/{after}"), "0/1");
    Ok(())
}
