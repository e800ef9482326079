//! The examples of the specification, the bounds, and every truncation.

use super::*;
use crate::limits::{PROXY_HEADER_MAX, PROXY_LINE_MAX};

const SIGNATURE: &[u8] = v2::SIGNATURE;

/// A header of version 2.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

/// IPv4 addresses and ports, `127.0.0.1:1` to `127.0.0.2:2`.
const IPV4: [u8; 12] = [127, 0, 0, 1, 127, 0, 0, 2, 0, 1, 0, 2];

/// Checks that `header` is one, that what follows it is not looked at, and that each part of it is
/// incomplete.
fn whole(header: &[u8], expected: Source) {
    for behind in [&b""[..], b"x", b"PROXY ", SIGNATURE] {
        let parsed = parse(&[header, behind].concat());
        let size = header.len();
        assert_eq!(
            parsed,
            Parsed::Header {
                size,
                source: expected
            },
            "{header:02x?}"
        );
    }
    for end in 0..header.len() {
        let parsed = parse(&header[..end]);
        assert_eq!(parsed, Parsed::Incomplete, "{end} of {header:02x?}");
    }
}

fn wrong(bytes: &[u8]) {
    let parsed = parse(bytes);
    assert!(
        matches!(parsed, Parsed::Wrong(_)),
        "{bytes:02x?}: {parsed:?}"
    );
}

#[test]
fn the_lines_of_the_specification_are_read() {
    let broadcast = [255; 4];
    whole(
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        Source::Ipv4(broadcast, 65535),
    );
    let full = b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(full.len(), 104);
    whole(full, Source::Ipv6([255; 16], 65535));
    whole(b"PROXY UNKNOWN\r\n", Source::Peer);
    let longest = b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                    ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), PROXY_LINE_MAX);
    whole(longest, Source::Peer);
    whole(
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        Source::Ipv4([192, 168, 0, 1], 56324),
    );
    let mut mapped = [0; 16];
    mapped[15] = 1;
    whole(b"PROXY TCP6 ::1 ::1 0 7\r\n", Source::Ipv6(mapped, 0));
}

#[test]
fn a_line_of_107_bytes_is_read_and_a_longer_one_is_refused() {
    let line = |size: usize| {
        let front = b"PROXY UNKNOWN ".to_vec();
        let filler = vec![b'x'; size - front.len() - 2];
        [front, filler, b"\r\n".to_vec()].concat()
    };
    for size in [PROXY_LINE_MAX - 1, PROXY_LINE_MAX] {
        whole(&line(size), Source::Peer);
    }
    let longer = line(PROXY_LINE_MAX + 1);
    wrong(&longer);
    // It is judged as soon as it cannot end in time.
    wrong(&longer[..PROXY_LINE_MAX]);
    assert_eq!(parse(&longer[..PROXY_LINE_MAX - 1]), Parsed::Incomplete);
}

#[test]
fn a_malformed_line_is_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 \r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP6 ::1 x 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWNx\r\n",
    ] {
        wrong(line.as_bytes());
    }
}

#[test]
fn headers_of_version_2_are_read() {
    whole(&v2(0x21, 0x11, &IPV4), Source::Ipv4([127, 0, 0, 1], 1));
    // A datagram at the load balancer is a client all the same.
    whole(&v2(0x21, 0x12, &IPV4), Source::Ipv4([127, 0, 0, 1], 1));
    let ipv6: Vec<u8> = (0..36).collect();
    let mut address = [0; 16];
    address.copy_from_slice(&ipv6[..16]);
    whole(&v2(0x21, 0x21, &ipv6), Source::Ipv6(address, 0x2021));
    // Without an address, and the load balancer itself.
    whole(&v2(0x21, 0x00, b""), Source::Peer);
    whole(&v2(0x21, 0x00, b"anything"), Source::Peer);
    whole(&v2(0x20, 0x00, b""), Source::Peer);
    whole(&v2(0x20, 0x11, &IPV4), Source::Peer);
    whole(&v2(0x20, 0x11, b"short"), Source::Peer);
    whole(&v2(0x20, 0x41, b""), Source::Peer);
    whole(&v2(0x20, 0x13, b"short"), Source::Peer);
}

#[test]
fn the_name_of_a_local_socket_is_what_the_kernel_has() {
    for (name, expected) in [
        (&b"/run/echo"[..], &b"/run/echo"[..]),
        (b"", b""),
        (b"\0abstract", b"\0abstract"),
        (b"\0a\0b", b"\0a\0b"),
        (b"/run/a\0rubbish", b"/run/a"),
        (&[b'x'; LOCAL_SIZE], &[b'x'; LOCAL_SIZE]),
    ] {
        let mut body = [0; 2 * LOCAL_SIZE];
        body[..name.len()].copy_from_slice(name);
        let header = v2(0x21, 0x31, &body);
        let Parsed::Header {
            source: Source::Local(local),
            ..
        } = parse(&header)
        else {
            panic!("{name:?}");
        };
        assert_eq!(local.as_bytes(), expected);
        whole(&header, Source::Local(local));
    }
}

#[test]
fn each_byte_of_the_front_is_judged_as_soon_as_it_is_there() {
    for command in 0..=u8::MAX {
        let parsed = parse(&[SIGNATURE, &[command]].concat());
        match command {
            0x20 | 0x21 => assert_eq!(parsed, Parsed::Incomplete),
            _ => assert!(matches!(parsed, Parsed::Wrong(_)), "{command:x}"),
        }
    }
    for family in 0..=u8::MAX {
        let parsed = parse(&[SIGNATURE, &[0x21, family]].concat());
        match (family >> 4, family & 0xf) {
            (0..=3, 0..=2) => assert_eq!(parsed, Parsed::Incomplete),
            _ => assert!(matches!(parsed, Parsed::Wrong(_)), "{family:x}"),
        }
    }
    for (family, size) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
        let front = |size: u16| {
            let size = size.to_be_bytes();
            parse(&[SIGNATURE, &[0x21, family], &size].concat())
        };
        assert!(matches!(front(size - 1), Parsed::Wrong(_)));
        assert_eq!(front(size), Parsed::Incomplete);
    }
}

#[test]
fn a_header_of_4_kib_is_read_and_a_longer_one_is_refused_at_its_length() {
    for (size, is_read) in [
        (PROXY_HEADER_MAX - 1, true),
        (PROXY_HEADER_MAX, true),
        (PROXY_HEADER_MAX + 1, false),
        (v2::FRONT + usize::from(u16::MAX), false),
    ] {
        let filler = size - v2::FRONT - IPV4.len() - 3;
        let tlv = [&[4][..], &(filler as u16).to_be_bytes(), &vec![0; filler]].concat();
        let header = v2(0x21, 0x11, &[&IPV4[..], &tlv].concat());
        assert_eq!(header.len(), size);
        match is_read {
            true => whole(&header, Source::Ipv4([127, 0, 0, 1], 1)),
            false => wrong(&header[..v2::FRONT]),
        }
    }
}

#[test]
fn tlvs_are_skipped_and_must_fit() {
    let with = |tlvs: &[u8]| v2(0x21, 0x11, &[&IPV4[..], tlvs].concat());
    for tlvs in [
        &b"\x04\0\0"[..],
        b"\x05\0\x03abc",
        b"\x04\0\0\x05\0\x01x\x20\0\x02yz",
        b"\xff\0\x01\0",
    ] {
        whole(&with(tlvs), Source::Ipv4([127, 0, 0, 1], 1));
    }
    for tlvs in [
        &b"\x04"[..],
        b"\x04\0",
        b"\x04\0\x01",
        b"\x04\0\0\x05\0\x04abc",
        b"\x03\0\x03abc",
        b"\x03\0\x05abcde",
    ] {
        wrong(&with(tlvs));
    }
}

#[test]
fn a_checksum_is_checked_where_there_is_one() {
    for (command, family, body) in [
        (0x21, 0x11, &IPV4[..]),
        (0x20, 0x00, b""),
        (0x21, 0x00, b""),
    ] {
        let mut header = v2(
            command,
            family,
            &[body, b"\x04\0\x01x\x03\0\x04\0\0\0\0"].concat(),
        );
        let size = header.len();
        let sum = crc32c::without(&header, size - 4).to_be_bytes();
        header[size - 4..].copy_from_slice(&sum);
        assert!(matches!(parse(&header), Parsed::Header { .. }));
        for at in v2::FRONT..size {
            let mut other = header.clone();
            other[at] ^= 1;
            let parsed = parse(&other);
            // With another type or another length there is no checksum any more.
            let is_structure = at >= v2::FRONT + body.len() && at < size - 4;
            match is_structure {
                true => assert_ne!(parsed, Parsed::Incomplete),
                false => assert!(matches!(parsed, Parsed::Wrong(_)), "{at}"),
            }
        }
    }
}

#[test]
fn other_bytes_are_no_header() {
    for bytes in [
        &b"x"[..],
        b"PROXx",
        b"PROXY\n",
        b"GET / HTTP",
        b"\r\n\r\n\0\r\nQUIX",
    ] {
        assert_eq!(parse(bytes), Parsed::Absent, "{bytes:?}");
        assert!(!is_undecided(bytes));
    }
    for signature in [v1::SIGNATURE, SIGNATURE] {
        for end in 0..signature.len() {
            assert!(is_undecided(&signature[..end]));
        }
        assert!(!is_undecided(signature));
    }
}

#[test]
fn what_is_written_is_read_again() {
    let (near, far) = (
        Source::Ipv4([1, 2, 3, 4], 5),
        Source::Ipv4([6, 7, 8, 9], 10),
    );
    let (near6, far6) = (Source::Ipv6([7; 16], 0), Source::Ipv6([0; 16], 65535));
    for version in [Version::V1, Version::V2] {
        for (from, to, source) in [
            (near, far, near),
            (near6, far6, near6),
            (Source::Peer, Source::Peer, Source::Peer),
            (near, far6, Source::Peer),
        ] {
            whole(&write(version, &from, &to), source);
        }
    }
}
