//! What the processes cost while a run is going on, read from `/proc`.
//!
//! Measured from outside, so that any server can be: processor time from the process's own clock,
//! its split into user and system from the coarser ticks of `stat`, memory and switches from
//! `status`. A server's children count as the server. Everything is a sum since the start of a
//! process; two samples make a difference. The files are read twice a run, never by the threads
//! that carry the load. Man pages: clock_getcpuclockid(3), proc_pid_stat(5), proc_pid_status(5),
//! proc_stat(5); Documentation/scheduler/sched-stats.rst.

use std::fs;
use std::io;
use std::path::Path;

use crate::kernel::process;

/// `stat` counts in hundredths of a second on every Linux (`USER_HZ`, time(7)).
pub const TICK_NS: u64 = 10_000_000;

/// What a process and its children have used up to one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all threads, ended ones included, by the scheduler.
    pub running_ns: u64,
    /// Ticks in user mode, those of ended threads and children included.
    pub user_ticks: u64,
    /// Ticks in the kernel, likewise.
    pub system_ticks: u64,
    /// Memory that is resident now.
    pub resident_bytes: u64,
    /// Times a thread went to sleep by itself.
    pub switches_voluntary: u64,
    /// Times a thread was made to yield.
    pub switches_forced: u64,
    /// Threads that live now.
    pub threads: u64,
}

impl Usage {
    /// Reads process `pid` and its living descendants.
    pub fn of(pid: u32) -> io::Result<Usage> {
        let mut usage = Usage::default();
        let mut waiting = vec![pid];
        while let Some(next) = waiting.pop() {
            match usage.add(next, &mut waiting) {
                // A child may end while it is looked at; its time is then its parent's.
                Err(error) if next == pid => return Err(error),
                _ => {}
            }
        }
        Ok(usage)
    }

    fn add(&mut self, pid: u32, waiting: &mut Vec<u32>) -> io::Result<()> {
        // First, because it belongs to the moment of the call, and a thousand tasks take a while.
        self.running_ns += process::cpu_nanoseconds(pid)?;
        let root = Path::new("/proc").join(pid.to_string());
        for task in fs::read_dir(root.join("task"))? {
            let task = task?.path();
            let status = read(&task.join("status"));
            self.switches_voluntary += field(&status, "voluntary_ctxt_switches:");
            self.switches_forced += field(&status, "nonvoluntary_ctxt_switches:");
            waiting.extend(children(&task));
        }
        let stat = fs::read_to_string(root.join("stat"))?;
        // The name in parentheses may hold anything, spaces and parentheses included.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        self.user_ticks += number(fields, 11) + number(fields, 13);
        self.system_ticks += number(fields, 12) + number(fields, 14);
        self.threads += number(fields, 17);
        self.resident_bytes += field(&read(&root.join("status")), "VmRSS:") * 1024;
        // Until its parent asks how it ended, it keeps its entry and its times, but no memory.
        match fields.trim_start().starts_with('Z') && number(fields, 17) <= 1 {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "it has ended")),
            false => Ok(()),
        }
    }

    /// Processor time spent since `earlier`. The scheduler's figure is exact but forgets children
    /// that ended; where the ticks tell of much more, they are right.
    pub fn cpu_ns_since(&self, earlier: &Usage) -> u64 {
        let exact = self.running_ns.saturating_sub(earlier.running_ns);
        let coarse = self.ticks_since(earlier) * TICK_NS;
        if coarse > exact + exact / 20 + 5 * TICK_NS {
            coarse
        } else {
            exact
        }
    }

    /// Which part of the time since `earlier` was spent in user mode; not known before a tick has
    /// been counted.
    pub fn user_share_since(&self, earlier: &Usage) -> Option<f64> {
        let user = self.user_ticks.saturating_sub(earlier.user_ticks) as f64;
        let all = self.ticks_since(earlier);
        (all > 0).then(|| user / all as f64)
    }

    /// Ticks of [`TICK_NS`] that were counted since `earlier`.
    pub fn ticks_since(&self, earlier: &Usage) -> u64 {
        self.ticks().saturating_sub(earlier.ticks())
    }

    fn ticks(&self) -> u64 {
        self.user_ticks + self.system_ticks
    }
}

/// Processor time of one thread of this process, in nanoseconds.
pub fn thread_cpu_ns(thread: u64) -> u64 {
    number(&schedstat(thread), 0)
}

/// How long it has been ready to run and was not let, in nanoseconds.
pub fn thread_wait_ns(thread: u64) -> u64 {
    number(&schedstat(thread), 1)
}

fn schedstat(thread: u64) -> String {
    let task = Path::new("/proc/self/task").join(thread.to_string());
    read(&task.join("schedstat"))
}

/// The kernel's number of the calling thread.
pub fn this_thread() -> u64 {
    let link = fs::read_link("/proc/thread-self").unwrap_or_default();
    let name = link.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// The threads of process `pid` and of its living descendants, its own first.
pub fn threads(pid: u32) -> io::Result<Vec<i32>> {
    let (mut threads, mut waiting) = (Vec::new(), vec![pid]);
    while let Some(next) = waiting.pop() {
        let tasks = match fs::read_dir(Path::new("/proc").join(next.to_string()).join("task")) {
            Err(error) if next == pid => return Err(error),
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

/// The processes that a thread has started and that are still there.
fn children(task: &Path) -> Vec<u32> {
    let listed = read(&task.join("children"));
    let numbers = listed.split_whitespace();
    numbers.filter_map(|child| child.parse().ok()).collect()
}

/// The processors this process may run on.
pub fn processors() -> Vec<usize> {
    let status = read(Path::new("/proc/self/status"));
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mut list = Vec::new();
    for range in line.unwrap_or("0").trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse()) {
            list.extend(first..=last);
        }
    }
    list
}

/// How many local ports there are to connect from, for one source address.
pub fn local_ports() -> u64 {
    let range = read(Path::new("/proc/sys/net/ipv4/ip_local_port_range"));
    (number(&range, 1) + 1).saturating_sub(number(&range, 0))
}

/// Time of all processors of this machine up to one moment, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    all: u64,
    stolen: u64,
}

impl Host {
    /// Reads it.
    pub fn now() -> Host {
        let stat = read(Path::new("/proc/stat"));
        let line = stat
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("cpu");
        Host {
            all: (0..8).map(|index| number(line, index)).sum(),
            stolen: number(line, 7),
        }
    }

    /// The share of the time since `earlier` that the hypervisor gave to others.
    pub fn steal_since(&self, earlier: &Host) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        if all == 0 {
            0.0
        } else {
            self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64
        }
    }
}

/// A file that may be gone is a file that says nothing.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(text: &str, index: usize) -> u64 {
    text.split_whitespace()
        .nth(index)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |rest| number(rest, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_alive_and_has_memory() {
        let usage = Usage::of(std::process::id()).expect("we are there");
        assert!(usage.threads >= 1 && usage.resident_bytes > 0 && usage.running_ns > 0);
        assert!(
            threads(std::process::id())
                .is_ok_and(|threads| threads.contains(&(this_thread() as i32)))
        );
        assert!(thread_cpu_ns(this_thread()) > 0);
    }

    #[test]
    fn work_shows_as_processor_time() {
        let before = Usage::of(std::process::id()).expect("we are there");
        let mut sum = 0u64;
        while thread_cpu_ns(this_thread()) < 30_000_000 {
            sum = (0..100_000).fold(sum, |sum, number| std::hint::black_box(sum ^ number));
        }
        let after = Usage::of(std::process::id()).expect("we are there");
        assert!(after.cpu_ns_since(&before) >= 10_000_000 || before.running_ns > 20_000_000);
    }

    #[test]
    fn a_thread_that_has_ended_since_still_counts() {
        let ours = std::process::id();
        let before = Usage::of(ours).expect("we are there");
        let work = || {
            let mut sum = 0u64;
            while thread_cpu_ns(this_thread()) < 30_000_000 {
                sum = (0..100_000).fold(sum, |sum, number| std::hint::black_box(sum ^ number));
            }
        };
        std::thread::spawn(work).join().expect("it only counts");
        let after = Usage::of(ours).expect("we are there");
        assert!(after.cpu_ns_since(&before) >= 25_000_000);
    }

    #[test]
    fn ended_children_are_not_forgotten() {
        let before = Usage {
            running_ns: 100,
            user_ticks: 10,
            ..Usage::default()
        };
        let after = Usage {
            running_ns: 200,
            user_ticks: 90,
            system_ticks: 20,
            ..Usage::default()
        };
        assert_eq!(after.cpu_ns_since(&before), 100 * TICK_NS);
        assert_eq!(after.user_share_since(&before), Some(0.8));
        assert_eq!(after.user_share_since(&after), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Usage::of(u32::MAX - 1).is_err());
    }

    #[test]
    fn a_process_that_has_ended_and_is_not_yet_fetched_is_gone() {
        let mut child = std::process::Command::new("true")
            .spawn()
            .expect("every system has it");
        let stat = format!("/proc/{}/stat", child.id());
        let has_ended = || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "));
        while !has_ended() {
            std::thread::yield_now();
        }
        let usage = Usage::of(child.id());
        child.wait().expect("it is ours");
        assert!(usage.is_err(), "{usage:?}");
    }

    #[test]
    fn the_host_has_processors_and_time() {
        assert!(!processors().is_empty() && local_ports() > 0);
        let now = Host::now();
        assert!(now.all > 0 && now.steal_since(&now) == 0.0);
    }
}
