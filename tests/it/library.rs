//! The library: a user's own service, from the builder to the end of the drain, over real sockets.
//!
//! The store here is the example of the crate's documentation, which the README shows too; a test
//! compares the two. The kernel chooses every port. A server runs on a thread of the test, and is
//! drained and joined even if the test fails. Tests of single tasks and timers are in
//! `server/tasks.rs`, on the simulated kernel.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mynah::cli::options::Serve;
use mynah::limits::{
    CONNECTIONS_MAX, MEMORY_MAX, MEMORY_MIN, THREADS_MAX, TIMEOUT_MAX, TIMEOUT_MIN,
};
use mynah::{
    AcceptPolicy, Answer, Builder, Detail, Echo, Ending, Error, Handle, Loop, Rate, Refused, Reply,
    Request, Server, Service,
};

use crate::house_rules::home;
use crate::uninterrupted::uninterrupted;

const PATIENCE: Duration = Duration::from_secs(20);
const VALUE_MAX: usize = 1024;

#[derive(Clone, Default)]
struct Store(Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>);

impl Service for Store {
    type State = ();

    fn open(&self) {}

    fn reply_max(&self, _payload: usize) -> usize {
        VALUE_MAX
    }

    fn serve(&mut self, _: &mut (), request: Request<'_>, reply: &mut Reply<'_>) -> Answer {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut words = request.payload.splitn(3, |byte| *byte == b' ');
        match (words.next(), words.next(), words.next()) {
            (Some(b"SET"), Some(key), Some(value)) if value.len() <= VALUE_MAX => {
                map.insert(key.to_vec(), value.to_vec());
                reply.push(b"OK");
            }
            (Some(b"GET"), Some(key), None) => {
                reply.push(map.get(key).map_or(b"NONE", Vec::as_slice));
            }
            _ => reply.push(b"ERROR"),
        }
        Answer::Written
    }
}

/// A server that runs on a thread of its own.
struct Running {
    address: SocketAddr,
    handles: Vec<Handle>,
    thread: Option<JoinHandle<Result<Ending, Error>>>,
}

impl Running {
    fn start(
        builder: Builder,
        service: impl Service<State: Send> + Clone + Send + 'static,
    ) -> Running {
        let server = builder
            .listen("127.0.0.1:0")
            .bind(service)
            .expect("a free port");
        Running {
            address: server.tcp_address().expect("TCP"),
            handles: server.handles(),
            thread: Some(thread::spawn(|| server.run())),
        }
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        BufReader::new(stream)
    }

    /// Waits for the end of the drain. Returns the connections served and those cut.
    fn ended(&mut self) -> (u64, u64) {
        let thread = self.thread.take().expect("it runs");
        match thread.join().expect("no panic").expect("no error") {
            Ending::Drained { cut, counters } => (counters.connections_total, cut),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handles.iter().for_each(Handle::drain);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends a line and reads the reply.
fn ask(peer: &mut BufReader<TcpStream>, line: &str) -> String {
    peer.get_mut()
        .write_all(format!("{line}\n").as_bytes())
        .expect("the server reads");
    let mut reply = String::new();
    peer.read_line(&mut reply).expect("the server answers");
    reply.trim_end().to_owned()
}

#[test]
fn a_panic_on_a_further_thread_ends_the_run_with_an_error() {
    let mut server = Running::start(Server::builder().threads(3), Echo);
    let task = |_: &mut Loop<'_>| panic!("this panic is part of a test");
    assert!(server.handles[1].run(task).is_ok());
    let thread = server.thread.take().expect("it runs");
    let error = thread
        .join()
        .expect("no panic on this thread")
        .expect_err("a failed loop");
    assert!(error.to_string().contains("a worker panicked"), "{error}");
    assert!(server.handles.iter().all(Handle::has_ended));
}

#[test]
fn a_panic_on_the_first_thread_reaches_the_caller_and_ends_the_other_threads() {
    let mut server = Running::start(Server::builder().threads(3), Echo);
    let task = |_: &mut Loop<'_>| panic!("this panic is part of a test");
    assert!(server.handles[0].run(task).is_ok());
    let thread = server.thread.take().expect("it runs");
    assert!(thread.join().is_err());
    assert!(server.handles.iter().all(Handle::has_ended));
}

/// Echoes. At `fail` it meets the test twice, and panics.
#[derive(Clone)]
struct Failing(Arc<Barrier>);

impl Service for Failing {
    type State = ();

    fn open(&self) {}

    fn serve(&mut self, _: &mut (), request: Request<'_>, _: &mut Reply<'_>) -> Answer {
        if request.payload == b"fail" {
            self.0.wait();
            self.0.wait();
            panic!("this panic is part of a test");
        }
        Answer::InPlace
    }
}

#[test]
fn what_was_handed_to_a_worker_that_fails_is_served_by_another_one() {
    // With and without room beside the connections that the other worker has.
    for connections in [100, 6] {
        let meeting = Arc::new(Barrier::new(2));
        let builder = Server::builder().framing("line").threads(2);
        let builder = builder.accept(AcceptPolicy::Handoff);
        let builder = builder.connections_max(connections);
        let mut server = Running::start(builder, Failing(Arc::clone(&meeting)));
        let mut of_first = vec![server.connect()];
        assert_eq!(ask(&mut of_first[0], "one"), "one");
        let mut failing = server.connect();
        failing.get_mut().write_all(b"fail\n").expect("it is read");
        meeting.wait();
        // The second worker takes nothing now, and every other connection is handed to it.
        of_first.push(server.connect());
        let mut handed = server.connect();
        handed.get_mut().write_all(b"hello\n").expect("it is read");
        of_first.push(server.connect());
        assert_eq!(ask(&mut of_first[2], "three"), "three");
        meeting.wait();
        let mut reply = String::new();
        handed.read_line(&mut reply).expect("it is answered");
        assert_eq!(reply, "hello\n", "{connections} connections");
        let thread = server.thread.take().expect("it runs");
        let ended = thread.join().expect("no panic on this thread");
        let error = ended.expect_err("a worker has failed");
        assert!(error.to_string().contains("a worker panicked"), "{error}");
    }
}

#[test]
fn a_store_of_a_user_serves_several_connections_and_drains() {
    for threads in [1, 3] {
        let mut server = Running::start(
            Server::builder().framing("line").threads(threads),
            Store::default(),
        );
        let mut peers: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for (number, peer) in peers.iter_mut().enumerate() {
            assert_eq!(ask(peer, &format!("GET key{number}")), "NONE");
            assert_eq!(
                ask(peer, &format!("SET key{number} two words {number}")),
                "OK"
            );
        }
        // The connections share the map, whichever thread serves them.
        peers.reverse();
        for (number, peer) in peers.iter_mut().enumerate() {
            assert_eq!(
                ask(peer, &format!("GET key{number}")),
                format!("two words {number}")
            );
        }
        let longest = "x".repeat(VALUE_MAX);
        assert_eq!(ask(&mut peers[0], &format!("SET long {longest}")), "OK");
        assert_eq!(ask(&mut peers[1], "GET long"), longest);
        assert_eq!(ask(&mut peers[0], &format!("SET long {longest}x")), "ERROR");
        assert_eq!(ask(&mut peers[0], "DEL long"), "ERROR");
        server.handles[0].drain();
        for peer in &mut peers {
            let mut rest = Vec::new();
            peer.read_to_end(&mut rest).expect("a clean end");
            assert!(rest.is_empty());
        }
        assert_eq!(server.ended(), (8, 0), "{threads} threads");
        assert!(server.handles.iter().all(Handle::has_ended));
    }
}

#[test]
fn tasks_of_many_threads_run_on_the_thread_of_the_loop_each_in_its_order() {
    let mut server = Running::start(Server::builder(), Echo);
    let (tell, told) = channel();
    thread::scope(|scope| {
        for giver in 0..4 {
            let (handle, tell) = (server.handles[0].clone(), tell.clone());
            scope.spawn(move || {
                for number in 0..500 {
                    let tell = tell.clone();
                    let mut task = Box::new(move |_: &mut mynah::Loop<'_>| {
                        let _ = tell.send((giver, number, thread::current().id()));
                    });
                    while let Err(refused) = handle.run(task) {
                        assert!(matches!(refused, Refused::Full(_)));
                        task = refused.into_inner();
                        thread::yield_now();
                    }
                }
            });
        }
    });
    drop(tell);
    let mut next = [0; 4];
    let mut threads = Vec::new();
    for (giver, number, thread) in told {
        assert_eq!(number, next[giver], "in order");
        next[giver] += 1;
        threads.push(thread);
        if next == [500; 4] {
            break;
        }
    }
    threads.dedup();
    let thread = server.thread.as_ref().expect("it runs").thread().id();
    assert_eq!(threads, [thread]);
    server.handles[0].drain();
    assert_eq!(server.ended(), (0, 0));
    assert!(matches!(
        server.handles[0].run(|_| ()),
        Err(Refused::Ended(_))
    ));
}

#[test]
fn a_timer_of_a_task_runs_and_may_end_the_server() {
    let mut server = Running::start(Server::builder(), Echo);
    let mut calls = 0;
    let tick = move |view: &mut mynah::Loop<'_>| {
        calls += 1;
        if calls == 3 {
            view.drain();
        }
    };
    let set = server.handles[0].run(move |view| {
        view.every(Duration::from_millis(2), tick)
            .expect("there is room");
    });
    set.expect("it is accepted");
    assert_eq!(server.ended(), (0, 0));
}

#[test]
fn every_loop_drains_when_one_handle_asks_for_it() {
    for asked in 0..3 {
        let mut server = Running::start(Server::builder().threads(3), Echo);
        server.handles[asked].drain();
        assert_eq!(server.ended(), (0, 0));
    }
}

#[test]
fn a_peer_that_is_owed_a_reply_at_the_drain_time_out_is_cut_and_counted() {
    let timeout = Duration::from_millis(200);
    let builder = Server::builder().drain_timeout(timeout).framing("line");
    let mut server = Running::start(builder, Store::default());
    let mut peer = server.connect();
    assert_eq!(ask(&mut peer, "SET a b"), "OK");
    // An unfinished request holds up the drain.
    peer.get_mut().write_all(b"GET ").expect("the server reads");
    let seen = channel();
    let tell = seen.0;
    let watch = move |view: &mut mynah::Loop<'_>| {
        if view.counters().bytes_in >= 12 {
            view.drain();
            let _ = tell.send(());
        }
    };
    let set = server.handles[0].run(move |view| {
        view.every(Duration::from_millis(1), watch)
            .expect("there is room");
    });
    set.expect("it is accepted");
    seen.1.recv_timeout(PATIENCE).expect("the bytes arrive");
    assert_eq!(server.ended(), (1, 1));
}

#[test]
fn a_local_address_is_shared_by_all_threads_and_its_path_is_removed() {
    let path = std::env::temp_dir().join(format!("mynah-library-{}", std::process::id()));
    let address = format!("unix:{}", path.display());
    let builder = Server::builder().threads(2).listen(&address);
    // A server that never runs removes its path, too.
    drop(builder.clone().bind(Echo).expect("it listens"));
    assert!(!path.exists());
    let server = builder.bind(Echo).expect("it listens");
    assert_eq!(server.addresses()[0].to_string(), address);
    assert_eq!(server.tcp_address(), None);
    let handle = server.handle();
    let thread = thread::spawn(|| server.run());
    for _ in 0..10 {
        let mut peer = UnixStream::connect(&path).expect("it listens");
        peer.write_all(b"hello").expect("the server reads");
        let mut reply = [0; 5];
        peer.read_exact(&mut reply).expect("the server answers");
        assert_eq!(&reply, b"hello");
    }
    handle.drain();
    thread.join().expect("no panic").expect("no error");
    assert!(!path.exists());
}

#[test]
fn an_address_that_is_taken_is_named_with_the_call_and_its_error() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let refused = Server::builder().listen(address).bind(Echo);
    let error = refused.expect_err("it is taken");
    assert_eq!(
        error.to_string(),
        format!("bind tcp://{address}: Address already in use (os error 98)")
    );
    assert!(matches!(&error, Error::Listen { call: "bind", .. }));
    assert_eq!(io::Error::from(error).kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_setting_is_accepted_up_to_its_bounds_and_refused_beyond_with_its_name() {
    let new = || Server::builder().listen("127.0.0.1:0").connections_max(100);
    for (builder, line) in [
        (new().threads(1), ""),
        (new().threads(0), "threads 0: must be 1 to 64"),
        (new().threads(THREADS_MAX), ""),
        (
            new().threads(THREADS_MAX + 1),
            "threads 65: must be 1 to 64",
        ),
        (new().connections_max(1), ""),
        (
            new().connections_max(0),
            "connections_max 0: must be 1 to 16777216",
        ),
        (
            new().connections_max(CONNECTIONS_MAX + 1),
            "connections_max 16777217: must be 1 to 16777216",
        ),
        (
            new().threads(3).connections_max(2),
            "connections_max 2: must be 3 to 16777216",
        ),
        (new().connections_per_ip_max(1), ""),
        (
            new().connections_per_ip_max(0),
            "connections_per_ip_max 0: must be 1 to 16777216",
        ),
        (
            new().memory_max(MEMORY_MIN - 1),
            "memory_max 65535: must be 65536 to 1099511627776",
        ),
        (
            new().memory_max(MEMORY_MAX + 1),
            "memory_max 1099511627777: must be 65536 to 1099511627776",
        ),
        (new().backlog(0), "backlog 0: must be 1 to 2147483647"),
        (
            new().frame_size_max(0),
            "frame_size_max 0: must be 1 to 1073741824",
        ),
        (
            new().stall_size_min(0),
            "stall_size_min 0: must be 1 to 1073741824",
        ),
        (new().idle_timeout(TIMEOUT_MIN).stall_timeout(None), ""),
        (
            new().idle_timeout(TIMEOUT_MIN - Duration::from_nanos(1)),
            "idle_timeout 999.999µs: must be 1ms to 31536000s",
        ),
        (new().frame_timeout(TIMEOUT_MAX), ""),
        (
            new().frame_timeout(TIMEOUT_MAX + Duration::from_secs(1)),
            "frame_timeout 31536001s: must be 1ms to 31536000s",
        ),
        (new().drain_timeout(Duration::ZERO), ""),
        (
            new().statistics(Duration::from_millis(99)),
            "statistics 99ms: must be 100ms to 31536000s",
        ),
        (new().listen("nowhere:port"), "listen nowhere:port: "),
        (
            new().listen("udp://127.0.0.1:0"),
            "listen udp://127.0.0.1:0: ",
        ),
        (new().framing("lines"), "framing lines: "),
        (new().framing("u32be").frame_size_max(3), "framing u32be: "),
    ] {
        match builder.clone().bind(Echo) {
            Ok(_) => assert_eq!(line, "", "{builder:?}"),
            Err(error) => {
                let said = error.to_string();
                assert!(
                    !line.is_empty() && said.starts_with(line),
                    "{said} / {line}"
                );
                assert!(matches!(error, Error::Setting(_)));
                assert_eq!(io::Error::from(error).kind(), ErrorKind::InvalidInput);
            }
        }
    }
    let little = new()
        .memory_max(MEMORY_MIN)
        .bind(Echo)
        .expect_err("too little");
    let line = little.to_string();
    assert!(
        line.starts_with("memory_max 65536: too little: 100 connections"),
        "{line}"
    );
}

/// The fields of a struct, from its pretty form.
fn fields(pretty: &str) -> HashMap<String, String> {
    let mut fields = HashMap::<String, String>::new();
    let mut name = String::new();
    for line in pretty.lines() {
        let field = line
            .strip_prefix("    ")
            .filter(|line| !line.starts_with([' ', '}', ')']));
        if let Some((front, value)) = field.and_then(|line| line.split_once(": ")) {
            name = front.to_owned();
            fields.insert(name.clone(), value.to_owned());
        } else if let (Some(value), true) = (fields.get_mut(&name), line.starts_with(' ')) {
            value.push_str(line.trim());
        }
    }
    fields
}

#[test]
fn the_defaults_are_those_of_the_program() {
    let program = fields(&format!("{:#?}", Serve::default()));
    let library = fields(&format!("{:#?}", Server::builder()));
    let mut compared = 0;
    for (name, value) in &library {
        // In the program a framing is parsed, and no number of connections means the default.
        if let (Some(other), false) = (program.get(name), name == "connections_max") {
            if name != "framing" {
                assert_eq!(value, other, "{name}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 11, "{library:?}");
    assert_eq!(library["framing"], "\"raw\",");
    assert_eq!(library["connections_max"], "10000,");
}

/// The first example in the documentation of the crate, as a reader sees it.
fn example() -> Vec<String> {
    let text = fs::read_to_string(home().join("src/lib.rs")).expect("source in UTF-8");
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let block = lines.skip_while(|line| *line != "```").skip(1);
    let block = block.take_while(|line| *line != "```");
    block
        .filter(|line| !line.starts_with("# "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_readme_shows_the_example_that_the_documentation_compiles() {
    let readme = fs::read_to_string(home().join("README.md")).expect("text in UTF-8");
    let block = readme.lines().skip_while(|line| *line != "```rust").skip(1);
    let block: Vec<&str> = block.take_while(|line| *line != "```").collect();
    assert_eq!(block, example());
}

#[test]
fn a_service_of_a_user_takes_fewer_than_forty_lines() {
    let lines = example();
    let service = lines.iter().take_while(|line| !line.starts_with("fn main"));
    let count = service.filter(|line| !line.is_empty()).count();
    assert!((10..40).contains(&count), "{count} lines");
}

#[test]
fn threads_share_connections_by_each_policy() {
    for policy in [
        AcceptPolicy::Reuseport,
        AcceptPolicy::Exclusive,
        AcceptPolicy::Handoff,
    ] {
        let builder = Server::builder().framing("line").threads(2).accept(policy);
        let mut server = Running::start(builder, Echo);
        let mut peers: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for peer in &mut peers {
            assert_eq!(ask(peer, "hello"), "hello", "{policy:?}");
        }
        let counts: Vec<u64> = server.handles.iter().map(connections).collect();
        assert_eq!(counts.iter().sum::<u64>(), 20, "{policy:?}");
        if policy == AcceptPolicy::Handoff {
            assert_eq!(counts, [10, 10]);
        }
        drop(peers);
        server.handles[1].drain();
        assert_eq!(server.ended(), (20, 0), "{policy:?}");
    }
}

/// Connections that a loop has served or serves.
fn connections(handle: &Handle) -> u64 {
    let (sender, counts) = channel();
    let count = move |on_loop: &mut Loop<'_>| {
        let _ = sender.send(on_loop.counters().connections_total);
    };
    assert!(handle.run(count).is_ok());
    counts.recv_timeout(PATIENCE).expect("it turns")
}

#[test]
fn each_rate_holds_a_server_back() {
    let rate = Rate {
        rate: 1 << 20,
        burst: 1,
    };
    let builders = [
        Server::builder().rate(rate),
        Server::builder().rate_total(rate).threads(2),
        Server::builder().rate_out(rate),
        Server::builder().rate_out_total(rate),
    ];
    for builder in builders {
        let mut server = Running::start(builder, Echo);
        let mut peer = server.connect().into_inner();
        let start = std::time::Instant::now();
        peer.write_all(&[7; 50_000]).expect("it reads");
        let mut reply = vec![0; 50_000];
        peer.read_exact(&mut reply).expect("it answers");
        // 50,000 bytes at a mebibyte a second, with a burst of one byte.
        assert!(start.elapsed() >= Duration::from_millis(40));
        drop(peer);
        server.handles[0].drain();
        assert_eq!(server.ended(), (1, 0));
    }
    let wrong = Rate { rate: 0, burst: 1 };
    let refused = Server::builder().rate_out_total(wrong).bind(Echo);
    let line = refused.expect_err("the rate is 0").to_string();
    assert!(
        line.starts_with("rate_out_total 0: must be 1 to "),
        "{line}"
    );
}

#[test]
#[ignore = "the program of the test below"]
fn program_that_takes_signals() {
    env_logger::Builder::new()
        .parse_filters("mynah::wiretap=info")
        .init();
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .signals(true)
        .wiretap(Detail::Size)
        .bind(Echo)
        .expect("a free port");
    println!("\nat {}", server.tcp_address().expect("TCP"));
    let ending = server.run();
    println!(
        "\nended {}",
        matches!(ending, Ok(Ending::Drained { cut: 0, .. }))
    );
}

#[test]
fn a_program_that_takes_signals_prints_its_counts_and_drains_and_taps() {
    // The runner of the tests has threads that do not block signals, as a program has that starts
    // them before it binds. So the signals are blocked from the start.
    let words = [
        "--exact",
        "library::program_that_takes_signals",
        "--ignored",
    ];
    let mut program = std::process::Command::new("env")
        .arg("--block-signal=TERM,INT,USR1,HUP")
        .arg(std::env::current_exe().expect("a program"))
        .args(words)
        .args(["--nocapture", "--test-threads=1"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("this program");
    let mut lines = BufReader::new(program.stdout.take().expect("a pipe")).lines();
    let mut heard = |start: &str| {
        let line = lines.find_map(|line| line.ok()?.strip_prefix(start).map(str::to_owned));
        line.unwrap_or_else(|| panic!("nothing begins with {start:?}"))
    };
    let address = heard("at ");
    let mut peer = TcpStream::connect(address).expect("it listens");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    peer.write_all(b"hello").expect("it reads");
    peer.read_exact(&mut [0; 5]).expect("it answers");
    let signal = |name: &str| assert!(crate::program::signal(program.id(), name));
    signal("USR1");
    assert!(heard("stats ").contains("connections_total=1"));
    signal("TERM");
    assert_eq!(heard("ended "), "true");
    assert_eq!(uninterrupted(|| peer.read(&mut [0; 4])).expect("an end"), 0);
    let output = program.wait_with_output().expect("a child");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let events = [
        "REGISTERED",
        "READ 5 bytes",
        "WRITE 5 bytes",
        "UNREGISTERED",
    ];
    for event in events.map(|event| format!("#1 {event}")) {
        assert!(told.contains(&event), "{event}: {told}");
    }
    assert!(output.status.success());
}
