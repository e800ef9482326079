//! The JSON report: every input and every figure, with the unit in the name.
//!
//! The readers are programs, so names never change and values are not rounded. An input that was
//! not given is absent, and so is a figure without events. A value that could not be read is
//! `null`.

use std::fmt::Display;

use crate::base::histogram::Histogram;
use crate::base::text::json::Json;
use crate::base::text::utc::utc;

use super::cost::ServerCost;
use super::figures::{Figures, Histograms, PERCENTS, Spans};
use super::origin::Origin;
use super::{Inputs, Report};
use crate::load::judge::statistics::Estimate;
use crate::load::plan::schedule::Arrivals;
use crate::load::plan::{Pace, Plan, Protocol, Until};
use crate::load::run::bench::Bench;
use crate::load::run::observe::TICK_NS;
use crate::load::run::session::{Compared, Loaded};

/// The version of the document's form. It changes when a key changes its meaning or goes away; new
/// keys may come at any time. The form is in `schema.json` beside this file.
pub const SCHEMA: &str = "mynah-report-1";

/// The document of a report.
pub fn json(report: &Report<'_>) -> String {
    let mut json = Json::new();
    json.text("schema", SCHEMA);
    json.text("program", &format!("mynah {}", report.origin.version));
    write_origin(&mut json, report.origin);
    if !report.parts.is_empty() {
        json.list("parts", report.parts);
    }
    json.text("load", &report.load);
    match report.inputs {
        Inputs::Given(bench) => json.object("inputs", |json| write_inputs(json, bench)),
        Inputs::Read(inputs) => json.copy("inputs", inputs),
    }
    json.value("interrupted", report.is_interrupted);
    if let Some(error) = &report.cut_short {
        json.text("cut_short", error);
    }
    json.float("histogram_error", Histogram::ERROR);
    json.objects("servers", report.servers, write_server);
    json.objects(
        "steps",
        report.steps.iter().enumerate(),
        |json, (index, (rate, figures))| {
            json.float("rate_asked_per_s", *rate);
            json.float("rate_per_s", figures.rate);
            if let Some(spans) = figures.latency() {
                json.value("p50_ns", spans.percentiles[0]);
                json.value("p99_ns", spans.percentiles[2]);
                json.value("max_ns", spans.max);
            }
            json.value("errors", figures.errors);
            json.value("knee", report.knee == Some(index));
        },
    );
    json.objects("checks", report.checks, |json, (server, check)| {
        json.value("server", server);
        json.value("doubtful", check.doubtful);
        json.value("note", check.note);
        json.text("text", &check.text);
    });
    json.objects("comparisons", report.compared, write_compared);
    json.objects(
        "self_checks",
        report.self_checks,
        |json, (metric, estimate)| {
            json.text("metric", metric);
            write_estimate(json, estimate);
        },
    );
    json.objects(
        "broken_assertions",
        &report.broken_assertions,
        |json, line| json.text("text", line),
    );
    json.finish()
}

fn write_origin(json: &mut Json, origin: &Origin) {
    known_text(json, "host", origin.host.as_deref());
    known_text(json, "kernel", origin.kernel.as_deref());
    known(json, "cpus", origin.cpus);
    json.text("started", &utc(origin.started_unix_ns));
    json.object("versions", |json| json.text("mynah", &origin.version));
    json.texts("options", &origin.options);
}

fn write_inputs(json: &mut Json, bench: &Bench) {
    write_plan(json, &bench.plan);
    if let Some(last) = bench.steps().last() {
        json.float("rate_last_per_s", *last);
    }
    json.value("same_core", bench.same_core);
    json.value("pairs", bench.pairs);
    json.objects("assertions", &bench.assertions, |json, assertion| {
        json.text("text", assertion.text());
    });
}

fn write_plan(json: &mut Json, plan: &Plan) {
    json.value("connections", plan.connections);
    json.value("idle_connections", plan.idle);
    json.value("threads", plan.threads);
    match plan.until {
        Until::Time(duration) => json.float("duration_s", duration.as_secs_f64()),
        Until::Requests(requests) => json.value("requests", requests),
    }
    json.float("warmup_s", plan.warmup.as_secs_f64());
    json.float("grace_s", plan.grace.as_secs_f64());
    json.float("ramp_s", plan.ramp.as_secs_f64());
    json.float("slow_start_s", plan.slow_start.as_secs_f64());
    let connect_timeout = plan.connect_timeout.unwrap_or_default();
    json.float("connect_timeout_s", connect_timeout.as_secs_f64());
    let spin = plan.spin.unwrap_or_default();
    json.float("spin_us", spin.as_secs_f64() * 1e6);
    json.value("size_min_bytes", plan.size.0);
    json.value("size_max_bytes", plan.size.1);
    json.value("pipeline", plan.pipeline);
    match plan.pace {
        Pace::Closed => json.text("loop", "closed"),
        Pace::Open { rate, arrivals } => {
            json.text("loop", "open");
            json.float("rate_per_s", rate);
            json.text(
                "arrivals",
                if arrivals == Arrivals::Fixed {
                    "fixed"
                } else {
                    "poisson"
                },
            );
        }
    }
    json.text(
        "protocol",
        match plan.protocol {
            Protocol::Echo => "echo",
            Protocol::Http => "http",
            Protocol::Message => "message",
        },
    );
    if plan.protocol == Protocol::Http {
        json.text("method", &plan.request.method);
        json.text("path", &plan.request.paths[0]);
        json.value("urls", plan.request.paths.len());
        json.value("body_bytes", plan.request.body.len());
        let names = plan.request.fields.iter();
        let names = names.map(|field| field.split(':').next().unwrap_or_default());
        json.texts("header_names", names);
        if let Some(host) = &plan.request.host {
            json.text("host", host);
        }
    }
    if plan.protocol == Protocol::Message {
        json.value("message_bytes", plan.message.bytes.len());
        json.text(
            "expect",
            &format!("{:?}", plan.message.expect).to_lowercase(),
        );
    }
    json.text("request_digest", &request_digest(plan));
    json.text("frame", &plan.framing.to_string());
    json.value("churn", plan.churn);
    json.value("verify", plan.verify);
    json.floats("pins", plan.pins.iter().map(|&cpu| cpu as f64));
    json.objects("sources", &plan.sources, |json, source| {
        json.text("address", &source.to_string())
    });
}

/// Tells whether two documents have asked for the same, without showing it: FNV-1a of the methods,
/// paths, bodies and messages. Values of headers may be passwords and are left out.
fn request_digest(plan: &Plan) -> String {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let request = &plan.request;
    let paths = request
        .paths
        .iter()
        .flat_map(|path| [path.as_bytes(), b"\n"]);
    let parts = [request.method.as_bytes(), b"\n"].into_iter().chain(paths);
    let all = parts.chain([&request.body[..], b"\n", &plan.message.bytes]);
    let digest = all.flatten().fold(BASIS, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    format!("{digest:016x}")
}

fn write_server(json: &mut Json, server: &Loaded) {
    json.text("name", &server.target.name);
    json.text("address", &server.target.address.to_string());
    if let Some(pid) = server.target.pid {
        json.value("pid", pid);
    }
    json.objects("runs", &server.runs, write_figures);
    json.objects("failures", &server.failures, |json, (label, text)| {
        json.text("outcome", label);
        json.text("text", text);
    });
    json.objects(
        "latency_percentiles",
        server.latency.percentiles(),
        |json, line| {
            json.float("percent", line.percent);
            json.value("value_ns", line.value);
            json.value("count", line.seen);
        },
    );
    json.object("histograms", |json| {
        write_histograms(json, &server.histograms)
    });
    let (timeline, elapsed_ns) = &server.timeline;
    json.float("timeline_width_s", timeline.width_seconds());
    json.floats("timeline_rate_per_s", timeline.rates(*elapsed_ns));
    json.objects("latency_over_time", &server.moments, |json, moment| {
        json.float("elapsed_s", moment.elapsed_s);
        json.value("p50_ns", moment.p50);
        json.value("p99_ns", moment.p99);
    });
}

/// The histograms of all runs, exactly: documents can be added up without loss.
fn write_histograms(json: &mut Json, all: &Histograms) {
    for (name, histogram) in [
        ("service_time", &all.service),
        ("response_time", &all.response),
        ("connect_time", &all.connect),
        ("send_lateness", &all.lateness),
    ] {
        if histogram.count() > 0 {
            json.object(name, |json| {
                json.value("sum_ns", histogram.sum());
                json.value("min_ns", histogram.min());
                json.value("max_ns", histogram.max());
                json.pairs("last_ns_and_count", histogram.filled());
            });
        }
    }
}

fn write_figures(json: &mut Json, figures: &Figures) {
    json.text("started", &utc(figures.started_unix_ns));
    json.float("elapsed_s", figures.elapsed_s);
    json.value("requests", figures.requests);
    json.value("due", figures.due);
    json.value("answered", figures.requests);
    json.value("failed", figures.failed);
    json.value("unfinished", figures.unfinished);
    json.value("unsent", figures.unsent);
    json.float("rate_per_s", figures.rate);
    json.float("received_bytes_per_s", figures.bytes_rate);
    json.value("replies", figures.replies);
    json.value("errors", figures.errors);
    json.object("errors_by_kind", |json| {
        for (name, _, count) in figures.errors_by_kind() {
            json.value(name, count);
        }
    });
    if let Some(statuses) = &figures.statuses {
        json.object("statuses", |json| {
            for (status, count) in statuses {
                json.value(&status.to_string(), count);
            }
        });
        for class in 1..=5 {
            let count = figures.status_class(class).unwrap_or(0);
            json.value(&format!("status_{class}xx"), count);
        }
    }
    json.value("reconnects", figures.reconnects);
    json.float(
        "longest_reconnect_pause_ms",
        figures.longest_pause_ns as f64 / 1e6,
    );
    json.value("connections_missing_at_end", figures.missing);
    json.value("unanswered_requests", figures.unanswered());
    json.value("unsent_requests", figures.unsent);
    json.value("late_replies", figures.late);
    json.value("unanswered_requests_of_warmup", figures.lost_in_warmup);
    json.value("connections_with_unasked_bytes", figures.kinds.bare);
    if figures.interrupted {
        json.value("requests_in_flight_at_interrupt", figures.cut_off);
    }
    write_spans(json, "service_time", figures.service.as_ref());
    json.float("held_mean_ns", figures.held_mean_ns);
    write_spans(json, "response_time", figures.response.as_ref());
    write_spans(json, "connect_time", figures.connect.as_ref());
    json.value("connections_opened", figures.connections);
    write_spans(json, "send_lateness", figures.lateness.as_ref());
    known(
        json,
        "client_busiest_thread_share",
        figures.client_cpu_share,
    );
    known(json, "client_longest_wait_share", figures.client_wait_share);
    known(
        json,
        "client_cpu_ns_per_request",
        figures.client_cpu_ns_per_request,
    );
    known(json, "host_steal_share", figures.steal_share);
    match (&figures.server, &figures.server_unknown) {
        (Some(cost), _) => json.object("server", |json| write_cost(json, cost)),
        (None, Some(why)) => {
            json.value("server", "null");
            json.text("server_unknown", why);
        }
        (None, None) => {}
    }
}

fn write_cost(json: &mut Json, cost: &ServerCost) {
    let cpu = cost.cpu_ns_per_request;
    known(json, "cpu_ns_per_request", cpu);
    // A share of 0 only means that no tick was counted; the true value is small but unknown.
    let part = |share: f64| Some(cpu? * share).filter(|_| share > 0.0);
    let user = cost.user_share.and_then(part);
    known(json, "cpu_user_ns_per_request", user);
    let system = cost.user_share.and_then(|share| part(1.0 - share));
    known(json, "cpu_system_ns_per_request", system);
    known(json, "cpu_ticks", cost.ticks);
    json.value("cpu_tick_ns", TICK_NS);
    known(json, "cpu_ratio_to_client", cost.cpu_ratio_to_client);
    known(json, "processors", cost.cpus);
    known(json, "resident_bytes", cost.resident_bytes);
    known(
        json,
        "resident_bytes_per_connection",
        cost.bytes_per_connection,
    );
    known(
        json,
        "context_switches_per_request",
        cost.switches_per_request,
    );
    known(json, "threads", cost.threads);
}

/// Writes a figure, or `null` if it is not known.
#[inline(never)]
fn known(json: &mut Json, name: &str, figure: Option<impl Display>) {
    match figure {
        Some(figure) => json.value(name, figure),
        None => json.value(name, "null"),
    }
}

fn known_text(json: &mut Json, name: &str, text: Option<&str>) {
    match text {
        Some(text) => json.text(name, text),
        None => json.value(name, "null"),
    }
}

#[inline(never)]
fn write_spans(json: &mut Json, name: &str, spans: Option<&Spans>) {
    let Some(spans) = spans else { return };
    json.object(name, |json| {
        json.value("count", spans.count);
        json.float("mean_ns", spans.mean);
        json.float("deviation_ns", spans.deviation);
        json.value("min_ns", spans.min);
        for ((_, percentile), value) in PERCENTS.iter().zip(spans.percentiles) {
            json.value(&format!("{percentile}_ns"), value);
        }
        json.value("max_ns", spans.max);
    });
}

fn write_compared(json: &mut Json, compared: &Compared) {
    json.text("name", &compared.name);
    json.objects("metrics", &compared.versus, |json, versus| {
        json.text("metric", versus.metric);
        write_estimate(json, &versus.estimate);
        json.value("won", versus.won);
        json.value("difference_shown", versus.estimate.shows_difference());
        json.float("smallest_difference_shown", versus.estimate.resolution());
        json.floats("ratios", versus.ratios.iter().copied());
    });
}

fn write_estimate(json: &mut Json, estimate: &Estimate) {
    json.float("ratio", estimate.ratio);
    json.float("low", estimate.low);
    json.float("high", estimate.high);
    json.value("pairs", estimate.pairs);
}
