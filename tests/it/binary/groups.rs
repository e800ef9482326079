//! Control groups: a server in a group with little memory or little processor time serves, and is
//! not killed as long as the group may hold what it announces; otherwise it warns.
//!
//! A group is made below that of the test, with version 2 if its controllers can be had there, else
//! with version 1. Skipped where neither is possible, as for a user that is not root. Man page:
//! cgroups(7).

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::server::{PATIENCE, Server};
use crate::skip::skip;

/// A group of this test with a limit, removed at its end.
struct Group {
    folder: PathBuf,
    is_version_2: bool,
}

impl Group {
    /// A group with this controller; skips the test if there can be none.
    fn new(controller: &str) -> Option<Group> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mynah-{}-{number}", std::process::id());
        let made = parents(controller)
            .into_iter()
            .find_map(|(parent, is_version_2)| {
                let folder = parent.join(&name);
                if is_version_2 {
                    fs::write(
                        parent.join("cgroup.subtree_control"),
                        format!("+{controller}"),
                    )
                    .ok()?;
                }
                fs::create_dir(&folder).ok()?;
                Some(Group {
                    folder,
                    is_version_2,
                })
            });
        if made.is_none() {
            skip(format_args!(
                "no control group with the controller {controller} can be made here"
            ));
        }
        made
    }

    /// Sets a limit under its name in version 2 or 1.
    fn set(&self, (name_2, value_2): (&str, &str), (name_1, value_1): (&str, &str)) {
        let (name, value) = match self.is_version_2 {
            true => (name_2, value_2),
            false => (name_1, value_1),
        };
        let written = fs::write(self.folder.join(name), value);
        written.unwrap_or_else(|error| panic!("{name} {value}: {error}"));
    }

    fn set_memory(&self, bytes: &str) {
        self.set(("memory.max", bytes), ("memory.limit_in_bytes", bytes));
    }

    /// A count in a file of the group.
    fn count(&self, (file_2, file_1): (&str, &str), name: &str) -> u64 {
        let file = if self.is_version_2 { file_2 } else { file_1 };
        let text = fs::read_to_string(self.folder.join(file)).expect("a file of the group");
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        let count = found.unwrap_or_else(|| panic!("no {name} in {text}"));
        count.trim().parse().expect("a count")
    }

    fn kills(&self) -> u64 {
        self.count(("memory.events", "memory.oom_control"), "oom_kill")
    }

    /// Starts a server in the group.
    fn start(&self, args: &[&str]) -> Server {
        let enter = "echo $$ >\"$0\" && exec \"$@\"";
        let members = self.folder.join("cgroup.procs").display().to_string();
        Server::start_under(&["sh", "-c", enter, &members], &[], args)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process leaves its group a moment after it was reaped.
        let begin = Instant::now();
        while fs::remove_dir(&self.folder).is_err() && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The folders in which a group with this controller may be made, and whether each is of version 2.
fn parents(controller: &str) -> Vec<(PathBuf, bool)> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found = Vec::new();
    for mount in mounts.lines() {
        let fields: Vec<&str> = mount.split(' ').collect();
        let [_, at, kind, options, ..] = fields[..] else {
            continue;
        };
        let has = |names: &str, wanted: &str| names.split(',').any(|name| name == wanted);
        let is_version_2 = kind == "cgroup2";
        let is_version_1 = kind == "cgroup" && has(options, controller);
        if !is_version_1 && !is_version_2 {
            continue;
        }
        let path = own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let is_it = match is_version_2 {
                true => controllers.is_empty(),
                false => has(controllers, controller),
            };
            is_it.then_some(path)
        });
        let folder = Path::new(at).join(path.unwrap_or("/").trim_start_matches('/'));
        found.push((folder, is_version_2));
    }
    found
}

/// Peers that send more than the server may hold, then read everything back.
fn load(server: &Server, peers: usize, size: usize) {
    let sent = vec![b'x'; size];
    let peers: Vec<_> = (0..peers).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for mut peer in peers {
            let sent = &sent;
            scope.spawn(move || {
                let mut back = vec![0; sent.len()];
                let mut writing = peer.try_clone().expect("a descriptor");
                thread::scope(|scope| {
                    scope.spawn(move || writing.write_all(sent).expect("the server reads"));
                    peer.read_exact(&mut back).expect("the server answers");
                });
                assert!(back == *sent, "bytes differ");
            });
        }
    });
}

#[test]
fn a_server_whose_group_may_hold_its_ceiling_is_not_killed() {
    const WARNING: &str = "(memory.max), and the ceiling is";
    let Some(group) = Group::new("memory") else {
        return;
    };
    // What the kernel counts for the sockets of this load, and the program itself, have room.
    for (limit, is_warned) in [("32m", false), ("6m", true)] {
        group.set_memory(limit);
        let server = group.start(&["echo", "--max-memory", "8m", "--max-connections", "100"]);
        if !is_warned {
            load(&server, 40, 100_000);
        }
        let ended = server.end();
        assert_eq!(ended.code, Some(0), "{limit}: {:?}", ended.stderr);
        let warned = ended.stderr.iter().any(|line| line.contains(WARNING));
        assert_eq!(warned, is_warned, "{limit}: {:?}", ended.stderr);
    }
    assert_eq!(group.kills(), 0);
}

#[test]
fn a_server_with_a_tenth_of_a_processor_serves_and_drains() {
    let Some(group) = Group::new("cpu") else {
        return;
    };
    group.set(("cpu.max", "2000 20000"), ("cpu.cfs_period_us", "20000"));
    group.set(("cpu.max", "2000 20000"), ("cpu.cfs_quota_us", "2000"));
    let server = group.start(&["echo"]);
    let begin = Instant::now();
    while group.count(("cpu.stat", "cpu.stat"), "nr_throttled") == 0 {
        load(&server, 20, 100_000);
        assert!(begin.elapsed() < PATIENCE, "the group has no limit");
    }
    load(&server, 20, 100_000);
    let ended = server.end();
    assert_eq!(ended.code, Some(0), "{:?}", ended.stderr);
}
