//! The header of a load balancer: what it is does not depend on how its bytes come, and what is
//! behind it is answered as if it had come alone.
//!
//! The first byte of an input chooses what is expected and how large the reads are.

use mynah::limits::{PROXY_HEADER_MAX, PROXY_LINE_MAX};
use mynah::protocol::connection::{
    Budget, Connection, Cursors, Expects, Heading, Protocol, Want, Workspace,
};
use mynah::protocol::framing::{Framing, OnTooLong, Raw};
use mynah::protocol::front::proxy::{Parsed, Source, parse};
use mynah::protocol::service::Echo;

/// What a connection has made of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    heading: Heading,
    answer: Vec<u8>,
}

/// Runs one input.
pub fn play(data: &[u8]) {
    let Some((order, stream)) = data.split_first() else {
        return;
    };
    let decided = judge(stream);
    let expects = [
        Expects::Maybe,
        Expects::Header,
        Expects::Never,
        Expects::Data,
    ][usize::from(order % 4)];
    let whole = converse(expects, stream, usize::MAX);
    let pieces = converse(expects, stream, usize::from(order >> 3) + 1);
    assert_eq!(whole, pieces, "{expects:?} {stream:02x?}");
    let behind = match (expects, decided) {
        (Expects::Data, _) => Some(stream),
        (Expects::Never, _) | (_, Parsed::Wrong(_)) => None,
        (_, Parsed::Header { size, .. }) => Some(&stream[size..]),
        (Expects::Maybe, Parsed::Absent) => Some(stream),
        (Expects::Maybe, Parsed::Incomplete) => whole_if_undecided(stream),
        (Expects::Header, _) => None,
    };
    assert_eq!(whole.answer, behind.unwrap_or_default());
    let is_taken = matches!(whole.heading, Heading::Taken(_));
    assert_eq!(is_taken, behind.is_some(), "{whole:?}");
    match (whole.heading, decided) {
        (Heading::Taken(source), _) if expects == Expects::Data => {
            assert_eq!(source, Source::Peer);
        }
        (Heading::Taken(source), Parsed::Header { source: parsed, .. }) => {
            assert_eq!(source, parsed);
        }
        _ => {}
    }
}

/// A stream that ends inside a signature is data.
fn whole_if_undecided(stream: &[u8]) -> Option<&[u8]> {
    mynah::protocol::front::proxy::is_undecided(stream).then_some(stream)
}

/// Parses every prefix: what is decided stays so.
fn judge(stream: &[u8]) -> Parsed {
    let mut decided = Parsed::Incomplete;
    for end in 0..=stream.len() {
        let parsed = parse(&stream[..end]);
        match (decided, parsed) {
            (Parsed::Incomplete, _) => decided = parsed,
            (Parsed::Wrong(_), Parsed::Wrong(_)) => {}
            _ => assert_eq!(parsed, decided, "{end} of {stream:02x?}"),
        }
        if let Parsed::Header { size, source } = parsed {
            assert!(size <= end && size <= PROXY_HEADER_MAX.max(PROXY_LINE_MAX));
            if let Source::Local(name) = source {
                assert!(name.as_bytes().len() <= 108);
            }
        }
        if parsed == Parsed::Incomplete {
            assert!(end < PROXY_HEADER_MAX, "it may go on for ever");
        }
    }
    decided
}

/// An echo that reads at most `most` bytes at once, to the end of the stream.
fn converse(expects: Expects, stream: &[u8], most: usize) -> Outcome {
    let mut protocol = Protocol {
        framing: Framing::Raw(Raw),
        on_too_long: OnTooLong::Close,
        service: Echo,
    };
    let mut connection = Connection::new(&protocol.service);
    connection.expect_header(expects);
    let mut memory = vec![0; PROXY_HEADER_MAX.max(stream.len())];
    let mut at = Cursors::default();
    let (mut came, mut heading, mut answer) = (0, Heading::Incomplete, Vec::new());
    loop {
        let mut workspace = Workspace::new(&mut memory, &mut [], at);
        let budget = &mut Budget::new(u64::MAX);
        let rest = &stream[came..];
        match connection.wants(workspace.owes()) {
            Want::Header | Want::Read if rest.is_empty() => {
                connection.ended(&mut workspace, &mut protocol);
            }
            want @ (Want::Header | Want::Read) => {
                let spare = workspace.inbound.spare();
                assert!(!spare.is_empty(), "a read into no space");
                let count = most.min(spare.len()).min(rest.len());
                spare[..count].copy_from_slice(&rest[..count]);
                came += count;
                match want {
                    Want::Header => connection.header_received(count, &mut workspace),
                    _ => {
                        _ = connection.received(count, &mut workspace, &mut protocol, budget);
                    }
                }
            }
            Want::Write => {
                let owed = workspace.owed().to_vec();
                answer.extend_from_slice(&owed);
                _ = connection.sent(owed.len(), &mut workspace, &mut protocol, budget);
            }
            Want::Resume => _ = connection.resume(&mut workspace, &mut protocol, budget),
            Want::Shutdown => connection.finished(),
            // A refused header leaves nothing behind.
            Want::Discard | Want::Close => return Outcome { heading, answer },
            Want::Await => panic!("an echo awaits nothing"),
        }
        if connection.expects_header() {
            heading = connection.take_header(&mut workspace);
            if let Heading::Taken(_) = heading {
                _ = connection.open(&mut workspace, &mut protocol, budget);
            }
        }
        at = workspace.cursors();
    }
}
