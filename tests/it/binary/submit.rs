//! `--submit ring`: batches of receives and sends through a submission ring.
//!
//! The server is stopped while its peers send, so that the next wait reports all of them. Where the
//! kernel or a sandbox refuses a ring, the server says so once and makes plain calls; the tests
//! then have nothing to look at. io_uring_setup(2), seccomp(2).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use mynah::limits::{RING_CALLS, RING_SIZE};

use super::server::{Ended, Server, until};
use super::{ask, is_installed};
use crate::program;
use crate::skip::skip;

/// Peers: more than one batch, and a rest.
const PEERS: usize = 2 * RING_CALLS + 3;

/// The warning of a server that has no ring.
const REFUSED: &str = "--submit ring: io_uring is refused here: ";

/// Runs a program in which a system call returns an error: the number, the errno, the words.
const SANDBOX: &str = "
import ctypes, os, struct, sys
def step(code, yes, no, value): return struct.pack('HBBI', code, yes, no, value)
number, errno = int(sys.argv[1]), int(sys.argv[2])
steps = (step(0x20, 0, 0, 0) + step(0x15, 0, 1, number) + step(0x06, 0, 0, 0x50000 | errno)
         + step(0x06, 0, 0, 0x7fff0000))
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('steps', ctypes.c_char_p)]
program = Program(4, steps)
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.byref(program)): sys.exit(99)
os.execv(sys.argv[3], sys.argv[3:])
";

/// The numbers of io_uring_setup, io_uring_enter and io_uring_register, on every machine.
const SETUP: &str = "425";
const ENTER: &str = "426";
const REGISTER: &str = "427";

/// Connects all peers, each of which has been answered once.
fn crowd(server: &Server) -> Vec<TcpStream> {
    let mut peers: Vec<TcpStream> = (0..PEERS).map(|_| server.connect()).collect();
    for peer in &mut peers {
        assert_eq!(ask(peer, b"hello"), b"hello");
    }
    peers
}

/// All peers send while the server stands still, and each gets its own bytes back.
fn all_at_once(server: &Server, peers: &mut [TcpStream], size: usize) {
    let text = |number: usize| vec![b'a' + (number % 26) as u8; size + number];
    server.signal("STOP");
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.write_all(&text(number)).expect("it has room");
    }
    server.signal("CONT");
    for (number, peer) in peers.iter_mut().enumerate() {
        let mut reply = vec![0; size + number];
        peer.read_exact(&mut reply).expect("a reply");
        assert!(reply == text(number), "peer {number} got another's bytes");
    }
}

/// Whether the server, which has ended, had a ring.
fn had_ring(ended: &Ended) -> bool {
    let refused = ended.stderr.iter().find(|line| line.contains(REFUSED));
    if let Some(line) = refused {
        skip(line);
    }
    refused.is_none()
}

#[test]
fn a_ring_makes_a_batch_in_one_call_and_the_trace_shows_its_calls() {
    let folder = std::env::temp_dir().join(format!("mynah-submit-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    for name in ["t.txt", "t.json"] {
        let server = Server::start(&["--submit", "ring", "--trace", &file(name)]);
        let mut peers = crowd(&server);
        let before = server.stats();
        all_at_once(&server, &mut peers, 100);
        let after = server.stats();
        let rise = |counter: &str| after.get(counter) - before.get(counter);
        let (calls, enters) = (rise("recv") + rise("send"), rise("io_uring_enter"));
        if had_ring(&server.end()) {
            assert_eq!(calls, 2 * PEERS as u64);
            assert!((2..=8).contains(&enters), "{enters} for {calls} calls");
            let trace = fs::read_to_string(file(name)).expect("a trace");
            let expected: &[&str] = match name {
                "t.txt" => &[
                    "io_uring_enter(32 recv) = 32",
                    "io_uring_enter(32 send) = 32",
                ],
                _ => &["\"io_uring_enter\"", "32 recv"],
            };
            for text in expected {
                assert!(trace.contains(text), "no {text} in {name}:\n{trace}");
            }
            // The rest of the peers is too few for a batch.
            let rest = PEERS % RING_CALLS;
            for text in [format!("({rest} recv)"), format!("\"{rest} recv")] {
                assert!(!trace.contains(&text), "{text} in {name}:\n{trace}");
            }
        }
    }
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn messages_of_every_size_come_back_whole_and_in_order_through_a_ring() {
    for args in [
        &["--submit", "ring"][..],
        &["--submit", "ring", "--trigger", "level", "--threads", "2"],
        &[
            "--submit",
            "ring",
            "--max-memory",
            "8m",
            "--max-connections",
            "80",
        ],
    ] {
        let server = Server::start(args);
        let mut peers = crowd(&server);
        for size in [1, 4_000, 16_200, 16_300, 40_000] {
            all_at_once(&server, &mut peers, size);
        }
        drop(peers);
        until("all are gone", || {
            server.stats().get("connections_now") == 0
        });
        let ended = server.end();
        assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    }
}

#[test]
fn a_server_without_a_ring_says_so_once_and_serves() {
    if !is_installed("python3") {
        return;
    }
    for (call, errno, reason) in [
        (SETUP, "1", "Operation not permitted"),
        (SETUP, "38", "Function not implemented"),
        (SETUP, "12", "Cannot allocate memory"),
        // Seccomp allows it to be opened and not to be used.
        (ENTER, "1", "Operation not permitted"),
        (REGISTER, "13", "Permission denied"),
        // What a kernel says that has no probe, which came later than rings.
        (REGISTER, "22", "Function not implemented"),
    ] {
        let sandbox = ["python3", "-c", SANDBOX, call, errno];
        let args = ["--submit", "ring", "--threads", "2"];
        let server = match Server::try_start(&sandbox, &[], &args) {
            Ok(server) => server,
            Err(ended) if ended.code == Some(99) => return skip("seccomp is refused here"),
            Err(ended) => panic!("{:?}", ended.stderr),
        };
        let mut peers = crowd(&server);
        all_at_once(&server, &mut peers, 100);
        assert_eq!(server.stats().get("io_uring_enter"), 0);
        drop(peers);
        let ended = server.end();
        assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
        let warnings = ended.stderr.iter().filter(|line| line.contains("--submit"));
        let warnings: Vec<&String> = warnings.collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let line = program::in_words_of_glibc(warnings[0]);
        assert!(line.contains(REFUSED) && line.contains(reason), "{line}");
    }
}

#[test]
fn the_announced_memory_has_the_ring_of_each_worker() {
    for threads in [1, 2] {
        let workers = threads.to_string();
        let args = ["--max-connections", &workers, "--threads", &workers];
        let announced = ["calls", "ring"].map(|mode| {
            let server = Server::start(&[&args[..], &["--submit", mode]].concat());
            let bytes = server.announced("bytes of memory");
            server.end();
            bytes
        });
        assert_eq!(announced[1] - announced[0], threads * RING_SIZE as u64);
    }
}
