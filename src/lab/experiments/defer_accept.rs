//! Can the kernel hold a connection back until it has data?

use std::io;

use crate::kernel::host::calls::{SHUT_WR, TCP, TCP_DEFER_ACCEPT};
use crate::lab::bench::interest::IN;
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "defer-accept",
    question: "can the kernel accept a connection only with its first data?",
    scene: "A listener with TCP_DEFER_ACCEPT of 1 s. A client connects and is silent, then \
            sends; another ends its stream without data; a third stays silent.",
    why: "The kernel keeps the connection in its handshake until data or a FIN arrives, so \
            accept and the first read are one event. It is a delay and not a filter: after \
            the time the silent client comes in too.",
    read: "tcp(7) TCP_DEFER_ACCEPT",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let (listener, port) = bench.listener(8)?;
    bench.nonblocking(listener)?;
    bench.set(listener, TCP, TCP_DEFER_ACCEPT, 1)?;
    let epoll = bench.epoll()?;
    bench.add(epoll, listener, IN)?;
    let client = bench.client("client", port)?;
    let events = bench.look(epoll)?.len();
    let none = bench.try_accept(listener, "server").err();
    bench.equal(
        "no data: events, accept",
        format!(
            "{events}, {}",
            none.map_or_else(String::new, |it| it.to_string())
        ),
        "0, EAGAIN",
    );
    bench.send(client, b"hello");
    let events = bench.look(epoll)?.len();
    let server = bench.accept(listener, "server")?;
    let read = bench.recv(server, 10);
    bench.equal(
        "data: events, first recv",
        format!("{events}, {read}"),
        "1, 5",
    );

    let ends = bench.client("ends", port)?;
    bench.shutdown(ends, SHUT_WR);
    let events = bench.look(epoll)?.len();
    let server = bench.accept(listener, "server")?;
    let read = bench.recv(server, 10);
    bench.equal(
        "the end without data: events, first recv",
        format!("{events}, {read}"),
        "1, 0",
    );
    bench.close_all();

    bench.part("a silent client");
    let (listener, port) = bench.listener(8)?;
    bench.set(listener, TCP, TCP_DEFER_ACCEPT, 1)?;
    let epoll = bench.epoll()?;
    bench.add(epoll, listener, IN)?;
    bench.client("silent", port)?;
    let at_once = bench.look(epoll)?.len();
    let later = bench.wait(epoll, 1, 1_900)?.len();
    bench.equal(
        "events at once/within 1.9 s",
        format!("{at_once}/{later}"),
        "0/1",
    );
    Ok(())
}
