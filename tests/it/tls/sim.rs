//! TLS in the event loop on the simulated kernel, turn by turn, under both triggers and both
//! versions.

use std::sync::Arc;
use std::time::Duration;

use mynah::kernel::{Event, Interest, Opener, Poller, Sockets, Time, Token, Trigger};
use mynah::limits::FRAMES_PER_EVENT;
use mynah::protocol::connection::{CloseReason, Protocol};
use mynah::protocol::framing::{Framing, OnTooLong};
use mynah::protocol::service::{AnyService, Echo, Robot};
use mynah::server::observe::counters::Counters;
use mynah::server::pool::WorkspaceSize;
use mynah::server::{Server, Settings};
use mynah::transport::tls::{Identity, Side, Tls};

use super::peer::{TlsPeer, VERSIONS};
use crate::sim::{Config, Link, Peer, Pipe, Sim};

const HANDSHAKE: Duration = Duration::from_secs(3);
const STALL: Duration = Duration::from_secs(20);
/// More turns than any play needs. A server that takes more is spinning.
const TURNS_MAX: usize = 20_000;

pub(super) struct Play {
    server: Server<Tls<Sim>, AnyService>,
}

/// One connection: its end in the simulation, and the client that lives there.
struct Client {
    peer: Peer,
    tls: TlsPeer,
}

/// Bytes that differ from their neighbours.
pub(super) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place % 251) as u8).collect()
}

/// A kernel whose sockets hold so many bytes in each direction.
pub(super) fn narrow(send: usize, receive: usize) -> Config {
    let pipe = Pipe { send, receive };
    Config {
        request: pipe,
        reply: pipe,
        ..Config::default()
    }
}

fn server_side() -> Side {
    let (certificate, key) = (include_bytes!("cert.pem"), include_bytes!("key.pem"));
    let identity = Identity::new(certificate, key, None).expect("they fit");
    Side::Server(Arc::new(identity))
}

impl Play {
    pub(super) fn new(
        trigger: Trigger,
        config: Config,
        framing: &str,
        service: AnyService,
    ) -> Play {
        let mut sim = Sim::new(config);
        let address = "127.0.0.1:7007".parse().expect("an address");
        let listener = sim
            .listen(&address, &Sim::listen_options(8))
            .expect("the port is free");
        let settings = Settings {
            connections_max: 4,
            workspaces: 4,
            workspace: WorkspaceSize {
                inbound: 40_000,
                outbound: 4096,
            },
            trigger,
            defer_accept: false,
            frames_per_event: FRAMES_PER_EVENT,
            spin: None,
            idle_timeout: None,
            stall_timeout: Some(STALL),
            stall_size_min: 1,
            frame_timeout: None,
            connections_per_ip_max: None,
            backlog: 8,
            drain_timeout: Duration::from_secs(10),
            wiretap: None,
            auth: None,
            pacing: Default::default(),
            proxy: None,
            trace: None,
        };
        let protocol = Protocol {
            framing: Framing::parse(framing).expect("a framing"),
            on_too_long: OnTooLong::Close,
            service,
        };
        let kernel = Tls::new(sim, server_side(), 4, Some(HANDSHAKE));
        let server = Server::new(kernel, vec![listener], protocol, settings).expect("it starts");
        Play { server }
    }

    pub(super) fn sim(&mut self) -> &mut Sim {
        self.server.kernel_mut().below()
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.server.counters().closed[reason as usize]
    }

    pub(super) fn counters(&self) -> &Counters {
        self.server.counters()
    }

    /// Ends the server, whose clients have all left.
    pub(super) fn drain(&mut self) {
        self.server.drain();
        while !self.server.is_done() {
            self.pass(Duration::from_secs(1));
        }
        self.quiet();
    }

    /// Takes turns until the loop waits, without advancing the clock.
    fn quiet(&mut self) {
        let now = self.sim().time();
        self.sim().stop_at(now);
        for _ in 0..TURNS_MAX {
            self.server.turn(Time::NEVER).expect("a turn does not fail");
            match self.sim().asleep() {
                Some(deadline) if deadline > now => {
                    self.sim().stop_at(Time::NEVER);
                    return;
                }
                _ => {}
            }
        }
        panic!("the server spins");
    }

    pub(super) fn pass(&mut self, span: Duration) {
        self.quiet();
        self.sim().advance(span);
        self.quiet();
    }

    fn client(&mut self, tls: TlsPeer) -> Client {
        let peer = self.sim().connect(0);
        self.quiet();
        Client { peer, tls }
    }

    /// Sends `bytes` as there is room, in pieces of at most `piece`, and receives meanwhile.
    fn send(&mut self, client: &mut Client, bytes: &[u8], piece: usize) {
        for mut part in bytes.chunks(piece) {
            while !part.is_empty() {
                let sent = self.sim().send(client.peer, part);
                part = &part[sent..];
                self.quiet();
                assert!(self.receive(client) || sent > 0, "nothing moves");
            }
        }
    }

    /// Receives what has arrived. Returns whether anything had.
    fn receive(&mut self, client: &mut Client) -> bool {
        let mut any = false;
        loop {
            let records = self.sim().receive_all(client.peer);
            self.quiet();
            if records.is_empty() {
                return any;
            }
            any = true;
            client.tls.give(&records);
        }
    }

    /// Lets both sides talk until neither has anything to send.
    fn talk(&mut self, client: &mut Client, piece: usize) {
        loop {
            let records = client.tls.take();
            self.send(client, &records, piece);
            if !self.receive(client) && records.is_empty() && !client.tls.tls.wants_write() {
                return;
            }
        }
    }

    fn link(&mut self, client: &Client) -> Link {
        self.sim().peer_state(client.peer).link
    }

    /// What must hold after every play: nothing has leaked.
    pub(super) fn end(mut self) {
        self.quiet();
        let live = self.server.counters().connections_now as usize;
        // A drain has closed the listener, and keeps the reserve.
        let fixed = if self.server.is_done() { 1 } else { 2 };
        assert_eq!(
            self.sim().open_sockets(),
            fixed + live,
            "a socket has leaked"
        );
        assert_eq!(self.server.workspaces_acquired(), 0);
    }
}

/// Runs the same play under both triggers with a client of both versions.
fn each(config: &Config, framing: &str, service: &AnyService, play: impl Fn(&mut Play, TlsPeer)) {
    for trigger in [Trigger::Level, Trigger::Edge] {
        for version in VERSIONS {
            // Printed only when the play fails.
            println!("under {trigger:?} trigger, {version:?}");
            let mut stage = Play::new(trigger, config.clone(), framing, service.clone());
            play(&mut stage, TlsPeer::new(version));
            stage.end();
        }
    }
}

fn echo(config: &Config, play: impl Fn(&mut Play, TlsPeer)) {
    each(config, "raw", &AnyService::from(Echo), play);
}

#[test]
fn bytes_come_back_however_their_records_are_cut() {
    for piece in [1, 2, 7, 1000, 100_000] {
        echo(&Config::default(), |play, tls| {
            let mut client = play.client(tls);
            for size in [1, 100, 20_000] {
                let bytes = pattern(size);
                client.tls.say(&bytes);
                play.talk(&mut client, piece);
                assert!(std::mem::take(&mut client.tls.heard) == bytes, "{piece}");
            }
        });
    }
}

#[test]
fn frames_come_back_through_sockets_of_a_few_bytes() {
    let framed = AnyService::from(Echo);
    each(&narrow(50, 70), "u16be", &framed, |play, tls| {
        let mut client = play.client(tls);
        let mut frame = vec![0x75, 0x30];
        frame.extend(pattern(30_000));
        for _ in 0..2 {
            client.tls.say(&frame);
        }
        play.talk(&mut client, 1000);
        assert!(client.tls.heard == [&frame[..], &frame[..]].concat());
    });
}

#[test]
fn plaintext_that_did_not_fit_is_read_without_another_event() {
    // Three records arrive together, of which a workspace holds two.
    let wide = narrow(200_000, 200_000);
    each(&wide, "raw", &AnyService::from(Echo), |play, tls| {
        let mut client = play.client(tls);
        play.talk(&mut client, 100_000);
        let bytes = pattern(120_000);
        client.tls.say(&bytes);
        let records = client.tls.take();
        assert_eq!(play.sim().send(client.peer, &records), records.len());
        play.quiet();
        while play.receive(&mut client) {}
        assert!(client.tls.heard == bytes);
    });
}

#[test]
fn room_for_one_event_goes_to_the_wire_and_to_unread_plaintext_in_turn() {
    let mut sim = Sim::new(Config::default());
    let address = "127.0.0.1:7007".parse().expect("an address");
    let options = Sim::listen_options(8);
    let listener = sim.listen(&address, &options).expect("the port is free");
    let mut kernel = Tls::new(sim, server_side(), 2, None);
    let sockets = [0, 1].map(|slot| {
        let peer = kernel.below().connect(0);
        let socket = kernel.accept(&listener).expect("it is in the queue");
        let token = Token::new(slot, 1);
        let watched = kernel.register(&socket, token, Interest::READ);
        watched.expect("there is room");
        let mut tls = TlsPeer::new(VERSIONS[1]);
        for _ in 0..3 {
            kernel.below().send(peer, &tls.take());
            assert!(kernel.read(&socket, &mut [0]).is_err(), "a handshake");
            tls.give(&kernel.below().receive_all(peer));
        }
        tls.say(b"plaintext");
        kernel.below().send(peer, &tls.take());
        socket
    });
    // The rest of the record is plaintext of which no event of the wire tells.
    assert_eq!(kernel.read(&sockets[0], &mut [0]).expect("bytes"), 1);
    let mut told = [0; 2];
    for _ in 0..4 {
        let mut events = [Event::default()];
        assert_eq!(
            kernel.wait(&mut events, Time::default()).expect("events"),
            1
        );
        let slot = events[0].token().index() as usize;
        told[slot] += 1;
        if slot == 0 {
            assert_eq!(kernel.read(&sockets[0], &mut [0]).expect("bytes"), 1);
        }
    }
    assert_eq!(told, [2, 2]);
    sockets.into_iter().for_each(|socket| kernel.close(socket));
    kernel.close_listener(listener);
}

#[test]
fn a_greeting_waits_for_the_handshake() {
    let robot = AnyService::from(Robot);
    each(&Config::default(), "line", &robot, |play, tls| {
        let mut client = play.client(tls);
        assert_eq!(play.sim().receive_all(client.peer), b"");
        play.talk(&mut client, 10);
        assert_eq!(client.tls.heard.len(), 51);
        client.tls.heard.clear();
        client.tls.say(b"exit\n");
        play.talk(&mut client, 10);
        assert!(client.tls.has_goodbye());
        assert_eq!(play.link(&client), Link::Finished);
        play.sim().close_peer(client.peer);
        play.quiet();
        assert_eq!(play.closed(CloseReason::Goodbye), 1);
    });
}

#[test]
fn a_goodbye_of_the_client_is_answered_behind_everything_owed() {
    echo(&narrow(300, 100), |play, tls| {
        let mut client = play.client(tls);
        play.talk(&mut client, 100);
        let bytes = pattern(30_000);
        client.tls.say(&bytes);
        client.tls.tls.send_close_notify();
        play.talk(&mut client, 1000);
        assert!(client.tls.heard == bytes);
        assert!(client.tls.has_goodbye());
        // The client's FIN may come before or behind ours.
        assert_ne!(play.link(&client), Link::Reset);
        play.sim().close_peer(client.peer);
        play.quiet();
        assert_eq!(play.closed(CloseReason::EndOfStream), 1);
    });
}

#[test]
fn a_goodbye_that_finds_no_room_follows_when_there_is_some() {
    // The last bytes of the answer fill the send buffer exactly in one of these.
    let sizes = 700..780;
    let each = |trigger| sizes.clone().map(move |size| (trigger, size));
    for (trigger, size) in each(Trigger::Level).chain(each(Trigger::Edge)) {
        let config = narrow(400, 400);
        let mut play = Play::new(trigger, config, "raw", AnyService::from(Echo));
        let mut client = play.client(TlsPeer::new(VERSIONS[1]));
        play.talk(&mut client, 100);
        let bytes = pattern(size);
        client.tls.say(&bytes);
        client.tls.tls.send_close_notify();
        let mut records = client.tls.take();
        while !records.is_empty() {
            let sent = play.sim().send(client.peer, &records);
            records.drain(..sent);
            play.quiet();
            assert!(sent > 0 || play.receive(&mut client), "nothing moves");
        }
        while play.receive(&mut client) {}
        assert!(client.tls.heard == bytes, "{size}");
        assert!(client.tls.has_goodbye(), "{size}");
        play.sim().close_peer(client.peer);
        play.pass(Duration::from_secs(5));
        assert_eq!(play.closed(CloseReason::EndOfStream), 1, "{size}");
        play.end();
    }
}

#[test]
fn a_stream_that_ends_without_a_goodbye_is_truncated() {
    echo(&Config::default(), |play, tls| {
        let mut client = play.client(tls);
        client.tls.say(b"hello");
        play.talk(&mut client, 100);
        assert_eq!(client.tls.heard, b"hello");
        play.sim().finish(client.peer);
        play.quiet();
        assert_eq!(play.closed(CloseReason::Truncated), 1);
    });
}

#[test]
fn a_stream_that_ends_in_the_handshake_or_before_it_is_no_truncation() {
    for size in 0..=100 {
        echo(&Config::default(), |play, tls| {
            let mut client = play.client(tls);
            let hello = client.tls.take();
            play.sim().send(client.peer, &hello[..size]);
            play.quiet();
            play.sim().finish(client.peer);
            play.quiet();
            let reason = match size {
                0 => CloseReason::EndOfStream,
                _ => CloseReason::Handshake,
            };
            assert_eq!(play.closed(reason), 1, "{size}");
        });
    }
}

#[test]
fn a_handshake_has_its_time_and_not_more() {
    let nanosecond = Duration::from_nanos(1);
    for size in [0, 1, 100] {
        echo(&Config::default(), |play, tls| {
            let mut client = play.client(tls);
            let hello = client.tls.take();
            play.sim().send(client.peer, &hello[..size]);
            play.pass(HANDSHAKE - nanosecond);
            assert_eq!(play.server.counters().connections_now, 1);
            play.pass(nanosecond);
            assert_eq!(play.closed(CloseReason::Handshake), 1);
        });
    }
    // A handshake that was over in time is forgotten.
    echo(&Config::default(), |play, tls| {
        let mut client = play.client(tls);
        play.talk(&mut client, 1000);
        play.pass(10 * HANDSHAKE);
        client.tls.say(b"hello");
        play.talk(&mut client, 1000);
        assert_eq!(client.tls.heard, b"hello");
    });
}

#[test]
fn a_peer_that_reads_nothing_stops_the_reading_and_is_stalled() {
    echo(&narrow(20_000, 20_000), |play, tls| {
        let mut client = play.client(tls);
        play.talk(&mut client, 10_000);
        client.tls.say(&pattern(1 << 20));
        let records = client.tls.take();
        let mut sent = 0;
        loop {
            let count = play.sim().send(client.peer, &records[sent..]);
            play.quiet();
            if count == 0 {
                break;
            }
            sent += count;
        }
        // Both buffers of both directions, a workspace and what a session holds.
        assert!(sent < 4 * 20_000 + 40_000 + 96 * 1024, "{sent}");
        play.pass(STALL + Duration::from_secs(1));
        assert_eq!(play.closed(CloseReason::Stalled), 1);
    });
}

#[test]
fn bytes_that_are_no_tls_get_an_alert_and_a_count() {
    echo(&Config::default(), |play, _| {
        let peer = play.sim().connect(0);
        play.quiet();
        play.sim().send(peer, b"GET / HTTP/1.1\r\n\r\n");
        play.quiet();
        let alert = play.sim().receive_all(peer);
        assert_eq!(alert.first(), Some(&0x15));
        assert_eq!(play.closed(CloseReason::Handshake), 1);
    });
}

#[test]
fn a_broken_record_ends_its_connection_alone() {
    echo(&Config::default(), |play, tls| {
        let mut other = play.client(TlsPeer::new(VERSIONS[0]));
        let mut client = play.client(tls);
        for client in [&mut other, &mut client] {
            client.tls.say(b"hello");
            play.talk(client, 1000);
        }
        client.tls.say(b"again");
        let mut records = client.tls.take();
        *records.last_mut().expect("a record") ^= 1;
        play.sim().send(client.peer, &records);
        play.quiet();
        assert_eq!(play.closed(CloseReason::Corrupted), 1);
        other.tls.say(b"again");
        play.talk(&mut other, 1000);
        assert_eq!(other.tls.heard, b"helloagain");
    });
}

#[test]
fn a_drain_says_goodbye_to_a_client_at_rest() {
    echo(&Config::default(), |play, tls| {
        let mut client = play.client(tls);
        client.tls.say(b"hello");
        play.talk(&mut client, 1000);
        play.server.drain();
        play.pass(Duration::from_millis(1));
        while play.receive(&mut client) {}
        assert!(client.tls.has_goodbye());
        assert_eq!(play.closed(CloseReason::Shutdown), 1);
        assert!(play.server.is_done());
        assert_eq!(play.server.cut(), 0);
    });
}
