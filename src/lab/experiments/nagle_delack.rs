//! Where do 40 ms come from? Nagle's algorithm waits for an ACK that the receiver delays.

use std::io;
use std::time::{Duration, Instant};

use crate::kernel::host::calls::{MSG_MORE, TCP, TCP_NODELAY};
use crate::lab::bench::{Fd, interest};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "nagle-delack",
    question: "why does a request in two sends take 40 ms?",
    scene: "A client sends a request of 8 bytes as 4 and 4, the server answers with 8 bytes. \
            The round is played several times, and each round is timed.",
    why: "Nagle's algorithm holds the second small segment back until the first is \
            acknowledged. The receiver delays its ACK by 40 ms, because it hopes to send it \
            together with a reply. One send for the whole request is the best cure: one \
            segment. TCP_NODELAY costs two.",
    read: "tcp(7) TCP_NODELAY and TCP_QUICKACK, RFC 896, RFC 1122 4.2.3.2",
    play,
};

const ROUNDS: usize = 8;

/// Rounds that took longer than half of a delayed ACK.
const SLOW: Duration = Duration::from_millis(20);

fn play(bench: &mut Bench) -> io::Result<()> {
    let mut slow_of = |what: &str, nodelay: bool, parts: &[(&[u8], i32)]| -> io::Result<usize> {
        bench.part(what);
        let (client, server) = bench.pair()?;
        if nodelay {
            bench.set(client, TCP, TCP_NODELAY, 1)?;
        }
        let epoll = bench.epoll()?;
        bench.add(epoll, server, interest::IN)?;
        let mut slow = 0;
        for number in 0..ROUNDS {
            let began = Instant::now();
            let round = |bench: &mut Bench| round(bench, client, server, epoll, parts);
            // One slow round shows all there is to see.
            match number {
                0 | 1 => round(bench)?,
                _ => bench.quietly(round)?,
            }
            slow += usize::from(began.elapsed() > SLOW);
        }
        bench.close_all();
        Ok(slow)
    };
    let two: &[(&[u8], i32)] = &[(b"ping", 0), (b"pong", 0)];
    let plain = slow_of("two sends", false, two)?;
    let nodelay = slow_of("two sends with TCP_NODELAY", true, two)?;
    let one = slow_of("one send", false, &[(b"pingpong", 0)])?;
    let more = slow_of(
        "MSG_MORE on the first send",
        false,
        &[(b"ping", MSG_MORE), (b"pong", 0)],
    )?;
    let least = ROUNDS - 2;
    bench.holds(
        format!("rounds of {ROUNDS} over 20 ms, two sends"),
        plain,
        &format!("at least {least}"),
        plain >= least,
    );
    for (what, slow) in [
        ("TCP_NODELAY", nodelay),
        ("one send", one),
        ("MSG_MORE", more),
    ] {
        // A busy machine may hold some rounds up for another reason.
        let most = ROUNDS / 4;
        bench.holds(
            format!("the same with {what}"),
            slow,
            &format!("at most {most}"),
            slow <= most,
        );
    }
    Ok(())
}

/// The request in `parts`, read whole, and the reply.
fn round(
    bench: &mut Bench,
    client: Fd,
    server: Fd,
    epoll: Fd,
    parts: &[(&[u8], i32)],
) -> io::Result<()> {
    for (bytes, flags) in parts {
        bench.send_with(client, bytes, *flags);
    }
    let mut got = 0;
    while got < 8 {
        bench.wait(epoll, 1, 1_000)?;
        got += bench.recv(server, 8).count().max(1);
    }
    bench.send(server, b"answered");
    bench.recv(client, 8);
    Ok(())
}
