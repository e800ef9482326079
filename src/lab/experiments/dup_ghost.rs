//! Can a closed descriptor still report?

use std::io;

use crate::kernel::host::calls::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD};
use crate::lab::bench::interest::IN;
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "dup-ghost",
    question: "can a closed descriptor still report events?",
    scene: "A registered socket has a second number by dup(2). The first number is closed, \
            and the peer sends. Then the registration is to be removed.",
    why: "epoll registers an open file under a number, and the registration ends with the \
            last number of the file. After the close, epoll still reports the old data, and \
            no call names the registration any more: the key is file and number together. \
            dup2(2) back to the old number helps. A fork is a dup as well: close-on-exec \
            does not help there.",
    read: "epoll(7), Questions and answers 6; dup(2)",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let (client, server) = bench.pair()?;
    let epoll = bench.epoll()?;
    bench.ctl_with(epoll, EPOLL_CTL_ADD, server, IN, 0x1234);
    let copy = bench.dup(server, "copy")?;
    bench.close(server);
    bench.send(client, b"x");
    let events = bench.wait_with_data(epoll, 4, 0)?;
    let data = events.first().map_or(0, |event| event.1);
    bench.equal(
        "events after the close, and their data",
        format!("{}, {data:#x}", events.len()),
        "1, 0x1234",
    );
    let removed = bench.ctl(epoll, EPOLL_CTL_DEL, server, 0);
    bench.equal("DEL of the closed number", removed, "EBADF");
    let removed = bench.ctl(epoll, EPOLL_CTL_DEL, copy, 0);
    bench.equal("DEL of the copy", removed, "ENOENT");
    let changed = bench.ctl(epoll, EPOLL_CTL_MOD, copy, 0);
    bench.equal("MOD of the copy", changed, "ENOENT");
    let added = bench.ctl(epoll, EPOLL_CTL_ADD, copy, IN);
    bench.equal("ADD of the copy", added, 0);
    let events = bench.look(epoll)?.len();
    bench.equal("events for one byte now", events, 2);
    bench.ctl(epoll, EPOLL_CTL_DEL, copy, 0);

    bench.part("the number comes back");
    bench.dup2(copy, server)?;
    let removed = bench.ctl(epoll, EPOLL_CTL_DEL, server, 0);
    bench.equal("DEL of the old number", removed, 0);
    let events = bench.look(epoll)?.len();
    bench.equal("events afterwards", events, 0);
    bench.close_all();

    bench.part("the last copy is closed");
    let (client, server) = bench.pair()?;
    let epoll = bench.epoll()?;
    bench.add(epoll, server, IN)?;
    let copy = bench.dup(server, "copy")?;
    bench.send(client, b"x");
    bench.close(server);
    let one_left = bench.look(epoll)?.len();
    bench.close(copy);
    let none_left = bench.look(epoll)?.len();
    bench.equal(
        "events with one copy/none",
        format!("{one_left}/{none_left}"),
        "1/0",
    );
    Ok(())
}
