//! The real binary on the real kernel with injected faults: each system call of the server fails
//! with each errno that its man page lists.
//!
//! `pages` holds the table of calls, `play` the peers and their expectations, `tracer` the
//! strace(1) that injects the faults. The normal test run plays each errno at one position of its
//! call, a different position for each errno. This command plays every position and takes some
//! minutes:
//!
//! ```sh
//! MYNAH_BINARY=$PWD/target/release/mynah \
//!     cargo test --test it injected -- --include-ignored --nocapture every
//! ```
//!
//! `every_position` does the same on the simulated kernel, much faster, and adds short reads.

mod pages;
mod play;
pub(super) mod tracer;

use std::collections::BTreeMap;

use pages::{Phase, Row};
use play::Outcome;
use tracer::Calls;
pub(super) use tracer::{Report, may_trace};

use super::say;
use super::server::{Ended, Server};

/// The positions of a call at which an errno is played.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    One,
    Every,
}

/// A set of plays: the calls that were learned and the outcomes that were counted.
struct Course {
    name: &'static str,
    /// The calls of a play without faults, by trigger.
    calls: [Calls; 2],
    /// Faults that every play has in addition to the tested one.
    beside: &'static [&'static str],
    counts: BTreeMap<(&'static str, Outcome), u32>,
    plays: usize,
}

const TRIGGERS: [&str; 2] = ["level", "edge"];
/// Makes the server log each connection.
const TALKATIVE: [(&str, &str); 1] = [("RUST_LOG", "info,mynah::server=debug")];

fn start(
    report: &Report,
    name: &str,
    trigger: &str,
    calls: &str,
    faults: &[String],
) -> Result<Server, Ended> {
    let wrapper = report.wrapper(calls, faults);
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let local = format!("mynah-{}-{name}", std::process::id());
    let args = play::arguments(&local, trigger);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Server::try_start(&wrapper, &TALKATIVE, &args)
}

impl Course {
    fn new(name: &'static str, beside: &'static [&'static str]) -> Course {
        let calls = TRIGGERS.map(|trigger| {
            let learn = || {
                let report = Report::new();
                let faults: Vec<String> = beside.iter().map(|fault| (*fault).to_owned()).collect();
                let server = start(&report, name, trigger, "all", &faults);
                let server = server.unwrap_or_else(|ended| panic!("{:?}", ended.stderr));
                assert_eq!(play::play(server, true, false), Outcome::Intact);
                Calls::learn(&report.read())
            };
            // A machine that stands still lets a timer expire, which adds a read.
            let (one, other) = (learn(), learn());
            if one.count("read") <= other.count("read") {
                one
            } else {
                other
            }
        });
        Course {
            name,
            calls,
            beside,
            counts: BTreeMap::new(),
            plays: 0,
        }
    }

    fn run(&mut self, rows: &'static [Row], choice: Choice) {
        let errnos =
            |row: &'static Row| row.errnos.split_whitespace().map(move |errno| (row, errno));
        for (number, (row, errno)) in rows.iter().flat_map(errnos).enumerate() {
            for side in 0..TRIGGERS.len() {
                // EAGAIN means that there is no data or no room; with edge trigger the kernel
                // reports the next change. An injected EAGAIN is false, so no edge follows: it is
                // played with level trigger only.
                let is_level_only = errno == "EAGAIN" && ["recvfrom", "sendto"].contains(&row.call);
                let chosen = if is_level_only {
                    0
                } else {
                    number % TRIGGERS.len()
                };
                if side != chosen && (choice == Choice::One || is_level_only) {
                    continue;
                }
                let mut positions = self.calls[side].positions(row);
                assert!(!positions.is_empty(), "{row:?} is never called");
                if choice == Choice::One {
                    positions = vec![positions[number * 7 % positions.len()]];
                }
                for position in positions {
                    self.play(row, errno, side, position);
                }
            }
        }
        for ((call, outcome), count) in &self.counts {
            say(format_args!("{}: {call}: {outcome:?} {count}", self.name));
        }
        let missed: u32 = self
            .counts
            .iter()
            .filter(|((_, outcome), _)| *outcome == Outcome::Missed)
            .map(|(_, count)| count)
            .sum();
        assert!(
            missed as usize * 5 <= self.plays,
            "{missed} calls were not made"
        );
    }

    /// Plays the fault. The number of a call is learned from an earlier play: where the machine
    /// stands still, a timer adds a call, and the fault that must end the server hits a harmless
    /// one. Then it is played again.
    fn play(&mut self, row: &'static Row, errno: &str, side: usize, position: u32) {
        self.plays += 1;
        let must_end = matches!(row.phase, Phase::Start(_) | Phase::Fatal);
        let mut outcomes = Vec::new();
        for _ in 0..3 {
            let outcome = self.play_once(row, errno, side, position);
            if !must_end || matches!(outcome, Outcome::Refused | Outcome::Missed) {
                *self.counts.entry((row.call, outcome)).or_default() += 1;
                return;
            }
            outcomes.push(outcome);
        }
        panic!("{row:?} {errno} {position}: {outcomes:?}");
    }

    fn play_once(&self, row: &'static Row, errno: &str, side: usize, position: u32) -> Outcome {
        let call = self.calls[side].name(row);
        // musl tries socket(2) again without flags after EINVAL and EPROTONOSUPPORT.
        let and_later = if call == "socket" { "+" } else { "" };
        let mut faults = vec![format!("{call}:error={errno}:when={position}{and_later}")];
        faults.extend(self.beside.iter().map(|fault| (*fault).to_owned()));
        let what = format!("{} {}", faults[0], TRIGGERS[side]);
        let outcome = std::panic::catch_unwind(|| {
            let report = Report::new();
            let called = faults.iter().filter_map(|fault| fault.split(':').next());
            let called: Vec<&str> = called.collect();
            let started = start(
                &report,
                self.name,
                TRIGGERS[side],
                &called.join(","),
                &faults,
            );
            let is_fatal = row.phase == Phase::Fatal;
            let outcome = match (started, row.phase) {
                (Ok(server), _) => play::play(server, row.call != "close", is_fatal),
                (Err(ended), Phase::Start(code)) => {
                    assert_eq!(ended.code, Some(code), "{:?}", ended.stderr);
                    assert_eq!(ended.stderr.len(), 1, "{:?}", ended.stderr);
                    assert!(ended.stderr[0].starts_with("mynah: "), "{:?}", ended.stderr);
                    Outcome::Refused
                }
                (Err(ended), _) => panic!("it does not start: {:?}", ended.stderr),
            };
            let is_row = |line: &str| line.contains(call) && line.contains("(INJECTED)");
            match report.read().lines().any(is_row) {
                true => outcome,
                false => Outcome::Missed,
            }
        });
        outcome.unwrap_or_else(|panic| {
            say(format_args!("failed: {what}"));
            std::panic::resume_unwind(panic)
        })
    }
}

fn course(name: &'static str, rows: &'static [Row], choice: Choice) {
    if may_trace() {
        Course::new(name, &[]).run(rows, choice);
    }
}

#[test]
fn a_failure_at_the_start_is_an_exit_code_and_one_line() {
    course("start", pages::STARTING, Choice::One);
}

#[test]
fn a_failure_while_accepting_affects_one_peer_at_most() {
    course("door", pages::DOOR, Choice::One);
}

#[test]
fn a_failure_of_a_read_or_write_affects_one_peer_at_most() {
    course("bytes", pages::BYTES, Choice::One);
}

#[test]
fn a_failure_in_the_loop_affects_one_peer_at_most_or_ends_the_server_by_name() {
    course("loop", pages::LOOP, Choice::One);
}

#[test]
fn a_failure_of_a_close_or_of_output_affects_one_peer_at_most() {
    course("rest", pages::REST, Choice::One);
}

const NO_TIMER: &[&str] = &["timerfd_settime:error=EINVAL"];

#[test]
fn a_failure_without_a_timer_affects_one_peer_at_most() {
    if may_trace() {
        Course::new("no-timer", NO_TIMER).run(pages::SHORT_WAITS, Choice::One);
    }
}

#[test]
fn a_thread_that_cannot_be_started_is_a_code_and_one_line() {
    if !may_trace() {
        return;
    }
    for errno in ["EAGAIN", "EINVAL", "ENOMEM", "EPERM"] {
        let report = Report::new();
        // The C library falls back to clone(2) if clone3 is missing.
        let faults = ["clone3", "clone"].map(|call| format!("{call}:error={errno}"));
        let wrapper = report.wrapper("clone,clone3", &faults);
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let args = ["--threads", "2", "--max-connections", "100"];
        let ended = match Server::try_start(&wrapper, &[], &args) {
            Ok(server) => panic!("{errno}: it is not {}", server.ready),
            Err(ended) => ended,
        };
        let ours: Vec<&String> = ended
            .stderr
            .iter()
            .filter(|line| line.starts_with("mynah: "))
            .collect();
        assert_eq!(
            (ended.code, ours.len()),
            (Some(7), 1),
            "{errno}: {:?}",
            ended.stderr
        );
    }
}

#[test]
fn a_server_starts_although_it_may_not_ask_whether_orphans_become_its_children() {
    if !may_trace() {
        return;
    }
    // EINVAL is the answer of qemu's user-mode emulation, the others are those of a sandbox.
    for errno in ["EINVAL", "ENOSYS", "EPERM"] {
        let report = Report::new();
        let wrapper = report.wrapper("prctl", &[format!("prctl:error={errno}")]);
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let server = Server::start_under(&wrapper, &[], &["--max-connections", "100"]);
        assert_eq!(super::ask(&mut server.connect(), b"x"), b"x", "{errno}");
        assert_eq!(server.end().code, Some(0), "{errno}");
        let calls = report.read();
        let refused = |line: &str| line.contains("SUBREAPER") && line.contains("(INJECTED)");
        assert!(calls.lines().any(refused), "{errno}: {calls}");
    }
}

#[test]
fn an_order_to_end_is_followed_although_no_wake_up_and_no_line_can_be_written() {
    if !may_trace() {
        return;
    }
    for errno in ["EAGAIN", "EBADF", "EINVAL", "EIO"] {
        let report = Report::new();
        // Writes 1 and 2 are the ready line and a hint.
        let wrapper = report.wrapper("write", &[format!("write:error={errno}:when=3+")]);
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let server = Server::start_under(&wrapper, &[], &["--max-connections", "100"]);
        let mut peer = server.connect();
        assert_eq!(super::ask(&mut peer, b"x"), b"x");
        // One run has an open connection during the drain, the other has none.
        let left = (errno < "EB").then_some(peer);
        server.signal("TERM");
        assert!(left.is_none_or(|mut peer| super::rest(&mut peer).is_empty()));
        assert_eq!(server.ended().code, Some(0), "{errno}");
    }
}

#[test]
fn clients_that_come_one_by_one_are_all_served_although_an_accept_fails_in_passing() {
    if !may_trace() {
        return;
    }
    let errnos = "EOPNOTSUPP ENETDOWN EPROTO ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH \
                  ENETUNREACH ECONNABORTED EPERM";
    for (number, errno) in errnos.split_whitespace().enumerate() {
        let report = Report::new();
        let wrapper = report.wrapper("accept4", &[format!("accept4:error={errno}:when=2")]);
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let trigger = TRIGGERS[number % TRIGGERS.len()];
        let args = ["--max-connections", "100", "--trigger", trigger];
        let server = Server::start_under(&wrapper, &[], &args);
        // The second connection is still in the queue when accept4 fails.
        for client in 1..=3 {
            let reply = super::ask(&mut server.connect(), b"x");
            assert_eq!(reply, b"x", "{errno} {trigger}: client {client}");
        }
        let stats = server.stats();
        let counted = (stats.get("accept_errors"), stats.get("refused_resources"));
        assert_eq!(counted, (1, 0), "{errno} {trigger}");
        let ended = server.end();
        assert!(ended.stderr.iter().all(|line| !line.contains("mistake")));
        assert!(report.read().contains("(INJECTED)"), "{errno} {trigger}");
    }
}

#[test]
#[ignore = "takes minutes; the head of this file has the command"]
fn every_call_fails_with_every_errno_at_every_position() {
    if !may_trace() {
        return;
    }
    let rows = [
        pages::STARTING,
        pages::DOOR,
        pages::BYTES,
        pages::LOOP,
        pages::REST,
    ];
    for rows in rows {
        Course::new("every", &[]).run(rows, Choice::Every);
    }
    Course::new("every", NO_TIMER).run(pages::SHORT_WAITS, Choice::Every);
}
