//! The figures of a document: read from it, and added up.
//!
//! The names are those that `report::document` writes. A test compares both: each figure that is
//! written is read again.

use crate::base::histogram::Histogram;
use crate::base::text::utc::unix_ns;

use super::member::Member;
use crate::limits::MERGE_COUNT_MAX;
use crate::load::report::cost::{ServerCost, ratio};
use crate::load::report::figures::{Figures, Histograms};
use crate::load::worker::tally::Errors;

/// The figures of a run, without those that come from the histograms.
pub(super) fn read(run: &Member<'_>) -> Result<Figures, String> {
    let kinds = run.object("errors_by_kind")?;
    let (failed, errors) = (run.count("failed")?, run.count("errors")?);
    let bare = run.known("connections_with_unasked_bytes", Member::count)?;
    let started = unix_ns(&run.text("started")?);
    let cut_off = run.known("requests_in_flight_at_interrupt", Member::count)?;
    let server = match run.member("server") {
        Some(_) => Some(cost(&run.object("server")?)?),
        None => None,
    };
    Ok(Figures {
        started_unix_ns: started
            .ok_or_else(|| format!("{}: must be a time in UTC", run.at("started")))?,
        elapsed_s: run.float("elapsed_s")?,
        due: run.count("due")?,
        requests: run.count("answered")?,
        failed,
        unfinished: run.count("unfinished")?,
        unsent: run.count("unsent")?,
        replies: run.count("replies")?,
        rate: run.float("rate_per_s")?,
        bytes_rate: run.float("received_bytes_per_s")?,
        errors,
        kinds: Errors {
            failed,
            bare: bare.unwrap_or(0),
            connect: kinds.count("connections_not_opened")?,
            closed: kinds.count("connections_closed")?,
            broken: kinds.count("connections_broken")?,
            wrong: kinds.count("connections_wrong")?,
            unanswered: kinds.count("requests_unanswered")?,
        },
        reconnects: run.count("reconnects")?,
        longest_pause_ns: (run.float("longest_reconnect_pause_ms")? * 1e6).round() as u64,
        missing: run.count("connections_missing_at_end")?,
        statuses: statuses(run)?,
        held_mean_ns: run.float("held_mean_ns")?,
        cut_off: cut_off.unwrap_or(0),
        late: run.count("late_replies")?,
        lost_in_warmup: run.count("unanswered_requests_of_warmup")?,
        interrupted: cut_off.is_some(),
        connections: run.count("connections_opened")?,
        client_cpu_share: run.known("client_busiest_thread_share", Member::float)?,
        client_wait_share: run.known("client_longest_wait_share", Member::float)?,
        client_cpu_ns_per_request: run.known("client_cpu_ns_per_request", Member::float)?,
        steal_share: run.known("host_steal_share", Member::float)?,
        server,
        server_unknown: run.known("server_unknown", Member::text)?,
        // Figures of the histograms, and one that only judges a single run.
        service: None,
        response: None,
        connect: None,
        lateness: None,
        longest_carried_ns: 0,
    })
}

/// Answered requests by HTTP status, in order; `None` for another protocol.
fn statuses(run: &Member<'_>) -> Result<Option<Vec<(u16, u64)>>, String> {
    if run.member("statuses").is_none() {
        return Ok(None);
    }
    let counts = run.object("statuses")?;
    let mut statuses: Vec<(u16, u64)> = Vec::new();
    for (name, _) in counts.value.members().unwrap_or_default() {
        let status = name
            .parse()
            .ok()
            .filter(|status| (100..=999).contains(status));
        let wrong = || format!("{}: is no HTTP status", counts.at(name));
        let (status, count) = (status.ok_or_else(wrong)?, counts.count(name)?);
        match statuses.binary_search_by_key(&status, |(status, _)| *status) {
            Ok(_) => return Err(format!("{}: a status occurs twice", run.at("statuses"))),
            Err(place) => statuses.insert(place, (status, count)),
        }
    }
    Ok(Some(statuses))
}

fn cost(server: &Member<'_>) -> Result<ServerCost, String> {
    let cpu = server.known("cpu_ns_per_request", Member::float)?;
    let user = server.known("cpu_user_ns_per_request", Member::float)?;
    let system = server.known("cpu_system_ns_per_request", Member::float)?;
    // A part without a tick is `null`; with both parts unknown, the shares are unknown too.
    let user_share = match (user, system) {
        (Some(user), _) => ratio(user, cpu.unwrap_or(0.0)),
        (None, Some(_)) => Some(0.0),
        (None, None) => None,
    };
    Ok(ServerCost {
        cpu_ns_per_request: cpu,
        user_share,
        ticks: server.known("cpu_ticks", Member::count)?,
        cpus: server.known("processors", Member::float)?,
        resident_bytes: server.known("resident_bytes", Member::count)?,
        bytes_per_connection: server.known("resident_bytes_per_connection", Member::float)?,
        switches_per_request: server.known("context_switches_per_request", Member::float)?,
        threads: server.known("threads", Member::count)?,
        cpu_ratio_to_client: server.known("cpu_ratio_to_client", Member::float)?,
    })
}

/// The histograms of a server.
pub(super) fn histograms(all: &Member<'_>) -> Result<Histograms, String> {
    let read = |name: &str| -> Result<Histogram, String> {
        if all.member(name).is_none() {
            return Ok(Histogram::new());
        }
        let one = all.object(name)?;
        let (min, max) = (one.nanoseconds("min_ns")?, one.nanoseconds("max_ns")?);
        let filled = one.pairs("last_ns_and_count")?;
        Histogram::restored(filled, one.sum("sum_ns")?, min, max)
            .filter(|histogram| histogram.count() <= MERGE_COUNT_MAX)
            .ok_or_else(|| format!("{}: its parts contradict each other", all.at(name)))
    };
    Ok(Histograms {
        service: read("service_time")?,
        response: read("response_time")?,
        connect: read("connect_time")?,
        lateness: read("send_lateness")?,
    })
}

/// Adds the figures of another generator. Counts and rates are sums; shares of a machine are those
/// of the worst machine; costs are means, weighted by the requests.
pub(super) fn add(all: &mut Figures, more: &Figures) {
    let rate = all.rate + more.rate;
    let weighed = |one: f64, other: f64| match rate > 0.0 {
        true => (one * all.rate + other * more.rate) / rate,
        false => 0.0,
    };
    let both = |one: Option<f64>, other: Option<f64>| one.zip(other);
    let worse = |one, other| both(one, other).map(|(one, other)| one.max(other));
    all.client_cpu_ns_per_request = both(
        all.client_cpu_ns_per_request,
        more.client_cpu_ns_per_request,
    )
    .map(|(one, other)| weighed(one, other));
    // A server has one process, whichever members sampled it: its cost is spread over all requests.
    let server = match (all.server, more.server) {
        (Some(cost), _) => Some((cost, all.rate)),
        (None, Some(cost)) => Some((cost, more.rate)),
        (None, None) => None,
    };
    all.server = server.map(|(cost, of)| spread(cost, of, rate, all.client_cpu_ns_per_request));
    all.server_unknown = match all.server {
        Some(_) => None,
        None => all.server_unknown.take().or(more.server_unknown.clone()),
    };
    all.client_cpu_share = worse(all.client_cpu_share, more.client_cpu_share);
    all.client_wait_share = worse(all.client_wait_share, more.client_wait_share);
    all.steal_share = worse(all.steal_share, more.steal_share);
    all.started_unix_ns = all.started_unix_ns.min(more.started_unix_ns);
    all.longest_pause_ns = all.longest_pause_ns.max(more.longest_pause_ns);
    all.held_mean_ns = weighed(all.held_mean_ns, more.held_mean_ns);
    for (status, count) in more.statuses.iter().flatten() {
        let known = all.statuses.get_or_insert_default();
        match known.binary_search_by_key(status, |(status, _)| *status) {
            Ok(index) => known[index].1 += count,
            Err(index) => known.insert(index, (*status, *count)),
        }
    }
    all.elapsed_s = all.elapsed_s.max(more.elapsed_s);
    all.rate = rate;
    all.bytes_rate += more.bytes_rate;
    all.interrupted |= more.interrupted;
    all.kinds.merge(&more.kinds);
    for (sum, count) in [
        (&mut all.due, more.due),
        (&mut all.requests, more.requests),
        (&mut all.failed, more.failed),
        (&mut all.unfinished, more.unfinished),
        (&mut all.unsent, more.unsent),
        (&mut all.replies, more.replies),
        (&mut all.errors, more.errors),
        (&mut all.reconnects, more.reconnects),
        (&mut all.cut_off, more.cut_off),
        (&mut all.late, more.late),
        (&mut all.missing, more.missing),
        (&mut all.lost_in_warmup, more.lost_in_warmup),
        (&mut all.connections, more.connections),
    ] {
        *sum += count;
    }
}

/// The cost of a server for the requests of all generators, sampled beside one with the rate `of`.
fn spread(cost: ServerCost, of: f64, rate: f64, client_ns: Option<f64>) -> ServerCost {
    let part = |figure: Option<f64>| figure.and_then(|figure| ratio(figure * of, rate));
    let cpu = part(cost.cpu_ns_per_request);
    ServerCost {
        cpu_ns_per_request: cpu,
        switches_per_request: part(cost.switches_per_request),
        // The memory before the first connection of all generators is not known.
        bytes_per_connection: None,
        cpu_ratio_to_client: cpu.zip(client_ns).and_then(|(cpu, ns)| ratio(cpu, ns)),
        ..cost
    }
}
