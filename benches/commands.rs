//! Measures what commands cost the connections that use none: `cargo bench --bench commands`.
//!
//! The subject is one worker of `mynah run` on the real kernel. One connection sends, a thousand
//! times a second, a request for a command that is not allowed; the loop answers it by itself, like
//! an echo. Its reply time is measured while no command runs; while each of 64 other connections
//! has a sleeping command; while each of them starts another command as soon as the last has ended;
//! and while each of them runs a command that exceeds the output limit.
//!
//! In the last two cases the commands compete for the processors, and the loop blocks while it
//! starts a process. Server, client and commands share one machine. See clone(2), execve(2),
//! proc(5).

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

/// As many commands as one worker runs at once.
const OTHERS: usize = 64;
/// Measured time per row; shorter than the time-out of a command.
const SPAN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(1);

/// Name of the row, the command of the other connections, and whether they repeat it.
const ROWS: [(&str, &str, bool); 4] = [
    ("nothing runs", "", false),
    ("64 that sleep", "sleep 60", false),
    ("64 at a time, started again and again", "true", true),
    ("64 at a time that say too much", "yes", true),
];

/// A server that is killed at the end of its row.
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

    /// Number of its child processes.
    fn commands(&self) -> Answer<usize> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        Ok(children.split_whitespace().count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the server has ended already.
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

/// Sends the refused request until the time is over.
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

/// Measures while `OTHERS` connections request `line`. Also returns the number of their replies.
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
        // The connections that do not repeat stay open and wait for their reply.
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
