//! A count with what is counted, as people say it: `1 reply`, `2 replies`.

use std::fmt::Display;

/// `count` and `one`, or `many`, of it.
pub fn plural<N: Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let what = if count == N::from(1) { one } else { many };
    format!("{count} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_all_others_are_many() {
        for (count, text) in [(0, "0 replies"), (1, "1 reply"), (2, "2 replies")] {
            assert_eq!(plural::<u64>(count, "reply", "replies"), text);
        }
    }
}
