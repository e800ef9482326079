//! Real load balancers in front: HAProxy and nginx announce their clients with the PROXY protocol.
//!
//! The configurations of the manual are played as they are, with other ports. A test is skipped,
//! with a line, if its program is not installed. A load balancer is ended with its test.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::server::{PATIENCE, Server, until};
use super::{FEW, ask, is_installed, pattern, rest, skip};
use crate::house_rules::home;
use crate::skip::skip_without;
use crate::uninterrupted::uninterrupted;

/// A load balancer that runs, in a folder of its own.
struct Balancer {
    child: Child,
    folder: PathBuf,
}

impl Balancer {
    /// Starts `program` with a configuration, and waits until it listens on `ports`.
    fn start(program: &str, configuration: &str, ports: &[u16]) -> Balancer {
        let folder = folder(ports[0]);
        let file = folder.join("configuration");
        let configuration = configuration.replace("{folder}", &folder.display().to_string());
        fs::write(&file, configuration).expect("a file");
        let args: &[&str] = match program {
            "haproxy" => &["-db", "-f"],
            _ => &["-c"],
        };
        let child = Command::new(program)
            .args(args)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("errors")).expect("a file"))
            .spawn()
            .expect("it is installed");
        let balancer = Balancer { child, folder };
        for port in ports {
            let deadline = Instant::now() + PATIENCE;
            while TcpStream::connect(("127.0.0.1", *port)).is_err() {
                assert!(Instant::now() < deadline, "{}", balancer.errors());
                thread::sleep(Duration::from_millis(5));
            }
        }
        balancer
    }

    fn errors(&self) -> String {
        let errors = fs::read_to_string(self.folder.join("errors"));
        format!("it does not listen: {}", errors.unwrap_or_default())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn folder(number: u16) -> PathBuf {
    let name = format!("mynah-{}-balancer-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A port below the range of the kernel's own choices, so that no client of another test gets it.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 12_000 + (std::process::id() % 6_000) as u16;
    loop {
        let port = begin + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn connect(port: u16) -> TcpStream {
    let peer = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    peer
}

/// A server that requires a header of this machine.
fn server(args: &[&str]) -> Server {
    let required = ["--proxy-protocol", "require", "--proxy-from", "127.0.0.1"];
    Server::start(&[args, &FEW, &required].concat())
}

/// One entry of HAProxy and one server behind it.
fn entry(number: usize, port: u16, server: &Server, options: &str, bind: &str) -> String {
    format!(
        "listen entry{number}\n    bind 127.0.0.1:{port} {bind}\n    server one {} {options}\n",
        server.address()
    )
}

const HAPROXY: &str = "global\n    maxconn 100\ndefaults\n    mode tcp\n    timeout connect 20s\n    \
                       timeout client 60s\n    timeout server 60s\n";

/// Sends a request of the service and checks its answer. The address of the client is that of the
/// connection to the load balancer.
fn converses(service: &str, port: u16) {
    let mut peer = connect(port);
    let client = peer.local_addr().expect("an address");
    let (request, answer) = match service {
        "echo" => (b"hello".to_vec(), b"hello".to_vec()),
        "upper" => (b"hello".to_vec(), b"HELLO".to_vec()),
        "discard" => (b"hello".to_vec(), Vec::new()),
        "dict" => (b"hello\n".to_vec(), "你好\n".as_bytes().to_vec()),
        "robot" => (b"exit\n".to_vec(), Vec::new()),
        "run" => {
            let answer = format!("{client} execute done, result is : \nhi\n\n");
            (b"echo hi\n".to_vec(), answer.into_bytes())
        }
        "http" => (b"GET / HTTP/1.0\r\n\r\n".to_vec(), Vec::new()),
        _ => unreachable!("{service}"),
    };
    peer.write_all(&request).expect("it reads");
    if answer.is_empty() {
        // The service ends the conversation, or has nothing to say.
        if service == "discard" {
            peer.shutdown(Shutdown::Write).expect("it is open");
        }
        let said = rest(&mut peer);
        match service {
            "robot" => assert_eq!(said.len(), 51, "{service}"),
            "http" => assert!(said.ends_with(b"Hello, World"), "{service}"),
            _ => assert_eq!(said, b"", "{service}"),
        }
        return;
    }
    let mut said = vec![0; answer.len()];
    peer.read_exact(&mut said).expect("it answers");
    assert_eq!(said, answer, "{service}");
}

/// A server of each service.
fn servers(folder: &Path) -> Vec<(&'static str, Server)> {
    let words = folder.join("words");
    fs::write(&words, "hello: 你好\n").expect("a file");
    let words = words.display().to_string();
    let services = ["echo", "upper", "discard", "dict", "robot", "run", "http"];
    let start = |service| {
        let args: &[&str] = match service {
            "dict" => &["dict", "--dictionary", &words],
            "run" => &["run", "--allow", "echo hi"],
            _ => &[service],
        };
        (service, server(args))
    };
    services.map(start).into()
}

#[test]
fn haproxy_announces_its_clients_to_every_service_in_both_versions() {
    if !is_installed("haproxy") {
        return;
    }
    let port = free_port();
    let services = servers(&folder(port));
    for version in ["send-proxy", "send-proxy-v2"] {
        let ports: Vec<u16> = services.iter().map(|_| free_port()).collect();
        let entries = (services.iter().zip(&ports).enumerate())
            .map(|(number, ((_, server), port))| entry(number, *port, server, version, ""));
        let configuration = HAPROXY.to_owned() + &entries.collect::<String>();
        let balancer = Balancer::start("haproxy", &configuration, &ports);
        for ((service, _), port) in services.iter().zip(&ports) {
            converses(service, *port);
        }
        drop(balancer);
    }
    drop(services);
    let _ = fs::remove_dir_all(folder(port));
}

/// A folder with a key and its certificate for `localhost`: `cert`, `key`, and both in `pem`.
fn make_certificate(folder: &Path) {
    let file = |name: &str| folder.join(name).display().to_string();
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=localhost", "-keyout", &file("key")])
        .args(["-out", &file("cert")])
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("it is installed").success());
    let both = ["cert", "key"].map(|name| fs::read(file(name)).expect("it was made"));
    fs::write(file("pem"), both.concat()).expect("a file");
}

/// Asks for a page over TLS; the body, empty if there was no answer.
fn curl(folder: &Path, port: u16) -> Vec<u8> {
    let said = Command::new("curl")
        .args(["-s", "--max-time", "20", "--noproxy", "*", "--cacert"])
        .arg(folder.join("cert"))
        .arg(format!("https://localhost:{port}/"))
        .output();
    said.expect("it is installed").stdout
}

#[test]
fn haproxy_ends_tls_and_adds_a_checksum_and_more() {
    if !is_installed("haproxy") || !is_installed("openssl") || !is_installed("curl") {
        return;
    }
    let folder = folder(free_port());
    let file = |name: &str| folder.join(name).display().to_string();
    make_certificate(&folder);
    let server = server(&["http"]);
    let port = free_port();
    let options = "send-proxy-v2 proxy-v2-options crc32c,ssl,cert-cn,unique-id,authority";
    let entry = entry(
        0,
        port,
        &server,
        options,
        &format!("ssl crt {}", file("pem")),
    );
    let balancer = Balancer::start("haproxy", &(HAPROXY.to_owned() + &entry), &[port]);
    assert_eq!(curl(&folder, port), b"Hello, World");
    drop(balancer);
    server.end();
    let _ = fs::remove_dir_all(folder);
}

/// The block of a chapter that is marked `kind`.
fn block(chapter: &str, kind: &str) -> String {
    let text = fs::read_to_string(home().join("src/cli/manual").join(chapter)).expect("a chapter");
    let (_, behind) = text.split_once(&format!("```{kind}\n")).expect("a block");
    behind.split("```").next().expect("its end").to_owned()
}

/// Plays a configuration of the manual, whose servers are at ports 7008 and 7009.
fn plays(program: &str, configuration: &str) {
    let servers = [server(&[]), server(&[])];
    let port = free_port();
    let mut configuration = configuration.replace(":7007", &format!(":{port}"));
    for (named, server) in [":7008", ":7009"].into_iter().zip(&servers) {
        let real = format!(":{}", server.address().port());
        configuration = configuration.replace(named, &real);
    }
    let balancer = Balancer::start(program, &configuration, &[port]);
    let bytes = pattern(10_000);
    let mut peers: Vec<TcpStream> = (0..8).map(|_| connect(port)).collect();
    for peer in &mut peers {
        assert_eq!(ask(peer, &bytes), bytes);
    }
    // Each connection of the load balancer holds one of a client, on both servers. Half of them
    // would be four, but the balancer may still count the connection that waited for its start.
    for server in &servers {
        assert!(server.stats().get("connections_now") >= 3);
    }
    let [first, second] = servers;
    drop(peers);
    // A server that drains loses no client, and the other one takes all that come later.
    first.end();
    let mut peer = connect(port);
    let mut reply = vec![0; bytes.len()];
    let asked = peer
        .write_all(&bytes)
        .and_then(|()| peer.read_exact(&mut reply));
    if asked.is_ok() {
        assert_eq!(reply, bytes);
    }
    until("the other server answers", || {
        let mut peer = connect(port);
        peer.write_all(b"x").is_ok() && peer.read_exact(&mut [0; 1]).is_ok()
    });
    drop(balancer);
    second.end();
}

#[test]
fn the_configuration_of_haproxy_in_the_manual_works() {
    if is_installed("haproxy") {
        plays("haproxy", &block("scaling.md", "haproxy"));
    }
}

#[test]
fn no_client_is_refused_while_one_of_two_servers_behind_haproxy_drains() {
    let needed = ["haproxy", "openssl", "curl"];
    if !needed.into_iter().all(is_installed) {
        return;
    }
    let folder = folder(free_port());
    make_certificate(&folder);
    let pem = folder.join("pem").display().to_string();
    let port = free_port();
    let mut configuration = block("haproxy.md", "haproxy")
        .replace("maxconn 9000", "maxconn 100")
        .replace("/etc/haproxy/mynah.pem", &pem)
        .replace("127.0.0.1:7007", &format!("127.0.0.1:{port}"));
    let servers = [("7008", "9108"), ("7009", "9109")].map(|(service, metrics)| {
        let server = server(&["http", "--metrics", "127.0.0.1:0"]);
        let (_, pages) = server.ready.rsplit_once(':').expect("a port");
        configuration = configuration
            .replace(service, &server.address().port().to_string())
            .replace(metrics, pages.trim());
        server
    });
    let balancer = Balancer::start("haproxy", &configuration, &[port]);
    let [first, second] = servers;
    let mut asked = 0;
    let mut ask = |server: &Server| {
        assert_eq!(curl(&folder, port), b"Hello, World", "{asked}");
        asked += 1;
        server.stats().get("connections_total")
    };
    until("both have clients", || ask(&first) > 0 && ask(&second) > 0);
    first.signal("TERM");
    let before = second.stats().get("connections_total");
    for _ in 0..20 {
        ask(&second);
    }
    assert!(second.stats().get("connections_total") >= before + 19);
    assert_eq!(first.ended().code, Some(0));
    drop(balancer);
    // A health check has a port of its own and needs no header.
    assert_eq!(second.stats().get("closed_proxy"), 0);
    second.end();
    let _ = fs::remove_dir_all(folder);
}

/// What nginx needs in front of a block `stream`; `None` without its module.
fn nginx_with_streams() -> Option<String> {
    if !is_installed("nginx") {
        return None;
    }
    let built = Command::new("nginx")
        .arg("-V")
        .output()
        .expect("it is installed");
    let built = String::from_utf8_lossy(&built.stderr).into_owned();
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    let load = match module.exists() {
        true => format!("load_module {};\n", module.display()),
        false if built.split_whitespace().any(|word| word == "--with-stream") => String::new(),
        false => {
            skip_without("libnginx-mod-stream");
            return None;
        }
    };
    Some(format!(
        "{load}daemon off;\nmaster_process off;\npid {{folder}}/pid;\nerror_log {{folder}}/errors;\n\
         events {{ worker_connections 100; }}\n"
    ))
}

#[test]
fn the_configuration_of_nginx_in_the_manual_works() {
    if let Some(front) = nginx_with_streams() {
        plays("nginx", &(front + &block("scaling.md", "nginx")));
    }
}

#[test]
fn nginx_announces_its_clients_to_every_service() {
    let Some(front) = nginx_with_streams() else {
        return;
    };
    let port = free_port();
    let services = servers(&folder(port));
    let ports: Vec<u16> = services.iter().map(|_| free_port()).collect();
    let entries = services.iter().zip(&ports).map(|((_, server), port)| {
        let address = server.address();
        format!("server {{ listen 127.0.0.1:{port}; proxy_pass {address}; proxy_protocol on; }}\n")
    });
    let configuration = format!("{front}stream {{\n{}}}\n", entries.collect::<String>());
    let balancer = Balancer::start("nginx", &configuration, &ports);
    for ((service, _), port) in services.iter().zip(&ports) {
        converses(service, *port);
    }
    drop(balancer);
    drop(services);
    let _ = fs::remove_dir_all(folder(port));
}

#[test]
fn clients_of_one_address_are_limited_behind_haproxy() {
    if !is_installed("haproxy") {
        return;
    }
    if TcpListener::bind("127.0.0.2:0").is_err() {
        return skip("127.0.0.2 is not an address of this machine");
    }
    let server = server(&["--max-connections-per-ip", "2"]);
    let port = free_port();
    let entry = entry(0, port, &server, "send-proxy-v2", "");
    let balancer = Balancer::start("haproxy", &(HAPROXY.to_owned() + &entry), &[port]);
    until("the first look has left", || {
        server.stats().get("connections_now") == 0
    });
    let mut peers = [connect(port), connect(port)];
    for peer in &mut peers {
        assert_eq!(ask(peer, b"x"), b"x");
    }
    let mut third = connect(port);
    let _ = third.write_all(b"x");
    assert!(!matches!(uninterrupted(|| third.read(&mut [0; 1])), Ok(1)));
    assert_eq!(server.stats().get("refused_per_ip"), 1);
    drop(balancer);
    server.end();
}
