//! Accepting connections: slots, descriptors, transient accept errors, failed registrations.

use mynah::limits::{LISTENER_PAUSE_MAX, LISTENER_PAUSE_MIN};

use super::*;

const LISTENER: Token = Token::listener(0);

#[test]
fn the_listener_pauses_while_slots_are_full_and_the_backlog_waits() {
    let settings = Settings {
        connections_max: 2,
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        let (first, _second) = (play.connect(), play.connect());
        assert_eq!(play.sim().registered(LISTENER), Some(Interest::NONE));
        let third = play.sim().connect(0);
        play.send(third, b"hello");
        assert_eq!(
            (play.link(third), play.receive(third)),
            (Link::Open, vec![])
        );
        let counters = play.counters();
        assert_eq!((counters.accept4, counters.refused_slots), (2, 1));
        play.sim().finish(first);
        play.quiet();
        assert_eq!(play.receive(third), b"hello");
        assert_eq!(play.sim().registered(LISTENER), Some(Interest::NONE));
        play.sim().finish(third);
        play.quiet();
        assert_eq!(play.sim().registered(LISTENER), Some(Interest::READ));
        let counters = play.counters();
        assert_eq!((counters.connections_total, counters.refused_slots), (3, 2));
    });
}

#[test]
fn many_connections_are_accepted_in_few_turns_and_a_single_one_costs_one_accept4() {
    let settings = Settings {
        connections_max: 100,
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        play.connect();
        assert_eq!(play.counters().accept4, 1);
        play.pass(Duration::from_secs(1));
        let turns = play.counters().epoll_wait;
        for _ in 0..9 {
            play.sim().connect(0);
        }
        play.quiet();
        let counters = play.counters();
        assert_eq!(counters.connections_now, 10);
        let turns = counters.epoll_wait - turns;
        assert_eq!(turns, 5, "1, 2, 4, 2 and a quiet one");
        assert!(counters.accept4 <= 11);
        let accepts = counters.accept4;
        play.pass(Duration::from_secs(1));
        play.connect();
        assert_eq!(play.counters().accept4, accepts + 1, "it is one again");
    });
}

#[test]
fn out_of_descriptors_one_peer_is_refused_and_the_listener_pauses() {
    echo(Config::default(), settings(), |play| {
        let first = play.connect();
        play.sim().limit_descriptors(FIXED_SOCKETS + 1);
        play.sim().clear_journal();
        let refused = play.sim().connect(0);
        let waiting = play.sim().connect(0);
        let now = play.sim().time();
        assert_eq!(play.quiet(), now.after(LISTENER_PAUSE_MIN));
        let expected = "accept4, close, accept4, close, open, epoll_ctl MOD";
        assert_eq!(play.calls(), expected);
        let links = (play.link(refused), play.link(waiting));
        assert_eq!(links, (Link::Finished, Link::Open));
        assert_eq!(play.counters().refused_resources, 1);
        play.ask(first, b"those inside are served");
        play.sim().close_peer(first);
        play.quiet();
        play.ask(waiting, b"and the next one at once");
    });
}

#[test]
fn out_of_descriptors_the_listener_pauses_grow_and_nothing_spins() {
    echo(Config::default(), settings(), |play| {
        play.connect();
        play.sim().limit_descriptors(FIXED_SOCKETS + 1);
        let peers = [0; 8].map(|_| play.sim().connect(0));
        let mut rest = LISTENER_PAUSE_MIN;
        for (refused, peer) in (1..).zip(peers) {
            let now = play.sim().time();
            assert_eq!(play.quiet(), now.after(rest));
            assert_eq!(play.counters().refused_resources, refused);
            assert_eq!(play.link(peer), Link::Finished);
            let waits = play.counters().epoll_wait;
            play.pass(rest - NANOSECOND);
            play.sim().advance(NANOSECOND);
            assert!(play.counters().epoll_wait <= waits + 2);
            rest = LISTENER_PAUSE_MAX.min(rest * 2);
        }
        play.quiet();
        assert_eq!(play.sim().registered(LISTENER), Some(Interest::READ));
        play.sim().limit_descriptors(100);
        let late = play.connect();
        play.ask(late, b"hello");
        play.sim().limit_descriptors(FIXED_SOCKETS + 2);
        play.sim().connect(0);
        let now = play.sim().time();
        assert_eq!(
            play.quiet(),
            now.after(LISTENER_PAUSE_MIN),
            "the next time is the first"
        );
    });
}

#[test]
fn a_lost_reserve_descriptor_is_reopened_when_the_listener_resumes() {
    echo(Config::default(), settings(), |play| {
        let first = play.connect();
        play.sim().limit_descriptors(FIXED_SOCKETS + 1);
        play.sim().fail("open", 1, libc::EMFILE);
        play.connect();
        assert_eq!(
            play.sim().open_sockets(),
            FIXED_SOCKETS,
            "the reserve is missing"
        );
        play.sim().finish(first);
        play.quiet();
        assert_eq!(play.sim().open_sockets(), FIXED_SOCKETS);
    });
}

/// The errors of accept4 that say nothing about the listener: those in accept(2), "Error handling",
/// the other network errors in "Errors", and one that no man page lists.
const PASSING: [(&str, i32); 17] = [
    ("EINTR", libc::EINTR),
    ("ECONNABORTED", libc::ECONNABORTED),
    ("EPERM", libc::EPERM),
    ("ENETDOWN", libc::ENETDOWN),
    ("EPROTO", libc::EPROTO),
    ("ENOPROTOOPT", libc::ENOPROTOOPT),
    ("EHOSTDOWN", libc::EHOSTDOWN),
    ("ENONET", libc::ENONET),
    ("EHOSTUNREACH", libc::EHOSTUNREACH),
    ("EOPNOTSUPP", libc::EOPNOTSUPP),
    ("ENETUNREACH", libc::ENETUNREACH),
    ("ENOSR", libc::ENOSR),
    ("ESOCKTNOSUPPORT", libc::ESOCKTNOSUPPORT),
    ("EPROTONOSUPPORT", libc::EPROTONOSUPPORT),
    ("ETIMEDOUT", libc::ETIMEDOUT),
    ("ECONNREFUSED", libc::ECONNREFUSED),
    ("EDQUOT", libc::EDQUOT),
];
const OUT_OF_RESOURCES: [(&str, i32); 4] = [
    ("EMFILE", libc::EMFILE),
    ("ENFILE", libc::ENFILE),
    ("ENOBUFS", libc::ENOBUFS),
    ("ENOMEM", libc::ENOMEM),
];
const MISTAKES: [(&str, i32); 4] = [
    ("EBADF", libc::EBADF),
    ("EINVAL", libc::EINVAL),
    ("ENOTSOCK", libc::ENOTSOCK),
    ("EFAULT", libc::EFAULT),
];

#[test]
fn a_transient_accept_error_loses_no_other_connection() {
    for (name, errno) in PASSING {
        println!("{name}");
        echo(Config::default(), settings(), |play| {
            play.sim().fail("accept4", 1, errno);
            let peer = play.sim().connect(0);
            let waits = play.counters().epoll_wait;
            play.turn();
            let counters = play.counters();
            assert_eq!(counters.epoll_wait, waits + 1);
            assert_eq!(counters.connections_now, 1, "it is taken in the same turn");
            assert_eq!((counters.accept_errors, counters.refused_resources), (1, 0));
            play.ask(peer, b"hello");
        });
    }
}

#[test]
fn connections_behind_a_transient_accept_error_are_accepted_without_a_new_arrival() {
    let settings = Settings {
        connections_max: 100,
        ..settings()
    };
    for (name, errno) in PASSING {
        println!("{name}");
        // The failing calls: the first, one in the middle, the last, the one that finds the queue
        // empty, and several at once.
        for failing in [&[1][..], &[3], &[5], &[6], &[1, 2, 3, 5, 8]] {
            echo(Config::default(), settings.clone(), |play| {
                for place in failing {
                    play.sim().fail("accept4", *place, errno);
                }
                let peers = [0; 5].map(|_| play.sim().connect(0));
                play.quiet();
                let errors = failing.len() as u64;
                assert_eq!(play.counters().accept_errors, errors, "{failing:?}");
                for peer in peers {
                    play.ask(peer, b"hello");
                }
            });
        }
    }
}

#[test]
fn a_transient_accept_error_with_an_empty_queue_does_not_spin() {
    for (_, errno) in PASSING {
        echo(Config::default(), settings(), |play| {
            // The connection is lost with its error.
            let peer = play.sim().connect(0);
            play.sim().close_peer(peer);
            play.sim().fail("accept4", 1, errno);
            play.quiet();
            let waits = play.counters().epoll_wait;
            play.pass(Duration::from_secs(1));
            assert!(play.counters().epoll_wait <= waits + 2);
        });
    }
}

#[test]
fn an_accept_without_descriptors_or_memory_refuses_one_peer_and_pauses_the_listener() {
    for (name, errno) in OUT_OF_RESOURCES {
        println!("{name}");
        echo(Config::default(), settings(), |play| {
            play.sim().fail("accept4", 1, errno);
            let refused = play.sim().connect(0);
            let waiting = play.sim().connect(0);
            let now = play.sim().time();
            assert_eq!(play.quiet(), now.after(LISTENER_PAUSE_MIN));
            let links = (play.link(refused), play.link(waiting));
            assert_eq!(links, (Link::Finished, Link::Open));
            let counters = play.counters();
            assert_eq!((counters.accept_errors, counters.refused_resources), (0, 1));
            play.pass(LISTENER_PAUSE_MIN);
            play.ask(waiting, b"hello");
        });
    }
}

#[test]
fn an_accept_error_that_only_a_bug_causes_pauses_the_listener_and_loses_no_connection() {
    for (name, errno) in MISTAKES {
        println!("{name}");
        echo(Config::default(), settings(), |play| {
            play.sim().fail("accept4", 1, errno);
            let peers = [0; 3].map(|_| play.sim().connect(0));
            let now = play.sim().time();
            assert_eq!(play.quiet(), now.after(LISTENER_PAUSE_MIN));
            assert_eq!(play.counters().refused_resources, 1);
            play.pass(LISTENER_PAUSE_MIN);
            for peer in peers {
                play.ask(peer, b"hello");
            }
        });
    }
}

#[test]
fn a_connection_that_cannot_be_watched_is_closed_and_no_other() {
    echo(Config::default(), settings(), |play| {
        let first = play.connect();
        play.sim().fail("epoll_ctl ADD", 1, libc::ENOSPC);
        let refused = play.connect();
        assert_eq!(play.link(refused), Link::Finished);
        let next = play.connect();
        play.ask(first, b"hello");
        play.ask(next, b"hello");
        assert_eq!(play.counters().refused_registration, 1);
        assert_eq!(play.closed(CloseReason::Failed), 1);
    });
}

#[test]
fn a_connection_whose_interest_cannot_be_changed_is_closed_and_no_other() {
    echo(narrow(), settings(), |play| {
        let (first, other) = (play.connect(), play.connect());
        play.sim().fail("epoll_ctl MOD", 1, libc::ENOMEM);
        super::bytes::push(play, first, &super::bytes::pattern(5000));
        assert_eq!(play.closed(CloseReason::Failed), 1);
        play.ask(other, b"hello");
    });
}
