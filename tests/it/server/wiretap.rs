//! What the wiretap tells, line by line, under both triggers.

use std::sync::{Arc, Mutex};

use mynah::server::observe::wiretap::{Detail, TapLine, Wiretap};

use super::*;

/// The lines of a tap.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<String>>);

impl Heard {
    fn tap(&self, detail: Detail) -> Wiretap {
        let text = Arc::clone(&self.0);
        let line: TapLine = Arc::new(move |line| {
            *text.lock().expect("one thread") += &format!("{line}\n");
        });
        Wiretap::to(line, detail)
    }

    /// Asserts what was told since the last call. `PEER` stands for any address.
    fn assert(&self, expected: &str) {
        let text = std::mem::take(&mut *self.0.lock().expect("one thread"));
        let lines = text.lines().map(|line| match line.split_once("peer=") {
            Some((front, _)) => format!("{front}peer=PEER"),
            None => line.to_owned(),
        });
        let lines: Vec<String> = lines.collect();
        let expected: Vec<&str> = expected.lines().map(str::trim).collect();
        assert_eq!(lines, expected);
    }
}

/// Runs a play with a tap of `detail` under both triggers.
fn tapped<S: Service + Copy>(
    detail: Detail,
    config: Config,
    framing: Framing,
    service: S,
    play: impl Fn(&mut Play<S>, &Heard),
) {
    // The second play of the two counts on, so each has a tap of its own.
    for trigger in [Trigger::Level, Trigger::Edge] {
        println!("under {trigger:?} trigger");
        let heard = Heard::default();
        let settings = Settings {
            trigger,
            wiretap: Some(heard.tap(detail)),
            ..settings()
        };
        let mut stage = Play::new(config.clone(), settings, framing, service);
        play(&mut stage, &heard);
        stage.end();
    }
}

fn raw() -> Framing {
    Framing::Raw(Raw)
}

#[test]
fn an_echo_is_told_from_its_registration_to_its_end() {
    tapped(
        Detail::Hex,
        Config::default(),
        raw(),
        Echo,
        |play, heard| {
            let peer = play.connect();
            heard.assert("#1 REGISTERED\n#1 ACTIVE peer=PEER");
            play.ask(peer, b"hello\n");
            heard.assert(
                "#1 READ 6 bytes
             00000000  68 65 6c 6c 6f 0a                                 |hello.|
             #1 READ_COMPLETE
             #1 WRITE 6 bytes
             00000000  68 65 6c 6c 6f 0a                                 |hello.|",
            );
            play.sim().finish(peer);
            play.quiet();
            heard.assert("#1 INACTIVE\n#1 UNREGISTERED");
        },
    );
}

#[test]
fn connections_are_numbered_in_the_order_of_their_arrival_also_in_a_slot_used_before() {
    tapped(
        Detail::Size,
        Config::default(),
        raw(),
        Echo,
        |play, heard| {
            let first = play.connect();
            let second = play.connect();
            play.sim().finish(first);
            play.quiet();
            let third = play.connect();
            heard.assert(
                "#1 REGISTERED
             #1 ACTIVE peer=PEER
             #2 REGISTERED
             #2 ACTIVE peer=PEER
             #1 INACTIVE
             #1 UNREGISTERED
             #3 REGISTERED
             #3 ACTIVE peer=PEER",
            );
            play.ask(third, b"x");
            play.ask(second, b"yz");
            heard.assert(
                "#3 READ 1 bytes
             #3 READ_COMPLETE
             #3 WRITE 1 bytes
             #2 READ 2 bytes
             #2 READ_COMPLETE
             #2 WRITE 2 bytes",
            );
        },
    );
}

#[test]
fn a_part_of_a_frame_is_complete_without_a_write() {
    let framing = framing("u16be", 1024);
    tapped(
        Detail::Size,
        Config::default(),
        framing,
        Echo,
        |play, heard| {
            let peer = play.connect();
            play.send(peer, &hex("000361"));
            play.send(peer, &hex("6263"));
            heard.assert(
                "#1 REGISTERED
             #1 ACTIVE peer=PEER
             #1 READ 3 bytes
             #1 READ_COMPLETE
             #1 READ 2 bytes
             #1 READ_COMPLETE
             #1 WRITE 5 bytes",
            );
            play.receive(peer);
        },
    );
}

#[test]
fn an_answer_that_the_kernel_takes_in_parts_is_told_in_those_parts() {
    let config = Config {
        reply: narrow().reply,
        ..Config::default()
    };
    tapped(Detail::Size, config, raw(), Echo, |play, heard| {
        let peer = play.connect();
        play.send(peer, &[b'x'; 500]);
        heard.assert(
            "#1 REGISTERED
             #1 ACTIVE peer=PEER
             #1 READ 500 bytes
             #1 READ_COMPLETE
             #1 WRITE 400 bytes",
        );
        play.receive(peer);
        heard.assert("#1 WRITE 100 bytes");
    });
}

#[test]
fn a_reset_and_a_frame_over_the_limit_are_exceptions() {
    let framing = framing("u16be", 16);
    tapped(
        Detail::Size,
        Config::default(),
        framing,
        Echo,
        |play, heard| {
            let peer = play.connect();
            play.sim().reset(peer);
            play.quiet();
            heard.assert(
                "#1 REGISTERED
             #1 ACTIVE peer=PEER
             #1 EXCEPTION reset
             #1 INACTIVE
             #1 UNREGISTERED",
            );
            let peer = play.connect();
            play.send(peer, &hex("FFFF"));
            play.sim().finish(peer);
            play.quiet();
            heard.assert(
                "#2 REGISTERED
             #2 ACTIVE peer=PEER
             #2 READ 2 bytes
             #2 READ_COMPLETE
             #2 EXCEPTION too_long
             #2 INACTIVE
             #2 UNREGISTERED",
            );
        },
    );
}

#[test]
fn an_idle_time_out_is_a_user_event() {
    tapped(
        Detail::Size,
        Config::default(),
        raw(),
        Echo,
        |play, heard| {
            play.connect();
            play.pass(IDLE);
            heard.assert(
                "#1 REGISTERED
             #1 ACTIVE peer=PEER
             #1 USER_EVENT idle
             #1 INACTIVE
             #1 UNREGISTERED",
            );
        },
    );
}
