//! How many system calls does an echo need?

use std::io;
use std::time::Instant;

use crate::kernel::host::calls::{EPOLL_CTL_MOD, MSG_DONTWAIT};
use crate::lab::bench::Fd;
use crate::lab::bench::interest::{EDGE, IN, ONESHOT};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "syscalls",
    question: "how many system calls does one echo need?",
    scene: "One thread plays both ends, 16 bytes each way, 2,000 rounds. The calls of the \
            server are counted for level, for edge with reads until EAGAIN, for edge that \
            trusts a short read, and for EPOLLONESHOT; then TCP and local sockets are \
            compared.",
    why: "wait, recv and send are three calls. Reading until EAGAIN costs a fourth, and \
            so does arming again. The kernel's path of the bytes is nine tenths of the time: \
            the extra read is 3 %, and a local socket is twice as fast as TCP. Many ready \
            sockets share one wait.",
    read: "epoll(7); mynah help internals",
    play,
};

const ROUNDS: usize = 2_000;

/// Round trips that are timed together. So few take less than a time slice, so that some of these
/// runs are not interrupted on a busy machine either, and the shortest one counts.
const SHORT: usize = 10;

fn play(bench: &mut Bench) -> io::Result<()> {
    for (what, events, drains, expected) in [
        ("level", IN, false, 3),
        ("edge, reads until EAGAIN", IN | EDGE, true, 4),
        ("edge, trusts a short read", IN | EDGE, false, 3),
        ("oneshot", IN | EDGE | ONESHOT, false, 4),
    ] {
        bench.part(what);
        let (client, server) = bench.pair()?;
        let epoll = bench.epoll()?;
        bench.add(epoll, server, events)?;
        let calls = bench.quietly(|bench| {
            let mut calls = 0;
            for _ in 0..ROUNDS {
                bench.send(client, &[b'x'; 16]);
                calls += echo(bench, epoll, server, events, drains)?;
                bench.recv(client, 64);
            }
            Ok::<_, io::Error>(calls)
        })?;
        bench.equal(
            format!("{what}: calls for {ROUNDS} requests"),
            calls,
            ROUNDS * expected,
        );
        bench.close_all();
    }
    bench.part("TCP and local sockets");
    let (client, server) = bench.pair()?;
    let (near, far) = bench.local_pair()?;
    let (mut tcp, mut local) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS / SHORT {
        tcp = tcp.min(short_run(bench, client, server));
        local = local.min(short_run(bench, near, far));
    }
    let ratio = local / tcp;
    bench.holds(
        "a local round trip over one of TCP",
        format!("{ratio:.2}"),
        "less than 0.85",
        ratio < 0.85,
    );
    Ok(())
}

/// The server's part of one request. Returns the number of its calls.
fn echo(bench: &mut Bench, epoll: Fd, server: Fd, events: u32, drains: bool) -> io::Result<usize> {
    bench.look(epoll)?;
    let read = bench.recv_with(server, 64, MSG_DONTWAIT).count();
    let mut calls = 2;
    if drains {
        bench.recv_with(server, 64, MSG_DONTWAIT);
        calls += 1;
    }
    bench.send(server, &vec![b'x'; read]);
    calls += 1;
    if events & ONESHOT != 0 {
        bench.ctl(epoll, EPOLL_CTL_MOD, server, events);
        calls += 1;
    }
    Ok(calls)
}

/// The time of [`SHORT`] round trips, in seconds.
fn short_run(bench: &mut Bench, one: Fd, other: Fd) -> f64 {
    bench.quietly(|bench| {
        let began = Instant::now();
        for _ in 0..SHORT {
            bench.send(one, &[b'x'; 16]);
            bench.recv(other, 64);
            bench.send(other, &[b'x'; 16]);
            bench.recv(one, 64);
        }
        began.elapsed().as_secs_f64()
    })
}
