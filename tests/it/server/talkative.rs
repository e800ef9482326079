//! Commands with endless output: output extends no deadline and takes no turn from other
//! connections.

use super::commands::{LATE, MUCH, hear, lines, only, roomy, run};
use super::*;
use mynah::limits::{COMMAND_OUTPUT_MAX, COMMAND_PIECE_SIZE, COMMAND_TIMEOUT, COMMANDS_MAX};

const SECOND: Duration = Duration::from_secs(1);
/// The interval between two outputs of a command.
const PAUSE: Duration = Duration::from_millis(100);

/// Lets the command write at intervals of [`PAUSE`] during `span`. Returns everything its peer
/// receives.
fn chatter(
    play: &mut Play<mynah::protocol::service::Run>,
    peer: Peer,
    id: u32,
    span: Duration,
) -> String {
    let mut heard = String::new();
    for _ in 0..span.as_nanos() / PAUSE.as_nanos() {
        play.sim().says(id, b"x");
        play.pass(PAUSE);
        heard += &hear(play, peer);
    }
    heard
}

#[test]
fn the_deadline_of_a_command_is_not_renewed_by_its_output() {
    lines(roomy(), |play| {
        let peer = play.connect();
        // The second command has the whole time-out, and no more.
        for round in 1..=2 {
            play.send(peer, b"held\n");
            let id = only(play);
            let heard = chatter(play, peer, id, COMMAND_TIMEOUT - PAUSE);
            assert_eq!(heard, format!("RESULT:{}", "x".repeat(49)));
            play.pass(PAUSE - NANOSECOND);
            assert!(play.sim().is_running(id), "it is early");
            play.sim().says(id, b"y");
            assert_eq!(hear(play, peer), "y");
            play.pass(NANOSECOND);
            assert_eq!(hear(play, peer), format!("\n{LATE}\n"));
            assert_eq!(play.counters().commands_too_late, round);
        }
        play.ask_refused(peer);
    });
}

#[test]
fn the_deadline_of_what_a_command_leaves_behind_is_not_renewed_by_its_output() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        play.pass(SECOND);
        play.sim().ends(id, true);
        play.quiet();
        chatter(play, peer, id, COMMAND_TIMEOUT - SECOND - PAUSE);
        play.pass(PAUSE - NANOSECOND);
        assert_eq!(play.counters().commands_too_late, 0);
        play.pass(NANOSECOND);
        assert_eq!(play.counters().commands_too_late, 1);
        assert_eq!(hear(play, peer), format!("\n{LATE}\n"));
    });
}

#[test]
fn a_command_has_no_more_time_where_a_length_comes_first() {
    run("i32le", roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"\x04\0\0\0held");
        let id = only(play);
        assert_eq!(chatter(play, peer, id, COMMAND_TIMEOUT - PAUSE), "");
        play.pass(PAUSE - NANOSECOND);
        assert!(play.sim().is_running(id));
        play.pass(NANOSECOND);
        assert_eq!(play.counters().commands_too_late, 1);
        let heard = play.receive(peer);
        assert!(heard.ends_with(format!("x\n{LATE}").as_bytes()));
    });
}

#[test]
fn the_output_of_each_command_is_counted_over_all_its_pieces() {
    lines(roomy(), |play| {
        let peer = play.connect();
        for round in 1..=3 {
            play.send(peer, b"held\n");
            let id = only(play);
            let mut heard = 0;
            for _ in 0..COMMAND_OUTPUT_MAX / 1000 {
                play.sim().says(id, &[b'x'; 1000]);
                heard += hear(play, peer).len();
            }
            play.sim().says(id, &vec![b'x'; COMMAND_OUTPUT_MAX % 1000]);
            heard += hear(play, peer).len();
            assert_eq!(heard, "RESULT:".len() + COMMAND_OUTPUT_MAX);
            assert_eq!(play.counters().commands_cut, round - 1);
            play.sim().says(id, b"x");
            assert_eq!(hear(play, peer), format!("\n{MUCH}\n"));
            assert_eq!(play.counters().commands_cut, round);
        }
    });
}

#[test]
fn a_command_that_always_has_more_to_say_leaves_others_their_turn() {
    lines(roomy(), |play| {
        let (peer, other) = (play.connect(), play.connect());
        play.send(peer, b"held\n");
        let id = only(play);
        play.sim().says(id, &vec![b'x'; COMMAND_OUTPUT_MAX]);
        play.sim().send(other, b"no\n");
        let before = play.sim().unread_output();
        play.turn();
        let read = before - play.sim().unread_output();
        assert!(read <= COMMAND_PIECE_SIZE, "{read} bytes in one turn");
        assert_eq!(play.sim().receive_all(other), "坏人!\n".as_bytes());
        play.quiet();
        play.sim().ends(id, false);
        play.quiet();
        play.receive(peer);
    });
}

#[test]
fn the_stall_time_out_is_not_renewed_by_output_for_a_peer_that_takes_nothing() {
    let config = Config {
        reply: Pipe {
            send: 100,
            receive: 100,
        },
        ..Config::default()
    };
    for trigger in [Trigger::Level, Trigger::Edge] {
        let settings = Settings {
            trigger,
            stall_timeout: Some(SECOND),
            ..roomy()
        };
        let service = mynah::protocol::service::Run::new(vec!["held".to_owned()], true);
        let mut play = Play::new(config.clone(), settings, framing("line", 512), service);
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(&mut play);
        play.sim().says(id, &[b'x'; 1000]);
        play.quiet();
        for _ in 1..10 {
            play.pass(PAUSE);
            play.sim().says(id, b"x");
            play.quiet();
        }
        play.pass(PAUSE - NANOSECOND);
        assert_eq!(play.closed(CloseReason::Stalled), 0);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::Stalled), 1, "under {trigger:?}");
        assert!(!play.sim().is_running(id));
        play.end();
    }
}

#[test]
fn output_after_the_cut_is_not_delivered() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.sim().let_them_die_slowly();
        play.send(peer, b"held\n");
        let id = only(play);
        play.pass(COMMAND_TIMEOUT);
        assert_eq!(hear(play, peer), format!("RESULT:{LATE}\n"));
        play.sim().says(id, b"and another thing");
        assert_eq!(hear(play, peer), "");
        play.send(peer, b"no\n");
        assert_eq!(hear(play, peer), "坏人!\n");
        play.sim().bury_the_killed(true);
        play.quiet();
    });
}

#[test]
fn the_time_of_a_command_counts_from_its_start_and_not_from_its_request() {
    let many = Settings {
        connections_max: COMMANDS_MAX + 1,
        workspaces: COMMANDS_MAX + 1,
        ..roomy()
    };
    lines(many, |play| {
        for _ in 0..COMMANDS_MAX {
            let peer = play.connect();
            play.send(peer, b"held\n");
        }
        let late = play.connect();
        play.send(late, b"held\n");
        play.pass(3 * SECOND);
        let first = play.sim().processes()[0];
        play.sim().ends(first, false);
        play.quiet();
        assert_eq!(play.counters().commands, COMMANDS_MAX as u64 + 1);
        play.pass(COMMAND_TIMEOUT - NANOSECOND);
        let before = COMMANDS_MAX as u64 - 1;
        assert_eq!(play.counters().commands_too_late, before);
        play.pass(NANOSECOND);
        assert_eq!(play.counters().commands_too_late, before + 1);
        assert_eq!(hear(play, late), format!("RESULT:{LATE}\n"));
    });
}
