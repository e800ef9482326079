//! Little memory: a low limit of the address space, as `ulimit -v` sets it. A program either does
//! not start, with one line, or it does its work with what it has.
//!
//! `tests/elsewhere/kernels` plays the limits of control groups, and a kernel that promises no more
//! memory than it has.

use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use super::server::{Ended, PATIENCE, Server};
use crate::program;
use crate::skip::skip;

/// Address spaces in KiB: the smallest in which the dynamic linker has done its work (a static
/// program may start in less), and one in which each server of these tests starts.
const LEAST: u64 = 16 << 10;
const MOST: u64 = 512 << 10;
/// The difference between a limit that is too low and one that is enough.
const STEP: u64 = 256;

fn start(limit: u64, args: &[&str]) -> Result<Server, Ended> {
    let limited = format!("ulimit -v {limit}; exec \"$@\"");
    Server::try_start(&["sh", "-c", &limited, "sh"], &[], args)
}

/// The lowest limit under which the server starts. Each refusal on the way is one line. `None` if
/// even the highest is too low for this build.
fn lowest(args: &[&str]) -> Option<u64> {
    let (mut low, mut enough) = (LEAST, MOST);
    match start(enough, args) {
        Ok(server) => drop(server.end()),
        Err(ended) => {
            assert_eq!(ended.code, Some(7), "{args:?}: {:?}", ended.stderr);
            return None;
        }
    }
    while enough - low > STEP {
        let limit = low.midpoint(enough);
        match start(limit, args) {
            Ok(server) => {
                server.end();
                enough = limit;
            }
            Err(ended) => {
                assert_eq!(ended.stderr.len(), 1, "{limit}: {:?}", ended.stderr);
                let line = &ended.stderr[0];
                assert!(
                    line.starts_with("mynah: ") && line.contains("memory"),
                    "{limit}: {line}"
                );
                assert_eq!(ended.code, Some(7), "{limit}: {line}");
                low = limit;
            }
        }
    }
    Some(enough)
}

/// Peers that send more than the server may hold, then read everything back.
fn load(server: &Server) {
    let sent = vec![b'x'; 200_000];
    let peers: Vec<_> = (0..12).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        // A peer that is done leaves, because a pool serves a connection to its end.
        for mut peer in peers {
            let sent = &sent;
            scope.spawn(move || {
                let mut back = vec![0; sent.len()];
                let mut writing = peer.try_clone().expect("a descriptor");
                std::thread::scope(|scope| {
                    scope.spawn(|| writing.write_all(sent).expect("the server reads"));
                    peer.read_exact(&mut back).expect("the server answers");
                });
                assert!(back == *sent, "bytes differ");
            });
        }
    });
}

#[test]
fn the_smallest_address_space_in_which_a_server_starts_is_enough_for_its_work() {
    for words in [
        "--threads 1",
        "--threads 3",
        "--processes 2",
        "--model pool --pool-threads 2",
    ] {
        let sized = format!("echo {words} --max-memory 16m --max-connections 20");
        let args: Vec<&str> = sized.split(' ').collect();
        let Some(limit) = lowest(&args) else {
            return skip("the program takes more address space than a server has anywhere else");
        };
        let Ok(server) = start(limit, &args) else {
            // The layout of an address space is random, so the border moves a little.
            continue;
        };
        load(&server);
        let ended = server.end();
        assert_eq!(ended.code, Some(0), "{words}: {:?}", ended.stderr);
    }
}

#[test]
fn a_load_that_has_no_memory_for_its_threads_says_so_in_one_line() {
    let server = Server::start(&["echo"]);
    let address = server.address().to_string();
    let begin = Instant::now();
    let mut codes = Vec::new();
    for limit in (LEAST..64 << 10).step_by(4 << 10) {
        let limited = format!("ulimit -v {limit}; exec \"$@\"");
        let mut bench = Command::new("sh");
        bench.args([
            "-c",
            &limited,
            "sh",
            program::path(),
            "bench",
            &address,
            "--threads",
            "8",
        ]);
        bench.args([
            "-c",
            "8",
            "-d",
            "50ms",
            "--warmup",
            "0s",
            "--assert",
            "errors==0",
        ]);
        let output = bench.output().expect("a shell");
        let told = String::from_utf8_lossy(&output.stderr);
        let ours = told
            .lines()
            .filter(|line| line.starts_with("mynah: "))
            .count();
        match output.status.code() {
            Some(0) => assert_eq!(ours, 0, "{limit}: {told}"),
            Some(7) => assert!(ours == 1 && told.contains("memory"), "{limit}: {told}"),
            // Too little to load the program.
            Some(127) => continue,
            other => panic!("{limit}: {other:?}: {told}"),
        }
        codes.push(output.status.code());
        assert!(
            begin.elapsed() < PATIENCE + Duration::from_secs(10),
            "{codes:?}"
        );
    }
    assert_eq!(
        (codes.first(), codes.last()),
        (Some(&Some(7)), Some(&Some(0)))
    );
    server.end();
}
