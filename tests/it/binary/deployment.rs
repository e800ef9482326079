//! What the manual shows about systemd, containers and Kubernetes, as it is written there: each
//! file is taken out of its chapter, checked by the program that reads it, and its command lines
//! are run.
//!
//! Most of these programs are too large for every machine. Where one is missing, the test is
//! skipped with a line. `sandbox.py` and `container.py` make the surroundings that systemd and a
//! runtime for containers would.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::server::{PATIENCE, Server};
use super::{FEW, ask, is_installed, skip};
use crate::house_rules::home;
use crate::program;

/// The blocks of a chapter that are marked `kind`.
fn blocks(chapter: &str, kind: &str) -> Vec<String> {
    let text = fs::read_to_string(home().join("src/cli/manual").join(chapter)).expect("a chapter");
    let begin = format!("```{kind}\n");
    let blocks = text.split(&begin).skip(1);
    let until_end = |rest: &str| rest.split("```").next().expect("its end").to_owned();
    blocks.map(until_end).collect()
}

/// A folder that is removed with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("mynah-{}-{name}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        let _ = fs::remove_dir_all(&folder.0);
        fs::create_dir_all(&folder.0).expect("a folder");
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).expect("a file");
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a program of this machine, which must succeed; returns its stdout.
#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("it is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The status of a page of `--metrics`.
fn status(at: &str, path: &str) -> u16 {
    let Ok(mut peer) = TcpStream::connect(at) else {
        return 0;
    };
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let asked = write!(peer, "GET {path} HTTP/1.0\r\n\r\n");
    let mut said = String::new();
    let heard = asked.and_then(|()| peer.read_to_string(&mut said));
    let status = said.split(' ').nth(1).and_then(|word| word.parse().ok());
    heard.ok().and(status).unwrap_or(0)
}

fn pages(server: &Server) -> String {
    let (_, at) = server.ready.split_once(", metrics on tcp://").expect("it");
    at.trim().to_owned()
}

fn service(folder: &Folder) -> String {
    let unit = blocks("systemd.md", "ini").swap_remove(0);
    let unit = unit.replace("/usr/local/bin/mynah", program::path());
    folder.write("mynah.service", &unit)
}

#[test]
fn the_unit_of_the_manual_is_exposed_to_little_by_the_count_of_systemd() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let folder = Folder::new("exposure");
    let unit = service(&folder);
    let security = ["security", "--offline=true", "--no-pager"];
    // In tenths: what the chapter says.
    run(
        "systemd-analyze",
        &[&security[..], &["--threshold=11", &unit]].concat(),
    );
}

#[test]
fn the_server_runs_under_the_system_calls_and_rights_of_its_unit() {
    let header = Path::new("/usr/include/x86_64-linux-gnu/asm/unistd_64.h");
    if !is_installed("systemd-analyze") || !is_installed("python3") {
        return;
    }
    if !header.exists() || program::is_another() {
        return skip("the numbers of system calls are not known, or those of an emulator");
    }
    let folder = Folder::new("sandbox");
    let unit = service(&folder);
    // The user of the unit may not look into the folder of the build.
    let copy = folder.path("mynah");
    fs::copy(program::path(), &copy).expect("a copy");
    let script = home().join("tests/it/binary/sandbox.py");
    let script = script.display().to_string();
    for args in [
        &[][..],
        &["--threads", "2", "--accept", "handoff"],
        &["--processes", "2"],
        &["--model", "thread"],
        &["--model", "fork"],
        &["--model", "pool"],
        &["--trigger", "level", "--spin", "10us"],
        &["--wiretap", "hex"],
    ] {
        let words = [&["python3", &script, &unit, &copy], args].concat();
        let words = [&words[..], &FEW, &["--listen", "127.0.0.1:0"]].concat();
        let server = Server::try_start_words(&words, &[], Stdio::null());
        let server = server.unwrap_or_else(|ended| panic!("{args:?}: {:?}", ended.stderr));
        let mut peer = server.connect();
        assert_eq!(ask(&mut peer, b"hello"), b"hello", "{args:?}");
        drop(peer);
        let warned = server.end().stderr.into_iter();
        let warned: Vec<String> = warned.filter(|line| line.starts_with("WARN")).collect();
        assert!(warned.is_empty(), "{args:?}: {warned:?}");
    }
    // The filter is there: these options need calls that it refuses, and say so.
    for option in [&["--pin"][..], &["--submit", "ring"]] {
        let words = [&["python3", &script, &unit, &copy], option, &FEW].concat();
        let words = [&words[..], &["--listen", "127.0.0.1:0"]].concat();
        let server = Server::try_start_words(&words, &[], Stdio::null());
        let server = server.unwrap_or_else(|ended| panic!("{option:?}: {:?}", ended.stderr));
        let line = server.hears(option[0]);
        assert!(line.contains("Operation not permitted"), "{line}");
        assert_eq!(ask(&mut server.connect(), b"hello"), b"hello");
        server.end();
    }
}

/// The options of a command line that is spread over lines.
fn options(block: &str) -> Vec<&str> {
    let words = block
        .split_whitespace()
        .filter(|word| word.starts_with("--"));
    words.collect()
}

#[test]
fn the_options_of_docker_in_the_manual_exist_and_the_image_runs_where_a_daemon_does() {
    if !is_installed("docker") {
        return;
    }
    let block = blocks("container.md", "sh").swap_remove(0);
    let help = run("docker", &["run", "--help"]);
    for option in options(&block) {
        assert!(help.contains(option), "{option}");
    }
    let daemon = Command::new("docker").arg("info").output();
    if !daemon.expect("it is installed").status.success() {
        return skip("no daemon of docker runs");
    }
    let Some(folder) = image() else {
        return;
    };
    let name = format!("mynah-{}", std::process::id());
    run("docker", &["build", "-t", &name, &folder.path("")]);
    let script = block
        .replace("--name mynah", &format!("--name {name}"))
        .replace("127.0.0.1:7007:", "127.0.0.1::")
        .replace("127.0.0.1:9100:", "127.0.0.1::")
        .replace("\n  mynah\n", &format!("\n  {name}\n"));
    run("sh", &["-c", &script]);
    let port = run("docker", &["port", &name, "7007"]);
    let mut peer = TcpStream::connect(port.trim()).expect("it listens");
    assert_eq!(ask(&mut peer, b"hello"), b"hello");
    drop(peer);
    run("docker", &["stop", &name]);
    let code = run("docker", &["inspect", "-f", "{{.State.ExitCode}}", &name]);
    assert_eq!(code.trim(), "0");
    run("docker", &["rm", &name]);
    run("docker", &["rmi", &name]);
}

/// A folder with the Dockerfile of the manual and the static binary; `None` if ours is not static.
fn image() -> Option<Folder> {
    let interpreter = b"/lib64/ld-linux";
    let bytes = fs::read(program::path()).expect("the program");
    let is_dynamic = |bytes: &[u8]| {
        let mut places = bytes[..bytes.len().min(4096)].windows(interpreter.len());
        places.any(|place| place == interpreter)
    };
    if is_dynamic(&bytes) || !bytes.starts_with(b"\x7fELF") {
        skip("the program is not static");
        return None;
    }
    let folder = Folder::new("image");
    fs::copy(program::path(), folder.path("mynah")).expect("a copy");
    let file = blocks("container.md", "dockerfile").swap_remove(0);
    folder.write("Dockerfile", &file);
    Some(folder)
}

/// Whether this process may make a file system of control groups as crun wants it.
const GROUPS: &str = "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup";

#[test]
fn the_image_of_the_manual_is_built_and_runs_without_any_right() {
    let profile = "/usr/share/containers/seccomp.json";
    if !is_installed("buildah") || !is_installed("crun") || !is_installed("python3") {
        return;
    }
    let mounts = Command::new("unshare")
        .args(["-m", "sh", "-c", GROUPS])
        .output();
    if !Path::new(profile).exists() || !mounts.is_ok_and(|output| output.status.success()) {
        return skip("no default seccomp profile, or no namespace in which to mount");
    }
    let Some(folder) = image() else {
        return;
    };
    let store = folder.path("store");
    let state = folder.path("state");
    let buildah = |args: &[&str]| {
        let store = [
            "--storage-driver",
            "vfs",
            "--root",
            &store,
            "--runroot",
            &state,
        ];
        run("buildah", &[&store[..], args].concat())
    };
    let built = [
        "bud",
        "-q",
        "--isolation",
        "chroot",
        "--format",
        "docker",
        "-t",
        "mynah",
    ];
    buildah(&[&built[..], &[&folder.path("")]].concat());
    let configured = |what: &str| {
        let field = format!("{{{{.Docker.Config.{what}}}}}");
        let said = buildah(&["inspect", "--type", "image", "-f", &field, "mynah"]);
        said.trim().to_owned()
    };
    assert_eq!(configured("User"), "65532:65532");
    assert_eq!(configured("Entrypoint"), "[/mynah]");
    let command = configured("Cmd");
    assert_eq!(command, "[--listen 0.0.0.0:7007 --metrics 0.0.0.0:9100]");
    let container = buildah(&["from", "mynah"]);
    let root = buildah(&["mount", container.trim()]);
    let within: Vec<_> = fs::read_dir(root.trim()).expect("a folder").collect();
    assert_eq!(within.len(), 1, "the binary alone");
    fs::create_dir(folder.path("rootfs")).expect("a folder");
    for entry in ["proc", "dev"] {
        fs::create_dir(folder.0.join("rootfs").join(entry)).expect("a folder");
    }
    fs::copy(
        Path::new(root.trim()).join("mynah"),
        folder.path("rootfs/mynah"),
    )
    .expect("a copy");
    let words = command.trim_matches(['[', ']']);
    let words = words.replace(":7007", ":0").replace(":9100", ":0");
    let script = home().join("tests/it/binary/container.py");
    let script = script.display().to_string();
    let args: Vec<&str> = [&script, profile, "/mynah"]
        .into_iter()
        .chain(words.split(' '))
        .chain(FEW)
        .collect();
    folder.write("config.json", &run("python3", &args));
    let name = format!("mynah-{}", std::process::id());
    let runs = format!(
        "{GROUPS}; cd '{}' && exec crun --root '{state}/crun' run {name}",
        folder.0.display()
    );
    let server = Server::try_start_words(&["unshare", "-m", "sh", "-c", &runs], &[], Stdio::null());
    let server = server.unwrap_or_else(|ended| panic!("{:?}", ended.stderr));
    let at = pages(&server).replace("0.0.0.0", "127.0.0.1");
    assert_eq!(
        (status(&at, "/healthz"), status(&at, "/readyz")),
        (200, 200)
    );
    // The check of the image, by the same binary.
    let check = configured("Healthcheck.Test");
    let check = check.trim_matches(['[', ']']).split(' ');
    let address = format!("127.0.0.1:{}", server.address().port());
    let check: Vec<&str> = check
        .skip(2)
        .map(|word| match word {
            "127.0.0.1:7007" => &address,
            _ => word,
        })
        .collect();
    assert_eq!(run(program::path(), &check), "x");
    let ours = program_within(server.pid());
    let status = fs::read_to_string(format!("/proc/{ours}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("a field")
            .split_whitespace()
            .last()
            .expect("it")
            .to_owned()
    };
    assert_eq!(field("NSpid:"), "1");
    assert_eq!(field("Uid:"), "65532");
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(set), "0000000000000000");
    }
    program::signal(ours, "TERM");
    assert_eq!(server.ended().code, Some(0));
}

/// The only process below `parent` that runs our program.
fn program_within(parent: u32) -> u32 {
    let mut pid = parent;
    loop {
        let file = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(file).expect("it runs");
        match children.split_whitespace().next() {
            Some(child) => pid = child.parse().expect("a number"),
            None => return pid,
        }
    }
}

/// Prints, for each container of a manifest, its kind, its arguments and the pages of its probes,
/// with tabs between.
const CONTAINERS: &str = r#"
import sys, yaml
for one in yaml.safe_load_all(open(sys.argv[1])):
    pod = one["spec"].get("template", {}).get("spec", {})
    for container in pod.get("containers", []):
        probes = [container[name]["httpGet"] for name in sorted(container) if "Probe" in name]
        ports = [port["name"] for port in container.get("ports", [])]
        assert all(probe["port"] in ports for probe in probes)
        print("\t".join([one["kind"], *container["args"], "", *(it["path"] for it in probes)]))
"#;

/// What is in a manifest and not in the object that kubectl(1) read from it: fields that Kubernetes
/// does not know.
const UNKNOWN: &str = r#"
import json, subprocess, sys, yaml
def missing(ours, theirs, at):
    if isinstance(ours, dict):
        for key, value in ours.items():
            if not isinstance(theirs, dict) or key not in theirs: print(at + "." + key)
            else: missing(value, theirs[key], at + "." + key)
    elif isinstance(ours, list):
        for place, value in enumerate(ours): missing(value, theirs[place], at + "[]")
    elif ours != theirs: print(at, ours, theirs)
for one in yaml.safe_load_all(open(sys.argv[1])):
    if one["kind"] == "Service": continue
    said = subprocess.run(["kubectl", "set", "serviceaccount", "--local", "-f", "-", "default",
                           "-o", "json"], input=json.dumps(one), text=True, capture_output=True)
    print(said.stderr, end="")
    missing(one, json.loads(said.stdout), one["kind"])
"#;

/// Whether python3 is here and reads YAML.
fn has_yaml() -> bool {
    if !is_installed("python3") {
        return false;
    }
    let imports = Command::new("python3").args(["-c", "import yaml"]).output();
    let has = imports.is_ok_and(|output| output.status.success());
    if !has {
        skip("python3 has no module yaml");
    }
    has
}

#[test]
fn kubernetes_knows_every_field_of_the_manifests_of_the_manual() {
    if !has_yaml() || !is_installed("kubectl") {
        return;
    }
    let folder = Folder::new("manifests");
    for block in blocks("kubernetes.md", "yaml") {
        let file = folder.write("manifest.yaml", &block);
        assert_eq!(run("python3", &["-c", UNKNOWN, &file]), "");
    }
}

#[test]
fn the_containers_of_the_manifests_serve_load_and_merge_as_they_are_written() {
    if !has_yaml() {
        return;
    }
    let folder = Folder::new("cluster");
    let [deployment, jobs] = blocks("kubernetes.md", "yaml").try_into().expect("two");
    let containers = |block: &str| {
        let file = folder.write("manifest.yaml", block);
        run("python3", &["-c", CONTAINERS, &file])
    };
    let said = containers(&deployment);
    let (args, probes) = said.trim().split_once("\t\t").expect("probes");
    let args = args.replace(":7007", ":0").replace(":9100", ":0");
    let words: Vec<&str> = args.split('\t').skip(1).chain(FEW).collect();
    let words = [&[program::path()], &words[..]].concat();
    let server = Server::try_start_words(&words, &[], Stdio::null());
    let server = server.unwrap_or_else(|ended| panic!("{:?}", ended.stderr));
    let at = pages(&server).replace("0.0.0.0", "127.0.0.1");
    assert_eq!(probes, "/healthz\t/readyz");
    for page in probes.split('\t') {
        assert_eq!(status(&at, page), 200, "{page}");
    }

    let soon = run("date", &["-u", "-d", "+2 sec", "+%Y-%m-%dT%H:%M:%SZ"]);
    let address = format!("127.0.0.1:{}", server.address().port());
    let jobs = containers(&jobs)
        .replace("mynah:7007", &address)
        .replace("2026-12-24T20:30:00Z", soon.trim())
        .replace("--duration\t30s", "--warmup\t0s\t--duration\t300ms")
        .replace("--connections\t100", "--connections\t4")
        .replace("/load/", &folder.path(""));
    let jobs: Vec<Vec<&str>> = (jobs.lines())
        .map(|job| job.trim().split('\t').skip(1).collect())
        .collect();
    let [bench, merge] = &jobs[..] else {
        panic!("{jobs:?}");
    };
    let generators: Vec<_> = (0..3)
        .map(|index| {
            let words = bench
                .iter()
                .map(|it| it.replace("$(INDEX)", &index.to_string()));
            let started = Command::new(program::path())
                .args(words)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            started.expect("the program starts")
        })
        .collect();
    for mut generator in generators {
        assert!(generator.wait().expect("it ends").success());
    }
    let report = run(program::path(), merge);
    assert!(
        report.contains("3 generators, each: 4 connections"),
        "{report}"
    );
    server.end();
}
