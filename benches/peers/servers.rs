//! The servers that are measured: the bare loops, mynah in several modes, the peers, and servers
//! that the caller adds.
//!
//! A server is a command line in which `{port}` stands for its port. A server that cannot run on
//! this machine is skipped, with a line that says why.

use std::env;
use std::fs;
use std::io;
use std::process;
use std::thread;

use mynah::load::run::servers::spawn::{Spawned, StartError};

use super::workloads::{Speech, Workload};
use super::{Halt, Scope, about, echo, go, netty};

pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// The protocols the server accepts. A byte echo also serves frames, unless the server sends
    /// one reply per read.
    pub(crate) speaks: &'static [Speech],
    pub(crate) command: String,
    /// What it is made of, for the table.
    pub(crate) build: String,
    /// The server has a just-in-time compiler and must be warmed up.
    pub(crate) starts_slowly: bool,
}

/// The bases of all ratios.
const BASE: &str = "bare loop";
const BASE_HTTP: &str = "bare http loop";

const RAW: &[Speech] = &[Speech::Raw];
const FRAMES: &[Speech] = &[Speech::Frames];
pub(crate) const BYTES: &[Speech] = &[Speech::Raw, Speech::Frames];
pub(crate) const HTTP: &[Speech] = &[Speech::Http];

/// The binary that is measured.
pub(crate) const MYNAH: &str = env!("CARGO_BIN_EXE_mynah");

impl Server {
    fn new(name: &'static str, speaks: &'static [Speech], command: String) -> Server {
        Server {
            name,
            speaks,
            command,
            build: String::new(),
            starts_slowly: false,
        }
    }

    fn built(mut self, build: &str) -> Server {
        build.clone_into(&mut self.build);
        self
    }

    pub(crate) fn is_base(&self) -> bool {
        self.name == BASE || self.name == BASE_HTTP
    }

    /// The option of `mynah bench` for the protocol of this server.
    pub(crate) fn speech(&self) -> &'static str {
        match self.speaks {
            [Speech::Frames] => "--frame u32be",
            [Speech::Http] => "--protocol http",
            _ => "",
        }
    }

    /// Whether the server takes part in this workload.
    pub(crate) fn takes(&self, workload: &Workload) -> bool {
        self.speaks.contains(&workload.speech)
    }
}

/// Starts a server, pinned to processor `core` if given.
pub(crate) fn start(command: &str, core: Option<usize>) -> Result<Spawned, Halt> {
    let pause = |span| {
        thread::sleep(span);
        Ok(None)
    };
    Spawned::start(command, core, pause).map_err(|error| match error {
        StartError::Failed(line) => Halt::Failed(line),
        StartError::Interrupted(_) => Halt::Interrupted,
    })
}

/// The command that runs this benchmark as the server `name`.
fn ourselves(name: &str) -> String {
    let program = env::current_exe().unwrap_or_default();
    format!("'{}' --serve-as {name} {{port}}", program.display())
}

/// All servers that can be measured here, the base first, and the reasons why others cannot.
pub(crate) fn all(scope: &Scope) -> (Vec<Server>, Vec<String>) {
    let mynah = |options: &str| format!("'{MYNAH}' echo --listen {{port}} {options}");
    let mut missing = Vec::new();
    let bare = "epoll_wait, recv, send and nothing else, by libc";
    let tokio = format!("tokio {}", about::version("tokio"));
    let codec = format!(
        "LengthDelimitedCodec of tokio-util {}",
        about::version("tokio-util")
    );
    let mio = format!("mio {}", about::version("mio"));
    let ours = "the release build of this commit";
    let level = "the same, --trigger level";
    let mut servers = vec![
        Server::new(BASE, BYTES, ourselves("bare")).built(bare),
        Server::new("the same again", BYTES, ourselves("bare")).built("the bare loop once more"),
        Server::new("bare framed loop", FRAMES, ourselves("bare-framed"))
            .built("the bare loop, which finds the ends of frames"),
        Server::new("mynah", RAW, mynah("")).built(ours),
        Server::new("mynah, level", RAW, mynah("--trigger level")).built(level),
        Server::new("mynah, ring", RAW, mynah("--submit ring")).built("the same, --submit ring"),
        Server::new("mynah u32be", FRAMES, mynah("--frame u32be")).built(ours),
        Server::new(
            "mynah u32be, level",
            FRAMES,
            mynah("--frame u32be --trigger level"),
        )
        .built(level),
        Server::new(
            "mynah u32be, ring",
            FRAMES,
            mynah("--frame u32be --submit ring"),
        )
        .built("the same, --submit ring"),
        Server::new("mio", RAW, ourselves("mio")).built(&format!("{mio}, reads until EAGAIN")),
        Server::new("mio, short reads", RAW, ourselves("mio-short"))
            .built(&format!("{mio}, stops at a short read")),
        Server::new("tokio, one thread", RAW, ourselves("tokio"))
            .built(&format!("{tokio}, new_current_thread")),
        Server::new("tokio, many threads", RAW, ourselves("tokio-many")).built(&format!(
            "{tokio}, new_multi_thread; one processor, so one worker"
        )),
        Server::new("tokio-util codec", FRAMES, ourselves("codec"))
            .built(&format!("{codec}, all frames of a read in one write")),
        Server::new("tokio-util, send", FRAMES, ourselves("codec-by-one"))
            .built(&format!("{codec}, a write for each frame")),
        Server::new(BASE_HTTP, HTTP, ourselves("bare-http"))
            .built("the bare loop, which answers each empty line"),
        Server::new("the same http again", HTTP, ourselves("bare-http"))
            .built("the bare http loop once more"),
        Server::new(
            "mynah http",
            HTTP,
            format!("'{MYNAH}' http --listen {{port}}"),
        )
        .built(ours),
        Server::new("a thread each", RAW, ourselves("threads"))
            .built("a blocking thread for each connection, standard library"),
    ];
    let others = installed(&mut missing);
    servers.extend(others);
    match go::compile() {
        Ok(command) => servers.push(
            Server::new("Go, net", RAW, format!("{command} {{port}}")).built(&format!(
                "{}: a goroutine for each connection",
                about::first_line("go", &["version"])
            )),
        ),
        Err(why) => missing.push(format!("Go: {why}")),
    }
    match netty::compile() {
        Ok(command) => {
            let native = netty::find_native();
            let java = about::first_line("java", &["-version"]);
            for (name, speaks, words) in [
                ("Netty, NIO", RAW, "raw nio"),
                ("Netty, NIO, codec", FRAMES, "framed nio"),
                ("Netty, epoll", RAW, "raw epoll"),
                ("Netty, epoll, codec", FRAMES, "framed epoll"),
            ] {
                if words.ends_with("epoll") && native.is_err() {
                    continue;
                }
                servers.push(Server {
                    starts_slowly: true,
                    ..Server::new(name, speaks, format!("{command} {{port}} {words}")).built(&java)
                });
            }
            if let Err(why) = native {
                missing.push(format!("Netty, epoll: {why}"));
            }
        }
        Err(why) => missing.push(format!("Netty: {why}")),
    }
    match echo::uring_available() {
        Ok(()) => {
            let uring = format!(
                "io-uring {}: multishot accept and receive, provided buffers, DEFER_TASKRUN",
                about::version("io-uring")
            );
            servers.extend([
                Server::new("io_uring", RAW, ourselves("uring")).built(&uring),
                Server::new("io_uring, files", RAW, ourselves("uring-files"))
                    .built("the same, with registered files"),
            ]);
        }
        Err(error) => missing.push(format!("io_uring: this kernel says: {error}")),
    }
    for peer in &scope.peers {
        // A few names, needed until the end of the process.
        let name = peer.name.clone().leak();
        servers.push(Server::new(name, peer.speaks, peer.command.clone()).built(&peer.command));
    }
    (servers, missing)
}

/// A folder for the files of a server.
pub(crate) fn scratch(name: &str) -> io::Result<String> {
    let folder = format!("{}/{name}-{}", env!("CARGO_TARGET_TMPDIR"), process::id());
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The servers that people run, as far as they are installed.
fn installed(missing: &mut Vec<String>) -> Vec<Server> {
    let mut servers = Vec::new();
    let found = |program: &str, flag: &str, missing: &mut Vec<String>| {
        let is_there = about::is_installed(program);
        if !is_there {
            missing.push(format!("{program}: it is not installed"));
        }
        is_there.then(|| about::first_line(program, &[flag]))
    };
    if let Some(version) = found("nginx", "-v", missing) {
        servers.push(
            Server::new("nginx to bare loop", RAW, ourselves("nginx-stream"))
                .built(&format!("{version}: stream, and the bare loop behind it")),
        );
        match http_of_nginx() {
            Ok(command) => servers.push(
                Server::new("nginx http", HTTP, command)
                    .built(&format!("{version}: return 200, no log")),
            ),
            Err(error) => missing.push(format!("nginx http: {error}")),
        }
    }
    if let Some(version) = found("haproxy", "-v", missing) {
        servers.push(
            Server::new("haproxy to bare loop", RAW, ourselves("haproxy-tcp"))
                .built(&format!("{version}: mode tcp, and the bare loop behind it")),
        );
        match http_of_haproxy() {
            Ok(command) => servers.push(
                Server::new("haproxy http", HTTP, command)
                    .built(&format!("{version}: http-request return, one thread")),
            ),
            Err(error) => missing.push(format!("haproxy http: {error}")),
        }
    }
    if let Some(version) = found("socat", "-V", missing) {
        let command = "socat TCP-LISTEN:{port},fork,reuseaddr,backlog=4096,nodelay PIPE";
        servers.push(Server::new("socat", RAW, command.to_owned()).built(&version));
    }
    servers
}

/// The command of a server whose file of settings has the port in it.
fn configured(folder: &str, settings: &str, command: &str) -> io::Result<String> {
    fs::write(format!("{folder}/settings"), settings)?;
    Ok(format!(
        "sh -c 'sed s/PORT/{{port}}/ {folder}/settings >{folder}/conf && exec {command} {folder}/conf'"
    ))
}

fn http_of_nginx() -> io::Result<String> {
    let folder = scratch("nginx-http")?;
    let settings = format!(
        "daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;\n\
         events {{ worker_connections 16384; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; server {{\n\
         listen 127.0.0.1:PORT backlog=4096; default_type text/plain;\n\
         location / {{ return 200 \"Hello, World\"; }} }} }}\n"
    );
    configured(&folder, &settings, "nginx -c")
}

fn http_of_haproxy() -> io::Result<String> {
    let folder = scratch("haproxy-http")?;
    let settings = "global\n nbthread 1\n maxconn 4000\ndefaults\n mode http\n timeout client 1h\n\
                    frontend all\n bind 127.0.0.1:PORT backlog 4096\n http-request return \
                    status 200 content-type text/plain string \"Hello, World\"\n";
    configured(&folder, settings, "haproxy -db -f")
}
