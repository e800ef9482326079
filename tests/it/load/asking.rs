//! What is asked for: methods, fields, bodies, several URLs, and messages of any protocol; and how
//! a run is spread over time.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::command::{answered, bench, file, interrupt, told};
use super::peer;
use super::wellformed::is_json;
use crate::binary::until;
use crate::program;

/// Runs `bench` with `words`.
fn run(words: &[&str]) -> (Option<i32>, String, String) {
    told(&bench(words))
}

/// Reads whole requests with their bodies, and answers each with what `answer` returns.
fn requests(mut stream: TcpStream, answer: impl Fn(&str) -> String) {
    let mut held = Vec::new();
    let mut space = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut space) {
        held.extend_from_slice(&space[..count]);
        while let Some(at) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&held[..at]).into_owned();
            let length = head.split("Content-Length: ").nth(1);
            let digits = length.map(|rest| rest.split('\r').next().unwrap_or_default());
            let body: usize = digits.map_or(0, |digits| digits.parse().expect("digits"));
            if held.len() < at + 4 + body {
                break;
            }
            let request: Vec<u8> = held.drain(..at + 4 + body).collect();
            let reply = answer(&String::from_utf8_lossy(&request));
            if stream.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    }
}

const DONE: &str = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn method_fields_and_body_reach_the_server() {
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let server = peer::tcp(|stream| {
        requests(stream, |request| {
            SEEN.lock().expect("no panic").push(request.to_owned());
            DONE.to_owned()
        });
    });
    let path = file("body");
    fs::write(&path, "{\"a\": 1}").expect("a fresh file");
    let body = format!("@{}", path.display());
    let url = format!("http://{server}/items?x=y");
    for (words, first, end) in [
        (&["--body", "hello"][..], "POST /items?x=y", "\r\n\r\nhello"),
        (
            &["--method", "PUT", "--body", &body],
            "PUT ",
            "\r\n\r\n{\"a\": 1}",
        ),
        (
            &["--method", "DELETE", "--header", "X-Y: z"],
            "DELETE ",
            "\r\nX-Y: z\r\n\r\n",
        ),
    ] {
        let all = [
            &[url.as_str(), "--requests", "6", "--connections", "2"],
            words,
        ]
        .concat();
        let (code, out, err) = run(&all);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        assert!(out.contains("  status 201: 6\n"), "{out}");
        let seen = std::mem::take(&mut *SEEN.lock().expect("no panic"));
        assert_eq!(seen.len(), 6);
        for request in seen {
            assert!(
                request.starts_with(first) && request.ends_with(end),
                "{request}"
            );
            assert!(
                request.contains(&format!("\r\nHost: {server}\r\n")),
                "{request}"
            );
        }
    }
    fs::remove_file(&path).expect("it is ours");
    let (code, _, err) = run(&[&url, "--body", "@/nonexistent/file"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("--body /nonexistent/file: "), "{err}");
}

#[test]
fn a_reply_to_head_has_no_body_to_wait_for() {
    let server = peer::tcp(|stream| {
        requests(stream, |_| {
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".to_owned()
        });
    });
    let url = format!("http://{server}/");
    let (code, out, _) = run(&[&url, "--method", "HEAD", "--requests", "20"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("HEAD / HTTP/1.1") && out.contains("20 answered"),
        "{out}"
    );
}

#[test]
fn urls_are_taken_in_turn_and_each_has_its_own_page() {
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let server = peer::tcp(|stream| {
        requests(stream, |request| {
            let path = request.split(' ').nth(1).expect("a path").to_owned();
            let length = path.len();
            let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}");
            SEEN.lock().expect("no panic").push(path);
            reply
        });
    });
    let path = file("urls");
    let url = format!("http://{server}/");
    fs::write(&path, format!("/a\n# no\nhttp://{server}/bb?c\n\n/ddd\n")).expect("fresh");
    let list = path.to_str().expect("a plain name");
    let words = ["--urls", list, "--connections", "1", "--requests", "9"];
    let (code, out, err) = run(&[&[url.as_str()], &words[..]].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains("9 answered") && out.contains("GET of 3 URLs"),
        "{out}"
    );
    let seen = SEEN.lock().expect("no panic").clone();
    let order = ["/a", "/bb?c", "/ddd"];
    let first = order
        .iter()
        .position(|path| *path == seen[0])
        .expect("one of them");
    let expected: Vec<&str> = (0..9).map(|index| order[(first + index) % 3]).collect();
    assert_eq!(seen, expected);
    fs::write(&path, "http://example.org/\n").expect("it is ours");
    let (code, _, err) = run(&[&[url.as_str()], &words[..]].concat());
    assert_eq!(code, Some(1));
    assert!(
        err.contains("line 1: example.org:80 is another server"),
        "{err}"
    );
    fs::remove_file(&path).expect("it is ours");
}

/// Answers each line in capitals, and `DIFFERENT` with a growing number.
fn shouter(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor"));
    let (mut line, mut count) = (String::new(), 0);
    while let Ok(1..) = lines.read_line(&mut line) {
        count += 1;
        let reply = match line.trim() {
            "different" => format!("{count}\r\n"),
            other => format!("+{}\r\n", other.to_uppercase()),
        };
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
        line.clear();
    }
}

#[test]
fn a_message_is_answered_by_a_line_or_so_many_bytes() {
    let server = peer::tcp(shouter).to_string();
    for words in [
        &["--message", "ping\\r\\n"][..],
        &["--message", "ping\\n", "--expect", "7", "--pipeline", "4"],
        &["--message", "hex:70696e670a", "--expect", "line", "--churn"],
        &["--message", "ping\\n", "--verify", "full"],
        &["--message", "different\\n"],
    ] {
        let (code, out, err) = run(&[&[server.as_str(), "--requests", "100"], words].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""), "{words:?}: {out}");
        assert!(out.contains("100 answered, 0 failed"), "{out}");
    }
    let words = ["--requests", "10", "--connections", "1", "--verify", "full"];
    let different = ["--message", "different\\n"];
    let (code, out, _) = run(&[&[server.as_str()], &words[..], &different].concat());
    assert_eq!(code, Some(7), "{out}");
    // The connection goes on: the reply was complete.
    assert!(
        out.contains("1 answered, 9 failed") && !out.contains("reconnect"),
        "{out}"
    );
    let words = ["--message", "ping\\n", "--expect", "3", "--requests", "5"];
    let (code, out, _) = run(&[&[server.as_str()], &words[..]].concat());
    assert_eq!(code, Some(7), "{out}");
    assert!(out.contains("more came back than was sent"), "{out}");
}

#[test]
fn a_message_in_a_frame_is_answered_by_a_frame() {
    let server = format!(
        "{} upper --frame u16be --listen 127.0.0.1:{{port}}",
        program::path()
    );
    let words = ["--message", "hello", "--frame", "u16be", "--requests", "50"];
    let (code, out, err) = run(&[&[server.as_str(), "--verify", "full"], &words[..]].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("50 answered, 0 failed"), "{out}");
}

#[test]
fn a_message_over_datagrams_is_answered_by_any_datagram() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let server = format!("udp://{}", socket.local_addr().expect("it is bound"));
    thread::spawn(move || {
        let mut space = [0; 2048];
        while let Ok((count, peer)) = socket.recv_from(&mut space) {
            let _ = socket.send_to(&[b"re: ", &space[..count]].concat(), peer);
        }
    });
    let (code, out, _) = run(&[&server, "--message", "what", "--requests", "50"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("50 answered, 0 failed"), "{out}");
}

#[test]
fn a_sweep_tells_latency_over_rate_and_the_knee() {
    let server = peer::tcp(peer::echo).to_string();
    let words = "--rate 100..500 --duration 200ms --warmup 0 --json".split(' ');
    let words: Vec<&str> = [server.as_str()].into_iter().chain(words).collect();
    let (code, json, report) = answered(&words);
    assert_eq!(code, Some(0), "{report}");
    assert!(is_json(&json), "{json}");
    for rate in ["100", "200", "300", "400", "500"] {
        let asked = format!("\"rate_asked_per_s\": {rate}");
        assert!(json.contains(&asked), "{asked}: {json}");
    }
    for part in ["latency over rate", "the knee is"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(
        json.contains("\"histograms\"") && json.contains("\"last_ns_and_count\""),
        "{json}"
    );
}

#[test]
fn intervals_are_lines_and_their_counts_add_up() {
    let server = peer::tcp(peer::echo).to_string();
    let words = "--connections 2 --warmup 0 --duration 400ms --interval 100ms";
    let words: Vec<&str> = [server.as_str()]
        .into_iter()
        .chain(words.split(' '))
        .collect();
    let (code, out, err) = answered(&words);
    assert_eq!(code, Some(0), "{out}");
    let lines: Vec<&str> = err.lines().collect();
    assert!((1..=4).contains(&lines.len()), "{err}");
    assert!(lines.iter().all(|line| line.contains("/s  p50 ")), "{err}");
    let (code, stream, report) = answered(&[&words[..], &["--json-stream"]].concat());
    assert_eq!(code, Some(0), "{report}");
    let counts: u64 = stream
        .lines()
        .map(|line| {
            assert!(is_json(line), "{line}");
            let rest = line.split("\"answered\": ").nth(1).expect(line);
            let digits = rest.split(',').next().expect(line);
            digits.parse::<u64>().expect(line)
        })
        .sum();
    assert!(
        report.contains(&format!(" {counts} answered, ")),
        "{counts}: {report}"
    );
}

#[test]
fn intervals_of_several_runs_name_their_run() {
    let [one, other] = [peer::tcp(peer::echo), peer::tcp(peer::echo)].map(|at| at.to_string());
    let words = "--pairs 2 --connections 1 --warmup 60ms --duration 100ms --interval 50ms";
    let servers = [one.as_str(), "--vs", other.as_str()];
    let words: Vec<&str> = servers.into_iter().chain(words.split(' ')).collect();
    let (code, stream, report) = answered(&[&words[..], &["--json-stream"]].concat());
    assert_eq!(code, Some(0), "{report}");
    for line in stream.lines() {
        assert!(is_json(line) && line.contains(", \"run\": \""), "{line}");
        // No line belongs to the time between two runs.
        let end = line.split("\"elapsed_s\": ").nth(1).expect(line);
        let end = end.split(',').next().expect(line);
        assert!(end.parse::<f64>().expect(line) <= 0.1, "{line}");
    }
    for of in [
        format!("round 1/2, tcp://{one}"),
        format!("round 2/2, tcp://{other}"),
    ] {
        assert!(
            stream.contains(&format!("\"run\": \"{of}\"")),
            "{of}: {stream}"
        );
    }
}

#[test]
fn a_slow_start_opens_its_connections_under_load() {
    let server = peer::tcp(peer::echo).to_string();
    let words = "--connections 6 --slow-start 200ms --warmup 0 --duration 500ms";
    let words: Vec<&str> = [server.as_str()]
        .into_iter()
        .chain(words.split(' '))
        .collect();
    let (code, out, err) = answered(&words);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains("a slow start of 200ms") && !out.contains("reconnect"),
        "{out}"
    );
    let (code, json, _) = answered(&[&words[..], &["--json"]].concat());
    assert_eq!(code, Some(0));
    assert!(json.contains("\"connections_opened\": 6"), "{json}");
    assert!(json.contains("\"connections_missing_at_end\": 0"), "{json}");
}

#[test]
fn a_start_in_the_past_is_refused_and_a_planned_one_is_waited_for() {
    let server = peer::tcp(peer::echo).to_string();
    let (code, _, err) = run(&[&server, "--start-at", "2020-01-01T00:00:00Z"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("mynah: --start-at: that was "), "{err}");
    let child = Command::new(program::path())
        .args(["bench", &server, "--start-at", "2999-01-01T00:00:00Z"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the binary was built for this test");
    let mut line = String::new();
    let mut said = BufReader::new(child.stderr.take().expect("it was piped"));
    said.read_line(&mut line).expect("it tells its load");
    assert!(line.starts_with("load      50 connections"), "{line}");
    line.clear();
    said.read_line(&mut line).expect("it tells its start");
    assert!(
        line.starts_with("start     2999-01-01 00:00:00 UTC, in "),
        "{line}"
    );
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

#[test]
fn the_process_of_a_server_is_found_by_its_socket() {
    let server = peer::tcp(peer::echo).to_string();
    let words = ["--server-pid", "auto", "--requests", "100", "--json"];
    let (code, json, report) = run(&[&[server.as_str()], &words[..]].concat());
    assert_eq!(code, Some(0), "{report}");
    let pid = format!("\"pid\": {}", std::process::id());
    assert!(json.contains(&pid), "{pid}: {json}");
    let closed = peer::no_listener().to_string();
    let (code, _, err) = run(&[&closed, "--server-pid", "auto"]);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("--server-pid auto: ") && err.contains(&closed),
        "{err}"
    );
}

#[test]
fn the_word_mynah_in_a_command_is_this_program() {
    let (code, out, err) = run(&["mynah --listen 127.0.0.1:{port}", "--requests", "50"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("50 answered"), "{out}");
}

#[test]
fn an_interrupt_in_the_warm_up_says_that_nothing_was_measured() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let server = peer::tcp(|mut stream| {
        let mut space = [0; 64];
        while stream.read_exact(&mut space).is_ok() && stream.write_all(&space).is_ok() {
            ASKED.fetch_add(1, Ordering::Relaxed);
        }
    });
    let child = Command::new(program::path())
        .args([
            "bench",
            &server.to_string(),
            "--warmup",
            "1m",
            "--interval",
            "50ms",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    // A request can only be one of the warm-up.
    until("the load has begun", || ASKED.load(Ordering::Relaxed) > 100);
    interrupt(&child);
    let (code, out, err) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!((code, out.as_str()), (Some(130), ""), "{err}");
    let line = "mynah: interrupted during the warm-up, nothing was measured\n";
    assert_eq!(err, line);
}

#[test]
fn a_report_that_its_reader_does_not_take_is_an_error() {
    let server = peer::tcp(peer::echo).to_string();
    let mut child = Command::new(program::path())
        .args(["bench", &server, "--requests", "1000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    drop(child.stdout.take());
    let (code, _, err) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(7), "{err}");
    assert!(err.starts_with("mynah: stdout: "), "{err}");
}
