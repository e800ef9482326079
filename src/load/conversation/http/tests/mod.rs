//! Whole replies, and replies in pieces.

mod bounds;
mod last;

use super::*;
use crate::base::random::Random;

/// The number of replies, or the first error.
trait Told {
    fn told(self) -> Result<u32, HttpError>;
}

impl Told for Heard {
    fn told(self) -> Result<u32, HttpError> {
        match self.wrong {
            None => Ok(self.answers),
            Some(Wrong::Http(error)) => Err(error),
            Some(other) => panic!("{other:?} is not about a reply"),
        }
    }
}

const TWO: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH:  12 \r\n\
    X-Long: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n\
    Hello, WorldHTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn replies_are_counted_in_any_pieces() {
    for piece in 1..=TWO.len() {
        let mut replies = Replies::new(&FirstPage::default());
        let counts = TWO
            .chunks(piece)
            .map(|bytes| replies.received(bytes, false).told().expect("well-formed"));
        assert_eq!(counts.sum::<u32>(), 2, "in pieces of {piece}");
    }
}

fn hear(bytes: &[u8]) -> Result<u32, HttpError> {
    Replies::new(&FirstPage::default())
        .received(bytes, true)
        .told()
}

/// The body of each reply in `CHUNKED`.
const BODY: &str = "Hello, World, and all who live in it";
const CHUNKED: &[&str] = &[
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
     24\r\nHello, World, and all who live in it\r\n0\r\n\r\n",
    "HTTP/1.1 200\r\ntransfer-ENCODING:Chunked \r\nContent-Length: 3\r\n\r\n\
     0000000000000000000000000000000000000000000000000000000000000007\r\nHello, \r\n\
     1d ; a=\"b;c\"\t;d\r\nWorld, and all who live in it\r\n\
     0000\r\nX-Sum: 5\r\nTransfer-Encoding: gzip\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: x\nTransfer-Encoding: chunked\n\n\
     1\t\r\nH\r\n01;\r\ne\r\n1C  \r\nllo, World, and all who live\r\n\
     6;0123456789012345678901234567890123456789012345678901234567890123\r\n in it\r\n0\r\n\r\n",
];

#[test]
fn a_chunked_body_is_the_same_page_however_it_is_chunked_and_cut() {
    let first = FirstPage::default();
    let plain = page(200, BODY);
    assert_eq!(Replies::new(&first).received(&plain, true).told(), Ok(1));
    for reply in CHUNKED {
        // A second reply after the first shows that no byte is left over.
        let bytes = [reply.as_bytes(), &plain].concat();
        for piece in 1..=bytes.len() {
            let mut replies = Replies::new(&first);
            let counts = bytes
                .chunks(piece)
                .map(|bytes| replies.received(bytes, true).told().expect(reply));
            assert_eq!(counts.sum::<u32>(), 2, "{reply} in pieces of {piece}");
        }
        for cut in 0..=bytes.len() {
            let (front, back) = bytes.split_at(cut);
            let mut replies = Replies::new(&first);
            let counts =
                [front, back].map(|bytes| replies.received(bytes, true).told().expect(reply));
            assert_eq!(counts.iter().sum::<u32>(), 2, "{reply} cut at {cut}");
        }
    }
    let other = CHUNKED[0].replace("World", "Mars!");
    let wrong = Replies::new(&first).received(other.as_bytes(), true).told();
    assert!(matches!(wrong, Err(HttpError::Other { .. })), "{wrong:?}");
}

#[test]
fn what_is_wrong_with_a_chunk_is_named_whatever_the_cuts() {
    let long = "f".repeat(17);
    let cases: &[(&str, &str)] = &[
        ("\r\n", "a chunk size with 0x0d"),
        (";a\r\n", "a chunk size with 0x3b"),
        ("g\r\n", "a chunk size with 0x67"),
        ("0x5\r\n", "a chunk size with 0x78"),
        ("-5\r\n", "a chunk size with 0x2d"),
        (" 5\r\n", "a chunk size with 0x20"),
        ("5 5\r\n", "a chunk size with 0x35"),
        (&long, "does not fit 64 bits"),
        ("10000000000000000\r\n", "does not fit 64 bits"),
        ("5\nhello", "0x0a where CR LF must end the line"),
        ("5;a\nhello", "0x0a where CR LF must end the line"),
        ("5\rhello", "0x68 where CR LF must end the line"),
        ("5\r\nhello5\r\n", "0x35 where CR LF must end a chunk"),
        ("5\r\nhello\n", "0x0a where CR LF must end a chunk"),
        ("5\r\nhello\r0", "0x30 where CR LF must end a chunk"),
        ("5\r\nhello, World\r\n", "0x2c where CR LF must end a chunk"),
    ];
    for (chunks, told) in cases {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = [head, chunks].concat();
        for piece in 1..=bytes.len() {
            let mut replies = Replies::new(&FirstPage::default());
            let mut pieces = bytes.as_bytes().chunks(piece);
            let wrong = pieces.find_map(|bytes| replies.received(bytes, true).told().err());
            let text = wrong.map(|wrong| Wrong::Http(wrong).to_string());
            let text = text.expect(chunks);
            assert!(
                text.contains(told) && !text.contains('\n'),
                "{chunks}: {text}"
            );
        }
    }
    let most = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx";
    assert_eq!(hear(most.as_bytes()), Ok(0));
}

#[test]
fn what_cannot_be_followed_is_named() {
    let status = |status| HttpError::Status(status);
    let cases: &[(&str, HttpError)] = &[
        ("hello\n", HttpError::NotHttp),
        ("HTTP/2 200\r\n", HttpError::NotHttp),
        ("HTTP/1.x 200 OK\r\n", HttpError::NotHttp),
        ("HTTP/1.1 2000 OK\r\n", HttpError::NotHttp),
        ("HTTP/1.1 20\r\n", HttpError::NotHttp),
        ("HTTP/1.1 101 Switching Protocols\r\n", status(101)),
        ("HTTP/1.1 099 ?\r\n", status(99)),
    ];
    for (bytes, error) in cases {
        assert_eq!(hear(bytes.as_bytes()), Err(*error), "{bytes}");
    }
    let cases: &[(&str, HttpError)] = &[
        ("Content-Length: 1x\r\n\r\n", HttpError::BadLength),
        ("Content-Length: +1\r\n\r\n", HttpError::BadLength),
        ("Content-Length:\r\n\r\n", HttpError::BadLength),
        (
            "Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
            HttpError::BadLength,
        ),
        ("Content-Length: 2, 3\r\n\r\n", HttpError::BadLength),
        (
            "Content-Length: 18446744073709551616\r\n\r\n",
            HttpError::BadLength,
        ),
        ("Content-Length : 2\r\n", HttpError::FieldName),
        ("Transfer-Encoding\t: chunked\r\n", HttpError::FieldName),
        ("connection : close\r\n", HttpError::FieldName),
        ("Transfer-Encoding: gzip, chunked\r\n", HttpError::Coding),
        ("Transfer-Encoding: identity\r\n", HttpError::Coding),
        ("Transfer-Encoding:\r\n", HttpError::Coding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            HttpError::Coding,
        ),
    ];
    for (fields, error) in cases {
        let bytes = ["HTTP/1.1 200 OK\r\n", fields].concat();
        assert_eq!(hear(bytes.as_bytes()), Err(*error), "{fields}");
    }
}

#[test]
fn what_does_not_fit_the_space_for_lines_is_not_taken_for_what_does() {
    for size in [LINE_MAX - 1, LINE_MAX, LINE_MAX + 1] {
        let zeros = "0".repeat(size - "Content-Length: 2\r".len());
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {zeros}2\r\n\r\nab");
        let expected = match size {
            ..=LINE_MAX => Ok(1),
            _ => Err(HttpError::BadLength),
        };
        assert_eq!(hear(bytes.as_bytes()), expected, "{size}");
    }
}

/// Feeds `bytes` in pieces of up to `most` bytes. Returns the number of replies and the state after
/// them, or the error.
fn outcome(bytes: &[u8], most: u64, random: &mut Random) -> Result<(u32, bool, u32), HttpError> {
    let mut replies = Replies::new(&FirstPage::default());
    let (mut rest, mut count) = (bytes, 0);
    while !rest.is_empty() {
        let size = (random.below(most) as usize + 1).min(rest.len());
        let heard = replies.received(&rest[..size], true);
        let taken = if replies.is_over() { size } else { heard.taken };
        count += heard.told()?;
        rest = &rest[taken..];
    }
    let last = replies.connection_ended(true).told()?;
    Ok((count, replies.is_over(), last))
}

#[test]
fn whatever_chance_makes_of_replies_reads_the_same_in_any_pieces() {
    let mut random = Random::new(9112);
    let plain = page(200, BODY);
    for round in 0..4000 {
        let chunked = CHUNKED[round % CHUNKED.len()].as_bytes();
        let mut bytes = [chunked, &plain, TWO, chunked].concat();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = b"\r\n 0;9:xH"[random.below(9) as usize];
        }
        let whole = outcome(&bytes, u64::MAX >> 1, &mut random);
        for most in [1, 3, 40] {
            let cut = outcome(&bytes, most, &mut random);
            assert_eq!(cut, whole, "{}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn a_length_that_is_said_again_is_one_length() {
    for fields in [
        "Content-Length: 2\r\ncontent-length:2",
        "Content-Length: 2 , 2",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nab").repeat(2);
        assert_eq!(hear(bytes.as_bytes()), Ok(2), "{fields}");
    }
}

#[test]
fn interim_replies_are_passed_over_with_what_they_say() {
    let bytes = "HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 7\r\nConnection: close\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
    for piece in 1..=bytes.len() {
        let mut replies = Replies::new(&FirstPage::default());
        let counts = bytes
            .as_bytes()
            .chunks(piece)
            .map(|bytes| replies.received(bytes, true).told().expect("well-formed"));
        assert_eq!(counts.sum::<u32>(), 1, "in pieces of {piece}");
        assert!(!replies.is_over());
    }
}

#[test]
fn a_field_whose_name_begins_like_another_is_another() {
    let fields = "Content-Length-X: 9\r\nContent-Length X: 9\r\nConnection\r\n";
    let bytes = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nab");
    assert_eq!(hear(bytes.as_bytes()), Ok(1));
}

#[test]
fn a_status_without_a_body_has_none_whatever_the_head_says() {
    for fields in [
        "",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let bytes = format!("HTTP/1.1 204 No Content\r\n{fields}\r\n").repeat(3);
        assert_eq!(hear(bytes.as_bytes()), Ok(3), "{fields}");
    }
}

#[test]
fn a_line_of_blanks_ends_no_head() {
    let blanks = " ".repeat(2 * LINE_MAX);
    let bytes = format!("HTTP/1.1 200 OK\r\n \r\n{blanks}\r\nContent-Length: 2\r\n\r\nab");
    assert_eq!(hear(bytes.as_bytes()), Ok(1));
}

fn page(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[test]
fn every_reply_must_be_what_the_first_one_of_all_connections_was() {
    let first = FirstPage::default();
    let good = page(200, "Hello, World, and all who live in it");
    let mut replies = Replies::new(&first);
    assert_eq!(replies.received(&good.repeat(3), true).told(), Ok(3));
    for (bytes, told) in [
        (
            page(200, "Hello, World, and all who live in is"),
            "not the first one's",
        ),
        (page(200, "Hello, World"), "12 bytes, the first one had 36"),
    ] {
        for piece in [1, 7, bytes.len()] {
            let mut other = Replies::new(&first);
            let heard: Vec<_> = bytes
                .chunks(piece)
                .map(|bytes| other.received(bytes, true).told())
                .collect();
            let wrong = heard.last().and_then(|last| last.err());
            let text = wrong.map(|wrong| Wrong::Http(wrong).to_string());
            assert!(text.is_some_and(|text| text.contains(told)), "{told}");
        }
        assert_eq!(Replies::new(&first).received(&bytes, false).told(), Ok(1));
    }
}

#[test]
fn what_does_not_begin_as_http_is_not_waited_for() {
    for bytes in [
        &b"<html>"[..],
        b"HTTP/2",
        b"\x15\x03\x01\x00\x02",
        b"H\0",
        b"GET / HTTP/1.1",
    ] {
        assert_eq!(hear(bytes), Err(HttpError::NotHttp), "{bytes:?}");
    }
    for size in 0..="HTTP/1.1 200".len() {
        assert_eq!(hear(&b"HTTP/1.1 200"[..size]), Ok(0));
    }
}

#[test]
fn good_replies_count_before_what_is_wrong_behind_them() {
    let mut replies = Replies::new(&FirstPage::default());
    let heard = replies.received(b"HTTP/1.1 204 a\r\n\r\nHTTP/1.1 204 b\r\n\r\nx", true);
    let wrong = Some(Wrong::Http(HttpError::NotHttp));
    assert_eq!((heard.answers, heard.wrong), (2, wrong));
    let first = page(200, BODY);
    let other = page(200, "Hello, Mars!");
    let heard = Replies::new(&FirstPage::default()).received(&[first, other].concat(), true);
    assert!(heard.answers == 1 && heard.wrong.is_some(), "{heard:?}");
}

/// The statuses of all replies in `bytes`, in pieces of `size`.
fn statuses(bytes: &[u8], size: usize) -> Vec<u16> {
    let mut replies = Replies::new(&FirstPage::default());
    let mut seen = Vec::new();
    for mut piece in bytes.chunks(size) {
        while !piece.is_empty() {
            let heard = replies.received(piece, true);
            assert_eq!(heard.wrong, None);
            for index in 1..=heard.answers {
                let is_last = index == heard.answers;
                seen.push(if is_last { heard.last } else { heard.status });
            }
            piece = &piece[heard.taken..];
        }
    }
    seen
}

#[test]
fn replies_of_any_status_are_answers_and_each_is_told() {
    let bytes = [
        page(200, "good"),
        page(200, "good"),
        page(503, "bad"),
        page(404, "no"),
        page(404, "nothing"),
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n".to_vec(),
        b"HTTP/1.1 199 ?\r\n\r\nHTTP/1.1 300 ?\r\nContent-Length: 0\r\n\r\n".to_vec(),
        page(200, "good"),
    ]
    .concat();
    for size in 1..=bytes.len() {
        let expected = [200, 200, 503, 404, 404, 304, 300, 200];
        assert_eq!(statuses(&bytes, size), expected, "in pieces of {size}");
    }
}

#[test]
fn a_page_of_another_status_or_of_an_error_is_not_compared() {
    let first = FirstPage::default();
    assert_eq!(
        Replies::new(&first).received(&page(200, "a"), true).told(),
        Ok(1)
    );
    for (status, body) in [(203, "a"), (203, "b"), (500, "b"), (301, "c")] {
        let heard = Replies::new(&first).received(&page(status, body), true);
        assert_eq!(heard.told(), Ok(1), "{status}");
    }
    let heard = Replies::new(&first).received(&page(200, "b"), true);
    assert!(heard.told().is_err());
}

#[test]
fn each_url_has_its_own_first_page() {
    let first = FirstPage::new(2);
    let mut replies = Replies::new(&first);
    let bytes = [
        page(200, "a"),
        page(200, "b"),
        page(200, "a"),
        page(200, "b"),
    ]
    .concat();
    assert_eq!(replies.received(&bytes, true).told(), Ok(4));
    replies.restart(1);
    assert_eq!(replies.received(&page(200, "b"), true).told(), Ok(1));
    assert!(replies.received(&page(200, "b"), true).told().is_err());
}

#[test]
fn a_reply_to_head_has_no_body() {
    let mut replies = Replies::new(&FirstPage::default()).without_bodies();
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".repeat(2);
    assert_eq!(replies.received(&bytes, true).told(), Ok(2));
}

#[test]
fn a_408_ends_an_idle_connection_and_answers_a_first_request() {
    let late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    let mut fresh = Replies::new(&FirstPage::default());
    assert_eq!(fresh.received(late, true).told(), Ok(1));
    let end = Err(HttpError::Status(REQUEST_TIMEOUT));
    assert_eq!(fresh.received(late, true).told(), end);
    let mut idle = Replies::new(&FirstPage::default());
    idle.ask(false);
    assert_eq!(idle.received(late, true).told(), end);
}
