//! What a released connection leaves behind: no queue entry, no deadline, no count and no
//! workspace, however the connection ends.
//!
//! Each ending is played three times in the same slot, with a limit of one connection per address,
//! so that the next holder of the slot would find any leftover.

use mynah::limits::{COMMANDS_MAX, LINGER_TIMEOUT, MEMORY_RETRIES_MAX};
use mynah::protocol::framing::OnTooLong;
use mynah::protocol::service::Run;
use mynah::server::observe::snapshot::{Entries, Snapshot};

use super::commands::{hear, roomy};
use super::*;

const FRAME: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

fn framed() -> Settings {
    Settings {
        frame_timeout: Some(FRAME),
        ..settings()
    }
}

fn standings<S: Service>(play: &mut Play<S>) -> Vec<Snapshot> {
    let mut all = Vec::new();
    play.server
        .for_each_connection(|standing| all.push(standing));
    all
}

/// The snapshot of the only connection.
fn alone<S: Service>(play: &mut Play<S>) -> Snapshot {
    let all = standings(play);
    assert_eq!(all.len(), 1, "{all:?}");
    all[0]
}

/// Panics unless a new connection carries nothing from the previous holder of its slot.
fn check_is_fresh<S: Service>(play: &mut Play<S>) {
    let now = play.sim().time();
    let it = alone(play);
    assert!(
        !it.has_more && !it.waits && !it.paused && !it.lent,
        "{it:?}"
    );
    assert_eq!((it.deadline, it.armed), (now.after(IDLE), now.after(IDLE)));
    let interest = play.under(Interest::READ);
    assert_eq!(Some(it.registered), interest, "{it:?}");
}

/// An echo of frames that discards frames of more than 150 bytes.
fn discarding(settings: Settings) -> Play<Echo> {
    let mut sim = Sim::new(narrow());
    let address = "127.0.0.1:7007".parse().expect("an address");
    let listener = sim.listen(&address, &Sim::listen_options(8));
    let protocol = Protocol {
        framing: framing("u8", 150),
        on_too_long: OnTooLong::Discard,
        service: Echo,
    };
    let (listeners, trigger) = (vec![listener.expect("the port is free")], settings.trigger);
    Play {
        server: Server::new(sim, listeners, protocol, settings).expect("it starts"),
        trigger,
        fixed_sockets: FIXED_SOCKETS,
    }
}

/// One way to end a connection.
type Way = fn(&mut Play<Echo>, Peer);

const WAYS: [(&str, Way); 12] = [
    ("end of stream", |play, peer| play.sim().finish(peer)),
    ("end of stream in a frame", |play, peer| {
        play.send(peer, b"\x03a");
        play.sim().finish(peer);
    }),
    ("reset", |play, peer| play.sim().reset(peer)),
    ("reset in a frame", |play, peer| {
        play.send(peer, b"\x03a");
        play.sim().reset(peer);
    }),
    ("idle", |play, _| play.pass(IDLE)),
    ("slow frame", |play, peer| {
        play.send(peer, b"\x03a");
        play.pass(FRAME);
    }),
    ("slow with a frame that is thrown away", |play, peer| {
        play.send(peer, b"\xc8a");
        play.pass(FRAME);
    }),
    ("stalled", |play, peer| {
        super::bytes::push(play, peer, &b"\x63".repeat(5000));
        play.pass(STALL);
    }),
    ("the kernel cannot watch it as it wants", |play, peer| {
        play.sim().fail("epoll_ctl MOD", 1, libc::ENOMEM);
        super::bytes::push(play, peer, &b"\x63".repeat(5000));
    }),
    ("the kernel has no memory for its bytes", |play, peer| {
        for k in 1..=u64::from(MEMORY_RETRIES_MAX) + 1 {
            play.sim().fail("send", k, libc::ENOBUFS);
        }
        play.send(peer, b"\x01a");
        play.pass(3 * SECOND);
    }),
    ("reset with more to do", |play, peer| {
        play.sim().send(peer, &b"\x01a".repeat(100));
        play.turn();
        play.sim().reset(peer);
    }),
    ("reset while it waits for memory", |play, peer| {
        play.sim().fail("send", 1, libc::ENOBUFS);
        play.send(peer, b"\x01a");
        play.sim().reset(peer);
    }),
];

#[test]
fn a_connection_leaves_nothing_behind_in_whatever_way_it_ends() {
    for (name, way) in WAYS {
        for trigger in [Trigger::Level, Trigger::Edge] {
            println!("{name}, under {trigger:?} trigger");
            let settings = Settings {
                trigger,
                connections_max: 1,
                connections_per_ip_max: Some(1),
                frames_per_event: 2,
                ..framed()
            };
            let mut play = discarding(settings);
            for round in 1..=3 {
                let peer = play.connect();
                assert_eq!(play.counters().connections_now, 1, "round {round}");
                assert_eq!(play.counters().refused_per_ip, 0, "round {round}");
                check_is_fresh(&mut play);
                way(&mut play, peer);
                check_entries(&mut play);
                play.pass(LINGER_TIMEOUT);
                let counters = play.counters().clone();
                assert_eq!(counters.connections_now, 0, "round {round}: {counters}");
                assert_eq!(play.quiet(), Time::NEVER, "a deadline is left");
                assert!(!play.server.has_more() && play.server.is_open());
            }
            play.end();
        }
    }
}

#[test]
fn a_connection_that_is_never_registered_leaves_nothing_behind() {
    let settings = Settings {
        connections_max: 1,
        connections_per_ip_max: Some(1),
        ..settings()
    };
    echo(Config::default(), settings, |play| {
        for round in 1..=3 {
            play.sim().fail("epoll_ctl ADD", 1, libc::ENOSPC);
            play.connect();
            assert_eq!(play.counters().refused_registration, round);
            assert_eq!(play.quiet(), Time::NEVER, "a deadline is left");
            let peer = play.connect();
            assert_eq!(play.counters().refused_per_ip, 0, "its count is left");
            check_is_fresh(play);
            play.ask(peer, b"hello");
            play.sim().close_peer(peer);
            play.quiet();
        }
    });
}

/// Panics if a queue entry, a deadline or a count belongs to no connection.
fn check_entries<S: Service>(play: &mut Play<S>) {
    let all = standings(play);
    let count = |is: fn(&Snapshot) -> bool| all.iter().filter(|it| is(it)).count();
    let entries = play.server.entries();
    let expected = Entries {
        ready: count(|it| it.has_more),
        waiting: count(|it| it.waits),
        queued: count(|it| it.queues),
        armed: count(|it| it.armed != Time::NEVER),
        charged: count(|it| it.charged) as u32,
        ..entries
    };
    assert_eq!(entries, expected, "an entry is left");
}

#[test]
fn a_connection_that_times_out_with_a_pending_turn_loses_that_turn() {
    let settings = Settings {
        trigger: Trigger::Edge,
        workspaces: 1,
        workspace: WorkspaceSize {
            inbound: 64,
            outbound: 0,
        },
        stall_size_min: 1 << 20,
        ..framed()
    };
    let mut play = Play::new(Config::default(), settings, framing("u8", 60), Echo);
    for round in 1..=3 {
        let (holder, waiter) = (play.connect(), play.connect());
        play.send(holder, b"\x01");
        play.send(waiter, b"\x01x");
        // Other connections wait for a workspace, so the frame timer keeps running although one
        // frame ends after the other.
        play.pass(FRAME - NANOSECOND);
        // No read of 64 bytes ends at a frame boundary.
        let much = [&b"x"[..], &b"\x02xx".repeat(1000)].concat();
        assert_eq!(play.sim().send(holder, &much), much.len());
        play.sim().advance(NANOSECOND);
        play.turn();
        assert_eq!(play.closed(CloseReason::SlowFrame), round);
        check_entries(&mut play);
        let heir = play.sim().connect(0);
        play.turn();
        check_entries(&mut play);
        play.quiet();
        assert_eq!(play.receive(waiter), b"\x01x");
        play.sim().close_peer(waiter);
        play.sim().close_peer(heir);
        play.quiet();
    }
    play.end();
}

/// Ends a connection that waits for the workspace of another connection.
type WaitersWay = fn(&mut Play<Echo>, Peer, Peer);

const WAITERS_WAYS: [WaitersWay; 3] = [
    |play, _, waiter| play.sim().reset(waiter),
    |play, _, waiter| {
        play.sim().finish(waiter);
        play.quiet();
        play.sim().reset(waiter);
    },
    |play, holder, _| {
        for _ in 0..2 {
            // The holder keeps sending and stays connected.
            play.send(holder, b"b");
            play.pass(IDLE / 2);
        }
        assert!(play.closed(CloseReason::Starved) > 0);
    },
];

#[test]
fn a_connection_that_ends_while_it_waits_for_a_workspace_leaves_the_queue() {
    let settings = Settings {
        workspaces: 1,
        ..settings()
    };
    let framing = framing("u8", 100);
    for way in WAITERS_WAYS {
        under_both(Config::default(), settings.clone(), framing, Echo, |play| {
            let holder = play.connect();
            play.send(holder, b"\x09a");
            for round in 1..=3 {
                let waiter = play.connect();
                play.send(waiter, b"\x01x");
                let waits = |play: &mut Play<Echo>| standings(play).iter().any(|it| it.waits);
                assert!(waits(play), "round {round}");
                way(play, holder, waiter);
                play.quiet();
                let heir = play.connect();
                assert_eq!(play.counters().connections_now, 2);
                assert!(!waits(play), "round {round}");
                play.sim().reset(heir);
                play.quiet();
                assert_eq!(play.counters().connections_now, 1);
            }
            play.sim().close_peer(holder);
            play.quiet();
        });
    }
}

#[test]
fn a_connection_that_ends_while_it_waits_for_a_command_leaves_the_queue() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let settings = Settings {
            trigger,
            connections_max: COMMANDS_MAX + 8,
            workspaces: COMMANDS_MAX + 8,
            ..roomy()
        };
        let service = Run::new(vec!["held".to_owned(), "echo a".to_owned()], true);
        let mut play = Play::new(Config::default(), settings, framing("line", 512), service);
        let running: Vec<Peer> = (0..COMMANDS_MAX).map(|_| play.connect()).collect();
        for peer in &running {
            play.send(*peer, b"held\n");
        }
        for round in 1..=3 {
            let (first, second) = (play.connect(), play.connect());
            play.send(first, b"held\n");
            play.send(second, b"echo a\n");
            assert_eq!(play.counters().command_waits, 3 * round - 1);
            // The next connection reuses the slot of the first one and is queued last.
            play.sim().reset(first);
            play.quiet();
            let heir = play.connect();
            play.send(heir, b"held\n");
            assert_eq!(
                play.counters().command_waits,
                3 * round,
                "it has to wait too"
            );
            let id = play.sim().processes()[0];
            play.sim().ends(id, false);
            play.quiet();
            assert_eq!(hear(&mut play, second), "RESULT:a\n\n", "round {round}");
            play.sim().reset(heir);
            play.sim().close_peer(second);
            play.quiet();
            let freed = play.connect();
            play.send(freed, b"held\n");
            assert_eq!(play.sim().processes().len(), COMMANDS_MAX);
        }
        for id in play.sim().processes() {
            play.sim().ends(id, false);
        }
        play.quiet();
        play.end();
    }
}
