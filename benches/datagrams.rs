//! UDP echo against the best simple loop around recvmmsg(2) and sendmmsg(2): processor time, user
//! and system, for each datagram.
//!
//! Both servers are processes of their own, pinned to one processor; the client, on another, keeps
//! a window of datagrams in flight. Runs are paired and interleaved, and the ratio of each pair is
//! what counts, so that a slow moment of the machine meets both. The simple loop waits in
//! recvmmsg, has no second call for a batch, and knows one socket and no limit. A third server is
//! mynah bound to all addresses, which answers from the one that was asked (IP_PKTINFO of ip(7)).
//!
//! `cargo bench --bench datagrams`; `-- PAIRS` changes the number of pairs.

// recvmmsg and sendmmsg have no safe form in the standard library.
#![allow(unsafe_code)]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, mem, ptr};

/// Datagrams in one call, as in the server.
const BATCH: usize = 32;
/// The largest datagram over IP fits; a line of the cache more keeps the places apart.
const PLACE: usize = (64 << 10) + 64;
/// Datagrams of one run.
const COUNT: usize = 200_000;
const SIZES: [usize; 2] = [32, 1024];
const WINDOWS: [usize; 3] = [1, 8, 64];

/// Places for a batch; the headers point into the other fields.
struct Batch {
    headers: Vec<libc::mmsghdr>,
    _parts: Vec<libc::iovec>,
    _names: Vec<libc::sockaddr_in>,
    _space: Vec<u8>,
}

impl Batch {
    fn new(place: usize, with_names: bool) -> Batch {
        // SAFETY: the structure is plain numbers, for which zero is a value.
        let name: libc::sockaddr_in = unsafe { mem::zeroed() };
        // SAFETY: the structure is numbers and pointers, for which zero is a value.
        let blank: libc::mmsghdr = unsafe { mem::zeroed() };
        let mut names = vec![name; BATCH];
        let mut space = vec![0_u8; BATCH * place];
        let mut parts: Vec<libc::iovec> = (0..BATCH)
            .map(|number| libc::iovec {
                iov_base: space[number * place..].as_mut_ptr().cast(),
                iov_len: place,
            })
            .collect();
        let headers = (0..BATCH)
            .map(|number| {
                let mut header = blank;
                header.msg_hdr.msg_iov = &raw mut parts[number];
                header.msg_hdr.msg_iovlen = 1;
                if with_names {
                    header.msg_hdr.msg_name = (&raw mut names[number]).cast();
                    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
                }
                header
            })
            .collect();
        Batch {
            headers,
            _parts: parts,
            _names: names,
            _space: space,
        }
    }

    fn receive(&mut self, socket: &UdpSocket, flags: i32) -> usize {
        let (fd, start) = (socket.as_raw_fd(), self.headers.as_mut_ptr());
        // SAFETY: the headers and what they point to are ours.
        let count = unsafe { libc::recvmmsg(fd, start, BATCH as u32, flags as _, ptr::null_mut()) };
        usize::try_from(count).unwrap_or(0)
    }

    fn send(&mut self, socket: &UdpSocket, count: usize) -> usize {
        let (fd, start) = (socket.as_raw_fd(), self.headers.as_mut_ptr());
        // SAFETY: the headers and what they point to are ours.
        let count = unsafe { libc::sendmmsg(fd, start, count as u32, 0) };
        usize::try_from(count).unwrap_or(0)
    }

    fn set_size(&mut self, place: usize, size: usize) {
        // SAFETY: the header points to a part of ours.
        unsafe { (*self.headers[place].msg_hdr.msg_iov).iov_len = size };
    }
}

/// The simple loop: never returns.
fn simple_server() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    println!("udp://{}", socket.local_addr().expect("it is bound"));
    let mut batch = Batch::new(PLACE, true);
    loop {
        let count = batch.receive(&socket, libc::MSG_WAITFORONE);
        for place in 0..count {
            let size = batch.headers[place].msg_len as usize;
            batch.set_size(place, size);
        }
        batch.send(&socket, count);
        for place in 0..count {
            batch.set_size(place, PLACE);
        }
    }
}

/// A server as a process, and its address.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(program: &str, args: &[&str]) -> Server {
        let mut child = Command::new(program)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it says where it is");
        let address = line.split("udp://").nth(1).expect("an address");
        let end = address.find([' ', ',', '\n']).unwrap_or(address.len());
        let mut address: SocketAddr = address[..end].parse().expect("an address");
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        pin(child.id() as i32, 0);
        Server { child, address }
    }

    /// Nanoseconds on a processor so far: /proc/PID/schedstat.
    fn time(&self) -> u64 {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let text = fs::read_to_string(path).expect("it runs");
        let time = text.split(' ').next().expect("three numbers");
        time.parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pin(process: i32, processor: usize) {
    // SAFETY: the set is plain numbers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the number is within the set.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the set outlives the call. On a machine with one processor nothing is pinned.
    unsafe { libc::sched_setaffinity(process, size_of_val(&set), &set) };
}

/// Sends [`COUNT`] datagrams with `window` in flight. Returns nanoseconds of the server for each.
fn run(server: &Server, size: usize, window: usize) -> f64 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(server.address).expect("an address");
    let patience = Duration::from_millis(200);
    socket.set_read_timeout(Some(patience)).expect("a time-out");
    let (mut outgoing, mut incoming) = (Batch::new(size, false), Batch::new(2048, false));
    let before = server.time();
    let mut answered = 0;
    while answered < COUNT {
        let mut sent = 0;
        while sent < window {
            sent += outgoing.send(&socket, BATCH.min(window - sent));
        }
        let mut came = 0;
        while came < window {
            match incoming.receive(&socket, libc::MSG_WAITFORONE) {
                // One was lost.
                0 => break,
                count => came += count,
            }
        }
        answered += came;
    }
    (server.time() - before) as f64 / answered as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The lowest, the median and the highest.
fn extent(values: Vec<f64>) -> [f64; 3] {
    let low = values.iter().copied().fold(f64::MAX, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    [low, median(values), high]
}

fn main() {
    let mut args = env::args().skip(1).filter(|arg| arg != "--bench");
    let first = args.next();
    if first.as_deref() == Some("--simple") {
        simple_server();
    }
    let pairs = first.and_then(|pairs| pairs.parse().ok()).unwrap_or(7);
    let own = env::current_exe().expect("a path");
    let simple = Server::start(&own.to_string_lossy(), &["--simple"]);
    let mynah = |listen| Server::start(env!("CARGO_BIN_EXE_mynah"), &["--listen", listen]);
    let servers = [simple, mynah("udp://127.0.0.1:0"), mynah("udp://0.0.0.0:0")];
    pin(0, 1);
    println!("nanoseconds of processor time for each datagram, {pairs} pairs");
    println!("bytes  in flight  simple  mynah  ratio (median, lowest, highest)     any  ratio");
    for size in SIZES {
        for window in WINDOWS {
            let mut times = [const { Vec::new() }; 3];
            let mut ratios = [const { Vec::new() }; 3];
            for pair in 0..pairs {
                let mut cost = [0.0; 3];
                for turn in 0..3 {
                    let which = (turn + pair) % 3;
                    cost[which] = run(&servers[which], size, window);
                    times[which].push(cost[which]);
                }
                for (ratios, cost_of) in ratios.iter_mut().zip(cost) {
                    ratios.push(cost_of / cost[0]);
                }
            }
            let [simple, mynah, any] = times.map(median);
            let [_, [low, ratio, high], [_, any_ratio, _]] = ratios.map(extent);
            println!(
                "{size:5}  {window:9}  {simple:6.0} {mynah:6.0}  {ratio:.3} {low:.3} {high:.3}  \
                 {any:20.0}  {any_ratio:.3}"
            );
        }
    }
}
