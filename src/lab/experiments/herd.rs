//! How many waiters does one connection wake?

use std::io;

use crate::lab::bench::interest::{EXCLUSIVE, IN};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "herd",
    question: "how many epolls report one new connection?",
    scene: "Eight epolls have registered one listener, with and without EPOLLEXCLUSIVE. One \
            client connects, and each epoll is asked once. No thread waits meanwhile.",
    why: "A readable listener is a state: every epoll that is asked reports it, \
            EPOLLEXCLUSIVE or not. EPOLLEXCLUSIVE acts when threads are asleep in \
            epoll_wait: then the kernel wakes one or a few of them instead of all. After one \
            accept the state is over, so the others would get EAGAIN: the listener must be \
            non-blocking.",
    read: "epoll_ctl(2) EPOLLEXCLUSIVE; mynah help workers",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    const NAMES: [&str; 8] = ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"];
    for (what, events) in [
        ("without EPOLLEXCLUSIVE", IN),
        ("with EPOLLEXCLUSIVE", IN | EXCLUSIVE),
    ] {
        bench.part(what);
        let (listener, port) = bench.listener(8)?;
        bench.nonblocking(listener)?;
        let mut epolls = Vec::new();
        for name in NAMES {
            let epoll = bench.epoll_named(name)?;
            bench.add(epoll, listener, events)?;
            epolls.push(epoll);
        }
        bench.client("client", port)?;
        let mut reports = 0;
        for &epoll in &epolls {
            reports += bench.look(epoll)?.len();
        }
        bench.equal(format!("{what}: epolls that report"), reports, 8);
        bench.accept(listener, "server")?;
        let mut reports = 0;
        for &epoll in &epolls {
            reports += bench.look(epoll)?.len();
        }
        bench.equal(format!("{what}: after one accept"), reports, 0);
        let none = bench.try_accept(listener, "second").err();
        bench.equal(
            format!("{what}: a second accept"),
            none.map_or_else(String::new, |it| it.to_string()),
            "EAGAIN",
        );
        bench.close_all();
    }
    Ok(())
}
