//! The two phases of a batch: the loop reads from all connections on the fast path before it sends
//! any reply. A connection that leaves the fast path keeps its bytes and its place.

use mynah::kernel::journal::{Argument, Name};
use mynah::limits::ANSWERS_PER_PHASE;
use mynah::protocol::service::Discard;

use super::golden::assert_calls;
use super::*;

/// Connects three peers. In one turn, the second does what `second` says and the others send a
/// request.
fn three(play: &mut Play<Echo>, second: impl Fn(&mut Sim, Peer)) -> [Peer; 3] {
    let peers = [0; 3].map(|_| play.connect());
    play.sim().clear_journal();
    play.sim().send(peers[0], b"one");
    second(play.sim(), peers[1]);
    play.sim().send(peers[2], b"three");
    play.turn();
    peers
}

/// Like [`echo`], with frames of a length and a payload.
fn echo_frames(settings: Settings, play: impl Fn(&mut Play<Echo>)) {
    let framing = framing("u16be", 1000);
    under_both(Config::default(), settings, framing, Echo, play);
}

#[test]
fn a_server_whose_ring_is_lost_makes_its_batches_as_one_without_a_ring() {
    let config = Config {
        batches_at_once: true,
        ..Config::default()
    };
    echo(config, settings(), |play| {
        let peers = [0; 3].map(|_| play.connect());
        let mut faults = Faults::none();
        faults.ring_lost = 1.0;
        play.sim().set_faults(faults);
        // The first batch loses the ring, the second finds it gone.
        for turn in 0..3 {
            for peer in peers {
                play.sim().send(peer, &[b'x'; 300]);
            }
            play.sim().clear_journal();
            play.turn();
            let journal = play.sim().journal().iter();
            let spaces = journal.filter_map(|call| match (call.name, call.argument) {
                (Name::Read, Argument::Size(size)) => Some(size),
                _ => None,
            });
            let spaces: Vec<usize> = spaces.collect();
            let expected = match turn {
                0 | 1 => [320; 3],
                // Half of the space is always free for a read, so the third has a phase of its own.
                _ => [1024, 724, 1024],
            };
            assert_eq!(spaces, expected, "turn {turn}");
            for peer in peers {
                assert_eq!(play.receive(peer), [b'x'; 300], "turn {turn}");
            }
        }
        assert_eq!(play.counters().io_uring_enter, 1);
    });
}

#[test]
fn a_stream_that_ends_among_requests_is_closed_when_those_before_it_have_their_answers() {
    echo(Config::default(), settings(), |play| {
        let peers = three(play, |sim, peer| sim.finish(peer));
        // Under edge trigger the FIN is reported with the data, so this connection does not take
        // the fast path, and comes behind the others.
        let (early, late) = match play.trigger {
            Trigger::Level => ("recv(6) = 0", "close(6) = 0"),
            Trigger::Edge => ("", "recv(6) = 0\nclose(6) = 0"),
        };
        let calls = format!(
            "epoll_wait() = 3
             recv(5) = 3
             {early}
             recv(7) = 5
             send(5, 3) = 3
             send(7, 5) = 5
             {late}"
        );
        assert_calls(play, &calls);
        assert_eq!(play.receive(peers[0]), b"one");
        assert_eq!(play.receive(peers[2]), b"three");
    });
}

#[test]
fn part_of_a_frame_among_requests_is_kept_and_answered_when_it_is_whole() {
    echo_frames(settings(), |play| {
        let peers = [0; 3].map(|_| play.connect());
        play.sim().clear_journal();
        play.sim().send(peers[0], &hex("0001 61"));
        play.sim().send(peers[1], &hex("0001 62 0002 63"));
        play.sim().send(peers[2], &hex("0001 65"));
        play.turn();
        assert_calls(
            play,
            "epoll_wait() = 3
             recv(5) = 3
             recv(6) = 6
             recv(7) = 3
             send(5, 3) = 3
             send(7, 3) = 3
             send(6, 3) = 3",
        );
        assert_eq!(play.server.workspaces_acquired(), 1);
        play.send(peers[1], &hex("64"));
        assert_eq!(play.receive(peers[0]), hex("0001 61"));
        assert_eq!(play.receive(peers[1]), hex("0001 62 0002 6364"));
        assert_eq!(play.receive(peers[2]), hex("0001 65"));
    });
}

#[test]
fn unsent_replies_of_a_batch_are_kept_and_sent_in_order() {
    // The kernel takes 100 + 300 bytes for a peer that does not read.
    echo(narrow(), settings(), |play| {
        let peers = [0; 4].map(|_| play.connect());
        let mut sent = [const { Vec::new() }; 4];
        for round in 0..9_u8 {
            for (peer, sent) in peers.iter().zip(&mut sent) {
                let bytes = [b'a' + round; 90];
                let count = play.sim().send(*peer, &bytes);
                sent.extend_from_slice(&bytes[..count]);
            }
            play.turn();
        }
        assert_eq!(
            play.server.workspaces_acquired(),
            4,
            "all are owed something"
        );
        for (peer, sent) in peers.iter().zip(&sent) {
            assert!(
                sent.len() > 400,
                "{} do not fill what is narrow",
                sent.len()
            );
            assert_eq!(&play.receive(*peer), sent);
        }
    });
}

#[test]
fn a_peer_that_has_reset_before_its_reply_affects_no_other_peer() {
    echo(Config::default(), settings(), |play| {
        let peers = [0; 3].map(|_| play.connect());
        for peer in peers {
            play.sim().send(peer, b"hello");
        }
        play.sim().fail("send", 2, libc::ECONNRESET);
        play.turn();
        assert_eq!(play.closed(CloseReason::Reset), 1);
        assert_eq!(play.receive(peers[0]), b"hello");
        assert_eq!(play.receive(peers[2]), b"hello");
    });
}

#[test]
fn a_reply_refused_for_lack_of_memory_is_kept_beside_the_others() {
    echo(Config::default(), settings(), |play| {
        let peers = [0; 3].map(|_| play.connect());
        for peer in peers {
            play.sim().send(peer, b"hello");
        }
        play.sim().fail("send", 1, libc::ENOBUFS);
        play.turn();
        assert_eq!(play.server.workspaces_acquired(), 1);
        play.pass(Duration::from_secs(1));
        for peer in peers {
            assert_eq!(play.receive(peer), b"hello");
        }
    });
}

#[test]
fn a_peer_lost_with_its_reply_does_not_move_the_replies_of_others() {
    echo(Config::default(), settings(), |play| {
        let peers = [0; 3].map(|_| play.connect());
        for (peer, text) in peers.iter().zip(["first", "second", "third"]) {
            play.sim().send(*peer, text.as_bytes());
        }
        play.sim().fail("send", 1, libc::EAGAIN);
        play.sim().fail("epoll_ctl", 1, libc::ENOMEM);
        play.turn();
        assert_eq!(play.closed(CloseReason::Failed), 1);
        assert_eq!(play.receive(peers[1]), b"second");
        assert_eq!(play.receive(peers[2]), b"third");
    });
}

#[test]
fn no_more_is_read_ahead_than_there_are_workspaces_to_keep_it_in() {
    let calls = |workspaces: usize| {
        let settings = Settings {
            workspaces,
            ..settings()
        };
        let mut play = Play::new(Config::default(), settings, Framing::Raw(Raw), Echo);
        let peers = [0; 4].map(|_| play.connect());
        for peer in peers {
            play.sim().send(peer, b"hello");
        }
        play.sim().clear_journal();
        play.turn();
        let calls = play.calls();
        for peer in peers {
            assert_eq!(play.receive(peer), b"hello");
        }
        play.end();
        calls
    };
    assert_eq!(calls(1), "recv, send, ".repeat(4).trim_end_matches(", "));
    assert_eq!(calls(2), "recv, send, ".repeat(4).trim_end_matches(", "));
    assert_eq!(calls(3), "recv, recv, send, send, recv, recv, send, send");
    assert_eq!(calls(5), "recv, recv, recv, recv, send, send, send, send");
}

#[test]
fn replies_go_out_in_groups_of_bounded_size() {
    for count in [
        ANSWERS_PER_PHASE - 1,
        ANSWERS_PER_PHASE,
        ANSWERS_PER_PHASE + 1,
    ] {
        let settings = Settings {
            connections_max: 100,
            workspaces: 100,
            ..settings()
        };
        echo(Config::default(), settings, |play| {
            let peers: Vec<Peer> = (0..count).map(|_| play.connect()).collect();
            for peer in &peers {
                play.sim().send(*peer, b"x");
            }
            play.sim().clear_journal();
            play.turn();
            let first = count.min(ANSWERS_PER_PHASE);
            let expected = [
                vec!["recv"; first],
                vec!["send"; first],
                vec!["recv"; count - first],
                vec!["send"; count - first],
            ];
            assert_eq!(play.calls(), expected.concat().join(", "));
            for peer in peers {
                assert_eq!(play.receive(peer), b"x");
            }
        });
    }
}

#[test]
fn answers_that_fill_half_the_space_go_out_before_more_is_read() {
    // The space for replies has 1,024 bytes.
    for (size, expected) in [
        (255, "recv, recv, recv, send, send, send, recv, send"),
        (256, "recv, recv, send, send, recv, recv, send, send"),
        (257, "recv, recv, send, send, recv, recv, send, send"),
        (512, "recv, send, recv, send, recv, send, recv, send"),
    ] {
        let settings = Settings {
            connections_max: 8,
            workspaces: 8,
            ..settings()
        };
        echo(Config::default(), settings, |play| {
            let peers = [0; 4].map(|_| play.connect());
            for peer in peers {
                play.sim().send(peer, &vec![b'x'; size]);
            }
            play.sim().clear_journal();
            play.turn();
            assert_eq!(play.calls(), expected, "{size}");
            for peer in peers {
                assert_eq!(play.receive(peer).len(), size);
            }
        });
    }
}

#[test]
fn a_request_too_large_for_what_is_left_of_the_space_is_read_to_its_end_all_the_same() {
    echo_frames(settings(), |play| {
        let peers = [0; 2].map(|_| play.connect());
        let large = [hex("03e6"), vec![b'x'; 998]].concat();
        play.sim()
            .send(peers[0], &[hex("00c8"), vec![b'y'; 200]].concat());
        play.sim().send(peers[1], &large);
        play.turn();
        play.quiet();
        assert_eq!(play.receive(peers[0]).len(), 202);
        assert_eq!(play.receive(peers[1]), large);
    });
}

#[test]
fn an_event_that_comes_twice_in_a_batch_answers_in_order() {
    let twice = Config {
        faults: Faults {
            duplicated: 1.0,
            short_read: 1.0,
            short_write: 1.0,
            ..Faults::none()
        },
        ..Config::default()
    };
    echo(twice, settings(), |play| {
        let peers = [0; 3].map(|_| play.connect());
        for round in 0..20_u8 {
            let text = [round; 50];
            for peer in peers {
                play.sim().send(peer, &text);
            }
            for peer in peers {
                play.quiet();
                assert_eq!(play.receive(peer), text);
            }
        }
    });
}

#[test]
fn a_silent_service_takes_its_frames_on_the_fast_path_and_sends_nothing() {
    let framing = framing("u16be", 1000);
    let discard = |play: &mut Play<Discard>| {
        let peers = [0; 3].map(|_| play.connect());
        play.sim().clear_journal();
        play.sim().send(peers[0], &hex("0001 61"));
        play.sim().send(peers[1], &hex("0001 62 0002 63"));
        play.sim().send(peers[2], &hex("0001 65 0001 66"));
        play.turn();
        assert_calls(
            play,
            "epoll_wait() = 3
             recv(5) = 3
             recv(6) = 6
             recv(7) = 6",
        );
        // Only the second holds bytes: the part of a frame.
        assert_eq!(play.server.workspaces_acquired(), 1);
        assert_eq!(play.counters().frames, 4);
        play.send(peers[1], &hex("64"));
        assert_eq!(play.server.workspaces_acquired(), 0);
        assert_eq!(play.counters().frames, 5);
        // The same alone in its turn, with more bytes than one read takes.
        let many = hex("0001 61").repeat(400);
        for part in many.chunks(700) {
            play.send(peers[0], part);
        }
        assert_eq!(play.counters().frames, 405);
        assert_eq!(play.counters().bytes_in, 16 + many.len() as u64);
        play.send(peers[2], &hex("ffff"));
        play.sim().finish(peers[2]);
        play.quiet();
        assert_eq!(play.closed(CloseReason::TooLong), 1);
        let sent = [play.counters().send, play.counters().bytes_out];
        assert_eq!(sent, [0, 0], "a silent service sends nothing");
    };
    under_both(Config::default(), settings(), framing, Discard, discard);
}
