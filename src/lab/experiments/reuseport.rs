//! Does SO_REUSEPORT share connections evenly?

use std::io;

use crate::kernel::host::calls::SO_REUSEPORT;
use crate::kernel::host::{descriptor_limit, open_descriptors};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "reuseport",
    question: "does SO_REUSEPORT share connections evenly?",
    scene: "Four listeners share one port, and up to 1,000 clients connect. Then each \
            listener accepts what is in its queue.",
    why: "The kernel hashes the addresses of each connection onto one listener. The counts \
            are those of a fair die: a deviation of 30 of 250 is common. The hash does not \
            look at the load: the queue of a slow listener waits for that listener alone.",
    read: "socket(7) SO_REUSEPORT; mynah help workers",
    play,
};

/// Clients; fewer under a low descriptor limit, because each costs two descriptors.
const CLIENTS: usize = 1000;
const LISTENERS: usize = 4;

fn play(bench: &mut Bench) -> io::Result<()> {
    let open = open_descriptors().unwrap_or(64);
    let free = descriptor_limit().map_or(0, |(soft, _)| soft.saturating_sub(open + 32));
    let clients = CLIENTS.min(free as usize / 2);
    if clients < CLIENTS {
        bench.skip(format!(
            "{clients} clients instead of {CLIENTS}: the descriptor limit is low"
        ));
    }
    let (first, _) = bench.listener_on(0, Some(SO_REUSEPORT))?;
    let port = bench.port(first)?;
    let mut listeners = vec![first];
    for _ in 1..LISTENERS {
        listeners.push(bench.listener_on(port, Some(SO_REUSEPORT))?.0);
    }
    bench
        .quietly(|bench| (0..clients).try_for_each(|_| bench.client("client", port).map(|_| ())))?;
    let mut counts = Vec::new();
    for &listener in &listeners {
        bench.nonblocking(listener)?;
        let count = bench.quietly(|bench| {
            let mut count = 0;
            while bench.try_accept(listener, "server").is_ok() {
                count += 1;
            }
            count
        });
        counts.push(count);
    }
    bench.show("accepted by each listener", format!("{counts:?}"));
    bench.equal("accepted in all", counts.iter().sum::<usize>(), clients);
    // Six standard deviations of a binomial distribution: 82 of 250.
    let mean = clients as f64 / LISTENERS as f64;
    let most = 6.0 * (mean * (1.0 - 1.0 / LISTENERS as f64)).sqrt();
    let deviation = counts
        .iter()
        .map(|&count| (count as f64 - mean).abs())
        .fold(0.0, f64::max);
    bench.holds(
        "the largest deviation from an even share",
        format!("{deviation:.0}"),
        &format!("at most {most:.0}, six standard deviations"),
        deviation <= most,
    );
    Ok(())
}
