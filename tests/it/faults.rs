//! The 33 known ways in which servers like this one have broken, each with the tests that show the
//! right behaviour.
//!
//! A row names the faults of the simulated kernel that provoke the failure in the swarm, and the
//! tests written for it. Tests in `binary` run the real program on the real kernel; the others run
//! a server on the simulated kernel, or a part of the server. To run the tests of a row, pass their
//! names to `cargo test`. The tests in this file check that every named test exists and that none
//! is ignored.

mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::house_rules::{home, rust_files};
use crate::sim::Faults;
use rows::ROWS;

/// Runs for minutes; run it by name.
const LONG: &[&str] = &["unreachable_peers_are_closed_within_their_time_outs"];

/// The names of all tests in `text`, without ignored ones.
fn tests_in(text: &str) -> Vec<String> {
    let all = all_tests_in(text);
    let runs = |(name, is_ignored): &(String, bool)| !is_ignored || LONG.contains(&name.as_str());
    all.into_iter().filter(runs).map(|(name, _)| name).collect()
}

/// The names of all tests in `text`, and whether each is ignored.
fn all_tests_in(text: &str) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    let (mut is_test, mut is_ignored) = (false, false);
    for line in text.lines().map(str::trim) {
        is_test |= line == "#[test]";
        is_ignored |= line.starts_with("#[ignore");
        let Some(rest) = line.strip_prefix("fn ") else {
            continue;
        };
        let name = rest.split('(').next().unwrap_or_default();
        if is_test {
            names.push((name.to_owned(), is_ignored));
        }
        (is_test, is_ignored) = (false, false);
    }
    names
}

/// The path of each test, such as `server::stale::NAME`, or `store::slots::tests::NAME` in `src/`.
pub(crate) fn paths_of_tests() -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        let folder = home().join(folder);
        for file in rust_files(&folder) {
            let within = file.strip_prefix(&folder).expect("in the folder");
            let mut module = within.with_extension("");
            if module.ends_with("mod") {
                module.pop();
            }
            let module = module.to_string_lossy().replace('/', "::");
            let inner = match folder.ends_with("src") {
                true if !module.ends_with("tests") => "::tests",
                _ => "",
            };
            let text = fs::read_to_string(&file).expect("source in UTF-8");
            let path = |(name, _)| format!("{module}{inner}::{name}");
            paths.extend(all_tests_in(&text).into_iter().map(path));
        }
    }
    paths
}

#[test]
fn each_of_the_33_faults_has_its_tests_and_all_of_them_are_there() {
    let tests: BTreeSet<String> = ["src", "tests/it"]
        .iter()
        .flat_map(|folder| rust_files(&home().join(folder)))
        .flat_map(|file: std::path::PathBuf| read(&file))
        .collect();
    let mut faults = Faults::none();
    let simulated = faults.each().map(|(name, _)| name);
    for (place, row) in ROWS.iter().enumerate() {
        assert_eq!(row.number, place + 1, "in order: {}", row.what);
        assert!(!row.tests.is_empty(), "{}: {}", row.number, row.what);
        for test in row.tests {
            assert!(tests.contains(*test), "{}: no test {test}", row.number);
        }
        for name in row.simulated.split_whitespace() {
            assert!(simulated.contains(&name), "{}: no {name}", row.number);
        }
    }
    assert_eq!(ROWS.len(), 33);
    let named = |name: &str| ROWS.iter().any(|row| among(row.simulated, name));
    assert!(simulated.into_iter().all(named), "each fault has a number");
}

fn read(file: &Path) -> Vec<String> {
    tests_in(&fs::read_to_string(file).expect("source in UTF-8"))
}

fn among(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|one| one == word)
}

#[test]
fn a_test_is_distinguished_from_text_that_looks_like_a_test() {
    let text = "#[test]\nfn one() {\n#[test]\n#[ignore = \"long\"]\nfn two() {\nfn three() {";
    assert_eq!(tests_in(text), ["one"]);
}
