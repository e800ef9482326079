//! Several listeners of one server: each pauses, resumes and is drained like the first.

use super::bytes::{pattern, push};
use super::*;

const LISTENERS: [Token; 2] = [Token::listener(0), Token::listener(1)];
/// Both listeners and the reserve descriptor.
const FIXED: usize = 3;

/// An echo with two listeners.
fn two(config: Config, settings: Settings) -> Play<Echo> {
    let mut sim = Sim::new(config);
    let listeners = [7007, 7008].map(|port| {
        let address = format!("127.0.0.1:{port}").parse().expect("an address");
        sim.listen(&address, &Sim::listen_options(8))
            .expect("the port is free")
    });
    let protocol = Protocol {
        framing: Framing::Raw(Raw),
        on_too_long: OnTooLong::Close,
        service: Echo,
    };
    let trigger = settings.trigger;
    Play {
        server: Server::new(sim, listeners.into(), protocol, settings).expect("it starts"),
        trigger,
        fixed_sockets: FIXED,
    }
}

/// Runs the same play under both triggers.
fn with_two(config: Config, settings: Settings, play: impl Fn(&mut Play<Echo>)) {
    for trigger in [Trigger::Level, Trigger::Edge] {
        println!("under {trigger:?} trigger");
        let settings = Settings {
            trigger,
            ..settings.clone()
        };
        let mut stage = two(config.clone(), settings);
        play(&mut stage);
        stage.end();
    }
}

fn registered(play: &mut Play<Echo>) -> [Option<Interest>; 2] {
    LISTENERS.map(|listener| play.sim().registered(listener))
}

fn at(play: &mut Play<Echo>, listener: usize) -> Peer {
    let peer = play.sim().connect(listener);
    play.quiet();
    peer
}

#[test]
fn each_listener_pauses_and_resumes_each_time_that_slots_run_out() {
    let settings = Settings {
        connections_max: 2,
        ..settings()
    };
    with_two(Config::default(), settings, |play| {
        for _ in 0..3 {
            assert_eq!(registered(play), [Some(Interest::READ); 2]);
            let inside = [0, 1].map(|listener| at(play, listener));
            inside.iter().for_each(|peer| play.ask(*peer, b"hello"));
            assert_eq!(registered(play), [Some(Interest::NONE); 2]);
            let outside = [0, 1].map(|listener| at(play, listener));
            for (gone, next) in inside.iter().zip(outside) {
                play.send(next, b"me too");
                assert_eq!(play.receive(next), b"");
                play.sim().close_peer(*gone);
                play.quiet();
            }
            for peer in outside {
                assert_eq!(play.receive(peer), b"me too");
                play.sim().close_peer(peer);
            }
            play.quiet();
        }
    });
}

#[test]
fn each_listener_pauses_and_resumes_each_time_that_descriptors_run_out() {
    with_two(Config::default(), settings(), |play| {
        for round in 1..=3 {
            let first = at(play, 0);
            play.sim().limit_descriptors(FIXED + 1);
            at(play, 1);
            assert_eq!(play.counters().refused_resources, round);
            assert_eq!(registered(play), [Some(Interest::NONE); 2]);
            play.sim().limit_descriptors(100);
            play.sim().close_peer(first);
            play.quiet();
            assert_eq!(registered(play), [Some(Interest::READ); 2]);
        }
    });
}

#[test]
fn a_drain_accepts_the_queue_of_each_listener_and_no_later_connection() {
    let settings = Settings {
        connections_max: 2,
        ..settings()
    };
    with_two(narrow(), settings, |play| {
        let inside = [0, 1].map(|listener| at(play, listener));
        for peer in inside {
            push(play, peer, &pattern(5000));
        }
        let promised = [0, 1, 1].map(|listener| at(play, listener));
        for peer in promised {
            play.sim().send(peer, b"hello");
        }
        play.server.drain();
        play.quiet();
        let late = [0, 0, 1, 1].map(|listener| at(play, listener));
        for peer in inside {
            play.sim().reset(peer);
            play.quiet();
        }
        for peer in promised {
            assert_eq!(play.receive(peer), b"hello");
            play.sim().close_peer(peer);
            play.quiet();
        }
        play.fixed_sockets = 1;
        assert!(play.server.is_done());
        let total = play.counters().connections_total;
        assert_eq!((total, play.server.cut()), (5, 0));
        for peer in late {
            assert_ne!(play.link(peer), Link::Open);
        }
    });
}
