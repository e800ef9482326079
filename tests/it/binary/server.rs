//! A running mynah, driven from outside: started, watched through `/proc` and its statistics lines,
//! signalled and ended.
//!
//! Knows no protocol: the tests bring their own sockets and bytes. The kernel chooses the port, and
//! the test reads it from the ready line, so tests can run in parallel. Every wait is bounded: a
//! server that hangs fails its test. A server is always killed and reaped, even if its test panics.
//! The shell's built-in `kill` sends signals, so no unsafe code is needed. Man pages: proc(5),
//! signal(7).

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::program;

/// The limit of each wait; the test fails when it expires.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server and all of its output.
pub(crate) struct Server {
    child: Child,
    stdout: Option<Receiver<String>>,
    stderr: Receiver<String>,
    /// The ready line.
    pub(crate) ready: String,
}

/// One line of statistics: counts by name. Most names have one count.
pub(crate) struct Stats(HashMap<String, Vec<u64>>);

/// How a program ended, and its output.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Server {
    /// Starts the server with these arguments, on a free port unless they contain `--listen`.
    pub(crate) fn start(args: &[&str]) -> Server {
        Server::start_under(&[], &[], args)
    }

    /// Starts the server with environment variables, behind the words of another command.
    pub(crate) fn start_under(
        wrapper: &[&str],
        variables: &[(&str, &str)],
        args: &[&str],
    ) -> Server {
        Server::try_start(wrapper, variables, args)
            .unwrap_or_else(|ended| panic!("it has no ready line: {:?}", ended.stderr))
    }

    /// Like `start_under`, for a server that may refuse to start; then returns its output.
    pub(crate) fn try_start(
        wrapper: &[&str],
        variables: &[(&str, &str)],
        args: &[&str],
    ) -> Result<Server, Ended> {
        let mut words = [wrapper, &[program::path()], args].concat();
        if !args.contains(&"--listen") {
            words.extend(["--listen", "127.0.0.1:0"]);
        }
        Server::try_start_words(&words, variables, Stdio::null())
    }

    /// Starts the server as these words say, with this standard input.
    pub(super) fn try_start_words(
        words: &[&str],
        variables: &[(&str, &str)],
        stdin: Stdio,
    ) -> Result<Server, Ended> {
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = lines_of(child.stdout.take().expect("a pipe"));
        let stderr = lines_of(child.stderr.take().expect("a pipe"));
        let mut server = Server {
            child,
            stdout: None,
            stderr,
            ready: String::new(),
        };
        match stdout.recv_timeout(PATIENCE) {
            Ok(line) if line.starts_with("ready: ") => server.ready = line,
            Err(RecvTimeoutError::Disconnected) => return Err(server.ended()),
            other => {
                let _ = server.child.kill();
                panic!("{other:?} is no ready line: {:?}", server.ended().stderr);
            }
        }
        server.stdout = Some(stdout);
        Ok(server)
    }

    /// The addresses in the ready line.
    pub(crate) fn addresses(&self) -> Vec<&str> {
        let listed = self.ready.split(", ").nth(2).expect("addresses");
        listed
            .strip_prefix("on ")
            .expect("addresses")
            .split(' ')
            .collect()
    }

    /// The address, if the server has a single TCP listener.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.addresses()[0].strip_prefix("tcp://");
        address.expect("TCP").parse().expect("an address")
    }

    /// The number before `unit` in the ready line.
    pub(crate) fn announced(&self, unit: &str) -> u64 {
        let front = self.ready.split(unit).next().expect("a line");
        let number = front.trim_end().rsplit(' ').next().expect("a word");
        number
            .parse()
            .unwrap_or_else(|_| panic!("no {unit} in {:?}", self.ready))
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a time-out");
        stream.set_nodelay(true).expect("an option");
        stream
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        self.shell(&format!("kill -s {name} {}", self.child.id()));
    }

    /// Sends a signal twice, microseconds apart.
    pub(crate) fn signal_twice(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        self.shell(&format!("{kill}; {kill}"));
    }

    fn shell(&self, command: &str) {
        assert!(program::shell(command), "{command}");
    }

    /// Stops reading stdout: its pipe is closed.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
        // The reading thread closes the pipe at the next line.
        self.signal("USR1");
    }

    /// Requests a line of statistics and returns it.
    pub(crate) fn stats(&self) -> Stats {
        self.signal("USR1");
        self.next_stats()
    }

    /// The next line on stdout.
    pub(crate) fn next_line(&self) -> String {
        let stdout = self.stdout.as_ref().expect("stdout is open");
        stdout.recv_timeout(PATIENCE).expect("a line")
    }

    /// The next line of statistics.
    pub(crate) fn next_stats(&self) -> Stats {
        self.stats_within(PATIENCE).expect("a line of counts")
    }

    /// Like `next_stats`; `None` if no line arrives within the span.
    pub(crate) fn stats_within(&self, span: Duration) -> Option<Stats> {
        let stdout = self.stdout.as_ref().expect("stdout is open");
        let line = stdout.recv_timeout(span).ok()?;
        let counts = line
            .strip_prefix("stats ")
            .expect("a line of counts")
            .split(' ');
        let pairs = counts.map(|count| {
            let (name, value) = count.split_once('=').expect("name=count");
            let counts = value.split(',').map(|it| it.parse().expect("a count"));
            (name.to_owned(), counts.collect())
        });
        Some(Stats(pairs.collect()))
    }

    /// Waits for the first line on stderr that contains `words`.
    pub(crate) fn hears(&self, words: &str) -> String {
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(error) => panic!("nothing about {words:?}: {error}"),
            }
        }
    }

    /// A field of `/proc/PID/status` in kilobytes, converted to bytes.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        self.status(field) << 10
    }

    /// The most memory that was resident. The text of an unoptimized program is left out: the
    /// ceiling allows for that of a release build.
    pub(crate) fn peak(&self) -> u64 {
        let whole = self.memory("VmHWM");
        match cfg!(debug_assertions) && !program::is_another() {
            true => whole - self.memory("RssFile"),
            false => whole,
        }
    }

    /// A number in `/proc/PID/status`.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("proc(5)");
        let line = status
            .lines()
            .find(|line| line.starts_with(field))
            .expect("a known field");
        let number = line.split_whitespace().nth(1).expect("a number");
        number.parse().expect("a number")
    }

    /// The processor time used so far, in ticks of 10 ms.
    pub(crate) fn processor_ticks(&self) -> u64 {
        let stat = self.stat();
        // `utime` and `stime` are fields 14 and 15 of proc_pid_stat(5), and the state is field 3.
        let ticks = stat.split(' ').skip(11).take(2);
        ticks
            .map(|field| field.parse::<u64>().expect("a number"))
            .sum()
    }

    /// The state of the process: running (R), sleeping (S), stopped (T).
    pub(crate) fn state(&self) -> char {
        self.stat().chars().next().expect("a state")
    }

    /// `/proc/PID/stat`, from the state on.
    fn stat(&self) -> String {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("proc(5)");
        // The name in parentheses may contain any character.
        stat.rsplit_once(") ").expect("a name").1.to_owned()
    }

    /// The number of open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(folder).expect("proc(5)").count()
    }

    /// Waits until the server has ended by itself.
    pub(crate) fn ended(mut self) -> Ended {
        Ended::wait(&mut self.child, self.stdout.as_ref(), &self.stderr)
    }

    /// Ends the server with SIGTERM, as a service manager does, and expects exit code 0.
    pub(crate) fn end(self) -> Ended {
        self.signal("TERM");
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
        ended
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process has usually ended already, and then `kill` fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stats {
    pub(crate) fn get(&self, name: &str) -> u64 {
        match *self.list(name) {
            [count] => count,
            ref counts => panic!("{name} has {counts:?}"),
        }
    }

    /// The counts of a name that has one for each worker.
    pub(crate) fn list(&self, name: &str) -> &[u64] {
        let counts = self.0.get(name);
        counts.unwrap_or_else(|| panic!("nothing is called {name}"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl Ended {
    /// Runs the program with arguments that make it exit by itself.
    pub(crate) fn run(args: &[&str]) -> Ended {
        let mut child = Command::new(program::path())
            .args(args)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = lines_of(child.stdout.take().expect("a pipe"));
        let stderr = lines_of(child.stderr.take().expect("a pipe"));
        Ended::wait(&mut child, Some(&stdout), &stderr)
    }

    /// Both pipes reach their end when the program exits; then the test only reaps it.
    fn wait(
        child: &mut Child,
        stdout: Option<&Receiver<String>>,
        stderr: &Receiver<String>,
    ) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let mut rest = |pipe: &Receiver<String>| {
            let mut lines = Vec::new();
            loop {
                match pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(line) => lines.push(line),
                    Err(RecvTimeoutError::Disconnected) => return lines,
                    Err(RecvTimeoutError::Timeout) => {
                        let _ = child.kill();
                        panic!("it has not ended: {lines:?}");
                    }
                }
            }
        };
        let stderr = rest(stderr);
        let stderr = stderr.iter().map(|line| program::in_words_of_glibc(line));
        let stderr = stderr.collect();
        let stdout = stdout.map(&mut rest).unwrap_or_default();
        let code = child.wait().expect("a child to reap").code();
        Ended {
            code,
            stdout,
            stderr,
        }
    }
}

/// The lines that arrive on a pipe, read ahead by at most 16. If a test does not consume them, the
/// pipe fills up, and the server must cope with it.
pub(crate) fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(16);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // The receiver has been dropped: close the pipe.
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Polls until `holds` returns true; panics when [`PATIENCE`] expires.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
