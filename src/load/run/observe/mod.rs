//! The cost of processes during a run, read from `/proc`.
//!
//! The measurement is from outside, so it works for any server. Processor time comes from the
//! process's CPU clock, its user and system parts from the coarser ticks in `stat`, memory and
//! context switches from `status`. The child processes of a server count as part of it. The
//! counters run since the start of a process; a cost is the difference of two samples. The files
//! are read twice per run, never by the threads that carry the load. A value that cannot be read,
//! because `/proc` is not mounted or hides the process, is `None` and never 0. Man pages:
//! clock_getcpuclockid(3), proc_pid_stat(5), proc_pid_status(5), proc_stat(5);
//! Documentation/scheduler/sched-stats.rst.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::kernel::errno::ESRCH;
use crate::kernel::host;

/// `stat` counts in hundredths of a second on every Linux (`USER_HZ`, time(7)).
pub const TICK_NS: u64 = 10_000_000;

/// The resources that a process and its children have used up to one moment. `None` if the kernel
/// does not report the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all threads, including ended ones, from the scheduler.
    pub running_ns: u64,
    /// Ticks in user mode, including ended threads and reaped children.
    pub user_ticks: Option<u64>,
    /// Ticks in the kernel, likewise.
    pub system_ticks: Option<u64>,
    /// Resident memory now.
    pub resident_bytes: Option<u64>,
    /// Context switches, voluntary and involuntary.
    pub switches: Option<u64>,
    /// Live threads.
    pub threads: Option<u64>,
}

/// The wall clock, in nanoseconds since 1970; 0 for a clock that is set to an earlier time.
#[inline(never)]
pub fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

/// Why a process cannot be read.
#[derive(Debug)]
pub enum Unknown {
    /// The process does not exist, or is a zombie.
    Gone,
    /// The process exists, but `/proc` does not show it.
    Hidden(io::Error),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::Gone => f.write_str("its process is gone"),
            Unknown::Hidden(error) => {
                write!(f, "{error}; /proc must be mounted and show the process")
            }
        }
    }
}

impl Usage {
    /// Samples process `pid` and its live descendants. A live child that cannot be read is an
    /// error, because a cost without it would be wrong.
    pub fn of(pid: u32) -> Result<Usage, Unknown> {
        let zero = Some(0);
        let mut usage = Usage {
            running_ns: 0,
            user_ticks: zero,
            system_ticks: zero,
            resident_bytes: zero,
            switches: zero,
            threads: zero,
        };
        let mut waiting = vec![pid];
        while let Some(next) = waiting.pop() {
            match usage.add(next, &mut waiting) {
                Ok(true) => {}
                Ok(false) if next == pid => return Err(Unknown::Gone),
                Err(_) if next == pid && !exists(next) => return Err(Unknown::Gone),
                // A child may end during the scan; its time then belongs to its parent.
                Ok(false) => {}
                Err(_) if !exists(next) => {}
                Err(error) => return Err(Unknown::Hidden(error)),
            }
        }
        Ok(usage)
    }

    /// Adds one process, and its children to `waiting`. Returns whether the process is alive.
    fn add(&mut self, pid: u32, waiting: &mut Vec<u32>) -> io::Result<bool> {
        // Read first, close to the moment of the call: a scan of a thousand tasks takes a while.
        self.running_ns += host::cpu_nanoseconds(pid)?;
        let root = host::proc(pid);
        for task in fs::read_dir(root.join("task")).map_err(named(&root))? {
            let task = task?.path();
            match fs::read_to_string(task.join("status")) {
                Ok(status) => {
                    add(
                        &mut self.switches,
                        field(&status, "voluntary_ctxt_switches:"),
                    );
                    add(
                        &mut self.switches,
                        field(&status, "nonvoluntary_ctxt_switches:"),
                    );
                }
                // The thread has ended.
                Err(error) if has_ended(&error) => {}
                Err(_) => self.switches = None,
            }
            waiting.extend(children(&task));
        }
        let stat = fs::read_to_string(root.join("stat")).map_err(named(&root))?;
        // The name in parentheses may contain any character, including blanks and parentheses.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        for index in [11, 13] {
            add(&mut self.user_ticks, number(fields, index));
            add(&mut self.system_ticks, number(fields, index + 1));
        }
        let threads = number(fields, 17);
        add(&mut self.threads, threads);
        // A zombie keeps its entry and its times until its parent waits for it, but has no memory.
        if fields.trim_start().starts_with('Z') && threads.is_none_or(|count| count <= 1) {
            return Ok(false);
        }
        let kib = field(&read(&root.join("status")), "VmRSS:");
        add(&mut self.resident_bytes, kib.map(|kib| kib * 1024));
        Ok(true)
    }

    /// Processor time since `earlier`. The scheduler's clock is exact but does not include ended
    /// children. If the ticks show much more time, the ticks are used.
    pub fn cpu_ns_since(&self, earlier: &Usage) -> u64 {
        let exact = self.running_ns.saturating_sub(earlier.running_ns);
        let coarse = self.ticks_since(earlier).unwrap_or(0) * TICK_NS;
        if coarse > exact + exact / 20 + 5 * TICK_NS {
            coarse
        } else {
            exact
        }
    }

    /// The part of the time since `earlier` in user mode; `None` before the first tick.
    pub fn user_share_since(&self, earlier: &Usage) -> Option<f64> {
        let user = self.user_ticks?.saturating_sub(earlier.user_ticks?) as f64;
        let all = self.ticks_since(earlier)?;
        (all > 0).then(|| user / all as f64)
    }

    /// Ticks of [`TICK_NS`] that were counted since `earlier`.
    pub fn ticks_since(&self, earlier: &Usage) -> Option<u64> {
        Some(self.ticks()?.saturating_sub(earlier.ticks()?))
    }

    fn ticks(&self) -> Option<u64> {
        Some(self.user_ticks? + self.system_ticks?)
    }
}

/// Adds a known value; a sum with an unknown part is unknown.
fn add(sum: &mut Option<u64>, part: Option<u64>) {
    *sum = sum.zip(part).map(|(sum, part)| sum + part);
}

/// Whether process `pid` exists. Its CPU clock does not depend on `/proc`.
fn exists(pid: u32) -> bool {
    host::cpu_nanoseconds(pid).is_ok()
}

fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}

/// Adds the folder name to an error.
fn named(root: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", root.display()))
}

/// Processor time of one thread of this process, in nanoseconds.
#[inline(never)]
pub fn thread_cpu_ns(thread: u64) -> Option<u64> {
    schedstat(thread, 0)
}

/// The time that a thread was runnable but not running, in nanoseconds.
#[inline(never)]
pub fn thread_wait_ns(thread: u64) -> Option<u64> {
    schedstat(thread, 1)
}

/// A field of `schedstat`. A kernel without these statistics writes zeros. A thread that exists has
/// run, so 0 means unknown.
#[inline(never)]
fn schedstat(thread: u64, index: usize) -> Option<u64> {
    let task = host::proc("self/task").join(thread.to_string());
    let text = read(&task.join("schedstat"));
    number(&text, 0).filter(|&ran| ran > 0)?;
    number(&text, index)
}

/// The kernel's id of the calling thread; 0 if unknown.
pub fn this_thread() -> u64 {
    let link = fs::read_link(host::proc("thread-self")).unwrap_or_default();
    let name = link.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// The threads of process `pid` and of its live descendants, its own first.
#[inline(never)]
pub fn threads(pid: u32) -> io::Result<Vec<i32>> {
    let (mut threads, mut waiting) = (Vec::new(), vec![pid]);
    while let Some(next) = waiting.pop() {
        let root = host::proc(next);
        let tasks = match fs::read_dir(root.join("task")) {
            Err(error) if next == pid => {
                let (kind, why) = (error.kind(), Unknown::Hidden(named(&root)(error)));
                return Err(io::Error::new(kind, why.to_string()));
            }
            Err(_) => continue, // A child may end while it is looked at.
            Ok(tasks) => tasks,
        };
        for task in tasks.filter_map(Result::ok) {
            let name = task.file_name();
            threads.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
            waiting.extend(children(&task.path()));
        }
    }
    Ok(threads)
}

/// Whether the kernel lists the children of a process (`CONFIG_PROC_CHILDREN`).
pub fn lists_children() -> bool {
    host::proc("thread-self/children").exists()
}

/// The live children of a thread.
#[inline(never)]
fn children(task: &Path) -> Vec<u32> {
    let listed = read(&task.join("children"));
    let numbers = listed.split_whitespace();
    numbers.filter_map(|child| child.parse().ok()).collect()
}

/// The processors this process may run on.
#[inline(never)]
pub fn processors() -> Vec<usize> {
    host::affinity(0).map_or(Vec::new(), |set| set.list())
}

/// The number of local ports for one source address.
pub fn local_ports() -> Option<u64> {
    let range = read(&host::proc("sys/net/ipv4/ip_local_port_range"));
    let (first, last) = (number(&range, 0)?, number(&range, 1)?);
    Some((last + 1).saturating_sub(first))
}

/// The time of all processors of this machine up to one moment, in ticks, if known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    all: Option<u64>,
    stolen: Option<u64>,
}

impl Host {
    /// Reads the current values.
    pub fn now() -> Host {
        let stat = read(&host::proc("stat"));
        let line = stat.lines().next().unwrap_or_default();
        let line = line.trim_start_matches("cpu");
        let mut all = Some(0);
        (0..8).for_each(|index| add(&mut all, number(line, index)));
        Host {
            all,
            stolen: number(line, 7),
        }
    }

    /// The share of the time since `earlier` that the hypervisor gave to other guests; `None`
    /// before the first tick.
    pub fn steal_since(&self, earlier: &Host) -> Option<f64> {
        let all = self.all?.saturating_sub(earlier.all?);
        let stolen = self.stolen?.saturating_sub(earlier.stolen?);
        (all > 0).then(|| stolen as f64 / all as f64)
    }
}

/// Reads a file; an unreadable file reads as empty.
#[inline(never)]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[inline(never)]
fn number(text: &str, index: usize) -> Option<u64> {
    text.split_whitespace().nth(index)?.parse().ok()
}

#[inline(never)]
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    number(line?, 0)
}

#[cfg(test)]
mod tests;
