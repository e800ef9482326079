//! Checks the shape of JSON, and of the subset of XML that mynah writes. Values are not kept.

/// Whether `text` is one JSON value.
pub(crate) fn is_json(text: &str) -> bool {
    json_value(text.trim_start()).is_some_and(|rest| rest.trim().is_empty())
}

/// Parses a value at the front; returns the rest without leading blanks.
fn json_value(text: &str) -> Option<&str> {
    let rest = match text.chars().next()? {
        '{' => json_items(&text[1..], '}', |item| {
            let rest = json_string(item)?.trim_start();
            json_value(rest.strip_prefix(':')?.trim_start())
        })?,
        '[' => json_items(&text[1..], ']', json_value)?,
        '"' => json_string(text)?,
        _ => {
            let end = text.find([',', '}', ']', '\n']).unwrap_or(text.len());
            let word = text[..end].trim();
            let known = matches!(word, "true" | "false" | "null") || word.parse::<f64>().is_ok();
            known.then_some(&text[end..])?
        }
    };
    Some(rest.trim_start())
}

fn json_items(text: &str, close: char, item: impl Fn(&str) -> Option<&str>) -> Option<&str> {
    let mut rest = text.trim_start();
    if let Some(rest) = rest.strip_prefix(close) {
        return Some(rest);
    }
    loop {
        rest = item(rest)?;
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return rest.strip_prefix(close),
        }
    }
}

fn json_string(text: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, letter) in text.strip_prefix('"')?.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(&text[at + 2..]),
            '\0'..='\x1f' => return None,
            _ => {}
        }
    }
    None
}

/// Whether `text` consists of nested elements with quoted attributes and escaped text.
pub(crate) fn is_xml(text: &str) -> bool {
    let mut open = Vec::new();
    let mut pieces = text.split('<');
    if !pieces.next().is_some_and(|before| before.trim().is_empty()) {
        return false;
    }
    for piece in pieces {
        let Some((tag, content)) = piece.split_once('>') else {
            return false;
        };
        let entity = |part: &str| {
            ["amp;", "lt;", "gt;"]
                .iter()
                .any(|end| part.starts_with(end))
        };
        if content.contains('>') || !content.split('&').skip(1).all(entity) {
            return false;
        }
        let name = |tag: &str| tag.split([' ', '\n']).next().map(str::to_owned);
        if let Some(closed) = tag.strip_prefix('/') {
            if open.pop() != Some(closed.to_owned()) {
                return false;
            }
        } else if tag.matches('"').count() % 2 != 0 {
            return false;
        } else if !tag.ends_with('/') {
            open.extend(name(tag));
        }
        if open.is_empty() && !content.trim().is_empty() {
            return false;
        }
    }
    open.is_empty()
}

#[test]
fn the_shape_of_json_is_known() {
    for text in [
        "{}",
        " {\"a\": [1, -2.5e3, null], \"b\\\"\": {\"c\": true}}\n",
        "[]",
    ] {
        assert!(is_json(text), "{text}");
    }
    for text in [
        "",
        "{",
        "{\"a\"}",
        "[1,]",
        "{\"a\": 1,}",
        "[1 2]",
        "{a: 1}",
        "\"\n\"",
        "[nan]x",
    ] {
        assert!(!is_json(text), "{text}");
    }
}

#[test]
fn the_shape_of_xml_is_known() {
    assert!(is_xml(
        "<svg a=\"1\">\n<g><path d=\"M\"/>a &lt; b</g></svg>\n"
    ));
    for text in [
        "<a>",
        "<a></b>",
        "<a b=\"></a>",
        "<a>&</a>",
        "x<a/>",
        "<a/>x",
    ] {
        assert!(!is_xml(text), "{text}");
    }
}
