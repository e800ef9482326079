//! Runs transcripts on the real binary, through a socket, under every model (rows V0 to V4).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Line;
use super::script::Script;
use crate::uninterrupted::uninterrupted;

/// The limit of each wait; the test fails when it expires.
const PATIENCE: Duration = Duration::from_secs(20);

/// The ways to drive a connection.
const DRIVERS: [&[&str]; 6] = [
    &["--trigger", "level"],
    &["--trigger", "edge"],
    &["--model", "iterative"],
    &["--model", "thread"],
    &["--model", "pool", "--pool-threads", "1"],
    &["--model", "fork"],
];

pub(super) fn play(script: &Script) {
    for driver in DRIVERS {
        println!("  under {}", driver.join(" "));
        let program = Program::start(script, driver);
        let mut peer = program.connect();
        super::play(script, &mut peer);
        // The stream must end after the expected bytes.
        let _ = peer.shutdown(Shutdown::Write);
        let mut more = Vec::new();
        peer.read_to_end(&mut more).expect("the stream ends");
        assert_eq!(more.escape_ascii().to_string(), "", "it says more");
    }
}

/// A running server, killed and reaped on drop.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(script: &Script, driver: &[&str]) -> Program {
        let mut child = Command::new(crate::program::path())
            .args(&script.args)
            .args(["--listen", "127.0.0.1:0"])
            .args(driver)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("a line");
        let address = ready
            .split("tcp://")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        Program {
            address: address.unwrap_or_default().to_owned(),
            child,
        }
    }

    fn connect(&self) -> TcpStream {
        let peer = TcpStream::connect(&self.address).expect("the server listens");
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        peer.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        peer
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Line for TcpStream {
    fn say(&mut self, bytes: &[u8]) {
        self.write_all(bytes).expect("the server reads");
    }

    fn hear(&mut self, expected: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let heard = self.take(expected as u64).read_to_end(&mut bytes);
        heard.unwrap_or_else(|error| panic!("{error} after {}", bytes.escape_ascii()));
        bytes
    }

    fn finish(&mut self) {
        self.shutdown(Shutdown::Write).expect("a connection");
    }

    fn is_over(&mut self) -> bool {
        uninterrupted(|| self.read(&mut [0])).is_ok_and(|count| count == 0)
    }
}
