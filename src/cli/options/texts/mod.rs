//! The commands that print a text and end: `help`, `version`, `man` and `completions`.
//!
//! The texts are made from the tables of commands and flags and from the chapters of the manual, so
//! none of them repeats an option. This file parses the words of these commands. Neighbours:
//! `help`, `man` and `completions` make the texts, `cli::manual` has the chapters.

mod completions;
mod help;
mod man;

use super::Parsed;
use super::table::{self, COMMANDS};
use super::values::shown;
use crate::base::text::suggest::{suggest, suggest_or_list};
use crate::cli::manual::{self, TOPICS};
pub(super) use help::{of_command, overview};

/// A command that prints a text.
pub(super) struct TextRow {
    pub(super) name: &'static str,
    /// Synopsis, one line.
    pub(super) usage: &'static str,
    /// Description, one line.
    pub(super) about: &'static str,
    /// Chooses the text by the words after the command.
    text: fn(&[&str]) -> Result<Parsed, String>,
}

/// The commands that print a text.
pub(super) const TEXTS: &[TextRow] = &[
    TextRow {
        name: "help",
        usage: "mynah help [COMMAND|TOPIC]",
        about: "explain a command with all its options, or a topic",
        text: |words| match words {
            [] => Ok(Parsed::Help(overview())),
            [word] => about(word).map(Parsed::Help),
            [_, more, ..] => Err(format!("{}: help takes one word", shown(more))),
        },
    },
    TextRow {
        name: "man",
        usage: "mynah man",
        about: "print the manual page: mynah man | man -l -",
        text: |words| alone("man", words).map(|()| Parsed::Help(man::page())),
    },
    TextRow {
        name: "completions",
        usage: "mynah completions SHELL",
        about: "print the completions of bash, zsh or fish",
        text: |words| match words {
            [shell] => match completions::SHELLS.iter().find(|(name, _)| name == shell) {
                Some((_, script)) => Ok(Parsed::Help(script())),
                None => {
                    let known = completions::SHELLS.iter().map(|(name, _)| *name);
                    Err(format!(
                        "{}: {}",
                        shown(shell),
                        suggest_or_list(shell, known)
                    ))
                }
            },
            [] => Err("completions: needs a shell, bash or zsh or fish".to_owned()),
            [_, more, ..] => Err(format!("{}: completions takes one SHELL", shown(more))),
        },
    },
    TextRow {
        name: "version",
        usage: "mynah version",
        about: "print the version",
        text: |words| alone("version", words).map(|()| Parsed::Version),
    },
];

impl TextRow {
    /// Parses the words after the command.
    pub(super) fn parse(&self, words: &[&str]) -> Result<Parsed, String> {
        match words {
            ["-h" | "--help", ..] => Ok(Parsed::Help(overview())),
            ["-V" | "--version", ..] => Ok(Parsed::Version),
            ["help"] if self.name != "help" => Ok(Parsed::Help(overview())),
            words => (self.text)(words),
        }
    }
}

/// The command with this name.
pub(super) fn row(name: &str) -> Option<&'static TextRow> {
    TEXTS.iter().find(|row| row.name == name)
}

fn alone(name: &str, words: &[&str]) -> Result<(), String> {
    match words {
        [] => Ok(()),
        [word, ..] => Err(format!("{}: {name} takes no word", shown(word))),
    }
}

/// What `mynah help WORD` prints: the options of a command, the chapter with that name, or both.
fn about(word: &str) -> Result<String, String> {
    let command = table::command(word);
    let chapter = TOPICS.iter().find(|topic| topic.name == word);
    match (command, chapter, row(word)) {
        (Some(command), Some(topic), _) => {
            let options = of_command(command);
            Ok(format!("{options}\n{}", manual::at_a_terminal(topic.text)))
        }
        (Some(command), None, _) => Ok(of_command(command)),
        (None, Some(topic), _) => Ok(manual::at_a_terminal(topic.text)),
        (None, None, Some(_)) => Ok(overview()),
        (None, None, None) if super::services::is_service(word) => about("services"),
        (None, None, None) if word == "topics" || word == "commands" => Ok(overview()),
        (None, None, None) => {
            let commands = COMMANDS.iter().map(|row| row.name);
            let known = commands.chain(TOPICS.iter().map(|topic| topic.name));
            let near = suggest(word, known).map(|near| format!("did you mean {near}?"));
            let right = near.unwrap_or_else(|| "see mynah help".to_owned());
            Err(format!("{}: unknown, {right}", shown(word)))
        }
    }
}

#[cfg(test)]
mod tests;
