//! The dictionary file of `dict` on the real binary: read and checked at the start, read again at
//! SIGHUP.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use mynah::cli::options::{self, Parsed};
use mynah::cli::run::{ServiceUser, with_service};
use mynah::limits::RELOAD_LINES_BURST;
use mynah::protocol::service::Service;

use crate::binary::is_installed;
use crate::program;

/// The longest that any step may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A dictionary file of one test.
struct Words(PathBuf);

impl Words {
    fn new(test: &str, text: &str) -> Words {
        let words = Words(env::temp_dir().join(format!("mynah-{}-{test}", process::id())));
        words.write(text);
        words
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a temporary file");
    }

    /// Replaces the file atomically, as an editor does.
    fn replace(&self, text: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, text).expect("a temporary file");
        fs::rename(&next, &self.0).expect("it takes the place");
    }

    /// Replaces the file by a FIFO without a writer.
    fn become_a_fifo(&self) {
        fs::remove_file(&self.0).expect("a file");
        let made = Command::new("mkfifo").arg(&self.0).status();
        assert!(made.expect("mkfifo(1)").success());
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(crate::program::path());
        command
            .args(["dict", "--listen", "127.0.0.1:0", "--dictionary"])
            .arg(&self.0)
            .args(args)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Number of words in a dictionary that takes long to check.
const WORDS: usize = 30_000;

/// A dictionary that takes long to check, and that answers `answer` to `word`.
fn long(answer: &str) -> String {
    let mut text = format!("word: {answer}\n");
    for number in 0..WORDS {
        writeln!(text, "w{number}: x").expect("room for it");
    }
    text
}

/// Such a dictionary that also needs more memory than a program has directly after its start.
fn large(answer: &str) -> String {
    let mut text = long(answer);
    for number in 0..900 {
        writeln!(text, "l{number}: {}", "x".repeat(4000)).expect("room for it");
    }
    text
}

/// A running server, killed and reaped at the end of the test.
struct Program {
    child: Child,
    address: String,
    log: Receiver<String>,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    fn start(words: &Words, args: &[&str]) -> Program {
        let mut program = Program::spawn(words, args);
        program.becomes_ready();
        program
    }

    /// Starts the server without waiting until it serves.
    fn spawn(words: &Words, args: &[&str]) -> Program {
        Program::spawn_by(words.command(args))
    }

    fn spawn_by(mut command: Command) -> Program {
        let mut child = command.spawn().expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (told, log) = mpsc::channel();
        thread::spawn(move || {
            let lines = stderr.lines().map_while(Result::ok);
            lines.for_each(|line| told.send(line).unwrap_or_default());
        });
        Program {
            child,
            address: String::new(),
            log,
            stdout,
        }
    }

    /// Waits for the ready line.
    fn becomes_ready(&mut self) {
        let ready = self.prints();
        let address = ready
            .split("tcp://")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        self.address = address.expect("a ready line").to_owned();
    }

    /// The next line on stdout; empty at its end.
    fn prints(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line
    }

    /// Waits until the server has allocated memory for the text of a large dictionary. The server
    /// checks the text after that.
    fn reads(&self) {
        self.until("its dictionary is in memory", || {
            self.kilobytes("VmData:") >= 2048
        });
    }

    /// A memory figure from /proc/PID/status (proc(5)).
    fn kilobytes(&self, field: &str) -> u64 {
        kilobytes_of(self.child.id(), field)
    }

    /// Requests reloads until one is seen in progress. A reload may be over before it is looked
    /// for.
    fn reloads(&self) {
        self.until("it reads on a thread", || {
            self.signal("HUP");
            self.has_thread("reload")
        });
    }

    fn has_thread(&self, name: &str) -> bool {
        let folder = format!("/proc/{}/task", self.child.id());
        let threads = fs::read_dir(folder).expect("proc(5)").flatten();
        let mut names =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
        names.any(|comm| comm.trim_end() == name)
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let since = Instant::now();
        while !holds() {
            assert!(since.elapsed() < PATIENCE, "never: {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, name: &str) {
        self.shell(&format!("kill -s {name} {}", self.child.id()));
    }

    fn shell(&self, command: &str) {
        assert!(program::shell(command), "{command}");
    }

    /// Sends these signals repeatedly, until the server has ended or the storm is dropped.
    fn storm(&self, names: &[&str], pause: &str) -> Storm {
        let pid = self.child.id();
        let kill = names.iter().map(|name| format!("kill -s {name} {pid}"));
        let kills = kill.collect::<Vec<_>>().join(" && ");
        let all = format!("while {kills}; do {pause}; done 2>/dev/null");
        let shell = Command::new("sh").args(["-c", &all]).spawn();
        Storm(shell.expect("a shell"))
    }

    /// Waits until the server has ended, and returns its exit code.
    fn ended(&mut self) -> Option<i32> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status.code();
            }
            assert!(since.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn connect(&self) -> TcpStream {
        let peer = TcpStream::connect(&self.address).expect("the server listens");
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        peer
    }

    /// Requests a reload and waits for its log line.
    fn reload(&self) -> String {
        self.signal("HUP");
        self.hears_of_a_reload()
    }

    fn hears_of_a_reload(&self) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect("a line about it");
            if line.contains("SIGHUP") {
                return line;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kilobytes_of(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("proc(5)");
    // The process may have no such line before exec.
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let value = value.and_then(|line| line.split_whitespace().next());
    value.map_or(0, |value| value.parse().expect("a number"))
}

/// A shell that sends signals.
struct Storm(Child);

impl Drop for Storm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(peer: &mut TcpStream, word: &str) -> String {
    writeln!(peer, "{word}").expect("the server reads");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while byte != *b"\n" {
        peer.read_exact(&mut byte).expect("the server answers");
        answer.push(byte[0]);
    }
    String::from_utf8(answer)
        .expect("text")
        .trim_end()
        .to_owned()
}

#[test]
fn a_reload_reaches_old_connections_and_a_bad_file_changes_nothing() {
    let words = Words::new("reload", "one: eins\ntwo: zwei\n");
    let program = Program::start(&words, &[]);
    let mut peer = program.connect();
    assert_eq!(ask(&mut peer, "one"), "eins");

    words.write("one: un\nthree: trois\n");
    assert!(program.reload().ends_with("SIGHUP: read again"));
    assert_eq!(ask(&mut peer, "one"), "un");
    assert_eq!(ask(&mut peer, "two"), "not known");
    assert_eq!(ask(&mut program.connect(), "three"), "trois");

    words.write("one: uno\n\nthree\n");
    let line = program.reload();
    assert!(
        line.ends_with(": line 3: has no colon, must be WORD: TRANSLATION; nothing has changed"),
        "{line}"
    );
    assert_eq!(ask(&mut peer, "one"), "un");

    fs::remove_file(&words.0).expect("a file");
    assert!(program.reload().contains("No such file"));
    assert_eq!(ask(&mut peer, "three"), "trois");
}

#[test]
fn a_reload_reaches_every_worker() {
    let words = Words::new("workers", "one: eins\n");
    let program = Program::start(&words, &["--threads", "3"]);
    let mut peers: Vec<TcpStream> = (0..32).map(|_| program.connect()).collect();
    for peer in &mut peers {
        assert_eq!(ask(peer, "one"), "eins");
    }
    words.write("one: un\n");
    program.reload();
    let since = Instant::now();
    for peer in &mut peers {
        // Another worker takes up the dictionary at its next turn, and a request may arrive before
        // that.
        while ask(peer, "one") != "un" {
            assert!(since.elapsed() < PATIENCE, "a worker has not heard of it");
        }
    }
}

#[test]
fn a_bad_file_keeps_the_server_from_starting_and_says_which_line() {
    let words = Words::new("start", "one: eins\none: un\n");
    let output = words.command(&[]).output().expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.ends_with(": line 2: \"one\" stands on line 1 already\n"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(output.stdout, b"", "nothing is ready");
}

#[test]
fn what_is_no_regular_file_is_refused_at_the_start() {
    let words = Words::new("fifo", "one: eins\n");
    words.become_a_fifo();
    let mut child = words.command(&[]).spawn().expect("the program starts");
    let since = Instant::now();
    while child.try_wait().expect("it is ours").is_none() {
        if since.elapsed() > PATIENCE {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("its end");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.ends_with(": is not a regular file\n"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn a_reload_that_meets_a_fifo_does_not_block() {
    let words = Words::new("fifo-reload", "one: eins\n");
    let program = Program::start(&words, &[]);
    let mut peer = program.connect();
    words.become_a_fifo();
    let line = program.reload();
    let expected = ": is not a regular file; nothing has changed";
    assert!(line.ends_with(expected), "{line}");
    assert_eq!(ask(&mut peer, "one"), "eins");
}

/// Loads the dictionary of these options at least this many times, and until loading has both
/// succeeded and met a FIFO. Returns how many times.
struct Loading(u32);

impl ServiceUser for Loading {
    type Outcome = u32;

    fn with<S>(self, mut load: impl FnMut() -> Result<S, String> + Send + 'static) -> u32
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        let (mut loaded, mut refused) = (0, 0);
        while loaded == 0 || refused == 0 || loaded + refused < self.0 {
            match load() {
                Ok(_) => loaded += 1,
                Err(reason) => {
                    let is_fifo = reason.ends_with("is not a regular file");
                    assert!(is_fifo || reason.contains("has changed"), "{reason}");
                    refused += u32::from(is_fifo);
                }
            }
        }
        loaded + refused
    }
}

#[test]
fn a_fifo_that_replaces_the_file_during_the_open_does_not_block() {
    let words = Words::new("swapped", "one: eins\n");
    let file = Words::new("swapped-file", "one: eins\n");
    let fifo = Words::new("swapped-fifo", "");
    fifo.become_a_fifo();
    let next = Words::new("swapped-next", "");
    let path = words.0.to_str().expect("UTF-8");
    let args = ["dict", "--dictionary", path].map(Into::into);
    let Ok(Parsed::Run(options::Command::Serve(serve))) = options::parse(args) else {
        panic!("these are options");
    };
    let (tell, loaded) = mpsc::channel();
    thread::spawn(move || tell.send(with_service(&serve, Loading(500))));
    let since = Instant::now();
    loop {
        for other in [&fifo, &file] {
            let _ = fs::remove_file(&next.0);
            fs::hard_link(&other.0, &next.0).expect("a second name");
            fs::rename(&next.0, &words.0).expect("it takes the place");
        }
        match loaded.try_recv() {
            Ok(_) => break,
            Err(TryRecvError::Empty) => {
                assert!(since.elapsed() < PATIENCE, "it waits for the other end");
            }
            Err(TryRecvError::Disconnected) => panic!("loading has failed"),
        }
    }
}

#[test]
fn endless_reloads_delay_neither_answers_nor_the_end() {
    for (signals, threads) in [(&["HUP"][..], "1"), (&["USR1", "HUP"], "3")] {
        let words = Words::new("storm", &long("first"));
        let mut program = Program::start(&words, &["--threads", threads]);
        let mut peers: Vec<TcpStream> = (0..8).map(|_| program.connect()).collect();
        // Statistics that are not read must not block the server either.
        let storm = program.storm(signals, "sleep 0.01");
        let (since, mut longest) = (Instant::now(), Duration::ZERO);
        for turn in 0..50 {
            let asked = Instant::now();
            let peer = &mut peers[turn % 8];
            assert_eq!(ask(peer, "word"), "first");
            longest = longest.max(asked.elapsed());
            // A reload is in progress, or the next one begins, all the time.
        }
        println!(
            "50 answers in {:?}, the longest {longest:?}",
            since.elapsed()
        );
        words.replace(&long("last"));
        for peer in &mut peers {
            program.until("the last contents are served", || {
                ask(peer, "word") == "last"
            });
        }
        program.signal("TERM");
        assert_eq!(program.ended(), Some(0), "{signals:?} {threads}");
        drop(storm);
    }
}

#[test]
fn a_storm_of_reloads_writes_few_lines() {
    let words = Words::new("lines", "one: eins\n");
    let mut program = Program::start(&words, &[]);
    let since = Instant::now();
    let storm = program.storm(&["HUP"; 8], ":");
    let mut peer = program.connect();
    for turn in 0..100 {
        // Alternating contents are alternating reasons.
        words.replace(["one: eins\n", "one\n", "\ntwo\n"][turn % 3]);
        assert_eq!(ask(&mut peer, "one"), "eins");
    }
    drop((storm, peer));
    let seconds = since.elapsed().as_secs() + 1;
    program.signal("TERM");
    assert_eq!(program.ended(), Some(0));
    let lines: Vec<String> = program.log.iter().collect();
    for kind in ["read again", "nothing has changed"] {
        let count = lines.iter().filter(|line| line.contains(kind)).count() as u64;
        let most = u64::from(RELOAD_LINES_BURST) + seconds;
        assert!(count <= most, "{count} lines with {kind:?} in {seconds} s");
    }
}

#[test]
fn signals_faster_than_they_can_be_taken_hold_up_no_answer_and_no_end() {
    for (signal, args) in [
        ("HUP", &[][..]),
        ("USR1", &[]),
        ("USR1", &["--threads", "3"]),
    ] {
        let words = Words::new(&format!("flood-{signal}-{}", args.len()), "one: eins\n");
        let mut program = Program::start(&words, args);
        let mut peer = program.connect();
        let floods = [0; 2].map(|_| program.storm(&[signal; 8], ":"));
        for _ in 0..50 {
            assert_eq!(ask(&mut peer, "one"), "eins");
        }
        if signal == "USR1" {
            assert!(program.prints().starts_with("stats "));
        }
        drop(peer);
        program.signal("TERM");
        assert_eq!(program.ended(), Some(0), "{signal}");
        drop(floods);
    }
}

#[test]
fn a_reload_requested_during_a_reload_is_not_lost() {
    let words = Words::new("again", &long("0"));
    let program = Program::start(&words, &["--threads", "2"]);
    let mut peers: Vec<TcpStream> = (0..8).map(|_| program.connect()).collect();
    for round in 1..=4 {
        program.reloads();
        // The file may have been read already.
        words.replace(&long(&round.to_string()));
        program.signal("HUP");
        for peer in &mut peers {
            program.until("it is read once more", || {
                ask(peer, "word") == round.to_string()
            });
        }
        program.until("it rests", || !program.has_thread("reload"));
    }
}

#[test]
fn an_ending_signal_during_a_reload_does_not_wait_for_the_reload() {
    let words = Words::new("end", &long("first"));
    let mut program = Program::start(&words, &[]);
    program.reloads();
    program.signal("TERM");
    assert_eq!(program.ended(), Some(0));
    let lines = std::iter::from_fn(|| program.log.recv_timeout(PATIENCE).ok());
    let mut late = lines.skip_while(|line| !line.contains("drain"));
    assert!(late.all(|line| !line.contains("SIGHUP")));
}

#[test]
fn the_memory_of_many_reloads_is_that_of_two_dictionaries() {
    for threads in ["1", "3"] {
        let words = Words::new("memory", &large("0"));
        let mut program = Program::start(&words, &["--threads", threads]);
        let with_one = program.kilobytes("VmHWM:");
        // Of more reloads within some seconds not every one has a line.
        for _ in 0..RELOAD_LINES_BURST {
            assert!(program.reload().ends_with("read again"));
        }
        let grown = program.kilobytes("VmHWM:") - with_one;
        let dictionary = large("0").len() as u64 / 1024;
        // The reading thread with its stack, and code that runs for the first time, need at most
        // one mebibyte.
        let fits = grown < dictionary + 2048;
        assert!(fits, "{grown} kB more than with one of {dictionary} kB");
        program.signal("TERM");
        assert_eq!(program.ended(), Some(0));
    }
}

#[test]
fn signals_during_the_first_read_of_the_dictionary_are_obeyed_after_it() {
    let words = Words::new("early", &large("first"));
    let mut program = Program::spawn(&words, &[]);
    program.reads();
    program.signal("HUP");
    program.signal("USR1");
    program.becomes_ready();
    assert!(program.prints().starts_with("stats "));
    assert!(program.hears_of_a_reload().ends_with("SIGHUP: read again"));
    assert_eq!(ask(&mut program.connect(), "word"), "first");
    program.signal("TERM");
    assert_eq!(program.ended(), Some(0));
}

#[test]
fn an_ending_signal_ends_a_server_that_is_not_ready_at_once() {
    for (name, number) in [("TERM", 15), ("INT", 2)] {
        let words = Words::new(&format!("early-{name}"), &large("first"));
        // The server may become ready before the signal arrives. It drains then, and the test tries
        // again.
        let ends = (0..20).any(|_| {
            let mut program = Program::spawn(&words, &[]);
            program.reads();
            program.signal(name);
            let is_ready = !program.prints().is_empty();
            let status = program.child.wait().expect("it is ours");
            assert_eq!(status.code(), is_ready.then_some(0));
            assert_eq!(status.signal(), (!is_ready).then_some(number));
            !is_ready
        });
        assert!(ends, "it was always ready");
    }
}

#[test]
fn an_ending_signal_ends_the_first_process_of_a_namespace_that_is_not_ready() {
    const NAMESPACE: [&str; 3] = ["--pid", "--fork", "--kill-child"];
    if !is_installed("unshare") {
        return;
    }
    let tried = Command::new("unshare").args(NAMESPACE).arg("true").output();
    if !tried.expect("unshare(1)").status.success() {
        eprintln!("skipped: no namespace of processes may be made here");
        return;
    }
    let words = Words::new("first", &large("first"));
    let inner = words.command(&[]);
    let mut command = Command::new("unshare");
    command
        .args(NAMESPACE)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut outer = Program::spawn_by(command);
    let pid = outer.child.id();
    let mut first = 0;
    outer.until("its dictionary is in memory", || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("proc(5)");
        let child = children.split_whitespace().next();
        first = child.map_or(0, |child| child.parse().expect("a number"));
        first != 0 && kilobytes_of(first, "VmData:") >= 2048
    });
    outer.shell(&format!("kill -s TERM {first}"));
    // The kernel drops the signal for the first process of a namespace unless the process handles
    // or waits for it (pid_namespaces(7)).
    assert_eq!(outer.ended(), Some(0));
}
