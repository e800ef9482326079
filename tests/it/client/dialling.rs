//! C1 and C2: tries, pauses between them, and the rules for a completed connect.
//!
//! Runs on the simulated kernel, so pauses of minutes take no time. Man page: connect(2).

use libc::{EACCES, EAGAIN, ECONNREFUSED, EMFILE, ENOENT, ETIMEDOUT};
use mynah::client::Attempt;
use mynah::kernel::{OpenStep, Opener, Signal};

use super::*;
use crate::sim::{Faults, Link};

fn retrying(jitter: Option<u64>) -> Settings {
    Settings {
        backoff: Backoff::new(8, jitter),
        ..settings()
    }
}

fn refusal(play: &mut Play) -> (OpenStep, i32) {
    match play.finish() {
        Err(ClientError::Open(attempts)) => {
            let [Attempt { refused, .. }] = &attempts[..] else {
                panic!("{attempts:?}");
            };
            let errno = refused.error.raw_os_error().expect("an errno");
            (refused.step, errno)
        }
        other => panic!("it ended otherwise: {other:?}"),
    }
}

#[test]
fn c1_eight_tries_take_127_seconds_and_a_new_socket_each() {
    let mut play = Play::new(retrying(None));
    assert_eq!(refusal(&mut play), (OpenStep::Connect, ECONNREFUSED));
    assert_eq!(play.seconds(), 127.0);
    let sim = play.sim();
    for call in ["socket", "connect", "epoll_ctl ADD", "getsockopt", "close"] {
        assert_eq!(sim.calls(call), 8, "{call}");
    }
    assert_eq!(sim.open_sockets(), 0);
}

#[test]
fn c1_jitter_shortens_every_pause_and_skips_no_try() {
    for seed in 0..50 {
        let mut play = Play::new(retrying(Some(seed)));
        assert_eq!(refusal(&mut play), (OpenStep::Connect, ECONNREFUSED));
        assert!((1.0..127.0).contains(&play.seconds()), "{}", play.seconds());
        assert_eq!(play.sim().calls("connect"), 8);
    }
}

#[test]
fn c1_a_server_that_starts_meanwhile_is_reached_by_the_next_try() {
    let mut play = Play::new(retrying(None));
    let five = play.sim().time().after(5 * SECOND);
    play.sim().stop_at(five);
    while play.sim().time() < five {
        play.turn();
    }
    assert_eq!(play.sim().calls("connect"), 3);
    play.sim().stop_at(Time::NEVER);
    play.sim().host(&address());
    while play.sim().calls("getpeername") == 0 {
        play.turn();
    }
    assert_eq!((play.sim().calls("connect"), play.seconds()), (4, 7.0));
    assert!(play.sim().incoming(&address()).is_some());
}

#[test]
fn c1_only_errors_that_pass_are_tried_again() {
    for (call, errno, tries) in [
        ("connect", EACCES, 1),
        ("connect", EAGAIN, 8),
        ("connect", ENOENT, 8),
        ("getsockopt", ETIMEDOUT, 8),
        ("getsockopt", EACCES, 1),
        ("socket", EMFILE, 1),
    ] {
        let mut play = Play::new(retrying(None));
        for k in 1..=8 {
            play.sim().fail(call, k, errno);
        }
        assert_eq!(refusal(&mut play).1, errno);
        assert_eq!(play.sim().calls("socket"), tries, "{call} {errno}");
        assert_eq!(play.sim().open_sockets(), 0);
    }
}

#[test]
fn c1_without_retry_there_is_one_try() {
    let mut play = Play::new(settings());
    assert_eq!(refusal(&mut play), (OpenStep::Connect, ECONNREFUSED));
    assert_eq!((play.sim().calls("connect"), play.seconds()), (1, 0.0));
}

#[test]
fn c1_a_signal_ends_a_pause() {
    let mut play = Play::new(retrying(None));
    play.turn();
    play.sim().raise(Signal::Terminate(2));
    play.turn();
    play.finish();
    assert!(matches!(play.end, Some(Ok(Ending::Signal(2)))));
    assert_eq!(play.seconds(), 0.0);
}

#[test]
fn c1_events_of_an_earlier_try_are_not_taken_for_those_of_this_one() {
    for seed in 0..100 {
        let faults = Faults {
            stale: 0.5,
            duplicated: 0.5,
            spurious: 0.3,
            interrupted: 0.3,
            ..Faults::none()
        };
        let config = Config {
            seed,
            faults,
            ..small()
        };
        let mut play = Play::on(Sim::new(config), retrying(None));
        assert_eq!(refusal(&mut play), (OpenStep::Connect, ECONNREFUSED));
        assert_eq!((play.sim().calls("connect"), play.seconds()), (8, 127.0));
    }
}

#[test]
fn c2_a_connect_ends_by_its_error_and_its_peer() {
    let mut sim = Sim::new(small());
    sim.host(&address());
    let mut play = Play::on(sim, settings());
    play.turn();
    let asked = "socket, connect, epoll_ctl ADD, epoll_wait, getsockopt, getpeername, \
                 getsockname";
    assert_eq!(play.sim().names(), asked);
}

#[test]
fn c2_writable_alone_is_not_connected() {
    let mut sim = Sim::new(small());
    let options = Sim::listen_options(0);
    let _listener = sim.listen(&address(), &options).expect("the port is free");
    sim.connect(0); // The queue is full now, and the next SYN gets no answer.
    sim.set_faults(Faults {
        spurious: 1.0,
        ..Faults::none()
    });
    let patient = Settings {
        connect_timeout: Some(SECOND / 2),
        ..settings()
    };
    let mut play = Play::on(sim, patient);
    play.sim().type_in(b"hello");
    let start = play.sim().time();
    play.sim().stop_at(start);
    (0..50).for_each(|_| play.turn());
    assert!(play.sim().calls("getsockopt") > 1);
    assert_eq!(play.sim().calls("send"), 0);
    play.sim().set_faults(Faults::none());
    play.sim().stop_at(Time::NEVER);
    assert_eq!(play.failure(), "connect: no answer within 500ms");
    assert_eq!(play.seconds(), 0.5);
}

#[test]
fn c2_a_refused_connect_is_writable_and_nothing_is_sent() {
    let mut play = Play::new(settings());
    play.sim().type_in(b"hello");
    assert_eq!(play.failure(), "connect: Connection refused (os error 111)");
    assert_eq!(play.sim().calls("send"), 0);
    assert_eq!(play.sim().untaken(), 5);
}

#[test]
fn c2_a_socket_that_was_connected_to_itself_is_refused() {
    let mut sim = Sim::new(small());
    // The port that the simulated kernel assigns next.
    let itself = Address::Tcp(([127, 0, 0, 1], 32_769).into());
    sim.host(&itself);
    let addresses = vec![itself.clone()];
    let mut play = Play::on(
        sim,
        Settings {
            addresses,
            ..settings()
        },
    );
    assert_eq!(refusal(&mut play), (OpenStep::Connect, ECONNREFUSED));
    let peer = play.sim().incoming(&itself).expect("it was connected");
    assert_eq!(play.sim().peer_state(peer).link, Link::Finished);
}

/// Three addresses of one name.
fn three() -> Vec<Address> {
    [2, 3, 4]
        .map(|last| Address::Tcp(([127, 0, 0, last], 7).into()))
        .to_vec()
}

#[test]
fn every_address_is_tried_in_order_up_to_the_first_that_accepts() {
    for accepts in 0..3_u8 {
        let mut sim = Sim::new(small());
        let addresses = three();
        sim.host(&addresses[usize::from(accepts)]);
        let reached = addresses[usize::from(accepts)].clone();
        let settings = Settings {
            addresses,
            ..settings()
        };
        let mut play = Play::on(sim, settings);
        while play.sim().calls("getpeername") == 0 {
            play.turn();
        }
        assert!(play.sim().incoming(&reached).is_some());
        assert_eq!(
            (play.sim().calls("connect"), play.seconds()),
            (u64::from(accepts) + 1, 0.0)
        );
        // Each address gets a new socket, and the sockets of refused addresses are closed.
        assert_eq!(play.sim().open_sockets(), 1);
    }
}

#[test]
fn an_address_that_is_refused_at_once_is_followed_by_the_next() {
    // Without IPv6 the kernel refuses the socket; without a route it refuses the connect.
    for (call, errno) in [
        ("socket", libc::EAFNOSUPPORT),
        ("connect", libc::ENETUNREACH),
    ] {
        let mut sim = Sim::new(small());
        let addresses = three();
        sim.host(&addresses[1]);
        sim.fail(call, 1, errno);
        let reached = addresses[1].clone();
        let mut play = Play::on(
            sim,
            Settings {
                addresses,
                ..settings()
            },
        );
        play.turn();
        assert!(play.sim().incoming(&reached).is_some(), "{call}");
    }
}

#[test]
fn the_failure_names_every_address_with_its_reason() {
    let mut play = Play::on(
        Sim::new(small()),
        Settings {
            addresses: three(),
            ..settings()
        },
    );
    play.sim().fail("connect", 2, EACCES);
    let told = "tcp://127.0.0.2:7: connect: Connection refused (os error 111); \
                tcp://127.0.0.3:7: connect: Permission denied (os error 13); \
                tcp://127.0.0.4:7: connect: Connection refused (os error 111)";
    assert_eq!(play.failure(), told);
    assert_eq!(play.sim().open_sockets(), 0);
}

#[test]
fn each_try_is_at_all_addresses() {
    let mut play = Play::on(
        Sim::new(small()),
        Settings {
            addresses: three(),
            ..retrying(None)
        },
    );
    assert!(matches!(play.finish(), Err(ClientError::Open(attempts)) if attempts.len() == 3));
    assert_eq!(
        (play.sim().calls("connect"), play.seconds()),
        (8 * 3, 127.0)
    );
}

/// A simulated machine on which a SYN to `address()` gets no answer, because the queue is full.
fn silent() -> Sim {
    let mut sim = Sim::new(small());
    let options = Sim::listen_options(0);
    let _listener = sim.listen(&address(), &options).expect("the port is free");
    sim.connect(0);
    sim
}

#[test]
fn the_connect_timeout_is_for_each_address() {
    let second = three().remove(0);
    let mut sim = silent();
    sim.host(&second);
    let settings = Settings {
        addresses: vec![address(), second.clone()],
        connect_timeout: Some(3 * SECOND),
        ..settings()
    };
    let mut play = Play::on(sim, settings);
    while play.sim().incoming(&second).is_none() {
        play.turn();
    }
    assert_eq!(play.seconds(), 3.0);
}

#[test]
fn the_connect_timeout_is_for_each_try() {
    let settings = Settings {
        connect_timeout: Some(3 * SECOND),
        ..retrying(None)
    };
    let mut play = Play::on(silent(), settings);
    assert_eq!(play.failure(), "connect: no answer within 3s");
    assert_eq!(
        (play.sim().calls("connect"), play.seconds()),
        (8, 127.0 + 8.0 * 3.0)
    );
    assert_eq!(play.sim().open_sockets(), 1, "the listener");
}

#[test]
fn a_full_queue_of_a_local_listener_is_tried_again_until_the_connect_timeout() {
    let local: Address = "unix:@full".parse().expect("an address");
    let settings = |connect_timeout| Settings {
        addresses: vec![local.clone()],
        connect_timeout,
        ..settings()
    };
    let mut play = Play::new(settings(Some(SECOND)));
    for k in 1..=200 {
        play.sim().fail("connect", k, EAGAIN);
    }
    assert_eq!(play.failure(), "connect: its queue was full for 1s");
    assert_eq!((play.sim().calls("connect"), play.seconds()), (101, 1.0));
    // With and without a time-out, the queue has room again before the time-out.
    for timeout in [Some(SECOND), None] {
        let mut sim = Sim::new(small());
        sim.host(&local);
        for k in 1..=50 {
            sim.fail("connect", k, EAGAIN);
        }
        let mut play = Play::on(sim, settings(timeout));
        while play.sim().incoming(&local).is_none() {
            play.turn();
        }
        assert_eq!((play.sim().calls("connect"), play.seconds()), (51, 0.5));
    }
}
