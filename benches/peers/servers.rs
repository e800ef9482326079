//! The servers that are measured: the bare loops, mynah in several modes, the peers, and servers
//! that the caller adds.
//!
//! A server is a command line in which `{port}` stands for its port. A server that cannot run on
//! this machine is skipped, with a line that says why.

use std::env;
use std::thread;

use mynah::load::run::servers::spawn::{Spawned, StartError};

use super::workloads::{Speech, Workload};
use super::{Halt, Scope, echo, netty};

pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// The protocols the server accepts. A byte echo also serves frames, unless the server sends
    /// one reply per read.
    pub(crate) speaks: &'static [Speech],
    pub(crate) command: String,
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
            starts_slowly: false,
        }
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
    let mut servers = vec![
        Server::new(BASE, BYTES, ourselves("bare")),
        Server::new("the same again", RAW, ourselves("bare")),
        Server::new("bare framed loop", FRAMES, ourselves("bare-framed")),
        Server::new("mynah, level", RAW, mynah("--trigger level")),
        Server::new("mynah, edge", RAW, mynah("--trigger edge")),
        Server::new("mynah, ring", RAW, mynah("--submit ring")),
        Server::new(
            "mynah u32be, level",
            FRAMES,
            mynah("--frame u32be --trigger level"),
        ),
        Server::new(
            "mynah u32be, edge",
            FRAMES,
            mynah("--frame u32be --trigger edge"),
        ),
        Server::new(
            "mynah u32be, ring",
            FRAMES,
            mynah("--frame u32be --submit ring"),
        ),
        Server::new("mio", RAW, ourselves("mio")),
        Server::new("tokio, one thread", RAW, ourselves("tokio")),
        Server::new("tokio-util codec", FRAMES, ourselves("codec")),
        Server::new("tokio-util, send", FRAMES, ourselves("codec-by-one")),
        Server::new(BASE_HTTP, HTTP, ourselves("bare-http")),
        Server::new(
            "mynah http",
            HTTP,
            format!("'{MYNAH}' http --listen {{port}}"),
        ),
        Server::new("a thread each", RAW, ourselves("threads")),
    ];
    match netty::compile() {
        Ok(command) => {
            for (name, speaks, word) in [
                ("Netty, NIO", RAW, "raw"),
                ("Netty, NIO, codec", FRAMES, "framed"),
            ] {
                servers.push(Server {
                    starts_slowly: true,
                    ..Server::new(name, speaks, format!("{command} {{port}} {word}"))
                });
            }
        }
        Err(why) => missing.push(format!("Netty: {why}")),
    }
    match echo::uring_available() {
        Ok(()) => servers.push(Server::new("io_uring", RAW, ourselves("uring"))),
        Err(error) => missing.push(format!("io_uring: this kernel says: {error}")),
    }
    for peer in &scope.peers {
        // A few names, needed until the end of the process.
        let name = peer.name.clone().leak();
        servers.push(Server::new(name, peer.speaks, peer.command.clone()));
    }
    (servers, missing)
}
