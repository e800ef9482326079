//! Row V7: sockets that the server was started with, by number and by `LISTEN_FDS`.
//!
//! The test owns the listener and hands the server a copy as standard input; a shell moves it to
//! descriptor 3. So the test sees what becomes of a listener that its owner keeps. The launchers of
//! others, systemd-socket-activate and a Python program, are used where they are installed. Man
//! pages: sd_listen_fds(3), systemd-socket-activate(1), socket(7).

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use socket2::{Domain, Socket, Type};

use super::server::{Ended, PATIENCE, Server, until};
use super::{ask, is_installed, rest};
use crate::program;
use crate::uninterrupted::uninterrupted;

/// Moves standard input to descriptor 3, and tells the server of it.
pub(super) const TELLS: &str = r#"LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@" 3<&0 0</dev/null"#;
/// Only moves it.
pub(super) const MOVES: &str = r#"exec "$0" "$@" 3<&0 0</dev/null"#;

/// Each way to serve, with the arguments that ask for it.
const WAYS: [&[&str]; 9] = [
    &[],
    &["--threads", "2"],
    &["--threads", "2", "--accept", "exclusive"],
    &["--threads", "2", "--accept", "handoff"],
    &["--processes", "2", "--threads", "2"],
    &["--processes", "2", "--threads", "2", "--accept", "handoff"],
    &["--model", "iterative"],
    &["--model", "thread"],
    &["--model", "fork"],
];

/// Starts a server that has a copy of `socket` as descriptor 3.
pub(super) fn start(shell: &str, socket: &impl AsFd, args: &[&str]) -> Result<Server, Ended> {
    start_with(shell, &[], socket, args)
}

fn start_with(
    shell: &str,
    variables: &[(&str, &str)],
    socket: &impl AsFd,
    args: &[&str],
) -> Result<Server, Ended> {
    let copy: OwnedFd = socket.as_fd().try_clone_to_owned().expect("a descriptor");
    let words = [&["sh", "-c", shell, program::path()], args].concat();
    Server::try_start_words(&words, variables, Stdio::from(copy))
}

pub(super) fn started(outcome: Result<Server, Ended>) -> Server {
    outcome.unwrap_or_else(|ended| panic!("it has no ready line: {:?}", ended.stderr))
}

pub(super) fn refusal(outcome: Result<Server, Ended>) -> String {
    let ended = outcome.err().expect("it should have been refused");
    assert_eq!(
        (ended.code, ended.stderr.len()),
        (Some(1), 1),
        "{:?}",
        ended.stderr
    );
    ended.stderr.concat()
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

struct Path(PathBuf);

impl Path {
    fn new(name: &str) -> Path {
        let name = format!("mynah-{}-{name}", std::process::id());
        let path = Path(std::env::temp_dir().join(name));
        let _ = fs::remove_file(&path.0);
        path
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn v7_a_listener_that_was_passed_is_served_under_every_model_and_stays_its_owners() {
    let owned = listener();
    let at = owned.local_addr().expect("it is bound");
    for args in WAYS {
        let server = started(start(
            MOVES,
            &owned,
            &[&["--listen", "fd://3"], args].concat(),
        ));
        assert_eq!(server.addresses(), [format!("tcp://{at}")], "{args:?}");
        for _ in 0..4 {
            let mut peer = server.connect();
            assert_eq!(ask(&mut peer, b"hello"), b"hello", "{args:?}");
        }
        server.end();
        // The drain has left neither a filter nor a shutdown behind, also for its next server.
        let mut late = TcpStream::connect_timeout(&at, PATIENCE).expect("the owner listens");
        let (mut taken, _) = owned.accept().expect("a connection");
        assert_eq!(late.write(b"x").expect("a write"), 1);
        assert_eq!(
            uninterrupted(|| taken.read(&mut [0; 4])).expect("a read"),
            1,
            "{args:?}"
        );
    }
}

#[test]
fn v7_a_connection_that_waits_at_the_end_is_served_by_the_next_server() {
    let owned = listener();
    let at = owned.local_addr().expect("it is bound");
    for _ in 0..3 {
        let mut early = TcpStream::connect(at).expect("the owner listens");
        let server = started(start(TELLS, &owned, &[]));
        assert_eq!(ask(&mut early, b"early"), b"early");
        server.end();
    }
}

#[test]
fn v7_a_local_listener_keeps_its_file_and_its_state() {
    let path = Path::new("passed");
    let owned = UnixListener::bind(&path.0).expect("a path");
    for args in [&[][..], &["--threads", "2"], &["--processes", "2"]] {
        let server = started(start(TELLS, &owned, args));
        assert_eq!(server.addresses(), [format!("unix:{}", path.text())]);
        let mut peer = UnixStream::connect(&path.0).expect("it listens");
        assert_eq!(ask(&mut peer, b"local"), b"local");
        server.end();
        let _late = UnixStream::connect(&path.0).expect("the file is there, and is listened to");
        owned.accept().expect("the connection");
    }
}

#[test]
fn v7_a_socket_that_was_passed_and_one_that_was_opened_are_served_together() {
    let owned = listener();
    let both = [
        "--listen",
        "fd://3",
        "--listen",
        "127.0.0.1:0",
        "--threads",
        "2",
    ];
    let server = started(start(MOVES, &owned, &both));
    assert_eq!(server.addresses().len(), 2);
    for address in server.addresses() {
        let address = address.strip_prefix("tcp://").expect("TCP");
        let mut peer = TcpStream::connect(address).expect("it listens");
        assert_eq!(ask(&mut peer, address.as_bytes()), address.as_bytes());
    }
    server.end();
}

#[test]
fn v7_the_variables_name_a_socket_for_this_process_alone() {
    let owned = listener();
    let at = owned.local_addr().expect("it is bound").to_string();
    let server = started(start_with(
        TELLS,
        &[("LISTEN_FDNAMES", "echo")],
        &owned,
        &[],
    ));
    assert_eq!(server.addresses(), [format!("tcp://{at}")]);
    server.end();
    // Without --listen the default address would follow, so the tests name another.
    let other = [("LISTEN_FDS", "1"), ("LISTEN_PID", "1")];
    let server = started(start_with(
        MOVES,
        &other,
        &owned,
        &["--listen", "127.0.0.1:0"],
    ));
    assert_ne!(server.addresses(), [format!("tcp://{at}")]);
    let line = server.hears("LISTEN_PID");
    assert!(
        line.starts_with("INFO  LISTEN_PID=1: this is process "),
        "{line}"
    );
    server.end();
}

#[test]
fn v7_a_variable_that_is_malformed_is_one_line() {
    let owned = listener();
    let tell = |variables: &str| format!(r#"{variables} exec "$0" "$@" 3<&0 0</dev/null"#);
    for (variables, line) in [
        (
            "LISTEN_FDS=x LISTEN_PID=$$",
            "LISTEN_FDS=\"x\": must be a number of descriptors",
        ),
        (
            "LISTEN_FDS=-1 LISTEN_PID=$$",
            "LISTEN_FDS=\"-1\": must be a number of descriptors",
        ),
        (
            "LISTEN_FDS=1 LISTEN_PID=me",
            "LISTEN_PID=\"me\": must be the number of a process",
        ),
        (
            "LISTEN_FDS=2 LISTEN_PID=$$",
            "LISTEN_FDS=2: fd://4: it is not open; the program that starts mynah has to pass it",
        ),
    ] {
        let told = refusal(start(&tell(variables), &owned, &[]));
        assert_eq!(told, format!("mynah: {line}"));
    }
}

#[test]
fn v7_a_descriptor_that_cannot_be_listened_on_is_one_line_before_anything_is_opened() {
    let path = Path::new("not-opened");
    let opens = format!("unix:{}", path.text());
    let told = |socket: &dyn AsFd, endpoint: &str| {
        let copy = socket.as_fd().try_clone_to_owned().expect("a descriptor");
        let line = refusal(start(
            MOVES,
            &copy,
            &["--listen", &opens, "--listen", endpoint],
        ));
        assert!(!path.0.exists());
        let prefix = format!("mynah: --listen {endpoint}: ");
        line.strip_prefix(&prefix)
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned()
    };
    let file = fs::File::open("/dev/null").expect("null(4)");
    assert!(told(&file, "fd://3").starts_with("it is not a socket"));
    assert!(told(&file, "fd://4").starts_with("it is not open"));
    assert!(told(&file, "fd://2147483647").starts_with("it is not open"));
    let idle = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    assert!(told(&idle, "fd://3").contains("neither listening nor connected"));
    let (near, _far) = UnixStream::pair().expect("a pair");
    assert!(told(&near, "fd://3").contains("not listening"));
    let owned = listener();
    for number in ["0", "1", "2"] {
        let line = told(&owned, &format!("fd://{number}"));
        assert!(
            line.starts_with("0 to 2 are the standard streams"),
            "{line}"
        );
    }
    let twice = ["--listen", "fd://3", "--listen", "fd://03"];
    assert_eq!(
        refusal(start(MOVES, &owned, &twice)),
        "mynah: --listen fd://3: given twice"
    );
}

#[test]
fn v7_a_command_gets_neither_the_variables_nor_the_socket() {
    let owned = listener();
    let args = ["run", "--allow", "env", "--allow", "ls -l /proc/self/fd"];
    let server = started(start(TELLS, &owned, &args));
    let answer = |line: &[u8]| {
        let mut peer = server.connect();
        peer.write_all(line).expect("it reads");
        peer.shutdown(std::net::Shutdown::Write)
            .expect("an open socket");
        String::from_utf8_lossy(&rest(&mut peer)).into_owned()
    };
    assert!(!answer(b"env\n").contains("LISTEN"));
    let open = answer(b"ls -l /proc/self/fd\n");
    assert!(
        open.contains("pipe:") && !open.contains("socket:"),
        "{open}"
    );
    server.end();
}

#[test]
fn v7_many_connections_to_a_shared_listener_are_all_served_while_it_changes_hands() {
    let owned = listener();
    let at = owned.local_addr().expect("it is bound");
    let mut server = started(start(TELLS, &owned, &["--threads", "2"]));
    for round in 0..6 {
        let next = (round % 2 == 1).then(|| started(start(TELLS, &owned, &["--threads", "2"])));
        for _ in 0..50 {
            let mut peer = TcpStream::connect(at).expect("it listens");
            peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            assert_eq!(ask(&mut peer, b"hello"), b"hello");
        }
        if let Some(next) = next {
            std::mem::replace(&mut server, next).end();
        }
    }
    server.end();
}

#[test]
fn v7_systemd_socket_activate_starts_it_at_the_first_connection() {
    if !is_installed("systemd-socket-activate") {
        return;
    }
    for args in WAYS {
        let path = Path::new(&format!("activate-{}", args.join("")));
        let words = [
            &[
                "systemd-socket-activate",
                "-l",
                path.text(),
                program::path(),
            ],
            args,
        ]
        .concat();
        let activated = std::thread::scope(|scope| {
            // It has no ready line before the first connection.
            let starts = scope.spawn(|| Server::try_start_words(&words, &[], Stdio::null()));
            until("it listens", || path.0.exists());
            let connect = || UnixStream::connect(&path.0).ok();
            let mut peer = None;
            until("a connection", || {
                peer = peer.take().or_else(connect);
                peer.is_some()
            });
            let mut peer = peer.expect("it is there");
            peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            assert_eq!(ask(&mut peer, b"wake up"), b"wake up", "{args:?}");
            started(starts.join().expect("no panic"))
        });
        assert_eq!(activated.addresses(), [format!("unix:{}", path.text())]);
        activated.end();
        assert!(path.0.exists(), "the file is not the server's");
    }
}

/// Binds what its first argument lists, passes it on as systemd does, and becomes the server.
const LAUNCHER: &str = r#"
import os, socket, sys
kept = []
for place, at in enumerate(sys.argv[1].split(",")):
    if at == "tcp":
        one = socket.socket()
        one.bind(("127.0.0.1", 0))
    else:
        one = socket.socket(socket.AF_UNIX)
        one.bind(at)
    one.listen(16)
    kept.append(one)
copies = [os.dup2(one.fileno(), 100 + place) for place, one in enumerate(kept)]
for place, copy in enumerate(copies):
    os.dup2(copy, 3 + place, inheritable=True)
os.closerange(100, 100 + len(copies))
os.environ.update(LISTEN_FDS=str(len(kept)), LISTEN_PID=str(os.getpid()),
                  LISTEN_FDNAMES=":".join("s%d" % place for place in range(len(kept))))
os.execv(sys.argv[2], sys.argv[2:])
"#;

#[test]
fn v7_a_python_launcher_passes_several_sockets_of_different_kinds() {
    if !is_installed("python3") {
        return;
    }
    let path = Path::new("python");
    let listed = format!("tcp,{},tcp", path.text());
    let words = [
        "python3",
        "-c",
        LAUNCHER,
        &listed,
        program::path(),
        "--threads",
        "2",
    ];
    let server = started(Server::try_start_words(&words, &[], Stdio::null()));
    let addresses = server.addresses();
    assert_eq!(addresses[1], format!("unix:{}", path.text()));
    for place in [0, 2] {
        let address = addresses[place].strip_prefix("tcp://").expect("TCP");
        let mut peer = TcpStream::connect(address).expect("it listens");
        assert_eq!(ask(&mut peer, b"hello"), b"hello");
    }
    let mut peer = UnixStream::connect(&path.0).expect("it listens");
    assert_eq!(ask(&mut peer, b"hello"), b"hello");
    drop(peer);
    server.end();
    assert!(path.0.exists());
}

#[test]
fn a_descriptor_is_nothing_to_connect_to() {
    for command in ["connect", "bench"] {
        let ended = Ended::run(&[command, "fd://3"]);
        assert_eq!(ended.code, Some(1));
        let line = "mynah: fd://3: is a descriptor; only mynah serve --listen takes one";
        assert_eq!(ended.stderr, [line]);
    }
    let told = Command::new(program::path())
        .args(["--listen", "fd://x"])
        .output();
    let told = told.expect("the program starts");
    assert_eq!(told.status.code(), Some(1));
}

#[test]
fn the_units_of_the_manual_are_accepted_by_systemd() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let told = Command::new(program::path())
        .args(["help", "systemd"])
        .output();
    let chapter = String::from_utf8(told.expect("the program starts").stdout).expect("UTF-8");
    // At a terminal, blocks are indented. Each unit begins with its first section.
    let mut units = Vec::<String>::new();
    let mut is_unit = false;
    for line in chapter.lines() {
        match line.strip_prefix("    ") {
            Some(line) if is_unit || line == "[Unit]" => {
                if line == "[Unit]" {
                    units.push(String::new());
                    is_unit = true;
                }
                if let Some(unit) = units.last_mut() {
                    *unit += &format!("{line}\n");
                }
            }
            _ => is_unit &= line.is_empty(),
        }
    }
    let folder = std::env::temp_dir().join(format!("mynah-{}-units", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let names = ["mynah.service", "mynah.socket", "mynah@.service"];
    assert_eq!(units.len(), names.len());
    for (name, unit) in names.iter().zip(units) {
        let unit = unit.replace("/usr/local/bin/mynah", program::path());
        fs::write(folder.join(name), unit).expect("a file");
    }
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .args(names.map(|name| folder.join(name)))
        .output()
        .expect("it is installed");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let _ = fs::remove_dir_all(&folder);
    assert_eq!((verified.status.code(), said.as_str()), (Some(0), ""));
}
