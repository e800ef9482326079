//! The tables of other servers: what the manual and the README print is the run that is kept.
//!
//! `benches/peers/results.json` is one run of `cargo bench --bench peers -- --json FILE`. Its tables
//! are worked out here by the code of the benchmark, so neither a table nor a figure can come from
//! another run. `cargo bench --bench peers -- --show FILE` prints them for the manual.

use std::fs;

use crate::house_rules::home;

#[path = "../../benches/peers/figures.rs"]
mod figures;

use figures::{Measured, Results, Row};

fn kept() -> (String, Results) {
    let file = home().join("benches/peers/results.json");
    let text = fs::read_to_string(file).expect("the run that is kept");
    let results = Results::read(&text).expect("a document of the benchmark");
    (text, results)
}

#[test]
fn the_tables_of_the_manual_are_those_of_the_run_that_is_kept() {
    let (text, results) = kept();
    assert_eq!(results.write(), text, "a run is written as it is read");
    let chapter = home().join("src/cli/manual/peers.md");
    let chapter = fs::read_to_string(chapter).expect("a chapter");
    for block in [results.about(), results.tables()] {
        let block = format!("```text\n{block}```\n");
        assert!(chapter.contains(&block), "peers.md must have:\n{block}");
    }
    let readme = fs::read_to_string(home().join("README.md")).expect("the readme");
    let summary = results.summary();
    assert!(readme.contains(&summary), "README.md must have:\n{summary}");
}

#[test]
fn the_run_that_is_kept_names_its_machine_and_every_server_has_a_build() {
    let (_, results) = kept();
    for name in [
        "date",
        "commit",
        "processor",
        "mitigations",
        "kernel",
        "compiler",
        "load",
    ] {
        let found = results.about.iter().find(|(other, _)| other == name);
        assert!(found.is_some_and(|(_, value)| !value.is_empty()), "{name}");
    }
    for (name, build) in &results.servers {
        assert!(!build.is_empty(), "{name}");
    }
    for measured in &results.workloads {
        // Less says little about the spread.
        assert!(measured.rows.iter().all(|row| row.server_ns.len() >= 3));
        let again = |row: &Row| row.server.ends_with("again");
        assert!(measured.rows.iter().any(again), "{}", measured.name);
    }
}

fn row(server: &str, errors: u64, server_ns: &[f64], generator_ns: &[f64]) -> Row {
    Row {
        server: server.to_owned(),
        errors,
        server_ns: server_ns.to_vec(),
        generator_ns: generator_ns.to_vec(),
    }
}

fn sample(name: &str) -> Results {
    let base = row("bare loop", 0, &[1000.0, 2000.0, 4000.0], &[1000.0; 3]);
    // Half of the bare loop in each round, however the rounds differ.
    let half = row("half", 0, &[500.0, 1000.0, 2000.0], &[2000.0; 3]);
    let broken = row("broken", 2, &[1.0; 3], &[1.0; 3]);
    Results {
        about: vec![("commit".to_owned(), "x".to_owned())],
        servers: ["bare loop", "half", "broken"]
            .map(|it| (it.to_owned(), "y".to_owned()))
            .into(),
        workloads: vec![Measured {
            name: name.to_owned(),
            words: "--connections 1".to_owned(),
            ended: "z".to_owned(),
            rows: vec![base, half, broken],
        }],
    }
}

#[test]
fn a_figure_is_the_median_of_ratios_to_the_bare_loop_in_the_same_round() {
    let results = sample("one");
    let tables = results.tables();
    let line = |title: &str, name: &str| {
        let (_, behind) = tables.split_once(title).expect("a table");
        let line = behind.lines().find(|line| line.starts_with(name));
        line.expect("a row")
            .split_whitespace()
            .last()
            .expect("a cell")
            .to_owned()
    };
    assert_eq!(line("the server's CPU", "half"), "0.500");
    assert_eq!(line("the generator's CPU", "half"), "2.000");
    // 2.5 of 2, 3 of 3, 4 of 5: the middle one.
    assert_eq!(line("the sum of both", "half"), "1.000");
    assert_eq!(line("server by generator", "half"), "0.250");
    assert_eq!(line("the server's CPU", "broken"), "broke");
    assert_eq!(line("the server's CPU", "bare loop, us"), "2.00");
    assert_eq!(Results::read(&results.write()).as_ref(), Ok(&results));
}

#[test]
fn a_piece_of_another_run_is_refused() {
    let mut results = sample("one");
    results.add(sample("two")).expect("the same run");
    results.add(sample("two")).expect("the same run");
    let names: Vec<&str> = results
        .workloads
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["one", "two"]);
    let mut other = sample("three");
    other.about[0].1 = "another commit".to_owned();
    assert!(results.add(other).is_err());
}
