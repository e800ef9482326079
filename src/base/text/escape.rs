//! Escapes text from outside so that a terminal or a log can show it safely.

/// `line` as a single line: characters that do not print, that end the line or that control a
/// terminal are escaped.
pub fn escape(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for letter in line.chars() {
        match letter {
            '\'' | '"' | '\\' => text.push(letter),
            _ => text.extend(letter.escape_debug()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prints_stays_and_what_does_not_is_escaped() {
        assert_eq!(escape("a \u{1b}[1m'é'\n"), "a \\u{1b}[1m'é'\\n");
        assert_eq!(escape("\"梨\\\" \u{7f}\0\r"), "\"梨\\\" \\u{7f}\\0\\r");
        // This character would reverse the direction of the text after it.
        assert_eq!(escape("\u{202e}abc"), "\\u{202e}abc");
    }
}
