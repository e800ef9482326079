//! A minimal lexer for Rust: separates code from comments and literals, and finds the paths in the
//! code.
//!
//! It knows only the grammar that the rules need.

/// A word, a number, `::` or a single other character, with its line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The code of `source` without comments, literals and white space.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let (mut found, mut line, mut rest) = (Vec::new(), 1, source);
    while let Some(first) = rest.chars().next() {
        let (is_code, length) = if rest.starts_with("//") {
            (false, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (false, block_comment(rest))
        } else if let Some(length) = literal(rest) {
            (false, length)
        } else if is_word(rest) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            (true, end.unwrap_or(rest.len()))
        } else if rest.starts_with("::") {
            (true, 2)
        } else {
            (!first.is_whitespace(), first.len_utf8())
        };
        let (text, after) = rest.split_at(length);
        if is_code {
            let text = text.to_owned();
            found.push(Token { line, text });
        }
        line += rest[..length].matches('\n').count();
        rest = after;
    }
    found
}

/// Whether `text` starts with a word; a number counts as a word, because no rule looks at numbers.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The length of the block comment at the start of `rest`, nested comments included.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest.as_bytes()[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.as_bytes()[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of the string, character or lifetime at the start of `rest`, if there is one.
fn literal(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix);
        after.is_some_and(|after| {
            let quoted = after.trim_start_matches('#').starts_with('"');
            let raw = prefix.ends_with('r') && quoted;
            raw || after.starts_with('"') || (*prefix != "r" && after.starts_with('\''))
        })
    })?;
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = &after[hashes + 1..];
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    let quote = after.chars().next()?;
    let mut chars = after.char_indices().skip(1);
    if quote == '\'' {
        // 'a' and '\n' are characters; 'a without a closing quote is a lifetime: only its quote is
        // skipped.
        let mut look = after.chars().skip(1);
        let (first, second) = (look.next()?, look.next());
        if first != '\\' && second != Some('\'') {
            return prefix.is_empty().then_some(1);
        }
    }
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            _ if c == quote => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// A path such as `std::net::TcpStream`; a `use` with braces is expanded into its paths.
#[derive(Debug, PartialEq)]
pub(super) struct PathUse {
    pub(super) line: usize,
    pub(super) parts: Vec<String>,
}

/// All paths in the code.
pub(super) fn paths(tokens: &[Token]) -> Vec<PathUse> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if is_word(&tokens[at].text) {
            at = path(tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Parses the path at `at`, prefixed by `before`; returns the position after it.
fn path(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<PathUse>) -> usize {
    let (line, mut parts) = (tokens[at].line, before.to_vec());
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    parts.push(tokens[at].text.clone());
    at += 1;
    while is(at, "::") {
        at += 1;
        if is(at, "{") {
            at += 1;
            while at < tokens.len() && !is(at, "}") {
                let starts = is_word(&tokens[at].text) || is(at, "*");
                at = if starts {
                    path(tokens, at, &parts, found)
                } else {
                    at + 1
                };
            }
            return at + 1;
        }
        match tokens.get(at) {
            Some(token) if is_word(&token.text) || token.text == "*" => {
                parts.push(token.text.clone())
            }
            _ => break,
        }
        at += 1;
    }
    // A single word such as the one in `pub(crate)` is not a path.
    if parts.len() > 1 {
        found.push(PathUse { line, parts });
    }
    at
}
