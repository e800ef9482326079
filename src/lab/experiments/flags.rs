//! Which events for which state?

use std::io;

use crate::kernel::host::calls::{self, MSG_DONTWAIT, MSG_OOB, SHUT_RD, SHUT_RDWR, SHUT_WR};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "flags",
    question: "which events does epoll report for which state of a socket?",
    scene: "A socket is brought into each state, and a fresh level-triggered epoll is asked \
            for IN, OUT, RDHUP and PRI.",
    why: "RDHUP is the peer's end of stream, HUP is both ends or a reset, ERR is a pending \
            error. HUP and ERR come unasked. A TCP peer that closes gives no HUP, a local \
            one does. A socket that was reset reports IN, OUT, HUP and RDHUP for ever: close \
            it.",
    read: "epoll_ctl(2), poll(2), tcp(7)",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    before_a_connection(bench)?;
    open_and_ended(bench)?;
    reset(bench)?;
    others(bench)
}

/// The events of `fd` have to be these.
fn expect(bench: &mut Bench, what: &str, fd: crate::lab::bench::Fd, mask: &str) -> io::Result<()> {
    let measured = bench.mask(fd)?;
    bench.equal(what, measured, mask);
    Ok(())
}

fn before_a_connection(bench: &mut Bench) -> io::Result<()> {
    bench.part("before a connection");
    let fresh = bench.socket("fresh")?;
    expect(bench, "a fresh socket", fresh, "OUT|HUP")?;
    let (listener, port) = bench.listener(0)?;
    expect(bench, "an idle listener", listener, "0")?;
    bench.client("client", port)?;
    expect(bench, "a listener with a connection", listener, "IN")?;
    let waiting = bench.socket("waiting")?;
    bench.nonblocking(waiting)?;
    bench.connect(waiting, port);
    expect(
        bench,
        "SYN_SENT: the queue of the listener is full",
        waiting,
        "0",
    )?;
    bench.close_all();
    let (listener, port) = bench.listener(1)?;
    bench.close(listener);
    let refused = bench.socket("refused")?;
    bench.nonblocking(refused)?;
    bench.connect(refused, port);
    expect(bench, "a refused connect", refused, "IN|OUT|ERR|HUP|RDHUP")?;
    bench.take_error(refused)?;
    expect(
        bench,
        "the same after SO_ERROR",
        refused,
        "IN|OUT|HUP|RDHUP",
    )?;
    bench.close_all();
    Ok(())
}

fn open_and_ended(bench: &mut Bench) -> io::Result<()> {
    bench.part("a connection and its ends");
    let (client, server) = bench.pair()?;
    expect(bench, "an idle connection", server, "OUT")?;
    bench.send(client, b"x");
    expect(bench, "bytes", server, "IN|OUT")?;
    bench.shutdown(client, SHUT_WR);
    expect(bench, "bytes and the peer's end", server, "IN|OUT|RDHUP")?;
    bench.recv(server, 10);
    expect(bench, "the peer's end alone", server, "IN|OUT|RDHUP")?;
    expect(bench, "our own end alone", client, "OUT")?;
    bench.shutdown(server, SHUT_WR);
    expect(bench, "both ends", server, "IN|OUT|HUP|RDHUP")?;
    expect(
        bench,
        "both ends, at the other side",
        client,
        "IN|OUT|HUP|RDHUP",
    )?;
    bench.close_all();

    let (client, server) = bench.pair()?;
    bench.close(client);
    expect(bench, "the peer has closed", server, "IN|OUT|RDHUP")?;
    bench.close_all();

    let (client, server) = bench.pair()?;
    bench.shutdown(server, SHUT_RD);
    expect(bench, "our own SHUT_RD", server, "IN|OUT|RDHUP")?;
    bench.send(client, b"late");
    let read = bench.recv_with(server, 10, MSG_DONTWAIT);
    bench.equal("bytes sent after SHUT_RD are read", read, 4);
    bench.close_all();

    let (client, server) = bench.pair()?;
    bench.shutdown(server, SHUT_RDWR);
    expect(bench, "our own SHUT_RDWR", server, "IN|OUT|HUP|RDHUP")?;
    expect(bench, "the peer of it", client, "IN|OUT|RDHUP")?;
    bench.close_all();
    Ok(())
}

fn reset(bench: &mut Bench) -> io::Result<()> {
    bench.part("resets");
    let (client, server) = bench.pair()?;
    bench.send(server, b"x");
    bench.close(client);
    expect(
        bench,
        "the peer has closed with unread bytes",
        server,
        "IN|OUT|ERR|HUP|RDHUP",
    )?;
    let error = bench.take_error(server)?;
    bench.equal("SO_ERROR", error, "ECONNRESET");
    expect(bench, "the same after SO_ERROR", server, "IN|OUT|HUP|RDHUP")?;
    bench.close_all();

    let (client, server) = bench.pair()?;
    bench.send(client, b"abc");
    bench.reset_on_close(client)?;
    bench.close(client);
    expect(bench, "bytes, then a reset", server, "IN|OUT|ERR|HUP|RDHUP")?;
    let reads = [(); 2]
        .map(|()| bench.recv(server, 10).to_string())
        .join("/");
    bench.equal("two recvs", reads, "3/ECONNRESET");
    bench.close_all();
    Ok(())
}

fn others(bench: &mut Bench) -> io::Result<()> {
    bench.part("a full send buffer and an urgent byte");
    let (_client, server) = bench.pair()?;
    bench.fill(server, 1 << 16);
    expect(bench, "a full send buffer", server, "0")?;
    bench.close_all();
    let (client, server) = bench.pair()?;
    bench.send_with(client, b"u", MSG_OOB);
    expect(bench, "an urgent byte", server, "PRI|OUT")?;
    bench.close_all();

    bench.part("datagrams, pipes, local sockets");
    let gone = bench.datagrams("gone")?;
    bench.bind(gone, 0);
    let port = calls::port(gone.number)?;
    bench.close(gone);
    let datagrams = bench.datagrams("datagrams")?;
    expect(bench, "a fresh datagram socket", datagrams, "OUT")?;
    bench.connect(datagrams, port);
    bench.send(datagrams, b"x");
    expect(bench, "a refused datagram", datagrams, "OUT|ERR")?;
    let (reader, writer) = bench.pipe()?;
    bench.close(reader);
    expect(bench, "a pipe without a reader", writer, "OUT|ERR")?;
    let (reader, writer) = bench.pipe()?;
    bench.close(writer);
    expect(bench, "a pipe without a writer", reader, "HUP")?;
    let (near, far) = bench.local_pair()?;
    bench.close(far);
    expect(
        bench,
        "a local socket whose peer has closed",
        near,
        "IN|OUT|HUP|RDHUP",
    )?;
    let (near, far) = bench.local_pair()?;
    bench.send(near, b"x");
    bench.close(far);
    expect(
        bench,
        "the same with unread bytes",
        near,
        "IN|OUT|ERR|HUP|RDHUP",
    )?;
    Ok(())
}
