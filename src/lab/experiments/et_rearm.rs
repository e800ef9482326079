//! When does an edge-triggered socket report again?

use std::io;

use crate::kernel::Readiness;
use crate::kernel::host::calls::EPOLL_CTL_MOD;
use crate::lab::bench::interest::{EDGE, IN, OUT};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "et-rearm",
    question: "does an edge come again while old bytes are unread?",
    scene: "100 bytes wait before the socket is registered. The server reads 10 of them. \
            Then the peer sends again, the registration is modified, and the send buffer is \
            filled and drained.",
    why: "Every arrival is a new edge, whether old bytes are unread or not; arrivals \
            before one wait are one event. EPOLL_CTL_MOD looks at the state again, so \
            it re-arms an edge. An event for room in the send buffer carries the old IN too: an \
            edge reports all that is ready.",
    read: "epoll(7), Questions and answers 9; epoll_ctl(2)",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let (client, server) = bench.pair()?;
    bench.nonblocking(server)?;
    let epoll = bench.epoll()?;
    bench.send(client, &[b'x'; 100]);
    bench.add(epoll, server, IN | EDGE)?;
    let events = bench.look(epoll)?.len();
    bench.equal("events after ADD with bytes pending", events, 1);
    bench.recv(server, 10);
    let events = bench.look(epoll)?.len();
    bench.equal("after a partial read", events, 0);
    bench.send(client, b"y");
    let events = bench.look(epoll)?.len();
    bench.equal("after a new byte behind unread ones", events, 1);
    for _ in 0..3 {
        bench.send(client, b"y");
    }
    let mut events = 0;
    while !bench.look(epoll)?.is_empty() {
        events += 1;
    }
    bench.equal("three sends, then waits", events, 1);
    let mut events = 0;
    for _ in 0..3 {
        bench.send(client, b"y");
        events += bench.look(epoll)?.len();
    }
    bench.equal("three times a send and a wait", events, 3);
    bench.ctl(epoll, EPOLL_CTL_MOD, server, IN | EDGE);
    let events = bench.look(epoll)?.len();
    bench.equal("after EPOLL_CTL_MOD with the same interest", events, 1);
    let events = bench.look(epoll)?.len();
    bench.equal("the next wait", events, 0);

    bench.part("room in the send buffer");
    bench.ctl(epoll, EPOLL_CTL_MOD, server, IN | OUT | EDGE);
    bench.look(epoll)?;
    let filled = bench.fill(server, 1 << 16);
    let events = bench.look(epoll)?.len();
    bench.equal("events while the send buffer is full", events, 0);
    let (mut wakes, mut with_in, mut got) = (0, 0, 0);
    bench.quietly(|bench| {
        while got < filled {
            got += bench.recv(client, 1 << 16).count().max(1);
            for mask in bench.wait(epoll, 1, if got < filled { 0 } else { 300 })? {
                wakes += 1;
                with_in += usize::from(mask.has(Readiness::IN));
            }
        }
        Ok::<_, io::Error>(())
    })?;
    bench.holds(
        "wakes while the peer reads",
        wakes,
        "at least 1",
        wakes >= 1,
    );
    bench.equal("of them with the old IN", with_in, wakes);
    Ok(())
}
