//! Runs of several servers under the same load in alternating order, and the result of the pairs.
//!
//! The order is A B, B A, A B ... so that a slow drift of the machine affects all servers equally.
//! Each round gives one ratio to the first server. The result is the geometric mean of the ratios
//! and its confidence interval. The last run of a round and the first run of the next round use the
//! same server. The ratio of these two should be 1; its deviation shows the noise between equal
//! runs (the A/A check).

use super::statistics::Estimate;
use crate::load::report::figures::Figures;
use crate::load::report::units;

/// The compared figures: name, whether a larger value is better, and label.
pub const METRICS: [(&str, bool, &str); 5] = [
    ("rate", true, "requests a second"),
    ("cpu", false, "server CPU a request"),
    ("cpu_ratio", false, "server CPU / client CPU"),
    ("p50", false, "p50"),
    ("p99", false, "p99"),
];

/// The order of the targets in round `round`.
pub fn order(round: usize, targets: usize) -> Vec<usize> {
    if round % 2 == 0 {
        (0..targets).collect()
    } else {
        (0..targets).rev().collect()
    }
}

/// The comparison of one figure of one server with the first server.
#[derive(Clone, Debug, PartialEq)]
pub struct Versus {
    /// The figure's name.
    pub metric: &'static str,
    /// The label of the figure.
    pub label: &'static str,
    /// Ratios to the first server, one for each round.
    pub ratios: Vec<f64>,
    /// The mean of the ratios, with its interval.
    pub estimate: Estimate,
    /// Rounds in which this server was better than the first one.
    pub won: usize,
}

impl Versus {
    /// The result in at most 13 columns: the difference, or the least one that these pairs could
    /// have shown.
    pub fn verdict(&self) -> String {
        if self.estimate.shows_difference() {
            return units::change(self.estimate.ratio);
        }
        let least = self.estimate.resolution() * 100.0;
        match least {
            least if least < 99.95 => format!("none > {least:.1} %"),
            least if least < 9999.5 => format!("none > {least:.0} %"),
            _ => "none".to_owned(),
        }
    }
}

/// Compares server `other` with server 0. `rounds` holds the figures of each server for each round.
pub fn versus(rounds: &[Vec<Figures>], other: usize) -> Vec<Versus> {
    let compared = METRICS
        .iter()
        .filter_map(|&(metric, more_is_better, label)| {
            let pairs = rounds
                .iter()
                .map(|round| (round[0].named(metric), round[other].named(metric)));
            let ratios: Vec<f64> = pairs.filter_map(ratio).collect();
            let estimate = Estimate::of(ratios.iter().copied())?;
            let won = ratios.iter().filter(|&&ratio| {
                if more_is_better {
                    ratio > 1.0
                } else {
                    ratio < 1.0
                }
            });
            let won = won.count();
            Some(Versus {
                metric,
                label,
                ratios,
                estimate,
                won,
            })
        });
    compared.collect()
}

/// The A/A check of one figure: consecutive runs of the same server, each divided by the previous
/// one.
pub fn same_against_same(rounds: &[Vec<Figures>], metric: &str) -> Option<Estimate> {
    let neighbours = rounds.windows(2).enumerate().map(|(round, pair)| {
        let last = order(round, pair[0].len()).pop().unwrap_or(0);
        (pair[0][last].named(metric), pair[1][last].named(metric))
    });
    Estimate::of(neighbours.filter_map(ratio))
}

fn ratio((base, other): (Option<f64>, Option<f64>)) -> Option<f64> {
    let ratio = other? / base?;
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rates: &[f64]) -> Vec<Figures> {
        rates
            .iter()
            .map(|&rate| Figures {
                rate,
                ..Figures::default()
            })
            .collect()
    }

    #[test]
    fn every_round_turns_the_order_round() {
        assert_eq!(
            (order(0, 3), order(1, 3), order(2, 2)),
            (vec![0, 1, 2], vec![2, 1, 0], vec![0, 1])
        );
    }

    #[test]
    fn a_steady_difference_shows_through_a_machine_that_drifts() {
        let rounds: Vec<_> = (1..=6)
            .map(|n| round(&[100.0 * n as f64, 110.0 * n as f64]))
            .collect();
        let compared = versus(&rounds, 1);
        assert_eq!(
            (compared.len(), compared[0].metric, compared[0].won),
            (1, "rate", 6)
        );
        assert!((compared[0].estimate.ratio - 1.1).abs() < 1e-9);
        assert_eq!(compared[0].verdict(), "+10.00 %");
    }

    #[test]
    fn noise_shows_no_difference_and_how_small_one_could_have_been() {
        let rounds: Vec<_> = [95.0, 105.0, 97.0, 103.0]
            .iter()
            .map(|&other| round(&[100.0, other]))
            .collect();
        let verdict = versus(&rounds, 1)[0].verdict();
        assert!(verdict.starts_with("none > 7."), "{verdict}");
    }

    #[test]
    fn neighbouring_runs_of_one_server_make_the_self_check() {
        // A B | B A | A B: the consecutive equal runs are B B, then A A.
        let rounds = [
            round(&[100.0, 200.0]),
            round(&[110.0, 210.0]),
            round(&[121.0, 9.0]),
        ];
        let estimate = same_against_same(&rounds, "rate").expect("two pairs");
        assert!((estimate.ratio - (1.05_f64 * 1.1).sqrt()).abs() < 1e-9);
    }
}
