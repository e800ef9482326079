//! Peers that become unreachable without FIN or RST, on the real kernel.
//!
//! `dead.py` runs in a network namespace and drops all packets between the peers and the server.
//! The server must close each connection by one of its time-outs or by TCP keep-alive.
//!
//! A namespace needs root or the right to create user namespaces. The test lasts a minute and a
//! half, as long as the longest time-out. So it is ignored by default and is run by name. Man
//! pages: network_namespaces(7), tcp(7).

use std::process::Command;
use std::time::Duration;

use mynah::limits::{KEEPALIVE, STALL_TIMEOUT_DEFAULT, USER_TIMEOUT};

use super::{is_installed, say, skip};
use crate::program;

const WALL: &str = include_str!("dead.py");
/// Tolerance: kernel timers are coarse, and the script only polls.
const GRACE: Duration = Duration::from_secs(10);

#[test]
#[ignore = "a minute and a half"]
fn unreachable_peers_are_closed_within_their_time_outs() {
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
        // The peer reads nothing, and the server owes it more than the kernel buffers hold.
        ("full", STALL_TIMEOUT_DEFAULT),
        // The server has sent a reply that never arrives.
        ("owed", USER_TIMEOUT),
        // No data is in flight: only a keep-alive probe detects the loss.
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
