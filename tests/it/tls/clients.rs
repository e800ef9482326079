//! `mynah connect` and `mynah bench` over TLS, against the real server and against openssl.

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

use super::binary::scratch;
use super::file;
use crate::binary::Server;
use crate::program;

/// Runs the program with these arguments, and `input` as standard input.
fn mynah(args: &[&str]) -> Output {
    Command::new(program::path())
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("the binary was built for this test")
}

fn start(certificate: &str, key: &str, args: &[&str]) -> Server {
    let (certificate, key) = (file(certificate), file(key));
    let own = ["--tls-cert", &certificate, "--tls-key", &key];
    Server::start(&[args, &own].concat())
}

/// Expects this exit code and one line of errors with `told` in it.
fn fails(args: &[&str], code: i32, told: &str) {
    let output = mynah(args);
    let text = String::from_utf8_lossy(&output.stderr);
    let is_error = |line: &&str| line.starts_with("mynah: ");
    let lines: Vec<&str> = text.lines().filter(is_error).collect();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(
        lines.len() == 1 && lines[0].contains(told),
        "{args:?}: {text}"
    );
}

#[test]
fn connect_gets_its_reply_from_a_server_that_it_can_verify() {
    for (certificate, key, issuer) in [
        ("cert.pem", "key.pem", "issuer.pem"),
        // A certificate that has issued itself is trusted if it is given.
        ("own.pem", "own.key.pem", "own.pem"),
    ] {
        let server = start(certificate, key, &["echo", "--frame", "line"]);
        let (address, issuer) = (server.address().to_string(), file(issuer));
        let once = [
            "connect", &address, "--once", "hello", "--frame", "line", "--tls",
        ];
        for trust in [
            &["--tls-ca", &issuer][..],
            &["--tls-ca", &issuer, "--tls-name", "localhost"],
            &["--tls-insecure"],
        ] {
            let output = mynah(&[&once[..], trust].concat());
            assert_eq!(output.stdout, b"hello\n", "{output:?}");
            assert_eq!(output.status.code(), Some(0));
        }
        let stats = server.stats();
        assert_eq!(stats.get("closed_end_of_stream"), 3, "with a close_notify");
        server.end();
    }
}

#[test]
fn a_server_that_cannot_be_verified_is_exit_5_and_one_line() {
    let server = start("cert.pem", "key.pem", &["echo", "--frame", "line"]);
    let plain = Server::start(&[]);
    let (address, other) = (server.address().to_string(), plain.address().to_string());
    let (issuer, own) = (file("issuer.pem"), file("own.pem"));
    let cannot = "TLS: the certificate cannot be verified: ";
    let once = ["--once", "x", "--frame", "line"];
    let load = ["--requests", "10", "--connections", "2"];
    for (command, more) in [("connect", &once), ("bench", &load)] {
        let with = |address: &str, args: &[&str], told: &str| {
            let all = [&[command, address, "--tls"][..], args, &more[..]].concat();
            fails(&all, 5, told);
        };
        with(&address, &["--tls-ca", &own], cannot);
        let name = ["--tls-ca", &issuer, "--tls-name", "example.org"];
        with(&address, &name, "it is for another name");
        with(&other, &["--tls-insecure"], "TLS: ");
    }
    server.end();
}

#[test]
fn options_of_a_client_that_are_wrong_are_exit_1() {
    let key = file("key.pem");
    for (args, told) in [
        (&["--tls-ca", "x"][..], "--tls-ca: needs --tls"),
        (&["--tls-insecure"], "--tls-insecure: needs --tls"),
        (&["--tls-name", "x"], "--tls-name: needs --tls"),
        (&["--tls", "--tls-ca", "/nowhere"], "/nowhere: No such file"),
        (&["--tls", "--tls-ca", &key], "key.pem: has no certificate"),
        (
            &["--tls", "--tls-ca", "x", "--tls-insecure"],
            "--tls-insecure: checks nothing, so not together with --tls-ca",
        ),
        (
            &["--tls", "--tls-insecure", "--tls-name", "a b"],
            "neither a host name nor an IP address",
        ),
    ] {
        fails(
            &[&["connect", "127.0.0.1:1", "--once", "x"], args].concat(),
            1,
            told,
        );
        fails(&[&["bench", "127.0.0.1:1"], args].concat(), 1, told);
    }
    fails(&["bench", "http://localhost:1/", "--tls"], 1, "write https");
    let two = [
        "bench",
        "https://localhost:1/",
        "--vs",
        "http://localhost:2/",
    ];
    fails(&two, 1, "one URL is of http and one of https");
    let names = ["bench", "--tls", "localhost:1", "--vs", "127.0.0.1:2"];
    fails(&names, 1, "--tls-name NAME says which one both prove");
}

#[test]
fn a_stream_larger_than_all_buffers_comes_back_whole() {
    let server = start("cert.pem", "key.pem", &["echo"]);
    let (address, issuer) = (server.address().to_string(), file("issuer.pem"));
    // A file is read without a pause, so both sides are full at times: each has to read while a
    // record of its own waits for room. Three tries, because one may be lucky.
    let sent: Vec<u8> = (0..40_000_000_u32).map(|place| (place / 7) as u8).collect();
    let path = scratch("large");
    fs::write(&path, &sent).expect("a file of our own");
    for _ in 0..3 {
        let output = Command::new("timeout")
            .args(["30", program::path()])
            .args(["connect", &address, "--tls", "--tls-ca", &issuer])
            .env_remove("RUST_LOG")
            .stdin(File::open(&path).expect("it is there"))
            .output()
            .expect("it is installed");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{} bytes",
            output.stdout.len()
        );
        assert!(output.stdout == sent, "{} bytes", output.stdout.len());
    }
    fs::remove_file(path).expect("it is ours");
    server.end();
}

#[test]
fn a_client_without_input_ends_in_order_behind_its_handshake() {
    let server = start("cert.pem", "key.pem", &["echo"]);
    let (address, issuer) = (server.address().to_string(), file("issuer.pem"));
    for _ in 0..10 {
        let output = mynah(&["connect", &address, "--tls", "--tls-ca", &issuer]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert_eq!(server.stats().get("closed_end_of_stream"), 10);
    server.end();
}

#[test]
fn a_bench_over_tls_verifies_every_reply() {
    let server = start("cert.pem", "key.pem", &["echo"]);
    let (address, issuer) = (server.address().to_string(), file("issuer.pem"));
    let common = [
        "--tls-ca",
        &issuer,
        "--connections",
        "4",
        "--requests",
        "2000",
    ];
    let args = [
        "bench",
        &address,
        "--tls",
        "--size",
        "1..40k",
        "--pipeline",
        "3",
    ];
    for more in [&[][..], &["--churn", "--pipeline", "1"]] {
        let output = mynah(&[&args[..], &common, more, &["--assert", "errors==0"]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    server.end();
    let server = start("cert.pem", "key.pem", &["http"]);
    let url = format!("https://localhost:{}/", server.address().port());
    let output = mynah(&[&["bench", &url], &common[..], &["--assert", "errors==0"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    server.end();
}

#[test]
fn a_reply_of_many_records_never_comes_before_its_request_counts_as_written() {
    let server = start("cert.pem", "key.pem", &["echo"]);
    let (address, issuer) = (server.address().to_string(), file("issuer.pem"));
    // Requests that are larger than all buffers: at nearly any time a record waits for room.
    let args = ["--tls-ca", &issuer, "-c", "2", "-n", "40", "--size", "8m"];
    let args = [&["bench", &address, "--tls"], &args[..]].concat();
    let output = mynah(&[&args[..], &["--assert", "errors==0"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    server.end();
}

#[cfg(feature = "auth")]
#[test]
fn a_bench_proves_its_key_inside_tls() {
    let [key, other] = ["key", "other"].map(|name| {
        let path = format!("mynah-tls-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(path);
        std::fs::write(&path, name).expect("it is written");
        path.display().to_string()
    });
    let auth = ["--auth", "hmac-sha256", "--auth-key-file"];
    let served = [&["echo"], &auth[..], &[&key[..]]].concat();
    let server = start("cert.pem", "key.pem", &served);
    let address = server.address().to_string();
    let args = [
        "bench",
        &address,
        "--tls",
        "--tls-insecure",
        "-c",
        "4",
        "-n",
        "99",
    ];
    for more in [&[][..], &["--churn"]] {
        let all = [&args[..], &auth, &[&key], more].concat();
        let output = mynah(&[&all[..], &["--assert", "errors==0"]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let all = [&args[..], &auth, &[&other], more].concat();
        fails(&all, 9, "the server refused the key");
    }
    server.end();
    for path in [key, other] {
        std::fs::remove_file(path).expect("it is there");
    }
}
