//! `mynah merge`: adds up the documents of generators that loaded one server together.
//!
//! Counts and histograms are added exactly, and rates are added, because the generators ran side by
//! side. A document that does not fit is refused with its name and the difference: another form,
//! other options, several runs. Options that describe a machine and not the load may differ. The
//! windows should have been the same: whether they were is a check of the sum. A figure that one
//! generator does not know is not known of the sum. Neighbours: `figures` reads a document's
//! figures, `report` prints the sum.

mod figures;
mod member;

use std::mem;

use crate::base::text::json::{self, Value};
use crate::base::text::plural::plural;
use crate::base::text::utc::{unix_ns, utc_seconds};
use crate::limits::{MERGE_COUNT_MAX, MERGE_FILES_MAX};

use super::judge::checks::Check;
use super::report::document::SCHEMA;
use super::report::figures::{Figures, Spans};
use super::report::origin::Origin;
use super::report::units::count;
use super::report::{Inputs, Report};
use super::run::Target;
use super::run::session::Loaded;
use super::worker::timeline::Timeline;
use member::Member;

/// Inputs that belong to a machine, not to the load.
const OF_THE_MACHINE: &[&str] = &["pins", "sources"];
/// What a document says about its origin.
const ORIGIN: &[&str] = &[
    "host", "kernel", "cpus", "started", "versions", "options", "load",
];
/// With a smaller common part of their windows, the generators were not a load together.
const OVERLAP_MIN: f64 = 0.9;
/// Failures that are kept in full.
const FAILURES_KEPT: usize = 16;

/// One document, read and checked.
#[derive(Debug)]
struct Document {
    inputs: Value,
    /// Where it came from; several if it is a sum.
    parts: Vec<Value>,
    server: Loaded,
    checks: Vec<Check>,
    broken_assertions: Vec<String>,
}

/// The documents so far.
#[derive(Debug)]
pub struct Sum {
    all: Document,
    /// The names of the documents, and how many parts each has.
    names: Vec<(String, usize)>,
    checks: Vec<(usize, Check)>,
}

impl Sum {
    /// Begins with the document `text` of the file `name`.
    ///
    /// # Errors
    ///
    /// One line that names the file and says what is wrong with it.
    pub fn new(name: &str, text: &str) -> Result<Sum, String> {
        let all = Document::read(text).map_err(|why| format!("{name}: {why}"))?;
        let names = vec![(name.to_owned(), all.parts.len())];
        let mut sum = Sum {
            all,
            names,
            checks: Vec::new(),
        };
        sum.keep_doubts(name);
        Ok(sum)
    }

    /// Adds the document `text` of the file `name`.
    ///
    /// # Errors
    ///
    /// One line that names the file and the difference. The sum is then unchanged.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), String> {
        let other = Document::read(text).map_err(|why| format!("{name}: {why}"))?;
        let first = &self.names[0].0;
        if let Some(difference) = difference(&self.all.inputs, &other.inputs) {
            return Err(format!("{name}: does not fit {first}: {difference}"));
        }
        if let Some(at) = (self.all.parts.iter()).position(|part| other.parts.contains(part)) {
            let same = self.name_of(at);
            return Err(format!(
                "{name}: is a run that {same} already has; it would count twice"
            ));
        }
        if self.all.parts.len() + other.parts.len() > MERGE_FILES_MAX {
            return Err(format!(
                "{name}: is one too many, at most {MERGE_FILES_MAX} runs can be added up"
            ));
        }
        self.names.push((name.to_owned(), other.parts.len()));
        self.all.add(other);
        self.keep_doubts(name);
        Ok(())
    }

    /// The name of the document with the part at `index`.
    fn name_of(&self, index: usize) -> &str {
        let mut end = 0;
        let holds = |(_, parts): &&(String, usize)| {
            end += parts;
            index < end
        };
        self.names.iter().find(holds).map_or("", |(name, _)| name)
    }

    /// Moves the doubts of the newest document to those of the sum.
    fn keep_doubts(&mut self, name: &str) {
        let doubts = mem::take(&mut self.all.checks).into_iter();
        let doubts = doubts.filter(|check| check.doubtful);
        let named = |text: String| format!("{name}: {text}");
        self.checks.extend(doubts.map(|check| {
            (
                0,
                Check {
                    text: named(check.text),
                    ..check
                },
            )
        }));
        let broken = mem::take(&mut self.all.broken_assertions).into_iter();
        self.checks
            .extend(broken.map(|text| (0, Check::doubt(named(text)))));
    }

    /// Ends the sum: the figures that follow from others, and the check of the windows.
    pub fn finish(&mut self) {
        let Loaded {
            runs,
            histograms,
            latency,
            ..
        } = &mut self.all.server;
        for run in runs {
            run.service = Spans::of(&histograms.service);
            run.response = Spans::of(&histograms.response);
            run.connect = Spans::of(&histograms.connect);
            run.lateness = Spans::of(&histograms.lateness);
        }
        *latency = histograms.latency().clone();
        self.checks.insert(0, (0, self.windows()));
    }

    /// Whether the generators loaded the server at the same time.
    fn windows(&self) -> Check {
        let windows: Vec<(f64, f64)> = self.all.parts.iter().filter_map(window).collect();
        let fold = |values: &mut dyn Iterator<Item = f64>, pick: fn(f64, f64) -> f64| {
            values.reduce(pick).unwrap_or(0.0)
        };
        let last_start = fold(&mut windows.iter().map(|window| window.0), f64::max);
        let first_end = fold(&mut windows.iter().map(|window| window.1), f64::min);
        let longest = fold(
            &mut windows.iter().map(|window| window.1 - window.0),
            f64::max,
        );
        let common = first_end - last_start;
        let generators = plural(windows.len() as u64, "generator", "generators");
        let (text, doubtful) = match common {
            common if common <= 0.0 && longest > 0.0 => {
                let moment = |seconds: f64| utc_seconds(seconds.max(0.0) as u64);
                let (ended, began) = (moment(first_end), moment(last_start));
                let text = format!(
                    "the windows were apart, one ended at {ended} and another began at {began}: \
                     the sum of the rates was never reached, see --start-at"
                );
                (text, true)
            }
            common if common < longest * OVERLAP_MIN => {
                let text = format!(
                    "the windows of {generators} overlap in {common:.2} of {longest:.2} s: \
                     fewer had the load in the rest, see --start-at"
                );
                (text, true)
            }
            common => {
                let text =
                    format!("the windows of {generators} overlap in {common:.2} of {longest:.2} s");
                (text, false)
            }
        };
        match doubtful {
            true => Check::doubt(text),
            false => Check::new(false, text),
        }
    }

    /// The report of the sum, after [`Sum::finish`].
    pub fn report<'a>(&'a self, origin: &'a Origin) -> Report<'a> {
        let Document {
            inputs,
            parts,
            server,
            ..
        } = &self.all;
        let is = |name: &str, text: &str| inputs.get(name).and_then(Value::as_text) == Some(text);
        let load = parts[0].get("load").and_then(Value::as_text);
        let load = load.unwrap_or_default();
        let is_interrupted = server.runs.iter().any(|run| run.interrupted);
        let mut notes = Vec::new();
        for part in parts {
            let text = |name| part.get(name).and_then(Value::as_text).unwrap_or("?");
            let rate = part.get("rate_per_s").and_then(Value::as_float);
            let rate = count(rate.unwrap_or(0.0));
            let (host, started) = (text("host"), text("window_started"));
            notes.push(format!("{host} from {started}: {rate}/s"));
        }
        Report {
            origin,
            parts,
            inputs: Inputs::Read(inputs),
            load: match parts.len() {
                1 => load.to_owned(),
                generators => format!("{generators} generators, each: {load}"),
            },
            notes,
            is_counted: inputs.get("requests").is_some(),
            is_open_loop: is("loop", "open"),
            same_core: inputs.get("same_core") == Some(&Value::Bool(true)),
            pairs: 0,
            servers: std::slice::from_ref(server),
            checks: &self.checks,
            steps: Vec::new(),
            knee: None,
            compared: &[],
            self_checks: &[],
            is_interrupted,
            cut_short: None,
            broken_assertions: Vec::new(),
        }
    }
}

/// The first difference between the inputs of two documents.
fn difference(one: &Value, other: &Value) -> Option<String> {
    let names = |value: &Value| -> Vec<String> {
        let members = value.members().unwrap_or_default().iter();
        members.map(|(name, _)| name.clone()).collect()
    };
    let mut all = names(one);
    all.extend(names(other));
    let differs = |name: &&String| {
        !OF_THE_MACHINE.contains(&name.as_str()) && one.get(name) != other.get(name)
    };
    let name = all.iter().find(differs)?;
    let shown = |value: Option<&Value>| value.map_or("missing".to_owned(), json::line);
    let (found, wanted) = (shown(other.get(name)), shown(one.get(name)));
    Some(format!("its {name} is {found}, not {wanted}"))
}

/// The window of a part: its two ends in seconds since 1970.
fn window(part: &Value) -> Option<(f64, f64)> {
    let start = unix_ns(part.get("window_started")?.as_text()?)? as f64 / 1e9;
    Some((start, start + part.get("window_s")?.as_float()?))
}

impl Document {
    fn read(text: &str) -> Result<Document, String> {
        const OURS: &str = "must be a document of mynah bench --json";
        if text.trim().is_empty() {
            return Err(format!("is empty, {OURS}"));
        }
        let value = json::read(text).map_err(|why| format!("is not JSON, {OURS}: {why}"))?;
        match value.get("schema").and_then(Value::as_text) {
            Some(SCHEMA) => {}
            Some(other) if other.starts_with("mynah-") => {
                return Err(format!("has the schema {other:?}, must have {SCHEMA:?}"));
            }
            _ => return Err(format!("has no schema of ours, {OURS}")),
        }
        let document = Member::root(&value);
        let inputs = document.object("inputs")?;
        let servers = document.list("servers")?;
        let [server] = &servers[..] else {
            let servers = servers.len();
            return Err(format!(
                "has {servers} servers: only runs of one can be added up"
            ));
        };
        let runs = server.list("runs")?;
        let [run] = &runs[..] else {
            let runs = runs.len();
            return Err(format!("has {runs} runs of its server: must have one"));
        };
        let figures = figures::read(run)?;
        let histograms = figures::histograms(&server.object("histograms")?)?;
        let timeline = timeline(server, &figures)?;
        let parts = match document.member("parts") {
            Some(_) => {
                let parts = document.list("parts")?;
                let parts: Vec<Value> = parts.iter().map(|part| part.value.clone()).collect();
                if parts.is_empty() || parts.iter().any(|part| window(part).is_none()) {
                    return Err("parts: each must have its window".to_owned());
                }
                parts
            }
            None => vec![part(&document, run)?],
        };
        let texts = |of: &Member<'_>, list: &str| -> Result<Vec<String>, String> {
            of.list(list)?
                .iter()
                .map(|item| item.text("text"))
                .collect()
        };
        let checks = document.list("checks")?.into_iter().map(|check| {
            let text = check.text("text")?;
            Ok(match check.truth("doubtful")? {
                true => Check::doubt(text),
                false => Check::new(false, text),
            })
        });
        let failures = server.list("failures")?.into_iter().map(|failure| {
            let label = match failure.text("outcome")?.as_str() {
                "unfinished" => "unfinished",
                _ => "failed",
            };
            Ok((label, failure.text("text")?))
        });
        let address = server.text("address")?;
        let address = address
            .parse()
            .map_err(|why| format!("{}: {why}", server.at("address")))?;
        Ok(Document {
            inputs: inputs.value.clone(),
            parts,
            checks: checks.collect::<Result<_, String>>()?,
            broken_assertions: texts(&document, "broken_assertions")?,
            server: Loaded {
                target: Target {
                    name: server.text("name")?,
                    address,
                    pid: None,
                },
                runs: vec![figures],
                latency: histograms.latency().clone(),
                histograms,
                resident_before: None,
                timeline,
                moments: Vec::new(),
                failures: failures.collect::<Result<_, String>>()?,
            },
        })
    }

    fn add(&mut self, other: Document) {
        self.parts.extend(other.parts);
        self.checks = other.checks;
        self.broken_assertions = other.broken_assertions;
        let (all, server) = (&mut self.server, other.server);
        let is_named = all
            .target
            .name
            .split(" and ")
            .any(|name| name == server.target.name);
        if !is_named {
            all.target.name += &format!(" and {}", server.target.name);
        }
        for (run, more) in all.runs.iter_mut().zip(&server.runs) {
            figures::add(run, more);
        }
        all.histograms.merge(&server.histograms);
        all.timeline.0.merge(&server.timeline.0);
        all.timeline.1 = all.timeline.1.max(server.timeline.1);
        let room = FAILURES_KEPT.saturating_sub(all.failures.len());
        all.failures.extend(server.failures.into_iter().take(room));
    }
}

/// What the sum keeps of a document: its origin and its window.
fn part(document: &Member<'_>, run: &Member<'_>) -> Result<Value, String> {
    let mut members = Vec::new();
    for name in ORIGIN {
        members.push(((*name).to_owned(), document.needed(name)?.clone()));
    }
    for (name, key) in [
        ("window_started", "started"),
        ("window_s", "elapsed_s"),
        ("rate_per_s", "rate_per_s"),
    ] {
        members.push((name.to_owned(), run.needed(key)?.clone()));
    }
    let part = Value::Object(members);
    match window(&part) {
        Some(_) => Ok(part),
        None => Err(format!("{}: must be a time in UTC", run.at("started"))),
    }
}

/// The answers over time. The document has their rates, which are whole counts of an interval.
fn timeline(server: &Member<'_>, figures: &Figures) -> Result<(Timeline, u64), String> {
    let width_s = server.float("timeline_width_s")?;
    let rates = server.floats("timeline_rate_per_s")?;
    let counts = rates.iter().map(|rate| (rate * width_s).round());
    let is_countable = counts.clone().sum::<f64>() <= MERGE_COUNT_MAX as f64;
    let counts = counts.map(|count| count as u64);
    let timeline = Timeline::restored((width_s * 1e9).round() as u64, counts);
    let timeline = timeline.filter(|_| is_countable);
    let timeline =
        timeline.ok_or_else(|| format!("{}: is no timeline", server.at("timeline_rate_per_s")))?;
    Ok((timeline, (figures.elapsed_s * 1e9) as u64))
}

#[cfg(test)]
mod tests;
