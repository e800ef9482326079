//! C3 and C4: input from a person or a pipe, framed messages, and back-pressure in both directions.
//!
//! Runs on the simulated kernel; the test is the server and the terminal.

use libc::ECONNRESET;
use mynah::kernel::Signal;

use super::*;
use crate::sim::{Dice, Faults, Link};

/// Pseudo-random bytes, so that lost or reordered parts are detected.
fn noise(count: usize) -> Vec<u8> {
    let mut dice = Dice::new(7);
    (0..count).map(|_| dice.below(256) as u8).collect()
}

#[test]
fn c3_a_person_is_prompted_and_empty_lines_are_not_sent() {
    let (mut play, peer) = Play::hosted(person());
    play.settle();
    assert_eq!(play.printed(), "> ");
    play.sim().type_in(b"\n");
    play.sim().type_in(b"hello\n");
    play.settle();
    assert_eq!(play.sim().receive_all(peer), b"hello\n");
    assert_eq!(play.printed(), "> ");
    play.sim().send(peer, b"hello\n");
    play.settle();
    assert_eq!(play.printed(), "\r  \rhello\n> ");
}

#[test]
fn c3_quit_tells_the_server_and_does_not_wait_for_ever() {
    let (mut play, peer) = Play::hosted(person());
    play.sim().type_in(b"one\nquit\nnever\n");
    play.turn();
    assert_eq!(play.sim().receive_all(peer), b"one\n");
    assert_eq!(play.sim().peer_state(peer).link, Link::Finished);
    play.sim().send(peer, b"a last word\n");
    play.finish();
    assert!(play.is_done());
    assert_eq!(play.printed(), "> a last word\n");
    assert_eq!(play.seconds(), 2.0);
}

#[test]
fn c3_the_end_of_the_servers_stream_ends() {
    let (mut play, peer) = Play::hosted(person());
    play.sim().send(peer, b"bye\n");
    play.sim().finish(peer);
    play.settle();
    assert!(play.is_done());
    assert_eq!(play.printed(), "> \r  \rbye\n> \n");
}

#[test]
fn c3_a_terminal_is_not_controlled_by_a_server() {
    let (mut play, peer) = Play::hosted(person());
    play.sim().send(peer, b"\x1b[2J\x9b\n");
    play.settle();
    assert_eq!(play.printed(), "> \r  \r\\u{1b}[2J\\x9b\n> ");
}

#[test]
fn c3_a_pipe_half_closes_at_its_end_and_reads_on_to_the_servers() {
    let (mut play, peer) = Play::hosted(settings());
    play.sim().type_in(b"\nquit\n\0");
    play.sim().end_input();
    play.settle();
    assert_eq!(play.sim().receive_all(peer), b"\nquit\n\0");
    assert_eq!(play.sim().peer_state(peer).link, Link::Finished);
    play.sim().send(peer, b"\x1b[2J late");
    play.settle();
    assert!(play.end.is_none());
    play.sim().finish(peer);
    play.settle();
    assert!(play.is_done());
    assert_eq!(play.printed(), "\x1b[2J late");
}

#[test]
fn c3_a_file_that_epoll_refuses_is_read_all_the_same() {
    for file in [true, false] {
        let mut sim = Sim::new(small());
        sim.host(&address());
        let bytes = noise(2 << 20);
        sim.type_in(&bytes);
        sim.end_input();
        if file {
            sim.input_is_a_file();
        }
        let mut play = Play::on(sim, settings());
        play.turn();
        let peer = play.sim().incoming(&address()).expect("a connection");
        // The server does not read, so the client stops reading its input and sleeps.
        play.settle();
        assert!(play.sim().untaken() > bytes.len() / 4);
        let mut received = Vec::new();
        while play.sim().peer_state(peer).link == Link::Open {
            received.extend(play.sim().receive_all(peer));
            play.settle();
        }
        assert!(received == bytes);
        play.sim().finish(peer);
        play.settle();
        assert!(play.is_done());
    }
}

#[test]
fn c3_a_blocked_output_slows_the_server_and_loses_nothing() {
    let (mut play, peer) = Play::hosted(settings());
    play.sim().let_print(Some(0));
    let bytes = noise(2 << 20);
    let mut sent = 0;
    loop {
        let count = play.sim().send(peer, &bytes[sent..]);
        sent += count;
        play.settle();
        if count == 0 {
            break;
        }
    }
    assert!(sent < 1 << 20, "{sent} bytes were taken and not printed");
    // The end of the stream and the hang-up must neither make the client spin nor drop received
    // bytes.
    play.sim().finish(peer);
    play.sim().end_input();
    play.settle();
    assert!(play.end.is_none());
    let mut printed = Vec::new();
    while play.end.is_none() {
        play.sim().let_print(Some(5000));
        play.settle();
        printed.extend(play.sim().printed());
    }
    assert!(play.is_done());
    assert!(printed == bytes[..sent]);
}

#[test]
fn c3_a_closed_output_is_a_quiet_end() {
    let (mut play, peer) = Play::hosted(settings());
    play.sim().close_output();
    play.sim().send(peer, b"no peer reads it");
    play.settle();
    assert!(play.is_done());
}

#[test]
fn c3_an_interrupt_ends_it_whatever_it_waits_for() {
    let (mut play, peer) = Play::hosted(settings());
    play.sim().let_print(Some(0));
    play.sim().send(peer, b"stuck");
    play.settle();
    play.sim().raise(Signal::Statistics);
    play.settle();
    assert!(play.end.is_none());
    play.sim().raise(Signal::Terminate(2));
    play.settle();
    assert!(matches!(play.end, Some(Ok(Ending::Signal(2)))));
}

#[test]
fn c3_what_came_before_a_reset_is_printed_before_it_is_told() {
    let (mut play, peer) = Play::hosted(settings());
    play.sim().send(peer, b"last words");
    play.sim().reset(peer);
    play.sim().type_in(b"unheard");
    let reset = std::io::Error::from_raw_os_error(ECONNRESET);
    let failure = play.failure();
    assert!(
        failure.contains("took all") || failure.contains(&reset.to_string()),
        "{failure}"
    );
    assert_eq!(play.printed(), "last words");
}

#[test]
fn c3_a_server_that_leaves_before_it_took_everything_is_a_failure() {
    let (mut play, peer) = Play::hosted(settings());
    play.sim().type_in(&noise(100_000));
    play.settle();
    play.sim().finish(peer);
    let failure = play.failure();
    assert_eq!(
        failure,
        "the server ended its stream before it took all that was said"
    );
}

#[test]
fn c3_a_time_out_applies_to_an_awaited_reply_and_not_to_a_person() {
    let timeout = Some(5 * SECOND);
    let (mut play, _peer) = Play::hosted(Settings {
        timeout,
        ..person()
    });
    play.settle();
    assert_eq!(play.sim().asleep(), Some(Time::NEVER));
    let (mut play, peer) = Play::hosted(Settings {
        timeout,
        ..settings()
    });
    play.sim().advance(60 * SECOND);
    play.sim().end_input();
    play.turn();
    play.sim().advance(4 * SECOND);
    play.sim().send(peer, b"still here");
    assert_eq!(play.failure(), "timed out: nothing from the server for 5s");
    assert_eq!(play.seconds(), 69.0);
    assert_eq!(play.printed(), "still here");
}

#[test]
fn c4_lines_become_frames_and_frames_become_lines() {
    for (frame, sent, reply, line) in [
        ("u8", &b"\x02hi"[..], &b"\x03\xe4\xbd\xa0"[..], "你\n"),
        ("u16le", b"\x02\0hi", b"\x02\0\x1b[", "0x1b5b\n"),
        ("i32le", b"\x02\0\0\0hi", b"\0\0\0\0", "\n"),
        (
            "len:size=2,strip=2,adjust=-2",
            b"\0\x04hi",
            b"\0\x05yes",
            "yes\n",
        ),
        (
            "len:offset=1,size=1,strip=0",
            b"\0\x02hi",
            b"\xca\x02ok",
            "ok\n",
        ),
    ] {
        let (mut play, peer) = Play::hosted(framed(frame));
        play.sim().type_in(b"hi\n");
        play.settle();
        assert_eq!(play.sim().receive_all(peer), sent, "{frame}");
        for byte in reply {
            assert_eq!(play.printed(), "");
            play.sim().send(peer, &[*byte]);
            play.settle();
        }
        assert_eq!(play.printed(), line, "{frame}");
    }
}

#[test]
fn c4_one_message_has_one_reply() {
    let message = |frame| Settings {
        source: Source::Message(b"hi".to_vec()),
        ..framed(frame)
    };
    let (mut play, peer) = Play::hosted(message("u8"));
    play.settle();
    assert_eq!(play.sim().receive_all(peer), b"\x02hi");
    assert_eq!(play.sim().peer_state(peer).link, Link::Open);
    play.sim().send(peer, b"\x03one\x03two");
    play.settle();
    assert!(play.is_done());
    assert_eq!(play.printed(), "one\n");

    let (mut play, peer) = Play::hosted(message("u8"));
    play.sim().finish(peer);
    assert_eq!(
        play.failure(),
        "the server ended its stream before it replied"
    );

    // Without a framing, the reply is everything up to the end of the stream.
    let (mut play, peer) = Play::hosted(message("raw"));
    play.settle();
    assert_eq!(play.sim().receive_all(peer), b"hi");
    assert_eq!(play.sim().peer_state(peer).link, Link::Finished);
    play.sim().send(peer, b"one");
    play.settle();
    play.sim().send(peer, b" two");
    play.sim().finish(peer);
    play.settle();
    assert!(play.is_done());
    assert_eq!(play.printed(), "one two");
}

#[test]
fn c4_a_reply_that_is_printed_slowly_is_a_reply_whatever_the_server_does_behind_it() {
    for breaks in [false, true] {
        let (mut play, peer) = Play::hosted(Settings {
            source: Source::Message(b"hi".to_vec()),
            ..framed("u8")
        });
        play.sim().let_print(Some(0));
        play.settle();
        play.sim().send(peer, b"\x03one");
        play.settle();
        if breaks {
            play.sim().reset(peer);
        } else {
            play.sim().finish(peer);
        }
        play.settle();
        assert!(play.end.is_none());
        play.sim().let_print(None);
        play.settle();
        assert!(play.is_done(), "{:?}", play.end);
        assert_eq!(play.printed(), "one\n");
    }
}

#[test]
fn c4_one_message_without_a_framing_that_nothing_comes_back_to_is_a_failure() {
    for (message, failure) in [
        (
            "hi",
            Some(
                "the server ended its stream before it replied; it may want a --frame, such as line",
            ),
        ),
        // An empty message needs no reply.
        ("", None),
    ] {
        let (mut play, peer) = Play::hosted(Settings {
            source: Source::Message(message.into()),
            ..settings()
        });
        play.settle();
        play.sim().finish(peer);
        let told = play.finish().as_ref().err().map(ClientError::to_string);
        assert_eq!(told.as_deref(), failure);
    }
}

#[test]
fn c4_the_message_after_a_greeting_is_the_reply() {
    for greeted in [false, true] {
        let (mut play, peer) = Play::hosted(Settings {
            source: Source::Message(b"hi".to_vec()),
            greeted,
            ..framed("u8")
        });
        play.settle();
        assert_eq!(play.sim().receive_all(peer), b"\x02hi");
        play.sim().send(peer, b"\x07welcome");
        play.settle();
        assert_eq!(play.is_done(), !greeted);
        if greeted {
            assert_eq!(play.printed(), "");
            play.sim().send(peer, b"\x03one\x03two");
            play.settle();
            assert!(play.is_done());
            assert_eq!(play.printed(), "one\n");
        } else {
            assert_eq!(play.printed(), "welcome\n");
        }
    }
    let (mut play, peer) = Play::hosted(Settings {
        source: Source::Message(b"hi".to_vec()),
        greeted: true,
        ..framed("u8")
    });
    play.sim().send(peer, b"\x07welcome");
    play.sim().finish(peer);
    let failure = play.failure();
    assert_eq!(failure, "the server ended its stream before it replied");
}

#[test]
fn c4_what_is_answered_to_the_lines_before_a_refused_one_is_printed_before_that_is_told() {
    let long = [&[b'x'; 300], b"\n".as_slice()].concat();
    for (cause, refused) in [
        (&long, "line 3: 300 bytes make no frame: "),
        (&vec![b'x'; 2 << 20], "line 3: is longer than 1048576 bytes"),
    ] {
        let (mut play, peer) = Play::hosted(framed("u8"));
        play.sim().type_in(b"one\ntwo\n");
        play.sim().type_in(cause);
        play.sim().type_in(b"never\n");
        play.settle();
        assert_eq!(play.sim().receive_all(peer), b"\x03one\x03two");
        assert_eq!(play.sim().peer_state(peer).link, Link::Finished);
        play.sim().send(peer, b"\x03ONE");
        play.settle();
        assert!(play.end.is_none(), "there is more to come");
        play.sim().send(peer, b"\x03TWO");
        play.sim().finish(peer);
        let failure = play.failure();
        assert!(failure.starts_with(refused), "{failure}");
        assert!(matches!(play.end, Some(Err(ClientError::Message(_)))));
        assert_eq!(play.printed(), "ONE\nTWO\n");
    }
}

#[test]
fn c4_a_refused_line_is_reported_although_earlier_lines_get_no_reply() {
    let settings = Settings {
        timeout: Some(5 * SECOND),
        ..framed("u8")
    };
    let (mut play, _peer) = Play::hosted(settings);
    play.sim()
        .type_in(&[b"one\n", &[b'x'; 300][..], b"\n"].concat());
    let failure = play.failure();
    assert!(failure.starts_with("line 2: 300 bytes"), "{failure}");
    assert_eq!(play.seconds(), 5.0);
}

#[test]
fn c4_a_wrong_frame_is_told_after_the_right_ones_before_it() {
    let (mut play, peer) = Play::hosted(framed("i32be"));
    play.sim().send(peer, b"\0\0\0\x02ok\xff\xff\xff\xff");
    assert_eq!(play.failure(), "corrupted: the length field is negative");
    assert!(matches!(play.end, Some(Err(ClientError::Protocol(_)))));
    assert_eq!(play.printed(), "ok\n");

    let (mut play, peer) = Play::hosted(framed("u32be"));
    play.sim().send(peer, b"GET ");
    assert!(play.failure().starts_with("too_long: "));

    let (mut play, peer) = Play::hosted(framed("u8"));
    play.sim().send(peer, b"\x01a\x05trun");
    play.sim().finish(peer);
    assert_eq!(
        play.failure(),
        "truncated: the stream ended 5 bytes into a frame"
    );
    assert_eq!(play.printed(), "a\n");
}

/// Sends lines through an echo that the test plays, on a kernel with `faults`. Returns the lines,
/// the output, and whether the client ended without an error.
fn echo_of_lines(seed: u64, faults: Faults) -> (String, String, bool) {
    let config = Config {
        seed,
        faults,
        ..small()
    };
    let mut sim = Sim::new(config);
    sim.host(&address());
    let lines: String = (0..2000)
        .map(|number| format!("{number} {seed}\n"))
        .collect();
    sim.type_in(lines.as_bytes());
    sim.end_input();
    let mut play = Play::on(sim, framed(["raw", "u8", "u32le"][seed as usize % 3]));
    let (mut peer, mut held) = (None, Vec::new());
    for _ in 0..100_000 {
        if play.end.is_some() {
            break;
        }
        play.turn();
        peer = peer.or_else(|| play.sim().incoming(&address()));
        let Some(peer) = peer else { continue };
        held.extend(play.sim().receive_all(peer));
        let sent = play.sim().send(peer, &held);
        held.drain(..sent);
        if held.is_empty() && play.sim().peer_state(peer).link == Link::Finished {
            play.sim().finish(peer);
        }
    }
    assert!(play.end.is_some(), "seed {seed}: it never ends");
    (lines, play.printed(), play.is_done())
}

#[test]
fn c4_whatever_the_kernel_does_the_echo_of_every_line_is_printed() {
    for seed in 0..300 {
        let faults = Faults {
            reset: 0.0,
            half_close: 0.0,
            unregistered: 0.0,
            ..Faults::swarm(seed)
        };
        let (lines, printed, done) = echo_of_lines(seed, faults);
        assert!(done && printed == lines, "seed {seed}");
    }
}

#[test]
fn c4_whatever_breaks_the_connection_it_ends_and_prints_nothing_else() {
    let mut broken = 0;
    for seed in 0..300 {
        let faults = Faults {
            reset: 0.01,
            half_close: 0.01,
            ..Faults::swarm(seed)
        };
        let (lines, printed, done) = echo_of_lines(seed, faults);
        assert!(lines.starts_with(&printed), "seed {seed}");
        broken += u32::from(!done);
    }
    assert!(broken > 50, "{broken} were broken");
}
