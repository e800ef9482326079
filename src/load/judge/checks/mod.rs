//! Checks of a run's own figures for credibility.
//!
//! A load generator that is the bottleneck measures itself. Each check compares two figures of one
//! run that agree if the generator was not the bottleneck, and describes the result in words. No
//! check changes a figure. An unknown figure is a doubt, because it may hide a bottleneck.

use crate::base::text::plural::plural;

use super::littles_law;
use crate::load::plan::schedule::Arrivals;
use crate::load::plan::{Pace, Plan};
use crate::load::report::cost::ServerCost;
use crate::load::report::figures::Figures;
use crate::load::report::units;
use crate::load::run::observe::TICK_NS;

/// A generator thread with a larger CPU share is saturated.
const CLIENT_SHARE_MAX: f64 = 0.95;
/// A generator thread that is runnable but not running for a larger part of the time does all its
/// work late.
const CLIENT_WAIT_MAX: f64 = 0.1;
/// With fewer ticks of the server's clock, the split into user and system time has an error above a
/// tenth, and the window is so short that its counts are mostly chance.
const TICKS_MIN: u64 = 10;
/// On a shared processor, server and generator together must have used at least this part of it.
const SHARED_MIN: f64 = 0.9;
const STEAL_MAX: f64 = 0.01;
/// With a larger part of error pages or redirects, the figures describe those.
const ERROR_PAGES_MAX: f64 = 0.1;
/// In an open loop, at least this part of the requested rate must be reached.
const RATE_MIN: f64 = 0.99;
/// Random arrivals rarely fall short of their mean by more than this many standard deviations.
const RATE_DEVIATIONS_MAX: f64 = 3.0;
/// Sending later than this part of the reported latency makes the latency the generator's own.
const LATENESS_PART_MAX: f64 = 0.1;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether the result could change what a reader concludes from the figures. Then the finding
    /// says what to do about it.
    pub doubtful: bool,
    /// Whether the finding explains the figures and changes no conclusion.
    pub note: bool,
    /// The finding.
    pub text: String,
}

impl Check {
    /// A finding that is a doubt if `doubtful` holds.
    pub fn new(doubtful: bool, text: impl Into<String>) -> Check {
        Check {
            doubtful,
            note: false,
            text: text.into(),
        }
    }

    /// A finding that makes figures doubtful.
    pub fn doubt(text: impl Into<String>) -> Check {
        Check::new(true, text)
    }

    /// A finding that explains the figures.
    pub fn note(text: impl Into<String>) -> Check {
        Check {
            note: true,
            ..Check::new(false, text)
        }
    }
}

/// Runs all checks for a run of `plan`. With `shared_core` or with spinning, a generator that is
/// always busy is normal.
pub fn checks(plan: &Plan, figures: &Figures, shared_core: bool) -> Vec<Check> {
    let mut list = vec![client_share(figures, shared_core || plan.spin.is_some())];
    list.extend((!shared_core).then(|| client_wait(figures)));
    list.extend((figures.requests == 0).then(|| nothing_measured(figures)));
    list.extend(figures.server.map(enough_ticks));
    list.extend(figures.server_unknown.as_deref().map(cost_unknown));
    list.extend(
        figures
            .server
            .filter(|_| shared_core)
            .map(|server| undisturbed(figures, server)),
    );
    match plan.pace {
        Pace::Closed if !plan.churn => list.extend(littles_law::check(plan, figures, shared_core)),
        Pace::Closed => {}
        Pace::Open { rate, arrivals } => {
            list.push(rate_reached(rate, arrivals, figures));
            list.extend(lateness(figures));
        }
    }
    list.push(steal(figures));
    list.extend(connections(plan, figures));
    list.extend(statuses(figures));
    list.extend((figures.unsent > 0).then(|| unsent(figures)));
    // After Ctrl-C no reply is waited for, and the report says so by itself.
    let is_unfinished = figures.unfinished > 0 && !figures.interrupted;
    list.extend(is_unfinished.then(|| unfinished(figures)));
    // Datagrams have no connections, and the loss of some is no reason for doubt.
    let is_stuck = figures.lost_in_warmup > 0 && figures.connections > 0;
    list.extend(is_stuck.then(|| stuck(figures)));
    list
}

/// Without a request due in the window there is no latency, but there may be a rate.
fn nothing_measured(figures: &Figures) -> Check {
    let text = match figures.replies {
        0 => "no request was answered: nothing was measured".to_owned(),
        replies => format!(
            "no request of the measured time was answered: no latency was measured, and the rate \
             is that of {} to earlier ones",
            plural(replies, "reply", "replies")
        ),
    };
    Check::doubt(text)
}

fn steal(figures: &Figures) -> Check {
    let Some(share) = figures.steal_share else {
        return Check::doubt("what the hypervisor took of the machine's time is not known");
    };
    let percent = share * 100.0;
    let doubtful = share > STEAL_MAX;
    let cure = if doubtful {
        ": measure again when its neighbours are quiet"
    } else {
        ""
    };
    let text = format!("the hypervisor took {percent:.1} % of the machine's time{cure}");
    Check::new(doubtful, text)
}

/// Connections that could not be kept: the load was lighter than asked for.
fn connections(plan: &Plan, figures: &Figures) -> Option<Check> {
    let asked = (if plan.churn { 0 } else { plan.connections } + plan.idle) as u64;
    let stood = asked.saturating_sub(figures.missing);
    (figures.missing > 0).then(|| {
        Check::doubt(format!(
            "{stood} of {asked} connections stood at the end: the load was less than asked for, \
             see the failures; ask for fewer, or raise the server's limit"
        ))
    })
}

/// Replies that are no pages: errors, and redirects, which are not followed.
fn statuses(figures: &Figures) -> Option<Check> {
    let class = |class| figures.status_class(class).unwrap_or(0);
    let (redirects, errors, all) = (
        class(3),
        class(4).saturating_add(class(5)),
        figures.requests,
    );
    let part = |count: u64| count as f64 / all.max(1) as f64;
    let of_all =
        |count: u64, what: &str| format!("{count} of {} {what}", plural(all, "reply", "replies"));
    if part(errors) > ERROR_PAGES_MAX {
        let text = of_all(errors, "had an error status");
        Some(Check::doubt(format!(
            "{text}: rate and times are those of error pages, see --path and --method"
        )))
    } else if part(redirects) > ERROR_PAGES_MAX {
        let text = of_all(redirects, "were redirects, which are not followed");
        Some(Check::doubt(format!(
            "{text}: name the page that they lead to"
        )))
    } else if errors > 0 || redirects > 0 {
        let redirected = of_all(redirects, "were redirects, which are not followed");
        Some(Check::note(match errors {
            0 => redirected,
            _ => of_all(errors, "had an error status"),
        }))
    } else {
        None
    }
}

/// The slowest requests are missing from all percentiles.
fn unfinished(figures: &Figures) -> Check {
    let requests = plural(figures.unfinished, "request was", "requests were");
    let verdict = match figures.requests {
        0 => "",
        _ => ": times are worse than told, see --grace",
    };
    Check::doubt(format!("{requests} in flight when the run ended{verdict}"))
}

/// A connection that still waits for a warm-up reply carries no load.
fn stuck(figures: &Figures) -> Check {
    let requests = plural(figures.lost_in_warmup, "request", "requests");
    Check::doubt(format!(
        "{requests} of the warm-up never answered: fewer connections than asked for had the load; \
         see the failures, or ask for fewer"
    ))
}

fn unsent(figures: &Figures) -> Check {
    let how = match figures.interrupted {
        true => "not sent when the run was interrupted",
        false => "never sent",
    };
    let verdict = match figures.requests {
        0 => "",
        _ => ": response times are worse than told; lower --rate, or give more --connections",
    };
    let requests = plural(figures.unsent, "request was", "requests were");
    Check::doubt(format!("{requests} due and {how}{verdict}"))
}

fn client_share(figures: &Figures, always_busy: bool) -> Check {
    let Some(share) = figures.client_cpu_share else {
        return Check::doubt(
            "how long the generator's threads ran is not known, /proc does not show it: one may be \
             the bottleneck",
        );
    };
    let percent = share * 100.0;
    let doubtful = share > CLIENT_SHARE_MAX && !always_busy;
    let verdict = if doubtful {
        ": it is the bottleneck, give it --threads"
    } else {
        ""
    };
    let text = format!("the generator's busiest thread ran {percent:.0} % of the time{verdict}");
    Check::new(doubtful, text)
}

fn client_wait(figures: &Figures) -> Check {
    let Some(share) = figures.client_wait_share else {
        return Check::doubt(
            "how long the generator's threads waited for a processor is not known",
        );
    };
    let doubtful = share > CLIENT_WAIT_MAX;
    let verdict = match doubtful {
        true => format!(
            ", more than {:.0} %: it shares one, see --pin",
            CLIENT_WAIT_MAX * 100.0
        ),
        false => String::new(),
    };
    let percent = share * 100.0;
    let text =
        format!("one of its threads waited for a processor {percent:.0} % of the time{verdict}");
    Check::new(doubtful, text)
}

/// A closed connection keeps its port for a minute (tcp(7), TIME-WAIT). With few free ports,
/// connect(2) searches longer and longer, and the generator's own cost grows during the run.
pub fn ports_left(connects: u64, ports: Option<u64>) -> Check {
    let connections = plural(connects, "connection", "connections");
    let Some(ports) = ports else {
        return Check::doubt(format!(
            "how many local ports {connections} had is not known"
        ));
    };
    let doubtful = connects > ports / 2;
    let verdict = if doubtful {
        ": finding one takes long, give more with --source-ip"
    } else {
        ""
    };
    Check::new(
        doubtful,
        format!("{connections} had {ports} local ports{verdict}"),
    )
}

/// For a server that ended during the run, or that `/proc` does not show.
fn cost_unknown(why: &str) -> Check {
    Check::doubt(format!("what the server cost is not known: {why}"))
}

/// Without a list of child processes, the cost of the children is missing.
pub fn children_unknown() -> Check {
    Check::doubt("the kernel does not list the server's children: their cost is not included")
}

/// The kernel counts process time in ticks. A cost needs a minimum number of ticks.
fn enough_ticks(server: ServerCost) -> Check {
    let Some(ticks) = server.ticks else {
        return Check::doubt("the ticks of the server's CPU time are not known");
    };
    let doubtful = ticks < TICKS_MIN;
    let verdict = if doubtful {
        format!(": its cost needs {TICKS_MIN} or more, so measure longer")
    } else {
        String::new()
    };
    let ticks = plural(ticks, "tick", "ticks");
    let length = TICK_NS / 1_000_000;
    Check::new(
        doubtful,
        format!("the server's CPU time is {ticks} of {length} ms{verdict}"),
    )
}

/// Two sides that are never idle at the same time fill their processor, unless other processes run
/// there.
fn undisturbed(figures: &Figures, server: ServerCost) -> Check {
    let Some((server, client)) = server.cpus.zip(figures.client_cpu_share) else {
        return Check::doubt("how much server and generator had of their processor is not known");
    };
    let share = server + client;
    let doubtful = share < SHARED_MIN;
    let verdict = if doubtful {
        ": others ran there, or both were idle; stop other work, or see --pin"
    } else {
        ""
    };
    let percent = share * 100.0;
    let text = format!("server and generator had {percent:.0} % of their processor{verdict}");
    Check::new(doubtful, text)
}

/// For independent arrivals, the standard deviation is the square root of the mean count.
fn rate_reached(asked: f64, arrivals: Arrivals, figures: &Figures) -> Check {
    let chance = match arrivals {
        Arrivals::Fixed => 0.0,
        Arrivals::Poisson => RATE_DEVIATIONS_MAX * (asked / figures.elapsed_s).sqrt(),
    };
    let doubtful = figures.rate < asked * RATE_MIN - chance;
    let verdict = match doubtful {
        true => ": not reached; lower --rate, or give more --connections",
        false => "",
    };
    let (reached, asked) = (units::count(figures.rate), units::count(asked));
    Check::new(
        doubtful,
        format!("{reached}/s of {asked}/s asked for{verdict}"),
    )
}

fn lateness(figures: &Figures) -> Option<Check> {
    let (late, told) = (
        figures.lateness?.percentiles[2] as f64,
        figures.response?.percentiles[2] as f64,
    );
    let doubtful = late > told * LATENESS_PART_MAX;
    let verdict = if doubtful {
        ", a part of the response time that is its own: give it --threads or --pin"
    } else {
        ""
    };
    let late = units::span(late);
    let text = format!("the generator sent at most {late} late (p99){verdict}");
    Some(Check::new(doubtful, text))
}

#[cfg(test)]
mod tests;
