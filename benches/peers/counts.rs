//! Figures that are counted, not timed: memory per connection, system calls and instructions per
//! request.
//!
//! Each figure is the difference of two measurements that differ only in the number of connections
//! or requests, divided by that number. Costs that a program has once, at its start or first
//! request, cancel out. See strace(1), callgrind of valgrind(1), proc_pid_status(5).

use std::fs;
use std::process::{Command, Stdio};

use super::rounds::load;
use super::servers::{self, MYNAH, Server};
use super::{Halt, Scope};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

const CONNECTIONS: (usize, usize) = (100, 10_000);

/// Server memory in bytes per idle connection, by server index, or why it is unknown.
pub(crate) type Memory = Vec<(usize, Result<f64, String>)>;

/// Measures the memory per connection that has sent a request and is idle now.
pub(crate) fn memory(scope: &Scope, servers: &[Server]) -> Result<Memory, Halt> {
    let mut rows = Vec::new();
    if !scope.wants("memory") {
        return Ok(rows);
    }
    for (index, server) in servers.iter().enumerate() {
        eprintln!("memory of {}", server.name);
        rows.push((index, memory_per_connection(server).or_failed()?));
    }
    Ok(rows)
}

fn memory_per_connection(server: &Server) -> Result<f64, Halt> {
    let started = servers::start(&server.command, None)?;
    let speech = server.speech();
    let peak = |connections: usize| {
        // At 20,000 requests a second each connection sends one request and is idle otherwise.
        let words = format!(
            "{} {speech} --connections {connections} --rate 20k --duration 600ms --warmup 0s",
            started.address()
        );
        let session = load(&words)?;
        match session.servers[0].failures.first() {
            Some((_, failure)) => Err(Halt::Failed(failure.clone())),
            None => Ok(peak_bytes(started.pid())?),
        }
    };
    let (few, many) = CONNECTIONS;
    let (before, after) = (peak(few)?, peak(many)?);
    Ok((after - before) / (many - few) as f64)
}

/// Peak resident memory of a process (VmHWM).
fn peak_bytes(pid: u32) -> Result<f64, String> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kilobytes.ok_or_else(|| format!("{file} has no VmHWM"))? * 1024.0)
}

trait OrFailed<T> {
    /// Turns a failure into a cell of the table; an interruption ends the benchmark.
    fn or_failed(self) -> Result<Result<T, String>, Halt>;
}

impl<T> OrFailed<T> for Result<T, Halt> {
    fn or_failed(self) -> Result<Result<T, String>, Halt> {
        match self {
            Ok(value) => Ok(Ok(value)),
            Err(Halt::Failed(why)) => Ok(Err(why)),
            Err(Halt::Interrupted) => Err(Halt::Interrupted),
        }
    }
}

/// The cost of one request.
pub(crate) struct Cost {
    pub(crate) name: String,
    /// System calls by name, or why they are unknown.
    pub(crate) calls: Result<Vec<(String, f64)>, String>,
    /// Instructions in user mode, or why they are unknown.
    pub(crate) instructions: Result<f64, String>,
}

/// The costs of mynah, and of the base for comparison.
pub(crate) fn costs(scope: &Scope, base: &str) -> Result<Vec<Cost>, Halt> {
    let mut costs = Vec::new();
    if !scope.wants("calls") {
        return Ok(costs);
    }
    let mynah = format!("'{MYNAH}' echo --listen {{port}}");
    let framed = format!("{mynah} --frame u32be");
    let level = format!("{mynah} --trigger level");
    let ring = format!("{mynah} --submit ring");
    let metrics = format!("{mynah} --metrics 127.0.0.1:0");
    for (name, command, words) in [
        ("bare loop, ping-pong 100", base, "--connections 100"),
        ("mynah, ping-pong 100", &mynah, "--connections 100"),
        ("mynah, level, ping-pong 100", &level, "--connections 100"),
        ("mynah, ring, ping-pong 100", &ring, "--connections 100"),
        (
            "mynah, --metrics, ping-pong 100",
            &metrics,
            "--connections 100",
        ),
        (
            "mynah, 16 deep x 100",
            &mynah,
            "--connections 100 --pipeline 16",
        ),
        (
            "mynah, u32be 100",
            &framed,
            "--connections 100 --frame u32be",
        ),
        (
            "mynah, u32be 16 deep x 100",
            &framed,
            "--connections 100 --frame u32be --pipeline 16",
        ),
    ] {
        eprintln!("calls and instructions of {name}");
        costs.push(Cost {
            name: name.to_owned(),
            calls: calls(command, words).or_failed()?,
            instructions: instructions(command, words).or_failed()?,
        });
    }
    Ok(costs)
}

const REQUESTS: (u64, u64) = (10_000, 30_000);

/// Runs `command` under `tool` with two numbers of requests, and reads the tool's file after each.
fn twice<T>(
    tool: &str,
    file: &str,
    (command, words): (&str, &str),
    read: impl Fn(&str) -> Option<T>,
) -> Result<(T, T), Halt> {
    let name = tool.split(' ').next().unwrap_or_default();
    let mut probe = Command::new(name);
    if let Err(error) = probe.arg("--version").stdout(Stdio::null()).status() {
        return Err(Halt::Failed(format!("{name}: {error}")));
    }
    let once = |requests: u64| {
        let server = servers::start(&format!("{tool} {command}"), None)?;
        load(&format!(
            "{} {words} --requests {requests}",
            server.address()
        ))?;
        // The tool writes its file when the server ends.
        drop(server);
        let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        read(&text).ok_or_else(|| Halt::Failed(format!("{file} has no total")))
    };
    Ok((once(REQUESTS.0)?, once(REQUESTS.1)?))
}

fn per_request(difference: f64) -> f64 {
    difference / (REQUESTS.1 - REQUESTS.0) as f64
}

fn calls(command: &str, words: &str) -> Result<Vec<(String, f64)>, Halt> {
    let file = format!("{SCRATCH}/calls.txt");
    let tool = format!("strace -f -c -o '{file}'");
    let read = |text: &str| {
        let calls: Vec<(String, f64)> = text.lines().filter_map(call).collect();
        (!calls.is_empty()).then_some(calls)
    };
    let (few, many) = twice(&tool, &file, (command, words), read)?;
    let counted = many.into_iter().map(|(name, count)| {
        let before = few.iter().find(|(other, _)| *other == name);
        let before = before.map_or(0.0, |(_, count)| *count);
        (name, per_request(count - before))
    });
    // A call that occurs once in thousands of requests belongs to the start or the end.
    Ok(counted.filter(|(_, count)| *count >= 0.0005).collect())
}

/// Parses a line of strace's summary: share, seconds, time per call, calls, errors (optional),
/// name.
fn call(line: &str) -> Option<(String, f64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = words.last().filter(|name| **name != "total")?;
    Some(((*name).to_owned(), words.get(3)?.parse().ok()?))
}

fn instructions(command: &str, words: &str) -> Result<f64, Halt> {
    let file = format!("{SCRATCH}/callgrind.out");
    let tool = format!("valgrind --tool=callgrind '--callgrind-out-file={file}'");
    let total = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("totals:"));
        line?.trim().parse::<f64>().ok()
    };
    let (few, many) = twice(&tool, &file, (command, words), total)?;
    Ok(per_request(many - few))
}
