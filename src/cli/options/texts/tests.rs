//! What `help`, `man`, `completions` and `version` print.

use super::super::parse;
use super::*;

fn text(line: &str) -> Result<Parsed, String> {
    parse(line.split_whitespace().map(Into::into))
}

fn printed(line: &str) -> String {
    match text(line) {
        Ok(Parsed::Help(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_overview_is_one_screen_that_names_every_command_service_and_topic() {
    let overview = printed("--help");
    assert!(overview.lines().count() <= 24, "{overview}");
    let long = overview.lines().find(|line| line.chars().count() > 79);
    assert_eq!(long, None, "{overview}");
    let names = COMMANDS.iter().map(|row| row.name);
    let names = names.chain(TEXTS.iter().map(|row| row.name));
    let names = names.chain(TOPICS.iter().map(|topic| topic.name));
    for name in names.chain(COMMANDS[0].words.1.iter().map(|(name, _)| *name)) {
        assert!(overview.contains(name), "{name}: {overview}");
    }
    for line in [
        "-h",
        "help",
        "help --help",
        "help help",
        "man --help",
        "version help",
    ] {
        assert_eq!(printed(line), overview, "{line}");
    }
}

#[test]
fn every_way_to_ask_for_the_help_of_a_command_gives_it() {
    let serve = printed("serve --help");
    assert!(
        serve.starts_with("mynah serve: answer every connection;"),
        "{serve}"
    );
    for line in [
        "serve -h",
        "serve help",
        "echo --help",
        "echo help",
        "help serve",
    ] {
        assert!(printed(line).starts_with(&serve), "{line}");
    }
    for line in ["bench help", "bench -h", "bench 7007 --help", "help bench"] {
        assert!(printed(line).starts_with("mynah bench: load"), "{line}");
    }
    for command in COMMANDS {
        let help = printed(&format!("help {}", command.name));
        assert!(command.flags().all(|flag| help.contains(flag.long)));
    }
}

#[test]
fn every_topic_is_printed_by_its_name_and_a_service_by_the_chapter_of_services() {
    for topic in TOPICS {
        let chapter = printed(&format!("help {}", topic.name));
        assert!(
            chapter.contains(&manual::at_a_terminal(topic.text)),
            "{}",
            topic.name
        );
    }
}

#[test]
fn a_wrong_word_of_a_text_is_refused_with_what_would_be_right() {
    for (line, error) in [
        ("help bnech", "bnech: unknown, did you mean bench?"),
        ("help exit", "exit: unknown, did you mean exit-codes?"),
        ("help --frame", "--frame: unknown, see mynah help"),
        ("help bench serve", "serve: help takes one word"),
        ("version 2", "2: version takes no word"),
        ("man bench", "bench: man takes no word"),
        (
            "completions",
            "completions: needs a shell, bash or zsh or fish",
        ),
        ("completions bahs", "bahs: unknown, did you mean bash?"),
        (
            "completions tcsh",
            "tcsh: unknown, must be bash or zsh or fish",
        ),
        ("completions zsh fish", "fish: completions takes one SHELL"),
    ] {
        assert_eq!(text(line), Err(error.to_owned()), "{line}");
    }
    assert_eq!(text("version"), Ok(Parsed::Version));
    assert_eq!(text("man -V"), Ok(Parsed::Version));
}

#[test]
fn the_completions_name_every_command_service_topic_and_flag() {
    for (shell, _) in completions::SHELLS {
        let script = printed(&format!("completions {shell}"));
        let names = COMMANDS.iter().map(|row| row.name);
        let names = names.chain(TEXTS.iter().map(|row| row.name));
        let names = names.chain(TOPICS.iter().map(|topic| topic.name));
        let flags = COMMANDS.iter().flat_map(|row| row.flags());
        let flags = flags.map(|flag| match (*shell, flag.long.strip_prefix("--")) {
            ("fish", Some(long)) => long,
            ("fish", None) => flag.long.trim_start_matches('-'),
            _ => flag.long,
        });
        for name in names.chain(flags) {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
}
