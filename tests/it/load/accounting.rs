//! Accounting of requests: every request that was due is counted as answered, failed, unfinished or
//! unsent.
//!
//! The number of due requests follows from the schedule, or from the requests that were begun. Each
//! of the four outcomes is counted where it happens, so a request that is counted twice or not at
//! all shows as a wrong sum.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Protocol, Until};
use mynah::load::report::figures::Figures;
use mynah::load::run::Outcome;

use super::command::{bench, interrupt, signal, told};
use super::peer;
use super::runs::{brief, in_few_runs, load, measure, plan};
use super::simulated::{Asked, Deed, MILLISECOND, Stage};
use super::wellformed::is_json;
use crate::program;

#[track_caller]
fn assert_adds_up(outcome: &Outcome) {
    let tally = &outcome.tally;
    let settled = tally.answered + tally.errors.failed + tally.unfinished;
    assert_eq!(tally.begun, settled, "{}", brief(tally));
    let figures = Figures::of(outcome);
    let Figures {
        due,
        requests,
        failed,
        unfinished,
        unsent,
        ..
    } = figures;
    assert_eq!(due, requests + failed + unfinished + unsent, "{figures:?}");
}

fn open(rate: f64) -> Pace {
    let arrivals = Arrivals::Fixed;
    Pace::Open { rate, arrivals }
}

fn lasting(ms: u64) -> Until {
    Until::Time(Duration::from_millis(ms))
}

/// Plans of all kinds: closed and open loop, churn, a warm-up, a number of requests.
fn plans() -> Vec<Plan> {
    let mut plans = Vec::new();
    for pace in [
        Pace::Closed,
        open(1000.0),
        Pace::Open {
            rate: 1000.0,
            arrivals: Arrivals::Poisson,
        },
    ] {
        for (churn, pipeline, threads) in [(false, 1, 1), (false, 4, 2), (true, 1, 1), (true, 1, 2)]
        {
            for until in [lasting(150), Until::Requests(101)] {
                for warmup in [0, 50] {
                    plans.push(Plan {
                        pace,
                        churn,
                        pipeline,
                        threads,
                        until,
                        warmup: Duration::from_millis(warmup),
                        grace: Duration::from_millis(100),
                        ..plan(1)
                    });
                }
            }
        }
    }
    plans
}

#[test]
fn outcomes_add_up_to_what_was_due_in_every_kind_of_run() {
    let servers = [
        (Protocol::Echo, peer::tcp(peer::echo)),
        (Protocol::Http, peer::tcp(peer::http)),
    ];
    let check = |plan: Plan, server| {
        let outcome = measure(&plan, server);
        assert_adds_up(&outcome);
        let due = match (plan.until, plan.pace) {
            (Until::Requests(requests), _) => Some(requests),
            (
                _,
                Pace::Open {
                    rate,
                    arrivals: Arrivals::Fixed,
                },
            ) => Some((rate * 0.15) as u64),
            _ => None,
        };
        let due = due.unwrap_or(outcome.tally.due());
        assert_eq!(outcome.tally.due(), due, "{plan:?}");
        assert_eq!(outcome.tally.errors.total(), 0, "{}", brief(&outcome.tally));
    };
    let plans = plans();
    // The plans mostly wait, so some run in parallel.
    thread::scope(|scope| {
        for some in plans.chunks(12) {
            for (protocol, server) in servers {
                let check = &check;
                scope.spawn(move || {
                    for plan in some {
                        let plan = plan.clone();
                        check(Plan { protocol, ..plan }, server);
                    }
                });
            }
        }
    });
}

/// Answers three requests and closes with the fourth in flight.
fn quitter(stream: TcpStream) {
    let mut left = 3;
    peer::pages(stream, |stream| {
        let page = b"HTTP/1.1 204 No Content\r\n\r\n";
        left -= 1;
        left >= 0 && stream.write_all(page).is_ok()
    });
}

/// Answers a request with a part of a page.
fn breaker(stream: TcpStream) {
    let mut left = 5;
    peer::pages(stream, |stream| {
        left -= 1;
        let page = b"HTTP/1.1 204 No Content\r\n\r\n";
        let part = if left > 0 { &page[..] } else { &page[..9] };
        stream.write_all(part).is_ok() && left > 0
    });
}

/// Answers two requests and then sends nothing more.
fn sleeper(stream: TcpStream) {
    let mut left = 2;
    peer::pages(stream, |stream| {
        left -= 1;
        let page = b"HTTP/1.1 204 No Content\r\n\r\n";
        left < 0 || stream.write_all(page).is_ok()
    });
}

#[test]
fn outcomes_add_up_with_servers_that_end_break_and_say_nothing() {
    // A connection whose every reply is wrong pauses longer each time: few requests are enough.
    let (many, few) = (101, 20);
    let servers = [
        (Protocol::Echo, peer::tcp(peer::leaver), many),
        (Protocol::Echo, peer::tcp(peer::liar), many),
        (Protocol::Echo, peer::tcp(peer::once), many),
        (Protocol::Echo, peer::tcp(peer::chatterer), few),
        (Protocol::Http, peer::tcp(peer::babbler), few),
        (Protocol::Http, peer::tcp(quitter), many),
        (Protocol::Http, peer::tcp(breaker), many),
        (Protocol::Http, peer::tcp(sleeper), 0),
        (Protocol::Echo, peer::tcp(peer::mute), 0),
    ];
    // The plans mostly wait, so they run in parallel.
    thread::scope(|scope| {
        for (protocol, server, requests) in servers {
            scope.spawn(move || {
                for plan in plans() {
                    let is_counted = matches!(plan.until, Until::Requests(_));
                    // A run by a count waits ten seconds for a missing reply.
                    if is_counted && requests == 0 {
                        continue;
                    }
                    let plan = Plan {
                        protocol,
                        connections: 3,
                        until: match plan.until {
                            Until::Requests(_) => Until::Requests(requests),
                            until => until,
                        },
                        ..plan
                    };
                    let outcome = measure(&plan, server);
                    assert_adds_up(&outcome);
                    let due = outcome.tally.due();
                    let told = brief(&outcome.tally);
                    assert!(!is_counted || due == requests, "{plan:?}: {told}");
                }
            });
        }
    });
}

/// Sends one byte more behind each echo, with it or after `PAUSE_MS`.
fn one_more<const PAUSE_MS: u64>(mut stream: TcpStream) {
    let mut space = [0; 512];
    while let Ok(count @ 1..) = stream.read(&mut space) {
        let reply = match PAUSE_MS {
            0 => [&space[..count], b"!"].concat(),
            _ => space[..count].to_vec(),
        };
        if stream.write_all(&reply).is_err() {
            return;
        }
        if PAUSE_MS > 0 {
            thread::sleep(Duration::from_millis(PAUSE_MS));
            let _ = stream.write_all(b"!");
        }
    }
}

/// Answers a page, and two bytes more than its length says.
fn longer_than_it_says(stream: TcpStream) {
    let page = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello";
    peer::pages(stream, |stream| stream.write_all(page).is_ok());
}

#[test]
fn a_reply_with_bytes_behind_it_is_wrong_and_errors_are_the_failed_requests() {
    let echo = plan(1);
    let http = Plan {
        protocol: Protocol::Http,
        ..plan(1)
    };
    let open = Plan {
        pace: open(50.0),
        ..plan(1)
    };
    for (plan, server) in [
        (echo.clone(), peer::tcp(one_more::<0>)),
        (open, peer::tcp(one_more::<5>)),
        (http, peer::tcp(longer_than_it_says)),
    ] {
        let plan = Plan {
            until: lasting(200),
            ..plan
        };
        in_few_runs(|| {
            let outcome = measure(&plan, server);
            assert_adds_up(&outcome);
            let figures = Figures::of(&outcome);
            assert_eq!(figures.errors, figures.failed, "{figures:?}");
            // On a slow machine the byte meets the next request, or comes after the run.
            match (figures.requests, figures.failed) {
                (0, 1..) => Ok(()),
                _ => Err(brief(&outcome.tally)),
            }
        });
    }
}

#[test]
fn a_run_by_a_count_fails_what_gets_no_reply_in_time() {
    let plan = Plan {
        connections: 3,
        ..plan(20)
    };
    // Each connection has two replies and then no more. The simulated kernel waits in no time.
    let two_replies = |asked: &Asked<'_>| match asked.request {
        0 | 1 => Deed::after(MILLISECOND, asked.bytes),
        _ => Deed::after(Duration::from_secs(3600), asked.bytes),
    };
    let tally = Stage::new(plan).play(two_replies).tally;
    assert_eq!((tally.due(), tally.answered, tally.unsent), (20, 6, 11));
    assert_eq!((tally.errors.failed, tally.errors.unanswered), (3, 3));
    assert_eq!((tally.begun, tally.unfinished), (9, 0));
}

#[test]
fn what_a_worker_without_connections_cannot_send_is_unsent() {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    // One of the two workers loses its only connection early, and each one after it at once.
    let server = peer::tcp(|stream| match CONNECTIONS.fetch_add(1, Ordering::Relaxed) {
        0 => peer::echo(stream),
        1 => peer::leaver(stream),
        _ => drop(stream),
    });
    let plan = Plan {
        pace: open(1000.0),
        connections: 2,
        threads: 2,
        until: lasting(400),
        grace: Duration::ZERO,
        ..plan(1)
    };
    let outcome = measure(&plan, server);
    assert_adds_up(&outcome);
    let tally = &outcome.tally;
    assert!(tally.errors.failed >= 1, "{}", brief(tally));
    assert!(tally.unsent > 50, "{}", brief(tally));
    assert_eq!((tally.due(), tally.missing), (400, 1), "{}", brief(tally));
    assert_eq!(outcome.elapsed_ns, 400_000_000);
}

#[test]
fn a_run_whose_connections_all_end_goes_on_with_new_ones_and_adds_up() {
    for pace in [open(1000.0), Pace::Closed] {
        let plan = Plan {
            pace,
            connections: 4,
            threads: 2,
            until: lasting(500),
            ..plan(1)
        };
        let outcome = measure(&plan, peer::tcp(peer::leaver));
        assert_adds_up(&outcome);
        let tally = &outcome.tally;
        // Each connection answers ten requests and fails the next one.
        let least = (tally.answered / 10).saturating_sub(4);
        assert!(tally.errors.failed >= least, "{}", brief(tally));
        assert!(
            tally.answered >= 10 * tally.errors.failed,
            "{}",
            brief(tally)
        );
        assert!(
            tally.reconnects + 4 >= tally.errors.failed,
            "{}",
            brief(tally)
        );
        assert_eq!(outcome.elapsed_ns, 500_000_000);
    }
}

#[test]
fn datagrams_that_are_lost_or_on_their_way_add_up() {
    let lossy = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let server = Address::Udp(lossy.local_addr().expect("it is bound"));
    thread::spawn(move || {
        let mut space = [0; 2048];
        for number in 0.. {
            match lossy.recv_from(&mut space) {
                Ok((count, peer)) if number % 7 != 0 => {
                    let _ = lossy.send_to(&space[..count], peer);
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    for (pace, until, grace) in [
        (Pace::Closed, Until::Requests(40), 2000),
        (Pace::Closed, lasting(100), 2000),
        (Pace::Closed, lasting(100), 0),
        (open(500.0), lasting(100), 2000),
        (open(500.0), lasting(100), 0),
    ] {
        for churn in [false, true] {
            let plan = Plan {
                pace,
                until,
                churn,
                grace: Duration::from_millis(grace),
                ..plan(1)
            };
            let outcome = load(&plan, server.clone()).expect("the server is there");
            assert_adds_up(&outcome);
            let tally = &outcome.tally;
            if grace == 0 {
                // One of seven datagrams is lost.
                let has_lost = tally.unfinished > 0 || tally.begun < 7;
                assert!(has_lost, "{}", brief(tally));
            }
            if let Until::Requests(requests) = until {
                assert_eq!((tally.due(), tally.unfinished), (requests, 0));
            }
            if pace != Pace::Closed {
                assert_eq!(tally.due(), 50);
            }
        }
    }
}

/// A number in the document.
#[track_caller]
fn number(json: &str, name: &str) -> u64 {
    let start = json.find(&format!("\"{name}\": ")).expect(name);
    let rest = &json[start + name.len() + 4..];
    let digits = rest.chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().expect(name)
}

/// The outcomes in the document and in the report, which must agree and add up.
#[track_caller]
fn outcomes(json: &str, report: &str) -> [u64; 5] {
    assert!(is_json(json), "{json}");
    let names = ["answered", "failed", "unfinished", "unsent"];
    let [due, rest @ ..] =
        ["due", names[0], names[1], names[2], names[3]].map(|name| number(json, name));
    assert_eq!(due, rest.iter().sum::<u64>(), "{json}");
    let told = names.iter().zip(rest);
    let told: Vec<String> = told
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    assert!(report.contains(&told.join(", ")), "{report}");
    assert!(report.contains(&format!("{due} due in ")), "{report}");
    let [answered, failed, unfinished, unsent] = rest;
    [due, answered, failed, unfinished, unsent]
}

#[test]
fn report_and_document_tell_the_four_outcomes_and_they_add_up() {
    let mute = peer::tcp(peer::mute).to_string();
    let words = "--connections 2 --rate 1k --warmup 0 --duration 100ms --grace 0 --json";
    let words: Vec<&str> = [mute.as_str()]
        .into_iter()
        .chain(words.split(' '))
        .collect();
    let (code, json, report) = told(&bench(&words));
    assert_eq!(code, Some(7), "nothing was answered: {report}");
    assert_eq!(outcomes(&json, &report), [100, 0, 0, 2, 98]);
    let echo = peer::tcp(peer::echo).to_string();
    let words = [echo.as_str(), "--requests", "50", "--json"];
    let (code, json, report) = told(&bench(&words));
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(outcomes(&json, &report), [50, 50, 0, 0, 0]);
    assert!(report.contains("/s back: 50 replies\n"), "{report}");
}

#[test]
fn an_interrupted_run_adds_up() {
    for words in [
        "--rate 2k --duration 1m",
        "--duration 1m",
        "--duration 1m --pipeline 3",
        "--churn --duration 1m",
        "--requests 1000000",
    ] {
        // An echo that counts its replies.
        static ANSWERED: AtomicU64 = AtomicU64::new(0);
        ANSWERED.store(0, Ordering::Relaxed);
        let server = peer::tcp(|mut stream| {
            let mut space = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut space) {
                if stream.write_all(&space[..count]).is_err() {
                    return;
                }
                if ANSWERED.fetch_add(1, Ordering::Relaxed) > 100 {
                    // Slow enough that some requests are in flight and others unsent at the
                    // interrupt.
                    thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let child = Command::new(program::path())
            .args(["bench", &server.to_string(), "--connections", "2"])
            .args(["--warmup", "0", "--json"])
            .args(words.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test");
        while ANSWERED.load(Ordering::Relaxed) < 120 {
            thread::sleep(Duration::from_millis(1));
        }
        interrupt(&child);
        let (code, json, report) = told(&child.wait_with_output().expect("it ends"));
        assert_eq!(code, Some(130), "{words}: {report}");
        let [_, answered, failed, ..] = outcomes(&json, &report);
        assert!(answered > 100 && failed == 0, "{words}: {report}");
    }
}

#[test]
fn a_run_whose_server_is_killed_adds_up() {
    // The runs mostly wait for their end, so they run in parallel.
    thread::scope(|scope| {
        for words in [
            "--rate 1k --duration 4s",
            "--duration 4s --grace 200ms",
            "--duration 4s --pipeline 4 --threads 2",
            "--churn --duration 4s",
            "--churn --rate 500 --duration 4s --grace 200ms",
            "--requests 100000000",
        ] {
            scope.spawn(|| adds_up_without_its_server(words));
        }
    });
}

fn adds_up_without_its_server(words: &str) {
    let mut server = Command::new(program::path())
        .args(["http", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary was built for this test");
    let mut line = String::new();
    let mut said = BufReader::new(server.stdout.take().expect("it was piped"));
    said.read_line(&mut line).expect("it says where it listens");
    let at = line
        .split_whitespace()
        .find(|word| word.contains("127.0.0.1:"));
    let at = at.expect("an address").trim_matches(',').to_owned();
    let child = Command::new(program::path())
        .args(["bench", &at, "--protocol", "http", "--connections", "3"])
        .args(["--warmup", "0", "--json"])
        .args(words.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    // SIGUSR1 prints the counts of the server: wait until they show a reply.
    while !line.contains(" bytes_out=") || line.contains(" bytes_out=0 ") {
        signal(&server, "USR1");
        line.clear();
        said.read_line(&mut line).expect("it tells its counts");
    }
    server.kill().expect("it is ours");
    server.wait().expect("it was killed");
    let (code, json, report) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(7), "{words}: {report}");
    let [_, answered, ..] = outcomes(&json, &report);
    assert!(answered > 0, "{words}: {report}");
    assert!(number(&json, "errors") > 0, "{words}: {report}");
}
