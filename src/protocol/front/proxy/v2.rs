//! Version 2: bytes, for programs.
//!
//! ```text
//!   0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a | 2C | FT | length: 2 | addresses | TLVs
//!      C  0 LOCAL, 1 PROXY      F  0 unspecified, 1 IPv4, 2 IPv6, 3 local      T  0, 1 or 2
//! ```
//!
//! The length counts what is behind the first 16 bytes. It is judged there: a header longer than
//! [`PROXY_HEADER_MAX`] is refused before its bytes have come. A TLV is a type, a length of two
//! bytes and a value; all are skipped but the checksum. LOCAL is the load balancer itself, and
//! what it says about addresses is ignored. Section 2.2 of the specification.

use super::{LOCAL_SIZE, LocalName, Parsed, Source, crc32c};
use crate::limits::PROXY_HEADER_MAX;

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes up to the end of the length.
pub(super) const FRONT: usize = 16;
/// The TLV with the checksum, `PP2_TYPE_CRC32C`.
const CHECKSUM: u8 = 3;

/// `bytes` agree with the signature as far as both go.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    // Each byte is judged as soon as it is there.
    let (command, family) = (bytes.get(12), bytes.get(13));
    if command.is_some_and(|byte| !matches!(byte, 0x20 | 0x21)) {
        return Parsed::Wrong("version and command are neither 20 nor 21");
    }
    // Behind LOCAL the family is ignored (section 2.2).
    let is_unknown = |byte: &u8| byte >> 4 > 3 || byte & 0xf > 2;
    if command == Some(&0x21) && family.is_some_and(is_unknown) {
        return Parsed::Wrong("the family is unknown");
    }
    let (Some(&command), Some(&family)) = (command, family) else {
        return Parsed::Incomplete;
    };
    let Some(&[high, low]) = bytes.get(14..FRONT) else {
        return Parsed::Incomplete;
    };
    let size = FRONT + usize::from(u16::from_be_bytes([high, low]));
    if size > PROXY_HEADER_MAX {
        return Parsed::Wrong("the header is longer than 4 KiB");
    }
    let addresses = match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 2 * LOCAL_SIZE,
        _ => 0,
    };
    let is_local = command == 0x20;
    if !is_local && size < FRONT + addresses {
        return Parsed::Wrong("the length is shorter than the addresses");
    }
    let Some(header) = bytes.get(..size) else {
        return Parsed::Incomplete;
    };
    let block = header.get(FRONT..FRONT + addresses);
    let tlvs = header.get(FRONT + addresses..).unwrap_or(&[]);
    match checksum(tlvs) {
        Ok(None) => {}
        Ok(Some((given, place))) => {
            if given != crc32c::without(header, FRONT + addresses + place) {
                return Parsed::Wrong("the checksum is wrong");
            }
        }
        // Of these two only the checksum is looked for.
        Err(_) if is_local || family == 0 => {}
        Err(reason) => return Parsed::Wrong(reason),
    }
    let source = match (is_local, block) {
        (false, Some(block)) => source(family >> 4, block),
        _ => Source::Peer,
    };
    Parsed::Header { size, source }
}

/// The source of a block of addresses, whose length is that of its family.
fn source(family: u8, block: &[u8]) -> Source {
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    match family {
        1 => Source::Ipv4([block[0], block[1], block[2], block[3]], port(8)),
        2 => {
            let mut address = [0; 16];
            address.copy_from_slice(&block[..16]);
            Source::Ipv6(address, port(32))
        }
        3 => {
            let mut name = [0; LOCAL_SIZE];
            name.copy_from_slice(&block[..LOCAL_SIZE]);
            Source::Local(LocalName(name))
        }
        _ => Source::Peer,
    }
}

/// The checksum among the TLVs, and where its value begins.
fn checksum(tlvs: &[u8]) -> Result<Option<(u32, usize)>, &'static str> {
    let mut found = None;
    let mut at = 0;
    while at < tlvs.len() {
        let Some(&[kind, high, low]) = tlvs.get(at..at + 3) else {
            return Err("a TLV ends behind the header");
        };
        at += 3;
        let size = usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = tlvs.get(at..at + size) else {
            return Err("a TLV ends behind the header");
        };
        if kind == CHECKSUM {
            let &[a, b, c, d] = value else {
                return Err("the checksum has not four bytes");
            };
            found = Some((u32::from_be_bytes([a, b, c, d]), at));
        }
        at += size;
    }
    Ok(found)
}
