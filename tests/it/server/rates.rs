//! Rates and idle time-outs of one direction: what a rate admits, in which order, and that no
//! time-out runs and no byte is lost while a connection is held back.

use std::sync::Arc;

use mynah::base::token_bucket::{Bucket, Rate};
use mynah::kernel::errno;
use mynah::limits::MIB;
use mynah::protocol::service::Discard;
use mynah::server::pace::{Limits, Pacing};

use super::bytes::pattern;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// 10 MiB at 1 MiB a second.
const TEN: Duration = Duration::from_secs(10);

fn each(rate: u64, burst: u64) -> Limits {
    Limits {
        each: Some(Rate { rate, burst }),
        total: None,
    }
}

fn total(rate: u64, burst: u64) -> Limits {
    Limits {
        each: None,
        total: Some(Arc::new(Bucket::new(Rate { rate, burst }))),
    }
}

fn reading(read: Limits) -> Pacing {
    Pacing {
        read,
        ..Pacing::default()
    }
}

fn writing(write: Limits) -> Pacing {
    Pacing {
        write,
        ..Pacing::default()
    }
}

/// Sockets that hold much, so that only a rate can hold a peer back.
fn wide() -> Config {
    let pipe = Pipe {
        send: 4 * MIB,
        receive: 4 * MIB,
    };
    Config {
        request: pipe,
        reply: pipe,
        ..Config::default()
    }
}

fn roomy(pacing: &Pacing) -> Settings {
    Settings {
        connections_max: 100,
        workspaces: 100,
        workspace: WorkspaceSize {
            inbound: 64 << 10,
            outbound: 4096,
        },
        backlog: 128,
        pacing: pacing.clone(),
        ..settings()
    }
}

/// Runs a play with fresh buckets under both triggers.
fn paced<S: Service + Copy>(
    config: Config,
    settings: impl Fn() -> Settings,
    framing: Framing,
    service: S,
    play: impl Fn(&mut Play<S>),
) {
    for trigger in [Trigger::Level, Trigger::Edge] {
        println!("under {trigger:?} trigger");
        let settings = Settings {
            trigger,
            ..settings()
        };
        let mut stage = Play::new(config.clone(), settings, framing, service);
        play(&mut stage);
        stage.end();
    }
}

fn raw() -> Framing {
    Framing::Raw(Raw)
}

/// Lets peers send as much as fits and take all answers, for `span`, and looks every millisecond.
/// Returns the bytes that each got back.
fn flood<S: Service>(play: &mut Play<S>, peers: &[Peer], span: Duration) -> Vec<u64> {
    let mut heard = vec![0; peers.len()];
    let bytes = pattern(64 << 10);
    let end = play.sim().time().after(span);
    while play.sim().time() < end {
        for (peer, heard) in peers.iter().zip(&mut heard) {
            let unread = play.sim().unheard(*peer);
            if unread < bytes.len() {
                play.sim().send(*peer, &bytes);
            }
            *heard += play.sim().receive_all(*peer).len() as u64;
        }
        play.pass(Duration::from_millis(1));
    }
    heard
}

/// Asserts that `moved` is what a rate of 1 MiB a second moves in ten seconds, with its burst.
fn assert_ten(what: &str, moved: u64) {
    let (rate, burst) = (MIB as u64, 64 << 10);
    assert!(moved <= 10 * rate + burst, "{what}: {moved}");
    assert!(moved * 100 >= 10 * rate * 95, "{what}: {moved}");
}

#[test]
fn each_of_the_four_rates_holds_within_five_percent_over_ten_seconds() {
    let (rate, burst) = (MIB as u64, 64 << 10);
    for (name, limits) in [
        ("--rate", [each(rate, burst), Limits::default()]),
        ("--rate-total", [total(rate, burst), Limits::default()]),
        ("--rate-out", [Limits::default(), each(rate, burst)]),
        ("--rate-out-total", [Limits::default(), total(rate, burst)]),
    ] {
        let fresh = || {
            let fresh = |limits: &Limits| Limits {
                each: limits.each,
                total: (limits.total.as_ref()).map(|it| Arc::new(Bucket::new(it.rate()))),
            };
            roomy(&Pacing {
                read: fresh(&limits[0]),
                write: fresh(&limits[1]),
                ..Pacing::default()
            })
        };
        paced(wide(), fresh, raw(), Echo, |play| {
            let peer = play.connect();
            let heard = flood(play, &[peer], TEN)[0];
            assert_ten(name, heard);
            let counters = play.counters();
            let moved = match limits[0].is_off() {
                false => counters.bytes_in,
                true => counters.bytes_out,
            };
            assert_ten(name, moved);
            assert!(counters.rate_waits > 100, "{name}: {counters}");
            play.sim().reset(peer);
        });
    }
}

#[test]
fn a_hundred_connections_share_a_total_within_ten_percent() {
    let rate = MIB as u64;
    type Make = fn(Limits) -> Pacing;
    for (name, make) in [("read", reading as Make), ("write", writing as Make)] {
        let settings = || roomy(&make(total(rate, Rate::burst_of(rate))));
        paced(wide(), settings, raw(), Echo, |play| {
            let peers: Vec<Peer> = (0..100).map(|_| play.connect()).collect();
            let heard = flood(play, &peers, TEN);
            let sum: u64 = heard.iter().sum();
            let (most, mean) = (11 * rate, sum / 100);
            assert!(sum <= most && sum * 100 >= 95 * 10 * rate, "{name}: {sum}");
            for bytes in &heard {
                let near = mean * 9 / 10..=mean * 11 / 10;
                assert!(near.contains(bytes), "{name}: {bytes} of {mean}: {heard:?}");
            }
            for peer in peers {
                play.sim().reset(peer);
            }
        });
    }
}

#[test]
fn every_byte_comes_back_in_order_under_a_rate_with_a_burst_of_one_byte() {
    let pacing = || Pacing {
        read: each(1000, 1),
        write: each(700, 1),
        ..Pacing::default()
    };
    paced(
        wide(),
        || roomy(&pacing()),
        raw(),
        Echo,
        |play| {
            let peer = play.connect();
            play.sim().send(peer, &pattern(300));
            let mut heard = Vec::new();
            for _ in 0..500 {
                play.pass(Duration::from_millis(1));
                heard.extend(play.sim().receive_all(peer));
                let most = 1 + play.sim().time().as_nanos() * 700 / SECOND.as_nanos() as u64;
                assert!(heard.len() as u64 <= most, "{} of {most}", heard.len());
            }
            assert!(heard == pattern(300), "{}", heard.len());
        },
    );
}

#[test]
fn a_frame_larger_than_the_burst_is_answered_and_its_time_out_does_not_run_while_held_back() {
    let framing = framing("u16be", 1024);
    let slow = || Settings {
        frame_timeout: Some(SECOND),
        idle_timeout: Some(SECOND),
        stall_timeout: Some(SECOND),
        ..roomy(&Pacing {
            read: each(100, 10),
            write: each(100, 10),
            ..Pacing::default()
        })
    };
    paced(wide(), slow, framing, Echo, |play| {
        let peer = play.connect();
        let mut request = vec![3, 0xe8];
        request.extend(pattern(1000));
        play.sim().send(peer, &request);
        play.pass(25 * SECOND);
        assert!(play.receive(peer) == request, "{}", play.counters());
        // From here on the peer is idle.
        play.pass(SECOND);
        assert_eq!(play.closed(CloseReason::Idle), 1);
    });
}

#[test]
fn a_peer_that_is_late_by_itself_is_closed_although_it_has_a_rate() {
    let framing = framing("u16be", 1024);
    let slow = || Settings {
        frame_timeout: Some(SECOND),
        ..roomy(&reading(each(100, 10)))
    };
    paced(wide(), slow, framing, Echo, |play| {
        let peer = play.connect();
        play.sim().send(peer, &[3, 0xe8, 1, 2, 3]);
        play.pass(2 * SECOND);
        assert_eq!(play.closed(CloseReason::SlowFrame), 1);
        play.sim().finish(peer);
        play.quiet();
    });
}

#[test]
fn the_end_of_the_stream_behind_bytes_that_wait_is_found_after_them() {
    paced(
        wide(),
        || roomy(&reading(each(1000, 100))),
        raw(),
        Echo,
        |play| {
            let peer = play.connect();
            play.sim().send(peer, &pattern(600));
            play.sim().finish(peer);
            play.pass(SECOND / 10);
            assert_eq!(play.counters().connections_now, 1);
            play.pass(SECOND);
            assert!(play.receive(peer) == pattern(600));
            assert_eq!(play.closed(CloseReason::EndOfStream), 1);
        },
    );
}

#[test]
fn a_reset_while_a_connection_is_held_back_ends_it_at_once_and_gives_its_turn_back() {
    let one_turn = || roomy(&reading(total(1000, 100)));
    paced(wide(), one_turn, raw(), Echo, |play| {
        let [first, second] = [play.connect(), play.connect()];
        play.send(first, &pattern(400));
        play.send(second, &pattern(50));
        // Both wait now, one behind the other.
        play.sim().reset(first);
        play.quiet();
        assert_eq!(play.closed(CloseReason::Reset), 1);
        play.pass(SECOND);
        assert!(play.receive(second) == pattern(50));
    });
}

#[test]
fn an_error_or_a_hang_up_while_a_connection_is_held_back_does_not_spin() {
    let config = || Settings {
        ..roomy(&reading(each(10, 10)))
    };
    paced(wide(), config, raw(), Discard, |play| {
        let peer = play.connect();
        play.send(peer, &pattern(100));
        play.sim().close_peer(peer);
        let waits = play.counters().epoll_wait;
        play.pass(SECOND);
        let turns = play.counters().epoll_wait - waits;
        assert!(turns < 20, "{turns} turns in a second");
        play.pass(20 * SECOND);
        assert_eq!(play.counters().connections_now, 0);
    });
}

#[test]
fn a_drain_reads_what_has_arrived_and_delivers_what_is_owed_without_waiting_for_a_rate() {
    type Make = fn(Limits) -> Pacing;
    for make in [reading as Make, writing as Make] {
        for limits in [each(10, 10), total(10, 10)] {
            let fresh = || {
                roomy(&make(Limits {
                    each: limits.each,
                    total: (limits.total.as_ref()).map(|it| Arc::new(Bucket::new(it.rate()))),
                }))
            };
            paced(wide(), fresh, raw(), Echo, |play| {
                let peer = play.connect();
                play.send(peer, &pattern(5000));
                assert_eq!(play.sim().receive_all(peer), pattern(10));
                play.server.drain();
                play.fixed_sockets = 1;
                play.quiet();
                let mut heard = pattern(10);
                heard.extend(play.receive(peer));
                assert!(heard == pattern(5000), "{}", heard.len());
                play.sim().finish(peer);
                play.quiet();
                assert!(play.server.is_done());
                assert_eq!(play.server.cut(), 0);
            });
        }
    }
}

#[test]
fn a_rate_asks_for_no_read_interest_while_it_holds_a_connection_back() {
    paced(
        wide(),
        || roomy(&reading(each(100, 10))),
        raw(),
        Echo,
        |play| {
            let peer = play.connect();
            play.send(peer, &pattern(50));
            let asked = match play.trigger {
                Trigger::Level => Interest::NONE.under(Trigger::Edge),
                Trigger::Edge => Interest::READ.under(Trigger::Edge),
            };
            assert_eq!(play.registered(0), Some(asked));
            play.sim().clear_journal();
            // Further bytes are not read before their time.
            play.send(peer, &pattern(50));
            assert_eq!(play.calls(), "");
            play.pass(2 * SECOND);
            assert_eq!(play.registered(0), play.under(Interest::READ));
            assert_eq!(play.receive(peer).len(), 100);
        },
    );
}

#[test]
fn nothing_read_for_the_time_out_is_idle_however_much_is_sent() {
    let settings = || Settings {
        ..roomy(&Pacing {
            idle_read: Some(3 * SECOND),
            ..Pacing::default()
        })
    };
    paced(wide(), settings, raw(), Echo, |play| {
        let peer = play.connect();
        play.pass(2 * SECOND);
        play.ask(peer, b"x");
        play.pass(3 * SECOND - NANOSECOND);
        assert_eq!(play.counters().connections_now, 1);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::Idle), 1);
    });
}

#[test]
fn nothing_sent_for_the_time_out_is_idle_however_much_is_read() {
    let settings = || Settings {
        ..roomy(&Pacing {
            idle_write: Some(3 * SECOND),
            ..Pacing::default()
        })
    };
    paced(wide(), settings, raw(), Discard, |play| {
        let peer = play.connect();
        for _ in 0..5 {
            play.pass(SECOND / 2);
            play.send(peer, b"x");
        }
        play.pass(SECOND / 2 - NANOSECOND);
        assert_eq!(play.counters().connections_now, 1);
        play.pass(NANOSECOND);
        assert_eq!(play.closed(CloseReason::Idle), 1);
        assert_eq!(play.counters().bytes_in, 5);
    });
}

#[test]
fn an_idle_time_out_does_not_run_while_a_rate_holds_the_connection_back() {
    let settings = || Settings {
        ..roomy(&Pacing {
            read: each(10, 10),
            idle_read: Some(SECOND),
            idle_write: Some(SECOND),
            ..Pacing::default()
        })
    };
    let fixed = framing("fixed:100", 1024);
    paced(wide(), settings, fixed, Echo, |play| {
        let peer = play.connect();
        play.send(peer, &pattern(200));
        // The first answer comes after nine seconds without a write.
        play.pass(20 * SECOND);
        assert_eq!(play.receive(peer).len(), 200);
        play.pass(SECOND);
        assert_eq!(play.closed(CloseReason::Idle), 1);
    });
}

#[test]
fn a_call_that_fails_uses_no_bytes_of_a_rate() {
    paced(
        wide(),
        || roomy(&reading(total(100, 50))),
        raw(),
        Echo,
        |play| {
            let peer = play.connect();
            play.sim().fail("recv", 1, errno::ENOBUFS);
            play.sim().fail("recv", 2, errno::ENOBUFS);
            play.send(peer, &pattern(50));
            play.pass(Duration::from_millis(10));
            assert_eq!(play.counters().refused_memory, 2);
            assert!(play.receive(peer) == pattern(50), "{}", play.counters());
        },
    );
}
