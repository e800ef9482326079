//! Who is measured: the bare loops, mynah under both triggers, the peers, and whoever the caller
//! adds.
//!
//! A server is a command in which `{port}` stands for its port. What cannot run on this machine is
//! left out with a line that says why.

use std::env;

use super::workloads::Workload;
use super::{Scope, echo, netty};

/// The workloads that a server can take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Bytes.
    Raw,
    /// Frames, u32be.
    Frames,
    /// Bytes, of which frames are made.
    Both,
}

pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) speaks: Speaks,
    pub(crate) command: String,
    /// It compiles itself while it runs, and is slow until it has.
    pub(crate) starts_slowly: bool,
}

/// The server that all ratios are to.
const BASE: &str = "bare loop";

/// The program that is measured.
pub(crate) const MYNAH: &str = env!("CARGO_BIN_EXE_mynah");

impl Server {
    fn new(name: &'static str, speaks: Speaks, command: String) -> Server {
        Server {
            name,
            speaks,
            command,
            starts_slowly: false,
        }
    }

    pub(crate) fn is_base(&self) -> bool {
        self.name == BASE
    }

    /// The framing in which a load must speak to it, as an option of `mynah bench`.
    pub(crate) fn frame(&self) -> &'static str {
        match self.speaks {
            Speaks::Frames => "--frame u32be",
            Speaks::Raw | Speaks::Both => "",
        }
    }

    /// Whether it takes this workload.
    pub(crate) fn takes(&self, workload: &Workload) -> bool {
        match self.speaks {
            Speaks::Raw => !workload.framed,
            Speaks::Frames => workload.framed,
            Speaks::Both => true,
        }
    }
}

/// The command that makes this bench a server.
fn ourselves(name: &str) -> String {
    let program = env::current_exe().unwrap_or_default();
    format!("'{}' --serve-as {name} {{port}}", program.display())
}

/// All that can be measured here, the base first; and why others cannot.
pub(crate) fn all(scope: &Scope) -> (Vec<Server>, Vec<String>) {
    use Speaks::{Both, Frames, Raw};
    let mynah = |options: &str| format!("'{MYNAH}' echo --listen {{port}} {options}");
    let mut missing = Vec::new();
    let mut servers = vec![
        Server::new(BASE, Both, ourselves("bare")),
        Server::new("the same again", Raw, ourselves("bare")),
        Server::new("bare framed loop", Frames, ourselves("bare-framed")),
        Server::new("mynah, level", Raw, mynah("--trigger level")),
        Server::new("mynah, edge", Raw, mynah("--trigger edge")),
        Server::new(
            "mynah u32be, level",
            Frames,
            mynah("--frame u32be --trigger level"),
        ),
        Server::new(
            "mynah u32be, edge",
            Frames,
            mynah("--frame u32be --trigger edge"),
        ),
        Server::new("mio", Raw, ourselves("mio")),
        Server::new("tokio, one thread", Raw, ourselves("tokio")),
        Server::new("tokio-util codec", Frames, ourselves("codec")),
        Server::new("a thread each", Raw, ourselves("threads")),
    ];
    match netty::compile() {
        Ok(command) => {
            for (name, speaks, word) in [
                ("Netty, NIO", Raw, "raw"),
                ("Netty, NIO, codec", Frames, "framed"),
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
        Ok(()) => servers.push(Server::new("io_uring", Raw, ourselves("uring"))),
        Err(error) => missing.push(format!("io_uring: this kernel says: {error}")),
    }
    for (name, command) in &scope.peers {
        // A handful of names that are needed until the end.
        servers.push(Server::new(name.clone().leak(), Both, command.clone()));
    }
    (servers, missing)
}
