//! What the service manager is told: that the server is ready, reloads, stops, and is alive.
//!
//! ```text
//!   READY=1 ... RELOADING=1 MONOTONIC_USEC=n ... READY=1 ... STOPPING=1
//!   STATUS=3 connections    every second, if it has changed
//!   WATCHDOG=1              at half of WATCHDOG_USEC, if every loop has turned since the last one
//! ```
//!
//! Invariants: no message follows another of the same kind without the one between them, and
//! nothing waits. A message that is lost is logged once, until one arrives again. Without a manager
//! every call does nothing. Neighbours: `workers` and `processes::supervisor` call this, each from
//! its own timers; `kernel::ServiceManager` sends. See sd_notify(3), sd_watchdog_enabled(3).

use std::time::Duration;

use crate::kernel::ServiceManager;

/// What the service manager is told.
#[derive(Debug, Default)]
pub struct Notices {
    manager: Option<ServiceManager>,
    watchdog: Option<Duration>,
    /// The last status.
    status: String,
    is_reloading: bool,
    is_stopping: bool,
    /// The last message was lost.
    is_lost: bool,
}

impl Notices {
    /// Reads the variables of the environment, for the process `id`. A wrong one is logged and not
    /// used: the manager is not this program's user.
    pub fn read(variable: impl Fn(&str) -> Option<String>, id: u32) -> Notices {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let Some(name) = given("NOTIFY_SOCKET") else {
            return Notices::default();
        };
        let manager = match ServiceManager::at(&name) {
            Ok(manager) => manager,
            Err(error) => {
                log::warn!("NOTIFY_SOCKET={name:?}: {error}; the service manager hears nothing");
                return Notices::default();
            }
        };
        let is_ours = given("WATCHDOG_PID").is_none_or(|pid| pid == id.to_string());
        let span = given("WATCHDOG_USEC").filter(|_| is_ours);
        let watchdog = span.and_then(|text| match text.parse() {
            Ok(span @ 1..) => Some(Duration::from_micros(span) / 2),
            _ => {
                log::warn!("WATCHDOG_USEC={text:?}: must be a number of microseconds, not used");
                None
            }
        });
        Notices {
            manager: Some(manager),
            watchdog,
            ..Notices::default()
        }
    }

    /// Whether there is a service manager.
    pub(super) fn is_on(&self) -> bool {
        self.manager.is_some()
    }

    /// Time between two calls of [`Notices::tell_alive`]; `None` if it is not asked for.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The server serves.
    pub(super) fn tell_ready(&mut self) {
        self.tell("READY=1");
    }

    /// The same; the service manager has started another process, and this one has `taken_over`.
    pub(super) fn tell_serving(&mut self, has_taken_over: bool) {
        match has_taken_over {
            false => self.tell_ready(),
            true => self.tell(&format!("MAINPID={}\nREADY=1", std::process::id())),
        }
    }

    /// Another process tells everything from now on.
    pub(super) fn tell_no_more(&mut self) {
        self.manager = None;
    }

    /// A reload begins.
    pub(super) fn tell_reloading(&mut self) {
        if self.is_on() && !self.is_reloading && !self.is_stopping {
            self.is_reloading = true;
            let now = ServiceManager::now_us();
            self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
        }
    }

    /// Whether a reload was told, and not its end.
    pub(super) fn is_reloading(&self) -> bool {
        self.is_reloading
    }

    /// The reload is over, well or not.
    pub(super) fn tell_reloaded(&mut self) {
        if std::mem::take(&mut self.is_reloading) && !self.is_stopping {
            self.tell_ready();
        }
    }

    /// The drain begins.
    pub(super) fn tell_stopping(&mut self) {
        if !std::mem::replace(&mut self.is_stopping, true) {
            self.tell("STOPPING=1");
        }
    }

    /// Every loop has turned.
    pub(super) fn tell_alive(&mut self) {
        self.tell("WATCHDOG=1");
    }

    /// What a person reads in `systemctl status`, in a few words.
    pub(super) fn tell_status(&mut self, status: &str) {
        let begin = if self.is_stopping { "draining, " } else { "" };
        let line = format!("STATUS={begin}{status}");
        if self.is_on() && line != self.status {
            self.tell(&line);
            self.status = line;
        }
    }

    fn tell(&mut self, message: &str) {
        let Some(manager) = &self.manager else { return };
        let told = manager.tell(message);
        let was_lost = std::mem::replace(&mut self.is_lost, told.is_err());
        if let (Err(error), false) = (told, was_lost) {
            let word = message.lines().next().unwrap_or_default();
            log::warn!("NOTIFY_SOCKET: {word} is lost: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    fn read(more: &[(&str, &str)]) -> Notices {
        let name = ("NOTIFY_SOCKET", "@mynah-no-manager");
        let all = [&[name][..], more].concat();
        let find = |name: &str| all.iter().rfind(|(it, _)| *it == name);
        Notices::read(|name| find(name).map(|(_, value)| (*value).to_owned()), 42)
    }

    #[test]
    fn the_watchdog_is_told_at_half_of_its_time_if_it_is_meant_for_this_process() {
        let half = Some(Duration::from_millis(5));
        for (variables, expected) in [
            (&[("WATCHDOG_USEC", "10000")][..], half),
            (&[("WATCHDOG_USEC", "10000"), ("WATCHDOG_PID", "42")], half),
            (&[("WATCHDOG_USEC", "10000"), ("WATCHDOG_PID", "")], half),
            (&[("WATCHDOG_USEC", "10000"), ("WATCHDOG_PID", "43")], None),
            (&[("WATCHDOG_USEC", "1")], Some(Duration::from_nanos(500))),
            (&[("WATCHDOG_USEC", "0")], None),
            (&[("WATCHDOG_USEC", "-1")], None),
            (&[("WATCHDOG_USEC", "x")], None),
            (&[], None),
        ] {
            let notices = read(variables);
            assert_eq!((notices.is_on(), notices.watchdog()), (true, expected));
        }
        for name in ["", "relative", "vsock:1:2"] {
            let notices = read(&[("NOTIFY_SOCKET", name), ("WATCHDOG_USEC", "10000")]);
            assert_eq!(
                (notices.is_on(), notices.watchdog()),
                (false, None),
                "{name}"
            );
        }
    }

    #[test]
    fn each_message_is_told_once() -> std::io::Result<()> {
        let name = format!("mynah-notices-{}", std::process::id());
        let reader = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        reader.set_nonblocking(true)?;
        let heard = || {
            let mut space = [0; 200];
            let count = reader.recv(&mut space).unwrap_or(0);
            String::from_utf8_lossy(&space[..count]).into_owned()
        };
        let mut notices = read(&[("NOTIFY_SOCKET", &format!("@{name}"))]);
        notices.tell_ready();
        notices.tell_status("0 connections");
        notices.tell_status("0 connections");
        notices.tell_reloading();
        notices.tell_reloading();
        assert_eq!([heard(), heard()], ["READY=1", "STATUS=0 connections"]);
        let reloading = heard();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let time: u64 = time.expect("a time").parse().expect("a number");
        assert!((1..=ServiceManager::now_us()).contains(&time));
        notices.tell_reloaded();
        notices.tell_reloaded();
        notices.tell_alive();
        assert_eq!([heard(), heard()], ["READY=1", "WATCHDOG=1"]);
        notices.tell_reloading();
        heard();
        notices.tell_stopping();
        notices.tell_stopping();
        notices.tell_reloaded();
        notices.tell_reloading();
        notices.tell_status("0 connections");
        assert_eq!(
            [heard(), heard()],
            ["STOPPING=1", "STATUS=draining, 0 connections"]
        );
        assert_eq!(heard(), "");
        Ok(())
    }
}
