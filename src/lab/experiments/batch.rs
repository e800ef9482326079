//! What does the number of events of one wait change?

use std::io;

use crate::kernel::host::{descriptor_limit, open_descriptors};
use crate::lab::bench::{Fd, interest::IN};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "batch",
    question: "can a small batch starve a socket, and in which order do events come?",
    scene: "Many sockets are ready at once, and waits return 1, 10, 64 and 1024 events. Then \
            six sockets become ready in a known order, and nothing is read.",
    why: "epoll keeps a list of what is ready, in the order in which it became ready, not \
            by number. A level-triggered socket goes to the end of the list after it was \
            reported, so that a small batch starves none. A large batch saves system calls, \
            nothing else.",
    read: "epoll_wait(2), epoll(7) on starvation",
    play,
};

/// Socket pairs to have ready; fewer under a low descriptor limit.
const PAIRS: usize = 1000;

fn play(bench: &mut Bench) -> io::Result<()> {
    let open = open_descriptors().unwrap_or(64);
    let free = descriptor_limit().map_or(0, |(soft, _)| soft.saturating_sub(open + 16));
    let count = PAIRS.min(free as usize / 2);
    if count < PAIRS {
        bench.skip(format!(
            "{count} pairs instead of {PAIRS}: the descriptor limit is low"
        ));
    }
    bench.part(format!("{count} ready sockets"));
    let pairs = bench.quietly(|bench| {
        (0..count)
            .map(|_| bench.local_pair())
            .collect::<io::Result<Vec<_>>>()
    })?;
    for room in [1, 10, 64, 1024] {
        let waits = bench.quietly(|bench| drain(bench, &pairs, room))?;
        bench.equal(
            format!("waits with room for {room}"),
            waits,
            count.div_ceil(room),
        );
    }
    bench.close_all();

    bench.part("six ready sockets, two events a wait, nothing is read");
    let pairs = (0..6)
        .map(|_| bench.local_pair())
        .collect::<io::Result<Vec<_>>>()?;
    let epoll = bench.epoll()?;
    for (near, _) in &pairs {
        bench.add(epoll, *near, IN)?;
    }
    for (_, far) in pairs.iter().rev() {
        bench.send(*far, b"x");
    }
    let mut order = String::new();
    for wait in 0..6 {
        if wait > 0 {
            order.push(' ');
        }
        for (_, data) in bench.wait_with_data(epoll, 2, 0)? {
            let place = pairs
                .iter()
                .position(|(near, _)| near.number as u64 == data);
            order.push_str(&place.map_or_else(|| "?".to_owned(), |place| place.to_string()));
        }
    }
    bench.equal("the order of events", order, "54 32 10 54 32 10");
    Ok(())
}

/// Makes all pairs ready, and waits and reads until none is. Returns the number of waits.
fn drain(bench: &mut Bench, pairs: &[(Fd, Fd)], room: usize) -> io::Result<usize> {
    let epoll = bench.epoll()?;
    for &(near, far) in pairs {
        bench.add(epoll, near, IN)?;
        bench.send(far, b"x");
    }
    let mut waits = 0;
    loop {
        let events = bench.wait_with_data(epoll, room, 0)?;
        if events.is_empty() {
            break;
        }
        waits += 1;
        for (_, data) in events {
            if let Some(&(near, _)) = pairs.iter().find(|pair| pair.0.number as u64 == data) {
                bench.recv(near, 8);
            }
        }
    }
    bench.close(epoll);
    Ok(waits)
}
