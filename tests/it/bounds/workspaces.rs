//! How long a workspace may be held: slow frames, slow readers, and the connections that wait for
//! them.

use mynah::limits::EVENTS_PER_TURN;

use super::*;

fn framed(timeout: Duration) -> Stage {
    Stage::new(Settings {
        frame_timeout: Some(timeout),
        workspaces: 1,
        ..plain()
    })
}

#[test]
fn a_frame_has_until_the_frame_timeout_and_no_moment_longer() {
    for (late, ended) in [(0, false), (1, true), (2, true)] {
        let mut stage = framed(SECOND);
        let peer = stage.connect();
        stage.say(peer, b"\x02a");
        stage.pass(SECOND - MOMENT);
        stage.pass(MOMENT * late);
        assert_eq!(
            stage.closed(CloseReason::SlowFrame) == 1,
            ended,
            "{late} late"
        );
        if !ended {
            stage.say(peer, b"b");
            assert_eq!(stage.hear(peer), b"\x02ab");
        }
    }
}

#[test]
fn a_byte_a_second_does_not_hold_a_workspace_for_ever() {
    let mut stage = framed(30 * SECOND);
    let (slow, other) = (stage.connect(), stage.connect());
    stage.say(slow, b"\x3f");
    stage.say(other, b"\x01x");
    assert_eq!(
        stage.hear(other),
        b"",
        "there is one workspace and it is taken"
    );
    for _ in 0..29 {
        stage.pass(SECOND);
        stage.say(slow, b".");
    }
    assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
    stage.pass(SECOND);
    assert_eq!(stage.closed(CloseReason::SlowFrame), 1);
    assert_eq!(stage.hear(other), b"\x01x");
}

#[test]
fn every_frame_has_the_whole_frame_timeout() {
    let mut stage = framed(SECOND);
    let peer = stage.connect();
    stage.say(peer, b"\x01");
    for _ in 0..5 {
        stage.pass(SECOND - MOMENT);
        stage.say(peer, b"x\x01");
        assert_eq!(stage.hear(peer), b"\x01x");
    }
    assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
    stage.pass(SECOND);
    assert_eq!(stage.closed(CloseReason::SlowFrame), 1);
}

#[test]
fn frames_that_follow_each_other_by_bytes_hold_no_workspace_while_others_wait() {
    for (least, ended) in [(7, true), (6, false)] {
        let mut stage = Stage::new(Settings {
            frame_timeout: Some(SECOND),
            stall_size_min: least,
            workspaces: 1,
            ..plain()
        });
        let (slow, other) = (stage.connect(), stage.connect());
        stage.say(slow, b"\x01");
        stage.say(other, b"\x01x");
        for _ in 0..3 {
            stage.pass(SECOND / 4);
            stage.say(slow, b"x\x01");
        }
        assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
        assert_eq!(stage.hear(other), b"");
        stage.pass(SECOND / 4);
        // Six bytes have arrived since its first one.
        assert_eq!(stage.closed(CloseReason::SlowFrame) == 1, ended, "{least}");
        assert_eq!(stage.hear(other) == b"\x01x", ended);
    }
}

#[test]
fn between_frames_the_frame_timeout_does_not_run() {
    let mut stage = framed(SECOND);
    let peer = stage.connect();
    stage.say(peer, b"\x02a");
    stage.say(peer, b"b");
    stage.pass(100 * SECOND);
    assert_eq!(stage.link(peer), Link::Open);
}

/// A peer that has filled the pipes and reads nothing, and another that waits for its workspace.
fn stalled(idle_timeout: Option<Duration>) -> (Stage, Peer) {
    let pipe = Pipe {
        send: 8,
        receive: 8,
    };
    let settings = Settings {
        stall_timeout: Some(SECOND),
        idle_timeout,
        workspaces: 1,
        ..plain()
    };
    let config = Config {
        reply: pipe,
        ..Config::default()
    };
    let mut stage = Stage::with(settings, config);
    let (stuck, other) = (stage.connect(), stage.connect());
    stage.say(stuck, &[b"\x1f".as_slice(), &[b'.'; 31]].concat());
    stage.say(other, b"\x01x");
    (stage, other)
}

#[test]
fn a_peer_that_takes_no_byte_for_the_stall_timeout_makes_room_for_a_waiting_one() {
    let (mut stage, other) = stalled(None);
    stage.pass(SECOND - MOMENT);
    assert_eq!(stage.hear(other), b"");
    stage.pass(MOMENT);
    assert_eq!(stage.closed(CloseReason::Stalled), 1);
    assert_eq!(stage.hear(other), b"\x01x");
}

#[test]
fn a_wait_that_ends_in_the_turn_of_its_deadline_succeeds() {
    // Found by the swarm, seed 82199: the connection got a workspace and was then closed as idle.
    let (mut stage, other) = stalled(Some(SECOND));
    stage.pass(SECOND);
    assert_eq!(stage.closed(CloseReason::Stalled), 1);
    assert_eq!(stage.hear(other), b"\x01x");
}

/// A slow peer that is owed 30 bytes, must take 4 of them per second, and gets an event for each
/// byte it takes; and another that waits for its workspace.
fn dribbled() -> (Stage, Peer, Peer) {
    let settings = Settings {
        stall_timeout: Some(SECOND),
        stall_size_min: 4,
        workspaces: 1,
        ..plain()
    };
    let pipe = Pipe {
        send: 1,
        receive: 1,
    };
    let config = Config {
        reply: pipe,
        ..Config::default()
    };
    let mut stage = Stage::with(settings, config);
    let (slow, other) = (stage.connect(), stage.connect());
    stage.say(slow, &[b"\x1f".as_slice(), &[b'.'; 31]].concat());
    stage.say(other, b"\x01x");
    (stage, slow, other)
}

fn take(stage: &mut Stage, peer: Peer, count: u64) {
    for _ in 0..count {
        assert_eq!(stage.sim().receive(peer, 1).len(), 1);
        stage.settle();
    }
}

#[test]
fn each_stall_timeout_requires_the_minimum_to_be_taken() {
    for (count, ended) in [(3, true), (4, false), (5, false)] {
        let (mut stage, slow, _) = dribbled();
        stage.pass(SECOND - MOMENT);
        take(&mut stage, slow, count);
        stage.pass(MOMENT);
        assert_eq!(stage.closed(CloseReason::Stalled) == 1, ended, "{count}");
        if !ended {
            // The same amount again from then on, and not a nanosecond longer.
            take(&mut stage, slow, 2);
            stage.pass(SECOND - 2 * MOMENT);
            assert_eq!(stage.closed(CloseReason::Stalled), 0, "{count}");
            stage.pass(MOMENT);
            assert_eq!(stage.closed(CloseReason::Stalled), 1, "{count}");
        }
    }
}

#[test]
fn a_peer_that_takes_single_bytes_does_not_keep_a_workspace() {
    let (mut stage, slow, other) = dribbled();
    for _ in 0..3 {
        stage.pass(SECOND / 4);
        take(&mut stage, slow, 1);
    }
    assert_eq!(stage.closed(CloseReason::Stalled), 0);
    assert_eq!(stage.hear(other), b"");
    stage.pass(SECOND / 4);
    assert_eq!(stage.closed(CloseReason::Stalled), 1);
    assert_eq!(stage.hear(other), b"\x01x");
}

#[test]
fn answers_of_several_turns_are_under_one_stall_timeout() {
    for (least, ended) in [(17, true), (16, false), (15, false)] {
        let settings = Settings {
            stall_timeout: Some(SECOND),
            stall_size_min: least,
            frames_per_event: 1,
            workspaces: 1,
            ..plain()
        };
        let reply = Pipe {
            send: 4,
            receive: 4,
        };
        let config = Config {
            reply,
            ..Config::default()
        };
        let mut stage = Stage::with(settings, config);
        let (slow, other) = (stage.connect(), stage.connect());
        stage.say(slow, &b"\x01.".repeat(20));
        stage.say(other, b"\x01x");
        // What the peer takes at a time is all that it is owed and the answers of a whole event.
        for _ in 0..2 {
            stage.pass(SECOND / 2 - MOMENT);
            assert_eq!(stage.hear(slow).len(), 8);
        }
        stage.pass(2 * MOMENT);
        assert_eq!(
            stage.closed(CloseReason::Stalled) == 1,
            ended,
            "{least} bytes"
        );
    }
}

/// A peer that is owed more than the pipe holds, must take 4 bytes per second, and causes no event
/// when it takes them.
fn unheard() -> (Stage, Peer) {
    let reply = Pipe {
        send: 30,
        receive: 6,
    };
    let config = Config {
        reply,
        ..Config::default()
    };
    let settings = Settings {
        stall_timeout: Some(SECOND),
        stall_size_min: 4,
        ..plain()
    };
    let mut stage = Stage::with(settings, config);
    let slow = stage.connect();
    stage.say(slow, &[b"\x3f".as_slice(), &[b'.'; 63]].concat());
    stage.pass(SECOND - MOMENT);
    (stage, slow)
}

#[test]
fn a_peer_that_read_without_an_event_is_offered_more_before_it_counts_as_stalled() {
    for (count, ended) in [(3, true), (4, false), (5, false)] {
        let (mut stage, slow) = unheard();
        // Too little for the kernel to report room.
        let events = stage.server.counters().events;
        take(&mut stage, slow, count);
        assert_eq!(stage.server.counters().events, events);
        stage.pass(MOMENT);
        assert_eq!(stage.closed(CloseReason::Stalled) == 1, ended, "{count}");
    }
}

#[test]
fn an_offer_for_which_the_kernel_has_no_memory_is_made_again() {
    // Found by the swarm, seed 7000689: the time of the retry was overwritten.
    let (mut stage, slow) = unheard();
    take(&mut stage, slow, 5);
    stage.fail("send", 1, ENOBUFS);
    stage.pass(MOMENT);
    let mut heard = 5;
    for _ in 0..20 {
        stage.pass(SECOND / 4);
        heard += stage.hear(slow).len();
    }
    assert_eq!((stage.closed(CloseReason::Stalled), heard), (0, 64));
}

#[test]
fn a_peer_that_takes_all_it_is_owed_is_not_stalled_however_little_that_is() {
    let (mut stage, slow, _) = dribbled();
    take(&mut stage, slow, 28);
    stage.pass(SECOND - MOMENT);
    take(&mut stage, slow, 2);
    stage.pass(100 * SECOND);
    assert_eq!(stage.closed(CloseReason::Stalled), 0);
}

#[test]
fn a_connection_that_waits_for_a_workspace_past_the_idle_timeout_has_its_own_close_reason() {
    let settings = Settings {
        idle_timeout: Some(SECOND),
        workspaces: 1,
        ..plain()
    };
    let mut stage = Stage::new(settings);
    let (holder, other) = (stage.connect(), stage.connect());
    stage.say(holder, b"\x3f");
    stage.pass(SECOND / 2);
    stage.say(other, b"\x01x");
    for _ in 0..2 {
        stage.say(holder, b".");
        stage.pass(SECOND / 2 - MOMENT);
    }
    assert_eq!(
        stage.closed(CloseReason::Starved),
        0,
        "its time counts from when it spoke"
    );
    stage.say(holder, b".");
    stage.pass(2 * MOMENT);
    assert_eq!(stage.closed(CloseReason::Starved), 1);
    assert_eq!(stage.closed(CloseReason::Idle), 0);
}

#[test]
fn a_lingering_connection_needs_no_workspace_to_be_read() {
    // Found by the swarm, seed 145568: the lingering connection waited for a workspace, the FIN of
    // its peer was reported as HUP, and the connection was closed at once. That destroyed the reply
    // in flight.
    let settings = Settings {
        workspaces: 1,
        ..plain()
    };
    let config = Config {
        reply: Pipe {
            send: 60,
            receive: 1,
        },
        ..Config::default()
    };
    let mut stage = Stage::with(settings, config);
    let (liar, holder) = (stage.connect(), stage.connect());
    stage.say(liar, b"\x03abc\xff");
    stage.say(holder, b"\x3f");
    stage.say(liar, b"more of it");
    stage.sim().finish(liar);
    stage.settle();
    assert_eq!(stage.hear(liar), b"\x03abc");
    assert_eq!(stage.link(liar), Link::Finished);
}

#[test]
fn a_lingering_connection_is_read_to_its_end_during_a_drain_under_edge_trigger() {
    // Found by the swarm, seed 10440: after a read that was filled completely, the rest was never
    // read.
    let settings = Settings {
        trigger: Trigger::Edge,
        ..plain()
    };
    let config = Config {
        reply: Pipe {
            send: 8,
            receive: 8,
        },
        ..Config::default()
    };
    let mut stage = Stage::with(settings, config);
    let peer = stage.connect();
    stage.say(peer, &[b"\x1f".as_slice(), &[b'.'; 31]].concat());
    stage.server.drain();
    stage.pass(SECOND + MOMENT);
    assert_eq!(stage.hear(peer).len() + stage.hear(peer).len(), 32);
    stage.say(peer, &vec![b'.'; 40_000]);
    assert_eq!(stage.server.counters().bytes_in, 32 + 40_000);
    stage.pass(LINGER_TIMEOUT);
    assert_eq!(stage.link(peer), Link::Finished);
}

#[test]
fn data_that_arrived_during_a_long_stop_is_read_before_deadlines_are_checked() {
    let mut stage = Stage::new(Settings {
        idle_timeout: Some(SECOND),
        connections_max: 2 * EVENTS_PER_TURN + 9,
        ..plain()
    });
    let peers: Vec<Peer> = (0..2 * EVENTS_PER_TURN + 9)
        .map(|_| stage.connect())
        .collect();
    let (silent, speakers) = peers.split_first().expect("there are some");
    stage.sim().advance(100 * SECOND);
    for peer in speakers {
        stage.sim().send(*peer, b"\x01x");
    }
    stage.settle();
    assert_eq!(stage.closed(CloseReason::Idle), 1);
    for peer in speakers {
        assert_eq!(stage.hear(*peer), b"\x01x");
    }
    assert_eq!(stage.hear(*silent), b"");
}

#[test]
fn peers_that_always_have_data_delay_the_deadlines_of_others_by_one_round_at_most() {
    let crowd = 2 * EVENTS_PER_TURN;
    let mut stage = Stage::new(Settings {
        idle_timeout: Some(SECOND),
        connections_max: crowd + 1,
        ..plain()
    });
    let peers: Vec<Peer> = (0..crowd + 1).map(|_| stage.connect()).collect();
    let (silent, speakers) = peers.split_first().expect("there are some");
    stage.sim().advance(SECOND);
    let now = stage.sim().time();
    stage.sim().stop_at(now);
    let mut turns = 0;
    while stage.closed(CloseReason::Idle) == 0 {
        for peer in speakers {
            stage.sim().send(*peer, b"\x01x");
        }
        stage.server.turn(Time::NEVER).expect("a turn");
        turns += 1;
        assert!(turns <= 4, "{turns}");
    }
    // 1,025 connections need three batches. The fourth turn checks the deadlines.
    assert_eq!(turns, 4);
    assert_eq!(stage.link(*silent), Link::Finished);
}
