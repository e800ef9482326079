//! What is different about datagrams?

use std::io;

use crate::kernel::host::calls;
use crate::kernel::host::calls::{MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, Queue, SO_RCVBUF, SOL_SOCKET};
use crate::lab::bench::interest::{ALL, IN};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "udp",
    question: "what does a datagram socket do that a stream does not?",
    scene: "Datagrams of 100 bytes, of none, and of the largest size; a buffer that is too \
            small; a port without a socket; a receive buffer that is full.",
    why: "A datagram is read whole or cut: what does not fit into the buffer is gone. An \
            empty datagram is read as 0, which is no end. A refused datagram is reported \
            later, once, and only to a connected socket. A full buffer drops in silence, and \
            the sender sees success.",
    read: "udp(7), recv(2) MSG_TRUNC; mynah help datagrams",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    bench.part("sizes");
    let server = bench.datagrams("server")?;
    bench.bind(server, 0);
    let port = calls::port(server.number)?;
    let client = bench.datagrams("client")?;
    bench.connect(client, port);
    bench.send(client, &[b'x'; 100]);
    let (count, is_cut) = bench.recvmsg(server, 10);
    bench.equal(
        "recvmsg of 10 bytes: count, MSG_TRUNC",
        format!("{count}, {is_cut}"),
        "10, true",
    );
    let rest = bench.recv_with(server, 100, MSG_DONTWAIT);
    bench.equal("the rest", rest, "EAGAIN");
    bench.send(client, &[b'x'; 100]);
    let size = bench.recv_with(server, 0, MSG_PEEK | MSG_TRUNC);
    bench.equal("the size, by a look at nothing", size, 100);
    bench.recv(server, 100);
    bench.send(client, b"");
    let mask = bench.mask_for(server, IN)?;
    let read = bench.recv(server, 100);
    bench.equal(
        "an empty datagram: event, recv",
        format!("{mask}, {read}"),
        "IN, 0",
    );
    for _ in 0..3 {
        bench.send(client, b"abc");
    }
    let first = bench.queued(server, Queue::Unread)?;
    bench.equal("SIOCINQ of three datagrams shows the first", first, 3);
    let largest = bench.send(client, &vec![b'x'; 65_507]);
    let larger = bench.send(client, &vec![b'x'; 65_508]);
    bench.equal(
        "65,507 and 65,508 bytes",
        format!("{largest}/{larger}"),
        "65507/EMSGSIZE",
    );
    bench.close_all();

    bench.part("a port without a socket");
    let gone = bench.datagrams("gone")?;
    bench.bind(gone, 0);
    let port = calls::port(gone.number)?;
    bench.close(gone);
    let client = bench.datagrams("client")?;
    bench.connect(client, port);
    let first = bench.send(client, b"x");
    let mask = bench.mask_for(client, ALL)?;
    let second = bench.send(client, b"x");
    bench.equal(
        "send/event/send",
        format!("{first}/{mask}/{second}"),
        "1/OUT|ERR/ECONNREFUSED",
    );
    bench.close_all();

    bench.part("a full receive buffer");
    let server = bench.datagrams("server")?;
    bench.set(server, SOL_SOCKET, SO_RCVBUF, 1)?;
    bench.bind(server, 0);
    let port = calls::port(server.number)?;
    let client = bench.datagrams("client")?;
    bench.connect(client, port);
    let (mut sent, mut received) = (0, 0);
    bench.quietly(|bench| {
        for _ in 0..100 {
            sent += usize::from(!bench.send(client, b"x").is_error());
        }
        while !bench.recv_with(server, 8, MSG_DONTWAIT).is_error() {
            received += 1;
        }
    });
    bench.equal("sends that succeeded of 100", sent, 100);
    bench.holds(
        "datagrams that were received",
        received,
        "fewer than 100",
        received < 100,
    );
    Ok(())
}
