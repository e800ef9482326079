//! How many frames are answered for one connection per event, however short they are.

use mynah::limits::{FRAME_WORK_SIZE, FRAMES_PER_EVENT, KIB};
use mynah::protocol::service::{PrefixedEcho, UpperUnicode};

use super::*;

const BUDGET: u64 = 16;

/// Settings with a bound of [`BUDGET`] frames per event.
fn bounded(trigger: Trigger) -> Settings {
    Settings {
        frames_per_event: BUDGET,
        workspace: WorkspaceSize {
            inbound: 64 * KIB,
            outbound: 128 * KIB,
        },
        trigger,
        ..plain()
    }
}

/// The same server with a connected peer.
fn stage<S: Service>(service: S, trigger: Trigger) -> (Stage<S>, Peer) {
    let framing = Framing::parse("u8").and_then(|framing| framing.limited(64));
    let framing = framing.expect("a framing");
    let (close, config) = (OnTooLong::Close, Config::default());
    let mut stage = Stage::serving(service, framing, close, bounded(trigger), config);
    let peer = stage.connect();
    (stage, peer)
}

/// How many frames a turn answers.
fn answered<S: Service>(stage: &mut Stage<S>) -> u64 {
    let before = stage.server.counters().frames;
    let now = stage.sim().time();
    stage.sim().stop_at(now);
    stage.server.turn(now).expect("a turn");
    stage.server.counters().frames - before
}

fn empty_frames(count: u64) -> Vec<u8> {
    vec![0; count as usize]
}

#[test]
fn the_frames_answered_per_event_are_bounded() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        for (sent, at_first, has_more) in [
            (FRAMES_PER_EVENT - 1, FRAMES_PER_EVENT - 1, false),
            (FRAMES_PER_EVENT, FRAMES_PER_EVENT, false),
            (FRAMES_PER_EVENT + 1, FRAMES_PER_EVENT, true),
        ] {
            let (mut stage, peer) = stage(Echo, trigger);
            stage.sim().send(peer, &empty_frames(sent));
            assert_eq!(answered(&mut stage), at_first, "{sent} {trigger:?}");
            assert_eq!(stage.server.has_more(), has_more, "{sent} {trigger:?}");
            stage.settle();
            assert_eq!(stage.hear(peer), empty_frames(sent), "{sent} {trigger:?}");
            assert_eq!(stage.server.counters().frames, sent);
            assert_eq!(stage.server.workspaces_acquired(), 0);
        }
    }
}

#[test]
fn the_frames_answered_per_event_are_bounded_where_answers_are_put_together() {
    for (sent, at_first) in [
        (BUDGET - 1, BUDGET - 1),
        (BUDGET, BUDGET),
        (BUDGET + 1, BUDGET),
    ] {
        let (mut stage, peer) = stage(PrefixedEcho::new("> "), Trigger::Level);
        stage.sim().send(peer, &empty_frames(sent));
        assert_eq!(answered(&mut stage), at_first, "{sent}");
        stage.settle();
        assert_eq!(stage.hear(peer), b"\x02> ".repeat(sent as usize), "{sent}");
    }
}

#[test]
fn long_frames_count_as_several_where_answers_are_put_together() {
    // With its header, each frame is one byte below the size that counts twice, or exactly at it.
    for (length, at_first) in [
        (FRAME_WORK_SIZE - 2, BUDGET),
        (FRAME_WORK_SIZE - 1, BUDGET / 2),
    ] {
        let (mut stage, peer) = stage(UpperUnicode, Trigger::Level);
        let frame = [&[length as u8], vec![b'.'; length].as_slice()].concat();
        stage.sim().send(peer, &frame.repeat(20));
        assert_eq!(answered(&mut stage), at_first, "{length}");
        stage.settle();
        assert_eq!(stage.hear(peer).len(), 20 * frame.len(), "{length}");
    }
}

#[test]
fn a_light_peer_is_answered_between_the_frames_of_a_flooding_one() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut stage, flooder) = stage(Echo, trigger);
        let other = stage.connect();
        stage
            .sim()
            .send(flooder, &empty_frames(3 * FRAMES_PER_EVENT));
        answered(&mut stage);
        stage.sim().send(other, b"\x01x");
        answered(&mut stage);
        assert_eq!(stage.sim().receive_all(other), b"\x01x");
        assert!(stage.server.counters().frames < 2 * FRAMES_PER_EVENT);
        stage.settle();
        assert_eq!(stage.hear(flooder), empty_frames(3 * FRAMES_PER_EVENT));
    }
}

#[test]
fn a_yielding_connection_gets_one_share_of_a_turn_whether_or_not_the_kernel_reports_it() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut stage, peer) = stage(PrefixedEcho::new("> "), trigger);
        // More than one read takes, so that level trigger keeps reporting it.
        let sent = stage.sim().send(peer, &empty_frames(128 * KIB as u64));
        assert!(sent > 64 * KIB);
        for turn in 0..10 {
            assert_eq!(answered(&mut stage), BUDGET, "turn {turn} {trigger:?}");
        }
    }
}

#[test]
fn a_yielding_connection_that_is_reset_is_released_in_its_turn() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut stage, peer) = stage(Echo, trigger);
        stage.sim().send(peer, &empty_frames(3 * FRAMES_PER_EVENT));
        answered(&mut stage);
        stage.sim().reset(peer);
        stage.settle();
        assert_eq!(stage.closed(CloseReason::Reset), 1, "{trigger:?}");
    }
}

#[test]
fn the_end_of_the_stream_waits_for_the_frames_before_it() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut stage, peer) = stage(Echo, trigger);
        stage.sim().send(peer, &empty_frames(4 * FRAMES_PER_EVENT));
        stage.sim().finish(peer);
        stage.settle();
        assert_eq!(stage.hear(peer), empty_frames(4 * FRAMES_PER_EVENT));
        assert_eq!(stage.closed(CloseReason::EndOfStream), 1);
        let ends = stage.sim().ends_found();
        assert_eq!(ends, 1, "found once, it is remembered");
    }
}

#[test]
fn a_connection_that_waits_for_its_turn_is_neither_idle_nor_late() {
    let mut stage = Stage::new(Settings {
        idle_timeout: Some(SECOND / 2),
        frame_timeout: Some(SECOND / 2),
        ..bounded(Trigger::Level)
    });
    let peer = stage.connect();
    stage.sim().send(peer, &empty_frames(20 * BUDGET));
    while stage.server.counters().frames < 20 * BUDGET {
        answered(&mut stage);
        stage.sim().advance(SECOND);
    }
    assert_eq!(stage.sim().receive_all(peer), empty_frames(20 * BUDGET));
    assert_eq!(stage.closed(CloseReason::Idle), 0);
    assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
}

#[test]
fn a_part_behind_frames_that_used_up_the_turn_has_the_whole_frame_timeout() {
    let framing = Framing::parse("u8").and_then(|framing| framing.limited(64));
    let framing = framing.expect("a framing");
    let settings = Settings {
        frames_per_event: 1,
        frame_timeout: Some(60 * SECOND),
        ..bounded(Trigger::Edge)
    };
    let (close, config) = (OnTooLong::Close, Config::default());
    let mut stage = Stage::serving(UpperUnicode, framing, close, settings, config);
    let peer = stage.connect();
    stage.say(peer, b"\x02a");
    for _ in 0..6 {
        stage.pass(25 * SECOND);
        // The end of one frame and the beginning of the next.
        stage.say(peer, b"b\x02a");
        assert_eq!(stage.hear(peer), b"\x02AB");
    }
    stage.pass(60 * SECOND - MOMENT);
    assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
    stage.pass(MOMENT);
    assert_eq!(stage.closed(CloseReason::SlowFrame), 1);
}

#[test]
fn frames_answered_one_per_turn_do_not_make_their_peer_late() {
    let mut stage = Stage::new(Settings {
        frames_per_event: 1,
        frame_timeout: Some(5 * SECOND),
        // Another connection waits for the only workspace, so only this much progress would extend
        // the deadline.
        workspaces: 1,
        stall_size_min: KIB,
        ..plain()
    });
    let (peer, other) = (stage.connect(), stage.connect());
    stage.say(peer, b"\x02a");
    stage.say(other, b"\x01b");
    stage
        .sim()
        .send(peer, &[&b"a"[..], &b"\x01x".repeat(10)].concat());
    for _ in 0..10 {
        answered(&mut stage);
        stage.sim().advance(SECOND);
    }
    stage.settle();
    assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
    assert_eq!(stage.hear(peer).len(), 3 + 10 * 2);
    assert_eq!(stage.hear(other), b"\x01b");
}
