//! Behaviour that repeats: the second time must start from a clean state, and no resource may be
//! used up.

use mynah::limits::{DRAIN_READ_TIMEOUT, LINGER_TIMEOUT, LISTENER_PAUSE_MIN};
use mynah::protocol::service::{Dict, Robot};

use super::bytes::{pattern, push};
use super::*;

const LISTENER: Token = Token::listener(0);
const SECOND: Duration = Duration::from_secs(1);

/// A kernel with small buffers for replies and large ones for requests.
fn narrow_reply() -> Config {
    Config {
        reply: narrow().reply,
        ..Config::default()
    }
}

#[test]
fn each_reload_replaces_the_service_of_old_and_new_connections() {
    let dictionary = |text: &str| Dict::parse(text.into()).expect("a dictionary");
    for trigger in [Trigger::Level, Trigger::Edge] {
        let settings = Settings {
            trigger,
            workspace: WorkspaceSize {
                inbound: 1024,
                // Room for the longest translation.
                outbound: 8192,
            },
            ..settings()
        };
        let service = dictionary("a: none\n");
        let mut play = Play::new(Config::default(), settings, framing("line", 100), service);
        let old = play.connect();
        for answer in ["one", "two", "three"] {
            play.server
                .replace_service(dictionary(&format!("a: {answer}\n")));
            let new = play.connect();
            for peer in [old, new] {
                play.send(peer, b"a\n");
                assert_eq!(play.receive(peer), format!("{answer}\n").as_bytes());
            }
            play.sim().close_peer(new);
        }
        play.end();
    }
}

#[test]
fn each_stall_has_the_whole_stall_timeout() {
    echo(narrow_reply(), settings(), |play| {
        let peer = play.connect();
        for _ in 0..3 {
            play.send(peer, &pattern(1000));
            play.pass(STALL - NANOSECOND);
            assert_eq!(play.receive(peer), pattern(1000));
            play.pass(5 * SECOND);
        }
        play.send(peer, &pattern(1000));
        play.pass(STALL - NANOSECOND);
        assert_eq!(play.closed(CloseReason::Stalled), 0);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::Stalled), 1);
    });
}

#[test]
fn timeouts_in_a_reused_slot_count_from_the_new_connection() {
    echo(narrow_reply(), settings(), |play| {
        for count in 1..=3 {
            play.connect();
            play.pass(IDLE - NANOSECOND);
            assert_eq!(play.closed(CloseReason::Idle), count - 1);
            play.pass(NANOSECOND);
            assert_eq!(play.closed(CloseReason::Idle), count);

            let stalled = play.connect();
            play.send(stalled, &pattern(1000));
            play.pass(STALL - NANOSECOND);
            assert_eq!(play.closed(CloseReason::Stalled), count - 1);
            play.pass(NANOSECOND);
            assert_eq!(play.closed(CloseReason::Stalled), count);
        }
    });
}

#[test]
fn each_connection_of_a_slot_lingers_for_the_same_time() {
    let framing = framing("u16be", 16);
    under_both(Config::default(), settings(), framing, Echo, |play| {
        for count in 1..=3 {
            let peer = play.connect();
            play.send(peer, &hex("FFFF"));
            play.pass(LINGER_TIMEOUT - NANOSECOND);
            assert_eq!(play.closed(CloseReason::TooLong), count - 1);
            play.pass(NANOSECOND);
            assert_eq!(play.closed(CloseReason::TooLong), count);
        }
    });
}

#[test]
fn each_connection_of_a_slot_is_greeted() {
    let settings = Settings {
        connections_max: 1,
        ..settings()
    };
    let framing = Framing::Raw(Raw);
    under_both(Config::default(), settings, framing, Robot, |play| {
        for _ in 0..3 {
            let peer = play.connect();
            assert_eq!(play.receive(peer).len(), 50);
            play.sim().close_peer(peer);
            play.quiet();
        }
    });
}

#[test]
fn the_listener_pauses_and_resumes_each_time_that_slots_run_out() {
    let settings = Settings {
        connections_max: 2,
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        for round in 1..=3 {
            let peers = [play.connect(), play.connect()];
            assert_eq!(play.sim().registered(LISTENER), Some(Interest::NONE));
            let waiting = play.connect();
            play.send(waiting, b"hello");
            assert_eq!(play.receive(waiting), b"");
            peers.iter().for_each(|peer| play.sim().close_peer(*peer));
            play.quiet();
            assert_eq!(play.receive(waiting), b"hello");
            assert_eq!(play.sim().registered(LISTENER), Some(Interest::READ));
            play.sim().close_peer(waiting);
            play.quiet();
            assert_eq!(play.counters().refused_slots, round);
        }
    });
}

#[test]
fn the_reserve_refuses_one_peer_each_time_that_descriptors_run_out() {
    echo(Config::default(), settings(), |play| {
        for round in 1..=3 {
            let first = play.connect();
            play.sim().limit_descriptors(FIXED_SOCKETS + 1);
            let refused = play.sim().connect(0);
            let now = play.sim().time();
            assert_eq!(play.quiet(), now.after(LISTENER_PAUSE_MIN), "round {round}");
            assert_eq!(play.link(refused), Link::Finished);
            assert_eq!(play.counters().refused_resources, round);
            play.sim().limit_descriptors(100);
            play.sim().close_peer(first);
            play.quiet();
            assert_eq!(play.sim().open_sockets(), FIXED_SOCKETS);
            assert_eq!(play.sim().registered(LISTENER), Some(Interest::READ));
        }
    });
}

#[test]
fn every_wait_for_a_workspace_ends_with_a_workspace() {
    let settings = Settings {
        workspaces: 1,
        ..settings()
    };
    let framing = framing("u8", 100);
    under_both(Config::default(), settings, framing, Echo, |play| {
        let (holder, waiter) = (play.connect(), play.connect());
        for round in 1..=3 {
            play.send(holder, b"\x02a");
            // With the deadline of an earlier wait, the connection would be closed by now.
            play.pass(IDLE - SECOND);
            play.send(waiter, b"\x01x");
            assert_eq!(play.counters().workspace_waits, round);
            assert_eq!(play.receive(waiter), b"");
            play.pass(SECOND - NANOSECOND);
            play.send(holder, b"b");
            assert_eq!(play.receive(holder), b"\x02ab");
            assert_eq!(play.receive(waiter), b"\x01x");
        }
        assert_eq!(play.closed(CloseReason::Starved), 0);
    });
}

#[test]
fn a_second_drain_request_moves_neither_deadline() {
    let settings = Settings {
        stall_timeout: None,
        ..settings()
    };
    echo(narrow(), settings, |play| {
        let peer = play.connect();
        push(play, peer, &pattern(5000));
        play.server.drain();
        play.fixed_sockets = 1;
        play.pass(DRAIN_READ_TIMEOUT / 2);
        play.server.drain();
        play.pass(DRAIN - DRAIN_READ_TIMEOUT / 2 - NANOSECOND);
        play.server.drain();
        assert!(!play.server.is_done());
        play.pass(NANOSECOND);
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 1);
    });
}

#[test]
fn a_later_frame_has_no_more_time_than_the_first() {
    let settings = Settings {
        frame_timeout: Some(5 * SECOND),
        ..settings()
    };
    let framing = framing("u8", 100);
    under_both(Config::default(), settings, framing, Echo, |play| {
        let peer = play.connect();
        for _ in 0..2 {
            // The frame is complete, in two parts.
            play.send(peer, b"\x02a");
            play.pass(4 * SECOND);
            play.send(peer, b"b");
            assert_eq!(play.receive(peer), b"\x02ab");
        }
        play.send(peer, b"\x63");
        for _ in 1..5 {
            play.pass(SECOND);
            play.send(peer, b".");
        }
        play.pass(SECOND - NANOSECOND);
        assert_eq!(play.closed(CloseReason::SlowFrame), 0);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::SlowFrame), 1);
    });
}

#[test]
fn a_frame_whose_start_arrived_with_the_end_of_another_has_one_frame_timeout() {
    let settings = Settings {
        frame_timeout: Some(5 * SECOND),
        ..settings()
    };
    let framing = framing("u8", 100);
    under_both(Config::default(), settings, framing, Echo, |play| {
        let peer = play.connect();
        play.send(peer, b"\x02a");
        play.pass(SECOND);
        // The end of one frame and the beginning of the next arrive together.
        play.send(peer, b"b\x63");
        assert_eq!(play.receive(peer), b"\x02ab");
        for _ in 0..5 {
            assert_eq!(play.closed(CloseReason::SlowFrame), 0);
            play.send(peer, b".");
            play.pass(SECOND);
        }
        assert_eq!(play.closed(CloseReason::SlowFrame), 1);
    });
}
