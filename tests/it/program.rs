//! Which program the tests play with.
//!
//! The one that cargo has built for them; or what `MYNAH_BINARY` names, a release build for
//! instance, or a script of one line that starts the program under valgrind:
//!
//! ```sh
//! MYNAH_BINARY=$PWD/target/release/mynah cargo test --test it binary
//! ```
//!
//! Nothing else in the tests knows where the program lies.

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

/// Sends the signal `name`, such as `TERM`, to a process; tells whether the process was there. The
/// kill of the shell is built in: kill(1) is a package of its own (procps) that a small system
/// lacks.
pub(crate) fn signal(pid: u32, name: &str) -> bool {
    let kill = format!("kill -s {name} {pid}");
    let sent = Command::new("sh").args(["-c", &kill]).status();
    sent.expect("a shell").success()
}

/// Whether it is another than the tests': optimized differently, or watched.
pub(crate) fn is_another() -> bool {
    path() != env!("CARGO_BIN_EXE_mynah")
}
