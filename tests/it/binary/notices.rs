//! What a service manager hears: readiness, reloads, the end, the status, and the watchdog.
//!
//! The test is the manager: it listens on the socket in `NOTIFY_SOCKET`. Messages of one server
//! arrive in order, so a test that waits for one has seen those before. Man pages: sd_notify(3),
//! sd_watchdog_enabled(3), systemd.service(5).

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use super::ask;
use super::injected::may_trace;
use super::server::{PATIENCE, Server};
use crate::uninterrupted::uninterrupted;

const WAYS: [&[&str]; 7] = [
    &[],
    &["--threads", "2"],
    &["--processes", "2"],
    &["--model", "iterative"],
    &["--model", "thread"],
    &["--model", "pool"],
    &["--model", "fork"],
];

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn new(name: &str) -> Manager {
        let name = format!("mynah-manager-{}-{name}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&address).expect("a free name");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Manager {
            socket,
            name: format!("@{name}"),
        }
    }

    fn start(&self, variables: &[(&str, &str)], args: &[&str]) -> Server {
        let name = ("NOTIFY_SOCKET", self.name.as_str());
        Server::start_under(&[], &[&[name], variables].concat(), args)
    }

    fn next(&self) -> Option<String> {
        let mut space = [0; 1000];
        let count = uninterrupted(|| self.socket.recv(&mut space)).ok()?;
        Some(String::from_utf8_lossy(&space[..count]).into_owned())
    }

    /// The next message that is neither a status nor a sign of life.
    fn hears(&self) -> String {
        loop {
            let message = self.next().expect("a message");
            if !message.starts_with("STATUS=") && message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    /// Waits for this message, whatever comes before.
    fn hears_also(&self, expected: &str) {
        while self.next().expect(expected) != expected {}
    }

    /// How many signs of life come in `span`.
    fn signs(&self, span: Duration) -> usize {
        let until = Instant::now() + span;
        let mut signs = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left < Duration::from_millis(1) {
                break;
            }
            self.socket
                .set_read_timeout(Some(left))
                .expect("a time-out");
            signs += usize::from(self.next().is_some_and(|message| message == "WATCHDOG=1"));
        }
        self.socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out");
        signs
    }
}

#[test]
fn v7_a_service_manager_hears_of_the_start_the_reload_and_the_end_under_every_model() {
    // The status is told once a second, so all of them are heard beside each other.
    std::thread::scope(|scope| {
        for (number, args) in WAYS.into_iter().enumerate() {
            let manager = Manager::new(&format!("life-{number}"));
            scope.spawn(move || hears_of_a_life(&manager, args));
        }
    });
}

fn hears_of_a_life(manager: &Manager, args: &[&str]) {
    let server = manager.start(&[], args);
    // The ready line came first.
    assert_eq!(manager.hears(), "READY=1", "{args:?}");
    server.signal("HUP");
    let reloading = manager.hears();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let time = time.unwrap_or_else(|| panic!("{reloading}"));
    assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{time}");
    assert_eq!(manager.hears(), "READY=1", "{args:?}");
    let mut peer = server.connect();
    assert_eq!(ask(&mut peer, b"hello"), b"hello");
    let more = match args {
        ["--processes", _] => ", 2 of 2 worker processes",
        _ => "",
    };
    manager.hears_also(&format!("STATUS=1 connection{more}"));
    drop(peer);
    manager.hears_also(&format!("STATUS=0 connections{more}"));
    server.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1", "{args:?}");
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn v7_a_failed_reload_ends_for_the_service_manager_too() {
    let file = std::env::temp_dir().join(format!("mynah-{}-notified", std::process::id()));
    fs::write(&file, "a: b\n").expect("a file");
    let manager = Manager::new("reload");
    let name = file.to_str().expect("UTF-8");
    for args in [&[][..], &["--processes", "1"], &["--model", "fork"]] {
        let dict = ["dict", "--dictionary", name];
        let server = manager.start(&[], &[&dict, args].concat());
        assert_eq!(manager.hears(), "READY=1");
        fs::write(&file, "no colon\n").expect("a file");
        server.signal("HUP");
        assert!(manager.hears().starts_with("RELOADING=1\n"));
        assert_eq!(manager.hears(), "READY=1");
        server.hears("nothing has changed");
        fs::write(&file, "a: b\n").expect("a file");
        server.end();
        assert_eq!(manager.hears(), "STOPPING=1");
    }
    let _ = fs::remove_file(&file);
}

#[test]
fn v7_the_watchdog_hears_of_a_turning_server_and_not_of_a_stopped_one() {
    let manager = Manager::new("watchdog");
    for args in WAYS {
        let server = manager.start(&[("WATCHDOG_USEC", "100000")], args);
        for _ in 0..3 {
            manager.hears_also("WATCHDOG=1");
        }
        server.signal("STOP");
        while server.state() != 'T' {}
        // What was said before is read away.
        manager.signs(Duration::from_millis(50));
        assert_eq!(manager.signs(Duration::from_millis(300)), 0, "{args:?}");
        server.signal("CONT");
        manager.hears_also("WATCHDOG=1");
        server.end();
        manager.hears_also("STOPPING=1");
    }
}

#[test]
fn v7_the_watchdog_is_that_of_one_process() {
    let manager = Manager::new("other");
    let other = [("WATCHDOG_USEC", "20000"), ("WATCHDOG_PID", "1")];
    let server = manager.start(&other, &[]);
    assert_eq!(manager.signs(Duration::from_millis(200)), 0);
    server.end();
    let server = manager.start(&[("WATCHDOG_USEC", "soon")], &[]);
    server.hears("WATCHDOG_USEC=\"soon\": must be a number of microseconds");
    server.end();
}

#[test]
fn v7_one_thread_of_several_that_hangs_silences_the_watchdog() {
    if !may_trace() {
        return;
    }
    let manager = Manager::new("thread");
    let server = manager.start(&[("WATCHDOG_USEC", "100000")], &["--threads", "3"]);
    manager.hears_also("WATCHDOG=1");
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("proc(5)");
    let tasks = tasks.filter_map(|task| task.ok()?.file_name().into_string().ok());
    // Any thread but the first one, which has the timers.
    let hangs = tasks.filter(|task| *task != server.pid().to_string()).max();
    let hangs = hangs.expect("three threads");
    let delays = "inject=epoll_wait,epoll_pwait:delay_enter=60000000";
    let mut tracer = std::process::Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-e", delays, "-p", &hangs])
        .spawn()
        .expect("it is installed");
    // Once it is delayed, silence is longer than the time of the watchdog.
    let until = Instant::now() + PATIENCE;
    while manager.signs(Duration::from_millis(300)) > 0 {
        assert!(Instant::now() < until, "it is told although a thread hangs");
    }
    tracer.kill().expect("it runs");
    tracer.wait().expect("a child");
    manager.hears_also("WATCHDOG=1");
    server.end();
}

#[test]
fn v7_a_manager_that_does_not_hear_is_one_line_and_no_wait() {
    let nowhere = [
        ("NOTIFY_SOCKET", "/nowhere/notify"),
        ("WATCHDOG_USEC", "20000"),
    ];
    let server = Server::start_under(&[], &nowhere, &[]);
    assert_eq!(ask(&mut server.connect(), b"hello"), b"hello");
    std::thread::sleep(Duration::from_millis(100));
    let lines = server.end().stderr;
    let lines: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("NOTIFY_SOCKET"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("READY=1 is lost: No such file"),
        "{lines:?}"
    );
    // A manager that never reads: its queue is full after a few messages.
    let manager = Manager::new("deaf");
    let server = manager.start(&[("WATCHDOG_USEC", "2000")], &[]);
    server.hears("is lost: Resource temporarily unavailable");
    assert_eq!(ask(&mut server.connect(), b"hello"), b"hello");
    let again = server.end().stderr;
    assert!(
        again.iter().all(|line| !line.contains("NOTIFY_SOCKET")),
        "{again:?}"
    );
    let server = Server::start_under(&[], &[("NOTIFY_SOCKET", "vsock:2:1")], &[]);
    server.hears("NOTIFY_SOCKET=\"vsock:2:1\": it must be /PATH or @NAME");
    server.end();
}

#[test]
fn v7_a_manager_at_a_path_hears_too() {
    let path = std::env::temp_dir().join(format!("mynah-{}-notify", std::process::id()));
    let _ = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).expect("a path");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let name = path.to_str().expect("UTF-8").to_owned();
    let manager = Manager { socket, name };
    let server = manager.start(&[], &[]);
    assert_eq!(manager.hears(), "READY=1");
    server.end();
    assert_eq!(manager.hears(), "STOPPING=1");
    let _ = fs::remove_file(&path);
}
