//! The chapters of the manual: the files of this folder, as they are.
//!
//! The same files are read on the web, so they are plain Markdown: titles, paragraphs, lists with
//! `-`, and blocks of code between three backquotes. A block `console` is a session, and a test
//! plays it. For a terminal the marks around blocks become an indent. The
//! text is at most 79 columns wide, and a new chapter needs one file and one row.

/// A chapter.
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

macro_rules! topics {
    ($($name:literal),* $(,)?) => {
        /// The chapters, in the order in which they are listed.
        pub(super) const TOPICS: &[Topic] = &[$(Topic {
            name: $name,
            text: include_str!(concat!($name, ".md")),
        }),*];
    };
}

topics![
    "serve",
    "services",
    "framing",
    "connect",
    "bench",
    "report",
    "merge",
    "models",
    "limits",
    "security",
    "rates",
    "datagrams",
    "wiretap",
    "tls",
    "trace",
    "workers",
    "shutdown",
    "processes",
    "takeover",
    "scaling",
    "haproxy",
    "metrics",
    "reliability",
    "exit-codes",
    "environment",
    "systemd",
    "container",
    "kubernetes",
    "lab",
    "auth",
    "sum",
    "ftp",
    "epoll",
    "source",
    "elsewhere",
    "networks",
    "internals",
    "peers",
    "changes",
];

/// The chapter with this name.
pub(super) fn chapter(name: &str) -> &'static str {
    let found = TOPICS.iter().find(|topic| topic.name == name);
    found.map_or("", |topic| topic.text)
}

/// A chapter as a terminal shows it: blocks of code are indented, and their marks are left out.
pub(super) fn at_a_terminal(chapter: &str) -> String {
    let mut text = String::with_capacity(chapter.len());
    let mut is_code = false;
    for line in chapter.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        if is_code && !line.is_empty() {
            text += "    ";
        }
        text += line;
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_indented_at_a_terminal_and_its_marks_are_left_out() {
        let chapter = "# T\n\n```console\n$ mynah\n\nready\n```\n\nafter\n";
        let expected = "# T\n\n    $ mynah\n\n    ready\n\nafter\n";
        assert_eq!(at_a_terminal(chapter), expected);
    }

    #[test]
    fn a_chapter_has_a_title_and_at_most_79_columns() {
        for Topic { name, text } in TOPICS {
            assert!(text.starts_with("# "), "{name}");
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{name}");
            // What a program has printed may be longer.
            let mut is_code = false;
            for line in text.lines() {
                is_code ^= line.starts_with("```");
                assert!(is_code || line.chars().count() <= 79, "{name}: {line}");
            }
            assert!(!is_code, "{name}: a block has no end");
        }
    }
}
