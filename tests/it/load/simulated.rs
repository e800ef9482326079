//! The load generator on the simulated kernel: what it measures is known to the nanosecond.
//!
//! The server is a few lines of the test that play during every wait: it hears requests, takes as
//! long over each as it is told, one after the other on a connection, and answers, lies, ends or
//! resets. Time passes only while the generator waits, and when the test says so: then the
//! generator was not let run, which is its own lateness.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mynah::kernel::{Address, Time};
use mynah::load::plan::{Plan, Protocol, Until};
use mynah::load::run::control::{Board, Control};
use mynah::load::worker::tally::Tally;
use mynah::load::worker::{Job, Worker};

use crate::sim::{Config, Peer, Sim};

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

/// What the server does about a request.
pub(super) struct Deed {
    /// How long it takes over it.
    pub(super) after: Duration,
    pub(super) says: Vec<u8>,
    pub(super) then: Then,
}

/// What becomes of the connection behind that.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Then {
    Stays,
    Ends,
    Resets,
}

impl Deed {
    /// Sends `bytes` after a while.
    pub(super) fn after(after: Duration, bytes: impl Into<Vec<u8>>) -> Deed {
        let (says, then) = (bytes.into(), Then::Stays);
        Deed { after, says, then }
    }

    pub(super) fn then(self, then: Then) -> Deed {
        Deed { then, ..self }
    }
}

/// A request as the server sees it: the number of its connection, its own on that, and its bytes.
pub(super) struct Asked<'a> {
    pub(super) connection: usize,
    pub(super) request: usize,
    pub(super) bytes: &'a [u8],
}

/// What the server has seen: when each connection came, and each request.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: Vec<Time>,
    pub(super) requests: Vec<Time>,
}

/// One of the server's connections.
struct Guest {
    peer: Peer,
    heard: Vec<u8>,
    asked: usize,
    /// What is still to be done, each at its time.
    deeds: VecDeque<(Time, Deed)>,
}

/// A run of one worker.
pub(super) struct Played {
    pub(super) tally: Tally,
    pub(super) seen: Seen,
    /// When the generator was started.
    pub(super) begun: Time,
}

/// A run to be played.
pub(super) struct Stage {
    pub(super) plan: Plan,
    /// Which of the plan's threads is played.
    pub(super) index: usize,
    /// How long after its start the load begins.
    pub(super) go: Duration,
    /// When the generator is not let run, after its start, and for how long.
    pub(super) stops: Vec<(Duration, Duration)>,
}

impl Stage {
    pub(super) fn new(plan: Plan) -> Stage {
        Stage {
            // All connections stand by then.
            go: plan.ramp + 10 * MILLISECOND,
            plan,
            index: 0,
            stops: Vec::new(),
        }
    }

    /// Plays it against a server that does `deed` about each request.
    pub(super) fn play(self, mut deed: impl FnMut(&Asked<'_>) -> Deed + Send + 'static) -> Played {
        self.plan.check().expect("the test's own plan");
        let address: Address = "127.0.0.1:7007".parse().expect("an address");
        let script = self.plan.script(&address).expect("it fits");
        let mut sim = Sim::new(Config::default());
        sim.host(&address);
        let begun = sim.time();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut server = Server {
            address: address.clone(),
            protocol: self.plan.protocol,
            guests: Vec::new(),
            seen: Arc::clone(&seen),
        };
        let mut stops: VecDeque<(Time, Duration)> = (self
            .stops
            .iter()
            .map(|(at, span)| (begun.after(*at), *span)))
        .collect();
        sim.play(Box::new(move |sim| {
            if let Some(&(at, span)) = stops.front().filter(|(at, _)| *at <= sim.time()) {
                stops.pop_front();
                let until = at.after(span);
                // The server is not stopped, and does meanwhile what is due.
                loop {
                    let due = server.play(sim, &mut deed).min(until);
                    let now = sim.time();
                    sim.advance(due.since(now));
                    if due >= until {
                        break;
                    }
                }
            }
            let due = server.play(sim, &mut deed);
            stops.front().map_or(due, |(at, _)| due.min(*at))
        }));
        let (control, board) = (Control::default(), Board::default());
        let go = begun.after(self.go);
        let start = go.after(self.plan.warmup);
        let end = match self.plan.until {
            Until::Time(span) => start.after(span),
            Until::Requests(_) => Time::NEVER,
        };
        control.set_window(go, start, end);
        let job = Job {
            plan: &self.plan,
            script: &script,
            target: &address,
            control: &control,
            board: &board,
            index: self.index,
        };
        let worker = Worker::new(sim, job).expect("it is small");
        let tally = worker.run().expect("the server is there");
        let seen = std::mem::take(&mut *seen.lock().expect("one thread"));
        Played { tally, seen, begun }
    }
}

struct Server {
    address: Address,
    protocol: Protocol,
    guests: Vec<Guest>,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    /// Does all that is due; tells when there is more.
    fn play(&mut self, sim: &mut Sim, deed: &mut impl FnMut(&Asked<'_>) -> Deed) -> Time {
        let now = sim.time();
        while let Some(peer) = sim.incoming(&self.address) {
            self.seen.lock().expect("one thread").connections.push(now);
            self.guests.push(Guest {
                peer,
                heard: Vec::new(),
                asked: 0,
                deeds: VecDeque::new(),
            });
        }
        for (connection, guest) in self.guests.iter_mut().enumerate() {
            guest.heard.extend(sim.receive_all(guest.peer));
            while let Some(length) = whole(self.protocol, &guest.heard) {
                self.seen.lock().expect("one thread").requests.push(now);
                let bytes: Vec<u8> = guest.heard.drain(..length).collect();
                let request = guest.asked;
                guest.asked += 1;
                let asked = Asked {
                    connection,
                    request,
                    bytes: &bytes,
                };
                let deed = deed(&asked);
                let free = guest.deeds.back().map_or(now, |(at, _)| *at);
                guest.deeds.push_back((free.after(deed.after), deed));
            }
            while guest.deeds.front().is_some_and(|(at, _)| *at <= now) {
                let Some((_, deed)) = guest.deeds.pop_front() else {
                    break;
                };
                sim.send(guest.peer, &deed.says);
                match deed.then {
                    Then::Stays => {}
                    Then::Ends => sim.finish(guest.peer),
                    Then::Resets => sim.reset(guest.peer),
                }
            }
        }
        let next = self.guests.iter().filter_map(|guest| guest.deeds.front());
        next.map(|(at, _)| *at).min().unwrap_or(Time::NEVER)
    }
}

/// How long the first whole request of `heard` is.
fn whole(protocol: Protocol, heard: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    match protocol {
        Protocol::Echo => (heard.len() >= SIZE).then_some(SIZE),
        Protocol::Http => {
            let end = heard.windows(END.len()).position(|four| four == END)?;
            Some(end + END.len())
        }
    }
}

/// Bytes of a request.
pub(super) const SIZE: usize = mynah::limits::LOAD_SIZE_DEFAULT;
