//! The text report: the inputs, the results, the costs, and the checks.
//!
//! Every latency is named by its kind. Every doubt is printed beside the figures that it concerns.
//! A figure that was not measured is never printed as a value. The report computes no figures: see
//! `figures`, and `judge` for the checks.

use std::fmt::Write;
use std::time::Duration;

use crate::base::histogram::Histogram;
use crate::base::text::plural::plural;
use crate::base::text::quantity::Quantity;
use crate::limits::LOAD_GRACE_DEFAULT;

use super::plan::schedule::Arrivals;
use super::plan::{Pace, Plan, Protocol, Until};
use super::run::session::{Loaded, Session};
use cost::ServerCost;
use figures::{Figures, PERCENTS, Spans};
use units::{bytes, count, span};

/// The whole report. It ends with a line feed.
pub fn text(session: &Session) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, session);
    out
}

fn write_all(out: &mut String, session: &Session) -> std::fmt::Result {
    writeln!(out, "load      {}", inputs(&session.bench.plan))?;
    if session.bench.same_core {
        writeln!(
            out,
            "          servers and generator on processor {}",
            session.bench.plan.pins[0]
        )?;
    }
    if session.interrupted.is_some() {
        writeln!(out, "          interrupted: this is what there is")?;
    }
    if session.cut_short.is_some() {
        writeln!(
            out,
            "          a run could not begin: this is what there is"
        )?;
    }
    for (index, server) in session.servers.iter().enumerate() {
        if let Some(figures) = server.runs.last() {
            let alone = session.servers.len() == 1;
            let title = if alone {
                String::new()
            } else {
                format!("{}  ", letter(index))
            };
            let last = if server.runs.len() > 1 {
                " (last round)"
            } else {
                ""
            };
            writeln!(out, "\n{title}{}{last}", server.target.name)?;
            write_figures(out, &session.bench.plan, server, figures)?;
        }
    }
    if !session.checks.is_empty() {
        writeln!(out, "\nchecks")?;
        for (index, check) in &session.checks {
            let mark = match (check.doubtful, check.note) {
                (true, _) => "!!",
                (false, true) => "--",
                (false, false) => "ok",
            };
            let server = if session.servers.len() == 1 {
                ' '
            } else {
                letter(*index)
            };
            writeln!(out, "  {mark}  {server} {}", check.text)?;
        }
    }
    write_comparison(out, session)?;
    write_steps(out, session)
}

/// The steps of a sweep: latency over rate, and the knee.
fn write_steps(out: &mut String, session: &Session) -> std::fmt::Result {
    let steps = session.steps();
    if steps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nlatency over rate")?;
    writeln!(
        out,
        "  {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "asked", "reached", "p50", "p99", "max", "errors"
    )?;
    let knee = session.knee();
    for (index, (rate, figures)) in steps.iter().enumerate() {
        let of = |value: fn(&Spans) -> u64| match figures.latency() {
            Some(spans) => span(value(spans) as f64),
            None => "-".to_owned(),
        };
        writeln!(
            out,
            "  {:>7}/s {:>7}/s {:>9} {:>9} {:>9} {:>9}{}",
            count(*rate),
            count(figures.rate),
            of(|spans| spans.percentiles[0]),
            of(|spans| spans.percentiles[2]),
            of(|spans| spans.max),
            figures.errors,
            if knee == Some(index) { "  <- knee" } else { "" },
        )?;
    }
    match knee {
        Some(last) if last + 1 == steps.len() => writeln!(
            out,
            "  every step was kept up with: the knee is above {}/s",
            count(steps[last].0)
        ),
        Some(last) => writeln!(
            out,
            "  the knee is between {}/s and {}/s",
            count(steps[last].0),
            count(steps[last + 1].0)
        ),
        None => writeln!(
            out,
            "  no step was kept up with: the knee is below {}/s",
            count(steps[0].0)
        ),
    }
}

/// The inputs in one line.
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

fn write_figures(
    out: &mut String,
    plan: &Plan,
    server: &Loaded,
    figures: &Figures,
) -> std::fmt::Result {
    write_requests(out, figures)?;
    write_errors(out, server)?;
    write_asides(out, figures)?;
    write_throughput(out, plan, figures)?;
    let error = format!("within {:.1} %", Histogram::ERROR * 100.0);
    write!(out, "  {error:<13} {:>9}", "mean")?;
    PERCENTS
        .iter()
        .try_for_each(|(_, name)| write!(out, " {name:>9}"))?;
    writeln!(out, " {:>9}", "max")?;
    write_spans(out, "response time", figures.response.as_ref())?;
    write_spans(out, "service time", figures.service.as_ref())?;
    write_spans(out, "connect", figures.connect.as_ref())?;
    match (&figures.server, &figures.server_unknown) {
        (Some(cost), _) => write_cost(out, cost)?,
        (None, Some(why)) => writeln!(out, "  server        not known: {why}")?,
        (None, None) => {}
    }
    let client = or_unknown(figures.client_cpu_ns_per_request, "CPU a request", |ns| {
        format!("{} CPU a request", span(ns))
    });
    writeln!(out, "  generator     {client}")?;
    for (label, failure) in server.failures.iter().take(5) {
        writeln!(out, "  {label:<13} {failure}")?;
    }
    Ok(())
}

/// The outcome of the requests that were due.
fn write_requests(out: &mut String, figures: &Figures) -> std::fmt::Result {
    let Figures {
        due,
        requests,
        failed,
        unfinished,
        unsent,
        elapsed_s,
        errors,
        reconnects,
        ..
    } = *figures;
    let errors = plural(errors, "error", "errors");
    let pause = match figures.longest_pause_ns {
        0 => String::new(),
        longest => format!(", longest pause {}", span(longest as f64)),
    };
    let reconnects = match reconnects {
        0 => pause,
        some => format!(", {}{pause}", plural(some, "reconnect", "reconnects")),
    };
    writeln!(
        out,
        "  requests      {due} due in {elapsed_s:.2} s, {errors}{reconnects}"
    )?;
    writeln!(
        out,
        "                {requests} answered, {failed} failed, {unfinished} unfinished, \
         {unsent} unsent"
    )?;
    match figures.statuses.as_deref() {
        None | Some([]) => Ok(()),
        Some(statuses) => {
            let each = statuses.iter();
            let each = each.map(|(status, count)| format!("{status}: {count}"));
            writeln!(out, "  status {}", each.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The rate and the replies that it counts: all replies in the window, whenever their requests were
/// due.
fn write_throughput(out: &mut String, plan: &Plan, figures: &Figures) -> std::fmt::Result {
    let (rate, back) = (count(figures.rate), bytes(figures.bytes_rate));
    let replies = plural(figures.replies, "reply", "replies");
    // An overloaded server may still be answering requests of the warm-up.
    let counts = match (plan.until, figures.requests, figures.replies) {
        (_, 0, 1..) => format!("{replies} in that time, all to earlier requests"),
        (Until::Time(_), ..) => format!("{replies} in that time"),
        (Until::Requests(_), ..) => replies,
    };
    writeln!(out, "  throughput    {rate}/s, {back}/s back: {counts}")
}

/// A part of a server's processor time per request. Without a tick, the only known bound is less
/// than one tick.
fn part(cost: &ServerCost, share: f64) -> String {
    let cpu = cost.cpu_ns_per_request.unwrap_or(0.0);
    match cost.ticks {
        Some(ticks @ 1..) if share <= 0.0 => format!("under {}", span(cpu / ticks as f64)),
        _ => span(cpu * share),
    }
}

/// The figure formatted by `text`, or a note that `name` is not known.
fn or_unknown<T>(figure: Option<T>, name: &str, text: impl Fn(T) -> String) -> String {
    figure.map_or_else(|| format!("{name} not known"), text)
}

/// The failures of all runs: one line for each kind that occurred.
fn write_errors(out: &mut String, server: &Loaded) -> std::fmt::Result {
    let rounds = if server.runs.len() > 1 {
        ", in all rounds"
    } else {
        ""
    };
    let kinds = server.errors_by_kind();
    let told = kinds.into_iter().filter(|(_, _, count)| *count > 0);
    for (index, (_, what, count)) in told.enumerate() {
        let label = if index == 0 { "errors" } else { "" };
        let [one, many, how] = what;
        let what = plural(count, one, many);
        writeln!(out, "  {label:<13} {what} {how}{rounds}")?;
    }
    Ok(())
}

/// Facts that are not errors but matter to the reader.
fn write_asides(out: &mut String, figures: &Figures) -> std::fmt::Result {
    if figures.lost_in_warmup > 0 {
        let lost = plural(figures.lost_in_warmup, "request", "requests");
        writeln!(
            out,
            "  warm-up       {lost} not answered, counted nowhere else"
        )?;
    }
    if figures.late > 0 {
        let late = plural(figures.late, "reply", "replies");
        writeln!(
            out,
            "  late          {late}, after a second or for the second time"
        )?;
    }
    if figures.interrupted {
        let flying = plural(figures.cut_off, "request", "requests");
        let waiting = figures.unsent;
        writeln!(
            out,
            "  interrupted   with {flying} in flight, {waiting} due and not sent"
        )?;
    }
    Ok(())
}

fn write_spans(out: &mut String, name: &str, spans: Option<&Spans>) -> std::fmt::Result {
    let Some(spans) = spans else { return Ok(()) };
    write!(out, "  {name:<13} {:>9}", span(spans.mean))?;
    spans
        .percentiles
        .iter()
        .try_for_each(|&value| write!(out, " {:>9}", span(value as f64)))?;
    writeln!(out, " {:>9}", span(spans.max as f64))
}

fn write_cost(out: &mut String, cost: &ServerCost) -> std::fmt::Result {
    let cpu = or_unknown(cost.cpu_ns_per_request, "CPU a request", |cpu| {
        let split = match cost.user_share {
            Some(share) => {
                let (user, system) = (part(cost, share), part(cost, 1.0 - share));
                format!("{user} user, {system} system")
            }
            None => "user and system not told apart".to_owned(),
        };
        format!("{} CPU a request ({split})", span(cpu))
    });
    let cpus = or_unknown(cost.cpus, "processors", |cpus| {
        format!("{cpus:.2} processors")
    });
    let ratio = or_unknown(
        cost.cpu_ratio_to_client,
        "ratio to the generator",
        |ratio| format!("{ratio:.4} of the generator's"),
    );
    writeln!(out, "  server        {cpu}, {cpus}, {ratio}")?;
    let resident = or_unknown(cost.resident_bytes, "resident memory", |size| {
        format!("{} resident", bytes(size as f64))
    });
    let each = or_unknown(cost.bytes_per_connection, "memory a connection", |size| {
        format!("{} a connection", bytes(size))
    });
    let threads = or_unknown(cost.threads, "threads", |count| {
        plural(count, "thread", "threads")
    });
    let switches = or_unknown(cost.switches_per_request, "context switches", |count| {
        format!("{count:.3} context switches a request")
    });
    writeln!(
        out,
        "                {resident}, {each}, {threads}, {switches}"
    )
}

fn write_comparison(out: &mut String, session: &Session) -> std::fmt::Result {
    for (index, compared) in session.compared.iter().enumerate() {
        writeln!(out, "\n{} against A", letter(index + 1))?;
        if compared.versus.is_empty() {
            let (done, pairs) = (compared.pairs, session.bench.pairs);
            let done = if done == 0 {
                "none".to_owned()
            } else {
                done.to_string()
            };
            writeln!(
                out,
                "  no ratio: of {pairs} pairs {done} was finished, and it takes 2"
            )?;
            continue;
        }
        let (ratio, interval) = ("ratio", "95 % interval");
        writeln!(out, "  {:<24} {ratio:>7}  {interval:<18} better in", "")?;
        for versus in &compared.versus {
            let estimate = versus.estimate;
            writeln!(
                out,
                "  {:<24} {:>7.4}  {:.4} to {:.4}   {:>2} of {:<3} {}",
                versus.label,
                estimate.ratio,
                estimate.low,
                estimate.high,
                versus.won,
                estimate.pairs,
                versus.verdict(),
            )?;
        }
    }
    if !session.self_checks.is_empty() {
        writeln!(
            out,
            "\nthe same server against itself, run by run (should be 1)"
        )?;
        for (metric, estimate) in &session.self_checks {
            let doubt = if estimate.shows_difference() {
                "  !! runs are not alike"
            } else {
                ""
            };
            let (ratio, low, high) = (estimate.ratio, estimate.low, estimate.high);
            writeln!(
                out,
                "  {metric:<24} {ratio:>7.4}  {low:.4} to {high:.4}{doubt}"
            )?;
        }
    }
    Ok(())
}

pub mod cost;
pub mod document;
pub mod figures;
pub mod hgrm;
pub mod picture;
#[cfg(test)]
mod tests;
pub mod units;
