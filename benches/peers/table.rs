//! What is counted, as Markdown.

use super::counts::{Cost, Memory};
use super::servers::Server;

/// Prints the tables of what is counted.
pub(crate) fn print(servers: &[Server], memory: &Memory, costs: &[Cost], missing: &[String]) {
    print_memory(servers, memory);
    print_costs(costs);
    for line in missing {
        println!("Not measured: {line}.");
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
