//! Requests to the HTTP service, and its answers.

mod fields;
mod refusals;
mod request_line;

use super::*;
use crate::limits::{HTTP_CHUNK_LINE_MAX, HTTP_REQUEST_LINE_MAX};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A peer's conversation with the service, as the connection would carry it.
#[derive(Default)]
struct Exchange {
    http: Http,
    conversation: Conversation,
    held: Vec<u8>,
    said: String,
    end: Option<Answer>,
}

impl Exchange {
    fn hear(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        while self.end.is_none() && !self.held.is_empty() {
            let mut space = vec![0; self.http.reply_max(self.held.len())];
            let mut reply = Reply::new(&mut space);
            let request = Request {
                payload: &mut self.held,
                whole: false,
            };
            let answer = self.http.serve(&mut self.conversation, request, &mut reply);
            let filled = reply.filled();
            self.said += std::str::from_utf8(&space[..filled]).unwrap();
            match answer {
                Answer::Part(0) => return,
                Answer::Part(taken) => drop(self.held.drain(..taken)),
                end => self.end = Some(end),
            }
        }
    }
}

/// The answers to `bytes` in one piece, and how they end. Byte by byte must give the same.
fn talk(bytes: impl AsRef<[u8]>) -> (String, Option<Answer>) {
    let (mut whole, mut single) = (Exchange::default(), Exchange::default());
    whole.hear(bytes.as_ref());
    bytes.as_ref().chunks(1).for_each(|byte| single.hear(byte));
    // A peer that sends slowly also gets `100 Continue`.
    assert_eq!(whole.said, single.said.replace(CONTINUE, ""));
    assert_eq!(whole.end, single.end);
    (whole.said, whole.end)
}

/// The status lines of the answers to `bytes`.
fn statuses(bytes: impl AsRef<[u8]>) -> Vec<String> {
    let (said, _) = talk(bytes);
    let lines = said.split("HTTP/1.1 ").skip(1);
    lines.map(|reply| reply[..3].to_owned()).collect()
}

/// The status of the answer to `request`, and whether a request after it is answered too.
fn status_of(request: &[u8]) -> (String, bool) {
    let (said, end) = talk([request, GET.as_bytes()].concat());
    let goes_on = end.is_none();
    let said = match goes_on {
        true => said.strip_suffix(HELLO).expect("an answer to what follows"),
        false => &said,
    };
    let shown = request.escape_ascii();
    assert_eq!(said.matches("\r\nServer: ").count(), 1, "{shown}: {said}");
    let says_close = said.contains("\r\nConnection: close\r\n");
    assert_eq!(says_close, !goes_on, "{shown}: {said}");
    let status = said.strip_prefix("HTTP/1.1 ").expect("a status line");
    (status[..3].to_owned(), goes_on)
}

/// Checks rows of a request, the status of its answer, and whether the connection continues.
fn check_rows(rows: &[(&str, &str, bool)]) {
    for (request, status, goes_on) in rows {
        let (found, on) = status_of(request.as_bytes());
        assert_eq!((&found[..], on), (*status, *goes_on), "{request:?}");
    }
}

#[test]
fn a_request_gets_its_twelve_bytes() {
    assert_eq!(talk(GET), (HELLO.to_owned(), None));
    assert_eq!(HELLO.len() - BODY_AT, 12);
    assert!(HELLO.len() + "Connection: keep-alive\r\n".len() <= REPLY_MAX);
}

#[test]
fn a_head_request_gets_all_but_the_body() {
    let (said, _) = talk(GET.replace("GET", "HEAD"));
    assert_eq!(said, HELLO.strip_suffix("Hello, World").unwrap());
}

#[test]
fn the_date_is_that_of_the_last_tick() {
    let mut talk = Exchange::default();
    talk.http.tick(1_735_689_599);
    talk.hear(GET.as_bytes());
    assert_eq!(
        talk.said.lines().nth(2),
        Some("Date: Tue, 31 Dec 2024 23:59:59 GMT")
    );
}

#[test]
fn the_version_and_the_connection_field_tell_whether_it_goes_on() {
    let get = |version: &str, fields: &str| {
        talk(format!(
            "GET / HTTP/{version}\r\nHost: x\r\n{fields}\r\n{GET}"
        ))
    };
    for (version, fields, says, goes_on) in [
        ("1.1", "", "", true),
        ("1.1", "Connection: keep-alive\r\n", "", true),
        ("1.1", "connection: foo, CLOSE\r\n", "close", false),
        (
            "1.1",
            "Connection: close\r\nConnection: keep-alive\r\n",
            "close",
            false,
        ),
        ("1.9", "", "", true),
        ("1.0", "", "close", false),
        ("1.0", "Connection: Keep-Alive\r\n", "keep-alive", true),
    ] {
        let (said, end) = get(version, fields);
        assert_eq!(
            end,
            (!goes_on).then_some(Answer::Goodbye),
            "{version} {fields}"
        );
        let replies: Vec<&str> = said.split("Hello, World").collect();
        assert_eq!(
            replies.len(),
            if goes_on { 3 } else { 2 },
            "{version} {fields}"
        );
        let found = replies[0]
            .lines()
            .find_map(|line| line.strip_prefix("Connection: "));
        assert_eq!(found.unwrap_or(""), says, "{version} {fields}");
    }
    assert_eq!(statuses("GET / HTTP/1.0\r\n\r\n"), ["200"]);
}

#[test]
fn bodies_are_dropped_and_the_next_request_is_found() {
    for request in [
        format!("{POST}Content-Length: 5\r\n\r\nGET /"),
        format!("{POST}Content-Length: 0\r\n\r\n"),
        format!("{CHUNKED}5\r\nGET /\r\nA;name=\"value\"\r\n0123456789\r\n00\r\n\r\n"),
        format!("{CHUNKED}5 ;a\r\nGET /\r\n1\t; b = \"c\"\r\n0\r\n0 \t;d\r\n\r\n"),
        format!("{CHUNKED}0\r\nExpires: never\r\nContent-Length: 7\r\n\r\n"),
        "PUT http://x/y HTTP/1.1\r\nhOST:\r\nTRANSFER-encoding: Chunked\r\n\r\n0\r\n\r\n"
            .to_owned(),
        "GET HTTPS://x:8?y HTTP/1.1\r\nHost: x,y:80\r\n\r\n".to_owned(),
        "HEAD http://[::1]:8 HTTP/1.1\r\nHost: [v1.x]:\r\n\r\n".to_owned(),
        "\r\n\r\nGET /?q HTTP/1.1\r\nHost: [::1]:80\r\nX: \ta\tb \r\nY:\r\n\r\n".to_owned(),
    ] {
        assert_eq!(
            statuses(format!("{request}{request}{GET}")),
            ["200"; 3],
            "{request}"
        );
    }
}

#[test]
fn any_pair_of_cuts_gives_the_same_answers() {
    let stream = format!(
        "{GET}{POST}Content-Length: 3\r\n\r\nabc{CHUNKED}3\r\nabc\r\n0\r\n\r\nHEAD / HTTP/1.1\r\n\
         Host: x\r\nConnection: close\r\n\r\n{GET}"
    );
    let (whole, end) = talk(&stream);
    assert_eq!(end, Some(Answer::Goodbye));
    let stream = stream.as_bytes();
    for first in 0..stream.len() {
        for second in first..stream.len() {
            let mut talk = Exchange::default();
            talk.hear(&stream[..first]);
            talk.hear(&stream[first..second]);
            talk.hear(&stream[second..]);
            assert_eq!(talk.said, whole, "cut at {first} and {second}");
        }
    }
}

#[test]
fn every_limit_holds_at_its_bound_and_not_beyond() {
    let target = |line: usize| {
        let target = "x".repeat(line - "GET / HTTP/1.1".len());
        format!("GET /{target} HTTP/1.1\r\nHost:\r\n\r\n")
    };
    let head = |size: usize| {
        let (line, end) = ("GET / HTTP/1.1\r\nHost:\r\n", "\r\n\r\n");
        let value = "y".repeat(size - line.len() - "X:".len() - end.len());
        format!("{line}X:{value}{end}")
    };
    let trailer = |size: usize| {
        let value = "y".repeat(size - "X:".len() - "\r\n\r\n".len());
        format!("{CHUNKED}3\r\nabc\r\n0\r\nX:{value}\r\n\r\n")
    };
    let extension =
        |line: usize| format!("{CHUNKED}3;{}\r\nabc\r\n0\r\n\r\n", "e".repeat(line - 2));
    let length = |length: usize| {
        format!(
            "{POST}Content-Length: {length}\r\n\r\n{}",
            "b".repeat(length)
        )
    };
    let chunks = |length: usize| {
        let rest = length - 10;
        format!(
            "{CHUNKED}a\r\n0123456789\r\n{rest:x}\r\n{}\r\n0\r\n\r\n",
            "b".repeat(rest)
        )
    };
    let body_max = HTTP_BODY_MAX as usize;
    type Request<'a> = &'a dyn Fn(usize) -> String;
    let cases: [(Request<'_>, usize, &str); 6] = [
        (&target, HTTP_REQUEST_LINE_MAX, "414"),
        (&head, HTTP_HEAD_MAX, "431"),
        (&trailer, HTTP_HEAD_MAX, "431"),
        (&extension, HTTP_CHUNK_LINE_MAX, "400"),
        (&length, body_max, "413"),
        (&chunks, body_max, "413"),
    ];
    for (request, limit, status) in cases {
        for size in [limit - 1, limit] {
            let stream = request(size) + GET;
            assert_eq!(statuses(stream), ["200", "200"], "{status} at {size}");
        }
        let stream = request(limit + 1) + GET;
        assert_eq!(statuses(stream), [status], "{status} at {limit} + 1");
    }
}

#[test]
fn a_limit_does_not_wait_for_the_end_of_the_line() {
    let method = "x".repeat(HTTP_REQUEST_LINE_MAX);
    assert_eq!(talk(&method), (String::new(), None));
    assert_eq!(statuses(method.clone() + "x"), ["501"]);
    let line = "GET /".to_owned() + &method[5..];
    assert_eq!(talk(&line), (String::new(), None));
    assert_eq!(statuses(line + "x"), ["414"]);
    let head = format!("{POST}X: ");
    let fitting = "y".repeat(HTTP_HEAD_MAX - head.len() - "\r\n".len());
    assert_eq!(talk(format!("{head}{fitting}")), (String::new(), None));
    assert_eq!(statuses(format!("{head}{fitting}y")), ["431"]);
    assert_eq!(statuses(format!("{CHUNKED}{}", "1;".repeat(200))), ["400"]);
}

#[test]
fn an_awaited_100_continue_is_sent_once() {
    let expecting = format!("{POST}Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n");
    let mut talk = Exchange::default();
    talk.hear(expecting.as_bytes());
    assert_eq!(talk.said, CONTINUE);
    talk.hear(b"abc");
    assert_eq!(talk.said, format!("{CONTINUE}{HELLO}"));

    let twice = expecting.replace("Expect", "Expect: 100-continue\r\nExpect: more\r\nX");
    let mut talk = Exchange::default();
    talk.hear(twice.as_bytes());
    assert_eq!(talk.said, CONTINUE);

    // A peer does not wait if it sends the body at once, has no body or speaks HTTP/1.0.
    assert_eq!(statuses(format!("{expecting}abc")), ["200"]);
    let none = expecting.replace("Content-Length: 3\r\n", "");
    assert_eq!(statuses(none), ["200"]);
    let mut old = Exchange::default();
    old.hear(expecting.replace("HTTP/1.1", "HTTP/1.0").as_bytes());
    assert_eq!(old.said, "");

    // A peer whose body is too long learns so before it sends the body.
    assert_eq!(statuses(expecting.replace(": 3", ": 9999999")), ["413"]);
}

#[test]
fn answers_to_the_shortest_requests_fit_the_reserved_room() {
    let shortest = "GET / HTTP/1.1\r\nHost:\r\n\r\n";
    assert_eq!(shortest.len(), REQUEST_MIN);
    for count in [1, 2, 16, 1000] {
        assert_eq!(statuses(shortest.repeat(count) + "\0").len(), count + 1);
    }
    // A request that began earlier ends here: it got `100 Continue` and gets its answer.
    let mut talk = Exchange::default();
    talk.hear(format!("{POST}Content-Length: 1\r\nExpect: 100-continue\r\n").as_bytes());
    talk.hear(format!("\r\nb{}\0", shortest.repeat(3)).as_bytes());
    assert_eq!(talk.end, Some(Answer::Refused("a control byte")));
}
