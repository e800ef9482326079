//! Options whose value only the kernel sees. Each test checks at least two values at the kernel, so
//! a constant in place of the option is detected.
//!
//! strace(1) shows socket options and epoll calls, ss(8) the backlog, and fdinfo in proc(5) the
//! time left on the timerfd, of which each worker has one. No test waits for a time-out to expire,
//! so the tested values are realistic ones. Man pages: tcp(7), listen(2), epoll_ctl(2),
//! timerfd_create(2).

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use mynah::limits::{DEFER_ACCEPT, KEEPALIVE, USER_TIMEOUT};

use super::injected::tracer::{Report, may_trace};
use super::server::{Server, until};
use super::{ask, is_installed, stuff};
use crate::program;

/// Tolerance: the timer shows the time left, so a test may take this long until it reads it.
const GRACE: Duration = Duration::from_secs(15);

/// The calls of these names from the start of the server to the end of `play`.
fn calls(names: &str, args: &[&str], play: impl FnOnce(&Server)) -> String {
    let report = Report::new();
    let wrapper = report.wrapper(names, &[]);
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let server = Server::start_under(&wrapper, &[], args);
    play(&server);
    server.end();
    whole(&report)
}

/// The report of strace. A call that another thread interrupts is joined from its two lines.
fn whole(report: &Report) -> String {
    report.read().replace(" <unfinished ...>", ")")
}

/// Panics unless exactly the listed number of calls contains each text.
#[track_caller]
fn check(report: &str, expected: &[(&str, usize)]) {
    for (part, count) in expected {
        let found = report.lines().filter(|line| line.contains(part)).count();
        assert_eq!(found, *count, "{part} in\n{report}");
    }
}

#[test]
fn the_backlog_is_what_listen_is_called_with() {
    if !may_trace() {
        return;
    }
    for (args, backlog, listeners) in [
        (&["--backlog", "7"][..], ", 7)", 1),
        (&["--backlog", "300"], ", 300)", 1),
        (&[], ", 4096)", 1),
        // Each worker has its own listeners, and each listener has the whole backlog.
        (&["--backlog", "9", "--threads", "3"], ", 9)", 3),
    ] {
        let report = calls("listen", args, |_| {});
        check(&report, &[("listen(", listeners), (backlog, listeners)]);
    }
}

#[test]
fn the_backlog_is_what_the_kernel_keeps() {
    if !is_installed("ss") {
        return;
    }
    for backlog in ["7", "300"] {
        let server = Server::start(&["--backlog", backlog]);
        let port = format!(":{}", server.address().port());
        let output = Command::new("ss")
            .args(["-ltnH", "sport", "=", &port])
            .output();
        let output = output.expect("ss runs");
        let text = String::from_utf8(output.stdout).expect("text");
        // Columns of ss(8): state, queued connections, backlog.
        let word = text.split_whitespace().nth(2);
        assert_eq!(word, Some(backlog), "{text}");
        server.end();
    }
}

#[test]
fn as_many_as_the_backlog_and_one_wait_for_a_slot() {
    for backlog in [2, 5] {
        let words = backlog.to_string();
        let server = Server::start(&["--backlog", &words, "--max-connections", "1"]);
        let mut inside = server.connect();
        assert_eq!(ask(&mut inside, b"x"), b"x");
        let mut waiting = Vec::new();
        // If the queue is full, the kernel drops the SYN, and the client retries after one second.
        let patience = Duration::from_millis(300);
        while let Ok(peer) = TcpStream::connect_timeout(&server.address(), patience) {
            waiting.push(peer);
            assert!(waiting.len() <= 100, "nothing is refused");
        }
        // The kernel treats the queue as full when it is longer than the backlog.
        assert_eq!(waiting.len(), backlog + 1);
        drop((inside, waiting));
        server.end();
    }
}

#[test]
fn accepted_sockets_have_the_time_outs_of_the_options() {
    if !may_trace() {
        return;
    }
    let least = format!("TCP_USER_TIMEOUT, [{}]", USER_TIMEOUT.as_millis());
    for (stall, user_timeout) in [
        ("45s", Some("TCP_USER_TIMEOUT, [45000]")),
        ("2m", Some("TCP_USER_TIMEOUT, [120000]")),
        // TCP_USER_TIMEOUT has a minimum, because a network may need longer than this. A shorter
        // stall time-out only applies to peers that do not read.
        ("1s", Some(least.as_str())),
        ("off", None),
    ] {
        let report = calls("setsockopt", &["--stall-timeout", stall], |_| {});
        check(
            &report,
            &[("TCP_USER_TIMEOUT", usize::from(user_timeout.is_some()))],
        );
        if let Some(part) = user_timeout {
            check(&report, &[(part, 1)]);
        }
        let idle = format!("TCP_KEEPIDLE, [{}]", KEEPALIVE.as_secs());
        let interval = format!("TCP_KEEPINTVL, [{}]", KEEPALIVE.as_secs() / 3);
        check(
            &report,
            &[(&idle, 1), (&interval, 1), ("TCP_KEEPCNT, [3]", 1)],
        );
        check(
            &report,
            &[("SO_KEEPALIVE, [1]", 1), ("SO_OOBINLINE, [1]", 1)],
        );
    }
}

#[test]
fn switches_of_sockets_are_on_or_off_at_each_listener() {
    if !may_trace() {
        return;
    }
    let defer = format!("TCP_DEFER_ACCEPT, [{}]", DEFER_ACCEPT.as_secs());
    for (args, nodelay, deferred) in [
        (&[][..], 1, 0),
        (&["--nodelay=off"], 0, 0),
        (&["--nodelay=on"], 1, 0),
        (&["--defer-accept"], 1, 1),
        (&["--defer-accept=off"], 1, 0),
        (&["--defer-accept", "--threads", "3"], 3, 3),
        (&["--nodelay=off", "--threads", "2"], 0, 0),
    ] {
        let report = calls("setsockopt", args, |_| {});
        check(
            &report,
            &[("TCP_NODELAY, [1]", nodelay), ("TCP_NODELAY", nodelay)],
        );
        check(
            &report,
            &[(&defer, deferred), ("TCP_DEFER_ACCEPT", deferred)],
        );
    }
}

#[test]
fn the_trigger_is_what_epoll_is_asked_for() {
    if !may_trace() {
        return;
    }
    for (trigger, edges) in [("level", 0), ("edge", 1)] {
        let report = calls("epoll_ctl", &["--trigger", trigger], |server| {
            let mut peer = server.connect();
            assert_eq!(ask(&mut peer, b"x"), b"x");
        });
        // The upper half of a connection's token counts from 1; the other tokens belong to the loop
        // itself.
        let of_connections =
            |line: &&str| line.contains("EPOLL_CTL_ADD") && line.contains("EPOLLIN");
        let with_edge = |line: &&str| line.contains("EPOLLRDHUP") && line.contains("EPOLLET");
        assert!(report.lines().any(|line| of_connections(&line)), "{report}");
        let found = report.lines().filter(with_edge).count();
        assert_eq!(found, edges, "{report}");
    }
}

#[test]
fn a_loop_that_spins_looks_without_waiting_and_another_does_not() {
    if !may_trace() {
        return;
    }
    for (spin, looks) in [("off", false), ("100ms", true)] {
        let report = calls(
            "epoll_wait,epoll_pwait,epoll_pwait2",
            &["--spin", spin],
            |server| {
                let mut peer = server.connect();
                assert_eq!(ask(&mut peer, b"x"), b"x");
                // A loop that blocks in every wait returns only a few times, however long the test
                // runs.
                let waits = if looks { 200 } else { 4 };
                until("it has waited so often", || {
                    server.stats().get("epoll_wait") >= waits
                });
            },
        );
        // musl makes an epoll_pwait of every wait, without a mask.
        let at_once = |line: &str| line.contains(", 0)") || line.contains(", 0, NULL, ");
        let in_vain = |line: &&str| at_once(line) && line.ends_with("= 0");
        let found = report.lines().filter(in_vain).count();
        assert_eq!(found > 2, looks, "{spin}: {found} looks in vain");
    }
}

/// The time until the deadline of the only worker; `None` if its timer is not set.
fn alarm(server: &Server) -> Option<Duration> {
    let folder = format!("/proc/{}/fdinfo", server.pid());
    let files = fs::read_dir(folder)
        .expect("proc(5)")
        .filter_map(Result::ok);
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let timer = texts.filter_map(|text| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("it_value: ("))?;
        let (seconds, _) = value.split_once(", ")?;
        seconds.parse::<u64>().ok()
    });
    let timers: Vec<u64> = timer.collect();
    assert_eq!(timers.len(), 1, "one timer for each worker");
    // Fractions of a second do not matter, but 0 means that the timer is not set.
    (timers[0] > 0).then(|| Duration::from_secs(timers[0] + 1))
}

/// Waits until the remaining time is `span`, or a little less.
#[track_caller]
fn check_alarm(server: &Server, what: &str, span: Duration) {
    until(&format!("{what} of {span:?} is what is waited for"), || {
        alarm(server).is_some_and(|left| left <= span && left + GRACE > span)
    });
}

/// What a peer does to make the server wait with a time-out.
type Deed = fn(&Server) -> TcpStream;

fn says_nothing(server: &Server) -> TcpStream {
    let mut peer = server.connect();
    assert_eq!(ask(&mut peer, &[0, 0, 0, 0]), [0, 0, 0, 0]);
    peer
}

fn begins_a_frame(server: &Server) -> TcpStream {
    let mut peer = says_nothing(server);
    peer.write_all(&[0, 0, 0, 9, b'x'])
        .expect("the server reads");
    peer
}

fn takes_nothing(server: &Server) -> TcpStream {
    let mut peer = server.connect();
    peer.set_nonblocking(true).expect("an option");
    stuff(server, &mut peer);
    peer
}

#[test]
fn each_time_out_of_a_connection_is_the_one_that_is_waited_for() {
    let options = ["--idle-timeout", "--frame-timeout", "--stall-timeout"];
    let deeds: [(&str, Deed, &[&str]); 3] = [
        (options[0], says_nothing, &["--frame", "u32be"]),
        (options[1], begins_a_frame, &["--frame", "u32be"]),
        (options[2], takes_nothing, &[]),
    ];
    for (option, deed, more) in deeds {
        for (words, seconds) in [("70s", 70), ("9m", 540), ("30h", 108_000)] {
            // The other time-outs are off, because the timer is set to the nearest deadline.
            let others = options.iter().filter(|other| **other != option);
            let mut args: Vec<&str> = others.flat_map(|other| [*other, "off"]).collect();
            args.extend([option, words]);
            let server = Server::start(&[&args[..], more].concat());
            assert_eq!(alarm(&server), None, "nothing is waited for");
            let peer = deed(&server);
            check_alarm(&server, option, Duration::from_secs(seconds));
            drop(peer);
            server.signal("TERM");
            server.ended();
        }
    }
}

#[test]
fn the_nearest_of_several_time_outs_is_waited_for() {
    for (idle, frame, nearest) in [("70s", "9m", 70), ("9m", "80s", 80)] {
        let args = [
            "--idle-timeout",
            idle,
            "--frame-timeout",
            frame,
            "--frame",
            "u32be",
        ];
        let server = Server::start(&args);
        let peer = begins_a_frame(&server);
        check_alarm(&server, "the nearest", Duration::from_secs(nearest));
        drop(peer);
        server.end();
    }
}

#[test]
fn the_drain_time_out_and_the_interval_of_counts_are_waited_for() {
    for (words, seconds) in [("80s", 80), ("11m", 660)] {
        // A peer that takes nothing is idle too, after ten minutes.
        let args = [
            "--drain-timeout",
            words,
            "--stall-timeout",
            "off",
            "--idle-timeout",
            "off",
        ];
        let server = Server::start(&args);
        let peer = takes_nothing(&server);
        server.signal("TERM");
        server.hears("draining");
        // The server reads input that has already arrived for one second before.
        check_alarm(&server, "--drain-timeout", Duration::from_secs(seconds));
        drop(peer);
        server.ended();

        let server = Server::start(&["--stats", words]);
        check_alarm(&server, "--stats", Duration::from_secs(seconds));
        server.end();
    }
}

#[test]
fn the_load_generator_tells_the_kernel_what_its_options_say() {
    if !may_trace() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut both = (&stream, &stream);
                let _ = std::io::copy(&mut both.0, &mut both.1);
            });
        }
    });
    // Each address and each processor is tried once before the load.
    for (words, expected) in [
        (
            "--source-ip 127.0.0.2",
            &[("inet_addr(\"127.0.0.2\")", 3)][..],
        ),
        (
            "--source-ip 127.0.0.3,127.0.0.4",
            &[
                ("inet_addr(\"127.0.0.3\")", 2),
                ("inet_addr(\"127.0.0.4\")", 2),
            ],
        ),
        ("--pin 0", &[("sched_setaffinity(0, ", 2), (", [0])", 2)]),
        (
            "--threads 2 --pin 0",
            &[("sched_setaffinity(0, ", 3), (", [0])", 3)],
        ),
    ] {
        let report = Report::new();
        let wrapper = report.wrapper("bind,prctl,sched_setaffinity,setsockopt", &[]);
        let load = "--connections 2 --requests 4 --warmup 0".split(' ');
        let output = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .args([program::path(), "bench", &address])
            .args(load)
            .args(words.split(' '))
            .output()
            .expect("strace runs");
        assert!(output.status.success(), "{output:?}");
        let text = whole(&report);
        check(&text, expected);
        // The timer slack is minimal, so that requests go out exactly when they are due.
        let threads = 1 + usize::from(words.contains("--threads 2"));
        check(
            &text,
            &[("TCP_NODELAY, [1]", 2), ("PR_SET_TIMERSLACK, 1)", threads)],
        );
    }
}
