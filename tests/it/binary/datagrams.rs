//! Row V6 on the real kernel: datagrams over UDP and local sockets, beside streams, for each way
//! to run workers, with the tools that people have. Man pages: udp(7), unix(7), nc(1), socat(1).

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::activation::{MOVES, TELLS, refusal, start, started};
use super::addresses::abstract_name;
use super::server::{Ended, PATIENCE, Server, until};
use super::{FEW, ask, is_installed, skip};
use crate::uninterrupted::uninterrupted;

/// The port behind the scheme and the host.
fn port(server: &Server, host: &str) -> u16 {
    let found = server.addresses().into_iter().find_map(|address| {
        let port = address.strip_prefix("udp://")?.strip_prefix(host)?;
        port.strip_prefix(':')?.parse().ok()
    });
    found.unwrap_or_else(|| panic!("no udp://{host} in {:?}", server.addresses()))
}

/// A socket of this machine that sends to a server.
fn peer_of(server: SocketAddr) -> UdpSocket {
    let any = SocketAddr::from(match server {
        SocketAddr::V4(_) => ([127, 0, 0, 1].into(), 0),
        SocketAddr::V6(_) => (std::net::IpAddr::from(Ipv6Addr::LOCALHOST), 0),
    });
    let peer = UdpSocket::bind(any).expect("a free port");
    peer.connect(server).expect("an address");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    peer
}

fn peer(server: &Server) -> UdpSocket {
    peer_of(([127, 0, 0, 1], port(server, "127.0.0.1")).into())
}

/// The answer to a datagram.
fn answer(peer: &UdpSocket, bytes: &[u8]) -> Vec<u8> {
    peer.send(bytes).expect("a datagram is sent");
    let mut space = vec![0; 70_000];
    let count = uninterrupted(|| peer.recv(&mut space)).expect("the server answers");
    space.truncate(count);
    space
}

/// A folder of our own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("mynah-{}-datagrams-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder of our own");
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn local_peer(path: &Path) -> UnixDatagram {
    let peer = UnixDatagram::bind(path).expect("a path of our own");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    peer
}

fn received(peer: &UnixDatagram) -> Vec<u8> {
    let mut space = vec![0; 70_000];
    let count = uninterrupted(|| peer.recv(&mut space)).expect("the server answers");
    space.truncate(count);
    space
}

#[test]
fn v6_listeners_of_all_kinds_are_served_in_one_process() {
    let folder = Folder::new("kinds");
    let (path, name) = (
        folder.path("socket"),
        format!("@{}-kinds", std::process::id()),
    );
    let (at_path, at_name) = (
        format!("unixgram:{}", path.display()),
        format!("unixgram:{name}"),
    );
    let server = Server::start(&[
        "--listen",
        "udp://127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        &at_path,
        "--listen",
        &at_name,
        "--unix-mode",
        "0600",
    ]);
    let addresses = server.addresses();
    assert_eq!(addresses[2..], [&at_path, &at_name]);
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    let udp = peer(&server);
    assert_eq!(answer(&udp, b"over UDP"), b"over UDP");
    assert_eq!(answer(&udp, b""), b"");
    // The largest that IPv4 carries.
    let largest = vec![b'x'; 65_507];
    assert!(answer(&udp, &largest) == largest);

    let tcp = addresses[1].strip_prefix("tcp://").expect("TCP");
    let mut stream = std::net::TcpStream::connect(tcp).expect("it listens");
    assert_eq!(ask(&mut stream, b"over TCP"), b"over TCP");

    let local = local_peer(&folder.path("peer"));
    local.send_to(b"by path", &path).expect("it is there");
    assert_eq!(received(&local), b"by path");
    let to = abstract_name(&name);
    local.send_to_addr(b"by name", &to).expect("it is there");
    assert_eq!(received(&local), b"by name");

    // What the kernel of this machine does with what cannot be answered.
    local
        .send_to_addr(&vec![b'x'; 70_000], &to)
        .expect("it is there");
    let unnamed = UnixDatagram::unbound().expect("a socket");
    unnamed.send_to(b"who?", &path).expect("it is there");
    let gone = local_peer(&folder.path("gone"));
    server.signal("STOP");
    gone.send_to(b"gone", &path).expect("it is there");
    drop(gone);
    server.signal("CONT");
    until("all are counted", || {
        let stats = server.stats();
        let names = ["datagrams_truncated", "refused_unnamed", "datagrams_unsent"];
        names.iter().all(|name| stats.get(name) == 1)
    });
    let stats = server.stats();
    assert_eq!(
        (stats.get("datagrams_in"), stats.get("datagrams_out")),
        (8, 5)
    );
    drop(stream);
    server.end();
    assert!(!path.exists());
}

#[test]
fn v6_udp_listens_on_ipv6_and_on_both_families_at_once() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return skip("no IPv6 on this machine");
    }
    let server = Server::start(&["upper", "--listen", "udp://[::1]:0"]);
    let peer = peer_of((Ipv6Addr::LOCALHOST, port(&server, "[::1]")).into());
    assert_eq!(answer(&peer, b"six"), b"SIX");
    server.end();
    let server = Server::start(&["upper", "--listen", "udp://*:0"]);
    let (four, six) = (port(&server, "0.0.0.0"), port(&server, "[::]"));
    assert_eq!(four, six);
    let peer = peer_of(([127, 0, 0, 1], four).into());
    assert_eq!(answer(&peer, b"four"), b"FOUR");
    let peer = peer_of((Ipv6Addr::LOCALHOST, six).into());
    assert_eq!(answer(&peer, b"six"), b"SIX");
    server.end();
}

#[test]
fn v6_an_answer_leaves_from_the_address_that_was_asked() {
    let owned = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    let passed = owned.local_addr().expect("it is bound").port();
    let listening = Server::start(&["upper", "--listen", "udp://0.0.0.0:0"]);
    let both = Server::start(&["upper", "--listen", "udp://*:0", "--threads", "2"]);
    let ports = [port(&listening, "0.0.0.0"), port(&both, "0.0.0.0"), passed];
    let of_passed = started(start(TELLS, &owned, &["upper"]));
    for port in ports {
        // A connected socket takes datagrams from that address alone.
        for ip in [[127, 0, 0, 1], [127, 0, 0, 5], [127, 200, 1, 1]] {
            let peer = peer_of((ip, port).into());
            assert_eq!(answer(&peer, b"asked"), b"ASKED", "{ip:?}");
        }
    }
    for server in [listening, both, of_passed] {
        server.end();
    }
}

#[test]
fn v6_each_service_answers_a_datagram_on_its_own() {
    let folder = Folder::new("services");
    let words = folder.path("words");
    fs::write(&words, "apple: 苹果\n").expect("a folder of our own");
    let words = words.display().to_string();
    for (args, request, expected) in [
        (&["echo"][..], "héllo", "héllo"),
        (&["upper"], "héllo", "HéLLO"),
        (&["upper", "--unicode"], "stß", "STSS"),
        (&["echo", "--prefix", "echo# "], "m", "echo# m"),
        // The framing is that of streams.
        (&["echo", "--frame", "u32be"], "m", "m"),
        (&["dict", "--dictionary", &words], "apple", "苹果"),
        (&["dict", "--dictionary", &words], "pear", "not known"),
        (&["run", "--allow", "echo a"], "echo b", "坏人!"),
        (&["echo", "--codec", "base64"], "aGVsbG8=", "aGVsbG8="),
        (&["upper", "--codec", "base64"], "aGVsbG8=", "SEVMTE8="),
    ] {
        let listen = ["--listen", "udp://127.0.0.1:0"];
        let server = Server::start(&[args, &listen].concat());
        let udp = peer(&server);
        let told = answer(&udp, request.as_bytes());
        assert_eq!(String::from_utf8_lossy(&told), expected, "{args:?}");
        // An empty datagram runs no service.
        let empty = answer(&udp, b"");
        assert!(empty.is_empty(), "{args:?}: {empty:?}");
        server.end();
    }
}

#[test]
fn v6_a_command_answers_a_datagram_and_its_number_is_bounded() {
    let args = [
        "run",
        "--allow",
        "echo said",
        "--allow",
        "sleep 1",
        "--listen",
        "udp://127.0.0.1:0",
    ];
    let server = Server::start(&args);
    let udp = peer(&server);
    let own = udp.local_addr().expect("it is bound");
    let expected = format!("{own} execute done, result is : \nsaid\n");
    assert_eq!(answer(&udp, b"echo said"), expected.as_bytes());
    for _ in 0..9 {
        udp.send(b"sleep 1").expect("a datagram is sent");
    }
    until("one found no place", || {
        server.stats().get("refused_commands") == 1
    });
    // SIGTERM waits for the others.
    let ended = server.end();
    assert_eq!(ended.code, Some(0));
    let mut space = [0; 1000];
    for _ in 0..8 {
        assert!(uninterrupted(|| udp.recv(&mut space)).expect("an answer") > 0);
    }
}

#[test]
fn v6_datagrams_are_shared_by_threads_and_by_processes() {
    for ways in [
        &["--threads", "2"][..],
        &["--processes", "2"],
        &["--processes", "2", "--threads", "2"],
    ] {
        let name = format!("@{}-{}", std::process::id(), ways.concat());
        let local = format!("unixgram:{name}");
        let listen = ["--listen", "udp://127.0.0.1:0", "--listen", &local];
        let server = Server::start(&[ways, &listen].concat());
        for number in 0..50_u8 {
            let udp = peer(&server);
            assert_eq!(answer(&udp, &[number]), [number], "{ways:?}");
            let own = format!("{name}-{number}");
            let near = UnixDatagram::bind_addr(&abstract_name(&own)).expect("a name");
            near.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            near.send_to_addr(&[number], &abstract_name(&name))
                .expect("it is there");
            assert_eq!(received(&near), [number], "{ways:?}");
        }
        assert_eq!(server.stats().get("datagrams_out"), 100, "{ways:?}");
        server.end();
    }
}

#[test]
fn v6_a_reply_that_grows_is_not_sent_from_an_address_that_others_reach() {
    let args = ["echo", "--prefix", "e", "--listen", "udp://0.0.0.0:0"];
    let server = Server::start(&args);
    let udp = peer_of(([127, 0, 0, 1], port(&server, "0.0.0.0")).into());
    udp.send(b"x").expect("a datagram is sent");
    until("it is counted", || {
        server.stats().get("refused_amplification") == 1
    });
    assert_eq!(answer(&udp, b""), b"");
    server.end();
}

#[test]
fn v6_a_datagram_that_claims_to_come_from_the_server_is_dropped() {
    // Only a socket that shares the port can send such a datagram here.
    let owned =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
    let twin = owned.try_clone().expect("a descriptor");
    owned
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("a free port");
    let server = started(start(MOVES, &owned, &["--listen", "fd://3"]));
    let at = SocketAddr::from(([127, 0, 0, 1], port(&server, "127.0.0.1")));
    twin.send_to(b"again", &at.into()).expect("it is sent");
    until("it is counted", || server.stats().get("refused_loop") == 1);
    assert_eq!(server.stats().get("datagrams_out"), 0);
    server.end();
}

#[test]
fn v6_what_is_in_the_queue_at_sigterm_is_answered() {
    let server = Server::start(&["--listen", "udp://127.0.0.1:0"]);
    let udp = peer(&server);
    server.signal("STOP");
    for number in 0..100_u8 {
        udp.send(&[number]).expect("a datagram is sent");
    }
    server.signal("TERM");
    server.signal("CONT");
    let ended = server.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    let mut space = [0; 8];
    for number in 0..100_u8 {
        assert_eq!(
            uninterrupted(|| udp.recv(&mut space)).expect("an answer"),
            1
        );
        assert_eq!(space[0], number);
    }
    // Nothing listens any more.
    let _ = udp.send(b"late");
    let refused = uninterrupted(|| udp.recv(&mut space)).map_err(|error| error.kind());
    assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
}

#[test]
fn v6_a_datagram_is_a_conversation_of_its_own_in_the_wiretap() {
    let server = Server::start(&["--wiretap", "size", "--listen", "udp://127.0.0.1:0"]);
    let udp = peer(&server);
    let own = udp.local_addr().expect("it is bound");
    assert_eq!(answer(&udp, b"hello"), b"hello");
    for line in [
        "#1 REGISTERED",
        &format!("#1 ACTIVE peer=udp://{own}"),
        "#1 READ 5 bytes",
        "#1 READ_COMPLETE",
        "#1 WRITE 5 bytes",
        "#1 INACTIVE",
        "#1 UNREGISTERED",
    ] {
        server.hears(line);
    }
    server.end();
}

#[test]
fn v6_a_rate_holds_datagrams_back() {
    let server = Server::start(&["--rate", "1k/100", "--listen", "udp://127.0.0.1:0"]);
    let udp = peer(&server);
    let began = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(answer(&udp, &[7; 200]), [7; 200]);
    }
    // 100 bytes at once, and the others but the last datagram at 1024 a second.
    let span = began.elapsed().as_secs_f64();
    assert!(span >= 0.6, "{span}");
    assert!(server.stats().get("rate_waits") > 0);
    server.end();
}

#[test]
fn v6_what_does_not_combine_with_datagrams_is_refused_in_one_line() {
    for (args, line) in [
        (
            "http --listen udp://127.0.0.1:0",
            "--listen udp://127.0.0.1:0: http needs a connection, such as tcp://HOST:PORT",
        ),
        (
            "robot --listen unixgram:@x",
            "--listen unixgram:@x: robot needs a connection, such as tcp://HOST:PORT",
        ),
        (
            "--model thread --listen udp://7007",
            "--model thread: does not combine with --listen udp://127.0.0.1:7007, which needs epoll",
        ),
        (
            "--accept handoff --listen udp://7007",
            "--accept: is about connections, and --listen udp://127.0.0.1:7007 has none",
        ),
        (
            "--idle-read 1s --listen udp://7007",
            "--idle-read: is about connections, and --listen udp://127.0.0.1:7007 has none",
        ),
        (
            "run --listen udp://0.0.0.0:0",
            "--listen udp://0.0.0.0:0: run without --auth serves this machine alone, such as \
             127.0.0.1 or unix:/PATH",
        ),
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        let ended = Ended::run(&args);
        assert_eq!(ended.code, Some(1), "{args:?}");
        assert_eq!(ended.stderr, [format!("mynah: {line}")], "{args:?}");
    }
    // A port that another socket has.
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let at = format!("udp://{}", taken.local_addr().expect("it is bound"));
    let ended = Ended::run(&[&FEW[..], &["--listen", &at]].concat());
    assert_eq!((ended.code, ended.stderr.len()), (Some(3), 1));
}

#[test]
fn v7_a_datagram_socket_that_was_passed_is_served() {
    let owned = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let at = owned.local_addr().expect("it is bound");
    for (shell, args) in [
        (MOVES, &["--listen", "fd://3"][..]),
        (TELLS, &[]),
        (TELLS, &["--threads", "2"]),
        (TELLS, &["--processes", "2"]),
    ] {
        let server = started(start(shell, &owned, args));
        assert_eq!(server.addresses(), [format!("udp://{at}")]);
        assert_eq!(answer(&peer_of(at), b"passed"), b"passed");
        server.end();
    }
    let http = start(MOVES, &owned, &["http", "--listen", "fd://3"]);
    assert!(refusal(http).contains("http needs a connection"));
    let proxy = start(TELLS, &owned, &["--proxy-protocol", "require"]);
    assert!(refusal(proxy).contains("--proxy-protocol: does not combine with datagrams"));
    let of_connections: [&[&str]; 3] = [
        &["--accept", "handoff", "--threads", "2"],
        &["--idle-timeout", "9s"],
        &["--idle-read", "9s", "--listen", "fd://3"],
    ];
    for args in of_connections {
        let told = format!(
            "{}: is about connections, and --listen udp://{at} has none",
            args[0]
        );
        assert!(refusal(start(TELLS, &owned, args)).contains(&told));
    }
    let folder = Folder::new("passed");
    let local = UnixDatagram::bind(folder.path("socket")).expect("a path of our own");
    let server = started(start(TELLS, &local, &[]));
    let near = local_peer(&folder.path("peer"));
    near.send_to(b"passed", folder.path("socket"))
        .expect("it is there");
    assert_eq!(received(&near), b"passed");
    server.end();
    assert!(
        folder.path("socket").exists(),
        "it belongs to another program"
    );
}

/// Sends `input` with a tool, and returns what the tool prints.
fn printed(words: &[&str], input: &str) -> String {
    let mut tool = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is installed");
    let mut stdin = tool.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = tool.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn v6_the_tools_that_people_have_are_answered() {
    let folder = Folder::new("tools");
    let (path, own) = (folder.path("socket"), folder.path("own"));
    let local = format!("unixgram:{}", path.display());
    let listen = ["--listen", "udp://127.0.0.1:0", "--listen", &local];
    let server = Server::start(&[&["upper"][..], &listen].concat());
    let port = port(&server, "127.0.0.1").to_string();
    if is_installed("nc") {
        let nc = ["timeout", "5", "nc", "-u", "-w1", "127.0.0.1", &port];
        assert_eq!(printed(&nc, "from nc"), "FROM NC");
    }
    if is_installed("socat") {
        let to = format!("UDP:127.0.0.1:{port}");
        let socat = ["timeout", "5", "socat", "-t1", "-", &to];
        assert_eq!(printed(&socat, "from socat"), "FROM SOCAT");
        let to = format!("UNIX-SENDTO:{},bind={}", path.display(), own.display());
        let socat = ["timeout", "5", "socat", "-t1", "-", &to];
        assert_eq!(printed(&socat, "by path"), "BY PATH");
    }
    if is_installed("python3") {
        let play = format!(
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
             s.settimeout(5); s.sendto(b'from python', ('127.0.0.1', {port})); \
             print(s.recv(100).decode(), end='')"
        );
        assert_eq!(printed(&["python3", "-c", &play], ""), "FROM PYTHON");
    }
    server.end();
}

#[test]
fn v6_bench_loads_udp_and_local_datagrams_by_path_and_by_name() {
    let folder = Folder::new("bench");
    let path = format!("unixgram:{}", folder.path("socket").display());
    let name = format!("unixgram:@{}-bench", std::process::id());
    let all = [
        "--listen",
        "udp://127.0.0.1:0",
        "--listen",
        &path,
        "--listen",
        &name,
    ];
    let server = Server::start(&all);
    for address in server.addresses() {
        let ended = Ended::run(&["bench", address, "-n", "200", "-c", "4"]);
        assert_eq!(ended.code, Some(0), "{address}: {:?}", ended.stderr);
    }
    assert!(server.stats().get("datagrams_out") >= 600);
    server.end();
}
