//! The flags of `mynah bench`, one row each, in the order in which the help shows them.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::{
    CONNECTIONS_MAX, LOAD_INTERVAL_MIN, PAIRS_MIN, PIPELINE_MAX, SPIN_MAX, TIMEOUT_MAX, TIMEOUT_MIN,
};
use crate::load::conversation::http::request;
use crate::load::judge::assertion;
use crate::load::plan::schedule::Arrivals;
use crate::load::plan::text::{self, Moment};
use crate::load::plan::{Plan, Protocol};
use crate::load::run::bench::{Server, ServerPid};

use super::super::table::front::VERSIONS;
use super::super::table::{AUTHS, BENCH, Effect, Flag};
use super::super::values::{
    choice, count, number, output_file, put, switch, switch_text, threads, time, time_or_off,
    time_or_off_text, time_text,
};
use super::super::{Options, name_of};
use super::{content, expect, input_file, list, rates, server, sizes, sources};

const ARRIVALS: &[(&str, Arrivals)] = &[("fixed", Arrivals::Fixed), ("poisson", Arrivals::Poisson)];
const PROTOCOLS: &[(&str, Protocol)] = &[("echo", Protocol::Echo), ("http", Protocol::Http)];
const VERIFY: &[(&str, bool)] = &[("full", true), ("off", false)];

fn none(_: &Options) -> String {
    String::new()
}

fn plan(options: &mut Options) -> &mut Plan {
    &mut options.bench.bench.plan
}

const SPIN_TIMES: RangeInclusive<Duration> = Duration::from_micros(1)..=SPIN_MAX;
const TIMEOUTS: RangeInclusive<Duration> = TIMEOUT_MIN..=TIMEOUT_MAX;
const INTERVALS: RangeInclusive<Duration> = LOAD_INTERVAL_MIN..=TIMEOUT_MAX;
const TIMES: RangeInclusive<Duration> = Duration::ZERO..=TIMEOUT_MAX;

const fn row(
    group: &'static str,
    long: &'static str,
    help: &'static str,
    default: fn(&Options) -> String,
    effect: Effect,
) -> Flag {
    Flag {
        long,
        short: None,
        group,
        commands: &[BENCH],
        help,
        default,
        effect,
    }
}

const LOAD: &str = "Load";
const CLIENT: &str = "Generator";
const SERVERS: &str = "Servers and comparison";
const RESULT: &str = "Results";

pub(in crate::cli::options) const FLAGS: &[Flag] = &[
    row(
        LOAD,
        "--connections",
        "connections that carry the load",
        |options| options.bench.bench.plan.connections.to_string(),
        Effect::Value("N", |options, text| {
            put(
                &mut plan(options).connections,
                count(text, 1..=CONNECTIONS_MAX as usize),
            )
        }),
    )
    .short("-c"),
    row(
        LOAD,
        "--duration",
        "how long to measure [10s; 1s for each run of a comparison]",
        none,
        Effect::Value("TIME", |options, text| {
            put(&mut options.bench.duration, time(text, TIMES).map(Some))
        }),
    )
    .short("-d"),
    row(
        LOAD,
        "--requests",
        "how many requests to measure, instead of how long",
        none,
        Effect::Value("N", |options, text| {
            put(
                &mut options.bench.requests,
                count(text, 1..=u64::MAX).map(Some),
            )
        }),
    )
    .short("-n"),
    row(
        LOAD,
        "--warmup",
        "how long to load before measuring [1s; 200ms in a comparison]",
        none,
        Effect::Value("TIME", |options, text| {
            put(&mut options.bench.warmup, time(text, TIMES).map(Some))
        }),
    ),
    row(
        LOAD,
        "--grace",
        "how long to wait for replies after the measured time",
        |options| time_text(options.bench.bench.plan.grace),
        Effect::Value("TIME", |options, text| {
            put(&mut options.bench.grace, time(text, TIMES).map(Some))
        }),
    ),
    row(
        LOAD,
        "--ramp",
        "open the connections evenly over this time, before the load",
        none,
        Effect::Value("TIME", |options, text| {
            put(&mut plan(options).ramp, time(text, TIMES))
        }),
    ),
    row(
        LOAD,
        "--connect-timeout",
        "longest connect; of a name, at each of its addresses",
        |options| time_or_off_text(options.bench.bench.plan.connect_timeout),
        Effect::Value("TIME", |options, text| {
            put(
                &mut plan(options).connect_timeout,
                time_or_off(text, TIMEOUTS),
            )
        }),
    ),
    row(
        LOAD,
        "--auth",
        "prove to know the key: hmac-sha256 or hmac-md5 (feature auth)",
        |options| name_of(&options.bench.bench.auth, AUTHS).to_owned(),
        Effect::Value("MAC", |options, text| {
            put(&mut options.bench.bench.auth, choice(text, AUTHS))
        }),
    ),
    row(
        LOAD,
        "--auth-key-file",
        "the key: this file without one newline at its end",
        none,
        Effect::Value("FILE", |options, text| {
            put(
                &mut options.bench.bench.auth_key_file,
                Ok(Some(text.into())),
            )
        }),
    ),
    row(
        LOAD,
        "--proxy-protocol",
        "begin with the header of a load balancer: off, v1 or v2",
        |options| name_of(&options.bench.bench.plan.proxy, VERSIONS).to_owned(),
        Effect::Value("VERSION", |options, text| {
            put(&mut plan(options).proxy, choice(text, VERSIONS))
        }),
    ),
    row(
        LOAD,
        "--slow-start",
        "begin with one connection, and open the others over this time",
        none,
        Effect::Value("TIME", |options, text| {
            put(&mut plan(options).slow_start, time(text, TIMES))
        }),
    ),
    row(
        LOAD,
        "--start-at",
        "when the load begins, UTC: 21:30[:15] or 2026-11-30T21:30:15Z",
        none,
        Effect::Value("MOMENT", |options, text| {
            put(
                &mut options.bench.bench.start_at,
                Moment::parse(text).map(Some),
            )
        }),
    ),
    row(
        LOAD,
        "--size",
        "payload of a request, or a range such as 16..4k",
        |options| format!("{}; N with fixed:N", options.bench.bench.plan.size.0),
        Effect::Value("SIZE", |options, text| {
            put(&mut options.bench.size, sizes(text).map(Some))
        }),
    ),
    row(
        LOAD,
        "--pipeline",
        "requests in flight on one connection",
        |options| options.bench.bench.plan.pipeline.to_string(),
        Effect::Value("N", |options, text| {
            put(&mut plan(options).pipeline, count(text, 1..=PIPELINE_MAX))
        }),
    ),
    row(
        LOAD,
        "--rate",
        "open loop: requests a second, however slow the replies; A..B: 5 steps",
        none,
        Effect::Value("RATE", |options, text| {
            put(&mut options.bench.rate, rates(text).map(Some))
        }),
    )
    .short("-R"),
    row(
        LOAD,
        "--arrivals",
        "gaps of the open loop: fixed or poisson [fixed]",
        none,
        Effect::Value("KIND", |options, text| {
            put(
                &mut options.bench.arrivals,
                choice(text, ARRIVALS).map(Some),
            )
        }),
    ),
    row(
        LOAD,
        "--frame",
        "how requests are framed: raw, u32be, len:..., ...",
        |options| options.bench.bench.plan.framing.to_string(),
        Effect::Value("SPEC", |options, text| {
            put(&mut options.bench.framing, text.parse().map(Some))
        }),
    ),
    row(
        LOAD,
        "--protocol",
        "echo, or http with keep-alive; a URL as ADDR means http",
        |_| "echo".to_owned(),
        Effect::Value("NAME", |options, text| {
            put(
                &mut options.bench.protocol,
                choice(text, PROTOCOLS).map(Some),
            )
        }),
    ),
    row(
        LOAD,
        "--path",
        "what to ask for over http, with its query",
        |options| options.bench.bench.plan.request.paths[0].clone(),
        Effect::Value("PATH", |options, text| {
            put(&mut options.bench.path, request::path(text).map(Some))
        }),
    ),
    row(
        LOAD,
        "--host",
        "whose page it is, for servers that have several [the address]",
        none,
        Effect::Value("NAME", |options, text| {
            put(&mut options.bench.host, request::host(text).map(Some))
        }),
    ),
    row(
        LOAD,
        "--method",
        "method of http [GET; POST with --body]",
        none,
        Effect::Value("NAME", |options, text| {
            put(&mut options.bench.method, request::method(text).map(Some))
        }),
    ),
    row(
        LOAD,
        "--header",
        "a field of the http request, such as 'Accept: */*'; may be repeated",
        none,
        Effect::Value("FIELD", |options, text| {
            options.bench.fields.push(request::field(text)?);
            Ok(())
        }),
    )
    .short("-H"),
    row(
        LOAD,
        "--body",
        "body of the http request",
        none,
        Effect::Value("TEXT|@FILE", |options, text| {
            let read = |text: &str| Ok(text.as_bytes().to_vec());
            put(&mut options.bench.body, content(text, read).map(Some))
        }),
    ),
    row(
        LOAD,
        "--urls",
        "paths or URLs of the same server, one a line, taken in turn",
        none,
        Effect::Value("FILE", |options, text| {
            put(
                &mut options.bench.bench.urls_file,
                input_file(text).map(Some),
            )
        }),
    ),
    row(
        LOAD,
        "--message",
        "send this instead of an echo: PING\\r\\n, hex:0d0a, with \\r \\n \\t \\0 \\xNN",
        none,
        Effect::Value("TEXT|@FILE", |options, text| {
            put(
                &mut options.bench.message,
                content(text, text::message).map(Some),
            )
        }),
    ),
    row(
        LOAD,
        "--expect",
        "what ends its reply: line, N bytes or frame",
        |_| "line; frame with --frame".to_owned(),
        Effect::Value("WHAT", |options, text| {
            put(&mut options.bench.expect, expect(text).map(Some))
        }),
    ),
    row(
        LOAD,
        "--verify",
        "full: compare each byte or page; off: count",
        |_| "full; off with --message".to_owned(),
        Effect::Value("MODE", |options, text| {
            put(&mut options.bench.verify, choice(text, VERIFY).map(Some))
        }),
    ),
    row(
        LOAD,
        "--churn",
        "a connection for each request: connect, ask, close",
        |options| switch_text(options.bench.bench.plan.churn),
        Effect::Switch(|options, text| put(&mut plan(options).churn, switch(text))),
    ),
    row(
        LOAD,
        "--idle",
        "connections beside the load that say nothing",
        |options| options.bench.bench.plan.idle.to_string(),
        Effect::Value("N", |options, text| {
            put(
                &mut plan(options).idle,
                count(text, 0..=CONNECTIONS_MAX as usize),
            )
        }),
    ),
    row(
        CLIENT,
        "--threads",
        "threads that carry the load, or auto: one for each processor",
        |options| options.bench.bench.plan.threads.to_string(),
        Effect::Value("N", |options, text| {
            put(&mut plan(options).threads, threads(text))
        }),
    )
    .short("-t"),
    row(
        CLIENT,
        "--pin",
        "processors of the threads, in turn, such as 0,2",
        none,
        Effect::Value("CPUS", |options, text| {
            put(
                &mut plan(options).pins,
                list(text, |cpu| number(cpu, 0..=1023)),
            )
        }),
    ),
    row(
        CLIENT,
        "--source-ip",
        "local addresses, in turn, for more ports: 127.0.0.2,10.0.0.1..10.0.0.9",
        none,
        Effect::Value("IPS", |options, text| {
            put(&mut plan(options).sources, sources(text))
        }),
    ),
    row(
        CLIENT,
        "--spin",
        "look for replies so long before sleeping: less latency for CPU",
        |options| time_or_off_text(options.bench.bench.plan.spin),
        Effect::Value("TIME", |options, text| {
            put(&mut plan(options).spin, time_or_off(text, SPIN_TIMES))
        }),
    ),
    row(
        SERVERS,
        "--server-pid",
        "process of the server, to tell its cost, or auto; one for each ADDR",
        none,
        Effect::Value("PID", |options, text| {
            let pid = match text {
                "auto" => ServerPid::Auto,
                _ => ServerPid::Number(
                    number(text, 1..=i32::MAX as u32).map_err(|why| format!("{why}, or auto"))?,
                ),
            };
            options.bench.bench.pids.push(pid);
            Ok(())
        }),
    ),
    row(
        SERVERS,
        "--spawn",
        "start this server first and end it afterwards; may be repeated",
        none,
        Effect::Value("'CMD {port}'", |options, text| match server(text) {
            Ok(server @ Server::Command(_)) => {
                options.bench.bench.servers.push(server);
                Ok(())
            }
            _ => Err("must have {port} where the port goes".to_owned()),
        }),
    ),
    row(
        SERVERS,
        "--vs",
        "another server to compare with the first; may be repeated",
        none,
        Effect::Value("ADDR", |options, text| options.bench.add_other(text)),
    ),
    row(
        SERVERS,
        "--pairs",
        "rounds of a comparison [10]",
        none,
        Effect::Value("N", |options, text| {
            put(
                &mut options.bench.pairs,
                count(text, PAIRS_MIN..=10_000).map(Some),
            )
        }),
    ),
    row(
        SERVERS,
        "--same-core",
        "all on one processor: server CPU / generator CPU hardly wobbles",
        |options| switch_text(options.bench.bench.same_core),
        Effect::Switch(|options, text| put(&mut options.bench.bench.same_core, switch(text))),
    ),
    row(
        RESULT,
        "--interval",
        "write a line for each interval to stderr",
        none,
        Effect::Value("TIME", |options, text| {
            put(&mut plan(options).interval, time(text, INTERVALS).map(Some))
        }),
    ),
    row(
        RESULT,
        "--json-stream",
        "write these lines as JSON to stdout [--interval 1s]",
        |options| switch_text(options.bench.bench.json_stream),
        Effect::Switch(|options, text| put(&mut options.bench.bench.json_stream, switch(text))),
    ),
    row(
        RESULT,
        "--json",
        "write every input and every figure; stdout when no file is named",
        none,
        Effect::Output(|options, text| {
            put(&mut options.bench.bench.json, output_file(text).map(Some))
        }),
    ),
    row(
        RESULT,
        "--hgrm",
        "write the percentiles as HdrHistogram text, a block for each server",
        none,
        Effect::Output(|options, text| {
            put(&mut options.bench.bench.hgrm, output_file(text).map(Some))
        }),
    ),
    row(
        RESULT,
        "--svg",
        "draw percentiles, rate over time, and ratios",
        none,
        Effect::Output(|options, text| {
            put(&mut options.bench.bench.svg, output_file(text).map(Some))
        }),
    ),
    row(
        RESULT,
        "--assert",
        "exit 8 unless these hold, of A with --vs, such as 'p99<2ms,errors==0'",
        none,
        Effect::Value("CONDITIONS", |options, text| {
            options
                .bench
                .bench
                .assertions
                .extend(assertion::parse(text)?);
            Ok(())
        }),
    ),
];
