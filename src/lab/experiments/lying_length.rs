//! What does a wrong length prefix do?

use std::io;

use crate::kernel::host::calls::MSG_WAITALL;
use crate::kernel::host::calls::Queue;
use crate::lab::bench::{Fd, interest::IN};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "lying-length",
    question: "what does a length prefix that is wrong by one do?",
    scene: "A peer announces 6 bytes. It sends 5 and stays, 5 and closes, 7, and 5 followed \
            by the next frame. The reader waits 50 ms at most.",
    why: "Only a deadline tells a slow peer from a wrong length, and only the end of the \
            stream tells a cut frame. A length that is too large takes the first byte of the \
            next frame: from there on every length is read from the wrong place. MSG_WAITALL \
            returns short on both.",
    read: "recv(2) MSG_WAITALL; mynah help framing",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    for (what, bytes, closes, expected) in [
        (
            "says 6, sends 5, stays",
            &b"world"[..],
            false,
            "5, deadline, 0 left",
        ),
        ("says 6, sends 5, closes", b"world", true, "5, end, 0 left"),
        ("says 6, sends 7", b"world!x", false, "6, complete, 1 left"),
    ] {
        bench.part(what);
        let (client, server) = bench.pair()?;
        bench.send(server, &6_u32.to_be_bytes());
        bench.send(server, bytes);
        if closes {
            bench.close(server);
        }
        bench.recv(client, 4);
        let (got, end) = read_frame(bench, client, 6)?;
        let left = bench.queued(client, Queue::Unread)?;
        bench.equal(what, format!("{got}, {end}, {left} left"), expected);
        bench.close_all();
    }
    bench.part("says 6, sends 5, then the next frame");
    let (client, server) = bench.pair()?;
    bench.send(server, &6_u32.to_be_bytes());
    bench.send(server, b"world");
    bench.send(server, &5_u32.to_be_bytes());
    bench.send(server, b"HELLO");
    bench.recv(client, 4);
    bench.recv_with(client, 6, MSG_WAITALL);
    let mut length = [0; 4];
    bench.recv_into(client, &mut length, MSG_WAITALL);
    bench.equal(
        "the next length, which was sent as 5",
        u32::from_be_bytes(length),
        1352,
    );
    Ok(())
}

/// Reads a payload of `size` bytes, and says how that ended.
fn read_frame(bench: &mut Bench, fd: Fd, size: usize) -> io::Result<(usize, &'static str)> {
    let epoll = bench.epoll()?;
    bench.add(epoll, fd, IN)?;
    let mut got = 0;
    while got < size {
        if bench.wait(epoll, 1, 50)?.is_empty() {
            return Ok((got, "deadline"));
        }
        match bench.recv(fd, size - got).count() {
            0 => return Ok((got, "end")),
            count => got += count,
        }
    }
    Ok((got, "complete"))
}
