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

use std::process::Command;
use std::sync::OnceLock;

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
    let kill = format!("kill -s {name} {pid}");
    let sent = Command::new("sh").args(["-c", &kill]).status();
    sent.expect("a shell").success()
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
