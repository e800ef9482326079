//! The mean of paired ratios, and its confidence interval.
//!
//! Ratios are averaged as logarithms (the geometric mean), so that "twice" and "half" cancel. The
//! interval is Student's: for independent rounds, it contains the true ratio in 95 of 100
//! comparisons. An interval that contains 1 shows no difference. Its half-width is then the
//! smallest difference that the comparison could detect.

/// The estimate of a ratio from several pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The geometric mean of the ratios.
    pub ratio: f64,
    /// The lower end of the 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The number of pairs.
    pub pairs: usize,
}

impl Estimate {
    /// Estimates from one ratio per pair. `None` with fewer than two usable ratios, which do not
    /// show any variance.
    pub fn of(ratios: impl IntoIterator<Item = f64>) -> Option<Estimate> {
        let usable = ratios
            .into_iter()
            .filter(|ratio| ratio.is_finite() && *ratio > 0.0);
        let logs: Vec<f64> = usable.map(f64::ln).collect();
        let pairs = logs.len();
        if pairs < 2 {
            return None;
        }
        let mean = logs.iter().sum::<f64>() / pairs as f64;
        let squares = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
        let error = (squares / (pairs - 1) as f64 / pairs as f64).sqrt();
        let half = student_t_975(pairs - 1) * error;
        Some(Estimate {
            ratio: mean.exp(),
            low: (mean - half).exp(),
            high: (mean + half).exp(),
            pairs,
        })
    }

    /// Whether the interval excludes 1.
    pub fn shows_difference(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }

    /// The smallest relative difference that these pairs could have shown.
    pub fn resolution(&self) -> f64 {
        (self.high / self.low).sqrt() - 1.0
    }
}

/// The 97.5 % quantile of Student's t distribution.
pub fn student_t_975(degrees: usize) -> f64 {
    const TABLE: [f64; 10] = [
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    ];
    assert!(degrees > 0);
    if let Some(&quantile) = TABLE.get(degrees - 1) {
        return quantile;
    }
    // The Cornish-Fisher expansion around the normal quantile (Abramowitz and Stegun, 26.7.5).
    let (z, n) = (1.959_963_985_f64, degrees as f64);
    let terms = [
        z,
        (z.powi(3) + z) / (4.0 * n),
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n),
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * n.powi(3)),
    ];
    terms.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_printed_table() {
        let table = [
            (1, 12.706),
            (2, 4.303),
            (5, 2.571),
            (10, 2.228),
            (11, 2.201),
            (12, 2.179),
            (15, 2.131),
            (20, 2.086),
            (30, 2.042),
            (40, 2.021),
            (60, 2.000),
            (120, 1.980),
            (100_000, 1.960),
        ];
        for (degrees, expected) in table {
            let got = student_t_975(degrees);
            assert!((got - expected).abs() < 0.0006, "{degrees}: {got}");
        }
    }

    #[test]
    fn twice_and_half_cancel() {
        let estimate = Estimate::of([2.0, 0.5, 2.0, 0.5]).expect("four pairs");
        assert!((estimate.ratio - 1.0).abs() < 1e-12 && !estimate.shows_difference());
        let half = (3.1824_f64 * (2.0_f64.ln().powi(2) * 4.0 / 3.0 / 4.0).sqrt()).exp();
        assert!((estimate.high - half).abs() < 1e-9 && (estimate.low * half - 1.0).abs() < 1e-9);
        assert!((estimate.resolution() - (half - 1.0)).abs() < 1e-9);
    }

    #[test]
    fn a_steady_difference_is_shown() {
        let estimate = Estimate::of([1.10, 1.11, 1.09, 1.10]).expect("four pairs");
        assert!(estimate.shows_difference() && estimate.low > 1.08 && estimate.high < 1.12);
    }

    #[test]
    fn one_pair_or_broken_figures_give_no_interval() {
        assert_eq!(Estimate::of([1.2]), None);
        assert_eq!(Estimate::of([f64::NAN, 0.0, 1.0, f64::INFINITY]), None);
    }
}
