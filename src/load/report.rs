//! The report a person reads: what was asked, what came of it, what it cost, and what to make of
//! it.
//!
//! Every latency is named for what it is, every doubt stands beside the figures it is about, and
//! nothing that was not measured is shown as if it were.

use std::fmt::Write;
use std::time::Duration;

use crate::base::counted::counted;
use crate::base::histogram::Histogram;
use crate::base::quantity::Quantity;

use super::figures::{Figures, PERCENTS, ServerCost, Spans};
use super::plan::{Pace, Plan, Protocol, Until};
use super::schedule::Arrivals;
use super::session::{Loaded, Session};
use super::units::{bytes, count, span};

/// The whole report, ending in a line feed.
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
            let mark = if check.doubtful { "!!" } else { "ok" };
            let server = if session.servers.len() == 1 {
                ' '
            } else {
                letter(*index)
            };
            writeln!(out, "  {mark}  {server} {}", check.text)?;
        }
    }
    write_comparison(out, session)
}

/// The inputs in one line.
pub fn inputs(plan: &Plan) -> String {
    let mut words = vec![counted(plan.connections, "connection", "connections")];
    words.extend((plan.idle > 0).then(|| counted(plan.idle, "idle one", "idle ones")));
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
        (_, (least, most)) if least == most => {
            format!("{} {}", counted(least, "byte", "bytes"), plan.framing)
        }
        (_, (least, most)) => format!("{least} to {most} bytes {}", plan.framing),
    });
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
    words.extend((!plan.verify).then(|| "not verified".to_owned()));
    let time = |span: Duration| Quantity::Time.text(span.as_nanos());
    let measured = match plan.until {
        Until::Time(duration) => time(duration),
        Until::Requests(requests) => counted(requests, "request", "requests"),
    };
    words.push(match plan.warmup {
        Duration::ZERO => format!("{measured} without a warm-up"),
        warmup => format!("{measured} after {} of warm-up", time(warmup)),
    });
    words.join(", ")
}

/// What the server at `index` is called in comparisons: A, B, C, ...
pub fn letter(index: usize) -> char {
    char::from(b'A' + (index % 26) as u8)
}

fn write_figures(
    out: &mut String,
    plan: &Plan,
    server: &Loaded,
    figures: &Figures,
) -> std::fmt::Result {
    let Figures {
        requests,
        replies,
        elapsed_s,
        rate,
        bytes_rate,
        errors,
        ..
    } = *figures;
    let answered = match (requests, plan.pace) {
        (0, Pace::Open { .. }) => format!("none of those due in {elapsed_s:.2} s was answered"),
        (0, Pace::Closed) => format!("none of those sent in {elapsed_s:.2} s was answered"),
        _ => format!("{requests} in {elapsed_s:.2} s"),
    };
    let errors = counted(errors, "error", "errors");
    writeln!(out, "  requests      {answered}, {errors}")?;
    write_errors(out, server)?;
    write_asides(out, figures)?;
    // An overloaded server may be busy with the requests of the warm-up.
    let earlier = match (requests, replies) {
        (0, 1..) => ", all to earlier requests",
        _ => "",
    };
    writeln!(
        out,
        "  throughput    {}/s, {}/s back{earlier}",
        count(rate),
        bytes(bytes_rate)
    )?;
    let error = format!("within {:.1} %", Histogram::ERROR * 100.0);
    write!(out, "  {error:<13} {:>9}", "mean")?;
    PERCENTS
        .iter()
        .try_for_each(|(_, name)| write!(out, " {name:>9}"))?;
    writeln!(out, " {:>9}", "max")?;
    write_spans(out, "response time", figures.response.as_ref())?;
    write_spans(out, "service time", figures.service.as_ref())?;
    write_spans(out, "connect", figures.connect.as_ref())?;
    if let Some(cost) = &figures.server {
        write_cost(out, cost)?;
    }
    let client = span(figures.client_cpu_ns_per_request);
    writeln!(out, "  generator     {client} CPU a request")?;
    for failure in server.failures.iter().take(5) {
        writeln!(out, "  failed        {failure}")?;
    }
    Ok(())
}

/// What the failures of all runs were, a line for each kind that there was.
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
        let what = counted(count, one, many);
        writeln!(out, "  {label:<13} {what} {how}{rounds}")?;
    }
    Ok(())
}

/// What is no error and has to be known all the same.
fn write_asides(out: &mut String, figures: &Figures) -> std::fmt::Result {
    if figures.lost_in_warmup > 0 {
        let lost = counted(figures.lost_in_warmup, "request", "requests");
        writeln!(
            out,
            "  warm-up       {lost} never answered, counted nowhere else"
        )?;
    }
    if figures.late > 0 {
        let late = counted(figures.late, "reply", "replies");
        writeln!(
            out,
            "  late          {late}, after a second or for the second time"
        )?;
    }
    if figures.interrupted {
        let flying = counted(figures.cut_off, "request", "requests");
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
    let cpu = cost.cpu_ns_per_request;
    let split = match cost.user_share {
        Some(share) => format!(
            "{} user, {} system",
            span(cpu * share),
            span(cpu - cpu * share)
        ),
        None => "user and system not told apart".to_owned(),
    };
    writeln!(
        out,
        "  server        {} CPU a request ({split}), {:.2} processors, {:.4} of the generator's",
        span(cpu),
        cost.cpus,
        cost.cpu_ratio_to_client,
    )?;
    writeln!(
        out,
        "                {} resident, {} a connection, {}, \
         {:.3} context switches a request",
        bytes(cost.resident_bytes as f64),
        bytes(cost.bytes_per_connection),
        counted(cost.threads, "thread", "threads"),
        cost.switches_per_request,
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

/// The percentiles in the text form of HdrHistogram. Of several servers each has a block of its
/// own, under a comment that names it.
pub fn hgrm(session: &Session) -> String {
    let blocks = session.servers.iter().enumerate().map(|(index, server)| {
        let block = percentiles(&server.latency);
        match session.servers.len() {
            1 => block,
            _ => format!("# {}  {}\n{block}", letter(index), server.target.name),
        }
    });
    blocks.collect::<Vec<_>>().join("\n")
}

/// One block: values in milliseconds, as its plotters read it.
fn percentiles(latency: &Histogram) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for line in latency.percentiles() {
        let (value, part) = (line.value as f64 / 1e6, line.percent / 100.0);
        let _ = match part {
            part if part < 1.0 => {
                writeln!(
                    out,
                    "{value:12.6} {part:14.12} {:10} {:14.2}",
                    line.seen,
                    1.0 / (1.0 - part)
                )
            }
            _ => writeln!(out, "{value:12.6} {part:14.12} {:10}", line.seen),
        };
    }
    let (mean, deviation) = (latency.mean() / 1e6, latency.deviation() / 1e6);
    let (max, total) = (latency.max() as f64 / 1e6, latency.count());
    let _ = writeln!(
        out,
        "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]"
    );
    let _ = writeln!(out, "#[Max     = {max:12.6}, Total count    = {total:12}]");
    let _ = writeln!(out, "#[Buckets = {:12}, SubBuckets     = {:12}]", 36, 128);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hgrm_has_the_columns_that_plotters_expect() {
        let mut latency = Histogram::new();
        (1..=1000).for_each(|value| latency.record(value * 1000));
        let text = percentiles(&latency);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
        );
        let rows = lines.iter().filter(|line| !line.starts_with('#')).skip(2);
        let columns: Vec<usize> = rows.map(|line| line.split_whitespace().count()).collect();
        assert!(
            columns[..columns.len() - 1].iter().all(|&count| count == 4)
                && columns[columns.len() - 1] == 3
        );
        assert!(text.contains("Total count    =         1000]") && text.contains("0.500000000000"));
    }
}
