//! Whether this machine has what the load needs: processors to pin to, and local addresses to
//! connect from.
//!
//! Each check tries the system call and undoes it, because only the kernel knows what a container
//! or a virtual machine may use. The checks run before any server is started, so a mistyped option
//! causes one error line and not a failed run. Man pages: sched_setaffinity(2), bind(2).

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::thread;

use crate::kernel::{Address, host};

use crate::load::plan::Plan;

/// Runs the checks. The error says what is missing and names the option.
pub fn check(plan: &Plan) -> Result<(), String> {
    for &cpu in &plan.pins {
        try_processor(cpu).map_err(|error| {
            let all = fs::read_to_string(host::PROCESSORS_ONLINE);
            let all = all.unwrap_or_else(|_| "not known".to_owned());
            let all = all.trim();
            format!("--pin {cpu}: {error}; the processors of this machine are {all}")
        })?;
    }
    for source in &plan.sources {
        if let Address::Tcp(source) = source {
            UdpSocket::bind(source).map_err(|error| {
                let ip = source.ip();
                format!("--source-ip {ip}: {error}; it must be an address of this machine")
            })?;
        }
    }
    Ok(())
}

/// Pins a new thread, which does nothing else, to processor `cpu`.
fn try_processor(cpu: usize) -> io::Result<()> {
    let tried = thread::scope(|scope| scope.spawn(|| host::pin_task(0, cpu)).join());
    tried.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: impl FnOnce(&mut Plan)) -> String {
        let mut plan = Plan::default();
        change(&mut plan);
        check(&plan).expect_err("there is no such thing")
    }

    #[test]
    fn what_is_there_is_found() {
        let here = crate::load::run::observe::processors();
        let sources = ["127.0.0.1:0", "127.9.9.9:0"];
        let sources = sources.map(|source| Address::Tcp(source.parse().expect("an address")));
        let plan = Plan {
            pins: here,
            sources: sources.to_vec(),
            ..Plan::default()
        };
        assert_eq!(check(&plan), Ok(()));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let line = told(|plan| plan.pins = vec![999]);
        assert!(
            line.starts_with("--pin 999: ") && line.contains("are 0"),
            "{line}"
        );
        // An address from the documentation range: no host uses it (RFC 5737).
        let absent = Address::Tcp("192.0.2.1:0".parse().expect("an address"));
        let line = told(|plan| plan.sources = vec![absent]);
        assert!(line.starts_with("--source-ip 192.0.2.1: "), "{line}");
        assert!(line.contains("an address of this machine"), "{line}");
    }
}
