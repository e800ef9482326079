//! Writes a header, for clients that stand in for a load balancer.
//!
//! A client announces itself: the addresses are those of its own connection. For a local socket
//! version 1 has no words, so the header says UNKNOWN, and version 2 says that the family is
//! unspecified. Neighbours: `v1`, `v2`, which read it.

use std::fmt::Write;

use super::{Source, v2};

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

/// The header of a connection from `from` to `to`.
pub fn write(version: Version, from: &Source, to: &Source) -> Vec<u8> {
    match version {
        Version::V1 => line(from, to).into_bytes(),
        Version::V2 => bytes(from, to),
    }
}

fn line(from: &Source, to: &Source) -> String {
    let (family, near, far, ports) = match (from, to) {
        (Source::Ipv4(near, port), Source::Ipv4(far, to_port)) => {
            let text = |[a, b, c, d]: &[u8; 4]| format!("{a}.{b}.{c}.{d}");
            ("TCP4", text(near), text(far), (port, to_port))
        }
        (Source::Ipv6(near, port), Source::Ipv6(far, to_port)) => {
            ("TCP6", groups(near), groups(far), (port, to_port))
        }
        _ => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("PROXY {family} {near} {far} {} {}\r\n", ports.0, ports.1)
}

/// All eight groups: every reader understands them.
fn groups(address: &[u8; 16]) -> String {
    let mut text = String::new();
    for (place, group) in address.chunks(2).enumerate() {
        let separator = if place == 0 { "" } else { ":" };
        // Writing to memory does not fail.
        let _ = write!(
            text,
            "{separator}{:x}",
            u16::from_be_bytes([group[0], group[1]])
        );
    }
    text
}

fn bytes(from: &Source, to: &Source) -> Vec<u8> {
    let mut block = Vec::new();
    let family = match (from, to) {
        (Source::Ipv4(near, port), Source::Ipv4(far, to_port)) => {
            block.extend_from_slice(near);
            block.extend_from_slice(far);
            block.extend_from_slice(&[port.to_be_bytes(), to_port.to_be_bytes()].concat());
            0x11
        }
        (Source::Ipv6(near, port), Source::Ipv6(far, to_port)) => {
            block.extend_from_slice(near);
            block.extend_from_slice(far);
            block.extend_from_slice(&[port.to_be_bytes(), to_port.to_be_bytes()].concat());
            0x21
        }
        _ => 0,
    };
    let mut header = v2::SIGNATURE.to_vec();
    header.extend_from_slice(&[0x21, family]);
    header.extend_from_slice(&(block.len() as u16).to_be_bytes());
    header.extend_from_slice(&block);
    header
}
