//! `mynah bench` on the command line: the command and its words. The flags are in `flags`.
//!
//! The values end in the load generator's [`Bench`]. Values that depend on several flags, such as
//! the default duration of a comparison, are decided after all flags were parsed.

mod flags;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::kernel::{Address, source};
use crate::limits::{LOAD_SIZE_MAX, PAIRS_DEFAULT};
use crate::load::plan::schedule::Arrivals;
use crate::load::plan::{Pace, Protocol};
use crate::load::run::bench::{Bench, Server};
use crate::protocol::framing::{Framing, Raw};

use super::table::{BENCH, CommandRow};
use super::values::{put, size};
use super::{Command, Options};
pub(super) use flags::FLAGS;

/// A range of source addresses spans at most a /16 network; a larger one is likely a typing error.
const SOURCES_MAX: u32 = 0xffff;

/// The values of a measurement while flags are being parsed.
#[derive(Default)]
pub(super) struct Draft {
    bench: Bench,
    /// The address, if given: always the first server, wherever it stands among the flags.
    address: Option<Server>,
    duration: Option<Duration>,
    requests: Option<u64>,
    warmup: Option<Duration>,
    grace: Option<Duration>,
    rate: Option<f64>,
    arrivals: Option<Arrivals>,
    size: Option<(usize, usize)>,
    framing: Option<Framing>,
    path: Option<String>,
    host: Option<String>,
    pairs: Option<usize>,
}

pub(super) const COMMAND: CommandRow = CommandRow {
    name: BENCH,
    about: "load a server, measure it, compare it with others",
    usage: "mynah bench ADDR [--vs ADDR] [OPTIONS]",
    word: |options, position, text| match position {
        0 => put(&mut options.bench.address, server(text).map(Some)),
        _ => Err("bench takes one ADDR; others to compare with follow --vs".to_owned()),
    },
    words: (
        "Servers",
        &[
            (
                "ADDR",
                "one that runs: 7007, host:port, udp://host:port, unix:/path, ...",
            ),
            (
                "'CMD {port}'",
                "one to start, on a free port, and to end afterwards",
            ),
        ],
    ),
    finish,
    examples: &[
        (
            "mynah bench 7007",
            "50 connections, 64 bytes each, for 10 s",
        ),
        (
            "mynah bench 7007 --rate 20k --assert 'p99<2ms,errors==0'",
            "an open loop, to hold",
        ),
        (
            "mynah bench 7007 --vs 7008 --pairs 20",
            "is one faster, and how sure is that",
        ),
        (
            "mynah bench 'mynah --listen {port}' --same-core",
            "CPU cost that hardly wobbles",
        ),
        (
            "mynah bench 8080 --protocol http --path '/x?y'",
            "a page of an HTTP server",
        ),
    ],
};

fn finish(options: Options) -> Result<Command, String> {
    let draft = options.bench;
    draft.check_protocol()?;
    let mut bench = draft.bench;
    if let Some(first) = draft.address {
        bench.servers.insert(0, first);
    }
    bench.plan.pace = match (draft.rate, draft.arrivals) {
        (Some(rate), arrivals) => {
            let arrivals = arrivals.unwrap_or(Arrivals::Fixed);
            Pace::Open { rate, arrivals }
        }
        (None, None) => Pace::Closed,
        (None, Some(_)) => return Err("--arrivals: only with --rate".to_owned()),
    };
    if draft.duration.is_some() && draft.requests.is_some() {
        return Err("--requests: not together with --duration".to_owned());
    }
    if draft.grace.is_some() && draft.requests.is_some() {
        return Err(
            "--grace: not together with --requests, which ends with its last reply".to_owned(),
        );
    }
    if draft.pairs.is_some() && bench.servers.len() < 2 {
        return Err("--pairs: only with a second server, such as --vs ADDR".to_owned());
    }
    bench.plan.framing = draft.framing.unwrap_or(bench.plan.framing);
    bench.plan.request.path = draft.path.unwrap_or(bench.plan.request.path);
    bench.plan.request.host = draft.host;
    bench.plan.size = match (draft.size, &bench.plan.framing) {
        (Some(size), _) => size,
        (None, framing @ Framing::Fixed(_)) => {
            let size = framing.frame_size_max(LOAD_SIZE_MAX);
            (size, size)
        }
        (None, _) => bench.plan.size,
    };
    bench.plan.grace = draft.grace.unwrap_or(bench.plan.grace);
    bench.pairs = draft.pairs.unwrap_or(PAIRS_DEFAULT);
    bench.settle(draft.duration, draft.requests, draft.warmup);
    bench.check()?;
    Ok(Command::Bench(Box::new(bench)))
}

impl Draft {
    /// Refuses options that would have no effect or would give misleading figures.
    fn check_protocol(&self) -> Result<(), String> {
        let is_http = self.bench.plan.protocol == Protocol::Http;
        let is_framed = matches!(&self.framing, Some(framing) if *framing != Framing::Raw(Raw));
        let only = |name: &str| Err(format!("{name}: only with --protocol http"));
        let not = |line: &str| Err(line.to_owned());
        match self {
            _ if is_http && self.size.is_some() => {
                not("--size: not together with --protocol http, a GET has no payload")
            }
            _ if is_http && is_framed => {
                not("--frame: not together with --protocol http, which frames itself")
            }
            Draft { path: Some(_), .. } if !is_http => only("--path"),
            Draft { host: Some(_), .. } if !is_http => only("--host"),
            _ => Ok(()),
        }
    }
}

fn server(text: &str) -> Result<Server, String> {
    match text.contains("{port}") {
        _ if has_scheme(text, "http") => Err(instead_of_url(&text["http://".len()..])),
        true => Ok(Server::Command(text.to_owned())),
        false => text
            .parse()
            .map(Server::At)
            .map_err(|why| match command(text) {
                Some(right) => format!("a command has {{port}} where its port goes; write {right}"),
                None => why,
            }),
    }
}

/// `text` with `{port}` in it, if `text` looks like a command: several words, and not a host
/// followed by a port.
fn command(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let (last, front) = words.split_last()?;
    let is_host = |word: &str| word.contains(['.', ':']) && !word.contains('/');
    match front {
        [] => return None,
        [host] if is_number(last) && (is_host(host) || *host == "localhost") => return None,
        _ => {}
    }
    let front = front.join(" ");
    let digits = last.trim_end_matches(|letter: char| letter.is_ascii_digit());
    // A number at the end is the port, and so is a common placeholder for it.
    let last = match last.to_ascii_lowercase().as_str() {
        "port" | "$port" | "${port}" | "{port}" | "<port>" | "%d" => "{port}".to_owned(),
        _ if digits.is_empty() || digits.ends_with([':', '=']) => format!("{digits}{{port}}"),
        _ => format!("{last} {{port}}"),
    };
    Some(format!("'{front} {last}'"))
}

fn has_scheme(text: &str, scheme: &str) -> bool {
    let found = text.split_once("://");
    found.is_some_and(|(found, _)| found.eq_ignore_ascii_case(scheme))
}

/// What to write instead of an HTTP URL; `rest` is the URL without its scheme.
fn instead_of_url(rest: &str) -> String {
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let port = match host.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => "",
        _ => ":80",
    };
    let host = if host.is_empty() { "HOST" } else { host };
    let path = if path.is_empty() { "/" } else { path };
    format!("an ADDR is no URL; write {host}{port} --protocol http --path '{path}'")
}

/// A size, or a range of sizes.
fn sizes(text: &str) -> Result<(usize, usize), String> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    Ok((
        size(least, 0..=LOAD_SIZE_MAX)?,
        size(most, 0..=LOAD_SIZE_MAX)?,
    ))
}

/// Comma-separated items, each parsed by `read`.
fn list<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(|item| read(item.trim())).collect()
}

/// Comma-separated addresses; `127.0.1.1..127.0.1.64` means all addresses in that range.
fn sources(text: &str) -> Result<Vec<Address>, String> {
    let wrong = || "must be IP addresses, such as 127.0.0.2,127.0.1.1..127.0.1.64".to_owned();
    let mut all = Vec::new();
    for item in text.split(',') {
        let Some((first, last)) = item.split_once("..") else {
            all.push(source(item)?);
            continue;
        };
        let bits = |text: &str| text.parse().map(Ipv4Addr::to_bits).map_err(|_| wrong());
        let (first, last) = (bits(first)?, bits(last)?);
        if last < first || last - first > SOURCES_MAX {
            return Err(wrong());
        }
        let range = (first..=last).map(Ipv4Addr::from_bits);
        all.extend(range.map(|ip| Address::Tcp(SocketAddr::from((ip, 0)))));
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
