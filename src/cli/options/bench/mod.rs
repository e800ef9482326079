//! `mynah bench` on the command line: the command and its words. The flags are in `flags`.
//!
//! The values end in the load generator's [`Bench`]. Values that depend on several flags, such as
//! the default duration of a comparison, are decided after all flags were parsed.

mod flags;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::kernel::{Address, source};
use crate::limits::{LOAD_SIZE_MAX, PAIRS_DEFAULT};
use crate::load::conversation::exchange::Expect;
use crate::load::conversation::http::request;
use crate::load::plan::schedule::Arrivals;
use crate::load::plan::{Pace, Protocol};
use crate::load::run::bench::{Bench, Server};
use crate::protocol::framing::{Framing, Raw};

use super::table::tls::{check_client, check_header, needs_tls};
use super::table::{BENCH, CommandRow, check_auth};
use super::values::{count, put, rate, size};
use super::{Command, Options, TraceFile};
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
    rate: Option<(f64, f64)>,
    arrivals: Option<Arrivals>,
    size: Option<(usize, usize)>,
    framing: Option<Framing>,
    protocol: Option<Protocol>,
    path: Option<String>,
    host: Option<String>,
    pairs: Option<usize>,
    method: Option<String>,
    fields: Vec<String>,
    body: Option<Content>,
    message: Option<Content>,
    expect: Option<Expect>,
    verify: Option<bool>,
    /// The address and the path of the URL that was given as ADDR.
    url: Option<(String, String)>,
    /// Whether the URLs are those of https.
    is_secure: Option<bool>,
}

/// Bytes on the command line, or the file that holds them.
enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

pub(super) const COMMAND: CommandRow = CommandRow {
    name: BENCH,
    about: "load a server, measure it, compare it with others",
    usage: "mynah bench ADDR [--vs ADDR] [OPTIONS]",
    word: |options, position, text| match position {
        0 => options.bench.set_address(text),
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
            "mynah bench 'http://localhost:8080/x?y'",
            "a page of an HTTP server",
        ),
        (
            "mynah bench 6379 --message 'PING\\r\\n'",
            "any protocol of requests and replies",
        ),
    ],
};

fn finish(options: Options) -> Result<Command, String> {
    let mut draft = options.bench;
    draft.bench.plan.protocol = match (draft.protocol, &draft.url) {
        (Some(Protocol::Echo), Some(_)) => {
            return Err("--protocol echo: not with a URL as ADDR; give HOST:PORT".to_owned());
        }
        (_, Some(_)) => Protocol::Http,
        (Some(protocol), None) => protocol,
        (None, None) => draft.bench.plan.protocol,
    };
    draft.check_protocol()?;
    draft.check_message()?;
    let mut bench = draft.bench;
    if let Some(first) = draft.address {
        bench.servers.insert(0, first);
    }
    bench.plan.pace = match (draft.rate, draft.arrivals) {
        (Some((rate, last)), arrivals) => {
            let arrivals = arrivals.unwrap_or(Arrivals::Fixed);
            bench.sweep = (last > rate).then_some((rate, last));
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
    let request = &mut bench.plan.request;
    if let Some((place, path)) = draft.url {
        bench.origin = Some(place);
        request.paths = vec![path];
    }
    if let Some(path) = draft.path {
        request.paths = vec![path];
    }
    request.host = draft.host;
    request.fields = draft.fields;
    let method = match draft.body {
        Some(_) => "POST",
        None => "GET",
    };
    request.method = draft.method.unwrap_or_else(|| method.to_owned());
    match draft.body {
        Some(Content::Bytes(bytes)) => request.body = bytes,
        Some(Content::File(path)) => bench.body_file = Some(path),
        None => {}
    }
    let is_constant = request.is_constant();
    let is_message = draft.message.is_some();
    if is_message {
        bench.plan.protocol = Protocol::Message;
    }
    match draft.message {
        Some(Content::Bytes(bytes)) => bench.plan.message.bytes = bytes,
        Some(Content::File(path)) => bench.message_file = Some(path),
        None => {}
    }
    let is_framed = is_message && bench.plan.framing.has_boundaries();
    bench.plan.message.expect = match (draft.expect, is_framed) {
        (Some(expect), _) => expect,
        (None, true) => Expect::Frame,
        (None, false) => Expect::Line,
    };
    // Replies to a message, and those to a request that changes something, may differ.
    bench.plan.verify = draft.verify.unwrap_or(!is_message && is_constant);
    if bench.json_stream {
        bench.plan.interval.get_or_insert(Duration::from_secs(1));
    }
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
    bench.tls = options.tls;
    bench.tls.on |= draft.is_secure == Some(true);
    if draft.is_secure == Some(false) && bench.tls.on {
        return Err("--tls: the URL is one of http; write https".to_owned());
    }
    check_auth(bench.auth, &bench.auth_key_file)?;
    check_client(&bench.tls)?;
    check_header(&bench.tls, bench.plan.proxy.is_some())?;
    check_names(&bench)?;
    bench.check()?;
    Ok(Command::Bench(Box::new(bench), TraceFile::default()))
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
            Draft { body: Some(_), .. } if !is_http => only("--body"),
            _ if self.method.is_some() && !is_http => only("--method"),
            _ if !self.fields.is_empty() && !is_http => only("--header"),
            _ if self.bench.urls_file.is_some() && !is_http => only("--urls"),
            Draft {
                path: Some(_),
                url: Some((_, path)),
                ..
            } if path != "/" => not("--path: the URL has one already"),
            _ if self.path.is_some() && self.bench.urls_file.is_some() => {
                not("--path: not together with --urls")
            }
            _ => Ok(()),
        }
    }

    /// Refuses options that contradict `--message`.
    fn check_message(&self) -> Result<(), String> {
        let is_framed = matches!(&self.framing, Some(framing) if framing.has_boundaries());
        let not = |line: &str| Err(line.to_owned());
        match self {
            _ if self.message.is_none() && self.expect.is_some() => {
                not("--expect: only with --message")
            }
            Draft { message: None, .. } => Ok(()),
            _ if self.bench.plan.protocol == Protocol::Http => {
                not("--message: not together with http, which has --body")
            }
            _ if self.size.is_some() => not("--size: not together with --message, which has one"),
            _ if self.expect == Some(Expect::Frame) && !is_framed => {
                not("--expect frame: only with --frame, such as --frame u32be")
            }
            _ => Ok(()),
        }
    }

    /// Takes ADDR: an address, a command, or a URL.
    fn set_address(&mut self, text: &str) -> Result<(), String> {
        if self.is_url(text)? {
            let (place, path) = request::url(text)?;
            let named = format!("tcp://{place}");
            self.address = Some(Server::At(named.parse()?));
            self.url = Some((place, path));
            return Ok(());
        }
        put(&mut self.address, server(text).map(Some))
    }

    /// Whether `text` is a URL. All have the same scheme.
    fn is_url(&mut self, text: &str) -> Result<bool, String> {
        let is_secure = has_scheme(text, "https");
        if !is_secure && !has_scheme(text, "http") {
            return Ok(false);
        }
        if is_secure {
            needs_tls()?;
        }
        match self.is_secure.replace(is_secure) {
            Some(other) if other != is_secure => {
                Err("one URL is of http and one of https".to_owned())
            }
            _ => Ok(true),
        }
    }

    /// Takes a server to compare with the first one. A URL names the same path as ADDR.
    fn add_other(&mut self, text: &str) -> Result<(), String> {
        let other = match self.is_url(text)? {
            false => server(text)?,
            true => {
                let (place, path) = request::url(text)?;
                match &self.url {
                    Some((_, first)) if *first == path => {}
                    _ => return Err(format!("ADDR must be a URL with the same path, {path}")),
                }
                Server::At(format!("tcp://{place}").parse()?)
            }
        };
        self.bench.servers.push(other);
        Ok(())
    }
}

/// Refuses servers that have to prove different names.
fn check_names(bench: &Bench) -> Result<(), String> {
    let is_moot = !bench.tls.on || bench.tls.name.is_some() || bench.tls.insecure;
    let host = |server: &Server| match server {
        Server::At(endpoint) => endpoint.host(),
        Server::Command(_) => "127.0.0.1".to_owned(),
    };
    let mut hosts = bench.servers.iter().map(host);
    let first = hosts.next();
    match hosts.find(|other| Some(other) != first.as_ref()) {
        Some(other) if !is_moot => Err(format!(
            "--vs: {other} is another name than that of ADDR; --tls-name NAME says which one both \
             prove"
        )),
        _ => Ok(()),
    }
}

/// Bytes that `read` takes from the text, or the file behind an `@`.
#[inline(never)]
fn content(text: &str, read: impl Fn(&str) -> Result<Vec<u8>, String>) -> Result<Content, String> {
    match text.strip_prefix('@') {
        Some("") => Err("must be a text, or @ and the name of a file".to_owned()),
        Some(path) => Ok(Content::File(path.into())),
        None => read(text).map(Content::Bytes),
    }
}

#[inline(never)]
fn input_file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("must be a file".to_owned()),
        path => Ok(path.into()),
    }
}

/// What ends a reply.
fn expect(text: &str) -> Result<Expect, String> {
    match text {
        "line" => Ok(Expect::Line),
        "frame" => Ok(Expect::Frame),
        _ => match count(text, 1..=LOAD_SIZE_MAX) {
            Ok(count) => Ok(Expect::Bytes(count)),
            Err(_) => Err("must be line, frame, or a number of bytes".to_owned()),
        },
    }
}

/// A rate, or two for a sweep.
fn rates(text: &str) -> Result<(f64, f64), String> {
    let Some((first, last)) = text.split_once("..") else {
        return rate(text).map(|rate| (rate, rate));
    };
    let (first, last) = (rate(first)?, rate(last)?);
    match first < last {
        true => Ok((first, last)),
        false => Err("must rise, such as 5k..50k".to_owned()),
    }
}

#[inline(never)]
fn server(text: &str) -> Result<Server, String> {
    match text.contains("{port}") {
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

/// A size, or a range of sizes.
#[inline(never)]
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
