//! Peers that are gone without a word, on the real kernel: what went wrong is not that they said
//! something, but that they never will again.
//!
//! A namespace has a network of its own, in which a wall can be put up (`dead.py`); that takes the
//! rights of root, or of a user who may make namespaces. It lasts as long as the longest time-out,
//! a minute and a half, so it is called by name and no part of `cargo test`.

use std::process::Command;
use std::time::Duration;

use mynah::limits::{KEEPALIVE, STALL_TIMEOUT_DEFAULT, USER_TIMEOUT};

use super::{is_installed, say, skip};
use crate::program;

const WALL: &str = include_str!("dead.py");
/// How long the kernel's timers, and a look in so often, may be behind.
const GRACE: Duration = Duration::from_secs(10);

#[test]
#[ignore = "a minute and a half"]
fn whoever_a_wall_of_silence_has_taken_is_given_up_in_time() {
    if !["unshare", "python3", "ip", "ss"]
        .into_iter()
        .all(is_installed)
    {
        return;
    }
    let may = Command::new("unshare").args(["-rn", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        return skip("no network namespace can be made here");
    }
    let output = Command::new("unshare")
        .args(["-rn", "python3", "-c", WALL, program::path()])
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout);
    say(format_args!(
        "given up after seconds: {}",
        text.replace('\n', ", ")
    ));
    for (peer, bound) in [
        // It reads nothing, and there is more for it than the kernel holds.
        ("full", STALL_TIMEOUT_DEFAULT),
        // It was sent an answer that never arrives.
        ("owed", USER_TIMEOUT),
        // Nothing is under way: only a probe can tell.
        ("idle", KEEPALIVE + USER_TIMEOUT),
    ] {
        let line = text.lines().find_map(|line| line.strip_prefix(peer));
        let seconds: f64 = line
            .and_then(|line| line.trim().parse().ok())
            .unwrap_or_else(|| panic!("{peer} was never given up: {output:?}"));
        assert!(
            seconds <= (bound + GRACE).as_secs_f64(),
            "{peer}: {seconds} s"
        );
    }
    assert!(text.ends_with("exit 0\n"), "{output:?}");
}
