//! The grammar of fields, bodies and trailers (RFC 9112, 5 to 7; RFC 9110, 5), one row per rule.

use super::*;

#[test]
fn a_field_is_a_name_and_a_colon_and_a_value() {
    let get = |field: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n");
    for field in [
        "X:",
        "X: ",
        "X:y",
        "X:\ty\t",
        "x-!#$%&'*+-.^_`|~1: y",
        "X: y: z",
        "X: \u{e9}",
        "X: a\tb",
        "X: \"",
        "X: a\r\nX: b",
    ] {
        assert_eq!(
            status_of(get(field).as_bytes()),
            ("200".to_owned(), true),
            "{field:?}"
        );
    }
    for field in [
        "X",
        ": y",
        "X : y",
        "X\t: y",
        " X: y",
        "X: y\r\n z",
        "X: y\r\n\tz",
        "X: y\r\n ",
        "X y: z",
        "X(: y",
        "\u{e9}: y",
        "X: a\rb",
        "X: a\nb",
        "X: a\0b",
        "X: a\x0bb",
        "X: a\x7fb",
        "\"X\": y",
    ] {
        assert_eq!(
            status_of(get(field).as_bytes()),
            ("400".to_owned(), false),
            "{field:?}"
        );
    }
    // Between the request line and the first field, where some servers skip such a line.
    check_rows(&[(
        "GET / HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n",
        "400",
        false,
    )]);
}

#[test]
fn a_host_stands_there_once() {
    for host in [
        "Host:",
        "Host: x",
        "HOST:x",
        "Host: x.y:80",
        "Host: x:",
        "Host: 127.0.0.1",
        "Host: [::1]",
        "Host: [::1]:80",
        "Host: [v1.x:y]",
        "Host: x_y",
        "Host: %41",
        "Host: [::ffff:1.2.3.4]",
    ] {
        let request = format!("GET / HTTP/1.1\r\n{host}\r\n\r\n");
        assert_eq!(
            status_of(request.as_bytes()),
            ("200".to_owned(), true),
            "{host}"
        );
    }
    for host in [
        "X: y",
        "Host: x\r\nHost: x",
        "Host: x\r\nHost: y",
        "Host: x y",
        "Host: x/",
        "Host: me@x",
        "Host: http://x",
        "Host: x:y",
        "Host: x:80:80",
        "Host: ::1",
        "Host: [::1",
        "Host: [::1]80",
        "Host: []",
        "Host: [x]",
        "Host: [::1%1]",
        "Host: [1.2.3.4]",
        "Host: [v.x]",
        "Host: [vg.x]",
        "Host: [v1.]",
        "Host: [v1]",
        "Host: \u{e9}",
        "Host: x\\y",
        "Host: x?y",
        "Host: x#y",
    ] {
        let request = format!("GET / HTTP/1.1\r\n{host}\r\n\r\n");
        assert_eq!(
            status_of(request.as_bytes()),
            ("400".to_owned(), false),
            "{host}"
        );
    }
    check_rows(&[
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "200",
            true,
        ),
        ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "400", false),
        ("GET http://x/ HTTP/1.1\r\n\r\n", "400", false),
        ("GET http://x/ HTTP/1.1\r\nHost: y\r\n\r\n", "200", true),
    ]);
}

#[test]
fn a_length_is_decimal_digits_and_stands_there_once() {
    let post = |fields: &str| format!("{POST}{fields}\r\n\r\nabcde");
    for fields in [
        "Content-Length: 5",
        "content-length:5",
        "Content-Length: \t005\t",
    ] {
        assert_eq!(
            status_of(post(fields).as_bytes()),
            ("200".to_owned(), true),
            "{fields}"
        );
    }
    for fields in [
        "Content-Length:",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: 5 5",
        "Content-Length: 5, 5",
        "Content-Length: 5,",
        "Content-Length: 5, 6",
        "Content-Length: \u{665}",
        "Content-Length: 5;a",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length : 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\n 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "\"Content-Length\": 5",
        "Content-Length: 5\r\nTransfer-Encoding: gzip",
    ] {
        assert_eq!(
            status_of(post(fields).as_bytes()),
            ("400".to_owned(), false),
            "{fields}"
        );
    }
    for length in [
        "1048577",
        "99999999999999999999999999",
        "18446744073709551621",
    ] {
        let request = post(&format!("Content-Length: {length}"));
        assert_eq!(
            status_of(request.as_bytes()),
            ("413".to_owned(), false),
            "{length}"
        );
    }
}

#[test]
fn transfer_codings_in_one_line_and_in_several_are_the_same() {
    for (codings, status) in [
        ("chunked", "200"),
        ("CHUNKED", "200"),
        ("gzip, chunked", "501"),
        ("gzip, br, chunked", "501"),
        ("gzip;q=\"a\", chunked", "501"),
        ("identity, chunked", "501"),
        ("gzip", "400"),
        ("identity", "400"),
        ("xchunked", "400"),
        ("chunked;a=b", "400"),
        ("chunked, gzip", "400"),
        ("chunked, chunked", "400"),
        ("gzip, gzip", "400"),
        ("", "400"),
        (", chunked", "400"),
        ("chunked, ", "400"),
        ("gzip, , chunked", "400"),
    ] {
        let lines: Vec<String> = codings
            .split(", ")
            .map(|coding| format!("Transfer-Encoding: {coding}\r\n"))
            .collect();
        let one = format!("transfer-encoding:{codings}\r\n");
        for fields in [one, lines.concat(), lines.join("X: y\r\n")] {
            let request = format!("{POST}{fields}\r\n0\r\n\r\n");
            let expected = (status.to_owned(), status == "200");
            assert_eq!(status_of(request.as_bytes()), expected, "{fields:?}");
        }
    }
    check_rows(&[
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
            false,
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
            "400",
            false,
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
            "400",
            false,
        ),
    ]);
}

#[test]
fn a_chunk_has_a_size_and_extensions_with_names_and_an_end() {
    let chunk = |chunks: &str| format!("{CHUNKED}{chunks}");
    for chunks in [
        "0\r\n\r\n",
        "2\r\nab\r\n0\r\n\r\n",
        "0000000000000000000000000002\r\nab\r\n00\r\n\r\n",
        "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "2;a\r\nab\r\n0;b=c\r\n\r\n",
        "2 ; a = \"b;\\\"c\" ; d\r\nab\r\n0\r\n\r\n",
        "0\r\nX: y\r\nContent-Length: 9\r\n\r\n",
        "2;a=\"\u{e9}\"\r\nab\r\n0\r\n\r\n",
    ] {
        assert_eq!(
            status_of(chunk(chunks).as_bytes()),
            ("200".to_owned(), true),
            "{chunks:?}"
        );
    }
    for chunks in [
        "\r\n",
        "g\r\n",
        "0x2\r\nab\r\n",
        "+2\r\nab\r\n",
        "-2\r\n",
        " 2\r\nab\r\n",
        "2 \r\nab\r\n",
        "2\t\r\nab\r\n",
        "2 2\r\nab\r\n",
        "2;\r\nab\r\n",
        "2 ;\r\nab\r\n",
        "2;a=\r\nab\r\n",
        "2;a=\"b\r\nab\r\n",
        "2;a b\r\nab\r\n",
        "2;a \r\nab\r\n",
        "2;;a\r\nab\r\n",
        "2,a\r\nab\r\n",
        "2\nab\n",
        "2\rab\r\n",
        "2;a\nb\r\nab\r\n",
        "2;\0\r\nab\r\n",
        "2\r\nabc\r\n",
        "2\r\nab\n",
        "2\r\nab\r0",
        "2\r\nab0\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\n\n",
        "0;\r\n\r\n",
        ";a\r\n",
    ] {
        assert_eq!(
            status_of(chunk(chunks).as_bytes()),
            ("400".to_owned(), false),
            "{chunks:?}"
        );
    }
    for size in [
        "100001",
        "ffffffffffffffff",
        "10000000000000000",
        "00010000000000000002",
    ] {
        let request = chunk(&format!("{size}\r\n"));
        assert_eq!(
            status_of(request.as_bytes()),
            ("413".to_owned(), false),
            "{size}"
        );
    }
}

#[test]
fn a_connection_goes_on_unless_an_option_closes_it() {
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n");
    for (fields, goes_on) in [
        ("Connection: keep-alive", true),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c", true),
        ("Connection: closed", true),
        ("Connection: close", false),
        ("connection:CLOSE", false),
        ("Connection: keep-alive, close", false),
        ("Connection: ,close ,", false),
        ("Connection: keep-alive\r\nConnection: close", false),
        ("Expect: 100-continue", true),
        ("Expect: something", true),
    ] {
        let (status, on) = status_of(get(fields).as_bytes());
        assert_eq!((&status[..], on), ("200", goes_on), "{fields}");
    }
    for expect in [
        "100-continue",
        "100-Continue",
        "a, 100-continue",
        "a\r\nExpect: 100-continue",
    ] {
        let mut talk = Exchange::default();
        let head = format!("{POST}Content-Length: 1\r\nExpect: {expect}\r\n\r\n");
        talk.hear(head.as_bytes());
        assert_eq!(talk.said, CONTINUE, "{expect}");
    }
}
