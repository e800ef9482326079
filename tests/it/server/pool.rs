//! Fewer workspaces than connections: connections without a workspace wait in order and cost no
//! CPU.

use super::*;

const FRAME: &str = "0003616263";

/// A server with one workspace, on small frames.
fn scarce(play: impl Fn(&mut Play<Echo>)) {
    let settings = Settings {
        workspaces: 1,
        ..settings()
    };
    under_both(
        Config::default(),
        settings,
        framing("u16be", 64),
        Echo,
        play,
    );
}

/// Three peers: the first holds the workspace with half a frame, the others have sent requests.
fn three(play: &mut Play<Echo>) -> [Peer; 3] {
    let peers = [0; 3].map(|_| play.connect());
    play.send(peers[0], &hex("000361"));
    for peer in &peers[1..] {
        play.send(*peer, &hex(FRAME));
    }
    peers
}

#[test]
fn connections_without_a_workspace_wait_without_spinning_and_are_served_in_order() {
    scarce(|play| {
        let peers = three(play);
        assert_eq!(play.counters().workspace_waits, 2);
        assert_eq!(play.registered(1), play.under(Interest::NONE));
        assert_eq!(play.registered(2), play.under(Interest::NONE));
        play.sim().clear_journal();
        play.send(peers[0], &hex("6263"));
        let trace = play.sim().trace();
        let of_data = |line: &&str| line.starts_with("recv") || line.starts_with("send");
        let calls: Vec<&str> = trace.lines().filter(of_data).collect();
        let expected = [
            "recv(5) = 2",
            "send(5, 5) = 5",
            "recv(6) = 5",
            "send(6, 5) = 5",
            "recv(7) = 5",
            "send(7, 5) = 5",
        ];
        assert_eq!(calls, expected);
        for (slot, peer) in (0..).zip(peers) {
            assert_eq!(play.receive(peer), hex(FRAME));
            assert_eq!(play.registered(slot), play.under(Interest::READ));
        }
    });
}

#[test]
fn peers_in_turns_share_one_workspace_and_never_wait() {
    scarce(|play| {
        let peers = [0; 4].map(|_| play.connect());
        for _ in 0..5 {
            for peer in peers {
                play.sim().send(peer, &hex(FRAME));
            }
            play.turn();
            for peer in peers {
                assert_eq!(play.sim().receive_all(peer), hex(FRAME));
            }
        }
        assert_eq!(play.counters().workspace_waits, 0);
    });
}

#[test]
fn a_peer_reset_while_it_waits_is_closed_and_leaves_the_queue() {
    scarce(|play| {
        let [holder, reset, last] = three(play);
        play.sim().reset(reset);
        play.quiet();
        assert_eq!(play.closed(CloseReason::Reset), 1);
        // Another connection takes the slot and does not inherit the place in the queue.
        let heir = play.connect();
        play.send(holder, &hex("6263"));
        assert_eq!(play.receive(last), hex(FRAME));
        assert_eq!(play.receive(holder), hex(FRAME));
        play.ask(heir, &hex(FRAME));
        let counters = play.counters();
        assert_eq!((counters.workspace_waits, counters.spurious_events), (2, 0));
    });
}

#[test]
fn a_peer_that_ends_its_stream_while_it_waits_is_answered_all_the_same() {
    scarce(|play| {
        let [holder, ended, last] = three(play);
        play.sim().finish(ended);
        play.sim().finish(last);
        play.quiet();
        assert_eq!(play.counters().connections_now, 3);
        play.send(holder, &hex("6263"));
        assert_eq!(play.receive(ended), hex(FRAME));
        assert_eq!(play.receive(last), hex(FRAME));
        assert_eq!(play.closed(CloseReason::EndOfStream), 2);
        play.receive(holder);
    });
}

#[test]
fn a_workspace_of_a_closed_connection_goes_to_the_next_waiting_one() {
    scarce(|play| {
        let [holder, second, third] = three(play);
        play.sim().reset(holder);
        play.quiet();
        assert_eq!(play.receive(second), hex(FRAME));
        assert_eq!(play.receive(third), hex(FRAME));
    });
}

#[test]
fn a_connection_that_waits_past_the_idle_timeout_is_closed_with_that_reason() {
    scarce(|play| {
        let [holder, ..] = three(play);
        play.pass(IDLE / 2);
        play.send(holder, &hex("62"));
        play.pass(IDLE / 2);
        assert_eq!(play.closed(CloseReason::Starved), 2);
        play.sim().reset(holder);
        play.quiet();
    });
}

#[test]
fn a_lingering_peer_without_a_workspace_is_closed_in_time() {
    scarce(|play| {
        let (wrong, holder) = (play.connect(), play.connect());
        play.send(wrong, &hex("FFFF"));
        play.send(holder, &hex("000361"));
        play.send(wrong, b"there is nothing to read this into");
        play.pass(mynah::limits::LINGER_TIMEOUT);
        assert_eq!(play.closed(CloseReason::TooLong), 1);
        play.send(holder, &hex("6263"));
        assert_eq!(play.receive(holder), hex(FRAME));
    });
}
