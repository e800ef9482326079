//! Log and statistics lines on a stream that accepts no data: the program never waits for it.
//!
//! Lines that do not fit are dropped and counted.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use mynah::limits::READY_LINE_TIMEOUT;

use super::super::say;
use super::super::server::{PATIENCE, lines_of, until};
use super::{Reaped, Served, Stuck, all_of, code, signal};
use crate::load::peer;
use crate::program;
use crate::terminal::{self, Terminal};

/// Enables every log line of the server.
const TALKATIVE: [(&str, &str); 1] = [("RUST_LOG", "trace")];

#[test]
fn a_server_goes_on_and_ends_although_its_streams_take_nothing() {
    // Some streams are full from the start; the server fills the others.
    // Each waits for a second in its end, so they end beside each other.
    std::thread::scope(|scope| {
        for (threads, streams) in [("1", Stuck::all_full()), ("2", Stuck::all())] {
            for (what, stuck) in streams {
                scope.spawn(move || {
                    let args = ["--threads", threads, "--stats", "100ms"];
                    let served = Served::start(&args, &TALKATIVE, stuck.end(), stuck.end());
                    served.ask(200, what);
                    served.end(what);
                });
            }
        }
    });
}

#[test]
fn a_server_goes_on_where_a_stream_cannot_be_opened_anew() {
    let hide = "mount -t tmpfs none /proc";
    let tried = Command::new("unshare")
        .args(["-m", "sh", "-c", hide])
        .stderr(Stdio::null())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        return say("skipping: unshare(1) is not installed, or this user may not mount");
    }
    let script = format!(r#"{hide} && exec "$@""#);
    let wrapper = ["unshare", "-m", "sh", "-c", &script, "sh"];
    for (what, stuck) in Stuck::all() {
        let (out, err) = (stuck.end(), stuck.end());
        let served = Served::start_under(&wrapper, &[], &TALKATIVE, out, err);
        served.ask(200, what);
        // Another writer may take the room of a pipe or a terminal before a write, which then
        // waits: a thread of its own waits in place of the loop.
        let can_wait = matches!(stuck, Stuck::Pipe(..) | Stuck::Terminal(_));
        assert_eq!(served.has_thread("output"), can_wait, "{what}");
        served.end(what);
    }
}

#[test]
fn a_terminal_that_stops_being_read_is_filled_and_does_not_stop_the_server() {
    let Some(mut terminal) = Terminal::open() else {
        return;
    };
    let ends = [terminal.end(), terminal.end()].map(Stdio::from);
    let [out, err] = ends;
    let served = Served::start(&[], &TALKATIVE, out, err);
    served.ask(300, "a terminal");
    // The test now reads, which makes room for new lines and for the rest of the partly written
    // line.
    let lines = lines_of(terminal.read());
    let mut all = Vec::new();
    let dropped = loop {
        served.signal("USR1");
        let line = lines.recv_timeout(PATIENCE).expect("another line");
        let dropped = (line.split_once(" log_lines_dropped=")).map_or(0, |(_, count)| {
            count.trim_end().parse::<u64>().expect("a count")
        });
        all.push(line);
        if dropped > 0 && all.iter().any(|line| line.contains(" dropped: ")) {
            break dropped;
        }
    };
    let told = |line: &String| {
        let (count, _) = line.strip_prefix("WARN  ")?.split_once(" log line")?;
        count.parse::<u64>().ok()
    };
    let told: u64 = all.iter().filter_map(told).sum();
    // Dropped statistics lines are counted too.
    let with: Vec<_> = all.iter().filter(|line| line.contains("dropped")).collect();
    assert!(
        (1..=dropped).contains(&told),
        "{told} of {dropped}: {with:?}"
    );
    for line in &all {
        let begins = ["ready: ", "stats ", "INFO  ", "WARN  ", "DEBUG ", "TRACE "];
        assert!(
            begins.iter().any(|word| line.starts_with(word)),
            "{line:?} is not whole"
        );
        assert_eq!(
            line.matches("stats ").count(),
            usize::from(line.starts_with("stats "))
        );
    }
    signal(&served.child.0, "TERM");
}

#[test]
fn a_line_that_is_longer_than_a_pipe_takes_at_once_comes_whole() {
    let long = "x".repeat(90);
    let names: Vec<String> = (0..60)
        .map(|number| format!("unix:@mynah-{}-{long}-{number}", std::process::id()))
        .collect();
    let listeners: Vec<&str> = (names.iter().map(String::as_str))
        .chain(std::iter::repeat_n("127.0.0.1:0", 230))
        .flat_map(|address| ["--listen", address])
        .collect();
    let child = Command::new(program::path())
        .args(&listeners)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Reaped(child.expect("the program starts"));
    let lines = lines_of(child.0.stdout.take().expect("a pipe"));
    let ready = lines.recv_timeout(PATIENCE).expect("a line");
    assert!(ready.ends_with(" bytes of memory"), "{} bytes", ready.len());
    assert_eq!(ready.matches("unix:@").count(), 60);
    assert_eq!(ready.matches("tcp://").count(), 230);
    assert!(ready.len() > 2 * 4096, "{} bytes", ready.len());
}

#[test]
fn a_ready_line_waits_for_a_late_reader_and_a_signal_ends_the_wait() {
    let stuck = Stuck::pipe();
    stuck.fill();
    let served = Served::start(&[], &[], stuck.end(), Stdio::null());
    let begin = Instant::now();
    served.end("a full pipe");
    assert!(begin.elapsed() < READY_LINE_TIMEOUT);

    let Some(mut terminal) = Terminal::open() else {
        return;
    };
    terminal.fill();
    let out = terminal.end().into();
    let served = Served::start(&[], &[], out, Stdio::null());
    let mut lines = lines_of(terminal.read()).into_iter();
    let ready = lines.find(|line| line.contains("ready: ")).expect("a line");
    assert!(ready.trim_end().ends_with(" bytes of memory"), "{ready}");
    served.end("a terminal");
}

#[test]
fn a_ready_line_that_found_no_room_in_time_comes_when_there_is_room() {
    let (near, far) = UnixStream::pair().expect("a pair");
    let spare = far.try_clone().expect("a descriptor");
    let stuck = Stuck::Socket(near, spare);
    stuck.fill();
    let mut served = Served::start(&[], &[], stuck.end(), Stdio::piped());
    drop(stuck);
    let log = lines_of(served.child.0.stderr.take().expect("a pipe"));
    // The hint follows when the server has given up waiting; no other line follows.
    let hint = log.recv_timeout(PATIENCE).expect("a line");
    assert!(hint.contains("talk to it with"), "{hint}");
    let lines = lines_of(far);
    let mut lines = std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok());
    let ready = lines.find(|line| line.contains("ready: ")).expect("a line");
    assert!(ready.ends_with(" bytes of memory"), "{ready}");
    served.end("a full socket");
}

#[test]
fn a_help_text_that_waits_for_its_reader_is_ended_by_a_hang_up() {
    for option in ["--help", "--version"] {
        for name in ["HUP", "USR1"] {
            let stuck = Stuck::pipe();
            stuck.fill();
            let child = Command::new(program::path())
                .arg(option)
                .stdin(Stdio::null())
                .stdout(stuck.end())
                .stderr(Stdio::null())
                .spawn();
            let mut child = Reaped(child.expect("the program starts"));
            until("it sleeps before a full pipe", || {
                is_asleep_for_good(&child.0)
            });
            signal(&child.0, name);
            assert_eq!(code(&mut child.0, option), None, "{option} {name}");
        }
    }
}

#[test]
fn a_background_server_is_not_stopped_by_its_terminal() {
    let Some(told) = terminal::in_the_background(&[program::path(), "--listen", "127.0.0.1:0"])
    else {
        return;
    };
    assert!(told.contains("ready: "), "{told}");
    assert!(told.trim_end().ends_with("ended"), "{told}");
}

#[test]
fn a_client_obeys_a_signal_although_its_terminal_is_not_read() {
    let Some(terminal) = Terminal::open() else {
        return;
    };
    let address = peer::tcp(
        |mut stream| {
            while stream.write_all(b"a line of some length\n").is_ok() {}
        },
    );
    for err in [Stdio::null(), terminal.end().into()] {
        let child = Command::new(program::path())
            .args(["connect", &address.to_string()])
            .env("RUST_LOG", "trace")
            .stdin(terminal.end())
            .stdout(terminal.end())
            .stderr(err)
            .spawn();
        let mut child = Reaped(child.expect("the program starts"));
        until("it sleeps before a full terminal", || {
            is_asleep_for_good(&child.0)
        });
        signal(&child.0, "TERM");
        assert_eq!(code(&mut child.0, "a client"), Some(128 + 15));
    }
}

/// Whether a process sleeps and has not run for a while.
fn is_asleep_for_good(child: &Child) -> bool {
    let runs = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.expect("proc(5)");
        let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
        switches.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = runs();
    std::thread::sleep(std::time::Duration::from_millis(200));
    !before.is_empty() && runs() == before
}

#[test]
fn a_measurement_ends_although_its_terminal_is_not_read() {
    let Some(terminal) = Terminal::open() else {
        return;
    };
    terminal.fill();
    let address = peer::tcp(peer::echo);
    let child = Command::new(program::path())
        .args(["bench", &address.to_string()])
        .args([
            "--connections",
            "1",
            "--duration",
            "300ms",
            "--warmup",
            "0s",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(terminal.end())
        .spawn();
    let mut child = Reaped(child.expect("the program starts"));
    let report = all_of(child.0.stdout.take().expect("a pipe"));
    assert!(report.contains("throughput"), "{report}");
    assert_eq!(code(&mut child.0, "a measurement"), Some(0));
}

#[test]
fn a_report_that_waits_for_its_reader_is_ended_by_a_signal() {
    let address = peer::tcp(peer::echo);
    let stuck = Stuck::pipe();
    stuck.fill();
    let child = Command::new(program::path())
        .args(["bench", &address.to_string()])
        .args(["--connections", "1", "--requests", "10", "--warmup", "0s"])
        .stdin(Stdio::null())
        .stdout(stuck.end())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Reaped(child.expect("the program starts"));
    until("it sleeps before a full pipe", || {
        is_asleep_for_good(&child.0)
    });
    signal(&child.0, "TERM");
    assert_eq!(code(&mut child.0, "a report"), None, "the signal ends it");
}
