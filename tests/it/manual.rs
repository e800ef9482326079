//! The sessions of the README and the manual, played in bash with the real program.
//!
//! A block `console` is a session: a line `$ COMMAND`, then what it prints, stdout and stderr. In
//! what is expected, `...` stands for anything up to the end of a line, and a line `...` for any
//! lines. Each block has an empty folder, and ports of its own: the ports 7007 to 7016 and 8080
//! that a block names are replaced on the way in and on the way out, so that sessions can be
//! played beside each other and beside servers of the machine. A command that ends with `&` is
//! followed by a wait until its port can be reached. What a block leaves running is ended after it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::binary::is_installed;
use crate::faults::paths_of_tests;
use crate::house_rules::home;
use crate::program;

const PATIENCE: Duration = Duration::from_secs(30);
/// Ends the output of a command.
const MARK: &str = "-- the command has ended --";
/// The ports that a session may name.
const PORTS: std::ops::RangeInclusive<u16> = 7007..=7016;
/// The default of the program, which a command may mean without naming it.
const DEFAULT_PORT: u16 = 7007;

/// One command and the lines that it prints.
#[derive(Debug)]
struct Step {
    command: String,
    expected: Vec<String>,
}

/// A session, and the line where it begins.
#[derive(Debug)]
struct Session {
    line: usize,
    steps: Vec<Step>,
}

/// The sessions of a chapter.
fn sessions(text: &str) -> Vec<Session> {
    let mut sessions = Vec::new();
    let mut session: Option<Session> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (&mut session, line) {
            (None, "```console") => {
                session = Some(Session {
                    line: number,
                    steps: Vec::new(),
                });
            }
            (None, _) => {}
            (Some(_), "```") => sessions.extend(session.take()),
            (Some(open), _) => match (line.strip_prefix("$ "), open.steps.last_mut()) {
                (Some(command), _) => open.steps.push(Step {
                    command: command.to_owned(),
                    expected: Vec::new(),
                }),
                (None, Some(step)) => step.expected.push(line.to_owned()),
                (None, None) => panic!("line {number}: a session begins with a command"),
            },
        }
    }
    assert!(session.is_none(), "a block has no end");
    sessions
}

/// Whether `line` is what `expected` says.
fn line_matches(expected: &str, line: &str) -> bool {
    match expected.strip_suffix("...") {
        Some(front) => line.starts_with(front),
        None => line == expected,
    }
}

/// Whether `lines` are what `expected` says.
fn matches(expected: &[String], lines: &[String]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]))
        }
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line) && matches(rest, others)),
    }
}

/// The command with each `sleep SECONDS` made longer by this factor.
fn with_longer_sleeps(command: &str, factor: f64) -> String {
    let mut parts = command.split("sleep ");
    let mut longer = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|it: char| !it.is_ascii_digit() && it != '.');
        let (number, rest) = part.split_at(end.unwrap_or(part.len()));
        let seconds = number.parse::<f64>().map(|it| (it * factor).to_string());
        longer += &format!("sleep {}{rest}", seconds.as_deref().unwrap_or(number));
    }
    longer
}

#[test]
fn a_sleep_of_a_session_is_made_longer_and_nothing_else() {
    for (command, longer) in [
        (
            "sleep 0.5; kill -USR1 $!; sleep 2",
            "sleep 1.5; kill -USR1 $!; sleep 6",
        ),
        (
            "(printf half; sleep 1) | cat",
            "(printf half; sleep 3) | cat",
        ),
        ("sleep $span; echo sleep", "sleep $span; echo sleep"),
        ("echo 1", "echo 1"),
    ] {
        assert_eq!(with_longer_sleeps(command, 3.0), longer);
    }
}

/// A port that a session has instead of one that it names.
struct Port {
    named: u16,
    real: u16,
    /// The name of a local socket, which no other session has at the same time, in whatever process
    /// of this machine.
    _claim: UnixListener,
}

/// Free ports, for streams and for datagrams at every address: below the range of the kernel's own
/// choices, so that no client of another test gets one in the meantime.
fn free_ports() -> Vec<Port> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 20_000 + (std::process::id() % 10_000) as u16;
    let claim = |named| {
        loop {
            let real = begin + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
            let name = format!("mynah-manual-port-{real}");
            let name = SocketAddr::from_abstract_name(name).expect("a short name");
            let Ok(claim) = UnixListener::bind_addr(&name) else {
                continue;
            };
            let is_free = ["127.0.0.1", "0.0.0.0"].iter().all(|at| {
                TcpListener::bind((*at, real)).is_ok() && UdpSocket::bind((*at, real)).is_ok()
            });
            if is_free {
                return Port {
                    named,
                    real,
                    _claim: claim,
                };
            }
        }
    };
    PORTS.map(claim).collect()
}

/// A shell that plays one session.
struct Shell {
    bash: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
    ports: Vec<Port>,
    /// The factor of the spans for which a session sleeps.
    slowness: f64,
    folder: PathBuf,
}

impl Shell {
    fn start(name: &str, slowness: f64) -> Shell {
        let ports = free_ports();
        let folder = format!("mynah-manual-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let tools = folder.join("bin");
        fs::create_dir_all(&tools).expect("a folder");
        // A server without an address would listen on the default port. The words
        // `mynah --listen {port}` and `mynah help` are as they are.
        let default = ports[0].real;
        let wrapper = format!(
            "#!/bin/sh\n\
             case \"$1\" in\n\
             bench|connect|decode|help|lab|man|merge|sum|completions|version|--help|--version) ;;\n\
             *) case \" $* \" in\n\
             *' --listen'*|*' -l'*|*' -p'*|*' --threads 0'*) ;;\n\
             *) set -- \"$@\" --listen 127.0.0.1:{default} ;;\n\
             esac ;;\n\
             esac\n\
             exec \"{}\" \"$@\"\n",
            program::path()
        );
        let path = tools.join("mynah");
        fs::write(&path, wrapper).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
        let search = std::env::var("PATH").unwrap_or_default();
        let mut bash = Command::new("bash")
            .args(["--norc", "--noprofile"])
            .current_dir(&folder)
            .env("PATH", format!("{}:{search}", tools.display()))
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("bash starts");
        let mut orders = bash.stdin.take().expect("a pipe");
        writeln!(orders, "exec 2>&1; set -m").expect("bash reads");
        let output = bash.stdout.take().expect("a pipe");
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Shell {
            bash,
            orders,
            lines,
            ports,
            slowness,
            folder,
        }
    }

    /// Replaces the ports of the text by those of this session.
    fn inwards(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for Port { named, real, .. } in &self.ports {
            text = text.replace(&named.to_string(), &real.to_string());
        }
        text
    }

    fn outwards(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for Port { named, real, .. } in &self.ports {
            text = text.replace(&real.to_string(), &named.to_string());
        }
        text
    }

    /// Plays one step; an error says what came instead.
    fn play(&mut self, step: &Step) -> Result<(), String> {
        let command = with_longer_sleeps(&self.inwards(&step.command), self.slowness);
        writeln!(self.orders, "{command}\necho '{MARK}'").map_err(|error| error.to_string())?;
        if step.command.trim_end().ends_with('&') {
            self.wait_for_server(&step.command)?;
        }
        let (mut said, mut ended) = (Vec::new(), false);
        let mut until = Instant::now() + PATIENCE;
        loop {
            if ended && matches(&step.expected, &said) {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.ends_with(MARK) => {
                    // The last line of the command may have no end.
                    let last = line.trim_end_matches(MARK);
                    said.extend((!last.is_empty()).then(|| self.outwards(last)));
                    ended = true;
                    // What a server in the background prints may come later.
                    until = until.min(Instant::now() + PATIENCE / 4);
                }
                // bash tells of the jobs that have ended.
                Ok(line) if line.starts_with('[') && line.contains("  ") => {}
                Ok(line) => said.push(self.outwards(line.trim_end_matches('\r'))),
                Err(_) => {
                    let said = said.join("\n");
                    return Err(format!(
                        "$ {}\nprints\n{said}\nand not\n{}",
                        step.command,
                        step.expected.join("\n")
                    ));
                }
            }
        }
    }

    /// Waits until the servers that `command` starts can be reached.
    fn wait_for_server(&self, command: &str) -> Result<(), String> {
        let is_in = |port: &Port| command.contains(&port.named.to_string());
        let is_named = self.ports.iter().any(is_in);
        let ports = self.ports.iter().filter(|port| match is_named {
            true => is_in(port),
            false => port.named == DEFAULT_PORT,
        });
        for Port { real, .. } in ports {
            let until = Instant::now() + PATIENCE;
            while TcpStream::connect(("127.0.0.1", *real)).is_err() {
                if Instant::now() > until {
                    return Err(format!("$ {command}\nis not reached on port {real}"));
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // With `set -m` each job has a process group of its own, which bash knows by its number.
        let _ = writeln!(
            self.orders,
            "kill -KILL $(jobs -p | sed 's/^/-/') 2>/dev/null; exit"
        );
        let until = Instant::now() + PATIENCE;
        while self.bash.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.bash.kill();
        let _ = self.bash.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Plays every session of a file.
#[track_caller]
fn play(path: &Path) {
    if !is_installed("bash") {
        return;
    }
    let text = fs::read_to_string(path).expect("a chapter");
    let name = path.file_stem().expect("a name").to_string_lossy();
    for session in sessions(&text) {
        let needs = ["curl", "python3", "nc"];
        let lacks = |program: &str| {
            let used = |step: &Step| step.command.split([' ', '\'']).any(|word| word == program);
            session.steps.iter().any(used) && !is_installed(program)
        };
        if needs.into_iter().any(lacks) {
            continue;
        }
        // A session waits with sleep(1), which is too short on a slow machine: then it is played
        // again from the start, with longer waits.
        let play = |slowness| {
            let mut shell = Shell::start(&format!("{name}-{}", session.line), slowness);
            session.steps.iter().find_map(|step| shell.play(step).err())
        };
        let failures: Vec<String> = [1.0, 3.0, 9.0].into_iter().map_while(play).collect();
        if let [.., failure] = &failures[..] {
            let is_passed = failures.len() < 3;
            assert!(is_passed, "{}:{}: {failure}", path.display(), session.line);
        }
    }
}

fn chapter(name: &str) {
    play(&home().join("src/cli/manual").join(name));
}

#[test]
fn the_sessions_of_the_readme_are_as_they_are_written() {
    play(&home().join("README.md"));
}

#[test]
fn the_sessions_of_the_manual_about_serving_are_as_they_are_written() {
    for name in [
        "serve.md",
        "models.md",
        "limits.md",
        "rates.md",
        "datagrams.md",
        "wiretap.md",
        "tls.md",
        "trace.md",
        "shutdown.md",
        "processes.md",
        "takeover.md",
        "scaling.md",
        "metrics.md",
        "systemd.md",
        "container.md",
        "kubernetes.md",
        "haproxy.md",
        "security.md",
        "changes.md",
    ] {
        chapter(name);
    }
}

#[test]
fn the_sessions_of_the_manual_about_services_are_as_they_are_written() {
    chapter("services.md");
}

#[test]
fn the_sessions_of_the_manual_about_messages_are_as_they_are_written() {
    for name in [
        "framing.md",
        "connect.md",
        "exit-codes.md",
        "environment.md",
    ] {
        chapter(name);
    }
}

#[test]
fn the_sessions_of_the_manual_about_measuring_are_as_they_are_written() {
    for name in [
        "bench.md",
        "report.md",
        "merge.md",
        "reliability.md",
        "elsewhere.md",
        "networks.md",
        "internals.md",
        "peers.md",
        "lab.md",
        "epoll.md",
        "source.md",
        "workers.md",
    ] {
        chapter(name);
    }
}

#[test]
#[cfg_attr(not(feature = "auth"), ignore = "needs the feature auth")]
fn the_sessions_of_the_manual_about_the_feature_auth_are_as_they_are_written() {
    for name in ["auth.md", "sum.md", "ftp.md"] {
        chapter(name);
    }
}

#[test]
fn every_chapter_is_played_and_the_readme_has_a_link_to_it() {
    let this = fs::read_to_string(home().join("tests/it/manual.rs")).expect("this file");
    let readme = fs::read_to_string(home().join("README.md")).expect("the readme");
    for entry in fs::read_dir(home().join("src/cli/manual")).expect("the manual") {
        let name = entry.expect("a file").file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".md") {
            assert!(this.contains(&format!("{name:?}")), "{name}");
            assert!(readme.contains(&format!("manual/{name})")), "{name}");
        }
    }
}

/// The words between single backquotes of a text, outside of its blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside
        .flat_map(|part| part.split('`').skip(1).step_by(2))
        .collect()
}

/// What the command lines `cargo test ...` in a text filter by.
fn filters(text: &str) -> Vec<&str> {
    let mut filters = Vec::new();
    for rest in text.split("cargo test ").skip(1) {
        let end = rest.find(['`', '#', '\n']).unwrap_or(rest.len());
        let mut words = rest[..end].split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "--" => break,
                "--test" => _ = words.next(),
                _ if word.starts_with("--") || word == "NAME" => {}
                _ => filters.push(word),
            }
        }
    }
    filters
}

/// Every file and every test that a text names exists, so that a reader finds what is written.
#[test]
fn every_file_and_every_test_that_the_manual_names_exists() {
    let tests = paths_of_tests();
    let chapters = fs::read_dir(home().join("src/cli/manual")).expect("the manual");
    let chapters = chapters.map(|entry| entry.expect("a file").path());
    let mut named = 0;
    for path in chapters.chain([home().join("README.md")]) {
        if path.extension().is_none_or(|it| it != "md") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a chapter");
        let place = path.display();
        for filter in filters(&text) {
            let is_there = tests.iter().any(|test| test.contains(filter));
            assert!(is_there, "{place}: no test is called {filter}");
            named += 1;
        }
        for word in quoted(&text) {
            let is_path = word.ends_with(".rs") || word.starts_with("src/");
            let file = word.trim_end_matches('*');
            assert!(
                !is_path || home().join(file).exists(),
                "{place}: no file {word}"
            );
            // The reading path names tests without a command; a test has a long name.
            let is_long = word.matches('_').count() > 3 && !word.contains(' ');
            if is_long && path.ends_with("source.md") {
                let is_it = |test: &String| test.rsplit("::").next() == Some(word);
                let is_there = tests.iter().any(is_it);
                assert!(is_there, "{place}: no test is called {word}");
                named += 1;
            }
        }
    }
    assert!(named > 55, "{named} tests are named");
}

#[test]
fn a_line_of_dots_stands_for_any_lines_and_dots_for_the_rest_of_a_line() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (expected, said, holds) in [
        ("a\n...\nd", "a\nb\nc\nd", true),
        ("a\n...\nd", "a\nd", true),
        ("...", "", true),
        ("a b...", "a b c", true),
        ("a\n...\nd", "a\nb\nc", false),
        ("a", "a\nb", false),
        ("a...", "b", false),
    ] {
        assert_eq!(
            matches(&lines(expected), &lines(said)),
            holds,
            "{expected:?} {said:?}"
        );
    }
    let session = "text\n```console\n$ a\nb\n$ c\n```\n```text\n$ no\n```\n";
    let sessions = sessions(session);
    assert_eq!(sessions.len(), 1);
    assert_eq!((sessions[0].line, sessions[0].steps.len()), (2, 2));
}
