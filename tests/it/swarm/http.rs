//! HTTP requests and the expected answers: an oracle that shares no code with the server.
//!
//! Well-formed requests with bodies of any bytes, some of them the last of their connection; and
//! requests that end the conversation with a refusal, up to the byte at which the error is certain.
//! No line is longer than [`LINE_MAX`], so that small buffers suffice. No request expects 100
//! (Continue) before its body, because that answer depends on the cuts. Dates are not known here:
//! [`ANY`] stands for each of their bytes.

use crate::sim::Dice;

/// Stands for a byte of a reply that may have any value. No reply contains this byte.
pub const ANY: u8 = 0xff;

/// The longest line, its line end included.
pub const LINE_MAX: usize = 64;

/// A request and its reply.
pub struct Exchange {
    pub request: Vec<u8>,
    pub reply: Vec<u8>,
    /// The server ends the conversation with this reply.
    pub is_last: bool,
}

/// A valid request.
pub fn exchange(dice: &mut Dice) -> Exchange {
    let method = ["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"][dice.below(7)];
    let target = ["/", "/a?b=c", "/%C3%A9", "http://x", "http://x:80/y"][dice.below(5)];
    let is_offered = !matches!(method, "DELETE" | "OPTIONS");
    let (version, connection, is_last) = match dice.below(20) {
        0 => ("1.1", "close", true),
        1 => ("1.0", "", true),
        2 | 3 => ("1.0", "Keep-Alive", false),
        4 => ("1.1", "keep-alive", false),
        _ => ("1.1", "", false),
    };
    let mut fields: Vec<Vec<u8>> = Vec::new();
    if version == "1.1" || dice.chance(0.5) {
        fields.push(["Host: x", "hOST:x:80", "Host:"][dice.below(3)].into());
    }
    if !connection.is_empty() {
        fields.push(format!("Connection: {connection}").into());
    }
    let mut body = Vec::new();
    match dice.below(4) {
        0 => {
            body = bytes(dice, 40);
            fields.push(format!("Content-Length: {}", body.len()).into());
        }
        1 if version == "1.1" => {
            fields.push("Transfer-Encoding: chunked".into());
            body = chunks(dice);
        }
        _ => {}
    }
    for _ in 0..dice.below(3) {
        let value = bytes(dice, 20).into_iter();
        let value: Vec<u8> = value
            .map(|byte| if byte & 0x7f < 32 { b'\t' } else { byte })
            .collect();
        let value = value
            .into_iter()
            .map(|byte| if byte == 127 { b' ' } else { byte });
        fields.push(b"X-Any:".iter().copied().chain(value).collect());
    }
    for last in (1..fields.len()).rev() {
        fields.swap(last, dice.below(last + 1));
    }
    let mut request = "\r\n".repeat(dice.below(10) / 8).into_bytes();
    request.extend(format!("{method} {target} HTTP/{version}\r\n").as_bytes());
    for field in fields {
        request.extend(field);
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    request.extend(body);
    let says = match (is_last, version) {
        (true, _) => "Connection: close\r\n",
        (false, "1.0") => "Connection: keep-alive\r\n",
        (false, _) => "",
    };
    let (status, fields) = match is_offered {
        true => (
            "200 OK",
            "Content-Type: text/plain\r\nContent-Length: 12\r\n",
        ),
        false => (
            "405 Method Not Allowed",
            "Allow: GET, HEAD, POST, PUT\r\nContent-Length: 0\r\n",
        ),
    };
    let mut reply = head(status);
    reply.extend(format!("{fields}{says}\r\n").as_bytes());
    if is_offered && method != "HEAD" {
        reply.extend(b"Hello, World");
    }
    Exchange {
        request,
        reply,
        is_last,
    }
}

/// A request that is refused at its last byte.
pub fn lie(dice: &mut Dice) -> Exchange {
    const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\n";
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    let bad = "400 Bad Request";
    let (request, status, reason) = match dice.below(13) {
        0 => (
            format!("{POST}Content-Length: 3\r\n{CHUNKED}\r\n"),
            bad,
            "both Content-Length and Transfer-Encoding",
        ),
        1 => (
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            bad,
            "HTTP/1.1 without a Host field",
        ),
        2 => (
            "CONNECT x:80 HTTP/1.1\r\n".to_owned(),
            "405 Method Not Allowed\r\nAllow: GET, HEAD, POST, PUT",
            "the method is none of GET, HEAD, POST and PUT",
        ),
        3 => (
            "PRI * HTTP/2.0\r\n".to_owned(),
            "505 HTTP Version Not Supported",
            "the version is neither HTTP/1.1 nor HTTP/1.0",
        ),
        4 => (
            format!("{POST}X : y\r\n"),
            bad,
            "a field name has a byte that no name has",
        ),
        5 => (
            format!("{POST}{CHUNKED}\r\n2\r\nabc"),
            bad,
            "a chunk is longer than its size",
        ),
        6 => ("GET / HTTP/1.1\n".to_owned(), bad, "an LF without its CR"),
        7 => (
            format!("{POST}Content-Length: 1048577\r\n"),
            "413 Content Too Large",
            "the body is too long",
        ),
        8 => (
            "BREW / HTTP/1.1\r\n".to_owned(),
            "501 Not Implemented",
            "the method is not known",
        ),
        9 => (
            "GET /\u{e9} HTTP/1.1\r\n".to_owned(),
            bad,
            "the target is neither a path nor a URI",
        ),
        10 => (
            format!("{POST}{CHUNKED}\r\n2;\r\n"),
            bad,
            "a chunk extension is ;NAME or ;NAME=VALUE",
        ),
        11 => (
            format!("{POST}Transfer-Encoding: gzip\r\n{CHUNKED}"),
            "501 Not Implemented",
            "a transfer coding beside chunked",
        ),
        _ => (
            format!("{POST}Transfer-Encoding: gzip, chunked\r\n"),
            "501 Not Implemented",
            "a transfer coding beside chunked",
        ),
    };
    let mut reply = head(status);
    let length = reason.len() + 1;
    let rest = format!(
        "Connection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{reason}\n"
    );
    reply.extend(rest.as_bytes());
    Exchange {
        request: request.into_bytes(),
        reply,
        is_last: true,
    }
}

/// The beginning of every reply.
fn head(status: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\nServer: mynah\r\nDate: ").into_bytes();
    head.extend([ANY; "Sun, 06 Nov 1994 08:49:37 GMT".len()]);
    head.extend(b"\r\n");
    head
}

/// A chunked body.
fn chunks(dice: &mut Dice) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..dice.below(4) {
        let chunk = bytes(dice, 15);
        if chunk.is_empty() {
            continue;
        }
        let (zeros, end) = (
            "0".repeat(dice.below(3)),
            ["", "", ";a=b", " ; c"][dice.below(4)],
        );
        body.extend(format!("{zeros}{:x}{end}\r\n", chunk.len()).as_bytes());
        body.extend(chunk);
        body.extend(b"\r\n");
    }
    body.extend(["0\r\n\r\n", "00;x\r\n\r\n", "0\r\nX-Last: a\r\n\r\n"][dice.below(3)].as_bytes());
    body
}

/// Up to `most` bytes, some random and some from the alphabet of requests.
fn bytes(dice: &mut Dice, most: usize) -> Vec<u8> {
    let size = dice.below(most + 1);
    let mut any = || match dice.below(3) {
        0 => b"GET / HTTP\r\n\r\n:"[dice.below(15)],
        _ => dice.next() as u8,
    };
    (0..size).map(|_| any()).collect()
}
