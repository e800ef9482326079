//! The program itself, as its users meet it: the real binary on the real kernel.
//!
//! Each play starts a server of its own, talks to it through sockets and signals, and watches it
//! through `/proc`. A play whose needs this machine does not meet (strace, nc, IPv6, descriptors)
//! is skipped with a line on stderr, see [`crate::skip`]. Some plays also measure; with
//! `--nocapture` and `--release` their lines are the figures of the README.

mod addresses;
mod bytes;
mod calls;
mod command_line;
mod crowd;
mod dead;
mod ending;
mod hostile;
mod injected;
mod memory;
mod others;
mod run;
mod server;
mod streams;
mod sums;
mod supervision;
mod told_kernel;
mod workers;

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};

pub(crate) use crate::skip::is_installed;
use crate::skip::{has_descriptors, skip};
use server::Server;
pub(crate) use server::until;

const MIB: usize = 1 << 20;

/// As many as fit under any descriptor limit, so that no warning joins the line that is expected.
const FEW: [&str; 2] = ["--max-connections", "100"];

/// Prints a measured figure past the output capture of the test runner.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// `count` bytes that repeat only every 251, so that a shift shows.
fn pattern(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

/// Sends a request and takes as many bytes as it has.
fn ask(peer: &mut (impl Read + Write), request: &[u8]) -> Vec<u8> {
    peer.write_all(request).expect("the server reads");
    let mut reply = vec![0; request.len()];
    peer.read_exact(&mut reply).expect("the server answers");
    reply
}

/// All that still comes.
fn rest(peer: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).expect("the stream ends well");
    bytes
}

/// Writes without reading until the server can write no more and takes no more; tells how much went
/// out. The peer must not block.
fn stuff(server: &Server, peer: &mut impl Write) -> usize {
    let chunk = pattern(251 * 256);
    let (mut written, mut moved_before) = (0, 0);
    loop {
        let went_before = written;
        loop {
            // Cycles of the pattern join up only where a write begins with its beginning.
            match peer.write(&chunk[written % 251..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let stats = server.stats();
        let moved = stats.get("bytes_in") + stats.get("bytes_out");
        if stats.get("short_writes") > 0 && (written, moved) == (went_before, moved_before) {
            return written;
        }
        moved_before = moved;
    }
}
