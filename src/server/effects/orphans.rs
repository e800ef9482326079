//! Children that this process did not start: it got them when their own parent ended, as process 1
//! of a container or as the subreaper of its commands. They are reaped and nothing else.
//!
//! An orphan has left its command's process group, with setsid(2) for one, or its command is over
//! and its group was killed. What runs on is not killed here: a program that leaves its group on
//! purpose means to outlive the command. Statistics do not count orphans.
//!
//! The kernel offers ended children in the order in which they became ours, and a command that has
//! ended but is not over yet (see `commands`) hides those behind it. It is reaped at its deadline
//! at the latest, and then they are looked for again; those that come later stand behind the ones
//! that wait. So an orphan is reaped within the time that a command may take. See wait(2),
//! PR_SET_CHILD_SUBREAPER(2const), pid_namespaces(7).

use crate::kernel::{Opener, Spawner};
use crate::limits::ORPHANS_PER_TURN;
use crate::protocol::service::Service;

use crate::server::Server;

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Some child has ended; which one is not reported.
    #[cold]
    pub(in crate::server) fn hear_of_children(&mut self) {
        if let Err(error) = self.pump.kernel.take_child_report() {
            log::debug!("SIGCHLD: {error}");
        }
        self.children.looks_for_orphans = true;
    }

    /// Reaps orphans that have ended, if any may have; no more in a turn than a bound.
    #[inline]
    pub(in crate::server) fn reap_orphans(&mut self) {
        if std::mem::take(&mut self.children.looks_for_orphans) {
            self.children.looks_for_orphans = self.reap_some_orphans();
        }
    }

    /// Tells whether there may be more.
    #[cold]
    fn reap_some_orphans(&mut self) -> bool {
        for _ in 0..ORPHANS_PER_TURN {
            let reaped = match self.pump.kernel.ended_child() {
                Ok(None) => return false,
                Ok(Some(id)) if self.children.has_process(id) => return false,
                Ok(Some(id)) => self.pump.kernel.reap_orphan(id),
                Err(error) => Err(error),
            };
            if let Err(error) = reaped {
                // The next child that ends is another occasion.
                log::debug!("waitid: {error}");
                return false;
            }
        }
        true
    }
}
