//! A server that is kept on one processor while it is measured, and let go afterwards.
//!
//! All threads of its process and of the processes it has started are moved, for a new one runs
//! where the one runs that has started it. Each has its place back when the value is dropped,
//! whatever way the measurement took; a server that somebody else started is none of ours. What it
//! means that all share a processor is not known here. Man pages: sched_setaffinity(2),
//! proc_pid_task(5).

use std::collections::HashMap;
use std::io;

use crate::kernel::errno::ESRCH;
use crate::kernel::process::{self, Processors};

use super::observe;

/// A server on one processor.
#[derive(Debug)]
pub struct Pinned {
    pid: u32,
    core: usize,
    /// Where each thread was allowed to run before.
    before: HashMap<i32, Processors>,
}

impl Pinned {
    /// Moves process `pid` to processor `core`. An error names both, and leaves nothing moved.
    pub fn new(pid: u32, core: usize) -> io::Result<Pinned> {
        let mut pinned = Pinned {
            pid,
            core,
            before: HashMap::new(),
        };
        pinned.renew()?;
        Ok(pinned)
    }

    /// Moves what was started since, and what went elsewhere by itself.
    pub fn renew(&mut self) -> io::Result<()> {
        let named = |error: io::Error| {
            let (pid, core) = (self.pid, self.core);
            let text = format!("--same-core: process {pid} on processor {core}: {error}");
            io::Error::new(error.kind(), text)
        };
        // One that is started meanwhile, by a thread that is not moved yet, is found by another
        // look.
        loop {
            let known = self.before.len();
            for thread in observe::threads(self.pid).map_err(named)? {
                let before = match move_to(thread, self.core) {
                    Ok(before) => before,
                    Err(error) if error.raw_os_error() == Some(ESRCH) => continue, // It has ended.
                    Err(error) => return Err(named(error)),
                };
                // Who is found later has its place from somebody who had been moved.
                let inherited = known > 0 && before.list() == [self.core];
                let place = self.first().filter(|_| inherited).unwrap_or(before);
                self.before.entry(thread).or_insert(place);
            }
            if self.before.len() == known {
                return Ok(());
            }
        }
    }

    /// Where the process's first thread was allowed to run.
    fn first(&self) -> Option<Processors> {
        self.before.get(&(self.pid as i32)).copied()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Threads that were started since are looked up too; a process that has ended has none.
        let _ = self.renew();
        for (thread, before) in &self.before {
            // It may have ended.
            let _ = process::set_affinity(*thread, before);
        }
    }
}

/// Moves a thread, and tells where it might run before.
fn move_to(thread: i32, core: usize) -> io::Result<Processors> {
    let before = process::affinity(thread)?;
    process::pin_task(thread, core)?;
    Ok(before)
}
