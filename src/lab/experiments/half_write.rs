//! How much does send take, and where are the bytes?

use std::io;

use crate::kernel::host::calls::{Queue, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET};
use crate::lab::bench::interest::OUT;
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "half-write",
    question: "how much does send take, and where is it then?",
    scene: "A client sends 8 MiB without blocking, and the server reads nothing until \
            EAGAIN. Then the server reads 64 KiB at a time, and the client sends on whenever \
            epoll reports room.",
    why: "send(2) copies what fits into the two socket buffers and returns that count: a \
            short write is normal. Each byte is either in the queue of the receiver or not \
            yet sent: SIOCINQ of the peer plus SIOCOUTQNSD of our own is what was taken. \
            EPOLLOUT comes when about a third of the buffer is free, not for each byte.",
    read: "send(2), tcp(7) SIOCINQ and SIOCOUTQ, socket(7) SO_SNDBUF",
    play,
};

const TOTAL: usize = 8 << 20;

fn play(bench: &mut Bench) -> io::Result<()> {
    let mut wakes = Vec::new();
    for (what, size) in [
        ("default buffers", None),
        ("64 KiB", Some(1 << 16)),
        ("4 KiB", Some(1 << 12)),
    ] {
        bench.part(what);
        let (listener, port) = bench.listener(4)?;
        let client = bench.socket("client")?;
        if let Some(size) = size {
            bench.set(listener, SOL_SOCKET, SO_RCVBUF, size)?;
            bench.set(client, SOL_SOCKET, SO_SNDBUF, size)?;
        }
        bench.connect(client, port);
        let server = bench.accept(listener, "server")?;
        let accepted = bench.fill(client, 1 << 16);
        let unread = bench.queued(server, Queue::Unread)?;
        let unsent = bench.queued(client, Queue::Unsent)?;
        bench.equal(
            format!("{what}: SIOCINQ of the server + SIOCOUTQNSD of the client"),
            unread + unsent,
            accepted,
        );
        bench.holds(
            format!("{what}: bytes taken"),
            accepted,
            "less than 8 MiB",
            accepted < TOTAL,
        );
        wakes.push(bench.quietly(|bench| transfer(bench, client, server, accepted))?);
        bench.show(
            "EPOLLOUT events to send the rest",
            wakes.last().unwrap_or(&0),
        );
        bench.close_all();
    }
    let ordered = wakes.is_sorted() && wakes.first().is_some_and(|&least| least >= 1);
    bench.holds(
        "events with default buffers, 64 KiB, 4 KiB",
        format!("{wakes:?}"),
        "at least 1, and more for a smaller buffer",
        ordered,
    );
    Ok(())
}

/// Sends what is left of [`TOTAL`] as the server reads. Returns the number of events.
fn transfer(
    bench: &mut Bench,
    client: crate::lab::bench::Fd,
    server: crate::lab::bench::Fd,
    accepted: usize,
) -> io::Result<usize> {
    let epoll = bench.epoll()?;
    bench.add(epoll, client, OUT)?;
    let (mut sent, mut got, mut wakes) = (accepted, 0, 0);
    let chunk = vec![0; 1 << 16];
    while got < TOTAL {
        if sent < TOTAL && !bench.look(epoll)?.is_empty() {
            wakes += 1;
            while sent < TOTAL {
                let part = &chunk[..chunk.len().min(TOTAL - sent)];
                let answer =
                    bench.send_with(client, part, crate::kernel::host::calls::MSG_DONTWAIT);
                if answer.is_error() {
                    break;
                }
                sent += answer.count();
            }
        }
        // The last bytes of a full connection may come by a timer of the kernel: this read blocks.
        let read = bench.recv(server, 1 << 16);
        if read.count() == 0 {
            break;
        }
        got += read.count();
    }
    Ok(wakes)
}
