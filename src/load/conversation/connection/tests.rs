//! Conversations without a socket: which bytes are sent, and which replies are accepted.

use super::*;
use crate::base::random::Random;
use crate::protocol::framing::Framing;

fn script(spec: &str, least: usize, most: usize) -> Script {
    Script::echo(&Framing::parse(spec).expect("known"), least, most, 8).expect("fits")
}

/// `answers` replies without an error.
fn good(answers: u32) -> (u32, Option<Wrong>) {
    (answers, None)
}

/// `answers` replies, and an error after them.
fn but(answers: u32, wrong: Wrong) -> (u32, Option<Wrong>) {
    (answers, Some(wrong))
}

/// The replies and the error in `bytes`.
fn heard(
    connection: &mut Connection,
    script: &Script,
    bytes: &[u8],
    verify: bool,
) -> (u32, Option<Wrong>) {
    let heard = connection.received(script, bytes, verify);
    (heard.answers, heard.wrong)
}

fn fresh(script: &Script, voice: u64) -> Connection {
    let mut connection = Connection::new(Speech::Stream, &FirstPage::default());
    connection.reset(script, voice);
    connection
}

#[test]
fn an_echo_in_any_pieces_is_accepted_and_counted() {
    let mut random = Random::new(5);
    for (spec, least, most) in [
        ("raw", 1, 1),
        ("raw", 64, 64),
        ("u32be", 0, 900),
        ("u16le", 7, 7),
    ] {
        let script = script(spec, least, most);
        let mut connection = fresh(&script, 3);
        let (mut wire, mut answers) = (Vec::new(), 0);
        while connection.answered() < 2000 {
            if connection.in_flight() < 8 {
                connection.begin(&script);
            }
            let outgoing = connection.outgoing(&script);
            let written = random.below(outgoing.len() as u64 + 1) as usize;
            wire.extend_from_slice(&outgoing[..written]);
            connection.sent(&script, written);
            let read = random.below(wire.len() as u64 + 1) as usize;
            let bytes: Vec<u8> = wire.drain(..read).collect();
            if !bytes.is_empty() {
                let (got, wrong) = heard(&mut connection, &script, &bytes, true);
                assert_eq!(wrong, None, "a true echo");
                answers += u64::from(got);
            }
            assert_eq!(answers, connection.answered());
        }
    }
}

#[test]
fn one_wrong_byte_is_found_and_named() {
    let script = script("raw", 10, 10);
    let mut connection = fresh(&script, 0);
    (0..3).for_each(|_| connection.begin(&script));
    let mut bytes = connection.outgoing(&script).to_vec();
    connection.sent(&script, bytes.len());
    assert_eq!(heard(&mut connection, &script, &bytes[..4], true), good(0));
    bytes[23] ^= 1;
    let (found, expected) = (bytes[23], bytes[23] ^ 1);
    let wrong = Wrong::Byte {
        request: 3,
        offset: 3,
        expected,
        found,
        hint: None,
    };
    let got = heard(&mut connection, &script, &bytes[4..], true);
    assert_eq!(got, but(2, wrong));
    assert_eq!((connection.answered(), connection.in_flight()), (2, 1));
    let mut careless = fresh(&script, 0);
    (0..3).for_each(|_| careless.begin(&script));
    careless.sent(&script, bytes.len());
    assert_eq!(heard(&mut careless, &script, &bytes, false), good(3));
}

#[test]
fn another_connections_reply_is_not_taken_for_ones_own() {
    let script = script("raw", 64, 64);
    let (mut one, mut other) = (fresh(&script, 0), fresh(&script, 1));
    one.begin(&script);
    other.begin(&script);
    let theirs = other.outgoing(&script).to_vec();
    one.sent(&script, 64);
    assert!(matches!(
        one.received(&script, &theirs, true).wrong,
        Some(Wrong::Byte { request: 1, .. })
    ));
}

#[test]
fn a_datagram_that_comes_again_is_late_however_many_others_overtook_it() {
    let script = script("raw", 64, 64);
    for (behind, is_late) in [(1, true), (SETTLED_KNOWN, true), (SETTLED_KNOWN + 1, false)] {
        let mut connection = Connection::new(Speech::Datagrams, &FirstPage::default());
        connection.reset(&script, 0);
        let mut say = |is_answered: bool| {
            connection.begin(&script);
            let bytes = connection.outgoing(&script).to_vec();
            connection.sent(&script, bytes.len());
            if is_answered {
                assert_eq!(heard(&mut connection, &script, &bytes, true), good(1));
            }
            bytes
        };
        let first = say(true);
        (1..behind).for_each(|_| drop(say(true)));
        say(false);
        let got = heard(&mut connection, &script, &first, true);
        assert_eq!(got == good(0), is_late, "{behind}: {got:?}");
    }
}

#[test]
fn a_lost_datagram_is_given_up_and_its_late_reply_passed_over() {
    let script = script("raw", 8, 8);
    let mut connection = Connection::new(Speech::Datagrams, &FirstPage::default());
    connection.reset(&script, 0);
    assert!(!connection.give_up(&script));
    let say = |connection: &mut Connection| {
        connection.begin(&script);
        let bytes = connection.outgoing(&script).to_vec();
        connection.sent(&script, bytes.len());
        bytes
    };
    let lost = say(&mut connection);
    assert!(connection.give_up(&script));
    assert_eq!((connection.answered(), connection.in_flight()), (1, 0));
    assert_eq!(heard(&mut connection, &script, &lost, true), good(0));
    let next = say(&mut connection);
    assert_eq!(heard(&mut connection, &script, &lost, true), good(0));
    assert_eq!(heard(&mut connection, &script, &next, true), good(1));
    // The same reply again is late: no request waits for it.
    assert_eq!(heard(&mut connection, &script, &next, true), good(0));
    let last = say(&mut connection);
    let size = Wrong::Size {
        expected: 8,
        found: 7,
    };
    assert_eq!(
        heard(&mut connection, &script, &last[..7], true),
        but(0, size)
    );
    let got = heard(&mut connection, &script, b"12345678", true);
    assert!(got.0 == 0 && got.1.is_some(), "{got:?}");
}

#[test]
fn the_last_reply_asked_for_is_wrong_with_more_behind_it() {
    let page = b"HTTP/1.1 204 No Content\r\n\r\n";
    let script = Script::same(b"GET / HTTP/1.1\r\n\r\n", 4);
    for surplus in [page.repeat(4), page.to_vec(), page[..1].to_vec()] {
        let mut connection = Connection::new(Speech::Http, &FirstPage::default());
        connection.reset(&script, 0);
        (0..4).for_each(|_| connection.begin(&script));
        let bytes = [page.repeat(4), surplus].concat();
        let got = heard(&mut connection, &script, &bytes, true);
        assert_eq!(got, but(3, Wrong::Surplus));
        assert_eq!((connection.answered(), connection.in_flight()), (3, 1));
    }
}

#[test]
fn a_reply_to_no_request_is_surplus_at_its_first_byte() {
    let script = Script::same(b"GET / HTTP/1.1\r\n\r\n", 1);
    let mut connection = Connection::new(Speech::Http, &FirstPage::default());
    connection.reset(&script, 0);
    assert_eq!(
        heard(&mut connection, &script, b"H", true),
        but(0, Wrong::Surplus)
    );
}

#[test]
fn an_echo_with_more_behind_it_is_a_wrong_reply() {
    for verify in [true, false] {
        let script = script("raw", 4, 4);
        let mut connection = fresh(&script, 0);
        (0..2).for_each(|_| connection.begin(&script));
        let bytes = script.slice(0, 9).to_vec();
        connection.sent(&script, 8);
        let got = heard(&mut connection, &script, &bytes, verify);
        assert_eq!(got, but(1, Wrong::Surplus));
        assert_eq!((connection.answered(), connection.in_flight()), (1, 1));
    }
}
