//! How much unsent data does the kernel hold for a slow peer?

use std::io;

use crate::kernel::host::calls::{Queue, TCP, TCP_NOTSENT_LOWAT};
use crate::lab::bench::interest::OUT;
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "notsent-lowat",
    question: "how much stale data does the kernel keep for a slow peer?",
    scene: "A client sends 4 KiB at a time until EAGAIN while the server reads nothing: with \
            the default buffer, with TCP_NOTSENT_LOWAT of 128 KiB, and of 16 KiB. Then the \
            server reads until the client's socket is writable.",
    why: "The send buffer grows to megabytes, and what is in it is old when it leaves. \
            TCP_NOTSENT_LOWAT bounds the part that is not yet sent; the bound may be \
            exceeded by one segment. EPOLLOUT comes when less than half of the bound is \
            unsent.",
    read: "tcp(7) TCP_NOTSENT_LOWAT",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let mut taken = Vec::new();
    for (what, mark) in [
        ("default", None),
        ("128 KiB", Some(131_072)),
        ("16 KiB", Some(16_384)),
    ] {
        bench.part(what);
        let (client, server) = bench.pair()?;
        if let Some(mark) = mark {
            bench.set(client, TCP, TCP_NOTSENT_LOWAT, mark)?;
        }
        let accepted = bench.fill(client, 4096);
        let unsent = bench.queued(client, Queue::Unsent)?;
        let unread = bench.queued(server, Queue::Unread)?;
        bench.equal(
            format!("{what}: SIOCINQ + SIOCOUTQNSD"),
            unread + unsent,
            accepted,
        );
        taken.push(accepted);
        if let Some(mark) = mark {
            let epoll = bench.epoll()?;
            bench.add(epoll, client, OUT)?;
            let unsent = bench.quietly(|bench| {
                while bench.look(epoll)?.is_empty() {
                    if bench.recv(server, 4096).count() == 0 {
                        break;
                    }
                }
                bench.queued(client, Queue::Unsent)
            })?;
            let bound = mark as usize / 2;
            bench.holds(
                format!("{what}: unsent at EPOLLOUT"),
                unsent,
                &format!("less than {bound}"),
                unsent < bound,
            );
        }
        bench.close_all();
    }
    let ordered = taken.is_sorted_by(|more, less| more > less);
    bench.holds(
        "bytes taken, default, 128 KiB, 16 KiB",
        format!("{taken:?}"),
        "each less than before",
        ordered,
    );
    Ok(())
}
