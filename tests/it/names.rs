//! Names and addresses on the real binary: names with several addresses, link-local addresses, and
//! the error lines when no address can be reached.
//!
//! `/etc/hosts` and interfaces are changed in namespaces only (`namespace`). Man pages: hosts(5),
//! getaddrinfo(3), ipv6(7).

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::namespace::{self, told};
use crate::program;

fn mynah(args: &[&str]) -> Output {
    let mut command = Command::new(program::path());
    command
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
        .output()
        .expect("the binary was built for this test")
}

/// An echo server on TCP and UDP at one port of `ip`, which runs until the test binary ends; `None`
/// if this machine does not have that IP.
fn echo(ip: &str) -> Option<u16> {
    let tcp = TcpListener::bind((ip, 0)).ok()?;
    let port = tcp.local_addr().expect("it is bound").port();
    let udp = UdpSocket::bind((ip, port)).ok()?;
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            thread::spawn(move || echo_stream(stream));
        }
    });
    thread::spawn(move || {
        let mut space = vec![0; 1 << 16];
        while let Ok((count, peer)) = udp.recv_from(&mut space) {
            let _ = udp.send_to(&space[..count], peer);
        }
    });
    Some(port)
}

fn echo_stream(mut stream: impl Read + Write) {
    let mut space = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut space) {
        if stream.write_all(&space[..count]).is_err() {
            return;
        }
    }
}

/// Names with several addresses; the server listens on one of them.
const HOSTS: &str = "127.0.0.1 localhost both\\n::1 both\\n127.0.0.2 many\\n127.0.0.3 many\\n\
                     127.0.0.4 many\\n";

const LOAD: &str = "--requests 50 --connections 2";

#[test]
fn a_name_leads_to_the_address_on_which_a_server_is() {
    for (name, ip) in [
        ("both", "::1"),
        ("both", "127.0.0.1"),
        ("many", "127.0.0.3"),
    ] {
        let Some(port) = echo(ip) else {
            continue;
        };
        let connect = format!("\"$MYNAH\" connect {name}:{port} --once hi");
        let Some(output) = namespace::run_with_hosts(HOSTS, &connect) else {
            return;
        };
        assert_eq!(
            told(&output),
            (Some(0), "hi".to_owned(), String::new()),
            "{name}, {ip}"
        );
        for scheme in ["tcp", "udp"] {
            for churn in ["", "--churn"] {
                let at = format!("{scheme}://{name}:{port}");
                let bench = format!("\"$MYNAH\" bench {at} {LOAD} {churn}");
                let output = namespace::run_with_hosts(HOSTS, &bench).expect("as before");
                let (code, out, err) = told(&output);
                // A busy machine may answer a datagram too late.
                let is_done = code == Some(0) || scheme == "udp" && code == Some(7);
                assert!(is_done, "{code:?}: {out}{err}");
                assert!(out.contains(&format!("\n{at} ({ip})\n")), "{out}");
            }
        }
    }
}

#[test]
fn a_failure_names_every_address_that_was_tried() {
    // On test machines no server listens on port 1.
    let refused = "Connection refused (os error 111)";
    let each = |text: &dyn Fn(&str) -> String| {
        ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(text).join("; ")
    };
    let Some(output) = namespace::run_with_hosts(HOSTS, "\"$MYNAH\" connect many:1") else {
        return;
    };
    let all = each(&|ip| format!("connect tcp://{ip}:1: {refused}"));
    let line = format!("mynah: tcp://many:1: {all}\n");
    assert_eq!(told(&output), (Some(5), String::new(), line));
    for scheme in ["tcp", "udp"] {
        let script = format!("\"$MYNAH\" bench {scheme}://many:1 {LOAD}");
        let output = namespace::run_with_hosts(HOSTS, &script).expect("as before");
        let all = each(&|ip| format!("{scheme}://{ip}:1: cannot connect: {refused}"));
        assert_eq!(
            told(&output),
            (Some(5), String::new(), format!("mynah: {all}\n"))
        );
    }
}

#[test]
fn a_name_without_an_address_is_one_line_and_the_code_of_its_command() {
    let reason = "\"nosuch\" cannot be looked up (Name or service not known); write its number";
    for (words, line, code) in [
        ("connect nosuch:7", "connect tcp://nosuch:7: ", 5),
        ("bench nosuch:7", "tcp://nosuch:7: ", 5),
        ("bench udp://nosuch:7", "udp://nosuch:7: ", 5),
        ("--listen nosuch:7", "bind tcp://nosuch:7: ", 3),
    ] {
        let script = format!("\"$MYNAH\" {words}");
        let Some(output) = namespace::run_with_hosts(HOSTS, &script) else {
            return;
        };
        let line = format!("mynah: {line}{reason}\n");
        assert_eq!(told(&output), (Some(code), String::new(), line));
    }
}

#[test]
fn a_name_that_is_not_known_yet_is_looked_up_again_by_each_try() {
    let Some(port) = echo("127.0.0.1") else {
        return;
    };
    let script = format!(
        "\"$MYNAH\" connect late:{port} --retry --no-jitter --once hi 2>&1 | \
         {{ while read -r line; do echo \"$line\"; \
         case \"$line\" in *'try 1 of 8: '*) echo 127.0.0.1 late >> /etc/hosts; esac; done; \
         echo \"$line\"; }}"
    );
    let Some(output) = namespace::run_with_hosts(HOSTS, &script) else {
        return;
    };
    let reason = "\"late\" cannot be looked up (Name or service not known); write its number";
    let line = format!("INFO  try 1 of 8: {reason}; the next in 1.0s\nhi\n");
    assert_eq!(told(&output).1, line);
}

#[test]
fn sources_choose_among_the_addresses_of_a_name() {
    let Some(port) = echo("127.0.0.1") else {
        return;
    };
    let bench = format!("\"$MYNAH\" bench both:{port} {LOAD} --source-ip 127.0.0.9");
    let Some(output) = namespace::run_with_hosts(HOSTS, &bench) else {
        return;
    };
    let (code, out, err) = told(&output);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains(&format!("tcp://both:{port} (127.0.0.1)")),
        "{out}"
    );
    let bench = format!("\"$MYNAH\" bench many:{port} {LOAD} --source-ip ::1");
    let output = namespace::run_with_hosts(HOSTS, &bench).expect("as before");
    let line = format!(
        "mynah: --source-ip ::1: not for tcp://many:{port} (127.0.0.2), which needs IPv4\n"
    );
    assert_eq!(told(&output), (Some(1), String::new(), line));
}

/// Sets up a network namespace whose loopback interface has a link-local address.
/// The kernel adds the route to the address a moment later, which may be long on a busy machine.
const LINK: &str = "ip link set lo up && ip -6 addr add fe80::1/64 dev lo nodad && \
                    for i in $(seq 1000); do \
                    ip -6 route get fe80::1 oif lo >/dev/null 2>&1 && break; sleep 0.01; done";

/// Says hi to `$at`, again and again: with the route in place, the kernel may still say for a moment
/// that the network is unreachable.
const SAY_HI: &str = "for i in $(seq 100); do \"$MYNAH\" connect $at --once hi && break; \
                      sleep 0.05; done; echo;";

/// Starts a server that listens on `$listen`. `$at` is its address, and `$pid` its process number.
const START: &str = "mkfifo /tmp/mynah-$$; \"$MYNAH\" --max-connections 100 --listen \"$listen\" \
                     > /tmp/mynah-$$ & pid=$!; read -r ready < /tmp/mynah-$$; rm /tmp/mynah-$$; \
                     echo \"$ready\"; at=${ready#* on }; at=${at%%,*};";

#[test]
fn a_name_to_listen_at_stands_for_its_first_ipv4_address() {
    for (name, ip) in [("both", "127.0.0.1"), ("many", "127.0.0.2")] {
        let script = format!("listen={name}:0; {START} kill $pid; wait $pid");
        let Some(output) = namespace::run_with_hosts(HOSTS, &script) else {
            return;
        };
        let (code, out, err) = told(&output);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains(&format!(" on tcp://{ip}:")), "{out}");
    }
}

#[test]
fn a_link_local_address_has_the_name_of_its_interface() {
    for listen in ["[fe80::1%lo]:0", "[fe80::1%1]:0"] {
        let script = format!(
            "{LINK}; listen='{listen}'; {START} {SAY_HI} \
             \"$MYNAH\" bench $at {LOAD} --source-ip fe80::1%lo | grep ^tcp; \
             kill $pid; wait $pid"
        );
        let Some(output) = namespace::run(&["-n"], LINK, &script) else {
            return;
        };
        let (_, out, err) = told(&output);
        let lines: Vec<&str> = out.lines().collect();
        let [ready, reply, server] = lines[..] else {
            panic!("{out}{err}");
        };
        assert!(ready.contains(" on tcp://[fe80::1%lo]:"), "{ready}");
        assert_eq!(reply, "hi", "{err}");
        assert!(server.starts_with("tcp://[fe80::1%lo]:"), "{server}");
        // The hint is a command that works.
        assert!(err.contains("talk to it with: nc fe80::1%lo "), "{err}");
    }
}

#[test]
fn a_link_local_address_without_its_interface_is_one_line() {
    let told_why = "fe80::1 is link-local and needs its interface, such as fe80::1%eth0\n";
    for (args, line, code) in [
        (
            &["connect", "[fe80::1]:7"][..],
            "connect tcp://[fe80::1]:7: ",
            5,
        ),
        (
            &["bench", "[fe80::1]:7"],
            "tcp://[fe80::1]:7: cannot connect: ",
            5,
        ),
        (
            &["bench", "udp://[fe80::1]:7"],
            "udp://[fe80::1]:7: cannot connect: ",
            5,
        ),
        (&["--listen", "[fe80::1]:7"], "bind tcp://[fe80::1]:7: ", 3),
        (
            &["bench", "[::1]:7", "--source-ip", "fe80::1"],
            "--source-ip fe80::1: ",
            1,
        ),
    ] {
        let line = format!("mynah: {line}{told_why}");
        assert_eq!(told(&mynah(args)), (Some(code), String::new(), line));
    }
}

#[test]
fn a_page_is_asked_for_by_the_name_that_was_typed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a request");
            head.push(byte[0]);
        }
        let page = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        stream.write_all(page).expect("the client reads");
        String::from_utf8(head).expect("text")
    });
    let at = format!("localhost:{port}");
    let words = "--protocol http --requests 1 --connections 1".split(' ');
    let args: Vec<&str> = ["bench", &at].into_iter().chain(words).collect();
    mynah(&args);
    let head = asked.join().expect("it was asked");
    assert_eq!(
        head,
        format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")
    );
}

#[test]
fn the_largest_datagram_of_each_family_is_carried() {
    for (ip, host, most) in [("::1", "[::1]", 65_527), ("127.0.0.1", "127.0.0.1", 65_507)] {
        let Some(port) = echo(ip) else {
            continue;
        };
        for size in most - 1..=most + 1 {
            let at = format!("udp://{host}:{port}");
            let words = format!("bench {at} --size {size} --requests 20 --connections 1");
            let args: Vec<&str> = words.split(' ').collect();
            let (code, out, err) = told(&mynah(&args));
            if size > most {
                assert_eq!((code, out.as_str()), (Some(1), ""), "{words}: {err}");
                continue;
            }
            // A busy machine may answer a datagram too late.
            assert!(matches!(code, Some(0 | 7)), "{words}: {out}{err}");
            let answered = !out.contains("none of those sent");
            assert!(answered && !out.contains("wrong"), "{words}: {out}{err}");
        }
    }
}
