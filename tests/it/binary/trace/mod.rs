//! `--trace` on the real kernel: what the files hold, and where they are.

mod json;
mod packets;
mod page;

use std::collections::BTreeMap;
use std::fs;
use std::net::Shutdown;
use std::path::PathBuf;

use super::server::{Ended, Server, until};
use super::{FEW, ask, is_installed, rest};

/// A folder of this test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = format!("mynah-trace-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        Folder(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// The names of the files.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).expect("a trace")
}

/// The lines of a trace without the legend and the times: the connection, and what happened.
fn lines(trace: &str) -> Vec<(&str, &str)> {
    let lines = trace.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (time, rest) = line.split_once(" us  ").expect("a time");
            assert!(time.trim_start().starts_with('+'), "{line}");
            // Where there are several loops, a line has that of the call first.
            let rest = match rest.split_once(' ') {
                Some((first, rest)) if first.starts_with('L') => rest.trim_start(),
                _ => rest,
            };
            let (token, what) = rest.split_once(' ').expect("a connection");
            (token, what.trim_start())
        })
        .collect()
}

/// The calls of a trace by the name of their function.
fn counts(trace: &str) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for (_, line) in lines(trace) {
        if let Some((name, _)) = line.split_once('(') {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

/// One conversation of two requests.
fn converse(server: &Server) {
    let mut peer = server.connect();
    assert_eq!(ask(&mut peer, b"hello\n"), b"hello\n");
    assert_eq!(ask(&mut peer, &[b'x'; 100]), [b'x'; 100]);
    peer.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(&mut peer), b"");
}

#[test]
fn a_trace_of_text_has_each_call_of_a_connection_and_its_states() {
    let folder = Folder::new("text");
    let file = folder.file("t.txt");
    let server = Server::start(&[&FEW[..], &["--trace", &file]].concat());
    converse(&server);
    let ended = server.end();
    assert!(!ended.stderr.iter().any(|line| line.contains("trace")));
    let trace = read(&file);
    assert!(trace.starts_with("# mynah "), "{trace}");
    let all = lines(&trace);
    let number = all
        .iter()
        .find_map(|(_, line)| line.strip_prefix("accept4(")?.split_once(" = "))
        .expect("an accept")
        .1;
    let of_connection: Vec<&str> = (all.iter().filter(|(token, _)| *token == "0.1"))
        .map(|(_, line)| *line)
        .collect();
    let x = "x".repeat(32);
    let expected = [
        "state open, waits for request".to_owned(),
        format!("epoll_ctl(ADD, {number}, 0.1, READ|EDGE) = 0"),
        format!("recv({number}, 524288) = 6 \"hello\\n\""),
        format!("send({number}, 6) = 6 \"hello\\n\""),
        format!("recv({number}, 524288) = 100 \"{x}\"..."),
        format!("send({number}, 100) = 100 \"{x}\"..."),
        format!("recv({number}, 524288) = 0"),
        "state half-closed, waits for request".to_owned(),
        "state closed: end_of_stream".to_owned(),
        format!("close({number}) = 0"),
    ];
    assert_eq!(of_connection, expected);
}

#[test]
fn calls_and_bytes_of_a_trace_are_those_that_strace_and_the_counters_tell() {
    if !is_installed("strace") {
        return;
    }
    let folder = Folder::new("strace");
    let (report, file) = (folder.file("strace"), folder.file("t.txt"));
    let strace = ["strace", "-D", "-c", "-f", "-o", &report];
    let server = Server::start_under(&strace, &[], &["--trace", &file, "--trigger", "level"]);
    (0..10).for_each(|_| converse(&server));
    until("all are gone", || {
        server.stats().get("connections_now") == 0
    });
    let stats = server.stats();
    server.end();
    until("strace has reported", || {
        fs::read_to_string(&report).is_ok_and(|text| text.trim_end().ends_with("total"))
    });
    let table = read(&report);
    let counted = |name: &str| -> u64 {
        let rows = table.lines().map(|line| line.split_whitespace().collect());
        let mut rows = rows.filter(|row: &Vec<&str>| row.last() == Some(&name));
        rows.next()
            .map_or(0, |row| row[3].parse().expect("a count"))
    };
    let trace = read(&file);
    let traced = counts(&trace);
    for (ours, theirs) in [
        ("recv", &["recvfrom"][..]),
        ("send", &["sendto"]),
        ("accept4", &["accept4"]),
        ("shutdown", &["shutdown"]),
        ("listen", &["listen"]),
        ("epoll_wait", &["epoll_wait", "epoll_pwait", "epoll_pwait2"]),
    ] {
        let theirs: u64 = theirs.iter().map(|name| counted(name)).sum();
        // At the start one wait without a set finds out whether waits count nanoseconds.
        let probes = u64::from(ours == "epoll_wait");
        let traced = traced.get(ours).copied().unwrap_or(0);
        assert_eq!(traced + probes, theirs, "{ours}");
    }
    // Each poller adds its own three descriptors before the first call of the seam.
    assert_eq!(traced["epoll_ctl"] + 3, counted("epoll_ctl"));
    let moved = |name: &str| -> u64 {
        let lines = lines(&trace).into_iter().map(|(_, line)| line);
        let results = lines
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.split_once(") = "))
            .filter_map(|(_, result)| result.split(' ').next()?.parse::<u64>().ok());
        results.sum()
    };
    assert_eq!(moved("recv("), stats.get("bytes_in"));
    assert_eq!(moved("send("), stats.get("bytes_out"));
}

#[test]
fn a_datagram_socket_is_bound_and_has_an_address_of_datagrams() {
    let folder = Folder::new("bound");
    let file = folder.file("t.txt");
    let server = Server::start(&["--listen", "udp://127.0.0.1:0", "--trace", &file]);
    let address = server.addresses()[0].to_owned();
    server.end();
    let trace = read(&file);
    assert!(!trace.contains("listen("), "{trace}");
    assert!(trace.contains(" bind(udp://127.0.0.1:0) = "), "{trace}");
    let named = format!(") = {address}\n");
    assert!(trace.contains(&named), "{trace}");
}

#[test]
fn the_last_records_are_kept_and_the_others_are_counted() {
    let folder = Folder::new("last");
    let file = folder.file("t.txt");
    for last in ["1", "7"] {
        let args = ["--trace", &file, "--trace-last", last];
        let server = Server::start(&args);
        converse(&server);
        server.end();
        let trace = read(&file);
        let all = lines(&trace);
        assert_eq!(all.len().to_string(), last);
        assert!(all[all.len() - 1].1.starts_with("close("), "{trace}");
        assert!(
            trace.contains(" older ones are lost, see --trace-last"),
            "{trace}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_drawn_or_written_is_refused_at_the_start() {
    let folder = Folder::new("refused");
    let nowhere = folder.file("missing/t.txt");
    for command in ["serve", "bench 1 -d 1s", "connect 1", "lab sticky"] {
        let words: Vec<&str> = command.split(' ').collect();
        for (file, code, line) in [
            (
                "t.doc",
                1,
                "--trace t.doc: .doc is no format of a trace; there are .txt",
            ),
            (
                "t",
                1,
                "--trace t: has no extension; it tells the format: .txt",
            ),
            (&nowhere, 7, "No such file or directory"),
        ] {
            let args = [&words[..], &["--trace", file]].concat();
            let ended = Ended::run(&args);
            assert_eq!(ended.code, Some(code), "{args:?}: {:?}", ended.stderr);
            let last = ended.stderr.last().expect("a line");
            assert!(last.contains(line), "{args:?}: {last}");
        }
        let args = [&words[..], &["--trace-last", "5"]].concat();
        let ended = Ended::run(&args);
        assert_eq!(ended.code, Some(1));
        let expected = "mynah: --trace-last: goes with --trace FILE";
        assert_eq!(ended.stderr, [expected], "{args:?}");
    }
}

#[test]
fn a_trace_takes_part_in_the_memory_ceiling() {
    let folder = Folder::new("memory");
    let file = folder.file("t.txt");
    let few = [&FEW[..], &["--max-memory", "40m"]].concat();
    let ceiling = |args: &[&str]| {
        let server = Server::start(args);
        let bytes = server.announced(" bytes of memory");
        server.end();
        bytes
    };
    let traced = [&few[..], &["--trace", &file, "--trace-last", "10k"]].concat();
    assert!(ceiling(&traced) <= 40 << 20);
    let large = [&few[..], &["--trace", &file, "--trace-last", "1m"]].concat();
    let ended = Ended::run(&[&["--listen", "127.0.0.1:0"], &large[..]].concat());
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr[0].contains("see --trace-last"),
        "{:?}",
        ended.stderr
    );
}

#[test]
fn sigusr2_writes_what_is_kept_and_the_server_goes_on() {
    let folder = Folder::new("signal");
    let file = folder.file("t.txt");
    let server = Server::start(&["--trace", &file, "--threads", "2"]);
    for round in 1..=2 {
        converse(&server);
        until("the connection is gone", || {
            server.stats().get("connections_now") == 0
        });
        server.signal("USR2");
        until("the trace is written", || {
            read(&file).matches("state closed").count() == round
        });
    }
    server.end();
    let trace = read(&file);
    // Both loops are in the one file.
    assert!(trace.contains(" L0 ") && trace.contains(" L1 "), "{trace}");
}

#[test]
fn each_process_has_a_file_of_its_own() {
    for (args, processes) in [
        (&["--processes", "2"][..], 2),
        (
            &[
                "--model",
                "fork",
                "--max-connections",
                "3",
                "--trace-last",
                "10k",
            ],
            3,
        ),
    ] {
        let folder = Folder::new(args[1]);
        let file = folder.file("t.txt");
        let server = Server::start(&[args, &["--trace", &file]].concat());
        (0..2).for_each(|_| converse(&server));
        until("all are gone", || {
            server.stats().get("connections_now") == 0
        });
        server.end();
        let names = folder.names();
        assert_eq!(names.len(), processes, "{names:?}");
        let mut reads = 0;
        for name in names {
            let number = name
                .strip_prefix("t.txt.")
                .expect("the number of a process");
            let trace = read(&folder.file(&name));
            assert!(
                trace.contains(&format!("\n# process {number}, from ")),
                "{trace}"
            );
            reads += counts(&trace).get("recv").copied().unwrap_or(0);
        }
        assert_eq!(reads, 2 * 3, "{args:?}");
    }
}

#[test]
fn every_model_traces_its_connections() {
    for model in ["iterative", "thread", "pool"] {
        let folder = Folder::new(model);
        let file = folder.file("t.txt");
        let server = Server::start(&["--model", model, "--trace", &file]);
        (0..2).for_each(|_| converse(&server));
        server.end();
        let trace = read(&file);
        let counted = counts(&trace);
        assert_eq!((counted["recv"], counted["send"]), (6, 4), "{trace}");
        assert!(counted["ppoll"] > 0 && counted["epoll_wait"] > 0, "{trace}");
        assert_eq!(trace.matches("state closed: end_of_stream").count(), 2);
    }
}

#[test]
fn bench_and_connect_trace_their_side() {
    let folder = Folder::new("clients");
    let server = Server::start(&FEW);
    let address = server.address().to_string();
    let file = folder.file("b.txt");
    let args = [
        "bench", &address, "-c", "2", "-n", "10", "--warmup", "0", "--trace", &file,
    ];
    let ended = Ended::run(&args);
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    let trace = read(&file);
    let counted = counts(&trace);
    assert_eq!((counted["send"], counted["connect"]), (10, 2));
    let waits = |words: &str| trace.matches(words).count();
    assert_eq!(waits("state open, waits for reply"), 10);
    assert_eq!(waits("state connecting, waits for connect"), 2);
    let file = folder.file("c.txt");
    let ended = Ended::run(&["connect", &address, "--once", "hello", "--trace", &file]);
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    let trace = read(&file);
    assert!(trace.contains("= 5 \"hello\""), "{trace}");
    // A client that fails writes its trace, too.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").to_string()
    };
    let ended = Ended::run(&["connect", &closed, "--once", "x", "--trace", &file]);
    assert_eq!(ended.code, Some(5));
    assert!(read(&file).contains("connect("));
}

#[test]
fn an_experiment_draws_its_calls_but_no_packets() {
    let folder = Folder::new("lab");
    let file = folder.file("l.txt");
    let ended = Ended::run(&["lab", "lt-vs-et", "--quiet", "--trace", &file]);
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    let trace = read(&file);
    let counted = counts(&trace);
    assert!(counted["send"] > 0 && counted["epoll_wait"] > 0, "{trace}");
    for (args, line) in [
        (
            &["lab", "sticky", "--trace", "t.pcapng"][..],
            "lab has both ends",
        ),
        (
            &["lab", "--trace", "t.txt"],
            "--trace: goes with NAME or all",
        ),
    ] {
        let ended = Ended::run(args);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr[0].contains(line), "{:?}", ended.stderr);
    }
}
