//! The help: an overview of the program on one screen, and one text for each command.
//!
//! Everything but the sentences comes from the tables of commands, services, framings, flags and
//! topics, so a new row is in the help at once. Tests hold the sizes: 24 lines of 79 columns for
//! the overview, 99 columns for the others.

use super::super::services::SERVICES;
use super::super::table::{COMMANDS, CommandRow, Effect, Flag};
use super::super::{Options, values};
use super::TEXTS;
use crate::cli::manual::TOPICS;
use crate::protocol::framing::FRAMINGS;

/// The columns of the overview.
const COLUMNS: usize = 79;

/// What the program can do and where more is told, on one screen.
pub(in crate::cli::options) fn overview() -> String {
    let mut text = format!(
        "mynah {}: echo server, load generator and client around one epoll loop\n\n\
         Usage: mynah [COMMAND] [WORDS] [OPTIONS]; without any, echo on 127.0.0.1:7007\n\n",
        env!("CARGO_PKG_VERSION")
    );
    let commands = COMMANDS.iter().map(|row| (row.usage, row.about));
    let help = TEXTS.iter().take(1).map(|row| (row.usage, row.about));
    for (usage, about) in commands.chain(help) {
        let usage = usage.trim_start_matches("mynah ");
        let usage = usage.trim_end_matches(" < FILE");
        let usage = usage.trim_end_matches(" [OPTIONS]");
        text += &format!("  {usage:<22} {about}\n");
    }
    text += "  man, completions, version  the manual page, shell completions, the version\n";
    let mut services = SERVICES.iter().map(|(name, _)| *name);
    list(&mut text, "Services:", &mut services);
    let mut framings = FRAMINGS.iter().flat_map(|row| row.words.split(' '));
    list(&mut text, "Framings:", &mut framings);
    // The chapter of a command is found by the name of the command, which stands above.
    let is_above = |name: &&str| COMMANDS.iter().any(|row| row.name == *name);
    let topics = TOPICS.iter().map(|topic| topic.name);
    let mut topics = topics.filter(|name| !is_above(name));
    list(&mut text, "Topics:", &mut topics);
    text += "\
        Options of every day; mynah help serve, mynah help bench and so on tell all:\n\
        \x20 serve  -p PORT, -l ADDR, --frame SPEC, --threads N, --max-connections N\n\
        \x20 bench  -c CONNECTIONS, -d 10s, -t THREADS, -R RATE, --assert 'p99<2ms'\n";
    text
}

/// Appends `title` and `words`, in lines of the overview.
#[inline(never)]
fn list(text: &mut String, title: &str, words: &mut dyn Iterator<Item = &str>) {
    let mut line = format!("{title:<9}");
    for word in words {
        if line.len() + 1 + word.len() > COLUMNS {
            *text += &line;
            text.push('\n');
            line = " ".repeat(3);
        }
        line.push(' ');
        line += word;
    }
    *text += &line;
    text.push('\n');
}

/// The help of one command: all its words and options.
pub(in crate::cli::options) fn of_command(command: &CommandRow) -> String {
    let mut text = format!("mynah {}: {}\n", command.name, command.about);
    text += &format!("\nUsage: {}\n", command.usage);
    let owned = |(left, right): &(&str, &str)| ((*left).to_owned(), (*right).to_owned());
    section(
        &mut text,
        command.words.0,
        &mut command.words.1.iter().map(owned),
    );

    if command.flags().any(|flag| flag.long == "--frame") {
        let mut rows = FRAMINGS.iter().map(|row| owned(&(row.words, row.about)));
        section(&mut text, "Framings (--frame SPEC)", &mut rows);
    }

    let defaults = Options::default();
    let mut flags = command.flags().peekable();
    while let Some(group) = flags.peek().map(|flag| flag.group) {
        let members = std::iter::from_fn(|| flags.next_if(|flag| flag.group == group));
        section(
            &mut text,
            group,
            &mut members.map(|flag| flag_help(flag, &defaults)),
        );
    }
    let is_named = |kind: &&(&str, &str)| {
        let names = |flag: &Flag| matches!(flag.effect, Effect::Value(name, _) if name == kind.0);
        command.flags().any(names)
    };
    let mut kinds = values::KINDS.iter().filter(is_named).map(owned);
    section(&mut text, "Values", &mut kinds);
    let mut examples = command.examples.iter().map(owned);
    section(&mut text, "Examples", &mut examples);
    text
}

/// The syntax of a flag, and its help with the default.
#[inline(never)]
pub(super) fn flag_help(flag: &Flag, defaults: &Options) -> (String, String) {
    let value = match &flag.effect {
        Effect::Help | Effect::Version => String::new(),
        Effect::Switch(_) => "[=on|off]".to_owned(),
        Effect::Value(name, _) => format!(" {name}"),
        Effect::Output(_) => " [FILE]".to_owned(),
        Effect::Attached(_) => "[=FILE]".to_owned(),
    };
    let short = flag
        .short
        .map_or_else(String::new, |short| format!("{short}, "));
    let help = match (flag.default)(defaults) {
        default if default.is_empty() => flag.help.to_owned(),
        default => format!("{} [{default}]", flag.help),
    };
    (format!("{short}{}{value}", flag.long), help)
}

/// Appends a title and its rows in two columns.
#[inline(never)]
fn section(text: &mut String, title: &str, rows: &mut dyn Iterator<Item = (String, String)>) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    *text += &format!("\n{title}:\n");
    let width = rows.iter().map(|(left, _)| left.len()).fold(23, usize::max);
    for (left, right) in rows {
        *text += &format!("  {left:<width$}  {right}\n");
    }
}
