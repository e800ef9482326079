//! Why is the last reply lost?

use std::io;

use crate::kernel::host::calls::{SHUT_WR, SO_SNDBUF, SOL_SOCKET};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "close-rst",
    question: "why does a client lose the last reply?",
    scene: "A client sends two requests. The server reads one, replies, and closes with the \
            other one unread: at once, or after it has ended its sending direction and read \
            the rest.",
    why: "A close with unread bytes sends RST instead of FIN. What is still in the send \
            buffer is thrown away, and the client's next call fails. Therefore: shut down \
            the sending direction, read until the peer ends its own, within a bound, then \
            close. A small reply may survive: an RST on Linux leaves what the client's \
            kernel already has.",
    read: "close(2), shutdown(2), RFC 1122 4.2.2.13; mynah help shutdown",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    const LARGE: usize = 262_144;
    for (size, lingers) in [(5, false), (5, true), (LARGE, false), (LARGE, true)] {
        let way = if lingers {
            "shut down, read, close"
        } else {
            "close at once"
        };
        bench.part(format!("a reply of {size} bytes, {way}"));
        let (client, server) = bench.pair()?;
        bench.set(server, SOL_SOCKET, SO_SNDBUF, 1 << 20)?;
        bench.send(client, b"req1");
        bench.send(client, b"req2");
        bench.recv(server, 4);
        let reply = vec![b'r'; size];
        bench.nonblocking(server)?;
        let written = bench.send(server, &reply).count();
        match lingers {
            true => {
                bench.shutdown(server, SHUT_WR);
            }
            false => bench.close(server),
        }
        let mut got = 0;
        let last = bench.quietly(|bench| {
            loop {
                let answer = bench.recv(client, 1 << 16);
                match answer.count() {
                    0 => break answer,
                    count => got += count,
                }
            }
        });
        let way = format!("{size} bytes, {way}");
        match (lingers, size) {
            (true, _) => bench.equal(
                format!("{way}: bytes, then"),
                format!("{got} {last}"),
                format!("{written} 0"),
            ),
            (false, 5) => bench.equal(
                format!("{way}: bytes, then"),
                format!("{got} {last}"),
                "5 ECONNRESET",
            ),
            (false, _) => bench.holds(
                format!("{way}: bytes, then"),
                format!("{got} {last}"),
                "fewer than were sent, then ECONNRESET",
                got < written && last.to_string() == "ECONNRESET",
            ),
        }
        if lingers {
            let rest = bench.recv(server, 64);
            bench.equal(format!("{way}: what the server still read"), rest, 4);
        }
        bench.close_all();
    }
    bench.part("a client that sends before it reads");
    let (client, server) = bench.pair()?;
    bench.send(client, b"req1req2");
    bench.recv(server, 4);
    bench.send(server, b"reply");
    bench.close(server);
    let sent = bench.send(client, b"req3");
    let first = bench.recv(client, 10);
    let second = bench.recv(client, 10);
    bench.equal(
        "send/recv/recv",
        format!("{sent}/{first}/{second}"),
        "ECONNRESET/5/0",
    );
    Ok(())
}
