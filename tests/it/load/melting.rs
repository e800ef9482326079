//! A load that does not melt away: error statuses, resets, refusals and restarts of the server.
//!
//! Each server counts what it received and answered. The generator's counts must agree with these,
//! and the load must go on until the end of the run.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mynah::load::plan::{Plan, Protocol};
use socket2::Socket;

use super::command::{bench, joined, told};
use super::peer;
use super::runs::{brief, in_few_runs, measure, plan};

/// The next number of a server's requests, counted from 1.
fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

/// Sends a page with `status`.
fn page(stream: &mut TcpStream, status: u16, body: &str) -> bool {
    let length = body.len();
    let page = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(page.as_bytes()).is_ok()
}

fn reset(stream: TcpStream) {
    let socket = Socket::from(OwnedFd::from(stream));
    let linger = Some(Duration::ZERO);
    socket.set_linger(linger).expect("a TCP socket has it");
}

/// Runs `bench` with `words` against `server`.
fn run(server: &str, words: &str) -> (Option<i32>, String, String) {
    let words: Vec<&str> = [server].into_iter().chain(words.split(' ')).collect();
    told(&bench(&words))
}

#[test]
fn a_server_with_some_503_keeps_its_load_and_each_status_is_counted() {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let server = peer::tcp(|stream| {
        peer::pages(stream, |stream| match next(&REQUESTS) % 50 {
            0 => page(stream, 503, "busy"),
            _ => page(stream, 200, "hello"),
        });
    });
    let server = server.to_string();
    let words = "--protocol http --connections 4 --requests 750";
    let (code, out, err) = run(&server, words);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("  status 200: 735, 503: 15\n"), "{out}");
    assert!(
        out.contains("750 due in") && out.contains(", 15 errors\n"),
        "{out}"
    );
    assert!(
        out.contains("750 answered, 0 failed, 0 unfinished, 0 unsent"),
        "{out}"
    );
    assert_eq!(REQUESTS.load(Ordering::Relaxed), 750);
    let (code, _, err) = run(&server, &format!("{words} --assert status_5xx==0"));
    let line = "mynah: assertion 'status_5xx==0' does not hold: it is 15\n";
    assert_eq!((code, err.as_str()), (Some(8), line));
    let asserted = "errors==15,status_2xx==735,failed==0";
    assert_eq!(
        run(&server, &format!("{words} --assert {asserted}")).0,
        Some(0)
    );
    let (code, json, _) = run(&server, &format!("{words} --json"));
    assert_eq!(code, Some(0));
    for part in [
        "\"503\": 15",
        "\"status_2xx\": 735",
        "\"status_5xx\": 15",
        "\"errors\": 15",
    ] {
        assert!(json.contains(part), "{part}: {json}");
    }
}

#[test]
fn a_missing_page_and_a_redirect_are_answers_to_the_end_and_a_doubt() {
    for (server, status, doubt) in [
        (
            peer::tcp(|stream| peer::pages(stream, |stream| page(stream, 404, "no"))),
            "  status 404: 200\n",
            "!! 200 of 200 replies had an error status",
        ),
        (
            peer::tcp(|stream| peer::pages(stream, |stream| page(stream, 301, ""))),
            "  status 301: 200\n",
            "!! 200 of 200 replies were redirects, which are not followed",
        ),
    ] {
        let words = "--protocol http --connections 4 --requests 200";
        let (code, out, _) = run(&server.to_string(), words);
        assert_eq!(code, Some(0), "{out}");
        assert!(
            out.contains(status) && joined(&out).contains(doubt),
            "{out}"
        );
    }
}

#[test]
fn a_status_is_asserted_only_where_there_is_one() {
    let server = peer::tcp(peer::echo).to_string();
    let (code, _, err) = run(&server, "--assert status_5xx==0");
    assert_eq!(code, Some(1));
    assert!(err.contains("only with --protocol http"), "{err}");
}

#[test]
fn each_reset_fails_one_request_and_the_load_goes_on() {
    static REQUESTS: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
    let echo = peer::tcp(|mut stream| {
        let mut space = [0; 64];
        while stream.read_exact(&mut space).is_ok() {
            if next(&REQUESTS[0]) % 100 == 0 {
                return reset(stream);
            }
            if stream.write_all(&space).is_err() {
                return;
            }
        }
    });
    let http = peer::tcp(|stream| {
        let copy = stream.try_clone().expect("a descriptor");
        let mut is_reset = false;
        peer::pages(stream, |stream| {
            is_reset = next(&REQUESTS[1]) % 100 == 0;
            !is_reset && page(stream, 200, "hello")
        });
        if is_reset {
            reset(copy);
        }
    });
    for (index, (protocol, server)) in [(Protocol::Echo, echo), (Protocol::Http, http)]
        .into_iter()
        .enumerate()
    {
        let plan = Plan {
            protocol,
            ..plan(1000)
        };
        let outcome = measure(&plan, server);
        let tally = &outcome.tally;
        assert_eq!(
            REQUESTS[index].load(Ordering::Relaxed),
            1000,
            "{}",
            brief(tally)
        );
        let counts = (tally.answered, tally.errors.failed, tally.errors.broken);
        assert_eq!(counts, (990, 10, 10), "{}", brief(tally));
        // Each of the five connections may be broken when the others finish the run.
        assert!((5..=10).contains(&tally.reconnects), "{}", brief(tally));
        assert_eq!(tally.failures.len(), 1, "one line for all");
    }
}

#[test]
fn a_server_that_drops_half_of_the_connections_gets_its_load_on_the_others() {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    static ANSWERED: AtomicU64 = AtomicU64::new(0);
    let server = peer::tcp(|mut stream| {
        if next(&CONNECTIONS) % 2 == 0 {
            return reset(stream);
        }
        let mut space = [0; 64];
        while stream.read_exact(&mut space).is_ok() && stream.write_all(&space).is_ok() {
            next(&ANSWERED);
        }
    });
    let plan = Plan {
        connections: 8,
        ..plan(2_000)
    };
    let tally = measure(&plan, server).tally;
    assert!(tally.answered > 1_000, "{}", brief(&tally));
    assert_eq!(
        ANSWERED.load(Ordering::Relaxed),
        tally.answered,
        "{}",
        brief(&tally)
    );
    assert_eq!(
        tally.begun,
        tally.answered + tally.errors.failed + tally.unfinished
    );
    assert_eq!(tally.missing, 0, "{}", brief(&tally));
}

#[test]
fn connections_that_a_server_never_lets_stand_are_a_doubt() {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let server = peer::tcp(|stream| match next(&CONNECTIONS) {
        ..=2 => peer::echo(stream),
        _ => reset(stream),
    });
    let words = "--connections 4 --warmup 0 --duration 500ms";
    let (code, out, err) = run(&server.to_string(), words);
    assert_eq!(code, Some(7), "{out}");
    assert!(err.contains("failed, see the report"), "{err}");
    assert!(
        joined(&out).contains("!! 2 of 4 connections stood at the end"),
        "{out}"
    );
    assert!(joined(&out).contains("longest pause "), "{out}");
}

#[test]
fn a_server_that_restarts_during_the_run_is_found_again() {
    static ANSWERED: AtomicU64 = AtomicU64::new(0);
    fn echo(listener: &TcpListener, count: usize) -> Vec<TcpStream> {
        let mut kept = Vec::new();
        for stream in listener.incoming().flatten().take(count) {
            kept.push(stream.try_clone().expect("a descriptor"));
            thread::spawn(move || {
                let (mut stream, mut space) = (stream, [0; 64]);
                while stream.read_exact(&mut space).is_ok() && stream.write_all(&space).is_ok() {
                    next(&ANSWERED);
                }
            });
        }
        kept
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let kept = echo(&listener, 3);
        while ANSWERED.load(Ordering::Relaxed) < 50 {
            thread::sleep(Duration::from_millis(1));
        }
        drop(listener);
        for stream in kept {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        thread::sleep(Duration::from_millis(100));
        // The port is taken again as a restarted server does, with SO_REUSEADDR.
        let listener = TcpListener::bind(address).expect("it was ours");
        echo(&listener, usize::MAX);
    });
    let plan = Plan {
        connections: 3,
        ..plan(1_000)
    };
    let tally = measure(&plan, address).tally;
    assert!(
        tally.errors.connect > 0,
        "refused meanwhile: {}",
        brief(&tally)
    );
    assert!(tally.reconnects >= 3, "{}", brief(&tally));
    assert_eq!(tally.missing, 0, "{}", brief(&tally));
    assert_eq!(
        tally.begun,
        tally.answered + tally.errors.failed + tally.unfinished
    );
    assert!(tally.answered > 100, "{}", brief(&tally));
}

#[test]
fn a_forgotten_protocol_is_named() {
    let server = peer::tcp(|mut stream| {
        let mut space = [0; 512];
        if let Ok(1..) = stream.read(&mut space) {
            page(&mut stream, 400, "what");
            peer::leave(&mut stream);
        }
    });
    let words = "--connections 1 --requests 2";
    let (code, out, _) = run(&server.to_string(), words);
    assert_eq!(code, Some(7), "{out}");
    assert!(
        joined(&out).contains("the server speaks HTTP, give --protocol http"),
        "{out}"
    );
}

#[test]
fn noise_fails_the_request_before_it_or_is_told_without_one() {
    // The body that a reply to HEAD must not have is noise behind a reply.
    let server = peer::tcp(|stream| peer::pages(stream, |stream| page(stream, 200, "noise")));
    let words = "--protocol http --method HEAD --requests 10 --connections 1 --warmup 0";
    let (code, out, err) = run(&server.to_string(), words);
    assert_eq!(code, Some(7), "{out}");
    assert!(joined(&out).contains("0 answered, 10 failed"), "{out}");
    assert!(err.contains("10 requests failed, see the report"), "{err}");
    // Noise that comes later belongs to no request: none is in flight.
    let late = peer::tcp(|stream| {
        peer::pages(stream, |stream| {
            let is_sent = page(stream, 200, "ok");
            thread::sleep(Duration::from_millis(25));
            is_sent && stream.write_all(b"noise").is_ok()
        });
    });
    let words = "--protocol http --rate 20 --connections 1 --warmup 0 --duration 200ms";
    in_few_runs(|| {
        let (code, out, err) = run(&late.to_string(), words);
        assert!(joined(&out).contains("4 due in 0.20 s, "), "{out}");
        // On a slow machine the noise meets the next request, or comes after the run.
        let is_alone = out.contains(", 0 errors") && out.contains(" 4 answered, 0 failed");
        match (code, is_alone) {
            (Some(7), true) => {}
            (Some(0 | 7), _) => return Err(out),
            _ => panic!("{code:?}: {out}{err}"),
        }
        let last = err.lines().last().unwrap_or_default();
        assert!(
            last.ends_with("bytes that no request had asked for, see the report"),
            "{err}"
        );
        Ok(())
    });
}

#[test]
fn connections_that_are_reset_before_the_load_are_in_the_report() {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let server = peer::tcp(|stream| match next(&TAKEN) % 2 {
        0 => reset(stream),
        _ => peer::echo(stream),
    });
    let words = "--connections 6 --ramp 100ms --warmup 0 --duration 300ms";
    let (_, out, err) = run(&server.to_string(), words);
    assert!(
        joined(&out).contains("Connection reset by peer"),
        "{out}{err}"
    );
}
