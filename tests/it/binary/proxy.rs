//! `--proxy-protocol` on the real kernel: the header is read under every model, the announced
//! address is used, and what is no header is closed and counted.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::server::{Ended, Server, until};
use super::{FEW, ask, rest};
use crate::uninterrupted::uninterrupted;

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";
/// The same client, 203.0.113.7:56324.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const UNSPEC: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";

const MODELS: [&[&str]; 6] = [
    &[],
    &["--trigger", "level"],
    &["--model", "iterative"],
    &["--model", "thread"],
    &["--model", "pool"],
    &["--model", "fork"],
];

fn server(mode: &str, args: &[&str]) -> Server {
    Server::start(&[&FEW[..], &["--proxy-protocol", mode], args].concat())
}

/// A connection that has sent `bytes`.
fn peer_with(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut peer = server.connect();
    peer.write_all(bytes).expect("the kernel takes it");
    peer
}

/// Everything that the server sends before it closes. An error is a reset.
fn heard(mut peer: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = peer.read_to_end(&mut bytes);
    bytes
}

fn closes_for_the_header(server: &Server, count: u64) {
    until("it is counted", || {
        server.stats().get("closed_proxy") == count
    });
}

#[test]
fn both_versions_and_what_is_behind_them_are_read_under_every_model() {
    for model in MODELS {
        for mode in ["accept", "require"] {
            let server = server(mode, model);
            for header in [V1, V2, LOCAL, UNSPEC] {
                let mut peer = peer_with(&server, &[header, b"hello"].concat());
                let mut reply = [0; 5];
                peer.read_exact(&mut reply).expect("the server answers");
                assert_eq!(&reply, b"hello", "{model:?}");
                assert_eq!(ask(&mut peer, b"again"), b"again");
                peer.shutdown(Shutdown::Write).expect("it is open");
                assert_eq!(rest(&mut peer), b"");
            }
            until("all are counted", || {
                server.stats().get("closed_end_of_stream") == 4
            });
            assert_eq!(server.stats().get("closed_proxy"), 0);
            server.end();
        }
    }
}

#[test]
fn a_header_may_come_in_any_pieces() {
    let server = server("require", &[]);
    for header in [V1, V2] {
        let mut peer = server.connect();
        for byte in [header, b"x"].concat() {
            peer.write_all(&[byte]).expect("the kernel takes it");
        }
        let mut reply = [0; 1];
        peer.read_exact(&mut reply).expect("the server answers");
        assert_eq!(&reply, b"x");
    }
    server.end();
}

#[test]
fn a_service_greets_after_the_header() {
    let server = server("require", &["robot"]);
    let mut silent = server.connect();
    let mut peer = peer_with(&server, V1);
    let mut greeting = [0; 50];
    peer.read_exact(&mut greeting).expect("it greets");
    assert!(String::from_utf8_lossy(&greeting).starts_with("欢迎致电"));
    let pause = Some(Duration::from_millis(50));
    silent.set_read_timeout(pause).expect("a time-out");
    assert!(
        uninterrupted(|| silent.read(&mut [0; 1])).is_err(),
        "nothing comes before it"
    );
    // A request behind the header is answered after the greeting.
    let peer = peer_with(&server, &[V2, b"exit\n"].concat());
    assert_eq!(heard(peer).len(), 51);
    drop(silent);
    server.end();
}

#[test]
fn what_is_no_header_is_closed_and_counted_where_one_is_required() {
    for model in MODELS {
        let server = server("require", model);
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        let wrong: [&[u8]; 7] = [
            b"hello\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\nhello",
            b"PROXY nonsense\r\n",
            &long,
            b"\r\n\r\n\0\r\nQUIT\n\x31\0\0\0",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b",
        ];
        for (count, bytes) in (1..).zip(wrong) {
            assert_eq!(heard(peer_with(&server, bytes)), b"", "{bytes:?}");
            closes_for_the_header(&server, count);
        }
        // Cut off, and missing.
        for (count, bytes) in (8..).zip([&V1[..20], &V2[..20], b""]) {
            let mut peer = peer_with(&server, bytes);
            peer.shutdown(Shutdown::Write).expect("it is open");
            assert_eq!(rest(&mut peer), b"");
            closes_for_the_header(&server, count);
        }
        assert_eq!(server.stats().get("frames"), 0);
        server.end();
    }
}

#[test]
fn a_late_or_missing_header_is_closed_at_the_frame_time_out() {
    let late = ["--frame-timeout", "50ms"];
    let require = server("require", &late);
    for (count, bytes) in (1..).zip([b"", &V1[..9], &V2[..14]]) {
        assert_eq!(heard(peer_with(&require, bytes)), b"");
        closes_for_the_header(&require, count);
    }
    require.end();
    let accept = server("accept", &late);
    let mut silent = accept.connect();
    assert_eq!(heard(peer_with(&accept, &V1[..9])), b"");
    closes_for_the_header(&accept, 1);
    // Without a byte there is nothing to wait for.
    assert_eq!(ask(&mut silent, b"hello"), b"hello");
    accept.end();
}

#[test]
fn a_connection_without_a_header_is_served_where_one_is_only_accepted() {
    for model in MODELS {
        let server = server("accept", model);
        for bytes in [
            &b"hello"[..],
            b"PROX!",
            b"\r\n\r\nX",
            b"\r\n\r\n\0\r\nQUIT!",
        ] {
            let mut peer = peer_with(&server, bytes);
            let mut reply = vec![0; bytes.len()];
            peer.read_exact(&mut reply).expect("the server answers");
            assert_eq!(reply, bytes);
        }
        // The end of the stream shows that this is no header.
        let mut peer = peer_with(&server, b"PROXY");
        peer.shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(rest(&mut peer), b"PROXY");
        assert_eq!(heard(peer_with(&server, b"PROXY x\r\n")), b"");
        closes_for_the_header(&server, 1);
        server.end();
    }
}

#[test]
fn a_part_of_a_signature_is_data_at_the_frame_time_out_where_none_is_required() {
    for model in MODELS {
        let server = server("accept", &[model, &["--frame-timeout", "50ms"]].concat());
        for bytes in [&b"P"[..], b"PROXY", b"\r\n", &V2[..11]] {
            let mut peer = peer_with(&server, bytes);
            let mut reply = vec![0; bytes.len()];
            peer.read_exact(&mut reply).expect("the server answers");
            assert_eq!(reply, bytes, "{model:?}");
            assert_eq!(ask(&mut peer, V1), V1, "what follows is data");
        }
        assert_eq!(server.stats().get("closed_proxy"), 0);
        // A whole signature begins a header.
        assert_eq!(heard(peer_with(&server, &V2[..12])), b"");
        closes_for_the_header(&server, 1);
        server.end();
    }
}

#[test]
fn a_part_of_a_signature_that_is_a_part_of_a_frame_has_the_time_of_a_frame_as_well() {
    let server = server("accept", &["--frame", "line", "--frame-timeout", "50ms"]);
    let begun = Instant::now();
    assert_eq!(heard(peer_with(&server, b"P")), b"");
    assert!(begun.elapsed() >= Duration::from_millis(100));
    until("it is counted", || {
        server.stats().get("closed_slow_frame") == 1
    });
    assert_eq!(server.stats().get("closed_proxy"), 0);
    server.end();
}

#[test]
fn only_the_named_peers_may_announce() {
    for (from, may) in [
        ("127.0.0.1", true),
        ("127.0.0.0/8", true),
        ("0.0.0.0/0", true),
        ("10.0.0.0/8", false),
        ("::/0", false),
    ] {
        let all = ["--proxy-from", "192.0.2.0/24", "--proxy-from", from];
        let accept = server("accept", &all);
        let mut peer = peer_with(&accept, &[V1, b"x"].concat());
        peer.shutdown(Shutdown::Write).expect("it is open");
        let expected = if may {
            b"x".to_vec()
        } else {
            [V1, b"x"].concat()
        };
        assert_eq!(rest(&mut peer), expected, "{from}");
        accept.end();
        let require = server("require", &all);
        let expected: &[u8] = if may { b"x" } else { b"" };
        let peer = peer_with(&require, &[V1, b"x"].concat());
        peer.shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(heard(peer), expected, "{from}");
        until("it is counted", || {
            server_closed(&require) == (u64::from(may), u64::from(!may))
        });
        require.end();
    }
}

fn server_closed(server: &Server) -> (u64, u64) {
    let stats = server.stats();
    (stats.get("closed_end_of_stream"), stats.get("closed_proxy"))
}

#[test]
fn the_announced_address_is_that_of_the_limit_under_every_model() {
    for model in MODELS {
        if model.contains(&"iterative") {
            // It has one connection at a time.
            continue;
        }
        let server = server(
            "require",
            &[&["--max-connections-per-ip", "2"], model].concat(),
        );
        let line = |client: u8| format!("PROXY TCP4 192.0.2.{client} 192.0.2.1 1 2\r\nx");
        let mut peers = Vec::new();
        for client in [1, 1, 2, 2] {
            let mut peer = peer_with(&server, line(client).as_bytes());
            peer.read_exact(&mut [0; 1]).expect("the server answers");
            peers.push(peer);
        }
        assert_eq!(
            heard(peer_with(&server, line(1).as_bytes())),
            b"",
            "{model:?}"
        );
        until("it is counted", || {
            server.stats().get("refused_per_ip") == 1
        });
        assert_eq!(server.stats().get("closed_per_ip"), 1);
        // LOCAL is the load balancer itself, which has an address of its own.
        let mut own = peer_with(&server, LOCAL);
        assert_eq!(ask(&mut own, b"x"), b"x");
        drop(peers.remove(0));
        until("it has left", || {
            server.stats().get("closed_end_of_stream") == 1
        });
        let mut peer = peer_with(&server, line(1).as_bytes());
        peer.read_exact(&mut [0; 1]).expect("there is room again");
        server.end();
    }
}

#[test]
fn a_killed_process_gives_its_place_back() {
    let args = ["--model", "fork", "--max-connections-per-ip", "1"];
    let server = server("require", &args);
    let mut peer = peer_with(&server, &[V1, b"x"].concat());
    peer.read_exact(&mut [0; 1]).expect("the server answers");
    let pid = server.pid();
    let path = format!("/proc/{pid}/task/{pid}/children");
    let child = std::fs::read_to_string(path).expect("proc(5)");
    let child = child.trim().parse().expect("one child");
    assert!(crate::program::signal(child, "KILL"));
    until("it is reaped", || {
        server.stats().get("connections_now") == 0
    });
    let mut peer = peer_with(&server, &[V1, b"x"].concat());
    peer.read_exact(&mut [0; 1]).expect("there is room again");
    server.end();
}

#[test]
fn the_announced_address_is_that_of_the_commands_and_of_the_wiretap() {
    let run = server(
        "require",
        &["run", "--allow", "echo hi", "--wiretap", "size"],
    );
    let mut peer = peer_with(&run, &[V2, b"echo hi\n"].concat());
    peer.shutdown(Shutdown::Write).expect("it is open");
    let said = rest(&mut peer);
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("203.0.113.7:56324 execute done"), "{said}");
    let ended = run.end();
    let events: Vec<&str> = ended
        .stderr
        .iter()
        .filter_map(|line| line.strip_prefix("INFO  #1 "))
        .collect();
    let expected = [
        "REGISTERED",
        "READ 36 bytes",
        "READ_COMPLETE",
        "ACTIVE peer=tcp://203.0.113.7:56324",
    ];
    assert_eq!(&events[..4], expected, "{events:?}");
    assert!(
        events.ends_with(&["INACTIVE", "UNREGISTERED"]),
        "{events:?}"
    );
}

#[test]
fn the_log_tells_why_a_header_was_refused() {
    let server = server("require", &[]);
    assert_eq!(heard(peer_with(&server, b"hello\n")), b"");
    server.hears(
        "proxy: the PROXY header: the connection does not begin with one: the connection is closed",
    );
    server.end();
}

#[test]
fn a_drain_lets_a_header_and_its_request_finish() {
    let server = server("require", &["--frame", "line"]);
    let mut idle = server.connect();
    let mut peer = peer_with(&server, &V1[..10]);
    until("it is read", || server.stats().get("bytes_in") == 10);
    server.signal("TERM");
    assert_eq!(rest(&mut idle), b"");
    peer.write_all(&[&V1[10..], b"hello\n"].concat())
        .expect("the kernel takes it");
    assert_eq!(rest(&mut peer), b"hello\n");
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn what_does_not_combine_is_one_line_and_code_1() {
    for (args, line) in [
        (
            &["robot", "--proxy-protocol", "accept"][..],
            "mynah: --proxy-protocol accept: robot speaks first and cannot wait for a header that \
             may not come, write --proxy-protocol require",
        ),
        (
            &["--proxy-from", "::1"],
            "mynah: --proxy-from: needs --proxy-protocol accept or require",
        ),
        (
            &["--proxy-protocol", "require", "--proxy-from", "10.0.0.0/33"],
            "mynah: --proxy-from 10.0.0.0/33: must be an IP address, or a range such as 10.0.0.0/8",
        ),
        (
            &["--proxy-protocol", "v1"],
            "mynah: --proxy-protocol v1: unknown, must be off or accept or require",
        ),
    ] {
        let ended = Ended::run(args);
        assert_eq!((ended.code, ended.stderr), (Some(1), vec![line.to_owned()]));
    }
}

#[test]
fn connect_and_bench_announce_themselves_in_both_versions() {
    let program = crate::program::path();
    for version in ["v1", "v2"] {
        let run = server("require", &["run", "--allow", "echo hi"]);
        let address = run.address().to_string();
        let connect = ["connect", &address, "--proxy-protocol", version];
        let said = std::process::Command::new(program)
            .args([&connect[..], &["--frame", "line", "--once", "echo hi"]].concat())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.starts_with("127.0.0.1:"), "{version}: {said}");
        run.end();
        let server = server("require", &[]);
        let address = server.address().to_string();
        for more in [&[][..], &["--churn"]] {
            let bench = ["bench", &address, "-n", "200", "-c", "4", "--warmup", "0"];
            let bench = [&bench[..], &["--proxy-protocol", version], more].concat();
            let ended = Ended::run(&bench);
            assert_eq!(
                ended.code,
                Some(0),
                "{version} {more:?}: {:?}",
                ended.stderr
            );
        }
        until("all have left", || {
            server.stats().get("connections_now") == 0
        });
        assert_eq!(server.stats().get("closed_proxy"), 0, "{version}");
        server.end();
    }
    let refused = Ended::run(&["bench", "udp://127.0.0.1:9", "--proxy-protocol", "v1"]);
    assert_eq!((refused.code, refused.stderr.len()), (Some(1), 1));
}
