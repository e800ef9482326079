//! The rows of `mynah serve`.
//!
//! The fields of a row are explained in `table`. Rules about several options at once are checked
//! after all were parsed, in the row of the command.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::super::services::{self, SERVICES, ServiceName};
use super::super::values::{
    byte_rate, byte_rate_text, choice, count, count_or_off, count_or_off_text, mode, number, put,
    size, size_text, stream_endpoint, switch, switch_text, threads, time, time_or_off,
    time_or_off_text, time_text,
};
use super::super::{Command, Serve, name_of};
use super::front;
use super::lookup::{unknown_service, where_an_address_goes};
use super::{
    ACCEPT_POLICIES, AUTHS, CODECS, CommandRow, Effect, FRAME_MAX_MAX, FTP, Flag, MODELS,
    ON_TOO_LONG, SERVE, SUBMITS, TIMEOUTS, TRIGGERS, check_auth, check_codec, tls,
};
use crate::kernel::batch::Submit;
use crate::kernel::{Address, Endpoint};
use crate::limits::{
    ALIVE_DEFAULT, ALIVE_MAX, ALIVE_MIN, BACKLOG_MAX, CONNECTIONS_DEFAULT, CONNECTIONS_MAX,
    LISTEN_DEFAULT, MEMORY_MAX, MEMORY_MIN, POOL_THREADS_MAX, PROCESSES_MAX, SOCKET_PATH_MAX,
    SPIN_MAX, STATS_INTERVAL_MIN, TIMEOUT_MAX,
};
use crate::server::blocking::Model;
use crate::server::observe::counters::StatsFormat;
use crate::server::observe::wiretap::Detail;

const DETAILS: &[(&str, Option<Detail>)] = &[
    ("off", None),
    ("size", Some(Detail::Size)),
    ("hex", Some(Detail::Hex)),
];

const STATS_FORMATS: &[(&str, StatsFormat)] =
    &[("text", StatsFormat::Text), ("json", StatsFormat::Json)];

fn service(text: &str) -> Result<ServiceName, String> {
    choice(text, SERVICES).map_err(|_| unknown_service(text))
}

/// Options of the epoll loop alone.
const LOOP_ONLY: &[&str] = &[
    "--accept",
    "--pin",
    "--trigger",
    "--spin",
    "--submit",
    "--takeover",
    "--processes",
];
/// Options that count in one process, and so not where each connection has its own.
const PROCESS_ONLY: &[&str] = &["--rate-total", "--rate-out-total", "--metrics"];

/// Options about connections alone, which datagrams do not have.
const CONNECTION_ONLY: &[&str] = &["--accept", "--idle-timeout", "--idle-read", "--idle-write"];

/// Whether some listener takes connections; without a listener the default one does.
fn has_streams(serve: &Serve) -> bool {
    serve.listen.is_empty() || serve.listen.iter().any(|it| !it.is_datagrams())
}

/// Refuses what does not combine with datagrams. Beside them there may be listeners of streams, to
/// which the options of connections then apply.
fn check_datagrams(serve: &Serve) -> Result<(), String> {
    let Some(endpoint) = serve.listen.iter().find(|it| it.is_datagrams()) else {
        return Ok(());
    };
    serve.check_datagram_listener(endpoint)?;
    match has_streams(serve) {
        true => Ok(()),
        false => serve.check_connection_only(endpoint),
    }
}

/// Whether `flag` was given and asks for something. `--processes off` does not, so it combines with
/// everything.
fn asks(serve: &Serve, given: &[&'static str], flag: &str) -> bool {
    given.contains(&flag)
        && match flag {
            "--threads" => serve.threads > 1,
            "--pin" => serve.pin,
            "--spin" => serve.spin.is_some(),
            "--submit" => serve.submit == Submit::Ring,
            "--processes" => serve.processes.is_some(),
            "--rate-total" => serve.rate_total.is_some(),
            "--rate-out-total" => serve.rate_out_total.is_some(),
            "--wiretap" => serve.wiretap.is_some(),
            "--idle-timeout" => serve.idle_timeout.is_some(),
            "--idle-read" => serve.idle_read.is_some(),
            "--idle-write" => serve.idle_write.is_some(),
            _ => true,
        }
}

/// Refuses options that do not combine with `--model`.
fn check_model(serve: &Serve, given: &[&'static str]) -> Result<(), String> {
    let model = name_of(&serve.model, MODELS);
    let is_given = |flag: &&&'static str| asks(serve, given, flag);
    if serve.model != Model::Pool {
        let default = Serve::default();
        let flag = match serve {
            _ if serve.pool_threads != default.pool_threads => Some("--pool-threads"),
            _ if serve.pool_queue != default.pool_queue => Some("--pool-queue"),
            _ => None,
        };
        if let Some(flag) = flag {
            return Err(format!("{flag}: needs --model pool, and has {model}"));
        }
    }
    let refused = match serve.model {
        Model::Epoll => None,
        _ if serve.threads > 1 => Some(&"--threads"),
        Model::Fork => (LOOP_ONLY.iter().chain(PROCESS_ONLY)).find(is_given),
        Model::Iterative | Model::Thread | Model::Pool => LOOP_ONLY.iter().find(is_given),
    };
    match refused {
        Some(flag) => Err(format!("--model {model}: does not combine with {flag}")),
        None => Ok(()),
    }
}

/// Options that do not combine with `--inetd`, where one process serves what it was given.
const NOT_INETD: &[&str] = &[
    "--listen",
    "-p",
    "--threads",
    "--accept",
    "--pin",
    "--submit",
    "--takeover",
    "--processes",
    "--rate-total",
    "--rate-out-total",
    "--metrics",
    "--wiretap",
];

/// Refuses options that do not combine with `--inetd`.
fn check_inetd(serve: &Serve, given: &[&'static str]) -> Result<(), String> {
    let is_given = |flag: &&&'static str| asks(serve, given, flag);
    match NOT_INETD.iter().find(is_given).filter(|_| serve.inetd) {
        Some(flag) => Err(format!("--inetd: does not combine with {flag}")),
        None => Ok(()),
    }
}

pub(super) const ROW: CommandRow = CommandRow {
    name: SERVE,
    about: "answer every connection; the default",
    usage: "mynah [serve] [SERVICE] [OPTIONS]",
    word: |options, position, text| match position {
        0 => put(&mut options.serve.service, service(text)),
        // `mynah run ls -l` is a common first try.
        _ if options.serve.service == ServiceName::Run => {
            Err("the commands of run follow --allow, such as --allow 'ls -l'".to_owned())
        }
        _ if options.serve.service == ServiceName::Dict && options.serve.dictionary.is_none() => {
            Err("the file of dict follows --dictionary, --dictionary FILE".to_owned())
        }
        _ => Err(where_an_address_goes(text).unwrap_or_else(|| {
            format!("serve takes one SERVICE, and has {}", options.serve.service)
        })),
    },
    words: ("Services", &services::WORDS),
    finish: |options| {
        let mut serve = options.serve;
        services::check(&serve)?;
        serve.framing = services::framing(&serve, options.framing)?;
        let mut of_connections = CONNECTION_ONLY.iter().copied();
        serve.connection_only = of_connections.find(|flag| {
            // Under --inetd it also says when a datagram socket is left.
            let is_of_both = serve.inetd && *flag == "--idle-timeout";
            !is_of_both && asks(&serve, &options.given, flag)
        });
        check_datagrams(&serve)?;
        // A datagram has an end whatever the framing of the streams is.
        if has_streams(&serve) {
            check_codec(serve.codec, &serve.framing)?;
        }
        check_auth(serve.auth, &serve.auth_key_file)?;
        check_model(&serve, &options.given)?;
        tls::check(&serve)?;
        for (flag, limit) in [
            ("--max-connections", serve.connections_max),
            // Each worker counts its own share of the limit, because workers share nothing.
            ("--max-connections-per-ip", serve.connections_per_ip_max),
        ] {
            let workers = serve.workers();
            if let Some(limit) = limit.filter(|limit| (*limit as usize) < workers) {
                let what = match (serve.processes, serve.threads) {
                    (None, _) => "--threads",
                    (Some(_), 1) => "--processes",
                    (Some(_), _) => "--processes times --threads",
                };
                return Err(format!(
                    "{flag} {limit}: must be at least {what}, {workers}"
                ));
            }
        }
        if serve.processes.is_none() && serve.alive != Some(ALIVE_DEFAULT) {
            let alive = time_or_off_text(serve.alive);
            return Err(format!(
                "--alive {alive}: only the workers of --processes N report"
            ));
        }
        if let Some(mode) = serve.unix_mode {
            if !serve.listen.iter().any(Endpoint::is_path) {
                return Err(format!("--unix-mode {mode:04o}: needs --listen unix:/PATH"));
            }
        }
        front::check(&serve)?;
        check_inetd(&serve, &options.given)?;
        for (place, endpoint) in serve.listen.iter().enumerate() {
            let is_same = matches!(endpoint, Endpoint::Passed(_));
            if is_same && serve.listen[..place].contains(endpoint) {
                return Err(format!("--listen {endpoint}: given twice"));
            }
        }
        if serve.listen.is_empty() {
            serve.is_listen_default = true;
            serve.listen.push(LISTEN_DEFAULT.parse()?);
        }
        Ok(Command::Serve(Box::new(serve)))
    },
    examples: &[
        ("mynah", "raw echo for this machine"),
        (
            "mynah upper --listen 0.0.0.0:7007 --listen [::]:7007",
            "to everyone, IPv4 and IPv6",
        ),
        (
            "mynah echo --frame u32be --frame-max 64k --threads 2",
            "length-framed echo, two workers",
        ),
        ("RUST_LOG=debug mynah --stats 5s", "watch what it does"),
    ],
};

/// TCP or UDP.
type Carrier = fn(SocketAddr) -> Address;

/// The carrier and the port of `*:PORT` or `:PORT`, which are all addresses of this machine, IPv4
/// and IPv6.
fn port_of_all(text: &str) -> Option<(Carrier, &str)> {
    let (carrier, text): (Carrier, _) = match text.strip_prefix("udp://") {
        Some(text) => (Address::Udp, text),
        None => (Address::Tcp, text.strip_prefix("tcp://").unwrap_or(text)),
    };
    let port = (text.strip_prefix('*').unwrap_or(text))
        .strip_prefix(':')
        .filter(|port| !port.contains(':'))?;
    Some((carrier, port))
}

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        long: "--listen",
        short: Some("-l"),
        group: "Listening",
        commands: &[SERVE, FTP],
        help: "where to listen, *:PORT for everyone; may be repeated",
        default: |_| LISTEN_DEFAULT.to_owned(),
        effect: Effect::Value("ADDR", |options, text| {
            let serve = &mut options.serve;
            match port_of_all(text) {
                None => serve.listen.push(text.parse()?),
                Some((carrier, port)) => {
                    let port = number(port, 0..=u16::MAX)?;
                    let all = |ip: IpAddr| Endpoint::At(carrier((ip, port).into()));
                    serve.listen.push(all(Ipv4Addr::UNSPECIFIED.into()));
                    serve.listen_halves.push(serve.listen.len());
                    serve.listen.push(all(Ipv6Addr::UNSPECIFIED.into()));
                }
            }
            Ok(())
        }),
    },
    Flag {
        long: "-p",
        short: None,
        group: "Listening",
        commands: &[SERVE, FTP],
        help: "short for --listen PORT, on this machine",
        default: |_| String::new(),
        effect: Effect::Value("PORT", |options, text| {
            let port: u16 = number(text, 0..=u16::MAX)
                .map_err(|why| format!("{why}; an address follows -l or --listen"))?;
            options.serve.listen.push(port.to_string().parse()?);
            Ok(())
        }),
    },
    Flag {
        long: "--inetd",
        short: None,
        group: "Listening",
        commands: &[SERVE],
        help: "serve descriptor 0, a connection or a listener; log to /dev/log",
        default: |options| switch_text(options.serve.inetd),
        effect: Effect::Switch(|options, text| put(&mut options.serve.inetd, switch(text))),
    },
    Flag {
        long: "--unix-mode",
        short: None,
        group: "Listening",
        commands: &[SERVE],
        help: "permissions of the files of unix:/PATH, such as 0660 [by the umask]",
        default: |_| String::new(),
        effect: Effect::Value("MODE", |options, text| {
            put(&mut options.serve.unix_mode, mode(text).map(Some))
        }),
    },
    Flag {
        long: "--user",
        short: None,
        group: "Listening",
        commands: &[SERVE, FTP],
        help: "after binding, serve as this user instead of root",
        default: |_| String::new(),
        effect: Effect::Value("NAME[:GROUP]", |options, text| {
            let is_empty = text.is_empty() || text.starts_with(':') || text.ends_with(':');
            if is_empty {
                return Err("must be NAME or NAME:GROUP, such as nobody:nogroup".to_owned());
            }
            options.serve.user = Some(text.to_owned());
            Ok(())
        }),
    },
    Flag {
        long: "--takeover",
        short: None,
        group: "Listening",
        commands: &[SERVE],
        help: "take over from the server with the same PATH, and be taken over there",
        default: |_| String::new(),
        effect: Effect::Value("PATH", |options, text| {
            if text.is_empty() || text.len() > SOCKET_PATH_MAX {
                return Err(format!(
                    "must be a path of 1 to {SOCKET_PATH_MAX} bytes, such as /run/mynah.takeover"
                ));
            }
            options.serve.takeover = Some(text.into());
            Ok(())
        }),
    },
    front::PROXY_PROTOCOL,
    front::PROXY_FROM,
    Flag {
        long: "--backlog",
        short: None,
        group: "Listening",
        commands: &[SERVE, FTP],
        help: "connections that may wait to be accepted",
        default: |options| options.serve.backlog.to_string(),
        effect: Effect::Value("N", |options, text| {
            put(&mut options.serve.backlog, count(text, 1..=BACKLOG_MAX))
        }),
    },
    Flag {
        long: "--nodelay",
        short: None,
        group: "Listening",
        commands: &[SERVE],
        help: "send small replies at once (TCP_NODELAY)",
        default: |options| switch_text(options.serve.nodelay),
        effect: Effect::Switch(|options, text| put(&mut options.serve.nodelay, switch(text))),
    },
    Flag {
        long: "--defer-accept",
        short: None,
        group: "Listening",
        commands: &[SERVE],
        help: "take a connection in only when it has sent something",
        default: |options| switch_text(options.serve.defer_accept),
        effect: Effect::Switch(|options, text| put(&mut options.serve.defer_accept, switch(text))),
    },
    Flag {
        long: "--service",
        short: None,
        group: "Service",
        commands: &[SERVE],
        help: "the service by name, like the word SERVICE",
        default: |options| options.serve.service.to_string(),
        effect: Effect::Value("NAME", |options, text| {
            put(&mut options.serve.service, service(text))
        }),
    },
    services::UNICODE,
    services::PREFIX,
    services::DICTIONARY,
    services::ALLOW,
    Flag {
        long: "--frame",
        short: None,
        group: "Service",
        commands: &[SERVE],
        help: "where a message ends, see Framings; texts: line",
        default: |options| options.serve.framing.to_string(),
        effect: Effect::Value("SPEC", |options, text| {
            put(&mut options.framing, text.parse().map(Some))
        }),
    },
    Flag {
        long: "--codec",
        short: None,
        group: "Service",
        commands: &[SERVE],
        help: "how messages are written in their frames: none or base64",
        default: |options| name_of(&options.serve.codec, CODECS).to_owned(),
        effect: Effect::Value("CODEC", |options, text| {
            put(&mut options.serve.codec, choice(text, CODECS))
        }),
    },
    Flag {
        long: "--auth",
        short: None,
        group: "Service",
        commands: &[SERVE],
        help: "peers must know a key: hmac-sha256 or hmac-md5 (feature auth)",
        default: |options| name_of(&options.serve.auth, AUTHS).to_owned(),
        effect: Effect::Value("MAC", |options, text| {
            put(&mut options.serve.auth, choice(text, AUTHS))
        }),
    },
    Flag {
        long: "--auth-key-file",
        short: None,
        group: "Service",
        commands: &[SERVE],
        help: "the key: this file without one newline at its end; SIGHUP reads it again",
        default: |_| String::new(),
        effect: Effect::Value("FILE", |options, text| {
            put(&mut options.serve.auth_key_file, Ok(Some(text.into())))
        }),
    },
    Flag {
        long: "--frame-max",
        short: None,
        group: "Service",
        commands: &[SERVE],
        help: "longest frame either way, or payload where the framing is text",
        default: |options| size_text(options.serve.frame_size_max),
        effect: Effect::Value("SIZE", |options, text| {
            put(
                &mut options.serve.frame_size_max,
                size(text, 1..=FRAME_MAX_MAX),
            )
        }),
    },
    Flag {
        long: "--on-too-long",
        short: None,
        group: "Service",
        commands: &[SERVE],
        help: "a longer one: close the connection, or discard it and go on",
        default: |options| name_of(&options.serve.on_too_long, ON_TOO_LONG).to_owned(),
        effect: Effect::Value("MODE", |options, text| {
            put(&mut options.serve.on_too_long, choice(text, ON_TOO_LONG))
        }),
    },
    Flag {
        long: "--model",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "how it serves: epoll, iterative, thread, pool or fork",
        default: |options| name_of(&options.serve.model, MODELS).to_owned(),
        effect: Effect::Value("MODEL", |options, text| {
            put(&mut options.serve.model, choice(text, MODELS))
        }),
    },
    Flag {
        long: "--pool-threads",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "threads of --model pool",
        default: |options| options.serve.pool_threads.to_string(),
        effect: Effect::Value("N", |options, text| {
            put(
                &mut options.serve.pool_threads,
                number(text, 1..=POOL_THREADS_MAX),
            )
        }),
    },
    Flag {
        long: "--pool-queue",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "accepted connections that wait for one of them",
        default: |options| options.serve.pool_queue.to_string(),
        effect: Effect::Value("N", |options, text| {
            put(
                &mut options.serve.pool_queue,
                count(text, 0..=CONNECTIONS_MAX),
            )
        }),
    },
    Flag {
        long: "--threads",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "workers, each with its own loop, or auto: one for each processor",
        default: |options| options.serve.threads.to_string(),
        effect: Effect::Value("N", |options, text| {
            put(&mut options.serve.threads, threads(text))
        }),
    },
    Flag {
        long: "--processes",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "worker processes; a supervisor replaces those that die",
        default: |options| count_or_off_text(options.serve.processes),
        effect: Effect::Value("N", |options, text| {
            put(
                &mut options.serve.processes,
                count_or_off(text, 1..=PROCESSES_MAX as u32),
            )
        }),
    },
    Flag {
        long: "--alive",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "how often each reports; silent five times, it is replaced",
        default: |options| time_or_off_text(options.serve.alive),
        effect: Effect::Value("TIME", |options, text| {
            put(
                &mut options.serve.alive,
                time_or_off(text, ALIVE_MIN..=ALIVE_MAX),
            )
        }),
    },
    Flag {
        long: "--max-connections",
        short: None,
        group: "Limits",
        commands: &[SERVE, FTP],
        help: "connections at once, shared out to the workers; more wait",
        default: |_| CONNECTIONS_DEFAULT.to_string(),
        effect: Effect::Value("N", |options, text| {
            put(
                &mut options.serve.connections_max,
                count(text, 1..=CONNECTIONS_MAX).map(Some),
            )
        }),
    },
    Flag {
        long: "--max-connections-per-ip",
        short: None,
        group: "Limits",
        commands: &[SERVE, FTP],
        help: "so too from one IPv4 address or IPv6 /64; more are refused",
        default: |options| count_or_off_text(options.serve.connections_per_ip_max),
        effect: Effect::Value("N", |options, text| {
            put(
                &mut options.serve.connections_per_ip_max,
                count_or_off(text, 1..=CONNECTIONS_MAX),
            )
        }),
    },
    Flag {
        long: "--max-memory",
        short: None,
        group: "Limits",
        commands: &[SERVE, FTP],
        help: "ceiling of the whole process",
        default: |options| size_text(options.serve.memory_max),
        effect: Effect::Value("SIZE", |options, text| {
            put(
                &mut options.serve.memory_max,
                size(text, MEMORY_MIN..=MEMORY_MAX),
            )
        }),
    },
    Flag {
        long: "--idle-timeout",
        short: None,
        group: "Limits",
        commands: &[SERVE, FTP],
        help: "close a connection that moves nothing either way for so long",
        default: |options| time_or_off_text(options.serve.idle_timeout),
        effect: Effect::Value("TIME", |options, text| {
            put(&mut options.serve.idle_timeout, time_or_off(text, TIMEOUTS))
        }),
    },
    Flag {
        long: "--idle-read",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "close a connection from which nothing is read for so long",
        default: |options| time_or_off_text(options.serve.idle_read),
        effect: Effect::Value("TIME", |options, text| {
            put(&mut options.serve.idle_read, time_or_off(text, TIMEOUTS))
        }),
    },
    Flag {
        long: "--idle-write",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "close a connection to which nothing is sent for so long",
        default: |options| time_or_off_text(options.serve.idle_write),
        effect: Effect::Value("TIME", |options, text| {
            put(&mut options.serve.idle_write, time_or_off(text, TIMEOUTS))
        }),
    },
    Flag {
        long: "--stall-timeout",
        short: None,
        group: "Limits",
        commands: &[SERVE, FTP],
        help: "close a peer that takes too little of its replies in so long",
        default: |options| time_or_off_text(options.serve.stall_timeout),
        effect: Effect::Value("TIME", |options, text| {
            put(
                &mut options.serve.stall_timeout,
                time_or_off(text, TIMEOUTS),
            )
        }),
    },
    Flag {
        long: "--stall-min",
        short: None,
        group: "Limits",
        commands: &[SERVE, FTP],
        help: "what it must take in that time, unless it takes all",
        default: |options| size_text(options.serve.stall_size_min),
        effect: Effect::Value("SIZE", |options, text| {
            put(
                &mut options.serve.stall_size_min,
                size(text, 1..=FRAME_MAX_MAX),
            )
        }),
    },
    Flag {
        long: "--frame-timeout",
        short: None,
        group: "Limits",
        commands: &[SERVE, FTP],
        help: "close a peer whose frame is not whole so long after it began",
        default: |options| time_or_off_text(options.serve.frame_timeout),
        effect: Effect::Value("TIME", |options, text| {
            put(
                &mut options.serve.frame_timeout,
                time_or_off(text, TIMEOUTS),
            )
        }),
    },
    Flag {
        long: "--rate",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "read at most so much a second from each connection",
        default: |options| byte_rate_text(options.serve.rate),
        effect: Effect::Value("R[/BURST]", |options, text| {
            put(&mut options.serve.rate, byte_rate(text))
        }),
    },
    Flag {
        long: "--rate-total",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "read at most so much a second from all of them",
        default: |options| byte_rate_text(options.serve.rate_total),
        effect: Effect::Value("R[/BURST]", |options, text| {
            put(&mut options.serve.rate_total, byte_rate(text))
        }),
    },
    Flag {
        long: "--rate-out",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "send at most so much a second to each connection",
        default: |options| byte_rate_text(options.serve.rate_out),
        effect: Effect::Value("R[/BURST]", |options, text| {
            put(&mut options.serve.rate_out, byte_rate(text))
        }),
    },
    Flag {
        long: "--rate-out-total",
        short: None,
        group: "Limits",
        commands: &[SERVE],
        help: "send at most so much a second to all of them",
        default: |options| byte_rate_text(options.serve.rate_out_total),
        effect: Effect::Value("R[/BURST]", |options, text| {
            put(&mut options.serve.rate_out_total, byte_rate(text))
        }),
    },
    Flag {
        long: "--drain-timeout",
        short: None,
        group: "Limits",
        commands: &[SERVE, FTP],
        help: "when ending, wait so long for replies to be taken",
        default: |options| time_text(options.serve.drain_timeout),
        effect: Effect::Value("TIME", |options, text| {
            let times = Duration::ZERO..=TIMEOUT_MAX;
            put(&mut options.serve.drain_timeout, time(text, times))
        }),
    },
    Flag {
        long: "--accept",
        short: None,
        group: "Loop",
        commands: &[SERVE],
        help: "how workers share: reuseport, exclusive or handoff",
        default: |options| name_of(&options.serve.accept, ACCEPT_POLICIES).to_owned(),
        effect: Effect::Value("POLICY", |options, text| {
            put(&mut options.serve.accept, choice(text, ACCEPT_POLICIES))
        }),
    },
    Flag {
        long: "--pin",
        short: None,
        group: "Loop",
        commands: &[SERVE],
        help: "keep each worker on a processor of its own",
        default: |options| switch_text(options.serve.pin),
        effect: Effect::Switch(|options, text| put(&mut options.serve.pin, switch(text))),
    },
    Flag {
        long: "--trigger",
        short: None,
        group: "Loop",
        commands: &[SERVE],
        help: "how epoll reports readiness: level or edge",
        default: |options| name_of(&options.serve.trigger, TRIGGERS).to_owned(),
        effect: Effect::Value("MODE", |options, text| {
            put(&mut options.serve.trigger, choice(text, TRIGGERS))
        }),
    },
    Flag {
        long: "--submit",
        short: None,
        group: "Loop",
        commands: &[SERVE],
        help: "one system call for each socket, or for a batch: calls or ring",
        default: |options| name_of(&options.serve.submit, SUBMITS).to_owned(),
        effect: Effect::Value("MODE", |options, text| {
            put(&mut options.serve.submit, choice(text, SUBMITS))
        }),
    },
    Flag {
        long: "--spin",
        short: None,
        group: "Loop",
        commands: &[SERVE],
        help: "look for events so long before sleeping: lower latency for CPU",
        default: |options| time_or_off_text(options.serve.spin),
        effect: Effect::Value("TIME", |options, text| {
            let times = Duration::from_micros(1)..=SPIN_MAX;
            put(&mut options.serve.spin, time_or_off(text, times))
        }),
    },
    Flag {
        long: "--stats",
        short: None,
        group: "Loop",
        commands: &[SERVE, FTP],
        help: "print a line of counters so often; SIGUSR1 prints one at any time",
        default: |options| time_or_off_text(options.serve.stats_interval),
        effect: Effect::Value("INTERVAL", |options, text| {
            let times = STATS_INTERVAL_MIN..=TIMEOUT_MAX;
            put(&mut options.serve.stats_interval, time_or_off(text, times))
        }),
    },
    Flag {
        long: "--stats-format",
        short: None,
        group: "Loop",
        commands: &[SERVE, FTP],
        help: "text, without zeros, or json [text; with zeros where no terminal is]",
        default: |_| String::new(),
        effect: Effect::Value("FORMAT", |options, text| {
            put(
                &mut options.serve.stats_format,
                choice(text, STATS_FORMATS).map(Some),
            )
        }),
    },
    Flag {
        long: "--metrics",
        short: None,
        group: "Loop",
        commands: &[SERVE, FTP],
        help: "serve the counters for Prometheus there, /healthz and /readyz",
        default: |_| String::new(),
        effect: Effect::Value("ADDR", |options, text| {
            let endpoint = stream_endpoint(text)?;
            if !matches!(
                endpoint,
                Endpoint::At(Address::Tcp(_)) | Endpoint::Named { .. }
            ) {
                return Err("must be an address of TCP, such as 127.0.0.1:9100".to_owned());
            }
            options.serve.metrics = Some(endpoint);
            Ok(())
        }),
    },
    Flag {
        long: "--log-time",
        short: None,
        group: "Loop",
        commands: &[SERVE, FTP],
        help: "put the time in UTC in front of each log line",
        default: |options| switch_text(options.serve.log_time),
        effect: Effect::Switch(|options, text| put(&mut options.serve.log_time, switch(text))),
    },
    Flag {
        long: "--wiretap",
        short: None,
        group: "Loop",
        commands: &[SERVE],
        help: "log each event of each connection: size, or hex with the bytes",
        default: |options| name_of(&options.serve.wiretap, DETAILS).to_owned(),
        effect: Effect::Value("DETAIL", |options, text| {
            put(&mut options.serve.wiretap, choice(text, DETAILS))
        }),
    },
];
