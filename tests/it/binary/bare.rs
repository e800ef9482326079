//! A root that has no `/dev` or no `/proc`, such as a folder for chroot(8): the server works without
//! `/proc`, and what needs one of the two names it in one line.

use crate::namespace;

/// Leaves `/proc` away. A namespace of mounts is needed for it.
const NO_PROC: &str = "umount -l /proc && ! test -e /proc/self";
const NO_DEVICES: &str = "mount -t tmpfs none /dev && ! test -e /dev/null";

/// What a script says without one of the two folders, and its exit code; `None` if this machine
/// permits no such namespace.
fn without(folder: &str, script: &str) -> Option<(Option<i32>, String, String)> {
    let whole = format!("{folder}; {script}");
    let output = namespace::run(&["-m"], folder, &whole)?;
    Some(namespace::told(&output))
}

#[test]
fn a_server_without_a_null_device_names_it_at_its_start() {
    const WHY: &str = "/dev/null cannot be opened: No such file or directory (os error 2); mount \
                       /dev, or make the device there with mknod(1)";
    for (words, front) in [
        ("-p 0", "starting a worker"),
        ("-p 0 --threads 2", "starting a worker"),
        ("run --allow true -p 0", "starting a worker"),
        ("-p 0 --metrics 127.0.0.1:0", "--metrics"),
    ] {
        let Some((code, out, err)) = without(NO_DEVICES, &format!("$MYNAH {words}")) else {
            return;
        };
        assert_eq!((code, &*out), (Some(7), ""), "{words}: {err}");
        assert_eq!(err, format!("mynah: {front}: {WHY}\n"), "{words}");
    }
}

#[test]
fn a_server_needs_no_proc_and_what_does_names_it() {
    // Its outputs are pipes, which would be opened again by way of /proc.
    const SERVE: &str = "{ { $MYNAH -p 0 & echo $! >&3; wait $!; echo code $?; } | { \
        read -r line; echo \"$line\"; port=${line##*127.0.0.1:}; \
        echo hello | $MYNAH connect ${port%%,*}; read -r pid <&4; kill -TERM $pid; cat; }; }";
    let script = format!("d=$(mktemp); mkfifo $d.f; exec 3<>$d.f 4<&3; rm $d $d.f; {SERVE}");
    let Some((code, out, err)) = without(NO_PROC, &script) else {
        return;
    };
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        matches!(lines[..], [ready, "hello", "code 0"] if ready.starts_with("ready: ")),
        "{code:?} {out}{err}"
    );
    for (words, expected, line) in [
        (
            "lab ctl-errors --quiet",
            8,
            "FAILED: /proc/self/exe: No such file or directory (os error 2); /proc must be mounted",
        ),
        (
            "bench 'mynah -p {port}' -n 1 -c 1 --warmup 0",
            6,
            "cannot start 'mynah -p {port}': /proc/self/exe: No such file or directory \
             (os error 2); /proc must be mounted",
        ),
    ] {
        let (code, out, err) = without(NO_PROC, &format!("$MYNAH {words}")).expect("as before");
        let told = format!("{out}{err}");
        assert!(told.contains(line), "{words}: {told}");
        assert_eq!(code, Some(expected), "{words}: {told}");
    }
}
