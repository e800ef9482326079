//! The memory ceiling: it is announced in the ready line, and no behaviour of peers exceeds it.
//!
//! A peer that does not read its replies keeps a workspace only until the stall time-out; then
//! waiting peers get the workspace. Man pages: proc(5) for RssAnon, unix(7) for the small socket
//! buffers.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use super::server::{PATIENCE, Server, until};
use super::{MIB, ask, pattern, rest, say};
use crate::uninterrupted::uninterrupted;

/// Room for a single workspace: while a peer holds it, all other peers wait.
const SINGLE: [&str; 4] = ["--max-memory", "4850k", "--max-connections", "20"];

/// A server on a local socket. The kernel gives local sockets small buffers, so few bytes fill
/// them.
pub(super) fn local(name: &str, args: &[&str]) -> (Server, String) {
    let path = format!("@mynah-{}-{name}", std::process::id());
    let address = format!("unix:{path}");
    (
        Server::start(&[args, &["--listen", &address]].concat()),
        path,
    )
}

pub(super) fn connect(name: &str) -> UnixStream {
    let address = super::addresses::abstract_name(name);
    let peer = UnixStream::connect_addr(&address).expect("the server listens");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    peer
}

#[test]
fn peers_that_read_nothing_do_not_lift_the_ceiling() {
    let limits = [
        "--max-memory",
        "8m",
        "--max-connections",
        "100",
        "--stall-timeout",
        "off",
    ];
    for service in [
        &["echo"][..],
        &["upper", "--unicode"],
        &["echo", "--frame", "u32be"],
    ] {
        let (server, name) = local("ceiling", &[service, &limits].concat());
        let ceiling = server.announced(" bytes of memory");
        assert!(ceiling <= 8 * MIB as u64);
        let mut peers: Vec<UnixStream> = (0..50).map(|_| connect(&name)).collect();
        let (mut moved, frame) = (0, frame());
        until("every workspace is lent and nothing moves", || {
            peers.iter_mut().for_each(|peer| fill(peer, &frame));
            let (stats, before) = (server.stats(), moved);
            moved = stats.get("bytes_in") + stats.get("bytes_out");
            stats.get("workspace_waits") > 0 && moved == before
        });
        let peak = server.peak();
        say(format_args!(
            "50 peers that read nothing, {}: resident at most {peak} bytes, {ceiling} announced",
            service.join(" ")
        ));
        assert!(
            peak <= ceiling + MIB as u64,
            "{service:?}: {peak} bytes, {ceiling} announced"
        );
        assert_eq!(server.stats().get("connections_now"), 50);
        drop(peers);
        server.end();
    }
}

#[test]
fn a_peer_that_takes_nothing_makes_room_for_waiting_connections() {
    let (server, name) = local(
        "stalled",
        &[&SINGLE[..], &["--stall-timeout", "500ms"]].concat(),
    );
    let _stuck = hold_the_workspace(&server, &name);
    let mut late = connect(&name);
    assert_eq!(ask(&mut late, b"hi"), b"hi");
    let stats = server.stats();
    assert_eq!(
        (stats.get("closed_stalled"), stats.get("connections_now")),
        (1, 1)
    );
    server.end();
}

#[test]
fn a_peer_that_dribbles_its_replies_makes_room_for_waiting_connections() {
    let limits = ["--stall-timeout", "500ms", "--stall-min", "64m"];
    let single = ["--max-memory", "5800k", "--max-connections", "20"];
    let framing = ["--frame", "u32be"];
    let (server, name) = local("dribbler", &[&single[..], &limits, &framing].concat());
    let (mut slow, frame) = (connect(&name), frame());
    slow.write_all(&frame).expect("a workspace holds it");
    until("it is owed more than the kernel holds", || {
        server.stats().get("short_writes") > 0
    });
    let mut late = connect(&name);
    let request = b"\0\0\0\x02hi";
    late.write_all(request).expect("the server will read");
    // A peer that takes all that it is owed is not stalled, however little that is. So this one
    // never takes more than a part of its reply, even if the test is fast.
    let (mut taken, mut some) = (0, [0; 256]);
    until("it took too little", || {
        if taken < frame.len() / 4 {
            taken += uninterrupted(|| slow.read(&mut some)).unwrap_or(0);
        }
        server.stats().get("closed_stalled") == 1
    });
    assert!(taken > 0, "it did take bytes all the while");
    let mut reply = [0; 6];
    late.read_exact(&mut reply).expect("the server answers");
    assert_eq!(&reply, request);
    server.end();
}

#[test]
fn what_a_peer_must_take_in_time_is_what_the_option_says() {
    let common = ["--frame", "u32be", "--stall-timeout", "1s"];
    for (least, ended) in [("1", 0), ("64m", 1)] {
        let args = [&common[..], &["--stall-min", least]].concat();
        let (server, name) = local(&format!("least-{least}"), &args);
        let (mut peer, frame) = (connect(&name), frame());
        peer.set_nonblocking(true).expect("an option");
        let (begin, mut said) = (Instant::now(), 0);
        let mut some = [0; 16 << 10];
        // More than a default would require, but less than the whole reply.
        until("its time was over twice, or it was cut", || {
            while let Ok(count) = peer.write(&frame[said..]) {
                said = (said + count) % frame.len();
            }
            let is_cut = matches!(uninterrupted(|| peer.read(&mut some)), Ok(0));
            thread::sleep(Duration::from_millis(25));
            is_cut || begin.elapsed() > Duration::from_millis(2500)
        });
        assert_eq!(server.stats().get("closed_stalled"), ended, "{least}");
        drop(peer);
        server.signal("TERM");
        server.ended();
    }
}

#[test]
fn a_peer_that_waits_for_memory_is_still_answered_during_a_drain() {
    let (server, name) = local("last", &SINGLE);
    let mut greedy = hold_the_workspace(&server, &name);
    let mut late = connect(&name);
    late.write_all(b"hi").expect("the server will read");
    until("it waits", || server.stats().get("workspace_waits") > 0);
    server.signal("TERM");
    server.hears("draining");
    greedy.set_nonblocking(false).expect("an option");
    // A clean end and a reset for unread input are both accepted here.
    let _ = greedy.read_to_end(&mut Vec::new());
    assert_eq!(rest(&mut late), b"hi");
    assert_eq!(server.ended().code, Some(0));
}

/// A peer that is owed more than it reads.
fn hold_the_workspace(server: &Server, name: &str) -> UnixStream {
    let (mut peer, frame) = (connect(name), frame());
    until("it is owed too much", || {
        fill(&mut peer, &frame);
        server.stats().get("short_writes") > 0
    });
    peer
}

/// Writes the frame repeatedly until the kernel refuses.
fn fill(peer: &mut UnixStream, frame: &[u8]) {
    peer.set_nonblocking(true).expect("an option");
    let blocked = loop {
        if let Err(error) = peer.write(frame) {
            break error.kind();
        }
    };
    assert_eq!(blocked, ErrorKind::WouldBlock);
}

/// A `u32be` frame of 1 MiB; without framing it is plain data.
fn frame() -> Vec<u8> {
    [&(MIB as u32 - 4).to_be_bytes()[..], &pattern(MIB - 4)].concat()
}
