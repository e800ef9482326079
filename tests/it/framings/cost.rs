//! The cost of a peer that sends byte by byte, measured in bytes examined, never in time.

use mynah::protocol::framing::{Decoded, Framing};

/// An upper bound on the bytes that the framing examines until it has one frame of this stream,
/// which arrives byte by byte: the bytes after the position that the hint remembers. `poison` is
/// written before that position to show that no earlier byte is examined.
fn bytes_looked_at(spec: &str, stream: &[u8], poison: u8) -> usize {
    let framing = Framing::parse(spec).expect("a framing");
    let (mut bytes, mut scanned, mut total) = (stream.to_vec(), 0, 0);
    for arrived in 1..=stream.len() {
        total += arrived - scanned;
        match framing.decode(&bytes[..arrived], scanned) {
            Decoded::Incomplete { scanned: now } => {
                assert!((scanned..=arrived).contains(&now), "{spec} forgets");
                bytes[scanned..now.saturating_sub(1).max(scanned)].fill(poison);
                scanned = now;
            }
            Decoded::Frame(bounds) => {
                assert_eq!(bounds.frame, stream.len(), "{spec} scanned back");
                assert_eq!(arrived, stream.len());
                return total;
            }
            Decoded::Wrong(error) => panic!("{spec}: {error}"),
        }
    }
    panic!("{spec}: the frame never ended")
}

const SIZE: usize = 1 << 20;

#[test]
fn a_line_of_a_mebibyte_sent_byte_by_byte_is_examined_once() {
    let stream = [&vec![b'x'; SIZE][..], b"\n"].concat();
    let looked_at = bytes_looked_at("line", &stream, b'\n');
    assert_eq!(looked_at, stream.len());
}

#[test]
fn a_delimiter_of_eight_bytes_examines_each_byte_at_most_eight_times() {
    let stream = [&vec![b'a'; SIZE][..], b"aaaaaaab"].concat();
    let looked_at = bytes_looked_at("delim:6161616161616162", &stream, b'b');
    assert!(looked_at <= 8 * stream.len(), "{looked_at}");
}

#[test]
fn the_search_for_a_delimiter_of_64_bytes_resumes_where_the_delimiter_may_have_begun() {
    let (a, b) = ("61".repeat(63), "62");
    let looked_at = |text: &[u8]| {
        let stream = [text, &[b'a'; 63], b"b"].concat();
        bytes_looked_at(&format!("delim:{a}{b}"), &stream, b'b')
    };
    // In a text that begins no delimiter, each byte is examined once.
    assert!(looked_at(&vec![b'x'; SIZE]) <= SIZE + 64 * 64);
    // In a text that keeps beginning a delimiter, each further byte needs only the bytes of the
    // delimiter that have begun.
    assert!(looked_at(&vec![b'a'; SIZE]) <= 64 * (SIZE + 64));
}
