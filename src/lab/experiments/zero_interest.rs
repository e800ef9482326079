//! What is reported when nothing is asked for?

use std::io;

use crate::kernel::host::calls::{SHUT_RDWR, SHUT_WR};
use crate::lab::bench::interest::{IN, ONESHOT};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "zero-interest",
    question: "what does epoll report when no interest is registered?",
    scene: "A socket is registered with no events. Then bytes arrive, the peer ends, both \
            end, the peer resets.",
    why: "ERR and HUP cannot be masked. A connection that waits for memory or for a worker \
            still hears of a reset, and a level-triggered loop spins until it closes the \
            socket. A disarmed EPOLLONESHOT registration reports nothing at all, not even a \
            reset.",
    read: "epoll_ctl(2) EPOLLERR and EPOLLHUP; mynah help epoll, the fourth rule",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let (client, server) = bench.pair()?;
    bench.send(client, b"x");
    let mask = bench.mask_for(server, 0)?;
    bench.equal("bytes", mask, "0");
    bench.shutdown(client, SHUT_WR);
    let mask = bench.mask_for(server, 0)?;
    bench.equal("the end of the peer's stream", mask, "0");
    bench.shutdown(server, SHUT_WR);
    let mask = bench.mask_for(server, 0)?;
    bench.equal("both ends", mask, "HUP");
    bench.close_all();

    let (client, server) = bench.pair()?;
    bench.reset_on_close(client)?;
    bench.close(client);
    let mask = bench.mask_for(server, 0)?;
    bench.equal("a reset", mask, "ERR|HUP");
    bench.close_all();

    let (_client, server) = bench.pair()?;
    bench.shutdown(server, SHUT_RDWR);
    let mask = bench.mask_for(server, 0)?;
    bench.equal("our own shutdown of both directions", mask, "HUP");
    bench.close_all();

    bench.part("a disarmed EPOLLONESHOT registration");
    let (client, server) = bench.pair()?;
    let epoll = bench.epoll()?;
    bench.add(epoll, server, IN | ONESHOT)?;
    bench.send(client, b"x");
    let first = bench.look(epoll)?.len();
    bench.reset_on_close(client)?;
    bench.close(client);
    let second = bench.look(epoll)?.len();
    bench.equal(
        "events for the byte/for the reset",
        format!("{first}/{second}"),
        "1/0",
    );
    Ok(())
}
