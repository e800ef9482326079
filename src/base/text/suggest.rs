//! Suggests the known word for a mistyped one.
//!
//! A mistyped word gets one line with the nearest known word, from any table: commands, flags,
//! services, framings. The meaning of the words is not known here.

/// The part of an error message that says what would be right: the nearest word, or all known
/// words.
pub fn suggest_or_list(word: &str, mut known: impl Iterator<Item = &'static str>) -> String {
    nearest_or_list(word, &mut known)
}

#[inline(never)]
fn nearest_or_list(word: &str, known: &mut dyn Iterator<Item = &'static str>) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(word, &mut known.iter().copied()) {
        Some(near) => format!("unknown, did you mean {near}?"),
        None => format!("unknown, must be {}", known.join(" or ")),
    }
}

/// The known word that `word` probably stands for.
///
/// A known word is near if at most a quarter of it was mistyped, or one letter of a short word, or
/// if it contains what was typed. A larger share of a short word makes another word of it: `--time`
/// is two letters from `--size`, and `help` two from `http`.
pub fn suggest(word: &str, mut known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    nearest(word, &mut known)
}

#[inline(never)]
fn nearest(word: &str, known: &mut dyn Iterator<Item = &'static str>) -> Option<&'static str> {
    // A word this long is no typing error; comparing it only takes time.
    if word.trim_start_matches('-').chars().count() > 40 {
        return None;
    }
    // All known words are in lower case.
    let word = &word.to_lowercase();
    let bare = word.trim_start_matches('-');
    let length = bare.chars().count();
    let near = |(distance, candidate): &(usize, &'static str)| {
        *distance <= ((length + 1) / 4).max(1) || (length >= 3 && candidate.contains(bare))
    };
    let measured = known.map(|candidate| (edit_distance(word, candidate), candidate));
    measured
        .filter(near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, delete, replace or swap with the next one to turn `from` into
/// `to`.
fn edit_distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before_last = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i; to.len() + 1];
        for j in 1..=to.len() {
            let replaced = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_the_nearest_word_and_a_strange_one_none() {
        let known = [
            "--threads",
            "--idle-timeout",
            "--drain-timeout",
            "echo",
            "upper",
        ];
        for (word, near) in [
            ("--thread", Some("--threads")),
            ("--theards", Some("--threads")),
            ("--idle", Some("--idle-timeout")),
            ("ehco", Some("echo")),
            ("uper", Some("upper")),
            ("UPPER", Some("upper")),
            ("--verbose", None),
            ("eco", Some("echo")),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(suggest(word, known.into_iter()), near, "{word}");
        }
        assert_eq!(suggest(&"a".repeat(1 << 20), known.into_iter()), None);
    }

    #[test]
    fn a_short_word_two_letters_away_is_another_word() {
        for (word, known) in [("--time", "--size"), ("help", "http"), ("--path", "--port")] {
            assert_eq!(suggest(word, [known].into_iter()), None, "{word}");
        }
    }

    #[test]
    fn a_letter_more_or_less_or_another_or_two_swapped_count_one_each() {
        for (from, to, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abcd", "abcd", 0),
            ("abcd", "acbd", 1),
            ("ab", "ba", 1),
            ("abcd", "badc", 2),
            ("abcd", "abxd", 1),
            ("abcd", "abd", 1),
            ("kitten", "sitting", 3),
            ("aab", "ab", 1),
            ("aaab", "aaba", 1),
            // Not through "ac": swapped letters are not edited again.
            ("ca", "abc", 3),
        ] {
            assert_eq!(edit_distance(from, to), distance, "{from} {to}");
            assert_eq!(edit_distance(to, from), distance, "{to} {from}");
        }
    }
}
