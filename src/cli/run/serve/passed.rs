//! Sockets that the server was started with: `--listen fd://N`, `LISTEN_FDS`, `--inetd`.
//!
//! All of them are taken and checked before anything else is opened, so an open number is one that
//! was passed. From `LISTEN_FDS` and `LISTEN_PID` come endpoints like those of `--listen`; the
//! names in `LISTEN_FDNAMES` may be there, and say nothing that is needed here. Neighbours:
//! `listeners` uses the listeners, `serve` the connection of `--inetd`, `kernel` checks a socket.
//! Man pages: sd_listen_fds(3), inetd(8).

use std::env;
use std::process::id as process_id;

use super::super::{Exit, Failure};
use super::takeover::Predecessor;
use crate::base::text::plural::plural;
use crate::cli::options::Serve;
use crate::kernel::{
    Address, Endpoint, PASSED_FIRST, Passed, PassedState, Socket, take_passed, take_standard_input,
};

/// The number of the connection, listener or datagram socket of `--inetd`.
const STANDARD_INPUT: u32 = 0;

/// The sockets that were passed and are not used yet.
#[derive(Default)]
pub(super) struct PassedSockets {
    listeners: Vec<(u32, Socket)>,
    addresses: Vec<(u32, Address)>,
    /// The connection of `--inetd`.
    pub(super) connection: Option<Socket>,
    /// The process that this one takes over from, and its listeners.
    pub(super) predecessor: Option<Predecessor>,
}

impl PassedSockets {
    /// Takes all sockets that `options` and the environment name. Endpoints of the environment
    /// replace the default of `--listen`.
    pub(super) fn take(options: &mut Serve) -> Result<PassedSockets, Failure> {
        let mut passed = PassedSockets::default();
        if options.inetd {
            let refused = |reason| usage(format!("--inetd: descriptor 0: {reason}"));
            let taken = take_standard_input().map_err(refused)?;
            passed.add(STANDARD_INPUT, taken, true).map_err(refused)?;
            options.listen = vec![Endpoint::Passed(STANDARD_INPUT)];
            return Ok(passed);
        }
        for endpoint in &options.listen {
            if let &Endpoint::Passed(number) = endpoint {
                let taken = take_passed(number);
                let added = taken.and_then(|taken| passed.add(number, taken, false));
                added.map_err(|reason| usage(format!("--listen {endpoint}: {reason}")))?;
            }
        }
        let given = Given::read(variable, process_id());
        match (given, options.is_listen_default) {
            (Ok(Given::Nothing), _) => {}
            (Ok(Given::ToOther(why)), _) => log::info!("{why}, so the sockets are not used"),
            (Ok(Given::Sockets(count)), true) => {
                passed.take_all(count)?;
                let numbers = passed.listeners.iter().map(|(number, _)| *number);
                options.listen = numbers.map(Endpoint::Passed).collect();
            }
            (Ok(Given::Sockets(count)), false) => passed.warn_of_others(count),
            (Err(reason), true) => return Err(usage(reason)),
            // The addresses are known without them.
            (Err(reason), false) => log::warn!("{reason}; it is not used"),
        }
        Ok(passed)
    }

    /// Takes `count` sockets of `LISTEN_FDS`.
    fn take_all(&mut self, count: u32) -> Result<(), Failure> {
        for number in (PASSED_FIRST..).take(count as usize) {
            let taken = take_passed(number);
            let added = taken.and_then(|taken| self.add(number, taken, false));
            added
                .map_err(|reason| usage(format!("LISTEN_FDS={count}: fd://{number}: {reason}")))?;
        }
        Ok(())
    }

    fn add(&mut self, number: u32, taken: Passed, may_connect: bool) -> Result<(), String> {
        match taken.state {
            PassedState::Listens => self.listeners.push((number, taken.socket)),
            PassedState::IsConnected if may_connect => self.connection = Some(taken.socket),
            PassedState::IsConnected => {
                return Err("it is a connection and not listening; --inetd serves one".to_owned());
            }
            PassedState::Receives => self.listeners.push((number, taken.socket)),
        }
        self.addresses.push((number, taken.address));
        Ok(())
    }

    /// Warns of sockets that `--listen` leaves out: the kernel queues connections there, and they
    /// get no reply.
    fn warn_of_others(&self, count: u32) {
        let used = self
            .listeners
            .iter()
            .filter(|(number, _)| *number < PASSED_FIRST + count);
        let unused = count as usize - used.count();
        if unused > 0 {
            log::warn!(
                "LISTEN_FDS={count}: --listen leaves {} out, which get no answer; \
                 --listen fd://{PASSED_FIRST} takes the first one",
                plural(unused, "socket", "sockets")
            );
        }
    }

    /// Whether no listener was passed when this process was started.
    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// The address of a socket.
    pub(super) fn address(&self, endpoint: &Endpoint) -> Option<Address> {
        let &Endpoint::Passed(number) = endpoint else {
            return None;
        };
        let found = self.addresses.iter().find(|(it, _)| *it == number);
        found.map(|(_, address)| address.clone())
    }

    /// The listener of an endpoint, once.
    pub(super) fn listener(&mut self, endpoint: &Endpoint) -> Option<Socket> {
        let &Endpoint::Passed(number) = endpoint else {
            return None;
        };
        let place = self.listeners.iter().position(|(it, _)| *it == number)?;
        Some(self.listeners.swap_remove(place).1)
    }
}

/// A variable of the environment; bytes that are not UTF-8 make it malformed.
pub(super) fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn usage(line: String) -> Failure {
    Failure::new(Exit::Usage, line)
}

/// What the environment says about sockets.
#[derive(Debug, PartialEq, Eq)]
enum Given {
    Nothing,
    /// It is meant for another process, for this reason.
    ToOther(String),
    /// So many, from [`PASSED_FIRST`] on.
    Sockets(u32),
}

impl Given {
    /// Reads the variables for the process `id`.
    fn read(variable: impl Fn(&str) -> Option<String>, id: u32) -> Result<Given, String> {
        let Some(count) = variable("LISTEN_FDS").filter(|count| !count.is_empty()) else {
            return Ok(Given::Nothing);
        };
        let Some(pid) = variable("LISTEN_PID").filter(|pid| !pid.is_empty()) else {
            return Ok(Given::ToOther(format!(
                "LISTEN_FDS={count}: there is no LISTEN_PID"
            )));
        };
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<i32>().ok()).flatten()
        };
        let Some(pid) = number(&pid) else {
            return Err(format!(
                "LISTEN_PID={pid:?}: must be the number of a process"
            ));
        };
        if i64::from(pid) != i64::from(id) {
            let line = format!("LISTEN_PID={pid}: this is process {id}");
            return Ok(Given::ToOther(line));
        }
        match number(&count) {
            Some(0) => Ok(Given::Nothing),
            // The last number must be one too.
            Some(count) if count.checked_add(PASSED_FIRST as i32).is_some() => {
                Ok(Given::Sockets(count.unsigned_abs()))
            }
            _ => Err(format!(
                "LISTEN_FDS={count:?}: must be a number of descriptors"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(count: &str, pid: &str) -> Result<Given, String> {
        let of = |name: &str| match name {
            "LISTEN_FDS" => count,
            _ => pid,
        };
        Given::read(|name| Some(of(name).to_owned()), 42)
    }

    #[test]
    fn sockets_are_used_if_they_are_meant_for_this_process() {
        assert_eq!(read("2", "42"), Ok(Given::Sockets(2)));
        assert_eq!(read("0", "42"), Ok(Given::Nothing));
        assert_eq!(read("", "42"), Ok(Given::Nothing));
        assert_eq!(Given::read(|_| None, 42), Ok(Given::Nothing));
        let other = |line: &str| Ok(Given::ToOther(line.to_owned()));
        assert_eq!(read("2", "43"), other("LISTEN_PID=43: this is process 42"));
        assert_eq!(read("2", ""), other("LISTEN_FDS=2: there is no LISTEN_PID"));
    }

    #[test]
    fn a_malformed_variable_is_named() {
        for pid in ["x", "-42", "+42", " 42", "4294967338"] {
            let line = format!("LISTEN_PID={pid:?}: must be the number of a process");
            assert_eq!(read("1", pid), Err(line));
        }
        let most = i32::MAX - PASSED_FIRST as i32;
        assert_eq!(
            read(&most.to_string(), "42"),
            Ok(Given::Sockets(most as u32))
        );
        for count in ["x", "-1", "1.5", "2147483645", "99999999999"] {
            let line = format!("LISTEN_FDS={count:?}: must be a number of descriptors");
            assert_eq!(read(count, "42"), Err(line));
        }
    }
}
