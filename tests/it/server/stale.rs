//! Events for those who are gone, when their slot and their descriptor belong to another.

use super::*;

/// A machine with one fault that always comes.
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
        assert_eq!(counters.recv, recvs, "nobody was read from");
        assert_eq!(play.sim().registered(Token::new(0, 1)), None);
        let interest = play.under(Interest::READ);
        assert_eq!(play.sim().registered(Token::new(0, 3)), interest);
        play.ask(second, b"hello");
    });
}

#[test]
fn an_event_that_comes_twice_in_a_batch_finds_nobody_the_second_time() {
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
fn who_takes_the_slot_of_a_peer_that_had_more_to_do_does_not_inherit_its_turn() {
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
        // Out of its budget; now it goes, and another comes, in one batch.
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
