//! Standard streams that are not read, full or closed.
//!
//! The event loop never blocks on its output, and a lost result is never silent: it is exit code 7
//! and a line. `results` covers programs that print a result, `unread` covers log and statistics
//! lines. Man pages: pipe(7), pty(7), full(4).

mod results;
mod unread;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::server::{PATIENCE, until};
use crate::load::command::without_load;
use crate::program;
use crate::terminal::{Terminal, fill};

/// A stream that accepts no data, and the other end that keeps it open.
enum Stuck {
    Terminal(Terminal),
    /// The write end of a pipe, and the process that holds the read end.
    Pipe(
        OwnedFd,
        #[expect(dead_code, reason = "it ends with the pipe")] Reaped,
    ),
    Socket(
        UnixStream,
        #[expect(dead_code, reason = "open as long as the other end")] UnixStream,
    ),
    FullDevice(File),
}

/// A process that is killed and reaped at the end of the test.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both calls fail only if the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stuck {
    /// One of each kind that this machine has.
    fn all() -> Vec<(&'static str, Stuck)> {
        let terminal = Terminal::open().map(|it| ("a terminal", Stuck::Terminal(it)));
        let (near, far) = UnixStream::pair().expect("a pair");
        let full = File::options().write(true).open("/dev/full");
        let others = [
            ("a socket", Stuck::Socket(near, far)),
            ("a pipe", Stuck::pipe()),
            ("a full device", Stuck::FullDevice(full.expect("null(4)"))),
        ];
        terminal.into_iter().chain(others).collect()
    }

    /// Like `all`, and each is full.
    fn all_full() -> Vec<(&'static str, Stuck)> {
        let all = Stuck::all();
        all.iter().for_each(|(_, stuck)| stuck.fill());
        all
    }

    fn pipe() -> Stuck {
        let mut holder = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::piped())
            .spawn()
            .expect("every system has it");
        let end = OwnedFd::from(holder.stdin.take().expect("a pipe"));
        Stuck::Pipe(end, Reaped(holder))
    }

    fn fill(&self) {
        match self {
            Stuck::Terminal(terminal) => terminal.fill(),
            Stuck::Pipe(end, _) => {
                fill(&PathBuf::from(format!("/proc/self/fd/{}", end.as_raw_fd())));
            }
            Stuck::Socket(near, _) => {
                let mut near = near;
                near.set_nonblocking(true).expect("an option");
                while near.write(&[b'.'; 4096]).is_ok() {}
                while near.write(b".").is_ok() {}
                // O_NONBLOCK belongs to the open file, which the server shares: it must not rely on
                // the flag.
                near.set_nonblocking(false).expect("an option");
            }
            Stuck::FullDevice(_) => {}
        }
    }

    /// The end for the program.
    fn end(&self) -> Stdio {
        match self {
            Stuck::Terminal(terminal) => terminal.end().into(),
            Stuck::Pipe(end, _) => end.try_clone().expect("a descriptor").into(),
            Stuck::Socket(near, _) => OwnedFd::from(near.try_clone().expect("a descriptor")).into(),
            Stuck::FullDevice(file) => file.try_clone().expect("a descriptor").into(),
        }
    }
}

/// A server whose ready line may be lost.
struct Served {
    child: Reaped,
    port: u16,
}

impl Served {
    fn start(args: &[&str], variables: &[(&str, &str)], out: Stdio, err: Stdio) -> Served {
        Served::start_under(&[], args, variables, out, err)
    }

    /// Like `start`, behind the words of another command.
    fn start_under(
        wrapper: &[&str],
        args: &[&str],
        variables: &[(&str, &str)],
        out: Stdio,
        err: Stdio,
    ) -> Served {
        let words = [wrapper, &[program::path()], args].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .args(["--listen", "127.0.0.1:0"])
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn();
        let child = Reaped(child.expect("the program starts"));
        let mut port = None;
        until("it listens", || {
            port = listening_port(child.0.id());
            port.is_some()
        });
        let port = port.expect("it listens");
        Served { child, port }
    }

    fn signal(&self, name: &str) {
        signal(&self.child.0, name);
    }

    fn has_thread(&self, name: &str) -> bool {
        let folder = format!("/proc/{}/task", self.child.0.id());
        let threads = fs::read_dir(folder).expect("proc(5)").flatten();
        let mut names = threads.filter_map(|it| fs::read_to_string(it.path().join("comm")).ok());
        names.any(|comm| comm.trim_end() == name)
    }

    /// Asks so many times, each time on a connection of its own and with a signal that has a line
    /// printed.
    fn ask(&self, times: usize, what: &str) {
        for turn in 0..times {
            let address = (Ipv4Addr::LOCALHOST, self.port);
            let mut peer = TcpStream::connect(address).expect("it listens");
            peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            peer.write_all(b"go on").expect("it reads");
            let mut reply = [0; 5];
            let answer = peer.read_exact(&mut reply);
            assert!(answer.is_ok(), "{what}: no reply after {turn}: {answer:?}");
            self.signal("USR1");
        }
    }

    /// Ends the server with SIGTERM, as a service manager does.
    fn end(mut self, what: &str) {
        self.signal("TERM");
        assert_eq!(code(&mut self.child.0, what), Some(0), "{what}");
    }
}

/// The port on which a process listens: its socket inodes are looked up in the list of all
/// listeners, see proc(5).
fn listening_port(pid: u32) -> Option<u16> {
    let folder = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let names: Vec<String> = links.map(|link| link.display().to_string()).collect();
    let table = fs::read_to_string("/proc/net/tcp").expect("proc(5)");
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let listens = words[3] == "0A";
        if !listens || !names.contains(&format!("socket:[{}]", words[9])) {
            return None;
        }
        let (_, port) = words[1].split_once(':')?;
        u16::from_str_radix(port, 16).ok()
    })
}

fn signal(child: &Child, name: &str) {
    assert!(program::signal(child.id(), name), "{name}");
}

/// Everything that arrives on a pipe until its end.
fn all_of(mut pipe: impl Read + Send + 'static) -> String {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = pipe.read_to_string(&mut text);
        // The send fails if the test has already failed and dropped the receiver.
        let _ = sender.send(read.map(|_| text));
    });
    let read = receiver.recv_timeout(PATIENCE).expect("the end of a pipe");
    read.expect("text")
}

/// Waits until a program has ended and returns its exit code. A program that does not end is
/// killed, and the test fails.
fn code(child: &mut Child, what: &str) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            panic!("{what}: it has not ended");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs the program from a shell that redirects its streams as in `script`; `"$@"` is the program
/// with its arguments.
fn by_shell(script: &str, args: &[&str]) -> std::process::Output {
    Command::new("sh")
        .args(["-c", script, "sh", program::path()])
        .args(args)
        .env_remove("RUST_LOG")
        .output()
        .expect("a shell")
}

/// stdout, stderr and the exit code.
fn told(output: &std::process::Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let err = without_load(&text(&output.stderr)).to_owned();
    (text(&output.stdout), err, output.status.code())
}
