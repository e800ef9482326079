//! `mynah bench` on the command line: its command, and what its words mean; its flags are below.
//!
//! The values end in the load generator's own [`Bench`]; what depends on several flags, such as how
//! long a run takes when it is one of many, is settled once all are known.

mod flags;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::framing::{Framing, Raw};
use crate::kernel::Address;
use crate::limits::{LOAD_SIZE_MAX, PAIRS_DEFAULT};
use crate::load::bench::{Bench, Server};
use crate::load::plan::{Pace, Protocol};
use crate::load::schedule::Arrivals;

use super::table::CommandRow;
use super::values::{put, size};
use super::{Command, Options};
pub(super) use flags::FLAGS;

const BENCH: &str = "bench";
/// A range of source addresses is at most a class B network: more is a slip of the finger.
const SOURCES_MAX: u32 = 0xffff;

/// What is known of a measurement before all flags are.
#[derive(Default)]
pub(super) struct Draft {
    bench: Bench,
    /// The address, when there is one: the first server, wherever it stands among the flags.
    address: Option<Server>,
    duration: Option<Duration>,
    requests: Option<u64>,
    warmup: Option<Duration>,
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
    bench.pairs = draft.pairs.unwrap_or(PAIRS_DEFAULT);
    bench.settle(draft.duration, draft.requests, draft.warmup);
    bench.check()?;
    Ok(Command::Bench(Box::new(bench)))
}

impl Draft {
    /// An option that nothing comes of is a misunderstanding, and figures that are one too.
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
        true => Ok(Server::Command(text.to_owned())),
        false => text.parse().map(Server::At),
    }
}

/// A size, or a range of them.
fn sizes(text: &str) -> Result<(usize, usize), String> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    Ok((
        size(least, 0..=LOAD_SIZE_MAX)?,
        size(most, 0..=LOAD_SIZE_MAX)?,
    ))
}

/// A rate: a number, alone or with `k` or `m` in powers of 1000.
fn rate(text: &str) -> Result<f64, String> {
    let units = [("k", 1e3), ("m", 1e6), ("", 1.0)];
    let lower = text.to_ascii_lowercase();
    let read = |(unit, scale): &(&str, f64)| {
        let digits = lower.strip_suffix(unit)?;
        Some(digits.parse::<f64>().ok()? * scale)
    };
    let rate = units.iter().find_map(read);
    rate.filter(|rate| *rate > 0.0 && *rate <= 1e9)
        .ok_or_else(|| "must be a rate, such as 500, 20k or 1.5m".to_owned())
}

/// Items between commas, each read by `read`.
fn list<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(|item| read(item.trim())).collect()
}

/// Addresses between commas; `127.0.1.1..127.0.1.64` are all that lie between.
fn sources(text: &str) -> Result<Vec<Address>, String> {
    let wrong = || "must be IP addresses, such as 127.0.0.2,127.0.1.1..127.0.1.64".to_owned();
    let mut all = Vec::new();
    for item in text.split(',') {
        match item.split_once("..") {
            Some((first, last)) => {
                let bits = |text: &str| text.parse().map(Ipv4Addr::to_bits).map_err(|_| wrong());
                let (first, last) = (bits(first)?, bits(last)?);
                if last < first || last - first > SOURCES_MAX {
                    return Err(wrong());
                }
                all.extend((first..=last).map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))));
            }
            None => all.push(item.parse().map_err(|_| wrong())?),
        }
    }
    let addresses = all
        .into_iter()
        .map(|ip| Address::Tcp(SocketAddr::new(ip, 0)));
    Ok(addresses.collect())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Parsed, parse};
    use super::*;
    use crate::load::http::request::Request;
    use crate::load::plan::{Plan, Until};

    fn parse_words(words: &[&str]) -> Result<Bench, String> {
        let words = ["bench"].iter().chain(words).map(OsString::from);
        match parse(words)? {
            Parsed::Run(Command::Bench(bench)) => Ok(*bench),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_alone_is_a_closed_loop_for_ten_seconds() {
        let bench = parse_words(&["7007"]).expect("enough");
        let address = "127.0.0.1:7007".parse().expect("an address");
        assert_eq!(
            (bench.servers, bench.plan),
            (vec![Server::At(address)], Plan::default())
        );
    }

    #[test]
    fn a_document_without_a_file_goes_to_stdout() {
        for line in [
            &["7007", "--json"][..],
            &["7007", "--json", "--churn"],
            &["7007", "--json=-"],
        ] {
            let bench = parse_words(line).expect("enough");
            assert_eq!(bench.json.as_deref(), Some("-".as_ref()), "{line:?}");
        }
        let bench = parse_words(&["7007", "--json", "out.json"]).expect("enough");
        assert_eq!(bench.json.as_deref(), Some("out.json".as_ref()));
    }

    #[test]
    fn every_value_reaches_its_field() {
        let line = "7007 --connections 9 --requests 500 --warmup 3s --ramp 4s --size 16..4k \
                    --pipeline 5 --rate 1.5k --arrivals poisson --frame u16le \
                    --verify off --idle 6 --threads 2 --pin 1,0 --server-pid 77 \
                    --spin 20us --source-ip 127.0.0.255..127.0.1.0,127.9.9.9 \
                    --json a --hgrm b --svg c --assert p99<2ms,errors==0";
        let bench = parse_words(&line.split(' ').collect::<Vec<_>>()).expect("all are known");
        let source = |text: &str| Address::Tcp(text.parse().expect("an address"));
        let plan = Plan {
            connections: 9,
            idle: 6,
            until: Until::Requests(500),
            warmup: Duration::from_secs(3),
            ramp: Duration::from_secs(4),
            size: (16, 4096),
            pipeline: 5,
            pace: Pace::Open {
                rate: 1500.0,
                arrivals: Arrivals::Poisson,
            },
            framing: "u16le".parse().expect("a framing"),
            churn: false,
            threads: 2,
            pins: vec![1, 0],
            sources: ["127.0.0.255:0", "127.0.1.0:0", "127.9.9.9:0"]
                .map(source)
                .to_vec(),
            spin: Some(Duration::from_micros(20)),
            protocol: Protocol::Echo,
            request: Request::default(),
            verify: false,
        };
        assert_eq!(bench.plan, plan);
        assert_eq!(
            (bench.pids, bench.pairs, bench.assertions.len()),
            (vec![77], PAIRS_DEFAULT, 2)
        );
        let files = [bench.json, bench.hgrm, bench.svg].map(|file| file.expect("was given"));
        assert_eq!(
            files.map(|file| file.display().to_string()),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn counts_and_rates_know_thousands() {
        let line = "7007 --connections 1k --requests 1.5M --rate 20K --server-pid 1k";
        let words: Vec<&str> = line.split(' ').collect();
        let plan = parse_words(&words[..7]).expect("all are known").plan;
        assert_eq!(
            (plan.connections, plan.until),
            (1000, Until::Requests(1_500_000))
        );
        assert!(matches!(plan.pace, Pace::Open { rate: 20_000.0, .. }));
        let error = parse_words(&words).expect_err("no process is called so");
        assert!(error.starts_with("--server-pid 1k: must be a whole number"));
    }

    #[test]
    fn a_fixed_frame_says_how_large_the_payload_is() {
        let bench = parse_words(&["7007", "--frame", "fixed:10"]).expect("enough");
        assert_eq!(bench.plan.size, (10, 10));
        let same = parse_words(&["7007", "--size", "10", "--frame", "fixed:10"]).expect("the same");
        assert_eq!(same.plan, bench.plan);
        assert!(bench.script().is_ok());
        let most = format!("fixed:{LOAD_SIZE_MAX}");
        let bench = parse_words(&["7007", "--frame", &most]).expect("the largest");
        assert_eq!(bench.plan.size.1, LOAD_SIZE_MAX);
        let over = format!("fixed:{}", LOAD_SIZE_MAX + 1);
        let error = parse_words(&["7007", "--frame", &over]).expect_err("too large");
        assert!(error.starts_with("--size must be 0 to 67108864"), "{error}");
        let other = parse_words(&["7007", "--size", "64", "--frame", "fixed:10"]);
        let error = other.expect("it parses").script().map(drop);
        assert!(error.is_err_and(|line| line.contains("--size must be 10")));
    }

    #[test]
    fn a_comparison_has_shorter_runs_and_the_address_comes_first() {
        let bench = parse_words(&["--vs", "7008", "--spawn", "x {port}", "7007"]).expect("enough");
        assert_eq!(bench.plan.until, Until::Time(Duration::from_secs(1)));
        let first = "7007".parse().expect("an address");
        assert_eq!(
            (bench.servers.len(), &bench.servers[0]),
            (3, &Server::At(first))
        );
        assert_eq!(bench.servers[2], Server::Command("x {port}".to_owned()));
        let counted = parse_words(&["7007", "--vs", "7008", "--pairs", "3"]).expect("enough");
        assert_eq!(counted.pairs, 3);
        let http = parse_words(&["7007", "--protocol", "http", "--frame", "raw"]).expect("enough");
        assert_eq!(http.plan.protocol, Protocol::Http);
    }

    #[test]
    fn a_page_has_a_path_and_a_host() {
        let line = "7007 --protocol http --path /x?y --host example.org:80";
        let bench = parse_words(&line.split(' ').collect::<Vec<_>>()).expect("all are known");
        let request = Request {
            path: "/x?y".to_owned(),
            host: Some("example.org:80".to_owned()),
        };
        assert_eq!(bench.plan.request, request);
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_a_line_that_names_the_option() {
        for (words, option) in [
            (&[][..], "ADDR"),
            (&["7007", "7008"], "--vs"),
            (&["7007", "--arrivals", "fixed"], "--arrivals"),
            (
                &["7007", "--requests", "5", "--duration", "5s"],
                "--requests",
            ),
            (&["7007", "--size", "9..8"], "--size"),
            (&["7007", "--rate", "0"], "--rate"),
            (&["7007", "--spawn", "x"], "--spawn"),
            (&["7007", "--same-core"], "--server-pid"),
            (
                &["7007", "--server-pid", "5", "--server-pid", "6"],
                "--server-pid",
            ),
            (&["7007", "--assert", "p98<1ms"], "--assert"),
            (
                &["7007", "--source-ip", "127.0.0.9..127.0.0.1"],
                "--source-ip",
            ),
            (&["unix:/a", "--source-ip", "127.0.0.2"], "--source-ip"),
            (&["7007", "--source-ip", "127.0.0.2,::1"], "--source-ip ::1"),
            (&["7007", "--protocol", "http", "--size", "64"], "--size"),
            (
                &["7007", "--frame", "u32be", "--protocol", "http"],
                "--frame",
            ),
            (
                &["7007", "--path", "/x"],
                "--path: only with --protocol http",
            ),
            (
                &["7007", "--host", "x", "--protocol", "echo"],
                "--host: only with --protocol http",
            ),
            (&["7007", "--protocol", "http", "--path", "x"], "--path"),
            (&["7007", "--protocol", "http", "--host", "a b"], "--host"),
            (&["7007", "--churn", "--ramp", "1s"], "--ramp"),
            (&["7007", "--pairs", "5"], "--pairs"),
            (&["7007", "--spin", "101ms"], "--spin"),
            (
                &["--spawn", "x {port}", "--same-core", "--spin", "50us"],
                "--spin",
            ),
            (
                &["--spawn", "x {port}", "--same-core", "--pin", "0,1"],
                "--pin must name that one alone",
            ),
            (&["7007", "--json", "a", "--svg", "a"], "--json and --svg"),
            (&["7007", "--hgrm", "--svg"], "--svg and --hgrm"),
            (&["udp://127.0.0.1:7", "--pipeline", "2"], "udp"),
        ] {
            let error = parse_words(words).expect_err("it is wrong");
            assert!(error.contains(option), "{words:?}: {error}");
        }
    }
}
