//! May a server close when it sees RDHUP?

use std::io;

use crate::kernel::Readiness;
use crate::kernel::host::calls::SHUT_WR;
use crate::lab::bench::interest::{IN, RDHUP};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "rdhup-loss",
    question: "may a server close when it sees EPOLLRDHUP?",
    scene: "A client sends 65,536 bytes and ends its sending direction. The server closes on \
            RDHUP before reading, after one read of 4096 bytes, or at the end of the stream.",
    why: "RDHUP says that no more will be sent. It does not say that everything was read: \
            the same event says IN. The end of the stream is a recv that returns 0. A close \
            with unread bytes sends RST, so the client learns of the loss at best.",
    read: "epoll_ctl(2) EPOLLRDHUP, RFC 2525 2.17",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    for (what, reads_max, expected, end) in [
        ("close before reading", 0, "0/65536", "ECONNRESET"),
        ("one read, then close", 1, "4096/61440", "ECONNRESET"),
        ("read to the end of the stream", usize::MAX, "65536/0", "0"),
    ] {
        bench.part(what);
        let (client, server) = bench.pair()?;
        let sent = bench.send(client, &[b'x'; 65_536]).count();
        bench.shutdown(client, SHUT_WR);
        let epoll = bench.epoll()?;
        bench.add(epoll, server, IN | RDHUP)?;
        let first = bench.look(epoll)?;
        let both = Readiness::IN | Readiness::RDHUP;
        bench.equal(
            format!("{what}: the first event"),
            first.first().map_or_else(String::new, ToString::to_string),
            crate::lab::bench::Mask(both.bits()),
        );
        let (mut got, mut reads) = (0, 0);
        while reads < reads_max {
            reads += 1;
            match bench.recv(server, 4096).count() {
                0 => break,
                count => got += count,
            }
        }
        bench.close(server);
        bench.equal(
            format!("{what}: bytes read/lost"),
            format!("{got}/{}", sent - got),
            expected,
        );
        let seen = bench.recv(client, 1);
        bench.equal(format!("{what}: what the client sees"), seen, end);
        bench.close_all();
    }
    Ok(())
}
