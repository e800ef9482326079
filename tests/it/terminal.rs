//! A pseudo-terminal whose master is not read until the test asks for it.
//!
//! A small Python program holds the master, because the standard library of Rust cannot open one.
//! Without Python a test is skipped. Man pages: pty(7), ptmx(4).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::binary::is_installed;

/// Prints the name of the slave and waits for a line. Then prints everything that is written to the
/// slave, until its end.
const SCRIPT: &str = r#"
import os, sys
master, slave = os.openpty()
print(os.ttyname(slave), flush=True)
sys.stdin.readline()
os.close(slave)
try:
    while True:
        piece = os.read(master, 65536)
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
except OSError:
    pass
"#;

/// Runs the program in `argv` in the background of a terminal with `stty tostop`, ends it with
/// SIGTERM after its ready line, and prints what the terminal got and how the program ended.
const BACKGROUND: &str = r#"
import os, pty, signal, sys, termios
leader, master = pty.fork()
if leader == 0:
    mode = termios.tcgetattr(1)
    mode[3] |= termios.TOSTOP
    termios.tcsetattr(1, termios.TCSANOW, mode)
    program = os.fork()
    if program == 0:
        os.setpgid(0, 0)
        os.execv(sys.argv[1], sys.argv[1:])
    print("program", program, flush=True)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(program, signal.SIGKILL))
    signal.alarm(20)
    _, status = os.waitpid(program, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        os.kill(program, signal.SIGKILL)
    print("stopped" if os.WIFSTOPPED(status) else "ended", flush=True)
    os._exit(0)
text, asked = b"", False
try:
    while piece := os.read(master, 65536):
        text += piece
        if not asked and b" bytes of memory" in text:
            asked = True
            os.kill(int(text.split()[1]), signal.SIGTERM)
except OSError:
    pass
sys.stdout.buffer.write(text)
"#;

/// Runs the program in `argv` in the foreground of a terminal of 80 columns, types `typed` once the
/// program has drawn a line in place, and prints what the terminal got, and then whether it echoes.
const FOREGROUND: &str = r#"
import os, pty, struct, fcntl, sys, termios
program, master = pty.fork()
if program == 0:
    os.execv(sys.argv[1], sys.argv[1:])
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
text, asked, mode = b"", False, None
try:
    while piece := os.read(master, 65536):
        text += piece
        if not asked and b"\x1b[K" in text:
            asked = True
            os.write(master, b"typed")
        mode = termios.tcgetattr(master)[3]
except OSError:
    pass
os.waitpid(program, 0)
text += b"echo" if mode & termios.ECHO else b"silence"
sys.stdout.buffer.write(text)
"#;

/// What a terminal gets from a program in its foreground while `typed` is typed, and then
/// `echo`, or `silence` if the program has left the terminal without echo. Nothing without Python.
pub(crate) fn in_the_foreground(program: &[&str]) -> Option<String> {
    run(FOREGROUND, program)
}

/// What a terminal with `stty tostop` gets from a server in its background, which is ended after
/// its ready line, and then `ended`, or `stopped` if the terminal stopped the server. Nothing
/// without Python.
pub(crate) fn in_the_background(program: &[&str]) -> Option<String> {
    run(BACKGROUND, program)
}

fn run(script: &str, program: &[&str]) -> Option<String> {
    if !is_installed("python3") {
        return None;
    }
    let output = Command::new("python3")
        .args(["-c", script])
        .args(program)
        .env_remove("RUST_LOG")
        .output()
        .expect("Python starts");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A terminal, gone when it is dropped.
pub(crate) struct Terminal {
    python: Child,
    orders: ChildStdin,
    output: Option<BufReader<ChildStdout>>,
    path: PathBuf,
}

impl Terminal {
    /// A new terminal; `None` without Python.
    pub(crate) fn open() -> Option<Terminal> {
        if !is_installed("python3") {
            return None;
        }
        let mut python = Command::new("python3")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let orders = python.stdin.take().expect("a pipe");
        let mut output = BufReader::new(python.stdout.take().expect("a pipe"));
        let mut path = String::new();
        output.read_line(&mut path).expect("the name of a terminal");
        Some(Terminal {
            python,
            orders,
            output: Some(output),
            path: path.trim_end().into(),
        })
    }

    /// A descriptor of the slave, for a program.
    pub(crate) fn end(&self) -> File {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(&self.path)
            .expect("a terminal can be opened")
    }

    /// Writes to the slave until its buffers are full.
    pub(crate) fn fill(&self) {
        fill(&self.path);
    }

    /// The bytes that the buffers hold and those that are written later. The stream ends when no
    /// program has the slave open.
    pub(crate) fn read(&mut self) -> BufReader<ChildStdout> {
        writeln!(self.orders).expect("Python reads");
        self.output.take().expect("it is read once")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The Python program has usually ended already.
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}

/// Writes to a terminal or a pipe until its buffers are full.
pub(crate) fn fill(path: &Path) {
    let mut end = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(path)
        .expect("it can be opened once more");
    // The kernel moves written bytes to the master's buffer with a delay, which makes room again.
    // No event marks the last move, so the loop ends after 20 attempts without room.
    let mut quiet = 0;
    while quiet < 20 {
        quiet += 1;
        while end.write(&[b'.'; 4096]).is_ok() || end.write(b".").is_ok() {
            quiet = 0;
        }
        thread::sleep(Duration::from_millis(2));
    }
}
