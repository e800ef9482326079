//! `--takeover` on the real kernel: a process gets the listeners and the connections of another
//! one, and what peers notice of that is nothing.
//!
//! A second process is a second mynah, or the test itself, which says the words of the protocol and
//! stops at each of them. Man page: unix(7).

mod kills;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mynah::kernel::{
    Channel, Door, Doorway, Event, Interest, Linux, Passage, Poller, Socket, Token,
};
use mynah::protocol::front::proxy::Source;
use mynah::server::handover::Handed;
use mynah::workers::takeover::message::{Message, Role};

use super::server::{Ended, PATIENCE, Server};
use super::{FEW, ask, rest, say, until};

/// A path in a directory of its own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("mynah-takeover-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a directory of our own");
        Scratch(folder)
    }

    fn path(&self) -> String {
        self.file("door")
    }

    fn file(&self, name: &str) -> String {
        let path = self.0.join(name);
        path.to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(path: &str, args: &[&str]) -> Server {
    Server::start(&[&FEW[..], &["--takeover", path], args].concat())
}

fn refused(path: &str, args: &[&str]) -> Ended {
    let args = [&FEW[..], &["--takeover", path], args].concat();
    match Server::try_start(&[], &[], &args) {
        Ok(server) => panic!("it has started: {}", server.ready),
        Err(ended) => ended,
    }
}

/// The old process has ended by itself, with 0.
fn expect_end(server: Server) {
    let ended = server.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
}

#[test]
fn v7_a_new_process_answers_on_the_listener_and_the_idle_connections_of_the_old_one() {
    let all: [(&[&str], &[&str]); 9] = [
        (&[], &[]),
        (&["--threads", "2"], &["--threads", "2"]),
        (&[], &["--threads", "2"]),
        (&["--threads", "2"], &[]),
        (
            &["--threads", "2", "--accept", "handoff"],
            &["--accept", "exclusive", "--threads", "2"],
        ),
        (
            &["--trigger", "level"],
            &["--accept", "handoff", "--threads", "2"],
        ),
        (&[], &["--processes", "2"]),
        (
            &["--processes", "2", "--threads", "2"],
            &["--processes", "3"],
        ),
        (&["--processes", "2"], &["--threads", "2"]),
    ];
    for (number, (first, second)) in all.into_iter().enumerate() {
        let scratch = Scratch::new(&format!("answers-{number}"));
        let path = scratch.path();
        let old = start(&path, first);
        let mode = fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut idle: Vec<TcpStream> = (0..20).map(|_| old.connect()).collect();
        for peer in &mut idle {
            assert_eq!(ask(peer, b"before"), b"before");
        }
        let address = old.address();
        let new = start(&path, second);
        assert_eq!(new.address(), address, "{first:?} {second:?}");
        expect_end(old);
        for peer in &mut idle {
            assert_eq!(ask(peer, b"after"), b"after");
        }
        assert_eq!(ask(&mut new.connect(), b"new"), b"new");
        let stats = new.stats();
        assert_eq!(stats.get("connections_taken_over"), 20);
        assert_eq!(stats.get("connections_total"), 21);
        drop(idle);
        new.end();
        assert!(!Path::new(&path).exists());
    }
}

#[test]
fn a_busy_connection_follows_when_it_is_idle() {
    let scratch = Scratch::new("busy");
    let path = scratch.path();
    let old = start(&path, &["--frame", "u16be"]);
    let mut peer = old.connect();
    assert_eq!(ask(&mut peer, b"\0\x02ab"), b"\0\x02ab");
    // A frame that is not whole: the old process holds its first bytes.
    peer.write_all(b"\0\x05he").expect("the server reads");
    until("the frame has begun", || old.stats().get("bytes_in") == 8);
    let new = start(&path, &["--frame", "u16be"]);
    assert_eq!(new.stats().get("connections_now"), 0);
    assert_eq!(old.stats().get("connections_now"), 1);
    assert_eq!(ask(&mut peer, b"llo"), b"\0\x05h"[..3]);
    let mut rest = [0; 4];
    peer.read_exact(&mut rest).expect("the end of the frame");
    assert_eq!(&rest, b"ello");
    expect_end(old);
    assert_eq!(ask(&mut peer, b"\0\x02cd"), b"\0\x02cd");
    assert_eq!(new.stats().get("connections_taken_over"), 1);
    new.end();
}

#[test]
fn a_connection_that_follows_late_goes_on_to_the_third_process() {
    let scratch = Scratch::new("third");
    let path = scratch.path();
    let args = ["--frame", "u16be"];
    let first = start(&path, &args);
    let mut peer = first.connect();
    peer.write_all(b"\0\x05he").expect("the server reads");
    until("the frame has begun", || first.stats().get("bytes_in") == 4);
    let second = start(&path, &args);
    let third = start(&path, &args);
    // The second process has nothing left, and waits for what the first one has.
    assert_eq!(ask(&mut third.connect(), b"\0\x02ab"), b"\0\x02ab");
    assert_eq!(first.stats().get("connections_now"), 1);
    peer.write_all(b"llo").expect("the server reads");
    let mut frame = [0; 7];
    peer.read_exact(&mut frame).expect("an answer");
    assert_eq!(&frame, b"\0\x05hello");
    expect_end(first);
    expect_end(second);
    assert_eq!(ask(&mut peer, b"\0\x02cd"), b"\0\x02cd");
    assert!(third.stats().get("connections_taken_over") > 0);
    third.end();
}

#[test]
fn the_file_of_a_local_socket_belongs_to_the_holder_of_its_listener() {
    let scratch = Scratch::new("local");
    let (path, socket) = (scratch.path(), scratch.file("socket"));
    let listen = format!("unix:{socket}");
    let args = ["--listen", listen.as_str()];
    let old = start(&path, &args);
    let mut peer = UnixStream::connect(&socket).expect("it listens");
    assert_eq!(ask(&mut peer, b"before"), b"before");
    let new = start(&path, &args);
    expect_end(old);
    assert_eq!(ask(&mut peer, b"after"), b"after");
    let mut other = UnixStream::connect(&socket).expect("it listens");
    assert_eq!(ask(&mut other, b"new"), b"new");
    new.end();
    assert!(!Path::new(&socket).exists() && !Path::new(&path).exists());
}

#[test]
fn a_new_process_that_does_not_fit_is_refused_and_the_old_one_serves_on() {
    let scratch = Scratch::new("refused");
    let path = scratch.path();
    let old = start(&path, &[]);
    let mut peer = old.connect();
    let at = old.address();
    for (args, line) in [
        (
            &["upper"][..],
            "the running server has service echo, frame raw, codec none, auth none, tls off, and \
             this one service upper, frame raw, codec none, auth none, tls off"
                .to_owned(),
        ),
        (
            &["--listen", "unix:/nowhere/mynah"],
            format!("the running server listens on tcp://{at} too, write --listen tcp://{at}"),
        ),
    ] {
        let ended = refused(&path, args);
        assert_eq!(ended.code, Some(1), "{:?}", ended.stderr);
        assert_eq!(ended.stderr, [format!("mynah: --takeover {path}: {line}")]);
        assert_eq!(ask(&mut peer, b"hello"), b"hello");
    }
    // It fails after the listeners have come.
    let ended = refused(&path, &["--max-memory", "1m"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ask(&mut old.connect(), b"hello"), b"hello");
    let new = start(&path, &[]);
    expect_end(old);
    assert_eq!(ask(&mut peer, b"hello"), b"hello");
    new.end();
}

#[test]
fn what_does_not_combine_is_refused_with_one_line() {
    for (args, line) in [
        (
            &["--takeover", "x", "--model", "thread"][..],
            "--model thread: does not combine with --takeover",
        ),
        (
            &["--takeover", "x", "--model", "fork"],
            "--model fork: does not combine with --takeover",
        ),
        (
            &["--takeover", "x", "--inetd"],
            "--inetd: does not combine with --takeover",
        ),
        (
            &["--takeover", "x", "--listen", "udp://127.0.0.1:0"],
            "--takeover: does not combine with datagrams, and udp://127.0.0.1:0 takes them",
        ),
        (
            &["--takeover", ""],
            "--takeover \"\": must be a path of 1 to 107 bytes, such as /run/mynah.takeover",
        ),
    ] {
        let ended = Ended::run(args);
        assert_eq!(
            (ended.code, &ended.stderr[..]),
            (Some(1), &[format!("mynah: {line}")][..])
        );
    }
    let scratch = Scratch::new("file");
    let file = scratch.file("precious");
    fs::write(&file, "precious").expect("a file");
    let ended = refused(&file, &[]);
    assert_eq!(ended.code, Some(3), "{:?}", ended.stderr);
    assert_eq!(fs::read(&file).expect("the file"), b"precious");
}

/// The test as the new process, up to a word of the protocol.
fn speak(path: &str, words: usize) -> Channel {
    speak_version(path, 7, words)
}

/// The same for a program that knows the versions up to `newest`.
fn speak_version(path: &str, newest: u16, words: usize) -> Channel {
    let channel = Channel::connect(Path::new(path)).expect("it listens");
    let identity = "service echo, frame raw, codec none, auth none, tls off".to_owned();
    let hello = Message::Hello {
        oldest: 1,
        newest,
        identity,
    };
    let (mut space, mut sockets) = ([0; 4096], Vec::new());
    if words > 0 {
        channel.send(&hello.to_bytes(), &[]).expect("it listens");
    }
    if words > 1 {
        let size = channel.receive_within(PATIENCE, &mut space, &mut sockets);
        let offer = Message::from_bytes(&space[..size.expect("an answer")]);
        let Some(Message::Listeners { version, roles, .. }) = offer else {
            panic!("{offer:?}");
        };
        assert_eq!(
            (version, &roles[..]),
            (newest.min(2), &[Role::Listener, Role::Doorway][..])
        );
        assert_eq!(sockets.len(), 2);
    }
    if words > 2 {
        let serving = Message::Serving { room: 9, batch: 1 };
        channel.send(&serving.to_bytes(), &[]).expect("it listens");
        wait_for_input(&channel);
    }
    if words > 3 {
        let size = channel.receive_within(PATIENCE, &mut space, &mut sockets);
        let yours = Message::from_bytes(&space[..size.expect("an answer")]);
        assert_eq!(yours, Some(Message::Yours));
    }
    channel
}

/// Waits until a message has arrived, and leaves it there.
fn wait_for_input(channel: &Channel) {
    let mut poller = Linux::new(false).expect("a poller");
    let registered = poller.register(channel.descriptor(), Token::new(0, 1), Interest::READ);
    registered.expect("it is watched");
    let until = poller.now().after(PATIENCE);
    let arrived = poller.wait(&mut [Event::default()], until);
    assert_eq!(arrived.expect("no error"), 1, "nothing has come");
}

#[test]
fn a_new_process_that_dies_at_any_step_leaves_the_old_one_serving() {
    let scratch = Scratch::new("dies");
    let path = scratch.path();
    let old = start(&path, &[]);
    let mut peer = old.connect();
    // At 3 it has not read that it serves, and at 4 it has.
    for words in 0..=4 {
        drop(speak(&path, words));
        assert_eq!(ask(&mut peer, b"hello"), b"hello");
        assert_eq!(ask(&mut old.connect(), b"new"), b"new");
        old.hears("the new process has ended before it served");
    }
    // Something that is no word at all.
    let channel = speak(&path, 0);
    channel
        .send(b"GET / HTTP/1.1\r\n", &[])
        .expect("it listens");
    let (mut space, mut none) = ([0; 4096], Vec::new());
    let size = channel.receive_within(PATIENCE, &mut space, &mut none);
    let answer = Message::from_bytes(&space[..size.expect("an answer")]);
    assert!(matches!(answer, Some(Message::Refused(_))), "{answer:?}");
    // A second process while the first one starts.
    let first = speak(&path, 2);
    let ended = refused(&path, &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr[0].ends_with("another process takes over already"));
    drop(first);
    old.hears("the new process has ended before it served");
    let new = start(&path, &[]);
    expect_end(old);
    assert_eq!(ask(&mut peer, b"hello"), b"hello");
    new.end();
}

#[test]
fn both_processes_serve_until_the_new_one_has_confirmed() {
    let scratch = Scratch::new("confirmed");
    let path = scratch.path();
    let old = start(&path, &[]);
    let mut peer = old.connect();
    let channel = speak(&path, 4);
    assert_eq!(ask(&mut peer, b"hello"), b"hello");
    assert_eq!(ask(&mut old.connect(), b"new"), b"new");
    let ended = refused(&path, &[]);
    assert!(ended.stderr[0].ends_with("another process takes over already"));
    let taken = Message::Taken.to_bytes();
    channel.send(&taken, &[]).expect("it listens");
    // The connection follows, and nothing listens any more: this process lets the listener go.
    let (mut space, mut sockets) = ([0; 4096], Vec::new());
    let size = channel.receive_within(PATIENCE, &mut space, &mut sockets);
    let left = Message::from_bytes(&space[..size.expect("a message")]);
    assert_eq!(left, Some(Message::Connections(Vec::new())));
    let size = channel.receive_within(PATIENCE, &mut space, &mut sockets);
    let passed = Message::from_bytes(&space[..size.expect("a connection")]);
    assert!(
        matches!(&passed, Some(Message::Connections(all)) if all.len() == 1),
        "{passed:?}"
    );
    expect_end(old);
}

#[test]
fn a_server_that_is_told_to_end_in_the_last_step_leaves_its_listeners_as_they_are() {
    for threads in ["1", "2"] {
        let scratch = Scratch::new(&format!("told-{threads}"));
        let path = scratch.path();
        let old = start(&path, &["--threads", threads, "--accept", "exclusive"]);
        let mut peer = old.connect();
        assert_eq!(ask(&mut peer, b"hello"), b"hello");
        let (_channel, _door, listener) = offered(&path);
        let at = old.address();
        old.signal("TERM");
        drop(peer);
        expect_end(old);
        assert!(Path::new(&path).exists());
        expect_queue(&listener, at);
    }
}

/// The queue is open, and not made to take no more.
fn expect_queue(listener: &TcpListener, at: SocketAddr) {
    let _next = TcpStream::connect_timeout(&at, PATIENCE).expect("it listens");
    until("it has come", || listener.accept().is_ok());
}

/// The connection with the running process, which has said that the test serves, and its doorway
/// and listener. They do not block: the flag would be one of the running process too.
fn offered(path: &str) -> (Channel, Socket, TcpListener) {
    let channel = Channel::connect(Path::new(path)).expect("it listens");
    let identity = "service echo, frame raw, codec none, auth none, tls off".to_owned();
    let hello = Message::Hello {
        oldest: 2,
        newest: 2,
        identity,
    };
    channel.send(&hello.to_bytes(), &[]).expect("it listens");
    let (mut space, mut sockets) = ([0; 4096], Vec::new());
    let size = channel.receive_within(PATIENCE, &mut space, &mut sockets);
    assert!(size.is_ok_and(|size| size > 0));
    let serving = Message::Serving { room: 9, batch: 1 };
    channel.send(&serving.to_bytes(), &[]).expect("it listens");
    wait_for_input(&channel);
    let door = sockets.pop().expect("a doorway");
    let listener = TcpListener::from(OwnedFd::from(sockets.remove(0)));
    (channel, door, listener)
}

#[test]
fn worker_processes_serve_on_if_the_new_process_dies_before_it_confirms() {
    let scratch = Scratch::new("workers");
    let path = scratch.path();
    let old = start(&path, &["--processes", "2"]);
    let mut peers: Vec<TcpStream> = (0..8).map(|_| old.connect()).collect();
    for words in [1, 3, 4] {
        drop(speak(&path, words));
        old.hears("the new process has ended before it served");
        for peer in &mut peers {
            assert_eq!(ask(peer, b"hello"), b"hello");
        }
        assert_eq!(ask(&mut old.connect(), b"new"), b"new");
    }
    // A drain in this moment leaves the listeners as they are.
    let (_channel, _door, listener) = offered(&path);
    let at = old.address();
    old.signal("TERM");
    drop(peers);
    expect_end(old);
    expect_queue(&listener, at);
}

#[test]
fn a_process_of_the_first_version_takes_over_too() {
    let scratch = Scratch::new("first-version");
    let path = scratch.path();
    let old = start(&path, &[]);
    let _channel = speak_version(&path, 1, 4);
    expect_end(old);
}

/// The test as the running process, which ends after so many words. Returns a peer of the
/// connection that it has passed.
fn hold(door: Door, words: usize, listener: TcpListener) -> Option<TcpStream> {
    let passage = loop {
        match door.accept() {
            Ok(passage) => break passage,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    };
    let hear = || {
        let (mut space, mut none) = ([0; 4096], Vec::new());
        loop {
            match passage.receive(&mut space, &mut none) {
                Ok(size) => break Message::from_bytes(&space[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let say = |message: Message, sockets: &[&Socket]| {
        let said = passage.send(&message.to_bytes(), sockets);
        said.expect("it listens");
    };
    let heard = hear();
    assert!(matches!(heard, Some(Message::Hello { .. })), "{heard:?}");
    let mut peer = None;
    if words > 0 {
        let copy = Socket::from(OwnedFd::from(listener.try_clone().expect("a copy")));
        say(offer(), &[&copy, door.descriptor()]);
    }
    if words > 1 {
        let serving = Message::Serving {
            room: 100,
            batch: 16,
        };
        assert_eq!(hear(), Some(serving));
    }
    if words > 2 {
        say(Message::Yours, &[]);
    }
    if words > 3 {
        assert_eq!(hear(), Some(Message::Taken));
    }
    if words > 4 {
        // At its own listener: the new process accepts from the other one already.
        let apart = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let near = TcpStream::connect(apart.local_addr().expect("an address"));
        let (far, _) = apart.accept().expect("it has come");
        let handed = Handed {
            idle: Duration::from_secs(1),
            memory: 0,
            source: Source::Peer,
        };
        let far = Socket::from(OwnedFd::from(far));
        say(Message::Connections(vec![handed]), &[&far]);
        peer = near.ok();
    }
    Box::new(door).leave();
    peer
}

/// A listener and a doorway.
fn offer() -> Message {
    Message::Listeners {
        version: 2,
        total: 2,
        roles: vec![Role::Listener, Role::Doorway],
    }
}

#[test]
fn a_running_process_that_dies_at_any_step_leaves_a_server_behind() {
    let plays = (0..=5).map(|words| (words, &[][..]));
    let processes = (2..=5).map(|words| (words, &["--processes", "2"][..]));
    for (number, (words, args)) in plays.chain(processes).enumerate() {
        let scratch = Scratch::new(&format!("left-{number}"));
        let path = scratch.path();
        let door = Door::open(Path::new(&path)).expect("a free path");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // It blocks, and the connection that is passed too: the new process makes them not do so.
        let at = listener.local_addr().expect("an address");
        let holder = thread::spawn(move || hold(door, words, listener));
        let new = start(&path, args);
        if words > 0 {
            assert_eq!(new.address(), at, "{words}");
        }
        let peer = holder.join().expect("the words are those of a takeover");
        if let Some(mut peer) = peer {
            peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            assert_eq!(ask(&mut peer, b"passed"), b"passed");
        }
        assert_eq!(ask(&mut new.connect(), b"hello"), b"hello");
        // The next process finds it at the same path.
        let next = start(&path, &[]);
        expect_end(new);
        assert_eq!(ask(&mut next.connect(), b"hello"), b"hello");
        next.end();
        assert!(!Path::new(&path).exists());
    }
}

#[test]
fn a_running_process_that_goes_on_after_all_ends_the_new_one() {
    for args in [["--threads", "2"], ["--processes", "2"]] {
        refuse_after_the_offer(&args);
    }
}

fn refuse_after_the_offer(args: &[&str]) {
    let scratch = Scratch::new("goes-on");
    let path = scratch.path();
    let door = Door::open(Path::new(&path)).expect("a free path");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let holder = thread::spawn(move || -> std::io::Result<()> {
        let passage = loop {
            match door.accept() {
                Ok(passage) => break passage,
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        };
        let copy = Socket::from(OwnedFd::from(listener));
        passage.send(&offer().to_bytes(), &[&copy, door.descriptor()])?;
        let refused = Message::Refused("not today\n".to_owned());
        passage.send(&refused.to_bytes(), &[])?;
        let (mut space, mut none) = ([0; 4096], Vec::new());
        // Until it has ended.
        while !matches!(passage.receive(&mut space, &mut none), Ok(0)) {
            thread::sleep(Duration::from_millis(1));
        }
        Box::new(door).leave();
        Ok(())
    });
    let ended = refused(&path, args);
    let line = format!("mynah: --takeover {path}: not today\\n");
    assert_eq!((ended.code, &ended.stderr[..]), (Some(1), &[line][..]));
    holder.join().expect("no panic").expect("it is heard");
}

#[test]
fn the_port_of_the_metrics_goes_to_the_new_process() {
    let scratch = Scratch::new("metrics");
    let path = scratch.path();
    let at = |server: &Server| {
        let (_, at) = server
            .ready
            .rsplit_once("metrics on tcp://")
            .expect("a port");
        at.parse::<SocketAddr>().expect("an address")
    };
    let health = |at: SocketAddr| {
        let mut peer = TcpStream::connect(at).expect("it listens");
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        peer.write_all(request).expect("it reads");
        String::from_utf8_lossy(&rest(&mut peer)).into_owned()
    };
    let old = start(&path, &["--metrics", "127.0.0.1:0"]);
    let port = at(&old);
    assert!(health(port).starts_with("HTTP/1.1 200 OK"));
    let mut last = old;
    for more in [["--threads", "2"], ["--processes", "2"], ["--threads", "1"]] {
        let new = start(&path, &[&["--metrics", "127.0.0.1:0"][..], &more].concat());
        expect_end(last);
        assert_eq!(at(&new), port);
        assert!(health(port).starts_with("HTTP/1.1 200 OK"));
        last = new;
    }
    last.end();
}

#[test]
fn a_service_manager_hears_of_the_new_process_alone() {
    let scratch = Scratch::new("manager");
    let (path, at) = (scratch.path(), scratch.file("notify"));
    let manager = UnixDatagram::bind(&at).expect("a free path");
    manager
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out");
    let hears = || loop {
        let mut space = [0; 1000];
        let heard = match manager.recv(&mut space) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            heard => String::from_utf8_lossy(&space[..heard.expect("a message")]).into_owned(),
        };
        if !heard.starts_with("STATUS=") {
            break heard;
        }
    };
    let start = |more: &[&str]| {
        let args = [&FEW[..], &["--takeover", &path], more].concat();
        Server::start_under(&[], &[("NOTIFY_SOCKET", &at)], &args)
    };
    let mut old = start(&[]);
    assert_eq!(hears(), "READY=1");
    // With worker processes the supervisor is the main process.
    for more in [&[][..], &["--processes", "2"], &[]] {
        let new = start(more);
        assert_eq!(hears(), format!("MAINPID={}\nREADY=1", new.pid()));
        expect_end(old);
        old = new;
    }
    old.end();
    assert_eq!(hears(), "STOPPING=1");
}

#[test]
fn a_server_that_is_killed_leaves_its_path_to_the_next() {
    let scratch = Scratch::new("killed");
    let path = scratch.path();
    let old = start(&path, &[]);
    let at = format!("tcp://{}", old.address());
    old.signal("KILL");
    drop(old);
    let new = start(&path, &["--listen", &at]);
    assert_eq!(ask(&mut new.connect(), b"hello"), b"hello");
    new.end();
    assert!(!Path::new(&path).exists());
}

/// Peers that ask in lock step, and what they have noticed.
struct Load {
    stops: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<(u64, Duration)>>,
}

impl Load {
    fn start(address: SocketAddr, threads: usize, each: usize) -> Load {
        let stops = Arc::new(AtomicBool::new(false));
        let run = |number: usize| {
            let stops = Arc::clone(&stops);
            thread::spawn(move || lock_step(address, number, each, &stops))
        };
        let threads = (0..threads).map(run).collect();
        Load { stops, threads }
    }

    /// Ends the load. Returns how many answers there were, and the longest wait for one.
    fn end(self) -> (u64, Duration) {
        self.stops.store(true, Ordering::Relaxed);
        let ended = self
            .threads
            .into_iter()
            .map(|it| it.join().expect("no peer noticed"));
        ended.fold((0, Duration::ZERO), |(all, longest), (count, wait)| {
            (all + count, longest.max(wait))
        })
    }
}

/// Each connection sends, and then each waits for its answer. One is new in each round.
fn lock_step(
    address: SocketAddr,
    number: usize,
    each: usize,
    stops: &AtomicBool,
) -> (u64, Duration) {
    let connect = || {
        let peer = TcpStream::connect(address).expect("never refused");
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        peer.set_nodelay(true).expect("an option");
        peer
    };
    let mut peers: Vec<TcpStream> = (0..each).map(|_| connect()).collect();
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !stops.load(Ordering::Relaxed) {
        let began = Instant::now();
        let word = |place: usize| format!("{number:04} {place:04} {count:08}");
        for (place, peer) in peers.iter_mut().enumerate() {
            peer.write_all(word(place).as_bytes()).expect("never reset");
        }
        for (place, peer) in peers.iter_mut().enumerate() {
            let mut reply = [0; 18];
            peer.read_exact(&mut reply).expect("never reset");
            assert_eq!(reply, word(place).as_bytes());
        }
        longest = longest.max(began.elapsed());
        let place = count as usize % each;
        peers[place] = connect();
        count += each as u64;
    }
    (count, longest)
}

#[test]
fn takeovers_in_a_row_under_load_reset_and_refuse_no_connection() {
    let scratch = Scratch::new("load");
    play_under_load(&scratch.path(), (2, 20), 4);
}

#[test]
#[ignore = "measures: run it by name, with --release and --nocapture"]
fn ten_takeovers_in_a_row_under_a_load_of_500_connections() {
    let scratch = Scratch::new("load-500");
    play_under_load(&scratch.path(), (1, 500), 10);
}

/// Peers ask on `each` connections of each thread while `rounds` processes take over.
fn play_under_load(path: &str, (threads, each): (usize, usize), rounds: usize) {
    let most = (2 * threads * each).to_string();
    let start = |args: &[&str]| {
        let own = ["--max-connections", &most, "--takeover", path];
        Server::start(&[&own[..], args].concat())
    };
    let mut old = start(&[]);
    let load = Load::start(old.address(), threads, each);
    for round in 0..rounds {
        let args: &[&str] = match round % 2 {
            0 => &["--threads", "2"],
            _ => &[],
        };
        let new = start(args);
        expect_end(old);
        old = new;
    }
    let (answers, longest) = load.end();
    assert!(answers > 0);
    say(format!(
        "{answers} answers on {} connections during {rounds} takeovers, the longest round trip of \
         all took {longest:?}",
        threads * each
    ));
    old.end();
}
