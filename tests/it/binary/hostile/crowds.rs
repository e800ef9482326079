//! Large numbers of hostile peers: rapid connects and disconnects, thousands of concurrent talkers,
//! and resets in the middle of a frame.
//!
//! Afterwards the descriptors and the memory of the server are what they were before. Man page:
//! accept(2) for ECONNABORTED.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use mynah::kernel::host;
use socket2::SockRef;

use super::super::server::{Server, until};
use super::super::{ask, rest, say, skip};
use super::{Dice, frame};
use crate::uninterrupted::uninterrupted;

/// Closes with RST instead of FIN (SO_LINGER 0), whatever is in flight.
fn tear(peer: TcpStream) {
    let set = SockRef::from(&peer).set_linger(Some(Duration::ZERO));
    set.expect("an option");
}

fn until_all_are_gone(server: &Server, but: u64) {
    until("all are gone", || {
        server.stats().get("connections_now") == but
    });
}

#[test]
fn twenty_thousand_short_connections_leave_nothing_behind() {
    const CHURN: usize = 20_000;
    let server = Server::start(&[]);
    assert_eq!(ask(&mut server.connect(), b"first"), b"first");
    until_all_are_gone(&server, 0);
    let (descriptors, memory) = (server.descriptors(), server.memory("RssAnon"));
    let begin = Instant::now();
    for turn in 0..CHURN {
        let mut peer = server.connect();
        let word = (turn as u64).to_be_bytes();
        match turn % 4 {
            0 => assert_eq!(ask(&mut peer, &word), word),
            1 => {
                assert_eq!(ask(&mut peer, &word), word);
                peer.shutdown(Shutdown::Write).expect("still connected");
                assert_eq!(rest(&mut peer), b"");
            }
            2 => {
                peer.write_all(&word).expect("the server reads");
                tear(peer);
            }
            _ => tear(peer),
        }
    }
    let took = begin.elapsed();
    until_all_are_gone(&server, 0);
    let stats = server.stats();
    let grown = server.memory("RssAnon").saturating_sub(memory);
    say(format_args!(
        "{CHURN} connections in {took:?}: {} accepted, {} closed, RssAnon grew by {grown} bytes",
        stats.get("connections_total"),
        stats.get("close")
    ));
    // A connection that is reset in the accept queue may be removed by the kernel.
    assert!(stats.get("connections_total") > CHURN as u64 / 4 * 3);
    assert_eq!(stats.get("close"), stats.get("connections_total"));
    assert_eq!(server.descriptors(), descriptors);
    assert!(grown < 256 << 10, "{grown} bytes");
    server.end();
}

/// One of many concurrent peers.
struct Talk {
    wire: TcpStream,
    stream: Vec<u8>,
    sent: usize,
    heard: usize,
}

impl Talk {
    /// Reads what has arrived and checks that each byte is the next one expected.
    fn hear(&mut self, number: usize) {
        let mut space = [0; 512];
        match uninterrupted(|| self.wire.read(&mut space)) {
            Ok(0) => panic!("{number}: an end after {} bytes", self.heard),
            Ok(count) => {
                let expected = self.stream.get(self.heard..self.heard + count);
                assert!(
                    expected == Some(&space[..count]),
                    "{number}: at {}",
                    self.heard
                );
                self.heard += count;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{number}: {error}"),
        }
    }

    fn speak(&mut self, count: usize) {
        let end = self.stream.len().min(self.sent + count);
        let written = self.wire.write_all(&self.stream[self.sent..end]);
        written.expect("so little always fits");
        self.sent = end;
    }
}

/// The number of peers that fits the descriptor limit beside the 10,000 of another test. Reports a
/// reduction as a skip; `None` if not even a small number fits.
fn crowd(wanted: usize) -> Option<usize> {
    let limit = host::raise_descriptor_limit().expect("getrlimit(2)") as usize;
    let others = if limit > 10_500 { 10_500 } else { 500 };
    let crowd = wanted.min(limit.saturating_sub(others));
    if crowd < wanted {
        skip(format_args!(
            "in part: {crowd} instead of {wanted} connections fit under {limit} descriptors"
        ));
    }
    (crowd >= 100).then_some(crowd)
}

fn stream(dice: &mut Dice, is_framed: bool) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..1 + dice.below(6) {
        let size = dice.below(400);
        let bytes = dice.bytes(size);
        stream.extend(if is_framed { frame(&bytes) } else { bytes });
    }
    stream
}

#[test]
fn five_thousand_talk_at_the_same_time_and_each_hears_its_own() {
    let Some(crowd) = crowd(5_000) else {
        return;
    };
    for args in [
        &["--trigger", "edge"][..],
        &["--trigger", "level", "--frame", "u32be"],
    ] {
        let server = Server::start(args);
        let mut dice = Dice(crowd as u64);
        let mut talks: Vec<Talk> = (0..crowd)
            .map(|_| Talk {
                wire: server.connect(),
                stream: stream(&mut dice, args.len() > 2),
                sent: 0,
                heard: 0,
            })
            .collect();
        for talk in &talks {
            talk.wire.set_nonblocking(true).expect("an option");
        }
        let mut open: Vec<usize> = (0..crowd).collect();
        while !open.is_empty() {
            let place = dice.below(open.len());
            let talk = &mut talks[open[place]];
            if dice.below(3) == 0 {
                talk.hear(open[place]);
            } else {
                talk.speak(1 + dice.below(300));
            }
            if talk.sent == talk.stream.len() {
                open.swap_remove(place);
            }
        }
        let mut bytes = 0;
        for (number, mut talk) in talks.into_iter().enumerate() {
            talk.wire.set_nonblocking(false).expect("an option");
            while talk.heard < talk.stream.len() {
                talk.hear(number);
            }
            if number % 2 == 0 {
                talk.wire
                    .shutdown(Shutdown::Write)
                    .expect("still connected");
                assert_eq!(rest(&mut talk.wire), b"", "{number}");
            }
            bytes += talk.heard;
        }
        say(format_args!(
            "{crowd} at once, {}: {bytes} bytes, all heard",
            args.join(" ")
        ));
        until_all_are_gone(&server, 0);
        assert_eq!(server.stats().get("bytes_out"), bytes as u64);
        server.end();
    }
}

#[test]
fn two_thousand_connections_reset_in_the_middle_of_a_frame_leave_nothing_behind() {
    const TORN: u64 = 2_000;
    for trigger in ["level", "edge"] {
        let server = Server::start(&["--frame", "u32be", "--trigger", trigger]);
        let mut stays = server.connect();
        assert_eq!(ask(&mut stays, &frame(b"I stay")), frame(b"I stay"));
        let descriptors = server.descriptors();
        let (whole, mut dice) = (frame(&[b'.'; 5_000]), Dice(7));
        for turn in 0..TORN / 2 {
            let mut peer = server.connect();
            if turn % 2 == 0 {
                assert_eq!(ask(&mut peer, &frame(b"whole")), frame(b"whole"));
            }
            let cut = 1 + dice.below(whole.len() - 1);
            peer.write_all(&whole[..cut]).expect("the server reads");
            tear(peer);
            if turn % 100 == 0 {
                assert_eq!(ask(&mut stays, &whole), whole);
            }
        }
        until_all_are_gone(&server, 1);
        assert_eq!(server.descriptors(), descriptors);
        let stats = server.stats();
        assert_eq!(stats.get("closed_reset"), stats.get("close"));
        assert_eq!(ask(&mut stays, &whole), whole);
        drop(stays);
        server.end();
    }
}
