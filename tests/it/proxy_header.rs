//! The header of the PROXY protocol against the standard library: each address that one of the two
//! reads, the other reads too.

use std::net::{Ipv4Addr, Ipv6Addr};

use mynah::base::random::Random;
use mynah::protocol::front::proxy::{Parsed, Source, parse};

/// The source that a line of version 1 announces with this address.
fn source(family: &str, address: &str, other: &str) -> Option<Source> {
    let line = format!("PROXY {family} {address} {other} 7 8\r\n");
    match parse(line.as_bytes()) {
        Parsed::Header { size, source } => {
            assert_eq!(size, line.len());
            Some(source)
        }
        _ => None,
    }
}

fn agrees(text: &str) {
    let six = text.parse::<Ipv6Addr>().ok();
    let six = six.map(|address| Source::Ipv6(address.octets(), 7));
    assert_eq!(source("TCP6", text, "::1"), six, "{text}");
    let four = text.parse::<Ipv4Addr>().ok();
    let four = four.map(|address| Source::Ipv4(address.octets(), 7));
    assert_eq!(source("TCP4", text, "1.2.3.4"), four, "{text}");
}

#[test]
fn an_address_is_read_as_the_standard_library_reads_it() {
    for text in [
        "::",
        "::1",
        "1::",
        "2001:db8::1",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8",
        "::ffff:1.2.3.4",
        "1:2:3:4:5:6:1.2.3.4",
        "FFFF:abcd::",
        "1.2.3.4",
        "0.0.0.0",
        ":",
        ":::",
        "1:::2",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        "g::",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        "1:",
        ":1",
        "::1.2.3",
        "1.2.3.4::",
        "::1.2.3.4:5",
        "+1::",
        "::01.2.3.4",
        "1:2:3:4:5:6:7:1.2.3.4",
        "fe80::1%eth0",
        "01.2.3.4",
        "1.2.3",
        "1.2.3.256",
    ] {
        agrees(text);
    }
}

#[test]
fn random_text_is_an_address_for_both_or_for_none() {
    let mut random = Random::new(19);
    let letters = b"0125f:::.";
    for _ in 0..200_000 {
        let size = 1 + random.below(16);
        let text = (0..size).map(|_| char::from(letters[random.below(9) as usize]));
        agrees(&text.collect::<String>());
    }
}
