//! HTTP servers of Python's standard library: chunked replies, and a close after each reply.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::command::{bench, file, told};
use super::wellformed::is_json;
use crate::skip::is_installed;

/// HTTP/1.1: `/chunked?SIZE` replies in chunks of SIZE, `/close` until the end of the connection;
/// `/host` only to one value of `Host`.
const SERVER: &str = r#"
import http.server, sys
class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        page = b"Hello, World" * 99
        path, _, size = self.path.partition("?")
        if path == "/host" and self.headers["Host"] != "example.org":
            return self.send_error(421)
        self.send_response(200)
        if path == "/close":
            self.send_header("Connection", "close")
            self.end_headers()
            return self.wfile.write(page)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        size = int(size or 500)
        for at in range(0, len(page), size):
            piece = page[at:at + size]
            self.wfile.write(b"%X\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Pages).serve_forever()
"#;

/// Loads `server`; returns the output and the document.
#[track_caller]
fn measure(server: &str, words: &str, code: i32) -> (String, String) {
    static DOCUMENTS: AtomicU64 = AtomicU64::new(0);
    let number = DOCUMENTS.fetch_add(1, Ordering::Relaxed);
    let path = file(&format!("pythons-{number}.json"));
    let words = words.split(' ').filter(|word| !word.is_empty());
    let load = "--protocol http --connections 3 --requests 60".split(' ');
    let json = ["--json", path.to_str().expect("a plain name")];
    let words: Vec<&str> = [server]
        .into_iter()
        .chain(load)
        .chain(words)
        .chain(json)
        .collect();
    let (found, out, err) = told(&bench(&words));
    assert_eq!(found, Some(code), "{out}{err}");
    let document = fs::read_to_string(&path).expect("it was written");
    fs::remove_file(&path).expect("it is ours");
    assert!(is_json(&document), "{document}");
    (out, document)
}

#[test]
fn pages_in_chunks_and_to_the_end_are_measured_at_their_path_and_host() {
    if !is_installed("python3") {
        return;
    }
    let script = file("pages.py");
    fs::write(&script, SERVER).expect("a folder for files that go");
    let server = format!("python3 {} {{port}}", script.display());
    for words in [
        "",
        "--path /chunked?7",
        "--path /chunked?2000 --pipeline 4",
        "--path /close",
        "--path /close --churn",
    ] {
        let (out, _) = measure(&server, words, 0);
        assert!(
            out.contains("60 answered") && out.contains("0 errors"),
            "{out}"
        );
    }
    let (out, document) = measure(&server, "--path /host --host example.org", 0);
    assert!(out.contains("GET /host HTTP/1.1 of example.org"), "{out}");
    for part in [r#""path":"/host""#, r#""host":"example.org""#] {
        assert!(document.replace(": ", ":").contains(part), "{document}");
    }
    let (out, document) = measure(&server, "--path /host", 0);
    assert!(out.contains("  status 421: 60\n"), "{out}");
    assert!(out.contains(", 60 errors"), "{out}");
    // The host of the generator alone.
    assert_eq!(document.matches("\"host\"").count(), 1, "{document}");
    fs::remove_file(&script).expect("it is ours");
}

#[test]
fn a_server_in_http_1_0_that_ends_each_connection_is_measured() {
    if !is_installed("python3") {
        return;
    }
    let folder = file("folder");
    fs::create_dir_all(&folder).expect("a folder for files that go");
    fs::write(folder.join("page"), "Hello, World").expect("it is ours");
    let place = folder.display();
    let server = format!("python3 -m http.server {{port}} --bind 127.0.0.1 --directory {place}");
    for words in ["", "--path /page", "--path /page?x --churn"] {
        let (out, _) = measure(&server, words, 0);
        assert!(
            out.contains("60 answered") && out.contains("0 errors"),
            "{out}"
        );
        assert!(out.contains(" connections had "), "{out}");
    }
    fs::remove_dir_all(&folder).expect("it is ours");
}
