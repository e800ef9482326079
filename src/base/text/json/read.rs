//! A strict reader for JSON: one document of text becomes one [`Value`].
//!
//! The input is not trusted. Nesting is bounded, a name that occurs twice in an object is refused,
//! and so is anything that RFC 8259 does not allow. Numbers are kept as their text, because a count
//! of 64 bits loses digits as a float. An error tells the line and what was expected there.
//! Neighbour: the writer in the folder above. Source: RFC 8259; RFC 7493 for names and surrogates.

use std::collections::HashSet;

use crate::limits::JSON_DEPTH_MAX;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object, in the order of the text.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The member `name` of an object.
    #[inline(never)]
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => {
                let found = members.iter().find(|(key, _)| key == name);
                found.map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// A whole number of at most 64 bits without a sign.
    #[inline(never)]
    pub fn as_count(&self) -> Option<u64> {
        self.number()?.parse().ok()
    }

    /// A whole number of at most 128 bits without a sign.
    pub fn as_sum(&self) -> Option<u128> {
        self.number()?.parse().ok()
    }

    /// A number that is finite as a float.
    #[inline(never)]
    pub fn as_float(&self) -> Option<f64> {
        let number: f64 = self.number()?.parse().ok()?;
        number.is_finite().then_some(number)
    }

    fn number(&self) -> Option<&str> {
        match self {
            Value::Number(digits) => Some(digits),
            _ => None,
        }
    }

    /// The content of a string.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(is) => Some(*is),
            _ => None,
        }
    }

    /// The items of an array.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The members of an object.
    pub fn members(&self) -> Option<&[(String, Value)]> {
        match self {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// Reads the only value of `text`.
///
/// # Errors
///
/// The line, and what is wrong there.
pub fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_blanks();
    let value = reader.value(0).and_then(|value| {
        reader.skip_blanks();
        match reader.peek() {
            None => Ok(value),
            Some(_) => Err("the document has ended, and more follows"),
        }
    });
    value.map_err(|why| {
        let line = text[..reader.at].matches('\n').count() + 1;
        format!("line {line}: {why}")
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Consumes `byte`, if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, &'static str> {
        match self.text[self.at..].starts_with(word) {
            true => {
                self.at += word.len();
                Ok(value)
            }
            false => Err("expected a value"),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, &'static str> {
        match self.peek() {
            Some(b'{' | b'[') if depth == JSON_DEPTH_MAX => Err("nested too deeply"),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err("expected a value"),
            None => Err("the text ends before the document does"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, &'static str> {
        let (mut members, mut names) = (Vec::new(), HashSet::new());
        self.items(b'}', |reader| {
            let name = match reader.peek() {
                Some(b'"') => reader.string()?,
                _ => return Err("expected a name in quotes"),
            };
            if !names.insert(name.clone()) {
                return Err("a name occurs twice in one object");
            }
            reader.skip_blanks();
            if !reader.take(b':') {
                return Err("expected a colon");
            }
            reader.skip_blanks();
            members.push((name, reader.value(depth + 1)?));
            Ok(())
        })?;
        Ok(Value::Object(members))
    }

    fn list(&mut self, depth: usize) -> Result<Value, &'static str> {
        let mut items = Vec::new();
        self.items(b']', |reader| {
            items.push(reader.value(depth + 1)?);
            Ok(())
        })?;
        Ok(Value::List(items))
    }

    /// Reads items with commas between them, from the opening bracket to `close`.
    fn items(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        self.at += 1;
        self.skip_blanks();
        if self.take(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            self.skip_blanks();
            if self.take(close) {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(match self.peek() {
                    None => "the text ends before the document does",
                    Some(_) => "expected a comma or the end of the brackets",
                });
            }
            self.skip_blanks();
        }
    }

    fn number(&mut self) -> Result<Value, &'static str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Value::Number(self.text[start..self.at].to_owned()))
    }

    fn digits(&mut self) -> Result<(), &'static str> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err("expected a digit"),
        }
    }

    fn string(&mut self) -> Result<String, &'static str> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(letter) = rest.chars().next() else {
                return Err("the text ends inside a string");
            };
            match letter {
                '\0'..='\x1f' => return Err("a control character stands in a string"),
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => {
                    self.at += 1;
                    out.push(self.escaped()?);
                }
                letter => {
                    self.at += letter.len_utf8();
                    out.push(letter);
                }
            }
        }
    }

    /// The character after a backslash.
    fn escaped(&mut self) -> Result<char, &'static str> {
        let letter = self.peek().ok_or("the text ends inside a string")?;
        let plain = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unit_or_pair();
            }
            _ => return Err("unknown escape in a string"),
        };
        self.at += 1;
        Ok(plain)
    }

    /// The character of one escape, or of two for a surrogate pair.
    fn unit_or_pair(&mut self) -> Result<char, &'static str> {
        const HALF: &str = "half of a surrogate pair";
        let first = self.unit()?;
        let second = match first {
            0xd800..=0xdbff if self.text[self.at..].starts_with("\\u") => {
                self.at += 2;
                Some(self.unit()?)
            }
            _ => None,
        };
        let units = [Some(first), second].into_iter().flatten();
        char::decode_utf16(units)
            .next()
            .and_then(Result::ok)
            .ok_or(HALF)
    }

    fn unit(&mut self) -> Result<u16, &'static str> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.ok_or("expected four hex digits")?;
        self.at += 4;
        let value = |sum: u16, digit: &u8| {
            sum << 4 | char::from(*digit).to_digit(16).unwrap_or_default() as u16
        };
        Ok(digits.iter().fold(0, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let text = " {\"a\": [1, -2.5e+3, 0.0, 1E2], \"\": {}, \"t\": true,\r\n\"f\":false,\
                    \"n\" :null, \"s\": \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00é\"}\t";
        let value = read(text).expect("it is JSON");
        let list = value.get("a").and_then(Value::as_list).expect("a list");
        let floats: Vec<_> = list.iter().filter_map(Value::as_float).collect();
        assert_eq!(floats, [1.0, -2500.0, 0.0, 100.0]);
        assert_eq!(value.get(""), Some(&Value::Object(Vec::new())));
        assert_eq!(value.get("t").and_then(Value::as_bool), Some(true));
        assert_eq!(value.get("f").and_then(Value::as_bool), Some(false));
        assert_eq!(value.get("n"), Some(&Value::Null));
        let told = value.get("s").and_then(Value::as_text);
        assert_eq!(told, Some("\"\\/\u{8}\u{c}\n\r\té😀é"));
        assert_eq!(value.get("x"), None);
    }

    #[test]
    fn counts_keep_all_their_digits() {
        let text = format!("[{}, {}, 1.0, -1, 1e400]", u64::MAX, u128::MAX);
        let value = read(&text).expect("it is JSON");
        let list = value.as_list().expect("a list");
        assert_eq!(list[0].as_count(), Some(u64::MAX));
        assert_eq!(
            (list[1].as_count(), list[1].as_sum()),
            (None, Some(u128::MAX))
        );
        assert_eq!((list[2].as_count(), list[3].as_count()), (None, None));
        assert_eq!(list[4].as_float(), None);
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_line() {
        for (text, why) in [
            ("", "line 1: the text ends"),
            ("\n\n{", "line 3: expected a name"),
            ("{\"a\"}", "expected a colon"),
            ("{\"a\":1", "the text ends"),
            ("{\"a\":1,}", "expected a name"),
            ("{\"a\":1 \"b\":2}", "expected a comma"),
            ("{\"a\":1,\n\"a\":1}", "line 2: a name occurs twice"),
            ("{a:1}", "expected a name"),
            ("[1,]", "expected a value"),
            ("[1]x", "more follows"),
            ("nul", "expected a value"),
            ("NaN", "expected a value"),
            ("01", "more follows"),
            ("-", "expected a digit"),
            ("1.", "expected a digit"),
            ("1e", "expected a digit"),
            ("+1", "expected a value"),
            ("\"\n\"", "control character"),
            ("\"", "ends inside a string"),
            ("\"\\", "ends inside a string"),
            ("\"\\x\"", "unknown escape"),
            ("\"\\u12\"", "four hex digits"),
            ("\"\\ud800\"", "surrogate"),
            ("\"\\udc00\"", "surrogate"),
            ("\"\\ud800\\u0041\"", "surrogate"),
            ("\u{feff}{}", "expected a value"),
        ] {
            let told = read(text).expect_err("it is no JSON");
            assert!(
                told.starts_with("line ") && told.contains(why),
                "{text:?}: {told}"
            );
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        for depth in [JSON_DEPTH_MAX - 1, JSON_DEPTH_MAX] {
            assert!(read(&nested(depth)).is_ok(), "{depth}");
        }
        for depth in [JSON_DEPTH_MAX + 1, 1 << 20] {
            let told = read(&nested(depth)).expect_err("it is too deep");
            assert_eq!(told, "line 1: nested too deeply");
        }
    }
}
