//! The promises of the command line, tested with what a user types.

use super::services::SERVICES;
use super::*;
use crate::protocol::framing::FRAMINGS;
use std::os::unix::ffi::OsStringExt;

/// Splits a line at blanks; single quotes keep words together.
fn parse_line(line: &str) -> Result<Parsed, String> {
    let mut quoted = false;
    let words = line.split(|letter| {
        quoted ^= letter == '\'';
        letter == ' ' && !quoted
    });
    parse(
        words
            .filter(|word| !word.is_empty())
            .map(|word| OsString::from(word.replace('\'', ""))),
    )
}

fn serve(line: &str) -> Serve {
    match parse_line(line) {
        Ok(Parsed::Run(Command::Serve(serve))) => *serve,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn no_argument_is_raw_echo_on_this_machine() {
    let serve = serve("");
    assert_eq!(
        serve.listen,
        [limits::LISTEN_DEFAULT.parse().expect("an address")]
    );
    assert_eq!(
        Serve {
            listen: Vec::new(),
            is_listen_default: false,
            ..serve
        },
        Serve::default()
    );
}

#[test]
fn a_default_that_is_shown_can_be_typed_and_changes_nothing() {
    let defaults = Options::default();
    for flag in COMMANDS[0].flags() {
        let default = (flag.default)(&defaults);
        if !default.is_empty() {
            let line = format!("{}={default}", flag.long);
            let mut typed = parse_line(&line);
            if let (Ok(Parsed::Run(Command::Serve(serve))), "--max-connections") =
                (&mut typed, flag.long)
            {
                // An explicit number warns if it does not fit; otherwise it equals the default.
                assert_eq!(
                    serve.connections_max.take(),
                    Some(limits::CONNECTIONS_DEFAULT)
                );
            }
            let mut empty = parse_line("");
            for parsed in [&mut typed, &mut empty].into_iter().flatten() {
                if let Parsed::Run(Command::Serve(serve)) = parsed {
                    // A typed address is not replaced by that of a service manager.
                    serve.is_listen_default = false;
                    // A typed time-out of connections is refused where there are none.
                    serve.connection_only = None;
                }
            }
            assert_eq!(typed, empty, "{line}");
        }
    }
}

#[test]
fn every_value_reaches_its_field() {
    let parsed = serve(
        "serve upper --unicode --listen 127.0.0.1:0 --listen=127.0.0.1:1 --frame u32be \
         --frame-max 64k --on-too-long discard --threads 2 --max-connections 7 \
         --max-memory=1g --backlog 5 \
         --idle-timeout off --stall-timeout 5s --stall-min 2k --frame-timeout 2s \
         --max-connections-per-ip 4 --drain-timeout 0 --nodelay=off --trigger level --stats 1s \
         --submit ring --spin 50us --defer-accept --stats-format json --accept exclusive --pin \
         --wiretap hex --idle-read 7s --idle-write 9s --rate 1m --rate-total 2m/1k --rate-out 3 \
         --rate-out-total 4/5 --processes 2 --alive 2s --listen unix:/s --unix-mode 0620 \
         --log-time --user nobody:nogroup --proxy-protocol require --proxy-from 10.0.0.0/8 \
         --proxy-from=::1 --codec base64 --trace t.txt --trace-last 5 --metrics 9100",
    );
    let rate = |rate, burst| Some(Rate { rate, burst });
    let address = |text: &str| text.parse().expect("an address");
    let range =
        |text: &str, bits| Range::new(text.parse().expect("an address"), bits).expect("a range");
    let expected = Serve {
        listen: vec![
            address("127.0.0.1:0"),
            address("127.0.0.1:1"),
            address("unix:/s"),
        ],
        listen_halves: Vec::new(),
        is_listen_default: false,
        connection_only: Some("--accept"),
        inetd: false,
        service: ServiceName::Upper,
        unicode: true,
        prefix: None,
        dictionary: None,
        allow: Vec::new(),
        ftp: None,
        framing: "u32be".parse().expect("a framing"),
        codec: Some(Codec::Base64),
        auth: None,
        auth_key_file: None,
        frame_size_max: 65_536,
        on_too_long: OnTooLong::Discard,
        threads: 2,
        model: Model::Epoll,
        pool_threads: limits::POOL_THREADS_DEFAULT,
        pool_queue: limits::POOL_QUEUE_DEFAULT,
        processes: Some(2),
        alive: Some(Duration::from_secs(2)),
        connections_max: Some(7),
        memory_max: 1 << 30,
        backlog: 5,
        idle_timeout: None,
        idle_read: Some(Duration::from_secs(7)),
        idle_write: Some(Duration::from_secs(9)),
        rate: rate(1 << 20, 1 << 20),
        rate_total: rate(2 << 20, 1024),
        rate_out: rate(3, 3),
        rate_out_total: rate(4, 5),
        stall_timeout: Some(Duration::from_secs(5)),
        stall_size_min: 2048,
        frame_timeout: Some(Duration::from_secs(2)),
        connections_per_ip_max: Some(4),
        drain_timeout: Duration::ZERO,
        nodelay: false,
        accept: AcceptPolicy::Exclusive,
        pin: true,
        trigger: Trigger::Level,
        submit: Submit::Ring,
        spin: Some(Duration::from_micros(50)),
        defer_accept: true,
        unix_mode: Some(0o620),
        stats_interval: Some(Duration::from_secs(1)),
        stats_format: Some(StatsFormat::Json),
        log_time: true,
        user: Some("nobody:nogroup".to_owned()),
        wiretap: Some(Detail::Hex),
        tls_cert: None,
        tls_key: None,
        handshake_timeout: Some(limits::HANDSHAKE_TIMEOUT_DEFAULT),
        trace: TraceFile {
            file: Some("t.txt".into()),
            last: 5,
        },
        proxy: Some(ProxyMode::Require),
        metrics: Some(address("9100")),
        takeover: None,
        proxy_from: vec![range("10.0.0.0", Some(8)), range("::1", None)],
    };
    assert_eq!(parsed, expected);
}

#[test]
fn the_mode_of_socket_files_needs_a_socket_file() {
    for listen in ["", "--listen 7007", "--listen unix:@name"] {
        let refused = parse_line(&format!("--unix-mode 660 {listen}"));
        let line = "--unix-mode 0660: needs --listen unix:/PATH".to_owned();
        assert_eq!(refused, Err(line), "{listen}");
    }
    let mixed = serve("--unix-mode 660 --listen 7007 --listen unix:/s");
    assert_eq!(mixed.unix_mode, Some(0o660));
}

#[test]
fn the_path_of_a_takeover_is_one_that_a_socket_can_have() {
    for size in [1, limits::SOCKET_PATH_MAX - 1, limits::SOCKET_PATH_MAX] {
        let path = "x".repeat(size);
        let serve = serve(&format!("--takeover {path}"));
        assert_eq!(serve.takeover, Some(path.into()));
    }
    let long = "x".repeat(limits::SOCKET_PATH_MAX + 1);
    let refused = parse_line(&format!("--takeover {long}")).expect_err("it is too long");
    let line = "must be a path of 1 to 107 bytes, such as /run/mynah.takeover";
    assert!(refused.ends_with(line), "{refused}");
}

#[test]
fn the_last_of_a_repeated_flag_wins() {
    assert_eq!(serve("--threads 2 --threads=3").threads, 3);
    assert!(!serve("--nodelay --nodelay=off").nodelay);
    assert_eq!(serve("echo --service upper").service, ServiceName::Upper);
}

#[test]
fn a_short_form_takes_its_value_attached_or_as_the_next_word() {
    let written_out = serve("--listen 127.0.0.1:7008 --listen 7009 --listen 7010");
    for line in [
        "-l 127.0.0.1:7008 -l 7009 -p 7010",
        "-l127.0.0.1:7008 -l7009 -p7010",
        "-l=127.0.0.1:7008 -l=7009 -p=7010",
    ] {
        assert_eq!(serve(line), written_out, "{line}");
    }
    let written_out =
        parse_line("bench 7 --connections 9 --duration 2s --threads 2 --rate 5k --size 9");
    assert!(written_out.is_ok());
    for line in [
        "bench 7 -c 9 -d 2s -t 2 -R 5k --size 9",
        "bench -c9 -d2s -t2 -R5k 7 --size=9",
        "bench 7 -c=9 -d=2s -t=2 -R=5k --size 9",
    ] {
        assert_eq!(parse_line(line), written_out, "{line}");
    }
    assert_eq!(
        parse_line("bench 7 -n 1k"),
        parse_line("bench 7 --requests 1k")
    );
    for (line, error) in [
        (
            "-p 70070",
            "-p 70070: must be 0 to 65535; an address follows -l or --listen",
        ),
        (
            "-p localhost:7",
            "-p localhost:7: must be a whole number, 0 to 65535; an address follows -l or --listen",
        ),
        ("-p", "-p: needs a value, -p PORT"),
        ("bench 7 -c0", "-c 0: must be 1 to 16777216"),
        ("bench 7 -d5", "-d 5: needs a unit, such as 5s or 5ms"),
        ("-listen 7", "-listen: has one dash; write --listen"),
        ("connect 7 -l 8", "-l: belongs to mynah serve and mynah ftp"),
        ("-R 5", "-R: belongs to mynah bench"),
        ("-hx", "-hx: unknown, see mynah serve --help"),
    ] {
        assert_eq!(parse_line(line), Err(error.to_owned()), "{line}");
    }
}

#[test]
fn auto_is_a_thread_for_each_processor_that_the_process_may_use() {
    let may = crate::kernel::host::affinity(0).expect("a mask").list();
    assert_eq!(serve("--threads auto").threads, may.len().min(64));
    assert_eq!(
        parse_line("bench 7 -t auto"),
        parse_line(&format!("bench 7 --threads {}", may.len().min(64)))
    );
}

#[test]
fn a_switch_takes_on_or_off_as_the_next_word_too() {
    assert!(!serve("--nodelay off").nodelay);
    assert!(serve("--nodelay on --defer-accept").defer_accept);
    assert_eq!(serve("--nodelay upper").service, ServiceName::Upper);
    for (line, error) in [
        ("--nodelay maybe", "--nodelay maybe: must be on or off"),
        ("serve --nodelay true", "--nodelay true: must be on or off"),
        ("--nodelay uper", "uper: unknown, did you mean upper?"),
        (
            "connect --retry 127.0.01:7",
            "127.0.01:7: 127.0.01 is not a dotted quad; write four numbers up to 255 without \
             leading zeros, 127.0.0.1:7",
        ),
    ] {
        assert_eq!(parse_line(line), Err(error.to_owned()), "{line}");
    }
}

#[test]
fn a_word_of_another_program_is_refused_with_ours() {
    for (line, error) in [
        (
            "--port 7",
            "--port: write -p PORT, or --listen ADDR:PORT for another address",
        ),
        (
            "--bind=::1",
            "--bind: write --listen ADDR:PORT, or -l for short",
        ),
        (
            "--workers 4",
            "--workers: write --threads N, or --threads auto for one on each processor",
        ),
        (
            "-v",
            "-v: the log is set by RUST_LOG=debug in front of mynah; -V is the version",
        ),
        (
            "bench 7 --qps 5",
            "--qps: write --rate RATE, requests a second in all, or -R for short",
        ),
        (
            "bench 7 --concurrency=5",
            "--concurrency: write --connections N, or -c for short",
        ),
        (
            "bench 7 --time 5",
            "--time: write --duration TIME with its unit, such as 10s, or -d for short",
        ),
        (
            "bench 7 -k",
            "-k: connections are kept; --churn opens one for each request",
        ),
        (
            "bench 7 --frame-max 5",
            "--frame-max: bench has no limit of its own; --size is the payload, and the server's \
             limit is what the server was told",
        ),
        (
            "connect 7 --host x",
            "--host: the server is a word, mynah connect HOST:PORT",
        ),
        (
            "https",
            "https: write mynah http --tls-cert PEM --tls-key PEM",
        ),
        (
            "serve https",
            "https: write mynah http --tls-cert PEM --tls-key PEM",
        ),
        ("wrk", "wrk: write mynah bench ADDR"),
        (
            "run ls -l",
            "ls: the commands of run follow --allow, such as --allow 'ls -l'",
        ),
        (
            "http 8080",
            "8080: an address follows --listen, or mynah connect; write --listen 8080",
        ),
        (
            "dict words",
            "words: the file of dict follows --dictionary, --dictionary FILE",
        ),
        (
            "TCP-LISTEN:7007,fork",
            "TCP-LISTEN:7007,fork: write --listen HOST:PORT, or -p PORT",
        ),
    ] {
        assert_eq!(parse_line(line), Err(error.to_owned()), "{line}");
    }
}

#[test]
fn an_address_that_became_the_name_of_a_file_is_told() {
    assert_eq!(
        parse_line("bench --json 7007"),
        Err(
            "bench needs an ADDR, or --spawn 'CMD {port}'; --json took 7007 as the name of its \
             file, write --json=7007"
                .to_owned()
        )
    );
}

#[test]
fn two_dashes_end_the_flags() {
    assert_eq!(serve("-- upper").service, ServiceName::Upper);
    let error = parse_line("-- --threads").expect_err("a word");
    assert_eq!(
        error,
        "--threads: unknown, must be echo or upper or discard or dict or robot or run or http \
             or serve or bench or merge or lab or connect or decode or sum or ftp or help or \
             man or completions or version"
    );
}

#[test]
fn a_wrong_word_gets_one_line_with_what_would_be_right() {
    for (line, error) in [
        ("--threads 0", "--threads 0: must be 1 to 64"),
        (
            "--threads=x",
            "--threads x: must be a whole number, 1 to 64",
        ),
        ("--threads", "--threads: needs a value, --threads N"),
        (
            "--threads --unicode",
            "--threads: needs a value, --threads N",
        ),
        (
            "--threads -1",
            "--threads -1: must be a whole number, 1 to 64",
        ),
        ("--thraeds 1", "--thraeds: unknown, did you mean --threads?"),
        ("--bogus", "--bogus: unknown, see mynah serve --help"),
        ("-Y", "-Y: unknown, see mynah serve --help"),
        ("ehco", "ehco: unknown, did you mean echo?"),
        ("sevre", "sevre: unknown, did you mean serve?"),
        (
            "proxy",
            "proxy: unknown, must be echo or upper or discard or dict or robot or run or http \
             or serve or bench or merge or lab or connect or decode or sum or ftp or help or \
             man or completions or version",
        ),
        (
            "serve proxy",
            "proxy: unknown, must be echo or upper or discard or dict or robot or run or http",
        ),
        (
            "--service eco",
            "--service eco: unknown, did you mean echo?",
        ),
        ("echo upper", "upper: serve takes one SERVICE, and has echo"),
        (
            "--threads 2 serve",
            "serve: must come first, mynah [serve] [SERVICE] [OPTIONS]",
        ),
        ("--unicode", "--unicode: echo does not know it, only upper"),
        (
            "--threads 4 --max-connections 3",
            "--max-connections 3: must be at least --threads, 4",
        ),
        (
            "--accept round-robin",
            "--accept round-robin: unknown, must be reuseport or exclusive or handoff",
        ),
        ("--pin=1", "--pin 1: must be on or off"),
        ("--frame-max 2g", "--frame-max 2g: must be 1 to 1g"),
        (
            "--idle-timeout 5",
            "--idle-timeout 5: needs a unit, such as 5s or 5ms, or off",
        ),
        (
            "--drain-timeout off",
            "--drain-timeout off: must be a time, such as 500us, 20ms, 1.5s, 5m or 1h",
        ),
        ("--nodelay=1", "--nodelay 1: must be on or off"),
        (
            "--trigger levle",
            "--trigger levle: unknown, did you mean level?",
        ),
        (
            "--submit rign",
            "--submit rign: unknown, did you mean ring?",
        ),
        (
            "--submit ring --model thread",
            "--model thread: does not combine with --submit",
        ),
        (
            "--submit ring --inetd",
            "--inetd: does not combine with --submit",
        ),
        (
            "--submit ring --listen udp://127.0.0.1:7",
            "--submit ring: does not combine with datagrams, and udp://127.0.0.1:7 takes them",
        ),
        ("--help=x", "--help=x: --help takes no value"),
        (
            "7007",
            "7007: an address follows --listen, or mynah connect; write --listen 7007",
        ),
        (
            "serve localhost:7007",
            "localhost:7007: an address follows --listen, or mynah connect; \
             write --listen localhost:7007",
        ),
        (
            "--listen=",
            "--listen \"\": it is empty; write a port such as 7007, or HOST:PORT",
        ),
    ] {
        assert_eq!(parse_line(line), Err(error.to_owned()), "{line}");
    }
}

#[test]
fn a_framing_that_no_answer_fits_is_refused() {
    let texts = "--frame fixed:9: the answers are texts of any length, which need another framing, \
                 such as line";
    for line in [
        "run --frame fixed:9",
        "robot --frame fixed:9",
        "dict --dictionary words --frame fixed:9",
        "echo --frame fixed:9 --prefix x",
    ] {
        assert_eq!(parse_line(line), Err(texts.to_owned()), "{line}");
    }
    for service in ["echo", "upper", "upper --unicode", "discard"] {
        serve(&format!("{service} --frame fixed:9"));
    }
    assert_eq!(
        parse_line("http --frame line"),
        Err("--frame line: http finds its messages itself, it takes only raw".to_owned())
    );
}

#[test]
fn an_argument_that_is_no_text_is_shown_without_loss() {
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let error = Err(r#""caf\xE9": is not UTF-8, must be text"#.to_owned());
    assert_eq!(parse([bytes(b"caf\xe9")]), error);
    assert_eq!(parse([bytes(b"--listen"), bytes(b"caf\xe9")]), error);
}

#[test]
fn a_reason_that_quotes_its_input_is_one_line_that_prints() {
    for (line, error) in [
        (
            "bench 7 --assert p99\u{7}",
            r#"--assert "p99\u{7}": 'p99\u{7}' compares nothing; write one like p99<2ms"#,
        ),
        (
            "--frame len:size=\n",
            r#"--frame "len:size=\n": size '\n' must be 1, 2, 3, 4 or 8"#,
        ),
    ] {
        assert_eq!(parse_line(line), Err(error.to_owned()), "{line}");
    }
}

#[test]
fn help_and_version_come_first() {
    assert_eq!(parse_line("-V --bogus"), Ok(Parsed::Version));
    assert_eq!(parse_line("--version"), Ok(Parsed::Version));
    assert_eq!(parse_line("-h --bogus"), parse_line("--help"));
}

#[test]
fn the_help_names_every_flag_and_service_within_100_columns_and_ends_with_examples() {
    for command in COMMANDS {
        let text = texts::of_command(command);
        assert!(
            text.lines().all(|line| line.chars().count() < 100),
            "{text}"
        );
        assert!(
            command.flags().all(|flag| text.contains(flag.long)),
            "{text}"
        );
        let last = text.rsplit("\n\n").next();
        assert!(
            last.is_some_and(|last| last.starts_with("Examples:")),
            "{text}"
        );
    }
    let services: Vec<&str> = SERVICES.iter().map(|(name, _)| *name).collect();
    let told: Vec<&str> = COMMANDS[0].words.1.iter().map(|(name, _)| *name).collect();
    assert_eq!(services, told);
}

#[test]
fn connect_takes_an_address_and_its_options() {
    let address = "127.0.0.1:7007".parse().expect("an address");
    let line = "connect --retry 7007 --no-jitter --once hi --greeting --frame u8 --frame-max 9 \
                --connect-timeout 2s --timeout 1s --codec base64 --proxy-protocol v2";
    let expected = Connect {
        proxy: Some(Version::V2),
        framing: "u8".parse().expect("a framing"),
        codec: Some(Codec::Base64),
        auth: None,
        auth_key_file: None,
        frame_size_max: 9,
        once: Some("hi".to_owned()),
        greeting: true,
        retry: true,
        no_jitter: true,
        connect_timeout: Some(Duration::from_secs(2)),
        timeout: Some(Duration::from_secs(1)),
        tls: Wanted::default(),
        trace: TraceFile::default(),
    };
    let connect = Command::Connect(address, expected);
    assert_eq!(parse_line(line), Ok(Parsed::Run(connect)));
    for (line, error) in [
        ("connect", "connect: needs an address, mynah connect ADDR"),
        (
            "connect 7 8",
            "8: connect takes one ADDR, and has tcp://127.0.0.1:7",
        ),
        ("connect 7 --no-jitter", "--no-jitter: only with --retry"),
        (
            "connect 7 --once x --greeting",
            "--greeting: only with --once and a --frame other than raw",
        ),
        (
            "connect 7 --frame line --greeting",
            "--greeting: only with --once and a --frame other than raw",
        ),
        (
            "connect 7 --listen 8",
            "--listen: belongs to mynah serve and mynah ftp",
        ),
        ("--retry", "--retry: belongs to mynah connect"),
    ] {
        assert_eq!(parse_line(line), Err(error.to_owned()), "{line}");
    }
}

#[test]
fn c4_an_address_that_resolvers_would_guess_at_is_refused_with_the_reason() {
    let refused = parse_line("connect 127.0.01:7007").expect_err("it is no dotted quad");
    assert!(
        refused.starts_with("127.0.01:7007: 127.0.01 is not a dotted quad; write four numbers"),
        "{refused}"
    );
}

#[test]
fn every_example_can_be_typed() {
    for (line, _) in COMMANDS.iter().flat_map(|command| command.examples) {
        let (_, args) = line.split_once("mynah").expect("a line of mynah");
        // What follows is for the shell.
        let args = args.split(" < ").next().unwrap_or(args);
        let needs_feature = |error: &str| error.contains("feature") && !cfg!(feature = "full");
        if let Err(error) = parse_line(args) {
            assert!(needs_feature(&error), "{line}: {error}");
        }
    }
}

#[test]
fn any_arguments_get_an_answer_and_an_error_is_one_line() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (defaults, mut words) = (Options::default(), Vec::new());
    for flag in table::flags() {
        words.extend([flag.long.to_owned(), (flag.default)(&defaults)]);
        words.extend(flag.short.map(str::to_owned));
    }
    let named = COMMANDS.iter().map(|command| command.name);
    let named = named.chain(SERVICES.iter().map(|(name, _)| *name));
    let named = named.chain(FRAMINGS.iter().flat_map(|row| row.words.split(' ')));
    words.extend(named.map(str::to_owned));
    for more in [
        "-- - = on off 0 1 5 99999999999999999999 64k 10s -1 -h -V 7007 [::1]:0 127.0.0.1:0 fd://3",
        "unix:/a unix:@a udp://:1 fixed:0 ascii:8 delim:0d0a len:offset=1,size=3 p99<2ms rate>=1k",
    ] {
        words.extend(more.split(' ').map(str::to_owned));
    }
    words.extend(["", "\n", "\u{202e}", "\u{1b}[2J"].map(str::to_owned));
    let mut words: Vec<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
    words.push(b"\xff".to_vec());
    let (mut run, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let args: Vec<OsString> = (0..random(6))
            .map(|_| {
                let mut word = words[random(words.len())].clone();
                if random(4) == 0 {
                    word.push(b'=');
                    word.extend_from_slice(&words[random(words.len())]);
                }
                if random(4) == 0 && !word.is_empty() {
                    let at = random(word.len());
                    word[at] = random(256) as u8;
                }
                OsString::from_vec(word)
            })
            .collect();
        match parse(args.clone()) {
            Ok(Parsed::Run(Command::Serve(serve))) => {
                assert!(
                    !serve.listen.is_empty() && (1..=64).contains(&serve.threads),
                    "{args:?}"
                );
                run += 1;
            }
            Ok(_) => {}
            Err(line) => {
                assert!(
                    line.chars().all(|c| !c.is_control()) && line.len() < 1000,
                    "{args:?}"
                );
                refused += 1;
            }
        }
    }
    assert!(run > 1000 && refused > 1000, "{run} run, {refused} refused");
}

#[test]
fn a_model_and_its_pool_reach_their_fields() {
    for (name, model) in [
        ("epoll", Model::Epoll),
        ("iterative", Model::Iterative),
        ("thread", Model::Thread),
        ("pool", Model::Pool),
        ("fork", Model::Fork),
    ] {
        assert_eq!(serve(&format!("--model {name}")).model, model);
    }
    let pool = serve("--model pool --pool-threads 2 --pool-queue 0");
    assert_eq!((pool.pool_threads, pool.pool_queue), (2, 0));
}

#[test]
fn a_model_refuses_what_it_does_not_combine_with() {
    let refused = |line: &str| parse_line(line).expect_err(line);
    for model in ["iterative", "thread", "pool", "fork"] {
        for option in [
            "--threads 2",
            "--accept reuseport",
            "--trigger edge",
            "--spin 1us",
            "--pin",
        ] {
            let flag = option.split(' ').next().expect("a flag");
            let line = refused(&format!("--model {model} {option}"));
            assert_eq!(
                line,
                format!("--model {model}: does not combine with {flag}")
            );
        }
        let alone = serve(&format!("--model {model} --threads 1 --defer-accept"));
        assert_eq!(alone.threads, 1);
        // What asks for nothing combines with everything.
        serve(&format!(
            "--model {model} --processes off --submit calls --spin off --pin off --rate-total off"
        ));
    }
    for (line, reason) in [
        (
            "--model forks",
            "--model forks: unknown, did you mean fork?",
        ),
        (
            "--pool-threads 2",
            "--pool-threads: needs --model pool, and has epoll",
        ),
        (
            "--model thread --pool-queue 3",
            "--pool-queue: needs --model pool, and has thread",
        ),
        (
            "--model pool --pool-threads 0",
            "--pool-threads 0: must be 1 to 4096",
        ),
        (
            "--model pool --pool-threads 4097",
            "--pool-threads 4097: must be 1 to 4096",
        ),
    ] {
        assert_eq!(refused(line), reason);
    }
}

#[test]
fn all_addresses_are_a_listener_for_each_family() {
    for text in ["*:7", ":7", "tcp://*:7", "tcp://:7"] {
        let serve = match parse(["--listen", text, "--listen", "8"].map(Into::into)) {
            Ok(Parsed::Run(Command::Serve(serve))) => serve,
            other => panic!("{text}: {other:?}"),
        };
        let listen: Vec<String> = serve.listen.iter().map(ToString::to_string).collect();
        assert_eq!(
            listen,
            ["tcp://0.0.0.0:7", "tcp://[::]:7", "tcp://127.0.0.1:8"]
        );
        assert_eq!(serve.listen_halves, [1]);
    }
    for text in ["*:", "*:65536", ":port", "*:7:8", "**:7"] {
        assert!(parse(["--listen", text].map(Into::into)).is_err(), "{text}");
    }
}

#[test]
fn standard_input_is_served_alone() {
    assert!(serve("--inetd --threads 1 --idle-timeout 5s").inetd);
    assert!(serve("--inetd --wiretap off --rate-out-total off").inetd);
    assert!(!serve("--inetd=off --threads 2 --listen 7007").inetd);
    serve("-l udp://127.0.0.1:7 --idle-timeout off --idle-read off --idle-write off");
    for (words, flag) in [
        ("--threads 2", "--threads"),
        ("-l 7007", "--listen"),
        ("-p 7007", "-p"),
        ("--processes 2", "--processes"),
        ("--wiretap size", "--wiretap"),
    ] {
        let line = format!("--inetd: does not combine with {flag}");
        assert_eq!(parse_line(&format!("--inetd {words}")), Err(line));
    }
    let line = "--listen fd://3: given twice".to_owned();
    assert_eq!(parse_line("-l fd://3 -l fd://4 -l fd://3"), Err(line));
}
