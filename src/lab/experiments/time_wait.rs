//! Why does a restarted server get EADDRINUSE?

use std::io;

use crate::kernel::host::calls::SO_REUSEADDR;
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "time-wait",
    question: "why does a restarted server get EADDRINUSE?",
    scene: "A server closes its connection first, then its listener, and a new listener \
            takes the port: with and without SO_REUSEADDR on the old and the new one. Then \
            the client closes first, and the server resets.",
    why: "The side that closes first keeps the connection in TIME_WAIT for a minute, and \
            its port with it. SO_REUSEADDR allows a listener beside it only if the old \
            listener had it too: setting it on the restart alone is too late. A reset leaves \
            no TIME_WAIT.",
    read: "socket(7) SO_REUSEADDR, tcp(7), RFC 9293 3.6.1",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let option = |on: bool| on.then_some(SO_REUSEADDR);
    for (old, new, expected) in [
        (false, false, "EADDRINUSE"),
        (true, false, "EADDRINUSE"),
        (false, true, "EADDRINUSE"),
        (true, true, "0"),
    ] {
        let what = format!(
            "SO_REUSEADDR on the old/new listener: {}/{}",
            u8::from(old),
            u8::from(new)
        );
        bench.part(what.as_str());
        let (listener, _) = bench.listener_on(0, option(old))?;
        let port = bench.port(listener)?;
        let client = bench.client("client", port)?;
        let server = bench.accept(listener, "server")?;
        bench.close(server);
        bench.close(client);
        bench.close(listener);
        let (_, answer) = bench.listener_on(port, option(new))?;
        bench.equal(what, answer, expected);
        bench.close_all();
    }
    for (what, resets) in [
        ("the client closes first", false),
        ("the server resets", true),
    ] {
        bench.part(what);
        let (listener, _) = bench.listener_on(0, None)?;
        let port = bench.port(listener)?;
        let client = bench.client("client", port)?;
        let server = bench.accept(listener, "server")?;
        if resets {
            bench.reset_on_close(server)?;
            bench.close(server);
            bench.close(client);
        } else {
            bench.close(client);
            bench.close(server);
        }
        bench.close(listener);
        let (_, answer) = bench.listener_on(port, None)?;
        bench.equal(format!("{what}: a new listener"), answer, 0);
        bench.close_all();
    }
    bench.part("a listener that is open");
    let (listener, _) = bench.listener_on(0, Some(SO_REUSEADDR))?;
    let port = bench.port(listener)?;
    let (_, answer) = bench.listener_on(port, Some(SO_REUSEADDR))?;
    bench.equal(
        "a second one with SO_REUSEADDR on both",
        answer,
        "EADDRINUSE",
    );
    Ok(())
}
