//! Must an edge-triggered eventfd be read?

use std::io;

use crate::lab::bench::interest::{EDGE, IN, OUT};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "eventfd-et",
    question: "must an edge-triggered eventfd be read?",
    scene: "A counter is registered edge-triggered and never read. It is written three times \
            with a wait after each, three times with one wait, and up to its maximum.",
    why: "Every write is a new edge, read or not, so a wake-up by eventfd needs no read, \
            until the counter is at its maximum and a write would block. Do not carry this \
            over to a timerfd, which reports again only after a read.",
    read: "eventfd(2), timerfd_create(2)",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let counter = bench.eventfd(false)?;
    let epoll = bench.epoll()?;
    bench.add(epoll, counter, IN | EDGE)?;
    let mut wakes = 0;
    for _ in 0..3 {
        bench.write_number(counter, 1);
        wakes += bench.look(epoll)?.len();
    }
    bench.equal("three times a write and a wait", wakes, 3);
    for _ in 0..3 {
        bench.write_number(counter, 1);
    }
    let wakes = bench.look(epoll)?.len() + bench.look(epoll)?.len();
    bench.equal("three writes, then two waits", wakes, 1);
    let sum = bench.read_number(counter);
    bench.equal("one read returns the sum", sum, 6);
    bench.close(epoll);

    bench.part("the maximum");
    bench.write_number(counter, u64::MAX - 1);
    let mask = bench.mask_for(counter, IN | OUT)?;
    let full = bench.write_number(counter, 1);
    let invalid = bench.write_number(counter, u64::MAX);
    bench.equal(
        "event/next write/write of 2^64 - 1",
        format!("{mask}/{full}/{invalid}"),
        "IN/EAGAIN/EINVAL",
    );
    bench.close_all();

    bench.part("a semaphore");
    let counter = bench.eventfd(true)?;
    bench.write_number(counter, 3);
    let mut reads = 0;
    while !bench.read_number(counter).is_error() {
        reads += 1;
    }
    bench.equal("reads of 1 after a write of 3", reads, 3);
    bench.close_all();

    bench.part("a pipe, never read");
    let (reader, writer) = bench.pipe()?;
    let epoll = bench.epoll()?;
    bench.add(epoll, reader, IN | EDGE)?;
    let mut wakes = 0;
    for _ in 0..3 {
        bench.write(writer, b"x");
        wakes += bench.look(epoll)?.len();
    }
    bench.equal("three times a write and a wait", wakes, 3);
    Ok(())
}
