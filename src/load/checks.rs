//! Whether a run's own figures should be believed.
//!
//! A load generator that is itself the bottleneck measures itself. Each check compares two figures
//! of the same run that must agree if it was not, and says in words what it found; none of them
//! changes a figure.

use crate::base::counted::counted;

use super::figures::{Figures, ServerCost};
use super::little;
use super::observe::TICK_NS;
use super::plan::{Pace, Plan};
use super::schedule::Arrivals;
use super::units;

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

/// All checks of a run by `plan`. With `shared_core`, or when it spins, a generator that is always
/// busy is as it should be.
pub fn checks(plan: &Plan, figures: &Figures, shared_core: bool) -> Vec<Check> {
    let mut list = vec![client_share(figures, shared_core || plan.spin.is_some())];
    list.extend((!shared_core).then(|| client_wait(figures)));
    list.extend((figures.requests == 0).then(|| nothing_measured(figures)));
    list.extend(figures.server.map(enough_ticks));
    list.extend(
        figures
            .server
            .filter(|_| shared_core)
            .map(|server| undisturbed(figures, server)),
    );
    match plan.pace {
        Pace::Closed if !plan.churn => list.extend(little::check(plan, figures, shared_core)),
        Pace::Closed => {}
        Pace::Open { rate, arrivals } => {
            list.push(rate_reached(rate, arrivals, figures));
            list.extend(lateness(figures));
        }
    }
    list.push(Check {
        doubtful: figures.steal_share > STEAL_MAX,
        text: format!(
            "the hypervisor took {:.1} % of the machine's time",
            figures.steal_share * 100.0
        ),
    });
    list.extend((figures.unsent > 0).then(|| unsent(figures)));
    list
}

/// Without a request of the window there is no latency, but there may be a rate.
fn nothing_measured(figures: &Figures) -> Check {
    let text = match figures.replies {
        0 => "no request was answered: nothing was measured".to_owned(),
        replies => format!(
            "no request of the measured time was answered: no latency was measured, and the rate \
             is that of {} to earlier ones",
            counted(replies, "reply", "replies")
        ),
    };
    Check {
        doubtful: true,
        text,
    }
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
    let requests = counted(figures.unsent, "request was", "requests were");
    Check {
        doubtful: true,
        text: format!("{requests} due and {how}{verdict}"),
    }
}

fn client_share(figures: &Figures, always_busy: bool) -> Check {
    let percent = figures.client_cpu_share * 100.0;
    let doubtful = figures.client_cpu_share > CLIENT_SHARE_MAX && !always_busy;
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
    let doubtful = figures.client_wait_share > CLIENT_WAIT_MAX;
    let verdict = match doubtful {
        true => format!(
            ", more than {:.0} %: it shares one, see --pin",
            CLIENT_WAIT_MAX * 100.0
        ),
        false => String::new(),
    };
    let percent = figures.client_wait_share * 100.0;
    let text =
        format!("one of its threads waited for a processor {percent:.0} % of the time{verdict}");
    Check { doubtful, text }
}

/// A closed connection keeps its port for a minute (tcp(7), TIME-WAIT). As they run out, connect(2)
/// searches longer and longer, and the generator's own cost is no longer even.
pub fn ports_left(connects: u64, ports: u64) -> Check {
    let doubtful = connects > ports / 2;
    let verdict = if doubtful {
        ": finding one takes long, give more with --source-ip"
    } else {
        ""
    };
    let connections = counted(connects, "connection", "connections");
    Check {
        doubtful,
        text: format!("{connections} had {ports} local ports{verdict}"),
    }
}

/// What a server cost that ended during the run is not known.
pub fn server_gone() -> Check {
    Check {
        doubtful: true,
        text: "the server's process is gone, and with it what it cost".to_owned(),
    }
}

/// The kernel counts a process's time in ticks, of which there must be some.
fn enough_ticks(server: ServerCost) -> Check {
    let ticks = server.ticks;
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
            counted(ticks, "tick", "ticks"),
            TICK_NS / 1_000_000
        ),
    }
}

/// Two that are never both idle fill their processor, unless others run there.
fn undisturbed(figures: &Figures, server: ServerCost) -> Check {
    let share = server.cpus + figures.client_cpu_share;
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
mod tests {
    use super::super::figures::Spans;
    use super::*;

    fn doubts(plan: &Plan, figures: &Figures) -> Vec<String> {
        let all = checks(plan, figures, false).into_iter();
        all.filter(|check| check.doubtful)
            .map(|check| check.text)
            .collect()
    }

    fn spans(mean_ns: u64) -> Option<Spans> {
        Some(Spans {
            mean: mean_ns as f64,
            percentiles: [mean_ns; 5],
            ..Spans::default()
        })
    }

    #[test]
    fn a_run_that_agrees_with_itself_raises_no_doubt() {
        let figures = Figures {
            elapsed_s: 10.0,
            requests: 500_000,
            rate: 50_000.0,
            service: spans(990_000),
            client_cpu_share: 0.6,
            ..Figures::default()
        };
        assert_eq!(doubts(&Plan::default(), &figures), [""; 0]);
    }

    #[test]
    fn a_busy_generator_and_requests_that_wait_in_it_are_told() {
        let figures = Figures {
            elapsed_s: 10.0,
            requests: 500_000,
            rate: 50_000.0,
            service: spans(300_000),
            client_cpu_share: 0.99,
            client_wait_share: 0.11,
            ..Figures::default()
        };
        let doubts = doubts(&Plan::default(), &figures);
        assert!(
            doubts.len() == 3
                && doubts[0].contains("bottleneck")
                && doubts[1].contains("waited for a processor 11 %")
                && doubts[2].contains("15.0 of 50"),
            "{doubts:?}"
        );
    }

    #[test]
    fn a_run_without_a_reply_is_doubted() {
        let found = doubts(&Plan::default(), &Figures::default());
        assert!(found[0].contains("no request was answered"), "{found:?}");
    }

    #[test]
    fn ports_that_run_out_are_told_before_they_have() {
        assert!(!ports_left(10_000, 28_232).doubtful);
        assert!(ports_left(20_000, 28_232).text.contains("--source-ip"));
    }

    #[test]
    fn a_server_that_ran_for_a_few_ticks_has_no_cost_worth_telling() {
        for (ticks, doubtful) in [(0, true), (9, true), (10, false)] {
            let server = Some(ServerCost {
                ticks,
                ..ServerCost::default()
            });
            let figures = Figures {
                requests: 1,
                server,
                ..Figures::default()
            };
            let found = checks(&Plan::default(), &figures, false);
            let text = format!("the server's CPU time is {ticks} ticks of 10 ms");
            let check = found.iter().find(|check| check.text.starts_with(&text));
            assert_eq!(
                check.map(|check| check.doubtful),
                Some(doubtful),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_shared_processor_must_not_have_been_shared_with_others() {
        let server = Some(ServerCost {
            cpus: 0.3,
            ticks: 30,
            ..ServerCost::default()
        });
        let figures = Figures {
            requests: 1,
            client_cpu_share: 0.31,
            server,
            ..Figures::default()
        };
        let found = checks(&Plan::default(), &figures, true);
        assert!(found[2].doubtful && found[2].text.contains("61 % of their processor"));
    }

    #[test]
    fn what_chance_may_leave_out_of_random_arrivals_is_no_doubt() {
        for (arrivals, rate, doubtful) in [
            (Arrivals::Poisson, 430.0, false),
            (Arrivals::Poisson, 420.0, true),
            (Arrivals::Fixed, 496.0, false),
            (Arrivals::Fixed, 494.0, true),
        ] {
            let figures = Figures {
                elapsed_s: 1.0,
                rate,
                ..Figures::default()
            };
            let told = rate_reached(500.0, arrivals, &figures);
            assert_eq!(told.doubtful, doubtful, "{arrivals:?}: {}", told.text);
        }
    }

    #[test]
    fn an_open_loop_tells_what_it_did_not_reach() {
        let pace = Pace::Open {
            rate: 1000.0,
            arrivals: Arrivals::Fixed,
        };
        let figures = Figures {
            requests: 5000,
            rate: 500.0,
            unsent: 5000,
            lateness: spans(200_000),
            response: spans(1_000_000),
            steal_share: 0.2,
            ..Figures::default()
        };
        assert_eq!(
            doubts(
                &Plan {
                    pace,
                    ..Plan::default()
                },
                &figures
            )
            .len(),
            4
        );
    }
}
