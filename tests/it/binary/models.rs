//! The blocking models (rows V1 to V4): each connection has a thread or a process.
//!
//! What a model promises is looked up in `/proc`: threads, children, descriptors. What all models
//! share with the epoll loop is tested under each of them: limits, time-outs, drain, signals,
//! commands. The transcripts play under every model too, see `transcripts`. Man pages: fork(2),
//! proc(5), signal(7).

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::ask;
use super::server::{Server, until};
use crate::program;
use crate::uninterrupted::uninterrupted;

/// The models that hold more than one connection.
const SEVERAL: [&str; 3] = ["thread", "pool", "fork"];
const ALL: [&str; 4] = ["iterative", "thread", "pool", "fork"];

fn server(model: &str, args: &[&str]) -> Server {
    Server::start(&[&["--model", model], args].concat())
}

fn threads(server: &Server) -> u64 {
    server.status("Threads")
}

/// The states of the children of the server: proc_pid_task_children needs no tool.
fn children(server: &Server) -> Vec<char> {
    let pid = server.pid();
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    let state = |child: &str| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    list.split_whitespace().filter_map(state).collect()
}

/// Whether nothing arrives for a while in which a served connection would have an answer.
fn is_unanswered(peer: &mut TcpStream) -> bool {
    let pause = Duration::from_millis(100);
    peer.set_read_timeout(Some(pause)).expect("a time-out");
    let read = uninterrupted(|| peer.read(&mut [0; 1]));
    let patience = super::server::PATIENCE;
    peer.set_read_timeout(Some(patience)).expect("a time-out");
    read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn is_over(peer: &mut TcpStream) -> bool {
    matches!(uninterrupted(|| peer.read(&mut [0; 1])), Ok(0))
}

#[test]
fn v1_a_second_client_connects_but_is_served_after_the_first_has_left() {
    let server = server("iterative", &[]);
    let mut first = server.connect();
    assert_eq!(ask(&mut first, b"one"), b"one");
    let mut second = server.connect();
    second.write_all(b"two").expect("the kernel takes it");
    assert!(is_unanswered(&mut second));
    assert_eq!(ask(&mut first, b"more"), b"more");
    assert_eq!(threads(&server), 1);
    drop(first);
    let mut reply = [0; 3];
    second.read_exact(&mut reply).expect("its turn has come");
    assert_eq!(&reply, b"two");
    server.end();
}

#[test]
fn v2_each_of_200_connections_has_a_process_and_no_zombie_is_left() {
    let server = server("fork", &[]);
    // The first line of the log opens stderr again.
    server.hears("talk to it");
    let before = server.descriptors();
    let mut peers: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
    for peer in &mut peers {
        assert_eq!(ask(peer, b"x"), b"x");
    }
    assert_eq!(children(&server).len(), 200);
    // The last child may answer before its parent has run again.
    until("the parent holds no connection", || {
        server.descriptors() == before
    });
    assert_eq!(threads(&server), 1);
    let sums = server.stats();
    assert_eq!(
        (sums.get("connections_now"), sums.get("frames")),
        (200, 200)
    );
    drop(peers);
    until("no child is left", || children(&server).is_empty());
    until("all are counted", || {
        let sums = server.stats();
        sums.get("connections_now") == 0 && sums.get("closed_end_of_stream") == 200
    });
    server.end();
}

#[test]
fn v2_a_child_keeps_no_descriptor_but_its_own() {
    let server = server("fork", &[]);
    let mut peer = server.connect();
    ask(&mut peer, b"x");
    let pid = server.pid();
    let child = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("proc(5)");
    let folder = format!("/proc/{}/fd", child.trim());
    let targets: Vec<String> = fs::read_dir(folder)
        .expect("proc(5)")
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let sockets = targets
        .iter()
        .filter(|it| it.starts_with("socket:"))
        .count();
    let events = targets
        .iter()
        .filter(|it| it.starts_with("anon_inode:"))
        .count();
    assert_eq!((sockets, events), (1, 0), "{targets:?}");
    server.end();
}

#[test]
fn v2_a_child_that_is_killed_is_reaped_and_counted_and_the_others_stay() {
    let server = server("fork", &[]);
    let mut killed = server.connect();
    ask(&mut killed, b"x");
    let pid = server.pid();
    let child = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("proc(5)");
    let mut other = server.connect();
    ask(&mut other, b"y");
    assert!(program::shell(&format!("kill -s KILL {child}")));
    let mut rest = Vec::new();
    let _ = killed.read_to_end(&mut rest);
    assert!(rest.is_empty());
    until("it is counted", || {
        let sums = server.stats();
        sums.get("connections_now") == 1 && sums.get("closed_failed") == 1
    });
    assert_eq!(children(&server).len(), 1);
    assert_eq!(ask(&mut other, b"still"), b"still");
    server.end();
}

#[test]
fn v2_a_child_that_is_stopped_is_killed_at_the_drain_time_out_and_counts_as_cut() {
    let server = server("fork", &["--frame", "u32be", "--drain-timeout", "200ms"]);
    let mut peer = server.connect();
    ask(&mut peer, &[0, 0, 0, 1, b'x']);
    let pid = server.pid();
    let child = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("proc(5)");
    assert!(program::shell(&format!("kill -s STOP {child}")));
    until("it is stopped", || children(&server) == ['T']);
    server.signal("TERM");
    assert_eq!(server.ended().code, Some(10));
}

#[test]
fn v2_a_child_that_is_killed_in_the_drain_counts_as_cut() {
    let server = server("fork", &["--frame", "u32be", "--frame-timeout", "20s"]);
    let mut peer = server.connect();
    peer.write_all(&[0, 0, 0, 1]).expect("the server reads");
    until("it is read", || server.stats().get("bytes_in") == 4);
    server.signal("TERM");
    server.hears("draining");
    let pid = server.pid();
    let child = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("proc(5)");
    assert!(program::shell(&format!("kill -s KILL {child}")));
    let ended = server.ended();
    assert_eq!(ended.code, Some(10));
    let last = ended.stderr.last().cloned().unwrap_or_default();
    assert!(last.contains("cut 1 connection"), "{last}");
}

#[test]
fn v3_a_connection_has_one_thread_that_is_gone_when_it_leaves() {
    let server = server("thread", &[]);
    assert_eq!(threads(&server), 1);
    let mut peers = Vec::new();
    for number in 1..=20 {
        let mut peer = server.connect();
        ask(&mut peer, b"x");
        peers.push(peer);
        assert_eq!(threads(&server), 1 + number);
    }
    drop(peers);
    until("no thread is left", || threads(&server) == 1);
    server.end();
}

#[test]
fn v4_a_client_waits_until_a_thread_is_free_and_a_full_queue_stops_accepting() {
    let server = server("pool", &["--pool-threads", "2", "--pool-queue", "3"]);
    assert_eq!(threads(&server), 3);
    // The descriptor of the log is open once it serves.
    server.stats();
    let before = server.descriptors();
    assert_eq!(server.announced("connections"), 5);
    let mut served: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    for peer in &mut served {
        ask(peer, b"x");
    }
    let mut waiting: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
    for peer in &mut waiting {
        peer.write_all(b"y").expect("the kernel takes it");
    }
    until("the queue is full", || {
        server.stats().get("pool_queue") == 3
    });
    assert!(is_unanswered(&mut waiting[0]));
    assert_eq!(
        server.descriptors() - before,
        5,
        "the backlog keeps the rest"
    );
    assert_eq!(server.stats().get("connections_now"), 5);
    // A thread that is free takes the connection that has waited longest.
    drop(served.pop());
    waiting[0]
        .read_exact(&mut [0; 1])
        .expect("its turn has come");
    until("the next is accepted", || {
        server.stats().get("connections_total") == 6
    });
    drop(served);
    for peer in &mut waiting[1..] {
        let _ = peer.shutdown(Shutdown::Write);
    }
    drop(waiting.remove(0));
    for peer in &mut waiting {
        peer.read_exact(&mut [0; 1])
            .expect("all are served in the end");
    }
    until("the queue is empty", || {
        server.stats().get("pool_queue") == 0
    });
    server.end();
}

#[test]
fn v4_a_pool_without_a_queue_holds_as_many_connections_as_threads() {
    let server = server("pool", &["--pool-threads", "1", "--pool-queue", "0"]);
    assert_eq!(server.announced("connection"), 1);
    let mut first = server.connect();
    ask(&mut first, b"x");
    let mut second = server.connect();
    second.write_all(b"y").expect("the kernel takes it");
    assert!(is_unanswered(&mut second));
    drop(first);
    second.read_exact(&mut [0; 1]).expect("its turn has come");
    server.end();
}

#[test]
fn a_drain_lets_a_begun_request_finish_and_answers_the_queue() {
    for model in ALL {
        let server = server(model, &["--frame", "u32be", "--frame-timeout", "20s"]);
        let mut peer = server.connect();
        peer.write_all(&[0, 0, 0, 1]).expect("the server reads");
        until("it is read", || server.stats().get("bytes_in") == 4);
        let mut queued = server.connect();
        queued
            .write_all(&[0, 0, 0, 1, b'q'])
            .expect("the kernel takes it");
        if model != "iterative" {
            queued.read_exact(&mut [0; 5]).expect("an answer");
        }
        server.signal("TERM");
        server.hears("draining");
        peer.write_all(b"z").expect("the server reads");
        let mut reply = [0; 5];
        peer.read_exact(&mut reply).expect("it may finish");
        assert_eq!(&reply, &[0, 0, 0, 1, b'z'], "{model}");
        assert!(is_over(&mut peer), "{model}");
        if model == "iterative" {
            queued.read_exact(&mut [0; 5]).expect("the queue is served");
        }
        assert!(is_over(&mut queued), "{model}");
        assert_eq!(server.ended().code, Some(0), "{model}");
    }
}

#[test]
fn the_drain_time_out_cuts_a_connection_inside_a_request_with_exit_code_10() {
    for model in ALL {
        let args = [
            "--frame",
            "u32be",
            "--frame-timeout",
            "20s",
            "--drain-timeout",
            "300ms",
        ];
        let server = server(model, &args);
        let mut peer = server.connect();
        peer.write_all(&[0, 0, 0, 1]).expect("the server reads");
        until("it is read", || server.stats().get("bytes_in") == 4);
        server.signal("TERM");
        let ended = server.ended();
        assert_eq!(ended.code, Some(10), "{model}");
        let last = ended.stderr.last().cloned().unwrap_or_default();
        assert!(last.contains("cut 1 connection"), "{model}: {last}");
    }
}

#[test]
fn the_second_signal_ends_every_thread_and_process_at_once() {
    for model in ALL {
        let server = server(model, &["--frame", "u32be", "--frame-timeout", "20s"]);
        let mut peer = server.connect();
        peer.write_all(&[0, 0, 0, 1]).expect("the server reads");
        until("it is read", || server.stats().get("bytes_in") == 4);
        server.signal("TERM");
        server.hears("draining");
        server.signal("INT");
        assert_eq!(server.ended().code, Some(130), "{model}");
        let _ = peer.read_to_end(&mut Vec::new());
    }
}

#[test]
fn the_limits_of_connections_hold_under_every_model() {
    for model in SEVERAL {
        let server = server(model, &["--max-connections", "2"]);
        assert_eq!(server.announced("connections"), 2, "{model}");
        let mut peers: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
        ask(&mut peers[0], b"x");
        ask(&mut peers[1], b"x");
        peers[2].write_all(b"y").expect("the kernel takes it");
        assert!(is_unanswered(&mut peers[2]), "{model}");
        assert_eq!(server.stats().get("connections_now"), 2, "{model}");
        drop(peers.remove(0));
        peers[1].read_exact(&mut [0; 1]).expect("its turn has come");
        server.end();
    }
}

#[test]
fn the_limit_of_an_address_holds_and_is_freed_under_every_model() {
    for model in SEVERAL {
        let server = server(model, &["--max-connections-per-ip", "2"]);
        let mut peers: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
        for peer in &mut peers {
            ask(peer, b"x");
        }
        let mut refused = server.connect();
        assert!(
            !matches!(uninterrupted(|| refused.read(&mut [0; 1])), Ok(1..)),
            "{model}"
        );
        assert_eq!(server.stats().get("refused_per_ip"), 1, "{model}");
        drop(peers.pop());
        until("its place is free", || {
            server.stats().get("connections_now") == 1
        });
        until("another is served", || {
            let mut peer = server.connect();
            let _ = peer.write_all(b"z");
            matches!(uninterrupted(|| peer.read(&mut [0; 1])), Ok(1))
        });
        server.end();
    }
}

#[test]
fn idle_slow_and_stalled_peers_are_cut_under_every_model() {
    for model in ALL {
        let idle = server(model, &["--idle-timeout", "200ms"]);
        assert!(is_over(&mut idle.connect()), "{model}");
        until("it is counted", || idle.stats().get("closed_idle") == 1);
        idle.end();

        let slow = server(model, &["--frame", "u32be", "--frame-timeout", "200ms"]);
        let mut peer = slow.connect();
        peer.write_all(&[0, 0]).expect("the server reads");
        assert!(is_over(&mut peer), "{model}");
        until("it is counted", || {
            slow.stats().get("closed_slow_frame") == 1
        });
        slow.end();

        let stalled = server(model, &["--stall-timeout", "200ms"]);
        let mut peer = stalled.connect();
        peer.set_nonblocking(true).expect("an option");
        until("it is counted", || {
            let _ = peer.write(&[b'x'; 65_536]);
            stalled.stats().get("closed_stalled") == 1
        });
        stalled.end();
    }
}

#[test]
fn a_command_is_answered_and_none_outlives_the_server_under_every_model() {
    for model in ALL {
        let args = [
            "run", "--allow", "echo hi", "--allow", "sleep 4", "--model", model,
        ];
        let server = Server::start(&args);
        let mut peer = server.connect();
        peer.write_all(b"echo hi\n").expect("the server reads");
        let mut reply = Vec::new();
        while !reply.ends_with(b"hi\n\n") {
            let mut byte = [0; 1];
            peer.read_exact(&mut byte).expect("an answer");
            reply.push(byte[0]);
        }
        peer.write_all(b"sleep 4\n").expect("the server reads");
        until("it runs", || server.stats().get("commands_now") == 1);
        server.signal("TERM");
        server.hears("draining");
        server.signal("INT");
        assert_eq!(server.ended().code, Some(130), "{model}");
    }
}

#[test]
fn a_ceiling_that_is_too_low_refuses_what_was_asked_and_shrinks_the_default() {
    for (model, what) in [("thread", "100 threads"), ("fork", "100 processes")] {
        let args = [
            "--model",
            model,
            "--max-memory",
            "8m",
            "--max-connections",
            "100",
        ];
        let ended = super::server::Ended::run(&args);
        assert_eq!(ended.code, Some(1), "{model}");
        let line = ended.stderr.last().cloned().unwrap_or_default();
        assert!(
            line.contains("--max-memory") && line.contains(what),
            "{line}"
        );
        let small = server(model, &["--max-memory", "8m"]);
        let most = small.announced("connections");
        assert!((1..100).contains(&most), "{model}: {most}");
        assert!(small.announced("bytes") <= 8 << 20, "{model}");
        small.end();
    }
}
