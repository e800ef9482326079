//! What a trace shows of conversations on the simulated kernel: the golden text, and the states.

use mynah::kernel::Traced;
use mynah::kernel::journal::files::{About, Format};
use mynah::kernel::journal::{Body, Keep, Ring, recorder};

use super::*;

/// A traced server, its simulated kernel, and the ring.
struct Stage {
    server: Server<Traced<Sim>, Echo>,
    ring: Ring,
}

impl Stage {
    fn new(config: Config, mut settings: Settings, framing: Framing) -> Stage {
        let keep = Keep {
            records: 1000,
            payload: false,
            descriptors: 16,
        };
        let ring = Ring::new(keep).expect("memory");
        let track = ring.track();
        let mut kernel = Traced::new(Sim::new(config), recorder(Some(&track)));
        let address = "127.0.0.1:7007".parse().expect("an address");
        let options = Sim::listen_options(settings.backlog);
        let listener = kernel.listen(&address, &options).expect("the port is free");
        settings.trace = Some(track);
        let protocol = Protocol {
            framing,
            on_too_long: OnTooLong::Close,
            service: Echo,
        };
        let server = Server::new(kernel, vec![listener], protocol, settings);
        Stage {
            server: server.expect("it starts"),
            ring,
        }
    }

    fn sim(&mut self) -> &mut Sim {
        self.server.kernel_mut().inner_mut()
    }

    /// Time passes, and one turn that does not wait follows.
    fn turn(&mut self, micros: u64) {
        self.sim().advance(Duration::from_micros(micros));
        let now = self.sim().time();
        self.server.turn(now).expect("a turn does not fail");
    }

    /// The lines of the trace without the legend.
    fn text(&self) -> Vec<String> {
        let about = About {
            command: "mynah".to_owned(),
            process: 1,
            clock: (Time::default(), Duration::ZERO),
        };
        let mut text = Vec::new();
        Format::Text
            .write(&self.ring.snapshot(), &about, &mut text)
            .expect("a vector takes all");
        let text = String::from_utf8(text).expect("UTF-8");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    /// The states and what was waited for, one after the other.
    fn states(&self) -> Vec<[&'static str; 3]> {
        let snapshot = self.ring.snapshot();
        let records = snapshot.records().iter();
        let states = records.filter_map(|record| match record.body {
            Body::State {
                state,
                waits,
                reason,
            } => Some([state, waits, reason]),
            _ => None,
        });
        states.collect()
    }
}

#[test]
fn the_session_of_the_readme_has_this_trace() {
    let framing = Framing::parse("u32be").expect("a framing");
    let mut stage = Stage::new(Config::default(), settings(), framing);
    let peer = stage.sim().connect(0);
    stage.turn(100);
    let (head, rest) = (b"\0\0\0\x0fat your", b" service");
    assert_eq!(stage.sim().send(peer, head), head.len());
    stage.turn(20);
    assert_eq!(stage.sim().send(peer, rest), rest.len());
    stage.turn(30);
    assert_eq!(stage.sim().receive_all(peer), b"\0\0\0\x0fat your service");
    stage.sim().finish(peer);
    stage.turn(40);
    let expected = "     +0 us  -      listen(tcp://127.0.0.1:7007, 8) = 3
     +0 us  -      epoll_ctl(ADD, 3, listener-0, READ) = 0
     +0 us  -      open(/dev/null) = 4
   +100 us  -      epoll_wait(512, 0ns) = 1 [listener-0 IN]
     +0 us  -      accept4(3) = 5
     +0 us  0.1    state open, waits for request
     +0 us  0.1    epoll_ctl(ADD, 5, 0.1, READ) = 0
    +20 us  -      epoll_wait(512, 0ns) = 1 [0.1 IN]
     +0 us  0.1    recv(5, 1024) = 11 \"\\0\\0\\0\\x0fat your\"
     +0 us  0.1    state open, waits for rest of a frame
    +30 us  -      epoll_wait(512, 0ns) = 1 [0.1 IN]
     +0 us  0.1    recv(5, 1013) = 8 \" service\"
     +0 us  0.1    send(5, 19) = 19 \"\\0\\0\\0\\x0fat your service\"
     +0 us  0.1    state open, waits for request
    +40 us  -      epoll_wait(512, 0ns) = 1 [0.1 IN]
     +0 us  0.1    recv(5, 1024) = 0
     +0 us  0.1    state half-closed, waits for request
     +0 us  0.1    state closed: end_of_stream
     +0 us  0.1    close(5) = 0";
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(stage.text(), expected);
}

#[test]
fn a_slow_reader_a_drain_and_a_refused_frame_show_in_the_states() {
    let framing = Framing::parse("u8").expect("a framing");
    let mut stage = Stage::new(narrow(), settings(), framing);
    let slow = stage.sim().connect(0);
    stage.turn(0);
    let frame = [&[249][..], &[b'x'; 249]].concat();
    let mut sent = 0;
    for _ in 0..20 {
        sent += stage.sim().send(slow, &frame[sent % 250..]);
        stage.turn(1);
    }
    let states = stage.states();
    assert_eq!(states[0], ["open", "request", ""]);
    assert!(states.contains(&["open", "writable", ""]), "{states:?}");
    stage.server.drain();
    for _ in 0..20 {
        stage.sim().receive_all(slow);
        stage.turn(1);
    }
    stage.sim().finish(slow);
    (0..20).for_each(|_| stage.turn(1));
    let states = stage.states();
    let last = states[states.len() - 1];
    assert_eq!((last[0], last[1]), ("closed", ""), "{states:?}");
    let drained = states.iter().any(|[state, waits, _]| {
        *state == "lingering" && *waits == "last ACK" || *state == "closed"
    });
    assert!(drained, "{states:?}");
    // No state is told twice in a row.
    assert!(
        states.windows(2).all(|pair| pair[0] != pair[1]),
        "{states:?}"
    );
}
