//! Bytes that are no valid request or no served request, and the refusals they get.

use super::*;

#[test]
fn an_invalid_request_is_refused_with_its_reason_and_nothing_after_it_is_answered() {
    let get = |field: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n");
    let post = |fields: &str| format!("{POST}{fields}\r\n\r\n");
    let chunk = |chunk: &str| format!("{CHUNKED}{chunk}");
    for (request, status, reason) in [
        ("GET /\r\n".to_owned(), "400", "METHOD TARGET VERSION"),
        (
            "GET  / HTTP/1.1\r\n".to_owned(),
            "400",
            "METHOD TARGET VERSION",
        ),
        (
            "GET / HTTP/1.1 \r\n".to_owned(),
            "400",
            "METHOD TARGET VERSION",
        ),
        (
            "GET / http/1.1\r\n".to_owned(),
            "400",
            "METHOD TARGET VERSION",
        ),
        (
            "GET / HTTP/1.10\r\n".to_owned(),
            "400",
            "METHOD TARGET VERSION",
        ),
        (
            " GET / HTTP/1.1\r\n".to_owned(),
            "400",
            "METHOD TARGET VERSION",
        ),
        ("G(T / HTTP/1.1\r\n".to_owned(), "400", "no method has"),
        (
            "GET x HTTP/1.1\r\n".to_owned(),
            "400",
            "neither a path nor a URI",
        ),
        (
            "GET /\ty HTTP/1.1\r\n".to_owned(),
            "400",
            "neither a path nor a URI",
        ),
        (
            "GET http:///x HTTP/1.1\r\n".to_owned(),
            "400",
            "neither a path nor a URI",
        ),
        (
            "GET http://:80/ HTTP/1.1\r\n".to_owned(),
            "400",
            "neither a path nor a URI",
        ),
        (
            "GET http://me@x/ HTTP/1.1\r\n".to_owned(),
            "400",
            "neither a path nor a URI",
        ),
        (
            "GET http:/x HTTP/1.1\r\n".to_owned(),
            "400",
            "neither a path nor a URI",
        ),
        ("GET / HTTP/1.1\n".to_owned(), "400", "an LF without its CR"),
        (
            "GET /\r HTTP/1.1\r\n".to_owned(),
            "400",
            "a CR without its LF",
        ),
        ("GET /\0 HTTP/1.1\r\n".to_owned(), "400", "a control byte"),
        ("\x16\x03\x01".to_owned(), "400", "a control byte"),
        (
            "CONNECT x:80 HTTP/1.1\r\n".to_owned(),
            "405",
            "GET, HEAD, POST and PUT",
        ),
        (
            "get / HTTP/1.1\r\n".to_owned(),
            "501",
            "the method is not known",
        ),
        (
            "GET / HTTP/2.0\r\n".to_owned(),
            "505",
            "neither HTTP/1.1 nor",
        ),
        (
            "PRI * HTTP/2.0\r\n".to_owned(),
            "505",
            "neither HTTP/1.1 nor",
        ),
        (
            "GET / HTTP/0.9\r\n".to_owned(),
            "505",
            "neither HTTP/1.1 nor",
        ),
        (
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            "400",
            "without a Host field",
        ),
        (get("Host: y"), "400", "two Host fields"),
        (
            "GET / HTTP/1.1\r\nHost: a b\r\n".to_owned(),
            "400",
            "no host",
        ),
        (
            "GET / HTTP/1.1\r\nHost: x:y\r\n".to_owned(),
            "400",
            "no host",
        ),
        (
            "GET / HTTP/1.1\r\nHost: x/y\r\n".to_owned(),
            "400",
            "no host",
        ),
        (
            "GET / HTTP/1.1\r\nHost: me@x\r\n".to_owned(),
            "400",
            "no host",
        ),
        (
            "GET / HTTP/1.1\r\nHost: [::1\r\n".to_owned(),
            "400",
            "no host",
        ),
        (
            "GET / HTTP/1.1\r\nHost: [::1]80\r\n".to_owned(),
            "400",
            "no host",
        ),
        (
            "GET / HTTP/1.1\r\nHost: ::1\r\n".to_owned(),
            "400",
            "no host",
        ),
        ("GET / HTTP/1.1\r\n Host: x\r\n".to_owned(), "400", "folded"),
        (get("X: y\r\n\tz"), "400", "folded"),
        (get("X : y"), "400", "no name has"),
        (get(": y"), "400", "no name has"),
        (get("X"), "400", "without a colon"),
        (get("X: a\rb"), "400", "a CR without its LF"),
        (get("X: a\nb: c"), "400", "an LF without its CR"),
        (get("X: a\0b"), "400", "a control byte"),
        (
            post("Content-Length: 3\r\nTransfer-Encoding: chunked"),
            "400",
            "both",
        ),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 3"),
            "400",
            "both",
        ),
        (
            post("Content-Length: 3\r\nContent-Length: 4"),
            "400",
            "two Content-Length",
        ),
        (
            post("Content-Length: 3\r\nContent-Length: 3"),
            "400",
            "two Content-Length",
        ),
        (post("Content-Length: 3, 3"), "400", "decimal digits"),
        (post("Content-Length: +3"), "400", "decimal digits"),
        (post("Content-Length: -3"), "400", "decimal digits"),
        (post("Content-Length: 0x3"), "400", "decimal digits"),
        (post("Content-Length:"), "400", "decimal digits"),
        (post("Content-Length: 3 3"), "400", "decimal digits"),
        (
            post("Content-Length: 18446744073709551619"),
            "413",
            "too long",
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            "400",
            "chunked twice",
        ),
        (post("Transfer-Encoding: xchunked"), "400", "not chunked"),
        (
            post("Transfer-Encoding: chunked, identity"),
            "400",
            "not chunked",
        ),
        (
            post("Transfer-Encoding:"),
            "400",
            "an empty transfer coding",
        ),
        (
            post("Transfer-Encoding: gzip, chunked"),
            "501",
            "beside chunked",
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "400",
            "HTTP/1.0 with Transfer-Encoding",
        ),
        (chunk("\r\n"), "400", "hexadecimal"),
        (chunk("x\r\n"), "400", "hexadecimal"),
        (chunk("0x3\r\n"), "400", "hexadecimal"),
        (chunk("-3\r\n"), "400", "hexadecimal"),
        (chunk(" 3\r\n"), "400", "hexadecimal"),
        (chunk("3 \r\n"), "400", "hexadecimal"),
        (chunk("3\nabc\r\n"), "400", "an LF without its CR"),
        (chunk("3;\rx\r\nabc\r\n"), "400", "a CR without its LF"),
        (chunk("3\r\nabcd\r\n"), "400", "longer than its size"),
        (chunk("3\r\nabc\n"), "400", "an LF without its CR"),
        (chunk("10000000000000003\r\n"), "413", "too long"),
        (chunk("0\r\nX : y\r\n"), "400", "no name has"),
        (chunk("0\r\n folded\r\n"), "400", "folded"),
    ] {
        let (said, end) = talk(format!("{GET}{request}{GET}"));
        let refusal = said.strip_prefix(HELLO).expect("one");
        let Some(Answer::Refused(why)) = end else {
            panic!("{request:?}: {end:?}");
        };
        assert!(why.contains(reason), "{request:?}: {why}");
        assert!(
            refusal.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {refusal}"
        );
        let (fields, body) = refusal.split_once("\r\n\r\n").expect("one");
        assert!(body.contains(reason), "{request:?}: {refusal}");
        assert!(fields.contains("\r\nConnection: close\r\n"), "{refusal}");
        assert!(
            fields.ends_with(&format!("\r\nContent-Length: {}", body.len())),
            "{refusal}"
        );
        assert_eq!(fields.contains("\r\nAllow: "), status == "405", "{refusal}");
        assert!(refusal.len() <= REFUSAL_MAX, "{refusal}");
    }
}

#[test]
fn a_refused_head_request_gets_no_body() {
    let long = format!("HEAD /{}", "x".repeat(HTTP_REQUEST_LINE_MAX));
    for (request, status) in [
        ("HEAD / HTTP/1.1\r\n\r\n", "400"),
        ("HEAD / HTTP/1.1\r\nX : y\r\n", "400"),
        ("HEAD x HTTP/1.1\r\n", "400"),
        ("HEAD / HTTP/3.0\r\n", "505"),
        ("HEAD /\0", "400"),
        (&long, "414"),
    ] {
        let (said, end) = talk(format!("{GET}{request}"));
        let said = said.strip_prefix(HELLO).expect("one");
        assert!(matches!(end, Some(Answer::Refused(_))), "{request}");
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
        assert!(said.ends_with("\r\n\r\n"), "{said}");
    }
}
