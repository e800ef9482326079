//! The servers of a session: those that are there, those that are started for it, and on which
//! processor.
//!
//! Whatever was done to a server is undone when the value is dropped: one that was started here is
//! ended, one that was moved goes back to where it was. To start one takes a while, in which a
//! signal may come. Neighbours: `spawn` and `pinned` below, `session` above.

use std::io;
use std::time::Duration;

use crate::base::visible::visible;
use crate::kernel::Poller;

use super::bench::{Bench, Server};
use super::pinned::Pinned;
use super::run::{self, RunError, Target};
use super::session::SessionError;
use super::spawn::{Spawned, StartError};

/// All servers, by their index.
#[derive(Debug, Default)]
pub struct Servers {
    /// Who they are.
    pub targets: Vec<Target>,
    /// Each that is kept on a processor. Before those that are ended: a process that is gone
    /// cannot be moved.
    pinned: Vec<Option<Pinned>>,
    spawned: Vec<Spawned>,
}

impl Servers {
    /// Starts who is to be started, and moves all to `core`, if one is given. `kernel` is where
    /// signals arrive.
    pub fn start<K: Poller>(
        bench: &Bench,
        core: Option<usize>,
        kernel: &mut K,
    ) -> Result<Servers, SessionError> {
        let mut servers = Servers::default();
        let mut pids = bench.pids.iter().copied();
        for server in &bench.servers {
            let target = match server {
                Server::At(address) => Target {
                    name: address.to_string(),
                    address: address.clone(),
                    pid: pids.next(),
                },
                Server::Command(line) => servers.spawn(line, core, kernel)?,
            };
            let pinned = match (target.pid, core) {
                (Some(pid), Some(core)) => Some(Pinned::new(pid, core).map_err(RunError::Own)?),
                _ => None,
            };
            servers.pinned.push(pinned);
            servers.targets.push(target);
        }
        Ok(servers)
    }

    fn spawn<K: Poller>(
        &mut self,
        line: &str,
        core: Option<usize>,
        kernel: &mut K,
    ) -> Result<Target, SessionError> {
        let pause = |span: Duration| -> io::Result<Option<i32>> {
            let until = kernel.now().after(span);
            run::pause(kernel, until)
        };
        let spawned = Spawned::start(line, core, pause).map_err(|error| match error {
            StartError::Failed(line) => SessionError::Start(line),
            StartError::Interrupted(signal) => RunError::Interrupted(signal).into(),
        })?;
        let (address, pid) = (spawned.address(), Some(spawned.pid()));
        self.spawned.push(spawned);
        Ok(Target {
            name: visible(line),
            address,
            pid,
        })
    }

    /// Moves what server `index` has started since, before it is loaded again. Of one that has
    /// ended there is nothing to move, and the report tells it.
    pub fn settle(&mut self, index: usize) {
        if let Some(Some(pinned)) = self.pinned.get_mut(index) {
            let _ = pinned.renew();
        }
    }
}
