//! Datagram sockets: each datagram is answered on its own, what must not be answered is counted,
//! and no error of one datagram ends the socket.

use mynah::kernel::{Address, UnixName, errno};
use mynah::limits::{
    DATAGRAM_ERRORS_MAX, DATAGRAM_SIZE_MAX, DATAGRAMS_PER_BATCH, LISTENER_PAUSE_MAX,
    MEMORY_RETRIES_MAX, MEMORY_RETRY_MIN,
};
use mynah::protocol::service::{Dict, Discard, PrefixedEcho, Upper};
use mynah::server::datagram::DatagramSocket;
use mynah::server::pace::{Limits, Pacing};

use super::*;
use crate::sim::Dice;

const HERE: &str = "udp://127.0.0.1:7007";
const LOCAL: &str = "unixgram:@server";
/// Any peer on another machine.
const PEER: &str = "udp://192.0.2.9:4000";
/// A socket of the simulation that is not the server's first.
const OTHER: &str = "udp://127.0.0.1:7008";

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

/// A server with datagram sockets beside its listener.
struct Stage<S: Service> {
    play: Play<S>,
    sockets: usize,
}

impl<S: Service> Stage<S> {
    fn new(at: &[&str], service: S) -> Stage<S> {
        Stage::with(at, settings(), service)
    }

    fn with(at: &[&str], settings: Settings, service: S) -> Stage<S> {
        let framing = Framing::Raw(Raw);
        let mut play = Play::new(Config::default(), settings, framing, service);
        let sockets = at.iter().map(|at| DatagramSocket {
            socket: play.server.kernel_mut().open_datagrams(at),
            address: address(at),
            is_shared: false,
            is_passed: false,
        });
        let sockets = sockets.collect();
        play.server
            .serve_datagrams(sockets)
            .expect("they are registered");
        Stage {
            play,
            sockets: at.len(),
        }
    }

    fn sim(&mut self) -> &mut Sim {
        self.play.sim()
    }

    fn counters(&self) -> &Counters {
        self.play.counters()
    }

    /// A datagram arrives at the first socket.
    fn send(&mut self, bytes: &[u8], from: &str) {
        assert!(self.sim().send_datagram_to(0, bytes, &address(from)));
    }

    /// The same, and the server runs. Returns what it has sent.
    fn ask(&mut self, bytes: &[u8], from: &str) -> Vec<Vec<u8>> {
        self.send(bytes, from);
        self.play.quiet();
        self.answers()
    }

    /// What was sent from the first socket, without the receivers.
    fn answers(&mut self) -> Vec<Vec<u8>> {
        let sent = self.sim().take_datagrams(0);
        sent.into_iter().map(|(bytes, _)| bytes).collect()
    }

    /// Checks what holds after every play.
    fn end(mut self) {
        self.play.quiet();
        let counters = self.counters().clone();
        for (name, counted) in [
            ("recvmmsg", counters.recvmmsg),
            ("epoll_wait", counters.epoll_wait),
            ("epoll_ctl", counters.epoll_ctl),
        ] {
            assert_eq!(counted, self.sim().calls(name), "{name} is miscounted");
        }
        let sends = self.sim().calls("sendmmsg") + self.sim().calls("sendto");
        assert_eq!(counters.sendmmsg, sends);
        assert_eq!(counters.datagrams_in, self.sim().answers("recvmmsg"));
        self.play.server.drain();
        while !self.play.server.is_done() {
            self.play.quiet();
        }
        assert_eq!((self.sockets, self.sim().open_sockets()), (self.sockets, 1));
    }
}

fn prefixed() -> PrefixedEcho {
    PrefixedEcho::new("echo# ")
}

#[test]
fn v6_each_datagram_is_answered_to_its_sender_and_a_batch_takes_two_calls() {
    let mut stage = Stage::new(&[HERE], Upper);
    let mut expected = Vec::new();
    for number in 0..DATAGRAMS_PER_BATCH {
        let from = format!("udp://192.0.2.9:{}", 5000 + number);
        let text = format!("text {number}");
        stage.send(text.as_bytes(), &from);
        expected.push((text.to_uppercase().into_bytes(), address(&from)));
    }
    stage.play.quiet();
    assert_eq!(stage.sim().take_datagrams(0), expected);
    let counters = stage.counters().clone();
    assert_eq!((counters.recvmmsg, counters.sendmmsg), (1, 1));
    let count = DATAGRAMS_PER_BATCH as u64;
    assert_eq!(
        (counters.datagrams_in, counters.datagrams_out),
        (count, count)
    );
    assert_eq!(
        (counters.frames, counters.bytes_in),
        (count, counters.bytes_out)
    );
    stage.end();
}

#[test]
fn v6_an_empty_datagram_is_answered_by_an_empty_one() {
    for at in [HERE, "udp://0.0.0.0:7007", LOCAL] {
        let from = if at == LOCAL { "unixgram:@peer" } else { PEER };
        let mut stage = Stage::new(&[at], Echo);
        assert_eq!(stage.ask(b"", from), [b""]);
        stage.end();
        // Even where an answer to a message is longer.
        let mut stage = Stage::new(&[at], prefixed());
        assert_eq!(stage.ask(b"", from), [b""]);
        stage.end();
        let mut stage = Stage::new(&[at], Discard);
        assert!(stage.ask(b"", from).is_empty());
        stage.end();
    }
}

#[test]
fn v6_a_truncated_datagram_is_counted_and_dropped() {
    let mut stage = Stage::new(&[HERE], Echo);
    for (size, truncated) in [
        (DATAGRAM_SIZE_MAX - 1, 0),
        (DATAGRAM_SIZE_MAX, 0),
        (DATAGRAM_SIZE_MAX + 1, 1),
    ] {
        let bytes = vec![b'x'; size];
        let answers = stage.ask(&bytes, PEER);
        assert_eq!(answers.len() as u64, 1 - truncated, "{size}");
        assert!(answers.iter().all(|answer| *answer == bytes));
        assert_eq!(stage.counters().datagrams_truncated, truncated);
    }
    assert_eq!(stage.ask(b"the next one", PEER), [b"the next one"]);
    stage.end();
}

#[test]
fn v6_a_datagram_from_a_port_that_answers_in_turn_is_counted_and_dropped() {
    for (at, from, is_answered) in [
        (HERE, "udp://192.0.2.9:7", false),
        (HERE, "udp://192.0.2.9:19", false),
        (HERE, "udp://192.0.2.9:6", true),
        (HERE, "udp://192.0.2.9:8", true),
        (HERE, "udp://192.0.2.9:18", true),
        (HERE, "udp://192.0.2.9:20", true),
        // Its own address.
        (HERE, HERE, false),
        (HERE, OTHER, true),
        (HERE, "udp://127.0.0.2:7007", true),
        ("udp://[::1]:7007", "udp://[::1]:7007", false),
        ("udp://0.0.0.0:7007", HERE, false),
        ("udp://0.0.0.0:7007", "udp://192.0.2.1:7007", false),
        // Of another machine that listens on the same port.
        ("udp://0.0.0.0:7007", "udp://192.0.2.2:7007", true),
        (LOCAL, LOCAL, false),
        (LOCAL, "unixgram:@other", true),
        (LOCAL, "unixgram:/server", true),
    ] {
        let mut stage = Stage::new(&[at], Echo);
        let answers = stage.ask(b"ping", from);
        assert_eq!(!answers.is_empty(), is_answered, "{at} from {from}");
        let dropped = u64::from(!is_answered);
        assert_eq!(stage.counters().refused_loop, dropped, "{at} from {from}");
        stage.end();
    }
}

#[test]
fn v6_a_reply_larger_than_its_request_goes_only_to_this_machine() {
    for (at, from, is_answered) in [
        (HERE, PEER, true),
        ("udp://[::1]:7007", "udp://[::1]:9", true),
        (LOCAL, "unixgram:@peer", true),
        ("udp://192.0.2.1:7007", PEER, false),
        // The listener counts, not the sender, whose address may be forged.
        ("udp://0.0.0.0:7007", "udp://127.0.0.1:4000", false),
        ("udp://[::]:7007", "udp://[::1]:4000", false),
    ] {
        let mut stage = Stage::new(&[at], prefixed());
        let answers = stage.ask(b"m", from);
        assert_eq!(answers.len(), usize::from(is_answered), "{at}");
        assert!(answers.iter().all(|answer| answer == b"echo# m"));
        let dropped = u64::from(!is_answered);
        assert_eq!(stage.counters().refused_amplification, dropped, "{at}");
        stage.end();
    }
    // As long as the request is not larger.
    let dict =
        Dict::parse(b"word: abcd\nlong word: abcde\nwo: abc".to_vec()).expect("a dictionary");
    let mut stage = Stage::new(&["udp://192.0.2.1:7007"], dict);
    assert_eq!(stage.ask(b"word", PEER), [b"abcd"]);
    assert_eq!(stage.ask(b"long word", PEER), [b"abcde"]);
    assert!(stage.ask(b"wo", PEER).is_empty());
    assert_eq!(stage.counters().refused_amplification, 1);
    stage.end();
}

#[test]
fn v6_a_peer_without_a_name_is_counted_and_the_next_one_is_answered() {
    let mut stage = Stage::new(&[LOCAL], Echo);
    let unnamed = Address::Unixgram(UnixName::Unnamed);
    assert!(stage.sim().send_datagram_to(0, b"who?", &unnamed));
    assert_eq!(stage.ask(b"me", "unixgram:@peer"), [b"me"]);
    assert_eq!(stage.counters().refused_unnamed, 1);
    stage.end();
    // Nothing would be answered in any case.
    let mut stage = Stage::new(&[LOCAL], Discard);
    assert!(stage.sim().send_datagram_to(0, b"who?", &unnamed));
    stage.play.quiet();
    assert_eq!(
        (stage.counters().refused_unnamed, stage.counters().frames),
        (0, 1)
    );
    stage.end();
}

#[test]
fn v6_a_translation_has_no_line_feed() {
    let dict = Dict::parse("apple: 苹果".into()).expect("a dictionary");
    let mut stage = Stage::new(&[HERE], dict);
    assert_eq!(stage.ask(b"apple", PEER), ["苹果".as_bytes()]);
    assert_eq!(stage.ask(b"pear", PEER), [b"not known"]);
    stage.end();
}

#[test]
fn replies_that_do_not_fit_together_are_sent_one_after_the_other() {
    let translation = "x".repeat(4096);
    let dict = Dict::parse(format!("a: {translation}").into_bytes()).expect("a dictionary");
    let mut stage = Stage::new(&[HERE], dict);
    for _ in 0..DATAGRAMS_PER_BATCH {
        stage.send(b"a", PEER);
    }
    stage.play.quiet();
    let answers = stage.answers();
    assert_eq!(answers.len(), DATAGRAMS_PER_BATCH);
    assert!(
        answers
            .iter()
            .all(|answer| *answer == translation.as_bytes())
    );
    stage.end();
}

#[test]
fn answers_wait_for_a_full_send_buffer_and_nothing_is_received_meanwhile() {
    let mut stage = Stage::new(&[HERE], Echo);
    stage.sim().set_datagram_room(0, Some(2));
    for text in ["a", "b", "c", "d"] {
        stage.send(text.as_bytes(), PEER);
    }
    stage.play.quiet();
    assert_eq!(stage.answers(), [b"a", b"b"]);
    // Nothing spins, and what arrives stays in the queue of the kernel.
    stage.send(b"e", PEER);
    let waits = stage.counters().epoll_wait;
    stage.play.pass(Duration::from_secs(60));
    assert!(stage.counters().epoll_wait <= waits + 4);
    assert_eq!(
        (stage.answers().len(), stage.sim().datagrams_queued(0)),
        (0, 1)
    );
    assert!(stage.counters().short_writes >= 1);
    stage.sim().set_datagram_room(0, None);
    stage.play.quiet();
    assert_eq!(stage.answers(), [b"c", b"d", b"e"]);
    assert_eq!(stage.counters().datagrams_unsent, 0);
    stage.end();
}

#[test]
fn a_local_peer_whose_queue_is_full_keeps_no_other_peer_waiting() {
    let mut stage = Stage::new(&[LOCAL], Echo);
    for text in ["a", "b", "c"] {
        stage.send(text.as_bytes(), "unixgram:@peer");
    }
    stage.sim().fail("sendmmsg", 1, errno::EAGAIN);
    stage.play.quiet();
    assert_eq!(stage.answers(), [b"b", b"c"]);
    assert_eq!(stage.counters().datagrams_unsent, 1);
    stage.end();
}

#[test]
fn an_error_of_a_send_belongs_to_one_datagram() {
    for error in [
        errno::ECONNREFUSED,
        errno::EMSGSIZE,
        errno::EHOSTUNREACH,
        errno::EPERM,
        errno::EINVAL,
        999,
    ] {
        let mut stage = Stage::new(&[HERE], Echo);
        for text in ["a", "b", "c"] {
            stage.send(text.as_bytes(), PEER);
        }
        stage.sim().fail("sendmmsg", 1, error);
        stage.play.quiet();
        assert_eq!(stage.answers(), [b"b", b"c"], "{error}");
        assert_eq!(stage.counters().datagrams_unsent, 1);
        assert_eq!(stage.ask(b"d", PEER), [b"d"]);
        stage.end();
    }
}

#[test]
fn a_send_without_memory_is_tried_again_a_bounded_number_of_times() {
    let retries = u64::from(MEMORY_RETRIES_MAX);
    for (failures, is_sent) in [(1, true), (retries, true), (retries + 1, false)] {
        let mut stage = Stage::new(&[HERE], Echo);
        for number in 1..=failures {
            stage.sim().fail("sendmmsg", number, errno::ENOBUFS);
        }
        stage.send(b"a", PEER);
        assert!(stage.play.quiet() <= stage.sim().time().after(MEMORY_RETRY_MIN));
        assert!(stage.answers().is_empty());
        stage
            .play
            .pass(MEMORY_RETRY_MIN * (1 << MEMORY_RETRIES_MAX));
        assert_eq!(stage.answers().len(), usize::from(is_sent), "{failures}");
        assert_eq!(stage.counters().datagrams_unsent, u64::from(!is_sent));
        assert_eq!(stage.ask(b"b", PEER), [b"b"]);
        stage.end();
    }
}

#[test]
fn an_error_of_a_receive_does_not_end_the_socket() {
    for error in [errno::ECONNREFUSED, errno::EHOSTUNREACH, 999] {
        let mut stage = Stage::new(&[HERE], Echo);
        stage.sim().fail("recvmmsg", 1, error);
        assert_eq!(stage.ask(b"a", PEER), [b"a"]);
        assert_eq!(stage.counters().datagram_errors, 1);
        stage.end();
    }
}

#[test]
fn a_socket_rests_when_its_receives_fail_for_good() {
    for (failures, rests) in [
        (DATAGRAM_ERRORS_MAX - 1, false),
        (DATAGRAM_ERRORS_MAX, true),
        (DATAGRAM_ERRORS_MAX + 1, true),
    ] {
        let mut stage = Stage::new(&[HERE], Echo);
        for number in 1..=failures {
            stage
                .sim()
                .fail("recvmmsg", number.into(), errno::ECONNREFUSED);
        }
        stage.send(b"a", PEER);
        stage.play.quiet();
        assert_eq!(stage.answers().is_empty(), rests, "{failures}");
        stage.play.pass(LISTENER_PAUSE_MAX);
        let answered = usize::from(rests);
        assert_eq!(stage.answers().len(), answered, "{failures}");
        assert_eq!(stage.counters().datagram_errors, u64::from(failures));
        stage.end();
    }
    // For lack of memory it rests at once.
    let mut stage = Stage::new(&[HERE], Echo);
    stage.sim().fail("recvmmsg", 1, errno::ENOMEM);
    assert!(stage.ask(b"a", PEER).is_empty());
    stage.play.pass(LISTENER_PAUSE_MAX);
    assert_eq!(stage.answers(), [b"a"]);
    stage.end();
}

#[test]
fn a_flood_of_datagrams_leaves_each_turn_to_the_connections_too() {
    let mut stage = Stage::new(&[HERE], Echo);
    let peer = stage.play.connect();
    for _ in 0..2 * DATAGRAMS_PER_BATCH {
        stage.send(b"flood", PEER);
    }
    stage.sim().send(peer, b"hello");
    stage.play.turn();
    assert_eq!(stage.sim().receive_all(peer), b"hello");
    let count = DATAGRAMS_PER_BATCH;
    assert_eq!(stage.answers().len(), count, "one batch a turn");
    assert_eq!(stage.sim().datagrams_queued(0), count);
    stage.play.quiet();
    assert_eq!(stage.answers().len(), count);
    stage.sim().close_peer(peer);
    stage.end();
}

#[test]
fn several_sockets_of_different_kinds_are_served_by_one_loop() {
    let mut stage = Stage::new(&[HERE, OTHER, LOCAL], Echo);
    for (socket, from) in [(0, PEER), (1, PEER), (2, "unixgram:@peer")] {
        let bytes = [b'0' + socket as u8];
        assert!(stage.sim().send_datagram_to(socket, &bytes, &address(from)));
        stage.play.quiet();
        let sent = stage.sim().take_datagrams(socket);
        assert_eq!(sent, [(bytes.to_vec(), address(from))]);
    }
    stage.end();
}

#[test]
fn a_readiness_that_was_not_there_is_harmless() {
    let mut stage = Stage::new(&[HERE], Echo);
    let faults = Faults {
        spurious: 1.0,
        ..Faults::none()
    };
    stage.sim().set_faults(faults);
    for _ in 0..50 {
        stage.play.turn();
    }
    stage.sim().set_faults(Faults::none());
    assert!(stage.counters().spurious_events > 0);
    assert_eq!(stage.ask(b"a", PEER), [b"a"]);
    stage.end();
}

#[test]
fn a_socket_that_cannot_be_registered_is_closed_with_the_others() {
    let mut play = Play::new(Config::default(), settings(), Framing::Raw(Raw), Echo);
    let sockets = [HERE, OTHER].map(|at| DatagramSocket {
        socket: play.server.kernel_mut().open_datagrams(at),
        address: address(at),
        is_shared: false,
        is_passed: false,
    });
    play.sim().fail("epoll_ctl", 2, errno::ENOSPC);
    let refused = play.server.serve_datagrams(sockets.into());
    let number = refused.expect_err("it cannot").raw_os_error();
    assert_eq!(number, Some(errno::ENOSPC));
    assert_eq!(play.sim().open_sockets(), FIXED_SOCKETS);
}

#[test]
fn a_drain_answers_what_is_in_the_queue_and_takes_nothing_more() {
    let mut stage = Stage::new(&[HERE], Echo);
    for number in 0..50_u8 {
        stage.send(&[number], PEER);
    }
    stage.play.server.drain();
    let late = stage.sim().send_datagram_to(0, b"late", &address(PEER));
    assert!(!late, "the kernel takes nothing more");
    stage.play.quiet();
    let expected: Vec<Vec<u8>> = (0..50).map(|number| vec![number]).collect();
    assert_eq!(stage.counters().datagrams_out, expected.len() as u64);
    assert!(stage.play.server.is_done());
    assert_eq!(
        (stage.play.server.cut(), stage.sim().open_sockets()),
        (0, 1)
    );
}

#[test]
fn a_drain_leaves_a_socket_that_was_passed_open_to_its_next_user() {
    let mut play = Play::new(Config::default(), settings(), Framing::Raw(Raw), Echo);
    let socket = DatagramSocket {
        socket: play.server.kernel_mut().open_datagrams(HERE),
        address: address(HERE),
        is_shared: true,
        is_passed: true,
    };
    play.server
        .serve_datagrams(vec![socket])
        .expect("it is registered");
    assert!(play.sim().send_datagram_to(0, b"a", &address(PEER)));
    play.server.drain();
    assert_eq!(play.sim().calls("setsockopt datagrams"), 0);
    play.quiet();
    assert!(play.server.is_done());
    assert_eq!((play.counters().datagrams_out, play.server.cut()), (1, 0));
}

#[test]
fn a_drain_waits_for_room_until_its_time_out_and_counts_what_is_cut() {
    for (has_room, cut) in [(true, 0), (false, 3)] {
        let mut stage = Stage::new(&[HERE], Echo);
        stage.sim().set_datagram_room(0, Some(0));
        for text in ["a", "b", "c"] {
            stage.send(text.as_bytes(), PEER);
        }
        stage.play.quiet();
        stage.play.server.drain();
        stage.play.pass(DRAIN - NANOSECOND);
        assert!(!stage.play.server.is_done());
        if has_room {
            stage.sim().set_datagram_room(0, None);
        }
        stage.play.pass(NANOSECOND);
        assert!(stage.play.server.is_done());
        assert_eq!(stage.play.server.cut(), cut);
        assert_eq!(stage.sim().open_sockets(), 1);
    }
}

#[test]
fn a_drain_ends_in_time_where_the_kernel_does_not_stop_the_arrivals() {
    let mut stage = Stage::new(&[HERE], Echo);
    stage.sim().fail("setsockopt datagrams", 1, errno::EPERM);
    stage.send(b"a", PEER);
    stage.play.server.drain();
    for _ in 0..4 {
        let _ = stage.sim().send_datagram_to(0, b"more", &address(PEER));
        stage.play.turn();
    }
    stage.play.quiet();
    assert!(stage.play.server.is_done());
    assert_eq!(stage.play.server.cut(), 0);
}

fn limits(rate: u64, burst: u64) -> Limits {
    Limits {
        each: Some(mynah::base::token_bucket::Rate { rate, burst }),
        total: None,
    }
}

/// Datagrams of 1000 bytes that are answered in ten seconds of a flood.
fn flooded(pacing: Pacing) -> u64 {
    let settings = Settings {
        pacing,
        ..settings()
    };
    let mut stage = Stage::with(&[HERE], settings, Echo);
    let end = stage.sim().time().after(Duration::from_secs(10));
    let bytes = [b'x'; 1000];
    let mut answered = 0;
    while stage.sim().time() < end {
        while stage.sim().datagrams_queued(0) < 60 {
            stage.send(&bytes, PEER);
        }
        stage.play.pass(Duration::from_millis(1));
        answered += stage.answers().len() as u64;
    }
    assert!(stage.counters().rate_waits > 0);
    answered
}

#[test]
fn a_rate_holds_for_datagrams_within_five_per_cent_over_ten_seconds() {
    let (rate, burst) = (1 << 20, 64 << 10);
    let read = Pacing {
        read: limits(rate, burst),
        ..Pacing::default()
    };
    let write = Pacing {
        write: limits(rate, burst),
        ..Pacing::default()
    };
    for pacing in [read, write] {
        let moved = flooded(pacing) * 1000;
        let ideal = 10 * rate;
        assert!(moved * 100 >= ideal * 95, "{moved}");
        assert!(moved * 100 <= ideal * 105 + burst * 100, "{moved}");
    }
}

#[test]
fn what_arrives_is_answered_or_counted_whatever_fails() {
    for seed in 1..=300 {
        let mut dice = Dice::new(seed);
        let mut stage = Stage::new(&[HERE], Upper);
        stage.sim().set_faults(Faults::swarm(seed));
        let (mut sent, mut answers) = (Vec::new(), Vec::new());
        for number in 0..200_u32 {
            if dice.chance(0.1) {
                let room = [None, Some(0), Some(3)][dice.below(3)];
                stage.sim().set_datagram_room(0, room);
            }
            let from = format!("udp://192.0.2.9:{}", [7, 19, 5000, 5001][dice.below(4)]);
            let text = format!("datagram {number} of {from}");
            let from = address(&from);
            if stage.sim().send_datagram_to(0, text.as_bytes(), &from) {
                sent.push((text.to_uppercase().into_bytes(), from));
            }
            if dice.chance(0.3) {
                stage.play.turn();
            }
            answers.extend(stage.sim().take_datagrams(0));
        }
        stage.sim().set_faults(Faults::none());
        stage.sim().set_datagram_room(0, None);
        stage.play.pass(Duration::from_secs(5));
        answers.extend(stage.sim().take_datagrams(0));
        let counters = stage.counters().clone();
        assert_eq!(counters.datagrams_in, sent.len() as u64, "seed {seed}");
        let dropped = counters.datagrams_truncated + counters.refused_loop;
        assert_eq!(
            counters.frames + dropped,
            counters.datagrams_in,
            "seed {seed}"
        );
        let answered = counters.datagrams_out + counters.datagrams_unsent;
        assert_eq!(answered, counters.frames, "seed {seed}");
        assert_eq!(counters.datagrams_out, answers.len() as u64, "seed {seed}");
        for answer in answers {
            let place = sent.iter().position(|it| *it == answer);
            let place = place.unwrap_or_else(|| panic!("seed {seed}: {answer:?} was not asked"));
            // Once.
            sent.swap_remove(place);
        }
        stage.end();
    }
}
