//! `mynah lab`, from its options to its exit code.
//!
//! Each experiment is printed when it has ended, so that a reader sees the first answers at once.
//! An answer that differs from what is asserted is exit 8, after all were played. Neighbours:
//! `crate::lab` plays the experiments.

use std::fmt::Write;

use crate::base::text::columns::wrap;
use crate::base::text::json::Json;
use crate::base::text::plural::plural;
use crate::cli::options::{Lab, LabChoice};
use crate::lab::{EXPERIMENTS, Experiment, Played, Step, play};
use crate::load::report::origin::Origin;

use super::output_file::{OutputFile, print};
use super::trace::{Trace, check_apart};
use super::{Exit, Failure, words};

/// The width of explanations.
const COLUMNS: usize = 78;

pub(super) fn lab(options: &Lab) -> Result<(), Failure> {
    let chosen: &[&'static Experiment] = match options.choice {
        None => return print(&list()),
        Some(LabChoice::All) => EXPERIMENTS,
        Some(LabChoice::One(place)) => &EXPERIMENTS[place..=place],
    };
    let origin = Origin::here(words());
    let json = OutputFile::open(&options.json)?;
    let trace = Trace::open(&options.trace, 0, false)?;
    check_apart(&[("--json", &json)], trace.as_ref())?;
    let mut played = Vec::new();
    for (place, experiment) in chosen.iter().enumerate() {
        let one = play(experiment, trace.as_ref().map(|trace| trace.ring().track()));
        if !json.is_stdout() {
            let space = if place > 0 && !options.quiet {
                "\n"
            } else {
                ""
            };
            let text = if options.quiet {
                line(&one)
            } else {
                story(&one)
            };
            print(&format!("{space}{text}"))?;
        }
        played.push(one);
    }
    let is_alone = json.is_stdout();
    let traced = trace.map_or(Ok(()), |trace| trace.write());
    json.write(|| document(&played, &origin)).and(traced)?;
    let differing: Vec<&str> = (played.iter().filter(|one| !one.holds()))
        .map(|one| one.experiment.name)
        .collect();
    if !is_alone && chosen.len() > 1 {
        let held = played.len() - differing.len();
        let kernel = origin.kernel.as_deref().unwrap_or("of unknown release");
        print(&format!(
            "{held} of {} as expected, on Linux {kernel}\n",
            played.len()
        ))?;
    }
    match differing.is_empty() {
        true => Ok(()),
        false => {
            let names = differing.join(", ");
            Err(Failure::new(
                Exit::Assertion,
                format!("not as expected: {names}"),
            ))
        }
    }
}

/// The experiments, a line each.
fn list() -> String {
    let width = EXPERIMENTS
        .iter()
        .map(|it| it.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for it in EXPERIMENTS {
        let _ = writeln!(text, "{:width$}  {}", it.name, it.question);
    }
    text
}

/// One line: how the experiment ended.
fn line(played: &Played) -> String {
    let name = played.experiment.name;
    let all = played.checks().count();
    let took = played.took.as_secs_f64() * 1e3;
    let mut text = match (&played.failure, played.checks().find(|check| !check.holds)) {
        (Some(reason), _) => format!("{name}: FAILED: {reason}"),
        (None, Some(check)) => format!(
            "{name}: DIFFERS: {}: {}, expected {}",
            check.what, check.measured, check.expected
        ),
        (None, None) => {
            let answers = plural(all as u64, "answer", "answers");
            format!("{name}: ok, {answers} as expected, {took:.0} ms")
        }
    };
    for why in played.skipped() {
        let _ = write!(text, "; {why}");
    }
    text + "\n"
}

/// The whole experiment: the question, each call, each answer, and why.
fn story(played: &Played) -> String {
    let Experiment {
        name,
        question,
        scene,
        why,
        read,
        ..
    } = played.experiment;
    let mut text = format!("{name}: {question}\n\n");
    paragraph(&mut text, scene);
    for step in &played.steps {
        let _ = match step {
            Step::Heading(heading) => writeln!(text, "\n  {heading}"),
            Step::Call(call) => writeln!(text, "    {call}"),
            Step::Check(check) => match (check.holds, check.measured == check.expected) {
                (true, true) => writeln!(text, "  = {}: {}", check.what, check.measured),
                (true, false) => {
                    writeln!(
                        text,
                        "  = {}: {} ({})",
                        check.what, check.measured, check.expected
                    )
                }
                (false, _) => writeln!(
                    text,
                    "  ! {}: {}, expected {}",
                    check.what, check.measured, check.expected
                ),
            },
            Step::Shown(shown) => writeln!(text, "  . {shown}"),
            Step::Skipped(why) => writeln!(text, "  - {why}"),
        };
    }
    if played.steps_dropped > 0 {
        let calls = plural(played.steps_dropped as u64, "call", "calls");
        let _ = writeln!(text, "  . {calls} in loops are not shown");
    }
    if let Some(reason) = &played.failure {
        let _ = writeln!(text, "  ! the experiment could not go on: {reason}");
    }
    text.push('\n');
    paragraph(&mut text, &format!("Why: {why}"));
    paragraph(&mut text, &format!("Read: {read}"));
    text
}

fn paragraph(text: &mut String, words: &str) {
    for row in wrap(words, COLUMNS) {
        let _ = writeln!(text, "{row}");
    }
}

/// The results as JSON.
fn document(played: &[Played], origin: &Origin) -> String {
    let mut json = Json::new();
    json.text("command", "lab");
    json.text("version", &origin.version);
    if let Some(kernel) = &origin.kernel {
        json.text("kernel", kernel);
    }
    json.objects("experiments", played, |json, one| {
        json.text("name", one.experiment.name);
        json.text("question", one.experiment.question);
        json.value("ok", one.holds());
        json.float("ms", one.took.as_secs_f64() * 1e3);
        if let Some(reason) = &one.failure {
            json.text("failure", reason);
        }
        json.texts("skipped", one.skipped());
        json.objects("checks", one.checks(), |json, check| {
            json.text("what", &check.what);
            json.text("measured", &check.measured);
            json.text("expected", &check.expected);
            json.value("ok", check.holds);
        });
    });
    json.finish()
}
