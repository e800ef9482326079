//! Orphans (children that the server did not start), on a simulated kernel without processes: the
//! server reaps them within bounds on time and number, and no counter includes them.

use mynah::kernel::Spawner;
use mynah::limits::{COMMAND_TIMEOUT, ORPHANS_PER_TURN};
use mynah::protocol::service::Run;

use super::commands::{hear, lines, only, roomy};
use super::*;

/// Runs a play of `run` as child subreaper, under both triggers.
fn adopting(play: impl Fn(&mut Play<Run>)) {
    lines(roomy(), |stage| {
        stage.sim().supervise().expect("it can be supervised");
        play(stage);
    });
}

#[test]
fn an_orphan_that_ends_is_reaped_and_not_counted() {
    adopting(|play| {
        let before = play.counters().commands;
        for _ in 0..3 {
            let orphan = play.sim().adopts();
            play.quiet();
            assert_eq!(play.sim().processes(), [orphan], "it runs");
            play.sim().ends(orphan, false);
            play.quiet();
            assert_eq!(play.sim().processes(), [0; 0]);
        }
        assert_eq!(play.counters().commands, before);
        assert_eq!(play.counters().commands_now, 0);
    });
}

#[test]
fn an_orphan_that_has_ended_before_it_is_adopted_is_reaped() {
    adopting(|play| {
        let orphans = [play.sim().adopts(), play.sim().adopts()];
        for id in orphans {
            play.sim().ends(id, false);
        }
        play.quiet();
        assert_eq!(play.sim().processes(), [0; 0]);
    });
}

#[test]
fn a_command_is_not_reaped_as_an_orphan() {
    adopting(|play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        // The process has ended, and another process of its group holds its pipe. It must stay
        // unreaped, so that its number is not reused.
        play.sim().ends(id, true);
        play.quiet();
        assert_eq!(play.sim().processes(), [id]);
        play.sim().falls_silent(id);
        assert_eq!(hear(play, peer), "RESULT:\n");
        assert_eq!(play.sim().processes(), [0; 0]);
    });
}

#[test]
fn an_orphan_behind_a_command_is_reaped_after_it() {
    for is_cut in [true, false] {
        adopting(|play| {
            let peer = play.connect();
            play.send(peer, b"held\n");
            let id = only(play);
            play.sim().ends(id, true);
            let orphan = play.sim().adopts();
            play.sim().ends(orphan, false);
            play.quiet();
            assert_eq!(play.sim().processes(), [id, orphan]);
            if is_cut {
                play.pass(COMMAND_TIMEOUT);
            } else {
                play.sim().falls_silent(id);
                play.quiet();
            }
            assert_eq!(play.sim().processes(), [0; 0]);
            hear(play, peer);
        });
    }
}

#[test]
fn an_orphan_before_a_command_is_reaped_at_once() {
    adopting(|play| {
        let orphan = play.sim().adopts();
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = play.sim().processes()[1];
        play.sim().ends(orphan, false);
        play.quiet();
        assert_eq!(play.sim().processes(), [id]);
        play.sim().ends(id, false);
        assert_eq!(hear(play, peer), "RESULT:\n");
    });
}

#[test]
fn a_turn_reaps_no_more_orphans_than_its_bound() {
    for (count, left) in [
        (ORPHANS_PER_TURN - 1, 0),
        (ORPHANS_PER_TURN, 0),
        (ORPHANS_PER_TURN + 1, 1),
    ] {
        adopting(|play| {
            for _ in 0..count {
                play.sim().adopts();
            }
            play.sim().end_orphans();
            play.turn();
            assert_eq!(play.sim().processes().len(), left);
            play.quiet();
            assert_eq!(play.sim().processes(), [0; 0]);
        });
    }
}

#[test]
fn a_refused_call_leaves_orphans_to_the_next_child_that_ends() {
    for call in ["read SIGCHLD", "waitid P_ALL", "waitid P_PID"] {
        adopting(|play| {
            play.sim().fail(call, 1, libc::EINVAL);
            let orphans = [play.sim().adopts(), play.sim().adopts()];
            play.sim().ends(orphans[0], false);
            play.quiet();
            play.sim().ends(orphans[1], false);
            play.quiet();
            assert_eq!(play.sim().processes(), [0; 0], "{call}");
        });
    }
}

#[test]
fn a_server_that_drains_reaps_orphans_too() {
    adopting(|play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        play.server.drain();
        play.fixed_sockets = 1;
        let orphan = play.sim().adopts();
        play.sim().ends(orphan, false);
        play.quiet();
        assert_eq!(play.sim().processes(), [id]);
        play.sim().ends(id, false);
        hear(play, peer);
        play.sim().finish(peer);
        play.quiet();
        assert!(play.server.is_done());
    });
}
