//! The load generator does not allocate while it measures requests.
//!
//! The counting allocator is global, so this test has a process of its own. Allocations before the
//! first request and after the last one do not depend on the number of requests. So ten times the
//! requests must cause the same number of allocations, apart from a few that vary with the reading
//! of `/proc`.
#![allow(unsafe_code)]

#[path = "time_limit/mod.rs"]
mod time_limit;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mynah::kernel::{Address, Linux};
use mynah::load::plan::schedule::Arrivals;
use mynah::load::plan::{Pace, Plan, Protocol, Until};
use mynah::load::run::progress::Progress;
use mynah::load::run::{self, Target};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of this function, which is the same for `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this function, which is the same for `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
    5\r\nhello\r\n1;x\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n";

/// A server whose threads allocate only at their start. It answers each read with `reply`, or
/// echoes it.
fn server(reply: Option<&'static [u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut space = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut space) {
                    let reply = reply.unwrap_or(&space[..count]);
                    if stream.write_all(reply).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn allocations(plan: &Plan, server: SocketAddr) -> u64 {
    let address = Address::Tcp(server);
    let script = plan.script(&address).expect("raw takes all");
    let target = Target {
        name: address.to_string(),
        address,
        pid: None,
    };
    let mut kernel = Linux::new(false).expect("epoll");
    let open = || Linux::new(false);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let progress = &mut Progress::none();
    let outcome = run::run(plan, &script, &target, &mut kernel, &open, progress);
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    let Until::Requests(requests) = plan.until else {
        panic!("the test counts requests")
    };
    assert_eq!(
        outcome.expect("the server is there").tally.answered,
        requests
    );
    after - before
}

#[test]
fn ten_times_the_requests_take_as_many_allocations() {
    let open = Pace::Open {
        rate: 20_000.0,
        arrivals: Arrivals::Poisson,
    };
    let echo = (Protocol::Echo, 3, server(None));
    // Without pipelining, each read of the server is one request.
    let chunked = (Protocol::Http, 1, server(Some(CHUNKED)));
    for (pace, (protocol, pipeline, server)) in
        [(Pace::Closed, echo), (open, echo), (Pace::Closed, chunked)]
    {
        let plan = |requests| Plan {
            connections: 4,
            size: (16, 64),
            protocol,
            pipeline,
            pace,
            until: Until::Requests(requests),
            warmup: Duration::ZERO,
            ..Plan::default()
        };
        allocations(&plan(10), server);
        let (few, many) = (
            allocations(&plan(300), server),
            allocations(&plan(3000), server),
        );
        assert!(
            many <= few + 20,
            "{few} and {many} allocations, {pace:?}, {protocol:?}"
        );
    }
}
