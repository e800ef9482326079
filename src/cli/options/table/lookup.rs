//! Looks up a word of the command line: the row of a command or a flag, or a suggestion.

use std::vec;

use super::super::bench;
use super::super::texts::TEXTS;
use super::super::values::shown;
use super::other_words::{of_flag, of_word};
use super::{
    COMMANDS, CommandRow, Effect, FLAGS, Flag, SERVICES, connect, decode, ftp, lab, merge, serve,
    sum, tls, trace,
};
use crate::base::text::suggest::{suggest, suggest_or_list};
use crate::kernel::Endpoint;

/// The flags of all commands, with the flags that every command has at the end.
pub(in crate::cli::options) fn flags() -> Vec<&'static Flag> {
    let tables = [
        serve::FLAGS,
        tls::FLAGS,
        bench::FLAGS,
        merge::FLAGS,
        lab::FLAGS,
        connect::FLAGS,
        decode::FLAGS,
        sum::FLAGS,
        ftp::FLAGS,
        trace::FLAGS,
        FLAGS,
    ];
    tables.into_iter().flatten().collect()
}

/// The command with this name.
pub(in crate::cli::options) fn command(name: &str) -> Option<&'static CommandRow> {
    COMMANDS.iter().find(|row| row.name == name)
}

impl Flag {
    fn is(&self, written: &str) -> bool {
        self.long == written || self.short == Some(written)
    }
}

impl CommandRow {
    /// The flags of this command, in the order of the table.
    #[inline(never)]
    pub(in crate::cli::options) fn flags(&self) -> vec::IntoIter<&'static Flag> {
        let mut flags = flags();
        flags.retain(|flag| flag.commands.is_empty() || flag.commands.contains(&self.name));
        flags.into_iter()
    }

    /// The flag that `written` names, and the value that is attached to it: `--size=64`, `-c=100`
    /// or `-c100`. An error says what would be right.
    pub(in crate::cli::options) fn flag<'a>(
        &self,
        written: &'a str,
    ) -> Result<(&'static Flag, Option<&'a str>), String> {
        let (name, attached) = match written.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (written, None),
        };
        let Some(found) = self.flags().find(|flag| flag.is(name)) else {
            return match self.flag_with_value(written) {
                Some((flag, value)) => Ok((flag, Some(value))),
                None => Err(format!("{}: {}", shown(name), self.unknown_flag(name))),
            };
        };
        Ok((found, attached))
    }

    /// Whether this command has the flag `written`.
    pub(super) fn has(&self, written: &str) -> bool {
        self.flags().any(|flag| flag.is(written))
    }

    /// A short flag and the value behind it, without a blank. `-listen` is no value of `-l`.
    fn flag_with_value<'a>(&self, written: &'a str) -> Option<(&'static Flag, &'a str)> {
        let doubled = format!("-{written}");
        if written.starts_with("--") || self.has(&doubled) {
            return None;
        }
        let (short, value) = written.split_at_checked(2)?;
        let takes_value = |flag: &&Flag| matches!(flag.effect, Effect::Value(..));
        let mut flags = self.flags().filter(takes_value);
        Some((flags.find(|flag| flag.is(short))?, value))
    }

    /// Explains why `written` is not a flag of this command.
    fn unknown_flag(&self, written: &str) -> String {
        let doubled = format!("-{written}");
        if let Some(flag) = self.flags().find(|flag| flag.is(&doubled)) {
            return format!("has one dash; write {}", flag.long);
        }
        if let Some(instead) = of_flag(self, written) {
            return instead.to_owned();
        }
        if let Some(flag) = flags().into_iter().find(|flag| flag.is(written)) {
            return format!("belongs to mynah {}", flag.commands.join(" and mynah "));
        }
        let long = self.flags().map(|flag| flag.long);
        match suggest(written, long.filter(|long| long.starts_with("--"))) {
            Some(near) => format!("unknown, did you mean {near}?"),
            None => format!("unknown, see mynah {} --help", self.name),
        }
    }
}

/// Explains why the first word is not a command.
pub(in crate::cli::options) fn unknown_word(word: &str) -> String {
    let services = SERVICES.iter().map(|(name, _)| *name);
    let known = services.chain(COMMANDS.iter().map(|row| row.name));
    let known = known.chain(TEXTS.iter().map(|row| row.name));
    of_word(word)
        .map(str::to_owned)
        .or_else(|| where_an_address_goes(word))
        .unwrap_or_else(|| suggest_or_list(word, known))
}

/// Explains why `word` is not a service.
pub(in crate::cli::options) fn unknown_service(word: &str) -> String {
    let services = SERVICES.iter().map(|(name, _)| *name);
    of_word(word)
        .map(str::to_owned)
        .or_else(|| where_an_address_goes(word))
        .unwrap_or_else(|| suggest_or_list(word, services))
}

/// If `word` is an address in a place that takes none, returns what to write instead.
pub(super) fn where_an_address_goes(word: &str) -> Option<String> {
    word.parse::<Endpoint>().ok()?;
    Some(format!(
        "an address follows --listen, or mynah connect; write --listen {word}"
    ))
}
