//! A trace as a page: what is in the file, and what a browser makes of it.

use std::io::Write;
use std::process::{Command, Stdio};

use super::super::server::{Server, until};
use super::super::{is_installed, stuff};
use super::{Folder, converse, read};

/// The largest page without its data.
const SOURCE_MAX: usize = 20 << 10;

/// A trace with whole requests, a part of a frame, a reset, and a slow reader.
fn page(folder: &Folder) -> String {
    let file = folder.file("t.html");
    let server = Server::start(&["--trace", &file]);
    (0..2).for_each(|_| converse(&server));
    let mut slow = server.connect();
    slow.set_nonblocking(true).expect("a socket");
    assert!(stuff(&server, &mut slow) > 0);
    // A close with unread bytes is a reset.
    drop(slow);
    until("all are gone", || {
        server.stats().get("connections_now") == 0
    });
    server.end();
    read(&file)
}

#[test]
fn the_page_has_a_lane_for_each_connection_and_loads_nothing() {
    let folder = Folder::new("page");
    let page = page(&folder);
    assert_eq!(page.matches("class=\"lane\"").count(), 3);
    assert_eq!(page.matches("class=\"loop\"").count(), 1);
    for loads in [
        " src=", "href=", "url(", "@import", "http:", "https:", "import(",
    ] {
        assert!(!page.contains(loads), "{loads}");
    }
    let data = page.find("id=\"d\">").expect("data");
    let end = data + page[data..].find("</script>").expect("an end");
    let source = page.len() - (end - data);
    assert!(source <= SOURCE_MAX, "{source} bytes");
    for words in [
        "\tsend(",
        " = EAGAIN\t",
        "\topen\twritable\t",
        "\tclosed\t\treset\n",
    ] {
        assert!(page[data..end].contains(words), "{words}");
    }
}

#[test]
fn what_peers_send_is_data_and_no_markup() {
    let folder = Folder::new("markup");
    let file = folder.file("t.html");
    let server = Server::start(&["--trace", &file]);
    let mut peer = server.connect();
    for text in ["</script>@@DATA@", "<!--\t\n&lt;"] {
        let reply = super::super::ask(&mut peer, text.as_bytes());
        assert_eq!(reply, text.as_bytes());
    }
    drop(peer);
    server.end();
    let page = read(&file);
    assert!(page.contains("\t\"&lt;/script>@@DATA@\"\n"));
    assert!(page.contains("\t\"&lt;!--\\t\\n&amp;lt;\"\n"));
    assert_eq!(page.matches("</script>").count(), 2);
}

/// Opens a page in Chromium. Returns its elements after its script has run, and the errors.
fn open(file: &str, folder: &Folder) -> (String, Vec<String>) {
    let profile = format!("--user-data-dir={}", folder.file("profile"));
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args(["--enable-logging=stderr", "--v=0", "--dump-dom", &profile])
        .arg(format!("file://{file}"))
        .stdin(Stdio::null())
        .output()
        .expect("chromium starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let errors = text(&output.stderr);
    let errors = errors.lines().filter(|line| line.contains("CONSOLE"));
    (text(&output.stdout), errors.map(str::to_owned).collect())
}

#[test]
fn a_browser_shows_the_counters_without_an_error() {
    if !is_installed("chromium") {
        return;
    }
    let folder = Folder::new("browser");
    let page = page(&folder);
    let reads = page.matches("\trecv(").count();
    let (elements, errors) = open(&folder.file("t.html"), &folder);
    assert_eq!(errors, Vec::<String>::new());
    let row = format!("<td>recv</td><td>{reads}</td>");
    assert!(elements.contains(&row), "{row}");
    assert!(elements.contains("waits: writable"));
    // The check would see an error.
    let broken = folder.file("broken.html");
    std::fs::write(&broken, "<script>nothing.is.here</script>").expect("our folder");
    assert!(!open(&broken, &folder).1.is_empty());
}

#[test]
fn a_page_of_many_records_is_small_for_each() {
    let folder = Folder::new("many");
    let file = folder.file("t.html");
    let server = Server::start(&["--trace", &file]);
    let mut peer = server.connect();
    for _ in 0..2_000 {
        peer.write_all(&[b'x'; 64]).expect("it is read");
        let mut reply = [0; 64];
        std::io::Read::read_exact(&mut peer, &mut reply).expect("it is answered");
    }
    drop(peer);
    server.end();
    let page = read(&file);
    let records = page.matches("\trecv(").count() * 3;
    assert!(records >= 6_000);
    assert!(
        (page.len() - SOURCE_MAX) / records < 120,
        "{} bytes",
        page.len()
    );
}
