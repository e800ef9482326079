//! SIGINT (Ctrl-C) at every stage of a run: results so far are reported; without results, a line
//! says so. The exit code is 130.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;

use mio::net::UnixListener;
use mio::{Events, Interest, Poll, Token};

use super::command::{interrupt, told};
use super::opening::narrow;
use super::peer;
use crate::program;

/// A listener on which the test accepts each connection itself, and its address.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

/// Starts `mynah bench`.
fn start(words: &[&str]) -> Child {
    let mut command = Command::new(program::path());
    command.arg("bench").args(words);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test")
}

#[test]
fn an_interrupt_reports_what_there_is_and_is_exit_130() {
    let (listener, server) = listener();
    let words = "--connections 1 --warmup 0 --duration 1m".split(' ');
    let words: Vec<&str> = [server.as_str()].into_iter().chain(words).collect();
    let child = start(&words);
    let (mut stream, _) = listener.accept().expect("it connects");
    let mut request = [0; 64];
    stream.read_exact(&mut request).expect("it asks");
    stream.write_all(&request).expect("it listens");
    // The next request shows that the reply to the first one was counted.
    stream.read_exact(&mut request).expect("it asks again");
    interrupt(&child);
    let (code, out, _) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(130));
    assert!(
        out.contains("interrupted") && out.contains("service time"),
        "{out}"
    );
}

#[test]
fn an_interrupt_before_two_pairs_says_so_instead_of_an_empty_table() {
    let echo = peer::tcp(peer::echo).to_string();
    let (listener, other) = listener();
    let words = "--connections 1 --warmup 0 --requests 2".split(' ');
    let words: Vec<&str> = [echo.as_str(), "--vs", &other]
        .into_iter()
        .chain(words)
        .collect();
    let child = start(&words);
    // The test serves the complete run before the rounds, and half of the first round.
    let mut request = [0; 64];
    for answers in [2, 1] {
        let (mut stream, _) = listener.accept().expect("it connects");
        for _ in 0..answers {
            stream.read_exact(&mut request).expect("it asks");
            stream.write_all(&request).expect("it listens");
        }
        if answers == 1 {
            stream.read_exact(&mut request).expect("it asks again");
            interrupt(&child);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    }
    let (code, out, _) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(130), "{out}");
    assert!(
        out.contains("2 due in") && out.contains("1 answered"),
        "{out}"
    );
    let line = "B against A\n  no ratio: 0 of 10 pairs are finished, and a ratio needs 2\n";
    assert!(out.ends_with(line), "{out}");
}

const NOTHING: &str = "mynah: interrupted during the warm-up, nothing was measured\n";

#[test]
fn an_interrupt_before_the_first_round_says_that_nothing_was_measured() {
    let (listener, server) = listener();
    let other = peer::tcp(peer::echo).to_string();
    let child = start(&[
        &server,
        "--vs",
        &other,
        "--connections",
        "1",
        "--duration",
        "1m",
    ]);
    let (mut stream, _) = listener.accept().expect("it connects");
    stream.read_exact(&mut [0; 64]).expect("it warms up");
    interrupt(&child);
    let told = told(&child.wait_with_output().expect("it ends"));
    assert_eq!(told, (Some(130), String::new(), NOTHING.to_owned()));
}

#[test]
fn an_interrupt_while_the_second_server_is_connected_to_tells_what_the_first_one_did() {
    let server = peer::tcp(peer::echo).to_string();
    let (listener, other) = narrow("interrupted");
    let other = other.to_string();
    let words = "--connections 2 --warmup 0 --requests 2".split(' ');
    let words: Vec<&str> = [server.as_str(), "--vs", &other]
        .into_iter()
        .chain(words)
        .collect();
    let child = start(&words);
    // The run before the rounds.
    for stream in listener.incoming().take(2).flatten() {
        thread::spawn(move || peer::echo(stream));
    }
    // In its first round one connection fills the queue, and the other one is retried again and
    // again.
    let mut listener = UnixListener::from_std(listener);
    let mut poll = Poll::new().expect("epoll");
    let registry = poll.registry();
    let registered = registry.register(&mut listener, Token(0), Interest::READABLE);
    registered.expect("it is open");
    let mut events = Events::with_capacity(1);
    poll.poll(&mut events, None).expect("it connects");
    interrupt(&child);
    let (code, out, err) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!((code, err.as_str()), (Some(130), ""), "{out}");
    assert!(
        out.contains("2 due in") && out.contains("interrupted"),
        "{out}"
    );
}
