//! Shutdown: first the accept queue, then all owed replies, then the end, within bounded time.

use mynah::limits::{DRAIN_READ_TIMEOUT, DRAIN_READS_MIN, EVENTS_PER_TURN, LINGER_TIMEOUT};

use super::bytes::{pattern, push};
use super::*;

/// Starts the drain and lets the server run.
fn drain<S: Service>(play: &mut Play<S>) {
    play.server.drain();
    play.fixed_sockets = 1;
    play.quiet();
}

#[test]
fn a_server_without_connections_is_done_at_once() {
    echo(Config::default(), settings(), |play| {
        assert!(!play.server.is_done());
        drain(play);
        assert!(play.server.is_done());
    });
}

#[test]
fn a_drain_closes_idle_peers_with_fin() {
    echo(Config::default(), settings(), |play| {
        let (quiet, busy) = (play.connect(), play.connect());
        play.ask(busy, b"hello");
        drain(play);
        assert_eq!([play.link(quiet), play.link(busy)], [Link::Finished; 2]);
        assert!(play.server.is_done());
        assert_eq!(
            (play.closed(CloseReason::Shutdown), play.server.cut()),
            (2, 0)
        );
    });
}

#[test]
fn a_drain_closes_many_idle_connections_over_several_turns_so_that_signals_are_taken_in_between() {
    const LATER: usize = 3;
    let settings = Settings {
        connections_max: EVENTS_PER_TURN + LATER,
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        for _ in 0..EVENTS_PER_TURN + LATER {
            play.connect();
        }
        play.server.drain();
        play.fixed_sockets = 1;
        play.turn();
        assert_eq!(play.counters().connections_now, LATER as u64);
        play.turn();
        assert!(play.server.is_done());
    });
}

#[test]
fn what_has_arrived_is_answered_before_the_end() {
    echo(Config::default(), settings(), |play| {
        let peer = play.connect();
        play.sim().send(peer, b"last words");
        drain(play);
        assert_eq!(play.receive(peer), b"last words");
        assert_eq!(play.link(peer), Link::Finished);
        assert!(play.server.is_done());
    });
}

#[test]
fn replies_owed_to_a_slow_reader_are_delivered_and_so_is_what_waits_behind_them() {
    echo(narrow(), settings(), |play| {
        let peer = play.connect();
        let bytes = pattern(5000);
        let sent = push(play, peer, &bytes);
        drain(play);
        assert!(!play.server.is_done());
        let mut heard = Vec::new();
        while play.sim().peer_state(peer).unread > 0 {
            heard.extend(play.sim().receive(peer, 50));
            play.quiet();
        }
        assert_eq!(
            heard.len(),
            sent,
            "every byte sent before the end comes back"
        );
        assert_eq!(heard, bytes[..sent]);
        assert_eq!(play.link(peer), Link::Finished);
        play.sim().close_peer(peer);
        play.quiet();
        assert!(play.server.is_done());
        assert_eq!(
            (play.closed(CloseReason::Shutdown), play.server.cut()),
            (1, 0)
        );
    });
}

#[test]
fn a_drain_sends_fin_and_keeps_reading_while_replies_are_unacknowledged() {
    echo(narrow(), settings(), |play| {
        let peer = play.connect();
        let bytes = pattern(300);
        assert_eq!(push(play, peer, &bytes), 300);
        play.pass(STALL);
        drain(play);
        // A close would answer these bytes with RST, and the RST would destroy replies still in
        // flight.
        play.send(peer, b"too late");
        play.pass(LINGER_TIMEOUT - NANOSECOND);
        assert_eq!(play.counters().connections_now, 1);
        assert_eq!(play.receive(peer), bytes);
        assert_eq!(play.link(peer), Link::Finished);
        play.pass(NANOSECOND);
        assert!(play.server.is_done());
        assert_eq!((play.counters().shutdown, play.server.cut()), (1, 0));
    });
}

#[test]
fn the_queue_of_the_listener_is_served_first() {
    echo(Config::default(), settings(), |play| {
        let peers = [0; 3].map(|_| play.sim().connect(0));
        for peer in peers {
            play.sim().send(peer, b"hello");
        }
        // One of the three connections is aborted while it is queued.
        play.sim().fail("accept4", 2, libc::ECONNABORTED);
        drain(play);
        for peer in peers {
            assert_eq!(play.receive(peer), b"hello");
            assert_eq!(play.link(peer), Link::Finished);
        }
        assert!(play.server.is_done());
        assert_eq!(play.counters().connections_total, 3);
    });
}

#[test]
fn a_paused_listener_is_accepted_from_once_more_in_a_drain() {
    echo(Config::default(), settings(), |play| {
        play.sim().fail("accept4", 1, libc::EMFILE);
        let _refused = play.sim().connect(0);
        let waiting = play.connect();
        play.sim().send(waiting, b"hello");
        assert_eq!(play.counters().refused_resources, 1);
        drain(play);
        assert_eq!(play.receive(waiting), b"hello");
        assert!(play.server.is_done());
    });
}

#[test]
fn a_drain_serves_queued_connections_as_slots_become_free() {
    let settings = Settings {
        connections_max: 2,
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        let inside = [0; 2].map(|_| play.connect());
        let outside = [0; 5].map(|_| play.connect());
        for peer in outside {
            play.sim().send(peer, b"hello");
        }
        drain(play);
        assert_eq!(inside.map(|peer| play.link(peer)), [Link::Finished; 2]);
        for peer in outside {
            assert_eq!(play.receive(peer), b"hello");
            assert_eq!(play.link(peer), Link::Finished);
        }
        assert!(play.server.is_done());
        assert_eq!(play.closed(CloseReason::Shutdown), 7);
    });
}

#[test]
fn a_flooding_peer_is_read_from_for_a_bounded_time() {
    let workspace = WorkspaceSize {
        inbound: 64,
        outbound: 0,
    };
    let settings = Settings {
        workspace,
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        let peer = play.connect();
        let reading_ends = play.sim().time().after(DRAIN_READ_TIMEOUT);
        play.server.drain();
        play.fixed_sockets = 1;
        let mut cut_off = None;
        while !play.server.is_done() {
            // The peer always has more to read than the budget of two turns.
            play.sim().send(peer, &pattern(10_000));
            play.turn();
            play.turn();
            play.sim().receive_all(peer);
            let now = play.sim().time();
            if play.link(peer) == Link::Finished {
                cut_off = cut_off.or(Some(now));
            }
            assert!(
                now <= reading_ends.after(LINGER_TIMEOUT),
                "it lingers as others do"
            );
            play.sim().advance(Duration::from_millis(1));
        }
        assert_eq!(cut_off, Some(reading_ends));
        assert_eq!(
            (play.closed(CloseReason::Shutdown), play.server.cut()),
            (1, 0)
        );
    });
}

#[test]
fn a_peer_that_does_not_take_its_replies_is_cut_at_the_drain_time_out() {
    echo(narrow(), settings(), |play| {
        let (stuck, other) = (play.connect(), play.connect());
        push(play, stuck, &pattern(5000));
        play.ask(other, b"hello");
        drain(play);
        play.pass(DRAIN - NANOSECOND);
        assert_eq!(play.counters().connections_now, 1);
        assert!(!play.server.is_done());
        play.pass(NANOSECOND);
        assert!(play.server.is_done());
        assert_eq!((play.closed(CloseReason::Cut), play.server.cut()), (1, 1));
    });
}

#[test]
fn a_peer_that_lingers_at_the_drain_timeout_does_not_count_as_cut() {
    let settings = Settings {
        drain_timeout: LINGER_TIMEOUT / 2,
        ..settings()
    };
    under_both(
        Config::default(),
        settings,
        framing("u16be", 16),
        Echo,
        |play| {
            let peer = play.connect();
            play.send(peer, &hex("FFFF"));
            drain(play);
            play.pass(LINGER_TIMEOUT / 2);
            assert!(play.server.is_done());
            assert_eq!(
                (play.closed(CloseReason::TooLong), play.server.cut()),
                (1, 0)
            );
        },
    );
}

/// A frame: a length of two bytes, then a payload of five.
const FRAME: &str = "000568656c6c6f";

/// Starts the drain when one peer has sent the first three bytes of [`FRAME`].
fn drain_inside_a_frame(settings: Settings, play: impl Fn(&mut Play<Echo>, Peer)) {
    let framing = framing("u16be", 16);
    under_both(Config::default(), settings, framing, Echo, |stage| {
        let peer = stage.connect();
        stage.send(peer, &hex(FRAME)[..3]);
        drain(stage);
        assert!(!stage.server.is_done());
        play(stage, peer);
    });
}

#[test]
fn a_request_incomplete_at_the_signal_is_completed_and_answered() {
    // Before and after DRAIN_READ_TIMEOUT, which bounds peers that keep sending.
    for late in [Duration::from_millis(300), 3 * DRAIN_READ_TIMEOUT] {
        drain_inside_a_frame(settings(), |play, peer| {
            play.pass(late);
            play.send(peer, &hex(FRAME)[3..]);
            assert_eq!(play.receive(peer), hex(FRAME));
            assert_eq!(play.link(peer), Link::Finished);
            assert!(play.server.is_done());
            assert_eq!(
                (play.closed(CloseReason::Shutdown), play.server.cut()),
                (1, 0)
            );
        });
    }
}

#[test]
fn a_request_that_trickles_in_during_a_drain_has_its_frame_timeout() {
    let settings = Settings {
        frame_timeout: Some(Duration::from_secs(5)),
        ..settings()
    };
    drain_inside_a_frame(settings, |play, peer| {
        play.pass(Duration::from_secs(4));
        play.send(peer, &hex(FRAME)[3..4]);
        play.pass(Duration::from_secs(1) - NANOSECOND);
        assert!(!play.server.is_done());
        play.pass(NANOSECOND);
        assert!(play.server.is_done());
        assert_eq!(
            (play.closed(CloseReason::SlowFrame), play.server.cut()),
            (1, 0)
        );
    });
}

#[test]
fn a_request_that_never_ends_is_cut_at_the_drain_timeout() {
    drain_inside_a_frame(settings(), |play, _| {
        play.pass(DRAIN - NANOSECOND);
        assert!(!play.server.is_done());
        play.pass(NANOSECOND);
        assert!(play.server.is_done());
        assert_eq!((play.closed(CloseReason::Cut), play.server.cut()), (1, 1));
    });
}

#[test]
fn after_the_read_timeout_of_a_drain_one_request_is_finished_and_none_behind_it() {
    drain_inside_a_frame(settings(), |play, peer| {
        play.pass(DRAIN_READ_TIMEOUT);
        // The rest of the first request and the beginning of a second.
        play.send(peer, &[&hex(FRAME)[3..], &hex(FRAME)[..3]].concat());
        assert_eq!(play.receive(peer), hex(FRAME));
        assert_eq!(play.link(peer), Link::Finished);
        play.pass(LINGER_TIMEOUT);
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 0);
    });
}

#[test]
fn the_bytes_of_a_cut_letter_are_delivered_before_the_end() {
    let raw = Framing::Raw(Raw);
    under_both(Config::default(), settings(), raw, UpperUnicode, |play| {
        let peer = play.connect();
        play.send(peer, b"a\xc3");
        assert_eq!(play.receive(peer), b"A");
        drain(play);
        assert_eq!(play.receive(peer), b"\xc3");
        assert_eq!(play.link(peer), Link::Finished);
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 0);
    });
}

#[test]
fn a_letter_that_a_drain_has_cut_is_not_continued() {
    let raw = Framing::Raw(Raw);
    under_both(narrow(), settings(), raw, UpperUnicode, |play| {
        let peer = play.connect();
        // So many replies that the sockets are full and the cut letter has to wait.
        let full = [b'a'; 400];
        assert_eq!(push(play, peer, &full), full.len());
        assert_eq!(push(play, peer, b"\xc3"), 1);
        drain(play);
        play.send(peer, b"\xa9b");
        let mut heard = play.receive(peer);
        play.quiet();
        heard.extend(play.receive(peer));
        let (letters, end) = heard.split_at(full.len().min(heard.len()));
        assert!(letters.iter().all(|byte| *byte == b'A'));
        assert_eq!(end, b"\xc3");
        play.pass(LINGER_TIMEOUT);
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 0);
    });
}

#[test]
fn the_end_of_the_stream_inside_a_request_ends_a_drain() {
    drain_inside_a_frame(settings(), |play, peer| {
        play.sim().close_peer(peer);
        play.quiet();
        assert!(play.server.is_done());
        assert_eq!(
            (play.closed(CloseReason::Truncated), play.server.cut()),
            (1, 0)
        );
    });
}

#[test]
fn a_drain_serves_connections_that_wait_for_a_workspace_in_order() {
    let settings = Settings {
        workspaces: 1,
        ..settings()
    };
    echo(narrow(), settings, |play| {
        let [holder, second, third] = [0; 3].map(|_| play.connect());
        let sent = push(play, holder, &pattern(5000));
        play.send(second, b"hello");
        play.send(third, b"hello");
        let before = play.counters().clone();
        assert_eq!(before.workspace_waits, 2);
        drain(play);
        let counters = play.counters();
        assert_eq!(counters.workspace_waits, 2, "they were waiting already");
        assert_eq!(counters.interest_changes, before.interest_changes);
        assert_eq!(play.receive(holder).len(), sent);
        assert_eq!(play.receive(second), b"hello");
        assert_eq!(play.receive(third), b"hello");
        assert!(play.server.is_done());
    });
}

#[test]
fn a_connection_that_gets_a_workspace_after_the_read_timeout_of_a_drain_is_answered() {
    let settings = Settings {
        workspaces: 1,
        ..settings()
    };
    echo(narrow(), settings, |play| {
        let [holder, second, third] = [0; 3].map(|_| play.connect());
        let sent = push(play, holder, &pattern(5000));
        play.send(second, b"hello");
        drain(play);
        // The request arrives when the server no longer accepts, but before the server can read it.
        play.pass(DRAIN_READ_TIMEOUT + NANOSECOND);
        play.sim().send(third, b"hello too");
        play.quiet();
        assert_eq!(play.receive(holder).len(), sent);
        assert_eq!(play.receive(second), b"hello");
        assert_eq!(play.receive(third), b"hello too");
        play.pass(LINGER_TIMEOUT);
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 0);
    });
}

#[test]
fn reads_after_the_read_timeout_of_a_drain_are_bounded() {
    const READ: usize = 64;
    let settings = Settings {
        workspaces: 1,
        workspace: WorkspaceSize {
            inbound: READ,
            outbound: 0,
        },
        ..settings()
    };
    let most = usize::from(DRAIN_READS_MIN);
    for reads in [most - 1, most, most + 1] {
        let config = Config {
            request: Pipe {
                send: 2 * most * READ,
                ..narrow().request
            },
            ..narrow()
        };
        echo(config, settings.clone(), |play| {
            let [holder, late] = [0; 2].map(|_| play.connect());
            let sent = push(play, holder, &pattern(1000));
            drain(play);
            play.pass(DRAIN_READ_TIMEOUT + NANOSECOND);
            let said = pattern(reads * READ);
            assert_eq!(play.sim().send(late, &said), said.len());
            assert_eq!(play.receive(holder).len(), sent);
            play.quiet();
            let heard = reads.min(most) * READ;
            assert_eq!(play.receive(late), said[..heard], "{reads} reads");
        });
    }
}

#[test]
fn a_connection_without_a_workspace_at_the_drain_timeout_counts_as_cut() {
    let settings = Settings {
        workspaces: 1,
        stall_timeout: None,
        ..settings()
    };
    echo(narrow(), settings, |play| {
        let [holder, second] = [0; 2].map(|_| play.connect());
        push(play, holder, &pattern(5000));
        play.send(second, b"hello");
        drain(play);
        play.pass(DRAIN);
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 2);
    });
}

#[test]
fn a_second_drain_has_no_effect() {
    echo(narrow(), settings(), |play| {
        let peer = play.connect();
        push(play, peer, &pattern(5000));
        drain(play);
        play.pass(DRAIN / 2);
        drain(play);
        play.pass(DRAIN / 2);
        assert!(play.server.is_done());
    });
}
