//! Supervision of commands: every command ends with mynah, whatever ends mynah; it inherits none of
//! mynah's changes to its own process; it leaves no zombie; and a web page cannot run a command.
//!
//! The tests use only the binary, `/proc` and strace(1). Man pages: PR_SET_PDEATHSIG(2const),
//! PR_SET_CHILD_SUBREAPER(2const), pid_namespaces(7).

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mynah::limits::COMMANDS_MAX;

use super::injected::{Report, may_trace};
use super::run::{Script, allowing, ask, children, group, stat};
use super::server::{Server, until};
use super::{is_installed, rest, say};
use crate::program;

/// The words in front of the program that set limits.
fn under_shell(commands: &str) -> [&str; 4] {
    ["sh", "-c", commands, "sh"]
}

/// The children of `parent` and their states.
fn offspring(parent: u32) -> HashMap<u32, char> {
    let all = fs::read_dir("/proc").expect("proc(5)");
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_parent = numbers.filter_map(|id: u32| match stat(id)? {
        (state, its_parent, _) if its_parent == parent => Some((id, state)),
        _ => None,
    });
    of_parent.collect()
}

fn zombies(parent: u32) -> usize {
    let states = offspring(parent).into_values();
    states.filter(|state| *state == 'Z').count()
}

/// Sends a signal to a process that is not a child of the test.
fn signal(id: u32, name: &str) {
    assert!(program::signal(id, name), "{name} to {id}");
}

#[test]
fn a_command_whose_pidfd_open_is_refused_is_not_said_to_be_missing() {
    if !may_trace() {
        return;
    }
    for fault in ["pidfd_open:error=EPERM", "pidfd_open:error=ENOSYS"] {
        let report = Report::new();
        let words = report.wrapper("pidfd_open", &[fault.to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let server = Server::start_under(&words, &[], &["run", "--allow", "echo a"]);
        for _ in 0..40 {
            assert_eq!(ask(&server, "echo a"), "a\n\n", "{fault}");
        }
        server.end();
    }
}

#[test]
fn a_kernel_on_which_commands_cannot_be_watched_runs_none() {
    if !may_trace() {
        return;
    }
    for (calls, fault, told) in [
        (
            "clone",
            "clone:error=EPERM",
            "clone(CLONE_PIDFD): Operation not permitted (os error 1); it takes Linux 5.4 or newer \
             and a sandbox that permits the call",
        ),
        (
            "waitid",
            "waitid:error=EINVAL",
            "waitid(P_PIDFD): Invalid argument (os error 22); it takes Linux 5.4 or newer and a \
             sandbox that permits the call",
        ),
        (
            "clone",
            "clone:error=EAGAIN",
            "clone(CLONE_PIDFD): Resource temporarily unavailable (os error 11)",
        ),
    ] {
        let report = Report::new();
        let words = report.wrapper(calls, &[fault.to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let args = ["run", "--allow", "echo a"];
        let Err(ended) = Server::try_start(&words, &[], &args) else {
            panic!("it has started although {fault}");
        };
        assert_eq!(ended.code, Some(6));
        let line =
            format!("mynah: run: commands cannot be watched here, so none is started: {told}");
        assert_eq!(ended.stderr, [line]);
        // Services without commands do not need these calls.
        let report = Report::new();
        let words = report.wrapper(calls, &[fault.to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Server::start_under(&words, &[], &["echo"]).end();
    }
}

#[test]
fn a_command_ends_with_mynah_whatever_ends_mynah() {
    let shell = under_shell("ulimit -c 0; exec \"$@\"");
    for name in ["QUIT", "USR2", "KILL", "ABRT", "ALRM"] {
        for threads in ["1", "3"] {
            let args = ["run", "--allow", "sleep 60", "--threads", threads];
            let server = Server::start_under(&shell, &[], &args);
            let mut peers: Vec<TcpStream> = (0..6).map(|_| server.connect()).collect();
            for peer in &mut peers {
                writeln!(peer, "sleep 60").expect("the server reads");
            }
            until("all run", || children(&server).len() == 6);
            let all = children(&server);
            server.signal(name);
            assert_eq!(server.ended().code, None, "SIG{name} has ended it");
            until("all are gone", || all.iter().all(|id| group(*id) == 0));
        }
    }
}

#[test]
fn a_worker_that_has_drained_takes_no_command_of_another_with_it() {
    let server = allowing(&["sleep 1"], &["--threads", "3"]);
    let mut peers: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    for peer in &mut peers {
        writeln!(peer, "sleep 1").expect("the server reads");
    }
    until("all run", || children(&server).len() == 3);
    server.signal("TERM");
    for peer in &mut peers {
        let heard = String::from_utf8(rest(peer)).expect("text");
        assert!(
            heard.ends_with(" execute done, result is : \n\n"),
            "{heard:?}"
        );
    }
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn a_command_gets_the_descriptor_limit_that_mynah_was_started_with() {
    for threads in ["1", "2"] {
        for (soft, hard) in [("100", "600"), ("600", "600")] {
            let limits = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$@\"");
            let line = "cat /proc/self/limits";
            let args = [
                "run",
                "--allow",
                line,
                "--max-connections",
                "20",
                "--threads",
                threads,
            ];
            let server = Server::start_under(&under_shell(&limits), &[], &args);
            // The first and the second command get the same limit.
            for _ in 0..2 {
                let told = ask(&server, line);
                let row = told.lines().find(|row| row.starts_with("Max open files"));
                let words: Vec<&str> = row.expect("a row").split_whitespace().collect();
                assert_eq!(words[3..5], [soft, hard], "{told}");
            }
            server.end();
        }
    }
}

#[test]
fn a_command_inherits_nothing_that_mynah_has_changed() {
    // Everything that the kernel reports of a process and that a child inherits.
    const TOLD: &str = "limits oom_score_adj timerslack_ns coredump_filter personality cgroup";
    const FIELDS: [&str; 12] = [
        "Umask",
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp:",
        "Cpus_allowed",
    ];
    let files: Vec<String> = TOLD
        .split(' ')
        .map(|name| format!("/proc/self/{name}"))
        .collect();
    let line = format!(
        "tail -n 99 /proc/self/status /proc/self/stat {}",
        files.join(" ")
    );
    // The priority is field 19 of proc_pid_stat(5), or 16 counted from the state.
    let compared = |text: &str| -> Vec<String> {
        let of_status = |line: &&str| FIELDS.iter().any(|field| line.starts_with(field));
        let status = text.lines().filter(of_status).map(str::to_owned);
        let nice = text.lines().find_map(|line| line.rsplit_once(") "));
        let nice = nice.and_then(|(_, rest)| rest.split(' ').nth(16));
        let (_, rest) = text.split_once("/proc/self/limits").expect("the limits");
        let rest = rest.lines().map(str::to_owned);
        status.chain(nice.map(str::to_owned)).chain(rest).collect()
    };
    let shell = "umask 027; ulimit -Sn 300; ulimit -Ss 4096; exec nice -n 3 \"$@\"";
    let args = ["run", "--allow", &line, "--max-connections", "20"];
    let server = Server::start_under(&under_shell(shell), &[], &args);
    let heard = ask(&server, &line);
    server.end();
    let words = under_shell(shell);
    let alone = Command::new(words[0])
        .args(&words[1..])
        .args(line.split(' '))
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let alone = String::from_utf8(alone.stdout).expect("text");
    assert_eq!(compared(heard.trim_end()), compared(alone.trim_end()));
    assert!(compared(&heard).len() > 25, "{heard}");
}

#[test]
fn a_command_that_the_kernel_refuses_to_watch_is_not_said_to_be_missing() {
    if !may_trace() {
        return;
    }
    let mut answered = 0;
    // Some of these calls belong to the start, others to the connection.
    for when in 4..12 {
        let report = Report::new();
        let fault = format!("epoll_ctl:error=ENOSPC:when={when}");
        let words = report.wrapper("epoll_ctl", &[fault]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let args = ["run", "--allow", "echo a"];
        let Ok(server) = Server::try_start(&words, &[], &args) else {
            continue;
        };
        let heard = String::from_utf8(speak(&server, b"echo a\n", 0)).expect("text");
        let is_whole = heard.ends_with("\na\n\n");
        assert!(heard.is_empty() || is_whole, "{when}: {heard}");
        answered += usize::from(is_whole);
        assert_eq!(server.stats().get("commands_not_started"), 0);
        server.end();
    }
    assert!(answered > 2, "{answered}");
}

#[test]
fn the_command_after_the_last_place_waits_and_has_its_whole_time() {
    let count = COMMANDS_MAX + 1;
    // Twice this is longer than the limit, and a slow start leaves much time to its end.
    let server = allowing(&["sleep 2.6"], &[]);
    let begin = Instant::now();
    let mut peers: Vec<TcpStream> = (0..count).map(|_| server.connect()).collect();
    for peer in &mut peers {
        writeln!(peer, "sleep 2.6").expect("the server reads");
    }
    until("one waits", || server.stats().get("command_waits") == 1);
    assert!(server.stats().get("commands") <= COMMANDS_MAX as u64);
    for peer in &mut peers {
        peer.shutdown(Shutdown::Write).expect("still connected");
        let heard = String::from_utf8(rest(peer)).expect("text");
        assert!(heard.ends_with("result is : \n\n"), "{heard}");
    }
    // The command was not cut, although more time than the limit of a command has passed since its
    // request.
    assert!(begin.elapsed() >= Duration::from_millis(5_200));
    let stats = server.stats();
    assert_eq!(stats.get("commands"), count as u64);
    assert_eq!(stats.get("commands_too_late"), 0);
    server.end();
}

#[test]
fn a_command_that_never_falls_silent_is_cut_at_its_time() {
    let script = Script::new("never-silent", "while :; do echo on; sleep 0.1; done");
    let server = allowing(&[script.line()], &[]);
    let begin = Instant::now();
    let heard = ask(&server, script.line());
    let took = begin.elapsed();
    assert!(heard.ends_with("on\nmynah: cut, it took longer than 5 seconds\n\n"));
    assert!(took >= Duration::from_secs(5), "{took:?}");
    server.end();
}

/// Sends `bytes` on a new connection, in two pieces, and returns the whole reply.
fn speak(server: &Server, bytes: &[u8], cut: usize) -> Vec<u8> {
    let mut peer = server.connect();
    peer.write_all(&bytes[..cut]).expect("the server reads");
    if cut > 0 {
        until("the first piece was read", || {
            server.stats().get("bytes_in") >= cut as u64
        });
    }
    // The server may have closed already.
    let _ = peer.write_all(&bytes[cut..]);
    let _ = peer.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    let _ = peer.read_to_end(&mut heard);
    heard
}

#[test]
fn a_request_of_a_browser_runs_nothing() {
    let request = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n\nuname -s\n";
    for cut in [0, 3, 7] {
        let server = allowing(&["uname -s"], &[]);
        assert_eq!(speak(&server, request, cut), b"");
        until("it is closed", || {
            server.stats().get("closed_other_protocol") == 1
        });
        assert_eq!(server.stats().get("commands"), 0);
        server.hears(
            "WARN  other_protocol: a web page could have opened this connection; 50 4f 53 54 is \
             \"POST\": the peer seems to speak HTTP: the connection is closed",
        );
        // Other peers are served.
        assert_eq!(ask(&server, "uname -s"), "Linux\n\n");
        server.end();
    }
}

#[test]
fn curl_runs_nothing() {
    if !is_installed("curl") {
        return;
    }
    for (number, (scheme, more)) in [
        ("http", &["-X", "POST", "--data-binary", "\nuname -s\n"][..]),
        ("http", &["--http2-prior-knowledge"]),
        ("http", &["-X", "FOO", "--data-binary", "\nuname -s\n"]),
        ("https", &["-k"]),
    ]
    .into_iter()
    .enumerate()
    {
        let server = allowing(&["uname -s"], &["--frame", "line"]);
        let url = format!("{scheme}://{}/", server.address());
        let status = Command::new("curl")
            .args(["-s", "--max-time", "10"])
            .args(more)
            .arg(&url)
            .stdout(Stdio::null())
            .status();
        let code = status.expect("it is installed").code();
        assert_ne!(code, Some(0), "{number}: it was served");
        // curl without HTTP/2 support sends nothing.
        if server.stats().get("bytes_in") > 0 {
            until("it is closed", || {
                server.stats().get("closed_other_protocol") == 1
            });
        }
        assert_eq!(server.stats().get("commands"), 0);
        server.end();
    }
}

#[test]
fn an_allowed_line_that_reads_like_http_is_warned_of() {
    let server = allowing(&["echo GET / HTTP/1.1", "echo / HTTP/1.1"], &[]);
    let line = server.hears("WARN  --allow");
    assert!(line.contains("\"echo / HTTP/1.1\": a connection that begins so is taken for HTTP"));
    assert_eq!(ask(&server, "echo GET / HTTP/1.1"), "GET / HTTP/1.1\n\n");
    // After another line of the same connection, this line is an ordinary line.
    let mut peer = server.connect();
    peer.write_all(b"no\necho / HTTP/1.1\n")
        .expect("the server reads");
    peer.shutdown(Shutdown::Write).expect("still connected");
    let heard = String::from_utf8(rest(&mut peer)).expect("text");
    assert!(heard.ends_with("result is : \n/ HTTP/1.1\n\n"), "{heard:?}");
    server.end();
}

/// Commands that leave children behind in different ways, with their output not on the pipe.
const LEAVING: [(&str, &str); 4] = [
    ("in the group", "sleep 0.05 >/dev/null 2>&1 &"),
    ("in a session", "setsid sleep 0.05 >/dev/null 2>&1 &"),
    (
        "in a session, twice removed",
        "(setsid sh -c 'sleep 0.05 & sleep 0.02' &) >/dev/null 2>&1",
    ),
    (
        "many",
        "for i in 1 2 3 4 5 6; do setsid sleep 0.01 >/dev/null 2>&1 & done",
    ),
];

/// Runs each of these lines several times; none may leave a zombie child of `parent`.
fn leave_children(server: &Server, parent: u32, scripts: &[Script]) {
    for _ in 0..4 {
        for script in scripts {
            assert_eq!(ask(server, script.line()), "\n");
        }
    }
    until("nothing is left", || offspring(parent).is_empty());
}

fn leaving(test: &str) -> Vec<Script> {
    let numbered = LEAVING.iter().enumerate();
    numbered
        .map(|(number, (_, text))| Script::new(&format!("{test}-{number}"), text))
        .collect()
}

#[test]
fn children_that_commands_leave_behind_become_no_zombies() {
    if !is_installed("setsid") {
        return;
    }
    let scripts = leaving("leaving");
    let lines: Vec<&str> = scripts.iter().map(Script::line).collect();
    for threads in ["1", "3"] {
        let server = allowing(&lines, &["--threads", threads]);
        leave_children(&server, server.pid(), &scripts);
        let stats = server.stats();
        assert_eq!(stats.get("commands"), 4 * scripts.len() as u64);
        assert_eq!(stats.get("commands_now"), 0);
        server.end();
    }
}

#[test]
fn children_of_a_command_that_was_cut_become_no_zombies() {
    if !is_installed("setsid") {
        return;
    }
    // One process keeps the pipe open until the command is cut. Children are in the process group
    // and outside of it.
    let script = Script::new("cut", "setsid sleep 6 & sleep 60 & sleep 60");
    let server = allowing(&[script.line()], &[]);
    let mut peers: Vec<TcpStream> = (0..4).map(|_| server.connect()).collect();
    for peer in &mut peers {
        writeln!(peer, "{}", script.line()).expect("the server reads");
        peer.shutdown(Shutdown::Write).expect("still connected");
    }
    for peer in &mut peers {
        let heard = String::from_utf8(rest(peer)).expect("text");
        assert!(heard.ends_with("mynah: cut, it took longer than 5 seconds\n\n"));
    }
    // A process that has left the group keeps running as a child of mynah, which reaps it when it
    // ends.
    let running = offspring(server.pid());
    assert!(running.len() >= 4, "{running:?}");
    until("all have ended", || offspring(server.pid()).is_empty());
    assert_eq!(server.stats().get("commands_too_late"), 4);
    server.end();
}

#[test]
fn children_from_before_the_start_become_no_zombies() {
    for service in ["echo", "run"] {
        // The shell executes mynah, so its children become mynah's: one has ended, the other is
        // running.
        let shell = under_shell("true & sleep 0.3 & sleep 0.1; exec \"$@\"");
        let server = Server::start_under(&shell, &[], &[service]);
        until("nothing is left", || offspring(server.pid()).is_empty());
        server.end();
    }
}

/// A server that is process 1 of a PID namespace, and its process number outside.
fn as_process_1(args: &[&str]) -> Option<(Server, u32)> {
    if !is_installed("unshare") {
        return None;
    }
    let unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut tried = Command::new(unshare[0]);
    tried.args(&unshare[1..]).arg("true").stderr(Stdio::null());
    let may = tried.status();
    if !may.is_ok_and(|status| status.success()) {
        say("skipped: a process namespace may not be made here");
        return None;
    }
    let server = Server::start_under(&unshare, &[], args);
    let inner = offspring(server.pid()).into_keys().next();
    Some((server, inner.expect("process 1")))
}

#[test]
fn process_1_of_a_container_leaves_no_zombies() {
    let scripts = leaving("leaving-to-1");
    let lines = scripts.iter().flat_map(|script| ["--allow", script.line()]);
    let args: Vec<&str> = ["run"].into_iter().chain(lines).collect();
    let Some((server, inner)) = as_process_1(&args) else {
        return;
    };
    leave_children(&server, inner, &scripts);
    assert_eq!(zombies(inner), 0);
    signal(inner, "USR1");
    assert_eq!(
        server.next_stats().get("commands"),
        4 * scripts.len() as u64
    );
    signal(inner, "TERM");
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn process_1_without_commands_leaves_no_zombies() {
    let Some((server, inner)) = as_process_1(&["echo"]) else {
        return;
    };
    // A process that enters the namespace from outside, as with `docker exec`, leaves an orphan to
    // process 1.
    if is_installed("nsenter") {
        let inside = ["--pid", "--mount", "--target", &inner.to_string()];
        let status = Command::new("nsenter")
            .args(inside)
            .args(["sh", "-c", "sleep 0.1 & sleep 0.1 &"])
            .status();
        assert!(status.expect("it is installed").success());
        until("nothing is left", || offspring(inner).is_empty());
    }
    signal(inner, "TERM");
    assert_eq!(server.ended().code, Some(0));
}
