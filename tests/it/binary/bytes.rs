//! Echo and `upper` on the real binary: every byte comes back, in order, with its framing, on every
//! connection.
//!
//! Uses only sockets and the command line. Services and framings have unit tests of their own;
//! these tests check the whole path.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use super::server::Server;
use super::{MIB, ask, pattern, rest, say};
use crate::uninterrupted::uninterrupted;

#[test]
fn a_slow_reader_gets_64_mib_back_while_others_are_answered() {
    for trigger in ["level", "edge"] {
        let server = Server::start(&[
            "--trigger",
            trigger,
            "--max-memory",
            "8m",
            "--max-connections",
            "100",
        ]);
        let (whole, mut other) = (64 * MIB, server.connect());
        let mut reader = server.connect();
        let mut writer = reader.try_clone().expect("a second handle");
        let sending = thread::spawn(move || {
            let chunk = pattern(251 * 1024);
            let mut left = whole;
            while left > 0 {
                let count = left.min(chunk.len());
                writer
                    .write_all(&chunk[..count])
                    .expect("the server reads on");
                left -= count;
            }
            writer.shutdown(Shutdown::Write).expect("still connected");
        });
        // Another peer is served between two pieces, so this reader is slow.
        let expected = pattern(251 + 128 * 1024);
        let mut piece = vec![0; 128 * 1024];
        let mut got = 0;
        loop {
            assert_eq!(ask(&mut other, b"are you there?"), b"are you there?");
            let count = uninterrupted(|| reader.read(&mut piece)).expect("the reply comes");
            if count == 0 {
                break;
            }
            let begin = got % 251;
            assert!(
                piece[..count] == expected[begin..begin + count],
                "wrong after {got} bytes"
            );
            got += count;
        }
        assert_eq!(got, whole);
        sending.join().expect("all was sent");
        let (peak, ceiling) = (server.peak(), server.announced(" bytes of memory"));
        say(format_args!(
            "64 MiB to a slow reader, {trigger}: resident at most {peak} bytes, {ceiling} announced"
        ));
        assert!(
            peak <= ceiling + MIB as u64,
            "{trigger}: {peak} bytes, {ceiling} announced"
        );
        assert!(
            server.stats().get("short_writes") > 0,
            "{trigger}: it was never slow"
        );
        drop((reader, other));
        server.end();
    }
}

#[test]
fn a_half_closed_peer_still_receives_every_reply() {
    let server = Server::start(&[]);
    for size in [0, 1, 100_000, 3 * MIB] {
        let mut peer = server.connect();
        let request = pattern(size);
        peer.write_all(&request).expect("the server reads");
        peer.shutdown(Shutdown::Write).expect("still connected");
        assert!(rest(&mut peer) == request, "{size} bytes");
    }
    server.end();
}

#[test]
fn frames_come_back_with_the_headers_they_came_with() {
    for (framing, frames) in [
        ("u8", &b"\x00\x01a\x02bc"[..]),
        ("u16be", b"\x00\x03abc\x00\x00\x00\x01z"),
        ("u24le", b"\x02\x00\x00hi"),
        (
            "u32be",
            b"\x00\x00\x00\x05hello\x00\x00\x00\x00\x00\x00\x00\x02ok",
        ),
        ("i32le", b"\x05\x00\x00\x00hello"),
        ("u64le", b"\x01\0\0\0\0\0\0\0x"),
        (
            "len:offset=2,size=3,order=be",
            b"\xca\xfe\x00\x00\x0cHELLO, WORLD",
        ),
        ("len:size=2,adjust=-2", b"\x00\x0eHELLO, WORLD"),
    ] {
        let server = Server::start(&["--frame", framing]);
        let mut peer = server.connect();
        assert_eq!(ask(&mut peer, frames), frames, "{framing} at once");
        for byte in frames.chunks(1) {
            peer.write_all(byte).expect("the server reads");
        }
        peer.shutdown(Shutdown::Write).expect("still connected");
        assert_eq!(rest(&mut peer), frames, "{framing} byte by byte");
        server.end();
    }
}

#[test]
fn a_frame_over_the_limit_ends_its_connection_after_what_was_owed() {
    let server = Server::start(&["--frame", "u32be", "--frame-max", "8"]);
    let mut peer = server.connect();
    peer.write_all(b"\x00\x00\x00\x04four\x00\x00\x00\x05fives")
        .expect("the server reads");
    assert_eq!(rest(&mut peer), b"\x00\x00\x00\x04four");
    assert!(server.hears("too_long").contains("9 bytes"));
    peer.shutdown(Shutdown::Write).expect("still connected");
    let mut peer = server.connect();
    peer.write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("the server reads");
    peer.shutdown(Shutdown::Write).expect("still connected");
    assert_eq!(rest(&mut peer), b"");
    let mut peer = server.connect();
    peer.write_all(b"\x00\x00\x00\x04fo")
        .expect("the server reads");
    peer.shutdown(Shutdown::Write).expect("still connected");
    assert_eq!(rest(&mut peer), b"");
    let stats = server.stats();
    assert_eq!(
        (
            stats.get("refused_too_long"),
            stats.get("refused_truncated")
        ),
        (2, 1)
    );
    server.end();
}

#[test]
fn upper_changes_the_letters_of_ascii_and_nothing_else() {
    let server = Server::start(&["upper"]);
    let mut peer = server.connect();
    assert_eq!(
        ask(&mut peer, b"az AZ 09 \x00\xc3\xa9\n"),
        b"AZ AZ 09 \x00\xc3\xa9\n"
    );
    server.end();
}

#[test]
fn upper_of_all_letters_may_change_the_length() {
    let server = Server::start(&["upper", "--unicode"]);
    let mut peer = server.connect();
    for byte in "straße é ŉ \u{390}".as_bytes() {
        peer.write_all(&[*byte]).expect("the server reads");
    }
    peer.write_all(b"\xff\xc3").expect("the server reads");
    peer.shutdown(Shutdown::Write).expect("still connected");
    let mut expected = "straße é ŉ \u{390}".to_uppercase().into_bytes();
    expected.extend(b"\xff\xc3");
    assert_eq!(rest(&mut peer), expected);

    let framed = Server::start(&["upper", "--unicode", "--frame", "u16be"]);
    let mut peer = framed.connect();
    let request = "\u{0}\u{2}ß\u{0}\u{3}\u{390}b";
    peer.write_all(request.as_bytes())
        .expect("the server reads");
    peer.shutdown(Shutdown::Write).expect("still connected");
    assert_eq!(
        rest(&mut peer),
        "\u{0}\u{2}SS\u{0}\u{7}\u{399}\u{308}\u{301}B".as_bytes()
    );
    framed.end();
    server.end();
}
