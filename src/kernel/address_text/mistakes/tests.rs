//! Mistyped addresses and the error line for each.

use super::super::parse;

fn refusal(input: &str) -> String {
    match parse(input) {
        Ok(parsed) => panic!("{input:?} was taken for {parsed:?}"),
        Err(reason) => reason,
    }
}

/// Mistyped addresses and the error line for each.
const MISTYPED: &[(&str, &str)] = &[
    ("", "it is empty; write a port such as 7007, or HOST:PORT"),
    (" ", "it is empty; write a port such as 7007, or HOST:PORT"),
    (
        "tcp://",
        "it is empty; write a port such as 7007, or HOST:PORT",
    ),
    // A bracket without its partner.
    ("h:7]", "there is a bracket behind the port; write h:7"),
    (
        "h:x]",
        "the port is missing; write HOST:PORT, such as localhost:7007",
    ),
    (
        ":]",
        "the port is missing; write HOST:PORT, such as localhost:7007",
    ),
    // Ports with mistakes.
    ("+7202", "a port has no sign; write 7202"),
    ("tcp://-7202", "a port has no sign; write tcp://7202"),
    ("7202/", "an address has no path; write 7202"),
    (
        "99999",
        "the port \"99999\" is wrong; write a number from 0 to 65535",
    ),
    (
        "7_007",
        "the port is missing; write HOST:PORT, such as 7_007:7007",
    ),
    (
        "0x50",
        "the port is missing; write HOST:PORT, such as localhost:7007",
    ),
    (
        "7007.",
        "the port is missing; write HOST:PORT, such as localhost:7007",
    ),
    // A host or a port that is missing.
    (
        ":7007",
        "the host is missing; write 127.0.0.1:7007 for this machine, \
         or 0.0.0.0:7007 to listen on all addresses",
    ),
    (
        "udp://:7007",
        "the host is missing; write udp://127.0.0.1:7007 for this machine, \
         or udp://0.0.0.0:7007 to listen on all addresses",
    ),
    ("7007:", "the host is missing; write 7007, or HOST:7007"),
    (
        "localhost",
        "the port is missing; write HOST:PORT, such as localhost:7007",
    ),
    (
        "localhost:",
        "the port is missing; write HOST:PORT, such as localhost:7007",
    ),
    (
        "udp://example.org",
        "the port is missing; write HOST:PORT, such as udp://example.org:7007",
    ),
    (
        "127.0.0.1",
        "the port is missing; write HOST:PORT, such as 127.0.0.1:7007",
    ),
    (
        "[::1]",
        "the port is missing; write HOST:PORT, such as [::1]:7007",
    ),
    (
        "[::1]:",
        "the port is missing; write HOST:PORT, such as [::1]:7007",
    ),
    (
        "localhost,7007",
        "the port is missing; write HOST:PORT, such as localhost:7007",
    ),
    (
        "localhost:99999",
        "the port \"99999\" is wrong; write a number from 0 to 65535",
    ),
    (
        "localhost:http",
        "the port \"http\" is wrong; write a number from 0 to 65535",
    ),
    (
        ":",
        "the port is missing; write HOST:PORT, such as localhost:7007",
    ),
    (
        "127.0.0.1:7007:",
        "there is a colon behind the port; write 127.0.0.1:7007",
    ),
    (
        "127.0.0.1:7007:7008",
        "there is a second port; write 127.0.0.1:7007",
    ),
    (
        "localhost:7007,localhost:7008",
        "it is more than one address; write localhost:7007",
    ),
    ("7007/tcp", "the protocol comes first; write tcp://7007"),
    (
        "localhost:53/udp",
        "the protocol comes first; write udp://localhost:53",
    ),
    (
        "localhost/7007",
        "the port follows a colon; write localhost:7007",
    ),
    // Blanks.
    (" 7007", "there are blanks around it; write 7007"),
    (
        "127.0.0.1:80\n",
        "there are blanks around it; write 127.0.0.1:80",
    ),
    (
        "127.0.0.1 7007",
        "the port follows a colon; write 127.0.0.1:7007",
    ),
    (
        "localhost 80",
        "the port follows a colon; write localhost:80",
    ),
    ("::1 80", "the port follows a colon; write [::1]:80"),
    (
        "a b:80",
        "an address has no blanks; write HOST:PORT, such as localhost:7007",
    ),
    (
        "localhost: 80",
        "an address has no blanks; write HOST:PORT, such as localhost:7007",
    ),
    // Schemes.
    ("tcp:7007", "tcp is followed by ://; write tcp://7007"),
    (
        "tcp:/localhost:7",
        "tcp is followed by ://; write tcp://localhost:7",
    ),
    (
        "UDP//1.2.3.4:5",
        "udp is followed by ://; write udp://1.2.3.4:5",
    ),
    ("tcp:/x", "tcp is followed by ://; write tcp://HOST:PORT"),
    ("tcp", "tcp is followed by ://; write tcp://HOST:PORT"),
    (
        "http://localhost",
        "the scheme \"http\" is not known; write tcp://localhost:80",
    ),
    (
        "HTTP://me@[::1]:8080/x?y",
        "the scheme \"HTTP\" is not known; write tcp://[::1]:8080",
    ),
    (
        "https://example.org/",
        "the scheme \"https\" is not known, and TLS is not spoken; write tcp://example.org:443",
    ),
    (
        "http://",
        "the scheme \"http\" is not known; write tcp://HOST:80",
    ),
    (
        "tpc://1.2.3.4:5",
        "the scheme \"tpc\" is not known; write tcp://1.2.3.4:5",
    ),
    (
        "tcp4://1.2.3.4:5",
        "the scheme \"tcp4\" is not known; write tcp://1.2.3.4:5",
    ),
    (
        "unx:///run/x",
        "the scheme \"unx\" is not known; write unix:/run/x",
    ),
    (
        "file:///run/x",
        "the scheme \"file\" is not known; write unix:/run/x",
    ),
    (
        "://1",
        "the scheme \"\" is not known; write tcp://HOST:PORT, udp://HOST:PORT or unix:/PATH",
    ),
    // Paths.
    (
        "unix://path",
        "unix:// is followed by another slash; write unix:/path or unix:path",
    ),
    (
        "unix://",
        "the name is missing; write unix:/PATH or unix:@NAME",
    ),
    (
        "unix:",
        "the name is missing; write unix:/PATH or unix:@NAME",
    ),
    (
        "unix:@",
        "the name is missing; write unix:/PATH or unix:@NAME",
    ),
    (
        "unix",
        "the name is missing; write unix:/PATH or unix:@NAME",
    ),
    (
        "/run/x.sock",
        "it looks like a path; write unix:/run/x.sock",
    ),
    ("./x.sock", "it looks like a path; write unix:./x.sock"),
    (
        "run/x.sock",
        "it is no HOST:PORT; a path is written unix:run/x.sock",
    ),
    (
        "localhost/",
        "the port is missing; write HOST:PORT, such as localhost:7007",
    ),
    (
        "localhost:80/x?y",
        "an address has no path; write localhost:80",
    ),
    (
        "tcp://localhost:80/",
        "an address has no path; write tcp://localhost:80",
    ),
    // IPv6 without its brackets, and brackets without IPv6.
    (
        "::1",
        "an IPv6 address goes in brackets; write it like [::1]:7007",
    ),
    (
        "tcp://fe80::1:80",
        "an IPv6 address goes in brackets; write it like tcp://[fe80::1]:80",
    ),
    (
        "a:b:80",
        "an IPv6 address goes in brackets; write it like [::1]:7007",
    ),
    (
        "[127.0.0.1]:80",
        "[127.0.0.1] is not an IPv6 address in brackets; write one like 127.0.0.1:80",
    ),
    (
        "[localhost]:80",
        "[localhost] is not an IPv6 address in brackets; write one like localhost:80",
    ),
    (
        "[::1:80",
        "[::1 is not an IPv6 address in brackets; write one like [::1]:80",
    ),
    (
        "[::1]x:80",
        "[::1]x is not an IPv6 address in brackets; write one like [::1]:80",
    ),
    (
        "[]:80",
        "[] is not an IPv6 address in brackets; write one like [::1]:80",
    ),
    (
        "[::g]:80",
        "[::g] is not an IPv6 address in brackets; write one like [::1]:80",
    ),
    // Interfaces.
    (
        "[fe80::1%]:80",
        "the interface is missing behind %; write fe80::1%eth0",
    ),
    (
        "[fe80::1%nosuch]:80",
        "there is no interface \"nosuch\"; ip link lists those of this machine",
    ),
    (
        "[fe80::1%4294967296]:80",
        "there is no interface \"4294967296\"; ip link lists those of this machine",
    ),
    (
        "[fe80::1%25lo]:80",
        "there is no interface \"25lo\"; write fe80::1%lo",
    ),
    // Hosts that are no names.
    (
        "*:7007",
        "\"*\" is not a host name; write 0.0.0.0:7007 to listen on all addresses",
    ),
    (
        "me@example.org:80",
        "\"me@example.org\" is not a host name; write example.org:80",
    ),
    (
        "a\0b:80",
        "\"a\\0b\" is not a host name; write one like localhost:80",
    ),
    (
        "127.0.01:80",
        "127.0.01 is not a dotted quad; \
         write four numbers up to 255 without leading zeros, 127.0.0.1:80",
    ),
];

#[test]
fn a_mistyped_address_gets_one_line_with_what_is_right() {
    for (input, line) in MISTYPED {
        assert_eq!(refusal(input), *line, "{input:?}");
        assert!(!line.contains('\n'));
    }
}

#[test]
fn a_suggestion_is_an_address() {
    for (input, line) in MISTYPED {
        let (_, right) = line.rsplit_once("write ").unwrap_or(("", ""));
        let words = right.split([' ', ',']).filter(|word| word.contains(':'));
        // HOST:PORT is a form, and an interface is named without a port.
        let form = |letter: char| letter.is_ascii_uppercase() || letter == '%';
        for word in words.filter(|word| !word.contains(form)) {
            assert!(parse(word).is_ok(), "{input:?}: {word}: {:?}", parse(word));
        }
    }
}

#[test]
fn a_long_input_is_answered_like_a_short_one() {
    for part in [
        ":", "a:", "1:", "/", "a/", ",", "a,", "a:1,", "[", "]", "%", " ", "tcp:", "::1:",
    ] {
        let line = refusal(&part.repeat(100_000));
        assert!(!line.contains('\n'), "{part}");
    }
}
