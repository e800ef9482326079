//! `--assert 'p99<2ms,errors==0'`: conditions on the figures, set by the user.
//!
//! A comma separates conditions. A condition is the name of a figure, a comparison, and a number in
//! the syntax of option values: a time, a size, or a count. A condition on a figure that was not
//! measured fails: a check without data must not pass.

use std::fmt;

use crate::base::text::quantity::Quantity;

use crate::load::report::figures::{Figures, Needs};
use crate::load::report::units;

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    name: String,
    needs: Needs,
    comparison: Comparison,
    bound: f64,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
}

/// Longer signs precede the signs that they start with.
const SIGNS: [(&str, Comparison); 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

/// Parses the value of `--assert`. The error is the line to print.
pub fn parse(text: &str) -> Result<Vec<Assertion>, String> {
    text.split(',').map(Assertion::parse).collect()
}

impl Assertion {
    fn parse(text: &str) -> Result<Assertion, String> {
        let at = text
            .find(['<', '>', '=', '!'])
            .ok_or_else(|| format!("'{text}' compares nothing; write one like p99<2ms"))?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let sign = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign));
        let (sign, comparison) =
            sign.ok_or_else(|| format!("'{text}' has no < <= > >= == or !="))?;
        let needs = Figures::needs(name).ok_or_else(|| {
            format!(
                "'{name}' is not a figure; try rate, errors, failed, status_5xx, p50, p99, max, \
                 cpu or rss"
            )
        })?;
        let bound = number(name, rest[sign.len()..].trim())?;
        Ok(Assertion {
            name: name.to_owned(),
            needs,
            comparison: *comparison,
            bound,
            text: text.trim().to_owned(),
        })
    }

    /// The condition as the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a run needs to measure the figure.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Checks the condition against `figures`. The error is the line to print.
    pub fn check(&self, figures: &Figures) -> Result<(), String> {
        let Some(value) = figures.named(&self.name) else {
            return Err(format!("{self}: {}", self.why_unknown(figures)));
        };
        let bound = self.bound;
        let holds = match self.comparison {
            Comparison::Less => value < bound,
            Comparison::AtMost => value <= bound,
            Comparison::More => value > bound,
            Comparison::AtLeast => value >= bound,
            Comparison::Equal => value == bound,
            Comparison::Unequal => value != bound,
        };
        let told = if is_time(&self.name) {
            units::span(value)
        } else {
            value.to_string()
        };
        if holds {
            Ok(())
        } else {
            Err(format!("{self}: it is {told}"))
        }
    }

    /// Why `figures` does not contain the figure.
    fn why_unknown(&self, figures: &Figures) -> String {
        let is_of_generator = self.name == "client_cpu";
        match (&figures.server_unknown, self.needs) {
            (Some(why), Needs::Process) => format!("it is not known: {why}"),
            (None, Needs::Process) => "it is not known".to_owned(),
            _ if is_of_generator => "it is not known".to_owned(),
            _ => "it was not measured".to_owned(),
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "assertion '{}' does not hold", self.text)
    }
}

fn is_time(name: &str) -> bool {
    let last = name.rsplit(':').next().unwrap_or(name);
    last.starts_with('p') || matches!(last, "mean" | "min" | "max" | "cpu" | "client_cpu")
}

fn number(name: &str, text: &str) -> Result<f64, String> {
    let kind = match name {
        _ if is_time(name) => Quantity::Time,
        "rss" => Quantity::Size,
        _ => Quantity::Count,
    };
    let read = kind.real(text);
    read.ok_or_else(|| format!("{name} {}", kind.reason(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::cost::ServerCost;
    use crate::load::report::figures::Spans;

    fn figures() -> Figures {
        let service = Some(Spans {
            percentiles: [1, 2, 1_500_000, 4, 5],
            ..Spans::default()
        });
        let server = Some(ServerCost {
            resident_bytes: Some(3 << 20),
            ..ServerCost::default()
        });
        Figures {
            rate: 60_000.0,
            service,
            server,
            ..Figures::default()
        }
    }

    fn holds(text: &str) -> bool {
        parse(text)
            .expect(text)
            .iter()
            .all(|assertion| assertion.check(&figures()).is_ok())
    }

    #[test]
    fn conditions_hold_or_not_in_their_units() {
        for text in [
            "p99<2ms,errors==0",
            "p99 <= 1500us",
            "rate>=60k",
            "rss<4m",
            "errors!=1",
            "rate>59999.5",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "p99<1ms",
            "errors>0",
            "rate<50k",
            "p99<2ms,rate<1",
            "rss<=3000k",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let list = parse("response:p99<1s").expect("it is a figure");
        assert!(
            list[0]
                .check(&figures())
                .is_err_and(|line| line.contains("not measured"))
        );
    }

    #[test]
    fn a_figure_that_is_not_known_does_not_hold_and_says_why() {
        let unknown = Figures {
            server_unknown: Some("/proc/7 is hidden".to_owned()),
            ..Figures::default()
        };
        for (text, why) in [
            ("cpu<1s", "it is not known: /proc/7 is hidden"),
            ("rss>=0", "it is not known: /proc/7 is hidden"),
            ("cpu_ratio<9", "it is not known: /proc/7 is hidden"),
            ("client_cpu<1s", "it is not known"),
        ] {
            let list = parse(text).expect("it is a figure");
            let told = list[0].check(&unknown).expect_err("not known");
            assert!(told.ends_with(why), "{told}");
        }
        let partly = Figures {
            server: Some(ServerCost::default()),
            ..Figures::default()
        };
        let list = parse("rss<1g").expect("it is a figure");
        let told = list[0].check(&partly).expect_err("not known");
        assert!(told.ends_with("does not hold: it is not known"), "{told}");
    }

    #[test]
    fn a_bound_is_spelled_as_the_value_of_an_option_is() {
        for number in [
            "", "+5", "-5", "1e3", "5.", ".5", "1_0", "inf", "nan", "5 ", "0x5",
        ] {
            for text in [
                format!("p99<{number}ms"),
                format!("rss<{number}k"),
                format!("rate>{number}k"),
            ] {
                assert!(parse(&text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        for (text, reason) in [
            ("p99", "compares nothing; write"),
            ("p99<2ms,", "'' compares nothing; write"),
            ("p98<1ms", "not a figure"),
            ("p99<2", "p99 needs a unit, such as 2s or 2ms"),
            ("rate>fast", "rate must be a number, such as"),
            ("rate=5", "has no <"),
            ("", "compares nothing"),
            ("rate>inf", "a number"),
        ] {
            assert!(
                parse(text).is_err_and(|error| error.contains(reason)),
                "{text}"
            );
        }
    }
}
