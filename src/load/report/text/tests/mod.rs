//! The report of costs that are unknown, or only partly known.

mod widest;

use super::*;

#[test]
fn a_part_without_a_tick_is_less_than_one_and_not_0() {
    for (ticks, share, told) in [
        (Some(10), 0.0, "under 1.00 us"),
        (Some(10), 0.1, "1.00 us"),
        (Some(10), 1.0, "10.0 us"),
    ] {
        let cost = ServerCost {
            cpu_ns_per_request: Some(10_000.0),
            ticks,
            ..ServerCost::default()
        };
        assert_eq!(part(&cost, share), told);
    }
}

#[test]
fn a_cost_of_which_nothing_is_known_says_so_in_words() {
    let mut page = Page {
        out: String::new(),
        paint: Paint::Plain,
    };
    page.cost(&ServerCost::default());
    assert_eq!(
        page.out,
        "  server        CPU a request not known, processors not known, ratio to the\n\
         \u{20}               generator not known\n\
         \u{20}               resident memory not known, memory a connection not known,\n\
         \u{20}               threads not known, context switches not known\n"
    );
}
