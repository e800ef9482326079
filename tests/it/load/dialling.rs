//! What becomes of a connection that no server accepts.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::plan::{Pace, Plan, Until};
use mynah::load::run::RunError;
use mynah::load::schedule::Arrivals;

use super::peer;
use super::runs::{load, plan};
use crate::namespace::{self, told};

/// A port of `ip` on which no server listens, over both protocols; `None` where there is no such IP.
fn nobody(ip: &str) -> Option<SocketAddr> {
    let tcp = TcpListener::bind((ip, 0)).ok()?;
    let address = tcp.local_addr().expect("it is bound");
    UdpSocket::bind(address).ok()?;
    Some(address)
}

/// Loads an address of `ip` from that same address, as the kernel may choose it by chance, and expects
/// that the run is refused. Each time at another port: one that was connected to itself is not free
/// at once.
#[track_caller]
fn assert_refused(plan: Plan, ip: &str, at: fn(SocketAddr) -> Address) {
    let Some(from) = nobody(ip) else {
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
    // Each connection is closed by the client first, which leaves the port of the server free.
    thread::spawn(move || {
        let streams = listener.incoming().flatten().take(SERVED as usize);
        streams.for_each(peer::echo);
    });
    let from = |port| Address::Tcp(([127, 0, 0, 1], port).into());
    let plan = Plan {
        // The second connection comes from the port of the server, as soon as that is free.
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
