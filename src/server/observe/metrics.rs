//! The counters as text of Prometheus, for `/metrics`.
//!
//! Each has a line of help, a line with its type, and a line with its value. A name begins with
//! `mynah_`; what only grows ends in `_total`. The names of the manual are held against this text
//! by a test. The format: "Exposition formats" in the documentation of Prometheus, version 0.0.4.

use std::fmt::Write;

use super::counters::Counters;

/// The text, with `more` counts: a name, what it counts, and the count.
pub fn page(counters: &Counters, more: &[(&str, &str, u64)]) -> String {
    let mut text = String::new();
    counters.explain(&mut |name, help, count| tell(&mut text, name, help, count));
    for (name, help, count) in more {
        tell(&mut text, name, help, *count);
    }
    text
}

/// The name of a metric without its front, and whether it only grows.
fn name_of(name: &str) -> (&str, bool) {
    match name {
        "connections_now" => ("connections", false),
        "connections_total" => ("connections", true),
        "bytes_in" => ("bytes_received", true),
        "bytes_out" => ("bytes_sent", true),
        "commands_now" => ("commands_running", false),
        "pool_queue" | "processes_alive" => (name, false),
        _ => (name, true),
    }
}

#[inline(never)]
fn tell(text: &mut String, name: &str, help: &str, count: u64) {
    let (name, grows) = name_of(name);
    let (end, kind) = match grows {
        true => ("_total", "counter"),
        false => ("", "gauge"),
    };
    // Writing to memory does not fail.
    let _ = write!(
        text,
        "# HELP mynah_{name}{end} {help}\n# TYPE mynah_{name}{end} {kind}\n\
         mynah_{name}{end} {count}\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::METRICS_PAGE_MAX;
    use crate::protocol::connection::CloseReason;

    #[test]
    fn every_counter_has_help_a_type_and_a_value() {
        let mut counters = Counters {
            connections_now: 3,
            bytes_in: 14,
            ..Counters::default()
        };
        counters.closed[CloseReason::Proxy as usize] = 7;
        let text = page(&counters, &[("log_lines_dropped", "Log lines.", 2)]);
        for part in [
            "# HELP mynah_connections Connections open now.\n# TYPE mynah_connections gauge\n\
             mynah_connections 3\n",
            "# TYPE mynah_bytes_received_total counter\nmynah_bytes_received_total 14\n",
            "# TYPE mynah_connections_total counter\nmynah_connections_total 0\n",
            "mynah_closed_proxy_total 7\n",
            "mynah_log_lines_dropped_total 2\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let mut numbers = 0;
        counters.numbers(&mut |_| numbers += 1);
        assert_eq!(text.lines().count(), 3 * (numbers + 1));
        let helps = text.lines().filter(|line| line.starts_with("# HELP "));
        for help in helps {
            let words = help.splitn(4, ' ').nth(3).unwrap_or_default();
            assert!(words.ends_with('.') && !words.contains('`'), "{help}");
        }
    }

    #[test]
    fn counts_beyond_32_and_63_bits_are_written_whole() {
        for count in [
            u64::from(u32::MAX),
            1 << 32,
            (1 << 63) - 1,
            1 << 63,
            (1 << 63) + 1,
        ] {
            let counters = Counters::from_numbers(std::iter::repeat(count));
            let text = page(&counters, &[("log_lines_dropped", "Log lines.", count)]);
            let values = text.lines().filter(|line| !line.starts_with('#'));
            for line in values {
                assert!(line.ends_with(&format!(" {count}")), "{line}");
            }
        }
    }

    #[test]
    fn the_longest_text_fits_the_page() {
        let mut counters = Counters::default();
        let most = Counters::from_numbers(std::iter::repeat(u64::MAX));
        counters.add(&most);
        assert!(page(&counters, &[]).len() < METRICS_PAGE_MAX / 2);
    }
}
