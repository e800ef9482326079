//! Connections that no server accepts: TCP self-connections, and connections that get no answer.
//!
//! A socket whose source port equals its destination port connects to itself (simultaneous open,
//! RFC 9293, section 3.5). The load generator must detect this. An unanswered SYN ends at the
//! connect time-out.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use mynah::kernel::Address;
use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Until};
use mynah::load::run::RunError;
use socket2::{Domain, SockAddr, Socket, Type};

use super::command::{bench, told};
use super::peer;
use super::runs::{load, plan};
use crate::namespace;

/// A port of `ip` without a listener on TCP and UDP; `None` if this machine does not have that IP.
fn no_listener(ip: &str) -> Option<SocketAddr> {
    let tcp = TcpListener::bind((ip, 0)).ok()?;
    let address = tcp.local_addr().expect("it is bound");
    UdpSocket::bind(address).ok()?;
    Some(address)
}

/// Runs a load whose source address and port equal its destination, as the kernel may choose them
/// by chance, and expects that the run is refused. Each try uses a new port, because the port of a
/// self-connection is not free at once (TIME-WAIT).
#[track_caller]
fn assert_refused(plan: Plan, ip: &str, at: fn(SocketAddr) -> Address) {
    let Some(from) = no_listener(ip) else {
        return;
    };
    let to = at(from);
    let plan = Plan {
        sources: vec![Address::Tcp(from)],
        connections: 1,
        ..plan
    };
    match load(&plan, to.clone()) {
        Err(RunError::Target(line)) => {
            let expected = format!("{to}: cannot connect: Connection refused (os error 111)");
            assert_eq!(line, expected);
        }
        other => panic!("{to}: it measured itself: {other:?}"),
    }
}

#[test]
fn a_connection_to_itself_is_refused() {
    for ip in ["127.0.0.1", "::1"] {
        for at in [Address::Tcp, Address::Udp] {
            for verify in [true, false] {
                for churn in [false, true] {
                    let plan = Plan {
                        verify,
                        churn,
                        ..plan(10)
                    };
                    assert_refused(plan, ip, at);
                }
            }
        }
    }
}

#[test]
fn a_connection_to_itself_is_refused_in_an_open_loop_and_beside_the_load() {
    let pace = Pace::Open {
        rate: 1000.0,
        arrivals: Arrivals::Fixed,
    };
    for churn in [false, true] {
        let plan = Plan {
            pace,
            churn,
            ..plan(10)
        };
        assert_refused(plan, "127.0.0.1", Address::Tcp);
    }
    let idle = Plan {
        idle: 1,
        churn: true,
        ..plan(10)
    };
    assert_refused(idle, "127.0.0.1", Address::Tcp);
}

#[test]
fn a_connection_to_every_address_of_this_machine_may_be_one_to_itself() {
    let any = |at: SocketAddr| Address::Tcp(([0, 0, 0, 0], at.port()).into());
    assert_refused(plan(10), "127.0.0.1", any);
}

#[test]
fn after_the_death_of_a_server_under_churn_its_port_answers_nothing() {
    const SERVED: u64 = 20;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = listener.local_addr().expect("it is bound");
    // The client closes first, so the server's port is free after the server's end.
    thread::spawn(move || {
        let streams = listener.incoming().flatten().take(SERVED as usize);
        streams.for_each(peer::echo);
    });
    let from = |port| Address::Tcp(([127, 0, 0, 1], port).into());
    let plan = Plan {
        // The second connection uses the server's port as its source, once that is free.
        connections: 2,
        sources: vec![from(0), from(server.port())],
        churn: true,
        until: Until::Time(Duration::from_millis(500)),
        ..plan(1)
    };
    let outcome = load(&plan, Address::Tcp(server)).expect("it was there");
    let tally = outcome.tally;
    assert!(tally.answered <= SERVED, "{}", tally.answered);
    assert!(tally.errors.connect > 0, "{:?}", tally.errors);
}

#[test]
fn the_only_port_of_this_machine_does_not_answer_itself() {
    let prepare = "ip link set lo up && \
                   echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range";
    for address in ["40000", "[::1]:40000", "udp://127.0.0.1:40000"] {
        let words = "--connections 1 --duration 300ms --warmup 0 --verify off";
        let script = format!("{prepare}; exec \"$MYNAH\" bench '{address}' {words}");
        let Some(output) = namespace::run(&["-n"], prepare, &script) else {
            return;
        };
        let (code, out, err) = told(&output);
        assert_eq!((code, out.as_str()), (Some(5), ""), "{address}: {err}");
        assert!(
            err.ends_with("cannot connect: Connection refused (os error 111)\n"),
            "{err}"
        );
    }
}

#[test]
fn a_command_that_does_not_listen_is_not_taken_for_a_server() {
    let prepare = "ip link set lo up && \
                   echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range";
    let script = format!("{prepare}; exec \"$MYNAH\" bench \"sh -c 'sleep 1; exit 3' {{port}}\"");
    let Some(output) = namespace::run(&["-n"], prepare, &script) else {
        return;
    };
    let (code, out, err) = told(&output);
    assert_eq!((code, out.as_str()), (Some(6), ""), "{err}");
    assert!(
        err.contains("ended before it accepted a connection: exit status: 3"),
        "{err}"
    );
}

/// A TCP listener with a full queue: a further SYN gets no answer. The connections that fill the
/// queue stay open as long as the value lives.
fn silent() -> (SocketAddr, (TcpListener, TcpStream)) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&SockAddr::from(any)).expect("a free port");
    socket.listen(0).expect("it is bound");
    let listener = TcpListener::from(OwnedFd::from(socket));
    let address = listener.local_addr().expect("it is bound");
    let queued = TcpStream::connect(address).expect("room for one");
    (address, (listener, queued))
}

#[test]
fn a_route_that_drops_everything_ends_after_the_connect_timeout() {
    // A pair of interfaces (veth(4)): packets sent on one end arrive at the other and are lost
    // there.
    let prepare = "ip link add d0 type veth peer name d1 && ip link set d0 arp off && \
                   ip addr add 192.0.2.1/24 dev d0 && ip link set d0 up && ip link set d1 up && \
                   ip -6 addr add 2001:db8::1/64 dev d0 nodad";
    for (address, at) in [
        ("192.0.2.2:7", "tcp://192.0.2.2:7"),
        ("[2001:db8::2]:7", "tcp://[2001:db8::2]:7"),
    ] {
        for (words, line) in [
            (
                "bench",
                format!("{at}: cannot connect: no answer within 200ms"),
            ),
            (
                "bench --churn",
                format!("{at}: cannot connect: no answer within 200ms"),
            ),
            (
                "bench --rate 50",
                format!("{at}: cannot connect: no answer within 200ms"),
            ),
            ("connect", format!("connect {at}: no answer within 200ms")),
        ] {
            let script =
                format!("{prepare}; exec \"$MYNAH\" {words} '{address}' --connect-timeout 200ms");
            let Some(output) = namespace::run(&["-n"], prepare, &script) else {
                return;
            };
            let line = format!("mynah: {line}\n");
            assert_eq!(told(&output), (Some(5), String::new(), line), "{words}");
        }
    }
}

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_server_that_answers_no_syn_ends_the_run_after_the_connect_timeout() {
    let (address, _full) = silent();
    for churn in [false, true] {
        for idle in [0, 1] {
            let plan = Plan {
                connect_timeout: Some(SHORT),
                churn,
                idle,
                ..plan(10)
            };
            let start = Instant::now();
            match load(&plan, Address::Tcp(address)) {
                Err(RunError::Target(line)) => {
                    let told = format!("tcp://{address}: cannot connect: no answer within 300ms");
                    assert_eq!(line, told);
                }
                other => panic!("churn {churn}, idle {idle}: {other:?}"),
            }
            assert!(start.elapsed() >= SHORT);
        }
    }
}

#[test]
fn a_connection_under_churn_that_is_not_answered_is_an_error_and_not_the_end() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&SockAddr::from(any)).expect("a free port");
    socket.listen(0).expect("it is bound");
    let listener = TcpListener::from(OwnedFd::from(socket));
    let address = listener.local_addr().expect("it is bound");
    // One connection is served. The next one fills the queue, and later ones get no answer.
    thread::spawn(move || {
        peer::once(listener.accept().expect("the first").0);
        thread::sleep(Duration::from_secs(60));
    });
    let plan = Plan {
        connections: 3,
        churn: true,
        connect_timeout: Some(SHORT / 3),
        until: Until::Time(SHORT * 3),
        ..plan(1)
    };
    let tally = load(&plan, Address::Tcp(address))
        .expect("one was served")
        .tally;
    assert!(tally.errors.connect >= 2, "{:?}", tally.errors);
    let told = tally.failures[0].to_string();
    assert!(
        told.contains("cannot connect: no answer within 100ms"),
        "{told}"
    );
}

#[test]
fn a_connect_timeout_is_one_line_and_exit_5() {
    let (address, _full) = silent();
    let address = address.to_string();
    let line = format!("mynah: tcp://{address}: cannot connect: no answer within 300ms\n");
    let words = [&address, "--connect-timeout", "300ms"];
    let output = bench(&words);
    assert_eq!(told(&output), (Some(5), String::new(), line));
}
