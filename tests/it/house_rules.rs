//! Rules for the source code, checked on its text.
//!
//! The rules: which layer may import which, where `unsafe` may occur, what the layers that only
//! handle bytes must not name, which layers may know the host, how long a line may be, and which crates the package depends on.
//!
//! Each rule is a function from source text to findings, `file:line: what is wrong`. `samples`
//! shows that each rule fails on bad code before it is applied to `src/`. Rules about code skip
//! comments and literals (`grammar`), so prose may contain any word.

mod grammar;
mod samples;

use std::fs;
use std::path::{Path, PathBuf};

use grammar::{PathUse, Token, paths, tokens};

/// The layers that each layer may import. `protocol::framing` allows only that part of `protocol`.
/// A layer without a row is an error.
const LAYERS: &[(&str, &str)] = &[
    ("main", "cli"),
    (
        "cli",
        "limits base store protocol sys kernel transport server workers decode client load lab",
    ),
    ("limits", ""),
    ("base", "limits"),
    ("store", "limits base"),
    ("protocol", "limits base"),
    ("sys", "limits"),
    ("kernel", "limits base sys"),
    ("transport", "limits base store kernel"),
    ("server", "limits base store protocol kernel transport"),
    ("workers", "limits base protocol kernel server"),
    ("library", "limits base protocol kernel server workers"),
    ("lab", "limits base kernel"),
    ("decode", "limits base protocol::framing protocol::codec"),
    (
        "client",
        "limits base protocol::framing protocol::codec protocol::front kernel transport",
    ),
    (
        "load",
        "limits base store protocol::framing protocol::http protocol::front kernel transport",
    ),
];

/// The layers that only handle bytes, and the names that they must not use.
const BYTES_ONLY: &str = "base store protocol";
const NOT_BYTES: &str = "std::net core::net std::os std::time::* Instant SystemTime libc";

/// The layers whose code runs under the simulated kernel. What is outside the seam has no place in
/// them.
const SIMULATED: &str = "base store protocol transport server workers client";

/// Whether `word` is in the list `words`.
fn among(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

const COLUMNS_MAX: usize = 100;

/// One file of `src/`: its path relative to `src/`, such as `kernel/token.rs`, and its text.
struct Source {
    name: String,
    text: String,
}

impl Source {
    fn new(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The module path: `kernel::token` for `kernel/token.rs`, empty for `lib.rs`.
    fn module(&self) -> Vec<String> {
        let path = self.name.trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/')
            .filter(|part| *part != "lib")
            .map(str::to_owned)
            .collect()
    }

    fn finding(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("src/{}:{line}: {what}", self.name)
    }
}

/// The line at which the tests of a file begin; a file `tests.rs` or one in `tests/` contains only
/// tests.
fn tests_from(source: &Source, tokens: &[Token]) -> usize {
    if source.name.ends_with("tests.rs") || source.name.contains("/tests/") {
        return 0;
    }
    let opens = |w: &[Token]| w[0].text == "mod" && w[1].text == "tests" && w[2].text == "{";
    tokens
        .windows(3)
        .find(|window| opens(window))
        .map_or(usize::MAX, |window| window[0].line)
}

fn imports_go_one_way(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(layer) = module.first() else {
        return Vec::new(); // lib.rs is the map and names them all.
    };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| name == layer) else {
        return vec![source.finding(1, format!("{layer} is no layer"))];
    };
    let code = tokens(&source.text);
    let tests = tests_from(source, &code);
    let mut findings = Vec::new();
    for PathUse { line, parts } in paths(&code) {
        // A path reaches the root as `crate`, as `mynah`, or by one `super` for each module above
        // it.
        let supers = parts.iter().take_while(|part| *part == "super").count();
        let inline = usize::from(line > tests && tests != 0);
        let named = match parts[0].as_str() {
            "crate" | "mynah" => parts.get(1..),
            "super" if supers >= module.len() + inline => parts.get(supers..),
            _ => continue,
        };
        let named = named.unwrap_or_default();
        let other = named.first().map_or("*", String::as_str);
        let part = named
            .get(..2)
            .map_or_else(String::new, |both| both.join("::"));
        if other != layer && !among(allowed, other) && !among(allowed, &part) {
            findings.push(source.finding(line, format!("{layer} may not import {other}")));
        }
    }
    findings.dedup();
    findings
}

fn bytes_layers_know_only_bytes(source: &Source) -> Vec<String> {
    let layer = source.module().first().cloned().unwrap_or_default();
    if !among(BYTES_ONLY, &layer) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for PathUse { line, parts } in paths(&tokens(&source.text)) {
        let path = parts.join("::") + "::";
        let names = |banned: &&str| {
            path.starts_with(&format!("{banned}::")) || parts.iter().any(|part| part == banned)
        };
        if let Some(banned) = NOT_BYTES.split(' ').find(names) {
            findings.push(source.finding(line, format!("{layer} may not know {banned}")));
        } else if layer == "protocol" && parts[0] == "log" {
            findings.push(source.finding(line, "protocol writes no log line"));
        }
    }
    findings.dedup();
    findings
}

fn the_host_stays_outside_the_seam(source: &Source) -> Vec<String> {
    let module = source.module();
    let layer = module.first().cloned().unwrap_or_default();
    let code = tokens(&source.text);
    let tests = tests_from(source, &code);
    let mut findings = Vec::new();
    if among(SIMULATED, &layer) {
        for PathUse { line, parts } in paths(&code) {
            let names_host = parts.windows(2).any(|pair| pair == ["kernel", "host"]);
            if line < tests && names_host {
                findings.push(source.finding(line, format!("{layer} may not know the host")));
            }
        }
    }
    if layer != "sys" && module != ["kernel", "host"] {
        for (number, line) in (1..tests).zip(source.text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("\"/proc") || code.contains("\"/sys") {
                findings.push(source.finding(number, "only kernel::host names /proc and /sys"));
            }
        }
    }
    findings.dedup();
    findings
}

fn unsafe_has_one_home_and_a_reason(source: &Source) -> Vec<String> {
    let at_home = source.name.starts_with("sys/") || source.name == "sys.rs";
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let code = tokens(&source.text);
    let mut findings = Vec::new();
    for (at, token) in code.iter().enumerate() {
        let next = code.get(at + 1).map_or("", |next| next.text.as_str());
        match token.text.as_str() {
            "unsafe_code" if !at_home => {
                findings.push(source.finding(token.line, "only sys may allow unsafe_code"));
            }
            "unsafe" if !at_home => {
                findings.push(source.finding(token.line, "unsafe outside sys"));
            }
            "unsafe" if ["{", "impl"].contains(&next) && !has_reason(&lines, token.line) => {
                findings.push(source.finding(token.line, "no SAFETY comment before unsafe"));
            }
            _ => {}
        }
    }
    findings
}

/// Whether a comment with `SAFETY:` directly precedes the statement on `line` (from 1).
fn has_reason(lines: &[&str], line: usize) -> bool {
    for above in lines[..line - 1].iter().rev() {
        if above.starts_with("//") {
            if above.starts_with("// SAFETY:") {
                return true;
            }
        } else if above.is_empty() || above.ends_with([';', '{', '}', ',']) {
            return false; // Another statement; anything else is the start of this one.
        }
    }
    false
}

fn nothing_is_unwrapped(source: &Source) -> Vec<String> {
    let code = tokens(&source.text);
    let tests = tests_from(source, &code);
    let unwraps = |w: &&[Token]| [".", "::"].contains(&w[0].text.as_str()) && w[1].text == "unwrap";
    let hits = code
        .windows(2)
        .filter(unwraps)
        .filter(|window| window[0].line < tests);
    hits.map(|window| source.finding(window[1].line, "unwrap() outside of tests"))
        .collect()
}

fn lines_are_short(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            findings.push(source.finding(number, format!("{columns} columns")));
        }
    }
    findings
}

/// The run-time dependencies of a manifest, and whether each is optional; an error if a table could
/// hide dependencies.
fn dependencies(manifest: &str) -> Result<Vec<(String, bool)>, String> {
    let (mut section, mut found) = ("", Vec::new());
    for (number, line) in (1..).zip(manifest.lines().map(str::trim)) {
        if line.starts_with('[') {
            section = line;
            let inner = line.trim_matches(['[', ']']);
            let plain = ["dependencies", "dev-dependencies"].contains(&inner);
            if inner.contains("dependencies") && !plain {
                return Err(format!("Cargo.toml:{number}: {line} hides dependencies"));
            }
        } else if section == "[dependencies]" && !line.is_empty() && !line.starts_with('#') {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            found.push((name.trim().to_owned(), value.contains("optional = true")));
        }
    }
    Ok(found)
}

const RULES: &[fn(&Source) -> Vec<String>] = &[
    imports_go_one_way,
    bytes_layers_know_only_bytes,
    the_host_stays_outside_the_seam,
    unsafe_has_one_home_and_a_reason,
    nothing_is_unwrapped,
    lines_are_short,
];

pub(crate) fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folder`, sorted.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn the_source_keeps_the_house_rules() {
    let src = home().join("src");
    let mut findings = Vec::new();
    let files = rust_files(&src);
    assert!(files.len() > 5, "where is the source? {files:?}");
    for file in files {
        let name = file
            .strip_prefix(&src)
            .expect("below src")
            .to_str()
            .expect("a name in UTF-8");
        let source = Source::new(name, &fs::read_to_string(&file).expect("source in UTF-8"));
        findings.extend(RULES.iter().flat_map(|rule| rule(&source)));
    }
    assert!(
        findings.is_empty(),
        "the house has rules:\n{}",
        findings.join("\n")
    );
}

#[test]
fn the_package_depends_on_three_crates() {
    let manifest = fs::read_to_string(home().join("Cargo.toml")).expect("a manifest");
    let mut needed = dependencies(&manifest).expect("plain dependencies");
    needed.retain(|(_, optional)| !optional);
    needed.sort();
    let names: Vec<&str> = needed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["env_logger", "libc", "log"]);
}
