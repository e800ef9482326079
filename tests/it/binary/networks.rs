//! The program over bad networks.
//!
//! `tests/elsewhere/networks` makes namespaces and a wire between them that loses, doubles, delays
//! and forges packets. It plays long cases by hand; here its sample runs: loss with duplicates and
//! reordering, forged resets, and connects into a hole. Skipped where no namespace can be made.

use std::process::Command;

use super::{is_installed, say, skip};
use crate::program;

/// The script's exit code where no bad network can be made.
const NO_NETWORK: i32 = 77;

#[test]
fn no_byte_is_wrong_over_a_bad_network_and_dead_ones_are_given_up() {
    let needed = ["python3", "ip", "unshare", "nsenter"];
    if !needed.into_iter().all(is_installed) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/elsewhere/networks");
    let output = Command::new("python3")
        .args([script, "--sample"])
        .env("MYNAH", program::path())
        .env_remove("RUST_LOG")
        .output()
        .expect("python3 is there");
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(NO_NETWORK) {
        return skip(text.trim());
    }
    say(&text);
    assert!(output.status.success(), "{output:?}");
}
