//! A writer for JSON, one value after another.
//!
//! Each value is appended as soon as it is known. Commas and nesting are kept here, so the output
//! is well-formed whichever values the caller leaves out. Numbers that JSON cannot express
//! (infinite, not a number) become `null`. Neighbour: `read`, the reader. Source: RFC 8259.

mod read;

use std::fmt::{self, Write};

pub use read::{Value, read};

/// A JSON object that is being written.
#[derive(Debug)]
pub struct Json {
    text: String,
    depth: usize,
    first: bool,
}

impl Default for Json {
    fn default() -> Json {
        Json::new()
    }
}

impl Json {
    /// An empty object.
    pub fn new() -> Json {
        Json {
            text: "{".to_owned(),
            depth: 1,
            first: true,
        }
    }

    /// Ends the object and returns it, with a final newline.
    pub fn finish(mut self) -> String {
        assert_eq!(self.depth, 1, "an inner object was left open");
        self.text.push_str("\n}\n");
        self.text
    }

    /// A number, a boolean, or any other value whose `Display` is valid JSON.
    pub fn value(&mut self, name: &str, value: impl fmt::Display) {
        self.member(name, &value);
    }

    // A report has a hundred members: this and the functions below are called, not inlined.
    #[inline(never)]
    fn member(&mut self, name: &str, value: &dyn fmt::Display) {
        self.name(name);
        self.put(value);
    }

    /// A number with a fraction.
    #[inline(never)]
    pub fn float(&mut self, name: &str, value: f64) {
        self.name(name);
        self.put_float(value);
    }

    /// A text.
    #[inline(never)]
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.put_text(value);
    }

    /// An inner object, written by `inside`.
    pub fn object(&mut self, name: &str, inside: impl FnOnce(&mut Json)) {
        self.name(name);
        self.open('{');
        inside(self);
        self.close('}');
    }

    /// An array of objects, each written by `inside`.
    pub fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        inside: impl Fn(&mut Json, T),
    ) {
        self.name(name);
        self.open('[');
        for item in items {
            self.comma();
            self.open('{');
            inside(self, item);
            self.close('}');
        }
        self.close(']');
    }

    /// An array of numbers, on one line.
    pub fn floats(&mut self, name: &str, values: impl IntoIterator<Item = f64>) {
        self.name(name);
        self.text.push('[');
        for (index, value) in values.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { ", " });
            self.put_float(value);
        }
        self.text.push(']');
    }

    /// An array of pairs of numbers, on one line.
    pub fn pairs(&mut self, name: &str, pairs: impl IntoIterator<Item = (u64, u64)>) {
        self.name(name);
        self.text.push('[');
        for (index, (one, other)) in pairs.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { ", " });
            self.put(&format_args!("[{one}, {other}]"));
        }
        self.text.push(']');
    }

    /// An array of texts, on one line.
    pub fn texts(&mut self, name: &str, texts: impl IntoIterator<Item = impl AsRef<str>>) {
        self.name(name);
        self.text.push('[');
        for (index, text) in texts.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { ", " });
            self.put_text(text.as_ref());
        }
        self.text.push(']');
    }

    /// A value that was read from another document.
    pub fn copy(&mut self, name: &str, value: &Value) {
        self.name(name);
        self.put_value(value);
    }

    /// An array of values that were read from other documents.
    pub fn list<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a Value>) {
        self.name(name);
        self.put_list(values);
    }

    fn put_list<'a>(&mut self, values: impl IntoIterator<Item = &'a Value>) {
        self.open('[');
        for value in values {
            self.comma();
            self.put_value(value);
        }
        self.close(']');
    }

    fn put_value(&mut self, value: &Value) {
        match value {
            Value::Null => self.put(&"null"),
            Value::Bool(is) => self.put(is),
            Value::Number(digits) => self.put(digits),
            Value::Text(text) => self.put_text(text),
            Value::List(items) => self.put_list(items),
            Value::Object(members) => {
                self.open('{');
                for (name, value) in members {
                    self.copy(name, value);
                }
                self.close('}');
            }
        }
    }

    fn put_tight(&mut self, value: &Value) {
        match value {
            Value::List(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.text.push_str(if index == 0 { "" } else { "," });
                    self.put_tight(item);
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    self.text.push_str(if index == 0 { "" } else { "," });
                    self.put_text(name);
                    self.text.push(':');
                    self.put_tight(value);
                }
                self.text.push('}');
            }
            value => self.put_value(value),
        }
    }

    /// Begins an object or an array, which [`Json::close`] ends.
    #[inline(never)]
    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.depth += 1;
        self.first = true;
    }

    #[inline(never)]
    fn close(&mut self, bracket: char) {
        self.depth -= 1;
        if !self.first {
            self.line();
        }
        self.text.push(bracket);
        self.first = false;
    }

    #[inline(never)]
    fn name(&mut self, name: &str) {
        self.comma();
        self.put_text(name);
        self.text.push_str(": ");
    }

    #[inline(never)]
    fn comma(&mut self) {
        if !self.first {
            self.text.push(',');
        }
        self.first = false;
        self.line();
    }

    fn line(&mut self) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n("  ", self.depth));
    }

    #[inline(never)]
    fn put(&mut self, value: &dyn fmt::Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{value}");
    }

    #[inline(never)]
    fn put_float(&mut self, value: f64) {
        if value.is_finite() {
            self.put(&value)
        } else {
            self.put(&"null")
        }
    }

    #[inline(never)]
    fn put_text(&mut self, value: &str) {
        self.text.push('"');
        for letter in value.chars() {
            match letter {
                '"' | '\\' => self.text.extend(['\\', letter]),
                '\0'..='\x1f' => self.put(&format_args!("\\u{:04x}", letter as u32)),
                _ => self.text.push(letter),
            }
        }
        self.text.push('"');
    }
}

/// A value in one line, without blanks between its parts.
pub fn line(value: &Value) -> String {
    let mut json = Json {
        text: String::new(),
        depth: 0,
        first: true,
    };
    json.put_tight(value);
    json.text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_and_commas_come_out_well_formed() {
        let mut json = Json::new();
        json.value("a", 1);
        json.object("empty", |_| {});
        json.objects("list", [1, 2], |json, n| json.value("n", n));
        json.objects("none", [0; 0], |json, n| json.value("n", n));
        json.floats("f", [0.5, f64::NAN]);
        json.pairs("p", [(1, 2), (3, 4)]);
        json.texts("t", ["a", "\""]);
        json.float("half", 0.5);
        json.value("yes", true);
        let tight: String = json.finish().split_whitespace().collect();
        assert_eq!(
            tight,
            r#"{"a":1,"empty":{},"list":[{"n":1},{"n":2}],"none":[],"f":[0.5,null],"#.to_owned()
                + r#""p":[[1,2],[3,4]],"t":["a","\""],"half":0.5,"yes":true}"#
        );
    }

    #[test]
    fn what_is_copied_is_what_was_read() {
        let text = r#"{"a":[1,[2,{"b":"x\\\"y"}],null],"o":{},"n":-1.50e3,"t":true}"#;
        let value = read(text).expect("it is JSON");
        assert_eq!(line(&value), text);
        let mut json = Json::new();
        json.copy("all", &value);
        let tight: String = json.finish().split_whitespace().collect();
        assert_eq!(tight, format!("{{\"all\":{text}}}"));
    }

    #[test]
    fn text_is_escaped() {
        let mut json = Json::new();
        json.text("q\"", "a\\b\n\u{1}é");
        assert_eq!(
            json.finish(),
            "{\n  \"q\\\"\": \"a\\\\b\\u000a\\u0001é\"\n}\n"
        );
    }
}
