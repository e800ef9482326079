//! Measures what a connection costs under each model: `cargo bench --bench models`.
//!
//! The subject is `mynah serve --model M`, echo without a framing, under the load of `mynah bench`:
//! 1, 100 and 1000 connections in a closed loop, 64 bytes a request. A row has the processor time
//! and the context switches of a request, from all threads and processes of the server, and its
//! memory per connection: the proportional set size (PSS) of what is no file, less that of a server
//! without connections. The client runs the same program, and so its start changes the share of the
//! program's file. A pool has as many threads as connections. Server and client share the machine.
//!
//! A model or a number of connections as argument selects rows. Man pages: proc(5).

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

type Answer<T> = Result<T, Box<dyn Error>>;

/// Time until all connections are open and warm, and measured time.
const WARM_UP: Duration = Duration::from_millis(1200);
const SPAN: Duration = Duration::from_millis(1500);
const MODELS: [&str; 5] = ["epoll", "iterative", "thread", "pool", "fork"];
const CONNECTIONS: [usize; 3] = [1, 100, 1000];

/// A server that is killed at the end of its row.
struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    address: String,
}

/// Totals of the server since its start.
#[derive(Clone, Copy, Default)]
struct Sample {
    requests: u64,
    /// Nanoseconds on a processor.
    busy: u64,
    switches: u64,
    /// PSS in KiB.
    memory: u64,
}

impl Server {
    fn start(model: &str, connections: usize) -> Answer<Server> {
        let most = (connections + 10).to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--model", model]);
        command.args(["--max-memory", "4g", "--max-connections", &most]);
        if model == "pool" {
            command.args(["--pool-threads", &connections.to_string()]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut ready = String::new();
        lines.read_line(&mut ready)?;
        let address = ready
            .split([' ', ','])
            .find(|word| word.starts_with("tcp://"));
        Ok(Server {
            address: address.ok_or("no address")?.to_owned(),
            child,
            lines,
        })
    }

    fn sample(&mut self) -> Answer<Sample> {
        let mut sample = Sample::default();
        let pid = self.child.id();
        kill_once(Command::new("kill").args(["-USR1", &pid.to_string()]))?;
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let frames = line
            .split(' ')
            .find_map(|word| word.strip_prefix("frames="));
        sample.requests = frames.ok_or("no frames")?.parse()?;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let processes = children.split_whitespace().map(str::to_owned);
        for process in processes.chain([pid.to_string()]) {
            // A process that has just ended is left out.
            let _ = sample.add(&process);
        }
        Ok(sample)
    }
}

fn kill_once(command: &mut Command) -> Answer<()> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err("the server has ended".into()),
    }
}

impl Sample {
    fn add(&mut self, process: &str) -> Answer<()> {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?.path();
            let times = fs::read_to_string(task.join("schedstat"))?;
            self.busy += times.split(' ').next().ok_or("no time")?.parse::<u64>()?;
            let status = fs::read_to_string(task.join("status"))?;
            for line in status.lines().filter(|line| line.contains("ctxt_switches")) {
                self.switches += number(line)?;
            }
        }
        let memory = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let kinds = ["Pss_Anon:", "Pss_Shmem:"];
        let is_kind = |line: &&str| kinds.iter().any(|kind| line.starts_with(kind));
        for line in memory.lines().filter(is_kind) {
            self.memory += number(line)?;
        }
        Ok(())
    }
}

/// The first number of a line.
fn number(line: &str) -> Answer<u64> {
    let word = line.split_whitespace().nth(1).ok_or("no number")?;
    Ok(word.parse()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure(model: &str, connections: usize) -> Answer<()> {
    let mut server = Server::start(model, connections)?;
    let empty = server.sample()?.memory;
    let mut load = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["bench", &server.address, "-c", &connections.to_string()])
        .args(["-d", "3s", "--warmup", "1s"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    thread::sleep(WARM_UP);
    let begin = server.sample()?;
    thread::sleep(SPAN);
    let end = server.sample()?;
    load.kill()?;
    load.wait()?;
    let requests = (end.requests - begin.requests).max(1) as f64;
    println!(
        "{model:<10} {connections:>11} {:>12.2} {:>10.1} {:>9.2}",
        (end.busy - begin.busy) as f64 / requests / 1000.0,
        end.memory.saturating_sub(empty) as f64 / connections as f64,
        (end.switches - begin.switches) as f64 / requests,
    );
    Ok(())
}

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_asked = |word: &str, all: &[String]| {
        let of_kind = |it: &&String| all.contains(it);
        let named: Vec<&String> = asked.iter().filter(of_kind).collect();
        named.is_empty() || named.iter().any(|it| *it == word)
    };
    let models = MODELS.map(str::to_owned);
    let counts = CONNECTIONS.map(|count| count.to_string());
    println!("model      connections  us/request   KiB each  switches");
    for model in models.iter().filter(|model| is_asked(model, &models)) {
        for (count, text) in CONNECTIONS.iter().zip(&counts) {
            let is_served = model != "iterative" || *count == 1;
            if !is_served || !is_asked(text, &counts) {
                continue;
            }
            if let Err(error) = measure(model, *count) {
                eprintln!("{model} {count}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
