//! Connections still in the accept queue at shutdown, waiting for a slot or for a descriptor.

use mynah::limits::{BACKLOG_DEFAULT, DRAIN_READ_TIMEOUT, LISTENER_PAUSE_MAX};

use super::bytes::{pattern, push};
use super::*;

/// A server with one slot. The peer in it is owed replies and reads nothing.
fn full() -> Settings {
    Settings {
        connections_max: 1,
        stall_timeout: None,
        ..settings()
    }
}

#[test]
fn a_connection_that_waits_for_a_slot_is_served_however_late_the_slot_is_free() {
    echo(narrow(), full(), |play| {
        let (slow, outside) = (play.connect(), play.connect());
        push(play, slow, &pattern(5000));
        play.sim().send(outside, b"hello");
        play.server.drain();
        play.pass(DRAIN - NANOSECOND);
        assert_eq!(play.link(outside), Link::Open);
        play.fixed_sockets = 1;
        play.sim().reset(slow);
        play.quiet();
        assert_eq!(play.receive(outside), b"hello");
        assert_eq!(play.link(outside), Link::Finished);
        play.sim().close_peer(outside);
        play.quiet();
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 0);
    });
}

#[test]
fn a_connection_that_waits_for_a_slot_at_the_drain_timeout_counts_as_cut() {
    echo(narrow(), full(), |play| {
        let slow = play.connect();
        let outside = [0; 3].map(|_| play.connect());
        push(play, slow, &pattern(5000));
        play.server.drain();
        play.pass(DRAIN_READ_TIMEOUT);
        assert!(!play.server.is_done());
        play.fixed_sockets = 1;
        play.pass(DRAIN);
        assert!(play.server.is_done());
        assert_eq!((play.closed(CloseReason::Cut), play.server.cut()), (4, 4));
        assert!(outside.map(|peer| play.link(peer)) != [Link::Open; 3]);
    });
}

#[test]
fn out_of_descriptors_queued_connections_are_served_as_others_close() {
    let settings = Settings {
        connections_max: 100,
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        let inside = play.connect();
        play.sim().limit_descriptors(FIXED_SOCKETS + 1);
        let outside = [0; 7].map(|_| play.sim().connect(0));
        for peer in outside {
            play.sim().send(peer, b"hello");
        }
        play.server.drain();
        play.fixed_sockets = 0;
        play.quiet();
        assert_eq!(play.link(inside), Link::Finished);
        for peer in outside {
            assert_eq!(play.receive(peer), b"hello");
            assert_eq!(play.link(peer), Link::Finished);
        }
        assert!(play.server.is_done());
        assert_eq!(play.closed(CloseReason::Shutdown), 8);
        assert_eq!(play.counters().refused_resources, 0);
    });
}

#[test]
fn a_queued_connection_without_a_descriptor_is_cut_at_the_drain_timeout_without_spinning() {
    echo(Config::default(), settings(), |play| {
        let outside = play.sim().connect(0);
        play.sim().limit_descriptors(0);
        play.server.drain();
        play.fixed_sockets = 0;
        let waits = play.counters().epoll_wait;
        play.pass(DRAIN);
        assert!(play.server.is_done());
        assert_eq!(play.link(outside), Link::Reset);
        assert_eq!(play.server.cut(), 1, "it was promised a connection");
        let rests = DRAIN.as_millis() / LISTENER_PAUSE_MAX.as_millis();
        let waits = u128::from(play.counters().epoll_wait - waits);
        assert!(waits <= 3 * rests, "{waits} waits, so it spins");
    });
}

#[test]
fn connections_after_the_signal_do_not_delay_the_end() {
    for address in ["127.0.0.1:7007", "unix:@door"] {
        for trigger in [Trigger::Level, Trigger::Edge] {
            println!("at {address} under {trigger:?} trigger");
            let settings = Settings {
                connections_max: 2,
                trigger,
                ..settings()
            };
            let mut play = Play::at(address, narrow(), settings, Framing::Raw(Raw), Echo);
            end_among_newcomers(&mut play);
            play.end();
        }
    }
}

/// Drains a full server with three connections in the accept queue, while more keep arriving.
fn end_among_newcomers(play: &mut Play<Echo>) {
    let inside = [0; 2].map(|_| play.connect());
    for peer in inside {
        push(play, peer, &pattern(5000));
    }
    let promised = [0; 3].map(|_| play.connect());
    for peer in promised {
        play.sim().send(peer, b"hello");
    }
    play.server.drain();
    play.quiet();
    for peer in inside {
        play.sim().reset(peer);
    }
    let mut late = Vec::new();
    while play.sim().listening() > 0 {
        // More connections than can close in one turn.
        late.extend([0; 4].map(|_| play.sim().connect(0)));
        play.turn();
        assert!(late.len() < 100, "every new connection is accepted");
    }
    play.fixed_sockets = 1;
    play.quiet();
    for peer in promised {
        assert_eq!(play.receive(peer), b"hello");
        play.sim().close_peer(peer);
    }
    play.quiet();
    assert!(play.server.is_done());
    assert_eq!(play.server.cut(), 0);
    for peer in late {
        assert!(matches!(
            play.link(peer),
            Link::Reset | Link::Refused | Link::Connecting
        ));
    }
}

#[test]
fn every_connection_in_a_queue_longer_than_the_default_counts_as_cut() {
    const WAITING: u32 = BACKLOG_DEFAULT + 100;
    let settings = Settings {
        backlog: WAITING,
        ..full()
    };
    // The kernel does not report the queue length of a local listener, so its connections are
    // accepted and counted.
    let mut play = Play::at("unix:@queue", narrow(), settings, Framing::Raw(Raw), Echo);
    let inside = play.connect();
    push(&mut play, inside, &pattern(5000));
    for _ in 0..WAITING {
        play.sim().connect(0);
    }
    play.server.drain();
    play.fixed_sockets = 1;
    play.pass(DRAIN);
    assert!(play.server.is_done());
    assert_eq!(play.server.cut(), 1 + u64::from(WAITING));
    play.end();
}
