//! Writes SVG: shapes and escaped text, in one self-contained file.
//!
//! A file has no script, no font and no reference to anything outside. Shapes get their colours by
//! classes, so that one style sheet serves a light and a dark page. Text is measured by a mean
//! width of its letters, because fonts are not known here; the width is on the safe side.
//! Neighbour: `scale`, the axes. Source: SVG 1.1; XML 1.0, 2.2.

pub mod scale;

use std::fmt::{self, Write};

use crate::base::text::columns::{cut, wrap};

/// The width of a letter in a font of one pixel.
const LETTER: f64 = 0.58;

/// Where a text has its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The position is its left end.
    Start,
    /// The position is its middle.
    Middle,
    /// The position is its right end.
    End,
}

/// A picture that is being drawn. Positions are in pixels, from the left and from the top.
#[derive(Debug, Default)]
pub struct Svg {
    body: String,
}

impl Svg {
    /// The file: `width` and `height`, the title for readers that cannot see it, and the style.
    pub fn finish(self, width: f64, height: f64, title: &str, style: &str) -> String {
        let (title, body) = (escape(title), self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             role=\"img\">\n<title>{title}</title>\n<style>{style}</style>\n\
             <rect class=\"back\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n{body}</svg>\n"
        )
    }

    // Writing to a string cannot fail.
    fn put(&mut self, shape: fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{shape}");
    }

    /// A line of text; `y` is its base line.
    #[inline(never)]
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let content = escape(content);
        self.put(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{content}</text>"
        ));
    }

    /// A straight line.
    #[inline(never)]
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x, y), (right, bottom)) = (from, to);
        self.put(format_args!(
            "<path class=\"{class}\" d=\"M{x:.1} {y:.1}L{right:.1} {bottom:.1}\"/>"
        ));
    }

    /// A line through points; nothing without a point.
    pub fn curve(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        self.path(&mut points.into_iter(), class);
    }

    #[inline(never)]
    fn path(&mut self, points: &mut dyn Iterator<Item = (f64, f64)>, class: &str) {
        let mut path = String::new();
        for (x, y) in points {
            let step = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{step}{x:.1} {y:.1}");
        }
        if !path.is_empty() {
            self.put(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
        }
    }

    /// A filled circle.
    #[inline(never)]
    pub fn dot(&mut self, (x, y): (f64, f64), radius: f64, class: &str) {
        self.put(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"
        ));
    }
}

/// `text` as far as it fits into `width` pixels at a font size of `size`.
pub fn fitted(text: &str, width: f64, size: f64) -> String {
    cut(text, letters(width, size))
}

/// `text` in lines of at most `width` pixels at a font size of `size`.
pub fn wrapped(text: &str, width: f64, size: f64) -> Vec<String> {
    wrap(text, letters(width, size))
}

fn letters(width: f64, size: f64) -> usize {
    ((width / (size * LETTER)) as usize).max(1)
}

/// Escapes the text of an element. XML cannot express most control characters, or U+FFFE and
/// U+FFFF. Each of them is replaced by one substitute (XML 1.0, 2.2).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            letter if letter.is_control() => out.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_element_or_says_what_xml_cannot() {
        let text = escape("a<b>&\0\u{1b}\n\u{ffff}\u{85}é\"'");
        let stand_in = "\u{fffd}";
        let expected = format!("a&lt;b&gt;&amp;{}é\"'", stand_in.repeat(5));
        assert_eq!(text, expected);
    }

    #[test]
    fn a_curve_needs_a_point() {
        let mut svg = Svg::default();
        svg.curve([], "c");
        assert_eq!(svg.body, "");
        svg.curve([(1.0, 2.0), (3.0, 4.25)], "c");
        assert_eq!(svg.body, "<path class=\"c\" d=\"M1.0 2.0L3.0 4.2\"/>\n");
    }

    #[test]
    fn a_text_that_is_too_wide_is_cut() {
        assert_eq!(fitted("abcdefghij", 1000.0, 10.0), "abcdefghij");
        assert_eq!(fitted("abcdefghij", 29.0, 10.0), "ab...");
        assert_eq!(fitted("abcdefghij", 0.0, 10.0), ".");
    }
}
