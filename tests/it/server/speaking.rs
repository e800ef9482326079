//! Services that do more than answer: one that sends a greeting and can close the connection, one
//! that needs the time of day.

use super::*;
use mynah::protocol::service::{Http, Robot};

const GREETING: usize = 50;

fn robot(settings: Settings, play: impl Fn(&mut Play<Robot>)) {
    under_both(Config::default(), settings, Framing::Raw(Raw), Robot, play);
}

#[test]
fn a_greeting_goes_out_at_once_and_before_anything_is_read() {
    robot(settings(), |play| {
        play.sim().clear_journal();
        let peer = play.connect();
        assert_eq!(play.calls(), "accept4, epoll_ctl ADD, send");
        assert_eq!(play.receive(peer).len(), GREETING);
        assert_eq!(play.server.workspaces_acquired(), 0);
        play.sim().finish(peer);
        play.quiet();
        assert_eq!(play.closed(CloseReason::EndOfStream), 1);
    });
}

#[test]
fn a_greeting_waits_for_a_workspace_and_for_room() {
    let scarce = Settings {
        workspaces: 1,
        ..settings()
    };
    let tight = Pipe {
        send: 20,
        receive: 10,
    };
    let config = Config {
        reply: tight,
        ..Config::default()
    };
    under_both(config, scarce, Framing::Raw(Raw), Robot, |play| {
        let first = play.connect();
        let second = play.connect();
        play.send(second, b"0");
        assert_eq!(
            play.counters().workspace_waits,
            1,
            "the first holds the only one"
        );
        assert_eq!(play.receive(first).len(), GREETING);
        assert_eq!(play.receive(second).len(), GREETING + 42);
        play.sim().close_peer(first);
        play.sim().close_peer(second);
    });
}

#[test]
fn data_after_a_closing_reply_is_discarded() {
    robot(settings(), |play| {
        let peer = play.connect();
        play.send(peer, b"exit");
        assert_eq!(play.link(peer), Link::Finished);
        play.send(peer, b"0");
        assert_eq!(play.receive(peer).len(), GREETING);
        play.sim().finish(peer);
        play.quiet();
        assert_eq!(play.closed(CloseReason::Goodbye), 1);
        assert_eq!(play.counters().connections_now, 0);
    });
}

#[test]
fn the_date_is_that_of_the_second_in_which_the_request_came() {
    under_both(
        Config::default(),
        settings(),
        Framing::Raw(Raw),
        Http::default(),
        |play| {
            let peer = play.connect();
            let date = |play: &mut Play<Http>| {
                play.send(peer, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                let reply = String::from_utf8(play.receive(peer)).expect("text");
                let date = reply.lines().find_map(|line| line.strip_prefix("Date: "));
                date.expect("a date").to_owned()
            };
            // The simulated clock starts one second after 08:49:37.
            assert_eq!(date(play), "Sun, 06 Nov 1994 08:49:38 GMT");
            play.pass(Duration::from_millis(999));
            assert_eq!(date(play), "Sun, 06 Nov 1994 08:49:38 GMT");
            play.pass(Duration::from_millis(1));
            assert_eq!(date(play), "Sun, 06 Nov 1994 08:49:39 GMT");
            play.pass(Duration::from_secs(20));
            assert_eq!(date(play), "Sun, 06 Nov 1994 08:49:59 GMT");
            // The service reads the time in the middle of a second, which ends in less than one
            // second.
            play.pass(Duration::from_millis(1500));
            assert_eq!(date(play), "Sun, 06 Nov 1994 08:50:00 GMT");
            play.pass(Duration::from_millis(500));
            assert_eq!(date(play), "Sun, 06 Nov 1994 08:50:01 GMT");
            play.sim().close_peer(peer);
        },
    );
}

#[test]
fn an_idle_server_does_not_wake_up_to_read_the_time() {
    under_both(
        Config::default(),
        settings(),
        Framing::Raw(Raw),
        Http::default(),
        |play| {
            assert_eq!(play.quiet(), Time::NEVER);
        },
    );
}

#[test]
fn a_request_of_http_has_its_time_as_a_whole_however_it_is_cut() {
    let settings = Settings {
        frame_timeout: Some(Duration::from_secs(1)),
        ..settings()
    };
    let framing = Framing::Raw(Raw);
    under_both(
        Config::default(),
        settings,
        framing,
        Http::default(),
        |play| {
            let (slow, other) = (play.connect(), play.connect());
            // Each part holds the end of one field and the beginning of the next, so that part of a
            // frame is always pending.
            play.send(slow, b"GET / HTTP/1.1\r\nX");
            for _ in 0..3 {
                play.pass(Duration::from_millis(300));
                play.send(slow, b":y\r\nX");
                play.send(other, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                assert!(play.receive(other).ends_with(b"Hello, World"));
            }
            assert_eq!(play.closed(CloseReason::SlowFrame), 0);
            play.pass(Duration::from_millis(100));
            assert_eq!(play.closed(CloseReason::SlowFrame), 1);
            play.sim().close_peer(other);
        },
    );
}
