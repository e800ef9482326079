//! What does a server do that has no descriptor left?

use std::io;

use crate::kernel::host::calls;
use crate::lab::bench::interest::IN;
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "emfile",
    question: "what happens to connections when no descriptor is left?",
    scene: "A child with a limit of 64 descriptors accepts from a queue of 100 connections \
            until accept fails. Then it looks whether the listener is still ready. Then it \
            gives up a spare descriptor for each connection, accepts, closes, and takes the \
            spare again.",
    why: "EMFILE does not take the connection from the queue, so a level-triggered loop \
            reports the listener for ever: 100 % CPU for nothing. Pause the listener until a \
            descriptor is free, or keep one in reserve to shed connections, whose clients \
            then see the end of the stream.",
    read: "accept(2) EMFILE, getrlimit(2); mynah help limits",
    play,
};

const CLIENTS: usize = 100;
const LIMIT: u64 = 64;

fn play(bench: &mut Bench) -> io::Result<()> {
    let (listener, port) = bench.listener(256)?;
    bench.nonblocking(listener)?;
    let (reader, writer) = bench.pipe()?;
    let clients = bench.quietly(|bench| {
        (0..CLIENTS)
            .map(|_| bench.client("client", port))
            .collect::<io::Result<Vec<_>>>()
    })?;
    bench.part("in a child");
    let end = bench.in_child(|bench| {
        for &client in &clients {
            bench.close(client);
        }
        let counts = accept_all(bench, listener).unwrap_or([0; 5]);
        for count in counts {
            bench.write_number(writer, count);
        }
        0
    })?;
    bench.equal("the child", format!("{end:?}"), "Exit(0)");
    let mut told = [0; 5];
    for value in &mut told {
        *value = bench.read_number(reader).count() as u64;
    }
    let [open, accepted, errors, ready, shed] = told;
    bench.equal("descriptors open before + accepted", open + accepted, LIMIT);
    bench.equal("accepts that then failed with EMFILE, of 5", errors, 5);
    bench.equal("the listener is still ready after each", ready, 5);
    bench.equal(
        "accepted + shed with the spare descriptor",
        accepted + shed,
        CLIENTS,
    );
    Ok(())
}

/// Descriptors open before, connections accepted, accepts that failed, waits that reported the
/// listener after a failure, connections shed.
fn accept_all(bench: &mut Bench, listener: crate::lab::bench::Fd) -> io::Result<[u64; 5]> {
    let epoll = bench.epoll()?;
    bench.add(epoll, listener, IN)?;
    let spare = bench.eventfd(false)?;
    // A number above the limit that was inherited does not count against it.
    let open = (0..LIMIT as i32)
        .filter(|&number| calls::is_open(number))
        .count() as u64;
    calls::limit_descriptors(LIMIT)?;
    let mut accepted = 0;
    while bench.try_accept(listener, "server").is_ok() {
        accepted += 1;
    }
    let (mut errors, mut ready) = (0, 0);
    for _ in 0..5 {
        let answer = bench.try_accept(listener, "server").err();
        errors += u64::from(answer.is_some_and(|answer| answer.to_string() == "EMFILE"));
        ready += bench.look(epoll)?.len() as u64;
    }
    let (mut shed, mut spare) = (0, spare);
    loop {
        bench.close(spare);
        match bench.try_accept(listener, "shed") {
            Ok(connection) => bench.close(connection),
            Err(_) => break,
        }
        shed += 1;
        spare = bench.eventfd(false)?;
    }
    Ok([open, accepted, errors, ready, shed])
}
