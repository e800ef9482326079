//! A client of FTP that says what it is told to and hides nothing.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::PASSWORD;
use crate::binary::Server;

const PATIENCE: Duration = Duration::from_secs(20);

/// A control connection.
pub(super) struct Client {
    reader: BufReader<TcpStream>,
    pub(super) address: SocketAddr,
}

/// A reply: its code and all its lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// The text of the last line.
    pub(super) fn text(&self) -> &str {
        self.lines.last().map_or("", |line| &line[4..])
    }
}

/// Calls again what a signal has interrupted.
pub(super) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Has `stream` end with RST: SO_LINGER with zero seconds (socket(7)).
pub(super) fn will_reset(stream: &TcpStream) {
    let linger = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    linger.expect("a TCP socket has it");
}

impl Client {
    /// Connects and reads the greeting.
    pub(super) fn connect(server: &Server) -> Client {
        Client::connect_to(server.address())
    }

    pub(super) fn connect_to(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a span");
        let mut client = Client {
            reader: BufReader::new(stream),
            address,
        };
        assert_eq!(client.reply().code, 220);
        client
    }

    pub(super) fn log_in(server: &Server, name: &str) -> Client {
        let mut client = Client::connect(server);
        client.expect(&format!("USER {name}"), 331);
        client.expect(&format!("PASS {PASSWORD}"), 230);
        client.expect("TYPE I", 200);
        client
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.reader.get_ref().write_all(bytes).expect("it reads");
    }

    /// The next reply; code 0 is the end of the stream.
    pub(super) fn reply(&mut self) -> Reply {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = self.reader.read_until(b'\n', &mut line);
            if read.expect("a reply") == 0 {
                return Reply { code: 0, lines };
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            let line = line.strip_suffix("\r\n").expect("CR LF").to_owned();
            let first = lines.first().unwrap_or(&line).clone();
            let code = first[..3].parse().expect("a code");
            let is_last = line.starts_with(&format!("{} ", &first[..3]));
            lines.push(line);
            if is_last {
                return Reply { code, lines };
            }
            assert_eq!(first.as_bytes()[3], b'-', "{first}");
        }
    }

    /// Sends a command; returns its reply.
    pub(super) fn say(&mut self, command: &str) -> Reply {
        self.send(format!("{command}\r\n").as_bytes());
        self.reply()
    }

    /// The same, whose reply must have this code. Returns its text.
    pub(super) fn expect(&mut self, command: &str, code: u16) -> String {
        let reply = self.say(command);
        assert_eq!(reply.code, code, "{command}: {reply:?}");
        reply.text().to_owned()
    }

    /// Asks for a passive data connection; returns where it is to go.
    pub(super) fn epsv(&mut self) -> SocketAddr {
        let text = self.expect("EPSV", 229);
        let port = text.split('|').nth(3).expect("a port");
        let mut address = self.address;
        address.set_port(port.parse().expect("a number"));
        address
    }

    /// Opens a passive data connection.
    pub(super) fn passive(&mut self) -> TcpStream {
        let stream = TcpStream::connect(self.epsv()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a span");
        stream
    }

    /// Announces an active data connection; returns its listener.
    pub(super) fn active(&mut self) -> TcpListener {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        self.expect(&format!("PORT 127,0,0,1,{},{}", port >> 8, port & 255), 200);
        listener
    }

    /// What a command sends over a data connection.
    pub(super) fn fetch(&mut self, command: &str) -> Vec<u8> {
        let mut data = self.passive();
        self.expect(command, 150);
        let mut bytes = Vec::new();
        again(|| data.read_to_end(&mut bytes)).expect("bytes");
        let reply = self.reply();
        assert_eq!(reply.code, 226, "{command}: {reply:?}");
        bytes
    }

    /// The same, as lines.
    pub(super) fn fetch_lines(&mut self, command: &str) -> Vec<String> {
        let text = String::from_utf8(self.fetch(command)).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    /// Sends `bytes` with a command; returns the code of the final reply.
    pub(super) fn put(&mut self, command: &str, bytes: &[u8]) -> u16 {
        let mut data = self.passive();
        self.expect(command, 150);
        // The server may have had enough.
        let _ = data.write_all(bytes);
        drop(data);
        self.reply().code
    }

    /// Sends `bytes` with a command, and aborts once the server has them.
    pub(super) fn put_half(&mut self, command: &str, bytes: &[u8]) {
        let mut data = self.passive();
        self.expect(command, 150);
        data.write_all(bytes).expect("it reads");
        while self.moved() < bytes.len() as u64 {}
        self.send(b"\xff\xf4\xff\xf2ABOR\r\n");
        assert_eq!(self.reply().code, 426);
        assert_eq!(self.reply().code, 226);
    }

    /// How many bytes the transfer under way has moved.
    pub(super) fn moved(&mut self) -> u64 {
        let state = self.say("STAT");
        assert_eq!(state.code, 211, "{state:?}");
        let count = state.lines[1].rsplit(' ').next().expect("a count");
        count.parse().expect("a number")
    }

    /// Has the connection end with RST.
    pub(super) fn will_reset(&self) {
        will_reset(self.reader.get_ref());
    }

    /// Whether the server has closed the connection.
    pub(super) fn has_ended(&mut self) -> bool {
        self.reply().code == 0
    }
}
