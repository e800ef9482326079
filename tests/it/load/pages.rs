//! HTTP replies that differ from the first one.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};

use mynah::kernel::Address;
use mynah::load::plan::{Plan, Protocol};

use super::peer;
use super::runs::{assert_whole, load, plan};

/// Answers each request with `page`.
fn serve(stream: TcpStream, page: impl Fn() -> String) {
    peer::pages(stream, |stream| {
        let body = page();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).is_ok()
    });
}

#[test]
fn a_page_that_changes_is_a_wrong_reply_whichever_connection_it_comes_on() {
    for churn in [false, true] {
        let server = peer::tcp(|stream| {
            static SERVED: AtomicU64 = AtomicU64::new(0);
            // The 50th page of every hundred differs.
            let page = || match SERVED.fetch_add(1, Ordering::Relaxed) % 100 {
                49 => "Hello, Mars!".to_owned(),
                _ => "Hello, World".to_owned(),
            };
            serve(stream, page);
        });
        let plan = Plan {
            protocol: Protocol::Http,
            connections: 3,
            churn,
            ..plan(60)
        };
        let address = Address::Tcp(server);
        let tally = load(&plan, address.clone())
            .expect("the server is there")
            .tally;
        assert_eq!(
            (tally.errors.wrong, tally.errors.total()),
            (1, 1),
            "{tally:?}"
        );
        let told = tally.failures[0].to_string();
        assert!(
            told.contains("12 bytes that are not the first one's"),
            "{told}"
        );
        let blind = Plan {
            verify: false,
            connections: 1,
            ..plan
        };
        assert_whole(&load(&blind, address).expect("the server is there"), 60);
    }
}
