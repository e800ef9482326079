//! Hostile behaviour of single peers: never reading, one byte at a time, endless requests, half a
//! frame, half a connection. First each alone, then all together.
//!
//! Time-outs close each of these peers, and other peers see normal latency.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::super::server::{Server, until};
use super::super::{MIB, ask, pattern, rest, say};
use super::frame;
use crate::program;
use crate::uninterrupted::uninterrupted;

#[test]
fn megabytes_that_are_owed_arrive_before_the_end_that_a_wrong_frame_is() {
    for trigger in ["level", "edge"] {
        let server = Server::start(&["--frame", "u32be", "--trigger", trigger]);
        let mut peer = server.connect();
        let good = frame(&pattern(100_000)).repeat(80);
        let mut writer = peer.try_clone().expect("a second handle");
        let sending = {
            let good = good.clone();
            thread::spawn(move || {
                writer.write_all(&good).expect("the server reads");
                // The connection ends at this frame; the server ignores the bytes that follow.
                let _ = writer.write_all(&[0xff; 100_000]);
            })
        };
        let mut heard = vec![0; good.len()];
        peer.read_exact(&mut heard)
            .expect("all that is owed arrives");
        assert!(heard == good, "{trigger}: a wrong byte");
        assert_eq!(
            uninterrupted(|| peer.read(&mut [0; 8])).expect("an end and no reset"),
            0
        );
        sending.join().expect("all was sent");
        drop(peer);
        until("it has seen us go", || {
            server.stats().get("connections_now") == 0
        });
        assert_eq!(server.stats().get("closed_too_long"), 1);
        server.end();
    }
}

#[test]
fn input_byte_by_byte_gets_the_same_replies_as_input_at_once() {
    for trigger in ["level", "edge"] {
        let server = Server::start(&["--frame", "u32be", "--trigger", trigger]);
        let mut peers: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
        let stream = [frame(b"some"), frame(b""), frame(&[7; 300])].concat();
        for byte in stream.chunks(1) {
            for peer in &mut peers {
                peer.write_all(byte).expect("the server reads");
            }
        }
        for mut peer in peers {
            peer.shutdown(Shutdown::Write).expect("still connected");
            assert_eq!(rest(&mut peer), stream);
        }
        server.end();
    }
}

/// Writes until the kernel refuses, and reads nothing.
fn never_read(mut peer: TcpStream) {
    let chunk = frame(&pattern(60_000));
    while peer.write_all(&chunk).is_ok() {}
}

/// Sends single bytes of one frame until the server closes; returns the elapsed time.
fn dribble(mut peer: TcpStream, is_over: &AtomicBool) -> Duration {
    let begin = Instant::now();
    peer.set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a time-out");
    // The header announces 64 KiB. Each byte arrives within the idle time-out, but the frame never
    // becomes complete.
    let (mut bytes, mut reply) = (frame(&[b'.'; 1 << 16]).into_iter(), [0; 8]);
    while !is_over.load(Ordering::Relaxed) {
        let sent = bytes.next().map(|byte| peer.write_all(&[byte]));
        let heard = uninterrupted(|| peer.read(&mut reply));
        let is_waiting = heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        if !matches!(sent, Some(Ok(()))) || !is_waiting {
            break;
        }
    }
    begin.elapsed()
}

/// Sends requests without pause and reads the replies.
fn flood(mut peer: TcpStream, is_over: &AtomicBool) {
    let request = frame(&pattern(60_000));
    while !is_over.load(Ordering::Relaxed) && peer.write_all(&request).is_ok() {
        let mut reply = vec![0; request.len()];
        if peer.read_exact(&mut reply).is_err() {
            return;
        }
        assert!(reply == request, "a wrong byte for a flooder");
    }
}

/// Connects, sends half a frame and disconnects, in a loop.
fn vanish(address: SocketAddr, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let mut peer = TcpStream::connect(address).expect("the server listens");
        let _ = peer.write_all(&frame(b"not all of it")[..9]);
        let _ = SockRef::from(&peer).set_linger(Some(Duration::ZERO));
        thread::sleep(Duration::from_millis(1));
    }
}

/// The 99th percentile of the round-trip times.
fn p99(peer: &mut TcpStream, requests: usize) -> Duration {
    let word = frame(b"a word in between");
    let mut spans: Vec<Duration> = (0..requests)
        .map(|_| {
            let begin = Instant::now();
            assert_eq!(ask(peer, &word), word);
            begin.elapsed()
        })
        .collect();
    spans.sort();
    spans[requests * 99 / 100]
}

#[test]
fn all_hostile_peers_together_delay_no_other_peer_and_are_closed_in_time() {
    const TIMEOUT: Duration = Duration::from_millis(800);
    let server = Server::start(&[
        "--frame",
        "u32be",
        "--max-memory",
        "16m",
        "--max-connections",
        "200",
        "--stall-timeout",
        "800ms",
        "--frame-timeout",
        "800ms",
        "--drain-timeout",
        "10s",
    ]);
    let ceiling = server.announced(" bytes of memory");
    let mut good = server.connect();
    let quiet = p99(&mut good, 500);
    let (is_over, address) = (AtomicBool::new(false), server.address());
    let (mut busy, mut spans) = (Duration::ZERO, Vec::new());
    thread::scope(|scope| {
        let deaf: Vec<_> = (0..3)
            .map(|_| server.connect())
            .map(|peer| scope.spawn(|| never_read(peer)))
            .collect();
        let slow: Vec<_> = (0..5)
            .map(|_| server.connect())
            .map(|peer| scope.spawn(|| dribble(peer, &is_over)))
            .collect();
        let floods = server.connect();
        scope.spawn(|| flood(floods, &is_over));
        scope.spawn(|| vanish(address, &is_over));
        busy = p99(&mut good, 500);
        for one in deaf {
            one.join().expect("it was cut off");
        }
        spans = slow
            .into_iter()
            .map(|one| one.join().expect("it was cut off"))
            .collect();
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(ask(&mut good, &frame(b"and now?")), frame(b"and now?"));
    until("only one is left", || {
        server.stats().get("connections_now") == 1
    });
    let (stats, peak) = (server.stats(), server.memory("VmHWM"));
    let longest = spans.iter().max().copied().unwrap_or_default();
    say(format_args!(
        "beside peers that never read, dribble, flood and vanish: p99 {busy:?}, {quiet:?} without; \
         the last dribbler was cut off after {longest:?} of {TIMEOUT:?}; resident at most {peak} \
         bytes, {ceiling} announced",
    ));
    assert_eq!(
        (stats.get("closed_stalled"), stats.get("closed_slow_frame")),
        (3, 5)
    );
    assert!(spans.iter().all(|span| *span >= TIMEOUT / 2), "{spans:?}");
    // An unoptimized build has more memory of its own than the ceiling allows for.
    let is_larger = cfg!(debug_assertions) && !program::is_another();
    let slack = if is_larger { 2 * MIB } else { MIB };
    assert!(
        peak <= ceiling + slack as u64,
        "{peak} bytes, {ceiling} announced"
    );
    drop(good);
    server.end();
}

#[test]
fn sigterm_ends_well_and_soon_whatever_peers_do() {
    for trigger in ["level", "edge"] {
        let server = Server::start(&[
            "--frame",
            "u32be",
            "--trigger",
            trigger,
            "--stall-timeout",
            "800ms",
            "--frame-timeout",
            "800ms",
            "--drain-timeout",
            "1h",
        ]);
        let idle: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
        let (deaf, mut dribbles) = (server.connect(), server.connect());
        let (floods, mut half) = (server.connect(), server.connect());
        dribbles
            .write_all(&frame(b"half a frame")[..7])
            .expect("the server reads");
        half.write_all(&frame(b"and my end"))
            .expect("the server reads");
        half.shutdown(Shutdown::Write).expect("still connected");
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| never_read(deaf));
            scope.spawn(|| flood(floods, &is_over));
            until("one is owed more than it takes", || {
                server.stats().get("short_writes") > 0
            });
            let begin = Instant::now();
            server.signal("TERM");
            let ended = server.ended();
            let took = begin.elapsed();
            say(format_args!(
                "SIGTERM among hostile peers, {trigger}: ended after {took:?}"
            ));
            assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(rest(&mut half), frame(b"and my end"));
        drop((idle, dribbles));
    }
}

/// Whether the server has closed this connection.
fn is_ended(peer: &mut TcpStream) -> bool {
    peer.set_nonblocking(true).expect("an option");
    let ended = match uninterrupted(|| peer.read(&mut [0; 64])) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    peer.set_nonblocking(false).expect("an option");
    ended
}

#[test]
fn a_frame_ends_in_time_although_it_waits_for_a_workspace_now_and_then() {
    const CYCLES: u64 = 40;
    let http: &[&str] = &["http", "--max-memory", "6m"];
    let body = "POST / HTTP/1.1\r\nHost:\r\nContent-Length: 1000\r\n\r\n";
    let discard = "--frame u32be --on-too-long discard --frame-max 64k --max-memory 5500k";
    let discard: Vec<&str> = discard.split(' ').collect();
    for (args, head, part) in [
        (http, body, "GET / HTTP/1.1\r\nHo"),
        (&discard, "\x7f\0\0\0", "\0\0\0\x09half"),
    ] {
        // The memory limit allows two workspaces.
        let limits = ["--max-connections", "4", "--frame-timeout", "500ms"];
        let server = Server::start(&[args, &limits].concat());
        let mut peer = server.connect();
        peer.write_all(head.as_bytes()).expect("the server reads");
        let (mut said, mut waited) = (head.len() as u64, 0);
        let has_read = |count: u64| server.stats().get("bytes_in") >= count;
        until("its head is read", || has_read(said));
        let ended = (0..CYCLES).any(|_| {
            thread::sleep(Duration::from_millis(100));
            let accomplices = [0; 2].map(|_| {
                let mut accomplice = server.connect();
                accomplice.write_all(part.as_bytes()).expect("it reads");
                accomplice
            });
            said += 2 * part.len() as u64;
            until("both workspaces are held", || has_read(said));
            if peer.write_all(b".").is_err() {
                return true;
            }
            let mut is_over = false;
            until("it waits for one, or is read", || {
                let stats = server.stats();
                let waits = stats.get("workspace_waits") > waited;
                waited = stats.get("workspace_waits");
                is_over = is_ended(&mut peer);
                is_over || waits || stats.get("bytes_in") > said
            });
            drop(accomplices);
            said += 1;
            until("it is read", || {
                is_over = is_over || is_ended(&mut peer);
                is_over || has_read(said)
            });
            is_over
        });
        assert!(ended, "{args:?}: it is still there after {CYCLES} waits");
        server.end();
    }
}
