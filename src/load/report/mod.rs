//! The reports: text, JSON, SVG and percentiles, all from one [`Report`].
//!
//! A report shows a session of this process, or a sum of documents that other processes wrote
//! (`load::merge`). Every latency is named by its kind. Every doubt is printed beside the figures
//! that it concerns. A figure that was not measured is never printed as a value. Reports compute no
//! figures: see `figures`, and `judge` for the checks.

pub mod cost;
pub mod document;
pub mod figures;
pub mod hgrm;
pub mod origin;
pub mod picture;
pub mod sentence;
pub mod text;
pub mod units;

use std::time::Duration;

use crate::base::text::json::Value;
use crate::base::text::plural::plural;
use crate::base::text::quantity::Quantity;
use crate::limits::LOAD_GRACE_DEFAULT;

use super::judge::checks::Check;
use super::judge::statistics::Estimate;
use super::plan::schedule::Arrivals;
use super::plan::{Pace, Plan, Protocol, Until};
use super::run::bench::Bench;
use super::run::session::{Compared, Loaded, Session};
use figures::Figures;
use origin::Origin;
use units::span;

/// The inputs as a document shows them.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// Those of this process.
    Given(&'a Bench),
    /// Those of documents that were read. They are equal in all of them.
    Read(&'a Value),
}

/// Everything that a report shows.
#[derive(Debug)]
pub struct Report<'a> {
    /// Where and when it was made.
    pub origin: &'a Origin,
    /// The documents of a sum, as they describe their origins. Empty for a session.
    pub parts: &'a [Value],
    /// The inputs.
    pub inputs: Inputs<'a>,
    /// The inputs in one line.
    pub load: String,
    /// Facts about the whole report, one a line.
    pub notes: Vec<String>,
    /// Whether a number of requests was asked for, instead of a time.
    pub is_counted: bool,
    /// Whether requests were due at a rate.
    pub is_open_loop: bool,
    /// Whether servers and generator shared a processor.
    pub same_core: bool,
    /// The number of pairs that were asked for.
    pub pairs: usize,
    /// The servers in order.
    pub servers: &'a [Loaded],
    /// The checks, each with the index of its server.
    pub checks: &'a [(usize, Check)],
    /// The steps of a sweep: the rate that was asked for, and the figures.
    pub steps: Vec<(f64, &'a Figures)>,
    /// The knee among the steps.
    pub knee: Option<usize>,
    /// Comparisons with the first server.
    pub compared: &'a [Compared],
    /// Each server compared with itself, by figure.
    pub self_checks: &'a [(&'static str, Estimate)],
    /// Whether a signal ended it early.
    pub is_interrupted: bool,
    /// Why a later run could not begin.
    pub cut_short: Option<String>,
    /// Assertions that do not hold, each with its reason.
    pub broken_assertions: Vec<String>,
}

impl<'a> Report<'a> {
    /// The report of a session.
    pub fn of(session: &'a Session, origin: &'a Origin) -> Report<'a> {
        let bench = &session.bench;
        let mut notes = Vec::new();
        if bench.same_core {
            let processor = bench.plan.pins.first().copied().unwrap_or_default();
            notes.push(format!("servers and generator on processor {processor}"));
        }
        if session.interrupted.is_some() {
            notes.push("interrupted: this is what there is".to_owned());
        }
        if session.cut_short.is_some() {
            notes.push("a run could not begin: this is what there is".to_owned());
        }
        Report {
            origin,
            parts: &[],
            inputs: Inputs::Given(bench),
            load: load(bench),
            notes,
            is_counted: matches!(bench.plan.until, Until::Requests(_)),
            is_open_loop: bench.plan.pace != Pace::Closed,
            same_core: bench.same_core,
            pairs: bench.pairs,
            servers: &session.servers,
            checks: &session.checks,
            steps: session.steps(),
            knee: session.knee(),
            compared: &session.compared,
            self_checks: &session.self_checks,
            is_interrupted: session.interrupted.is_some(),
            cut_short: session.cut_short.as_ref().map(ToString::to_string),
            broken_assertions: session.broken_assertions(),
        }
    }
}

/// The load of a bench in one line: the inputs, and the steps of a sweep.
pub fn load(bench: &Bench) -> String {
    let inputs = inputs(&bench.plan);
    let steps = bench.steps();
    match steps.last() {
        None => inputs,
        Some(last) => format!("{inputs}, in {} steps up to {last}", steps.len()),
    }
}

/// The inputs of one run in one line.
#[inline(never)]
pub fn inputs(plan: &Plan) -> String {
    let mut words = vec![plural(plan.connections, "connection", "connections")];
    words.extend((plan.idle > 0).then(|| plural(plan.idle, "idle one", "idle ones")));
    words.push(match plan.pace {
        Pace::Closed => "closed loop".to_owned(),
        Pace::Open {
            rate,
            arrivals: Arrivals::Fixed,
        } => format!("open loop, {rate} requests/s"),
        Pace::Open {
            rate,
            arrivals: Arrivals::Poisson,
        } => format!("open loop, {rate} requests/s (poisson)"),
    });
    words.push(match (plan.protocol, plan.size) {
        (Protocol::Http, _) => plan.request.to_string(),
        (Protocol::Message, _) => {
            let size = plan.message.bytes.len();
            format!("a message of {}", plural(size, "byte", "bytes"))
        }
        (_, (least, most)) if least == most => {
            format!("{} {}", plural(least, "byte", "bytes"), plan.framing)
        }
        (_, (least, most)) => format!("{least} to {most} bytes {}", plan.framing),
    });
    let time = |span: Duration| Quantity::Time.text(span.as_nanos());
    words.extend(
        (!plan.slow_start.is_zero()).then(|| format!("a slow start of {}", time(plan.slow_start))),
    );
    words.extend((plan.pipeline > 1).then(|| format!("{} deep", plan.pipeline)));
    words.extend(
        plan.churn
            .then(|| "a connection for each request, timed from its connect".to_owned()),
    );
    words.extend((plan.threads > 1).then(|| format!("{} threads", plan.threads)));
    words.extend(
        plan.spin
            .map(|time| format!("spinning {}", span(time.as_nanos() as f64))),
    );
    let is_compared = plan.verify || plan.protocol == Protocol::Message;
    words.extend((!is_compared).then(|| "not verified".to_owned()));
    let measured = match plan.until {
        Until::Time(duration) => time(duration),
        Until::Requests(requests) => plural(requests, "request", "requests"),
    };
    words.push(match plan.warmup {
        Duration::ZERO => format!("{measured} without a warm-up"),
        warmup => format!("{measured} after {} of warm-up", time(warmup)),
    });
    let is_usual = plan.grace == LOAD_GRACE_DEFAULT || matches!(plan.until, Until::Requests(_));
    words.extend((!is_usual).then(|| format!("{} of grace", time(plan.grace))));
    words.join(", ")
}

/// The letter of the server at `index` in comparisons: A, B, C, ...
pub fn letter(index: usize) -> char {
    char::from(b'A' + (index % 26) as u8)
}
