//! Conditions that no peer can cause: the descriptor limit of a running server lowered, the process
//! stopped and continued, and clock changes.
//!
//! A server without descriptors keeps serving open connections, leaves new ones in the backlog, and
//! does not spin. Man pages: prlimit(1), accept(2) for EMFILE, signal(7) for SIGSTOP, time(7).

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::super::server::{Server, until};
use super::super::{ask, has_descriptors, is_installed, rest, say};
use super::frame;
use crate::uninterrupted::uninterrupted;

/// Sets the soft descriptor limit of a running server.
fn limit_descriptors(server: &Server, count: usize) {
    let (pid, limit) = (server.pid().to_string(), format!("--nofile={count}:"));
    let done = Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status();
    assert!(done.expect("it is installed").success(), "prlimit {limit}");
}

/// The lowest free descriptor number of the server, whatever descriptors it inherited.
fn next_descriptor(server: &Server) -> usize {
    let path = |number| format!("/proc/{}/fd/{number}", server.pid());
    // The link target may not be a path, so the test reads the metadata of the link itself.
    let is_free = |number: &usize| fs::symlink_metadata(path(*number)).is_err();
    (0..).find(is_free).expect("a number")
}

/// What a waiting peer has received so far.
#[derive(Debug, PartialEq, Eq)]
enum Knock {
    Silence,
    Served,
    Refused,
}

fn look(peer: &mut TcpStream) -> Knock {
    let mut reply = [0; 8];
    match uninterrupted(|| peer.read(&mut reply)) {
        Ok(count) if count > 0 => {
            assert_eq!(&reply[..count], b"knock");
            Knock::Served
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Knock::Silence,
        Ok(_) | Err(_) => Knock::Refused,
    }
}

#[test]
fn without_descriptors_the_accepted_are_served_and_the_processor_rests() {
    if !is_installed("prlimit") || !has_descriptors(500) {
        return;
    }
    for driver in [
        ["--trigger", "level"],
        ["--trigger", "edge"],
        ["--model", "thread"],
        ["--model", "pool"],
    ] {
        let server = Server::start(&driver);
        let (mut stays, mut leaves) = (server.connect(), server.connect());
        assert_eq!(ask(&mut stays, b"one"), b"one");
        assert_eq!(ask(&mut leaves, b"two"), b"two");
        let before = server.descriptors();
        limit_descriptors(&server, next_descriptor(&server));
        let mut knocking: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
        for peer in &mut knocking {
            peer.set_nonblocking(true).expect("an option");
            // A write fails if the server has already refused the connection.
            let _ = peer.write_all(b"knock");
        }
        server.hears("accept4: ");
        // Processor time can only be measured over elapsed time.
        let (ticks, begin) = (server.processor_ticks(), Instant::now());
        thread::sleep(Duration::from_millis(600));
        let spent = Duration::from_millis(10 * (server.processor_ticks() - ticks));
        let share = spent.as_secs_f64() / begin.elapsed().as_secs_f64();
        assert_eq!(ask(&mut stays, b"still here?"), b"still here?");
        assert_eq!(ask(&mut leaves, b"and you?"), b"and you?");
        let heard: Vec<Knock> = knocking.iter_mut().map(look).collect();
        let refused = heard
            .iter()
            .filter(|knock| **knock == Knock::Refused)
            .count();
        let waiting = heard
            .iter()
            .filter(|knock| **knock == Knock::Silence)
            .count();
        assert_eq!(
            refused + waiting,
            knocking.len(),
            "a connection over the limit was served"
        );
        assert!(waiting > 0, "no connection waits");

        drop(leaves);
        let begin = Instant::now();
        let mut served = 0;
        until("a waiting connection is served", || {
            served = knocking
                .iter_mut()
                .filter_map(|peer| match look(peer) {
                    Knock::Served => Some(()),
                    _ => None,
                })
                .count();
            served > 0
        });
        let took = begin.elapsed();
        say(format_args!(
            "out of descriptors, {driver:?}: {:.1} % of a processor, {refused} of {} \
             refused, {waiting} waiting; one descriptor free: served after {took:?}",
            100.0 * share,
            knocking.len(),
        ));
        // A loop that spins takes all that it can get.
        assert!(share <= 0.07, "{spent:?} of processor time");
        assert_eq!(served, 1);
        assert!(server.descriptors() <= before);

        limit_descriptors(&server, 1_000);
        until("all have been served or refused", || {
            knocking.retain_mut(|peer| look(peer) == Knock::Silence);
            // The peer that was served before receives nothing more.
            knocking.len() == 1
        });
        assert_eq!(ask(&mut server.connect(), b"welcome"), b"welcome");
        drop((knocking, stays));
        until("all are gone", || {
            server.stats().get("connections_now") == 0
        });
        assert_eq!(server.descriptors(), before - 2);
        server.end();
    }
}

/// Sends SIGSTOP and waits until the process has stopped.
fn stop(server: &Server) {
    server.signal("STOP");
    until("it is stopped", || server.state() == 'T');
}

#[test]
fn a_server_that_was_stopped_goes_on_where_it_was() {
    for trigger in ["level", "edge"] {
        let server = Server::start(&["--trigger", trigger]);
        let mut peer = server.connect();
        for round in 0..20_u32 {
            let word = round.to_be_bytes();
            peer.write_all(&word[..2]).expect("the kernel takes it");
            stop(&server);
            peer.write_all(&word[2..]).expect("the kernel takes it");
            let mut late = server.connect();
            late.write_all(b"late").expect("the backlog takes it");
            server.signal("CONT");
            let mut reply = [0; 4];
            peer.read_exact(&mut reply).expect("it is answered");
            assert_eq!(reply, word);
            late.read_exact(&mut reply).expect("it is answered");
            assert_eq!(&reply, b"late");
        }
        drop(peer);
        server.end();
    }
}

#[test]
fn after_a_clock_jump_active_peers_are_answered_and_only_silent_ones_time_out() {
    let timeouts = [
        "--frame",
        "u32be",
        "--idle-timeout",
        "400ms",
        "--frame-timeout",
        "400ms",
        "--stall-timeout",
        "400ms",
    ];
    let server = Server::start(&timeouts);
    let (mut speaks, mut silent) = (server.connect(), server.connect());
    assert_eq!(
        ask(&mut silent, &frame(b"that is all")),
        frame(b"that is all")
    );
    let whole = frame(b"while you slept");
    speaks.write_all(&whole[..6]).expect("the server reads");
    let half = until_it_has_read(&server, 15 + 6);
    stop(&server);
    speaks.write_all(&whole[6..]).expect("the kernel takes it");
    // A stopped process sees the clock jump when it continues.
    thread::sleep(Duration::from_millis(600));
    server.signal("CONT");
    let mut reply = vec![0; whole.len()];
    speaks.read_exact(&mut reply).expect("it is answered");
    assert_eq!(reply, whole);
    assert_eq!(rest(&mut silent), b"");
    let stats = server.stats();
    assert_eq!((half, stats.get("closed_slow_frame")), (1, 0));
    assert!(stats.get("closed_idle") >= 1);
    drop(speaks);
    server.end();
}

/// Waits until the server has read `bytes`; returns the number of complete frames.
fn until_it_has_read(server: &Server, bytes: u64) -> u64 {
    let mut frames = 0;
    until("it has read that much", || {
        let stats = server.stats();
        frames = stats.get("frames");
        stats.get("bytes_in") >= bytes
    });
    frames
}

#[test]
fn no_deadline_looks_at_the_wall_clock() {
    if !is_installed("valgrind") {
        return;
    }
    // Under strace a clock reading is a real, visible system call; otherwise the vDSO answers it.
    let wrapper = ["valgrind", "--tool=none", "--trace-syscalls=yes", "-q"];
    let log = std::env::temp_dir().join(format!("mynah-{}.clocks", std::process::id()));
    let to_file = format!("--log-file={}", log.display());
    let wrapper = [&wrapper[..], &[&to_file]].concat();
    let server = Server::start_under(&wrapper, &[], &["--idle-timeout", "50ms"]);
    let mut peer = server.connect();
    for _ in 0..10 {
        assert_eq!(ask(&mut peer, b"what time is it?"), b"what time is it?");
    }
    // A deadline expires, measured by the same clock.
    assert_eq!(rest(&mut peer), b"");
    server.end();
    let told = fs::read_to_string(&log).expect("a log");
    fs::remove_file(&log).expect("the log is ours");
    let of = |words: &str| told.matches(words).count();
    let (monotonic, wall) = (of("sys_clock_gettime( 1,"), of("sys_clock_gettime( 0,"));
    say(format_args!(
        "clocks read: monotonic {monotonic} times, wall {wall} times"
    ));
    assert!(monotonic >= 10, "{monotonic} readings");
    assert_eq!((wall, of("sys_gettimeofday"), of("sys_time ")), (0, 0, 0));
    assert!(of("sys_timerfd_create (1,") > 0, "another timer");
}
