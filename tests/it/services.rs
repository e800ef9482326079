//! Services on the machine without a kernel, where room is short: what only they ask of it.

use mynah::connection::Want;
use mynah::framing::{Framing, Raw};
use mynah::service::{Discard, Robot};

use crate::talk::{Talk, framing, hex};

const RAW: Framing = Framing::Raw(Raw);
#[test]
fn a_wordless_goodbye_sends_not_even_an_empty_frame() {
    let mut talk = Talk::new(framing("u16be", 64), Robot, 64, 64);
    talk.with(|connection, workspace, protocol| connection.begin(workspace, protocol));
    talk.writes(usize::MAX);
    talk.reads(&hex("0004 65786974 0001 30"));
    assert_eq!(talk.wants(), Want::Shutdown);
    assert_eq!(talk.answer[..2], hex("0032"));
    assert_eq!(talk.answer.len(), 52);
}

#[test]
fn discard_keeps_nothing_and_owes_nothing_whatever_the_framing() {
    for (framing, bytes) in [
        (RAW, b"hello".as_slice()),
        (framing("u16be", 64), b"\0\x02ab\0\0\0\x01c"),
        (framing("line", 64), b"ab\n\nc\r\n"),
    ] {
        let mut talk = Talk::new(framing, Discard, 64, 0);
        talk.reads(bytes);
        assert_eq!((talk.wants(), talk.holds_nothing()), (Want::Read, true));
    }
}
