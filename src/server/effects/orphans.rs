//! Reaps children that this process did not start. The kernel gives it such children when their
//! parent ends, because it is process 1 of a container or the subreaper of its commands.
//!
//! An orphan has left the process group of its command, for example with setsid(2), or its command
//! is over and the group was killed. A running orphan is not killed here: a program that leaves its
//! group on purpose means to outlive the command. The counters do not include orphans.
//!
//! The kernel reports ended children in the order in which they became children of this process. A
//! command that has ended but is not over yet (see `commands`) hides those behind it. That command
//! is reaped at its deadline at the latest, and then the search continues; children that come later
//! queue behind those that wait. So an orphan is reaped within the time-out of a command. See
//! wait(2), PR_SET_CHILD_SUBREAPER(2const), pid_namespaces(7).

use crate::kernel::{Opener, Spawner};
use crate::limits::ORPHANS_PER_TURN;
use crate::protocol::service::Service;

use crate::server::Server;

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// A child has ended; SIGCHLD does not say which one.
    #[cold]
    pub(in crate::server) fn hear_of_children(&mut self) {
        if let Err(error) = self.pump.kernel.take_child_report() {
            log::debug!("SIGCHLD: {error}");
        }
        self.children.looks_for_orphans = true;
    }

    /// Reaps ended orphans if there may be any, at most [`ORPHANS_PER_TURN`] per turn.
    #[inline]
    pub(in crate::server) fn reap_orphans(&mut self) {
        if std::mem::take(&mut self.children.looks_for_orphans) {
            self.children.looks_for_orphans = self.reap_some_orphans();
        }
    }

    /// Returns whether there may be more.
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
                // The next child that ends starts another search.
                log::debug!("waitid: {error}");
                return false;
            }
        }
        true
    }
}
