//! Why does a server with write interest always on use a whole processor?

use std::io;

use crate::lab::bench::interest::{EDGE, IN, OUT};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "epollout-spin",
    question: "what does write interest cost when nothing is to be written?",
    scene: "An idle connection is waited for 20,000 times at most, with write interest \
            always on, only on demand, and edge-triggered.",
    why: "An idle socket can nearly always be written to. Level-triggered epoll reports \
            that state in every wait, so the loop never sleeps. Ask for OUT only after a \
            send was refused, and take the interest away once everything is sent.",
    read: "epoll(7), epoll_ctl(2)",
    play,
};

const WAITS: usize = 20_000;

fn play(bench: &mut Bench) -> io::Result<()> {
    for (what, events, expected) in [
        ("level with IN and OUT", IN | OUT, WAITS),
        ("level with IN", IN, 0),
        ("edge with IN and OUT", IN | OUT | EDGE, 1),
    ] {
        bench.part(what);
        let (_client, server) = bench.pair()?;
        let epoll = bench.epoll()?;
        bench.add(epoll, server, events)?;
        let mut wakes = bench.look(epoll)?.len();
        wakes += bench.quietly(|bench| {
            (1..WAITS).try_fold(0, |wakes, _| {
                Ok::<_, io::Error>(wakes + bench.look(epoll)?.len())
            })
        })?;
        bench.equal(format!("{what}: events in {WAITS} waits"), wakes, expected);
        bench.close_all();
    }
    Ok(())
}
