//! Deadlines, interests and transitions of what a connection waits for, with fixed times.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const TIMEOUTS: Timeouts = Timeouts {
    idle: Some(Duration::from_secs(60)),
    frame: Some(Duration::from_secs(30)),
    stall: Some(Duration::from_secs(20)),
    size_min: 100,
};
const FACTS: Facts = Facts {
    holds: true,
    is_mid_message: false,
    is_next: false,
    is_contended: false,
};

fn at(seconds: u64) -> Time {
    Time::default().after(SECOND * seconds as u32)
}

fn frame(since: u64, heard: u64, active_at: u64) -> Due {
    Due::Frame {
        since: at(since),
        heard,
        active_at: at(active_at),
    }
}

fn request(active_at: u64) -> Due {
    Due::Request {
        active_at: at(active_at),
    }
}

fn writable(since: u64, taken: u64) -> Due {
    Due::Writable {
        since: at(since),
        taken,
        active_at: at(since),
    }
}

fn message(since: u64, active_at: u64) -> Due {
    Due::Message {
        since: at(since),
        active_at: at(active_at),
    }
}

fn turn(due: Due, has_frames: bool) -> Waiting {
    Waiting::Turn {
        due,
        has_frames,
        attempt: 0,
    }
}

/// Every state with its deadline, why, and the interest that it has, level-triggered.
#[test]
fn each_state_has_its_deadline_and_its_interest() {
    let last_ack = Due::last_ack(at(5), 7, at(6));
    let workspace = Waiting::Workspace {
        since: at(5),
        message_since: at(1),
        attempt: 0,
    };
    let memory = Waiting::Memory {
        until: at(5),
        attempt: 1,
        due: writable(1, 0),
    };
    let (read, write, none) = (Interest::READ, Interest::WRITE, Interest::NONE);
    for (waiting, time, reason, asked) in [
        (Waiting::Peer(request(5)), at(65), CloseReason::Idle, read),
        (
            Waiting::Peer(frame(5, 0, 9)),
            at(35),
            CloseReason::SlowFrame,
            read,
        ),
        (
            Waiting::Peer(frame(50, 0, 9)),
            at(69),
            CloseReason::Idle,
            read,
        ),
        (
            Waiting::Peer(message(5, 9)),
            at(35),
            CloseReason::SlowFrame,
            read,
        ),
        (
            Waiting::Peer(writable(5, 0)),
            at(25),
            CloseReason::Stalled,
            write,
        ),
        (
            Waiting::Peer(last_ack),
            at(7),
            CloseReason::EndOfStream,
            read,
        ),
        (
            turn(frame(5, 0, 9), false),
            at(35),
            CloseReason::SlowFrame,
            read,
        ),
        (turn(frame(5, 0, 9), true), at(69), CloseReason::Idle, read),
        (
            turn(writable(5, 0), false),
            at(25),
            CloseReason::Stalled,
            write,
        ),
        (workspace, at(65), CloseReason::Starved, none),
        (
            memory,
            at(5),
            CloseReason::Exhausted,
            none.under(Trigger::Edge),
        ),
        (Waiting::Effect, Time::NEVER, CloseReason::Idle, none),
    ] {
        assert_eq!(deadline(&waiting, &TIMEOUTS), (time, reason), "{waiting:?}");
        assert_eq!(interest(&waiting, Trigger::Level), asked, "{waiting:?}");
        let edge = asked.under(Trigger::Edge);
        assert_eq!(interest(&waiting, Trigger::Edge), edge, "{waiting:?}");
    }
}

#[test]
fn a_time_out_that_is_off_never_passes() {
    let off = Timeouts {
        idle: None,
        frame: None,
        stall: None,
        size_min: 1,
    };
    for due in [request(5), frame(5, 0, 9), message(5, 9), writable(5, 0)] {
        assert_eq!(deadline(&Waiting::Peer(due), &off).0, Time::NEVER);
    }
}

#[test]
fn the_first_bytes_of_a_frame_start_its_clock_and_later_ones_do_not() {
    let first = request(1).after(Want::Read, FACTS, &TIMEOUTS, at(2));
    assert_eq!(first, frame(2, 0, 1));
    let mut waiting = Waiting::Peer(first);
    waiting.received(40, at(3));
    assert_eq!(waiting, Waiting::Peer(frame(2, 40, 3)));
    let next = Next::for_kernel(Want::Read);
    let later = waiting.after(&next, FACTS, &TIMEOUTS, at(3));
    assert_eq!(later, waiting);
}

#[test]
fn the_next_frame_has_a_new_clock_unless_a_slow_peer_keeps_a_workspace_from_others() {
    for (is_contended, heard, since) in
        [(false, 0, 9), (true, 99, 2), (true, 100, 9), (true, 101, 9)]
    {
        let facts = Facts {
            is_next: true,
            is_contended,
            ..FACTS
        };
        let next = frame(2, heard, 9).after(Want::Read, facts, &TIMEOUTS, at(9));
        let heard = if since == 9 { 0 } else { heard };
        assert_eq!(next, frame(since, heard, 9), "{is_contended} {heard}");
    }
}

#[test]
fn a_reader_has_a_new_clock_when_it_has_taken_the_minimum() {
    for (taken, since, left) in [(99, 2, 99), (100, 9, 0), (101, 9, 0)] {
        let next = writable(2, taken).after(Want::Write, FACTS, &TIMEOUTS, at(9));
        let expected = Due::Writable {
            since: at(since),
            taken: left,
            active_at: at(2),
        };
        assert_eq!(next, expected, "{taken}");
    }
}

#[test]
fn a_message_without_a_byte_kept_keeps_its_clock_and_gives_it_to_its_frame() {
    let facts = Facts {
        holds: false,
        is_mid_message: true,
        ..FACTS
    };
    let kept = frame(2, 50, 3).after(Want::Read, facts, &TIMEOUTS, at(9));
    assert_eq!(kept, message(2, 3));
    let again = kept.after(Want::Read, FACTS, &TIMEOUTS, at(10));
    assert_eq!(again, frame(2, 0, 3));
    let over = Facts {
        is_mid_message: false,
        ..facts
    };
    let over = kept.after(Want::Read, over, &TIMEOUTS, at(10));
    assert_eq!(over, request(3));
}

#[test]
fn a_wait_for_a_workspace_moves_the_clock_of_a_message_by_the_time_waited() {
    let mut waiting = Waiting::Peer(message(2, 3));
    waiting.lacks_workspace(at(10));
    waiting.lent(at(15));
    assert_eq!(waiting, turn(message(7, 15), false));
    let mut waiting = Waiting::Peer(request(3));
    waiting.lacks_workspace(at(10));
    waiting.lent(at(15));
    assert_eq!(waiting, turn(request(15), false));
}

#[test]
fn a_rate_moves_every_clock_to_the_time_at_which_it_lets_the_connection_go_on() {
    let held_back = |due: Due, want| {
        let next = Next {
            want,
            has_more: false,
            until: at(15),
        };
        Waiting::Peer(due).after(&next, FACTS, &TIMEOUTS, at(10))
    };
    let mut moved = writable(7, 3);
    if let Due::Writable { active_at, .. } = &mut moved {
        *active_at = at(7);
    }
    for (due, want, later) in [
        (frame(2, 5, 9), Want::Read, frame(7, 5, 14)),
        (writable(2, 3), Want::Write, moved),
    ] {
        let mut waiting = held_back(due, want);
        let (until, due) = (at(15), later);
        assert_eq!(waiting, Waiting::Tokens { until, due });
        assert_eq!(deadline(&waiting, &TIMEOUTS).0, until);
        let level = interest(&waiting, Trigger::Level);
        assert_eq!(level, Interest::NONE.under(Trigger::Edge));
        let edge = interest(&waiting, Trigger::Edge);
        assert_eq!(edge, interest(&Waiting::Peer(due), Trigger::Edge));
        waiting.end_tokens(at(15));
        assert_eq!(waiting, turn(later, false));
    }
}

#[test]
fn a_lingering_connection_that_a_rate_holds_back_is_looked_at_in_time() {
    let due = Due::last_ack(at(10), 0, at(10));
    let until = at(99);
    let mut waiting = Waiting::Tokens { until, due };
    let check_at = at(10).after(LINGER_TIMEOUT);
    assert_eq!(deadline(&waiting, &TIMEOUTS).0, check_at);
    waiting.end_tokens(check_at);
    assert_eq!(waiting, Waiting::Tokens { until, due });
    // Whatever it waits for meanwhile, the clock of the look runs on.
    let next = Next {
        want: Want::Discard,
        has_more: false,
        until,
    };
    let again = Waiting::Peer(due).after(&next, FACTS, &TIMEOUTS, at(11));
    assert_eq!(again, Waiting::Tokens { until, due });
}

#[test]
fn a_peer_that_takes_nothing_is_idle_if_that_time_out_is_the_shorter_one() {
    let timeouts = Timeouts {
        idle: Some(19 * SECOND),
        ..TIMEOUTS
    };
    let owed = Waiting::Peer(writable(5, 0));
    assert_eq!(deadline(&owed, &timeouts), (at(24), CloseReason::Idle));
    let mut taking = owed;
    taking.sent(1, at(9));
    assert_eq!(deadline(&taking, &timeouts), (at(25), CloseReason::Stalled));
}

#[test]
fn pauses_for_memory_double_and_end_after_the_last_try() {
    let mut waiting = Waiting::for_request(at(1));
    for attempt in 1..=MEMORY_RETRIES_MAX {
        assert!(waiting.lacks_memory(at(2)), "{attempt}");
        let until = at(2).after(MEMORY_RETRY_MIN * (1 << (attempt - 1)));
        assert_eq!(deadline(&waiting, &TIMEOUTS).0, until);
        waiting.end_pause(until);
    }
    assert!(!waiting.lacks_memory(at(2)));
}

#[test]
fn a_call_that_succeeds_ends_the_row_of_failures() {
    let succeeding: [fn(&mut Waiting); 3] = [
        |waiting: &mut Waiting| waiting.received(1, at(3)),
        |waiting: &mut Waiting| waiting.sent(1, at(3)),
        |waiting: &mut Waiting| waiting.has_memory(),
    ];
    for succeed in succeeding {
        let mut waiting = Waiting::Peer(frame(1, 0, 1));
        assert!(waiting.lacks_memory(at(2)));
        waiting.try_again();
        assert_eq!(waiting.attempt(), 1);
        succeed(&mut waiting);
        assert_eq!(waiting.attempt(), 0);
    }
}

#[test]
fn a_lingering_peer_must_take_the_minimum_within_the_stall_time_out() {
    let mut waiting = Waiting::for_request(at(0));
    waiting.linger(1000, at(0));
    assert_eq!(deadline(&waiting, &TIMEOUTS).0, at(2));
    // Too little was taken: the clock runs on.
    assert!(waiting.keep_lingering(901, &TIMEOUTS, at(2)));
    assert_eq!(
        (waiting.unacknowledged(), deadline(&waiting, &TIMEOUTS).0),
        (1000, at(4))
    );
    // Enough was taken: it begins anew.
    assert!(waiting.keep_lingering(900, &TIMEOUTS, at(4)));
    assert_eq!(
        (waiting.unacknowledged(), deadline(&waiting, &TIMEOUTS).0),
        (900, at(6))
    );
    assert!(waiting.keep_lingering(900, &TIMEOUTS, at(23)));
    assert!(!waiting.keep_lingering(900, &TIMEOUTS, at(24)));
    assert!(!waiting.keep_lingering(0, &TIMEOUTS, at(5)));
}
