//! The load generator on the simulated kernel, where every time is known to the nanosecond.
//!
//! The server is a part of the test and runs during each wait: it reads requests, takes the given
//! time for each, one after the other per connection, and then answers, sends wrong bytes, closes
//! or resets. Time passes only while the generator waits, or when the test stops the generator, as
//! a busy scheduler would. Used by `clocks`, `unspoilt` and others.

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

/// The reaction of the server to a request.
pub(super) struct Deed {
    /// The service time.
    pub(super) after: Duration,
    pub(super) says: Vec<u8>,
    pub(super) then: Then,
}

/// The state of the connection after the reply.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Then {
    Stays,
    Ends,
    Resets,
}

impl Deed {
    /// Sends `bytes` after a span.
    pub(super) fn after(after: Duration, bytes: impl Into<Vec<u8>>) -> Deed {
        let (says, then) = (bytes.into(), Then::Stays);
        Deed { after, says, then }
    }

    pub(super) fn then(self, then: Then) -> Deed {
        Deed { then, ..self }
    }
}

/// A request as the server sees it: the number of its connection, its number on that connection,
/// its bytes.
pub(super) struct Asked<'a> {
    pub(super) connection: usize,
    pub(super) request: usize,
    pub(super) bytes: &'a [u8],
}

/// What the server has seen: the time of each connection and of each request.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: Vec<Time>,
    pub(super) requests: Vec<Time>,
}

/// One connection of the server.
struct Guest {
    peer: Peer,
    heard: Vec<u8>,
    asked: usize,
    /// Pending reactions, each with its time.
    deeds: VecDeque<(Time, Deed)>,
}

/// The result of a run of one worker.
pub(super) struct Played {
    pub(super) tally: Tally,
    pub(super) seen: Seen,
    /// The start of the generator.
    pub(super) begun: Time,
}

/// A run on the simulated kernel.
pub(super) struct Stage {
    pub(super) plan: Plan,
    /// The index of the thread of the plan that runs.
    pub(super) index: usize,
    /// The span from the start to the begin of the load.
    pub(super) go: Duration,
    /// Stops of the generator: when, counted from its start, and for how long.
    pub(super) stops: Vec<(Duration, Duration)>,
}

impl Stage {
    pub(super) fn new(plan: Plan) -> Stage {
        Stage {
            // All connections are established by then.
            go: plan.ramp + 10 * MILLISECOND,
            plan,
            index: 0,
            stops: Vec::new(),
        }
    }

    /// Runs against a server that reacts with `deed` to each request.
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
                // The server is not stopped and continues meanwhile.
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
    /// Performs everything that is due; returns the time of the next pending reaction.
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

/// The length of the first complete request in `heard`.
fn whole(protocol: Protocol, heard: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    match protocol {
        Protocol::Echo => (heard.len() >= SIZE).then_some(SIZE),
        Protocol::Http | Protocol::Message => {
            let end = heard.windows(END.len()).position(|four| four == END)?;
            Some(end + END.len())
        }
    }
}

/// The bytes of a request.
pub(super) const SIZE: usize = mynah::limits::LOAD_SIZE_DEFAULT;
