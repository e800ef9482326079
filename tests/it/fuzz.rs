//! The fuzz plays without a fuzzer: every seed, and random inputs derived from the seeds.
//!
//! The plays are in `tests/fuzz/plays`. An input that a fuzzer finds becomes a seed, so the bug
//! stays covered.

#[path = "../fuzz/plays/mod.rs"]
mod plays;

use std::fs;
use std::path::Path;

use crate::sim::Dice;

const INPUTS: u64 = 3_000;

/// Plays all seeds of `target` and [`INPUTS`] mutations of them.
fn play_all(target: &str, play: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let files = fs::read_dir(folder.join(target)).expect("seeds");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = |path| fs::read(path).expect("a seed can be read");
    let seeds: Vec<Vec<u8>> = paths.iter().map(read).collect();
    assert!(seeds.len() > 5, "where are the seeds of {target}?");
    seeds.iter().for_each(|seed| play(seed));
    for number in 0..INPUTS {
        let mut dice = Dice::new(number);
        let mut input = seeds[dice.below(seeds.len())].clone();
        for _ in 0..1 + dice.below(4) {
            change(&mut input, &seeds, &mut dice);
        }
        // The test runner shows this only if the play panics.
        println!("{target} {number}: {input:02x?}");
        play(&input);
    }
}

/// Truncates, repeats, joins, inserts or changes a byte.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    match dice.below(6) {
        0 => input.truncate(at),
        1 => input.extend_from_within(at..),
        2 => input.extend_from_slice(&seeds[dice.below(seeds.len())]),
        3 => input.insert(at, dice.next() as u8),
        _ if at < input.len() => input[at] = [dice.next() as u8, 0, 0xff][dice.below(3)],
        _ => {}
    }
    input.truncate(600);
}

#[test]
fn any_bytes_in_any_framing_are_cut_alike_and_never_read_past() {
    play_all("framings", plays::framings::play);
}

#[test]
fn any_service_in_any_framing_answers_alike_whatever_the_reads_and_writes() {
    play_all("machine", plays::machine::play);
}

#[test]
fn any_bytes_get_the_same_responses_of_http_whatever_the_cuts() {
    play_all("http", plays::http::play);
}

#[test]
fn any_header_of_a_load_balancer_is_taken_or_refused_whatever_the_cuts() {
    play_all("proxy", plays::proxy::play);
}

#[cfg(feature = "auth")]
#[test]
fn any_bytes_of_ftp_are_commands_or_refusals_and_no_path_leads_above_the_home() {
    play_all("ftp", plays::ftp::play);
}

#[test]
fn any_message_of_a_takeover_is_read_or_refused_and_leaves_a_state_that_is_known() {
    play_all("takeover", plays::takeover::play);
}

#[test]
fn any_arguments_are_parsed_or_refused_with_one_line() {
    play_all("options", plays::options::play);
}
