//! What a run was: the machine, the kernel, the build, and the versions of the peers.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mynah::base::text::utc::utc_seconds;
use mynah::load::run::observe;

use super::Scope;

const LOCK: &str = include_str!("../../Cargo.lock");

/// The time now, in UTC.
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    utc_seconds(since.unwrap_or(Duration::ZERO).as_secs())
}

/// The version of a crate in Cargo.lock.
pub(crate) fn version(name: &str) -> &'static str {
    let begin = format!("name = \"{name}\"\nversion = \"");
    let rest = LOCK.split_once(&begin).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default()
}

pub(crate) fn is_installed(program: &str) -> bool {
    first_line("sh", &["-c", &format!("command -v {program}")]).starts_with('/')
}

/// The first line that a program prints about itself, on stdout or stderr.
pub(crate) fn first_line(program: &str, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else {
        return String::new();
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let line = said.lines().find(|line| !line.is_empty());
    line.unwrap_or_default().trim().to_owned()
}

/// What the run is, in the order of the table. Pieces of one run have the same.
pub(crate) fn run(scope: &Scope) -> Vec<(String, String)> {
    let commit = first_line("git", &["rev-parse", "--short=12", "HEAD"]);
    let is_changed =
        !first_line("git", &["status", "--porcelain", "--", "src", "benches"]).is_empty();
    let changed = if is_changed { ", and changes" } else { "" };
    let mut about = vec![
        ("date".to_owned(), now()[..10].to_owned()),
        ("commit".to_owned(), format!("{commit}{changed}")),
        ("processor".to_owned(), processor()),
        ("mitigations".to_owned(), mitigations()),
        ("kernel".to_owned(), first_line("uname", &["-sr"])),
        ("compiler".to_owned(), first_line("rustc", &["--version"])),
        (
            "build".to_owned(),
            "release profile (fat LTO, one codegen unit) for all that is written in Rust"
                .to_owned(),
        ),
        (
            "load".to_owned(),
            format!(
                "mynah bench {} --same-core, {} rounds, each server once in each",
                scope.times(),
                scope.rounds
            ),
        ),
    ];
    if let Some(note) = &scope.note {
        about.push(("note".to_owned(), note.clone()));
    }
    about
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": "))
            .map(|it| it.1.to_owned())
    };
    let model = field("model name").unwrap_or_default();
    let guest = match text.contains("hypervisor") {
        true => "virtual, ",
        false => "",
    };
    let microcode = field("cpu family").zip(field("model\t"));
    let family = microcode.map_or_else(String::new, |(family, model)| {
        format!(" (family {family}, model {model})")
    });
    format!(
        "{model}{family}, {guest}{} of them",
        observe::processors().len()
    )
}

/// The mitigations that cost something, as the kernel names them.
fn mitigations() -> String {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return "not told".to_owned();
    };
    let mut found: Vec<String> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let text = fs::read_to_string(entry.path()).ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_on = !text.starts_with("Not affected");
            is_on.then(|| format!("{name} ({})", text.trim()))
        })
        .collect();
    found.sort();
    found.join(", ")
}
