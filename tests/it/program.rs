//! The path of the program under test.
//!
//! By default the binary that cargo built for the tests. `MYNAH_BINARY` selects another one, such
//! as a release build, or a script of one line that starts the program under valgrind:
//!
//! ```sh
//! MYNAH_BINARY=$PWD/target/release/mynah cargo test --test it binary
//! ```
//!
//! No other file of the tests contains the path of the program.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The path of the program.
pub(crate) fn path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let named = std::env::var("MYNAH_BINARY");
        named.unwrap_or_else(|_| env!("CARGO_BIN_EXE_mynah").to_owned())
    })
}

/// Sends the signal `name`, such as `TERM`, to a process; returns whether the process existed. Uses
/// the shell's built-in `kill`, because kill(1) is in a separate package (procps) that a small
/// system lacks.
pub(crate) fn signal(pid: u32, name: &str) -> bool {
    shell(&format!("kill -s {name} {pid}"))
}

/// Runs `command`, which prints nothing, in a shell; returns whether it succeeded.
///
/// One shell serves all tests of this process: many tests ask for statistics in a loop, with a
/// signal each, and a new shell for each signal took most of their time.
pub(crate) fn shell(command: &str) -> bool {
    static SHELL: Mutex<Option<Shell>> = Mutex::new(None);
    // A test that has failed meanwhile leaves the shell as it was.
    let mut shell = SHELL.lock().unwrap_or_else(PoisonError::into_inner);
    shell.get_or_insert_with(Shell::start).run(command)
}

/// A shell that reads commands. It ends with this process, whose end of the pipe is then closed.
struct Shell {
    orders: ChildStdin,
    results: BufReader<ChildStdout>,
    _child: Child,
}

impl Shell {
    fn start() -> Shell {
        let mut child = Command::new("sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The shell may live a moment longer than this process, and holds no stream of it.
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Shell {
            orders: child.stdin.take().expect("a pipe"),
            results: BufReader::new(child.stdout.take().expect("a pipe")),
            _child: child,
        }
    }

    fn run(&mut self, command: &str) -> bool {
        writeln!(self.orders, "{command}; echo $?").expect("the shell reads");
        let mut code = String::new();
        self.results.read_line(&mut code).expect("an exit code");
        code == "0\n"
    }
}

/// Whether `MYNAH_BINARY` selects another binary, which may be optimized or run under a tool.
pub(crate) fn is_another() -> bool {
    path() != env!("CARGO_BIN_EXE_mynah")
}

/// Text of the program with the words of glibc for the errors of the system. A static binary has
/// the words of musl.
pub(crate) fn in_words_of_glibc(text: &str) -> String {
    text.replace("Address in use", "Address already in use")
        .replace("Name does not resolve", "Name or service not known")
        .replace("Out of memory", "Cannot allocate memory")
}
