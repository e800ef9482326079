//! Draws a world from a seed: everything random except the faults inside calls.
//!
//! Sizes are small, so that bounds are reached often and a run takes a millisecond. Turns are not
//! known here. Invariant: each peer has its own random generator for what it sends and does, so
//! that leaving out a fault or another peer changes as little as possible.

use std::time::Duration;

use mynah::base::token_bucket::Rate;
use mynah::kernel::Trigger;
use mynah::protocol::framing::OnTooLong;
use mynah::server::admission::AcceptPolicy;
use mynah::server::pool::WorkspaceSize;

use crate::sim::{Dice, Faults, Pipe};

use super::announcing;
use super::challenging::{Answer, CHALLENGE_SIZE, Lock};
use super::crossing;
use super::http::LINE_MAX;
use super::script::Talk;
use super::shape::{SHAPES, Shape};

/// A service and its oracle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answering {
    Echo,
    Upper,
    UpperUnicode,
    Discard,
    Prefixed,
    Dict,
    Robot,
    /// Only in worlds of its own: it finds message boundaries itself, see http.rs.
    Http,
    /// Only in worlds of its own: processes end at their own time.
    Run,
}

/// Those whose answers do not depend on the cuts of a stream without boundaries come first.
const ANSWERINGS: [Answering; 7] = [
    Answering::Echo,
    Answering::Upper,
    Answering::UpperUnicode,
    Answering::Discard,
    Answering::Prefixed,
    Answering::Dict,
    Answering::Robot,
];
const WHATEVER_THE_CUTS: usize = 4;

pub const PREFIX: &str = "echo# ";
pub const ALLOWED: [&str; 4] = ["echo hello world", "true", "held", "nowhere"];
pub const DICTIONARY: &str = "pear: 梨\napple: 苹果\na: b\n";

impl Answering {
    /// The answer to one message.
    pub fn answer(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Answering::Echo => bytes.to_vec(),
            Answering::Upper => bytes.to_ascii_uppercase(),
            Answering::UpperUnicode => {
                let chunks = bytes.utf8_chunks();
                let upper = chunks.map(|chunk| {
                    [chunk.valid().to_uppercase().as_bytes(), chunk.invalid()].concat()
                });
                upper.collect::<Vec<_>>().concat()
            }
            Answering::Discard => Vec::new(),
            Answering::Prefixed => [PREFIX.as_bytes(), bytes].concat(),
            Answering::Dict => match bytes {
                b"pear" => "梨".into(),
                b"apple" => "苹果".into(),
                b"a" => "b".into(),
                _ => "not known".into(),
            },
            Answering::Robot => match bytes {
                b"0" => "通过可能会被录音.balabala一大推".into(),
                _ => "请重新输入.".into(),
            },
            Answering::Run => match bytes {
                b"echo hello world" => "hello world\n".into(),
                b"true" | b"held" => Vec::new(),
                b"nowhere" => "你要执行的命令不存在!".into(),
                _ => "坏人!".into(),
            },
            Answering::Http => unreachable!("its messages are not cut out for it"),
        }
    }

    /// The greeting that it sends first.
    pub fn greeting(self) -> Option<&'static str> {
        (self == Answering::Robot).then_some("欢迎致电 10086,请输入1xxx,0转人工服务.")
    }

    /// A word that has a meaning for this service, if the service knows words.
    pub fn word(self, dice: &mut Dice) -> Option<&'static str> {
        let words: &[&str] = match self {
            Answering::Dict => &["pear", "apple", "a", "plum", ""],
            Answering::Robot => &["0", "0", "0", "1", "exit"],
            Answering::Run => &["echo hello world", "true", "held", "nowhere", "rm"],
            _ => return None,
        };
        dice.chance(0.5).then(|| words[dice.below(words.len())])
    }

    pub fn is_goodbye(self, bytes: &[u8]) -> bool {
        self == Answering::Robot && bytes == b"exit"
    }

    pub fn is_greeting(self) -> bool {
        self == Answering::Discard
    }
}

/// What a server and its peers agree on.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub shape: Shape,
    pub limit: usize,
    pub answering: Answering,
    pub on_too_long: OnTooLong,
}

impl Manner {
    fn draw(dice: &mut Dice) -> Manner {
        let (shape, answering) = match dice.below(10) {
            0 => (SHAPES[0], Answering::Http),
            1 => (Shape::draw_roomy(dice), Answering::Run),
            _ => Manner::draw_usual(dice),
        };
        // Room for the words of services that have their own.
        let words = match answering {
            Answering::Dict | Answering::Robot => 60,
            Answering::Run => 100,
            _ => 0,
        };
        let limit = shape.limit_min().max(1) + words + [0, 1, 20, 100, 200][dice.below(5)];
        Manner {
            shape,
            limit,
            answering,
            on_too_long: [OnTooLong::Close, OnTooLong::Discard][dice.below(2)],
        }
    }

    fn draw_usual(dice: &mut Dice) -> (Shape, Answering) {
        let shape = SHAPES[dice.below(SHAPES.len())];
        let answering = match shape.is_raw() {
            true => ANSWERINGS[dice.below(WHATEVER_THE_CUTS)],
            false => ANSWERINGS[dice.below(ANSWERINGS.len())],
        };
        (shape, answering)
    }
}

/// The behaviour of a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Sends its part, receives everything, closes.
    Honest,
    /// The same, a byte at a time.
    ByteByByte,
    /// Sends as much as fits, and reads now and then.
    Flooding,
    /// Never reads.
    NeverReading,
    /// Stops in the middle without FIN, and closes much later.
    Vanishing,
    /// Ends with RST in the middle.
    Resetting,
    /// Sends FIN in the middle, and receives everything.
    HalfClosing,
    /// Sends its part and then an invalid frame.
    Lying,
}

const KINDS: [Kind; 8] = [
    Kind::Honest,
    Kind::ByteByByte,
    Kind::Flooding,
    Kind::NeverReading,
    Kind::Vanishing,
    Kind::Resetting,
    Kind::HalfClosing,
    Kind::Lying,
];

/// The part of one peer.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its number, which does not change when other peers are left out.
    pub number: usize,
    pub kind: Kind,
    /// The last byte of its address: 127.0.0.`machine`.
    pub machine: u8,
    pub talk: Talk,
    /// The step at which it connects.
    pub arrives: usize,
    /// How many bytes it sends before it does what its kind does.
    pub turning_point: usize,
    /// After how many steps it gives up.
    pub patience: usize,
    /// After sending and receiving everything, send FIN and wait for that of the server, instead of
    /// closing.
    pub finishes: bool,
    /// Its answer to a challenge.
    pub answer: Option<Answer>,
    pub seed: u64,
}

/// Everything that determines a run.
#[derive(Clone, Debug)]
pub struct World {
    pub seed: u64,
    pub faults: Faults,
    pub manner: Manner,
    pub trigger: Trigger,
    pub defer_accept: bool,
    pub spin: Option<Duration>,
    /// Killed processes take a while to die.
    pub slow_deaths: bool,
    pub frames_per_event: u64,
    pub slots: usize,
    pub workspaces: usize,
    pub workspace: WorkspaceSize,
    pub idle_timeout: Option<Duration>,
    pub stall_timeout: Option<Duration>,
    pub stall_size_min: usize,
    pub frame_timeout: Option<Duration>,
    pub connections_per_ip_max: Option<u32>,
    pub drain_timeout: Duration,
    pub request: Pipe,
    pub reply: Pipe,
    pub backlog: u32,
    pub descriptors: usize,
    /// The kernel makes all calls of a batch at once, as a submission ring does.
    pub batches_at_once: bool,
    /// The longest time between two steps of the peers.
    pub pace: Duration,
    /// Of each connection and of all, for reading and then for writing.
    pub rates: [Option<Rate>; 4],
    pub idle_read: Option<Duration>,
    pub idle_write: Option<Duration>,
    /// Every connection comes through a load balancer and has to begin with its header.
    pub is_announced: bool,
    /// Every connection is challenged.
    pub lock: Option<Lock>,
    /// The step at which the server is drained, if not after the last peer.
    pub drains_at: Option<usize>,
    pub parts: Vec<Part>,
    /// How two workers share the connections; `None` is one worker.
    pub accept: Option<AcceptPolicy>,
    /// The second worker is a process that takes over from the first one.
    pub takeover: Option<Takeover>,
}

/// A takeover, see crossing.rs.
#[derive(Clone, Copy, Debug)]
pub struct Takeover {
    /// The step at which the first process leaves its listener.
    pub leaves_at: usize,
    /// The process that dies, and at which step.
    pub dies: Option<(usize, usize)>,
}

const POLICIES: [AcceptPolicy; 3] = [
    AcceptPolicy::Reuseport,
    AcceptPolicy::Exclusive,
    AcceptPolicy::Handoff,
];

impl World {
    /// How many workers there are.
    pub fn workers(&self) -> usize {
        1 + usize::from(self.accept.is_some())
    }

    /// The world of `seed`.
    pub fn draw(seed: u64) -> World {
        let mut dice = Dice::new(seed ^ 0x5eed_0000_0000_0000);
        let manner = Manner::draw(&mut dice);
        let slots = 1 + dice.below(8);
        let read = [1, 16, 100, 700][dice.below(4)].max(match manner.answering {
            Answering::Http => LINE_MAX,
            _ => 1,
        });
        let workspace = WorkspaceSize {
            inbound: match manner.shape.is_raw() {
                true => read,
                false => manner
                    .shape
                    .framing(manner.limit)
                    .frame_size_max(manner.limit)
                    .max(read),
            },
            // In addition to the minimum.
            outbound: [0, 1, 100][dice.below(3)],
        };
        let mut pipe = || {
            let mut size = || [1, 7, 60, 300, 4096][dice.below(5)];
            Pipe {
                send: size(),
                receive: size(),
            }
        };
        let (request, reply) = (pipe(), pipe());
        let narrow = [request, reply].map(|pipe| pipe.send.min(pipe.receive));
        let longest = 100 * narrow[0].min(narrow[1]).clamp(2, 30);
        let mut world = World {
            seed,
            faults: Faults::swarm(seed),
            manner,
            trigger: [Trigger::Level, Trigger::Edge][dice.below(2)],
            defer_accept: dice.chance(0.3),
            frames_per_event: [1, 2, 5, 1000][dice.below(4)],
            slots,
            workspaces: 1 + dice.below(slots),
            workspace,
            spin: dice
                .chance(0.2)
                .then(|| Duration::from_micros([20, 200][dice.below(2)])),
            slow_deaths: dice.chance(0.5),
            idle_timeout: timeout(&mut dice),
            stall_timeout: timeout(&mut dice),
            stall_size_min: [1, 2, 5][dice.below(3)],
            frame_timeout: timeout(&mut dice).map(|span| span.mul_f64([10.0, 0.2][dice.below(2)])),
            connections_per_ip_max: dice.chance(0.25).then(|| 1 + dice.below(slots) as u32),
            drain_timeout: Duration::from_millis([0, 500, 3000][dice.below(3)]),
            request,
            reply,
            backlog: [0, 2, 128][dice.below(3)],
            descriptors: if dice.chance(0.2) {
                3 + dice.below(slots)
            } else {
                1 << 16
            },
            batches_at_once: false,
            pace: Duration::from_millis([1, 10, 50][dice.below(3)]),
            drains_at: dice.chance(0.3).then(|| dice.below(100)),
            rates: [None; 4],
            idle_read: None,
            idle_write: None,
            is_announced: false,
            lock: None,
            parts: Vec::new(),
            accept: None,
            takeover: None,
        };
        world.faults.no_memory = [0.0, 0.002, 0.02][dice.below(3)];
        world.join_limits_and_faults(&mut dice);
        if manner.answering == Answering::Run {
            // The effect of these faults on a command is correct, and changes its answer.
            world.faults.starved = 0.0;
            world.faults.leap = 0.0;
            world.descriptors = 1 << 16;
        }
        let peers = 1 + dice.below(10);
        world.parts = (0..peers)
            .map(|number| world.draw_part(number, longest))
            .collect();
        world.batches_at_once = dice.chance(0.5);
        // Processes belong to the worker that has started them.
        if manner.answering != Answering::Run && dice.chance(0.3) {
            world.accept = Some(POLICIES[dice.below(POLICIES.len())]);
            // The second worker has a reserve and perhaps a listener too.
            world.descriptors += 3;
        }
        world.draw_rates(&mut dice);
        let is_announced = dice.chance(0.25);
        // Of its own, so that a world is otherwise the same without the feature.
        let mut dice = Dice::new(seed ^ 0x10c4);
        if cfg!(feature = "auth") && dice.chance(0.25) {
            let is_md5 = dice.chance(0.5);
            world.challenge(Lock { is_md5 });
        }
        if is_announced {
            world.announce();
        }
        if world.accept == Some(AcceptPolicy::Exclusive) {
            world.draw_takeover();
        }
        world
    }

    /// Most often, makes the two workers two processes.
    fn draw_takeover(&mut self) {
        let mut dice = Dice::new(self.seed.rotate_left(41));
        if dice.chance(0.25) {
            return;
        }
        // Limits of an address are those of each process.
        self.connections_per_ip_max = None;
        self.descriptors = 1 << 16;
        let leaves_at = dice.below(50);
        // Tasks and datagrams belong to the first worker, and would end with it.
        let has_more = self.seed % 4 == 1 || self.seed % 4 == 2;
        let victim = match has_more {
            true => crossing::NEW,
            false => [crossing::OLD, crossing::NEW][dice.below(2)],
        };
        let dies_at = match dice.chance(0.5) {
            true => dice.below(leaves_at + 1),
            false => leaves_at + dice.below(30),
        };
        self.takeover = Some(Takeover {
            leaves_at,
            dies: dice.chance(0.6).then_some((victim, dies_at)),
        });
    }

    /// Puts a key in front: each peer has to answer a challenge, and some that lie answer wrong.
    fn challenge(&mut self, lock: Lock) {
        self.lock = Some(lock);
        self.workspace.inbound = self.workspace.inbound.max(CHALLENGE_SIZE);
        let size = lock.size();
        for part in &mut self.parts {
            let mut dice = Dice::new(part.seed ^ 0x10c4);
            let lies = part.kind == Kind::Lying && dice.chance(0.5);
            let wrong = lies.then(|| dice.below(size));
            part.answer = Some(Answer { lock, wrong });
            part.talk.demand(size, lies);
            part.turning_point = match dice.chance(0.3) {
                true => dice.below(size + 1),
                false => part.turning_point + size,
            };
        }
    }

    /// Puts a load balancer in front: each peer begins with a header, and some that lie begin with
    /// a wrong one.
    fn announce(&mut self) {
        self.is_announced = true;
        self.workspace.inbound = self.workspace.inbound.max(announcing::HEADER_MAX);
        for part in &mut self.parts {
            let mut dice = Dice::new(!part.seed);
            let size = match part.kind == Kind::Lying && dice.chance(0.5) {
                true => {
                    let lie = announcing::lie(&mut dice);
                    part.talk.announce_wrongly(&lie);
                    lie.len()
                }
                false => {
                    let header = announcing::header(&mut dice);
                    part.talk.announce(&header);
                    header.len()
                }
            };
            part.turning_point = match dice.chance(0.3) {
                true => dice.below(size + 1),
                false => part.turning_point + size,
            };
        }
    }

    /// Rates that let a world end in time, with bursts down to one byte, and idle time-outs of one
    /// direction.
    fn draw_rates(&mut self, dice: &mut Dice) {
        if dice.chance(0.2) {
            self.rates = [(); 4].map(|()| {
                let per_step = [50, 500, 5000][dice.below(3)];
                let rate = per_step * 1000 / self.pace.as_millis() as u64;
                let burst = [1, 7, 100, 1000][dice.below(4)];
                dice.chance(0.5).then_some(Rate { rate, burst })
            });
        }
        if dice.chance(0.2) {
            self.idle_read = timeout(dice);
            self.idle_write = timeout(dice);
        }
    }

    /// Most often, combines each limit with the faults that come between a counted action and its
    /// count.
    fn join_limits_and_faults(&mut self, dice: &mut Dice) {
        let faults = &mut self.faults;
        let mut join = |limited: bool, fault: &mut f64, probability: f64| {
            if limited && dice.chance(0.5) {
                *fault = fault.max(probability);
            }
        };
        let per_ip = self.connections_per_ip_max.is_some();
        join(per_ip, &mut faults.unregistered, 0.1);
        join(per_ip, &mut faults.aborted, 0.1);
        join(per_ip, &mut faults.starved, 0.05);
        join(self.slots == 1, &mut faults.unregistered, 0.1);
        join(self.workspaces == 1, &mut faults.no_memory, 0.05);
        join(self.workspaces == 1, &mut faults.no_buffers, 0.05);
        join(self.frame_timeout.is_some(), &mut faults.no_memory, 0.02);
        join(self.descriptors < 1 << 16, &mut faults.aborted, 0.05);
    }

    fn draw_part(&self, number: usize, longest: usize) -> Part {
        let seed = self.seed.wrapping_mul(31).wrapping_add(number as u64 + 1);
        let mut dice = Dice::new(seed);
        let kind = match dice.chance(0.4) {
            true => Kind::Honest,
            false => KINDS[dice.below(KINDS.len())],
        };
        let size = match kind {
            Kind::ByteByByte => dice.below(60),
            Kind::Flooding | Kind::NeverReading => 2 * longest,
            _ => dice.below(longest),
        };
        // The answers are much longer than the requests.
        let size = match self.manner.answering {
            Answering::Robot => size / 8,
            Answering::Http | Answering::Run => size / 4,
            _ => size,
        };
        let talk = Talk::draw(&mut dice, &self.manner, size, kind == Kind::Lying);
        Part {
            number,
            kind,
            arrives: dice.below(30),
            turning_point: dice.below(talk.bytes.len() + 1),
            patience: 40 + dice.below(200),
            finishes: dice.chance(0.5),
            answer: None,
            seed: dice.next(),
            machine: 1 + dice.below(3) as u8,
            talk,
        }
    }
}

/// No time-out, or one so long that a peer that acts at every step is never late.
fn timeout(dice: &mut Dice) -> Option<Duration> {
    [
        None,
        Some(Duration::from_secs(1)),
        Some(Duration::from_secs(7)),
    ][dice.below(3)]
}
