//! What commands cost those who want none: `cargo bench --bench commands`.
//!
//! One worker of `mynah run` on the real kernel. One connection asks, a thousand times a second,
//! for what is not allowed, which the loop answers by itself, as it answers any echo. How long that
//! takes is measured while nothing runs; while 64 others have each a command that sleeps; while
//! each of them starts another as soon as the last has ended; and while each of them runs one that
//! says more than it may. The last two want a processor for themselves, and the loop stands still
//! while it starts a program. Everything is on one machine, which does all the work there is.
//! clone(2), execve(2), proc(5).

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mynah::base::histogram::Histogram;

type Answer<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// As many as one worker runs at once.
const OTHERS: usize = 64;
/// How long each row is measured; shorter than a command may take.
const SPAN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(1);

/// What the others ask for, if anything, and whether again and again.
const ROWS: [(&str, &str, bool); 4] = [
    ("nothing runs", "", false),
    ("64 that sleep", "sleep 60", false),
    ("64 at a time, started again and again", "true", true),
    ("64 at a time that say too much", "yes", true),
];

/// A server that ends with the bench.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Answer<Server> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.args(["run", "--listen", "127.0.0.1:0", "--frame", "u32be"]);
        for (_, line, _) in ROWS.iter().filter(|(_, line, _)| !line.is_empty()) {
            command.args(["--allow", line]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut ready = String::new();
        let stdout = child.stdout.take().ok_or("no pipe")?;
        BufReader::new(stdout).read_line(&mut ready)?;
        let mut words = ready.split([' ', ',']);
        let address = words.find_map(|word| word.strip_prefix("tcp://"));
        let address = address.ok_or("no ready line")?.to_owned();
        Ok(Server { child, address })
    }

    fn connect(&self) -> Answer<TcpStream> {
        let peer = TcpStream::connect(&self.address)?;
        peer.set_nodelay(true)?;
        Ok(peer)
    }

    /// How many processes it has.
    fn commands(&self) -> Answer<usize> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        Ok(children.split_whitespace().count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(peer: &mut TcpStream, line: &str) -> Answer<()> {
    let length = (line.len() as u32).to_be_bytes();
    Ok(peer.write_all(&[&length, line.as_bytes()].concat())?)
}

fn hear(peer: &mut TcpStream) -> Answer<Vec<u8>> {
    let mut length = [0; 4];
    peer.read_exact(&mut length)?;
    let mut reply = vec![0; u32::from_be_bytes(length) as usize];
    peer.read_exact(&mut reply)?;
    Ok(reply)
}

/// Asks for what is refused until the time is up.
fn measure(server: &Server) -> Answer<Histogram> {
    let mut peer = server.connect()?;
    let mut times = Histogram::new();
    let end = Instant::now() + SPAN;
    while Instant::now() < end {
        let start = Instant::now();
        say(&mut peer, "no")?;
        if hear(&mut peer)? != "坏人!".as_bytes() {
            return Err("that is no refusal".into());
        }
        times.record(start.elapsed().as_nanos() as u64);
        thread::sleep(PAUSE);
    }
    Ok(times)
}

/// Measures while `OTHERS` ask for `line`; tells how often they were answered meanwhile as well.
fn row(line: &str, again: bool) -> Answer<(Histogram, u64)> {
    let server = Server::start()?;
    let (answers, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut others = Vec::new();
    for _ in 0..if line.is_empty() { 0 } else { OTHERS } {
        let mut other = server.connect()?;
        say(&mut other, line)?;
        others.push(other);
    }
    while !again && server.commands()? < others.len() {
        thread::sleep(PAUSE);
    }
    thread::scope(|scope| {
        // The rest stay connected, and wait for their answer.
        let asking = if again { others.len() } else { 0 };
        for mut other in others.drain(..asking) {
            let (answers, over) = (&answers, &over);
            scope.spawn(move || -> Answer<()> {
                while !over.load(Ordering::Relaxed) {
                    hear(&mut other)?;
                    answers.fetch_add(1, Ordering::Relaxed);
                    say(&mut other, line)?;
                }
                Ok(())
            });
        }
        let times = measure(&server);
        over.store(true, Ordering::Relaxed);
        Ok((times?, answers.load(Ordering::Relaxed)))
    })
}

fn main() -> ExitCode {
    let [p50, p99, p999, max] = ["p50", "p99", "p99.9", "max"];
    println!("{:<40}{p50:>10}{p99:>10}{p999:>10}{max:>10}", "");
    for (name, line, again) in ROWS {
        let (times, answers) = match row(line, again) {
            Ok(row) => row,
            Err(error) => {
                eprintln!("commands: {name}: {error}");
                return ExitCode::FAILURE;
            }
        };
        let at = |percent| format!("{} us", times.percentile(percent) / 1000);
        let (p50, p99, p999, max) = (at(50.0), at(99.0), at(99.9), at(100.0));
        print!("{name:<40}{p50:>10}{p99:>10}{p999:>10}{max:>10}");
        match again {
            true => println!("   {} commands a second", answers / SPAN.as_secs()),
            false => println!(),
        }
    }
    ExitCode::SUCCESS
}
