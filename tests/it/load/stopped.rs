//! The real load generator on a real clock: servers with known delays, resets and wrong bytes
//! (`stopped.py`), and a generator that is stopped with SIGSTOP for a while.
//!
//! `clocks` checks exact figures in simulated time. The bounds here hold on a busy machine.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::command::{bench, file, signal, told};
use super::peer;
use crate::binary::is_installed;
use crate::program;

const SERVER: &str = include_str!("stopped.py");

/// A JSON document of the generator, and its figures by name.
struct Document(String);

impl Document {
    /// Reads and removes the file.
    fn take(path: &PathBuf) -> Document {
        let text = fs::read_to_string(path).expect("it was written");
        fs::remove_file(path).expect("it is ours");
        Document(text)
    }

    /// The first number called `name` after the text `of`.
    fn number(&self, of: &str, name: &str) -> f64 {
        let behind = |text: &str, name: &str| {
            let place = text.find(&format!("\"{name}\":"));
            let place = place.unwrap_or_else(|| panic!("no {name} in {}", self.0));
            text[place + name.len() + 3..].to_owned()
        };
        let text = behind(&behind(&self.0, of), name);
        let end = text.find([',', '}', '\n']).expect("more follows");
        text[..end].trim().parse().expect("a number")
    }

    fn milliseconds(&self, of: &str, name: &str) -> f64 {
        self.number(of, name) / 1e6
    }
}

fn document(name: &str) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    file(&format!("stopped-{name}-{number}.json"))
}

/// Loads the Python server in this mode; returns the exit code, the report and the document.
fn measure(mode: &str, words: &str) -> (Option<i32>, String, Document) {
    let script = document("server").with_extension("py");
    fs::write(&script, SERVER).expect("a folder for files that go");
    let server = format!("python3 {} {{port}} {mode}", script.display());
    let path = document("figures");
    let json = ["--json", path.to_str().expect("a plain name")];
    let words = words.split(' ').filter(|word| !word.is_empty());
    let all: Vec<&str> = [server.as_str()]
        .into_iter()
        .chain(words)
        .chain(json)
        .collect();
    let (code, out, err) = told(&bench(&all));
    fs::remove_file(&script).expect("it is ours");
    (code, format!("{out}{err}"), Document::take(&path))
}

#[test]
fn a_delay_of_the_server_is_what_service_time_says() {
    if !is_installed("python3") {
        return;
    }
    for delay in [20.0, 150.0] {
        let words = "--connections 3 --requests 30 --warmup 0";
        let (code, out, document) = measure(&format!("delay {delay}"), words);
        assert_eq!(code, Some(0), "{out}");
        let least = document.milliseconds("service_time", "min_ns");
        // The fastest of thirty replies is close to the delay on any machine.
        assert!(
            least >= delay && least < delay + 100.0,
            "{least} of {delay}"
        );
        assert!(
            !document.0.contains("response_time"),
            "a closed loop has none"
        );
    }
}

#[test]
fn a_server_that_cannot_keep_up_shows_in_response_time_from_the_schedule() {
    if !is_installed("python3") {
        return;
    }
    // One request is due every 40 ms, and one is answered every 60 ms or later.
    let words = "--connections 1 --rate 25 --duration 1s --warmup 0";
    let (code, out, document) = measure("delay 60", words);
    // On a very slow machine the last requests stay unanswered.
    assert!(matches!(code, Some(0 | 7)), "{out}");
    let [service, response] = ["service_time", "response_time"].map(|of| {
        let least = document.milliseconds(of, "min_ns");
        assert!(least >= 60.0, "{of}: {least}");
        document.milliseconds(of, "p50_ns")
    });
    assert!(response >= service + 150.0, "{response} and {service}");
}

#[test]
fn resets_wrong_bytes_and_closes_are_counted_by_kind_and_fail_no_other_request() {
    if !is_installed("python3") {
        return;
    }
    for (mode, kind, errors) in [
        ("reset 5", "connections_broken", 10.0),
        ("lie 5", "connections_wrong", 12.0),
    ] {
        let words = "--connections 1 --requests 60 --warmup 0";
        let (code, out, document) = measure(mode, words);
        assert_eq!(code, Some(7), "{out}");
        let count = |name| document.number("runs", name);
        assert_eq!(count("errors"), errors, "{mode}: {out}");
        assert_eq!(count(kind), errors, "{mode}: {out}");
        assert_eq!(count("requests"), 60.0 - errors, "{mode}: {out}");
    }
}

/// The number of requests that the server has answered.
static ANSWERED: AtomicU64 = AtomicU64::new(0);

fn counting(mut stream: TcpStream) {
    use std::io::{Read, Write};
    let mut space = [0; 64];
    while stream.read_exact(&mut space).is_ok() && stream.write_all(&space).is_ok() {
        ANSWERED.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_generator_that_is_stopped_charges_response_time_and_tells_its_lateness() {
    const STOP: Duration = Duration::from_millis(500);
    let server = peer::tcp(counting).to_string();
    let path = document("late");
    let words = "--connections 8 --rate 200 --duration 2s --warmup 0 --json";
    let child = Command::new(program::path())
        .args(["bench", &server])
        .args(words.split(' '))
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    let begin = Instant::now();
    while ANSWERED.load(Ordering::Relaxed) < 40 {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "nothing is asked"
        );
        thread::sleep(Duration::from_millis(2));
    }
    signal(&child, "STOP");
    // The stop lasts this long, and so does the lateness.
    thread::sleep(STOP);
    signal(&child, "CONT");
    let (code, out, err) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(0), "{out}{err}");
    let document = Document::take(&path);
    let stop = STOP.as_secs_f64() * 1e3;
    for of in ["send_lateness", "response_time"] {
        let most = document.milliseconds(of, "max_ns");
        assert!(most >= stop * 0.9, "{of}: {most}\n{out}");
    }
    // A quarter of the requests became due during the stop and were sent after it.
    let response = document.milliseconds("response_time", "p90_ns");
    let service = document.milliseconds("service_time", "p50_ns");
    assert!(response >= stop * 0.2, "{response}\n{out}");
    assert!(service < stop * 0.2, "{service}\n{out}");
    assert!(
        out.contains("!!"),
        "the report says that it was late: {out}"
    );
}
