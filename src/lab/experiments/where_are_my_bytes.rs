//! When has a send arrived?

use std::io;

use crate::kernel::host::calls::{MSG_PEEK, MSG_TRUNC, Queue};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "where-are-my-bytes",
    question: "when send returns, where are the bytes?",
    scene: "A client sends 100 bytes and asks the server's socket at once how much is \
            unread, 1,000 times. Then 1,000 bytes are looked at, and thrown away.",
    why: "Over loopback the sender's call delivers: the bytes are in the receiver's queue \
            before send returns. Delivered is not acknowledged: the first ACKs are quick, \
            later ones are delayed by 40 ms. Sent, delivered and acknowledged are three \
            numbers. From Linux 4.9 to 6.4 a busy kernel may leave a packet to the thread \
            ksoftirqd, and then it arrives a little later.",
    read: "tcp(7) SIOCINQ and SIOCOUTQ, recv(2) MSG_PEEK and MSG_TRUNC",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    const ROUNDS: usize = 1000;
    let (client, server) = bench.pair()?;
    let mut visible = 0;
    bench.quietly(|bench| {
        for _ in 0..ROUNDS {
            bench.send(client, &[b'x'; 100]);
            visible += usize::from(bench.queued(server, Queue::Unread)? == 100);
            bench.recv(server, 100);
        }
        Ok::<_, io::Error>(())
    })?;
    let at_once = format!("sends of {ROUNDS} that were there at once");
    match bench.is_synchronous() {
        true => bench.equal(at_once, visible, ROUNDS),
        false => {
            let bound = "most: a busy kernel before Linux 6.5 delivers some later";
            bench.holds(at_once, visible, bound, visible > ROUNDS / 2);
        }
    }
    bench.close_all();

    bench.part("a look, and bytes thrown away");
    let (client, server) = bench.pair()?;
    bench.send(client, &[b'x'; 1000]);
    let unsent = bench.queued(client, Queue::Unsent)?;
    bench.equal("SIOCOUTQNSD of the client", unsent, 0);
    let unacknowledged = bench.queued(client, Queue::Unacknowledged)?;
    bench.show(
        "SIOCOUTQ of the client, which counts until the ACK",
        unacknowledged,
    );
    bench.recv_with(server, 1000, MSG_PEEK);
    let unread = bench.queued(server, Queue::Unread)?;
    bench.equal("SIOCINQ after MSG_PEEK", unread, 1000);
    bench.recv_with(server, 1000, MSG_TRUNC);
    let unread = bench.queued(server, Queue::Unread)?;
    bench.equal("SIOCINQ after MSG_TRUNC, which throws away", unread, 0);
    Ok(())
}
