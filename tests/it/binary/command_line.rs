//! Starting the binary: usage errors, memory and descriptor limits, help, and output streams that
//! are closed or full.
//!
//! A usage error is one line on stderr and exit code 1. Output that is not read must never stop the
//! event loop. Man pages: getrlimit(2), pipe(7).

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::server::{Ended, Server};
use super::{FEW, ask, is_installed, say};

#[test]
fn a_wrong_word_gets_one_line_with_the_nearest_right_one() {
    for (args, line) in [
        (
            &["--thread", "2"][..],
            "mynah: --thread: unknown, did you mean --threads?",
        ),
        (&["uper"], "mynah: uper: unknown, did you mean upper?"),
        (&["ECHO"], "mynah: ECHO: unknown, did you mean echo?"),
        (
            &["sum", "--md5", "--sha1"],
            "mynah: --sha1: not together with --md5",
        ),
        (
            &["--trigger", "levle"],
            "mynah: --trigger levle: unknown, did you mean level?",
        ),
        (&["--threads", "0"], "mynah: --threads 0: must be 1 to 64"),
        (
            &["--idle-timeout=5"],
            "mynah: --idle-timeout 5: needs a unit, such as 5s or 5ms, or off",
        ),
        (
            &["--threads"],
            "mynah: --threads: needs a value, --threads N",
        ),
    ] {
        let refused = Ended::run(args);
        assert_eq!(
            (refused.code, refused.stderr),
            (Some(1), vec![line.to_owned()])
        );
        assert_eq!(refused.stdout, [""; 0], "{args:?}");
    }
    for args in [
        &["--frame", "u33be"][..],
        &["--listen", "nowhere:x"],
        &["--unicode"],
        &["echo", "echo"],
        &["--max-connections", "1", "--threads", "2"],
        &[FEW[0], FEW[1], "--frame", "u32be", "--frame-max", "3"],
        &["robot", "--frame-max", "49"],
        &["robot", "--frame", "ascii:1"],
        &["--codec", "base64"],
        &["--codec", "base65", "--frame", "line"],
        &["http", "--codec", "base64"],
        &["--codec", "base64", "--frame", "fixed:6"],
        &["--codec", "base64", "--frame", "delim:3d"],
        &["robot", "--codec", "base64", "--frame-max", "67"],
        &["connect", "7007", "--codec", "base64"],
        &["decode", "--codec", "base64"],
        // What is quoted from the options must not begin a line of its own.
        &["--user", "no\nbody"],
        &["dict", "--dictionary", "no\nfile"],
    ] {
        let refused = Ended::run(args);
        assert_eq!(
            (refused.code, refused.stderr.len()),
            (Some(1), 1),
            "{args:?}: {:?}",
            refused.stderr
        );
        assert!(refused.stderr[0].len() < 200, "{:?}", refused.stderr);
    }
}

#[test]
fn too_little_memory_is_one_line_that_says_how_much_would_do() {
    let refused = Ended::run(&[&FEW[..], &["--max-memory", "4m"]].concat());
    assert_eq!(
        (refused.code, refused.stderr.len()),
        (Some(1), 1),
        "{:?}",
        refused.stderr
    );
    let needed = refused.stderr[0]
        .split(' ')
        .nth_back(1)
        .expect("a number of bytes");
    let server = Server::start(&[&FEW[..], &["--max-memory", needed]].concat());
    assert_eq!(server.announced(" bytes of memory").to_string(), needed);
    assert_eq!(ask(&mut server.connect(), b"enough"), b"enough");
    server.end();
}

#[test]
fn memory_that_cannot_be_had_is_one_line_that_names_the_option() {
    // The limit allows the program itself, and much less than 1 GiB more.
    let limited = r#"ulimit -v 400000 && exec "$0" "$@""#;
    for (args, option) in [
        (
            &["decode", "--frame", "u32be", "--frame-max", "1g"][..],
            "--frame-max",
        ),
        (
            &["decode", "--frame", "line", "--frame-max", "1g", "--hex"],
            "--frame-max",
        ),
        (
            &[
                "--frame",
                "u32be",
                "--frame-max",
                "600m",
                "--max-memory",
                "1g",
            ],
            "--max-memory",
        ),
        (
            &[
                "--frame",
                "u32be",
                "--frame-max",
                "1g",
                "--max-memory",
                "8g",
            ],
            "--max-memory",
        ),
    ] {
        let output = Command::new("sh")
            .args(["-c", limited, crate::program::path()])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let line = String::from_utf8_lossy(&output.stderr);
        let front = format!("mynah: {option}: no room for ");
        assert_eq!(output.status.code(), Some(7), "{args:?}: {line}");
        assert!(line.starts_with(&front), "{args:?}: {line}");
        assert!(line.lines().count() == 1 && output.stdout.is_empty());
    }
}

/// Starts the program with a hard limit of 60 descriptors.
const FEW_DESCRIPTORS: [&str; 3] = [
    "sh",
    "-c",
    r#"ulimit -Sn 60 && ulimit -Hn 60 && exec "$0" "$@""#,
];

/// Connects as many peers as the ready line promises, sends one request on each, ends the server.
#[track_caller]
fn all_announced_connections_fit(server: Server, expected: std::ops::Range<u64>) {
    let fit = server.announced(" connections");
    assert!(expected.contains(&fit), "{fit} connections");
    let mut peers: Vec<_> = (0..fit).map(|_| server.connect()).collect();
    for peer in &mut peers {
        assert_eq!(ask(peer, b"in"), b"in");
    }
    assert_eq!(server.stats().get("refused_resources"), 0);
    drop(peers);
    server.end();
}

#[test]
fn a_low_descriptor_limit_shrinks_the_connections_with_a_warning() {
    let asked = ["--max-connections", "100"];
    let server = Server::start_under(&FEW_DESCRIPTORS, &[], &asked);
    let warning = server.hears("--max-connections 100");
    let fit = server.announced(" connections");
    assert!(warning.contains(&format!("only {fit} fit")), "{warning}");
    all_announced_connections_fit(server, 20..60);

    let none = ["-c", r#"ulimit -n 12 && exec "$0""#, crate::program::path()];
    let refused = Command::new("sh").args(none).output().expect("a shell");
    let line = String::from_utf8(refused.stderr).expect("UTF-8");
    assert_eq!(
        (refused.status.code(), line.lines().count()),
        (Some(2), 1),
        "{line}"
    );
}

#[test]
fn the_default_of_connections_shrinks_to_the_descriptor_limit_without_a_word() {
    let server = Server::start_under(&FEW_DESCRIPTORS, &[], &[]);
    let first = server.hears("");
    assert!(first.starts_with("INFO  talk to it with: "), "{first}");
    all_announced_connections_fit(server, 20..60);
}

#[test]
fn descriptors_that_were_open_before_are_not_there_for_connections() {
    if !is_installed("bash") {
        return;
    }
    let script = r#"for n in {10..49}; do eval "exec $n</dev/null"; done
        ulimit -n 100 && exec "$0" "$@""#;
    let asked = ["--max-connections", "100"];
    let server = Server::start_under(&["bash", "-c", script], &[], &asked);
    let warning = server.hears("--max-connections 100");
    assert!(warning.ends_with(" were open before"), "{warning}");
    all_announced_connections_fit(server, 20..50);
}

#[test]
fn a_low_soft_limit_is_raised_without_a_word() {
    let low = ["sh", "-c", r#"ulimit -Sn 64 && exec "$0" "$@""#];
    let server = Server::start_under(&low, &[], &["--max-connections", "100"]);
    assert_eq!(server.announced(" connections"), 100);
    let mut peers: Vec<_> = (0..100).map(|_| server.connect()).collect();
    assert_eq!(ask(&mut peers[99], b"in"), b"in");
    drop(peers);
    server.end();
}

#[test]
fn a_line_of_counts_comes_so_often() {
    let server = Server::start(&["--stats", "100ms"]);
    assert_eq!(ask(&mut server.connect(), b"count me"), b"count me");
    let begin = Instant::now();
    let first = server.next_stats();
    let second = server.next_stats();
    assert!(begin.elapsed() >= Duration::from_millis(100));
    assert!(second.get("epoll_wait") > first.get("epoll_wait"));
    assert_eq!(second.get("bytes_out"), 8);
    server.end();
}

#[test]
fn counters_are_json_or_without_zeros_as_asked_for() {
    for (format, begins, has, lacks) in [
        (
            "json",
            "{\"connections_now\":1,",
            ",\"bytes_out\":8,",
            "bytes_out=",
        ),
        ("text", "stats connections_now=1 ", " bytes_out=8 ", "=0"),
    ] {
        let server = Server::start(&["--stats-format", format]);
        let mut peer = server.connect();
        assert_eq!(ask(&mut peer, b"count me"), b"count me");
        server.signal("USR1");
        let line = server.next_line();
        assert!(line.starts_with(begins), "{line}");
        assert!(line.contains(has) && !line.contains(lacks), "{line}");
        drop(peer);
        server.end();
    }
}

#[test]
fn a_closed_stdout_changes_nothing_but_what_is_printed() {
    let mut server = Server::start(&["--stats", "100ms"]);
    let mut peer = server.connect();
    assert_eq!(ask(&mut peer, b"before"), b"before");
    server.close_stdout();
    for _ in 0..3 {
        server.signal("USR1");
        assert_eq!(ask(&mut peer, b"after"), b"after");
    }
    drop(peer);
    server.end();
    let quiet = r#""$0" --help | true"#;
    if !is_installed("bash") {
        return;
    }
    let script = format!("set -o pipefail; {quiet}");
    let heard = Command::new("bash")
        .args(["-c", &script, crate::program::path()])
        .output()
        .expect("it is installed");
    assert_eq!(String::from_utf8_lossy(&heard.stderr), "");
    assert!(heard.status.success(), "{:?}", heard.status);
}

#[test]
fn a_full_stdout_does_not_hold_up_the_loop() {
    let server = Server::start(&[]);
    let mut peer = server.connect();
    // No process reads these lines; the pipe holds fewer than a hundred of them.
    for _ in 0..200 {
        server.signal("USR1");
        assert_eq!(ask(&mut peer, b"go on"), b"go on");
    }
    drop(peer);
    let printed = server.end().stdout.len();
    assert!((50..200).contains(&printed), "{printed} lines");
}

#[test]
fn a_full_stderr_does_not_hold_up_the_loop() {
    let watched = [("RUST_LOG", "mynah::calls=trace")];
    let server = Server::start_under(&[], &watched, &[]);
    let mut peer = server.connect();
    // No process reads these lines. Each request logs some hundred bytes; the pipe holds 64 KiB.
    for _ in 0..2_000 {
        assert_eq!(ask(&mut peer, b"go on"), b"go on");
    }
    drop(peer);
    server.end();
}

#[test]
fn the_calls_can_be_read_along() {
    let watched = [("RUST_LOG", "mynah::calls=trace")];
    let server = Server::start_under(&[], &watched, &[]);
    assert_eq!(ask(&mut server.connect(), b"hello"), b"hello");
    for call in ["accept4(", "epoll_ctl(ADD, ", "recv(", "send("] {
        let line = server.hears(call);
        assert!(line.starts_with("TRACE mynah::calls "), "{line}");
        assert!(
            !call.starts_with("send") || line.ends_with(", 5) = 5"),
            "{line}"
        );
    }
    server.end();
}

#[test]
fn help_and_version_go_to_stdout_and_fit_a_terminal() {
    for (args, lines_max, columns_max) in [
        (&["--help"][..], 24, 79),
        (&["help"], 24, 79),
        (&["serve", "--help"], 120, 100),
        (&["bench", "help"], 100, 100),
    ] {
        let help = Ended::run(args);
        assert_eq!((help.code, help.stderr.len()), (Some(0), 0), "{args:?}");
        let lines = help.stdout.len();
        assert!((15..=lines_max).contains(&lines), "{args:?}: {lines} lines");
        let short = |line: &String| line.chars().count() <= columns_max;
        assert!(help.stdout.iter().all(short), "{args:?}");
    }
    let merge = Ended::run(&["merge", "--help"]).stdout.join("\n");
    assert!(
        merge.contains("\nDocuments:") && !merge.contains(":\n\n"),
        "{merge}"
    );
    for args in [&["--version"][..], &["-V"], &["version"]] {
        let version = Ended::run(args);
        let expected = [concat!("mynah ", env!("CARGO_PKG_VERSION"))];
        assert_eq!(
            (version.code, &version.stdout[..]),
            (Some(0), &expected.map(str::to_owned)[..])
        );
    }
}

#[test]
fn completions_complete_in_bash() {
    if !is_installed("bash") {
        return;
    }
    let script = r#"
        source <("$0" completions bash)
        for line in 'be' 'bench --pi' 'help ex' 'completions z' 'echo --stats-' '--frame u1'; do
            read -ra COMP_WORDS <<<"mynah $line"
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _mynah
            echo "$line: ${COMPREPLY[*]}"
        done"#;
    let heard = Command::new("bash")
        .args(["-c", script, crate::program::path()])
        .output()
        .expect("it is installed");
    assert_eq!(String::from_utf8_lossy(&heard.stderr), "");
    let expected = "be: bench\nbench --pi: --pipeline --pin\nhelp ex: exit-codes\n\
                    completions z: zsh\necho --stats-: --stats-format\n--frame u1: u16be u16le\n";
    assert_eq!(String::from_utf8_lossy(&heard.stdout), expected);
}

#[test]
fn it_is_ready_soon_after_its_start() {
    let mut spans: Vec<Duration> = (0..21)
        .map(|_| {
            let begin = Instant::now();
            let server = Server::start(&[]);
            let span = begin.elapsed();
            drop(server);
            span
        })
        .collect();
    spans.sort();
    say(format_args!(
        "from start to ready line, 21 starts: median {:?}, least {:?}",
        spans[10], spans[0]
    ));
    assert!(spans[10] < Duration::from_secs(2), "{spans:?}");
}
