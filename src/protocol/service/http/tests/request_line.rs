//! The grammar of request lines (RFC 9112, 3; RFC 9110, 9), a row for each rule.

use super::*;

#[test]
fn a_method_is_served_or_not_allowed_or_not_implemented() {
    check_rows(&[
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200", true),
        ("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "200", true),
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\n", "200", true),
        ("PUT / HTTP/1.1\r\nHost: x\r\n\r\n", "200", true),
        // Known but not offered.
        ("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", "405", true),
        ("PATCH / HTTP/1.1\r\nHost: x\r\n\r\n", "405", true),
        ("TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", "405", true),
        ("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", "405", true),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "405", true),
        ("OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n", "405", true),
        // Bytes after the request may be meant for a tunnel.
        ("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", "405", false),
        ("CONNECT [::1]:80 HTTP/1.1\r\nHost: x\r\n\r\n", "405", false),
        // Not known. Methods are case-sensitive.
        ("get / HTTP/1.1\r\nHost: x\r\n\r\n", "501", false),
        ("GETT / HTTP/1.1\r\nHost: x\r\n\r\n", "501", false),
        ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", "501", false),
        ("PROPFIND / HTTP/1.1\r\nHost: x\r\n\r\n", "501", false),
        (
            "!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: x\r\n\r\n",
            "501",
            false,
        ),
        ("G(T / HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("G\u{e9}T / HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        (" / HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
    ]);
}

#[test]
fn a_method_that_is_not_offered_leaves_the_connection_open_where_the_bounds_are_certain() {
    let delete = |rest: &str| format!("DELETE / HTTP/1.1\r\nHost: x\r\n{rest}");
    for (request, status, goes_on) in [
        (delete("Content-Length: 5\r\n\r\nGET /"), "405", true),
        (
            delete("Transfer-Encoding: chunked\r\n\r\n5;a\r\nGET /\r\n0\r\nX: y\r\n\r\n"),
            "405",
            true,
        ),
        (delete("Connection: close\r\n\r\n"), "405", false),
        (
            delete("Connection: close\r\nContent-Length: 1\r\n\r\nx"),
            "405",
            false,
        ),
        ("DELETE / HTTP/1.0\r\n\r\n".to_owned(), "405", false),
        (
            "DELETE / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
            "405",
            true,
        ),
        // The body may or may not follow.
        (
            delete("Expect: 100-continue\r\nContent-Length: 5\r\n\r\nGET /"),
            "405",
            false,
        ),
        (delete("Expect: 100-continue\r\n\r\n"), "405", true),
        // If the bounds are not certain, the connection closes.
        (
            delete("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "400",
            false,
        ),
        (delete("Content-Length: 1048577\r\n\r\n"), "413", false),
        ("DELETE / HTTP/1.1\r\n\r\n".to_owned(), "400", false),
    ] {
        let (found, on) = status_of(request.as_bytes());
        assert_eq!((&found[..], on), (status, goes_on), "{request:?}");
    }
    let (said, _) = talk(delete("\r\n"));
    assert!(
        said.contains("\r\nAllow: GET, HEAD, POST, PUT\r\n"),
        "{said}"
    );
    assert!(said.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{said}");
    assert!(said.contains("\r\nDate: "), "{said}");
}

#[test]
fn a_method_that_is_not_offered_is_not_told_to_continue() {
    let mut talk = Exchange::default();
    talk.hear(b"PATCH / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert!(talk.said.starts_with("HTTP/1.1 405 "), "{}", talk.said);
    assert!(
        talk.said.contains("\r\nConnection: close\r\n"),
        "{}",
        talk.said
    );
}

#[test]
fn the_shortest_requests_of_methods_that_are_not_offered_have_room_for_their_answers() {
    let shortest = "TRACE / HTTP/1.0\r\nConnection:keep-alive\r\n\r\n";
    let trace = "TRACE / HTTP/1.1\r\nHost:\r\n\r\n";
    for request in [shortest, trace] {
        for count in [1, 2, 16, 1000] {
            let found = statuses(request.repeat(count) + "\0");
            assert_eq!(found.len(), count + 1, "{request:?}");
        }
    }
}

#[test]
fn a_target_is_a_path_or_a_uri_or_what_its_method_allows() {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    for target in [
        "/",
        "//",
        "/a/b;c=d",
        "/a?b=c&d",
        "/?",
        "/%C3%A9",
        "/%zz",
        "/-._~!$&'()*+,;=:@/?%",
        // Bytes that browsers leave unescaped.
        "/?a[b]={c}|d\\e^f`g",
        "http://x",
        "HTTP://x/",
        "https://x?y",
        "http://x:80/y?z",
        "http://[::1]/",
        "http://x:/",
        "http://%41/",
    ] {
        assert_eq!(
            status_of(get(target).as_bytes()),
            ("200".to_owned(), true),
            "{target}"
        );
    }
    for target in [
        "x",
        "*",
        "x:80",
        "?",
        "#",
        "/#a",
        "/\"",
        "/<a>",
        "/\u{e9}",
        "/?\u{e9}",
        "/\u{80}",
        "/\t",
        "http:",
        "http://",
        "http:///",
        "http://:80/",
        "http://me@x/",
        "http://x#a",
        "http://x\u{e9}/",
        "http://x/\u{e9}",
        "http://[x]/",
        "http://x y/",
        "ftp://x/",
        "//x\u{ff}",
        "\u{e9}",
    ] {
        assert_eq!(
            status_of(get(target).as_bytes()),
            ("400".to_owned(), false),
            "{target}"
        );
    }
    // Single bytes, which need not be UTF-8.
    for byte in 0x7f..=0xff {
        let request = [&b"GET /"[..], &[byte], b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
        assert_eq!(status_of(&request), ("400".to_owned(), false), "{byte:#x}");
    }
    check_rows(&[
        ("CONNECT x HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("CONNECT x: HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("CONNECT x:0 HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("CONNECT x:65536 HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("CONNECT x:+80 HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("CONNECT :80 HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        (
            "CONNECT http://x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
            "400",
            false,
        ),
        ("POST * HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
    ]);
}

#[test]
fn a_request_line_has_three_parts_and_one_blank_between_them() {
    check_rows(&[
        ("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "200", true),
        ("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "200", true),
        ("GET / HTTP/1.2\r\nHost: x\r\n\r\n", "200", true),
        ("GET / HTTP/1.0\r\n\r\n", "200", false),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "200",
            true,
        ),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", "505", false),
        ("GET / HTTP/0.9\r\nHost: x\r\n\r\n", "505", false),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", false),
        ("GET / HTTP/1\r\nHost: x\r\n\r\n", "400", false),
        ("GET / HTTP/11\r\nHost: x\r\n\r\n", "400", false),
        ("GET / HTTP/1.x\r\nHost: x\r\n\r\n", "400", false),
        ("GET / http/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("GET / HTTPS/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("GET /\r\nHost: x\r\n\r\n", "400", false),
        ("GET\r\nHost: x\r\n\r\n", "400", false),
        ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("GET /  HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "400", false),
        ("GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        (" GET / HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("GET / a HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("GET / HTTP/1.1\nHost: x\n\n", "400", false),
        ("GET / HTTP/1.1\rHost: x\r\r", "400", false),
        ("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("\0GET / HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
        ("GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n", "400", false),
    ]);
}
