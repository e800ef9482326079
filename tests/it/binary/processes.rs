//! Row V8, `--processes N`: a supervisor and N worker processes.
//!
//! A worker that is killed, stopped or drained takes only its own connections with it; another one
//! takes its place. The supervisor holds no connection, adds up the counters, and no worker
//! outlives it. Which worker has a connection is read from `/proc/PID/fd`. Man pages: proc(5),
//! signal(7), fork(2).

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::accept::drained_under_load;
use super::injected::{Report, may_trace};
use super::run::{Script, children, group, stat};
use super::server::{Ended, PATIENCE, Server, until};
use super::sums::{STUBBORN, indebted};
use super::workers::{Words, gone, translation};
use super::{MIB, ask, has_descriptors, rest, say};
use crate::program::{self, signal};

/// Connections that have a part of a frame at the same time. The kernel may give all of them to one
/// of six workers, and each holds a workspace there: with more than 39, some would wait for memory.
const MID_FRAME: u64 = 30;

/// The worker processes, once there are `count` of them and none is a zombie.
fn workers(server: &Server, count: usize) -> Vec<u32> {
    let mut found = Vec::new();
    until("there are as many workers", || {
        found = children(server);
        found.len() == count && found.iter().all(|id| state(*id) != Some('Z'))
    });
    found.sort();
    found
}

fn state(id: u32) -> Option<char> {
    stat(id).map(|(state, _, _)| state)
}

/// Whether the process has ended. A parent outside of the test may not have reaped it.
fn has_ended(id: u32) -> bool {
    matches!(state(id), None | Some('Z'))
}

/// The worker of `others` that is none of `before`, once there is one.
fn replacement(server: &Server, before: &[u32]) -> u32 {
    workers(server, before.len());
    let mut new = None;
    until("a worker was started", || {
        new = children(server).into_iter().find(|id| !before.contains(id));
        new.is_some()
    });
    new.expect("a worker")
}

/// Waits until the server says that all its workers serve again.
fn all_serve(server: &Server, count: u64) {
    until("all workers live", || {
        server.stats().get("processes_alive") == count
    });
}

/// Number of sockets that a process has open.
fn sockets(id: u32) -> usize {
    let folder = fs::read_dir(format!("/proc/{id}/fd")).expect("proc(5)");
    let is_socket = |path: PathBuf| {
        let target = fs::read_link(path).unwrap_or_default();
        target.to_string_lossy().starts_with("socket:")
    };
    folder
        .filter(|entry| entry.as_ref().is_ok_and(|it| is_socket(it.path())))
        .count()
}

/// Asks on a connection whose worker may have ended. Returns whether the answer is right.
fn is_answered(peer: &mut TcpStream) -> bool {
    let mut reply = [0];
    peer.write_all(b"x").is_ok() && peer.read_exact(&mut reply).is_ok() && reply == *b"x"
}

#[test]
fn v8_a_killed_worker_takes_only_its_own_connections_of_a_thousand_with_it() {
    const PEERS: usize = 1_000;
    if !has_descriptors(PEERS as u64 + 500) {
        return;
    }
    let server = Server::start(&["--processes", "4", "--max-connections", "6000"]);
    let before = workers(&server, 4);
    let idle = sockets(before[0]);
    let mut peers: Vec<TcpStream> = (0..PEERS).map(|_| server.connect()).collect();
    assert!(peers.iter_mut().all(is_answered));
    let held = |id: &u32| sockets(*id) - idle;
    // One with connections, while another one has some too.
    let mut by_load = before.clone();
    by_load.sort_by_key(held);
    let victim = *by_load
        .iter()
        .find(|id| held(id) > 0)
        .expect("all are held by a process");
    let lost = held(&victim);
    assert_eq!(
        before.iter().map(held).sum::<usize>(),
        PEERS,
        "the supervisor holds none"
    );

    let begin = Instant::now();
    assert!(signal(victim, "KILL"));
    let mut slowest_newcomer = Duration::ZERO;
    for _ in 0..20 {
        let asked = Instant::now();
        assert!(is_answered(&mut server.connect()), "a newcomer");
        slowest_newcomer = slowest_newcomer.max(asked.elapsed());
    }
    let mut slowest = Duration::ZERO;
    peers.retain_mut(|peer| {
        let asked = Instant::now();
        let answered = is_answered(peer);
        if answered {
            slowest = slowest.max(asked.elapsed());
        }
        answered
    });
    assert_eq!(peers.len(), PEERS - lost);
    replacement(&server, &before);
    all_serve(&server, 4);
    say(format_args!(
        "kill -9 of one of 4 workers with {lost} of {PEERS} connections: {lost} were reset, the \
         others were answered, the slowest in {slowest:?}; 20 newcomers, the slowest in \
         {slowest_newcomer:?}; 4 workers again within {:?}",
        begin.elapsed()
    ));
    let stats = server.stats();
    assert_eq!(stats.get("processes_restarted"), 1);
    assert_eq!(stats.get("connections_now"), (PEERS - lost) as u64);
    let told = server.hears("worker process ");
    let expected = format!("(pid {victim}) was killed by SIGKILL; started again at once");
    assert!(told.ends_with(&expected), "{told}");
    drop(peers);
    server.end();
}

#[test]
fn v8_no_worker_outlives_a_supervisor_that_is_killed() {
    const PEERS: usize = 1_000;
    if !has_descriptors(PEERS as u64 + 500) {
        return;
    }
    let server = Server::start(&["--processes", "3", "--max-connections", "3000"]);
    let all = workers(&server, 3);
    let mut peers: Vec<TcpStream> = (0..PEERS).map(|_| server.connect()).collect();
    assert!(peers.iter_mut().all(is_answered));
    let address = server.address();
    assert!(signal(server.pid(), "KILL"));
    let killed = Instant::now();
    until("all workers have ended", || {
        all.iter().all(|id| has_ended(*id))
    });
    say(format_args!(
        "kill -9 of the supervisor with {PEERS} connections: its 3 workers had ended after {:?}",
        killed.elapsed()
    ));
    let ended = server.ended();
    assert_eq!((ended.code, ended.stdout), (None, vec![]));
    // Every peer learns it, and the port is free for the next server.
    assert!(!peers.iter_mut().any(is_answered));
    let again = Server::start(&["--processes", "1", "--listen", &address.to_string()]);
    again.end();
}

#[test]
fn v8_a_stopped_worker_is_replaced_and_no_newcomer_waits_for_it() {
    const PEERS: usize = 1_000;
    if !has_descriptors(PEERS as u64 + 500) {
        return;
    }
    let most = ["--max-connections", "6000"];
    let server = Server::start(&[&["--processes", "3", "--alive", "200ms"][..], &most].concat());
    let before = workers(&server, 3);
    let mut peers: Vec<TcpStream> = (0..PEERS).map(|_| server.connect()).collect();
    assert!(peers.iter_mut().all(is_answered));
    assert!(signal(before[1], "STOP"));
    let stopped = Instant::now();
    until("it is stopped", || state(before[1]) == Some('T'));
    let mut slowest = Duration::ZERO;
    let newcomers: Vec<TcpStream> = (0..30)
        .map(|_| {
            let (asked, mut peer) = (Instant::now(), server.connect());
            assert!(is_answered(&mut peer), "a newcomer");
            slowest = slowest.max(asked.elapsed());
            peer
        })
        .collect();
    server.hears(&format!("(pid {}) is silent, so it is killed", before[1]));
    let silent = stopped.elapsed();
    assert!(silent >= Duration::from_millis(800), "{silent:?}");
    replacement(&server, &before);
    all_serve(&server, 3);
    let answered = peers
        .iter_mut()
        .filter_map(|peer| is_answered(peer).then_some(()))
        .count();
    say(format_args!(
        "SIGSTOP of one of 3 workers, --alive 200ms: killed after {silent:?}; {answered} of \
         {PEERS} connections stayed; 30 newcomers meanwhile, the slowest in {slowest:?}"
    ));
    assert!(newcomers.into_iter().all(|mut peer| is_answered(&mut peer)));
    assert_eq!(server.stats().get("processes_restarted"), 1);
    server.end();
}

/// The threads of a process but the first.
fn further_threads(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("proc(5)");
    let names = tasks.filter_map(|task| task.ok()?.file_name().into_string().ok());
    let ids = names.filter_map(|name| name.parse().ok());
    ids.filter(|thread| *thread != id).collect()
}

#[test]
fn v8_a_worker_with_one_hung_thread_of_several_is_replaced() {
    if !may_trace() {
        return;
    }
    let args = ["--processes", "2", "--threads", "2", "--alive", "100ms"];
    let server = Server::start(&args);
    all_serve(&server, 2);
    let before = workers(&server, 2);
    let hangs = further_threads(before[0]);
    assert_eq!(hangs.len(), 1);
    // The other thread of the process turns on; the next wait of this one takes a minute.
    let mut tracer = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-p", &hangs[0].to_string()])
        .args(["-e", "inject=epoll_wait,epoll_pwait:delay_enter=60000000"])
        .spawn()
        .expect("it is installed");
    let line = format!("(pid {}) is silent, so it is killed", before[0]);
    server.hears(&line);
    // strace does not reap a thread whose call it delays.
    tracer.kill().expect("it runs");
    tracer.wait().expect("a child");
    let new = replacement(&server, &before);
    assert!(!before.contains(&new));
    all_serve(&server, 2);
    assert_eq!(server.stats().get("processes_restarted"), 1);
    assert!(is_answered(&mut server.connect()));
    server.end();
}

#[test]
fn v8_a_worker_that_keeps_dying_is_started_after_growing_pauses() {
    let server = Server::start(&["--processes", "1"]);
    for pause in [0, 1, 2] {
        let [id] = workers(&server, 1)[..] else {
            panic!("one worker");
        };
        let killed = Instant::now();
        assert!(signal(id, "KILL"));
        let told = server.hears("was killed by SIGKILL");
        let expected = match pause {
            0 => "started again at once".to_owned(),
            _ => format!("started again in {pause} s"),
        };
        assert!(told.ends_with(&expected), "{told}");
        // A connection that arrives meanwhile waits for the next worker and is served.
        assert!(is_answered(&mut server.connect()));
        assert!(
            killed.elapsed() >= Duration::from_secs(pause),
            "{:?}",
            killed.elapsed()
        );
    }
    assert_eq!(server.stats().get("processes_restarted"), 3);
    server.end();
}

#[test]
fn v8_a_drain_answers_in_every_worker_and_ends_with_0() {
    for more in [
        &["--threads", "1"][..],
        &["--threads", "2"],
        &["--threads", "2", "--accept", "exclusive"],
        &["--threads", "2", "--accept", "handoff"],
    ] {
        let server = Server::start(&[&["--processes", "3", "--frame", "line"], more].concat());
        let all = workers(&server, 3);
        let mut peers: Vec<TcpStream> = (0..MID_FRAME).map(|_| server.connect()).collect();
        for peer in &mut peers {
            peer.write_all(b"be").expect("the server reads");
        }
        until("the first bytes are read", || {
            server.stats().get("bytes_in") == 2 * MID_FRAME
        });
        server.signal("TERM");
        server.hears("draining; a second signal ends at once");
        for peer in &mut peers {
            peer.write_all(b"gun\n").expect("the server reads");
            assert_eq!(rest(peer), b"begun\n");
        }
        let ended = server.ended();
        assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
        let told = ended.stderr.concat();
        assert!(told.ends_with("drained; connections served: 30"), "{told}");
        assert!(all.iter().all(|id| has_ended(*id)));
    }
}

#[test]
fn v8_a_drain_under_load_loses_no_connection() {
    for more in [&["--threads", "1"][..], &["--threads", "2"]] {
        for _ in 0..5 {
            let server = Server::start(&[&["--processes", "2"], more].concat());
            let there = server.address();
            drained_under_load(server, || TcpStream::connect(there));
            let (server, name) =
                super::memory::local("processes-load", &[&["--processes", "2"], more].concat());
            let there = super::addresses::abstract_name(&name);
            drained_under_load(server, || UnixStream::connect_addr(&there));
        }
    }
}

#[test]
fn v8_a_connection_that_one_worker_cuts_is_exit_code_10() {
    let server = Server::start(&[&["--processes", "3"], &STUBBORN[..]].concat());
    let _peers = indebted(&server, 2);
    server.signal("TERM");
    let ended = server.ended();
    assert_eq!(ended.code, Some(10), "{:?}", ended.stderr);
    let told = ended.stderr.concat();
    assert!(
        told.contains("mynah: the drain time-out cut 2 connections"),
        "{told}"
    );
    assert_eq!(
        told.matches("mynah:").count(),
        1,
        "one line for all: {told}"
    );
}

#[test]
fn v8_a_second_signal_ends_all_at_once() {
    for (first, second, code) in [
        ("TERM", "TERM", 143),
        ("INT", "TERM", 143),
        ("INT", "INT", 130),
    ] {
        let args = ["--stall-timeout", "off", "--drain-timeout", "1h"];
        let server = Server::start(&[&["--processes", "2"], &args[..]].concat());
        let all = workers(&server, 2);
        let _peers = indebted(&server, 1);
        // A worker that is stopped does not hold up the end either.
        assert!(signal(all[0], "STOP"));
        server.signal(first);
        server.hears("draining");
        server.signal(second);
        assert_eq!(server.ended().code, Some(code));
        assert!(all.iter().all(|id| has_ended(*id)));
    }
}

#[test]
fn v8_the_echo_of_a_signal_is_no_second_one_and_a_terminal_reaches_the_supervisor_alone() {
    let server = Server::start(&["--processes", "2", "--frame", "line"]);
    for id in workers(&server, 2) {
        assert_eq!(
            stat(id).map(|(_, parent, group)| (parent, group)),
            Some((server.pid(), id))
        );
    }
    let mut peer = server.connect();
    peer.write_all(b"be").expect("the server reads");
    until("the first bytes are read", || {
        server.stats().get("bytes_in") == 2
    });
    server.signal_twice("TERM");
    server.hears("draining");
    peer.write_all(b"gun\n").expect("the server reads");
    assert_eq!(rest(&mut peer), b"begun\n");
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn v8_a_signal_to_every_process_is_one_drain_of_all() {
    // A service manager signals the main process and then the others.
    for supervisor_first in [true, false] {
        let server = Server::start(&["--processes", "3", "--frame", "line"]);
        let mut all = workers(&server, 3);
        let mut peers: Vec<TcpStream> = (0..MID_FRAME).map(|_| server.connect()).collect();
        for peer in &mut peers {
            peer.write_all(b"be").expect("the server reads");
        }
        until("the first bytes are read", || {
            server.stats().get("bytes_in") == 2 * MID_FRAME
        });
        all.insert(if supervisor_first { 0 } else { 3 }, server.pid());
        let numbers: Vec<String> = all.iter().map(u32::to_string).collect();
        let kill = format!("kill -s TERM {}", numbers.join(" "));
        assert!(program::shell(&kill));
        server.hears("draining; a second signal ends at once");
        for peer in &mut peers {
            peer.write_all(b"gun\n").expect("the server reads");
            assert_eq!(rest(peer), b"begun\n");
        }
        let ended = server.ended();
        assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
        let told = ended.stderr.concat();
        assert!(!told.contains("draining"), "one line for all: {told}");
        assert!(told.contains("connections served: 30"), "{told}");
    }
}

#[test]
fn v8_a_second_signal_to_a_worker_alone_ends_it_at_once() {
    let args = ["--stall-timeout", "off", "--drain-timeout", "1h"];
    let server = Server::start(&[&["--processes", "1"], &args[..]].concat());
    let [id] = workers(&server, 1)[..] else {
        panic!("one worker");
    };
    let _peers = indebted(&server, 1);
    assert!(signal(id, "TERM"));
    // Once it drains, it has no listener any more: a newcomer waits for the next worker.
    until("it drains", || sockets(id) == 2);
    let mut waits = server.connect();
    assert!(signal(id, "INT"));
    let told = server.hears("worker process 1 ");
    assert!(
        told.contains("ended with exit code 130; started again at once"),
        "{told}"
    );
    assert!(is_answered(&mut waits));
    server.end();
}

#[test]
fn v8_a_worker_that_ends_before_all_serve_ends_the_start() {
    if !may_trace() {
        return;
    }
    // Only a new worker makes this call.
    let report = Report::new();
    let words = report.wrapper("setpgid", &["setpgid:signal=KILL".to_owned()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Err(ended) = Server::try_start(&words, &[], &["--processes", "2"]) else {
        panic!("it has started without a worker");
    };
    assert_eq!(ended.code, Some(6), "{:?}", ended.stderr);
    let [line] = &ended.stderr[..] else {
        panic!("one line: {:?}", ended.stderr);
    };
    assert!(line.starts_with("mynah: worker process "), "{line}");
    assert!(
        line.ends_with(" was killed by SIGKILL before all of them served"),
        "{line}"
    );
}

#[test]
fn v8_a_worker_that_is_told_to_end_drains_alone_and_is_replaced_at_once() {
    let server = Server::start(&["--processes", "2", "--frame", "line"]);
    let mut before = workers(&server, 2);
    let mut peers: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.write_all(b"be").expect("the server reads");
    }
    until("the first bytes are read", || {
        server.stats().get("bytes_in") == 80
    });
    assert!(signal(before[0], "TERM"));
    for peer in &mut peers {
        peer.write_all(b"gun\n").expect("both workers read");
        let mut reply = [0; 6];
        peer.read_exact(&mut reply).expect("both workers answer");
        assert_eq!(&reply, b"begun\n");
    }
    for round in 1..=3 {
        // However often it happens there is no pause: it is no failure.
        let told = server.hears("after its drain");
        let end = format!("(pid {}) ended with exit code 0 after its drain", before[0]);
        assert!(told.starts_with("INFO  worker process "), "{told}");
        assert!(
            told.ends_with(&format!("{end}; started again at once")),
            "{told}"
        );
        before[0] = replacement(&server, &before);
        all_serve(&server, 2);
        assert_eq!(server.stats().get("processes_restarted"), round);
        assert!(signal(before[0], "TERM"));
    }
    server.hears("after its drain");
    assert_eq!(ask(&mut server.connect(), b"x\n"), b"x\n");
    server.end();
}

#[test]
fn v8_counts_are_sums_over_all_workers_and_those_of_the_dead_stay() {
    let server = Server::start(&["--processes", "3"]);
    let mut peers: Vec<TcpStream> = (0..60).map(|_| server.connect()).collect();
    assert!(peers.iter_mut().all(is_answered));
    let names = [
        "connections_now",
        "connections_total",
        "frames",
        "bytes_in",
        "bytes_out",
    ];
    let counts = |server: &Server| {
        let stats = server.stats();
        names.map(|name| stats.get(name))
    };
    for _ in 0..3 {
        assert_eq!(counts(&server), [60; 5]);
    }
    assert_eq!(server.stats().get("processes_restarted"), 0);
    let before = workers(&server, 3);
    // All that was reported stays, and what is no longer open is not counted as open.
    before.iter().for_each(|id| assert!(signal(*id, "KILL")));
    until("all were replaced", || {
        server.stats().get("processes_restarted") == 3
    });
    all_serve(&server, 3);
    assert_eq!(counts(&server), [0, 60, 60, 60, 60]);
    let mut peers: Vec<TcpStream> = (0..30).map(|_| server.connect()).collect();
    assert!(peers.iter_mut().all(is_answered));
    assert_eq!(counts(&server), [30, 90, 90, 90, 90]);
    drop(peers);
    let ended = server.end();
    assert!(ended.stderr.concat().contains("connections served: 90"));
}

#[test]
fn v8_statistics_by_the_clock_and_in_json_are_one_line_for_all() {
    let words = [
        "--processes",
        "2",
        "--threads",
        "2",
        "--stats-format",
        "json",
    ];
    let server = Server::start(&[&words[..], &["--stats", "100ms"]].concat());
    assert_eq!(server.announced(" workers"), 4);
    let mut peers: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    assert!(peers.iter_mut().all(is_answered));
    until("all are counted", || {
        server.next_line().contains("\"connections_now\":40,")
    });
    for _ in 0..3 {
        let line = server.next_line();
        assert!(
            line.starts_with("{\"connections_now\":40,\"connections_total\":40,"),
            "{line}"
        );
        assert!(
            line.contains(",\"processes_alive\":2,\"processes_restarted\":0,"),
            "{line}"
        );
        assert!(line.ends_with('}'));
    }
}

#[test]
fn v8_a_stopped_worker_does_not_hold_up_the_counts_of_the_others() {
    let server = Server::start(&["--processes", "2", "--alive", "0"]);
    let all = workers(&server, 2);
    assert_eq!(server.stats().get("processes_alive"), 2);
    assert!(signal(all[0], "STOP"));
    until("it is stopped", || state(all[0]) == Some('T'));
    let mut peer = server.connect();
    assert!(is_answered(&mut peer));
    for _ in 0..2 {
        let stats = server.stats();
        assert_eq!((stats.get("processes_alive"), stats.get("frames")), (2, 1));
    }
    assert!(signal(all[0], "CONT"));
    server.end();
}

#[test]
fn v8_a_reload_reaches_every_worker_and_those_that_are_started_later() {
    let words = Words::new("processes", "zero");
    let path = words.0.to_str().expect("UTF-8");
    let server = Server::start(&["dict", "--dictionary", path, "--processes", "3"]);
    let all_say = |server: &Server, answer: &str| {
        let mut peers: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
        for (number, peer) in peers.iter_mut().enumerate() {
            until(&format!("{answer} for peer {number}"), || {
                translation(peer) == answer
            });
        }
    };
    all_say(&server, "zero");
    for answer in ["one", "two"] {
        words.write(answer);
        server.signal("HUP");
        all_say(&server, answer);
    }
    let kill_all = |server: &Server, restarted: u64| {
        workers(server, 3)
            .iter()
            .for_each(|id| assert!(signal(*id, "KILL")));
        until("all were replaced", || {
            server.stats().get("processes_restarted") == restarted
        });
        all_serve(server, 3);
    };
    // The file is not read again for a new worker.
    words.write("unread");
    kill_all(&server, 3);
    all_say(&server, "two");
    // A file that is wrong changes nothing, in no worker.
    fs::write(&words.0, "no translation\n").expect("a temporary file");
    server.signal("HUP");
    server.hears("nothing has changed");
    all_say(&server, "two");
    kill_all(&server, 6);
    all_say(&server, "two");
    server.end();
}

#[test]
fn v8_limits_are_shared_out_to_all_workers() {
    let words = [
        "--processes",
        "2",
        "--threads",
        "2",
        "--max-connections",
        "9",
    ];
    let server = Server::start(&words);
    assert_eq!(server.announced(" connections"), 9);
    let mut peers: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.write_all(b"x").expect("the backlog takes it");
    }
    until("every slot is taken", || {
        let stats = server.stats();
        (stats.get("connections_now"), stats.get("frames")) == (9, 9)
    });
    drop(peers);
    until("all have been inside", || {
        server.stats().get("connections_total") == 40
    });
    server.end();

    let server = Server::start(&["--processes", "3", "--max-connections-per-ip", "5"]);
    let peers: Vec<TcpStream> = (0..60).map(|_| server.connect()).collect();
    until("all were let in or refused", || {
        let stats = server.stats();
        stats.get("connections_total") + stats.get("refused_per_ip") == 60
    });
    assert!(server.stats().get("connections_now") <= 5);
    drop(peers);
    server.end();
}

/// Resident memory of a process, with the part of each shared page that falls to it.
fn share_of_memory(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        << 10
}

#[test]
fn v8_one_ceiling_holds_for_all_processes_together() {
    let limits = [
        "--max-memory",
        "40m",
        "--max-connections",
        "100",
        "--stall-timeout",
        "off",
    ];
    let name = format!("@mynah-{}-processes", std::process::id());
    let address = format!("unix:{name}");
    let words = [&["--processes", "3", "--listen", &address], &limits[..]].concat();
    let server = Server::start(&words);
    let ceiling = server.announced(" bytes of memory");
    assert!(ceiling <= 40 * MIB as u64);
    let mut peers: Vec<UnixStream> = (0..60).map(|_| super::memory::connect(&name)).collect();
    peers
        .iter()
        .for_each(|peer| peer.set_nonblocking(true).expect("an option"));
    let (chunk, mut moved) = (vec![b'x'; 1 << 16], 0);
    until("nothing moves", || {
        for peer in &mut peers {
            while peer.write(&chunk).is_ok() {}
        }
        let (stats, before) = (server.stats(), moved);
        moved = stats.get("bytes_in") + stats.get("bytes_out");
        stats.get("short_writes") > 0 && moved == before
    });
    let all = workers(&server, 3);
    let sum: u64 = all
        .iter()
        .chain([&server.pid()])
        .map(|id| share_of_memory(*id))
        .sum();
    say(format_args!(
        "60 peers that read nothing, 3 workers and their supervisor: {sum} bytes (PSS), {ceiling} \
         announced"
    ));
    let slack = if cfg!(debug_assertions) {
        4 * 2 * MIB
    } else {
        4 * MIB
    };
    assert!(
        sum > 0 && sum <= ceiling + slack as u64,
        "{sum} bytes, {ceiling} announced"
    );
    drop(peers);
    server.end();
}

#[test]
fn v8_too_little_memory_for_all_processes_is_refused() {
    let refused = Ended::run(&["--processes", "3", "--max-memory", "8m", "--listen", "0"]);
    assert_eq!((refused.code, refused.stderr.len()), (Some(1), 1));
    let line = &refused.stderr[0];
    assert!(
        line.starts_with("mynah: --max-memory 8388608: too little:"),
        "{line}"
    );
}

#[test]
fn v8_a_socket_file_is_removed_by_the_supervisor_and_by_no_worker() {
    let path = std::env::temp_dir().join(format!("mynah-{}-processes.sock", std::process::id()));
    let address = format!("unix:{}", path.display());
    let server = Server::start(&["--processes", "2", "--listen", &address]);
    let asked = || {
        let mut peer = UnixStream::connect(&path).expect("the file is there");
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        assert_eq!(ask(&mut peer, b"x"), b"x");
    };
    asked();
    for name in ["KILL", "TERM"] {
        let before = workers(&server, 2);
        assert!(signal(before[0], name));
        replacement(&server, &before);
        all_serve(&server, 2);
        (0..10).for_each(|_| asked());
    }
    server.end();
    assert!(!path.exists());
}

#[test]
fn v8_commands_end_with_their_worker_and_leave_no_zombie() {
    let script = Script::new("outlives", "(sleep 0.3 &) ; exec sleep 60");
    let line = script.line().to_owned();
    let server = Server::start(&["run", "--allow", &line, "--processes", "2"]);
    let mut peer = server.connect();
    writeln!(peer, "{line}").expect("the server reads");
    until("the command runs", || {
        server.stats().get("commands_now") == 1
    });
    let before = workers(&server, 2);
    let owner = before.iter().copied().find(|id| !of_parent(*id).is_empty());
    let owner = owner.expect("one worker has started it");
    let commands = of_parent(owner);
    assert!(signal(owner, "KILL"));
    until("the command is killed", || {
        commands.iter().all(|id| has_ended(*id))
    });
    replacement(&server, &before);
    until("no orphan and no zombie is left", || {
        children(&server).len() == 2 && commands.iter().all(|id| group(*id) == 0)
    });
    assert_eq!(server.stats().get("commands_now"), 0);
    server.end();
}

/// The processes whose parent is `parent`.
fn of_parent(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("proc(5)");
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter(|id| stat(*id).is_some_and(|(_, its, _)| its == parent))
        .collect()
}

#[test]
fn v8_descriptors_of_the_supervisor_do_not_grow_with_connections_or_deaths() {
    let server = Server::start(&["--processes", "2"]);
    // The log has its own descriptor, from its first line on.
    server.hears("talk to it with");
    let all = workers(&server, 2);
    let before = (server.descriptors(), sockets(server.pid()));
    let mut peers: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    assert!(peers.iter_mut().all(is_answered));
    assert_eq!((server.descriptors(), sockets(server.pid())), before);
    let inherited = sockets(replaced(&server, &all));
    assert_eq!((server.descriptors(), sockets(server.pid())), before);
    // A later worker has no link of another one.
    drop(peers);
    gone(&server);
    let first = workers(&server, 2)
        .into_iter()
        .map(sockets)
        .collect::<HashSet<_>>();
    assert_eq!(
        first,
        HashSet::from([inherited]),
        "the same for every worker"
    );
    server.end();
}

/// Kills the first of the workers and returns the one that takes its place, once it serves.
fn replaced(server: &Server, before: &[u32]) -> u32 {
    assert!(signal(before[0], "KILL"));
    let new = replacement(server, before);
    all_serve(server, before.len() as u64);
    new
}

#[test]
fn v8_a_line_of_the_wiretap_has_the_number_of_its_process() {
    let server = Server::start(&["--processes", "2", "--wiretap", "size"]);
    let all = workers(&server, 2);
    assert_eq!(ask(&mut server.connect(), b"x"), b"x");
    let line = server.hears("#1 READ 1 bytes");
    let is_named = |id: &u32| line.contains(&format!(" {id} #1 "));
    assert!(all.iter().any(is_named), "{line}");
    server.end();
}

#[test]
fn v8_a_supervisor_that_may_not_fork_says_so_and_ends() {
    if !may_trace() {
        return;
    }
    let report = Report::new();
    // The C libraries make different calls for a fork.
    let words = report.wrapper("clone,?fork", &["clone,?fork:error=EAGAIN".to_owned()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Err(ended) = Server::try_start(&words, &[], &["--processes", "2"]) else {
        panic!("it has started without a worker");
    };
    assert_eq!(ended.code, Some(6), "{:?}", ended.stderr);
    let line = "mynah: worker processes: Resource temporarily unavailable (os error 11)";
    assert_eq!(ended.stderr, [line]);
}

#[test]
fn v8_all_addresses_of_the_machine_have_one_port_in_every_process() {
    let server = Server::start(&["--processes", "2", "--listen", "*:0"]);
    let ports: HashSet<&str> = (server.addresses().iter())
        .filter_map(|address| address.rsplit(':').next())
        .collect();
    assert_eq!(ports.len(), 1, "{:?}", server.addresses());
    let port = ports.iter().next().expect("a port");
    let mut peer = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    assert_eq!(ask(&mut peer, b"hello"), b"hello");
    server.end();
}

#[test]
fn v8_the_descriptor_limit_is_one_of_each_process() {
    let wrapper = ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"];
    let connections = |processes: &str| {
        let server = Server::start_under(&wrapper, &[], &["--processes", processes]);
        let connections = server.announced(" connections");
        server.end();
        connections
    };
    assert_eq!(connections("3"), 3 * connections("1"));
}

#[test]
fn v8_a_supervisor_that_cannot_start_all_workers_ends_them_with_one_line() {
    let script = "ulimit -n 40; exec \"$@\"";
    let wrapper = ["sh", "-c", script, "sh"];
    let Err(ended) = Server::try_start(&wrapper, &[], &["--processes", "30"]) else {
        panic!("it has started");
    };
    assert_eq!(ended.code, Some(6), "{:?}", ended.stderr);
    let line = "mynah: worker processes: Too many open files (os error 24)";
    assert_eq!(ended.stderr, [line]);
}

#[test]
fn v8_what_does_not_combine_is_refused() {
    for (args, line) in [
        (
            &["--model", "pool", "--processes", "2"][..],
            "--model pool: does not combine with --processes",
        ),
        (
            &["--processes", "3", "--max-connections", "2"],
            "--max-connections 2: must be at least --processes, 3",
        ),
        (
            &[
                "--processes",
                "3",
                "--threads",
                "2",
                "--max-connections-per-ip",
                "5",
            ],
            "--max-connections-per-ip 5: must be at least --processes times --threads, 6",
        ),
        (
            &["--alive", "2s"],
            "--alive 2s: only the workers of --processes N report",
        ),
        (
            &["--processes", "65"],
            "--processes 65: must be 1 to 64, or off",
        ),
        (
            &["--processes", "2", "--alive", "9ms"],
            "--alive 9ms: must be 10ms to 1h, or off",
        ),
    ] {
        let refused = Ended::run(args);
        assert_eq!(refused.code, Some(1), "{args:?}");
        assert_eq!(refused.stderr, [format!("mynah: {line}")], "{args:?}");
    }
}

#[test]
fn a_thread_that_fails_leaves_the_queues_to_the_other_processes() {
    if !may_trace() {
        return;
    }
    let args = [
        "--processes",
        "2",
        "--threads",
        "2",
        "--max-connections",
        "100",
    ];
    let server = Server::start(&args);
    let fails = workers(&server, 2)[0];
    let tasks = fs::read_dir(format!("/proc/{fails}/task")).expect("proc(5)");
    let tasks = tasks.filter_map(|task| task.ok()?.file_name().into_string().ok());
    let thread = tasks.filter(|task| *task != fails.to_string()).max();
    let mut tracer = std::process::Command::new("strace")
        .args([
            "-qq",
            "-o",
            "/dev/null",
            "-p",
            &thread.expect("two threads"),
        ])
        .args(["-e", "inject=epoll_wait,epoll_pwait:error=EBADF"])
        .spawn()
        .expect("it is installed");
    // Each count wakes all threads.
    until("the process is replaced", || {
        server.stats().get("processes_restarted") == 1
    });
    tracer.wait().expect("a child");
    for number in 0..8 {
        let peer = TcpStream::connect_timeout(&server.address(), PATIENCE);
        let mut peer = peer.unwrap_or_else(|error| panic!("connection {number}: {error}"));
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        assert_eq!(ask(&mut peer, b"hello"), b"hello");
    }
    server.signal("TERM");
    server.ended();
}
