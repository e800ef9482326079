//! Whether a run's own figures should be believed.
//!
//! A load generator that is itself the bottleneck measures itself. Each check compares two figures
//! of the same run that must agree if it was not, and says in words what it found; none of them
//! changes a figure. A figure that is not known is a doubt: it may hide a bottleneck.

use crate::base::text::plural::plural;

use super::littles_law;
use crate::load::plan::schedule::Arrivals;
use crate::load::plan::{Pace, Plan};
use crate::load::report::cost::ServerCost;
use crate::load::report::figures::Figures;
use crate::load::report::units;
use crate::load::run::observe::TICK_NS;

/// A generator's thread that is busier than this could not have done more.
const CLIENT_SHARE_MAX: f64 = 0.95;
/// One that is ready and is not let run for more than this part of the time is late with all it
/// does.
const CLIENT_WAIT_MAX: f64 = 0.1;
/// Fewer ticks of the server's clock than this tell user from system to no better than a tenth,
/// and come from a window in which little else than chance was counted.
const TICKS_MIN: u64 = 10;
/// On a shared processor, server and generator must have had at least this part of it.
const SHARED_MIN: f64 = 0.9;
const STEAL_MAX: f64 = 0.01;
/// In an open loop, at least this part of the rate that was asked for must have been reached.
const RATE_MIN: f64 = 0.99;
/// Random arrivals fall short by chance, hardly ever by more than so many standard deviations.
const RATE_DEVIATIONS_MAX: f64 = 3.0;
/// Sending later than this part of the latency that is told makes it the generator's latency.
const LATENESS_PART_MAX: f64 = 0.1;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether it speaks against the figures.
    pub doubtful: bool,
    /// What was found.
    pub text: String,
}

impl Check {
    fn doubt(text: impl Into<String>) -> Check {
        Check {
            doubtful: true,
            text: text.into(),
        }
    }
}

/// All checks of a run by `plan`. With `shared_core`, or when it spins, a generator that is always
/// busy is as it should be.
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
    list.extend((figures.unsent > 0).then(|| unsent(figures)));
    list.extend((figures.unfinished > 0).then(|| unfinished(figures)));
    // Of datagrams, which have no connections, some are lost without a reason for doubt.
    let is_stuck = figures.lost_in_warmup > 0 && figures.connections > 0;
    list.extend(is_stuck.then(|| stuck(figures)));
    list
}

/// Without a request of the window there is no latency, but there may be a rate.
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
    Check {
        doubtful: share > STEAL_MAX,
        text: format!("the hypervisor took {percent:.1} % of the machine's time"),
    }
}

/// The slowest requests are in no percentile.
fn unfinished(figures: &Figures) -> Check {
    let requests = plural(figures.unfinished, "request was", "requests were");
    let verdict = match figures.requests {
        0 => "",
        _ => ": times are worse than told",
    };
    Check::doubt(format!("{requests} in flight when the run ended{verdict}"))
}

/// A connection that waits for a reply of the warm-up carries no load.
fn stuck(figures: &Figures) -> Check {
    let requests = plural(figures.lost_in_warmup, "request", "requests");
    Check::doubt(format!(
        "{requests} of the warm-up never answered: fewer connections than asked for had the load"
    ))
}

fn unsent(figures: &Figures) -> Check {
    let how = match figures.interrupted {
        true => "not sent when the run was interrupted",
        false => "never sent",
    };
    let verdict = match figures.requests {
        0 => "",
        _ => ": response times are worse than told",
    };
    let requests = plural(figures.unsent, "request was", "requests were");
    Check::doubt(format!("{requests} due and {how}{verdict}"))
}

fn client_share(figures: &Figures, always_busy: bool) -> Check {
    let Some(share) = figures.client_cpu_share else {
        return Check::doubt(
            "how long the generator's threads ran is not known: one may be the bottleneck",
        );
    };
    let percent = share * 100.0;
    let doubtful = share > CLIENT_SHARE_MAX && !always_busy;
    let verdict = if doubtful {
        ": it is the bottleneck, give it --threads"
    } else {
        ""
    };
    Check {
        doubtful,
        text: format!("the generator's busiest thread ran {percent:.0} % of the time{verdict}"),
    }
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
    Check { doubtful, text }
}

/// A closed connection keeps its port for a minute (tcp(7), TIME-WAIT). As they run out, connect(2)
/// searches longer and longer, and the generator's own cost is no longer even.
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
    Check {
        doubtful,
        text: format!("{connections} had {ports} local ports{verdict}"),
    }
}

/// A server that ended during the run, or that `/proc` does not show.
fn cost_unknown(why: &str) -> Check {
    Check::doubt(format!("what the server cost is not known: {why}"))
}

/// Without a list of a process's children, what they cost is missing.
pub fn children_unknown() -> Check {
    Check::doubt("the kernel does not list the server's children: their cost is not included")
}

/// The kernel counts a process's time in ticks, of which there must be some.
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
    Check {
        doubtful,
        text: format!(
            "the server's CPU time is {} of {} ms{verdict}",
            plural(ticks, "tick", "ticks"),
            TICK_NS / 1_000_000
        ),
    }
}

/// Two that are never both idle fill their processor, unless others run there.
fn undisturbed(figures: &Figures, server: ServerCost) -> Check {
    let Some((server, client)) = server.cpus.zip(figures.client_cpu_share) else {
        return Check::doubt("how much server and generator had of their processor is not known");
    };
    let share = server + client;
    let doubtful = share < SHARED_MIN;
    let verdict = if doubtful {
        ": others ran there, or both were idle"
    } else {
        ""
    };
    let percent = share * 100.0;
    Check {
        doubtful,
        text: format!("server and generator had {percent:.0} % of their processor{verdict}"),
    }
}

/// Of independent arrivals, as many as the root of their mean are one standard deviation.
fn rate_reached(asked: f64, arrivals: Arrivals, figures: &Figures) -> Check {
    let chance = match arrivals {
        Arrivals::Fixed => 0.0,
        Arrivals::Poisson => RATE_DEVIATIONS_MAX * (asked / figures.elapsed_s).sqrt(),
    };
    let doubtful = figures.rate < asked * RATE_MIN - chance;
    let verdict = if doubtful { ": not reached" } else { "" };
    let (reached, asked) = (units::count(figures.rate), units::count(asked));
    Check {
        doubtful,
        text: format!("{reached}/s of {asked}/s asked for{verdict}"),
    }
}

fn lateness(figures: &Figures) -> Option<Check> {
    let (late, told) = (
        figures.lateness?.percentiles[2] as f64,
        figures.response?.percentiles[2] as f64,
    );
    let doubtful = late > told * LATENESS_PART_MAX;
    let verdict = if doubtful {
        ", a part of the response time that is its own"
    } else {
        ""
    };
    Some(Check {
        doubtful,
        text: format!(
            "the generator sent at most {} late (p99){verdict}",
            units::span(late)
        ),
    })
}

#[cfg(test)]
mod tests;
