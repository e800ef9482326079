//! Commands run for connections, on a simulated kernel without processes: their output, their end,
//! and the conditions under which a command may start.

use super::*;
use mynah::limits::{COMMAND_OUTPUT_MAX, COMMAND_REAP_PAUSE, COMMAND_TIMEOUT, COMMANDS_MAX};
use mynah::protocol::framing::Framing;
use mynah::protocol::service::Run;

pub(super) const LATE: &str = "mynah: cut, it took longer than 5 seconds\n";
pub(super) const MUCH: &str = "mynah: cut, it says too much\n";

fn allowed() -> Vec<String> {
    ["held", "echo a", "nowhere", "yes"]
        .map(str::to_owned)
        .to_vec()
}

/// Buffers large enough for the whole output of a command.
pub(super) fn roomy() -> Settings {
    Settings {
        workspace: WorkspaceSize {
            inbound: 1024,
            outbound: COMMAND_OUTPUT_MAX + 1024,
        },
        ..settings()
    }
}

/// Runs a play of `run` under both triggers, then checks that no process is left.
pub(super) fn run(framing: &str, settings: Settings, play: impl Fn(&mut Play<Run>)) {
    run_framed(crate::talk::framing(framing, 1 << 20), settings, play);
}

fn run_framed(framing: Framing, settings: Settings, play: impl Fn(&mut Play<Run>)) {
    run_on(Config::default(), framing, settings, play);
}

fn run_on(config: Config, framing: Framing, settings: Settings, play: impl Fn(&mut Play<Run>)) {
    let names_peer = framing.overhead().front == 0;
    for trigger in [Trigger::Level, Trigger::Edge] {
        println!("under {trigger:?} trigger");
        let settings = Settings {
            trigger,
            ..settings.clone()
        };
        let service = Run::new(allowed(), names_peer);
        let mut stage = Play::new(config.clone(), settings, framing, service);
        play(&mut stage);
        stage.end();
        assert_eq!(stage.sim().processes(), [0; 0], "a process is left");
        let counters = stage.counters();
        assert_eq!(counters.commands_now, 0, "{counters}");
    }
}

pub(super) fn lines(settings: Settings, play: impl Fn(&mut Play<Run>)) {
    run("line", settings, play);
}

/// What `peer` receives, as text, with its address replaced by a fixed one.
pub(super) fn hear(play: &mut Play<Run>, peer: Peer) -> String {
    play.quiet();
    let text = String::from_utf8(play.receive(peer)).expect("text");
    let (begin, rest) = match text.split_once(" execute done, result is : \n") {
        Some((address, rest)) if address.starts_with("127.0.0.1:") => ("RESULT:", rest),
        _ => ("", text.as_str()),
    };
    format!("{begin}{rest}")
}

/// The id of the only process.
pub(super) fn only(play: &mut Play<Run>) -> u32 {
    let all = play.sim().processes();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0]
}

#[test]
fn output_of_a_command_is_forwarded_as_it_arrives_and_its_exit_ends_the_answer() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        assert_eq!(hear(play, peer), "");
        play.sim().says(id, b"one");
        assert_eq!(hear(play, peer), "RESULT:one");
        play.sim().says(id, b" two\n");
        assert_eq!(hear(play, peer), " two\n");
        play.sim().ends(id, false);
        assert_eq!(hear(play, peer), "\n");
        assert_eq!(play.counters().frames, 1);
        play.ask_refused(peer);
    });
}

#[test]
fn p10_an_answer_with_a_length_comes_when_the_length_is_known() {
    run("i32le", roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"\x04\0\0\0held");
        let id = only(play);
        play.sim().says(id, b"one");
        assert_eq!(hear(play, peer), "");
        play.sim().says(id, b" two");
        assert_eq!(hear(play, peer), "");
        play.sim().ends(id, false);
        assert_eq!(hear(play, peer), "\x07\0\0\0one two");
    });
}

#[test]
fn a_command_costs_these_calls() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.sim().clear_journal();
        play.send(peer, b"echo a\n");
        assert_eq!(
            play.calls(),
            "recv, epoll_ctl MOD, getpeername, clone, epoll_ctl ADD, epoll_ctl ADD, \
             read pipe, send, read pipe, close, kill, waitid P_PIDFD, close, send, epoll_ctl MOD"
        );
        assert_eq!(hear(play, peer), "RESULT:a\n\n");
    });
}

#[test]
fn output_over_its_limit_is_cut_and_the_command_killed_with_a_notice_to_the_peer() {
    run("i32le", roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"\x03\0\0\0yes");
        let heard = play.receive(peer);
        assert_eq!(heard.len(), 4 + COMMAND_OUTPUT_MAX + MUCH.len());
        assert!(heard.ends_with(MUCH.as_bytes()));
        assert_eq!(play.counters().commands_cut, 1);
    });
}

#[test]
fn short_frames_lower_the_output_limit_of_a_command() {
    // The room in a frame, without the longest line that reports a cut.
    let room = 1 + LATE.len();
    for (spec, frame_max, request, header, payload_max) in [
        ("ascii:2", 1 << 20, &b"04held"[..], 2, 99),
        ("u8", 1 << 20, b"\x04held", 1, 255),
        ("u16be", 1 << 20, b"\0\x04held", 2, 65_535),
        ("u16be", 130, b"\0\x04held", 2, 128),
    ] {
        let framing = crate::talk::framing(spec, frame_max);
        run_framed(framing, roomy(), |play| {
            let peer = play.connect();
            for more in [0, 1] {
                play.send(peer, request);
                let id = only(play);
                let most = payload_max - room;
                play.sim().says(id, &vec![b'x'; most + more]);
                play.quiet();
                play.sim().ends(id, false);
                play.quiet();
                let heard = play.receive(peer);
                let cut = if more == 0 { 0 } else { 1 + MUCH.len() };
                assert_eq!(heard.len(), header + most + cut, "{spec}");
                assert_eq!(heard.ends_with(MUCH.as_bytes()), more > 0, "{spec}");
            }
        });
    }
}

#[test]
fn output_of_exactly_its_limit_is_not_cut() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        play.sim().says(id, &vec![b'x'; COMMAND_OUTPUT_MAX]);
        play.quiet();
        play.sim().ends(id, false);
        assert_eq!(
            hear(play, peer).len(),
            "RESULT:".len() + COMMAND_OUTPUT_MAX + 1
        );
        assert_eq!(play.counters().commands_cut, 0);
    });
}

#[test]
fn a_command_that_takes_too_long_is_killed_at_its_deadline_and_not_before() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        play.sim().says(id, b"so far");
        play.pass(COMMAND_TIMEOUT - NANOSECOND);
        assert!(play.sim().is_running(id));
        assert_eq!(hear(play, peer), "RESULT:so far");
        play.pass(NANOSECOND);
        assert_eq!(hear(play, peer), format!("\n{LATE}\n"));
        assert_eq!(play.counters().commands_too_late, 1);
        play.ask_refused(peer);
    });
}

#[test]
fn output_of_processes_that_a_command_leaves_behind_is_read_until_its_deadline() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        play.sim().ends(id, true);
        play.quiet();
        play.sim().says(id, b"late");
        assert_eq!(hear(play, peer), "RESULT:late");
        assert_eq!(
            play.sim().calls("waitid P_PIDFD"),
            0,
            "its number must stay its own"
        );
        play.pass(COMMAND_TIMEOUT);
        assert_eq!(hear(play, peer), format!("\n{LATE}\n"));
    });
}

#[test]
fn a_command_that_closes_its_output_is_still_waited_for() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        play.sim().falls_silent(id);
        play.quiet();
        assert_eq!(hear(play, peer), "");
        play.sim().ends(id, false);
        assert_eq!(hear(play, peer), "RESULT:\n");
    });
}

#[test]
fn a_reset_of_the_peer_kills_its_command() {
    lines(roomy(), |play| {
        let (peer, other) = (play.connect(), play.connect());
        play.send(peer, b"held\n");
        let id = only(play);
        play.sim().reset(peer);
        play.quiet();
        assert!(!play.sim().is_running(id));
        assert_eq!(play.counters().commands_abandoned, 1);
        assert_eq!(play.closed(CloseReason::Reset), 1);
        play.ask_refused(other);
    });
}

#[test]
fn a_reset_of_the_peer_during_a_drain_kills_its_command() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        play.server.drain();
        play.sim().reset(peer);
        play.fixed_sockets = 1;
        play.quiet();
        assert!(!play.sim().is_running(id));
        assert_eq!(play.closed(CloseReason::Reset), 1);
        assert!(play.server.is_done());
    });
}

#[test]
fn a_peer_that_only_ends_its_stream_is_answered() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"no\nheld\nheld\n");
        play.sim().finish(peer);
        play.quiet();
        for said in ["x\n", "y\n"] {
            let id = only(play);
            play.sim().says(id, said.as_bytes());
            play.sim().ends(id, false);
            assert!(hear(play, peer).ends_with(&format!("{said}\n")));
        }
        assert_eq!(play.sim().ends_found(), 1, "found once, it is remembered");
        assert_eq!(play.link(peer), Link::Finished);
        assert_eq!(play.closed(CloseReason::EndOfStream), 1);
    });
}

#[test]
fn a_killed_process_keeps_its_place_until_it_is_reaped_with_or_without_a_report() {
    for told in [true, false] {
        lines(roomy(), |play| {
            let peer = play.connect();
            play.sim().let_them_die_slowly();
            play.send(peer, b"held\n");
            let id = only(play);
            play.pass(COMMAND_TIMEOUT);
            // The peer does not have to wait until the process is reaped.
            assert!(hear(play, peer).ends_with(&format!("{LATE}\n")));
            play.pass(Duration::from_secs(1));
            assert_eq!(only(play), id);
            play.sim().bury_the_killed(told);
            if told {
                play.turn();
                assert_eq!(
                    play.sim().processes(),
                    [0; 0],
                    "the process is not reaped again"
                );
            }
            play.pass(Duration::from_millis(100));
            assert_eq!(play.counters().commands_too_late, 1, "once for all");
        });
    }
}

#[test]
fn commands_run_up_to_the_number_of_places_and_the_others_wait_in_order() {
    let many = Settings {
        connections_max: COMMANDS_MAX + 4,
        workspaces: COMMANDS_MAX + 4,
        ..roomy()
    };
    lines(many, |play| {
        let peers: Vec<Peer> = (0..COMMANDS_MAX + 2).map(|_| play.connect()).collect();
        for peer in &peers {
            play.send(*peer, b"held\n");
        }
        let all = play.sim().processes();
        assert_eq!(all.len(), COMMANDS_MAX);
        assert_eq!(play.counters().command_waits, 2);
        assert_eq!(
            play.registered(COMMANDS_MAX as u32),
            play.under(Interest::NONE)
        );
        // Another connection is served meanwhile.
        let other = play.connect();
        play.ask_refused(other);
        play.sim().ends(all[5], false);
        play.quiet();
        // The first waiting connection leaves, so the second is next.
        play.sim().ends(all[6], false);
        play.quiet();
        assert_eq!(play.sim().processes().len(), COMMANDS_MAX);
        assert_eq!(hear(play, peers[5]), "RESULT:\n");
        for id in play.sim().processes() {
            play.sim().ends(id, false);
        }
        for peer in &peers[COMMANDS_MAX..] {
            assert_eq!(hear(play, *peer), "RESULT:\n");
        }
    });
}

#[test]
fn requests_that_come_in_one_turn_are_counted_as_waiting_if_places_run_out() {
    for (more, waits) in [(0, 0), (1, 1), (2, 2)] {
        let count = COMMANDS_MAX + more;
        let many = Settings {
            connections_max: count,
            workspaces: count,
            ..roomy()
        };
        lines(many, |play| {
            let peers: Vec<Peer> = (0..count).map(|_| play.connect()).collect();
            for peer in &peers {
                play.sim().send(*peer, b"held\n");
            }
            play.quiet();
            assert_eq!(play.counters().command_waits, waits);
            while let Some(id) = play.sim().processes().first().copied() {
                play.sim().ends(id, false);
                play.quiet();
            }
            for peer in &peers {
                assert_eq!(hear(play, *peer), "RESULT:\n");
            }
            assert_eq!(play.counters().commands, count as u64);
        });
    }
}

#[test]
fn a_connection_that_waits_for_a_place_may_close() {
    let many = Settings {
        connections_max: COMMANDS_MAX + 1,
        workspaces: COMMANDS_MAX + 1,
        ..roomy()
    };
    lines(many, |play| {
        let peers: Vec<Peer> = (0..COMMANDS_MAX + 1).map(|_| play.connect()).collect();
        for peer in &peers {
            play.send(*peer, b"held\n");
        }
        play.sim().reset(peers[COMMANDS_MAX]);
        play.quiet();
        for id in play.sim().processes() {
            play.sim().ends(id, false);
        }
        play.quiet();
        assert_eq!(play.counters().commands, COMMANDS_MAX as u64);
    });
}

#[test]
fn a_command_reported_as_missing_has_not_run() {
    for (line, errno) in [
        // The process existed before exec found that the program is missing.
        ("nowhere", None),
        ("held", Some(libc::EAGAIN)),
        ("held", Some(libc::ENOMEM)),
        // Without a pidfd there is no process (clone(2), CLONE_PIDFD).
        ("echo a", Some(libc::EMFILE)),
        ("echo a", Some(libc::EPERM)),
        ("echo a", Some(libc::ENOSYS)),
    ] {
        lines(roomy(), |play| {
            if let Some(errno) = errno {
                play.sim().fail("clone", 1, errno);
            }
            let peer = play.connect();
            // The requests behind it are answered too, without an endless loop and without
            // recursion.
            let requests = format!("{line}\n").into_bytes();
            play.send(peer, &requests);
            assert_eq!(hear(play, peer), "你要执行的命令不存在!\n");
            play.send(peer, &b"nowhere\n".repeat(50));
            assert_eq!(hear(play, peer), "你要执行的命令不存在!\n".repeat(50));
            assert_eq!(play.counters().commands_not_started, 51);
            assert_eq!(play.counters().commands, 0);
            assert_eq!(play.sim().programs_run(), 0);
        });
    }
}

/// The `k`-th registration of a command is refused: first that of its output, then that of its
/// exit.
const REGISTRATIONS: [u64; 2] = [1, 2];

#[test]
fn a_command_that_epoll_refuses_to_watch_is_answered_whole() {
    for k in REGISTRATIONS {
        lines(roomy(), |play| {
            let peer = play.connect();
            play.sim().fail("epoll_ctl ADD", k, libc::ENOSPC);
            play.send(peer, b"held\n");
            let id = only(play);
            play.sim().says(id, &[b'x'; COMMAND_OUTPUT_MAX]);
            play.pass(Duration::from_secs(1));
            let heard = hear(play, peer);
            assert_eq!(heard.len(), "RESULT:".len() + COMMAND_OUTPUT_MAX);
            play.sim().ends(id, false);
            play.pass(COMMAND_REAP_PAUSE);
            assert_eq!(hear(play, peer), "\n");
            assert_eq!(play.counters().refused_registration, 1);
            assert_eq!(play.counters().commands_not_started, 0);
            play.ask_refused(peer);
        });
    }
}

#[test]
fn a_command_that_has_ended_before_it_is_watched_is_answered_whole() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"echo a\n");
        assert_eq!(hear(play, peer), "RESULT:a\n\n");
    });
    for k in REGISTRATIONS {
        lines(roomy(), |play| {
            let peer = play.connect();
            play.sim().fail("epoll_ctl ADD", k, libc::ENOMEM);
            play.send(peer, b"echo a\n");
            play.pass(COMMAND_REAP_PAUSE);
            assert_eq!(hear(play, peer), "RESULT:a\n\n");
        });
    }
}

#[test]
fn a_command_that_epoll_refuses_to_watch_keeps_its_limits() {
    for k in REGISTRATIONS {
        lines(roomy(), |play| {
            let peer = play.connect();
            play.sim().fail("epoll_ctl ADD", k, libc::ENOSPC);
            play.send(peer, b"held\n");
            let id = only(play);
            play.pass(COMMAND_TIMEOUT - NANOSECOND);
            assert!(play.sim().is_running(id));
            play.pass(NANOSECOND);
            assert_eq!(hear(play, peer), format!("RESULT:{LATE}\n"));
            // The next command is registered as usual.
            play.sim().fail("epoll_ctl ADD", k, libc::ENOSPC);
            play.send(peer, b"yes\n");
            play.pass(COMMAND_REAP_PAUSE);
            assert!(hear(play, peer).ends_with(&format!("{MUCH}\n")));
        });
    }
}

#[test]
fn the_peer_of_a_command_that_epoll_refuses_to_watch_may_disconnect() {
    for k in REGISTRATIONS {
        lines(roomy(), |play| {
            let (peer, other) = (play.connect(), play.connect());
            play.sim().fail("epoll_ctl ADD", k, libc::ENOSPC);
            play.send(peer, b"held\n");
            let id = only(play);
            play.sim().reset(peer);
            play.quiet();
            assert!(!play.sim().is_running(id));
            play.pass(COMMAND_TIMEOUT);
            play.ask_refused(other);
        });
    }
}

#[test]
fn output_does_not_renew_the_deadline_of_a_command() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        for _ in 0..4 {
            play.pass(Duration::from_secs(1));
            play.sim().says(id, b"on\n");
        }
        play.pass(Duration::from_secs(1) - NANOSECOND);
        play.sim().says(id, b"on\n");
        play.quiet();
        assert!(play.sim().is_running(id));
        play.pass(NANOSECOND);
        assert_eq!(
            hear(play, peer),
            format!("RESULT:{}{LATE}\n", "on\n".repeat(5))
        );
    });
}

#[test]
fn each_command_of_a_connection_has_the_whole_timeout() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\nheld\nheld\n");
        for _ in 0..2 {
            let id = only(play);
            play.pass(COMMAND_TIMEOUT - NANOSECOND);
            assert!(play.sim().is_running(id));
            play.pass(NANOSECOND);
            assert_eq!(hear(play, peer), format!("RESULT:{LATE}\n"));
        }
        let id = only(play);
        play.pass(Duration::from_secs(4));
        play.sim().ends(id, false);
        assert_eq!(hear(play, peer), "RESULT:\n");
        assert_eq!(play.counters().commands_too_late, 2);
    });
}

#[test]
fn the_time_of_a_command_that_waited_for_a_place_counts_from_its_start() {
    let many = Settings {
        connections_max: COMMANDS_MAX + 1,
        workspaces: COMMANDS_MAX + 1,
        ..roomy()
    };
    lines(many, |play| {
        let peers: Vec<Peer> = (0..COMMANDS_MAX + 1).map(|_| play.connect()).collect();
        for peer in &peers {
            play.send(*peer, b"held\n");
        }
        play.pass(Duration::from_secs(3));
        let first = play.sim().processes()[0];
        play.sim().ends(first, false);
        play.quiet();
        let last = *play.sim().processes().last().expect("one that waited");
        play.pass(Duration::from_secs(2));
        assert!(play.sim().is_running(last));
        assert_eq!(play.counters().commands_too_late, COMMANDS_MAX as u64 - 1);
        play.pass(Duration::from_secs(3) - NANOSECOND);
        assert!(play.sim().is_running(last));
        play.pass(NANOSECOND);
        assert!(!play.sim().is_running(last));
        for peer in &peers {
            assert!(hear(play, *peer).ends_with('\n'));
        }
    });
}

#[test]
fn a_drain_waits_for_the_command_and_for_earlier_requests() {
    lines(roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\necho a\n");
        let id = only(play);
        play.server.drain();
        play.fixed_sockets = 1;
        play.pass(Duration::from_secs(3));
        assert!(!play.server.is_done() && play.sim().is_running(id));
        play.sim().ends(id, false);
        assert!(hear(play, peer).ends_with("a\n\n"));
        assert_eq!(play.link(peer), Link::Finished);
        play.sim().finish(peer);
        play.quiet();
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 0);
    });
}

#[test]
fn a_drain_timeout_kills_running_commands() {
    let short = Settings {
        drain_timeout: Duration::from_secs(2),
        ..roomy()
    };
    lines(short, |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        only(play);
        play.server.drain();
        play.fixed_sockets = 1;
        play.pass(Duration::from_secs(2));
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 1);
    });
}

#[test]
fn a_server_that_ends_at_once_kills_whatever_runs_in_each_of_its_places() {
    let service = Run::new(allowed(), true);
    let framing = crate::talk::framing("line", 64);
    let mut play = Play::new(Config::default(), roomy(), framing, service);
    for _ in 0..roomy().connections_max {
        let peer = play.connect();
        play.send(peer, b"held\n");
    }
    assert_eq!(play.counters().commands_now, roomy().connections_max as u64);
    // Dropping the server drops the simulated kernel, which panics if a process still runs.
    drop(play);
}

#[test]
fn a_command_whose_peer_reads_nothing_ends_at_the_stall_timeout() {
    let tight = Config {
        reply: Pipe {
            send: 100,
            receive: 100,
        },
        ..Config::default()
    };
    for trigger in [Trigger::Level, Trigger::Edge] {
        let settings = Settings {
            trigger,
            stall_timeout: Some(Duration::from_secs(1)),
            ..roomy()
        };
        let framing = crate::talk::framing("line", 512);
        let service = Run::new(allowed(), true);
        let mut play = Play::new(tight.clone(), settings, framing, service);
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(&mut play);
        play.sim().says(id, &[b'x'; 1000]);
        play.pass(Duration::from_secs(2));
        assert!(!play.sim().is_running(id));
        assert_eq!(play.closed(CloseReason::Stalled), 1);
        play.end();
    }
}

#[test]
fn a_command_is_killed_in_the_turn_in_which_its_connection_ends_at_a_deadline() {
    let tight = Config {
        reply: Pipe {
            send: 100,
            receive: 100,
        },
        ..Config::default()
    };
    let settings = Settings {
        stall_timeout: Some(Duration::from_secs(1)),
        ..roomy()
    };
    let framing = crate::talk::framing("line", 512);
    let mut play = Play::new(tight, settings, framing, Run::new(allowed(), true));
    let peer = play.connect();
    play.send(peer, b"held\n");
    let id = only(&mut play);
    play.sim().says(id, &[b'x'; 1000]);
    let deadline = play.quiet();
    let now = play.sim().time();
    play.sim().advance(deadline.since(now));
    play.turn();
    assert_eq!(play.closed(CloseReason::Stalled), 1);
    assert!(!play.sim().is_running(id));
    play.end();
}

#[test]
fn an_output_that_is_not_ready_is_read_later_and_a_failed_one_is_not_read_again() {
    for (errno, heard) in [(libc::EAGAIN, "RESULT:one two\n"), (libc::EIO, "RESULT:\n")] {
        lines(roomy(), |play| {
            let peer = play.connect();
            play.send(peer, b"held\n");
            let id = only(play);
            play.sim().fail("read pipe", 1, errno);
            play.sim().says(id, b"one");
            play.quiet();
            play.sim().says(id, b" two");
            play.quiet();
            play.sim().ends(id, false);
            assert_eq!(hear(play, peer), heard);
        });
    }
}

#[test]
fn a_failed_call_of_a_command_affects_no_other_connection() {
    use libc::*;
    let pages: [(&str, &[i32]); 8] = [
        ("getpeername", &[EBADF, ENOBUFS, ENOTCONN]),
        (
            "clone",
            &[E2BIG, EACCES, EAGAIN, EMFILE, ENFILE, ENOEXEC, ENOMEM],
        ),
        ("epoll_ctl ADD", &[ENOMEM, ENOSPC, EPERM]),
        ("epoll_ctl MOD", &[ENOENT, ENOMEM]),
        ("read pipe", &[EAGAIN, EIO, EINVAL]),
        ("kill", &[EPERM, ESRCH]),
        ("waitid", &[ECHILD, EINVAL]),
        ("send", &[EAGAIN, ECONNRESET, ENOBUFS]),
    ];
    let mut tried = 0;
    for (name, errnos) in pages {
        for (errno, k) in errnos.iter().flat_map(|errno| [(*errno, 1), (*errno, 2)]) {
            for trigger in [Trigger::Level, Trigger::Edge] {
                println!("{name} number {k} fails with {errno}, {trigger:?}");
                let settings = Settings { trigger, ..roomy() };
                let framing = crate::talk::framing("line", 512);
                let service = Run::new(allowed(), true);
                let mut play = Play::new(Config::default(), settings, framing, service);
                let (peer, other) = (play.connect(), play.connect());
                play.sim().fail(name, k, errno);
                play.send(peer, b"echo a\n");
                play.pass(COMMAND_TIMEOUT + Duration::from_secs(1));
                let heard = hear(&mut play, peer);
                let whole = ["RESULT:a\n\n", "RESULT:\n", "你要执行的命令不存在!\n"];
                let told = whole.contains(&heard.as_str()) || heard.ends_with(" a\n\n");
                let counters = play.counters();
                let ended: u64 = counters.closed.iter().sum();
                assert!(
                    told || heard.contains("a\n\n") || ended == 1,
                    "{heard:?} {counters}"
                );
                assert_eq!(counters.commands_now, 0);
                // A command that ran is not reported as missing.
                let missing = heard.contains("你要执行的命令不存在!");
                assert!(!missing || play.sim().programs_run() == 0);
                if name != "waitid" {
                    assert_eq!(play.sim().processes(), [0; 0], "a process is left");
                }
                play.ask_refused(other);
                play.end();
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 100);
}

impl Play<Run> {
    /// Requests a command that is not allowed, and expects the refusal.
    pub(super) fn ask_refused(&mut self, peer: Peer) {
        self.send(peer, b"no\n");
        assert_eq!(hear(self, peer), "坏人!\n");
    }
}

#[test]
fn late_events_of_a_command_do_not_reach_the_next_command_in_its_place() {
    let late = |stale| Faults {
        stale,
        ..Faults::none()
    };
    let config = Config {
        // Events are kept and not yet reported.
        faults: late(f64::MIN_POSITIVE),
        ..Config::default()
    };
    run_on(config, framing("line", 100), roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"held\n");
        let id = only(play);
        play.sim().says(id, b"one");
        play.sim().ends(id, false);
        assert_eq!(hear(play, peer), "RESULT:one\n");
        play.send(peer, b"held\n");
        let next = only(play);
        play.sim().set_faults(late(1.0));
        play.quiet();
        assert!(play.counters().stale_events > 0);
        play.sim().says(next, b"two");
        // If the late event counted for this command, its reply would end here.
        play.sim().falls_silent(next);
        assert_eq!(hear(play, peer), "RESULT:two");
        play.sim().ends(next, false);
        assert_eq!(hear(play, peer), "\n");
    });
}
