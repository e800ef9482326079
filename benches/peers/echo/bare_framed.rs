//! The bare loop with frames: it reads each u32be length, and echoes all complete frames with one
//! send.
//!
//! The rest of a partial frame is kept for its connection and put in front of the next read. This
//! is the least work a framed echo can do, so it is the lower bound for framed servers.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;

use super::poll;

const READ_SIZE: usize = 64 << 10;
const FRAME_SIZE_MAX: usize = 1 << 20;
const HEADER_SIZE: usize = 4;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let mut buffer = vec![0; FRAME_SIZE_MAX + READ_SIZE];
    let mut rests: HashMap<i32, Vec<u8>> = HashMap::new();
    poll::run(listener, |socket| {
        // This check comes first, because an empty map answers it without hashing.
        let rest = match rests.is_empty() {
            true => Vec::new(),
            false => rests.remove(&socket).unwrap_or_default(),
        };
        buffer[..rest.len()].copy_from_slice(&rest);
        let count = poll::receive(socket, &mut buffer[rest.len()..][..READ_SIZE]);
        let filled = rest.len() + count;
        let Some(whole) = whole_frames(&buffer[..filled]) else {
            return false;
        };
        if whole < filled {
            rests.insert(socket, buffer[whole..filled].to_vec());
        }
        count > 0 && poll::send(socket, &buffer[..whole])
    })
}

/// Number of bytes in complete frames; `None` if a frame is too long.
#[inline]
fn whole_frames(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(header) = bytes[at..].first_chunk::<HEADER_SIZE>() {
        let size = HEADER_SIZE + u32::from_be_bytes(*header) as usize;
        if size > FRAME_SIZE_MAX {
            return None;
        }
        if size > bytes.len() - at {
            break;
        }
        at += size;
    }
    Some(at)
}
