//! `mynah ftp` as its clients meet it: a small client of the tests, and other programs.
//!
//! Each test has a folder of its own with homes and a file of users. `client` speaks FTP, in
//! `peer`. What attacks and what is refused is in `attacks`, what other programs make of the server
//! in `programs`.

mod attacks;
mod commands;
mod peer;
mod programs;
mod uploads;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::binary::Server;
use crate::program;
use peer::Client;

/// The password of every user.
const PASSWORD: &str = "open sesame";

/// The hash of the password, as the program prints it.
fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash_of(&format!("{PASSWORD}\n")))
}

fn hash_of(line: &str) -> String {
    let ended = hash_password(line);
    assert!(ended.status.success(), "{ended:?}");
    let text = String::from_utf8(ended.stdout).expect("text");
    text.strip_suffix('\n').expect("a line").to_owned()
}

fn hash_password(line: &str) -> Output {
    let mut child = Command::new(program::path())
        .args(["ftp", "--hash-password"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(line.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// A folder with a root, the home `ann` and a file of users, removed at the end.
struct Site {
    path: PathBuf,
}

impl Site {
    /// `users` are lines of `name:home:quota:rights`.
    fn new(name: &str, users: &[&str]) -> Site {
        let name = format!("mynah-ftp-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("root/ann")).expect("a new folder");
        let site = Site { path };
        site.write_users(users);
        site
    }

    fn write_users(&self, users: &[&str]) {
        let line = |user: &&str| {
            let (name, rest) = user.split_once(':').expect("a name");
            format!("{name}:{}:{rest}\n", hash())
        };
        let text: String = users.iter().map(line).collect();
        fs::write(self.users(), text).expect("it is written");
    }

    fn users(&self) -> PathBuf {
        self.path.join("users")
    }

    fn root(&self) -> PathBuf {
        self.path.join("root")
    }

    /// A path in the home of `ann`.
    fn home(&self, name: &str) -> PathBuf {
        self.root().join("ann").join(name)
    }

    fn start(&self, more: &[&str]) -> Server {
        let (root, users) = (self.root(), self.users());
        let own = ["ftp", "--root", text(&root), "--users", text(&users)];
        Server::start(&[&own, more].concat())
    }

    /// The names of unfinished uploads in the home of `ann`.
    fn parts(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root().join("ann")).expect("a home");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| text(path).contains("/.mynah-part-"))
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A user with every right and no quota, and a server with a client of that user.
fn served(name: &str) -> (Site, Server, Client) {
    let site = Site::new(name, &["ann:ann:-:rwd"]);
    let server = site.start(&[]);
    let client = Client::log_in(&server, "ann");
    (site, server, client)
}

/// Bytes that differ from place to place, with every kind of end of line among them.
fn bytes(count: usize) -> Vec<u8> {
    (0..count)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}
