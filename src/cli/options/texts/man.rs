//! The manual page, in the man macros of roff, made from the tables.
//!
//! The sections are those of man-pages(7) for a command. What exit codes and variables mean is
//! taken from their chapters, whose lists `- NAME: text` become tagged paragraphs. See
//! groff_man(7).

use super::super::Options;
use super::super::table::{COMMANDS, CommandRow};
use super::TEXTS;
use super::help::flag_help;
use crate::cli::manual::{TOPICS, chapter};
use crate::protocol::framing::FRAMINGS;

/// Columns of the source of the page; an escaped character takes two of them.
const COLUMNS: usize = 72;

/// The page.
pub(super) fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(".TH MYNAH 1 \"\" \"mynah {version}\" \"User Commands\"\n");
    page += ".SH NAME\nmynah \\- echo server, load generator and client around one epoll loop\n";
    page += ".SH SYNOPSIS\n";
    let commands = COMMANDS.iter().map(|row| row.usage);
    for usage in commands.chain(TEXTS.iter().map(|row| row.usage)) {
        let rest = usage.trim_start_matches("mynah ");
        let next = if page.ends_with("SYNOPSIS\n") {
            ""
        } else {
            ".br\n"
        };
        page += &format!("{next}.B mynah\n{}\n", escaped(rest));
    }
    page += ".SH DESCRIPTION\n";
    paragraph(
        &mut page,
        "mynah is a baseline to measure servers against, a load generator that measures them, and \
         an echo server that loses no byte. Without arguments it echoes what arrives on \
         127.0.0.1:7007.",
    );
    for row in COMMANDS {
        tagged(&mut page, &format!("mynah {}", row.name), row.about);
    }
    for row in TEXTS {
        tagged(&mut page, row.usage, row.about);
    }
    let topics: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
    let topics = format!("The topics of mynah help are {}.", topics.join(", "));
    paragraph(&mut page, &topics);
    page += ".SH OPTIONS\n";
    for row in COMMANDS {
        options(&mut page, row);
    }
    page += ".SS Framings (\\-\\-frame SPEC)\n";
    for row in FRAMINGS {
        tagged(&mut page, row.words, row.about);
    }
    page += ".SH EXIT STATUS\n";
    from_chapter(&mut page, chapter("exit-codes"));
    page += ".SH ENVIRONMENT\n";
    from_chapter(&mut page, chapter("environment"));
    page += ".SH EXAMPLES\n";
    for (line, about) in COMMANDS.iter().flat_map(|row| row.examples) {
        tagged(&mut page, line, about);
    }
    page
}

/// The words and the flags of one command. Flags that every command has stand with the first one.
fn options(page: &mut String, row: &CommandRow) {
    *page += &format!(".SS mynah {}\n", row.name);
    for (word, about) in row.words.1 {
        tagged(page, word, about);
    }
    let is_first = row.name == COMMANDS[0].name;
    let defaults = Options::default();
    for flag in row.flags() {
        if is_first || !flag.commands.is_empty() {
            let (written, help) = flag_help(flag, &defaults);
            tagged(page, &written, &help);
        }
    }
}

#[inline(never)]
fn tagged(page: &mut String, tag: &str, text: &str) {
    *page += &format!(".TP\n.B {}\n{}", argument(tag), filled(text));
}

#[inline(never)]
fn paragraph(page: &mut String, text: &str) {
    // A section begins a paragraph itself.
    let after_title = page
        .lines()
        .next_back()
        .is_some_and(|line| line.starts_with(".SH "));
    if !after_title {
        *page += ".PP\n";
    }
    *page += &filled(text);
}

/// The lists of a chapter, and the paragraphs before and after them.
fn from_chapter(page: &mut String, chapter: &str) {
    // Blocks are separated by an empty line; the first one is the title.
    let mut is_code = false;
    for block in chapter.split("\n\n").skip(1) {
        let was_code = is_code;
        is_code ^= block.matches("```").count() % 2 == 1;
        if was_code || block.starts_with("```") {
            continue;
        }
        let joined = block.replace("\n- ", "\u{0}").replace("\n  ", " ");
        match joined.strip_prefix("- ") {
            Some(items) => {
                for item in items.split('\u{0}') {
                    let (tag, text) = item.split_once(": ").unwrap_or((item, ""));
                    tagged(page, &plain(tag), &plain(text));
                }
            }
            None => paragraph(page, &plain(&joined)),
        }
    }
}

/// Markdown without its marks, on one line.
#[inline(never)]
fn plain(text: &str) -> String {
    text.replace('`', "").replace('\n', " ")
}

/// A paragraph in lines of the page's source.
#[inline(never)]
fn filled(text: &str) -> String {
    let (mut page, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + word.len() >= COLUMNS {
            page += &escaped(&line);
            page.push('\n');
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    page += &escaped(&line);
    page.push('\n');
    page
}

/// Text that roff prints as it is.
#[inline(never)]
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

/// Text as the only argument of a macro.
fn argument(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\(dq"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_its_sections_in_order_and_names_every_flag() {
        let page = page();
        let sections: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .collect();
        assert_eq!(
            sections,
            [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "EXIT STATUS",
                "ENVIRONMENT",
                "EXAMPLES"
            ]
        );
        for row in COMMANDS {
            for flag in row.flags() {
                assert!(page.contains(&escaped(flag.long)), "{}", flag.long);
            }
        }
    }

    #[test]
    fn a_line_of_text_is_never_taken_for_a_macro() {
        assert_eq!(escaped(".x 'y -z \\0"), "\\&.x 'y \\-z \\e0");
        assert_eq!(escaped("'x"), "\\&'x");
        assert_eq!(argument("say \"hi\""), "\"say \\(dqhi\\(dq\"");
    }
}
