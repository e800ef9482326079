//! The results as Markdown, for the README.

use super::Scope;
use super::counts::{Cost, Memory};
use super::rounds::{Cell, Row};
use super::servers::Server;
use super::workloads::Speech;

/// Prints all tables.
pub(crate) fn print(
    scope: &Scope,
    servers: &[Server],
    rows: &[Row],
    memory: &Memory,
    costs: &[Cost],
    missing: &[String],
) {
    println!(
        "Server CPU / generator CPU on one processor (1 MiB: server CPU alone), over that of the \
         bare loop in the same round; median of {} rounds:\n",
        scope.rounds
    );
    for speech in [Speech::Raw, Speech::Frames, Speech::Http] {
        let rows: Vec<&Row> = (rows.iter())
            .filter(|row| row.workload.speech == speech)
            .collect();
        grid(servers, &rows, |cell| format!("{:.3}", cell.ratio));
    }
    println!("Microseconds of server CPU for a request, medians:\n");
    for speech in [Speech::Raw, Speech::Frames, Speech::Http] {
        let rows: Vec<&Row> = (rows.iter())
            .filter(|row| row.workload.speech == speech)
            .collect();
        grid(servers, &rows, |cell| significant(cell.cpu_ns / 1e3));
    }
    print_memory(servers, memory);
    print_costs(costs);
    for line in missing {
        println!("Not measured: {line}.");
    }
}

/// A table of the servers that took part, one column per workload.
fn grid(servers: &[Server], rows: &[&Row], text: impl Fn(&Cell) -> String) {
    if rows.is_empty() {
        return;
    }
    let names: Vec<&str> = rows.iter().map(|row| row.workload.name).collect();
    println!("| server | {} |", names.join(" | "));
    println!("|---|{}", "--:|".repeat(rows.len()));
    for (index, server) in servers.iter().enumerate() {
        let of = |row: &&Row| row.cells.iter().position(|(other, _)| *other == index);
        if !rows.iter().any(|row| of(row).is_some()) {
            continue;
        }
        let cells = rows.iter().map(|row| match of(row) {
            Some(place) => marked(&row.cells[place].1, &text),
            None => String::new(),
        });
        let cells: Vec<String> = cells.collect();
        println!("| {} | {} |", server.name, cells.join(" | "));
    }
    println!();
}

/// Formats a value with four significant digits.
fn significant(value: f64) -> String {
    let whole = value.abs().max(1e-9).log10().floor() as i32;
    let decimals = usize::try_from(3 - whole).unwrap_or(0);
    format!("{value:.decimals$}")
}

/// The text of a cell. If connections broke, their number replaces the figure.
fn marked(cell: &Cell, text: impl Fn(&Cell) -> String) -> String {
    match cell.errors {
        0 if cell.ratio.is_nan() => "no reply".to_owned(),
        0 => text(cell),
        errors => format!("({errors} broke)"),
    }
}

fn print_memory(servers: &[Server], memory: &Memory) {
    if memory.is_empty() {
        return;
    }
    println!("| server | bytes for an idle connection, at 10,000 |\n|---|--:|");
    for (index, bytes) in memory {
        match bytes {
            Ok(bytes) => println!("| {} | {:.0} |", servers[*index].name, bytes.max(0.0)),
            Err(why) => println!("| {} | {why} |", servers[*index].name),
        }
    }
    println!();
}

fn print_costs(costs: &[Cost]) {
    if costs.is_empty() {
        return;
    }
    println!("| a request | system calls | of these | user instructions |\n|---|--:|---|--:|");
    for cost in costs {
        let (sum, each) = match &cost.calls {
            Ok(calls) => {
                let sum: f64 = calls.iter().map(|(_, count)| count).sum();
                let each = calls
                    .iter()
                    .map(|(name, count)| format!("{name} {count:.3}"));
                (format!("{sum:.3}"), each.collect::<Vec<_>>().join(", "))
            }
            Err(why) => (String::new(), why.clone()),
        };
        let instructions = match &cost.instructions {
            Ok(count) => format!("{count:.0}"),
            Err(why) => why.clone(),
        };
        println!("| {} | {sum} | {each} | {instructions} |", cost.name);
    }
    println!();
}
