//! Commands in namespaces of their own, where a test may change the machine: names, addresses,
//! routes, the ports that the kernel chooses.
//!
//! Needs unshare(1) and the right to use it; a test that may not is skipped with a line.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use crate::program;

/// Runs `script` in a shell with namespaces of the kinds that `flags` of unshare(1) name. `$MYNAH` is
/// the program. `None` where that is not permitted, or `check` fails there.
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

/// Mounts `hosts` over /etc/hosts, asks nothing else about names, and runs `script`.
pub(crate) fn run_with_hosts(hosts: &str, script: &str) -> Option<Output> {
    let prepare = format!(
        "set -e; d=$(mktemp -d); mount -t tmpfs none $d; printf '{hosts}' > $d/hosts; \
         printf 'hosts: files\\n' > $d/nsswitch; mount --bind $d/hosts /etc/hosts; \
         mount --bind $d/nsswitch /etc/nsswitch.conf; umount -l $d; rmdir $d; set +e"
    );
    run(&["-m"], &prepare, &format!("{prepare}; {script}"))
}

/// The exit code, and what was said on stdout and stderr.
pub(crate) fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), out, err)
}
