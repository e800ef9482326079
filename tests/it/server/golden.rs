//! The exact calls of a steady echo: each request makes these calls and no others.

use super::*;

/// Asserts the journal. `READ` stands for the read interest that the trigger registers.
pub(super) fn assert_calls<S: Service>(play: &mut Play<S>, expected: &str) {
    let expected: String = expected
        .split('\n')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    let expected = match play.trigger {
        Trigger::Level => expected,
        Trigger::Edge => expected.replace("READ", "READ|EDGE"),
    };
    assert_eq!(play.sim().trace(), expected);
    play.sim().clear_journal();
}

#[test]
fn a_steady_echo_costs_one_recv_one_send_and_its_share_of_one_wait() {
    echo(Config::default(), settings(), |play| {
        play.sim().clear_journal();
        let peer = play.sim().connect(0);
        play.turn();
        assert_calls(
            play,
            "epoll_wait() = 1
             accept4(3) = 5
             epoll_ctl ADD(5, READ) = 0",
        );
        for _ in 0..3 {
            play.sim().send(peer, b"hello");
            play.turn();
            assert_calls(
                play,
                "epoll_wait() = 1
                 recv(5) = 5
                 send(5, 5) = 5",
            );
            assert_eq!(play.sim().receive_all(peer), b"hello");
        }
        play.sim().finish(peer);
        play.turn();
        assert_calls(
            play,
            "epoll_wait() = 1
             recv(5) = 0
             close(5) = 0",
        );
        let counters = play.counters();
        assert_eq!(
            (counters.frames, counters.bytes_in, counters.bytes_out),
            (3, 15, 15)
        );
        assert_eq!((counters.events, counters.close), (5, 1));
        assert_eq!(play.closed(CloseReason::EndOfStream), 1);
    });
}

#[test]
fn three_requests_at_once_share_one_wait_and_all_are_read_before_one_is_answered() {
    echo(Config::default(), settings(), |play| {
        let peers = [0; 3].map(|_| play.connect());
        play.sim().clear_journal();
        for (peer, text) in peers.iter().zip(["a", "bc", "def"]) {
            play.sim().send(*peer, text.as_bytes());
        }
        play.turn();
        assert_calls(
            play,
            "epoll_wait() = 3
             recv(5) = 1
             recv(6) = 2
             recv(7) = 3
             send(5, 1) = 1
             send(6, 2) = 2
             send(7, 3) = 3",
        );
    });
}

#[test]
fn sixteen_pipelined_frames_cost_one_recv_and_one_send() {
    let framing = framing("u16be", 1024);
    under_both(Config::default(), settings(), framing, Echo, |play| {
        let peer = play.connect();
        play.sim().clear_journal();
        let requests = hex("0003616263").repeat(16);
        play.sim().send(peer, &requests);
        play.turn();
        assert_calls(
            play,
            "epoll_wait() = 1
             recv(5) = 80
             send(5, 80) = 80",
        );
        assert_eq!(play.sim().receive_all(peer), requests);
        assert_eq!(play.counters().frames, 16);
    });
}

#[test]
fn sixteen_answers_of_another_length_go_out_in_one_send_as_well() {
    let framing = framing("u16be", 1024);
    under_both(
        Config::default(),
        settings(),
        framing,
        UpperUnicode,
        |play| {
            let peer = play.connect();
            play.sim().clear_journal();
            play.sim().send(peer, &hex("0003 61C589").repeat(16));
            play.turn();
            assert_calls(
                play,
                "epoll_wait() = 1
             recv(5) = 80
             send(5, 96) = 96",
            );
            assert_eq!(
                play.sim().receive_all(peer),
                hex("0004 41CABC4E").repeat(16)
            );
        },
    );
}

#[test]
fn a_frame_in_two_parts_costs_two_recvs_and_one_send() {
    let framing = framing("u16be", 1024);
    under_both(Config::default(), settings(), framing, Echo, |play| {
        let peer = play.connect();
        play.sim().clear_journal();
        play.sim().send(peer, &hex("000361"));
        play.turn();
        assert_eq!(play.server.workspaces_acquired(), 1, "it holds a part");
        play.sim().send(peer, &hex("6263"));
        play.turn();
        assert_calls(
            play,
            "epoll_wait() = 1
             recv(5) = 3
             epoll_wait() = 1
             recv(5) = 2
             send(5, 5) = 5",
        );
    });
}

#[test]
fn an_idle_server_does_not_wake_up() {
    let settings = Settings {
        defer_accept: false,
        spin: None,
        idle_timeout: None,
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        let peer = play.connect();
        play.ask(peer, b"hello");
        assert_eq!(play.quiet(), Time::NEVER);
    });
}
