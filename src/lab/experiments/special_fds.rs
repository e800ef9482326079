//! How do timers behave in epoll?

use std::io;

use crate::lab::bench::interest::{EDGE, IN};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "special-fds",
    question: "must an edge-triggered timer be read?",
    scene: "A timer of 5 ms repeats and is read late. Then the same timer is registered \
            edge-triggered and never read.",
    why: "One read returns the number of times that the timer has ended since the last \
            read. A repeating timer is started again by the read, so an edge-triggered timer \
            that is never read reports once: the opposite of an eventfd.",
    read: "timerfd_create(2), eventfd(2)",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let timer = bench.timerfd(5, true)?;
    let epoll = bench.epoll()?;
    let idle = bench.epoll_named("idle")?;
    // A wait on an epoll without registrations is a sleep.
    bench.wait(idle, 1, 27)?;
    bench.add(epoll, timer, IN)?;
    let events = bench.look(epoll)?.len();
    let count = bench.read_number(timer);
    bench.equal("events after 27 ms", events, 1);
    bench.holds(
        "the number that one read returns",
        count,
        "at least 5",
        count.count() >= 5,
    );
    bench.close_all();

    bench.part("edge-triggered, never read");
    let timer = bench.timerfd(5, true)?;
    let epoll = bench.epoll()?;
    bench.add(epoll, timer, IN | EDGE)?;
    let first = bench.wait(epoll, 1, 1_000)?.len();
    let second = bench.wait(epoll, 1, 30)?.len();
    bench.equal(
        "events of the first/the second wait",
        format!("{first}/{second}"),
        "1/0",
    );
    Ok(())
}
