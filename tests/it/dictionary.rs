//! The file of `dict`: read and checked at the start, read again at SIGHUP, on the real binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use mynah::options::{self, Parsed};
use mynah::run::{ServiceUser, with_service};
use mynah::service::Service;

/// How long anything may take before the test has failed.
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

    /// Puts a FIFO in its place, which nobody writes to.
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

/// A running server; killed and reaped whatever becomes of the test.
struct Program {
    child: Child,
    address: String,
    log: Receiver<String>,
    _stdout: BufReader<ChildStdout>,
}

impl Program {
    fn start(words: &Words, args: &[&str]) -> Program {
        let mut child = words.command(args).spawn().expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (told, log) = mpsc::channel();
        thread::spawn(move || {
            let lines = stderr.lines().map_while(Result::ok);
            lines.for_each(|line| told.send(line).unwrap_or_default());
        });
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("a line");
        let address = ready
            .split("tcp://")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        Program {
            child,
            address: address.unwrap_or_default().to_owned(),
            log,
            _stdout: stdout,
        }
    }

    fn connect(&self) -> TcpStream {
        let peer = TcpStream::connect(&self.address).expect("somebody listens");
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        peer
    }

    /// Has the file read again, and waits for what is said about it.
    fn reload(&self) -> String {
        let command = format!("kill -s HUP {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status();
        assert!(sent.expect("a shell").success());
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
        // Another worker takes it up at its next turn, which a question may come before.
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
fn a_reload_that_meets_a_fifo_holds_up_nobody() {
    let words = Words::new("fifo-reload", "one: eins\n");
    let program = Program::start(&words, &[]);
    let mut peer = program.connect();
    words.become_a_fifo();
    let line = program.reload();
    let expected = ": is not a regular file; nothing has changed";
    assert!(line.ends_with(expected), "{line}");
    assert_eq!(ask(&mut peer, "one"), "eins");
}

/// Loads the dictionary of these options so often, and on until it was there and was not; tells how
/// often.
struct Loading(u32);

impl ServiceUser for Loading {
    type Outcome = u32;

    fn with<S>(self, mut load: impl FnMut() -> Result<S, String>) -> u32
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        let (mut loaded, mut refused) = (0, 0);
        while loaded == 0 || refused == 0 || loaded + refused < self.0 {
            match load() {
                Ok(_) => loaded += 1,
                Err(reason) => {
                    assert!(reason.ends_with("is not a regular file"), "{reason}");
                    refused += 1;
                }
            }
        }
        loaded + refused
    }
}

#[test]
fn a_fifo_that_takes_the_files_place_while_it_is_opened_holds_up_nobody() {
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
    thread::spawn(move || tell.send(with_service(&serve, Loading(3000))));
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
