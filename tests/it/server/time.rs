//! Deadlines at their bound, one nanosecond before it, and after they were moved.

use mynah::limits::LINGER_TIMEOUT;

use super::bytes::{pattern, push};
use super::*;

#[test]
fn a_silent_peer_is_closed_at_the_idle_time_out_and_not_before() {
    echo(Config::default(), settings(), |play| {
        let start = play.sim().time();
        let peer = play.connect();
        assert_eq!(play.quiet(), start.after(IDLE), "it sleeps until then");
        play.pass(IDLE - NANOSECOND);
        assert_eq!(play.counters().connections_now, 1);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::Idle), 1);
        assert_eq!(play.link(peer), Link::Finished);
    });
}

#[test]
fn every_byte_moves_the_idle_deadline() {
    echo(Config::default(), settings(), |play| {
        let peer = play.connect();
        for _ in 0..3 {
            play.pass(IDLE - NANOSECOND);
            play.ask(peer, b"!");
        }
        play.pass(IDLE - NANOSECOND);
        assert_eq!(play.counters().connections_now, 1);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::Idle), 1);
    });
}

#[test]
fn a_deadline_that_was_moved_is_noticed_when_the_armed_one_comes() {
    echo(Config::default(), settings(), |play| {
        let start = play.sim().time();
        let peer = play.connect();
        play.pass(IDLE / 2);
        play.ask(peer, b"!");
        assert_eq!(play.quiet(), start.after(IDLE), "as armed at first");
        play.pass(IDLE / 2);
        assert_eq!(
            play.quiet(),
            start.after(IDLE / 2).after(IDLE),
            "as it is in truth"
        );
    });
}

#[test]
fn the_idle_time_out_ends_half_a_frame_and_takes_its_workspace_back() {
    let framing = framing("u16be", 1000);
    under_both(Config::default(), settings(), framing, Echo, |play| {
        let peer = play.connect();
        play.send(peer, &hex("000361"));
        assert_eq!(play.server.workspaces_acquired(), 1);
        play.pass(IDLE);
        assert_eq!(play.closed(CloseReason::Idle), 1);
        assert_eq!(play.server.workspaces_acquired(), 0);
    });
}

#[test]
fn a_peer_that_takes_nothing_is_closed_at_the_stall_time_out_and_not_before() {
    echo(narrow(), settings(), |play| {
        let peer = play.connect();
        push(play, peer, &pattern(5000));
        play.pass(STALL - NANOSECOND);
        assert_eq!(play.counters().connections_now, 1);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::Stalled), 1);
        assert_eq!(
            play.link(peer),
            Link::Reset,
            "what it had sent was not read"
        );
    });
}

#[test]
fn every_byte_a_peer_takes_moves_the_stall_deadline() {
    // The whole request is read at once. From then on, only writes can show progress.
    let config = Config {
        reply: narrow().reply,
        ..Config::default()
    };
    echo(config, settings(), |play| {
        let peer = play.connect();
        play.send(peer, &pattern(1000));
        play.pass(STALL - NANOSECOND);
        assert_eq!(play.sim().receive(peer, 100).len(), 100);
        play.pass(STALL - NANOSECOND);
        assert_eq!(play.counters().connections_now, 1);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::Stalled), 1);
    });
}

#[test]
fn each_poll_of_a_spinning_loop_counts_as_a_wait() {
    let settings = Settings {
        spin: Some(Duration::from_micros(20)),
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        play.connect();
        let later = play.sim().time().after(Duration::from_millis(1));
        play.sim().stop_at(later);
        let before = play.counters().epoll_wait;
        play.server.turn(later).expect("a turn does not fail");
        let waits = play.counters().epoll_wait - before;
        assert!(waits > 2, "{waits}: it has not spun");
        // At the end of every play, [`Play::end`] compares them with the calls the kernel counted.
    });
}

#[test]
fn a_closed_connection_leaves_no_deadline() {
    echo(Config::default(), settings(), |play| {
        let peer = play.connect();
        play.sim().finish(peer);
        assert_eq!(play.quiet(), Time::NEVER);
    });
}

#[test]
fn a_peer_that_has_caught_up_is_under_the_idle_time_out_again() {
    echo(narrow(), settings(), |play| {
        let peer = play.connect();
        push(play, peer, &pattern(5000));
        play.receive(peer);
        play.pass(IDLE - NANOSECOND);
        assert_eq!(play.counters().connections_now, 1);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::Idle), 1);
    });
}

#[test]
fn a_lingering_peer_is_closed_at_the_linger_timeout_however_much_it_sends() {
    let framing = framing("u16be", 16);
    under_both(Config::default(), settings(), framing, Echo, |play| {
        let peer = play.connect();
        play.send(peer, &hex("FFFF"));
        assert_eq!(play.link(peer), Link::Finished);
        for _ in 0..4 {
            play.pass(LINGER_TIMEOUT / 4 - NANOSECOND);
            play.send(peer, &pattern(2000));
        }
        assert_eq!(play.counters().connections_now, 1);
        play.pass(NANOSECOND * 4);
        assert_eq!(play.closed(CloseReason::TooLong), 1);
        assert_eq!(play.counters().connections_now, 0);
    });
}

#[test]
fn deadlines_come_due_one_by_one_in_their_order() {
    echo(Config::default(), settings(), |play| {
        let peers = [0; 3].map(|_| {
            let peer = play.connect();
            play.pass(Duration::from_secs(1));
            peer
        });
        play.pass(IDLE - Duration::from_secs(3));
        for left in [2, 1, 0] {
            assert_eq!(play.counters().connections_now, left);
            assert_eq!(play.link(peers[2 - left as usize]), Link::Finished);
            play.pass(Duration::from_secs(1));
        }
    });
}
