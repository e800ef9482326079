//! Bytes under pressure: slow readers, half-closed peers, FINs that arrive with data, budgets.

use mynah::limits::{BYTES_PER_EVENT, OPERATIONS_PER_EVENT};

use super::*;
use mynah::kernel::journal::{Argument, Call, Name};

/// Bytes whose values depend on their position, so that lost or reordered bytes show.
pub(super) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

/// Sends `bytes` while the pipe has room. Returns how many bytes fitted.
pub(super) fn push<S: Service>(play: &mut Play<S>, peer: Peer, bytes: &[u8]) -> usize {
    let mut sent = 0;
    loop {
        let more = play.sim().send(peer, &bytes[sent..]);
        if more == 0 {
            return sent;
        }
        sent += more;
        play.quiet();
    }
}

#[test]
fn a_slow_reader_gets_every_byte_in_order_and_stops_the_reading_meanwhile() {
    echo(narrow(), settings(), |play| {
        let peer = play.connect();
        let bytes = pattern(5000);
        let sent = push(play, peer, &bytes);
        assert!(sent < bytes.len(), "its socket is full, not our memory");
        assert_eq!(play.registered(0), play.under(Interest::WRITE));
        assert_eq!(play.server.workspaces_acquired(), 1);
        let (mut heard, mut sent) = (Vec::new(), sent);
        while heard.len() < bytes.len() {
            let received = play.sim().receive(peer, 33);
            heard.extend(received);
            play.quiet();
            sent += push(play, peer, &bytes[sent..]);
        }
        assert_eq!(heard, bytes);
        assert_eq!(play.registered(0), play.under(Interest::READ));
        let took_less = |call: &&Call| match call.argument {
            Argument::Size(count) => call.name == Name::Write && call.result != Ok(count),
            _ => false,
        };
        let short_writes = play.sim().journal().iter().filter(took_less).count();
        let counters = play.counters();
        assert_eq!(counters.short_writes, short_writes as u64);
        assert!(short_writes > 0 && counters.interest_changes >= 2);
        // The other two calls register the listener and the connection.
        assert_eq!(counters.interest_changes + 2, counters.epoll_ctl);
    });
}

#[test]
fn requests_behind_a_slow_reader_get_replies_of_another_length_in_order() {
    let framing = framing("u16be", 1000);
    under_both(narrow(), settings(), framing, UpperUnicode, |play| {
        let peer = play.connect();
        let requests = hex("0003 61C589").repeat(300);
        let (mut heard, mut sent) = (Vec::new(), 0);
        while heard.len() < 300 * 6 {
            sent += push(play, peer, &requests[sent..]);
            heard.extend(play.sim().receive(peer, 50));
            play.quiet();
        }
        assert_eq!(heard, hex("0004 41CABC4E").repeat(300));
        assert_eq!(play.counters().frames, 300);
    });
}

#[test]
fn other_peers_are_served_while_one_does_not_read() {
    echo(narrow(), settings(), |play| {
        let (slow, quick) = (play.connect(), play.connect());
        let sent = push(play, slow, &pattern(5000));
        for _ in 0..10 {
            play.ask(quick, b"hello");
        }
        assert_eq!(play.receive(slow), &pattern(5000)[..sent]);
    });
}

#[test]
fn a_half_closed_peer_receives_every_reply() {
    echo(narrow(), settings(), |play| {
        let peer = play.connect();
        let bytes = pattern(700);
        assert_eq!(push(play, peer, &bytes), 700);
        play.sim().finish(peer);
        play.quiet();
        assert_eq!(play.link(peer), Link::Open, "answers are still owed");
        assert_eq!(play.receive(peer), bytes);
        assert_eq!(play.link(peer), Link::Finished);
        assert_eq!(play.closed(CloseReason::EndOfStream), 1);
        assert_eq!(play.counters().connections_now, 0);
    });
}

#[test]
fn no_read_follows_the_end_of_the_stream_however_long_answers_take() {
    echo(narrow(), settings(), |play| {
        let peer = play.connect();
        push(play, peer, &pattern(700));
        play.sim().finish(peer);
        while play.sim().peer_state(peer).unread > 0 {
            let (before, received) = (play.counters().recv, play.sim().receive(peer, 10).len());
            play.quiet();
            assert!(received > 0 && play.counters().recv <= before + 2);
        }
        assert_eq!(play.counters().connections_now, 0);
    });
}

#[test]
fn a_fin_that_arrives_with_data_is_noticed() {
    echo(Config::default(), settings(), |play| {
        let peer = play.sim().connect(0);
        play.turn();
        play.sim().send(peer, b"last words");
        play.sim().finish(peer);
        play.quiet();
        assert_eq!(play.receive(peer), b"last words");
        assert_eq!(play.link(peer), Link::Finished);
        assert_eq!(play.counters().connections_now, 0);
    });
}

#[test]
fn a_fin_that_arrived_before_the_accept_is_noticed() {
    echo(Config::default(), settings(), |play| {
        let peer = play.sim().connect(0);
        play.sim().send(peer, b"first and last words");
        play.sim().finish(peer);
        play.quiet();
        assert_eq!(play.receive(peer), b"first and last words");
        assert_eq!(play.closed(CloseReason::EndOfStream), 1);
    });
}

#[test]
fn a_peer_that_resets_is_closed_quietly() {
    echo(narrow(), settings(), |play| {
        let (idle, owed) = (play.connect(), play.connect());
        push(play, owed, &pattern(5000));
        play.sim().reset(idle);
        play.sim().reset(owed);
        play.quiet();
        assert_eq!(play.closed(CloseReason::Reset), 2);
        assert_eq!(play.counters().connections_now, 0);
    });
}

#[test]
fn a_peer_over_its_byte_budget_continues_in_the_next_turn() {
    let large = Pipe {
        send: 3 * BYTES_PER_EVENT as usize,
        receive: 3 * BYTES_PER_EVENT as usize,
    };
    let config = Config {
        request: large,
        reply: large,
        ..Config::default()
    };
    let workspace = WorkspaceSize {
        inbound: BYTES_PER_EVENT as usize / 2,
        outbound: 0,
    };
    let settings = Settings {
        workspace,
        ..settings()
    };
    echo(config, settings, |play| {
        let (greedy, modest) = (play.connect(), play.connect());
        let bytes = pattern(5 * BYTES_PER_EVENT as usize / 2);
        assert_eq!(play.sim().send(greedy, &bytes), bytes.len());
        play.sim().send(modest, b"hello");
        play.turn();
        // The read that showed that more is available is not part of the budget.
        let first_read = workspace.inbound as u64;
        assert!(play.counters().bytes_in <= first_read + BYTES_PER_EVENT + 5);
        assert_eq!(play.sim().receive_all(modest), b"hello", "in the same turn");
        assert_eq!(play.receive(greedy), bytes, "without a further event");
    });
}

#[test]
fn a_peer_over_its_operation_budget_continues_in_the_next_turn() {
    let workspace = WorkspaceSize {
        inbound: 8,
        outbound: 0,
    };
    let settings = Settings {
        workspace,
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        let peer = play.connect();
        let bytes = pattern(8 * 100);
        play.sim().send(peer, &bytes);
        let before = play.counters().recv;
        play.turn();
        let reads = play.counters().recv - before;
        assert!(reads <= 1 + OPERATIONS_PER_EVENT as u64 / 2);
        assert_eq!(play.receive(peer), bytes, "without a further event");
    });
}

#[test]
fn an_invalid_frame_is_answered_by_the_replies_before_it_a_fin_and_a_bounded_linger() {
    let framing = framing("u16be", 16);
    under_both(Config::default(), settings(), framing, Echo, |play| {
        let peer = play.connect();
        let good = hex("0003616263");
        let wrong = [&good[..], &good, &hex("FFFF"), &pattern(2000)].concat();
        play.send(peer, &wrong);
        assert_eq!(play.receive(peer), good.repeat(2));
        assert_eq!(play.link(peer), Link::Finished, "no reset has destroyed it");
        play.send(peer, b"it is thrown away");
        assert_eq!(play.counters().connections_now, 1);
        play.sim().finish(peer);
        play.quiet();
        assert_eq!(play.closed(CloseReason::TooLong), 1);
        let counters = play.counters();
        assert_eq!((counters.refused_too_long, counters.shutdown), (1, 1));
        assert_eq!(counters.frames, 2);
    });
}

#[test]
fn each_kind_of_wrong_frame_is_counted_as_itself() {
    let framing = framing("i32be", 16);
    under_both(Config::default(), settings(), framing, Echo, |play| {
        for bytes in ["7FFFFFFF", "FFFFFFFF", "00000004 61"] {
            let peer = play.connect();
            play.send(peer, &hex(bytes));
            play.sim().finish(peer);
            play.quiet();
            assert_eq!(play.link(peer), Link::Finished);
        }
        let counters = play.counters();
        let refused = [
            counters.refused_too_long,
            counters.refused_corrupted,
            counters.refused_truncated,
        ];
        assert_eq!(refused, [1, 1, 1]);
        for reason in [
            CloseReason::TooLong,
            CloseReason::Corrupted,
            CloseReason::Truncated,
        ] {
            assert_eq!(play.closed(reason), 1, "{reason:?}");
        }
    });
}

#[test]
fn a_spurious_event_is_counted_and_has_no_effect() {
    echo(Config::default(), settings(), |play| {
        let peer = play.connect();
        play.sim().fail("recv", 1, libc::EAGAIN);
        play.sim().send(peer, b"hello");
        play.turn();
        assert_eq!(play.counters().spurious_events, 1);
        play.quiet();
        assert_eq!(play.receive(peer), b"hello");
    });
}

#[test]
fn a_call_that_fails_ends_its_own_connection_and_no_other() {
    for (call, errno, reason) in [
        ("recv", libc::EINVAL, CloseReason::Failed),
        ("recv", libc::ETIMEDOUT, CloseReason::Reset),
        ("send", libc::EPIPE, CloseReason::Reset),
        ("send", libc::EINVAL, CloseReason::Failed),
    ] {
        echo(Config::default(), settings(), |play| {
            let (unlucky, other) = (play.connect(), play.connect());
            play.sim().fail(call, 1, errno);
            play.send(unlucky, b"hello");
            assert_eq!(play.closed(reason), 1, "{call} {errno}");
            play.ask(other, b"hello");
        });
    }
}
