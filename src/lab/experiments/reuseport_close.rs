//! Does a restart with SO_REUSEPORT lose connections?

use std::fs;
use std::io;

use crate::kernel::Readiness;
use crate::kernel::host::calls::SO_REUSEPORT;
use crate::kernel::host::proc;
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "reuseport-close",
    question: "does closing one of two SO_REUSEPORT listeners lose connections?",
    scene: "Two listeners share a port, and 40 clients connect. One listener is closed with \
            its queue unread.",
    why: "A connection in a queue belongs to its listener, and the kernel resets it when \
            that listener is closed. The sysctl net.ipv4.tcp_migrate_req moves the queue to \
            another listener of the port. Without it, a worker must accept its queue before \
            it closes its listener.",
    read: "socket(7) SO_REUSEPORT; tcp_migrate_req in the kernel's ip-sysctl; mynah help \
            workers",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    const CLIENTS: usize = 40;
    let (stays, _) = bench.listener_on(0, Some(SO_REUSEPORT))?;
    let port = bench.port(stays)?;
    let (leaves, _) = bench.listener_on(port, Some(SO_REUSEPORT))?;
    let clients = bench.quietly(|bench| {
        (0..CLIENTS)
            .map(|_| bench.client("client", port))
            .collect::<io::Result<Vec<_>>>()
    })?;
    let queued = bench.tcp_info(leaves)?.unacknowledged as usize;
    let before = bench.tcp_info(stays)?.unacknowledged as usize;
    bench.equal("connections in both queues", queued + before, CLIENTS);
    bench.close(leaves);
    let mut reset = 0;
    bench.quietly(|bench| {
        for &client in &clients {
            reset += usize::from(bench.mask(client)?.has(Readiness::ERR));
        }
        Ok::<_, io::Error>(())
    })?;
    let moved = bench.tcp_info(stays)?.unacknowledged as usize - before;
    let path = proc("sys/net/ipv4/tcp_migrate_req");
    let migrates = fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
    bench.show("net.ipv4.tcp_migrate_req", u8::from(migrates));
    let expected = if migrates { (0, queued) } else { (queued, 0) };
    bench.equal(
        "reset/moved to the other listener",
        format!("{reset}/{moved}"),
        format!("{}/{}", expected.0, expected.1),
    );
    Ok(())
}
