//! `--user` and `--log-time`: the user that serves after root has bound, and the time in the log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::ask;
use super::memory::{connect, local};
use super::server::{Ended, Server};
use crate::skip::skip;

/// Whether the tests run as root: no other user can become another one.
fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        skip("only root can become another user");
    }
    is_root
}

/// The user and group numbers of `nobody`, as id(1) has them; `None` without such a user.
fn nobody() -> Option<(String, String)> {
    let number = |flag| {
        let output = Command::new("id").args([flag, "nobody"]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let both = number("-u").zip(number("-g"));
    if both.is_none() {
        skip("there is no user nobody");
    }
    both
}

/// The real, effective, saved and file system numbers of a process.
fn numbers(pid: u32, field: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("proc(5)");
    let line = status.lines().find(|line| line.starts_with(field));
    let words = line.unwrap_or_default().split_whitespace().skip(1);
    words.map(str::to_owned).collect()
}

#[test]
fn root_becomes_the_user_for_good_after_binding() {
    let Some((user, group)) = is_root().then(nobody).flatten() else {
        return;
    };
    let extra = numbers(std::process::id(), "Groups:");
    for threads in ["1", "2"] {
        let server = Server::start(&["--user", "nobody", "--threads", threads]);
        assert_eq!(numbers(server.pid(), "Uid:"), [user.as_str(); 4]);
        assert_eq!(numbers(server.pid(), "Gid:"), [group.as_str(); 4]);
        let groups = numbers(server.pid(), "Groups:");
        assert!(
            groups.iter().all(|it| *it == group),
            "{groups:?}, {extra:?} before"
        );
        assert_eq!(ask(&mut server.connect(), b"hello"), b"hello");
        server.hears(&format!("serving as user {user}, group {group}"));
        server.end();
    }
}

#[test]
fn worker_processes_and_their_supervisor_are_the_user() {
    let Some((user, _)) = is_root().then(nobody).flatten() else {
        return;
    };
    let server = Server::start(&["--user", "nobody", "--processes", "2"]);
    let children = format!("/proc/{0}/task/{0}/children", server.pid());
    let children = fs::read_to_string(children).expect("proc(5)");
    let workers: Vec<u32> = children.split_whitespace().flat_map(str::parse).collect();
    assert_eq!(workers.len(), 2);
    for pid in workers.into_iter().chain([server.pid()]) {
        assert_eq!(numbers(pid, "Uid:"), [user.as_str(); 4]);
    }
    assert_eq!(ask(&mut server.connect(), b"hello"), b"hello");
    server.end();
}

#[test]
fn the_file_of_a_local_listener_belongs_to_the_user() {
    let Some((user, group)) = is_root().then(nobody).flatten() else {
        return;
    };
    let path = std::env::temp_dir().join(format!("mynah-{}-user", std::process::id()));
    let address = format!("unix:{}", path.display());
    let both = format!("nobody:{group}");
    let server = Server::start(&["--user", &both, "--listen", &address]);
    let file = fs::metadata(&path).expect("it is bound");
    assert_eq!(file.uid().to_string(), user);
    assert_eq!(file.gid().to_string(), group);
    server.end();
    assert!(!path.exists(), "the user may write to the folder");
}

#[test]
fn an_unknown_user_is_one_line_before_anything_is_bound() {
    for (text, reason) in [
        ("no-such-user-here", "there is no such user"),
        ("root:no-such-group-here", "there is no such group"),
        (
            "4000000001",
            "this number has no entry, so a group is needed: UID:GID",
        ),
        ("", "must be NAME or NAME:GROUP, such as nobody:nogroup"),
        (
            ":nogroup",
            "must be NAME or NAME:GROUP, such as nobody:nogroup",
        ),
        (
            "nobody:",
            "must be NAME or NAME:GROUP, such as nobody:nogroup",
        ),
    ] {
        let ended = Ended::run(&["--listen", "0", "--user", text]);
        assert_eq!(ended.code, Some(1), "{text:?}");
        assert_eq!(ended.stderr.len(), 1, "{:?}", ended.stderr);
        assert!(ended.stderr[0].contains(reason), "{:?}", ended.stderr);
    }
}

#[test]
fn each_log_line_begins_with_the_time_in_utc() {
    let (server, name) = local("log-time", &["--log-time", "--wiretap", "size"]);
    assert_eq!(ask(&mut connect(&name), b"hello"), b"hello");
    let line = server.hears("#1 READ 5 bytes");
    let (time, rest) = line.split_once(' ').expect("the time and the line");
    assert!(rest.starts_with("INFO  #1 READ 5 bytes"), "{line}");
    let form: String = time
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    assert_eq!(form, "0000-00-00T00:00:00.000Z", "{line}");
    server.end();
}
