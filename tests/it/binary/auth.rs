//! `--auth` on the real binary: P13 under every driver, with every service that differs, and every
//! way to be refused.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use mynah::base::digest::Keyed;

use super::server::{Ended, Server, until};
use super::{FEW, ask, is_installed, rest};
use crate::program;

const KEY: &[u8] = b"linhaifeng bang bang bang";

/// A file with a key, removed at the end of the test.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(name: &str, text: &[u8]) -> KeyFile {
        let name = format!("mynah-key-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).expect("it is written");
        KeyFile(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        // It fails only if the test has removed the file.
        let _ = fs::remove_file(&self.0);
    }
}

/// A server that wants the key in `file`.
fn start(file: &KeyFile, args: &[&str]) -> Server {
    let auth = ["--auth", "hmac-sha256", "--auth-key-file", file.path()];
    Server::start(&[args, &FEW[..], &auth].concat())
}

fn challenge(peer: &mut impl Read) -> [u8; 32] {
    let mut challenge = [0; 32];
    peer.read_exact(&mut challenge).expect("a challenge");
    challenge
}

fn digest(key: &[u8], challenge: &[u8; 32]) -> Vec<u8> {
    Keyed::new(false, key).digest(challenge).to_vec()
}

/// Answers the challenge of a server.
fn prove(mut peer: impl Read + Write, key: &[u8]) -> impl Read + Write {
    let answer = digest(key, &challenge(&mut peer));
    peer.write_all(&answer).expect("the server reads");
    peer
}

fn closed(server: &Server) -> u64 {
    server.stats().get("closed_unauthorised")
}

/// The stream ends without another byte, in order or by a reset.
fn assert_refused(mut peer: impl Read) {
    let mut more = Vec::new();
    let _ = peer.read_to_end(&mut more);
    assert_eq!(more, b"");
}

#[test]
fn p13_a_peer_that_knows_the_key_is_served_under_every_driver_and_another_is_not() {
    let file = KeyFile::new("drivers", &[KEY, b"\n"].concat());
    for driver in [
        &["--trigger", "edge"][..],
        &["--trigger", "level"],
        &["--threads", "2"],
        &["--model", "iterative"],
        &["--model", "thread"],
        &["--model", "pool", "--pool-threads", "2"],
        &["--model", "fork"],
        &["--processes", "2"],
        &["--rate", "1m"],
        &["--wiretap", "size"],
    ] {
        let server = start(&file, driver);
        let mut peer = prove(server.connect(), KEY);
        for text in [b"hello".as_slice(), b"again"] {
            assert_eq!(ask(&mut peer, text), text, "{driver:?}");
        }
        drop(peer);
        let mut other = prove(server.connect(), b"another key");
        // What is sent behind a wrong digest is not answered.
        let _ = other.write_all(b"hello");
        drop(other);
        until("the refusal is counted", || closed(&server) == 1);
        let ended = server.end();
        assert_eq!(ended.code, Some(0), "{driver:?}");
    }
}

#[test]
fn p13_each_challenge_is_another_one() {
    let file = KeyFile::new("nonces", KEY);
    let server = start(&file, &[]);
    let mut seen: Vec<_> = (0..20).map(|_| challenge(&mut server.connect())).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 20);
}

#[test]
fn p13_a_digest_in_pieces_is_one_and_what_follows_it_is_a_message() {
    let file = KeyFile::new("pieces", KEY);
    let server = start(&file, &["upper", "--frame", "u16be"]);
    let mut sent = 0;
    for cut in [0, 1, 16, 31, 32, 33, 35] {
        let mut peer = server.connect();
        let answer = digest(KEY, &challenge(&mut peer));
        let all = [&answer[..], b"\0\x02ab\0\x01c"].concat();
        let (front, back) = all.split_at(cut);
        peer.write_all(front).expect("the server reads");
        sent += cut as u64;
        until("the first piece is read", || {
            server.stats().get("bytes_in") == sent
        });
        sent += back.len() as u64;
        peer.write_all(back).expect("the server reads");
        peer.shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(rest(&mut peer), b"\0\x02AB\0\x01C", "{cut}");
    }
    assert_eq!(closed(&server), 0);
}

#[test]
fn p13_a_short_a_late_and_a_wrong_digest_are_counted() {
    let file = KeyFile::new("wrong", KEY);
    let server = start(&file, &["--frame-timeout", "300ms"]);
    let mut refused = 0;
    // The stream ends inside the digest.
    for count in [0, 1, 31] {
        let mut peer = server.connect();
        let answer = digest(KEY, &challenge(&mut peer));
        peer.write_all(&answer[..count]).expect("the server reads");
        peer.shutdown(Shutdown::Write).expect("it is open");
        assert_refused(peer);
        refused += 1;
        until("it is counted", || closed(&server) == refused);
    }
    // Nothing comes, or not enough.
    for count in [0, 31] {
        let mut peer = server.connect();
        let answer = digest(KEY, &challenge(&mut peer));
        peer.write_all(&answer[..count]).expect("the server reads");
        assert_refused(peer);
        refused += 1;
        until("it is counted", || closed(&server) == refused);
    }
    // A bit is wrong.
    for place in [0, 15, 31] {
        let mut peer = server.connect();
        let mut answer = digest(KEY, &challenge(&mut peer));
        answer[place] ^= 0x10;
        peer.write_all(&answer).expect("the server reads");
        peer.shutdown(Shutdown::Write).expect("it is open");
        assert_refused(peer);
        refused += 1;
        until("it is counted", || closed(&server) == refused);
    }
    // The challenge of another connection.
    let (mut one, mut other) = (server.connect(), server.connect());
    let (for_one, _) = (digest(KEY, &challenge(&mut one)), challenge(&mut other));
    other.write_all(&for_one).expect("the server reads");
    other.shutdown(Shutdown::Write).expect("it is open");
    assert_refused(other);
    drop(one);
    until("both are counted", || closed(&server) == refused + 2);
    let ended = server.end();
    let line = "unauthorised: the peer did not answer the challenge of --auth";
    assert!(
        ended.stderr.iter().any(|it| it.contains(line)),
        "{:?}",
        ended.stderr
    );
}

#[test]
fn p13_a_service_that_speaks_first_speaks_behind_the_challenge() {
    let file = KeyFile::new("robot", KEY);
    let server = start(&file, &["robot"]);
    let mut peer = prove(server.connect(), KEY);
    peer.write_all(b"exit\n").expect("the server reads");
    assert_eq!(
        rest(&mut peer),
        "欢迎致电 10086,请输入1xxx,0转人工服务.\n".as_bytes()
    );
}

#[test]
fn p13_a_local_socket_is_challenged_too() {
    let file = KeyFile::new("local", KEY);
    let name = format!("@mynah-auth-{}", std::process::id());
    let auth = ["--auth", "hmac-sha256", "--auth-key-file", file.path()];
    let listen = format!("unix:{name}");
    let server = Server::start(&[&["--listen", &listen], &FEW[..], &auth].concat());
    let address = SocketAddr::from_abstract_name(&name[1..]);
    let peer = UnixStream::connect_addr(&address.expect("a name")).expect("it listens");
    let mut peer = prove(peer, KEY);
    assert_eq!(ask(&mut peer, b"hello"), b"hello");
    drop(peer);
    server.end();
}

#[test]
fn p13_run_listens_on_every_address_only_where_it_asks_for_a_key() {
    let file = KeyFile::new("run", KEY);
    let run = ["run", "--allow", "echo hi", "--listen", "0.0.0.0:0"];
    let server = start(&file, &run);
    let mut peer = prove(server.connect(), KEY);
    peer.write_all(b"echo hi\n").expect("it reads");
    let mut said = Vec::new();
    while !said.ends_with(b"hi\n") {
        let mut byte = [0; 1];
        peer.read_exact(&mut byte).expect("it answers");
        said.extend(byte);
    }
    drop(peer);
    server.end();
    let ended = Ended::run(&run);
    assert_eq!((ended.code, ended.stderr.len()), (Some(1), 1));
}

#[test]
fn p13_a_drain_ends_a_peer_that_has_not_answered() {
    let file = KeyFile::new("drain", KEY);
    let server = start(&file, &[]);
    let mut silent = server.connect();
    challenge(&mut silent);
    let mut partial = server.connect();
    let answer = digest(KEY, &challenge(&mut partial));
    partial.write_all(&answer[..5]).expect("the server reads");
    until("it is read", || server.stats().get("bytes_in") == 5);
    server.signal("TERM");
    assert_refused(silent);
    assert_refused(partial);
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn p13_a_hang_up_reads_the_key_again() {
    let file = KeyFile::new("reload", KEY);
    for driver in [
        &["--model", "epoll"][..],
        &["--model", "thread"],
        &["--processes", "2"],
    ] {
        fs::write(&file.0, KEY).expect("it is written");
        let server = start(&file, driver);
        let mut early = prove(server.connect(), KEY);
        assert_eq!(ask(&mut early, b"x"), b"x");
        // An empty key is refused, and the old one stays.
        fs::write(&file.0, "\n").expect("it is written");
        server.signal("HUP");
        server.hears("is empty, must have a key");
        fs::write(&file.0, "new key").expect("it is written");
        server.signal("HUP");
        let serves = |key: &[u8]| {
            let mut peer = server.connect();
            let answer = digest(key, &challenge(&mut peer));
            let sent = peer.write_all(&[&answer[..], b"x"].concat());
            let mut reply = [0];
            sent.is_ok() && peer.read_exact(&mut reply).is_ok()
        };
        until("the new key counts", || serves(b"new key"));
        // A connection that was served before is still served.
        assert_eq!(ask(&mut early, b"y"), b"y");
        drop(early);
        server.end();
    }
}

/// Runs `mynah connect` with `input`.
fn connect(server: &Server, args: &[&str], input: &[u8]) -> Output {
    let address = server.address().to_string();
    let mut child = Command::new(program::path())
        .args([&["connect", &address], args].concat())
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A client that was refused may have ended.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

#[test]
fn c4_connect_answers_the_challenge_and_ends_with_9_where_it_is_refused() {
    let (file, wrong) = (KeyFile::new("right", KEY), KeyFile::new("other", b"other"));
    for (mac, frame) in [
        ("hmac-sha256", "raw"),
        ("hmac-md5", "raw"),
        ("hmac-sha256", "u16be"),
    ] {
        let auth = ["--auth", mac, "--auth-key-file", file.path()];
        let server = Server::start(&[&["upper", "--frame", frame], &FEW[..], &auth].concat());
        let framed = ["--frame", frame];
        let once = ["--once", "hello"];
        let both = [&framed[..], &auth].concat();
        let piped = connect(&server, &both, b"one\ntwo\n");
        assert_eq!(piped.stdout, b"ONE\nTWO\n", "{mac} {frame}");
        assert_eq!(
            (piped.stderr.as_slice(), piped.status.code()),
            (&b""[..], Some(0))
        );
        let message = connect(&server, &[&both[..], &once].concat(), b"");
        assert_eq!(message.status.code(), Some(0), "{mac} {frame}");
        assert!(message.stdout.starts_with(b"HELLO"), "{message:?}");
        let nothing = connect(&server, &both, b"");
        assert_eq!((nothing.stdout.len(), nothing.status.code()), (0, Some(0)));
        let auth = ["--auth", mac, "--auth-key-file", wrong.path()];
        let both = [&framed[..], &auth].concat();
        for (args, input) in [(&both, b"one\n".as_slice()), (&both, b"")] {
            let refused = connect(&server, args, input);
            let line = "mynah: the server refused the key: it ended its stream behind the digest\n";
            assert_eq!(
                String::from_utf8_lossy(&refused.stderr),
                line,
                "{mac} {frame}"
            );
            assert_eq!((refused.stdout.len(), refused.status.code()), (0, Some(9)));
        }
        let refused = connect(&server, &[&both[..], &once].concat(), b"");
        assert_eq!(refused.status.code(), Some(9), "{mac} {frame}");
    }
}

#[test]
fn c4_connect_ends_in_order_where_the_service_answers_nothing() {
    let file = KeyFile::new("discard", KEY);
    let server = start(&file, &["discard"]);
    let auth = ["--auth", "hmac-sha256", "--auth-key-file", file.path()];
    let ended = connect(&server, &auth, b"taken");
    assert_eq!(
        (ended.stderr.as_slice(), ended.status.code()),
        (&b""[..], Some(0))
    );
    until("all of it is taken", || {
        server.stats().get("bytes_in") == 32 + 5
    });
}

#[test]
fn what_is_wrong_about_a_key_is_one_line() {
    let (file, empty) = (KeyFile::new("usage", KEY), KeyFile::new("empty", b"\n"));
    let long = KeyFile::new("long", &[b'k'; 70_000]);
    let mac = "hmac-sha256";
    for words in [
        &["--auth", mac][..],
        &["--auth-key-file", file.path()],
        &["--auth", "hmac", "--auth-key-file", file.path()],
        &["--auth", mac, "--auth-key-file", empty.path()],
        &["--auth", mac, "--auth-key-file", long.path()],
        &["--auth", mac, "--auth-key-file", "/nowhere/key"],
        &["--auth", mac, "--auth-key-file", "/"],
    ] {
        for command in [
            &["serve", "--listen", "127.0.0.1:0"][..],
            &["connect", "7"],
            &["bench", "7"],
        ] {
            let refused = Ended::run(&[command, words].concat());
            assert_eq!(refused.code, Some(1), "{words:?}: {:?}", refused.stderr);
            assert_eq!(
                (refused.stderr.len(), refused.stdout.len()),
                (1, 0),
                "{words:?}"
            );
        }
    }
}

/// Runs `mynah bench` with a key. Returns the exit code, and the last line of errors.
fn bench(address: &str, key: &KeyFile, args: &[&str]) -> (Option<i32>, String) {
    let auth = ["--auth", "hmac-sha256", "--auth-key-file", key.path()];
    let output = Command::new(program::path())
        .args([&["bench", address, "-c", "4"], &auth[..], args].concat())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    (output.status.code(), last.to_owned())
}

#[test]
fn a_bench_proves_its_key_on_each_connection() {
    let file = KeyFile::new("load", KEY);
    let all = ["-n", "200", "--assert", "errors==0,answered==200"];
    for more in [
        &[][..],
        &["--churn"],
        &["--pipeline", "3", "--idle", "2"],
        &["--churn", "--rate", "2k"],
        &["--threads", "2"],
    ] {
        let server = start(&file, &["echo"]);
        let address = server.address().to_string();
        let (code, line) = bench(&address, &file, &[&all, more].concat());
        assert_eq!(code, Some(0), "{more:?}: {line}");
        assert_eq!(closed(&server), 0, "{more:?}");
        server.end();
    }
    let server = start(&file, &["upper", "--frame", "line"]);
    let address = server.address().to_string();
    let message = ["--message", "hello\\n", "--expect", "line"];
    let (code, line) = bench(&address, &file, &[&all[..], &message].concat());
    assert_eq!(code, Some(0), "{line}");
}

#[test]
fn a_bench_proves_its_key_again_where_the_server_ends_a_connection() {
    let file = KeyFile::new("again", KEY);
    let server = start(&file, &["http"]);
    let url = format!("http://{}/", server.address());
    let all = [
        "-n",
        "200",
        "-H",
        "Connection: close",
        "--assert",
        "errors==0,reconnects>=100",
    ];
    let (code, line) = bench(&url, &file, &all);
    assert_eq!(code, Some(0), "{line}");
}

#[test]
fn a_bench_proves_its_key_behind_the_header_of_a_load_balancer() {
    let file = KeyFile::new("header", KEY);
    let server = start(&file, &["--proxy-protocol", "require"]);
    let address = server.address().to_string();
    for more in [&[][..], &["--churn"]] {
        let all = [
            "-n",
            "99",
            "--proxy-protocol",
            "v2",
            "--assert",
            "errors==0",
        ];
        let (code, line) = bench(&address, &file, &[&all, more].concat());
        assert_eq!(code, Some(0), "{more:?}: {line}");
    }
}

#[test]
fn a_bench_whose_key_is_refused_ends_with_9() {
    let (file, wrong) = (KeyFile::new("served", KEY), KeyFile::new("wrong", b"other"));
    let server = start(&file, &[]);
    let address = server.address().to_string();
    for more in [&[][..], &["--churn"], &["--rate", "1k"], &["--idle", "9"]] {
        let (code, line) = bench(&address, &wrong, &[&["-n", "99"], more].concat());
        let told = format!(
            "mynah: tcp://{address}: the server refused the key: it ended its stream behind the \
             digest"
        );
        assert_eq!((code, line), (Some(9), told), "{more:?}");
    }
}

#[test]
fn a_bench_waits_for_a_challenge_as_long_as_for_a_connection() {
    let file = KeyFile::new("silent", KEY);
    let server = Server::start(&FEW);
    let address = server.address().to_string();
    for more in [&[][..], &["--churn"]] {
        let args = ["-n", "9", "--connect-timeout", "200ms"];
        let (code, line) = bench(&address, &file, &[&args, more].concat());
        let told =
            format!("mynah: tcp://{address}: cannot connect: no challenge of --auth within 200ms");
        assert_eq!((code, line), (Some(5), told), "{more:?}");
    }
}

#[test]
fn a_bench_of_datagrams_has_no_key() {
    let file = KeyFile::new("datagrams", KEY);
    let (code, line) = bench("udp://127.0.0.1:7", &file, &[]);
    let told = "mynah: udp://127.0.0.1:7: --auth goes with connections; datagrams have none";
    assert_eq!((code, line.as_str()), (Some(1), told));
}

#[test]
fn what_does_not_combine_with_a_key_is_refused() {
    let file = KeyFile::new("combines", KEY);
    let auth = ["--auth", "hmac-sha256", "--auth-key-file", file.path()];
    let refused = Ended::run(&[&["--proxy-protocol", "accept"], &auth[..]].concat());
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr[0].contains("--proxy-protocol require"),
        "{:?}",
        refused.stderr
    );
}

#[test]
fn p13_the_header_of_a_load_balancer_comes_before_the_challenge() {
    let file = KeyFile::new("balancer", KEY);
    let server = start(&file, &["--proxy-protocol", "require"]);
    let mut peer = server.connect();
    peer.write_all(b"PROXY TCP4 1.2.3.4 1.2.3.5 6 7\r\n")
        .expect("the server reads");
    let mut peer = prove(peer, KEY);
    assert_eq!(ask(&mut peer, b"hello"), b"hello");
    // What is sent behind the header is no answer to a challenge that was not sent yet.
    let mut hasty = server.connect();
    hasty
        .write_all(&[b"PROXY UNKNOWN\r\n".as_slice(), &[0; 32]].concat())
        .expect("the server reads");
    hasty.shutdown(Shutdown::Write).expect("it is open");
    assert_refused(hasty);
    until("it is counted", || closed(&server) == 1);
}

/// The output of a client in Python that gets the port of the server.
fn python(script: &str, server: &Server) -> String {
    let output = Command::new("python3")
        .args(["-c", script, &server.address().port().to_string()])
        .output()
        .expect("it is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).expect("text")
}

/// What the old clients do: the digest is that of `hmac.new(key, challenge)`, which was MD5.
const PROVE: &str = "
import hmac, socket, struct, sys
peer = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
challenge = peer.recv(32)
peer.sendall(hmac.new(b'linhaifeng bang bang bang', challenge, 'md5').digest())
";

#[test]
fn p13_a_python_client_with_hmac_md5_talks_to_upper() {
    if !is_installed("python3") {
        return;
    }
    let file = KeyFile::new("python", KEY);
    let auth = ["--auth", "hmac-md5", "--auth-key-file", file.path()];
    let server = Server::start(&[&["upper"], &FEW[..], &auth].concat());
    let talk = "
for word in ('hello', 'world'):
    peer.sendall(word.encode())
    print(peer.recv(1024).decode())
";
    assert_eq!(python(&[PROVE, talk].concat(), &server), "HELLO\nWORLD\n");
    server.end();
}

#[test]
fn p13_a_python_client_with_hmac_md5_runs_commands() {
    if !is_installed("python3") {
        return;
    }
    let file = KeyFile::new("run", KEY);
    let auth = ["--auth", "hmac-md5", "--auth-key-file", file.path()];
    let run = [
        "run",
        "--frame",
        "i32le",
        "--allow",
        "echo hello",
        "--allow",
        "true",
    ];
    let server = Server::start(&[&run, &FEW[..], &auth].concat());
    let talk = "
def whole(count):
    data = b''
    while len(data) < count:
        data += peer.recv(count - len(data))
    return data
for command in (b'echo hello', b'true', b'rm -rf /'):
    peer.sendall(struct.pack('<i', len(command)) + command)
    (length,) = struct.unpack('<i', whole(4))
    print(whole(length).decode().strip())
";
    let expected = "hello\n执行成功\n坏人!\n";
    assert_eq!(python(&[PROVE, talk].concat(), &server), expected);
    server.end();
}

#[test]
fn a_peer_may_leave_at_any_step() {
    let file = KeyFile::new("leave", KEY);
    let server = start(&file, &["--threads", "2"]);
    for step in 0..4 {
        for count in [0, 7, 31] {
            let mut peer: TcpStream = server.connect();
            if step > 0 {
                let answer = digest(KEY, &challenge(&mut peer));
                let sent = if step > 2 { 32 } else { count };
                peer.write_all(&answer[..sent]).expect("the server reads");
            }
            if step == 2 {
                // A close with unread input resets the connection.
                socket2::SockRef::from(&peer)
                    .set_linger(Some(std::time::Duration::ZERO))
                    .expect("it is a TCP socket");
            }
        }
    }
    until("all have left", || {
        server.stats().get("connections_now") == 0
    });
    let mut peer = prove(server.connect(), KEY);
    assert_eq!(ask(&mut peer, b"still here"), b"still here");
}
