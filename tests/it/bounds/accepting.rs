//! Accepting connections: limits per address, and how the listener pauses and resumes without
//! staying paused or spinning.

use super::*;

#[test]
fn an_address_has_as_many_connections_as_it_may_and_not_one_more() {
    let settings = Settings {
        connections_per_ip_max: Some(2),
        ..plain()
    };
    let mut stage = Stage::new(settings);
    let peers = [stage.connect(), stage.connect()];
    assert_eq!(stage.server.counters().refused_per_ip, 0);
    let over = stage.connect();
    assert_eq!(stage.link(over), Link::Finished, "it is closed at once");
    assert_eq!(stage.server.counters().refused_per_ip, 1);
    stage.sim().close_peer(peers[0]);
    stage.settle();
    let next = stage.connect();
    stage.say(next, b"\x01x");
    assert_eq!(stage.hear(next), b"\x01x");
}

#[test]
fn out_of_descriptors_each_pause_of_the_listener_is_longer() {
    let mut stage = Stage::new(plain());
    stage.connect();
    stage.sim().limit_descriptors(3);
    let waits = stage.sim().connect(0);
    stage.settle();
    assert_eq!(stage.link(waits), Link::Finished, "the reserve let it know");
    let (mut expected, mut total) = (LISTENER_PAUSE_MIN, 0);
    for _ in 0..8 {
        let until = stage.sim().asleep().expect("it sleeps");
        let now = stage.sim().time();
        assert_eq!(until.since(now), expected);
        expected = (2 * expected).min(LISTENER_PAUSE_MAX);
        stage.sim().connect(0);
        stage.pass(until.since(now));
        total += 1;
    }
    assert_eq!(stage.server.counters().refused_resources, 1 + total);
}

#[test]
fn a_descriptor_that_is_free_again_is_used_within_a_tenth_of_a_second() {
    let mut stage = Stage::new(plain());
    stage.sim().limit_descriptors(2);
    for _ in 0..10 {
        stage.sim().connect(0);
        stage.pass(LISTENER_PAUSE_MAX);
    }
    stage.sim().limit_descriptors(100);
    let peer = stage.sim().connect(0);
    stage.pass(LISTENER_PAUSE_MAX);
    stage.say(peer, b"\x01x");
    assert_eq!(stage.hear(peer), b"\x01x");
}

#[test]
fn a_closed_connection_resumes_the_listener_at_once() {
    let mut stage = Stage::new(plain());
    let first = stage.connect();
    stage.sim().limit_descriptors(3);
    stage.connect();
    assert!(!stage.server.is_open());
    stage.sim().close_peer(first);
    stage.settle();
    assert!(stage.server.is_open());
}

#[test]
fn an_accept_error_that_leaves_the_connection_queued_does_not_spin() {
    let most = ACCEPT_ERRORS_MAX;
    for (errors, rests) in [(most - 1, false), (most, false), (most + 1, true)] {
        for errno in [EPERM, EOPNOTSUPP] {
            let mut stage = Stage::new(plain());
            stage.fail("accept4", errors, errno);
            let peer = stage.connect();
            let counted = stage.server.counters().accept_errors;
            assert_eq!(counted, u64::from(errors.min(most)));
            assert_eq!(stage.server.counters().refused_resources == 1, rests);
            assert_eq!(stage.server.is_open(), !rests);
            // Descriptors are available, so no connection is refused meanwhile.
            stage.pass(LISTENER_PAUSE_MIN);
            stage.say(peer, b"\x01x");
            assert_eq!(stage.hear(peer), b"\x01x", "{errors}");
        }
    }
}

#[test]
fn a_listener_whose_resume_failed_is_tried_again() {
    let settings = Settings {
        connections_max: 1,
        ..plain()
    };
    let mut stage = Stage::new(settings);
    let first = stage.connect();
    stage.fail("epoll_ctl MOD", 1, ENOMEM);
    stage.sim().close_peer(first);
    stage.settle();
    assert!(!stage.server.is_open());
    stage.pass(LISTENER_PAUSE_MAX);
    let next = stage.connect();
    stage.say(next, b"\x01x");
    assert_eq!(stage.hear(next), b"\x01x");
}

#[test]
fn a_listener_whose_pause_failed_is_paused_at_its_next_event() {
    let settings = Settings {
        connections_max: 1,
        ..plain()
    };
    let mut stage = Stage::new(settings);
    stage.fail("epoll_ctl MOD", 1, ENOMEM);
    stage.connect();
    stage.connect();
    stage.settle();
    assert_eq!(stage.server.counters().connections_now, 1);
}

#[test]
fn a_server_may_drain_before_its_first_turn() {
    // Found by the swarm, seed 116: an underflow in turn 0.
    let mut stage = Stage::new(plain());
    let peer = stage.sim().connect(0);
    stage.sim().send(peer, b"\x01x");
    stage.server.drain();
    stage.settle();
    assert_eq!(stage.hear(peer), b"\x01x");
    assert!(stage.server.is_done());
}

#[test]
fn a_connection_aborted_in_the_queue_does_not_keep_a_drain_from_answering_the_others() {
    let mut stage = Stage::new(plain());
    let peers = [0; 3].map(|_| stage.sim().connect(0));
    for peer in peers {
        stage.sim().send(peer, b"\x01x");
    }
    stage.fail("accept4", 1, libc::ECONNABORTED);
    stage.server.drain();
    stage.settle();
    for peer in peers {
        assert_eq!(stage.hear(peer), b"\x01x");
    }
}

#[test]
fn a_worker_that_has_drained_sleeps_until_the_others_have() {
    // Found by the swarm, seed 0: the drain time-out of the worker woke it repeatedly.
    let mut stage = Stage::new(plain());
    stage.server.drain();
    stage.settle();
    assert!(stage.server.is_done());
    assert_eq!(stage.sim().asleep(), Some(Time::NEVER));
}

#[test]
fn many_connections_at_two_listeners_are_accepted_as_fast_as_at_one() {
    const CROWD: usize = 64;
    let mut sim = Sim::new(Config::default());
    let listeners = [1, 2].map(|port| {
        let address = format!("tcp://127.0.0.1:{port}")
            .parse()
            .expect("an address");
        sim.listen(&address, &Sim::listen_options(CROWD as u32))
            .expect("a listener")
    });
    let settings = Settings {
        connections_max: 2 * CROWD,
        ..plain()
    };
    let protocol = Protocol {
        framing: Framing::parse("u8").expect("a framing"),
        service: Echo,
        on_too_long: OnTooLong::Close,
    };
    let server = Server::new(sim, listeners.into(), protocol, settings).expect("a server");
    let mut stage = Stage { server };
    for number in 0..2 * CROWD {
        stage.sim().connect(number % 2);
    }
    let before = stage.server.counters().epoll_wait;
    stage.settle();
    let counters = stage.server.counters();
    assert_eq!(counters.connections_now, 2 * CROWD as u64);
    let waits = counters.epoll_wait - before;
    assert!(
        waits <= 9,
        "{waits} waits, for 1, 2, 4 .. 32, 1 and a quiet one"
    );
}
