//! A count with its noun in singular or plural: `1 reply`, `2 replies`.

use std::fmt::Display;

/// `count` followed by `one` if it is 1, else by `many`.
pub fn plural<N: Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let what = if count == N::from(1) { one } else { many };
    counted(&count, what)
}

/// The part that does not depend on the type of the count.
#[inline(never)]
fn counted(count: &dyn Display, what: &str) -> String {
    format!("{count} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_1_is_singular_and_every_other_is_plural() {
        for (count, text) in [(0, "0 replies"), (1, "1 reply"), (2, "2 replies")] {
            assert_eq!(plural::<u64>(count, "reply", "replies"), text);
        }
    }
}
