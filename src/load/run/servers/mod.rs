//! The servers of a session: running ones, started ones, and their processor.
//!
//! Dropping the value undoes every change: servers that were started here are stopped, and moved
//! servers get their affinity back. Starting a server and resolving a name take time, in which
//! signals are still handled. If a name has several addresses, the first one at which a run can
//! begin is used until the end of the session. Neighbours: `spawn` and `affinity`; `session` is the
//! caller.

mod listening;
pub mod spawn;
mod stderr_tail;

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::Duration;

use crate::base::text::escape::escape;
use crate::kernel::{Address, Endpoint, Poller, ip_text};

use super::affinity::Pinned;
use super::bench::{Bench, Server, ServerPid};
use super::{RunError, Target};
use crate::load::run;
use crate::load::run::session::SessionError;
use listening::process_at;
use spawn::{Spawned, StartError};

/// The polling interval for the name lookup, and the delay with which a signal is noticed.
const LOOK_UP_PAUSE: Duration = Duration::from_millis(5);

/// The addresses of a server that were not tried yet.
#[derive(Debug)]
pub struct Candidates {
    /// The endpoint as the user gave it.
    pub endpoint: Endpoint,
    left: VecDeque<Address>,
    refusals: Vec<String>,
}

impl Candidates {
    fn new(endpoint: Endpoint, addresses: Vec<Address>) -> Candidates {
        Candidates {
            endpoint,
            left: addresses.into(),
            refusals: Vec::new(),
        }
    }

    /// Handles a failed start of a run at the address of `target`, with the message `refusal`.
    /// Moves `target` to the next address, or returns the error when no address is left.
    pub fn next(&mut self, target: &mut Target, refusal: String) -> Result<(), RunError> {
        self.refusals.push(refusal);
        match self.left.pop_front() {
            Some(address) => {
                (target.name, target.address) = (called(&self.endpoint, &address), address);
                Ok(())
            }
            None => Err(RunError::Target(self.refusals.join("; "))),
        }
    }

    /// Keeps the current address for all later runs, after a run has begun.
    pub fn settle(&mut self) {
        self.left.clear();
        self.refusals.clear();
    }
}

/// The server's name in reports: for a host name, also the resolved address.
fn called(endpoint: &Endpoint, address: &Address) -> String {
    match address {
        Address::Tcp(at) | Address::Udp(at) if endpoint.is_named() => {
            format!("{endpoint} ({})", ip_text(at))
        }
        _ => endpoint.to_string(),
    }
}

/// All servers, by index.
#[derive(Debug, Default)]
pub struct Servers {
    /// Names, addresses and processes.
    pub targets: Vec<Target>,
    /// The remaining addresses of each server.
    pub candidates: Vec<Candidates>,
    /// Pinned servers. This field drops before `spawned`: the affinity of a process that is gone
    /// cannot be restored.
    pinned: Vec<Option<Pinned>>,
    spawned: Vec<Spawned>,
}

impl Servers {
    /// Starts the commands, and pins all servers to `core`, if given. Signals arrive at `kernel`.
    pub fn start<K: Poller>(
        bench: &Bench,
        core: Option<usize>,
        kernel: &mut K,
    ) -> Result<Servers, SessionError> {
        let mut servers = Servers::default();
        let mut pids = bench.pids.iter().copied();
        for server in &bench.servers {
            let (target, candidates) = match server {
                Server::At(endpoint) => find(bench, endpoint, pids.next(), kernel)?,
                Server::Command(line) => {
                    let target = servers.spawn(line, core, kernel)?;
                    let candidates = Candidates::new((&target.address).into(), Vec::new());
                    (target, candidates)
                }
            };
            let pinned = match (target.pid, core) {
                (Some(pid), Some(core)) => Some(Pinned::new(pid, core).map_err(RunError::Own)?),
                _ => None,
            };
            servers.pinned.push(pinned);
            servers.targets.push(target);
            servers.candidates.push(candidates);
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
            name: escape(line),
            address,
            pid,
        })
    }

    /// Pins new threads of server `index` before the next run. If the server has ended, there is
    /// nothing to pin, and the report says so.
    pub fn settle(&mut self, index: usize) {
        if let Some(Some(pinned)) = self.pinned.get_mut(index) {
            let _ = pinned.renew();
        }
    }
}

/// The target for a running server: its first address, and the candidates after it.
fn find<K: Poller>(
    bench: &Bench,
    endpoint: &Endpoint,
    pid: Option<ServerPid>,
    kernel: &mut K,
) -> Result<(Target, Candidates), SessionError> {
    let mut unsuited = None;
    let mut addresses = look_up(endpoint, kernel)?;
    addresses.retain(|address| {
        let checked = bench.plan.check_family(address, &called(endpoint, address));
        let is_suited = checked.is_ok();
        unsuited = unsuited.take().or(checked.err());
        is_suited
    });
    let mut candidates = Candidates::new(endpoint.clone(), addresses);
    match candidates.left.pop_front() {
        Some(address) => {
            let name = called(endpoint, &address);
            let pid = match pid {
                Some(ServerPid::Number(pid)) => Some(pid),
                Some(ServerPid::Auto) => {
                    let found = process_at(&address);
                    let named = |why| SessionError::Usage(format!("--server-pid auto: {why}"));
                    Some(found.map_err(named)?)
                }
                None => None,
            };
            Ok((Target { name, address, pid }, candidates))
        }
        None => Err(SessionError::Usage(unsuited.unwrap_or_default())),
    }
}

/// Resolves all addresses of `endpoint`. A lookup may block for long and does not react to signals,
/// so it runs in its own thread.
fn look_up<K: Poller>(endpoint: &Endpoint, kernel: &mut K) -> Result<Vec<Address>, SessionError> {
    let asked = endpoint.clone();
    if !asked.is_named() {
        return asked.resolve().map_err(SessionError::Usage);
    }
    let asking = thread::Builder::new().spawn(move || asked.resolve());
    let asking = asking.map_err(RunError::Own)?;
    while !asking.is_finished() {
        let until = kernel.now().after(LOOK_UP_PAUSE);
        if let Some(signal) = run::pause(kernel, until).map_err(RunError::Own)? {
            return Err(RunError::Interrupted(signal).into());
        }
    }
    match asking.join() {
        Ok(found) => found.map_err(|why| RunError::Target(format!("{endpoint}: {why}")).into()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> (Target, Candidates) {
        let endpoint: Endpoint = "three:7".parse().expect("a name");
        let [first, second, third] =
            [2, 3, 4].map(|last| Address::Tcp(([127, 0, 0, last], 7).into()));
        let name = called(&endpoint, &first);
        let address = first;
        let candidates = Candidates::new(endpoint, vec![second, third]);
        let pid = None;
        (Target { name, address, pid }, candidates)
    }

    #[test]
    fn the_next_address_is_taken_until_there_is_none() {
        let (mut target, mut candidates) = candidates();
        assert_eq!(target.name, "tcp://three:7 (127.0.0.2)");
        for last in [3, 4] {
            let moved = candidates.next(&mut target, format!("not {}", last - 1));
            assert!(moved.is_ok());
            assert_eq!(target.name, format!("tcp://three:7 (127.0.0.{last})"));
            assert_eq!(target.address, Address::Tcp(([127, 0, 0, last], 7).into()));
        }
        let failed = candidates.next(&mut target, "not 4".to_owned());
        let told = failed.map_err(|error| error.to_string());
        assert_eq!(told, Err("not 2; not 3; not 4".to_owned()));
    }

    #[test]
    fn later_runs_stay_at_the_address_of_the_first() {
        let (mut target, mut candidates) = candidates();
        assert!(candidates.next(&mut target, "not 2".to_owned()).is_ok());
        candidates.settle();
        let failed = candidates.next(&mut target, "gone".to_owned());
        let told = failed.map_err(|error| error.to_string());
        assert_eq!(told, Err("gone".to_owned()));
        assert_eq!(target.name, "tcp://three:7 (127.0.0.3)");
    }
}
