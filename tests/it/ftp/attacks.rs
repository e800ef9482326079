//! What must not work, and what must not harm: bounces, paths, floods, full disks.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::peer::{Client, again, will_reset};
use super::{PASSWORD, Site, bytes, served, text};
use crate::binary::{Server, Stats, until};
use crate::skip::{has_descriptors, skip};

#[test]
fn data_goes_to_the_client_alone() {
    let (site, server, mut client) = served("bounce");
    fs::write(site.home("file"), "secret").expect("a file");
    for command in [
        "PORT 127,0,0,2,8,8",
        "PORT 10,0,0,1,8,8",
        "PORT 127,0,0,1,3,255",
        "PORT 127,0,0,1,0,21",
        "EPRT |1|127.0.0.2|2056|",
        "EPRT |1|127.0.0.1|1023|",
        "EPRT |2|::1|2056|",
    ] {
        client.expect(command, 504);
        client.expect("RETR file", 425);
    }
    client.expect("PORT 127,0,0,1,4,0", 200);
    client.expect("EPRT |1|127.0.0.1|1024|", 200);
    client.expect("EPRT |2|127.0.0.1|1024|", 501);
    client.expect("EPRT |1|localhost|1024|", 501);
    // A port to which nothing listens.
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    client.expect(&format!("EPRT |1|127.0.0.1|{port}|"), 200);
    client.expect("RETR file", 150);
    assert_eq!(client.reply().code, 425);
    // A connection from another address is closed, and that of the client is still taken.
    let to = client.epsv();
    let script = "import socket, sys\n\
        s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10, ('127.0.0.2', 0))\n\
        print(len(s.recv(9)))";
    if crate::binary::is_installed("python3") {
        let stranger = Command::new("python3")
            .args(["-c", script, &to.port().to_string()])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        std::thread::sleep(Duration::from_millis(300));
        client.expect("RETR file", 150);
        let ended = stranger.wait_with_output().expect("it ends");
        assert_eq!(ended.stdout, b"0\n");
    } else {
        client.expect("RETR file", 150);
    }
    let mut data = TcpStream::connect(to).expect("it listens");
    let mut got = String::new();
    again(|| data.read_to_string(&mut got)).expect("bytes");
    assert_eq!(got, "secret");
    assert_eq!(client.reply().code, 226);
    server.end();
}

#[test]
fn no_path_leaves_the_home() {
    let (site, server, mut client) = served("paths");
    fs::write(site.path.join("secret"), "secret").expect("a file");
    fs::write(site.root().join("secret"), "secret").expect("a file");
    fs::create_dir(site.home("folder")).expect("a folder");
    fs::write(site.home("folder/file"), "text").expect("a file");
    symlink("folder/file", site.home("inside")).expect("a link");
    symlink("../ann/folder", site.home("around")).expect("a link");
    symlink("folder/../folder", site.home("back")).expect("a link");
    symlink("../secret", site.home("up")).expect("a link");
    symlink(site.path.join("secret"), site.home("absolute")).expect("a link");
    symlink("/proc/self/root", site.home("proc")).expect("a link");
    symlink("/proc/self/fd/1", site.home("magic")).expect("a link");
    symlink("loop", site.home("loop")).expect("a link");
    assert_eq!(client.fetch("RETR inside"), b"text");
    assert_eq!(client.fetch("RETR back/file"), b"text");
    let mut names = client.fetch_lines("NLST");
    names.sort();
    assert_eq!(names, ["back", "folder", "inside"]);
    for path in [
        "up",
        "absolute",
        "magic",
        "loop",
        "proc/etc/passwd",
        "around/file",
        "../secret",
        "/../../secret",
        "folder/../../secret",
        "/etc/passwd",
        "proc/..//../etc/passwd",
    ] {
        for command in [
            "RETR", "SIZE", "MDTM", "HASH", "MLST", "CWD", "LIST", "APPE",
        ] {
            client.expect("EPSV", 229);
            let reply = client.say(&format!("{command} {path}"));
            let is_new = command == "APPE" && reply.code == 150;
            assert!(is_new || reply.code >= 500, "{command} {path}: {reply:?}");
            if is_new {
                client.send(b"ABOR\r\n");
                while client.reply().code != 226 {}
            }
        }
    }
    client.expect("CWD up/..", 250);
    client.expect("MKD proc/tmp/x", 550);
    client.expect("RNFR folder/file", 350);
    client.expect("RNTO proc/tmp/x", 550);
    client.expect("RNFR folder", 350);
    client.expect("RNTO folder/x", 553);
    client.expect("DELE up", 250);
    client.expect("RMD /", 550);
    for size in [250, 255, 256, 4000] {
        let name = "n".repeat(size);
        let code = client.say(&format!("MKD {name}")).code;
        assert_eq!(code, if size <= 255 { 257 } else { 553 }, "{size}");
    }
    let deep = "d/".repeat(2047);
    assert!(client.say(&format!("CWD {deep}")).code >= 550);
    assert_eq!(client.say(&format!("CWD {}", "d/".repeat(5000))).code, 500);
    assert_eq!(client.say("RETR a\0b").code, 501);
    assert_eq!(
        fs::read(site.root().join("secret")).expect("a file"),
        b"secret"
    );
    assert_eq!(
        fs::read(site.path.join("secret")).expect("a file"),
        b"secret"
    );
    server.end();
}

#[test]
fn a_link_that_is_swapped_during_transfers_leads_nowhere_else() {
    let (site, server, mut client) = served("swap");
    fs::create_dir(site.home("good")).expect("a folder");
    fs::create_dir(site.root().join("evil")).expect("a folder");
    fs::write(site.home("good/file"), "good").expect("a file");
    fs::write(site.root().join("evil/file"), "evil").expect("a file");
    symlink("good", site.home("link")).expect("a link");
    let (home, ends) = (site.root().join("ann"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = false;
            while !ends.load(Ordering::Relaxed) {
                turn = !turn;
                let target = if turn { "../evil" } else { "good" };
                symlink(target, home.join("next")).expect("a link");
                fs::rename(home.join("next"), home.join("link")).expect("it is swapped");
            }
        });
        let (mut good, until) = (0, Instant::now() + Duration::from_secs(1));
        while Instant::now() < until || good == 0 {
            let mut data = client.passive();
            match client.say("RETR link/file").code {
                150 => {
                    let mut got = String::new();
                    again(|| data.read_to_string(&mut got)).expect("bytes");
                    assert_eq!(got, "good");
                    assert_eq!(client.reply().code, 226);
                    good += 1;
                }
                code => assert_eq!(code, 550),
            }
            let code = client.put_or_refused("STOR link/new", b"x");
            assert!(matches!(code, 226 | 550), "{code}");
        }
        ends.store(true, Ordering::Relaxed);
    });
    let evil = fs::read_dir(site.root().join("evil")).expect("a folder");
    assert_eq!(evil.count(), 1);
    server.end();
}

/// The statistics once no session is open.
fn at_rest(server: &Server) -> Stats {
    loop {
        let stats = server.stats();
        if stats.get("connections_now") == 0 {
            return stats;
        }
    }
}

impl Client {
    /// Sends `bytes` with a command, which may be refused before any of them.
    fn put_or_refused(&mut self, command: &str, bytes: &[u8]) -> u16 {
        let mut data = self.passive();
        match self.say(command).code {
            150 => {
                data.write_all(bytes).expect("it reads");
                drop(data);
                self.reply().code
            }
            code => code,
        }
    }
}

#[test]
fn three_wrong_passwords_close_after_a_delay() {
    let (_site, server, mut client) = served("guesses");
    client.expect("USER ann", 331);
    client.expect("PASS a", 530);
    client.expect("USER bob", 331);
    client.expect("PASS b", 530);
    client.expect("USER ann", 331);
    let began = Instant::now();
    client.expect("PASS c", 530);
    assert!(client.has_ended());
    assert!(began.elapsed() >= Duration::from_millis(900));
    server.hears("is closed after 3 wrong passwords");
    drop(client);
    assert_eq!(at_rest(&server).get("closed_unauthorised"), 1);
    server.end();
}

#[test]
fn a_data_channel_that_stands_still_is_given_up() {
    let site = Site::new("slow", &["ann:ann:-:rwd"]);
    let server = site.start(&["--stall-timeout", "300ms", "--idle-timeout", "1s"]);
    fs::write(site.home("file"), bytes(32 << 20)).expect("a file");
    let mut client = Client::log_in(&server, "ann");
    let _unread = client.passive();
    client.expect("RETR file", 150);
    let mut other = Client::log_in(&server, "ann");
    let mut data = other.passive();
    other.expect("STOR slow", 150);
    data.write_all(b"x").expect("it reads");
    // Single bytes are as good as none.
    let mut trickle = Client::log_in(&server, "ann");
    let mut drops = trickle.passive();
    trickle.expect("STOR drops", 150);
    for _ in 0..12 {
        let _ = drops.write(b"x");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(trickle.reply().code, 426);
    drop(trickle);
    assert_eq!(client.reply().code, 426);
    assert_eq!(other.reply().code, 426);
    // Then the session is idle.
    assert_eq!(client.reply().code, 421);
    assert!(client.has_ended());
    assert_eq!(other.reply().code, 421);
    assert!(other.has_ended());
    drop((client, other));
    assert_eq!(at_rest(&server).get("closed_idle"), 2);
    server.end();
}

#[test]
fn a_flood_of_bytes_is_no_command() {
    let (_site, server, mut client) = served("flood");
    client.send(&[&[b'x'; 100_000][..], b"\r\nNOOP\r\n"].concat());
    assert_eq!(client.reply().code, 500);
    assert_eq!(client.reply().code, 200);
    client.send(b"PWD\r\nSYST\nNOOP\r\n\r\nPWD\r\n");
    for code in [257, 215, 200, 500, 257] {
        assert_eq!(client.reply().code, code);
    }
    server.end();
}

#[test]
fn a_connection_that_is_reset_in_the_queue_ends_alone() {
    let (_site, server, mut client) = served("reset");
    // While the server does not run, they wait in the queue of its listener.
    server.signal("STOP");
    until("the server stands still", || server.state() == 'T');
    for _ in 0..8 {
        let peer = TcpStream::connect(server.address()).expect("it listens");
        will_reset(&peer);
    }
    server.signal("CONT");
    let mut stats = server.stats();
    while stats.get("connections_total") < 9 || stats.get("connections_now") > 1 {
        stats = server.stats();
    }
    assert_eq!(stats.get("refused_resources"), 0);
    assert_eq!(stats.get("closed_reset"), 8);
    client.expect("NOOP", 200);
    server.end();
}

#[test]
fn a_session_that_ends_at_any_step_leaves_nothing() {
    let site = Site::new("steps", &["ann:ann:-:rwd"]);
    let server = site.start(&["--anonymous"]);
    let file = bytes(1 << 20);
    fs::write(site.root().join("anonymous/file"), &file).expect("a file");
    drop(Client::connect(&server));
    at_rest(&server);
    let before = server.descriptors();
    // Connected, named, logged in, a port, a data connection, a transfer, some bytes.
    let downloads = (0..7).map(|steps| ("anonymous", "RETR file", steps));
    let uploads = (3..7).map(|steps| ("ann", "STOR file", steps));
    for (user, command, steps) in downloads.chain(uploads) {
        for resets in [false, true] {
            let mut client = Client::connect(&server);
            let (mut data, mut port) = (None, None);
            for step in 1..=steps {
                match step {
                    1 => _ = client.expect(&format!("USER {user}"), 331),
                    2 => _ = client.expect(&format!("PASS {PASSWORD}"), 230),
                    3 => port = Some(client.epsv()),
                    4 => data = port.map(|to| TcpStream::connect(to).expect("it listens")),
                    5 => _ = client.expect(command, 150),
                    _ => {
                        let mut data = data.as_ref().expect("a data connection");
                        match user {
                            "ann" => data.write_all(&file[..1000]).expect("it reads"),
                            _ => data.read_exact(&mut [0; 1000]).expect("bytes"),
                        }
                    }
                }
            }
            if resets {
                client.will_reset();
                data.iter().for_each(will_reset);
            }
            // A data connection that ends alone would be a whole upload.
            drop(client);
        }
    }
    let stats = at_rest(&server);
    let closed = ["closed_reset", "closed_end_of_stream"].map(|name| stats.get(name));
    assert_eq!(closed.iter().sum::<u64>(), 23);
    assert_eq!(server.descriptors(), before);
    assert!(!site.home("file").exists());
    server.end();
}

#[test]
fn a_thousand_sessions_are_held_and_an_address_has_its_limit() {
    const SESSIONS: usize = 1000;
    if !has_descriptors(8 * SESSIONS as u64 + 100) {
        return;
    }
    let site = Site::new("many", &["ann:ann:-:rwd"]);
    let server = site.start(&["--max-connections-per-ip", "1000"]);
    let before = server.memory("VmRSS");
    let mut clients: Vec<Client> = (0..SESSIONS).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.expect("NOOP", 200);
    }
    let each = (server.memory("VmRSS") - before) / SESSIONS as u64;
    println!("a session takes {each} bytes");
    assert!(server.memory("VmRSS") < server.announced("bytes of memory"));
    // One more is closed at once.
    let mut late = TcpStream::connect(server.address()).expect("it listens");
    late.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a span");
    let ended = again(|| late.read(&mut [0; 99]));
    assert!(!ended.is_ok_and(|count| count > 0), "it was served");
    assert_eq!(server.stats().get("connections_now"), SESSIONS as u64);
    drop(clients);
    server.end();
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_sent_as_long_as_it_was() {
    let (site, server, mut client) = served("changes");
    let file = bytes(24 << 20);
    for (name, is_cut) in [("grows", false), ("shrinks", true)] {
        let path = site.home(name);
        fs::write(&path, &file).expect("a file");
        let mut data = client.passive();
        client.expect(&format!("RETR {name}"), 150);
        let mut got = vec![0; 1000];
        data.read_exact(&mut got).expect("bytes");
        let open = fs::File::options()
            .append(true)
            .open(&path)
            .expect("a file");
        match is_cut {
            true => open.set_len(2000).expect("it is cut"),
            false => { &open }.write_all(b"more").expect("it grows"),
        }
        again(|| data.read_to_end(&mut got)).expect("bytes");
        match is_cut {
            true => {
                assert!(got.len() < file.len());
                assert_eq!(client.reply().code, 451);
            }
            false => {
                assert_eq!(got.len(), file.len());
                assert_eq!(client.reply().code, 226);
            }
        }
    }
    server.end();
}

/// A file system of memory at the home of `ann`, unmounted at the end.
struct Mounted(String);

impl Mounted {
    fn new(site: &Site, options: &str) -> Option<Mounted> {
        let path = text(&site.home("")).to_owned();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs", &path])
            .output();
        match mounted {
            Ok(ended) if ended.status.success() => Some(Mounted(path)),
            _ => {
                skip("no file system can be mounted here");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", &self.0]).status();
    }
}

#[test]
fn a_full_disk_refuses_an_upload_and_leaves_nothing_of_it() {
    let site = Site::new("full", &["ann:ann:-:rwd"]);
    let Some(_mounted) = Mounted::new(&site, "size=256k") else {
        return;
    };
    let server = site.start(&[]);
    let mut client = Client::log_in(&server, "ann");
    assert_eq!(client.put("STOR big", &bytes(1 << 20)), 452);
    assert!(site.parts().is_empty());
    assert_eq!(client.put("STOR small", &bytes(100_000)), 226);
    server.end();
}

#[test]
fn a_read_only_home_is_read() {
    let site = Site::new("read-only", &["ann:ann:-:rwd"]);
    let Some(_mounted) = Mounted::new(&site, "size=256k,ro") else {
        return;
    };
    let server = site.start(&[]);
    let mut client = Client::log_in(&server, "ann");
    client.expect("EPSV", 229);
    let reply = client.say("STOR x");
    assert!(
        reply.code == 550 && reply.text().contains("read-only"),
        "{reply:?}"
    );
    client.expect("MKD x", 550);
    assert!(client.fetch("LIST").is_empty());
    server.end();
}
