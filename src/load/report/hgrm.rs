//! The percentiles of each server in the text format of HdrHistogram, for its plotters.
//!
//! With several servers, each has its own block. Neighbour: `report`, the text report.

use std::fmt::Write;

use crate::base::histogram::Histogram;

use super::{Report, letter};

/// The percentiles in HdrHistogram text. With several servers, each has its own block, under a
/// comment with its name.
pub fn hgrm(report: &Report<'_>) -> String {
    let blocks = report.servers.iter().enumerate().map(|(index, server)| {
        let block = percentiles(&server.latency);
        match report.servers.len() {
            1 => block,
            _ => format!("# {}  {}\n{block}", letter(index), server.target.name),
        }
    });
    blocks.collect::<Vec<_>>().join("\n")
}

/// One block, with values in milliseconds, as the plotters expect.
fn percentiles(latency: &Histogram) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for line in latency.percentiles() {
        let (value, part) = (line.value as f64 / 1e6, line.percent / 100.0);
        let _ = match part {
            part if part < 1.0 => {
                writeln!(
                    out,
                    "{value:12.6} {part:14.12} {:10} {:14.2}",
                    line.seen,
                    1.0 / (1.0 - part)
                )
            }
            _ => writeln!(out, "{value:12.6} {part:14.12} {:10}", line.seen),
        };
    }
    let (mean, deviation) = (latency.mean() / 1e6, latency.deviation() / 1e6);
    let (max, total) = (latency.max() as f64 / 1e6, latency.count());
    let _ = writeln!(
        out,
        "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]"
    );
    let _ = writeln!(out, "#[Max     = {max:12.6}, Total count    = {total:12}]");
    let _ = writeln!(out, "#[Buckets = {:12}, SubBuckets     = {:12}]", 36, 128);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hgrm_has_the_columns_that_plotters_expect() {
        let mut latency = Histogram::new();
        (1..=1000).for_each(|value| latency.record(value * 1000));
        let text = percentiles(&latency);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
        );
        let rows = lines.iter().filter(|line| !line.starts_with('#')).skip(2);
        let columns: Vec<usize> = rows.map(|line| line.split_whitespace().count()).collect();
        assert!(
            columns[..columns.len() - 1].iter().all(|&count| count == 4)
                && columns[columns.len() - 1] == 3
        );
        assert!(text.contains("Total count    =         1000]") && text.contains("0.500000000000"));
    }
}
