//! The documents of `--json` against their schema, `src/load/report/schema.json`.
//!
//! The checker knows the part of JSON Schema (draft 2020-12) that the file uses, and refuses a
//! schema with anything else. It is stricter than the standard in one point: a name without a
//! schema is a finding, so that no name is added without a line in the file.

use std::fs;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use mynah::base::text::json::{self, Value};

use super::command::{bench, file, told};
use super::peer;
use crate::house_rules::home;
use crate::program;

pub(crate) struct Schema {
    root: Value,
}

impl Schema {
    pub(crate) fn new() -> Schema {
        let path = home().join("src/load/report/schema.json");
        let text = fs::read_to_string(path).expect("it is part of the source");
        Schema {
            root: json::read(&text).expect("it is JSON"),
        }
    }

    /// What is wrong with the document `text`.
    pub(crate) fn findings(&self, text: &str) -> Vec<String> {
        let document = json::read(text).expect("it is JSON");
        let mut findings = Vec::new();
        self.check(&self.root, &document, "", &mut findings);
        findings
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, findings: &mut Vec<String>) {
        let mut wrong = |why: String| findings.push(format!("{at}: {why}"));
        let mut deeper: Vec<(&Value, &Value, String)> = Vec::new();
        for (keyword, rule) in schema.members().expect("a schema is an object") {
            match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" | "items" => {}
                "additionalProperties" => {
                    for (name, inner) in value.members().unwrap_or_default() {
                        deeper.push((rule, inner, format!("{at}.{name}")));
                    }
                }
                "$ref" => deeper.push((self.definition(rule), value, at.to_owned())),
                "type" => {
                    let one = std::slice::from_ref(rule);
                    let types = rule.as_list().unwrap_or(one).iter();
                    let mut types = types.filter_map(Value::as_text);
                    if !types.any(|name| is_type(value, name)) {
                        wrong(format!("{value:?} is no {rule:?}"));
                    }
                }
                "const" if rule != value => wrong(format!("{value:?} is not {rule:?}")),
                "enum" if !rule.as_list().expect("a list").contains(value) => {
                    wrong(format!("{value:?} is none of {rule:?}"));
                }
                "const" | "enum" => {}
                "minimum" => {
                    let least = rule.as_float().expect("a number");
                    if value.as_float().is_some_and(|number| number < least) {
                        wrong(format!("{value:?} is less than {least}"));
                    }
                }
                "pattern" => {
                    let pattern = rule.as_text().expect("a text");
                    if !value.as_text().is_some_and(|text| matches(text, pattern)) {
                        wrong(format!("{value:?} is not like {pattern}"));
                    }
                }
                "required" => {
                    let names = rule.as_list().expect("a list").iter();
                    for name in names.filter_map(Value::as_text) {
                        if value.members().is_some() && value.get(name).is_none() {
                            wrong(format!("{name} is missing"));
                        }
                    }
                }
                "properties" => {
                    for (name, inner) in value.members().unwrap_or_default() {
                        match rule.get(name) {
                            Some(schema) => deeper.push((schema, inner, format!("{at}.{name}"))),
                            None => wrong(format!("{name} has no schema")),
                        }
                    }
                }
                other => panic!("{other}: the checker does not know this keyword"),
            }
        }
        if let Some(items) = schema.get("items") {
            for (index, item) in value.as_list().unwrap_or_default().iter().enumerate() {
                deeper.push((items, item, format!("{at}[{index}]")));
            }
        }
        for (schema, value, at) in deeper {
            self.check(schema, value, &at, findings);
        }
    }

    fn definition(&self, reference: &Value) -> &Value {
        let name = reference
            .as_text()
            .and_then(|text| text.strip_prefix("#/$defs/"));
        let found = name.and_then(|name| self.root.get("$defs")?.get(name));
        found.unwrap_or_else(|| panic!("{reference:?} is not there"))
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.members().is_some(),
        "array" => value.as_list().is_some(),
        "string" => value.as_text().is_some(),
        "boolean" => value.as_bool().is_some(),
        "null" => *value == Value::Null,
        "number" => value.as_float().is_some(),
        "integer" => matches!(value, Value::Number(digits) if !digits.contains(['.', 'e', 'E'])),
        other => panic!("{other}: the checker does not know this type"),
    }
}

/// The two kinds of patterns of the file: a beginning, and fixed counts of digits.
fn matches(text: &str, pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('^').expect("it begins at the start");
    let Some(whole) = pattern.strip_suffix('$') else {
        return text.starts_with(pattern);
    };
    let shape = whole.replace("[0-9]{4}", "0000").replace("[0-9]{3}", "000");
    let shape = shape.replace("[0-9]{2}", "00");
    let digits = |letter: char| if letter.is_ascii_digit() { '0' } else { letter };
    text.chars().map(digits).eq(shape.chars())
}

/// The document of a run with these words.
fn document(words: &[&str]) -> String {
    static DOCUMENTS: AtomicU64 = AtomicU64::new(0);
    let number = DOCUMENTS.fetch_add(1, Ordering::Relaxed);
    let path = file(&format!("schema-{number}"));
    let name = path.to_str().expect("a plain name");
    let (_, out, err) = told(&bench(&[words, &["--json", name]].concat()));
    let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{out}{err}"));
    fs::remove_file(path).expect("it is ours");
    text
}

/// The address of an echo server for datagrams.
fn datagrams() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut space = [0; 2048];
        while let Ok((size, peer)) = socket.recv_from(&mut space) {
            // The generator may have closed its socket.
            let _ = socket.send_to(&space[..size], peer);
        }
    });
    format!("udp://{address}")
}

#[test]
fn documents_of_all_kinds_of_runs_fit_the_schema() {
    let schema = Schema::new();
    let server = format!("{} --listen 127.0.0.1:{{port}}", program::path());
    let http = format!("{} http --listen 127.0.0.1:{{port}}", program::path());
    let udp = datagrams();
    let [echo, mute, leaver] = [peer::echo, peer::mute, peer::leaver].map(peer::tcp);
    let [echo, mute, leaver] = [echo, mute, leaver].map(|at| at.to_string());
    for (what, words) in [
        ("raw", format!("{echo} -n 100 -c 2")),
        (
            "framed",
            format!("{echo} -n 100 -c 2 --frame u32be --size 1..99 --pipeline 3"),
        ),
        (
            "rate",
            format!("{echo} -c 2 -R 1k -d 100ms --warmup 0 --arrivals poisson"),
        ),
        ("udp", format!("{udp} -c 2 -d 100ms --warmup 0")),
        (
            "mute",
            format!("{mute} -c 2 -d 50ms --warmup 50ms --grace 0 --assert errors==1"),
        ),
        (
            "failures",
            format!("{leaver} -c 2 -n 100 --connect-timeout 1s --verify off"),
        ),
        (
            "churn",
            format!("{echo} -c 2 -n 50 --churn --source-ip 127.0.0.1"),
        ),
        ("unknown", format!("{echo} -c 1 -n 10 --server-pid 1")),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let text = document(&words);
        assert_eq!(schema.findings(&text), [""; 0], "{what}");
    }
    let text = document(&[&http, "--protocol", "http", "-n", "100", "--path", "/x"]);
    assert_eq!(schema.findings(&text), [""; 0], "http");
    let text = document(&[
        &server,
        "--vs",
        &server,
        "--pairs",
        "2",
        "-n",
        "50",
        "--same-core",
    ]);
    assert_eq!(schema.findings(&text), [""; 0], "comparison");
}

#[test]
fn what_does_not_fit_the_schema_is_found() {
    let schema = Schema::new();
    let echo = peer::tcp(peer::echo).to_string();
    let good = document(&[&echo, "-c", "1", "-n", "10"]);
    assert_eq!(schema.findings(&good), [""; 0]);
    for (from, to, why) in [
        ("mynah-report-1", "mynah-report-0", "mynah-report-0"),
        ("\"due\": 10", "\"due\": 1.5", "1.5"),
        ("\"due\": 10", "\"due\": -1", "less than 0"),
        ("\"due\": 10,", "", "due is missing"),
        (
            "\"due\": 10",
            "\"due\": 10, \"new\": 1",
            "new has no schema",
        ),
        ("\"loop\": \"closed\"", "\"loop\": \"shut\"", "none of"),
        ("\"interrupted\": false", "\"interrupted\": 0", "Bool"),
        ("\"program\": \"mynah ", "\"program\": \"wrk ", "not like"),
        ("\"started\": \"2", "\"started\": \"x", "not like"),
    ] {
        let found = schema.findings(&good.replace(from, to));
        let is_found = found.iter().any(|line| line.contains(why));
        assert!(
            is_found || why == "Bool" && found.len() == 1,
            "{why}: {found:?}"
        );
    }
}
