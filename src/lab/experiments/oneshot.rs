//! What keeps two threads from handling one connection at the same time?

use std::io;

use crate::kernel::host::calls::EPOLL_CTL_MOD;
use crate::lab::bench::interest::{EDGE, IN, ONESHOT};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "oneshot",
    question: "is an edge enough when two threads wait on one epoll?",
    scene: "One byte arrives. Two waits follow, as two threads would make them, before \
            anything is read. Then a second byte arrives, and a third wait follows.",
    why: "Level reports to the second thread at once. An edge reports to the second thread \
            as soon as more bytes arrive, while the first still works. EPOLLONESHOT disarms \
            the registration with its first event, until EPOLL_CTL_MOD arms it again: one \
            thread at a time.",
    read: "epoll(7), epoll_ctl(2) EPOLLONESHOT",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    for (what, events, expected) in [
        ("level", IN, "1/1/1"),
        ("edge", IN | EDGE, "1/0/1"),
        ("oneshot", IN | ONESHOT, "1/0/0"),
    ] {
        bench.part(what);
        let (client, server) = bench.pair()?;
        let epoll = bench.epoll()?;
        bench.add(epoll, server, events)?;
        bench.send(client, b"a");
        let first = bench.look(epoll)?.len();
        let second = bench.look(epoll)?.len();
        bench.send(client, b"b");
        let third = bench.look(epoll)?.len();
        bench.equal(
            format!("{what}: events of the three waits"),
            format!("{first}/{second}/{third}"),
            expected,
        );
        if events & ONESHOT != 0 {
            bench.ctl(epoll, EPOLL_CTL_MOD, server, events);
            let armed = bench.look(epoll)?.len();
            bench.equal("oneshot: armed again", armed, 1);
        }
        bench.close_all();
    }
    Ok(())
}
