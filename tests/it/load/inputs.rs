//! The files of `--body`, `--message` and `--urls` at their bound, one byte below and one above.
//!
//! The files have holes, so they take no room on the disk. The servers count what arrives.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use mynah::limits::LOAD_INPUT_MAX;

use super::command::{bench, file, told};
use super::peer;

const SIZES: [usize; 3] = [LOAD_INPUT_MAX - 1, LOAD_INPUT_MAX, LOAD_INPUT_MAX + 1];

/// Fills `path` with `front`, and with NUL bytes up to `size`.
fn fill(path: &Path, front: &str, size: usize) {
    let mut file = File::create(path).expect("a fresh file");
    file.write_all(front.as_bytes()).expect("a few bytes fit");
    file.set_len(size as u64).expect("a hole takes no room");
}

/// Reads requests of HTTP and tells in each reply how long the body was.
fn measure_bodies(stream: TcpStream) {
    let mut reader = BufReader::with_capacity(1 << 18, stream);
    let mut announced = 0;
    let mut line = String::new();
    while let Ok(1..) = reader.read_line(&mut line) {
        if let Some(digits) = line.strip_prefix("Content-Length: ") {
            announced = digits.trim_end().parse().expect("digits");
        }
        if line == "\r\n" {
            let mut body = reader.by_ref().take(announced);
            let came = std::io::copy(&mut body, &mut std::io::sink()).unwrap_or_default();
            let status = match came == announced {
                true => 200,
                false => 400,
            };
            let reply =
                format!("HTTP/1.1 {status} X\r\nX-Body: {came}\r\nContent-Length: 0\r\n\r\n");
            if reader.get_mut().write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
        line.clear();
    }
}

/// Answers each `SIZE` bytes with a line.
fn answer_each<const SIZE: usize>(mut stream: TcpStream) {
    loop {
        let mut message = (&mut stream).take(SIZE as u64);
        match std::io::copy(&mut message, &mut std::io::sink()) {
            Ok(came) if came == SIZE as u64 => {}
            _ => return,
        }
        if stream.write_all(b"OK\r\n").is_err() {
            return;
        }
    }
}

/// Runs two requests with `option`, and expects `fits`, or else a line that names the file.
fn assert_bound(server: &str, option: &str, value: &str, path: &Path, fits: bool) {
    let words = [server, option, value, "--requests", "2", "-c", "1"];
    let (code, out, err) = told(&bench(&words));
    match fits {
        true => {
            assert_eq!((code, err.as_str()), (Some(0), ""), "{option}: {out}");
            assert!(out.contains("2 answered, 0 failed"), "{option}: {out}");
        }
        false => {
            let why = format!("is larger than {LOAD_INPUT_MAX} bytes");
            let line = format!("{option} {}: {why}", path.display());
            assert_eq!(code, Some(1), "{option}: {out}{err}");
            assert!(err.contains(&line), "{err}");
        }
    }
}

#[test]
fn a_body_is_sent_up_to_its_bound() {
    let server = format!("http://{}/", peer::tcp(measure_bodies));
    let path = file("largest-body");
    let value = format!("@{}", path.display());
    for size in SIZES {
        fill(&path, "", size);
        assert_bound(&server, "--body", &value, &path, size <= LOAD_INPUT_MAX);
    }
    fs::remove_file(&path).expect("it is ours");
}

#[test]
fn a_message_is_sent_up_to_its_bound() {
    let servers = [
        peer::tcp(answer_each::<{ SIZES[0] }>),
        peer::tcp(answer_each::<{ SIZES[1] }>),
        peer::tcp(answer_each::<{ SIZES[2] }>),
    ];
    let path = file("largest-message");
    let value = format!("@{}", path.display());
    for (size, server) in SIZES.into_iter().zip(servers) {
        fill(&path, "", size);
        let (server, fits) = (server.to_string(), size <= LOAD_INPUT_MAX);
        assert_bound(&server, "--message", &value, &path, fits);
    }
    fs::remove_file(&path).expect("it is ours");
}

#[test]
fn a_list_of_urls_is_read_up_to_its_bound() {
    let server = format!("http://{}/", peer::tcp(peer::http));
    let path = file("largest-urls");
    let value = path.to_str().expect("a plain name").to_owned();
    for size in SIZES {
        // The hole is in a comment.
        fill(&path, "/a\n/b\n# ", size);
        assert_bound(&server, "--urls", &value, &path, size <= LOAD_INPUT_MAX);
    }
    fs::remove_file(&path).expect("it is ours");
}
