//! The figures of one run, as a document and as the tables that the manual prints.
//!
//! `results.json` beside this file is the run from which the tables of the manual are made, and a
//! test compares them. The document has each round of each server, so every table can be worked out
//! again. Shared by the benchmark and that test; it measures nothing. Invariant: the first server
//! of a workload is its bare loop, and the rounds of all servers of a workload belong together.

use std::fmt::Write;

use mynah::base::text::json::{Json, Value, read};

const SCHEMA: &str = "mynah-peers-1";

/// One run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Results {
    /// What the run was: the machine, the build, the load, in the order of the table.
    pub(crate) about: Vec<(String, String)>,
    /// The servers, and how each was built.
    pub(crate) servers: Vec<(String, String)>,
    pub(crate) workloads: Vec<Measured>,
}

/// What was measured of one workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// The arguments of `mynah bench`.
    pub(crate) words: String,
    /// When it ended, in UTC.
    pub(crate) ended: String,
    pub(crate) rows: Vec<Row>,
}

/// What was measured of one server under one workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) server: String,
    /// Connections that broke.
    pub(crate) errors: u64,
    /// CPU time of a request in nanoseconds, a value for each round.
    pub(crate) server_ns: Vec<f64>,
    pub(crate) generator_ns: Vec<f64>,
}

/// The columns and rows of the short table.
const SHORT_COLUMNS: [&str; 4] = [
    "ping-pong 100",
    "ping-pong 1,000",
    "16 deep x 100",
    "churn, 16 at once",
];
const SHORT_SERVERS: [&str; 11] = [
    "the same again",
    "mynah",
    "mynah, ring",
    "io_uring",
    "io_uring, files",
    "mio, short reads",
    "tokio, one thread",
    "Go, net",
    "Netty, epoll",
    "a thread each",
    "nginx to bare loop",
];

/// A figure that is compared with that of the bare loop in the same round.
#[derive(Clone, Copy)]
enum Figure {
    Server,
    Generator,
    Sum,
    Quotient,
}

const FIGURES: [(Figure, &str); 4] = [
    (Figure::Server, "the server's CPU"),
    (Figure::Sum, "the sum of both"),
    (Figure::Generator, "the generator's CPU"),
    (Figure::Quotient, "server by generator"),
];

impl Row {
    fn values(&self, figure: Figure) -> Vec<f64> {
        let both = self.server_ns.iter().zip(&self.generator_ns);
        let value = |(server, generator): (&f64, &f64)| match figure {
            Figure::Server => *server,
            Figure::Generator => *generator,
            Figure::Sum => server + generator,
            Figure::Quotient => server / generator,
        };
        both.map(value).collect()
    }

    /// The ratios to the bare loop, a value for each round.
    fn ratios(&self, base: &Row, figure: Figure) -> Vec<f64> {
        let both = self.values(figure).into_iter().zip(base.values(figure));
        let ratios = both.map(|(value, base)| value / base);
        ratios.filter(|it| it.is_finite() && *it > 0.0).collect()
    }

    /// How far the middle half of the rounds reaches, as a part of their median.
    fn spread(&self, base: &Row, figure: Figure) -> f64 {
        let mut ratios = self.ratios(base, figure);
        let [low, middle, high] = [0.25, 0.5, 0.75].map(|part| quantile(&mut ratios, part));
        (high - low) / middle
    }

    fn cell(&self, base: &Row, figure: Figure) -> String {
        let mut ratios = self.ratios(base, figure);
        match (self.errors, ratios.is_empty()) {
            (0, false) => format!("{:.3}", quantile(&mut ratios, 0.5)),
            (0, true) => "-".to_owned(),
            (_, _) => "broke".to_owned(),
        }
    }
}

impl Results {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// What is missing in it.
    pub(crate) fn read(text: &str) -> Result<Results, String> {
        let document = read(text)?;
        if member(&document, "schema")?.as_text() != Some(SCHEMA) {
            return Err(format!("the schema is not {SCHEMA}"));
        }
        let pairs = |name: &str| -> Result<Vec<(String, String)>, String> {
            let members = member(&document, name)?.members().ok_or("no object")?;
            let pair = |(name, value): &(String, Value)| {
                let value = value.as_text().ok_or_else(|| format!("{name} is no text"));
                Ok((name.clone(), value?.to_owned()))
            };
            members.iter().map(pair).collect()
        };
        let workloads = list(&document, "workloads")?.iter().map(Measured::read);
        Ok(Results {
            about: pairs("about")?,
            servers: pairs("servers")?,
            workloads: workloads.collect::<Result<_, String>>()?,
        })
    }

    /// The document.
    pub(crate) fn write(&self) -> String {
        let mut json = Json::new();
        json.text("schema", SCHEMA);
        for (name, pairs) in [("about", &self.about), ("servers", &self.servers)] {
            json.object(name, |json| {
                for (name, value) in pairs {
                    json.text(name, value);
                }
            });
        }
        json.objects("workloads", &self.workloads, |json, measured| {
            json.text("name", &measured.name);
            json.text("words", &measured.words);
            json.text("ended", &measured.ended);
            json.objects("rows", &measured.rows, |json, row| {
                json.text("server", &row.server);
                json.value("errors", row.errors);
                let rounded = |values: &[f64]| -> Vec<f64> {
                    values.iter().map(|it| (it * 10.0).round() / 10.0).collect()
                };
                json.floats("server_ns", rounded(&row.server_ns));
                json.floats("generator_ns", rounded(&row.generator_ns));
            });
        });
        json.finish()
    }

    /// Adds a further piece of the same run: its workloads replace those of the same name.
    ///
    /// # Errors
    ///
    /// What differs, if it is another run.
    pub(crate) fn add(&mut self, piece: Results) -> Result<(), String> {
        if self.workloads.is_empty() {
            *self = piece;
            return Ok(());
        }
        if let Some(place) = (0..self.about.len().max(piece.about.len()))
            .find(|&place| self.about.get(place) != piece.about.get(place))
        {
            let differs = (self.about.get(place), piece.about.get(place));
            return Err(format!("is of another run: {differs:?}"));
        }
        for server in piece.servers {
            if !self.servers.contains(&server) {
                self.servers.push(server);
            }
        }
        for measured in piece.workloads {
            self.workloads.retain(|other| other.name != measured.name);
            self.workloads.push(measured);
        }
        Ok(())
    }

    /// What the run was, and how each server was built.
    pub(crate) fn about(&self) -> String {
        let width = |pairs: &[(String, String)]| pairs.iter().map(|it| it.0.len()).max();
        let mut text = String::new();
        for pairs in [&self.about, &self.servers] {
            let width = width(pairs).unwrap_or(0);
            for (name, value) in pairs {
                let _ = writeln!(text, "{name:<width$}  {value}");
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len() + 1);
        text
    }

    /// All tables, in the order of the manual.
    pub(crate) fn tables(&self) -> String {
        let kinds = [
            ("raw bytes", ""),
            ("frames, u32be", "--frame"),
            ("http", "--protocol"),
        ];
        let mut text = String::new();
        for (kind, word) in kinds {
            let is_of = |measured: &&Measured| match word {
                "" => !measured.words.contains("--frame") && !measured.words.contains("--protocol"),
                word => measured.words.contains(word),
            };
            let columns: Vec<&Measured> = self.workloads.iter().filter(is_of).collect();
            if columns.is_empty() {
                continue;
            }
            for (figure, title) in FIGURES {
                let _ = writeln!(text, "{kind}: {title}");
                self.table(&columns, figure, &mut text);
                text.push('\n');
            }
        }
        text.truncate(text.trim_end().len() + 1);
        text
    }

    fn table(&self, columns: &[&Measured], figure: Figure, text: &mut String) {
        let mut lines = vec![vec![String::new()]];
        lines[0].extend(columns.iter().map(|it| it.name.clone()));
        let mut base = vec!["bare loop, us".to_owned()];
        base.extend(columns.iter().map(|it| {
            let mut values = it.rows[0].values(figure);
            match figure {
                Figure::Quotient => format!("({:.3})", quantile(&mut values, 0.5)),
                _ => significant(quantile(&mut values, 0.5) / 1e3),
            }
        }));
        if matches!(figure, Figure::Quotient) {
            base[0] = "bare loop".to_owned();
        }
        lines.push(base);
        for (name, _) in self.servers.iter() {
            let cells: Vec<Option<String>> = (columns.iter())
                .map(|measured| {
                    let row = measured.rows.iter().skip(1).find(|row| row.server == *name);
                    row.map(|row| row.cell(&measured.rows[0], figure))
                })
                .collect();
            if cells.iter().any(Option::is_some) {
                let mut line = vec![name.clone()];
                line.extend(cells.into_iter().map(Option::unwrap_or_default));
                lines.push(line);
            }
        }
        for (name, is_asked) in [
            (
                "middle half: the same",
                (|row| row.server.ends_with("again")) as fn(&Row) -> bool,
            ),
            ("middle half: mynah", |row| row.server.starts_with("mynah")),
            ("middle half: widest", |_| true),
        ] {
            let mut line = vec![name.to_owned()];
            line.extend(columns.iter().map(|measured| {
                let asked = measured.rows.iter().skip(1).filter(|row| is_asked(row));
                let spreads = asked.map(|row| row.spread(&measured.rows[0], figure));
                let widest = spreads.filter(|it| it.is_finite()).fold(0.0, f64::max);
                format!("{:.1} %", 100.0 * widest)
            }));
            lines.push(line);
        }
        let width = |column: usize| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
        for line in &lines {
            let mut words = format!("{:<1$}", line[0], widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                let _ = write!(words, "  {cell:>width$}");
            }
            let _ = writeln!(text, "{}", words.trim_end());
        }
    }

    /// The short table of the README: the server's CPU, and the sum of both.
    pub(crate) fn summary(&self) -> String {
        let columns: Vec<&Measured> = (SHORT_COLUMNS.iter())
            .filter_map(|name| self.workloads.iter().find(|it| it.name == *name))
            .collect();
        let names: Vec<&str> = columns.iter().map(|it| it.name.as_str()).collect();
        let mut text = format!("| server / sum | {} |\n", names.join(" | "));
        let _ = writeln!(text, "|---|{}", "--:|".repeat(columns.len()));
        for name in SHORT_SERVERS {
            let cells = columns.iter().map(|measured| {
                let row = measured.rows.iter().skip(1).find(|row| row.server == name);
                row.map_or_else(String::new, |row| {
                    let base = &measured.rows[0];
                    let both = [Figure::Server, Figure::Sum].map(|it| row.cell(base, it));
                    both.join(" / ")
                })
            });
            let cells: Vec<String> = cells.collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
            }
        }
        text
    }
}

impl Measured {
    fn read(value: &Value) -> Result<Measured, String> {
        let rows = list(value, "rows")?.iter().map(Row::read);
        let measured = Measured {
            name: word(value, "name")?,
            words: word(value, "words")?,
            ended: word(value, "ended")?,
            rows: rows.collect::<Result<_, String>>()?,
        };
        match measured.rows.is_empty() {
            true => Err(format!("{} has no rows", measured.name)),
            false => Ok(measured),
        }
    }
}

impl Row {
    fn read(value: &Value) -> Result<Row, String> {
        let floats = |name: &str| -> Result<Vec<f64>, String> {
            let values = list(value, name)?.iter();
            Ok(values.map(|it| it.as_float().unwrap_or(f64::NAN)).collect())
        };
        let errors = member(value, "errors")?.as_count();
        Ok(Row {
            server: word(value, "server")?,
            errors: errors.ok_or("errors is no count")?,
            server_ns: floats("server_ns")?,
            generator_ns: floats("generator_ns")?,
        })
    }
}

fn member<'a>(value: &'a Value, name: &str) -> Result<&'a Value, String> {
    value.get(name).ok_or_else(|| format!("there is no {name}"))
}

fn word(value: &Value, name: &str) -> Result<String, String> {
    let text = member(value, name)?.as_text();
    Ok(text.ok_or_else(|| format!("{name} is no text"))?.to_owned())
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], String> {
    let items = member(value, name)?.as_list();
    items.ok_or_else(|| format!("{name} is no list"))
}

/// Formats a value with three significant digits.
fn significant(value: f64) -> String {
    let whole = value.abs().max(1e-9).log10().floor() as i32;
    let decimals = usize::try_from(2 - whole).unwrap_or(0);
    format!("{value:.decimals$}")
}

/// The quantile `part` of the values, with linear interpolation.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = part * (values.len().max(1) - 1) as f64;
    let at = |place: f64| values.get(place as usize).copied().unwrap_or(f64::NAN);
    at(place.floor()) + (at(place.ceil()) - at(place.floor())) * place.fract()
}
