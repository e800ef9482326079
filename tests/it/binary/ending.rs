//! The end of the server: drain on SIGTERM, the second signal, time-outs, and the exit codes.
//!
//! A drain delivers every reply that is owed, is bounded by `--drain-timeout`, and ends with exit
//! code 0, or 10 if connections were cut. Man pages: signal(7), tcp(7), unix(7), proc(5).

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::memory::{connect, local};
use super::server::{Server, until};
use super::{MIB, ask, pattern, rest, stuff};
use crate::program;
use crate::uninterrupted::uninterrupted;

/// Fits the send buffer of a socket whose slow peer needs seconds to read it.
const KERNEL_HOLDS: usize = 300_000;

/// Fits the buffers of a local socket.
const LOCAL_HOLDS: usize = 50_000;

/// A server that owes its peer megabytes.
fn indebted(args: &[&str]) -> (Server, TcpStream) {
    let server = Server::start(args);
    let mut peer = server.connect();
    peer.set_nonblocking(true).expect("an option");
    let sent = stuff(&server, &mut peer);
    peer.set_nonblocking(false).expect("an option");
    assert!(sent > MIB);
    (server, peer)
}

#[test]
fn the_end_waits_until_every_reply_is_delivered() {
    for args in [
        &["--trigger", "level"][..],
        &["--trigger", "edge"],
        &["--threads", "4"],
        &["upper"],
    ] {
        let (server, mut peer) = indebted(args);
        let arrived = server.stats().get("bytes_in") as usize + unread(&server, &peer);
        server.signal("TERM");
        server.hears("draining");
        // Requests that the server has not read are not answered, and closing with unread input
        // sends RST instead of FIN.
        let mut reply = Vec::new();
        if let Err(error) = peer.read_to_end(&mut reply) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert!(
            reply.len() >= arrived,
            "{args:?}: {} of {arrived} bytes",
            reply.len()
        );
        let mut expected = pattern(reply.len());
        if args[0] == "upper" {
            expected.make_ascii_uppercase();
        }
        assert!(reply == expected, "{args:?}");
        drop(peer);
        let ended = server.ended();
        assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    }
}

/// The receive queue of the server's socket: bytes that the server has not read yet, from `net/tcp`
/// in proc(5).
fn unread(server: &Server, peer: &TcpStream) -> usize {
    let peer = peer.local_addr().expect("an address").port();
    let ends = [server.address().port(), peer].map(|port| format!(":{port:04X}"));
    let table = fs::read_to_string("/proc/net/tcp").expect("proc(5)");
    let queues = table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words[1].ends_with(&ends[0]) && words[2].ends_with(&ends[1]);
        is_it.then(|| words[4].to_owned())
    });
    let queues = queues.expect("it is connected");
    let (_, unread) = queues.split_once(':').expect("two queues");
    usize::from_str_radix(unread, 16).expect("a number")
}

#[test]
fn a_second_signal_ends_at_once_although_a_peer_reads_nothing() {
    for (threads, first, second, code) in [
        ("1", "TERM", "TERM", 143),
        ("1", "TERM", "INT", 130),
        ("1", "INT", "INT", 130),
        ("4", "INT", "INT", 130),
    ] {
        let args = ["--stall-timeout", "off", "--drain-timeout", "1h"];
        let (server, _peer) = indebted(&[&args[..], &["--threads", threads]].concat());
        server.signal(first);
        server.hears("draining");
        server.signal(second);
        assert_eq!(server.ended().code, Some(code));
    }
}

#[test]
fn the_echo_of_a_signal_is_no_second_one() {
    let (server, mut peer) = indebted(&["--stall-timeout", "off", "--drain-timeout", "1h"]);
    let arrived = server.stats().get("bytes_in") as usize;
    // timeout(1) sends the signal to its child and then to the process group.
    server.signal_twice("TERM");
    server.hears("draining");
    let mut reply = vec![0; arrived];
    peer.read_exact(&mut reply)
        .expect("it drains and does not stop");
    drop(peer);
    assert!(server.ended().code != Some(128 + 15));
}

#[test]
fn a_request_whose_first_bytes_arrived_before_the_signal_is_answered() {
    let frame = [&500_u32.to_be_bytes()[..], &pattern(500)].concat();
    let post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    for (args, request, reply) in [
        (&["--frame", "u32be"][..], &frame[..], &frame[..]),
        (&["--frame", "u32be", "--trigger", "level"], &frame, &frame),
        (&["--frame", "u32be", "--threads", "2"], &frame, &frame),
        (&["upper", "--frame", "line"], b"hello\n", b"HELLO\n"),
        (&["http"], post, b"HTTP/1.1 200 OK\r\n"),
    ] {
        for cut in [1, request.len() / 2, request.len() - 1] {
            let server = Server::start(args);
            let mut peer = server.connect();
            peer.write_all(&request[..cut]).expect("a write");
            until("the server reads the first bytes", || {
                server.stats().get("bytes_in") == cut as u64
            });
            server.signal("TERM");
            server.hears("draining");
            peer.write_all(&request[cut..]).expect("a write");
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer)
                .expect("a reply, then the end");
            assert!(answer.starts_with(reply), "{args:?}, cut at {cut}");
            let ended = server.ended();
            assert_eq!(ended.code, Some(0), "{args:?}: {:?}", ended.stderr);
        }
    }
}

#[test]
fn a_drain_that_takes_too_long_cuts_and_says_so() {
    let (server, _peer) = indebted(&["--drain-timeout", "100ms", "--stall-timeout", "off"]);
    server.signal("TERM");
    let ended = server.ended();
    assert_eq!(ended.code, Some(10));
    assert!(
        ended.stderr.iter().any(|line| line.contains("cut 1 ")),
        "{:?}",
        ended.stderr
    );
}

/// Reads `count` bytes within about `span` and sends a byte now and then; returns what it read.
fn read_slowly(peer: &mut TcpStream, count: usize, span: Duration) -> Vec<u8> {
    const STEPS: usize = 100;
    let mut reply = vec![0; count];
    for part in reply.chunks_mut(count.div_ceil(STEPS)) {
        // The server does not read these bytes, and a write may fail once the server has gone.
        let _ = peer.write(b".");
        peer.read_exact(part).expect("all that is owed arrives");
        std::thread::sleep(span / STEPS as u32);
    }
    reply
}

#[test]
fn a_peer_that_reads_slowly_and_keeps_sending_gets_the_whole_send_buffer() {
    let server = Server::start(&["--drain-timeout", "1m"]);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("an option");
    let address = server.address().into();
    socket.connect(&address).expect("the server listens");
    let mut peer = TcpStream::from(socket);
    let requests = pattern(KERNEL_HOLDS);
    peer.write_all(&requests).expect("the server reads");
    until("all was read", || {
        server.stats().get("bytes_in") == KERNEL_HOLDS as u64
    });
    server.signal("TERM");
    server.hears("draining");
    let reply = read_slowly(&mut peer, KERNEL_HOLDS, Duration::from_secs(6));
    assert!(reply == requests, "a wrong byte");
    drop(peer);
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn a_drain_closes_idle_connections_at_once_and_accepts_no_new_ones() {
    for threads in ["1", "2"] {
        let server = Server::start(&["--drain-timeout", "1h", "--threads", threads]);
        let mut peers: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
        for peer in &mut peers {
            assert_eq!(ask(peer, b"x"), b"x");
        }
        let address = server.address();
        server.signal("INT");
        for mut peer in peers {
            assert_eq!(rest(&mut peer), b"");
        }
        let ended = server.ended();
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.is_empty(), "no counts were asked for");
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn a_peer_that_never_stops_talking_does_not_hold_up_the_end() {
    let server = Server::start(&[]);
    let mut peer = server.connect();
    let mut writer = peer.try_clone().expect("a second handle");
    let talking =
        std::thread::spawn(move || while writer.write_all(b"and another thing").is_ok() {});
    let mut reply = vec![0; 1 << 18];
    assert!(uninterrupted(|| peer.read(&mut reply)).expect("it is answered") > 0);
    server.signal("TERM");
    while uninterrupted(|| peer.read(&mut reply)).is_ok_and(|count| count > 0) {}
    assert_eq!(server.ended().code, Some(0));
    drop(peer);
    talking.join().expect("it was interrupted");
}

#[test]
fn the_idle_time_out_closes_and_is_counted_with_its_reason() {
    let server = Server::start(&["--idle-timeout", "50ms"]);
    let mut peer = server.connect();
    let begin = Instant::now();
    assert_eq!(ask(&mut peer, b"x"), b"x");
    assert_eq!(rest(&mut peer), b"");
    assert!(begin.elapsed() >= Duration::from_millis(50));
    let mut silent = server.connect();
    assert_eq!(rest(&mut silent), b"");
    let stats = server.stats();
    assert_eq!(
        (stats.get("closed_idle"), stats.get("connections_now")),
        (2, 0)
    );
    server.end();
}

#[test]
fn replies_to_a_local_peer_are_with_it_and_the_end_does_not_wait_until_they_are_read() {
    let limits = ["--drain-timeout", "1s", "--stall-timeout", "off"];
    let (server, name) = local("end", &limits);
    let mut peer = connect(&name);
    let requests = pattern(LOCAL_HOLDS);
    peer.write_all(&requests).expect("the server reads");
    until("all is answered", || {
        server.stats().get("bytes_out") == LOCAL_HOLDS as u64
    });
    // If the drain waited for the peer, it would hit the drain time-out and exit with code 10.
    server.end();
    assert!(rest(&mut peer) == requests, "a wrong byte");
}

#[test]
fn a_drained_local_peer_loses_no_unread_reply_even_if_it_keeps_sending() {
    let (server, name) = local("idle", &["--idle-timeout", "50ms"]);
    let mut peer = connect(&name);
    let requests = pattern(LOCAL_HOLDS);
    peer.write_all(&requests).expect("the server reads");
    until("it is sent away", || server.stats().get("closed_idle") == 1);
    let refused = peer.write(b".").map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::BrokenPipe));
    assert!(rest(&mut peer) == requests, "a wrong byte");
    server.end();
}

#[test]
fn every_way_of_leaving_gives_its_descriptor_back() {
    let server = Server::start(&[]);
    assert_eq!(ask(&mut server.connect(), b"x"), b"x");
    super::server::until("the first one is gone", || {
        server.stats().get("connections_now") == 0
    });
    let before = server.descriptors();
    for turn in 0..30 {
        let mut peer = server.connect();
        assert_eq!(ask(&mut peer, b"x"), b"x");
        match turn % 3 {
            // Closing with an unread reply sends RST.
            0 => peer.write_all(&pattern(1000)).expect("the server reads"),
            1 => peer.shutdown(Shutdown::Write).expect("still connected"),
            _ => {}
        }
    }
    super::server::until("all are gone", || {
        server.stats().get("connections_now") == 0
    });
    assert_eq!(server.descriptors(), before);
    assert_eq!(server.stats().get("close"), 31);
    server.end();
}

#[test]
fn a_connection_closed_for_a_limit_is_logged_with_its_reason() {
    let slow = Server::start(&["--frame", "u32be", "--frame-timeout", "100ms"]);
    let mut peer = slow.connect();
    peer.write_all(&[0, 0, 0, 4, b'h'])
        .expect("the server reads");
    let told = slow.hears("slow_frame: the frame was not whole in time: the connection is closed");
    assert!(told.starts_with("WARN"), "{told}");

    let (stalled, _peer) = indebted(&["--stall-timeout", "1s"]);
    stalled.hears("stalled: the peer took too little of its answers in time: the connection");
}

#[test]
fn a_filter_ends_by_each_signal_that_a_server_would_follow() {
    for (name, number) in [("HUP", 1), ("USR1", 10), ("TERM", 15), ("INT", 2)] {
        let mut child = Command::new(program::path())
            .args(["decode", "--frame", "line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let stdout = child.stdout.take().expect("a pipe");
        stdin.write_all(b"abc\n").expect("it reads");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        assert_eq!((read.expect("a line"), line.as_str()), (7, "616263\n"));
        assert!(program::signal(child.id(), name));
        let status = child.wait().expect("a child to reap");
        assert_eq!(status.signal(), Some(number), "{name}");
    }
}
