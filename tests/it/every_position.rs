//! Every call, at every position, with every errno that its man page documents.
//!
//! The play: a peer connects, sends two frames whose answers do not fit into the pipe, sends FIN,
//! and receives everything. A second peer sends a frame and receives the answer only while the
//! server drains. The play runs once to record its calls. Then it runs once per call and errno,
//! with that one call failing. Either the peer receives every byte, or its connection ends for a
//! counted reason. The server ends normally, except for errors of epoll_wait that only a bug in the
//! server can cause; these end the server with the error.

use std::collections::BTreeMap;
use std::time::Duration;

use libc::*;
use mynah::kernel::{Opener, Time, Trigger};
use mynah::limits::FRAMES_PER_EVENT;
use mynah::protocol::connection::{CloseReason, Protocol};
use mynah::protocol::framing::{Framing, OnTooLong};
use mynah::protocol::service::Echo;
use mynah::server::pool::WorkspaceSize;
use mynah::server::{Server, Settings};

use crate::sim::{Config, Peer, Pipe, Sim};

/// What accept(2), recv(2), send(2), shutdown(2), close(2), epoll_ctl(2), epoll_wait(2), ioctl(2)
/// and open(2) list, with what tcp(7) adds. EINTR is missing where `sys` retries by itself.
const PAGES: &[(&str, &[i32])] = &[
    (
        "accept4",
        &[
            EAGAIN,
            EBADF,
            ECONNABORTED,
            EFAULT,
            EINVAL,
            EMFILE,
            ENFILE,
            ENOBUFS,
            ENOMEM,
            ENOTSOCK,
            EOPNOTSUPP,
            EPERM,
            EPROTO,
            ENETDOWN,
            ENOPROTOOPT,
            EHOSTDOWN,
            ENONET,
            EHOSTUNREACH,
            ENETUNREACH,
            ENOSR,
            ESOCKTNOSUPPORT,
            EPROTONOSUPPORT,
            ETIMEDOUT,
        ],
    ),
    (
        "recv",
        &[
            EAGAIN,
            EBADF,
            ECONNREFUSED,
            ECONNRESET,
            EFAULT,
            EINVAL,
            ENOMEM,
            ENOTCONN,
            ENOTSOCK,
            ETIMEDOUT,
        ],
    ),
    (
        "send",
        &[
            EACCES,
            EAGAIN,
            EALREADY,
            EBADF,
            ECONNRESET,
            EDESTADDRREQ,
            EFAULT,
            EINVAL,
            EISCONN,
            EMSGSIZE,
            ENOBUFS,
            ENOMEM,
            ENOTCONN,
            ENOTSOCK,
            EOPNOTSUPP,
            EPIPE,
            ETIMEDOUT,
        ],
    ),
    ("shutdown", &[EBADF, EINVAL, ENOTCONN, ENOTSOCK, ENOBUFS]),
    ("close", &[EBADF, EINTR, EIO, ENOSPC, EDQUOT]),
    (
        "epoll_ctl ADD",
        &[EBADF, EEXIST, EINVAL, ELOOP, ENOMEM, ENOSPC, EPERM],
    ),
    ("epoll_ctl MOD", &[EBADF, EINVAL, ENOENT, ENOMEM]),
    ("epoll_wait", &[EBADF, EFAULT, EINTR, EINVAL]),
    ("ioctl", &[EBADF, EFAULT, EINVAL, ENOTTY]),
    ("open", &[EACCES, EMFILE, ENFILE, ENOMEM, ENOENT]),
];

/// The outcome of a play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Every byte was received.
    Intact,
    /// The connection ended early, and the counters say why.
    Ended,
    /// The server did not start, or ended with this error.
    Refused(i32),
}

struct Play {
    server: Server<Sim, Echo>,
    /// Each peer, what it sent and what it received.
    talks: Vec<(Peer, &'static [u8], Vec<u8>)>,
}

const FIRST: &[u8] = b"\x14aaaaaaaaaaaaaaaaaaaa\x0abbbbbbbbbb";
const SECOND: &[u8] = b"\x14cccccccccccccccccccc";

impl Play {
    fn new(mut sim: Sim, trigger: Trigger) -> Result<Play, std::io::Error> {
        let address = "tcp://127.0.0.1:0".parse().expect("an address");
        let listener = sim.listen(&address, &Sim::listen_options(16));
        let framing = Framing::parse("u8").and_then(|framing| framing.limited(64));
        let protocol = Protocol {
            framing: framing.expect("a framing"),
            service: Echo,
            on_too_long: OnTooLong::Close,
        };
        let settings = Settings {
            connections_max: 2,
            workspaces: 2,
            workspace: WorkspaceSize {
                inbound: 64,
                outbound: 0,
            },
            trigger,
            idle_timeout: Some(Duration::from_secs(5)),
            stall_timeout: Some(Duration::from_secs(5)),
            stall_size_min: 1,
            defer_accept: false,
            frames_per_event: FRAMES_PER_EVENT,
            spin: None,
            frame_timeout: Some(Duration::from_secs(5)),
            connections_per_ip_max: None,
            backlog: 8,
            drain_timeout: Duration::from_secs(5),
            wiretap: None,
            auth: None,
            trace: None,
            pacing: Default::default(),
            proxy: None,
        };
        let listeners = vec![listener.expect("it is not made to fail")];
        let server = Server::new(sim, listeners, protocol, settings)?;
        Ok(Play {
            server,
            talks: Vec::new(),
        })
    }

    /// Lets half a second pass. At its start, the `listening` peers receive what is available.
    fn pass(&mut self, listening: usize) -> std::io::Result<()> {
        let sim = self.server.kernel_mut();
        for (peer, _, heard) in &mut self.talks[..listening] {
            heard.extend(sim.receive(*peer, 7));
        }
        let until = sim.time().after(Duration::from_millis(500));
        sim.stop_at(until);
        for _ in 0..200 {
            self.server.turn(Time::NEVER)?;
            if self.server.kernel_mut().time() >= until {
                return Ok(());
            }
        }
        panic!("it spins:\n{}", self.server.kernel_mut().trace());
    }

    fn begin(&mut self, said: &'static [u8]) -> std::io::Result<Peer> {
        let peer = self.server.kernel_mut().connect(0);
        self.talks.push((peer, said, Vec::new()));
        self.pass(0)?;
        self.server.kernel_mut().send(peer, said);
        self.pass(0)?;
        Ok(peer)
    }

    fn run(&mut self) -> std::io::Result<()> {
        self.pass(0)?;
        let first = self.begin(FIRST)?;
        self.pass(1)?;
        self.server.kernel_mut().finish(first);
        for _ in 0..6 {
            self.pass(1)?;
        }
        self.begin(SECOND)?;
        self.server.drain();
        for _ in 0..12 {
            self.pass(2)?;
        }
        Ok(())
    }

    fn is_intact(&self) -> bool {
        self.talks.iter().all(|(_, said, heard)| said == heard)
    }
}

fn machine() -> Sim {
    let reply = Pipe {
        send: 8,
        receive: 8,
    };
    Sim::new(Config {
        reply,
        ..Config::default()
    })
}

fn play(trigger: Trigger, name: &str, k: u64, errno: i32) -> Outcome {
    let mut sim = machine();
    sim.fail(name, k, errno);
    let what = format!("{name} number {k} fails with {errno}, {trigger:?}");
    let mut play = match Play::new(sim, trigger) {
        Ok(play) => play,
        Err(error) => return Outcome::Refused(error.raw_os_error().unwrap_or(0)),
    };
    if let Err(error) = play.run() {
        assert_eq!(
            name, "epoll_wait",
            "only waiting may end the server: {what}"
        );
        return Outcome::Refused(error.raw_os_error().unwrap_or(0));
    }
    assert!(play.server.is_done(), "it does not end: {what}");
    let (held, open) = (
        play.server.descriptors(),
        play.server.kernel_mut().open_sockets(),
    );
    assert_eq!(held, open, "{what}");
    assert_eq!(play.server.workspaces_acquired(), 0, "{what}");
    for (_, said, heard) in &play.talks {
        assert!(said.starts_with(heard), "{what}");
    }
    if play.is_intact() {
        return Outcome::Intact;
    }
    let counters = play.server.counters();
    let for_a_reason: u64 = CloseReason::ALL
        .into_iter()
        .filter(|reason| *reason != CloseReason::EndOfStream)
        .map(|reason| counters.closed[reason as usize])
        .sum();
    let at_the_door = counters.refused_resources + counters.accept_errors;
    assert!(
        for_a_reason + at_the_door > 0,
        "nothing says why: {what}: {counters}"
    );
    Outcome::Ended
}

#[test]
fn any_call_may_fail_with_anything_its_page_documents() {
    let mut counts = BTreeMap::<(&str, Outcome), u32>::new();
    for trigger in [Trigger::Level, Trigger::Edge] {
        let mut whole = Play::new(machine(), trigger).expect("nothing fails");
        whole.run().expect("nothing fails");
        assert!(whole.is_intact(), "{:?}", whole.talks);
        for (name, errnos) in PAGES {
            let calls = whole.server.kernel_mut().calls(name);
            for k in 1..=calls {
                for errno in *errnos {
                    let outcome = match play(trigger, name, k, *errno) {
                        Outcome::Refused(told) => {
                            assert_eq!(told, *errno, "the error that ends it is the one that was");
                            Outcome::Refused(0)
                        }
                        other => other,
                    };
                    *counts.entry((name, outcome)).or_default() += 1;
                }
            }
        }
    }
    for ((name, outcome), count) in &counts {
        println!("{name}: {outcome:?} {count}");
    }
    let intact: u32 = counts
        .iter()
        .filter(|((_, outcome), _)| *outcome == Outcome::Intact)
        .map(|(_, count)| count)
        .sum();
    assert!(intact > 300, "{counts:?}");
}
