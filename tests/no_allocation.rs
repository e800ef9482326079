//! The server does not allocate after start-up: a server on its own thread, real clients, and a
//! counting allocator.
//!
//! The allocator counts per thread, so allocations of the clients do not matter. Counting begins
//! when [`Server::new`] returns, without a warm-up: the first connections, requests of all sizes,
//! slow readers, refused frames, closes and the shutdown are included.

// `GlobalAlloc` is an unsafe trait.
#![allow(unsafe_code)]

#[path = "time_limit/mod.rs"]
mod time_limit;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mynah::kernel::batch::Submit;
use mynah::kernel::{Address, Linux, ListenOptions, Opener, Poller, Sharing, Time, Trigger, Waker};
use mynah::limits::{FRAMES_PER_EVENT, RING_CALLS};
use mynah::protocol::connection::{CloseReason, Protocol};
use mynah::protocol::framing::{Framing, OnTooLong};
use mynah::protocol::service::{Dict, Echo, Http, Run, Service, UpperUnicode};
use mynah::server::datagram::DatagramSocket;
use mynah::server::observe::counters::Counters;
use mynah::server::pool::WorkspaceSize;
use mynah::server::{Server, Settings};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn allocations() -> u64 {
    ALLOCATIONS.get()
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `alloc` returns only pointers of `System`, and the caller passes the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

const FRAME_MAX: usize = 64 << 10;

/// The counters of a server, and the allocations of its thread.
struct Outcome {
    counters: Counters,
    allocations: u64,
}

fn settings(slots: usize, per_ip: Option<u32>, size: WorkspaceSize, trigger: Trigger) -> Settings {
    Settings {
        connections_max: slots,
        workspaces: 8,
        workspace: size,
        trigger,
        defer_accept: false,
        frames_per_event: FRAMES_PER_EVENT,
        spin: None,
        idle_timeout: Some(Duration::from_secs(60)),
        stall_timeout: Some(Duration::from_secs(60)),
        stall_size_min: 1,
        frame_timeout: Some(Duration::from_secs(60)),
        connections_per_ip_max: per_ip,
        backlog: 8,
        drain_timeout: Duration::from_secs(10),
        wiretap: None,
        auth: None,
        trace: None,
        pacing: Default::default(),
        proxy: None,
    }
}

fn protocol<S: Service>(framing: &str, service: S) -> Protocol<S> {
    let framing = Framing::parse(framing).and_then(|framing| framing.limited(FRAME_MAX));
    Protocol {
        framing: framing.expect("a framing"),
        on_too_long: OnTooLong::Close,
        service,
    }
}

/// Serves until woken, then drains, on the calling thread.
fn serve<S: Service>(
    service: S,
    framing: &str,
    (trigger, submit): (Trigger, Submit),
    ready: &mpsc::Sender<(SocketAddr, Waker)>,
) -> Outcome {
    let mut linux = Linux::new(false).expect("epoll");
    if submit == Submit::Ring {
        if let Err(refused) = linux.submit_by_ring(RING_CALLS) {
            println!("skipped: io_uring: {refused}");
        }
    }
    let options = ListenOptions {
        backlog: 1024,
        sharing: Sharing::Alone,
        nodelay: true,
        keepalive: None,
        user_timeout: None,
        receive_buffer: None,
        send_buffer: None,
        defer_accept: None,
        unix_mode: None,
    };
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let listener = linux.listen(&any_port, &options).expect("a free port");
    let Ok(Address::Tcp(address)) = linux.local(&listener) else {
        panic!("it is bound")
    };
    let waker = linux.waker();
    let protocol = protocol(framing, service);
    let workspace = WorkspaceSize {
        inbound: FRAME_MAX,
        outbound: protocol.reply_max(FRAME_MAX).max(protocol.awaited_max()),
    };
    let mut settings = settings(100, Some(1 << 20), workspace, trigger);
    if submit == Submit::Ring {
        // Each call of a batch needs one, beside the one that they share.
        settings.workspaces = RING_CALLS + 1;
    }
    let mut server = Server::new(linux, vec![listener], protocol, settings).expect("it starts");
    ready.send((address, waker)).expect("the test waits for it");
    let before = allocations();
    while !server.is_done() {
        let attention = server.turn(Time::NEVER).expect("a turn does not fail");
        if attention.wake_up {
            server.kernel_mut().take_wake_up().expect("it was woken");
            server.drain();
        }
    }
    Outcome {
        allocations: allocations() - before,
        counters: server.counters().clone(),
    }
}

/// Runs `clients` against a server on another thread, then ends the server.
fn measure<S: Service + Send + 'static>(
    service: S,
    framing: &'static str,
    trigger: Trigger,
    clients: impl FnOnce(SocketAddr),
) -> Counters {
    measure_by(service, framing, (trigger, Submit::Calls), clients)
}

/// The same where batches go to the kernel in this way.
fn measure_by<S: Service + Send + 'static>(
    service: S,
    framing: &'static str,
    by: (Trigger, Submit),
    clients: impl FnOnce(SocketAddr),
) -> Counters {
    let (ready, started) = mpsc::channel();
    let thread = thread::spawn(move || serve(service, framing, by, &ready));
    let (address, waker) = started.recv().expect("it starts");
    clients(address);
    waker.wake();
    let outcome = thread.join().expect("it ends");
    let Outcome {
        counters,
        allocations,
    } = outcome;
    assert_eq!(allocations, 0, "{framing} under {by:?}: {counters}");
    counters
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("it is a socket");
    stream
}

/// Sends `request` and reads as many bytes as `reply` has.
fn ask(stream: &mut TcpStream, request: &[u8], reply: &[u8]) {
    stream.write_all(request).expect("it is open");
    let mut heard = vec![0; reply.len()];
    stream.read_exact(&mut heard).expect("an answer comes");
    assert!(heard == reply, "another answer was expected");
}

/// Serves datagrams over UDP until woken, then drains; `client` sends and receives meanwhile.
fn measure_datagrams<S: Service + Send + 'static>(
    service: S,
    client: impl FnOnce(&UdpSocket),
) -> Counters {
    let (ready, started) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut linux = Linux::new(false).expect("epoll");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let at = socket.local_addr().expect("it is bound");
        let waker = linux.waker();
        linux.now();
        let workspace = WorkspaceSize {
            inbound: FRAME_MAX,
            outbound: 0,
        };
        let settings = settings(1, None, workspace, Trigger::Edge);
        let protocol = protocol("line", service);
        let mut server = Server::new(linux, Vec::new(), protocol, settings).expect("it starts");
        let socket = DatagramSocket {
            socket: OwnedFd::from(socket).into(),
            address: Address::Udp(at),
            is_shared: false,
            is_passed: false,
        };
        server.serve_datagrams(vec![socket]).expect("it starts");
        ready.send((at, waker)).expect("the test waits for it");
        let before = allocations();
        while !server.is_done() {
            let attention = server.turn(Time::NEVER).expect("a turn does not fail");
            if attention.wake_up {
                server.kernel_mut().take_wake_up().expect("it was woken");
                server.drain();
            }
        }
        (allocations() - before, server.counters().clone())
    });
    let (at, waker) = started.recv().expect("it starts");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(at).expect("an address");
    let patience = Duration::from_secs(20);
    socket.set_read_timeout(Some(patience)).expect("a time-out");
    client(&socket);
    waker.wake();
    let (allocations, counters) = thread.join().expect("it ends");
    assert_eq!(allocations, 0, "{counters}");
    counters
}

#[test]
fn datagrams_of_all_sizes_allocate_nothing() {
    let ask = |socket: &UdpSocket, request: &[u8]| {
        let mut space = vec![0; 70_000];
        socket.send(request).expect("it is sent");
        let count = socket.recv(&mut space).expect("an answer comes");
        space.truncate(count);
        space
    };
    let counters = measure_datagrams(Echo, |socket| {
        for size in (0..2000).chain([65_507]) {
            assert_eq!(ask(socket, &vec![b'.'; size]).len(), size);
        }
        for _ in 0..20 {
            socket.send(b"one of several").expect("it is sent");
        }
        for _ in 0..20 {
            assert_eq!(socket.recv(&mut [0; 64]).expect("an answer comes"), 14);
        }
    });
    assert_eq!(counters.datagrams_out, 2021);
    let counters = measure_datagrams(UpperUnicode, |socket| {
        for _ in 0..1000 {
            assert_eq!(ask(socket, "stß".as_bytes()), b"STSS");
        }
    });
    assert_eq!(counters.datagrams_out, 1000);
    let run = Run::new(vec!["echo hello".to_owned()], false);
    let counters = measure_datagrams(run, |socket| {
        for _ in 0..20 {
            assert_eq!(ask(socket, b"echo hello"), b"hello\n");
            assert_eq!(ask(socket, b"no"), "坏人!".as_bytes());
        }
    });
    assert_eq!((counters.commands, counters.datagrams_out), (20, 40));
}

#[test]
fn the_allocator_counts() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocations(), before + 1);
}

/// Compares the memory of 1,024 more slots with `slot_size`.
fn check_slots<S: Service + Clone>(service: &S, per_ip: Option<u32>) {
    let (inbound, outbound) = (1 << 12, 1 << 12);
    let workspace = WorkspaceSize { inbound, outbound };
    let [few, many] = [1024, 2048].map(|slots| {
        let protocol = protocol("line", service.clone());
        let settings = settings(slots, per_ip, workspace, Trigger::Edge);
        let linux = Linux::new(false).expect("epoll");
        let before = BYTES.get();
        drop(Server::new(linux, Vec::new(), protocol, settings).expect("it starts"));
        BYTES.get() - before
    });
    let announced = Server::<Linux, S>::slot_size(service, per_ip.is_some()) * 1024;
    // The table of addresses has a power of two of entries and is at most half full.
    let grown = many - few;
    assert!((announced / 2..=announced).contains(&grown), "{grown}");
}

#[test]
fn a_slot_takes_what_is_announced_for_it() {
    for per_ip in [None, Some(5)] {
        check_slots(&Echo, per_ip);
        check_slots(&Run::new(vec!["/bin/true".to_owned()], false), per_ip);
    }
}

#[test]
fn echo_allocates_nothing_from_first_to_last() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let counters = measure(Echo, "raw", trigger, |address| {
            let mut streams: Vec<TcpStream> = (0..90).map(|_| connect(address)).collect();
            for round in 0..30 {
                for stream in &mut streams {
                    ask(
                        stream,
                        &vec![b'.'; 1 + 17 * round],
                        &vec![b'.'; 1 + 17 * round],
                    );
                }
            }
            drop(streams);
            for _ in 0..500 {
                let mut stream = connect(address);
                ask(&mut stream, b"hello", b"hello");
            }
        });
        assert_eq!(counters.connections_total, 590);
        assert!(counters.frames >= 90 * 30 + 500);
    }
}

#[test]
fn batches_through_a_ring_allocate_nothing() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let by = (trigger, Submit::Ring);
        let counters = measure_by(Echo, "raw", by, |address| {
            let mut peers: Vec<TcpStream> = (0..60).map(|_| connect(address)).collect();
            for size in [1, 100, 3000] {
                let request = vec![b'x'; size];
                for peer in &mut peers {
                    peer.write_all(&request).expect("it is open");
                }
                let mut heard = vec![0; size];
                for peer in &mut peers {
                    peer.read_exact(&mut heard).expect("an answer comes");
                }
            }
        });
        assert_eq!(counters.bytes_out, 60 * (1 + 100 + 3000));
    }
}

/// Writes until the server stops reading from `stream` although it still serves `other`: it waits
/// for this peer to read.
fn write_until_stalled(stream: &mut TcpStream, other: &mut TcpStream) -> usize {
    let chunk = vec![b'.'; 64 << 10];
    let (mut written, mut refused) = (0, 0);
    stream.set_nonblocking(true).expect("it is a socket");
    while refused < 500 {
        match stream.write(&chunk) {
            Ok(count) => {
                written += count;
                refused = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                ask(other, b"hello", b"hello");
                refused += 1;
            }
        }
    }
    stream.set_nonblocking(false).expect("it is a socket");
    written
}

#[test]
fn a_peer_that_reads_late_costs_no_allocation_either() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let counters = measure(Echo, "raw", trigger, |address| {
            let (mut stream, mut other) = (connect(address), connect(address));
            let written = write_until_stalled(&mut stream, &mut other);
            stream.shutdown(Shutdown::Write).expect("it is open");
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).expect("all comes back");
            assert_eq!(heard.len(), written);
        });
        assert!(counters.short_writes > 0 && counters.interest_changes >= 2);
        assert_eq!(counters.bytes_out, counters.bytes_in);
    }
}

#[test]
fn frames_of_another_length_and_refused_ones_allocate_nothing() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let counters = measure(UpperUnicode, "u16be", trigger, |address| {
            let (request, reply) = ("\0\u{3}aß", "\0\u{3}ASS");
            let grows = ("\0\u{3}a\u{149}", "\0\u{4}A\u{2bc}N");
            let mut stream = connect(address);
            for _ in 0..2000 {
                ask(&mut stream, request.as_bytes(), reply.as_bytes());
                ask(
                    &mut stream,
                    grows.0.repeat(16).as_bytes(),
                    grows.1.repeat(16).as_bytes(),
                );
            }
            for _ in 0..100 {
                let mut stream = connect(address);
                stream.write_all(b"\xff\xff").expect("it is open");
                let mut heard = Vec::new();
                stream
                    .read_to_end(&mut heard)
                    .expect("it is ended in order");
                assert!(heard.is_empty());
            }
        });
        assert_eq!(counters.frames, 2000 * 17);
        assert_eq!(counters.closed[CloseReason::TooLong as usize], 100);
    }
}

#[test]
fn no_framing_allocates_for_a_length_that_a_peer_claims() {
    const CLAIMS: [&[u8]; 7] = [
        &[0xff; 9],
        &[0x7f; 9],
        &[0, 0, 0x40, 0, 0, 0, 0x40, 0, 0],
        b"9999999999999999999999",
        b"1048576:x",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01",
    ];
    let specs = [
        "raw",
        "line",
        "delim:0d0a",
        "fixed:1048576",
        "ascii:8",
        "ascii:19",
        "netstring",
        "u8",
        "u16be",
        "u24le",
        "u32be",
        "u64be",
        "u64le",
        "i32be",
        "len:offset=1,size=8,adjust=9,strip=2",
    ];
    for (spec, limit) in specs
        .iter()
        .flat_map(|spec| [(spec, 1 << 20), (spec, 1 << 30)])
    {
        let framing = Framing::parse(spec).and_then(|framing| framing.limited(limit));
        let framing = framing.expect("a framing");
        let before = allocations();
        for claim in CLAIMS {
            for end in 1..=claim.len() {
                let bytes = &claim[..end];
                black_box(framing.decode(bytes, 0));
                black_box(framing.hint(bytes));
                let span = black_box(framing.span(bytes));
                let _ = black_box(framing.skip(span, bytes));
            }
        }
        assert_eq!(allocations() - before, 0, "{spec}");
    }
}

#[test]
fn words_are_looked_up_without_an_allocation() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let dict = Dict::parse(b"one: eins\ntwo: zwei\n".to_vec()).expect("a dictionary");
        let counters = measure(dict, "line", trigger, |address| {
            let mut stream = connect(address);
            for _ in 0..1000 {
                ask(&mut stream, b"two\none\nsix\n", b"zwei\neins\nnot known\n");
            }
        });
        assert_eq!(counters.frames, 3000);
    }
}

#[test]
fn commands_are_started_heard_and_reaped_without_an_allocation() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let allowed = ["echo hello", "mynah-nowhere"].map(str::to_owned);
        let run = Run::new(allowed.to_vec(), false);
        let counters = measure(run, "u16be", trigger, |address| {
            let mut stream = connect(address);
            for _ in 0..20 {
                ask(&mut stream, b"\0\x0aecho hello", b"\0\x06hello\n");
                ask(&mut stream, b"\0\x02no", "\0\x07坏人!".as_bytes());
                let nowhere = "\0\x1f你要执行的命令不存在!".as_bytes();
                ask(&mut stream, b"\0\x0dmynah-nowhere", nowhere);
            }
        });
        assert_eq!((counters.frames, counters.commands), (60, 20));
    }
}

#[test]
fn http_allocates_nothing_for_requests_bodies_dates_and_refusals() {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                          3\r\nabc\r\n0\r\n\r\n";
    for trigger in [Trigger::Level, Trigger::Edge] {
        let counters = measure(Http::default(), "raw", trigger, |address| {
            for _ in 0..100 {
                let mut stream = connect(address);
                let requests = [&GET.repeat(16), POST, b"GET / HTTP/2.0\r\n"].concat();
                stream.write_all(&requests).expect("it is open");
                let mut heard = String::new();
                stream
                    .read_to_string(&mut heard)
                    .expect("it is ended in order");
                assert_eq!(heard.matches("Hello, World").count(), 17);
                assert!(heard.contains("Hello, WorldHTTP/1.1 505 "));
            }
        });
        assert_eq!(counters.closed[CloseReason::Refused as usize], 100);
    }
}
