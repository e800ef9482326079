//! A trace as packets, read by tshark(1): no packet is malformed, and the payload of each direction
//! is what was sent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use super::super::server::{Ended, Server, until};
use super::super::{ask, is_installed, pattern, rest};
use super::Folder;

/// Runs tshark on a file.
fn tshark(file: &str, args: &[&str]) -> String {
    let output = Command::new("tshark")
        .args(["-n", "-r", file])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("tshark starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Fails if a packet is malformed, or out of sequence, or has a wrong checksum.
fn check(file: &str) {
    let wrong = "_ws.malformed || tcp.analysis.lost_segment || tcp.analysis.retransmission || \
                 tcp.analysis.out_of_order || tcp.analysis.ack_lost_segment || \
                 tcp.analysis.window_full || tcp.checksum.status == 0 || \
                 udp.checksum.status == 0 || ip.checksum.status == 0";
    let sums = [
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "udp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
        "-Y",
        wrong,
    ];
    assert_eq!(tshark(file, &sums), "");
}

/// The payload of both directions of stream `number`, the client's first.
fn payload(file: &str, protocol: &str, number: usize) -> [Vec<u8>; 2] {
    let follow = format!("follow,{protocol},raw,{number}");
    let text = tshark(file, &["-q", "-z", &follow]);
    let mut sides = [Vec::new(), Vec::new()];
    let lines = text.lines().skip_while(|line| !line.starts_with("Node 1"));
    for line in lines.skip(1) {
        let (side, hex) = match line.strip_prefix('\t') {
            Some(hex) => (1, hex),
            None => (0, line),
        };
        let is_hex = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex {
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            sides[side].extend((0..hex.len()).step_by(2).map(byte));
        }
    }
    sides
}

/// The flags of all TCP packets of a stream, as hexadecimal numbers.
fn flags(file: &str, number: usize) -> Vec<u32> {
    let of_stream = format!("tcp.stream == {number}");
    let text = tshark(file, &["-Y", &of_stream, "-T", "fields", "-e", "tcp.flags"]);
    let number = |line: &str| u32::from_str_radix(line.trim_start_matches("0x"), 16).expect("hex");
    text.lines().map(number).collect()
}

const SYN: u32 = 2;
const SYN_ACK: u32 = 0x12;
const ACK: u32 = 0x10;
const FIN_ACK: u32 = 0x11;
const RST_ACK: u32 = 0x14;

#[test]
fn tshark_reads_seven_conversations_of_a_server() {
    if !is_installed("tshark") {
        return;
    }
    let folder = Folder::new("packets");
    let (file, path) = (folder.file("t.pcapng"), folder.file("s"));
    let local = format!("unix:{path}");
    let has_ipv6 = TcpStream::connect("[::1]:1")
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    let mut args = vec![
        "upper",
        "--trace",
        &file,
        "--listen",
        "127.0.0.1:0",
        "--listen",
        &local,
    ];
    if has_ipv6 {
        args.extend(["--listen", "[::1]:0"]);
    }
    let server = Server::start(&args);
    let port = |at: usize| {
        server.addresses()[at]
            .trim_start_matches("tcp://")
            .to_owned()
    };
    let mut sent: Vec<Vec<u8>> = Vec::new();
    let mut talk = |peer: &mut dyn Talk, requests: &[&[u8]]| {
        for request in requests {
            peer.write_all(request).expect("it is read");
            let mut reply = vec![0; request.len()];
            peer.read_exact(&mut reply).expect("it is answered");
            assert_eq!(reply, request.to_ascii_uppercase());
        }
        sent.push(requests.concat());
    };
    // 0: two requests, and a clean end.
    let mut peer = TcpStream::connect(port(0)).expect("it listens");
    talk(&mut peer, &[b"hello\n", b"world\n"]);
    peer.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(&mut peer), b"");
    // 1: larger than a packet.
    let mut peer = TcpStream::connect(port(0)).expect("it listens");
    let large = pattern(200_000);
    let writer = peer.try_clone().expect("a descriptor");
    let write = |bytes: Vec<u8>| std::thread::spawn(move || (&writer).write_all(&bytes));
    let writing = write(large.clone());
    let mut reply = vec![0; large.len()];
    peer.read_exact(&mut reply).expect("it is answered");
    writing.join().expect("no panic").expect("it is read");
    drop(peer);
    // 2: one byte at a time.
    let mut peer = TcpStream::connect(port(0)).expect("it listens");
    talk(&mut peer, &[b"a", b"b", b"c"]);
    // 3: nothing at all.
    drop(TcpStream::connect(port(0)).expect("it listens"));
    // 4: a local socket.
    let mut peer = UnixStream::connect(&path).expect("it listens");
    talk(&mut peer, &[b"local"]);
    drop(peer);
    // 5: a request and the end of the stream in one event.
    let mut peer = TcpStream::connect(port(0)).expect("it listens");
    peer.write_all(b"once").expect("it is read");
    peer.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(&mut peer), b"ONCE");
    // 6: IPv6.
    if has_ipv6 {
        let mut peer = TcpStream::connect(port(2)).expect("it listens");
        talk(&mut peer, &[b"six"]);
    }
    until("all but one are gone", || {
        server.stats().get("connections_now") <= 1
    });
    server.end();
    check(&file);
    sent.insert(1, large);
    sent.insert(3, Vec::new());
    sent.insert(5, b"once".to_vec());
    for (number, sent) in sent.iter().enumerate() {
        let [request, reply] = payload(&file, "tcp", number);
        assert!(request == *sent, "{number}");
        assert!(reply == sent.to_ascii_uppercase(), "{number}");
        assert_eq!(flags(&file, number)[..3], [SYN, SYN_ACK, ACK], "{number}");
    }
    let first = flags(&file, 0);
    assert_eq!(first.iter().filter(|flags| **flags == FIN_ACK).count(), 2);
    let families = tshark(&file, &["-Y", "ipv6", "-T", "fields", "-e", "ipv6.src"]);
    assert_eq!(families.is_empty(), !has_ipv6);
}

/// A stream.
trait Talk: Read + Write {}
impl<T: Read + Write> Talk for T {}

#[test]
fn a_reset_and_a_refused_connect_are_resets() {
    if !is_installed("tshark") {
        return;
    }
    let folder = Folder::new("resets");
    let file = folder.file("t.pcapng");
    let server = Server::start(&["--frame", "u8", "--trace", &file]);
    let mut peer = server.connect();
    assert_eq!(ask(&mut peer, b"\x01x"), b"\x01x");
    // A close with unread bytes resets.
    peer.write_all(b"\x01y").expect("it is read");
    until("it is answered", || server.stats().get("bytes_out") == 4);
    drop(peer);
    until("it is gone", || server.stats().get("connections_now") == 0);
    server.end();
    check(&file);
    assert_eq!(flags(&file, 0).last(), Some(&RST_ACK));
    // A client whose connect is refused.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let file = folder.file("c.pcapng");
    let ended = Ended::run(&["connect", &closed, "--once", "x", "--trace", &file]);
    assert_eq!(ended.code, Some(5));
    check(&file);
    assert_eq!(flags(&file, 0), [SYN, RST_ACK]);
}

#[test]
fn the_conversations_of_clients_are_drawn_from_their_side() {
    if !is_installed("tshark") {
        return;
    }
    let folder = Folder::new("sides");
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let file = folder.file("c.pcapng");
    let ended = Ended::run(&["connect", &address, "--once", "hello", "--trace", &file]);
    assert_eq!(ended.code, Some(0));
    check(&file);
    assert_eq!(
        payload(&file, "tcp", 0),
        [b"hello".to_vec(), b"hello".to_vec()]
    );
    // Datagrams.
    let echo = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = format!("udp://{}", echo.local_addr().expect("an address"));
    let echoing = std::thread::spawn(move || {
        let mut space = [0; 100];
        for _ in 0..3 {
            let (size, from) = echo.recv_from(&mut space).expect("a datagram");
            echo.send_to(&space[..size], from).expect("it is sent");
        }
    });
    let file = folder.file("u.pcapng");
    let bench = [
        "bench", &to, "-c", "1", "-n", "3", "--warmup", "0", "--size", "20",
    ];
    let ended = Ended::run(&[&bench[..], &["--trace", &file]].concat());
    echoing.join().expect("no panic");
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    check(&file);
    let [request, reply] = payload(&file, "udp", 0);
    assert_eq!(request.len(), 60);
    assert_eq!(request, reply);
    // The largest datagram is one packet.
    let server = Server::start(&["--listen", "udp://127.0.0.1:0"]);
    let to = server.addresses().remove(0);
    let file = folder.file("large.pcapng");
    let large = [
        "bench", to, "-c", "1", "-n", "1", "--warmup", "0", "--size", "65507",
    ];
    let ended = Ended::run(&[&large[..], &["--trace", &file]].concat());
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    check(&file);
    let lengths = tshark(&file, &["-T", "fields", "-e", "udp.length"]);
    assert_eq!(lengths.split_whitespace().collect::<Vec<_>>(), ["65515"; 2]);
    server.end();
}

#[test]
fn each_datagram_of_a_listener_is_a_packet() {
    if !is_installed("tshark") {
        return;
    }
    let folder = Folder::new("datagrams");
    let (file, path) = (folder.file("t.pcapng"), folder.file("s"));
    let local = format!("unixgram:{path}");
    let listen = ["--listen", "udp://127.0.0.1:0", "--listen", &local];
    let server = Server::start(&[&["upper", "--trace", &file][..], &listen].concat());
    let at = server.addresses()[0].trim_start_matches("udp://");
    let at: SocketAddr = at.parse().expect("an address");
    let answer = |peer: &UdpSocket, request: &[u8]| {
        peer.send_to(request, at).expect("it is there");
        let mut space = [0; 100];
        let size = peer.recv(&mut space).expect("it is answered");
        assert_eq!(space[..size], request.to_ascii_uppercase());
    };
    let [one, two] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    answer(&one, b"one");
    answer(&two, b"two");
    answer(&one, b"");
    answer(&one, b"again");
    let near = UnixDatagram::bind(folder.file("peer")).expect("a path of our own");
    near.send_to(b"local", &path).expect("it is there");
    assert_eq!(near.recv(&mut [0; 100]).expect("it is answered"), 5);
    server.end();
    check(&file);
    let fields = ["-T", "fields", "-e", "udp.srcport", "-e", "udp.length"];
    let rows = tshark(&file, &fields);
    let port = |socket: &UdpSocket| socket.local_addr().expect("it is bound").port();
    let (one, two, at) = (port(&one), port(&two), at.port());
    let mut expected = String::new();
    for (from, length) in [(one, 11), (two, 11), (one, 8), (one, 13)] {
        expected += &format!("{from}\t{length}\n{at}\t{length}\n");
    }
    let (internet, local) = rows.split_at(expected.len().min(rows.len()));
    assert_eq!(internet, expected);
    assert_eq!(local.matches("\t13\n").count(), 2, "{local}");
    let [request, reply] = payload(&file, "udp", 0);
    assert_eq!([request, reply], [&b"oneagain"[..], b"ONEAGAIN"]);
}

#[test]
fn a_load_of_datagrams_is_one_when_the_ring_has_lost_its_start() {
    if !is_installed("tshark") {
        return;
    }
    let folder = Folder::new("lost");
    let server = Server::start(&["--listen", "udp://127.0.0.1:0"]);
    let to = server.addresses().remove(0);
    let file = folder.file("t.pcapng");
    let bench = ["bench", to, "-c", "1", "-n", "200", "--size", "20"];
    let trace = ["--warmup", "0", "--trace", &file, "--trace-last", "100"];
    let ended = Ended::run(&[&bench[..], &trace].concat());
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
    check(&file);
    let rows = tshark(&file, &["-T", "fields", "-e", "ip.proto"]);
    assert!(
        !rows.is_empty() && rows.lines().all(|row| row == "17"),
        "{rows}"
    );
    server.end();
}

#[test]
fn bytes_that_the_ring_has_lost_are_missing_from_packets_of_their_length() {
    if !is_installed("tshark") {
        return;
    }
    let folder = Folder::new("cut");
    let file = folder.file("t.pcapng");
    let server = Server::start(&["discard", "--trace", &file, "--trace-last", "100"]);
    let mut peer = server.connect();
    let all = pattern(4 << 20);
    peer.write_all(&all).expect("it is read");
    until("it is read", || server.stats().get("bytes_in") == 4 << 20);
    drop(peer);
    server.end();
    let lengths = tshark(
        &file,
        &[
            "-Y",
            "tcp.len > 0",
            "-T",
            "fields",
            "-e",
            "tcp.len",
            "-e",
            "frame.cap_len",
        ],
    );
    let rows: Vec<Vec<usize>> = (lengths.lines())
        .map(|line| {
            line.split('\t')
                .map(|it| it.parse().expect("a number"))
                .collect()
        })
        .collect();
    let cut = rows.iter().filter(|row| row[1] < row[0]).count();
    let kept: usize = rows.iter().map(|row| row[1]).sum();
    assert!(cut > 0 && kept <= 2 << 20, "{rows:?}");
    assert_eq!(
        tshark(&file, &["-Y", "_ws.malformed || tcp.analysis.lost_segment"]),
        ""
    );
}
