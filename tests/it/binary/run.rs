//! The service `run`: the environment of a command, its end, its limits, and its effect on other
//! peers.
//!
//! A command has three descriptors, no environment, default signals and its own session. Its whole
//! process group ends with it. A slow command never blocks the event loop. Man pages:
//! proc_pid_stat(5), setsid(2), execve(2).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mynah::limits::COMMAND_TIMEOUT;
use socket2::SockRef;

use super::server::{Ended, Server, until};
use super::{has_descriptors, rest, say};

const RESULT: &str = " execute done, result is : \n";

/// A server that allows these lines.
pub(super) fn allowing(lines: &[&str], more: &[&str]) -> Server {
    let allow = lines.iter().flat_map(|line| ["--allow", *line]);
    let args: Vec<&str> = ["run"].into_iter().chain(allow).collect();
    Server::start(&[&args[..], more].concat())
}

/// Sends one line, half-closes, and reads the whole reply.
pub(super) fn ask(server: &Server, line: &str) -> String {
    let mut peer = server.connect();
    writeln!(peer, "{line}").expect("the server reads");
    peer.shutdown(Shutdown::Write).expect("still connected");
    let begin = format!("{}{RESULT}", peer.local_addr().expect("an address"));
    let text = String::from_utf8(rest(&mut peer)).expect("text");
    match text.strip_prefix(&begin) {
        Some(output) => output.to_owned(),
        None => text,
    }
}

/// The processes that `server` has started and not reaped yet, see proc(5).
pub(super) fn children(server: &Server) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("proc(5)");
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |id: &u32| stat(*id).is_some_and(|(_, parent, _)| parent == server.pid());
    numbers.filter(is_child).collect()
}

/// The running members of the process group of `leader`.
pub(super) fn group(leader: u32) -> usize {
    let all = fs::read_dir("/proc").expect("proc(5)");
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_member =
        |id: &u32| stat(*id).is_some_and(|(state, _, group)| group == leader && state != 'Z');
    numbers.filter(is_member).count()
}

/// State, parent and process group of a process.
pub(super) fn stat(id: u32) -> Option<(char, u32, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?.chars().next()?;
    Some((
        state,
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    ))
}

/// A script in its own file.
pub(super) struct Script {
    path: PathBuf,
    line: String,
}

impl Script {
    pub(super) fn new(name: &str, text: &str) -> Script {
        let path = std::env::temp_dir().join(format!("mynah-{}-{name}.sh", std::process::id()));
        fs::write(&path, format!("{text}\n")).expect("a temporary file");
        // `sh` reads the script. Executing the file itself may fail with ETXTBSY (execve(2)),
        // because a process that another test forks meanwhile can inherit the open descriptor.
        let line = format!("sh {}", path.display());
        Script { path, line }
    }

    /// The command that runs the script.
    pub(super) fn line(&self) -> &str {
        &self.line
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn e3_what_is_allowed_is_run_and_nothing_else() {
    let server = allowing(&["echo a b", "mynah-nowhere"], &[]);
    assert_eq!(ask(&server, "echo a b"), "a b\n\n");
    for line in ["echo a", "echo a b ", "echo a b;id", "id", "", "$(id)"] {
        assert_eq!(ask(&server, line), "坏人!\n", "{line:?}");
    }
    assert_eq!(ask(&server, "mynah-nowhere"), "你要执行的命令不存在!\n");
    server.hears("\"mynah-nowhere\" cannot be started: No such file");
    server.end();
}

#[test]
fn a_command_gets_three_descriptors_whatever_we_were_started_with() {
    // The parent leaves a descriptor open, ignores signals, and ignores SIGCHLD.
    let shell = "trap '' HUP PIPE CHLD USR2; exec 9</dev/null; exec \"$@\"";
    let args = [
        "run",
        "--allow",
        "ls -l /proc/self/fd",
        "--allow",
        "grep Sig /proc/self/status",
    ];
    let server = Server::start_under(&["sh", "-c", shell, "sh"], &[], &args);
    let listed = ask(&server, "ls -l /proc/self/fd");
    let open: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .map(|(left, to)| match left.rsplit(' ').next() {
            Some(number) if to.starts_with("pipe:") => (number, "pipe"),
            Some(number) if to.ends_with("/fd") => (number, "itself"),
            number => (number.unwrap_or(""), to),
        })
        .flat_map(|(number, to)| [number, to])
        .collect();
    let expected = ["0", "/dev/null", "1", "pipe", "2", "pipe", "3", "itself"];
    assert_eq!(open, expected, "{listed}");
    let signals = ask(&server, "grep Sig /proc/self/status");
    for mask in ["SigBlk", "SigIgn", "SigPnd"] {
        let none = format!("{mask}:\t0000000000000000\n");
        assert!(signals.contains(&none), "{signals}");
    }
    server.end();
}

#[test]
fn a_command_has_no_environment_and_nothing_to_read_and_both_outputs_are_heard() {
    let script = Script::new("outputs", "cat; echo one; echo two >&2; exit 3");
    let server = Server::start_under(
        &[],
        &[("MYNAH_SECRET", "x")],
        &["run", "--allow", "env", "--allow", script.line()],
    );
    assert_eq!(ask(&server, "env"), "\n");
    assert_eq!(ask(&server, script.line()), "one\ntwo\n\n");
    server.end();
}

#[test]
fn a_command_leads_a_session_of_its_own_without_a_terminal() {
    let server = allowing(&["cat /proc/self/stat"], &[]);
    let stat = ask(&server, "cat /proc/self/stat");
    // Fields: process, name, state, parent, group, session, terminal. See proc_pid_stat(5).
    let fields: Vec<&str> = stat.split(' ').take(7).collect();
    assert_eq!(
        [fields[4], fields[5], fields[6]],
        [fields[0], fields[0], "0"]
    );
    server.end();
}

#[test]
fn frames_that_cannot_carry_every_answer_are_refused_at_the_start() {
    for (frame, most) in [
        ("ascii:1", "1m"),
        ("netstring", "1m"),
        ("u32be", "47"),
        ("u32be", "48"),
        ("len:offset=0,size=2,adjust=7", "1m"),
    ] {
        let args = [
            "run",
            "--listen",
            "0",
            "--frame",
            frame,
            "--frame-max",
            most,
        ];
        if (frame, most) == ("u32be", "48") || frame == "netstring" {
            Server::start(&args).end();
            continue;
        }
        let ended = Ended::run(&args);
        assert_eq!((ended.code, ended.stderr.len()), (Some(1), 1), "{frame}");
        let line = &ended.stderr[0];
        assert!(line.starts_with("mynah: --frame "), "{line}");
        assert!(
            line.ends_with(": run may answer with 1 to 44 bytes and more"),
            "{line}"
        );
    }
}

#[test]
fn too_much_output_is_cut_and_its_command_is_gone() {
    let server = allowing(&["yes"], &[]);
    let heard = ask(&server, "yes");
    let cut = "mynah: cut, it says too much\n\n";
    assert_eq!(heard.len(), 65_536 + cut.len());
    assert!(heard.ends_with(cut));
    until("it is reaped", || children(&server).is_empty());
    assert_eq!(server.stats().get("commands_cut"), 1);
    server.hears("a command says too much: it is killed with its process group");
    server.end();
}

#[test]
fn too_long_ends_the_whole_group_and_answers_with_what_there_was() {
    let script = Script::new("background", "sleep 60 & echo $$");
    let server = allowing(&[script.line()], &[]);
    let begin = Instant::now();
    let heard = ask(&server, script.line());
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(5), "{took:?}");
    let (leader, rest) = heard.split_once('\n').expect("a line");
    assert_eq!(rest, "mynah: cut, it took longer than 5 seconds\n\n");
    let leader = leader.parse().expect("a number");
    until("the group is gone", || group(leader) == 0);
    until("all are reaped", || children(&server).is_empty());
    server.hears("takes too long: it is killed with its process group");
    server.end();
}

#[test]
fn what_a_command_leaves_in_the_background_goes_with_it() {
    let script = Script::new("silent", "sleep 60 >/dev/null 2>&1 & echo $$");
    let server = allowing(&[script.line()], &[]);
    let heard = ask(&server, script.line());
    let leader = heard.trim_end().parse().expect("a number");
    until("the group is gone", || group(leader) == 0);
    server.end();
}

/// A peer whose command is running.
fn waiting(server: &Server, line: &str) -> (TcpStream, u32) {
    let mut peer = server.connect();
    writeln!(peer, "{line}").expect("the server reads");
    until("it runs", || !children(server).is_empty());
    let id = children(server)[0];
    (peer, id)
}

#[test]
fn a_peer_that_leaves_takes_its_command_with_it() {
    // The server sees a reset at once. A half-close does not show that the peer has gone; only the
    // failed send of the reply does.
    let talker = Script::new("talker", "while :; do echo on; sleep 0.01; done");
    let server = allowing(&["sleep 60", talker.line()], &[]);
    let (peer, id) = waiting(&server, "sleep 60");
    // With SO_LINGER 0, close(2) sends RST.
    let linger = SockRef::from(&peer).set_linger(Some(Duration::ZERO));
    linger.expect("an option");
    drop(peer);
    until("it is gone", || children(&server).is_empty());
    until("its group too", || group(id) == 0);
    let (peer, id) = waiting(&server, talker.line());
    drop(peer);
    until("it is gone", || children(&server).is_empty());
    until("its group too", || group(id) == 0);
    let stats = server.stats();
    // None has had to be cut at the end of its time.
    assert_eq!(stats.get("commands_too_late"), 0);
    assert_eq!(stats.get("commands_abandoned"), 2);
    server.end();
}

#[test]
fn two_hundred_commands_leave_no_zombie_and_no_descriptor() {
    let server = allowing(&["true"], &[]);
    assert_eq!(ask(&server, "true"), "\n");
    until("the first one is gone", || {
        server.stats().get("connections_now") == 0
    });
    let before = server.descriptors();
    let mut peer = server.connect();
    peer.write_all(&b"true\n".repeat(200))
        .expect("the server reads");
    let begin = format!("{}{RESULT}\n", peer.local_addr().expect("an address"));
    peer.shutdown(Shutdown::Write).expect("still connected");
    assert_eq!(rest(&mut peer), begin.repeat(200).as_bytes());
    until("all is given back", || server.descriptors() == before);
    assert_eq!(children(&server), [0; 0]);
    assert_eq!(server.stats().get("commands"), 201);
    server.end();
}

#[test]
fn a_drain_waits_for_a_command_and_a_second_signal_kills_it() {
    let server = allowing(&["sleep 1"], &[]);
    let (mut peer, _) = waiting(&server, "sleep 1");
    server.signal("TERM");
    let heard = String::from_utf8(rest(&mut peer)).expect("text");
    assert!(heard.ends_with(&format!("{RESULT}\n")), "{heard:?}");
    assert_eq!(server.ended().code, Some(0));

    // Each worker keeps two descriptors for each of its commands.
    if !has_descriptors(1_000) {
        return;
    }
    for threads in ["1", "3"] {
        let server = allowing(&["sleep 60"], &["--threads", threads]);
        let mut peers: Vec<TcpStream> = (0..12).map(|_| server.connect()).collect();
        for peer in &mut peers {
            writeln!(peer, "sleep 60").expect("the server reads");
        }
        until("all run", || children(&server).len() == 12);
        let all = children(&server);
        server.signal("TERM");
        server.hears("draining");
        server.signal("TERM");
        let ended = server.ended();
        assert_eq!(ended.code, Some(143));
        let told = ended.stderr.concat();
        assert!(!told.contains("takes too long"), "it has waited: {told}");
        until("all are gone", || all.iter().all(|id| group(*id) == 0));
    }
}

#[test]
fn only_this_machine_may_ask() {
    for (listen, told) in [
        ("0.0.0.0:0", "tcp://0.0.0.0:0"),
        ("[::]:0", "tcp://[::]:0"),
        ("192.0.2.1:7007", "tcp://192.0.2.1:7007"),
    ] {
        let ended = Ended::run(&["run", "--listen", "0", "--listen", listen]);
        assert_eq!(ended.code, Some(1));
        let line = format!(
            "mynah: --listen {told}: run without --auth serves this machine alone, such as \
             127.0.0.1 or unix:/PATH"
        );
        assert_eq!(ended.stderr, [line]);
    }
}

#[test]
fn a_local_peer_is_called_unix() {
    let name = format!("mynah-{}-run", std::process::id());
    let path = std::env::temp_dir().join(name);
    let listen = format!("unix:{}", path.display());
    let server = allowing(&["echo a"], &["--listen", &listen]);
    let mut peer = UnixStream::connect(&path).expect("the server listens");
    writeln!(peer, "echo a").expect("the server reads");
    peer.shutdown(Shutdown::Write).expect("still connected");
    let heard = String::from_utf8(rest(&mut peer)).expect("text");
    assert_eq!(heard, format!("unix{RESULT}a\n\n"));
    server.end();
    let _ = fs::remove_file(&path);
}

#[test]
fn sixty_four_slow_commands_delay_no_other_request() {
    // They run until the second signal, or until their time is over.
    let server = allowing(&["sleep 60"], &[]);
    let mut slow: Vec<TcpStream> = (0..64).map(|_| server.connect()).collect();
    for peer in &mut slow {
        peer.write_all(b"sleep 60\n").expect("the server reads");
    }
    until("all run", || server.stats().get("commands_now") == 64);
    let mut quick = server.connect();
    let mut reader = BufReader::new(quick.try_clone().expect("a second handle"));
    let (begin, mut times, mut line) = (Instant::now(), Vec::new(), String::new());
    while times.len() < 1_000 && begin.elapsed() < COMMAND_TIMEOUT / 4 {
        let start = Instant::now();
        quick.write_all(b"no\n").expect("the server reads");
        reader.read_line(&mut line).expect("the server answers");
        times.push(start.elapsed());
        assert_eq!(line, "坏人!\n");
        line.clear();
    }
    times.sort();
    say(format_args!(
        "a refused request beside 64 times sleep 60, of {}: median {:?}, 99 of 100 {:?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    ));
    // None of the answers has waited for the end of a command.
    let stats = server.stats();
    let over = stats.get("commands_too_late");
    assert!(over == 64 || stats.get("commands_now") == 64, "{over}");
    assert!(over == 0 || times.len() > 1, "the first one has waited");
    server.signal("TERM");
    server.hears("draining");
    server.signal("TERM");
    assert_eq!(server.ended().code, Some(143));
}
