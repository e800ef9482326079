//! One play that makes the server use all of its system calls, and the checks of its result.
//!
//! The peers connect one after the other:
//!
//! - one that stays from the beginning to the end;
//! - one that sends frames in pieces and half-closes;
//! - one on a local socket whose reply does not fit the send buffer;
//! - one that sends an invalid frame;
//! - two that fill the slots, and one that waits for a slot.
//!
//! Each peer knows the bytes that it must receive. One fault may end one connection, with a reason
//! in the log. It must not affect another peer and never produce a wrong byte. Afterwards a new
//! peer is served, and SIGTERM ends the server with code 0.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::super::addresses::abstract_name;
use super::super::pattern;
use super::super::server::{Ended, PATIENCE, Server};
use crate::uninterrupted::uninterrupted;

/// The result of a play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Every peer received all of its bytes.
    Intact,
    /// One connection ended early, with a reason in the log.
    Ended,
    /// The server did not start, or ended, with an exit code and one line.
    Refused,
    /// The call to fail was not made.
    Missed,
}

trait Wire: Read + Write {
    fn finish(&self) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Wire for UnixStream {
    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A peer. A wrong byte or a time-out fails the test; any other error is stored as trouble.
struct Peer {
    wire: Option<Box<dyn Wire>>,
    trouble: Option<io::Error>,
}

impl Peer {
    fn new(wire: io::Result<Box<dyn Wire>>) -> Peer {
        let (wire, trouble) = match wire {
            Ok(wire) => (Some(wire), None),
            Err(error) => (None, Some(error)),
        };
        Peer { wire, trouble }
    }

    fn tcp(server: &Server) -> Peer {
        Peer::new(TcpStream::connect(server.address()).and_then(|wire| {
            wire.set_nodelay(true)?;
            wire.set_read_timeout(Some(PATIENCE))?;
            wire.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(wire) as Box<dyn Wire>)
        }))
    }

    fn local(server: &Server) -> Peer {
        let name = server.addresses()[1]
            .strip_prefix("unix:")
            .expect("a name")
            .to_owned();
        Peer::new(
            UnixStream::connect_addr(&abstract_name(&name)).and_then(|wire| {
                wire.set_read_timeout(Some(PATIENCE))?;
                wire.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(wire) as Box<dyn Wire>)
            }),
        )
    }

    /// Performs `act` unless an earlier action failed. Only the first error is kept.
    fn act(&mut self, act: impl FnOnce(&mut dyn Wire) -> io::Result<()>) {
        let Some(wire) = &mut self.wire else { return };
        if let Err(error) = act(wire.as_mut()) {
            let is_silence = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!is_silence, "silence instead of an answer or an end");
            self.trouble = Some(error);
            self.wire = None;
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.act(|wire| wire.write_all(bytes));
    }

    fn hear(&mut self, expected: &[u8]) {
        self.act(|wire| {
            let mut space = vec![0; expected.len()];
            let mut filled = 0;
            while filled < space.len() {
                let count = uninterrupted(|| wire.read(&mut space[filled..]))?;
                assert!(
                    space[filled..filled + count] == expected[filled..filled + count],
                    "a wrong byte"
                );
                filled += count;
                if count == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(())
        });
    }

    fn ask(&mut self, text: &[u8]) {
        self.say(&frame(text));
        self.hear(&frame(text));
    }

    fn finish(&mut self) {
        self.act(|wire| wire.finish());
    }

    fn hear_the_end(&mut self) {
        self.act(|wire| {
            let count = uninterrupted(|| wire.read(&mut [0; 64]))?;
            assert_eq!(count, 0, "bytes behind the last answer");
            Ok(())
        });
    }
}

fn frame(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text].concat()
}

/// The arguments of the server for this play.
pub(super) fn arguments(name: &str, trigger: &str) -> Vec<String> {
    let local = format!("unix:@{name}");
    let words = [
        "--listen",
        "127.0.0.1:0",
        "--listen",
        &local,
        "--frame",
        "u32be",
        "--max-connections",
        "3",
        "--max-connections-per-ip",
        "100",
        "--max-memory",
        "8m",
        "--trigger",
        trigger,
    ];
    words.map(String::from).to_vec()
}

/// Log lines that explain why a connection ended early or was not accepted.
const REASONS: [&str; 8] = [
    "closed: failed",
    "closed: reset",
    "closed: exhausted",
    "closed: truncated",
    "closed: slow_frame",
    "closed: cut",
    "accept4: ",
    "epoll_ctl on a listener",
];

/// Plays with `server`. If `close` fails, strace leaves the descriptor open, and no peer sees the
/// end of its stream.
pub(super) fn play(server: Server, closes: bool, is_fatal: bool) -> Outcome {
    let end = |peer: &mut Peer| {
        if closes {
            peer.hear_the_end();
        }
    };
    let mut stays = Peer::tcp(&server);
    stays.ask(b"I am here");

    let mut pieces = Peer::tcp(&server);
    let whole = frame(b"in two pieces");
    pieces.say(&whole[..3]);
    pieces.say(&whole[3..]);
    pieces.hear(&whole);
    let both = [frame(b"two"), frame(b"at once")].concat();
    pieces.say(&both);
    pieces.hear(&both);
    pieces.finish();
    end(&mut pieces);

    let mut large = Peer::local(&server);
    large.ask(&pattern(500_000));
    large.finish();
    end(&mut large);

    let mut wrong = Peer::tcp(&server);
    wrong.say(&[&frame(b"right")[..], b"GET / HTTP/1.1\r\n\r\n"].concat());
    wrong.hear(&frame(b"right"));
    wrong.hear_the_end();
    // The server lingers until this peer closes.
    wrong.wire = None;

    stays.ask(b"I am still here");
    let (mut goes, mut last) = (Peer::tcp(&server), Peer::tcp(&server));
    goes.ask(b"one slot");
    last.ask(b"and the last");
    let mut waits = Peer::tcp(&server);
    waits.say(&frame(b"may I?"));
    goes.wire = None;
    waits.hear(&frame(b"may I?"));
    last.wire = None;

    // The fault may lose one line of counts, but not the next one.
    let tries = if is_fatal { 1 } else { 100 };
    let asked = (0..tries).any(|_| {
        server.signal("USR1");
        server.stats_within(Duration::from_millis(200)).is_some()
    });
    assert!(asked || is_fatal, "it prints no counts any more");
    let mut newcomer = Peer::tcp(&server);
    newcomer.ask(b"is it open?");
    stays.say(&frame(b"the last word"));
    server.signal("TERM");
    stays.hear(&frame(b"the last word"));
    end(&mut stays);
    let mut all = [stays, pieces, large, wrong, goes, last, waits, newcomer];
    all.iter_mut().for_each(|peer| peer.wire = None);
    outcome_of(&server.ended(), &all, is_fatal)
}

fn outcome_of(ended: &Ended, peers: &[Peer], is_fatal: bool) -> Outcome {
    let said = &ended.stderr;
    if is_fatal && ended.code != Some(0) {
        let last = said.last().expect("a line");
        assert!(last.starts_with("mynah: serving: "), "{said:?}");
        assert_eq!(ended.code, Some(7), "{said:?}");
        return Outcome::Refused;
    }
    assert_eq!(ended.code, Some(0), "{said:?}");
    let troubles: Vec<&io::Error> = peers.iter().flat_map(|peer| &peer.trouble).collect();
    if troubles.is_empty() {
        return Outcome::Intact;
    }
    assert_eq!(troubles.len(), 1, "{troubles:?} by one fault: {said:?}");
    // A connection that is already closing for another reason keeps that reason.
    let wrong = peers[3].trouble.is_some().then_some("closed: too_long");
    let is_told = |line: &String| {
        REASONS
            .iter()
            .chain(&wrong)
            .any(|reason| line.contains(reason))
    };
    assert!(
        said.iter().any(is_told),
        "{troubles:?}, and nothing says why: {said:?}"
    );
    Outcome::Ended
}
