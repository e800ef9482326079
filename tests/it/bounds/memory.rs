//! When the kernel has no memory for bytes, the bytes are kept and retried; after too many retries
//! the connection is closed.

use super::*;

/// A connection that has sent a frame, with the next `count` calls of `name` failing.
fn refused(name: &str, count: u32, errno: i32, trigger: Trigger) -> (Stage, Peer) {
    let mut stage = Stage::new(Settings { trigger, ..plain() });
    let peer = stage.connect();
    stage.fail(name, count, errno);
    stage.say(peer, b"\x03abc");
    (stage, peer)
}

#[test]
fn bytes_that_were_refused_are_kept_and_tried_again() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        for (name, errno) in [("send", ENOBUFS), ("send", ENOMEM), ("recv", ENOMEM)] {
            let (mut stage, peer) = refused(name, 3, errno, trigger);
            assert_eq!(stage.hear(peer), b"");
            // 1, 2 and 4 milliseconds.
            stage.pass(Duration::from_millis(7) - MOMENT);
            assert_eq!(stage.hear(peer), b"");
            stage.pass(MOMENT);
            assert_eq!(stage.hear(peer), b"\x03abc");
            assert_eq!(stage.server.counters().refused_memory, 3);
        }
    }
}

#[test]
fn the_connection_survives_the_allowed_number_of_refusals_and_closes_at_one_more() {
    let most = u32::from(MEMORY_RETRIES_MAX);
    for (count, ended) in [(most - 1, 0), (most, 0), (most + 1, 1)] {
        for name in ["send", "recv"] {
            let (mut stage, peer) = refused(name, count, ENOBUFS, Trigger::Level);
            stage.pass(2 * SECOND);
            assert_eq!(
                stage.closed(CloseReason::Exhausted),
                ended,
                "{count} of {name}"
            );
            assert_eq!(stage.hear(peer).len(), if ended == 0 { 4 } else { 0 });
        }
    }
}

#[test]
fn refusals_before_a_success_do_not_count() {
    let most = u32::from(MEMORY_RETRIES_MAX);
    let (mut stage, peer) = refused("send", most, ENOBUFS, Trigger::Level);
    for _ in 0..3 {
        stage.pass(2 * SECOND);
        assert_eq!(stage.hear(peer), b"\x03abc");
        stage.fail("send", most, ENOBUFS);
        stage.say(peer, b"\x03abc");
    }
    assert_eq!(stage.closed(CloseReason::Exhausted), 0);
}

#[test]
fn a_refusal_behind_bytes_that_went_through_is_the_first_one() {
    // Found by the swarm, seed 315160: each try wrote a little and was counted as refused.
    let settings = Settings {
        workspace: WorkspaceSize {
            inbound: 256,
            outbound: 0,
        },
        ..plain()
    };
    let pipe = Pipe {
        send: 3,
        receive: 3,
    };
    let config = Config {
        reply: pipe,
        ..Config::default()
    };
    let mut stage = Stage::with(settings, config);
    let peer = stage.connect();
    stage.say(peer, &b"\x03abc".repeat(20));
    let mut heard = Vec::new();
    for _ in 0..3 * MEMORY_RETRIES_MAX {
        stage.fail("send", 1, ENOBUFS);
        heard.extend(stage.sim().receive(peer, 2));
        stage.pass(SECOND);
    }
    assert_eq!(stage.closed(CloseReason::Exhausted), 0);
    heard.extend(stage.hear(peer));
    assert!(b"\x03abc".repeat(20).starts_with(&heard));
}

#[test]
fn a_refusal_before_successful_requests_does_not_count() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut stage, peer) = refused("recv", 0, ENOMEM, trigger);
        assert_eq!(stage.hear(peer), b"\x03abc");
        for _ in 0..=MEMORY_RETRIES_MAX {
            // The second try finds memory but no data. Later there is data.
            stage.sim().fail("recv", 1, ENOMEM);
            stage.sim().fail("recv", 2, EAGAIN);
            stage.say(peer, b"\x03abc");
            stage.pass(MEMORY_RETRY_MIN);
            stage.say(peer, b"\x03abc");
            assert_eq!(stage.hear(peer), b"\x03abc\x03abc");
        }
        assert_eq!(stage.closed(CloseReason::Exhausted), 0);
    }
}

#[test]
fn a_connection_that_cannot_be_watched_is_the_only_one_to_go() {
    for errno in [ENOMEM, libc::ENOSPC] {
        let mut stage = Stage::new(plain());
        let other = stage.connect();
        stage.fail("epoll_ctl ADD", 1, errno);
        let peer = stage.connect();
        assert_eq!(stage.link(peer), Link::Finished);
        assert_eq!(stage.server.counters().refused_registration, 1);
        stage.say(other, b"\x01x");
        assert_eq!(stage.hear(other), b"\x01x");
        let next = stage.connect();
        assert_eq!(stage.link(next), Link::Open);
    }
}

#[test]
fn a_peer_that_hangs_up_during_a_wait_for_memory_does_not_make_the_loop_spin() {
    let (mut stage, peer) = refused("send", 5, ENOBUFS, Trigger::Level);
    stage.sim().reset(peer);
    stage.settle();
    // The reset is reported once; apart from that, each retry waits for its pause.
    assert_eq!(stage.server.counters().refused_memory, 2);
    stage.pass(SECOND);
    assert_eq!(stage.server.counters().connections_now, 0);
}

#[test]
fn a_wait_for_memory_moves_the_deadline_of_a_frame_by_the_time_waited() {
    for (name, errno) in [("recv", ENOMEM), ("recv", ENOBUFS)] {
        for late in [MOMENT, Duration::ZERO] {
            let mut stage = Stage::new(Settings {
                frame_timeout: Some(Duration::from_millis(100)),
                ..plain()
            });
            let peer = stage.connect();
            stage.say(peer, b"\x03a");
            stage.pass(Duration::from_millis(50));
            // 1, 2, 4, 8, 16 and 32 milliseconds.
            stage.fail(name, 6, errno);
            stage.say(peer, b"b");
            stage.pass(Duration::from_millis(63 + 50) - MOMENT);
            assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
            if late.is_zero() {
                stage.say(peer, b"c");
                assert_eq!(stage.hear(peer), b"\x03abc");
            }
            stage.pass(MOMENT);
            let ended = stage.closed(CloseReason::SlowFrame) == 1;
            assert_eq!(ended, !late.is_zero());
        }
    }
}

#[test]
fn a_wait_for_memory_moves_the_deadline_of_a_reader_by_the_time_waited() {
    let pipe = Pipe {
        send: 4,
        receive: 4,
    };
    let config = Config {
        reply: pipe,
        ..Config::default()
    };
    let settings = Settings {
        stall_timeout: Some(Duration::from_millis(100)),
        stall_size_min: 32,
        ..plain()
    };
    let mut stage = Stage::with(settings, config);
    let peer = stage.connect();
    stage.say(peer, &[b"\x1f".as_slice(), &[b'.'; 31]].concat());
    stage.pass(Duration::from_millis(50));
    stage.fail("send", 6, ENOBUFS);
    assert_eq!(stage.hear(peer).len(), 8, "the pipes were full");
    stage.pass(Duration::from_millis(63 + 50) - MOMENT);
    assert_eq!(stage.closed(CloseReason::Stalled), 0);
    stage.pass(MOMENT);
    assert_eq!(stage.closed(CloseReason::Stalled), 1);
}
