//! Connection ends that cross with a request, step by step.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::base::time::Time;
use crate::kernel::{Address, Linux, Readiness};
use crate::load::plan::{Plan, Until};
use crate::load::run::control::{Board, Control};
use crate::load::worker::slots::Stage;
use crate::load::worker::tally::Tally;
use crate::load::worker::window::Phase;
use crate::load::worker::{Job, Worker};

/// What the server does with the second request, or before it.
type Ending = fn(TcpStream, &mut dyn FnMut());

/// Runs a connection that has had one echo and then meets `ending`, and returns its counts and
/// stage. `ending` calls its second argument to let the second request be sent.
fn after(ending: Ending) -> (Tally, Stage, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = Address::Tcp(listener.local_addr().expect("it is bound"));
    let plan = Plan {
        connections: 1,
        until: Until::Requests(2),
        ..Plan::default()
    };
    let script = plan.script(&target).expect("raw takes all");
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
    let lifetime = &mut worker.lifetime;
    let (start, end) = (lifetime.traffic().now(), Time::NEVER);
    let ledger = lifetime.traffic_mut().ledger_mut();
    ledger.enter(Phase::Loading { start, end });
    ledger.grant(1);
    let token = lifetime.traffic().slots().token(0);
    let mut request = [0; 64];
    lifetime.traffic_mut().converse(0, 1).expect("it stands");
    server.read_exact(&mut request).expect("it was asked");
    server.write_all(&request).expect("it stands");
    lifetime.ready(token, Readiness::IN).expect("an echo");
    let ledger = lifetime.traffic_mut().ledger_mut();
    assert_eq!((ledger.tally().answered, ledger.in_flight()), (1, 0));
    ledger.grant(1);
    ending(server, &mut || {
        let said = lifetime.traffic_mut().converse(0, 1);
        said.or_else(|cause| lifetime.lose(0, cause))
            .expect("one connection is no run");
    });
    let ended = Readiness::IN | Readiness::RDHUP;
    lifetime
        .ready(token, ended)
        .expect("one connection is no run");
    let traffic = worker.lifetime.into_traffic();
    let (stage, in_flight) = (traffic.slots().stage(0), traffic.ledger().in_flight());
    (traffic.into_ledger().into_tally(), stage, in_flight)
}

#[test]
fn an_echo_request_that_crossed_with_the_end_of_its_connection_is_said_again() {
    let (tally, stage, in_flight) = after(|server, ask| {
        drop(server);
        ask();
    });
    assert_eq!((tally.errors.total(), in_flight), (0, 1));
    assert_eq!(stage, Stage::Connecting);
}

#[test]
fn an_echo_request_that_has_arrived_and_is_not_answered_has_failed() {
    let read_and_end: Ending = |mut server, ask| {
        ask();
        server.read_exact(&mut [0; 64]).expect("it was asked");
        drop(server);
    };
    // Unread data in the server's receive buffer turns its close into a reset.
    let end_unread: Ending = |server, ask| {
        ask();
        drop(server);
    };
    for ending in [read_and_end, end_unread] {
        let (tally, stage, in_flight) = after(ending);
        assert_eq!((tally.errors.failed, tally.errors.total()), (1, 1));
        assert_eq!((stage, in_flight), (Stage::Closed, 0));
    }
}
