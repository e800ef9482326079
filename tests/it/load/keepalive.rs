//! HTTP servers that close a connection after some replies, as RFC 9112, section 9.6 allows.
//!
//! Whether `Connection: close` announces the end or not, the load continues on a new connection,
//! and nothing counts as an error.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use mynah::kernel::Address;
use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Protocol, Until};

use super::peer::{self, leave};
use super::runs::{assert_whole, load, plan};

/// Answers seven times with `head`, the last time with `last`, and closes the stream. Later
/// requests are read and not answered.
fn seven(stream: TcpStream, head: &str, last: &str) {
    let mut left = 7;
    peer::pages(stream, |stream| {
        left -= 1;
        let head = if left == 0 { last } else { head };
        let page = format!("{head}Content-Length: 5\r\n\r\nhello");
        let written = stream.write_all(page.as_bytes());
        if left == 0 {
            leave(stream);
        }
        written.is_ok() && left > 0
    });
}

fn announced(stream: TcpStream) {
    let head = "HTTP/1.1 200 OK\r\n";
    seven(stream, head, "HTTP/1.1 200 OK\r\nConnection: close\r\n");
}

fn in_http_1_0(stream: TcpStream) {
    let head = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n";
    seven(stream, head, "HTTP/1.0 200 OK\r\n");
}

fn without_a_word(stream: TcpStream) {
    seven(stream, "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n");
}

fn http(requests: u64) -> Plan {
    Plan {
        protocol: Protocol::Http,
        connections: 3,
        ..plan(requests)
    }
}

#[test]
fn after_a_reply_that_was_announced_as_the_last_one_another_connection_goes_on() {
    for server in [announced, in_http_1_0].map(peer::tcp).map(Address::Tcp) {
        for (pipeline, connections) in [(1, 1), (1, 3), (4, 2)] {
            let plan = Plan {
                pipeline,
                connections,
                ..http(300)
            };
            let outcome = load(&plan, server.clone()).expect("the server is there");
            assert_whole(&outcome, 300);
            assert!(outcome.tally.connections >= 300 / 7);
        }
    }
}

#[test]
fn an_open_loop_loses_none_of_its_requests_with_a_connection_that_ends() {
    let server = Address::Tcp(peer::tcp(announced));
    let (rate, arrivals) = (1000.0, Arrivals::Fixed);
    for pipeline in [1, 4] {
        let plan = Plan {
            pace: Pace::Open { rate, arrivals },
            until: Until::Time(Duration::from_millis(300)),
            connections: 1,
            pipeline,
            ..http(1)
        };
        let outcome = load(&plan, server.clone()).expect("the server is there");
        assert_whole(&outcome, outcome.tally.response.count());
        assert_eq!((outcome.tally.answered, outcome.tally.unsent), (300, 0));
    }
}

#[test]
fn an_end_that_was_not_announced_is_no_error_either() {
    let server = Address::Tcp(peer::tcp(without_a_word));
    let outcome = load(&http(300), server).expect("the server is there");
    assert_whole(&outcome, 300);
    assert!(outcome.tally.reconnects >= 300 / 7 - 3);
}
