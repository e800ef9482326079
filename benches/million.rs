//! Many connections at once, each of which has spoken once: `cargo bench --bench million`.
//!
//! ```text
//!   mynah --processes P   <- connections ->   holder 1: from 127.1.1.1, .2   its own ports
//!                                             holder 2: from 127.1.2.1, .2   ...
//! ```
//!
//! One mynah, with as many worker processes as the descriptor limit asks for, holds a million
//! connections. Holders, which are processes of this program, hold the other ends. A connection
//! takes a descriptor at both ends and a port at one, so each holder has source addresses of its
//! own in 127.0.0.0/8. Then nothing happens for ten seconds, and then a hundred connections ask one
//! request after the other. The same hundred alone, with a server of as many processes, are the
//! comparison. At the end SIGTERM.
//!
//! `-- COUNT` holds another number of connections. What a machine lacks is said in one line before
//! anything is started. Server and holders share the machine. Man pages: ip(7), proc(5),
//! getrlimit(2).

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mynah::kernel::host;
use socket2::{Domain, Socket, Type};

type Answer<T> = Result<T, Box<dyn Error>>;

const CONNECTIONS: usize = 1_000_000;
/// Connections that speak in the end.
const SPEAKERS: usize = 100;
const REQUEST: [u8; 64] = [b'x'; 64];
/// Descriptors of a process that are no connections.
const OTHERS: usize = 100;
/// The kernel spreads connections by a hash, so some workers get more than others: of 20,000 the
/// standard deviation is 141. So much of its room is planned for a worker, in percent.
const FILL: usize = 95;
/// As many as mynah has at most.
const PROCESSES_MAX: usize = mynah::limits::PROCESSES_MAX;
/// Ports of one source address, away from those that the kernel gives out by itself.
const PORTS: std::ops::Range<u16> = 10_000..30_000;
/// Memory of a connection: both ends in the kernel, and its slot. 6 KiB were measured.
const CONNECTION_SIZE: usize = 8 << 10;
/// Memory of a process.
const PROCESS_SIZE: usize = 8 << 20;
const QUIET: Duration = Duration::from_secs(10);
const SPAN: Duration = Duration::from_secs(5);

/// How the connections are divided.
#[derive(Clone, Copy)]
struct Plan {
    workers: usize,
    holders: usize,
    /// The descriptors of a process.
    limit: usize,
}

impl Plan {
    /// The plan for this machine, or one line that says what it lacks.
    fn new(connections: usize) -> Answer<Plan> {
        let limit = usize::try_from(host::raise_descriptor_limit()?)?;
        let room = limit.saturating_sub(OTHERS).max(1);
        let workers = connections.div_ceil((room * FILL / 100).max(1));
        let holders = connections.div_ceil(room);
        let memory = connections * CONNECTION_SIZE + (workers + holders) * PROCESS_SIZE;
        let files = 2 * connections + (workers + holders) * OTHERS;
        println!(
            "needs {} MiB of memory, {workers} worker processes and {holders} holders with {room} \
             connections each, {files} open files in all, and {} ports on {} addresses",
            memory >> 20,
            PORTS.len(),
            holders * room.div_ceil(PORTS.len()),
        );
        let available = host_number("/proc/meminfo", "MemAvailable:")? * 1024;
        let open_max = host_number("/proc/sys/fs/file-max", "")?;
        let watches = host_number("/proc/sys/fs/epoll/max_user_watches", "")?;
        let lacks = if workers > PROCESSES_MAX {
            format!("a descriptor limit of {limit} a process: {workers} workers are too many")
        } else if available < memory {
            format!("{} MiB of memory are available", available >> 20)
        } else if open_max < files {
            format!("fs.file-max is {open_max}")
        } else if watches < connections {
            format!("fs.epoll.max_user_watches is {watches}")
        } else {
            return Ok(Plan {
                workers,
                holders,
                limit,
            });
        };
        Err(format!("this machine has too little for {connections} connections: {lacks}").into())
    }
}

/// The number behind `name` in a file of /proc.
fn host_number(file: &str, name: &str) -> Answer<usize> {
    let text = fs::read_to_string(file)?;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word
        .ok_or_else(|| format!("{file} has no {name}"))?
        .parse()?)
}

/// A server that is killed if the bench fails.
struct Server {
    child: Child,
    address: SocketAddr,
}

/// Totals of all processes of the server.
#[derive(Clone, Copy, Default)]
struct Sample {
    /// Nanoseconds on a processor.
    busy: u64,
    /// Times that a process began to run.
    wakes: u64,
    /// PSS of what is no file, in bytes.
    memory: u64,
}

impl Server {
    fn start(plan: Plan) -> Answer<Server> {
        // Each worker may fill its descriptors.
        let most = plan.workers * (plan.limit - OTHERS);
        let mut child = Command::new(env!("CARGO_BIN_EXE_mynah"))
            .args(["echo", "--listen", "127.0.0.1:0", "--idle-timeout", "off"])
            .args(["--processes", &plan.workers.to_string(), "--alive", "off"])
            .args(["--max-connections", &most.to_string()])
            .args(["--max-memory", "16g", "--backlog", "65535"])
            // To close a million connections takes longer than the default.
            .args(["--drain-timeout", "5m"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut ready = String::new();
        let stdout = child.stdout.take().ok_or("no pipe")?;
        BufReader::new(stdout).read_line(&mut ready)?;
        let mut words = ready.split([' ', ',']);
        let address = words.find_map(|word| word.strip_prefix("tcp://"));
        let address = address.ok_or("no ready line")?.parse()?;
        Ok(Server { child, address })
    }

    /// The processes of the server, the supervisor first.
    fn processes(&self) -> Answer<Vec<u32>> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let ids = children.split_whitespace().map(str::parse);
        let ids: Result<Vec<u32>, _> = [Ok(id)].into_iter().chain(ids).collect();
        Ok(ids?)
    }

    fn sample(&self) -> Answer<Sample> {
        let mut sample = Sample::default();
        for id in self.processes()? {
            for task in fs::read_dir(format!("/proc/{id}/task"))? {
                let times = fs::read_to_string(task?.path().join("schedstat"))?;
                let mut numbers = times.split_whitespace().map(str::parse::<u64>);
                sample.busy += numbers.next().ok_or("no time")??;
                sample.wakes += numbers.nth(1).ok_or("no count")??;
            }
            for kind in ["Pss_Anon:", "Pss_Shmem:"] {
                let file = format!("/proc/{id}/smaps_rollup");
                sample.memory += host_number(&file, kind)? as u64 * 1024;
            }
        }
        Ok(sample)
    }

    /// Sends SIGTERM. Returns how the server ended, and after how long.
    fn end(mut self) -> Answer<(ExitStatus, Duration)> {
        let id = self.child.id().to_string();
        let start = Instant::now();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let status = self.child.wait()?;
        Ok((status, start.elapsed()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process of this program that holds connections.
struct Holder {
    child: Child,
    orders: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Holder {
    fn start(number: usize, server: SocketAddr, connections: usize) -> Answer<Holder> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--hold", &number.to_string(), &server.to_string()])
            .arg(connections.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Holder {
            orders: child.stdin.take().ok_or("no pipe")?,
            reports: BufReader::new(child.stdout.take().ok_or("no pipe")?),
            child,
        })
    }

    /// The number that the holder reports next.
    fn report(&mut self) -> Answer<u64> {
        let mut line = String::new();
        self.reports.read_line(&mut line)?;
        Ok(line.trim().parse().map_err(|_| "a holder has failed")?)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The connections of one holder: opened, each answered once, and kept until its orders end. An
/// order is a number of connections that speak for `SPAN`; the report is the number of replies.
fn hold([number, server, count]: [&str; 3]) -> Answer<()> {
    host::raise_descriptor_limit()?;
    let (number, server): (u8, SocketAddr) = (number.parse()?, server.parse()?);
    let mut sources = (1..=u8::MAX).flat_map(|last| {
        let ip = Ipv4Addr::new(127, 1, number, last);
        PORTS.map(move |port| SocketAddrV4::new(ip, port))
    });
    let mut held = Vec::new();
    let mut reply = [0; REQUEST.len()];
    for _ in 0..count.parse::<usize>()? {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // A port of an earlier run may still be in TIME_WAIT.
        socket.set_reuse_address(true)?;
        let free = |source: &SocketAddrV4| socket.bind(&SocketAddr::V4(*source).into()).is_ok();
        sources.find(free).ok_or("no port is left")?;
        socket.connect(&server.into())?;
        let mut peer = TcpStream::from(socket);
        peer.set_nodelay(true)?;
        peer.write_all(&REQUEST)?;
        peer.read_exact(&mut reply)?;
        held.push(peer);
    }
    println!("{}", held.len());
    for order in io::stdin().lines() {
        let speakers = order?.trim().parse::<usize>()?.min(held.len());
        let (start, mut replies) = (Instant::now(), 0);
        while start.elapsed() < SPAN {
            for peer in &mut held[..speakers] {
                peer.write_all(&REQUEST)?;
            }
            for peer in &mut held[..speakers] {
                peer.read_exact(&mut reply)?;
            }
            replies += speakers;
        }
        println!("{replies}");
    }
    Ok(())
}

/// Microseconds of the server's processors for each request of `SPEAKERS` connections.
fn cost(server: &Server, holder: &mut Holder) -> Answer<f64> {
    let before = server.sample()?.busy;
    writeln!(holder.orders, "{SPEAKERS}")?;
    let replies = holder.report()?;
    let busy = server.sample()?.busy - before;
    Ok(busy as f64 / replies.max(1) as f64 / 1000.0)
}

fn measure(connections: usize) -> Answer<()> {
    let plan = Plan::new(connections)?;

    let server = Server::start(plan)?;
    let mut holder = Holder::start(1, server.address, SPEAKERS)?;
    holder.report()?;
    let alone = cost(&server, &mut holder)?;
    drop(holder);
    server.end()?;

    let server = Server::start(plan)?;
    let empty = server.sample()?;
    let before = host_number("/proc/meminfo", "MemAvailable:")?;
    let start = Instant::now();
    let each = connections.div_ceil(plan.holders);
    let mut holders = Vec::new();
    for number in 0..plan.holders {
        let count = each.min(connections - number * each);
        holders.push(Holder::start(number + 1, server.address, count)?);
    }
    let mut held = 0;
    for holder in &mut holders {
        held += holder.report()?;
    }
    let connecting = start.elapsed().as_secs_f64();
    let full = server.sample()?;
    let used =
        before.saturating_sub(host_number("/proc/meminfo", "MemAvailable:")?) as f64 * 1024.0;
    thread::sleep(QUIET);
    let quiet = server.sample()?;
    let among = cost(&server, &mut holders[0])?;
    let (status, ending) = server.end()?;

    let each = |bytes: f64| bytes / held as f64;
    println!("connections held           {held}");
    println!("time to connect            {connecting:.1} s");
    println!(
        "memory of the server       {:.0} bytes a connection (PSS)",
        each(full.memory as f64 - empty.memory as f64)
    );
    println!(
        "memory of the machine      {:.0} bytes a connection, both ends and the holders",
        each(used)
    );
    println!(
        "wake-ups in {} s of quiet  {}",
        QUIET.as_secs(),
        quiet.wakes - full.wakes
    );
    println!("CPU of a request           {among:.2} us, with {SPEAKERS} alone {alone:.2} us");
    println!(
        "SIGTERM                    {status}, {:.1} s",
        ending.as_secs_f64()
    );
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--hold", number, server, count] => hold([number, server, count]),
        // Cargo passes --bench to measure, but not for `cargo test`.
        ref words if words.contains(&"--bench") => {
            let count = words.iter().find_map(|word| word.parse().ok());
            measure(count.unwrap_or(CONNECTIONS).max(SPEAKERS))
        }
        _ => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("million: {error}");
            ExitCode::FAILURE
        }
    }
}
