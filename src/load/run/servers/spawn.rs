//! A server that is started for the measurement and stopped after it.
//!
//! The command is split into words without a shell, so that the measured process is the server
//! itself and not a wrapper. The first word `mynah` means this very program. `{port}` becomes a
//! free port of the loopback address. The server is ready when it accepts a connection. `drop`
//! stops the server with SIGTERM and, a little later, with SIGKILL, and always reaps it, on every
//! exit path. Neighbours: `stderr_tail`, `servers`. Man pages: exec(3), kill(2), wait(2).

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::host::child::{self, Ending};
use crate::kernel::{Address, host};

use super::stderr_tail::LastWords;

const START_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of one connect, and the delay with which a signal is noticed.
const TRY_TIMEOUT: Duration = Duration::from_millis(200);
const END_TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(5);

/// The first word of a command that means this program, installed or not.
const OURSELVES: &str = "mynah";

/// Why a server could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The line to print.
    Failed(String),
    /// A signal arrived before the server was ready.
    Interrupted(i32),
}

impl From<String> for StartError {
    fn from(line: String) -> StartError {
        StartError::Failed(line)
    }
}

/// A server process that lives as long as this value.
#[derive(Debug)]
pub struct Spawned {
    child: Child,
    address: SocketAddr,
    /// The server's last lines on stderr, for the message of a failed start.
    last_words: Option<LastWords>,
}

impl Spawned {
    /// Starts `line`, pinned to processor `cpu` if given, and waits until the server accepts.
    /// `pause` sleeps between the attempts and may return a signal.
    pub fn start(
        line: &str,
        cpu: Option<usize>,
        pause: impl FnMut(Duration) -> io::Result<Option<i32>>,
    ) -> Result<Spawned, StartError> {
        let failed = |error: io::Error| format!("cannot start '{line}': {error}");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let address = free.local_addr().map_err(failed)?;
        drop(free);
        let words = words(&line.replace("{port}", &address.port().to_string()))?;
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| "--spawn needs a command".to_owned())?;
        let mut command = Command::new(match program.as_str() {
            OURSELVES => host::OWN_PROGRAM,
            program => program,
        });
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = child::start(&mut command, cpu).map_err(|error| match program.as_str() {
            OURSELVES if error.kind() == ErrorKind::NotFound => {
                format!(
                    "cannot start '{line}': {}: {error}; /proc must be mounted",
                    host::OWN_PROGRAM
                )
            }
            _ => failed(error),
        })?;
        let mut server = Spawned {
            child,
            address,
            last_words: None,
        };
        let stderr = server.child.stderr.take().map(LastWords::of);
        server.last_words = stderr.transpose().map_err(failed)?;
        server.wait_until_it_accepts(line, pause)?;
        Ok(server)
    }

    fn wait_until_it_accepts(
        &mut self,
        line: &str,
        mut pause: impl FnMut(Duration) -> io::Result<Option<i32>>,
    ) -> Result<(), StartError> {
        let start = Instant::now();
        while start.elapsed() < START_TIMEOUT {
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = self.last_words();
                let why = format!("'{line}' ended before it accepted a connection: {status}{said}");
                return Err(StartError::Failed(why));
            }
            if is_served(&self.address) {
                return Ok(());
            }
            match pause(PAUSE) {
                Ok(None) => {}
                Ok(Some(signal)) => return Err(StartError::Interrupted(signal)),
                Err(error) => return Err(StartError::Failed(format!("signals: {error}"))),
            }
        }
        let address = self.address;
        let said = self.last_words();
        let why =
            format!("'{line}' accepted no connection on {address} within {START_TIMEOUT:?}{said}");
        Err(StartError::Failed(why))
    }

    fn last_words(&self) -> String {
        let words = self.last_words.as_ref();
        words.map_or_else(String::new, LastWords::told)
    }

    /// The address of the server.
    pub fn address(&self) -> Address {
        Address::Tcp(self.address)
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Whether a server accepts at `address`. The kernel has chosen the port and may choose the same
/// port for this connection. Then TCP connects the socket to itself (RFC 9293, 3.5: simultaneous
/// open).
fn is_served(address: &SocketAddr) -> bool {
    let connected = TcpStream::connect_timeout(address, TRY_TIMEOUT);
    connected.is_ok_and(|stream| stream.local_addr().is_ok_and(|near| near != *address))
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let start = Instant::now();
        let mut ending = Ending::Asked;
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > END_TIMEOUT {
                ending = Ending::Forced;
            }
            if ending == Ending::Forced || start.elapsed() < PAUSE {
                // The process group may have ended already.
                let _ = child::end_group(self.child.id(), ending);
            }
            thread::sleep(PAUSE);
        }
        // The other processes of the group outlive their leader.
        let _ = child::end_group(self.child.id(), Ending::Forced);
    }
}

/// Splits a line into words: blanks separate words, both kinds of quotes group, and a backslash
/// escapes the next character.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => {
                let next = letters
                    .next()
                    .ok_or_else(|| format!("'{line}' ends in a backslash"))?;
                word.get_or_insert_with(String::new).push(next);
            }
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_with(String::new);
            }
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_with(String::new).push(letter),
        }
    }
    if quote.is_some() {
        return Err(format!("'{line}' has an open quote"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_into_words_as_a_shell_would() {
        let cut = words(r#"java -cp "a b" 'c "d"' e\ f '' x"y"z"#);
        assert_eq!(
            cut,
            Ok(["java", "-cp", "a b", r#"c "d""#, "e f", "", "xyz"]
                .map(String::from)
                .to_vec())
        );
        assert!(words("a 'b").is_err() && words("a\\").is_err());
    }

    /// The error for the command `line`.
    fn refusal(line: &str, signal: Option<i32>) -> StartError {
        let pause = |span| {
            thread::sleep(span);
            Ok(signal)
        };
        Spawned::start(line, None, pause).expect_err("the command does not listen")
    }

    #[test]
    fn a_command_that_ends_at_once_or_is_not_there_says_so() {
        for (line, why) in [
            (
                "true",
                "ended before it accepted a connection: exit status: 0",
            ),
            ("sh -c 'echo no >&2; exit 3' {port}", ": exit status: 3: no"),
            ("/nonexistent/server {port}", "cannot start"),
            (" ", "needs a command"),
        ] {
            match refusal(line, None) {
                StartError::Failed(told) => assert!(told.contains(why), "{told}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_signal_ends_the_wait_for_a_server_that_does_not_listen() {
        let start = Instant::now();
        assert_eq!(refusal("sleep 60", Some(2)), StartError::Interrupted(2));
        assert!(start.elapsed() < START_TIMEOUT);
    }
}
