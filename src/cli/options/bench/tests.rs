//! Tests of the `mynah bench` command line: what it accepts and refuses.

use std::ffi::OsString;

use super::super::{Parsed, parse};
use super::*;
use crate::load::conversation::http::request::Request;
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
                --connect-timeout 5s \
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
        grace: Plan::default().grace,
        ramp: Duration::from_secs(4),
        connect_timeout: Some(Duration::from_secs(5)),
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
fn a_url_is_answered_with_the_words_that_say_the_same() {
    for (url, words) in [
        (
            "http://127.0.0.1:80/x?y",
            "write 127.0.0.1:80 --protocol http --path '/x?y'",
        ),
        (
            "HTTP://localhost",
            "write localhost:80 --protocol http --path '/'",
        ),
        ("http://[::1]/", "write [::1]:80 --protocol http --path '/'"),
        (
            "http://[::1]:8080",
            "write [::1]:8080 --protocol http --path '/'",
        ),
        ("http://", "write HOST:80 --protocol http --path '/'"),
    ] {
        for line in [&[url][..], &["7007", "--vs", url]] {
            let error = parse_words(line).expect_err("it is no ADDR");
            assert!(error.contains(&format!("{url}: ")), "{error}");
            assert!(error.ends_with(words), "{error}");
        }
    }
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
        path: "/x?y".to_owned(),
        host: Some("example.org:80".to_owned()),
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
