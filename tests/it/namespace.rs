//! Runs commands in their own namespaces, where a test may change names, addresses, routes and the
//! range of local ports.
//!
//! Needs unshare(1) and the permission to use it; without it a test is skipped with a line. Man
//! page: namespaces(7).

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use crate::load::command::without_load;
use crate::program;

/// Runs `script` in a shell with the namespaces that `flags` of unshare(1) select. `$MYNAH` is the
/// path of the program. `None` if this is not permitted, or if `check` fails in such a namespace.
pub(crate) fn run(flags: &[&str], check: &str, script: &str) -> Option<Output> {
    let shell = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(flags)
            .args(["sh", "-c", script])
            .env("MYNAH", program::path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    };
    let checked = shell(check).output();
    if !checked.as_ref().is_ok_and(|output| output.status.success()) {
        let _ = writeln!(
            io::stderr(),
            "skipping: no namespace {flags:?} in which to run {check:?}"
        );
        return None;
    }
    Some(shell(script).output().expect("it could be started before"))
}

/// Mounts `hosts` over /etc/hosts, makes it the only source of names, and runs `script`.
pub(crate) fn run_with_hosts(hosts: &str, script: &str) -> Option<Output> {
    let prepare = format!(
        "set -e; d=$(mktemp -d); mount -t tmpfs none $d; printf '{hosts}' > $d/hosts; \
         printf 'hosts: files\\n' > $d/nsswitch; mount --bind $d/hosts /etc/hosts; \
         mount --bind $d/nsswitch /etc/nsswitch.conf; umount -l $d; rmdir $d; set +e"
    );
    run(&["-m"], &prepare, &format!("{prepare}; {script}"))
}

/// The exit code, stdout and stderr.
pub(crate) fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| program::in_words_of_glibc(&String::from_utf8_lossy(bytes));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let err = without_load(&err).to_owned();
    (output.status.code(), out, err)
}
