//! The cost of an echo in system calls, as counted by strace(1).
//!
//! Expected: per request one read, one write and a share of a wait; per connection one accept4, one
//! epoll_ctl and one close.
//!
//! The tracer runs as a detached grandchild (`-D`), so the server stays the child of the test and
//! can be signalled and reaped.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::server::{Server, until};
use super::{is_installed, say};

const REQUESTS: u64 = 10_000;

/// Plays ping-pong over `peers` connections. Returns the calls by name and the server's own
/// statistics.
fn calls(peers: u64, trigger: &str) -> HashMap<String, u64> {
    let name = format!("mynah-{}-{peers}-{trigger}.strace", std::process::id());
    let report = std::env::temp_dir().join(name);
    let path = report.to_str().expect("a path in UTF-8");
    let strace = ["strace", "-D", "-c", "-f", "-o", path];
    let server = Server::start_under(&strace, &[], &["--trigger", trigger]);
    let mut streams: Vec<TcpStream> = (0..peers).map(|_| server.connect()).collect();
    let mut reply = [0; 64];
    for _ in 0..REQUESTS / peers {
        for stream in &mut streams {
            stream.write_all(&[b'.'; 64]).expect("the server reads");
        }
        for stream in &mut streams {
            stream.read_exact(&mut reply).expect("the server answers");
        }
    }
    drop(streams);
    until("all are gone", || {
        server.stats().get("connections_now") == 0
    });
    let stats = server.stats();
    server.end();
    // The tracer exits shortly after the server.
    until("strace has reported", || {
        fs::read_to_string(&report).is_ok_and(|text| text.trim_end().ends_with("total"))
    });
    let table = fs::read_to_string(&report).expect("a report");
    fs::remove_file(&report).expect("the report is ours");
    let counted: HashMap<String, u64> = table.lines().filter_map(row).collect();
    assert_eq!(counted["recvfrom"], stats.get("recv"));
    assert_eq!(counted["sendto"], stats.get("send"));
    counted
}

/// Parses a row of the strace table: the count is field 4, the name is the last field.
fn row(line: &str) -> Option<(String, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let count = words.get(3)?.parse().ok()?;
    Some(((*words.last()?).to_owned(), count))
}

#[test]
fn a_request_costs_one_read_one_write_and_its_share_of_a_wait() {
    if !is_installed("strace") {
        return;
    }
    for (peers, trigger) in [(1, "level"), (1, "edge"), (100, "level"), (100, "edge")] {
        let counted = calls(peers, trigger);
        let of = |name: &str| counted.get(name).copied().unwrap_or(0);
        let waits = of("epoll_wait") + of("epoll_pwait") + of("epoll_pwait2");
        let per_request = |count: u64| count as f64 / REQUESTS as f64;
        say(format_args!(
            "{REQUESTS} requests over {peers} connections, {trigger}: recvfrom {}, sendto {}, \
             waits {waits}, epoll_ctl {}, accept4 {}, all calls of the run {}: \
             {:.3} reads and writes and {:.3} waits a request",
            of("recvfrom"),
            of("sendto"),
            of("epoll_ctl"),
            of("accept4"),
            of("total"),
            per_request(of("recvfrom") + of("sendto")),
            per_request(waits),
        ));
        assert_eq!(of("sendto"), REQUESTS);
        // Each connection needs one more read for the end of its stream, and may need one read
        // without data: the server reads from a new connection before it registers the socket.
        let reads = of("recvfrom") - REQUESTS;
        assert!(
            (peers..=2 * peers).contains(&reads),
            "{reads} more reads than requests"
        );
        // One per connection, plus the listener, the signalfd, the eventfd and the timerfd.
        assert_eq!(of("epoll_ctl"), peers + 4);
        assert!(waits <= REQUESTS + 3 * peers + 20, "{waits} waits");
        assert!(of("accept4") <= 2 * peers + 1, "{} accepts", of("accept4"));
    }
}
