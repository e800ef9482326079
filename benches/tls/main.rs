//! Measures TLS against other servers: `cargo bench --features tls --bench tls`.
//!
//! The servers are `mynah echo` and a plain echo of tokio-rustls (in `echo`, built by this bench),
//! `mynah http` and nginx. Each has one thread and stays for the whole run; in a round all take
//! their turn, so that what else the machine does meets all of them.
//!
//! ```text
//!   handshake      openssl s_time -new, TLS 1.3, one after the other: a full handshake, no data
//!   request        mynah bench, 100 connections in a closed loop, 64 bytes or a GET
//!   memory         mynah bench, 1,000 connections: resident bytes that each adds
//! ```
//!
//! The figure of a handshake and of a request is processor time of the server, from
//! /proc/PID/schedstat; a second divided by it is what one processor can serve. Rows are medians,
//! and the quotient is the median of the quotients of each round. `--rounds N` [5]. What is not
//! installed is left out with a line. Man pages: proc(5), openssl-s_time(1).

use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

type Answer<T> = Result<T, Box<dyn Error>>;

const MYNAH: &str = env!("CARGO_BIN_EXE_mynah");
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/cert.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/key.pem");
const ISSUER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/issuer.pem");
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that is killed at the end.
struct Server {
    name: &'static str,
    /// The server that it is compared with.
    base: &'static str,
    child: Child,
    port: u16,
    words: &'static [&'static str],
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The options of `mynah bench` for an echo, and for HTTP.
const ECHO: &[&str] = &["--size", "64"];
const HTTP: &[&str] = &["--protocol", "http"];

impl Server {
    /// Starts `command`, which listens to `port`.
    fn start(
        names: (&'static str, &'static str),
        words: &'static [&'static str],
        port: u16,
        command: &mut Command,
    ) -> Answer<Server> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Server {
            name: names.0,
            base: names.1,
            child: child.map_err(|error| format!("{}: {error}", names.0))?,
            port,
            words,
        };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > until {
                return Err(format!("{} does not listen", names.0).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Nanoseconds on a processor.
    fn busy(&self) -> Answer<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let times = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += times.split(' ').next().ok_or("no time")?.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Processor time of a handshake.
    fn handshake(&self) -> Answer<f64> {
        let before = self.busy()?;
        let address = format!("localhost:{}", self.port);
        let load = Command::new("openssl")
            .args([
                "s_time", "-connect", &address, "-new", "-time", "1", "-tls1_3",
            ])
            .args(["-CAfile", ISSUER])
            .output()?;
        let text = String::from_utf8_lossy(&load.stdout).into_owned();
        // 1234 connections in 2 real seconds, 0 bytes read per connection
        let line = text.lines().find(|line| line.contains("real seconds"));
        let count: f64 = line
            .and_then(|line| line.split(' ').next()?.parse().ok())
            .ok_or_else(|| format!("{}: s_time says: {text}", self.name))?;
        Ok((self.busy()? - before) as f64 / count)
    }

    /// The value of `key` in the report of a load of `connections`.
    fn load(&self, connections: &str, key: &str) -> Answer<f64> {
        let load = Command::new(MYNAH)
            .args(["bench", &format!("localhost:{}", self.port), "--json"])
            .args(["--tls", "--tls-ca", ISSUER, "-c", connections])
            .args(["-d", "1s", "--warmup", "500ms"])
            .args(["--server-pid", &self.child.id().to_string()])
            .args(self.words)
            .output()?;
        let text = String::from_utf8_lossy(&load.stdout).into_owned();
        let value = |key: &str| {
            let behind = text.split(&format!("\"{key}\": ")).nth(1)?;
            behind.split([',', '\n']).next()?.trim().parse::<f64>().ok()
        };
        match (value("errors"), value(key)) {
            (Some(0.0), Some(value)) => Ok(value),
            _ => {
                let why = String::from_utf8_lossy(&load.stderr).into_owned();
                Err(format!("{}: bench: {why}", self.name).into())
            }
        }
    }
}

fn free_port() -> Answer<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn mynah(names: (&'static str, &'static str), words: &'static [&'static str]) -> Answer<Server> {
    let port = free_port()?;
    let service = if words == HTTP { "http" } else { "echo" };
    let mut command = Command::new(MYNAH);
    command.args([service, "--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--tls-cert", CERTIFICATE, "--tls-key", KEY]);
    Server::start(names, words, port, &mut command)
}

/// Builds and starts the echo of tokio-rustls.
fn tokio(folder: &Path) -> Answer<Server> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/tls/echo/Cargo.toml");
    let target = folder.join("echo");
    let built = Command::new("cargo")
        .args(["build", "--release", "--manifest-path", manifest])
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    if !built.success() {
        return Err("tokio-rustls: it cannot be built".into());
    }
    let port = free_port()?;
    let mut command = Command::new(target.join("release/tokio-rustls-echo"));
    command.args([&port.to_string(), CERTIFICATE, KEY]);
    Server::start(("tokio-rustls", "mynah echo"), ECHO, port, &mut command)
}

fn nginx(folder: &Path) -> Answer<Server> {
    let port = free_port()?;
    let path = folder.join("nginx.conf");
    let settings = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/nginx.log;\n\
         events {{ worker_connections 16384; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; server {{\n\
         listen 127.0.0.1:{port} ssl backlog=4096; default_type text/plain;\n\
         ssl_certificate {CERTIFICATE}; ssl_certificate_key {KEY};\n\
         ssl_protocols TLSv1.2 TLSv1.3;\n\
         location / {{ return 200 \"Hello, World\"; }} }} }}\n",
        folder.display()
    );
    fs::write(&path, settings)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(path);
    Server::start(("nginx", "mynah http"), HTTP, port, &mut command)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures all servers in turn, `rounds` times, and prints a row for each.
fn rows(
    title: &str,
    servers: &[Server],
    rounds: usize,
    measure: impl Fn(&Server) -> Answer<f64>,
) -> Answer<()> {
    let mut figures = vec![Vec::new(); servers.len()];
    for _ in 0..rounds {
        for (server, figures) in servers.iter().zip(&mut figures) {
            figures.push(measure(server)?);
        }
    }
    for (at, server) in servers.iter().enumerate() {
        let base = servers
            .iter()
            .position(|it| it.name == server.base)
            .unwrap_or(at);
        let quotients = figures[at].iter().zip(&figures[base]);
        let mut quotients: Vec<f64> = quotients.map(|(own, base)| own / base).collect();
        let (low, high) = quotients
            .iter()
            .fold((f64::MAX, f64::MIN), |(low, high), it| {
                (low.min(*it), high.max(*it))
            });
        let figure = median(&mut figures[at].clone());
        println!(
            "| {title} | {} | {figure:.0} | {:.2} ({low:.2} to {high:.2}) |",
            server.name,
            median(&mut quotients)
        );
    }
    Ok(())
}

fn run(rounds: usize) -> Answer<()> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tls");
    fs::create_dir_all(&folder)?;
    let mut servers = vec![
        mynah(("mynah echo", ""), ECHO)?,
        mynah(("mynah http", ""), HTTP)?,
    ];
    for other in [tokio(&folder), nginx(&folder)] {
        match other {
            Ok(server) => servers.push(server),
            Err(why) => eprintln!("left out: {why}"),
        }
    }
    println!("| what | server | median | against mynah (least to most) |\n|---|---|---|---|");
    rows(
        "ns of a full handshake",
        &servers,
        rounds,
        Server::handshake,
    )?;
    rows(
        "ns of a request, 100 connections",
        &servers,
        rounds,
        |server| server.load("100", "cpu_ns_per_request"),
    )?;
    rows("bytes of a connection, of 1,000", &servers, 1, |server| {
        server.load("1000", "resident_bytes_per_connection")
    })
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // Cargo passes --bench to measure, but not for `cargo test`.
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let behind = words.iter().skip_while(|word| *word != "--rounds").nth(1);
    let rounds = behind.and_then(|word| word.parse().ok()).unwrap_or(5);
    match run(rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tls: {error}");
            ExitCode::FAILURE
        }
    }
}
