//! The machine and its processes: what is deliberately outside the seam.
//!
//! The traits of `kernel` are the seam: the simulated kernel replaces what stands behind them, so
//! that the loop can be played without a machine. Nothing here is replaced. These calls and files
//! prepare a process before its loop runs, or watch and steer other processes while a load is
//! measured, and their answers are facts about this machine: processors, descriptor limits, process
//! times, `/proc` and `/sys`, child processes of a measurement, the allocator, the width of a
//! terminal.
//!
//! Invariant, held by a test: no layer whose code runs under the simulated kernel names this
//! module, and no other file names a path below `/proc` or `/sys`. Neighbours: `cli` and `load`,
//! which use it. Man pages: proc(5), sched_setaffinity(2), getrlimit(2), sysfs(5).

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use super::Time;
use crate::sys::process;

pub(crate) use crate::sys::calls;
pub use crate::sys::epoll::waits_count_nanoseconds;
pub(crate) use crate::sys::fd::stream::columns as terminal_columns;
pub(crate) use crate::sys::fd::terminal::SilentTerminal;
pub use crate::sys::memory::give_large_blocks_back;
pub use crate::sys::process::{
    Processors, affinity, child, cpu_nanoseconds, descriptor_limit, open_descriptors, pin_task,
    raise_descriptor_limit, set_affinity, user, wake_punctually,
};

/// The processors of this machine that are running, as a list of ranges: `0-3,7`.
pub const PROCESSORS_ONLINE: &str = "/sys/devices/system/cpu/online";

/// The running program, also if its file was replaced (proc_pid_exe(5)).
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// The monotonic clock, from which the times of a trace count.
pub fn monotonic() -> Time {
    Time::from_nanos(process::monotonic_nanoseconds())
}

/// The path of a file or folder in `/proc`; a number names a process.
pub fn proc(name: impl Display) -> PathBuf {
    in_proc(&name)
}

#[inline(never)]
fn in_proc(name: &dyn Display) -> PathBuf {
    PathBuf::from(format!("/proc/{name}"))
}

/// The first two numbers of the version of the running kernel, as proc_sys_kernel(5) tells it.
pub fn kernel_version() -> Option<(u32, u32)> {
    version(&fs::read_to_string(proc("sys/kernel/osrelease")).ok()?)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .split(|it: char| !it.is_ascii_digit())
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The memory that the control groups of this process may hold: the least limit of its own group
/// and of those above it. `None` without a limit, and where the groups are not to be seen.
pub fn group_memory_max() -> Option<u64> {
    let groups = fs::read_to_string(proc("self/cgroup")).ok()?;
    let files = groups.lines().filter_map(memory_limits).flatten();
    files
        .filter_map(|file| limit(&fs::read_to_string(file).ok()?))
        .min()
}

/// The files that hold the limits of the group in one line of proc_pid_cgroup(5), from the group
/// up. In a container the group may be at the root of the mount, whatever its path is.
fn memory_limits(line: &str) -> Option<Vec<PathBuf>> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|it| it == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    Some(
        groups
            .map(|group| Path::new(root).join(group).join(file))
            .collect(),
    )
}

/// A limit of version 1 is never absent: without one it is nearly 2^63.
fn limit(text: &str) -> Option<u64> {
    const NONE: u64 = 1 << 62;
    text.trim().parse().ok().filter(|bytes| *bytes < NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_of_the_kernel_begins_with_two_numbers() {
        for (release, expected) in [
            ("6.18.44-fc-v657\n", Some((6, 18))),
            ("6.12.117+deb12-cloud-amd64", Some((6, 12))),
            ("5.4-rc1", Some((5, 4))),
            ("6", None),
            ("six.one", None),
            ("", None),
        ] {
            assert_eq!(version(release), expected, "{release:?}");
        }
    }

    #[test]
    fn a_group_has_the_limits_of_all_above_it() {
        let limits = |line| {
            let files = memory_limits(line)?;
            Some(
                files
                    .iter()
                    .map(|it| it.display().to_string())
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        };
        for (line, expected) in [
            (
                "0::/a/b",
                Some(
                    "/sys/fs/cgroup/a/b/memory.max /sys/fs/cgroup/a/memory.max \
                     /sys/fs/cgroup/memory.max",
                ),
            ),
            ("0::/", Some("/sys/fs/cgroup/memory.max")),
            (
                "4:cpu,memory:/a:b",
                Some(
                    "/sys/fs/cgroup/memory/a:b/memory.limit_in_bytes \
                     /sys/fs/cgroup/memory/memory.limit_in_bytes",
                ),
            ),
            ("5:devices:/a", None),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(limits(line).as_deref(), expected, "{line:?}");
        }
        for (text, expected) in [
            ("67108864\n", Some(67_108_864)),
            ("0\n", Some(0)),
            ("max\n", None),
            ("9223372036854771712\n", None),
            ("", None),
        ] {
            assert_eq!(limit(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_path_in_proc_is_that_of_a_process_or_of_a_file() {
        assert_eq!(proc(7).as_os_str(), "/proc/7");
        assert_eq!(proc("self/task").as_os_str(), "/proc/self/task");
    }
}
