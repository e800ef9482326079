//! Events for closed connections whose slot and descriptor number belong to another connection.

use super::*;

/// A simulated kernel with one fault at probability 1.
fn with(faults: Faults) -> Config {
    Config {
        faults,
        ..Config::default()
    }
}

#[test]
fn a_late_event_does_not_reach_the_next_holder_of_its_slot_and_number() {
    let late = Faults {
        stale: 1.0,
        ..Faults::none()
    };
    echo(with(late), settings(), |play| {
        let first = play.sim().connect(0);
        play.turn();
        play.sim().finish(first);
        play.turn();
        assert_eq!(play.counters().close, 1);
        let second = play.sim().connect(0);
        let recvs = play.counters().recv;
        play.turn();
        let counters = play.counters();
        assert_eq!((counters.connections_now, counters.stale_events), (1, 1));
        assert_eq!(counters.recv, recvs, "no connection was read");
        assert_eq!(play.sim().registered(Token::new(0, 1)), None);
        let interest = play.under(Interest::READ);
        assert_eq!(play.sim().registered(Token::new(0, 3)), interest);
        play.ask(second, b"hello");
    });
}

#[test]
fn an_event_repeated_in_a_batch_finds_no_connection_the_second_time() {
    let twice = Faults {
        duplicated: 1.0,
        ..Faults::none()
    };
    echo(with(twice), settings(), |play| {
        let peer = play.sim().connect(0);
        play.turn();
        play.sim().finish(peer);
        play.turn();
        let counters = play.counters();
        assert_eq!((counters.connections_now, counters.stale_events), (0, 1));
    });
}

#[test]
fn a_new_connection_in_a_reused_slot_does_not_inherit_a_pending_turn() {
    let settings = Settings {
        workspace: WorkspaceSize {
            inbound: 8,
            outbound: 0,
        },
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        let greedy = play.connect();
        play.sim().send(greedy, &[b'.'; 1000]);
        play.turn();
        // The peer has used up its budget. Now it resets and another connects, in one batch.
        play.sim().reset(greedy);
        let heir = play.sim().connect(0);
        play.turn();
        assert_eq!(play.closed(CloseReason::Reset), 1);
        let counters = play.counters();
        assert_eq!((counters.connections_now, counters.spurious_events), (1, 0));
        play.ask(heir, b"hello");
    });
}

#[test]
fn slots_and_numbers_are_reused_a_thousand_times() {
    echo(Config::default(), settings(), |play| {
        for _ in 0..1000 {
            let peer = play.connect();
            play.ask(peer, b"hello");
            play.sim().close_peer(peer);
        }
        play.quiet();
        let counters = play.counters();
        assert_eq!(
            (counters.connections_total, counters.stale_events),
            (1000, 0)
        );
        assert_eq!(play.closed(CloseReason::EndOfStream), 1000);
    });
}
