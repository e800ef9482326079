//! `mynah connect` as the real binary, against `mynah serve` and against servers that the test
//! plays.
//!
//! The server chooses its port and prints it; no test waits for time to pass. `talking` tests the
//! same rules on the simulated kernel.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::skip::is_installed;
use crate::terminal::Terminal;

fn mynah(args: &[&str]) -> Command {
    let mut command = Command::new(crate::program::path());
    command.args(args).env_remove("RUST_LOG");
    command
}

/// A server that is killed and reaped at the end of the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        let mut child = mynah(&["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut ready = String::new();
        let read = BufReader::new(stdout).read_line(&mut ready);
        read.expect("a ready line");
        let mut words = ready.split([' ', ',']);
        let address = words.find(|word| word.starts_with("tcp://"));
        let address = address.expect("an address").to_owned();
        Server { child, address }
    }

    fn connect(&self, args: &[&str]) -> Command {
        mynah(&[&["connect", &self.address], args].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both calls fail only if the server has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a client with `input` in a pipe on stdin.
fn piped(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    thread::scope(|scope| {
        // The write fails if the client exits before it has read everything.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().expect("it ends")
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The stderr and the exit code of a client.
fn outcome(output: &Output) -> (String, Option<i32>) {
    (text(&output.stderr), output.status.code())
}

/// A file that is removed on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("mynah-{}-{name}", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The file may not exist.
        let _ = fs::remove_file(&self.0);
    }
}

/// A server that the test plays: accepts one connection and calls `play` with it.
fn played(play: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || play(listener.accept().expect("a client").0));
    address
}

#[test]
fn c3_64_mib_through_an_echo_come_back_whole() {
    const COUNT: usize = 64 << 20;
    let file = Scratch::new("64m");
    let bytes: Vec<u8> = (0..COUNT as u32 / 4)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(&file.0, &bytes).expect("room for a file");
    let server = Server::start(&[]);
    let output = server
        .connect(&[])
        .stdin(File::open(&file.0).expect("it was written"))
        .output()
        .expect("the binary starts");
    assert!(output.stdout == bytes, "{} bytes", output.stdout.len());
    assert_eq!(outcome(&output), (String::new(), Some(0)));
    let output = piped(server.connect(&[]), &bytes[..COUNT / 8]);
    assert!(output.stdout == bytes[..COUNT / 8]);
}

#[test]
fn c3_an_empty_input_sends_nothing_and_ends_well() {
    let server = Server::start(&[]);
    let output = server
        .connect(&[])
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    assert_eq!(output.stdout, b"");
    assert_eq!(outcome(&output), (String::new(), Some(0)));
}

#[test]
fn c3_a_closed_output_is_a_quiet_exit() {
    let server = Server::start(&[]);
    let mut client = server
        .connect(&[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(client.stdout.take());
    let mut stdin: ChildStdin = client.stdin.take().expect("it is piped");
    stdin.write_all(b"hello\n").expect("it is read");
    let output = client.wait_with_output().expect("it ends");
    drop(stdin);
    assert_eq!(outcome(&output), (String::new(), Some(0)));
}

#[test]
fn c3_a_server_that_closes_ends_the_client_while_its_input_goes_on() {
    let address = played(|mut stream| stream.write_all(b"goodbye\n").expect("it is taken"));
    let mut client = mynah(&["connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let stdin = client.stdin.take();
    let output = client.wait_with_output().expect("it ends");
    drop(stdin);
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("goodbye\n".into(), Some(0))
    );
}

#[test]
fn c3_an_interrupt_is_exit_code_130() {
    let (hold, held) = mpsc::channel::<()>();
    let address = played(move |mut stream| {
        stream.write_all(b"hello").expect("it is taken");
        held.recv()
            .expect_err("nothing is sent, the other end goes");
    });
    let mut client = mynah(&["connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let stdout = client.stdout.as_mut().expect("it is piped");
    stdout.read_exact(&mut [0; 5]).expect("it talks");
    assert!(crate::program::signal(client.id(), "INT"));
    assert_eq!(client.wait().expect("it ends").code(), Some(130));
    drop(hold);
}

#[test]
fn c3_a_terminal_gets_a_prompt_and_quit_ends() {
    let server = Server::start(&["upper"]);
    // The terminal buffers the typed lines until the client reads them.
    let client = format!("'{}' connect {}", crate::program::path(), server.address);
    if !is_installed("script") {
        return;
    }
    let mut script = Command::new("script");
    script.args(["-qec", &client, "/dev/null"]);
    let output = piped(script, b"hello\n\x1bc\nquit\n");
    let shown = text(&output.stdout);
    assert!(
        shown.contains("> ") && shown.contains("HELLO\r\n"),
        "{shown:?}"
    );
    assert!(
        shown.contains("\\u{1b}C") && !shown.contains('\u{1b}'),
        "{shown:?}"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn c4_each_line_is_a_frame_both_ways_in_every_framing() {
    let any = (
        b"hello,\nworld\n\n\xff".as_slice(),
        "HELLO,\nWORLD\n\n0xff\n",
        "hi",
    );
    let fives = (
        b"hello\nworld\n\xff....".as_slice(),
        "HELLO\nWORLD\n0xff2e2e2e2e\n",
        "fives",
    );
    for (frame, (lines, replies, message)) in [
        ("u8", any),
        ("u16le", any),
        ("u24be", any),
        ("u32be", any),
        ("u64le", any),
        ("i32le", any),
        ("len:offset=1,size=2,adjust=-3,strip=3", any),
        ("line", any),
        ("delim:7c7c", any),
        ("fixed:5", fives),
        ("ascii:4", any),
        ("netstring", any),
    ] {
        let server = Server::start(&["upper", "--frame", frame]);
        let output = piped(server.connect(&["--frame", frame]), lines);
        assert_eq!(text(&output.stdout), replies, "{frame}");
        assert_eq!(outcome(&output), (String::new(), Some(0)), "{frame}");
        let once = piped(server.connect(&["--frame", frame, "--once", message]), b"");
        assert_eq!(
            (text(&once.stdout), once.status.code()),
            (message.to_uppercase() + "\n", Some(0)),
            "{frame}"
        );
    }
}

#[test]
fn c4_a_codec_is_spoken_both_ways_in_every_framing() {
    let lines = b"hello,\nworld\n\n\xff,|a";
    for frame in [
        "u16le",
        "i32le",
        "line",
        "delim:7c7c",
        "ascii:4",
        "netstring",
    ] {
        let coded = ["--frame", frame, "--codec", "base64"];
        let server = Server::start(&[&["upper"], &coded[..]].concat());
        let output = piped(server.connect(&coded), lines);
        assert_eq!(
            text(&output.stdout),
            "HELLO,\nWORLD\n\n0xff2c7c41\n",
            "{frame}"
        );
        assert_eq!(outcome(&output), (String::new(), Some(0)), "{frame}");
        let once = piped(
            server.connect(&[&coded[..], &["--once", "a\nb"]].concat()),
            b"",
        );
        assert_eq!(
            (text(&once.stdout), once.status.code()),
            ("A\nB\n".to_owned(), Some(0))
        );
        // What is not encoded is answered by the end of the stream, and its cause is counted.
        let plain = piped(server.connect(&["--frame", frame, "--once", "hello"]), b"");
        assert_eq!(outcome(&plain).1, Some(7), "{frame}");
    }
}

#[test]
fn c4_a_reply_that_is_no_encoding_is_a_protocol_error() {
    for reply in ["Zh==", "Zg=", "hello, world"] {
        let server = played(move |mut stream| {
            stream
                .write_all(format!("Zm9v\n{reply}\n").as_bytes())
                .expect("it is taken");
            stream.read_to_end(&mut Vec::new()).expect("it ends");
        });
        let args = ["connect", &server, "--frame", "line", "--codec", "base64"];
        let output = piped(mynah(&args), b"");
        let (said, code) = outcome(&output);
        assert_eq!((text(&output.stdout), code), ("foo\n".to_owned(), Some(9)));
        assert!(said.starts_with("mynah: corrupted: "), "{said}");
    }
}

#[test]
fn c4_once_without_a_framing_prints_all_there_is() {
    let server = Server::start(&["upper"]);
    let output = piped(server.connect(&["--once", "hello"]), b"");
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("HELLO".into(), Some(0))
    );
}

#[test]
fn c4_the_reply_of_a_server_that_greets_is_what_comes_after_its_greeting() {
    let server = Server::start(&["robot"]);
    let line = ["--frame", "line", "--once", "0"];
    let recorded = "通过可能会被录音.balabala一大推\n";
    for (more, expected) in [
        (&["--greeting"][..], recorded),
        (&[], "欢迎致电 10086,请输入1xxx,0转人工服务.\n"),
    ] {
        let output = piped(server.connect(&[&line, more].concat()), b"");
        assert_eq!(text(&output.stdout), expected);
        assert_eq!(outcome(&output), (String::new(), Some(0)));
    }
}

#[test]
fn c4_the_replies_to_the_lines_before_a_refused_one_are_printed() {
    let server = Server::start(&["upper", "--frame", "u8"]);
    let lines = [b"one\ntwo\n".as_slice(), &[b'x'; 256], b"\nthree\n"].concat();
    let output = piped(server.connect(&["--frame", "u8"]), &lines);
    assert_eq!(text(&output.stdout), "ONE\nTWO\n");
    let (said, code) = outcome(&output);
    assert!(
        said.starts_with("mynah: line 3: 256 bytes make no frame"),
        "{said}"
    );
    assert_eq!((code, said.lines().count()), (Some(1), 1));
}

#[test]
fn c4_every_way_to_fail_has_its_line_and_its_code() {
    let silent = played(|mut stream| {
        stream.read_to_end(&mut Vec::new()).expect("it ends");
    });
    let wrong = played(|mut stream| {
        stream.write_all(b"\x03yes\xff").expect("it is taken");
        stream.shutdown(Shutdown::Write).expect("it is open");
        stream.read_to_end(&mut Vec::new()).expect("it ends");
    });
    let lines = Server::start(&["upper", "--frame", "line"]);
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = gone.local_addr().expect("it is bound").to_string();
    drop(gone);
    for (args, line, code) in [
        (
            &["127.0.01:7007"][..],
            "127.0.01:7007: 127.0.01 is not a dotted quad",
            1,
        ),
        (
            &[&closed, "--frame", "u8", "--once", &"x".repeat(256)],
            "256 bytes make no frame",
            1,
        ),
        (
            &[&closed, "--frame", "line", "--once", "a\nb"],
            "3 bytes make no frame",
            1,
        ),
        (
            &[&closed, "--frame", "fixed:3", "--once", "ab"],
            "2 bytes make no frame: not the length that every frame has",
            1,
        ),
        (
            &[&lines.address, "--once", "hi"],
            "the server ended its stream before it replied; it may want a --frame, such as line",
            7,
        ),
        (&[&closed], "connect tcp://127.0.0.1:", 5),
        (
            &["unix:@nothing-listens-to-this-name"],
            "connect unix:@nothing",
            5,
        ),
        (
            &[&silent, "--frame", "u8", "--once", "x", "--timeout", "20ms"],
            "timed out",
            7,
        ),
        (
            &[&wrong, "--frame", "u8"],
            "truncated: the stream ended 1 bytes into a frame",
            9,
        ),
    ] {
        let output = piped(mynah(&[&["connect"], args].concat()), b"");
        let (said, exit) = outcome(&output);
        assert!(
            said.starts_with(&format!("mynah: {line}")),
            "{args:?}: {said}"
        );
        assert_eq!((exit, said.lines().count()), (Some(code), 1), "{args:?}");
    }
}

/// Everything that a client prints on a terminal while `play` acts as the server.
fn shown(play: impl FnOnce(TcpStream) + Send + 'static, args: &[&str]) -> Option<String> {
    let mut terminal = Terminal::open()?;
    let address = played(play);
    let mut client = mynah(&[&["connect", &address], args].concat())
        .stdin(terminal.end())
        .stdout(terminal.end())
        .stderr(terminal.end())
        .spawn()
        .expect("the binary starts");
    client.wait().expect("it ends");
    let mut shown = String::new();
    let mut screen = terminal.read();
    screen.read_to_string(&mut shown).expect("text");
    Some(shown)
}

#[test]
fn c3_a_message_begins_a_line_of_its_own_on_a_terminal() {
    let ended = "INFO  the server has ended the connection\r\n";
    for (said, lines) in [
        (&b"login: "[..], "> \r  \rlogin: \r\n"),
        (b"bye\n", "> \r  \rbye\r\n> \r\n"),
        // The first bytes of a UTF-8 character.
        (b"a \xe4\xbd", "> \r  \ra \\xe4\\xbd\r\n"),
        (b"\xe4", "> \r  \r> \r  \r\\xe4\r\n"),
        (b"", "> \r\n"),
    ] {
        let play = move |mut stream: TcpStream| stream.write_all(said).expect("it is taken");
        let Some(shown) = shown(play, &[]) else {
            return;
        };
        assert_eq!(shown, format!("{lines}{ended}"), "{said:?}");
    }
}

#[test]
fn c3_the_last_line_is_ended_on_a_terminal() {
    let play = |mut stream: TcpStream| {
        stream.read_exact(&mut [0]).expect("a message");
        stream.write_all(b"pong").expect("it is taken");
    };
    let Some(shown) = shown(play, &["--once", "x"]) else {
        return;
    };
    assert_eq!(shown, "pong\r\n");
}

#[test]
fn c3_a_failure_begins_a_line_of_its_own_on_a_terminal() {
    let (_hold, held) = mpsc::channel::<()>();
    let silent = move |mut stream: TcpStream| {
        stream.write_all(b"login: ").expect("it is taken");
        held.recv().expect_err("the test is over");
    };
    let Some(shown) = shown(silent, &["--timeout", "100ms", "--once", "x"]) else {
        return;
    };
    let (text, failure) = shown.split_once("\r\n").expect("two lines");
    assert_eq!(text, "login: ");
    assert!(failure.starts_with("mynah: timed out: "), "{failure}");
}
