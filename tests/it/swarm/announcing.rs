//! Headers of the PROXY protocol as a load balancer writes them, and wrong ones.
//!
//! Written from the specification (proxy-protocol.txt of HAProxy), without code of the server. The
//! addresses look like those of the simulated peers, because `run` says them. A header stands in
//! front of the first byte of a talk; its meaning for the talk is in `script`.

use crate::sim::Dice;

/// The longest header that is drawn, which must fit into a workspace.
pub const HEADER_MAX: usize = 200;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const TYPE_CRC32C: u8 = 3;
const TYPE_NOTHING: u8 = 4;

/// A header that announces a client, the load balancer itself, or an unknown one.
pub fn header(dice: &mut Dice) -> Vec<u8> {
    let machine = 1 + dice.below(3);
    let port = 10_000 + dice.below(50_000);
    match dice.below(5) {
        0 => format!("PROXY TCP4 127.0.0.{machine} 127.0.0.1 {port} 7\r\n").into_bytes(),
        1 => b"PROXY UNKNOWN anything at all\r\n".to_vec(),
        // LOCAL has no address that counts.
        2 => second(dice, 0x20, 0x00, &[], true),
        _ => {
            let ports = [port as u16, 7].map(u16::to_be_bytes).concat();
            let addresses = [[127, 0, 0, machine as u8], [127, 0, 0, 1]].concat();
            second(dice, 0x21, 0x11, &[addresses, ports].concat(), true)
        }
    }
}

/// What no load balancer sends. The first byte may show it, or only the last.
pub fn lie(dice: &mut Dice) -> Vec<u8> {
    match dice.below(5) {
        0 => b"GET / HTTP/1.1\r\n".to_vec(),
        1 => b"PROXY TCP4 127.0.0.256 127.0.0.1 10000 7\r\n".to_vec(),
        2 => [b"PROXY UNKNOWN " as &[u8], &[b'x'; 120]].concat(),
        3 => second(dice, 0x31, 0x11, &[0; 12], true),
        _ => second(
            dice,
            0x21,
            0x11,
            &[127, 0, 0, 1, 127, 0, 0, 1, 9, 9, 0, 7],
            false,
        ),
    }
}

/// A header of version 2 with up to two TLVs behind its addresses: padding, and perhaps a checksum,
/// which a header that is not right must have.
fn second(dice: &mut Dice, command: u8, family: u8, addresses: &[u8], is_right: bool) -> Vec<u8> {
    let mut body = addresses.to_vec();
    if dice.chance(0.5) {
        let padding = dice.below(100);
        body.extend([TYPE_NOTHING, 0, padding as u8]);
        body.resize(body.len() + padding, 0);
    }
    let place = (!is_right || dice.chance(0.5)).then(|| {
        body.extend([TYPE_CRC32C, 0, 4, 0, 0, 0, 0]);
        SIGNATURE.len() + 4 + body.len() - 4
    });
    let size = (body.len() as u16).to_be_bytes();
    let mut header = [SIGNATURE, &[command, family], &size, &body].concat();
    if let Some(place) = place {
        let sum = crc32c(&header) ^ u32::from(!is_right);
        header[place..place + 4].copy_from_slice(&sum.to_be_bytes());
    }
    assert!(header.len() <= HEADER_MAX);
    header
}

/// The checksum of Castagnoli, a bit at a time (RFC 3309).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32| (sum >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(sum & 1));
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum))
    });
    !sum
}

#[test]
fn the_checksum_is_that_of_the_standard() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
