//! How long the server keeps reading after its own FIN: while the peer takes the replies that the
//! kernel holds.

use mynah::limits::KIB;

use super::*;

/// The size of the replies. The receive buffer of the peer holds [`RECEIVE`] of it.
const OWED: usize = 6 * KIB;
const RECEIVE: usize = 2 * KIB;

/// A peer whose frames were answered and that has sent nothing since `last`. The kernel holds the
/// replies it has not read.
fn silent(settings: Settings, last: &[u8]) -> (Stage, Peer) {
    let reply = Pipe {
        send: 2 * OWED,
        receive: RECEIVE,
    };
    let config = Config {
        reply,
        ..Config::default()
    };
    let mut stage = Stage::with(settings, config);
    let peer = stage.connect();
    let frame = [b"\x1f".as_slice(), &[b'.'; 31]].concat();
    stage.say(peer, &frame.repeat(OWED / 32));
    stage.say(peer, last);
    (stage, peer)
}

/// The same peer; its next frame is invalid, so its connection lingers.
fn lingering(settings: Settings) -> (Stage, Peer) {
    let (stage, peer) = silent(settings, b"\xff");
    assert_eq!(stage.server.counters().shutdown, 1);
    (stage, peer)
}

/// The least to be taken in each stall time-out. The linger timer checks it every third time.
const LEAST: usize = KIB;
const STALL: Duration = LINGER_TIMEOUT.saturating_mul(3);

fn strict() -> Settings {
    Settings {
        stall_size_min: LEAST,
        stall_timeout: Some(STALL),
        ..plain()
    }
}

fn take(stage: &mut Stage, peer: Peer, mut count: usize) {
    while count > 0 {
        let taken = stage.sim().receive(peer, count).len();
        assert!(taken > 0, "there is nothing to take");
        count -= taken;
        stage.settle();
    }
}

#[test]
fn a_lingering_peer_must_still_take_the_minimum_in_each_stall_timeout() {
    for (count, ended) in [(LEAST - 1, true), (LEAST, false), (LEAST + 1, false)] {
        let (mut stage, peer) = lingering(strict());
        stage.say(peer, b"and another thing");
        stage.pass(STALL - MOMENT);
        take(&mut stage, peer, count);
        stage.pass(MOMENT);
        let cut = u64::from(ended);
        assert_eq!(stage.closed(CloseReason::TooLong), cut, "{count}");
        assert_eq!(stage.server.counters().lingers_cut, cut, "{count}");
        // The same span again from then on.
        stage.pass(STALL - MOMENT);
        assert_eq!(stage.closed(CloseReason::TooLong), cut, "{count}");
        stage.pass(MOMENT);
        assert_eq!(stage.closed(CloseReason::TooLong), 1, "{count}");
    }
}

#[test]
fn a_lingering_peer_that_keeps_sending_and_reads_slowly_receives_all_it_is_owed() {
    let (mut stage, peer) = lingering(strict());
    for _ in 0..(OWED - RECEIVE) / LEAST {
        stage.pass(STALL - MOMENT);
        take(&mut stage, peer, LEAST);
        stage.say(peer, b"and another thing");
        assert_eq!(stage.closed(CloseReason::TooLong), 0);
        stage.pass(MOMENT);
    }
    assert_eq!(stage.closed(CloseReason::TooLong), 1);
    // Bytes in the receive buffer of the peer survive the reset.
    assert_eq!(stage.hear(peer).len(), RECEIVE);
    assert_eq!(stage.server.counters().lingers_cut, 0);
}

#[test]
fn a_peer_that_has_acknowledged_everything_lingers_no_longer_than_others() {
    let (mut stage, peer) = lingering(strict());
    take(&mut stage, peer, OWED - RECEIVE);
    stage.pass(LINGER_TIMEOUT - MOMENT);
    assert_eq!(stage.closed(CloseReason::TooLong), 0);
    stage.pass(MOMENT);
    assert_eq!(stage.closed(CloseReason::TooLong), 1);
    assert_eq!(stage.hear(peer).len(), RECEIVE);
    assert_eq!(stage.server.counters().lingers_cut, 0);
}

#[test]
fn a_peer_that_sends_when_its_linger_time_ends_lingers_no_longer_than_others() {
    let (mut stage, peer) = lingering(strict());
    take(&mut stage, peer, OWED - RECEIVE);
    stage.sim().advance(LINGER_TIMEOUT);
    stage.say(peer, b"and another thing");
    assert_eq!(stage.closed(CloseReason::TooLong), 1);
}

#[test]
fn without_a_stall_timeout_only_a_shutdown_closes_a_peer_that_takes_nothing() {
    let (mut stage, peer) = lingering(Settings {
        stall_timeout: None,
        drain_timeout: LINGER_TIMEOUT,
        ..strict()
    });
    stage.pass(Duration::from_secs(3600));
    assert_eq!(stage.closed(CloseReason::TooLong), 0);
    stage.say(peer, b"and another thing");
    stage.server.drain();
    stage.pass(LINGER_TIMEOUT);
    assert_eq!((stage.server.is_done(), stage.server.cut()), (true, 1));
}

#[test]
fn a_shutdown_counts_lingering_peers_with_unacknowledged_replies_at_the_drain_timeout_as_cut() {
    for (taken, cut) in [(OWED - RECEIVE - 2, 1), (OWED - RECEIVE, 0)] {
        let (mut stage, peer) = lingering(Settings {
            drain_timeout: LINGER_TIMEOUT / 2,
            ..strict()
        });
        stage.server.drain();
        stage.settle();
        take(&mut stage, peer, taken);
        stage.pass(LINGER_TIMEOUT / 2);
        assert!(stage.server.is_done());
        assert_eq!(stage.server.cut(), cut, "{taken} taken");
    }
}

#[test]
fn a_shutdown_waits_for_a_lingering_peer_that_keeps_taking_its_replies() {
    let (mut stage, peer) = lingering(strict());
    stage.server.drain();
    stage.settle();
    for _ in 0..3 {
        take(&mut stage, peer, LEAST);
        stage.pass(LINGER_TIMEOUT);
        assert!(!stage.server.is_done());
    }
    take(&mut stage, peer, LEAST);
    stage.pass(LINGER_TIMEOUT);
    assert!(stage.server.is_done());
    assert_eq!((stage.server.cut(), stage.hear(peer).len()), (0, RECEIVE));
}

#[test]
fn silent_peers_are_closed_after_the_replies_that_the_kernel_holds() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        for (last, reason) in [
            (&b""[..], CloseReason::Idle),
            (b"\x02a", CloseReason::SlowFrame),
        ] {
            let settings = Settings {
                trigger,
                idle_timeout: Some(2 * SECOND),
                frame_timeout: Some(SECOND),
                ..strict()
            };
            let (mut stage, peer) = silent(settings, last);
            stage.pass(2 * SECOND);
            assert_eq!(stage.server.workspaces_acquired(), 0);
            assert_eq!(stage.server.counters().shutdown, 1, "{reason:?}");
            for _ in 0..(OWED - RECEIVE) / LEAST {
                stage.pass(STALL - MOMENT - SECOND);
                take(&mut stage, peer, LEAST);
                stage.say(peer, b"\x01x");
                stage.pass(SECOND + MOMENT);
            }
            stage.pass(STALL);
            assert_eq!(stage.hear(peer).len(), RECEIVE, "{reason:?}");
            assert_eq!(stage.closed(reason), 1);
            assert_eq!(stage.server.counters().closed.iter().sum::<u64>(), 1);
        }
    }
}

#[test]
fn silent_peers_that_take_nothing_are_closed_after_one_stall_timeout() {
    let (mut stage, _peer) = silent(
        Settings {
            idle_timeout: Some(SECOND),
            ..strict()
        },
        b"",
    );
    stage.pass(SECOND + STALL - MOMENT);
    assert_eq!(stage.closed(CloseReason::Idle), 0);
    stage.pass(MOMENT);
    let cut = stage.server.counters().lingers_cut;
    assert_eq!((stage.closed(CloseReason::Idle), cut), (1, 1));
}

#[test]
fn silent_peers_that_have_taken_everything_are_closed_at_once() {
    let (mut stage, peer) = silent(
        Settings {
            idle_timeout: Some(SECOND),
            ..strict()
        },
        b"",
    );
    take(&mut stage, peer, OWED - RECEIVE);
    stage.pass(SECOND);
    assert_eq!(stage.closed(CloseReason::Idle), 1);
    assert_eq!(stage.server.counters().shutdown, 0);
}

#[test]
fn a_lingering_peer_that_sends_fin_loses_no_reply_when_a_read_finds_no_memory() {
    // Found by the swarm, seed 41113352.
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut stage, peer) = lingering(Settings {
            trigger,
            ..strict()
        });
        stage.fail("recv", 1, ENOMEM);
        stage.say(peer, b"and another thing");
        assert_eq!(stage.server.counters().refused_memory, 1);
        stage.sim().finish(peer);
        stage.settle();
        assert_eq!(stage.hear(peer).len(), OWED, "{trigger:?}");
        assert_eq!(stage.link(peer), Link::Finished, "{trigger:?}");
    }
}

#[test]
fn a_lingering_peer_is_read_however_often_reads_find_no_memory() {
    let (mut stage, peer) = lingering(strict());
    for _ in 0..=MEMORY_RETRIES_MAX {
        stage.fail("recv", 1, ENOMEM);
        stage.say(peer, b".");
        stage.pass(MEMORY_RETRY_MIN);
        assert_eq!(stage.sim().unheard(peer), 0);
    }
    assert_eq!(stage.closed(CloseReason::Exhausted), 0);
    assert_eq!(stage.hear(peer).len(), OWED);
}

#[test]
fn a_lingering_peer_that_sends_fin_is_read_after_each_memory_pause_and_not_at_once() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut stage, peer) = lingering(Settings {
            trigger,
            ..strict()
        });
        stage.fail("recv", MEMORY_RETRIES_MAX.into(), ENOMEM);
        stage.say(peer, b"and another thing");
        stage.sim().finish(peer);
        stage.settle();
        // The hang-up is reported once and causes one more try.
        assert_eq!(stage.server.counters().refused_memory, 2, "{trigger:?}");
        stage.pass(2 * SECOND);
        let refused = stage.server.counters().refused_memory;
        assert_eq!(refused, MEMORY_RETRIES_MAX.into(), "{trigger:?}");
        assert_eq!(stage.hear(peer).len(), OWED, "{trigger:?}");
        assert_eq!(stage.link(peer), Link::Finished, "{trigger:?}");
    }
}
