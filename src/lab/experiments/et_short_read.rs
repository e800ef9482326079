//! Must an edge-triggered server read until EAGAIN?

use std::io;

use crate::kernel::host::calls::{MSG_OOB, SHUT_WR};
use crate::lab::bench::interest::{EDGE, IN, RDHUP};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "et-short-read",
    question: "may an edge-triggered server stop after a short read?",
    scene: "100 bytes arrive, and the server offers 4096. It stops after the short read and \
            waits. Then the same with the end of the stream behind the bytes, with a buffer \
            of exactly 100, and with an urgent byte.",
    why: "A short read means that the queue was empty, so new bytes are a new edge. Three \
            things break this. The end of the stream that arrived with the bytes gives no \
            second event: the RDHUP bit of the same event must be honoured. A full buffer is \
            not a short read. An urgent mark ends a read early.",
    read: "epoll(7), Questions and answers 9; tcp(7) urgent data",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    bench.part("bytes, later more, later the end of the stream");
    let (client, server) = bench.pair()?;
    let epoll = bench.epoll()?;
    bench.add(epoll, server, IN | RDHUP | EDGE)?;
    bench.send(client, &[b'x'; 100]);
    bench.look(epoll)?;
    let read = bench.recv(server, 4096);
    bench.equal("the short read", read, 100);
    let events = bench.look(epoll)?.len();
    bench.equal("events after it", events, 0);
    bench.send(client, &[b'y'; 50]);
    let events = bench.look(epoll)?.len();
    let read = bench.recv(server, 4096);
    bench.equal(
        "new bytes: events/bytes",
        format!("{events}/{read}"),
        "1/50",
    );
    bench.shutdown(client, SHUT_WR);
    let masks = bench.look(epoll)?;
    bench.equal(
        "the end: event",
        masks.first().map_or_else(String::new, ToString::to_string),
        "IN|RDHUP",
    );
    bench.close_all();

    for (what, events, mask) in [
        ("with RDHUP", IN | RDHUP | EDGE, "IN|RDHUP"),
        ("without RDHUP", IN | EDGE, "IN"),
    ] {
        bench.part(format!("bytes and the end of the stream together, {what}"));
        let (client, server) = bench.pair()?;
        let epoll = bench.epoll()?;
        bench.add(epoll, server, events)?;
        bench.send(client, &[b'x'; 100]);
        bench.shutdown(client, SHUT_WR);
        let masks = bench.look(epoll)?;
        bench.equal(
            format!("{what}: the event"),
            masks.first().map_or_else(String::new, ToString::to_string),
            mask,
        );
        bench.recv(server, 4096);
        let later = bench.look(epoll)?.len();
        bench.equal(format!("{what}: events after the short read"), later, 0);
        let end = bench.recv(server, 4096);
        bench.equal(format!("{what}: one more recv"), end, 0);
        bench.close_all();
    }

    bench.part("a buffer of exactly the size");
    let (client, server) = bench.pair()?;
    bench.nonblocking(server)?;
    bench.send(client, &[b'x'; 100]);
    let first = bench.recv(server, 100);
    let second = bench.recv(server, 100);
    bench.equal(
        "first/second recv",
        format!("{first}/{second}"),
        "100/EAGAIN",
    );
    bench.close_all();

    bench.part("an urgent byte between");
    let (client, server) = bench.pair()?;
    bench.send(client, &[b'x'; 100]);
    bench.send_with(client, b"!", MSG_OOB);
    bench.send(client, &[b'y'; 50]);
    let first = bench.recv(server, 4096);
    let second = bench.recv(server, 4096);
    bench.equal("first/second recv", format!("{first}/{second}"), "100/50");
    Ok(())
}
