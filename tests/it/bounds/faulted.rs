//! Limits combined with faults: a connection that the kernel refused counts against no limit, and a
//! limit that was reached holds while the kernel refuses calls.

use libc::{ECONNABORTED, EMFILE, ENOSPC, ENOTCONN};
use mynah::limits::{COMMANDS_MAX, MEMORY_RETRY_MIN};
use mynah::protocol::service::Run;

use super::*;

fn per_ip(limit: u32) -> Settings {
    Settings {
        connections_per_ip_max: Some(limit),
        ..plain()
    }
}

/// Sends a frame and expects its echo.
fn check_is_served(stage: &mut Stage, peer: Peer) {
    stage.say(peer, b"\x01x");
    assert_eq!(stage.hear(peer), b"\x01x");
}

#[test]
fn an_address_is_not_charged_for_connections_that_could_not_be_registered() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let settings = Settings {
            trigger,
            ..per_ip(2)
        };
        let mut stage = Stage::new(settings);
        for count in 1..=5 {
            stage.fail("epoll_ctl ADD", 1, ENOSPC);
            stage.connect();
            assert_eq!(stage.server.counters().refused_registration, count);
        }
        let peers = [stage.connect(), stage.connect()];
        assert_eq!(stage.server.counters().refused_per_ip, 0);
        stage.connect();
        assert_eq!(stage.server.counters().refused_per_ip, 1);
        peers
            .iter()
            .for_each(|peer| check_is_served(&mut stage, *peer));
    }
}

#[test]
fn an_address_is_not_charged_for_connections_whose_interest_could_not_be_changed() {
    let settings = Settings {
        workspaces: 1,
        ..per_ip(2)
    };
    let mut stage = Stage::new(settings);
    let holder = stage.connect();
    stage.say(holder, b"\x02a");
    for count in 1..=4 {
        let waiter = stage.connect();
        // A connection that waits for a workspace has no interest, so waiting needs an
        // EPOLL_CTL_MOD.
        stage.fail("epoll_ctl MOD", 1, ENOMEM);
        stage.say(waiter, b"\x01x");
        assert_eq!(stage.closed(CloseReason::Failed), count);
    }
    assert_eq!(stage.server.counters().refused_per_ip, 0);
    stage.say(holder, b"b");
    assert_eq!(stage.hear(holder), b"\x02ab");
}

#[test]
fn an_address_is_not_charged_for_connections_aborted_in_the_queue() {
    let mut stage = Stage::new(per_ip(1));
    for _ in 0..3 {
        stage.fail("accept4", 1, ECONNABORTED);
        let peer = stage.connect();
        assert_eq!(stage.server.counters().connections_now, 1);
        stage.sim().close_peer(peer);
        stage.settle();
    }
    assert_eq!(stage.server.counters().refused_per_ip, 0);
}

#[test]
fn an_address_is_not_charged_for_connections_that_were_refused_for_it() {
    let mut stage = Stage::new(per_ip(1));
    for count in 1..=3 {
        let peer = stage.connect();
        stage.connect();
        stage.connect();
        assert_eq!(stage.server.counters().refused_per_ip, 2 * count);
        check_is_served(&mut stage, peer);
        stage.sim().close_peer(peer);
        stage.settle();
    }
}

#[test]
fn an_address_is_not_charged_for_connections_refused_with_the_reserve() {
    let mut stage = Stage::new(per_ip(2));
    let first = stage.connect();
    stage.sim().limit_descriptors(3);
    for _ in 0..3 {
        stage.connect();
        stage.pass(LISTENER_PAUSE_MAX);
    }
    stage.sim().limit_descriptors(100);
    stage.settle();
    let second = stage.connect();
    assert_eq!(stage.server.counters().refused_per_ip, 0);
    check_is_served(&mut stage, first);
    check_is_served(&mut stage, second);
}

#[test]
fn a_connection_without_a_known_address_counts_against_no_address() {
    let mut stage = Stage::new(per_ip(1));
    for _ in 0..3 {
        stage.fail("getpeername", 1, ENOTCONN);
        let unknown = stage.connect();
        let known = stage.connect();
        let over = stage.connect();
        assert_eq!(stage.link(over), Link::Finished);
        for peer in [unknown, known] {
            check_is_served(&mut stage, peer);
            stage.sim().close_peer(peer);
        }
        stage.settle();
        assert_eq!(stage.server.counters().connections_now, 0);
    }
}

#[test]
fn a_slot_is_not_taken_by_connections_that_could_not_be_registered() {
    let settings = Settings {
        connections_max: 1,
        ..plain()
    };
    let mut stage = Stage::new(settings);
    for _ in 0..3 {
        stage.fail("epoll_ctl ADD", 1, ENOMEM);
        let refused = stage.connect();
        assert_eq!(stage.link(refused), Link::Finished);
        assert!(stage.server.is_open() && !stage.server.is_full());
    }
    let peer = stage.connect();
    assert!(stage.server.is_full());
    check_is_served(&mut stage, peer);
}

#[test]
fn a_shortage_of_descriptors_while_slots_are_full_acts_when_a_connection_closes() {
    let settings = Settings {
        connections_max: 2,
        ..plain()
    };
    let mut stage = Stage::new(settings);
    for round in 1..=3 {
        let peers = [stage.connect(), stage.connect()];
        let outside = stage.connect();
        assert!(stage.server.is_full());
        stage.sim().limit_descriptors(3);
        stage.sim().close_peer(peers[0]);
        stage.settle();
        // There is a slot and no descriptor, so the reserve is used to refuse the queued
        // connection.
        assert_eq!(stage.server.counters().refused_resources, round);
        assert_eq!(stage.link(outside), Link::Finished);
        assert!(!stage.server.is_open());
        stage.sim().limit_descriptors(100);
        stage.pass(LISTENER_PAUSE_MIN);
        assert!(stage.server.is_open());
        let late = stage.connect();
        check_is_served(&mut stage, late);
        stage.sim().close_peer(peers[1]);
        stage.sim().close_peer(late);
        stage.settle();
    }
}

#[test]
fn transient_accept_errors_do_not_admit_more_connections_than_slots() {
    let settings = Settings {
        connections_max: 2,
        ..plain()
    };
    for errno in [ECONNABORTED, EMFILE] {
        let mut stage = Stage::new(settings.clone());
        for k in [1, 3, 5] {
            stage.sim().fail("accept4", k, errno);
        }
        for _ in 0..6 {
            stage.sim().connect(0);
            stage.pass(LISTENER_PAUSE_MAX);
            assert!(stage.server.counters().connections_now <= 2);
        }
        assert_eq!(stage.server.counters().connections_now, 2);
        assert!(stage.server.is_full());
    }
}

#[test]
fn accept_errors_are_counted_from_the_last_accepted_connection() {
    let settings = Settings {
        connections_max: 2,
        ..plain()
    };
    let mut stage = Stage::new(settings);
    for _ in 0..4 {
        stage.fail("accept4", ACCEPT_ERRORS_MAX, EPERM);
        let peer = stage.connect();
        check_is_served(&mut stage, peer);
        stage.sim().close_peer(peer);
        stage.settle();
    }
    assert_eq!(stage.server.counters().refused_resources, 0);
}

#[test]
fn the_deadline_of_a_paused_listener_does_not_resume_it_while_slots_are_full() {
    let settings = Settings {
        connections_max: 1,
        ..plain()
    };
    let mut stage = Stage::new(settings);
    stage.fail("epoll_ctl MOD", 2, ENOMEM);
    stage.connect();
    for _ in 0..5 {
        stage.connect();
        stage.pass(LISTENER_PAUSE_MAX);
    }
    assert_eq!(stage.server.counters().connections_now, 1);
}

#[test]
fn a_workspace_is_released_when_the_kernel_has_no_memory_for_its_bytes() {
    for (errno, name) in [(ENOBUFS, "send"), (ENOMEM, "send")] {
        let settings = Settings {
            workspaces: 1,
            ..plain()
        };
        let mut stage = Stage::new(settings);
        for count in 1..=2 {
            let (holder, waiter) = (stage.connect(), stage.connect());
            stage.fail(name, u32::from(MEMORY_RETRIES_MAX) + 1, errno);
            stage.say(holder, b"\x01a");
            stage.say(waiter, b"\x01x");
            assert_eq!(stage.hear(waiter), b"", "there is one workspace");
            stage.pass(2 * SECOND);
            assert_eq!(stage.closed(CloseReason::Exhausted), count);
            assert_eq!(stage.hear(waiter), b"\x01x");
            stage.sim().close_peer(waiter);
            stage.settle();
        }
    }
}

#[test]
fn a_connection_that_lingers_in_a_drain_with_half_a_frame_holds_no_workspace() {
    let settings = Settings {
        workspaces: 1,
        frame_timeout: Some(SECOND),
        ..plain()
    };
    // The peer has unread replies when the server ends the connection, so the server lingers.
    let config = Config {
        reply: Pipe {
            send: 60,
            receive: 1,
        },
        ..Config::default()
    };
    let mut stage = Stage::with(settings, config);
    let (holder, waiter) = (stage.connect(), stage.connect());
    stage.say(holder, b"\x03abc\x09x");
    stage.say(waiter, b"\x01y");
    assert_eq!(stage.hear(waiter), b"", "there is one workspace");
    stage.server.drain();
    stage.settle();
    assert_eq!(stage.hear(waiter), b"", "the frame may be finished");
    stage.pass(SECOND);
    assert_eq!(stage.server.workspaces_acquired(), 0);
    assert_eq!(stage.hear(waiter), b"\x01y");
    assert_eq!(stage.hear(holder), b"\x03abc");
}

#[test]
fn a_connection_with_a_new_workspace_and_no_kernel_memory_is_served_later() {
    let settings = Settings {
        workspaces: 1,
        ..plain()
    };
    let mut stage = Stage::new(settings);
    for _ in 0..3 {
        let (holder, waiter) = (stage.connect(), stage.connect());
        stage.say(holder, b"\x02a");
        stage.say(waiter, b"\x01x");
        stage.sim().send(holder, b"b");
        // The first read is that of the holder, the second that of the waiting connection.
        stage.sim().fail("recv", 2, ENOMEM);
        stage.settle();
        stage.pass(SECOND);
        assert_eq!(stage.hear(holder), b"\x02ab");
        assert_eq!(stage.hear(waiter), b"\x01x");
        stage.sim().close_peer(holder);
        stage.sim().close_peer(waiter);
        stage.settle();
    }
    assert_eq!(stage.server.counters().refused_memory, 3);
}

#[test]
fn pauses_after_reads_without_memory_extend_the_deadline_of_a_frame() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let settings = Settings {
            trigger,
            frame_timeout: Some(SECOND),
            ..plain()
        };
        let mut stage = Stage::new(settings);
        let peer = stage.connect();
        stage.say(peer, b"\x3fa");
        for _ in 0..8 {
            stage.pass(SECOND / 10);
            // Each byte is read after a pause that does not count against the peer.
            stage.fail("recv", 1, ENOMEM);
            stage.say(peer, b".");
            stage.pass(MEMORY_RETRY_MIN);
        }
        stage.pass(SECOND / 5 - MOMENT);
        assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
        stage.pass(MOMENT);
        assert_eq!(stage.closed(CloseReason::SlowFrame), 1);
    }
}

#[test]
fn commands_that_could_not_start_take_no_place() {
    let framing = Framing::parse("line").and_then(|framing| framing.limited(64));
    let settings = Settings {
        connections_max: COMMANDS_MAX + 1,
        workspaces: COMMANDS_MAX + 1,
        workspace: WorkspaceSize {
            inbound: 64,
            outbound: 70_000,
        },
        ..plain()
    };
    for (name, errno) in [("clone", libc::EAGAIN), ("clone", EMFILE)] {
        let service = Run::new(vec!["held".to_owned()], true);
        let close = OnTooLong::Close;
        let framing = framing.clone().expect("a framing");
        let config = Config::default();
        let mut stage = Stage::serving(service, framing, close, settings.clone(), config);
        let first = stage.connect();
        for count in 1..=COMMANDS_MAX as u64 + 1 {
            stage.fail(name, 1, errno);
            stage.say(first, b"held\n");
            assert_eq!(stage.server.counters().commands_not_started, count);
            assert_eq!(stage.server.counters().commands_now, 0);
            stage.hear(first);
        }
        for _ in 0..COMMANDS_MAX {
            let peer = stage.connect();
            stage.say(peer, b"held\n");
        }
        assert_eq!(stage.server.counters().commands_now, COMMANDS_MAX as u64);
        assert_eq!(stage.server.counters().command_waits, 0, "{name}");
    }
}
