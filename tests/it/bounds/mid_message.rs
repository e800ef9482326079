//! Frame timers of frames that are not kept: discarded frames, and request bodies.

use mynah::kernel::Time;
use mynah::protocol::service::Http;

use super::*;

/// A server of `framing` that discards frames over the limit, with a frame time-out of one minute.
fn stage<S: Service>(service: S, framing: &str) -> Stage<S> {
    let framing = Framing::parse(framing).and_then(|framing| framing.limited(64));
    let settings = Settings {
        frame_timeout: Some(60 * SECOND),
        workspace: WorkspaceSize {
            inbound: 1024,
            outbound: 4096,
        },
        ..plain()
    };
    let framing = framing.expect("a framing");
    let discard = OnTooLong::Discard;
    Stage::serving(service, framing, discard, settings, Config::default())
}

/// Sends a byte of `rest` each second. Returns the time after which the peer was cut.
fn dribble<S: Service>(stage: &mut Stage<S>, peer: Peer, rest: u8) -> Option<Duration> {
    let begin = stage.sim().time();
    for _ in 0..200 {
        if stage.closed(CloseReason::SlowFrame) == 1 {
            return Some(stage.sim().time().since(begin));
        }
        stage.say(peer, &[rest]);
        stage.pass(SECOND);
    }
    None
}

#[test]
fn a_frame_discarded_byte_by_byte_has_a_deadline() {
    for (framing, header) in [
        ("u32be", b"\xff\0\0\0".as_slice()),
        ("line", &[b'x'; 80]),
        // Each byte of the frame may be the beginning of its delimiter.
        ("delim:2e2e2e21", &[b'x'; 80]),
    ] {
        let mut stage = stage(Echo, framing);
        let peer = stage.connect();
        stage.say(peer, header);
        assert_eq!(stage.server.counters().frames_discarded, 1, "{framing}");
        let ended = dribble(&mut stage, peer, b'.');
        assert_eq!(ended, Some(60 * SECOND), "{framing}");
    }
}

#[test]
fn the_time_of_a_discarded_frame_begins_with_the_first_byte_of_its_header() {
    let mut stage = stage(Echo, "u32be");
    let peer = stage.connect();
    stage.say(peer, b"\xff\0\0");
    stage.pass(50 * SECOND);
    stage.say(peer, b"\0");
    assert_eq!(stage.server.counters().frames_discarded, 1);
    assert_eq!(dribble(&mut stage, peer, 0), Some(10 * SECOND));
}

#[test]
fn each_discarded_frame_has_the_whole_frame_timeout() {
    let mut stage = stage(Echo, "u8");
    let peer = stage.connect();
    for _ in 0..5 {
        stage.say(peer, &[100]);
        for _ in 0..100 / 2 {
            stage.pass(SECOND);
            stage.say(peer, &[0; 2]);
        }
    }
    assert_eq!(stage.server.counters().frames_discarded, 5);
    assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
    // After the frames, no frame timer runs.
    stage.pass(1000 * SECOND);
    assert_eq!(stage.link(peer), Link::Open);
    stage.say(peer, b"\x01x");
    assert_eq!(stage.hear(peer), b"\x01x");
}

#[test]
fn a_request_of_http_has_its_time_with_its_body() {
    for head in [
        "POST / HTTP/1.1\r\nHost:\r\nContent-Length: 1000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n1ff\r\n",
    ] {
        let mut stage = stage(Http::default(), "raw");
        let peer = stage.connect();
        stage.say(peer, head.as_bytes());
        assert_eq!(dribble(&mut stage, peer, b'.'), Some(60 * SECOND), "{head}");
    }
}

#[test]
fn a_request_of_http_line_by_line_ends_in_time() {
    let mut stage = stage(Http::default(), "raw");
    let peer = stage.connect();
    stage.say(peer, b"GET / HTTP/1.1\r\n");
    let begin: Time = stage.sim().time();
    while stage.closed(CloseReason::SlowFrame) == 0 {
        stage.say(peer, b"a: b\r\n");
        stage.pass(SECOND);
        assert!(stage.sim().time().since(begin) <= 60 * SECOND);
    }
    assert_eq!(stage.sim().time().since(begin), 60 * SECOND);
}

#[test]
fn requests_with_bodies_have_their_time_each_and_none_between_them() {
    let mut stage = stage(Http::default(), "raw");
    let peer = stage.connect();
    for _ in 0..3 {
        stage.say(
            peer,
            b"POST / HTTP/1.1\r\nHost:\r\nContent-Length: 2\r\n\r\n",
        );
        stage.pass(40 * SECOND);
        stage.say(peer, b"a");
        stage.pass(19 * SECOND);
        stage.say(peer, b"b");
        assert!(stage.hear(peer).starts_with(b"HTTP/1.1 200"));
        stage.pass(100 * SECOND);
    }
    assert_eq!(stage.link(peer), Link::Open);
}

#[test]
fn each_discarded_frame_has_the_whole_frame_timeout_although_the_next_arrives_with_its_end() {
    let mut stage = stage(Echo, "line");
    let peer = stage.connect();
    stage.say(peer, &[b'x'; 80]);
    for _ in 0..6 {
        stage.pass(25 * SECOND);
        stage.say(peer, &[b"\n".as_slice(), &[b'x'; 80]].concat());
    }
    assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
    assert_eq!(stage.server.counters().frames_discarded, 7);
    stage.pass(60 * SECOND - MOMENT);
    assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
    stage.pass(MOMENT);
    assert_eq!(stage.closed(CloseReason::SlowFrame), 1);
}

#[test]
fn a_frame_behind_a_discarded_one_has_the_whole_frame_timeout() {
    let mut stage = stage(Echo, "line");
    let peer = stage.connect();
    stage.say(peer, &[b'x'; 80]);
    stage.pass(50 * SECOND);
    stage.say(peer, b"\nhel");
    stage.pass(50 * SECOND);
    stage.say(peer, b"lo\n");
    assert_eq!(stage.hear(peer), b"hello\n");
}

/// A frame that is not kept, and two accomplices that hold both workspaces.
struct Waits<S: Service> {
    stage: Stage<S>,
    /// The peer whose frame is incomplete.
    peer: Peer,
    /// A byte of the rest of that frame.
    rest: u8,
    accomplices: [Peer; 2],
    /// A frame of an accomplice in two parts. With the first part it holds a workspace.
    parts: [&'static [u8]; 2],
}

impl<S: Service> Waits<S> {
    /// Frames have 2 seconds. The frame of the peer begins with `head`.
    fn new(service: S, framing: &str, head: &[u8], parts: [&'static [u8]; 2]) -> Waits<S> {
        let settings = Settings {
            frame_timeout: Some(2 * SECOND),
            workspaces: 2,
            workspace: WorkspaceSize {
                inbound: 1024,
                outbound: 4096,
            },
            ..plain()
        };
        let framing = Framing::parse(framing).and_then(|framing| framing.limited(64));
        let framing = framing.expect("a framing");
        let discard = OnTooLong::Discard;
        let mut stage = Stage::serving(service, framing, discard, settings, Config::default());
        let accomplices = [stage.connect(), stage.connect()];
        let peer = stage.connect();
        stage.say(peer, head);
        assert_eq!(
            stage.server.workspaces_acquired(),
            0,
            "nothing of it is kept"
        );
        Waits {
            stage,
            peer,
            rest: b'.',
            accomplices,
            parts,
        }
    }

    /// The peer sends a byte of its frame, which is read only after `span`.
    fn wait(&mut self, span: Duration) {
        let before = self.stage.server.counters().workspace_waits;
        for accomplice in self.accomplices {
            self.stage.say(accomplice, self.parts[0]);
        }
        self.stage.say(self.peer, &[self.rest]);
        self.stage.pass(span);
        assert_eq!(self.stage.server.counters().workspace_waits, before + 1);
        for accomplice in self.accomplices {
            self.stage.say(accomplice, self.parts[1]);
        }
        assert_eq!(self.stage.server.workspaces_acquired(), 0);
    }

    fn is_late(&self) -> bool {
        self.stage.closed(CloseReason::SlowFrame) > 0
    }
}

/// Runs `play` for a discarded frame and for a request body, both of which wait for a workspace.
fn each_kept_waiting(play: impl Fn(&mut dyn FnMut(Step) -> bool)) {
    let mut thrown_away = Waits::new(Echo, "u8", b"\xff", [b"\x02a", b"b"]);
    play(&mut |step| thrown_away.step(step));
    let head = b"POST / HTTP/1.1\r\nHost:\r\nContent-Length: 1000\r\n\r\n";
    let parts: [&[u8]; 2] = [b"GET / HTTP/1.1\r\nHo", b"st:\r\n\r\n"];
    let mut body = Waits::new(Http::default(), "raw", head, parts);
    play(&mut |step| body.step(step));
}

#[derive(Clone, Copy)]
enum Step {
    /// Time passes without data.
    Pass(Duration),
    /// A byte is sent, and read this much later.
    Wait(Duration),
}

impl<S: Service> Waits<S> {
    /// Does one step. Returns whether the peer was closed as late.
    fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Pass(span) => self.stage.pass(span),
            Step::Wait(span) => self.wait(span),
        }
        self.is_late()
    }
}

#[test]
fn a_wait_for_a_workspace_moves_the_deadline_of_a_frame_by_the_time_waited() {
    for waited in [MOMENT, SECOND / 10, 3 * SECOND / 2] {
        each_kept_waiting(|step| {
            assert!(!step(Step::Pass(3 * SECOND / 2)));
            assert!(!step(Step::Wait(waited)));
            assert!(!step(Step::Pass(SECOND / 2 - MOMENT)), "{waited:?}");
            assert!(step(Step::Pass(MOMENT)), "{waited:?}");
        });
    }
}

#[test]
fn a_frame_is_not_renewed_by_waits_for_a_workspace() {
    each_kept_waiting(|step| {
        // Between two waits, a tenth of a second counts for the frame.
        for _ in 0..19 {
            assert!(!step(Step::Pass(SECOND / 10)));
            assert!(!step(Step::Wait(SECOND / 2)));
        }
        assert!(!step(Step::Pass(SECOND / 10 - MOMENT)));
        assert!(step(Step::Pass(MOMENT)));
    });
}

#[test]
fn a_frame_is_not_late_while_it_waits_for_a_workspace() {
    each_kept_waiting(|step| {
        assert!(!step(Step::Pass(2 * SECOND - MOMENT)));
        assert!(!step(Step::Wait(2 * SECOND - MOMENT)));
        assert!(step(Step::Pass(MOMENT)));
    });
}

#[test]
fn frames_behind_a_discarded_one_are_answered_and_counted() {
    let mut stage = stage(Echo, "u8");
    let peer = stage.connect();
    let long = [&[80][..], &[b'x'; 80]].concat();
    stage.say(peer, &[&b"\x01a"[..], &long, b"\x01b\x01c"].concat());
    assert_eq!(stage.hear(peer), b"\x01a\x01b\x01c");
    let counters = stage.server.counters();
    assert_eq!((counters.frames, counters.frames_discarded), (3, 1));
}

#[test]
fn a_body_larger_than_one_turn_examines_does_not_extend_its_deadline() {
    let mut stage = Stage::serving(
        Http::default(),
        Framing::parse("raw").expect("a framing"),
        OnTooLong::Close,
        Settings {
            frame_timeout: Some(60 * SECOND),
            frames_per_event: 1,
            workspace: WorkspaceSize {
                inbound: 1024,
                outbound: 4096,
            },
            ..plain()
        },
        Config::default(),
    );
    let peer = stage.connect();
    let begin = stage.sim().time();
    stage.say(
        peer,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for _ in 0..59 {
        stage.pass(SECOND);
        // A whole chunk, a part of the next one, and its end in a separate turn.
        stage.say(peer, b"1\r\nx\r\n1");
        stage.say(peer, b"\r\nx\r\n");
    }
    assert_eq!(stage.closed(CloseReason::SlowFrame), 0);
    stage.pass(begin.after(60 * SECOND).since(stage.server.now()));
    assert_eq!(stage.closed(CloseReason::SlowFrame), 1);
}
