//! The real server and invalid frames: what it logs, what it counts, and that it keeps serving.

use crate::uninterrupted::uninterrupted;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A server process that ends with the test.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    port: u16,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        let mut child = Command::new(crate::program::path())
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut server = Server {
            child,
            stdout,
            stderr,
            port: 0,
        };
        let ready = line_with(&mut server.stdout, "ready");
        let port = ready.split("127.0.0.1:").nth(1).expect("an address");
        let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
        server.port = digits.parse().expect("a port");
        server
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("it listens")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line that contains `word`.
fn line_with(lines: &mut impl BufRead, word: &str) -> String {
    loop {
        let mut line = String::new();
        let count = lines.read_line(&mut line).expect("text");
        assert!(count > 0, "it ended without {word}");
        if line.contains(word) {
            return line.trim_end().to_owned();
        }
    }
}

/// The answer to `bytes`, up to the end of the stream.
fn answer(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let (mut peer, mut answer) = (server.connect(), Vec::new());
    peer.write_all(bytes).expect("it reads");
    peer.shutdown(Shutdown::Write).expect("it is connected");
    peer.read_to_end(&mut answer).expect("it ends in order");
    answer
}

#[test]
fn a_peer_of_another_protocol_has_its_own_log_line() {
    for (bytes, told) in [
        (
            b"GET / HTTP/1.1\r\n\r\n".as_slice(),
            "too_long: 1195725860 bytes, the limit is 1048576; 47 45 54 20 is \"GET \": the peer \
             seems to speak HTTP: the connection is closed",
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00",
            "too_long: 369295622 bytes, the limit is 1048576; 16 03 01 is a TLS record: the peer \
             seems to speak TLS: the connection is closed",
        ),
        (
            b"\xff\xff\xff\xf0",
            "too_long: 4294967284 bytes, the limit is 1048576: the connection is closed",
        ),
    ] {
        let mut server = Server::start(&["--frame", "u32be"]);
        assert_eq!(answer(&server, bytes), b"");
        let line = line_with(&mut server.stderr, "too_long");
        assert_eq!(line.trim_start_matches("WARN").trim_start(), told);
    }
}

#[test]
fn an_end_inside_an_implausible_length_has_its_own_log_line() {
    for (frame, bytes, told) in [
        (
            "u16be",
            b"GET / HTTP/1.1\r\n\r\n".as_slice(),
            "truncated: the stream ended 18 bytes into a frame; 47 45 54 20 is \"GET \": the peer \
             seems to speak HTTP: the connection is closed",
        ),
        // A one-byte length cannot be told apart from text, and `line` has no length field: both
        // get the plain message.
        (
            "u8",
            b"hello",
            "truncated: the stream ended 5 bytes into a frame: the connection is closed",
        ),
        (
            "line",
            b"GET me",
            "truncated: the stream ended 6 bytes into a frame: the connection is closed",
        ),
        (
            "line",
            b"\x16\x03\x01\x02\x00\x01\x00",
            "truncated: the stream ended 7 bytes into a frame; 16 03 01 is a TLS record: the peer \
             seems to speak TLS: the connection is closed",
        ),
    ] {
        let mut server = Server::start(&["--frame", frame]);
        assert_eq!(answer(&server, bytes), b"");
        let line = line_with(&mut server.stderr, "truncated");
        assert_eq!(line.trim_start_matches("WARN").trim_start(), told);
    }
}

#[test]
fn a_timeout_inside_an_implausible_length_has_its_own_log_line() {
    for (frame, bytes, told) in [
        (
            "u16be",
            b"GET / HTTP/1.1\r\n\r\n".as_slice(),
            "slow_frame: the frame was not whole in time; 47 45 54 20 is \"GET \": the peer seems \
             to speak HTTP: the connection is closed",
        ),
        (
            "u16be",
            b"\x16\x03\x01\x02\x00\x01\x00",
            "slow_frame: the frame was not whole in time; 16 03 01 is a TLS record: the peer seems \
             to speak TLS: the connection is closed",
        ),
        (
            "u8",
            b"hello",
            "slow_frame: the frame was not whole in time: the connection is closed",
        ),
        (
            "line",
            b"GET me",
            "slow_frame: the frame was not whole in time: the connection is closed",
        ),
        (
            "line",
            b"\x16\x03\x01\x02\x00\x01\x00",
            "slow_frame: the frame was not whole in time; 16 03 01 is a TLS record: the peer seems \
             to speak TLS: the connection is closed",
        ),
    ] {
        let mut server = Server::start(&["--frame", frame, "--frame-timeout", "50ms"]);
        let mut peer = server.connect();
        peer.write_all(bytes).expect("it reads");
        assert_eq!(
            uninterrupted(|| peer.read(&mut [0])).expect("it ends in order"),
            0
        );
        let line = line_with(&mut server.stderr, "slow_frame");
        assert_eq!(line.trim_start_matches("WARN").trim_start(), told);
    }
}

#[test]
fn an_invalid_request_is_logged_and_counted_like_an_invalid_frame() {
    for (bytes, told) in [
        (
            b"GET / HTTP/1.1\r\nHost : x\r\n\r\n".as_slice(),
            "refused: a field name has a byte that no name has: the connection is closed",
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00",
            "refused: a control byte; 16 03 01 is a TLS record: the peer seems to speak TLS: the \
             connection is closed",
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            "refused: a request line is METHOD TARGET VERSION; 53 53 48 2d is \"SSH-\": the peer \
             seems to speak SSH: the connection is closed",
        ),
        (
            b"BREW / HTTP/1.1\r\n",
            "refused: the method is not known: the connection is closed",
        ),
    ] {
        let mut server = Server::start(&["http", "--stats", "100ms"]);
        assert!(answer(&server, bytes).starts_with(b"HTTP/1.1 "));
        let line = line_with(&mut server.stderr, "refused");
        assert_eq!(line.trim_start_matches("WARN").trim_start(), told);
        let counts = line_with(&mut server.stdout, "refused_requests=1");
        assert!(counts.contains(" closed_refused=1 "), "{counts}");
    }
}

#[test]
fn a_request_cut_by_the_end_of_the_stream_is_logged_and_counted() {
    for (bytes, told) in [
        (
            b"GET / HT".as_slice(),
            "truncated: the stream ended 8 bytes into a frame: the connection is closed",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n",
            "truncated: the stream ended inside a message: the connection is closed",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab",
            "truncated: the stream ended inside a message: the connection is closed",
        ),
    ] {
        let mut server = Server::start(&["http", "--stats", "100ms"]);
        assert_eq!(answer(&server, bytes), b"");
        let line = line_with(&mut server.stderr, "truncated");
        assert_eq!(line.trim_start_matches("WARN").trim_start(), told);
        line_with(&mut server.stdout, "refused_truncated=1");
    }
}

#[test]
fn refused_requests_are_logged_once_a_second_and_the_others_are_counted() {
    let mut server = Server::start(&["http"]);
    let (port, is_told) = (server.port, AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_told.load(Ordering::Relaxed) {
                let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
                peer.write_all(b"\0").expect("it reads");
                peer.shutdown(Shutdown::Write).expect("it is connected");
                let mut answer = Vec::new();
                peer.read_to_end(&mut answer).expect("it ends in order");
                assert!(answer.starts_with(b"HTTP/1.1 400 "));
            }
        });
        let first = line_with(&mut server.stderr, "refused");
        let next = line_with(&mut server.stderr, "refused");
        is_told.store(true, Ordering::Relaxed);
        assert!(
            first.ends_with("a control byte: the connection is closed"),
            "{first}"
        );
        assert!(next.ends_with(" more like this were not logged)"), "{next}");
    });
}

#[test]
fn an_idle_timeout_is_logged_with_its_direction() {
    for (flag, what) in [
        (
            "--idle-timeout",
            "the peer sent and took nothing for the idle time-out",
        ),
        (
            "--idle-read",
            "the peer sent nothing for the time of --idle-read",
        ),
        (
            "--idle-write",
            "nothing was sent to the peer for the time of --idle-write",
        ),
    ] {
        let mut server = Server::start(&[flag, "50ms", "--stats", "100ms"]);
        let mut peer = server.connect();
        let read = uninterrupted(|| peer.read(&mut [0]));
        assert_eq!(read.expect("it ends in order"), 0);
        let line = line_with(&mut server.stderr, "idle: ");
        let told = format!("INFO  idle: {what}: the connection is closed");
        assert_eq!(line, told);
        line_with(&mut server.stdout, "closed_idle=1");
    }
}

#[test]
fn discarded_frames_are_counted_and_the_next_ones_answered() {
    for trigger in ["level", "edge"] {
        let args = [
            "--frame",
            "netstring",
            "--frame-max",
            "10",
            "--on-too-long",
            "discard",
        ];
        let more = ["--stats", "100ms", "--trigger", trigger];
        let mut server = Server::start(&[&args[..], &more].concat());
        let long = format!("1000000:{},", "x".repeat(1_000_000));
        let mixed = [
            "1:a,",
            &long,
            "2:bc,",
            "11:12345678901,",
            "11:12345678901,",
            "3:def,",
        ];
        assert_eq!(
            answer(&server, mixed.concat().as_bytes()),
            b"1:a,2:bc,3:def,"
        );
        line_with(&mut server.stdout, "frames_discarded=3");
        let line = line_with(&mut server.stderr, "too_long");
        assert!(
            line.ends_with(
                "too_long: at least 100 bytes, the limit is 10: the frame is thrown away"
            ),
            "{line}"
        );
    }
}
