//! A trace as packets, in the format pcapng, for tshark(1) and Wireshark.
//!
//! ```text
//!   section header | interface: raw IP (101), nanoseconds | packet | packet | ...
//!
//!   accept, connect   SYN, SYN+ACK, ACK        read 0     FIN of the peer
//!   read, write       data and its ACK         shutdown, close   our FIN
//!                                              ECONNRESET, ECONNREFUSED   RST of the peer
//! ```
//!
//! The packets are made up from the calls: what the loop has seen, not what was on the wire. Each
//! read or write is one packet or several, with the sequence numbers, acknowledgements and
//! checksums of one TCP connection. Datagrams are UDP: each one of a batch is a packet. A local
//! socket is drawn as one of 127.0.0.1 that talks to itself. Bytes that the ring has lost are
//! missing from the packet, whose original length stays: a capture calls that a cut packet. A
//! conversation whose start is lost has no SYN.
//!
//! Sources: pcapng (draft-ietf-opsawg-pcapng), RFC 791, RFC 8200, RFC 768, RFC 9293.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::{Body, Name, Record, Snapshot};
use super::{About, Places};
use crate::kernel::{Address, Time, errno};

/// Payload of one packet: an IP packet has at most 65,535 bytes.
const PAYLOAD_MAX: usize = 60_000;
/// The window that both ends announce: more than is ever unacknowledged here.
const WINDOW: u16 = 0xffff;
/// Ports of local sockets, which have none: ours, and the first one of a peer.
const LOCAL_PORT: u16 = 60_001;
pub(in super::super) const LOCAL_PEER_PORT: u16 = 20_000;
/// So many ports of peers.
pub(in super::super) const LOCAL_PEER_PORTS: u16 = 40_000;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// How far the handshake of a conversation is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// Accepted, and not drawn yet.
    Accepted,
    /// A connect is under way, and its SYN is not drawn yet.
    Connecting,
    /// Our SYN is drawn.
    SynSent,
    Open,
    /// The conversation is over.
    Over,
}

/// One connection, or one datagram socket.
struct Conversation {
    /// Ours and the peer's.
    ends: [SocketAddr; 2],
    /// The next sequence number of both.
    next: [u32; 2],
    has_fin: [bool; 2],
    opening: Opening,
    is_datagram: bool,
}

const OURS: usize = 0;
const PEER: usize = 1;

/// The conversations, by the number of their descriptor.
#[derive(Default)]
struct Conversations {
    places: Places,
    all: Vec<Option<Conversation>>,
}

impl Conversations {
    fn begin(&mut self, descriptor: u32, one: Conversation) {
        let number = u64::from(descriptor);
        match self.places.get(0, number) {
            Some(place) => self.all[place] = Some(one),
            None => {
                self.places.set(0, number, self.all.len());
                self.all.push(Some(one));
            }
        }
    }

    fn of(&mut self, descriptor: u32) -> Option<&mut Conversation> {
        let place = self.places.get(0, u64::from(descriptor))?;
        self.all.get_mut(place)?.as_mut()
    }

    fn end(&mut self, descriptor: u32) {
        if let Some(place) = self.places.get(0, u64::from(descriptor)) {
            self.all[place] = None;
        }
    }
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    about: &'a About,
    packets: u16,
    conversations: u16,
}

pub(super) fn write(snapshot: &Snapshot, about: &About, out: &mut dyn Write) -> io::Result<()> {
    let [command, from] = about.lines(snapshot);
    let mut header = Vec::new();
    header.extend(0x1a2b_3c4d_u32.to_le_bytes());
    header.extend([1, 0, 0, 0]);
    header.extend((-1_i64).to_le_bytes());
    option(&mut header, 1, format!("{command}; {from}").as_bytes());
    option(&mut header, 4, env!("CARGO_PKG_NAME").as_bytes());
    header.extend([0; 4]);
    block(out, 0x0a0d_0d0a, &[&header])?;
    let mut interface = Vec::new();
    // The link type, two bytes that are unused, and no limit of a packet.
    interface.extend([101, 0, 0, 0, 0, 0, 0, 0]);
    option(&mut interface, 9, &[9]);
    interface.extend([0; 4]);
    block(out, 1, &[&interface])?;

    let mut writer = Writer {
        out,
        about,
        packets: 0,
        conversations: 0,
    };
    let mut conversations = Conversations::default();
    for record in snapshot.records() {
        writer.record(snapshot, record, &mut conversations)?;
    }
    Ok(())
}

/// Appends an option: its code, its size, its value, and padding.
fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    block.extend(code.to_le_bytes());
    block.extend((value.len() as u16).to_le_bytes());
    block.extend(value);
    block.resize(block.len().next_multiple_of(4), 0);
}

/// Writes a block: its type, its size, its content, and its size again.
fn block(out: &mut dyn Write, kind: u32, content: &[&[u8]]) -> io::Result<()> {
    let size: usize = content.iter().map(|part| part.len()).sum();
    let padding = size.next_multiple_of(4) - size;
    let size = ((size + padding + 12) as u32).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&size)?;
    for part in content {
        out.write_all(part)?;
    }
    out.write_all(&[0; 3][..padding])?;
    out.write_all(&size)
}

impl Writer<'_> {
    fn record(
        &mut self,
        snapshot: &Snapshot,
        record: &Record,
        conversations: &mut Conversations,
    ) -> io::Result<()> {
        let at = record.at;
        let (name, result, descriptor) = match record.body {
            Body::Call {
                name,
                result,
                descriptor,
                ..
            } => (name, result, descriptor),
            Body::Datagram {
                descriptor,
                is_sent,
                peer,
                size,
            } => {
                let own = snapshot.ends(descriptor).own;
                let mut one = self.conversation(own, Some(peer), Opening::Open);
                one.is_datagram = true;
                let side = if is_sent { OURS } else { PEER };
                let bytes = snapshot.joined(record);
                return self.data(&mut one, side, at, &bytes, size as usize);
            }
            Body::State { .. } | Body::Line => return Ok(()),
        };
        match (name, result, descriptor) {
            (Name::Accept, Ok(new), _) => {
                let accepted = self.conversation(None, None, Opening::Accepted);
                conversations.begin(new as u32, accepted);
            }
            (Name::Connect, Ok(new), _) => {
                let to = address(snapshot, record);
                let mut connecting = self.conversation(None, None, Opening::Connecting);
                connecting.is_datagram = to.as_ref().is_some_and(Address::is_datagrams);
                connecting.set(PEER, internet(to));
                conversations.begin(new as u32, connecting);
            }
            (Name::Peer, Ok(_), Some(number)) => {
                if let Some(one) = conversations.of(number) {
                    one.set(PEER, internet(address(snapshot, record)));
                }
            }
            (Name::Local, Ok(_), Some(number)) => {
                if let Some(one) = conversations.of(number) {
                    one.set(OURS, internet(address(snapshot, record)));
                    self.open(one, at, false)?;
                }
            }
            (Name::TakeError, Ok(_), Some(number)) => {
                if let Some(one) = conversations.of(number) {
                    self.open(one, at, true)?;
                }
            }
            (Name::Read | Name::Write, Ok(count), Some(number)) => {
                let side = if name == Name::Read { PEER } else { OURS };
                if conversations.of(number).is_none() {
                    let ends = snapshot.ends(number);
                    let mut one = self.conversation(ends.own, ends.peer, Opening::Open);
                    one.is_datagram = ends.is_datagram;
                    conversations.begin(number, one);
                }
                let Some(one) = conversations.of(number) else {
                    return Ok(());
                };
                self.open(one, at, true)?;
                if count == 0 && !one.is_datagram {
                    return self.finish(one, side, at);
                }
                let bytes = snapshot.joined(record);
                self.data(one, side, at, &bytes, count)?;
            }
            (Name::Shutdown, Ok(_), Some(number)) => {
                if let Some(one) = conversations.of(number) {
                    self.finish(one, OURS, at)?;
                }
            }
            (Name::Close, _, Some(number)) => {
                if let Some(one) = conversations.of(number) {
                    self.open(one, at, false)?;
                    self.finish(one, OURS, at)?;
                    conversations.end(number);
                }
            }
            (_, Err(errno::ECONNRESET | errno::ECONNREFUSED), Some(number)) => {
                if let Some(one) = conversations.of(number) {
                    self.open(one, at, false)?;
                    self.reset(one, at)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A conversation between these ends. Unknown ones are made up.
    fn conversation(
        &mut self,
        own: Option<SocketAddr>,
        peer: Option<SocketAddr>,
        opening: Opening,
    ) -> Conversation {
        self.conversations = (self.conversations + 1) % LOCAL_PEER_PORTS;
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let peer_port = LOCAL_PEER_PORT + self.conversations;
        let mut one = Conversation {
            ends: [
                SocketAddr::new(localhost, LOCAL_PORT),
                SocketAddr::new(localhost, peer_port),
            ],
            next: [1, 1],
            has_fin: [false; 2],
            opening,
            is_datagram: false,
        };
        one.set(OURS, own);
        one.set(PEER, peer);
        one
    }

    /// Draws the handshake, as far as it is known to have gone: `is_done` if both ends have taken
    /// part.
    fn open(&mut self, one: &mut Conversation, at: Time, is_done: bool) -> io::Result<()> {
        if one.is_datagram {
            one.opening = Opening::Open;
            return Ok(());
        }
        let opening = one.opening;
        if opening == Opening::Accepted {
            self.packet(one, PEER, SYN, at, &[], 0)?;
            self.packet(one, OURS, SYN | ACK, at, &[], 0)?;
            self.packet(one, PEER, ACK, at, &[], 0)?;
            one.opening = Opening::Open;
        }
        if opening == Opening::Connecting {
            self.packet(one, OURS, SYN, at, &[], 0)?;
            one.opening = Opening::SynSent;
        }
        if one.opening == Opening::SynSent && is_done {
            self.packet(one, PEER, SYN | ACK, at, &[], 0)?;
            self.packet(one, OURS, ACK, at, &[], 0)?;
            one.opening = Opening::Open;
        }
        Ok(())
    }

    /// `count` bytes have moved from `side` to the other one; `bytes` of them are known.
    fn data(
        &mut self,
        one: &mut Conversation,
        side: usize,
        at: Time,
        bytes: &[u8],
        count: usize,
    ) -> io::Result<()> {
        if one.opening == Opening::Over {
            return Ok(());
        }
        let mut sent = 0;
        loop {
            // A datagram is one packet, and is never too large for one.
            let size = match one.is_datagram {
                true => count,
                false => (count - sent).min(PAYLOAD_MAX),
            };
            let known = &bytes[sent.min(bytes.len())..(sent + size).min(bytes.len())];
            self.packet(one, side, PSH | ACK, at, known, size)?;
            if !one.is_datagram {
                self.packet(one, 1 - side, ACK, at, &[], 0)?;
            }
            sent += size;
            if sent >= count {
                return Ok(());
            }
        }
    }

    /// The stream of `side` has ended.
    fn finish(&mut self, one: &mut Conversation, side: usize, at: Time) -> io::Result<()> {
        if one.is_datagram || one.opening != Opening::Open || one.has_fin[side] {
            return Ok(());
        }
        one.has_fin[side] = true;
        self.packet(one, side, FIN | ACK, at, &[], 0)?;
        self.packet(one, 1 - side, ACK, at, &[], 0)
    }

    /// The peer has reset the connection, or refused it.
    fn reset(&mut self, one: &mut Conversation, at: Time) -> io::Result<()> {
        if one.is_datagram || one.opening == Opening::Over {
            return Ok(());
        }
        self.packet(one, PEER, RST | ACK, at, &[], 0)?;
        one.opening = Opening::Over;
        Ok(())
    }

    /// Writes one packet of `size` bytes of payload, of which the first are `known`.
    fn packet(
        &mut self,
        one: &mut Conversation,
        side: usize,
        flags: u8,
        at: Time,
        known: &[u8],
        size: usize,
    ) -> io::Result<()> {
        let (from, to) = (one.ends[side], one.ends[1 - side]);
        self.packets = self.packets.wrapping_add(1);
        let mut segment = Vec::with_capacity(20);
        segment.extend(from.port().to_be_bytes());
        segment.extend(to.port().to_be_bytes());
        let (protocol, checksum_at) = match one.is_datagram {
            true => {
                segment.extend((8 + size as u16).to_be_bytes());
                segment.extend([0; 2]);
                (17, 6)
            }
            false => {
                segment.extend(one.next[side].to_be_bytes());
                let acknowledged = match flags & ACK {
                    0 => 0,
                    _ => one.next[1 - side],
                };
                segment.extend(acknowledged.to_be_bytes());
                segment.extend([5 << 4, flags]);
                segment.extend(WINDOW.to_be_bytes());
                segment.extend([0; 4]);
                let in_sequence = size + usize::from(flags & (SYN | FIN) != 0);
                one.next[side] = one.next[side].wrapping_add(in_sequence as u32);
                (6, 16)
            }
        };
        let length = segment.len() + size;
        let mut pseudo = addresses(from.ip(), to.ip());
        pseudo.extend((length as u32).to_be_bytes());
        pseudo.extend([0, 0, 0, protocol]);
        let sum = match sum(&[&pseudo, &segment, known]) {
            // 0 stands for no checksum in UDP.
            0 if one.is_datagram => 0xffff,
            sum => sum,
        };
        segment[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        let header = header(from.ip(), to.ip(), protocol, length, self.packets);
        let kept = header.len() + segment.len() + known.len();
        let original = header.len() + length;
        let nanoseconds = self.about.time_of_day(at);
        let mut front = Vec::with_capacity(20);
        front.extend([0; 4]);
        front.extend(((nanoseconds >> 32) as u32).to_le_bytes());
        front.extend((nanoseconds as u32).to_le_bytes());
        front.extend((kept as u32).to_le_bytes());
        front.extend((original as u32).to_le_bytes());
        block(self.out, 6, &[&front, &header, &segment, known])
    }
}

impl Conversation {
    /// The address of one end. Both ends have to be of one family.
    fn set(&mut self, side: usize, address: Option<SocketAddr>) {
        let Some(address) = address else { return };
        self.ends[side] = address;
        let other = &mut self.ends[1 - side];
        if other.is_ipv4() != address.is_ipv4() {
            other.set_ip(match address {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
    }
}

/// The address that a call has named or returned.
fn address(snapshot: &Snapshot, record: &Record) -> Option<Address> {
    let text = String::from_utf8(snapshot.joined(record)).ok()?;
    text.parse().ok()
}

fn internet(address: Option<Address>) -> Option<SocketAddr> {
    match address? {
        Address::Tcp(address) | Address::Udp(address) => Some(address),
        _ => None,
    }
}

fn addresses(from: IpAddr, to: IpAddr) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (from, to) => {
            let octets = |ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            [octets(from), octets(to)].concat()
        }
    }
}

/// The header of IPv4 or IPv6 in front of `length` bytes.
fn header(from: IpAddr, to: IpAddr, protocol: u8, length: usize, number: u16) -> Vec<u8> {
    let mut header = Vec::with_capacity(40);
    if from.is_ipv6() {
        header.extend([0x60, 0, 0, 0]);
        header.extend((length as u16).to_be_bytes());
        header.extend([protocol, 64]);
    } else {
        header.extend([0x45, 0]);
        header.extend((20 + length as u16).to_be_bytes());
        header.extend(number.to_be_bytes());
        // Do not fragment; 64 hops.
        header.extend([0x40, 0, 64, protocol, 0, 0]);
    }
    header.extend(addresses(from, to));
    if from.is_ipv4() {
        let sum = sum(&[&header]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    header
}

/// The checksum of RFC 1071. All parts but the last have an even size.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_example_in_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&[&bytes]), !0xddf2);
        assert_eq!(sum(&[&bytes[..4], &bytes[4..]]), !0xddf2);
        assert_eq!(sum(&[&[1]]), !0x0100);
    }

    #[test]
    fn a_block_ends_at_a_multiple_of_four_and_tells_its_size_twice() -> io::Result<()> {
        for size in 0..9 {
            let mut out = Vec::new();
            block(&mut out, 6, &[&vec![b'x'; size]])?;
            assert_eq!(out.len() % 4, 0);
            let told = (out.len() as u32).to_le_bytes();
            assert_eq!((&out[4..8], &out[out.len() - 4..]), (&told[..], &told[..]));
        }
        Ok(())
    }
}
