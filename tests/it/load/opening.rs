//! Opening of connections: which connects are timed, and what a full listen queue means.
//!
//! On a local socket, connect(2) fails with EAGAIN if the queue is full; the generator retries
//! until the connect time-out. Man pages: connect(2), unix(7).

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::plan::{Plan, Until};
use mynah::load::run::RunError;
use socket2::{Domain, SockAddr, Socket, Type};

use super::peer;
use super::runs::{assert_whole, brief, in_few_runs, load, plan};

#[test]
fn only_connections_of_the_load_are_timed() {
    let server = Address::Tcp(peer::tcp(peer::echo));
    let outcome = load(
        &Plan {
            idle: 7,
            ..plan(100)
        },
        server,
    )
    .expect("the server is there");
    let tally = &outcome.tally;
    assert_eq!((tally.connect.count(), tally.connections), (5, 12));
}

#[test]
fn under_churn_connections_of_the_warm_up_are_not_timed() {
    let server = Address::Tcp(peer::tcp(peer::echo));
    let plan = Plan {
        churn: true,
        warmup: Duration::from_millis(100),
        until: Until::Time(Duration::from_millis(100)),
        ..plan(1)
    };
    in_few_runs(|| {
        let outcome = load(&plan, server.clone()).expect("the server is there");
        let tally = outcome.tally;
        assert!(tally.connect.count() <= tally.answered + 5, "{tally:?}");
        let has_both = tally.connect.count() > 0 && tally.connections > tally.connect.count();
        has_both.then_some(()).ok_or_else(|| brief(&tally))
    });
}

/// A local listener whose queue has room for one connection, and its path.
pub(crate) fn narrow(name: &str) -> (UnixListener, Address) {
    let path = std::env::temp_dir().join(format!("mynah-load-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    let address = SockAddr::unix(&path).expect("a short path");
    socket.bind(&address).expect("a fresh path");
    socket.listen(0).expect("it is bound");
    let address = format!("unix:{}", path.display()).parse();
    (
        UnixListener::from(OwnedFd::from(socket)),
        address.expect("an address"),
    )
}

#[test]
fn a_full_queue_is_tried_again_and_nothing_is_lost() {
    let (listener, address) = narrow("slow");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || peer::echo(stream));
            thread::sleep(Duration::from_millis(2));
        }
    });
    for churn in [false, true] {
        let plan = Plan {
            connections: 8,
            churn,
            ..plan(60)
        };
        let outcome = load(&plan, address.clone()).expect("the server is there");
        assert_whole(&outcome, 60);
    }
}

#[test]
fn a_queue_that_stays_full_is_the_answer_to_the_whole_run() {
    let (_listener, address) = narrow("full");
    let plan = Plan {
        connect_timeout: Some(Duration::from_millis(200)),
        ..plan(10)
    };
    match load(&plan, address) {
        Err(RunError::Target(line)) => assert!(line.contains("its queue is full"), "{line}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_a_full_queue_held_up_to_the_end_is_unfinished() {
    let plan = Plan {
        connections: 4,
        churn: true,
        until: Until::Time(Duration::from_millis(200)),
        ..plan(1)
    };
    in_few_runs(|| {
        let (listener, address) = narrow("stuck");
        // The server accepts one connection; the next one stays in the queue.
        thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection comes");
            peer::echo(stream);
            thread::sleep(Duration::from_secs(60));
        });
        let tally = load(&plan, address).expect("the server is there").tally;
        assert_eq!(tally.errors.total(), 0, "{tally:?}");
        match (tally.answered, tally.unfinished) {
            (1, 4) => Ok(()),
            // The window was over before the next request, or before the first one.
            (1, ..4) | (0, ..=4) => Err(brief(&tally)),
            _ => panic!("{}", brief(&tally)),
        }
    });
}

#[test]
fn a_connection_that_is_ended_as_soon_as_it_stands_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = Address::Tcp(listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for (count, stream) in listener.incoming().flatten().enumerate() {
            // The server keeps two connections and closes all others at once.
            if count < 2 {
                thread::spawn(move || peer::echo(stream));
            }
        }
    });
    let plan = Plan {
        connections: 2,
        idle: 20,
        until: Until::Time(Duration::from_millis(300)),
        ..plan(1)
    };
    match load(&plan, server) {
        Err(RunError::Target(line)) => assert!(line.contains("closed by the server"), "{line}"),
        // If the server accepts slowly, it closes connections after the load has begun, or
        // connections that have been established for a while.
        Ok(outcome) => {
            let tally = &outcome.tally;
            assert!(tally.errors.closed + tally.reconnects >= 20, "{tally:?}");
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_reset_before_the_load_is_the_servers_doing_and_names_the_connection() {
    let server = peer::tcp(|stream| {
        // SO_LINGER with zero seconds makes close send RST (socket(7)).
        let linger = Some(Duration::ZERO);
        let socket = Socket::from(OwnedFd::from(stream));
        socket.set_linger(linger).expect("a TCP socket has it");
    });
    let plan = Plan {
        // The ramp delays the load until all resets have arrived.
        ramp: Duration::from_millis(500),
        ..plan(10)
    };
    match load(&plan, Address::Tcp(server)) {
        Err(RunError::Target(line)) => {
            // The last of the five to break is named.
            let named = line.contains(&server.to_string()) && line.contains(": connection ");
            assert!(named && line.contains("reset"), "{line}");
        }
        // A very slow server resets connections that have been established for a while.
        Ok(outcome) if outcome.tally.reconnects > 0 => {}
        other => panic!("{other:?}"),
    }
}
