//! Can an event reach the wrong connection?

use std::io;

use crate::kernel::host::calls::EPOLL_CTL_ADD;
use crate::lab::bench::interest::IN;
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "fd-reuse",
    question: "can an event of a closed connection hit a new one?",
    scene: "Connections A and B have bytes, and connection C waits in the listener. One wait \
            reports A and B. While the event of A is handled, B is closed and C is accepted. \
            Then the event of B is handled.",
    why: "accept(2) returns the lowest free number, which is the number of B. An event \
            that carries only the number now means C. A generation beside the number, in the \
            64 bits that epoll returns, tells the two apart: the event is stale and is \
            skipped.",
    read: "epoll(7), Possible pitfalls, stale events; open(2) on the lowest number",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    for (what, checks_generation, wrong_expected) in [
        ("the number alone", false, 1),
        ("number and generation", true, 0),
    ] {
        bench.part(what);
        let (listener, port) = bench.listener(16)?;
        let client_a = bench.client("client-a", port)?;
        let a = bench.accept(listener, "a")?;
        let client_b = bench.client("client-b", port)?;
        let b = bench.accept(listener, "b")?;
        let epoll = bench.epoll()?;
        let data = |number: i32, generation: u64| generation << 32 | number as u64;
        bench.ctl_with(epoll, EPOLL_CTL_ADD, a, IN, data(a.number, 1));
        bench.ctl_with(epoll, EPOLL_CTL_ADD, b, IN, data(b.number, 2));
        bench.send(client_a, b"close b");
        bench.send(client_b, b"stale");
        let client_c = bench.client("client-c", port)?;
        bench.send(client_c, b"new");
        let events = bench.wait_with_data(epoll, 8, 0)?;
        bench.equal("events of one wait", events.len(), 2);
        bench.recv(a, 64);
        bench.close(b);
        let c = bench.accept(listener, "c")?;
        bench.equal("the number of C is that of B", c.number == b.number, true);
        // The generation of the descriptor number, as a server would keep it in its slot.
        let generation = 3;
        let stale = events.get(1).map_or(0, |event| event.1);
        let mut wrong = 0;
        if !checks_generation || stale >> 32 == generation {
            wrong += usize::from(bench.recv(c, 64).count() == 3);
        }
        bench.equal(
            format!("{what}: reads from the wrong connection"),
            wrong,
            wrong_expected,
        );
        bench.close_all();
    }
    Ok(())
}
