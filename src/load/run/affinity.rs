//! Pins a server to one processor during the measurement, and restores its affinity afterwards.
//!
//! All threads of the process and of its child processes are pinned; new threads and processes
//! inherit the affinity of their creator. `drop` restores the affinity of every thread, on every
//! exit path. This also holds for a server that the user started. This module does not know why the
//! processor is shared. Neighbour: `servers`. Man pages: sched_setaffinity(2), proc_pid_task(5).

use std::collections::HashMap;
use std::io;

use crate::kernel::errno::ESRCH;
use crate::kernel::host::{self, Processors};

use super::observe;

/// A server that is pinned to one processor.
#[derive(Debug)]
pub struct Pinned {
    pid: u32,
    core: usize,
    /// The previous affinity of each thread.
    before: HashMap<i32, Processors>,
}

impl Pinned {
    /// Pins process `pid` to processor `core`. An error names both, and no thread stays pinned.
    pub fn new(pid: u32, core: usize) -> io::Result<Pinned> {
        let mut pinned = Pinned {
            pid,
            core,
            before: HashMap::new(),
        };
        pinned.renew()?;
        Ok(pinned)
    }

    /// Pins new threads, and threads that changed their own affinity.
    pub fn renew(&mut self) -> io::Result<()> {
        let named = |error: io::Error| {
            let (pid, core) = (self.pid, self.core);
            let text = format!("--same-core: process {pid} on processor {core}: {error}");
            io::Error::new(error.kind(), text)
        };
        // An unpinned thread may create another one during the scan, so the scan repeats until it
        // finds no new thread.
        loop {
            let known = self.before.len();
            for thread in observe::threads(self.pid).map_err(named)? {
                let before = match move_to(thread, self.core) {
                    Ok(before) => before,
                    Err(error) if error.raw_os_error() == Some(ESRCH) => continue, // Thread ended.
                    Err(error) => return Err(named(error)),
                };
                // A thread found later may have inherited the pinned affinity. Restore the first
                // thread's.
                let inherited = known > 0 && before.list() == [self.core];
                let place = self.first().filter(|_| inherited).unwrap_or(before);
                self.before.entry(thread).or_insert(place);
            }
            if self.before.len() == known {
                return Ok(());
            }
        }
    }

    /// The previous affinity of the process's first thread.
    fn first(&self) -> Option<Processors> {
        self.before.get(&(self.pid as i32)).copied()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Find new threads first. A process that has ended has none.
        let _ = self.renew();
        for (thread, before) in &self.before {
            // The thread may have ended.
            let _ = host::set_affinity(*thread, before);
        }
    }
}

/// Pins a thread and returns its previous affinity.
fn move_to(thread: i32, core: usize) -> io::Result<Processors> {
    let before = host::affinity(thread)?;
    host::pin_task(thread, core)?;
    Ok(before)
}
