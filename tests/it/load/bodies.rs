//! HTTP replies with every kind of body end of RFC 9112, section 6.3, over real connections.
//!
//! The load generator must find the end of each reply, however the bytes are split.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Protocol, Until};

use super::peer::{self, leave};
use super::runs::{assert_whole, brief, in_few_runs, load, plan};

fn http(requests: u64) -> Plan {
    Plan {
        protocol: Protocol::Http,
        connections: 3,
        ..plan(requests)
    }
}

/// An interim reply and a chunked reply, written in pieces of 1 to 11 bytes.
fn chunked(stream: TcpStream) {
    const REPLY: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        007;x=y\r\nHello, \r\n5\r\nWorld\r\n0\r\nX-Sum: 1\r\n\r\n";
    stream.set_nodelay(true).expect("a TCP socket has it");
    let mut size = 0;
    peer::pages(stream, |stream| {
        let mut rest = REPLY;
        while !rest.is_empty() {
            size = size % 11 + 1;
            let (piece, after) = rest.split_at(rest.len().min(size));
            if stream.write_all(piece).is_err() {
                return false;
            }
            rest = after;
        }
        true
    });
}

/// A reply whose body ends with the connection, announced by `Connection: close` or not.
fn ending<const HEAD: usize>(stream: TcpStream) {
    const HEADS: [&str; 3] = [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ];
    peer::pages(stream, |stream| {
        let page = format!("{}Hello, World", HEADS[HEAD]);
        let _ = stream.write_all(page.as_bytes());
        leave(stream);
        false
    });
}

/// The same reply, but the connection stays open.
fn endless(stream: TcpStream) {
    let reply = b"HTTP/1.1 200 OK\r\n\r\nHello, World";
    peer::pages(stream, |stream| stream.write_all(reply).is_ok());
}

#[test]
fn chunks_behind_interim_replies_are_put_together() {
    let server = Address::Tcp(peer::tcp(chunked));
    for (pipeline, churn) in [(1, false), (4, false), (1, true)] {
        let plan = Plan {
            pipeline,
            churn,
            ..http(120)
        };
        assert_whole(&load(&plan, server.clone()).expect("it is there"), 120);
    }
}

#[test]
fn a_reply_that_ends_with_its_connection_counts_once_and_the_next_goes_over_another() {
    for server in [ending::<0>, ending::<1>, ending::<2>].map(peer::tcp) {
        for (pipeline, churn) in [(1, false), (3, false), (1, true)] {
            let plan = Plan {
                pipeline,
                churn,
                ..http(60)
            };
            let outcome = load(&plan, Address::Tcp(server)).expect("it is there");
            assert_whole(&outcome, 60);
            assert!(outcome.tally.connections >= 60);
        }
    }
}

#[test]
fn an_open_loop_goes_on_where_each_reply_ends_its_connection() {
    let server = Address::Tcp(peer::tcp(ending::<0>));
    let (rate, arrivals) = (200.0, Arrivals::Fixed);
    let plan = Plan {
        pace: Pace::Open { rate, arrivals },
        until: Until::Time(Duration::from_millis(300)),
        ..http(1)
    };
    let outcome = load(&plan, server).expect("it is there");
    assert_whole(&outcome, 60);
    assert_eq!(outcome.tally.unsent, 0);
}

#[test]
fn a_reply_that_never_ends_is_unfinished_and_says_why() {
    let server = Address::Tcp(peer::tcp(endless));
    let plan = Plan {
        until: Until::Time(Duration::from_millis(50)),
        ..http(1)
    };
    let tally = in_few_runs(|| {
        let tally = load(&plan, server.clone()).expect("it is there").tally;
        assert_eq!(tally.errors.total(), 0, "{}", brief(&tally));
        match tally.unfinished {
            3 => Ok(tally),
            _ => Err(brief(&tally)),
        }
    });
    let told = tally.failures[0].to_string();
    assert!(told.contains("its connection, which did not end"), "{told}");
}
