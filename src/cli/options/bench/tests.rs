//! Tests of the `mynah bench` command line: what it accepts and refuses.

use std::ffi::OsString;

use super::super::{Parsed, parse};
use super::*;
use crate::load::conversation::http::request::Request;
use crate::load::plan::{Message, Plan, Until};
use crate::load::run::bench::ServerPid;
use crate::protocol::front::proxy::Version;

fn parse_words(words: &[&str]) -> Result<Bench, String> {
    let words = ["bench"].iter().chain(words).map(OsString::from);
    match parse(words)? {
        Parsed::Run(Command::Bench(bench, _)) => Ok(*bench),
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
                --connect-timeout 5s --proxy-protocol v1 \
                --pipeline 5 --rate 1.5k --arrivals poisson --frame u16le \
                --verify off --idle 6 --threads 2 --pin 1,0 --server-pid 77 \
                --spin 20us --source-ip 127.0.0.255..127.0.1.0,127.9.9.9 \
                --interval 8s --json a --hgrm b --svg c --assert p99<2ms,errors==0";
    let bench = parse_words(&line.split(' ').collect::<Vec<_>>()).expect("all are known");
    let source = |text: &str| Address::Tcp(text.parse().expect("an address"));
    let plan = Plan {
        connections: 9,
        idle: 6,
        until: Until::Requests(500),
        warmup: Duration::from_secs(3),
        grace: Plan::default().grace,
        ramp: Duration::from_secs(4),
        slow_start: Duration::ZERO,
        start_at: None,
        interval: Some(Duration::from_secs(8)),
        proxy: Some(Version::V1),
        connect_timeout: Some(Duration::from_secs(5)),
        key: None,
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
        message: Message::default(),
        verify: false,
    };
    assert_eq!(bench.plan, plan);
    assert_eq!(
        (bench.pids, bench.pairs, bench.assertions.len()),
        (vec![ServerPid::Number(77)], PAIRS_DEFAULT, 2)
    );
    let files = [bench.json, bench.hgrm, bench.svg].map(|file| file.expect("was given"));
    assert_eq!(
        files.map(|file| file.display().to_string()),
        ["a", "b", "c"]
    );
}

#[test]
fn the_grace_after_the_measured_time_is_two_seconds_or_as_given() {
    for (words, grace) in [
        (&["7007"][..], 2000),
        (&["7007", "--grace", "0"], 0),
        (&["7007", "--grace=50ms"], 50),
    ] {
        let bench = parse_words(words).expect("enough");
        assert_eq!(bench.plan.grace, Duration::from_millis(grace));
    }
}

#[test]
fn every_measured_figure_may_be_asserted() {
    for line in [
        "7007 --server-pid 5 --assert cpu<1us,rss<1g",
        "x{port} --assert cpu_ratio<1 --vs 7008",
        "7007 --rate 5 --assert response:p99<1s",
        "7007 --assert client_cpu<1us,service:max<1s,connect:p50<1s,unsent==0",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let parsed = parse_words(&words);
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
    }
}

#[test]
fn the_help_says_what_an_assertion_applies_to() {
    let parsed = parse(["bench", "--help"].map(OsString::from));
    let told = matches!(parsed, Ok(Parsed::Help(text)) if text.contains("of A with --vs"));
    assert!(told);
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
fn rates_are_written_as_counts_are_and_need_not_be_whole() {
    for (text, rate) in [
        ("0.001", 0.001),
        ("0.3", 0.3),
        ("1.0000001k", 1000.0001),
        ("1g", 1e9),
    ] {
        let plan = parse_words(&["7007", "--rate", text]).expect(text).plan;
        let found = match plan.pace {
            Pace::Open { rate, .. } => rate,
            Pace::Closed => 0.0,
        };
        assert!((found / rate - 1.0).abs() < 1e-12, "{text}: {found}");
    }
    for text in [
        "", ".", "5.", ".5", "1e3", "+5", "-5", "inf", "nan", "k", "1kk", "1.2.3",
    ] {
        let error = parse_words(&["7007", "--rate", text]).expect_err(text);
        assert!(error.contains("must be a number, such as 0.5"), "{error}");
    }
    for (text, rate) in [
        ("0", "0"),
        ("0.0009", "0.0009"),
        ("1.000000001g", "1000000001"),
    ] {
        let error = parse_words(&["7007", "--rate", text]).expect_err(text);
        let told = format!("--rate must be 0.001 to 1000000000 a second, not {rate}");
        assert_eq!(error, told);
    }
}

#[test]
fn a_url_is_an_address_a_path_and_the_protocol() {
    for (url, at, path) in [
        ("http://127.0.0.1:81/x?y", "127.0.0.1:81", "/x?y"),
        ("HTTP://localhost", "localhost:80", "/"),
        ("http://[::1]:8080", "[::1]:8080", "/"),
    ] {
        let bench = parse_words(&[url]).expect(url);
        let address = at.parse().expect("an address");
        assert_eq!(bench.servers, [Server::At(address)], "{url}");
        assert_eq!(bench.plan.protocol, Protocol::Http);
        assert_eq!(
            (bench.plan.request.paths, bench.origin),
            (vec![path.to_owned()], Some(at.into()))
        );
        let both = parse_words(&[url, "--vs", &format!("http://x:9{path}")]).expect(url);
        assert_eq!(
            both.servers[1],
            Server::At("x:9".parse().expect("an address"))
        );
    }
    let path = parse_words(&["http://x", "--path", "/y"]).expect("one path");
    assert_eq!(path.plan.request.paths, ["/y"]);
    for (words, told) in [
        (&["http://"][..], "must be a host"),
        (
            &["http://x/a", "--path", "/b"],
            "--path: the URL has one already",
        ),
        (
            &["http://x/a", "--vs", "http://y/b"],
            "with the same path, /b",
        ),
        (&["7007", "--vs", "http://y/b"], "with the same path, /b"),
    ] {
        let error = parse_words(words).expect_err(told);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_url_of_https_needs_the_feature() {
    let secure = parse_words(&["https://x/"]);
    if cfg!(feature = "tls") {
        assert_eq!(
            secure.expect("it is there").origin.as_deref(),
            Some("x:443")
        );
    } else {
        let error = secure.expect_err("there is no TLS");
        assert!(error.contains("feature"), "{error}");
    }
}

#[test]
fn an_http_request_has_a_method_fields_and_a_body() {
    let line = "7007 --protocol http --method PUT --header A:b --header C:d --body {}";
    let bench = parse_words(&line.split(' ').collect::<Vec<_>>()).expect("all are known");
    let request = bench.plan.request;
    assert_eq!(
        (request.method.as_str(), request.body),
        ("PUT", b"{}".to_vec())
    );
    assert_eq!(request.fields, ["A: b", "C: d"]);
    assert!(!bench.plan.verify, "replies to PUT may differ");
    let http = |words: &[&str]| parse_words(&[&["7007", "--protocol", "http"], words].concat());
    let file = http(&["--body", "@x"]).expect("a file");
    assert_eq!(file.body_file, Some("x".into()));
    assert_eq!(file.plan.request.method, "POST");
    assert!(
        http(&["--verify", "full", "--method", "POST"])
            .expect("fine")
            .plan
            .verify
    );
    for word in ["--method=PUT", "--header=A:b", "--body=x", "--urls=x"] {
        let error = parse_words(&["7007", word]).expect_err("it is an echo");
        let name = word.split('=').next().expect("a name");
        assert_eq!(error, format!("{name}: only with --protocol http"));
    }
    for words in [
        &["--method", "get"][..],
        &["--header", "x"],
        &["--urls", "x", "--path", "/"],
    ] {
        assert!(http(words).is_err(), "{words:?}");
    }
}

#[test]
fn a_message_and_what_ends_its_reply() {
    let parse = |words: &[&str]| parse_words(&[&["7007"], words].concat());
    for (words, bytes, expect) in [
        (
            &["--message", "PING\\r\\n"][..],
            &b"PING\r\n"[..],
            Expect::Line,
        ),
        (
            &["--message", "hex:00", "--expect", "5"],
            b"\0",
            Expect::Bytes(5),
        ),
        (&["--message", "x", "--frame", "u8"], b"x", Expect::Frame),
        (
            &["--message", "x", "--frame", "u8", "--expect", "line"],
            b"x",
            Expect::Line,
        ),
    ] {
        let plan = parse(words).expect("fine").plan;
        let message = (plan.message.bytes.as_slice(), plan.message.expect);
        assert_eq!(message, (bytes, expect), "{words:?}");
        assert_eq!((plan.protocol, plan.verify), (Protocol::Message, false));
    }
    let file = parse(&["--message", "@x"]).expect("a file");
    assert_eq!(file.message_file, Some("x".into()));
    for (words, told) in [
        (&["--expect", "line"][..], "--expect: only with --message"),
        (
            &["--message", "x", "--expect", "frame"],
            "only with --frame",
        ),
        (
            &["--message", "x", "--expect", "0"],
            "must be line, frame, or a number",
        ),
        (&["--message", "x", "--size", "5"], "--size: not together"),
        (
            &["--message", "x", "--protocol", "http"],
            "--message: not together with http",
        ),
        (&["--message", "\\q"], "no escape"),
        (&["--message", "@"], "the name of a file"),
    ] {
        let error = parse(words).expect_err(told);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_sweep_has_five_steps_between_two_rates() {
    let bench = parse_words(&["7007", "--rate", "5k..50k"]).expect("it rises");
    assert_eq!(bench.steps(), [5000.0, 16250.0, 27500.0, 38750.0, 50000.0]);
    let one = parse_words(&["7007", "--rate", "5k"]).expect("one rate");
    assert_eq!(one.steps(), [0.0; 0]);
    for (words, told) in [
        (&["--rate", "5..5"][..], "must rise"),
        (&["--rate", "5..x"], "must be a number"),
        (&["--rate", "5..2000000000"], "--rate must be 0.001 to"),
        (
            &["--rate", "1..2", "--vs", "7008"],
            "--rate A..B: not together with --vs",
        ),
        (
            &["--rate", "1..2", "--requests", "9"],
            "--rate A..B: not together with --requests",
        ),
    ] {
        let error = parse_words(&[&["7007"], words].concat()).expect_err(told);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn short_forms_are_those_of_other_generators() {
    let line = "7007 -c4 -d 3s -t2 -R500 -HAccept:a -H Cookie:b --protocol http";
    let bench = parse_words(&line.split(' ').collect::<Vec<_>>()).expect("all are known");
    let long = "7007 --connections 4 --duration 3s --threads 2 --rate 500 --header Accept:a \
                --header Cookie:b --protocol http";
    let same = parse_words(&long.split_whitespace().collect::<Vec<_>>()).expect("all are known");
    assert_eq!(bench, same);
    assert_eq!(bench.plan.request.fields.len(), 2);
    let counted = parse_words(&["7007", "-n50"]).expect("it is known");
    assert_eq!(counted.plan.until, Until::Requests(50));
}

#[test]
fn intervals_slow_start_and_the_moment_of_the_start_are_read() {
    let line = "7007 --interval 100ms --slow-start 2s --start-at 21:30 --server-pid auto";
    let bench = parse_words(&line.split(' ').collect::<Vec<_>>()).expect("all are known");
    assert_eq!(bench.plan.interval, Some(Duration::from_millis(100)));
    assert_eq!(bench.plan.slow_start, Duration::from_secs(2));
    assert_eq!(
        (bench.start_at.is_some(), bench.pids),
        (true, vec![ServerPid::Auto])
    );
    let stream = parse_words(&["7007", "--json-stream"]).expect("it has a default");
    assert_eq!(stream.plan.interval, Some(Duration::from_secs(1)));
    for (words, told) in [
        (&["--interval", "49ms"][..], "must be 50ms to"),
        (&["--slow-start", "1s", "--churn"], "--slow-start"),
        (&["--slow-start", "1s", "--ramp", "1s"], "--slow-start"),
        (&["--start-at", "noon"], "must be UTC, as 21:30"),
        (
            &["--json-stream", "--json"],
            "--json-stream: writes to stdout, as --json does",
        ),
        (
            &["--json-stream", "--svg=-"],
            "--json-stream: writes to stdout, as --svg does",
        ),
        (
            &["--json-stream", "--hgrm=-"],
            "--json-stream: writes to stdout, as --hgrm does",
        ),
        (&["--server-pid", "self"], "or auto"),
    ] {
        let error = parse_words(&[&["7007"], words].concat()).expect_err(told);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_url_beside_another_protocol_is_refused() {
    let url = "http://127.0.0.1:7007/";
    let told = parse_words(&[url, "--protocol", "echo"]).expect_err("they differ");
    assert_eq!(
        told,
        "--protocol echo: not with a URL as ADDR; give HOST:PORT"
    );
    let same = parse_words(&[url, "--protocol", "http"]).expect("they agree");
    assert_eq!(same.plan.protocol, Protocol::Http);
}

#[test]
fn a_fixed_frame_says_how_large_the_payload_is() {
    let bench = parse_words(&["7007", "--frame", "fixed:10"]).expect("enough");
    assert_eq!(bench.plan.size, (10, 10));
    let same = parse_words(&["7007", "--size", "10", "--frame", "fixed:10"]).expect("the same");
    assert_eq!(same.plan, bench.plan);
    let address: Address = "127.0.0.1:7007".parse().expect("an address");
    assert!(bench.plan.script(&address).is_ok());
    let most = format!("fixed:{LOAD_SIZE_MAX}");
    let bench = parse_words(&["7007", "--frame", &most]).expect("the largest");
    assert_eq!(bench.plan.size.1, LOAD_SIZE_MAX);
    let over = format!("fixed:{}", LOAD_SIZE_MAX + 1);
    let error = parse_words(&["7007", "--frame", &over]).expect_err("too large");
    assert!(error.starts_with("--size must be 0 to 67108864"), "{error}");
    let other = parse_words(&["7007", "--size", "64", "--frame", "fixed:10"]);
    let other = other.expect("it parses").plan;
    let error = other.script(&address).map(drop);
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
        paths: vec!["/x?y".to_owned()],
        host: Some("example.org:80".to_owned()),
        ..Request::default()
    };
    assert_eq!(bench.plan.request, request);
}

#[test]
fn a_mistyped_server_gets_the_words_that_are_right() {
    let localhost = "the port follows a colon; write localhost:7007";
    for (text, told) in [
        ("7202/", "an address has no path; write 7202"),
        ("+7202", "a port has no sign; write 7202"),
        (
            "127.0.0.1 7007",
            "the port follows a colon; write 127.0.0.1:7007",
        ),
        ("localhost 7007", localhost),
        (
            "python3 -m http.server",
            "a command has {port} where its port goes; write 'python3 -m http.server {port}'",
        ),
        (
            "mynah --listen 7007",
            "a command has {port} where its port goes; write 'mynah --listen {port}'",
        ),
        (
            "mynah --listen=127.0.0.1:7007",
            "a command has {port} where its port goes; write 'mynah --listen=127.0.0.1:{port}'",
        ),
        (
            "./server $PORT",
            "a command has {port} where its port goes; write './server {port}'",
        ),
    ] {
        let error = parse_words(&[text]).expect_err("it is no ADDR");
        assert!(error.ends_with(told), "{error}");
        if let Some((_, right)) = told.split_once("write ") {
            assert!(parse_words(&[right.trim_matches('\'')]).is_ok(), "{right}");
        }
    }
    assert!(parse_words(&["TCP://127.0.0.1:7007"]).is_ok());
}

#[test]
fn a_datagram_may_be_as_large_as_its_address_family_carries() {
    for (server, most) in [
        ("udp://127.0.0.1:7", 65_507),
        ("udp://[::ffff:127.0.0.1]:7", 65_507),
        ("udp://[::1]:7", 65_527),
        // The address family of a name is not known yet.
        ("udp://localhost:7", 65_527),
    ] {
        for size in most - 1..=most + 1 {
            let parsed = parse_words(&[server, "--size", &size.to_string()]);
            assert_eq!(parsed.is_ok(), size <= most, "{server} {size}: {parsed:?}");
        }
    }
    let error = parse_words(&["udp://127.0.0.1:7", "--size", "65508"]).expect_err("too large");
    let told = "--size must be at most 65507, the most that a datagram carries over IPv4";
    assert_eq!(error, format!("udp://127.0.0.1:7: {told}"));
}

#[test]
fn a_source_may_have_an_interface() {
    let words = ["[::1]:7", "--source-ip", "fe80::1%lo,::1"];
    let sources = parse_words(&words)
        .expect("an interface that is there")
        .plan
        .sources;
    let told: Vec<String> = sources.iter().map(Address::to_string).collect();
    assert_eq!(told, ["tcp://[fe80::1%lo]:0", "tcp://[::1]:0"]);
    for (source, told) in [
        (
            "fe80::1%nosuch",
            "--source-ip fe80::1%nosuch: there is no interface \"nosuch\"",
        ),
        (
            "fe80::1",
            "--source-ip fe80::1: fe80::1 is link-local and needs its interface",
        ),
        ("x", "--source-ip x: \"x\" is not an IP address"),
    ] {
        let error = parse_words(&["[::1]:7", "--source-ip", source]).expect_err("it is wrong");
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn conflicting_options_are_refused_in_a_line_that_names_the_option() {
    for (words, option) in [
        (&[][..], "ADDR"),
        (&["7007", "7008"], "--vs"),
        (&["7007", "--arrivals", "fixed"], "--arrivals"),
        (
            &["7007", "--requests", "5", "--duration", "5s"],
            "--requests",
        ),
        (
            &["7007", "--requests", "5", "--grace", "1s"],
            "--grace: not together with --requests",
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
        (&["7007", "--json="], "--json \"\": must be a file"),
        (&["7007", "--svg", ""], "--svg \"\": must be a file"),
        (&["7007", "--hgrm="], "or - for stdout"),
        (
            &["udp://127.0.0.1:7", "--assert", "connect:p99<1s"],
            "'connect:p99<1s': datagrams have no connect time",
        ),
        (
            &["--spawn", "x {port}", "--same-core", "--spin", "50us"],
            "--spin",
        ),
        (
            &["--spawn", "x {port}", "--same-core", "--pin", "0,1"],
            "--pin must name that one alone",
        ),
        (
            &["7007", "--assert", "cpu<1us"],
            "'cpu<1us': needs the server's process",
        ),
        (
            &["7007", "--assert", "errors==0,rss<1g"],
            "--server-pid or --spawn",
        ),
        (
            &["7007", "--assert", "cpu_ratio<1", "--spawn", "x {port}"],
            "'cpu_ratio<1': needs",
        ),
        (
            &["7007", "--assert", "response:p99<1s"],
            "only with --rate; try service:",
        ),
        (&["udp://127.0.0.1:7", "--pipeline", "2"], "udp"),
    ] {
        let error = parse_words(words).expect_err("it is wrong");
        assert!(error.contains(option), "{words:?}: {error}");
    }
}
