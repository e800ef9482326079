//! `--wiretap` on the real kernel: the lines of the log, for one connection after the other and for
//! workers beside each other.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::server::{Server, until};
use super::{FEW, ask, pattern, rest};

/// The lines of the tap, without their level. The address of the peer is left out.
fn tapped(stderr: &[String]) -> Vec<&str> {
    let is_row = |line: &str| line.len() > 60 && line.ends_with('|');
    let lines = stderr.iter().filter_map(|line| {
        let event = line
            .strip_prefix("INFO  #")
            .map(|_| &line["INFO  ".len()..]);
        event.or_else(|| is_row(line).then_some(line))
    });
    lines
        .map(|line| line.split_once("tcp://").map_or(line, |(front, _)| front))
        .collect()
}

#[test]
fn the_wiretap_tells_each_event_without_any_other_option() {
    let server = Server::start(&[&FEW[..], &["--wiretap", "hex"]].concat());
    for text in ["hello\n", "x"] {
        let mut peer = server.connect();
        assert_eq!(ask(&mut peer, text.as_bytes()), text.as_bytes());
        peer.shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(rest(&mut peer), b"");
    }
    let ended = server.end();
    let expected = [
        "#1 REGISTERED",
        "#1 ACTIVE peer=",
        "#1 READ 6 bytes",
        "00000000  68 65 6c 6c 6f 0a                                 |hello.|",
        "#1 READ_COMPLETE",
        "#1 WRITE 6 bytes",
        "00000000  68 65 6c 6c 6f 0a                                 |hello.|",
        "#1 INACTIVE",
        "#1 UNREGISTERED",
        "#2 REGISTERED",
        "#2 ACTIVE peer=",
        "#2 READ 1 bytes",
        "00000000  78                                                |x|",
        "#2 READ_COMPLETE",
        "#2 WRITE 1 bytes",
        "00000000  78                                                |x|",
        "#2 INACTIVE",
        "#2 UNREGISTERED",
    ];
    assert_eq!(tapped(&ended.stderr), expected, "{:?}", ended.stderr);
}

#[test]
fn the_numbers_of_several_workers_are_those_of_one_process() {
    let server = Server::start(&["--wiretap=size", "--threads", "2"]);
    for _ in 0..8 {
        let mut peer = server.connect();
        ask(&mut peer, b"hello");
        peer.shutdown(Shutdown::Write).expect("it is open");
        rest(&mut peer);
    }
    let ended = server.end();
    let lines = tapped(&ended.stderr);
    for number in 1..=8 {
        let front = format!("#{number} ");
        let events = lines.iter().filter_map(|line| line.strip_prefix(&front));
        let events: Vec<&str> = events.collect();
        let expected = [
            "REGISTERED",
            "ACTIVE peer=",
            "READ 5 bytes",
            "READ_COMPLETE",
            "WRITE 5 bytes",
            "INACTIVE",
            "UNREGISTERED",
        ];
        assert_eq!(events, expected, "#{number}");
    }
}

#[test]
fn a_dump_without_room_is_dropped_and_counted_and_no_byte_is_lost() {
    for model in ["epoll", "thread", "fork"] {
        drop_dumps(model);
    }
}

fn drop_dumps(model: &str) {
    // Nothing reads stderr before the end, and the pipe takes 64 KiB.
    let server = Server::start(&["--wiretap=hex", "--model", model]);
    let mut peer = server.connect();
    let bytes = pattern(1 << 20);
    let copy = peer.try_clone().expect("a descriptor");
    let sender = std::thread::spawn({
        let bytes = bytes.clone();
        move || (&copy).write_all(&bytes)
    });
    let mut reply = vec![0; bytes.len()];
    peer.read_exact(&mut reply).expect("the server answers");
    sender.join().expect("no panic").expect("the server reads");
    assert!(reply == bytes, "an answer differs");
    let dropped = server.stats().get("log_lines_dropped");
    assert!(dropped > 0, "{model}");
    drop(peer);
    // What a process has dropped stays counted after its end.
    until("it has left", || server.stats().get("connections_now") == 0);
    let after = server.stats().get("log_lines_dropped");
    assert!(after >= dropped, "{model}: {after} after {dropped}");
}
