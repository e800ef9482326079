//! Load over UDP: replies that are lost, late, duplicated or of the wrong size.
//!
//! A lost datagram never closes a connection; it is counted after the time-out. Man page: udp(7).

use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use mynah::cli::options;
use mynah::kernel::Address;
use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Until};
use mynah::load::run::{Outcome, RunError};

use super::peer;
use super::runs::{assert_whole, load, plan};

/// A server that answers datagram `n` with `answer(n)` until the test binary ends.
fn server(answer: fn(&UdpSocket, u64, &[u8], SocketAddr)) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut space = vec![0; 1 << 16];
        for number in 1.. {
            match socket.recv_from(&mut space) {
                Ok((count, peer)) => answer(&socket, number, &space[..count], peer),
                Err(_) => return,
            }
        }
    });
    address
}

fn echo(socket: &UdpSocket, _: u64, bytes: &[u8], peer: SocketAddr) {
    let _ = socket.send_to(bytes, peer);
}

fn measure(plan: &Plan, server: SocketAddr) -> Outcome {
    plan.check_datagrams().expect("the test's own plan");
    load(plan, Address::Udp(server)).expect("the server is there")
}

#[test]
fn every_datagram_is_answered_by_its_own_bytes() {
    let server = server(echo);
    assert_whole(&measure(&plan(2000), server), 2000);
    // Several large datagrams at once would overflow the receive buffer of the server.
    let (size, connections) = ((1, 65_507), 1);
    let large = Plan {
        size,
        connections,
        ..plan(200)
    };
    assert_whole(&measure(&large, server), 200);
    let churn = true;
    assert_whole(&measure(&Plan { churn, ..plan(200) }, server), 200);
    let pace = Pace::Open {
        rate: 5_000.0,
        arrivals: Arrivals::Poisson,
    };
    assert_whole(&measure(&Plan { pace, ..plan(500) }, server), 500);
}

#[test]
fn a_lost_datagram_is_counted_and_its_connection_goes_on() {
    let lossy = server(|socket, number, bytes, peer| {
        if number % 20 != 0 {
            echo(socket, number, bytes, peer);
        }
    });
    let outcome = measure(
        &Plan {
            connections: 4,
            ..plan(40)
        },
        lossy,
    );
    let tally = outcome.tally;
    assert_eq!((tally.errors.unanswered, tally.errors.total()), (2, 2));
    assert_eq!(tally.answered, 38);
}

#[test]
fn a_reply_that_comes_twice_is_heard_once() {
    let stutterer = server(|socket, number, bytes, peer| {
        echo(socket, number, bytes, peer);
        echo(socket, number, bytes, peer);
    });
    assert_whole(&measure(&plan(100), stutterer), 100);
}

#[test]
fn replies_to_requests_that_were_given_up_are_late_and_not_wrong() {
    let slow = server(|socket, number, bytes, peer| {
        static HELD: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
        let mut held = HELD.lock().expect("no holder panics");
        held.push(bytes.to_vec());
        // The first two requests are answered together with the third.
        if number >= 3 {
            held.drain(..)
                .for_each(|bytes| echo(socket, number, &bytes, peer));
        }
    });
    let plan = Plan {
        connections: 1,
        ..plan(4)
    };
    let tally = measure(&plan, slow).tally;
    assert_eq!(
        (tally.errors.wrong, tally.errors.unanswered),
        (0, 2),
        "{tally:?}"
    );
    assert_eq!((tally.answered, tally.late), (2, 2));
}

#[test]
fn requests_that_say_the_same_are_told_apart_by_their_order() {
    let plan = Plan {
        size: (1, 1),
        connections: 1,
        ..plan(3000)
    };
    assert_whole(&measure(&plan, server(echo)), 3000);
}

#[test]
fn a_datagram_of_the_warm_up_that_is_lost_is_told_apart() {
    let forgetful = server(|socket, number, bytes, peer| {
        if number > 1 {
            echo(socket, number, bytes, peer);
        }
    });
    let plan = Plan {
        connections: 1,
        warmup: Duration::from_millis(1400),
        until: Until::Time(Duration::from_millis(50)),
        ..plan(1)
    };
    let tally = measure(&plan, forgetful).tally;
    assert_eq!(
        (tally.errors.total(), tally.lost_in_warmup),
        (0, 1),
        "{tally:?}"
    );
}

#[test]
fn a_reply_of_another_size_is_wrong() {
    let cutter = server(|socket, number, bytes, peer| {
        echo(socket, number, &bytes[1..], peer);
    });
    let outcome = measure(
        &Plan {
            connections: 1,
            ..plan(5)
        },
        cutter,
    );
    assert_eq!(outcome.tally.errors.wrong, 5);
    let told = outcome.tally.failures[0].to_string();
    assert!(
        told.contains("a datagram of 63 bytes, sent were 64"),
        "{told}"
    );
}

#[test]
fn a_port_without_a_listener_ends_the_run_with_one_line() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let closed = socket.local_addr().expect("it is bound");
    drop(socket);
    for churn in [false, true] {
        match load(&Plan { churn, ..plan(5) }, Address::Udp(closed)) {
            Err(RunError::Target(line)) => {
                assert!(
                    line.contains("udp://") && line.contains("refused"),
                    "{line}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_tcp_server_is_not_taken_for_one_of_datagrams() {
    let tcp = peer::tcp(peer::echo);
    let outcome = load(&plan(1), Address::Udp(tcp));
    assert!(matches!(outcome, Err(RunError::Target(_))), "{outcome:?}");
}

#[test]
fn what_datagrams_cannot_do_is_refused_by_name() {
    for (words, reason) in [
        ("--pipeline 2", "one is in flight"),
        ("--frame u32be", "--frame"),
        ("--protocol http", "--protocol"),
        ("--size 0", "at least 1"),
        ("--size 65508", "at most 65507"),
    ] {
        let all = format!("bench udp://127.0.0.1:7 {words}");
        let parsed = options::parse(all.split_whitespace().map(Into::into));
        let told = parsed.expect_err(words).to_string();
        assert!(
            told.contains("udp://127.0.0.1:7") && told.contains(reason),
            "{told}"
        );
    }
    let most = "bench udp://127.0.0.1:7 --size 65507";
    assert!(options::parse(most.split_whitespace().map(Into::into)).is_ok());
    for command in ["connect udp://127.0.0.1:7", "connect unixgram:@server"] {
        let parsed = options::parse(command.split_whitespace().map(Into::into));
        let told = parsed.expect_err(command).to_string();
        assert!(told.contains("connect speaks to streams"), "{told}");
    }
}

#[test]
fn a_run_by_time_over_datagrams_ends_in_time() {
    let silent = server(|_, _, _, _| {});
    let until = Until::Time(Duration::from_millis(100));
    let outcome = measure(&Plan { until, ..plan(1) }, silent);
    let errors = outcome.tally.errors;
    assert_eq!((outcome.tally.answered, errors.total()), (0, 5));
}
