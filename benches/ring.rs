//! What a request costs with plain calls and through a submission ring: `cargo bench --bench ring`.
//!
//! One process on one processor holds both ends of all connections. In each round every peer sends
//! a request, then the server makes one turn, whose time is taken, and then the replies are read.
//! So there is no scheduler in the figure, and rounds of all servers are interleaved: it differs by
//! a few thousandths from run to run, where two processes differ by hundredths. The *bare loop* is
//! that of `benches/peers`: level-triggered epoll_wait, recv into one buffer, send.
//!
//! `-- --dear STEPS` makes each system call dearer first, by a filter of so many steps that looks
//! at its arguments, as a sandbox or an audit does. `-- --requests COUNT` changes the number of
//! requests of each server. Man pages: io_uring(7), seccomp(2).

// epoll_wait, recv, send and seccomp have no safe form in the standard library.
#![allow(unsafe_code)]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, io};

use mynah::kernel::batch::BATCH_MAX;
use mynah::kernel::{Address, Linux, ListenOptions, Opener, Sharing, Time, Trigger, host};
use mynah::limits::{EVENTS_PER_TURN, FRAMES_PER_EVENT, READ_SIZE, RING_CALLS};
use mynah::protocol::connection::Protocol;
use mynah::protocol::framing::{Framing, OnTooLong};
use mynah::protocol::service::Echo;
use mynah::server::pool::WorkspaceSize;
use mynah::server::{Server, Settings};

type Answer<T> = Result<T, Box<dyn Error>>;

/// Connections that are ready at once.
const CROWDS: [usize; 6] = [4, 8, 16, 32, 100, 1000];
const REQUESTS: usize = 100_000;
const REQUEST: [u8; 64] = [b'x'; 64];
const SPAN: Duration = Duration::from_secs(3600);

/// A server whose turns are measured.
trait Turn {
    /// Answers all requests that have arrived, of which there are `count`.
    fn turn(&mut self, count: usize) -> Answer<()>;
}

impl Turn for Server<Linux, Echo> {
    fn turn(&mut self, count: usize) -> Answer<()> {
        let before = self.counters().send;
        while self.counters().send - before < count as u64 {
            Server::turn(self, Time::default())?;
        }
        Ok(())
    }
}

struct Bare {
    epoll: i32,
    sockets: Vec<TcpStream>,
    events: Vec<libc::epoll_event>,
    buffer: Vec<u8>,
}

impl Bare {
    fn new(sockets: Vec<TcpStream>) -> Answer<Bare> {
        // SAFETY: the call takes no pointer.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        for (place, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let mut event = libc::epoll_event {
                events: libc::EPOLLIN as u32,
                u64: place as u64,
            };
            let (add, fd) = (libc::EPOLL_CTL_ADD, socket.as_raw_fd());
            // SAFETY: the event is read during the call only.
            if unsafe { libc::epoll_ctl(epoll, add, fd, &mut event) } < 0 {
                return Err(io::Error::last_os_error().into());
            }
        }
        Ok(Bare {
            epoll,
            sockets,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_TURN],
            buffer: vec![0; 64 << 10],
        })
    }
}

impl Turn for Bare {
    fn turn(&mut self, count: usize) -> Answer<()> {
        let mut answered = 0;
        while answered < count {
            let (events, room) = (self.events.as_mut_ptr(), EVENTS_PER_TURN as i32);
            // SAFETY: there is room for so many events.
            let ready = unsafe { libc::epoll_wait(self.epoll, events, room, 0) };
            for event in &self.events[..usize::try_from(ready)?] {
                let fd = self.sockets[event.u64 as usize].as_raw_fd();
                let (space, size) = (self.buffer.as_mut_ptr(), self.buffer.len());
                // SAFETY: the space is writable for its size.
                let received = unsafe { libc::recv(fd, space.cast(), size, 0) };
                let received = usize::try_from(received)?;
                // SAFETY: so many bytes were just received there.
                unsafe { libc::send(fd, space.cast(), received, libc::MSG_NOSIGNAL) };
                answered += 1;
            }
        }
        Ok(())
    }
}

/// How a server makes its calls.
#[derive(Clone, Copy)]
enum Manner {
    Bare,
    Calls,
    Ring(usize),
}

/// A server, its peers, and the time of a request in each round.
struct Play {
    name: String,
    server: Box<dyn Turn>,
    peers: Vec<TcpStream>,
    nanoseconds: Vec<f64>,
}

impl Play {
    fn new(manner: Manner, count: usize) -> Answer<Play> {
        let (server, peers): (Box<dyn Turn>, _) = match manner {
            Manner::Bare => {
                let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let address = door.local_addr()?;
                let mut peers = Vec::new();
                let mut sockets = Vec::new();
                for _ in 0..count {
                    peers.push(peer(address)?);
                    sockets.push(door.accept()?.0);
                }
                (Box::new(Bare::new(sockets)?), peers)
            }
            Manner::Calls => serve(count, 0)?,
            Manner::Ring(calls) => serve(count, calls)?,
        };
        Ok(Play {
            name: match manner {
                Manner::Bare => "bare loop".to_owned(),
                Manner::Calls => "calls".to_owned(),
                Manner::Ring(calls) => format!("ring of {calls}"),
            },
            server,
            peers,
            nanoseconds: Vec::new(),
        })
    }

    fn round(&mut self) -> Answer<()> {
        for mut peer in &self.peers {
            peer.write_all(&REQUEST)?;
        }
        let start = Instant::now();
        self.server.turn(self.peers.len())?;
        let span = start.elapsed().as_nanos() as f64;
        self.nanoseconds.push(span / self.peers.len() as f64);
        for mut peer in &self.peers {
            let mut reply = [0; REQUEST.len()];
            peer.read_exact(&mut reply)?;
        }
        Ok(())
    }

    /// The lower quartile: what disturbs a round only adds time.
    fn figure(&mut self) -> f64 {
        self.nanoseconds.sort_by(f64::total_cmp);
        self.nanoseconds[self.nanoseconds.len() / 4]
    }
}

fn peer(address: SocketAddr) -> io::Result<TcpStream> {
    let peer = TcpStream::connect(address)?;
    peer.set_nodelay(true)?;
    Ok(peer)
}

/// A server that makes up to `calls` at once, or each alone, and its connected peers.
fn serve(count: usize, calls: usize) -> Answer<(Box<dyn Turn>, Vec<TcpStream>)> {
    let mut linux = Linux::new(false)?;
    if calls > 0 {
        linux.submit_by_ring(calls)?;
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
    let listener = linux.listen(&"tcp://127.0.0.1:0".parse()?, &options);
    let listener = listener.map_err(|error| error.to_string())?;
    let Address::Tcp(address) = linux.local(&listener)? else {
        return Err("the listener has no address".into());
    };
    let protocol = Protocol {
        framing: Framing::parse("raw")?,
        on_too_long: OnTooLong::Close,
        service: Echo,
    };
    let settings = Settings {
        connections_max: count,
        workspaces: 2 * BATCH_MAX,
        workspace: WorkspaceSize {
            inbound: READ_SIZE,
            outbound: 0,
        },
        trigger: Trigger::Edge,
        defer_accept: false,
        frames_per_event: FRAMES_PER_EVENT,
        spin: None,
        idle_timeout: Some(SPAN),
        stall_timeout: Some(SPAN),
        stall_size_min: 1,
        frame_timeout: Some(SPAN),
        connections_per_ip_max: None,
        backlog: 1024,
        drain_timeout: SPAN,
        wiretap: None,
        auth: None,
        trace: None,
        pacing: Default::default(),
        proxy: None,
    };
    let mut server = Server::new(linux, vec![listener], protocol, settings)?;
    let mut peers = Vec::new();
    for _ in 0..count {
        peers.push(peer(address)?);
        while server.counters().connections_now < peers.len() as u64 {
            server.turn(Time::default())?;
        }
    }
    Ok((Box::new(server), peers))
}

/// Makes each further system call of this process dearer: a filter that looks at an argument runs
/// for each of them.
fn make_calls_dear(steps: usize) -> Answer<()> {
    let step = |code: u32, number: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k: number,
    };
    // The lower half of the first argument, offset 16 of struct seccomp_data.
    let mut filter = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 16)];
    let multiply = libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K;
    filter.extend((0..steps).map(|number| step(multiply, 3 + number as u32)));
    // Both ways lead on, so the kernel cannot know the answer beforehand.
    filter.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1));
    filter.push(step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len())?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the call takes no pointer.
    let refused = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the kernel copies the program and its steps during the call.
    if refused < 0 || unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } < 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(())
}

/// Nanoseconds of a system call that does nothing.
fn empty_call() -> f64 {
    const CALLS: u32 = 1_000_000;
    let start = Instant::now();
    for _ in 0..CALLS {
        // SAFETY: the call takes no pointer.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn number(arguments: &[String], name: &str) -> Answer<Option<usize>> {
    let place = arguments.iter().position(|word| word == name);
    let value = place.and_then(|place| arguments.get(place + 1));
    Ok(value.map(|text| text.parse()).transpose()?)
}

fn measure(arguments: &[String]) -> Answer<()> {
    let requests = number(arguments, "--requests")?.unwrap_or(REQUESTS);
    host::raise_descriptor_limit()?;
    let processors = host::affinity(0)?;
    let processor = processors.list().pop().ok_or("no processor")?;
    host::pin_task(0, processor)?;
    if let Some(steps) = number(arguments, "--dear")? {
        make_calls_dear(steps)?;
    }
    println!("An empty system call: {:.0} ns\n", empty_call());
    let manners = [
        Manner::Bare,
        Manner::Calls,
        Manner::Ring(RING_CALLS / 2),
        Manner::Ring(RING_CALLS),
        Manner::Ring(BATCH_MAX),
    ];
    println!("Of the server for a request of 64 bytes, and as a multiple of the bare loop:\n");
    for count in CROWDS {
        let plays: Answer<Vec<Play>> = manners.iter().map(|it| Play::new(*it, count)).collect();
        let mut plays = plays?;
        let rounds = (requests / count).max(8);
        for round in 0..rounds {
            // Each is as often first, behind what the others have left in the caches.
            for place in 0..plays.len() {
                let place = (place + round) % manners.len();
                plays[place].round()?;
            }
        }
        let figures: Vec<f64> = plays.iter_mut().map(Play::figure).collect();
        println!("{count} ready at once");
        for (play, figure) in plays.iter().zip(&figures) {
            println!(
                "  {:<12} {figure:>7.0} ns  {:.3}",
                play.name,
                figure / figures[0]
            );
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // Cargo passes --bench to measure, but not for `cargo test`.
    if !arguments.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    match measure(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ring: {error}");
            ExitCode::FAILURE
        }
    }
}
