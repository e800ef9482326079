//! Axes: where a value lies, and which values get a label.
//!
//! Labels stand at 1, 2 and 5 times a power of ten, because these can be read between. An axis ends
//! at labels. With many decades only each power of ten, or each second or third one, has a label.

/// Labels of an axis at most.
const TICKS_MAX: usize = 9;
/// Steps of a linear axis at most.
const STEPS_MAX: f64 = 6.0;

/// An axis from the value `low` at the position `from` to the value `high` at `to`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    is_log: bool,
    /// The values with labels, rising.
    pub ticks: Vec<f64>,
}

impl Scale {
    /// A linear axis that includes `low` and `high`.
    #[inline(never)]
    pub fn linear((low, high): (f64, f64), from: f64, to: f64) -> Scale {
        let (low, high) = ordered(low, high);
        let high = if high > low { high } else { low + 1.0 };
        let least = (high - low) / STEPS_MAX;
        let step = up(least);
        let first = (low / step + 1e-9).floor();
        let last = (high / step - 1e-9).ceil();
        let ticks = (0..=(last - first) as usize).map(|index| (first + index as f64) * step);
        Scale {
            low: first * step,
            high: last * step,
            from,
            to,
            is_log: false,
            ticks: ticks.collect(),
        }
    }

    /// A logarithmic axis that includes `low` and `high`. Values below 1e-9 count as 1e-9.
    #[inline(never)]
    pub fn log((low, high): (f64, f64), from: f64, to: f64) -> Scale {
        let (low, high) = ordered(low.max(1e-9), high.max(1e-9));
        let (low, mut high) = (down(low), up(high));
        if high <= low {
            high = up(low * 1.5);
        }
        let mut ticks = vec![low];
        while let Some(&last) = ticks.last().filter(|last| **last < high * 0.999) {
            ticks.push(up(last * 1.5));
        }
        let decade = |tick: f64| (tick.log10() + 1e-9).floor() as i64;
        let is_power = |tick: f64| tick.log10() - decade(tick) as f64 <= 1e-6;
        let all = ticks.clone();
        for every in 1.. {
            if ticks.len() <= TICKS_MAX {
                break;
            }
            let keeps = |tick: &f64| is_power(*tick) && decade(*tick).rem_euclid(every) == 0;
            ticks = all.iter().copied().filter(keeps).collect();
        }
        Scale {
            low,
            high,
            from,
            to,
            is_log: true,
            ticks,
        }
    }

    /// The position of `value`. Values beyond the ends are at the ends.
    #[inline(never)]
    pub fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let part = match self.is_log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        self.from + part * (self.to - self.from)
    }
}

fn ordered(low: f64, high: f64) -> (f64, f64) {
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    let (low, high) = (finite(low), finite(high));
    (low.min(high), low.max(high))
}

/// The least 1, 2 or 5 times a power of ten that is not below `value`, which is above 0.
fn up(value: f64) -> f64 {
    let power = 10_f64.powf((value.log10() + 1e-9).floor());
    let digits = [1.0, 2.0, 5.0].into_iter();
    let fits = |digit: &f64| digit * power >= value * (1.0 - 1e-9);
    digits.clone().find(fits).unwrap_or(10.0) * power
}

/// The largest 1, 2 or 5 times a power of ten that is not above `value`, which is above 0.
fn down(value: f64) -> f64 {
    let power = 10_f64.powf((value.log10() + 1e-9).floor());
    let digits = [5.0, 2.0].into_iter();
    let fits = |digit: &f64| digit * power <= value * (1.0 + 1e-9);
    digits.clone().find(fits).unwrap_or(1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f64], expected: &[f64]) -> bool {
        let is_near =
            |(one, other): (&f64, &f64)| (one - other).abs() <= other.abs() * 1e-9 + 1e-12;
        found.len() == expected.len() && found.iter().zip(expected).all(is_near)
    }

    #[test]
    fn a_log_axis_has_labels_at_1_2_and_5() {
        for (low, high, ticks) in [
            (
                150.0,
                4000.0,
                &[100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0][..],
            ),
            (100.0, 500.0, &[100.0, 200.0, 500.0]),
            (7.0, 7.0, &[5.0, 10.0]),
            (10.0, 10.0, &[10.0, 20.0]),
            (0.0, 0.0, &[1e-9, 2e-9]),
            (1.0, 1e6, &[1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6]),
            (1.0, 1e12, &[1.0, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12]),
        ] {
            let scale = Scale::log((low, high), 0.0, 1.0);
            assert!(near(&scale.ticks, ticks), "{low} {high}: {:?}", scale.ticks);
        }
    }

    #[test]
    fn a_linear_axis_has_steps_of_1_2_or_5() {
        for (low, high, ticks) in [
            (0.0, 123.0, &[0.0, 50.0, 100.0, 150.0][..]),
            (0.0, 60.0, &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]),
            (0.93, 1.08, &[0.9, 0.95, 1.0, 1.05, 1.1]),
            (0.0, 0.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (f64::NAN, f64::INFINITY, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ] {
            let scale = Scale::linear((low, high), 0.0, 1.0);
            assert!(near(&scale.ticks, ticks), "{low} {high}: {:?}", scale.ticks);
        }
    }

    #[test]
    fn every_value_lies_on_the_axis() {
        for scale in [
            Scale::log((10.0, 1000.0), 200.0, 100.0),
            Scale::linear((0.0, 1000.0), 200.0, 100.0),
        ] {
            assert_eq!((scale.at(1000.0), scale.at(5000.0)), (100.0, 100.0));
            assert_eq!(scale.at(-1.0), 200.0);
            assert!((100.0..=200.0).contains(&scale.at(77.0)));
        }
        assert_eq!(Scale::log((10.0, 1000.0), 0.0, 100.0).at(100.0), 50.0);
    }

    #[test]
    fn any_range_has_some_labels_and_not_many() {
        for low in 0..30 {
            for high in low..30 {
                let range = (0.00013 * 3_f64.powi(low), 0.00017 * 3_f64.powi(high));
                for scale in [Scale::log(range, 0.0, 1.0), Scale::linear(range, 0.0, 1.0)] {
                    let count = scale.ticks.len();
                    assert!(
                        (2..=TICKS_MAX).contains(&count),
                        "{range:?}: {:?}",
                        scale.ticks
                    );
                    assert!(scale.low <= range.0 * 1.000001 && scale.high >= range.1 * 0.999999);
                }
            }
        }
    }
}
