//! The inputs of a load, checked against each other before anything is opened.
//!
//! A [`Plan`] is plain data. The command line fills it, and the reports print it again, so that
//! every figure appears with its inputs. The plan opens nothing and knows no clock. Neighbours:
//! `script` (the request bytes), `schedule` (the due times).

pub mod schedule;
pub mod script;
pub mod text;

use std::time::Duration;

use crate::kernel::{Address, Endpoint};
use crate::limits::{
    CONNECT_TIMEOUT_DEFAULT, CONNECTIONS_MAX, DATAGRAM_SIZE_IPV4_MAX, DATAGRAM_SIZE_IPV6_MAX,
    IN_FLIGHT_MAX, LOAD_CONNECTIONS_DEFAULT, LOAD_DURATION_DEFAULT, LOAD_GRACE_DEFAULT,
    LOAD_RATE_MAX, LOAD_RATE_MIN, LOAD_SIZE_DEFAULT, LOAD_SIZE_MAX, LOAD_WARMUP_DEFAULT,
    PIPELINE_MAX, THREADS_DEFAULT, THREADS_MAX,
};
use crate::protocol::framing::{Decoded, Framing, Raw};
use crate::protocol::front::auth::Key;
use crate::protocol::front::proxy::Version;

use super::conversation::exchange::Expect;
use super::conversation::http::request::Request;
use schedule::Arrivals;
use script::Script;

/// The condition that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After this time.
    Time(Duration),
    /// After this many requests.
    Requests(u64),
}

/// What triggers the next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A reply: each connection keeps its pipeline full.
    Closed,
    /// A schedule with a fixed rate, independent of the replies.
    Open {
        /// Requests per second over all connections.
        rate: f64,
        /// The distribution of the gaps.
        arrivals: Arrivals,
    },
}

/// The protocol of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Echo: the reply equals the request.
    Echo,
    /// HTTP/1.1.
    Http,
    /// Any protocol of requests and replies: a message, and what ends its reply.
    Message,
}

/// The message of [`Protocol::Message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The payload of each request.
    pub bytes: Vec<u8>,
    /// What ends a reply. A datagram is a whole reply.
    pub expect: Expect,
}

impl Default for Message {
    fn default() -> Message {
        Message {
            bytes: Vec::new(),
            expect: Expect::Line,
        }
    }
}

/// The inputs of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Connections that carry the load.
    pub connections: usize,
    /// Additional connections that send nothing.
    pub idle: usize,
    /// When the run ends.
    pub until: Until,
    /// The time in which requests are sent before the measurement starts.
    pub warmup: Duration,
    /// The time in which replies are accepted after the window. A run by a count ends with its last
    /// reply instead.
    pub grace: Duration,
    /// The time over which the connections are opened.
    pub ramp: Duration,
    /// The time over which connections are opened while the load runs; the load begins with the
    /// first one.
    pub slow_start: Duration,
    /// When the load begins, in seconds since 1970; at once if that is past.
    pub start_at: Option<u64>,
    /// How often a line about the run is written.
    pub interval: Option<Duration>,
    /// The header of a load balancer that each connection begins with.
    pub proxy: Option<Version>,
    /// The time limit for one connection to be established; `None` means the kernel's limit.
    pub connect_timeout: Option<Duration>,
    /// The key that answers the challenge of the server, on each connection.
    pub key: Option<Key>,
    /// The smallest and the largest payload in bytes.
    pub size: (usize, usize),
    /// The most requests in flight on one connection.
    pub pipeline: usize,
    /// Closed or open loop.
    pub pace: Pace,
    /// How requests are framed.
    pub framing: Framing,
    /// Whether each request gets its own connection.
    pub churn: bool,
    /// Worker threads, each with its own event loop.
    pub threads: usize,
    /// The processors of the workers, in turn. Empty: the kernel chooses.
    pub pins: Vec<usize>,
    /// The local addresses to connect from, in turn.
    pub sources: Vec<Address>,
    /// How long a worker polls for events before it sleeps.
    pub spin: Option<Duration>,
    /// Echo or HTTP.
    pub protocol: Protocol,
    /// The HTTP requests.
    pub request: Request,
    /// The message that is sent instead of an echo.
    pub message: Message,
    /// Whether every byte of an echo is compared, and every page with the first one.
    pub verify: bool,
}

impl Default for Plan {
    #[inline(never)]
    fn default() -> Plan {
        Plan {
            connections: LOAD_CONNECTIONS_DEFAULT,
            idle: 0,
            until: Until::Time(LOAD_DURATION_DEFAULT),
            warmup: LOAD_WARMUP_DEFAULT,
            grace: LOAD_GRACE_DEFAULT,
            ramp: Duration::ZERO,
            slow_start: Duration::ZERO,
            start_at: None,
            interval: None,
            proxy: None,
            connect_timeout: Some(CONNECT_TIMEOUT_DEFAULT),
            key: None,
            size: (LOAD_SIZE_DEFAULT, LOAD_SIZE_DEFAULT),
            pipeline: 1,
            pace: Pace::Closed,
            framing: Framing::Raw(Raw),
            churn: false,
            threads: THREADS_DEFAULT,
            pins: Vec::new(),
            sources: Vec::new(),
            spin: None,
            protocol: Protocol::Echo,
            request: Request::default(),
            message: Message::default(),
            verify: true,
        }
    }
}

impl Plan {
    /// Checks the plan. The error names the option.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: usize, least: usize, most: usize| match value {
            _ if value >= least && value <= most => Ok(()),
            _ => Err(format!("{name} must be {least} to {most}, not {value}")),
        };
        within(
            "--connections",
            self.connections,
            1,
            CONNECTIONS_MAX as usize,
        )?;
        within("--idle", self.idle, 0, CONNECTIONS_MAX as usize)?;
        within("--pipeline", self.pipeline, 1, PIPELINE_MAX)?;
        if self.connections.saturating_mul(self.pipeline) > IN_FLIGHT_MAX {
            return Err(format!(
                "--pipeline {} on {} connections: must be at most {IN_FLIGHT_MAX} in all",
                self.pipeline, self.connections
            ));
        }
        within("--threads", self.threads, 1, THREADS_MAX)?;
        within("--size", self.size.1, 0, LOAD_SIZE_MAX)?;
        if self.size.0 > self.size.1 {
            return Err(format!(
                "--size {}..{} is upside down",
                self.size.0, self.size.1
            ));
        }
        if self.threads > self.connections {
            return Err(format!(
                "--threads {} leaves some without one of the {} connections",
                self.threads, self.connections
            ));
        }
        if self.churn && self.pipeline > 1 {
            return Err(
                "--churn closes after one request; --pipeline does not go with it".to_owned(),
            );
        }
        if self.churn && self.idle == 0 && !self.ramp.is_zero() {
            return Err(
                "--churn opens its connections as the load goes on; --ramp has none to open"
                    .to_owned(),
            );
        }
        if !self.slow_start.is_zero() && (self.churn || !self.ramp.is_zero()) {
            return Err(
                "--slow-start opens connections under load; --churn and --ramp do not go with it"
                    .to_owned(),
            );
        }
        match self.until {
            Until::Time(Duration::ZERO) => {
                return Err("--duration must be longer than 0".to_owned());
            }
            Until::Requests(0) => return Err("--requests must be at least 1".to_owned()),
            _ => {}
        }
        match self.pace {
            Pace::Open { rate, .. } if !(LOAD_RATE_MIN..=LOAD_RATE_MAX).contains(&rate) => Err(
                format!("--rate must be {LOAD_RATE_MIN} to {LOAD_RATE_MAX} a second, not {rate}"),
            ),
            _ => Ok(()),
        }
    }

    /// Checks the plan for datagrams of any address family. The error names the option.
    pub fn check_datagrams(&self) -> Result<(), String> {
        let wrong = |reason: &str| Err(reason.to_owned());
        match self {
            Plan { protocol, .. } if *protocol == Protocol::Http => {
                wrong("--protocol must be echo over datagrams")
            }
            Plan {
                protocol: Protocol::Message,
                message,
                ..
            } if message.bytes.len() > DATAGRAM_SIZE_IPV4_MAX => Err(format!(
                "--message must be at most {DATAGRAM_SIZE_IPV4_MAX} bytes, the most that a \
                 datagram carries over IPv4"
            )),
            Plan { framing, .. } if *framing != Framing::Raw(Raw) => {
                wrong("a datagram is a frame by itself; --frame does not go with it")
            }
            Plan { proxy: Some(_), .. } => {
                wrong("--proxy-protocol goes with connections; datagrams have none")
            }
            Plan { pipeline: 2.., .. } => {
                wrong("a datagram may be lost, so one is in flight; --connections gives more")
            }
            Plan { size: (0, _), .. } => wrong("--size must be at least 1"),
            Plan {
                size: (_, most), ..
            } if *most > DATAGRAM_SIZE_IPV6_MAX => Err(format!(
                "--size must be at most {DATAGRAM_SIZE_IPV6_MAX}, the most that a datagram carries \
                 over IPv6, or {DATAGRAM_SIZE_IPV4_MAX} over IPv4"
            )),
            _ => Ok(()),
        }
    }

    /// Checks the plan for a server at `address` with the name `name`: the conditions that depend
    /// on the address family. The error names the option.
    pub fn check_family(&self, address: &Address, name: &str) -> Result<(), String> {
        let (Address::Tcp(at) | Address::Udp(at)) = address else {
            return Ok(());
        };
        // Traffic to an IPv4-mapped IPv6 address is IPv4 on the wire.
        let is_ipv4 = at.ip().to_canonical().is_ipv4();
        if matches!(address, Address::Udp(_)) && is_ipv4 && self.size.1 > DATAGRAM_SIZE_IPV4_MAX {
            return Err(format!(
                "{name}: --size must be at most {DATAGRAM_SIZE_IPV4_MAX}, the most that a datagram \
                 carries over IPv4"
            ));
        }
        for source in &self.sources {
            match source {
                Address::Tcp(from) if from.is_ipv6() != at.is_ipv6() => {
                    let family = if at.is_ipv6() { "IPv6" } else { "IPv4" };
                    let ip = from.ip();
                    return Err(format!(
                        "--source-ip {ip}: not for {name}, which needs {family}"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Builds the requests for the server at `to`. The error names the option.
    pub fn script(&self, to: impl Into<Endpoint>) -> Result<Script, String> {
        let Plan { size, pipeline, .. } = *self;
        match self.protocol {
            Protocol::Http => {
                let requests = self.request.to_bytes(&to.into());
                Ok(Script::in_turn(&requests, pipeline))
            }
            Protocol::Message => {
                let request = self.framed_message()?;
                Ok(Script::same(&request, pipeline))
            }
            Protocol::Echo => Script::echo(&self.framing, size.0, size.1, pipeline),
        }
    }

    /// The bytes of a message: as typed, or as the payload of a frame.
    fn framed_message(&self) -> Result<Vec<u8>, String> {
        let payload = &self.message.bytes;
        if payload.is_empty() {
            return Err("--message must not be empty, it would have no reply".to_owned());
        }
        if !self.framing.has_boundaries() {
            return Ok(payload.clone());
        }
        let overhead = self.framing.overhead();
        let mut space = vec![0; overhead.front + payload.len() + overhead.back];
        space[overhead.front..][..payload.len()].copy_from_slice(payload);
        let length = self.framing.encode(&[], &mut space, payload.len());
        let length = length.map_err(|error| format!("--message: {error}"))?;
        space.truncate(length);
        match self.framing.decode(&space, 0) {
            Decoded::Frame(bounds) if bounds.frame == length => Ok(space),
            _ => Err(format!(
                "--message: does not fit the framing '{}'",
                self.framing
            )),
        }
    }

    /// Whether a request may be sent again that may or may not have arrived.
    pub fn is_repeatable(&self) -> bool {
        self.protocol == Protocol::Http && self.request.is_repeatable()
    }

    /// The number of different requests, whose replies are compared each with its own first one.
    pub fn urls(&self) -> usize {
        match self.protocol {
            Protocol::Http => self.request.paths.len(),
            Protocol::Echo | Protocol::Message => 1,
        }
    }

    /// The share of worker `index` in `total`. Shares differ by at most 1.
    pub fn share(&self, total: u64, index: usize) -> u64 {
        let workers = self.threads as u64;
        total / workers + u64::from((index as u64) < total % workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_contradict_each_other_name_the_option() {
        let cases: [(Plan, &str); 7] = [
            (
                Plan {
                    connections: 0,
                    ..Plan::default()
                },
                "--connections",
            ),
            (
                Plan {
                    threads: 51,
                    ..Plan::default()
                },
                "--threads",
            ),
            (
                Plan {
                    size: (9, 8),
                    ..Plan::default()
                },
                "--size",
            ),
            (
                Plan {
                    churn: true,
                    pipeline: 2,
                    ..Plan::default()
                },
                "--churn",
            ),
            (
                Plan {
                    until: Until::Requests(0),
                    ..Plan::default()
                },
                "--requests",
            ),
            (
                Plan {
                    pace: Pace::Open {
                        rate: 1e-300,
                        arrivals: Arrivals::Fixed,
                    },
                    ..Plan::default()
                },
                "--rate must be 0.001",
            ),
            (
                Plan {
                    pace: Pace::Open {
                        rate: f64::NAN,
                        arrivals: Arrivals::Fixed,
                    },
                    ..Plan::default()
                },
                "--rate",
            ),
        ];
        for (plan, option) in cases {
            assert!(
                plan.check().is_err_and(|error| error.contains(option)),
                "{option}"
            );
        }
        assert_eq!(Plan::default().check(), Ok(()));
    }

    #[test]
    fn connections_and_depth_are_bounded_together() {
        for (connections, pipeline, is_fine) in [
            (256, PIPELINE_MAX, true),
            (IN_FLIGHT_MAX / 2 - 1, 2, true),
            (IN_FLIGHT_MAX, 1, true),
            (257, PIPELINE_MAX, false),
            (IN_FLIGHT_MAX / 2 + 1, 2, false),
        ] {
            let plan = Plan {
                connections,
                pipeline,
                ..Plan::default()
            };
            let checked = plan.check();
            assert_eq!(checked.is_ok(), is_fine, "{checked:?}");
            let names = |line: String| line.starts_with("--pipeline") && line.contains("16777216");
            assert!(is_fine || checked.is_err_and(names));
        }
    }

    #[test]
    fn shares_add_up_and_differ_by_one_at_most() {
        let plan = Plan {
            threads: 3,
            ..Plan::default()
        };
        let shares: Vec<u64> = (0..3).map(|index| plan.share(11, index)).collect();
        assert_eq!(shares, [4, 4, 3]);
    }
}
