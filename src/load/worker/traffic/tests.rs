use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process;

use super::*;
use crate::kernel::Linux;
use crate::load::plan::{Plan, Protocol};
use crate::load::run::control::{Board, Control};
use crate::load::worker::Worker;

#[test]
fn a_server_that_never_pauses_is_left_for_the_others_and_returned_to() {
    let name = format!("mynah-flood-{}", process::id());
    let place = SocketAddr::from_abstract_name(&name).expect("a short name");
    let listener = UnixListener::bind_addr(&place).expect("a name of its own");
    let plan = Plan {
        protocol: Protocol::Http,
        connections: 1,
        ..Plan::default()
    };
    let target = format!("unix:@{name}").parse().expect("an address");
    let script = plan.script(&target).expect("a short path");
    let (control, board) = (Control::default(), Board::default());
    let job = Job {
        plan: &plan,
        script: &script,
        target: &target,
        control: &control,
        board: &board,
        index: 0,
    };
    let kernel = Linux::new(false).expect("epoll");
    let mut worker = Worker::new(kernel, job).expect("it is small");
    while worker.lifetime.traffic().slots().open() == 0 {
        worker.turn().expect("there is a listener");
    }
    let (mut server, _) = listener.accept().expect("it has connected");
    let traffic = worker.lifetime.traffic_mut();
    traffic.slots.connection_mut(0).begin(&script);
    // The data takes three turns: a turn reads the buffer at most READS_PER_EVENT times.
    traffic.space.truncate(64);
    let flood = vec![b'y'; (READS_PER_EVENT * 3 - 1) * traffic.space.len()];
    server
        .write_all(b"HTTP/1.1 200 OK\r\nX: ")
        .and_then(|()| server.write_all(&flood))
        .expect("the kernel has room");
    let left = |worker: &mut Worker<'_, Linux>| {
        let slots = worker.lifetime.traffic_mut().slots_mut();
        let read = slots.read(0, &mut [0]);
        read.expect("the connection stands").is_ok()
    };
    worker.turn().expect("all is well");
    assert!(left(&mut worker), "one turn took all of it");
    worker.turn().expect("all is well");
    assert!(left(&mut worker), "two turns took all of it");
    for _ in 0..2 {
        worker.turn().expect("all is well");
    }
    assert!(!left(&mut worker), "the worker did not return for the rest");
}
