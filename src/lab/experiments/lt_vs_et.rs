//! Level or edge: how often is a socket with unread bytes reported?

use std::io;

use crate::lab::bench::interest::{EDGE, IN};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "lt-vs-et",
    question: "level or edge: how often are unread bytes reported?",
    scene: "4096 bytes wait in a socket. The server reads 1024 of them for each event, until \
            a wait reports nothing.",
    why: "Level-triggered epoll reports a state: as long as bytes are unread, every wait \
            reports the socket. Edge-triggered epoll reports a change: the arrival. A server \
            that does not read everything then waits for ever, with 3072 bytes in the queue.",
    read: "epoll(7), Level-triggered and edge-triggered; mynah help epoll",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    for (what, events, drains, expected) in [
        ("level, one recv for each event", IN, false, "4/4/0/0"),
        (
            "edge, one recv for each event",
            IN | EDGE,
            false,
            "1/1/0/3072",
        ),
        ("edge, recv until EAGAIN", IN | EDGE, true, "1/5/1/0"),
    ] {
        bench.part(what);
        let (client, server) = bench.pair()?;
        bench.nonblocking(server)?;
        bench.send(client, &[b'x'; 4096]);
        let epoll = bench.epoll()?;
        bench.add(epoll, server, events)?;
        let (mut wakes, mut reads, mut refused) = (0, 0, 0);
        while !bench.look(epoll)?.is_empty() {
            wakes += 1;
            loop {
                reads += 1;
                let is_error = bench.recv(server, 1024).is_error();
                refused += u32::from(is_error);
                if is_error || !drains {
                    break;
                }
            }
        }
        let left = bench.queued(server, crate::kernel::host::calls::Queue::Unread)?;
        let measured = format!("{wakes}/{reads}/{refused}/{left}");
        bench.equal(
            format!("{what}: wakes/reads/EAGAIN/unread"),
            measured,
            expected,
        );
        bench.close_all();
    }
    Ok(())
}
