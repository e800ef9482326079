//! Netty's own decoder and prepender as a client of the length-field framings.
//!
//! mynah follows Netty's rules, so Netty itself checks each row of the table of framings. Java
//! compiles `Client.java` on each run. One process talks to all servers, because the start of Java
//! takes most of the time.

use std::path::Path;
use std::process::Command;

use super::super::is_installed;
use super::super::server::Server;
use crate::skip::skip_without;

const SOURCE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/binary/others/Client.java"
);

const JARS: [&str; 6] = [
    "/usr/share/java/netty-buffer.jar",
    "/usr/share/java/netty-codec.jar",
    "/usr/share/java/netty-common.jar",
    "/usr/share/java/netty-handler.jar",
    "/usr/share/java/netty-resolver.jar",
    "/usr/share/java/netty-transport.jar",
];

/// The `--frame` value, and Netty's parameters: order, offset, size, adjustment, strip.
const ROWS: [(&str, &str); 17] = [
    ("u8", "be,0,1,0,1"),
    ("u16be", "be,0,2,0,2"),
    ("u16le", "le,0,2,0,2"),
    ("u24be", "be,0,3,0,3"),
    ("u24le", "le,0,3,0,3"),
    ("u32be", "be,0,4,0,4"),
    ("u32le", "le,0,4,0,4"),
    ("i32be", "be,0,4,0,4"),
    ("i32le", "le,0,4,0,4"),
    ("u64be", "be,0,8,0,8"),
    ("u64le", "le,0,8,0,8"),
    (
        "len:offset=0,size=2,order=be,adjust=0,strip=0",
        "be,0,2,0,0",
    ),
    (
        "len:offset=0,size=2,order=be,adjust=-2,strip=0",
        "be,0,2,-2,0",
    ),
    (
        "len:offset=2,size=3,order=be,adjust=0,strip=0",
        "be,2,3,0,0",
    ),
    (
        "len:offset=0,size=3,order=be,adjust=2,strip=0",
        "be,0,3,2,0",
    ),
    (
        "len:offset=1,size=2,order=be,adjust=1,strip=3",
        "be,1,2,1,3",
    ),
    (
        "len:offset=1,size=2,order=be,adjust=-3,strip=3",
        "be,1,2,-3,3",
    ),
];

#[test]
fn netty_speaks_every_row_of_the_length_field_family() {
    if !["java", "timeout"].into_iter().all(is_installed) {
        return;
    }
    if !JARS.iter().all(|jar| Path::new(jar).exists()) {
        return skip_without("libnetty-java");
    }
    let servers = ROWS.map(|(spec, _)| Server::start(&["--frame", spec]));
    let asked = servers.iter().zip(ROWS);
    let asked = asked.map(|(server, (_, row))| format!("{},{row}", server.address().port()));
    let asked: Vec<String> = asked.collect();
    let output = Command::new("timeout")
        .args([
            "60",
            "java",
            "-Xshare:auto",
            "-XX:TieredStopAtLevel=1",
            "-cp",
        ])
        .args([&JARS.join(":"), SOURCE])
        .args(&asked)
        .output()
        .expect("it is installed");
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), ROWS.len(), "{told}{complaint}");
    for ((line, asked), (spec, _)) in lines.iter().zip(&asked).zip(ROWS) {
        let outcome = line.strip_prefix(asked.as_str()).unwrap_or(line).trim();
        assert!(outcome.starts_with("echoed 7"), "{spec}: {line}");
    }
    for server in servers {
        server.end();
    }
}
