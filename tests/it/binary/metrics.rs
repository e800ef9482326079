//! `--metrics` on the real kernel: the three pages under every model that has them, the sums, and
//! that a scrape does nothing to the service.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use mynah::limits::{SCRAPE_LOOK_INTERVAL, SCRAPES_MAX, SCRAPES_SIZE};

use super::server::{Ended, PATIENCE, Server, until};
use super::{FEW, ask, rest, say};
use crate::house_rules::home;
use crate::skip::skip_without;

fn server(args: &[&str]) -> Server {
    Server::start(&[&FEW[..], &["--metrics", "127.0.0.1:0"], args].concat())
}

/// Where the ready line says that the pages are.
fn pages(server: &Server) -> SocketAddr {
    let (_, at) = server.ready.split_once(", metrics on tcp://").expect("it");
    at.trim().parse().expect("an address")
}

/// The status and the body of a page.
fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let mut peer = TcpStream::connect(at).expect("it listens");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(peer, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let said = String::from_utf8(rest(&mut peer)).expect("text");
    let (head, body) = said.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

/// The values of `/metrics` by name.
fn metrics(at: SocketAddr) -> HashMap<String, u64> {
    let (status, body) = get(at, "/metrics");
    assert_eq!(status, 200);
    let values = body.lines().filter(|line| !line.starts_with('#'));
    let pairs = values.map(|line| {
        let (name, value) = line.split_once(' ').expect("name value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    pairs.collect()
}

#[test]
fn the_pages_are_served_under_every_model_that_has_them() {
    for model in [
        &[][..],
        &["--threads", "3"],
        &["--trigger", "level"],
        &["--processes", "2"],
        &["--model", "thread"],
        &["--model", "pool"],
        &["--model", "iterative"],
    ] {
        let server = server(model);
        let at = pages(&server);
        for path in ["/healthz", "/readyz"] {
            assert_eq!(get(at, path).0, 200, "{model:?}");
        }
        assert_eq!(get(at, "/").0, 404);
        for _ in 0..4 {
            let mut peer = server.connect();
            assert_eq!(ask(&mut peer, b"hello"), b"hello");
            peer.shutdown(Shutdown::Write).expect("it is open");
            rest(&mut peer);
        }
        // A worker that is slow to answer is counted as it was before.
        until("all are counted", || {
            metrics(at)["mynah_closed_end_of_stream_total"] == 4
        });
        let values = metrics(at);
        for (name, value) in [
            ("mynah_connections_total", 4),
            ("mynah_bytes_received_total", 20),
            ("mynah_bytes_sent_total", 20),
            ("mynah_closed_end_of_stream_total", 4),
        ] {
            assert_eq!(values[name], value, "{model:?} {name}");
        }
        if model.contains(&"--processes") {
            assert_eq!(values["mynah_processes_alive"], 2);
        }
        server.end();
    }
}

#[test]
fn a_server_that_drains_is_alive_and_not_ready() {
    for model in [&[][..], &["--processes", "2"], &["--model", "thread"]] {
        let server = server(&[model, &["--frame", "line"]].concat());
        let at = pages(&server);
        let mut peer = server.connect();
        peer.write_all(b"unfinished").expect("it reads");
        until("it is read", || {
            metrics(at)["mynah_bytes_received_total"] == 10
        });
        server.signal("TERM");
        until("it drains", || get(at, "/readyz").0 == 503);
        assert_eq!(get(at, "/healthz").0, 200, "{model:?}");
        peer.write_all(b"\n").expect("it reads");
        assert_eq!(rest(&mut peer), b"unfinished\n");
        assert_eq!(server.ended().code, Some(0));
    }
}

#[test]
fn silent_scrapes_are_bounded_and_delay_no_connection() {
    let server = server(&[]);
    let at = pages(&server);
    // More than have a place and more than wait for one: the kernel answers no further handshake.
    let patience = Duration::from_millis(50);
    let silent: Vec<TcpStream> = (0..2 * SCRAPES_MAX + 8)
        .filter_map(|_| TcpStream::connect_timeout(&at, patience).ok())
        .collect();
    assert!(silent.len() > SCRAPES_MAX, "{}", silent.len());
    let mut peer = server.connect();
    for _ in 0..100 {
        assert_eq!(ask(&mut peer, b"hello"), b"hello");
    }
    drop(silent);
    until("there is room again", || {
        let peer = TcpStream::connect(at);
        peer.is_ok_and(|mut peer| {
            peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            let asked = peer.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
            let mut said = Vec::new();
            asked.is_ok() && peer.read_to_end(&mut said).is_ok_and(|count| count > 0)
        })
    });
    let stats = server.stats();
    assert_eq!(stats.get("connections_total"), 1);
    server.end();
}

#[test]
fn pages_that_nothing_asks_for_cost_no_wake_up() {
    for workers in [&[][..], &["--processes", "1", "--alive", "0"]] {
        let server = server(workers);
        let at = pages(&server);
        // One whole scrape, and one that is given up.
        drop(TcpStream::connect(at).expect("it listens"));
        metrics(at);
        let switches = || server.status("voluntary_ctxt_switches");
        until("it sleeps for longer than between two looks", || {
            let before = switches();
            thread::sleep(SCRAPE_LOOK_INTERVAL * 6 / 5);
            switches() == before
        });
        server.end();
    }
}

/// The memory that the ready line announces, with 20 connections and these options.
fn announced(args: &[&str]) -> u64 {
    let few = ["--max-memory", "128m", "--max-connections", "20"];
    let server = Server::start(&[&few[..], args].concat());
    let ceiling = server.announced(" bytes of memory");
    server.end();
    ceiling
}

#[test]
fn the_memory_of_the_pages_is_in_the_ceiling() {
    // With so few connections each has a workspace, and memory is left.
    let [without, with] = [&[][..], &["--metrics", "127.0.0.1:0"]].map(announced);
    assert_eq!(with - without, SCRAPES_SIZE as u64);

    let server = server(&["--max-memory", "8m"]);
    let (at, idle) = (pages(&server), server.memory("RssAnon"));
    for _ in 0..20 {
        let mut peers: Vec<TcpStream> = (0..SCRAPES_MAX)
            .filter_map(|_| TcpStream::connect(at).ok())
            .collect();
        for peer in &mut peers {
            let _ = peer.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        for peer in &mut peers {
            peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            let _ = peer.read_to_end(&mut Vec::new());
        }
    }
    let grown = server.memory("RssAnon").saturating_sub(idle);
    say(format_args!(
        "160 scrapes, 8 at once: {grown} bytes more resident"
    ));
    assert!(grown <= SCRAPES_SIZE as u64, "{grown} bytes");
    server.end();

    for (size, enough) in [(SCRAPES_SIZE, true), (SCRAPES_SIZE - 1, false)] {
        let args = ["--metrics", "0", "--max-memory", &size.to_string()];
        let ended = Ended::run(&args);
        assert_eq!((ended.code, ended.stderr.len()), (Some(1), 1));
        // At the bound nothing is left for the connections, which is another line.
        assert_eq!(ended.stderr[0].contains("pages of --metrics"), !enough);
    }
}

#[test]
fn the_manual_names_every_metric_and_what_it_means() {
    let text = fs::read_to_string(home().join("src/cli/manual/metrics.md")).expect("a chapter");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let server = server(&["--processes", "1"]);
    let (_, body) = get(pages(&server), "/metrics");
    let helps = body.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let mut count = 0;
    for help in helps {
        let (name, words) = help.split_once(' ').expect("name and help");
        let row = format!("- `{name}`: {words}");
        assert!(text.contains(&row), "{row}");
        count += 1;
    }
    assert_eq!(text.matches("- `mynah_").count(), count);
    server.end();
}

#[test]
fn promtool_finds_nothing_to_say() {
    let found = Command::new("promtool").arg("--version").output();
    if found.is_err() {
        return skip_without("promtool");
    }
    let server = server(&[]);
    let (_, body) = get(pages(&server), "/metrics");
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is installed");
    let mut stdin = check.stdin.take().expect("a pipe");
    stdin.write_all(body.as_bytes()).expect("it reads");
    drop(stdin);
    let said = check.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && words.is_empty(), "{words}");
    server.end();
}

#[test]
fn what_does_not_combine_is_one_line_and_code_1() {
    for (args, line) in [
        (
            &["--model", "fork", "--metrics", "0"][..],
            "mynah: --model fork: does not combine with --metrics",
        ),
        (
            &["--inetd", "--metrics", "0"],
            "mynah: --inetd: does not combine with --metrics",
        ),
        (
            &["--metrics", "unix:/tmp/x"],
            "mynah: --metrics unix:/tmp/x: must be an address of TCP, such as 127.0.0.1:9100",
        ),
    ] {
        let ended = Ended::run(args);
        assert_eq!((ended.code, ended.stderr), (Some(1), vec![line.to_owned()]));
    }
}
