//! How does a non-blocking connect end?

use std::io;

use crate::lab::bench::interest::{ALL, OUT};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "connect",
    question: "how does a program learn how a connect has ended?",
    scene: "A socket connects without blocking to a listener, to a port without a listener, \
            and to a listener whose queue is full.",
    why: "EINPROGRESS means that the kernel goes on alone. When the socket is writable, \
            the connect has ended, one way or the other: only SO_ERROR tells which. A \
            refused connect is writable and readable and has ERR and HUP. Reading SO_ERROR \
            takes the error away.",
    read: "connect(2) EINPROGRESS, socket(7) SO_ERROR",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    bench.part("a listener");
    let (_listener, port) = bench.listener(0)?;
    let open = bench.socket("client")?;
    bench.nonblocking(open)?;
    let begun = bench.connect(open, port);
    bench.equal("connect", begun, "EINPROGRESS");
    let mask = bench.mask_for(open, OUT)?;
    bench.equal("epoll at once", mask, "OUT");
    let error = bench.take_error(open)?;
    bench.equal("SO_ERROR", error, 0);
    let again = [(); 2]
        .map(|()| bench.connect(open, port).to_string())
        .join("/");
    bench.equal("connect twice more", again, "0/EISCONN");

    bench.part("a listener whose queue is full");
    let late = bench.socket("late")?;
    bench.nonblocking(late)?;
    let begun = bench.connect(late, port);
    bench.equal("connect", begun, "EINPROGRESS");
    let again = bench.connect(late, port);
    bench.equal("connect again", again, "EALREADY");
    let sent = bench.send(late, b"x");
    let read = bench.recv(late, 1);
    bench.equal("send/recv", format!("{sent}/{read}"), "EAGAIN/EAGAIN");
    let mask = bench.mask_for(late, OUT)?;
    bench.equal("epoll", mask, "0");
    bench.close_all();

    bench.part("a port without a listener");
    let (listener, port) = bench.listener(1)?;
    bench.close(listener);
    let refused = bench.socket("client")?;
    bench.nonblocking(refused)?;
    let begun = bench.connect(refused, port);
    bench.equal("connect", begun, "EINPROGRESS");
    let mask = bench.mask_for(refused, ALL)?;
    bench.equal("epoll at once", mask, "IN|OUT|ERR|HUP|RDHUP");
    let errors = format!(
        "{}/{}",
        bench.take_error(refused)?,
        bench.take_error(refused)?
    );
    bench.equal("SO_ERROR twice", errors, "ECONNREFUSED/0");
    let again = [(); 2]
        .map(|()| bench.connect(refused, port).to_string())
        .join("/");
    bench.equal("connect twice more", again, "ECONNABORTED/EINPROGRESS");

    bench.part("a socket that was never connected");
    let fresh = bench.socket("fresh")?;
    let read = bench.recv(fresh, 1);
    let sent = bench.send(fresh, b"x");
    bench.equal("recv/send", format!("{read}/{sent}"), "ENOTCONN/EPIPE");
    Ok(())
}
