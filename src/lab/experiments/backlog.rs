//! What is the backlog?

use std::io;

use crate::lab::bench::{Fd, state_text};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "backlog",
    question: "how many connections fit into a backlog of N?",
    scene: "20 clients connect without blocking to a listener that accepts nothing. The \
            backlog is 8, 0, and 1.",
    why: "The kernel keeps N + 1 established connections. The SYN of a further client is \
            dropped, and the client sends it again after 1, 2, 3 s and so on: to that client \
            the server is slow, not full. accept(2) makes room but wakes no waiting client. \
            TCP_INFO of the listener shows the length of the queue and its bound, as ss(8) \
            does.",
    read: "listen(2), tcp(7), ss(8); somaxconn in proc_sys_net(5)",
    play,
};

const CLIENTS: usize = 20;

fn play(bench: &mut Bench) -> io::Result<()> {
    for backlog in [8, 0, 1] {
        bench.part(format!("listen({backlog})"));
        let (listener, port) = bench.listener(backlog)?;
        let clients = bench.quietly(|bench| {
            let connect = |_| -> io::Result<Fd> {
                let client = bench.socket("client")?;
                bench.nonblocking(client)?;
                bench.connect(client, port);
                Ok(client)
            };
            (0..CLIENTS).map(connect).collect::<io::Result<Vec<_>>>()
        })?;
        let mut states = [0; 16];
        bench.quietly(|bench| {
            for &client in &clients {
                states[usize::from(bench.tcp_info(client)?.state & 15)] += 1;
            }
            Ok::<_, io::Error>(())
        })?;
        let fit = backlog as usize + 1;
        let of = |name: &str| {
            let rows = (0..16_u8).filter(|&state| state_text(state) == name);
            rows.map(|state| states[usize::from(state)]).sum::<usize>()
        };
        bench.equal(
            format!("backlog {backlog}: ESTABLISHED/SYN_SENT of {CLIENTS}"),
            format!("{}/{}", of("ESTABLISHED"), of("SYN_SENT")),
            format!("{fit}/{}", CLIENTS - fit),
        );
        let info = bench.tcp_info(listener)?;
        bench.equal(
            format!("backlog {backlog}: queue/bound in TCP_INFO of the listener"),
            format!("{}/{}", info.unacknowledged, info.queue_max),
            format!("{fit}/{backlog}"),
        );
        bench.close_all();
    }
    Ok(())
}
