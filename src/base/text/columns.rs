//! Text in a fixed number of columns: lines are broken between words, or cut.
//!
//! A column is one character. Text that a person did not write, such as a command or a path, may
//! contain words that are longer than a line; these are broken inside.

/// Breaks `text` into lines of at most `columns` characters. Words are separated by blanks. The
/// result has at least one line.
#[inline(never)]
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    assert!(columns > 0, "a line without columns holds no word");
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length <= columns {
            used += 1 + length;
            if let Some(line) = lines.last_mut() {
                line.push(' ');
                line.push_str(word);
            }
            continue;
        }
        let mut letters = word.chars().peekable();
        while letters.peek().is_some() {
            if used > 0 {
                lines.push(String::new());
            }
            let piece: String = letters.by_ref().take(columns).collect();
            used = piece.chars().count();
            if let Some(line) = lines.last_mut() {
                line.push_str(&piece);
            }
        }
    }
    lines
}

/// `text` in at most `columns` characters; three dots replace the end.
#[inline(never)]
pub fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let front: String = text.chars().take(columns.saturating_sub(3)).collect();
    let dots = &"..."[..columns.min(3)];
    format!("{front}{dots}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_inside_a_word_that_is_longer() {
        for (text, columns, lines) in [
            ("", 5, &[""][..]),
            ("   ", 5, &[""]),
            ("ab cd", 5, &["ab cd"]),
            ("ab cde", 5, &["ab", "cde"]),
            ("abcde f", 5, &["abcde", "f"]),
            ("abcdefg hi", 5, &["abcde", "fg hi"]),
            ("a abcdefghijk b", 5, &["a", "abcde", "fghij", "k b"]),
            ("éé éé", 5, &["éé éé"]),
            ("ab", 1, &["a", "b"]),
        ] {
            assert_eq!(wrap(text, columns), lines, "{text:?}");
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        for (columns, text) in [
            (0, ""),
            (1, "."),
            (3, "..."),
            (4, "a..."),
            (6, "abcdef"),
            (7, "abcdef"),
        ] {
            assert_eq!(cut("abcdef", columns), text);
        }
    }
}
