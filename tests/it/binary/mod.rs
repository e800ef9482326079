//! The real binary on the real kernel, tested as its users meet it.
//!
//! Each test starts its own server, uses sockets and signals, and watches the server through
//! `/proc` (see `server`). A test whose requirements this machine does not meet (strace, nc, IPv6,
//! descriptors) is skipped with a line on stderr, see [`crate::skip`]. Some tests also measure; run
//! with `--nocapture` and `--release`, they print the figures of the README.

mod accept;
mod activation;
mod addresses;
#[cfg(feature = "auth")]
mod auth;
mod balancers;
mod bare;
mod bytes;
mod calls;
mod command_line;
mod crowd;
mod datagrams;
mod dead;
mod deployment;
mod ending;
#[cfg(not(feature = "auth"))]
mod features;
mod groups;
mod hostile;
mod inetd;
mod injected;
mod kernel_options;
mod little;
mod memory;
mod metrics;
mod missing;
mod models;
mod networks;
mod notices;
mod others;
mod processes;
mod proxy;
mod rates;
mod run;
mod server;
mod streams;
mod submit;
#[cfg(feature = "auth")]
mod sum;
mod sums;
mod supervision;
mod takeover;
mod trace;
mod user;
mod wiretap;
mod workers;

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};

pub(crate) use crate::skip::is_installed;
use crate::skip::{has_descriptors, skip};
#[cfg(any(feature = "auth", feature = "tls"))]
pub(crate) use server::Ended;
#[cfg(feature = "auth")]
pub(crate) use server::Stats;
pub(crate) use server::{Server, until};

const MIB: usize = 1 << 20;

/// Fits under any descriptor limit, so that no warning line is added to the expected output.
const FEW: [&str; 2] = ["--max-connections", "100"];

/// Prints a measured figure past the output capture of the test runner.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// `count` bytes with a period of 251, so that a shift is detected.
fn pattern(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

/// Sends a request and reads a reply of the same length.
fn ask(peer: &mut (impl Read + Write), request: &[u8]) -> Vec<u8> {
    peer.write_all(request).expect("the server reads");
    let mut reply = vec![0; request.len()];
    peer.read_exact(&mut reply).expect("the server answers");
    reply
}

/// Everything until the end of the stream.
fn rest(peer: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).expect("the stream ends well");
    bytes
}

/// Writes without reading until the server's send buffer is full and the server stops reading.
/// Returns the number of bytes written. The peer must be non-blocking.
fn stuff(server: &Server, peer: &mut impl Write) -> usize {
    let chunk = pattern(251 * 256);
    let (mut written, mut moved_before) = (0, 0);
    loop {
        let went_before = written;
        loop {
            // Each write starts at a multiple of the period, so the pattern continues without a
            // gap.
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
