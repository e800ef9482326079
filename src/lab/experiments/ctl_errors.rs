//! What does epoll_ctl refuse?

use std::io;

use crate::kernel::host::calls::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD};
use crate::kernel::host::{OWN_PROGRAM, calls};
use crate::lab::bench::interest::{EDGE, EXCLUSIVE, IN, ONESHOT, OUT, PRI, RDHUP};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "ctl-errors",
    question: "what does epoll_ctl refuse, and with which error?",
    scene: "Files, sockets and epolls are registered in ways that are wrong.",
    why: "A regular file is always ready, so epoll refuses it: EPERM. EPOLLEXCLUSIVE goes \
            with IN, OUT and ET alone, cannot be changed, and is EINVAL with RDHUP: a pause \
            of such a listener is DEL and ADD. An epoll in itself is EINVAL, a cycle of two \
            is ELOOP. Unknown bits are accepted in silence.",
    read: "epoll_ctl(2), ERRORS",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    let epoll = bench.epoll()?;
    let (client, server) = bench.pair()?;
    let file = bench.file(OWN_PROGRAM).map_err(|error| {
        let why = format!("{OWN_PROGRAM}: {error}; /proc must be mounted");
        io::Error::new(error.kind(), why)
    })?;
    let answer = bench.ctl(epoll, EPOLL_CTL_ADD, file, IN);
    bench.equal("a regular file", answer, "EPERM");
    bench.add(epoll, server, IN)?;
    for (what, operation, fd, events, expected) in [
        ("ADD twice", EPOLL_CTL_ADD, server, IN, "EEXIST"),
        (
            "MOD of an unknown descriptor",
            EPOLL_CTL_MOD,
            client,
            IN,
            "ENOENT",
        ),
        (
            "DEL of an unknown descriptor",
            EPOLL_CTL_DEL,
            client,
            0,
            "ENOENT",
        ),
        ("an epoll in itself", EPOLL_CTL_ADD, epoll, IN, "EINVAL"),
        ("an unknown operation", 9, server, IN, "EINVAL"),
        (
            "MOD to EXCLUSIVE",
            EPOLL_CTL_MOD,
            server,
            IN | EXCLUSIVE,
            "EINVAL",
        ),
        ("DEL", EPOLL_CTL_DEL, server, 0, "0"),
        (
            "EXCLUSIVE with ONESHOT",
            EPOLL_CTL_ADD,
            server,
            IN | EXCLUSIVE | ONESHOT,
            "EINVAL",
        ),
        (
            "EXCLUSIVE with RDHUP",
            EPOLL_CTL_ADD,
            server,
            IN | EXCLUSIVE | RDHUP,
            "EINVAL",
        ),
        (
            "EXCLUSIVE with PRI",
            EPOLL_CTL_ADD,
            server,
            IN | EXCLUSIVE | PRI,
            "EINVAL",
        ),
        (
            "EXCLUSIVE with OUT and ET",
            EPOLL_CTL_ADD,
            server,
            IN | OUT | EXCLUSIVE | EDGE,
            "0",
        ),
        (
            "MOD of an EXCLUSIVE registration",
            EPOLL_CTL_MOD,
            server,
            IN,
            "EINVAL",
        ),
        ("DEL of it", EPOLL_CTL_DEL, server, 0, "0"),
        ("an unknown bit", EPOLL_CTL_ADD, server, IN | 1 << 20, "0"),
        ("an epoll that is none", EPOLL_CTL_ADD, client, IN, ""),
    ] {
        let answer = match expected {
            "" => {
                let answer = bench.ctl(client, operation, server, events);
                bench.equal(what, answer, "EINVAL");
                continue;
            }
            _ => bench.ctl(epoll, operation, fd, events),
        };
        bench.equal(what, answer, expected);
    }
    let inner = bench.epoll_named("inner")?;
    let nested = bench.ctl(epoll, EPOLL_CTL_ADD, inner, IN);
    bench.equal("an epoll in another", nested, 0);
    let cycle = bench.ctl(inner, EPOLL_CTL_ADD, epoll, IN);
    bench.equal("a cycle of two", cycle, "ELOOP");
    bench.close(server);
    let answer = bench.ctl(epoll, calls::EPOLL_CTL_ADD, server, IN);
    bench.equal("a closed descriptor", answer, "EBADF");
    Ok(())
}
