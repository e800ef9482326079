//! Other programs as clients: openssl, curl and Python. A test is skipped without its program.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::file;
use crate::binary::{Server, is_installed};

fn start(args: &[&str]) -> Server {
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let own = ["--tls-cert", &certificate, "--tls-key", &key];
    Server::start(&[args, &own].concat())
}

/// Runs a program for at most 20 seconds, with `input` on its standard input.
fn run(words: &[&str], input: &[u8]) -> Output {
    let mut program = Command::new("timeout")
        .args(["20"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is installed");
    let mut stdin = program.stdin.take().expect("a pipe");
    stdin.write_all(input).expect("it reads");
    drop(stdin);
    program.wait_with_output().expect("it ends")
}

#[test]
fn openssl_speaks_both_versions_and_trusts_the_certificate() {
    if !is_installed("openssl") || !is_installed("timeout") {
        return;
    }
    let server = start(&["http"]);
    let (address, issuer) = (server.address().to_string(), file("issuer.pem"));
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for version in ["-tls1_2", "-tls1_3"] {
        let words = [
            "openssl",
            "s_client",
            "-quiet",
            version,
            "-alpn",
            "http/1.1",
            "-verify_return_error",
            "-connect",
            &address,
            "-CAfile",
            &issuer,
        ];
        let output = run(&words, request);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(text.ends_with("\r\n\r\nHello, World"), "{output:?}");
    }
    let words = [
        "openssl", "s_client", "-quiet", "-alpn", "h2", "-connect", &address,
    ];
    assert!(!run(&words, request).status.success(), "it speaks h2");
    server.end();
}

#[test]
fn curl_gets_a_page_over_each_version() {
    if !is_installed("curl") || !is_installed("timeout") {
        return;
    }
    let server = start(&["http"]);
    let (address, issuer) = (server.address(), file("issuer.pem"));
    let url = format!("https://localhost:{}/", address.port());
    for version in ["1.2", "1.3"] {
        let words = [
            "curl",
            "-sS",
            "--cacert",
            &issuer,
            "--tls-max",
            version,
            &url,
            &url,
        ];
        let output = run(&words, b"");
        assert_eq!(output.stdout, b"Hello, WorldHello, World", "{output:?}");
    }
    server.end();
}

#[test]
fn python_moves_megabytes_both_ways_at_once_and_ends_in_order() {
    if !is_installed("python3") || !is_installed("timeout") {
        return;
    }
    let script = r#"
import select, socket, ssl, sys
port, issuer = int(sys.argv[1]), sys.argv[2]
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context = ssl.create_default_context(cafile=issuer)
    context.minimum_version = context.maximum_version = version
    peer = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10),
                               server_hostname="localhost")
    peer.setblocking(False)
    sent, got = bytes(range(256)) * 16384, bytearray()
    rest = memoryview(sent)
    while len(got) < len(sent):
        try:
            if rest:
                rest = rest[peer.send(rest[:100000]):]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            part = peer.recv(100000)
            assert part, "it has ended"
            got += part
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            select.select([peer], [peer] if rest else [], [], 10)
    assert got == sent
    peer.settimeout(10)
    plain = peer.unwrap()
    assert plain.recv(1) == b""
print("done")
"#;
    let issuer = file("issuer.pem");
    for model in [&[][..], &["--model", "pool"]] {
        let server = start(model);
        let port = server.address().port().to_string();
        let output = run(&["python3", "-c", script, &port, &issuer], b"");
        assert_eq!(output.stdout, b"done\n", "{output:?}");
        assert_eq!(server.stats().get("closed_end_of_stream"), 2);
        server.end();
    }
}
