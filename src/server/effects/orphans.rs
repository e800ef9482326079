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

use crate::kernel::Spawner;
use crate::limits::ORPHANS_PER_TURN;

use crate::protocol::service::Service;
use crate::server::reactor::Reactor;

/// The search for ended orphans.
#[derive(Debug, Default)]
pub(in crate::server) struct Orphans {
    /// A child has ended or was reaped since the last search.
    is_due: bool,
}

impl Orphans {
    /// A child has ended, or one was reaped that may have hidden others from waitid(2).
    pub(in crate::server) fn look(&mut self) {
        self.is_due = true;
    }

    /// Whether there may be ended orphans.
    #[inline]
    pub(in crate::server) fn is_due(&self) -> bool {
        self.is_due
    }

    /// Reaps ended orphans if there may be any, at most [`ORPHANS_PER_TURN`] per turn.
    #[inline]
    pub(in crate::server) fn reap<K: Spawner, S: Service>(
        &mut self,
        reactor: &mut Reactor<K, S>,
        is_command: impl Fn(u32) -> bool,
    ) {
        if self.is_due {
            self.is_due = reap_some(reactor, is_command);
        }
    }
}

/// Returns whether there may be more.
#[cold]
fn reap_some<K: Spawner, S: Service>(
    reactor: &mut Reactor<K, S>,
    is_command: impl Fn(u32) -> bool,
) -> bool {
    for _ in 0..ORPHANS_PER_TURN {
        let reaped = match reactor.pump_mut().kernel.ended_child() {
            Ok(None) => return false,
            Ok(Some(id)) if is_command(id) || reactor.has_process(id) => return false,
            Ok(Some(id)) => reactor.pump_mut().kernel.reap_orphan(id),
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
