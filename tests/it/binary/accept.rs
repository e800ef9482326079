//! Accept policies (row V5): how the workers of one server share its connections.
//!
//! Each policy is tested on TCP and, where it differs, on a local socket: every worker gets
//! connections, limits hold, pauses end, and a drain under load loses no connection. The line of
//! statistics tells the connections of each worker. Man pages: socket(7), epoll_ctl(2).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::injected::may_trace;
use super::memory::{connect, local};
use super::server::{Server, until};
use super::workers::gone;
use super::{FEW, ask};
use crate::program;
use crate::uninterrupted::uninterrupted;

/// The policies that spread connections over workers.
const POLICIES: [&str; 3] = ["reuseport", "exclusive", "handoff"];

/// Connections by which a test sees that every worker gets some.
const MANY: usize = 60;

/// A peer of either kind.
pub(super) trait Peer: Read + Write {}
impl Peer for TcpStream {}
impl Peer for UnixStream {}

/// A server with two workers and this policy.
fn two_workers(policy: &str, args: &[&str]) -> Server {
    let usual = ["--threads", "2", "--accept", policy];
    Server::start(&[&usual, args].concat())
}

fn by_worker(server: &Server) -> Vec<u64> {
    server.stats().list("connections_by_worker").to_vec()
}

#[test]
fn v5_connections_by_worker_are_counted_with_several_workers_only() {
    for policy in POLICIES {
        let server = two_workers(policy, &FEW);
        let mut peers: Vec<TcpStream> = (0..MANY).map(|_| server.connect()).collect();
        peers.iter_mut().for_each(|peer| {
            ask(peer, b"x");
        });
        let counts = by_worker(&server);
        assert_eq!(counts.len(), 2, "{policy}");
        assert_eq!(counts.iter().sum::<u64>(), MANY as u64, "{policy}");
        server.end();
    }
    let server = Server::start(&FEW);
    assert!(!server.stats().has("connections_by_worker"));
    server.end();
}

#[test]
fn v5_connections_by_worker_are_an_array_in_json() {
    let server = two_workers("exclusive", &["--stats-format", "json"]);
    let mut peer = server.connect();
    ask(&mut peer, b"x");
    server.signal("USR1");
    let line = server.next_line();
    let listed = ["[1,0]", "[0,1]"].map(|list| format!(",\"connections_by_worker\":{list},"));
    assert!(listed.iter().any(|list| line.contains(list)), "{line}");
    server.end();
}

#[test]
fn v5_each_worker_has_a_listener_under_reuseport_only() {
    for (policy, listeners) in [("exclusive", 1), ("reuseport", 2), ("handoff", 1)] {
        let server = two_workers(policy, &FEW);
        assert_eq!(sockets_that_listen(server.address()), listeners, "{policy}");
        server.end();
    }
}

/// How many sockets listen at `address`, from `net/tcp` in proc(5).
fn sockets_that_listen(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("proc(5)");
    let port = format!(":{:04X}", address.port());
    let listens = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // The state 0A is TCP_LISTEN.
        words[1].ends_with(&port) && words[3] == "0A"
    };
    table.lines().filter(listens).count()
}

#[test]
fn v5_exclusive_connections_that_come_one_by_one_reach_every_worker() {
    let server = two_workers("exclusive", &FEW);
    let (unix, name) = local("one-by-one", &["--threads", "2"]);
    for round in 1..=3 {
        for _ in 0..MANY {
            // Both workers sleep when it comes.
            ask(&mut server.connect(), b"x");
            ask(&mut connect(&name), b"x");
        }
        for server in [&server, &unix] {
            gone(server);
            let counts = by_worker(server);
            assert_eq!(counts.iter().sum::<u64>(), round * MANY as u64);
            // A worker may miss its turn while the machine gives it no time.
            let least = round * MANY as u64 / 10;
            assert!(counts.iter().all(|count| *count > least), "{counts:?}");
        }
    }
    server.end();
    unix.end();
}

#[test]
fn v5_connections_that_are_handed_over_differ_by_at_most_one() {
    let (unix, name) = local("in-turn", &["--threads", "3", "--accept", "handoff"]);
    let tcp = Server::start(&["--threads", "3", "--accept", "handoff"]);
    let mut kept = Vec::new();
    let mut kept_local = Vec::new();
    for count in 1..=40_u64 {
        // Some stay and some leave: only the turn decides.
        let (mut peer, mut other) = (tcp.connect(), connect(&name));
        assert_eq!(ask(&mut peer, b"x"), b"x");
        assert_eq!(ask(&mut other, b"x"), b"x");
        if count % 3 > 0 {
            kept.push(peer);
            kept_local.push(other);
        }
        for server in [&tcp, &unix] {
            let counts = by_worker(server);
            let (least, most) = (counts.iter().min(), counts.iter().max());
            assert!(most <= least.map(|least| least + 1).as_ref(), "{counts:?}");
            assert_eq!(counts.iter().sum::<u64>(), count);
        }
    }
    drop((kept, kept_local));
    tcp.end();
    unix.end();
}

#[test]
fn v5_a_full_worker_is_skipped_and_no_slot_stays_empty() {
    // The first worker has the odd slot.
    let server = two_workers("handoff", &["--max-connections", "5"]);
    let mut inside: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
    for peer in &mut inside {
        assert_eq!(ask(peer, b"x"), b"x");
    }
    assert_eq!(by_worker(&server), [3, 2]);
    let mut outside: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
    for (round, peer) in outside.iter_mut().enumerate() {
        peer.write_all(b"y").expect("the backlog takes it");
        // Whichever worker has room again takes the next one.
        drop(inside.remove((round * 7) % inside.len()));
        let mut reply = [0];
        peer.read_exact(&mut reply).expect("it is let in");
    }
    assert_eq!(server.stats().get("connections_total"), 10);
    drop((inside, outside));
    gone(&server);
    server.end();
}

#[test]
fn v5_a_local_listener_of_several_workers_is_exclusive_of_its_own_accord() {
    let path = std::env::temp_dir().join(format!("mynah-{}-own", std::process::id()));
    let address = format!("unix:{}", path.display());
    for policy in POLICIES {
        let server = two_workers(policy, &["--listen", &address, "--listen", "127.0.0.1:0"]);
        let mut peers: Vec<Box<dyn Peer>> = Vec::new();
        let tcp = server.addresses()[1].strip_prefix("tcp://").expect("TCP");
        for _ in 0..MANY {
            peers.push(Box::new(UnixStream::connect(&path).expect("it listens")));
            peers.push(Box::new(TcpStream::connect(tcp).expect("it listens")));
        }
        peers.iter_mut().for_each(|mut peer| {
            ask(&mut peer, b"x");
        });
        let counts = by_worker(&server);
        assert_eq!(counts.iter().sum::<u64>(), 2 * MANY as u64, "{policy}");
        drop(peers);
        server.end();
        assert!(!path.exists(), "{policy}: the socket file is removed");
    }
}

#[test]
fn v5_slots_are_shared_out_and_each_pause_ends_under_every_policy() {
    for policy in POLICIES {
        for (server, name) in [
            (
                two_workers(policy, &["--max-connections", "4"]),
                String::new(),
            ),
            local(
                &format!("slots-{policy}"),
                &[
                    "--threads",
                    "2",
                    "--accept",
                    policy,
                    "--max-connections",
                    "4",
                ],
            ),
        ] {
            for round in 1..=3_u64 {
                let mut peers: Vec<Box<dyn Peer>> = (0..20)
                    .map(|_| match name.is_empty() {
                        true => Box::new(server.connect()) as Box<dyn Peer>,
                        false => Box::new(connect(&name)),
                    })
                    .collect();
                for peer in &mut peers {
                    peer.write_all(b"x").expect("the backlog takes it");
                }
                until("every slot is taken", || {
                    server.stats().get("connections_now") == 4
                });
                drop(peers);
                until("all have been inside", || {
                    let stats = server.stats();
                    stats.get("connections_total") == 20 * round
                        && stats.get("connections_now") == 0
                });
            }
            server.end();
        }
    }
}

#[test]
fn v5_a_process_that_drains_alone_leaves_the_shared_listener_to_the_others() {
    for policy in POLICIES {
        let args = ["--processes", "2", "--accept", policy, FEW[0], FEW[1]];
        let server = Server::start(&args);
        let children = format!("/proc/{0}/task/{0}/children", server.pid());
        let read = || std::fs::read_to_string(&children).expect("proc(5)");
        let before = read();
        let worker = before.split_whitespace().next().expect("a worker");
        assert!(program::shell(&format!("kill -s TERM {worker}")));
        // What this worker accepts before it sees the signal is idle, and closed. What it did to
        // the listener stays.
        until("another one takes its place", || !read().contains(worker));
        let is_slow = |_: &usize| {
            let begin = Instant::now();
            ask(&mut server.connect(), b"x");
            begin.elapsed() > Duration::from_millis(900)
        };
        // A listener that ignores handshakes would make about half of them wait for a second. A
        // machine that stands still delays a few.
        let slow = (0..MANY).filter(is_slow).count();
        assert!(slow < MANY / 6, "{policy}: {slow} of {MANY}");
        server.end();
    }
}

#[test]
fn v5_pinned_workers_run_on_the_processors_that_the_log_names() {
    let server = Server::start(&["--threads", "2", "--pin"]);
    let mut lines = [
        server.hears("runs on processor"),
        server.hears("runs on processor"),
    ];
    lines.sort();
    let tasks = format!("/proc/{}/task", server.pid());
    for (worker, line) in lines.iter().enumerate() {
        let front = format!("worker {worker} runs on processor ");
        let (_, processor) = line
            .split_once(&front)
            .expect("the worker and its processor");
        let name = match worker {
            0 => "mynah".to_owned(),
            _ => format!("worker-{worker}"),
        };
        let is_pinned = std::fs::read_dir(&tasks).expect("proc(5)").any(|task| {
            let task = task.expect("a thread").path();
            let read = |file| std::fs::read_to_string(task.join(file)).unwrap_or_default();
            let allowed = format!("Cpus_allowed_list:\t{processor}\n");
            read("comm").trim() == name && read("status").contains(&allowed)
        });
        assert!(is_pinned, "{line}");
    }
    server.end();
}
/// One of the clients of a drain under load: connects, asks, reads the reply to its end, again and
/// again, until it is refused. Returns how many conversations were whole, and what went wrong with
/// connections that were there before `ending` was set.
fn churn<P: Peer>(
    connect: impl Fn() -> std::io::Result<P>,
    ending: &AtomicBool,
) -> (u64, Vec<String>) {
    let (mut whole, mut wrong) = (0, Vec::new());
    loop {
        let mut peer = match connect() {
            Ok(peer) => peer,
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound => return (whole, wrong),
                // The kernel has refused it while the handshake was under way.
                ErrorKind::ConnectionReset => return (whole, wrong),
                _ => {
                    wrong.push(format!("connect: {error}"));
                    return (whole, wrong);
                }
            },
        };
        // The kernel has said that it is connected, and no signal was sent before that.
        let is_promised = !ending.load(Ordering::SeqCst);
        let mut reply = [0; 5];
        match peer
            .write_all(b"hello")
            .and_then(|()| peer.read_exact(&mut reply))
        {
            Ok(()) => whole += 1,
            // A clean end before the request: nothing was read and nothing is owed.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                assert_eq!(
                    uninterrupted(|| peer.read(&mut reply)).map_err(|error| error.kind()),
                    Ok(0)
                );
            }
            Err(error) if is_promised => wrong.push(format!("after {whole}: {error}")),
            // Its handshake was under way while the listener closed.
            Err(_) => {}
        }
    }
}

/// Ends the server while eight clients come and go.
pub(super) fn drained_under_load<P: Peer>(
    server: Server,
    connect: impl Fn() -> std::io::Result<P> + Sync,
) {
    let ending = AtomicBool::new(false);
    let results: Vec<(u64, Vec<String>)> = std::thread::scope(|scope| {
        let client = |_| scope.spawn(|| churn(&connect, &ending));
        let clients: Vec<_> = (0..8).map(client).collect();
        until("the load is under way", || {
            let stats = server.stats();
            let counts = stats.list("connections_by_worker");
            counts.iter().all(|count| *count > 50)
        });
        ending.store(true, Ordering::SeqCst);
        let ended = server.end();
        assert!(
            ended.stderr.concat().contains("drained"),
            "{:?}",
            ended.stderr
        );
        clients
            .into_iter()
            .map(|client| client.join().expect("a client"))
            .collect()
    });
    let wrong: Vec<&String> = results.iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(results.iter().any(|(whole, _)| *whole > 0));
}

#[test]
fn v5_a_worker_whose_loop_fails_loses_no_connection_of_its_queue() {
    if !may_trace() {
        return;
    }
    let server = two_workers("reuseport", &FEW);
    until("it serves", || server.stats().get("connections_now") == 0);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("proc(5)");
    let tasks = tasks.filter_map(|task| task.ok()?.file_name().into_string().ok());
    let fails = tasks.filter(|task| *task != server.pid().to_string()).max();
    // A stopped server has connections in both queues, with a request each.
    server.signal("STOP");
    // A thread that has not stopped yet takes the first connections out of its queue.
    until("its threads are stopped", || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("proc(5)");
        let mut status =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
        status.all(|status| status.contains("\nState:\tT "))
    });
    let mut peers: Vec<TcpStream> = (0..MANY).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.write_all(b"queued").expect("the kernel takes it");
    }
    let error = "inject=epoll_wait,epoll_pwait:error=EBADF";
    let mut tracer = std::process::Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-e", error])
        .args(["-p", &fails.expect("two threads")])
        .spawn()
        .expect("it is installed");
    until("it is traced", || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("proc(5)");
        let status = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.ok()?.path().join("status")).ok()
        };
        let is_traced = |status: String| {
            let mut lines = status.lines();
            lines.any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        };
        tasks.filter_map(status).any(is_traced)
    });
    server.signal("CONT");
    for (number, peer) in peers.iter_mut().enumerate() {
        let mut reply = [0; 6];
        let answered = peer.read_exact(&mut reply);
        assert!(answered.is_ok(), "connection {number}: {answered:?}");
        assert_eq!(&reply, b"queued");
    }
    drop(peers);
    let ended = server.ended();
    tracer.wait().expect("a child");
    let told = ended
        .stderr
        .iter()
        .any(|line| line.starts_with("ERROR worker 1: "));
    assert!(told, "{:?}", ended.stderr);
    assert_eq!(ended.code, Some(7));
}

#[test]
fn v5_a_drain_under_load_loses_no_connection_under_any_policy() {
    for policy in POLICIES {
        for round in 0..5 {
            println!("{policy}, round {round}");
            let server = two_workers(policy, &[]);
            let there = server.address();
            drained_under_load(server, || TcpStream::connect(there));
            let name = format!("load-{policy}");
            let (server, name) = local(&name, &["--threads", "2", "--accept", policy]);
            let there = super::addresses::abstract_name(&name);
            drained_under_load(server, || UnixStream::connect_addr(&there));
        }
    }
}
