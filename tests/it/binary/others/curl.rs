//! curl as a client of the service `http`: HTTP/1.1 and HTTP/1.0.
//!
//! Checks connection reuse, status codes and request bodies.

use std::process::Command;

use super::super::is_installed;
use super::super::server::Server;

/// The output of curl with `words`, followed by the server's URL `urls` times.
fn curl(server: &Server, words: &[&str], urls: usize) -> String {
    let url = format!("http://{}/", server.address());
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "10"])
        .args(words)
        .args(vec![url; urls])
        .output()
        .expect("it is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {words:?}: {complaint}");
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn curl_gets_its_page_over_one_connection() {
    if !is_installed("curl") {
        return;
    }
    let server = Server::start(&["http"]);
    assert_eq!(curl(&server, &[], 1), "Hello, World");
    let each = "%{http_code} %{http_version} %{size_download} %{num_connects}\n";
    let told = curl(&server, &["--output", "/dev/null", "--write-out", each], 1);
    assert_eq!(told, "200 1.1 12 1\n");
    // Requests 2 and 3 reuse the connection.
    let words = ["--write-out", " %{num_connects}\n"];
    let told = curl(&server, &words, 3);
    assert_eq!(told, "Hello, World 1\nHello, World 0\nHello, World 0\n");
    server.end();
}

#[test]
fn curl_is_told_by_its_status_what_was_wrong_and_may_send_bodies() {
    if !is_installed("curl") {
        return;
    }
    let server = Server::start(&["http"]);
    let long = format!("X-Long: {}", "x".repeat(40_000));
    for (words, status) in [
        (&["--head"][..], "200"),
        (&["--http1.0"], "200"),
        (&["--header", "Connection: close"], "200"),
        (&["--request", "GET", "--data", "a body"], "200"),
        (
            &[
                "--request",
                "GET",
                "--header",
                "Transfer-Encoding: chunked",
                "--data",
                "in chunks",
            ],
            "200",
        ),
        (&["--request", "DELETE"], "405"),
        (&["--header", &long], "431"),
    ] {
        let mut all = vec!["--output", "/dev/null", "--write-out", "%{http_code}"];
        all.extend(words);
        assert_eq!(curl(&server, &all, 1), status, "{words:?}");
    }
    let head = curl(&server, &["--head"], 1);
    assert!(
        head.contains("\r\nContent-Length: 12\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    server.end();
}
